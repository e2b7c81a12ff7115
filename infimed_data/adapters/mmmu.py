"""MMMU, Health & Medicine: college exam questions with up to seven images, a benchmark. Apache-2.0, English, not gated.

Layout: one folder a subject, `<subject>/{dev,validation,test}-*.parquet` (25 / 150 / 1,752 rows over the five
subjects). `options` and `img_type` are Python lists written as text; `<image 2>` in the question or in an option means
column `image_2`. Answers of the test split are hidden ("?"): such a row has the kind `none`, and is matched against all
the same; `answer.json` beside the rows (id to letter, or to `ground_truth`) gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import parsed, pictures, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, free_answer_kind, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import ImageSlot, Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
_IMAGES = tuple(f"image_{number}" for number in range(1, 8))
_MENTION = re.compile(r"\s*<image\s?(\d)>\s*")
_SPLITS = ("dev", "validation", "test")


class Options(AdapterOptions):
    """Which subjects to read."""

    subjects: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = _SUBJECTS
    """Folders of subjects, each of which must be there."""


def tables(context: Context) -> list[TableFile]:
    """The Parquet files of each subject."""
    files = {split: (f"{split}-*.parquet",) for split in _SPLITS}
    return [
        table
        for subject in context.options.subjects
        for table in split_tables(context, files, "MMMU", config=subject, told=_IMAGES)
    ]


def beside(context: Context) -> list[str]:
    """The files that give answers."""
    return context.place.find("answer.json", "answer_dict_*.json")


def evidence(files: Sequence[TableFile], context: Context) -> Mapping[str, Any]:
    """`answers`: gold answers by id, where a file beside the rows gives them."""
    found = beside(context)
    try:
        read = [orjson.loads(context.place.read(name, max_bytes=1 << 26)) for name in found]
    except (Reject, orjson.JSONDecodeError) as error:
        raise SourceError(
            f"{context.place.root}: {', '.join(found)} cannot be read ({error}); fetch it again"
        ) from error
    answers: dict[str, Any] = {}
    for document in read:
        for key, value in document.items() if isinstance(document, Mapping) else ():
            answers[key] = value.get("ground_truth") if isinstance(value, Mapping) else value
    return {"answers": answers}


def _placed(text: str, present: Mapping[int, str]) -> tuple[str, list[int], list[ImageSlot]]:
    """(text with each image's first tag taken out, images in their order, slots); a later tag becomes `image 2`."""
    pieces: list[str] = []
    order: list[int] = []
    slots: list[ImageSlot] = []
    length = at = 0
    for tag in _MENTION.finditer(text):
        number = int(tag[1])
        if number not in present:
            raise Reject("image_count", f"<image {number}>", f"images {', '.join(map(str, present)) or 'none'}")
        before = text[at : tag.start()]
        first = number not in order
        gap = "" if not (pieces or before) else "\n" if "\n" in tag[0] else " "
        piece = before + gap if first else f"{before}{gap}image {number} "
        pieces.append(piece)
        length += len(piece)
        if first:
            order.append(number)
            slots.append(ImageSlot(0, length))
        at = tag.end()
    question = ("".join(pieces) + text[at:]).rstrip()
    return question, order, [ImageSlot(0, min(slot.offset, len(question))) for slot in slots]


def _options(raw: object) -> tuple[list[str], list[int]]:
    """(options, numbers of the images they show), each image named in words."""
    if not isinstance(raw, list | tuple):
        raise Reject("wrong_type", f"options: {type(raw).__name__}", "a list of texts")
    texts = [text_of(option, "options") for option in raw]
    shown = [int(tag[1]) for text in texts for tag in _MENTION.finditer(text)]
    return [_MENTION.sub(lambda tag: f" image {tag[1]} ", text).strip() for text in texts], shown


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its images where the text mentions them."""
    data = row.data
    require(data, "MMMU", "id", "question", "options", "answer", "question_type")
    key = text_of(data["id"], "id")
    present = {n: refs[0] for n, name in enumerate(_IMAGES, 1) if (refs := pictures(row, context, name))}
    question, order, slots = _placed(text_of(data["question"], "question"), present)
    options, shown = _options(parsed(data["options"] or "[]", "options"))
    if unknown := [number for number in shown if number not in present]:
        raise Reject("image_count", f"<image {unknown[0]}> in an option", f"images {', '.join(map(str, present))}")
    unplaced = [number for number in present if number not in order]
    last = [number for number in unplaced if number in shown]
    front = [number for number in unplaced if number not in shown]
    given = context.evidence.get("answers", {}).get(key, data["answer"])
    alternatives = parsed(given, "answer") if isinstance(given, str) and given.startswith("[") else given
    texts = [text_of(a, "answer") for a in (alternatives if isinstance(alternatives, list) else [alternatives])]
    answer = texts[0] if texts else ""
    hidden = answer in ("?", "")
    picked: tuple[tuple[str, ...], str | None, str] = (tuple(options), None, "" if hidden else answer)
    if options and not hidden:
        picked = choice_answer(options, label=answer)
    elif text_of(data["question_type"], "question_type") == "multiple-choice" and not options:
        raise Reject("too_few_options", 0, 2)
    return Sample(
        row_key=key or None,
        question=question,
        options=picked[0],
        answer=picked[2],
        answer_label=picked[1],
        answer_kind="none" if hidden else "choice" if options else free_answer_kind(answer),
        images=tuple(present[number] for number in front + order + last),
        image_slots=(*(ImageSlot(0, 0) for _ in front), *slots, *(ImageSlot(0, len(question)) for _ in last)),
        rationale=text_of(data.get("explanation"), "explanation"),
        question_type=text_of(data["question_type"], "question_type") or None,
        task=row.file.rpartition("/")[0].rpartition("/")[2] or None,
        meta={
            **content_meta(data, "subfield", "topic_difficulty"),
            **({"img_type": parsed(data["img_type"], "img_type")} if data.get("img_type") else {}),
            **({"alternatives": texts} if len(texts) > 1 else {}),
        },
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    evidence=evidence,
    beside=beside,
    splits=_SPLITS,
    eval_splits=_SPLITS,
    code=("adapters/fields.py",),
)
