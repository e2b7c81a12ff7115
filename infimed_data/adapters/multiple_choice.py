"""Questions with options in one table: MMLU, MMLU-Pro, Medbullets, SuperGPQA, ScienceQA, AI2D, GMAI-MMBench and others.

Option `layout` names the data set, and so the columns and what its answers mean: a letter, a 0-based index, an index
written as text, the right option's text. Where a row gives several, they must agree. Split `hidden` (GMAI-MMBench's
TEST files; its VAL is `test`, which papers report) has no answers, and the kind `none`. `infimed-data adapters` lists
each set with its license.

    {"question": "...", "subject": "anatomy", "choices": ["Liver", "Spleen", "Lung", "Heart"], "answer": 2}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import options_in_text, parsed, pictures, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, split_image_tags, text_of
from infimed_data.schema import LABELS, ImageSlot, Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

MMLU_MEDICAL = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files hold a split, and which columns hold what."""

    files: Mapping[str, tuple[str, ...]]
    options: str | tuple[str, ...] | None
    """Column of all options (a list, an object by letter, or either as text), one column an option, or None: they
    stand in the question, one a line."""
    label: str | None = None
    """Column of the right option's letter or 0-based index."""
    index: str | None = None
    """Column of its index, beside the letter or alone; a number or a number as text."""
    text: str | None = None
    """Column of its text."""
    question: str = "question"
    context: str | None = None
    """Column of a text that stands before the question."""
    image: str | None = None
    key: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    """Folders to read unless option `configs` names others."""
    any_case: bool = False
    """Whether the columns' letters are small or capital as it comes."""
    only: tuple[str, str] | None = None
    """Column and the value that rows of this source have there; others are no part of it."""
    task: str | None = None
    question_type: str | None = None
    modality: str | None = None
    rationale: str | None = None
    meta: tuple[str, ...] = ()
    lists: bool = False
    """The file is an object of lists; the list's name is the task."""


_PARQUET = {split: (f"{split}-*.parquet", f"{split}.jsonl") for split in ("train", "validation", "test")}
_ONE_TEST = {"test": ("test-*.parquet", "train-*.parquet", "*.jsonl")}

LAYOUTS: dict[str, Layout] = {
    "mmlu": Layout(
        files={**_PARQUET, "dev": ("dev-*.parquet", "dev.jsonl")},
        options="choices", label="answer", task="subject", configs=MMLU_MEDICAL,
    ),
    "mmlu_pro": Layout(
        files=_PARQUET, options="options", label="answer", index="answer_index", key=("question_id",),
        only=("category", "health"), task="category", rationale="cot_content", meta=("src",),
    ),
    "medbullets_op5": Layout(
        files=_ONE_TEST, options=("opa", "opb", "opc", "opd", "ope"), label="answer_idx", text="answer",
        rationale="explanation", meta=("link",),
    ),
    "medbullets_op4": Layout(files=_ONE_TEST, options="options", label="answer_idx", text="answer"),
    "super_gpqa": Layout(
        files=_ONE_TEST, options="options", label="answer_letter", text="answer", key=("uuid",),
        only=("discipline", "Medicine"), task="field", meta=("subfield", "difficulty"),
    ),
    "huatuo_eval": Layout(
        files={"test": ("eval_data.json",)}, options="options", label="answer_idx", text="answer", lists=True
    ),
    "alphamed": Layout(files={"train": ("train19k.parquet", "train*.parquet")}, options=None, label="answer"),
    "scienceqa": Layout(
        files=_PARQUET, options="choices", index="answer", context="hint", image="image", task="subject",
        rationale="solution", meta=("topic", "category", "skill", "grade", "lecture"), configs=(),
    ),
    "ai2d": Layout(files={"test": ("test-*.parquet",)}, options="options", index="answer", image="image"),
    "gmai_mmbench": Layout(
        files={"test": ("GMAI-MMBench_VAL.tsv",), "hidden": ("GMAI_mm_bench_TEST_part_*.tsv",)},
        options=("a", "b", "c", "d", "e"), label="answer", image="image", key=("index",), any_case=True,
        task="clinical vqa task", question_type="category", modality="modality",
        meta=("department", "perceptual granularity"),
    ),
    "medvlthinker": Layout(
        files={"test": ("test-*.parquet",), "train": ("train-*.parquet",)}, options="options", label="answer_label",
        text="answer", image="images", key=("dataset_name", "dataset_index"), task="dataset_name",
        rationale="reasoning",
    ),
}  # fmt: skip
"""Name of each layout, by data set."""


