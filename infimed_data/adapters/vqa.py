"""Questions about an image with a free answer: Kvasir-VQA (and x1), ChartQA, Quilt-VQA, MedPix ShortQA.

Option `layout` names the data set, and so its columns. Images are embedded in Parquet, or named by the row and found as
files. Splits are called train, validation and test whatever the files say: Quilt-VQA's only split is called `train` and
is a test set; Kvasir-VQA's is called `raw`. `infimed-data adapters` lists each set with its license.

    {"image": {...}, "source": "HyperKvasir", "question": "...", "answer": "polyp", "img_id": "cl8k2u1"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import any_image, pictures, plain_question, require, split_tables, synpic_group
from infimed_data.adapters.reading import content_meta, free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files hold a split, and which columns hold what."""

    files: Mapping[str, tuple[str, ...]]
    question: str = "question"
    answer: str = "answer"
    """Column of the answer: a text, or a list of one text."""
    image: str | None = "image"
    """Column of the embedded image."""
    named: str | None = None
    """Column of the image's name, with or without its ending, where it is a file."""
    group: str | None = None
    question_type: str | None = None
    meta: tuple[str, ...] = ()


LAYOUTS: dict[str, Layout] = {
    "kvasir_vqa": Layout(files={"train": ("raw-*.parquet",)}, group="img_id", meta=("source", "img_id")),
    "kvasir_vqa_x1": Layout(
        files={"train": ("train-*.parquet", "train.jsonl"), "test": ("test-*.parquet", "test.jsonl")},
        image=None, named="img_id", group="img_id", meta=("complexity", "question_class", "original"),
    ),
    "chartqa": Layout(
        files={"train": ("train-*.parquet",), "validation": ("val-*.parquet",), "test": ("test-*.parquet",)},
        question="query", answer="label", meta=("human_or_machine",),
    ),
    "chartqa_lmms": Layout(files={"test": ("test-*.parquet",)}, meta=("type",)),
    "chartqa_files": Layout(
        files={split: (f"{name}/{name}_human.json", f"*/{name}/{name}_human.json", f"{name}/{name}_augmented.json",
                       f"*/{name}/{name}_augmented.json")
               for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))},
        question="query", answer="label", image=None, named="imgname",
    ),
    "quilt_vqa": Layout(
        files={"test": ("train-*.parquet", "quiltvqa_test_w_ans.json")}, named="image", question_type="answer_type",
        meta=("context", "answer_type"),
    ),
    "medpix_shortqa": Layout(
        files={"train": ("Train-*.parquet",), "validation": ("Valid-*.parquet",), "test": ("Test-*.parquet",)},
        image=None, named="image_id", group="case_id", question_type="mode",
    ),
}  # fmt: skip
"""Name of each layout, by data set."""


class Options(AdapterOptions):
    """Which data set it is."""

    layout: Literal[
        "kvasir_vqa", "kvasir_vqa_x1", "chartqa", "chartqa_lmms", "chartqa_files", "quilt_vqa", "medpix_shortqa"
    ] = "kvasir_vqa"
    """The data set whose columns the files have."""


def tables(context: Context) -> list[TableFile]:
    """The split's files."""
    name = context.options.layout
    layout = LAYOUTS[name]
    told = (layout.image,) if layout.image else ()
    return split_tables(context, layout.files, name, told=told, every=name == "chartqa_files")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    data, layout = row.data, LAYOUTS[context.options.layout]
    require(data, context.options.layout, layout.question, layout.answer)
    given = data[layout.answer]
    if isinstance(given, list):
        if len(given) != 1:
            raise Reject("answer_ambiguous", given, "a list of one answer")
        given = given[0]
    answer = " ".join(text_of(given, layout.answer).split())
    images = pictures(row, context, layout.image) if layout.image and row.file.endswith(".parquet") else ()
    name = "" if images or not layout.named else text_of(data.get(layout.named), layout.named)
    if name:
        images = (any_image(context, name, f"{name}.jpg", f"{name}.png"),)
    if not images:
        raise Reject("image_missing", None, f"an image in {layout.image or layout.named}")
    question, slots = plain_question(data[layout.question], 1, layout.question)
    group = text_of(data.get(layout.group), layout.group) if layout.group else name.rpartition(".")[0] or name
    return Sample(
        question=question,
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=images,
        image_slots=slots,
        group=synpic_group(name) or group or None,
        question_type=text_of(data.get(layout.question_type), "type") or None if layout.question_type else None,
        meta=content_meta(data, *layout.meta),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("train", "validation", "test"),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
