"""What a manifest says: its records, typed and frozen. The meaning of each field stands under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from infimed_data.engine.settings import EngineSettings
from infimed_data.errors import did_you_mean
from infimed_data.manifest.generate import Difficulty, Generate
from infimed_data.manifest.paths import paths_in
from infimed_data.manifest.phi import Phi
from infimed_data.manifest.records import NAME, Record
from infimed_data.memory import LEAST_BYTES, Bytes
from infimed_data.schema import AnswerKind, Category
from infimed_data.storage.limits import ReadLimits
from infimed_data.teachers.settings import Budget, Teacher

__all__ = [
    "BUDGET_FIELDS",
    "CREDENTIALED_ADAPTERS",
    "Action",
    "Benchmark",
    "ByKind",
    "Decontaminate",
    "Dedup",
    "Filters",
    "Limits",
    "Manifest",
    "Mixture",
    "Order",
    "Output",
    "Outputs",
    "Reads",
    "Source",
    "Weight",
]

BUDGET_FIELDS = (
    "source",
    "category",
    "split",
    "lang",
    "license",
    "answer_kind",
    "modality",
    "organ",
    "question_type",
    "task",
)
"""Fields that a stratum can be made of, besides `meta.NAME`."""

_HOW_ASKED = (
    "base_url", "api_key_env", "max_in_flight", "timeout_s", "retries", "patience_s", "multiple_choices",
    "retry_refused",
)  # fmt: skip
"""Fields of a teacher that say how it is asked. What it answers is part of a build's digest by itself."""


class Reads(Record):
    """One public data set at one revision."""

    adapter: str
    """Name of an adapter; `infimed-data adapters` lists them."""
    location: str
    """Folder, data file, or zip/tar archive, relative to the manifest's root; or `hf://datasets/OWNER/NAME@REVISION/PATH`
    or another URL that fsspec opens, of which the files that the adapter names are fetched."""
    split: str | tuple[str, ...] = "train"
    """Split or splits to read, by the adapter's names."""
    revision: str | None = None
    """Revision of the data set; recorded, and part of the lock. On the Hub it may stand here or in the location, as a
    commit, tag or branch; the lock has the commit."""
    group_key: str | None = None
    """Field of the source's own rows whose value becomes `group`, in place of the adapter's choice."""
    key_space: str | None = Field(default=None, pattern=NAME)
    """What the groups are keys of, such as `mimic-patients`: sources and benchmarks with one key space share them, and
    decontamination takes equal ones for the same group. Without it only keys that mean the same everywhere count
    (MedPix `synpic` numbers, PubMed and PMC ids, SLAKE's `xmlab`), wherever a group, key or image name has one."""
    expect_rows: int | None = Field(default=None, gt=0)
    """Published number of rows over all splits; a difference of more than 1% warns."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the adapter; each adapter lists its own."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, as a tuple."""
        return (self.split,) if isinstance(self.split, str) else self.split


CREDENTIALED_ADAPTERS = ("mimic_cxr_vqa", "vindr_cxr_vqa")
"""Adapters of data to which access is granted person by person, whatever license a manifest writes down."""


class Source(Reads):
    """A data set to draw samples from."""

    category: Category
    license: str | None = None
    """SPDX identifier or the license's name."""
    allow_empty: bool = False
    """Go on when every row of this source is rejected."""
    send_to_api: bool | None = None
    """Whether its rows may be sent to a teacher outside this machine and the private network. Null: yes, but no where
    the license or the adapter says that access is credentialed, as PhysioNet's is."""
    redistribute: bool | None = None
    """Whether `push` may publish its rows. Null: as its license and the catalogue say, and no where no license is
    known."""

    @property
    def may_be_sent(self) -> bool:
        """Whether a teacher outside the private network may see its rows."""
        if self.send_to_api is None:
            return "credential" not in (self.license or "").casefold() and self.adapter not in CREDENTIALED_ADAPTERS
        return self.send_to_api


class Benchmark(Reads):
    """A data set to test on: its rows are matched against, and never part of an output."""

    split: str | tuple[str, ...] = "test"
    """Split or splits to read, by the adapter's names."""


