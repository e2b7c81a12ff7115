"""MedQA (USMLE): licensing-exam questions with 4 or 5 options, text only. CC-BY-4.0 (Hub) or MIT (authors), English.

Layouts: the authors' `phrases_no_exclude_{train,dev,test}.jsonl` (4 options; 10,178 / 1,272 / 1,273 rows) and
`{train,dev,test}.jsonl` (5 options; the same questions); `GBaker/MedQA-USMLE-4-options` (no dev); Parquet copies
`{train,validation,test}-*.parquet`, where `options` is a struct with nulls or a list of {key, value}. Rows have no id
of their own.

    {"question": "...", "answer": "Observation", "options": {"A": "Surgery", "B": "Observation", "C": "...",
     "D": "..."}, "meta_info": "step1", "answer_idx": "B", "metamap_phrases": ["..."]}

Source: https://github.com/jind11/MedQA, `GBaker/MedQA-USMLE-4-options`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.reading import choice_answer, content_meta, find_tables, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_NAMES = {"train": ("train",), "validation": ("dev", "validation"), "test": ("test",)}


def tables(context: Context) -> list[TableFile]:
    """The split's JSON lines or Parquet files."""
    patterns = []
    for name in _NAMES[context.split]:
        patterns += [f"phrases_no_exclude_{name}.jsonl", f"{name}.jsonl", f"{name}-*.parquet", f"{name}.parquet"]
    return find_tables(context, *patterns, expected=f"MedQA's {', '.join(patterns)}")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its options; letter and text of the answer must agree."""
    data = row.data
    raw = data.get("options")
    if isinstance(raw, list) and all(isinstance(option, Mapping) for option in raw):
        raw = {text_of(option.get("key"), "key"): option.get("value") for option in raw}
    if not isinstance(raw, Mapping):
        raise Reject("wrong_type", f"options: {type(raw).__name__}", "an object of letters and texts")
    label = text_of(data.get("answer_idx"), "answer_idx")
    options, letter, answer = choice_answer(raw, label=label or None, text=text_of(data.get("answer"), "answer"))
    return Sample(
        question=text_of(data.get("question"), "question"),
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice",
        task=text_of(data.get("meta_info"), "meta_info") or None,
        meta=content_meta(data, "meta_info"),
    )


ADAPTER = Adapter(tables=tables, sample=sample, splits=("train", "validation", "test"), eval_splits=("test",))
