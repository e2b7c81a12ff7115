"""The canonical sample, the reasons a row is refused, and the Arrow schemas of every table.

Nothing here reads a file. Every other module agrees on these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa

__all__ = [
    "ABSENT_RULES",
    "ANSWER_KINDS",
    "BENCHMARKS",
    "CATEGORIES",
    "CONFIRMED",
    "DIFFICULTY",
    "DROPS",
    "EVIDENCE",
    "IMAGES",
    "LABELS",
    "LEAKS",
    "MEASURED",
    "ORIGINS",
    "PHI",
    "PHI_FOUND",
    "PHI_KINDS",
    "PHI_LOOKED",
    "ROWS",
    "SAMPLES",
    "SIGNALS",
    "SOURCES",
    "VERIFIABLE_KINDS",
    "AnswerKind",
    "Category",
    "ImageSlot",
    "PhiConfidence",
    "PhiKind",
    "Reject",
    "Sample",
    "Turn",
    "absent",
    "why_absent",
]

AnswerKind = Literal["choice", "multi_choice", "yes_no", "number", "short_text", "open", "none"]
ANSWER_KINDS: tuple[str, ...] = get_args(AnswerKind)
VERIFIABLE_KINDS = ("choice", "multi_choice", "yes_no", "number", "short_text")
"""Kinds whose answers a rule can check: the only ones that an `rl` output takes."""

Category = Literal["medical_vqa", "medical_text", "general_multimodal", "general_text"]
CATEGORIES: tuple[str, ...] = get_args(Category)

PhiKind = Literal[
    "name", "birth_date", "record_number", "national_id", "phone", "email", "address", "date", "age_over_89",
    "lettering",
]  # fmt: skip
PHI_KINDS: tuple[str, ...] = get_args(PhiKind)
"""What may point at a person. `address` includes positions from a camera; `lettering` is burned-in text, unread."""
PhiConfidence = Literal["low", "medium", "high"]

LABELS = "ABCDEFGHIJ"
"""Option letters, in order."""


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


class ImageSlot(NamedTuple):
    """Where an image stands: before character `offset` of message `turn` (0 for a plain question)."""

    turn: int
    offset: int


class Reject(Exception):  # noqa: N818  (it names what happens to the row)
    """Raised by an adapter for a row that cannot be read honestly; becomes a drop of the stage `ingest`."""

    def __init__(self, rule: str, value: object = None, limit: object = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.value = None if value is None else str(value)[:200]
        self.limit = None if limit is None else str(limit)[:200]


ABSENT_RULES = ("image_missing", "image_ambiguous")
"""Rules that reject a row for want of its image alone."""
_ABSENT = "\0absent\0"


def absent(reject: Reject) -> str:
    """A reference for an image that is not there, which says why."""
    return _ABSENT + "\0".join((reject.rule, reject.value or "", reject.limit or ""))


def why_absent(ref: str) -> Reject | None:
    """Why an image is not there, or None where `ref` says where it is."""
    if not ref.startswith(_ABSENT):
        return None
    rule, value, limit = ref.removeprefix(_ABSENT).split("\0")
    return Reject(rule, value or None, limit or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a source in canonical form, as its adapter read it."""

    row_key: str | None = None
    """The source's own id of the row, unique in its split. None: the row has none, and gets one from its content."""
    question: str = ""
    """Question text without image tags and without its options; empty when `turns` holds the conversation."""
    options: tuple[str, ...] = ()
    """Option texts without letters, in the order A, B, C ..."""
    answer: str = ""
    """Gold answer; for choices the text of the right option."""
    answer_label: str | None = None
    """Letter of the right option, or letters joined by commas."""
    answer_kind: AnswerKind = "open"
    images: tuple[str, ...] = ()
    """References to images, as `Context.image` or `TableRow.cell` gave them."""
    image_slots: tuple[ImageSlot, ...] = ()
    """Position of each image; empty means: all of them before the text."""
    turns: tuple[Turn, ...] = ()
    """The whole conversation where it is more than one question and one answer."""
    rationale: str = ""
    """Reasoning that the source ships."""
    lang: str = "en"
    """ISO 639-1 code of the text."""
    group: str | None = None
    """Patient, study, figure or page that rows share; never on both sides of a split."""
    modality: str | None = None
    organ: str | None = None
    question_type: str | None = None
    task: str | None = None
    pass_rate: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the source says about the row; stored as JSON."""


_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_SLOTS = pa.list_(pa.struct([("turn", pa.int32()), ("offset", pa.int32())]))

_CONTENT: list[tuple[str, pa.DataType]] = [
    ("lang", pa.string()),
    ("question", pa.string()),
    ("options", pa.list_(pa.string())),
    ("answer", pa.string()),
    ("answer_label", pa.string()),
    ("answer_kind", pa.string()),
    ("image_slots", _SLOTS),
    ("turns", _TURNS),
    ("rationale", pa.string()),
    ("group", pa.string()),
    ("modality", pa.string()),
    ("organ", pa.string()),
    ("question_type", pa.string()),
    ("task", pa.string()),
    ("pass_rate", pa.float64()),
    ("meta", pa.string()),
]

ROWS = pa.schema(
    [
        ("row_key", pa.string()),
        ("file", pa.string()),
        ("row_number", pa.int64()),
        *_CONTENT,
        ("image_refs", pa.list_(pa.string())),
        ("row_digest", pa.binary(16)),
        ("text_digest", pa.binary(16)),
        ("reject_rule", pa.string()),
        ("reject_value", pa.string()),
        ("reject_limit", pa.string()),
    ]
)
"""What ingest writes: one row for every row read, rejected ones included. `row_digest` covers the row as its file has
it (a key for rows without one), `text_digest` its normalised question, options and answer."""

SIGNALS = pa.schema(
    [
        ("question_chars", pa.int32()),
        ("answer_chars", pa.int32()),
        ("rationale_chars", pa.int32()),
        ("words", pa.int32()),
        ("text_tokens", pa.int32()),
        ("script", pa.string()),
        ("script_share", pa.float32()),
        ("special_token", pa.string()),
        ("figure_reference", pa.string()),
        ("duplicate_option", pa.string()),
        ("asked", pa.list_(pa.uint32())),
        ("offered", pa.list_(pa.uint32())),
        ("answered", pa.list_(pa.uint32())),
        ("told", pa.list_(pa.uint32())),
    ]
)
"""Measurements of a row's text, in the order of the ingested rows. The last four are its words as numbers (words.py):
what is asked (the question, users' and system messages), the options (each ends in a 0), the answer, and what is told
(rationale, assistant's messages). Duplicates and leaks are found by these."""

_MEASURES: list[tuple[str, pa.DataType]] = [
    ("format", pa.string()),
    ("mode", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("phash", pa.uint64()),
    ("mean", pa.float32()),
    ("contrast", pa.float32()),
    ("sharpness", pa.float32()),
    ("flat_share", pa.float32()),
    ("error", pa.string()),
]

MEASURED = pa.schema(
    [
        ("ref", pa.string()),
        ("blob", pa.string()),
        ("bytes", pa.int64()),
        ("digest", pa.string()),
        *_MEASURES,
        ("patches", pa.list_(pa.uint64())),
        ("places", pa.list_(pa.uint32())),
        ("error_value", pa.string()),
        ("error_limit", pa.string()),
    ]
)
"""What the image stage writes: one row a reference. `patches` and `places` are local features, by which crops and
labelled copies are found (`infimed_data.images.keypoints`)."""

IMAGES = pa.schema(
    [
        ("digest", pa.string()),
        ("source", pa.string()),
        ("ref", pa.string()),
        ("blob", pa.string()),
        ("bytes", pa.int64()),
        *_MEASURES,
        ("rows_read", pa.int64()),
        ("rows_kept", pa.int64()),
    ]
)
"""One row a distinct image; an image that does not decode has no digest but an `error`."""

CONFIRMED = pa.schema(
    [
        ("digest_a", pa.string()),
        ("digest_b", pa.string()),
        ("hash_distance", pa.uint8()),
        ("votes", pa.int32()),
        ("score", pa.float32()),
        ("overlap", pa.float32()),
        ("transform", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
    ]
)
"""Pairs of images that were compared on their pixels: a row a pair, confirmed or refused, with the score (0 to 1) that
decided, the share of the larger picture that is common, and what was done to a to have b (rotations clockwise)."""

SAMPLES = pa.schema(
    [
        ("uid", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("row_key", pa.string()),
        ("file", pa.string()),
        ("digest", pa.string()),
        ("category", pa.string()),
        ("license", pa.string()),
        *_CONTENT,
        ("images", pa.list_(pa.string())),
        ("question_chars", pa.int32()),
        ("answer_chars", pa.int32()),
        ("rationale_chars", pa.int32()),
        ("words", pa.int32()),
        ("text_tokens", pa.int32()),
        ("image_tokens", pa.int32()),
        ("script", pa.string()),
        ("output", pa.string()),
        ("sft_split", pa.string()),
        ("sft_position", pa.int64()),
        ("rl_split", pa.string()),
        ("rl_position", pa.int64()),
    ]
)
"""Every kept row. `output` is `sft`, `rl` or `sft+rl`; a position counts from 0 within its split. Where a teacher wrote
for the row, `rationale` and its measures are those of the best trace (empty: the row keeps a bare answer), and
`sft_position` is that trace's; the places of further ones are in `candidates`. `pass_rate` is that of the model to be
trained, where it was measured, else the teacher's, else the source's."""

DROPS = pa.schema(
    [
        ("uid", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.string()),
        ("limit", pa.string()),
        ("twin", pa.string()),
        ("file", pa.string()),
        ("digest", pa.string()),
        ("category", pa.string()),
        ("lang", pa.string()),
        ("answer_kind", pa.string()),
        ("modality", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("images", pa.list_(pa.string())),
        ("image_refs", pa.list_(pa.string())),
        ("words", pa.int32()),
        ("text_tokens", pa.int32()),
        ("script", pa.string()),
    ]
)
"""Every dropped row, with the stage and rule that dropped it, the value seen, the limit, and its twin's uid. Rows
that are quarantined for what may point at a person have no question, options and answer here: they stay in the source
alone."""

LEAKS = pa.schema(
    [
        ("uid", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("benchmark", pa.string()),
        ("benchmark_uid", pa.string()),
        ("grade", pa.string()),
        ("action", pa.string()),
        ("score", pa.float64()),
        ("evidence", pa.string()),
        ("limit", pa.string()),
        ("matches", pa.int64()),
        ("image", pa.string()),
        ("benchmark_image", pa.string()),
        ("pair", pa.string()),
        ("mark", pa.string()),
    ]
)
"""One row a row that a benchmark has too, benchmark and grade: the benchmark's row that comes closest, how many of its
rows match (`matches`), the score and its evidence, and what was done about it (`drop` or `report`; a row may have been
dropped for another reason before). `pair` names what was compared, for marks; `mark` is what a reviewer said."""

BENCHMARKS = pa.schema(
    [
        ("uid", pa.string()),
        ("benchmark", pa.string()),
        ("split", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("images", pa.list_(pa.string())),
        ("group", pa.string()),
    ]
)
"""The benchmark rows that `leaks` names; without their answers."""

EVIDENCE = pa.schema([("digest", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("jpeg", pa.binary())])
"""Small copies of the pictures that leaks name, for people to look at, with the size that the picture has itself."""

ORIGINS = pa.schema([("uid", pa.string()), ("file", pa.string()), ("row_number", pa.int64())])
"""Where each row was read: file within its source's location, and position in it from 0. The only table that changes
when a source's rows come in another order."""

DIFFICULTY = pa.schema(
    [
        ("uid", pa.string()),
        ("pass_rate", pa.float64()),
        ("correct", pa.int32()),
        ("wrong", pa.int32()),
        ("unverifiable", pa.int32()),
        ("truncated", pa.int32()),
        ("failed", pa.int32()),
        ("kept", pa.bool_()),
        ("rule", pa.string()),
        ("value", pa.string()),
        ("limit", pa.string()),
    ]
)
"""How hard rows are for the model to be trained: its trials by how they ended, the share of right ones among those that
say something, and where `rl` may not draw the row (`kept` is false) the rule, value and limit."""

_PHI_FINDING: list[tuple[str, pa.DataType]] = [
    ("field", pa.string()),
    ("kind", pa.string()),
    ("confidence", pa.string()),
    ("start", pa.int32()),
    ("length", pa.int32()),
    ("box", pa.list_(pa.int32())),
    ("snippet", pa.string()),
    ("evidence", pa.string()),
]

PHI_FOUND = pa.schema([("row", pa.int32()), *_PHI_FINDING])
"""What was found in the texts of a part: `row` counts its rows."""

PHI_LOOKED = pa.schema([("ref", pa.string()), ("blob", pa.string()), ("digest", pa.string()), *_PHI_FINDING])
"""What was found in pictures, a row a finding; a picture without one has a row whose `kind` is null. `blob` is the
digest of the file's bytes, `digest` that of its pixels."""

PHI = pa.schema(
    [
        ("uid", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("image", pa.string()),
        ("ref", pa.string()),
        ("rows", pa.int64()),
        *_PHI_FINDING,
        ("action", pa.string()),
    ]
)
"""What may point at a person, a row a finding. In a text: its `uid` and `field`, and `start` and `length` in
characters. In a picture, told once however many rows have it (`rows`): the digest `image` and the `ref`, a header's
name as `field`, or `pixels` with a `box` (left, top, right, bottom). `snippet` shows the form with every letter as
`x` and every digit as `#`; `action` is `quarantine` where the finding takes its rows out, else `report`."""

SOURCES = pa.schema(
    [
        ("source", pa.string()),
        ("split", pa.string()),
        ("adapter", pa.string()),
        ("category", pa.string()),
        ("license", pa.string()),
        ("revision", pa.string()),
        ("rows_read", pa.int64()),
        ("rejected", pa.int64()),
        ("dropped", pa.int64()),
        ("kept", pa.int64()),
    ]
)
"""Rows of each source and split: `rows_read = rejected + dropped + kept`, checked in every build."""
