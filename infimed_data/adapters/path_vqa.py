"""PathVQA: pathology figures of textbooks with questions made from their captions. MIT, English, not gated.

Layouts: the Hub's `{train,validation,test}-*.parquet` with embedded images (19,654 / 6,259 / 6,719 rows); the authors'
`{train,val,test}_qa.json` with `images/{train,val,test}/NAME.jpg`, names without an ending (their `.pkl` files are
never opened: convert them); split `textbook`: one book's `QA_pairs_*.json`. No answer type: yes and no are CLOSED.
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import any_image, require, split_tables
from infimed_data.adapters.reading import free_answer_kind, text_of
from infimed_data.schema import Sample
from infimed_data.storage.tables import TableFile, TableRow

_FILES = {
    "train": ("train-*.parquet", "train_qa.json", "train_qa.jsonl"),
    "validation": ("validation-*.parquet", "val_qa.json", "val_qa.jsonl"),
    "test": ("test-*.parquet", "test_qa.json", "test_qa.jsonl"),
    "textbook": ("QA_pairs_*.json",),
}


def tables(context: Context) -> list[TableFile]:
    """The split's Parquet or JSON files."""
    return split_tables(context, _FILES, "PathVQA", image_columns=("image",))


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    data = row.data
    names = ("Questions", "Answers", "Image_ID") if context.split == "textbook" else ("question", "answer", "image")
    embedded = row.file.endswith(".parquet")
    require(data, "PathVQA", *names[: 3 - embedded])
    answer = " ".join(text_of(data[names[1]], names[1]).split())
    name = "" if embedded else text_of(data[names[2]], names[2])
    return Sample(
        question=text_of(data[names[0]], names[0]),
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=(row.cell("image") if embedded else any_image(context, name, f"{name}.jpg", f"{name}.png"),),
        group=f"{row.file.rpartition('/')[2].partition('.')[0]}/{name}" if name else None,
        meta={"answer_type": "CLOSED" if answer.lower() in ("yes", "no") else "OPEN", "answer_type_rebuilt": True},
    )


ADAPTER = Adapter(
    tables=tables, sample=sample, splits=tuple(_FILES), eval_splits=("test",), code=("adapters/fields.py",)
)
