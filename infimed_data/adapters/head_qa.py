"""HEAD-QA: Spanish health-care exams, in English and Spanish, 4 or 5 options. MIT, not gated.

Layouts: `{en,es}/{train,validation,test}-*.parquet` (2,657 / 1,366 / 2,742 rows) with `qtext`, `ra` (the right option's
`aid`, counted from 1) and `answers`; `openlifescienceai/headqa`, whose rows are one object `data`. Some questions are
about an image, and are rejected where it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import pictures, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import LABELS, Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_SPLITS = ("train", "validation", "test")


class Options(AdapterOptions):
    """Which language to read."""

    language: Literal["en", "es"] = "en"
    """Language of the questions, which names the configuration's folder."""


def tables(context: Context) -> list[TableFile]:
    """The split's files in the language's folder, else those outside of any."""
    files = {split: (f"{split}-*.parquet", f"{split}.jsonl", f"{split}.json") for split in _SPLITS}
    try:
        return split_tables(context, files, "HEAD-QA", config=context.options.language, told=("image",))
    except SourceError:
        return split_tables(context, files, "HEAD-QA", told=("image",))


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its options."""
    nested = row.data.get("data")
    shared: dict[str, Any] = {"lang": context.options.language, "answer_kind": "choice"}
    if isinstance(nested, Mapping):
        require(nested, "HEAD-QA", "Question", "Options", "Correct Option")
        if not isinstance(nested["Options"], Mapping):
            raise Reject("wrong_type", f"Options: {type(nested['Options']).__name__}", "an object of letters and texts")
        label = text_of(nested["Correct Option"], "Correct Option")
        text = text_of(nested.get("Correct Answer"), "Correct Answer")
        options, letter, answer = choice_answer(nested["Options"], label=label, text=text or None)
        question = text_of(nested["Question"], "Question")
        key = text_of(row.data.get("id"), "id") or None
        return Sample(
            **shared, row_key=key, question=question, options=options, answer=answer, answer_label=letter,
            task=text_of(row.data.get("subject_name"), "subject_name") or None,
        )  # fmt: skip
    data = row.data
    require(data, "HEAD-QA", "qtext", "ra", "answers")
    listed = data["answers"]
    if not isinstance(listed, list) or not all(isinstance(option, Mapping) for option in listed):
        raise Reject("wrong_type", f"answers: {type(listed).__name__}", "a list of {aid, atext}")
    ids = [text_of(option.get("aid"), "aid") for option in listed]
    if ids != [str(number) for number in range(1, len(ids) + 1)]:
        raise Reject("option_prefix", ",".join(ids), "aid 1, 2, ... in order")
    right = text_of(data["ra"], "ra")
    if right not in ids:
        raise Reject("label_out_of_range", right, ",".join(ids))
    options, letter, answer = choice_answer([option.get("atext") for option in listed], label=ids.index(right))
    assert letter == LABELS[ids.index(right)]
    exam, number = text_of(data.get("name"), "name"), text_of(data.get("qid"), "qid")
    return Sample(
        **shared,
        row_key=f"{exam}/{number}" if exam and number else None,
        question=text_of(data["qtext"], "qtext"),
        options=options,
        answer=answer,
        answer_label=letter,
        images=pictures(row, context, "image"),
        task=text_of(data.get("category"), "category") or None,
        meta=content_meta(data, "name", "year"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=_SPLITS,
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