class Options(AdapterOptions):
    """Which data set it is, and what of it to read."""

    layout: Literal[
        "mmlu", "mmlu_pro", "medbullets_op5", "medbullets_op4", "super_gpqa", "huatuo_eval", "alphamed", "scienceqa",
        "ai2d", "gmai_mmbench", "medvlthinker",
    ] = "mmlu"  # fmt: skip
    """The data set whose columns the files have."""
    configs: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Folders of the data set's configurations, each of which must be there; `[]` reads files outside of any."""


def tables(context: Context) -> list[TableFile]:
    """The split's files, of each configuration where the layout has several."""
    options: Options = context.options
    layout = LAYOUTS[options.layout]
    configs = layout.configs if options.configs is None else options.configs
    told = (layout.image,) if layout.image else ()
    return [
        table
        for config in (configs if configs and not context.place.only else (None,))
        for table in split_tables(context, layout.files, options.layout, config=config, told=told, lists=layout.lists)
    ]


def _choices(data: Mapping[str, Any], layout: Layout, question: str) -> tuple[str, Any]:
    """(question, options by letter or in order)."""
    if layout.options is None:
        if data.get("options"):
            return question, parsed(data["options"], "options")
        return options_in_text(question)
    if isinstance(layout.options, tuple):
        columns = zip(LABELS, layout.options, strict=False)
        return question, {letter: text for letter, c in columns if (text := text_of(data.get(c), c))}
    return question, parsed(data[layout.options], layout.options)


def _index(value: object, name: str) -> int | None:
    """A 0-based index that may be written as text."""
    text = text_of(value, name).removesuffix(".0")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 2:
        raise Reject("label_out_of_range", value, "an index counted from 0")
    return int(text)


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its options."""
    layout = LAYOUTS[context.options.layout]
    data = {name.lower(): value for name, value in row.data.items()} if layout.any_case else row.data
    columns = [layout.options] if isinstance(layout.options, str) else list((layout.options or ())[:2])
    require(data, context.options.layout, layout.question, *columns)
    if layout.only and text_of(data.get(layout.only[0]), layout.only[0]) != layout.only[1]:
        return None
    images = pictures(row, context, layout.image) if layout.image else ()
    question, offsets = split_image_tags(text_of(data[layout.question], layout.question))
    if len(offsets) > len(images):
        raise Reject("image_count", f"{len(offsets)} tags", f"{len(images)} images")
    question, raw = _choices(data, layout, question)
    if not isinstance(raw, Mapping | list | tuple):
        raise Reject("wrong_type", f"options: {type(raw).__name__}", "options by letter or in order")
    given = data.get(layout.label) if layout.label else None
    numbered = isinstance(given, int) and not isinstance(given, bool)
    label: str | int | None = given if numbered else text_of(given, "label") or None
    index = _index(data.get(layout.index), layout.index) if layout.index else None
    text = text_of(data.get(layout.text), layout.text) if layout.text else None
    shared: dict[str, Any] = {}
    if context.split == "hidden" and label is None:
        options = choice_answer(raw, label=0)[0]
        shared["answer_kind"] = "none"
    else:
        options, letter, answer = choice_answer(raw, label=index if label is None else label, text=text)
        if index is not None and LABELS.find(letter) != index:
            raise Reject("label_text_disagree", f"{letter} but index {index}", "one option")
        shared |= {"answer_kind": "choice", "answer": answer, "answer_label": letter}
    before = text_of(data.get(layout.context), layout.context) if layout.context else ""
    key = "/".join(text_of(data.get(name), name) for name in layout.key)
    slots = [0] * (len(images) - len(offsets)) + [min(offset, len(question)) for offset in offsets]
    return Sample(
        **shared,
        row_key=key.strip("/") or None,
        question=f"{before}\n\n{question}" if before else question,
        options=options,
        images=images,
        image_slots=tuple(ImageSlot(0, o + (len(before) + 2 if before else 0)) for o in slots) if offsets else (),
        task=text_of(data.get(layout.task), layout.task) or None if layout.task else row.key,
        question_type=_named(data, layout.question_type),
        modality=_named(data, layout.modality),
        rationale=_named(data, layout.rationale) or "",
        meta={**({"bare_question": question} if before else {}), **content_meta(data, *layout.meta)},
    )


def _named(data: Mapping[str, Any], column: str | None) -> str | None:
    return text_of(data.get(column), column) or None if column else None


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("train", "dev", "validation", "test", "hidden"),
    eval_splits=("test", "hidden"),
    code=("adapters/fields.py",),
)