class Filters(Record):
    """Limits of the filters; null turns one off."""

    min_image_side_px: int | None = Field(default=28, ge=1)
    """Shortest side; Qwen2.5-VL's patch is 28 pixels."""
    max_image_aspect: float | None = Field(default=200.0, gt=1)
    """Longer side over shorter side; over 200 the model's processor raises."""
    max_flat_share: float | None = Field(default=0.995, gt=0, le=1)
    """Share of the pixels with one luminance, from which on an image counts as blank."""
    min_contrast: float | None = Field(default=1.0, ge=0)
    """Standard deviation of the luminance (0 to 255), below which an image counts as blank."""
    min_question_chars: int | None = Field(default=1, ge=1)
    max_question_chars: int | None = Field(default=20_000, ge=1)
    """For a conversation: its user and system text together."""
    min_answer_chars: int | None = Field(default=1, ge=1)
    max_answer_chars: int | None = Field(default=20_000, ge=1)
    max_rationale_chars: int | None = Field(default=60_000, ge=1)
    duplicate_options: bool = True
    """Drop rows two of whose options are the same text."""
    special_tokens: bool = True
    """Drop rows whose text holds a literal `<image>`, `<|im_start|>` or the like."""
    missing_figure: bool = True
    """Drop rows without an image whose question points at a figure."""
    languages: tuple[str, ...] | None = None
    """Languages to keep, such as [en, zh]; null keeps all."""
    script_mismatch: bool = True
    """Drop rows whose script is not that of their language, such as Chinese text marked `en`."""


class Dedup(Record):
    """Duplicate removal."""

    exact: bool = True
    """Drop all but one of the rows with the same question, options, answer and pixels."""
    near: bool = True
    """Drop near-duplicates too: rows about the same pictures with the same answer (where a rule can verify it) whose
    texts are nearly the same. Question text alone never removes a row that has an image."""
    text: float = Field(default=0.8, ge=0.5, le=1)
    """Jaccard similarity of the sets of word 5-grams, from which on texts of 32 words or more are nearly the same."""
    short_text: float = Field(default=0.9, ge=0.5, le=1)
    """The same of word pairs, for texts of up to 40 words, in which one word may turn the question round."""
    image_score: float = Field(default=0.8, ge=0, le=1)
    """Smallest score of two pictures that count as one, also for `max_per_image` and for splits; a picture and its
    mirror image are two."""
    prefer: tuple[str, ...] = ()
    """Sources whose copy is kept first; the rest follow in the manifest's order. Ties: the smallest uid."""


Action = Literal["drop", "report", "off"]
"""What happens to a row that matches a benchmark: it is dropped; it stays and is reported; it is not looked for."""


class ByKind(Record):
    """An action for rows without images and one for rows with images."""

    text: Action
    image: Action


class Decontaminate(Record):
    """What happens to rows that match a row of `benchmarks`, by the kind of evidence, the strongest first."""

    same_item: Action = "drop"
    """The same picture and the same question."""
    same_image: Action = "drop"
    """The same picture: equal pixels, or confirmed on pixels when re-encoded, resized, inverted, flipped or cropped."""
    same_group: Action = "drop"
    """The same patient, study, figure or page."""
    same_question: Action = "drop"
    """The same question, and the same options where both have some, specific enough to be no template."""
    near_question: Action | ByKind = Field(default_factory=lambda: ByKind(text="drop", image="report"))
    """Much of the question, weighed by how rare its words are; one action, or `{text: drop, image: report}`."""
    same_template: Action = "report"
    """The same question, but one that many rows may ask."""
    image_score: float = Field(default=0.8, ge=0, le=1)
    """Smallest score of two pictures that count as the same."""
    question_share: float = Field(default=0.3, gt=0, le=1)
    """Share of a vignette's weight that makes it near; shorter questions need more, up to nearly all of it."""
    specific: float = Field(default=3.0, ge=0)
    """Weight of a question that is no template: about the number of words and neighbours that few other texts have."""
    keep_pictures: int = Field(default=2000, ge=0)
    """Pictures of leaks that the build keeps a small copy of, for the page of `infimed-data leaks`; 0: none."""
    review: str | None = None
    """File of marks (`review.jsonl`) that the page of `infimed-data leaks` saves, beside the manifest that names it: a
    match marked wrong drops nothing, one marked right drops whatever its action is."""

    def action(self, grade: str, *, image: bool) -> Action:
        """The action for a grade, for rows with or without images."""
        found: Action | ByKind = getattr(self, grade)
        if isinstance(found, ByKind):
            return found.image if image else found.text
        return found

    def is_off(self, grade: str) -> bool:
        """Whether a grade is not looked for in any row."""
        return self.action(grade, image=True) == self.action(grade, image=False) == "off"


