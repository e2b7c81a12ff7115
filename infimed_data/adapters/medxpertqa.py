"""MedXpertQA: expert-level exam questions, with images (MM) or without (Text), a benchmark. MIT, English, not gated.

Layouts: `MM/{dev,test}.jsonl` (5 / 2,000 rows, 5 options) with `images.zip`, `Text/{dev,test}.jsonl` (5 / 2,450 rows,
10 options); the authors' evaluation input `medxpertqa_{mm,text}_input.jsonl`, whose options are {letter, content},
whose label is a list and whose images are {image_path}. The question repeats its options after "Answer Choices:"; they
are taken off, and must be the ones that the row lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow
from infimed_data.text import normalise

_MARK = "Answer Choices:"


class Options(AdapterOptions):
    """Which part to read."""

    config: Literal["MM", "Text"] = "MM"
    """`MM`: questions about images; `Text`: without."""


def tables(context: Context) -> list[TableFile]:
    """The part's JSON lines or Parquet files."""
    config = context.options.config
    place = context.place
    if context.split == "test" and (found := place.find(f"medxpertqa_{config.lower()}_input.jsonl")):
        return [TableFile(found[0])]
    files = {split: (f"{split}.jsonl", f"{split}-*.parquet") for split in ("dev", "test")}
    return split_tables(context, files, "MedXpertQA", config=config)


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its options, which the text repeats."""
    data = row.data
    require(data, "MedXpertQA", "question", "options", "label")
    raw = data["options"]
    if isinstance(raw, list) and all(isinstance(option, Mapping) for option in raw):
        raw = {text_of(option.get("letter"), "letter"): option.get("content") for option in raw}
    if not isinstance(raw, Mapping):
        raise Reject("wrong_type", f"options: {type(raw).__name__}", "an object of letters and texts")
    label = data["label"]
    if isinstance(label, list):
        if len(label) != 1:
            raise Reject("answer_ambiguous", label, "one letter")
        label = label[0]
    options, letter, answer = choice_answer(raw, label=text_of(label, "label"))
    question, met, repeated = text_of(data["question"], "question").partition(_MARK)
    listed = " ".join(f"({key}) {text}" for key, text in raw.items() if text is not None)
    if met and normalise(repeated) != normalise(listed):
        raise Reject("options_disagree", repeated, listed)
    images = data.get("images") or []
    if not isinstance(images, list):
        raise Reject("wrong_type", f"images: {type(images).__name__}", "a list of names")
    names = [text_of(i.get("image_path") if isinstance(i, Mapping) else i, "images") for i in images]
    if context.options.config == "MM" and not names:
        raise Reject("image_count", "no image", "1 to 6 images in MM")
    return Sample(
        row_key=text_of(data.get("id"), "id") or None,
        question=question.strip(),
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice",
        images=tuple(context.image(name) for name in names),
        organ=text_of(data.get("body_system"), "body_system") or None,
        question_type=text_of(data.get("question_type"), "question_type") or None,
        task=text_of(data.get("medical_task"), "medical_task") or None,
        meta=content_meta(data, "body_system"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("dev", "test"),
    eval_splits=("dev", "test"),
    code=("adapters/fields.py",),
)