class Weight(Record):
    """A budget that shares what the counts and shares leave of `total`."""

    weight: float = Field(gt=0)


Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Order(Record):
    """Curriculum: rows in the order of a field; ties are shuffled, rows without a value come last."""

    by: str
    """`words`, `text_tokens`, `question_chars`, `answer_chars`, `rationale_chars`, `pass_rate` (`meta.pass_rate` too),
    or `meta.NAME`."""
    descending: bool = False


class Mixture(Record):
    """Which rows an output draws. Without `total` and `budgets` it takes every eligible row."""

    total: int | None = Field(default=None, gt=0)
    """Rows of the output, over all strata."""
    strata: tuple[str, ...] = ("source",)
    """Fields whose values, joined by `/`, name a stratum."""
    budgets: Mapping[str, Count | Share | Weight] = Field(default_factory=dict)
    """By stratum: a whole number is a count; a number with a point is a share of `total` (without a total, of the
    stratum's own rows); `{weight: w}` shares what is left of `total`. Strata that are not named share the rest of
    `total` by their sizes, or give all they have where there is no total."""
    temperature: float = Field(default=1.0, ge=1)
    """Strata without a budget draw in proportion to size ** (1 / temperature): 1 keeps proportions, large evens out."""
    max_per_image: int | None = Field(default=None, ge=1)
    max_per_group: int | None = Field(default=None, ge=1)
    order: Order | None = None
    """None: shuffled by the seed."""
    phases: tuple[tuple[str, ...], ...] = ()
    """Strata that follow one another, each phase a list of strata: which rows are drawn stays the same, and `order`
    holds within a phase. Strata of no phase come last. Empty: all strata mixed."""

    @field_validator("strata")
    @classmethod
    def _known_strata(cls, strata: tuple[str, ...]) -> tuple[str, ...]:
        for name in strata:
            if name not in BUDGET_FIELDS and not name.startswith("meta."):
                raise ValueError(
                    f"{name!r}; allowed: {', '.join(BUDGET_FIELDS)}, meta.NAME{did_you_mean(name, BUDGET_FIELDS)}"
                )
        if not strata:
            raise ValueError("empty; name at least one field")
        return strata


class Output(Record):
    """One dataset of the build."""

    sources: tuple[str, ...] | None = None
    """Sources to draw from; null: all."""
    categories: tuple[Category, ...] | None = None
    answer_kinds: tuple[AnswerKind, ...] | None = None
    """Kinds to draw from; null: all (`sft`) or all that a rule can verify (`rl`)."""
    mixture: Mixture = Field(default_factory=lambda: Mixture())
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the rows that go to the validation split, whole groups (image, patient, figure) at a time. Rows that one
    output puts aside are never training rows of another that has a validation split too, even beyond its share."""
    system: str | None = None
    """System message of every prompt."""
    instruction: str | None = None
    """Text put after the question, such as how to write the answer."""
    reasoning: bool = True
    """Whether a completion shows the source's rationale in `<think>` before its `<answer>`; only for `sft`."""
    answer_tags: bool = True
    """Whether the answer of a verifiable row stands in `<answer>` tags in a completion; only for `sft`."""
    options: Literal["as_read", "shuffle"] = "as_read"
    """`shuffle` draws an order of the options for each sample by the seed, with label, answer and reasoning in step:
    in many sets the first option is right too often. Options like "all of the above" stay where their words need them,
    and rows whose reasoning names options in a way that cannot be rewritten stay as they are; the card counts both."""
    max_pixels: int | None = Field(default=None, ge=28 * 28)
    """Images with more pixels are scaled down; null passes every image through unchanged."""
    window_deep_images: bool = True
    """Scale 16-bit and float images to 8 bits by their own range; passed through, trainers would clip them to white."""


class Outputs(Record):
    """The outputs of a build; at least one."""

    sft: Output | None = None
    rl: Output | None = None

    def items(self) -> list[tuple[Literal["sft", "rl"], Output]]:
        """(name, output) of those that are asked for."""
        found: list[tuple[Literal["sft", "rl"], Output]] = []
        if self.sft is not None:
            found.append(("sft", self.sft))
        if self.rl is not None:
            found.append(("rl", self.rl))
        return found


class Limits(Record):
    """What a hostile or damaged file may cost at most."""

    max_image_bytes: int = Field(default=256 << 20, ge=1)
    """Encoded size."""
    max_image_pixels: int = Field(default=100_000_000, ge=1)
    """Width times height, read from the header before anything is decoded."""
    max_row_bytes: int = Field(default=64 << 20, ge=1)
    """A row as its file has it, in bytes; a larger one is a drop of the stage `ingest`."""
    max_archive_members: int = Field(default=2_000_000, ge=1)
    """Entries of a zip or tar archive."""
    max_archive_ratio: float = Field(default=200.0, gt=0)
    """Size of an archive's members over its own, for one that unpacks to more than 64 MiB."""

    @property
    def of_reading(self) -> ReadLimits:
        """Those that readers of files need."""
        return ReadLimits(self.max_row_bytes, self.max_archive_members, self.max_archive_ratio)


class Manifest(Record):
    """A whole manifest, after `extends` has been applied."""

    name: str = Field(pattern=NAME)
    """Name of the dataset; the folder of its builds."""
    seed: int = 0
    """Seeds every draw and shuffle."""
    root: str = "."
    """Folder that locations are relative to, itself relative to the manifest's folder."""
    engine: EngineSettings = Field(default_factory=lambda: EngineSettings())
    """Where stages run: `local`, worker processes of this machine, or `ray`, with or without settings
    (infimed_data/engine/settings.py). No engine changes a byte of the build."""
    memory_limit: Annotated[Bytes, Field(ge=LEAST_BYTES)] | None = None
    """Memory that a build may take, all its processes together: `4 GB`, or bytes. Work is cut finer and fewer processes
    start where it must be; no byte of a build changes. What is kept of every row (see README) is not cut."""
    sources: Mapping[str, Source] = Field(min_length=1)
    benchmarks: Mapping[str, Benchmark] = Field(default_factory=dict)
    """Data sets that no output may have rows of; `decontaminate` says what counts as such."""
    phi: Phi = Field(default_factory=lambda: Phi(action="off"))
    """Protected health information: `off`, `report`, `quarantine`, or a mapping with `action` and more."""
    filters: Filters = Field(default_factory=lambda: Filters())
    dedup: Dedup = Field(default_factory=lambda: Dedup())
    decontaminate: Decontaminate = Field(default_factory=lambda: Decontaminate())
    teachers: Mapping[str, Teacher] = Field(default_factory=dict)
    """Models that may be asked, by the names that passes call them."""
    budget: Budget = Field(default_factory=lambda: Budget())
    """What one run may spend on all teachers together. It stops there, and the same command goes on from what was
    answered."""
    difficulty: Difficulty | None = None
    """Measured before anything is generated, over the rows that `rl` may draw; those that are too hard or too easy for
    the model are not drawn by `rl`."""
    generate: Mapping[str, Generate] = Field(default_factory=dict)
    """Passes over the rows that `sft` may draw, in their order: a row goes to the first that takes it, and a row that
    none takes stays as its source has it."""
    outputs: Outputs
    limits: Limits = Field(default_factory=lambda: Limits())

    @field_validator("sources", "benchmarks", "teachers", "generate")
    @classmethod
    def _names(cls, sources: Mapping[str, Any]) -> Mapping[str, Any]:
        import re

        for name in sources:
            if not re.match(NAME, name):
                raise ValueError(f"{name!r}; allowed: letters, digits and _ . + - (a source's begins its uids)")
        return sources

    @field_validator("engine", mode="before")
    @classmethod
    def _named_engine(cls, given: Any) -> Any:
        return EngineSettings.named(given)

    @field_validator("phi", mode="before")
    @classmethod
    def _phi_by_its_action(cls, phi: Any) -> Any:
        return {"action": phi} if isinstance(phi, str) else phi

    @field_validator("outputs")
    @classmethod
    def _some_output(cls, outputs: Outputs) -> Outputs:
        if not outputs.items():
            raise ValueError("none; ask for `sft`, `rl` or both")
        return outputs

    def resolved(self) -> dict[str, Any]:
        """The manifest as plain data without root, engine and memory limit: what the lock records."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain.pop("root")
        plain.pop("engine")
        plain.pop("memory_limit")
        return plain

    def determining(self) -> dict[str, Any]:
        """What of it can change a byte of the outputs: not what a run may spend, how fast teachers are asked, nor where
        on a machine the files are whose content counts."""
        plain = self.resolved()
        plain.pop("budget")
        if not self.phi.looks:
            plain.pop("phi")
        for teacher in plain["teachers"].values():
            for name in _HOW_ASKED:
                teacher.pop(name)
        for holder, key, _ in paths_in(plain):
            holder.pop(key)
        return plain

    @property
    def asks_teachers(self) -> bool:
        """Whether a teacher is asked anything."""
        return bool(self.generate) or self.difficulty is not None
