"""MedReason: medical questions with reasoning along a knowledge graph. Apache-2.0, English, not gated.

Layout: `ours_quality_33000.jsonl` (32,682 rows): `dataset_name`, `id_in_dataset`, `question`, `answer`, `reasoning`,
`options` (text: "Answer Choices:", then one a line; may be empty). `answer` may be "text. Explanation: ..." or "(B)
text". It was made from evaluation sets too: rows of MedXpertQA, LastHumanity (HLE) and MMLU are rejected as
`evaluation_set` unless option `evaluation_sets: keep` takes them.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import options_in_text, require, split_tables
from infimed_data.adapters.reading import choice_answer, free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow
from infimed_data.text import normalise

_EVALUATION = re.compile(r"medxpert|lasthumanity|humanity.?s.?last|\bhle\b|mmlu|gpqa", re.IGNORECASE)
_LABELLED = re.compile(r"\(([A-J])\)\s*(.*)", re.DOTALL)


class Options(AdapterOptions):
    """What to do with rows that were made from evaluation sets."""

    evaluation_sets: Literal["reject", "keep"] = "reject"
    """`keep` takes them: never report those benchmarks for a model trained on them."""


def tables(context: Context) -> list[TableFile]:
    """The file of rows."""
    return split_tables(context, {"train": ("ours_quality_*.jsonl", "train-*.parquet", "train.jsonl")}, "MedReason")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its reasoning."""
    data = row.data
    require(data, "MedReason", "dataset_name", "question", "answer", "reasoning", "options")
    origin = text_of(data["dataset_name"], "dataset_name")
    if context.options.evaluation_sets == "reject" and _EVALUATION.search(origin):
        raise Reject("evaluation_set", origin, "training sets; option `evaluation_sets: keep` takes these too")
    key = text_of(data.get("id_in_dataset"), "id_in_dataset")
    answer, met, explanation = text_of(data["answer"], "answer").partition("Explanation:")
    answer = answer.strip()
    shared: dict[str, Any] = {
        "question": text_of(data["question"], "question"),
        "rationale": text_of(data["reasoning"], "reasoning"),
        "task": origin or None,
        "meta": {
            **({"id_in_dataset": key} if key else {}),
            **({"explanation": explanation.strip()} if met and explanation.strip() else {}),
        },
    }
    listed = text_of(data["options"], "options").removeprefix("Answer Choices:").strip()
    if not listed:
        return Sample(**shared, answer=answer, answer_kind=free_answer_kind(answer))
    _, raw = options_in_text(listed)
    labelled = _LABELLED.fullmatch(answer)
    label, text = (labelled[1], labelled[2].strip()) if labelled else (None, answer)
    if normalise(text) not in map(normalise, raw.values()):
        text = text.removesuffix(".").rstrip()
    options, letter, right = choice_answer(raw, label=label, text=text or None)
    return Sample(**shared, options=options, answer=right, answer_label=letter, answer_kind="choice")


ADAPTER = Adapter(tables=tables, sample=sample, options=Options, code=("adapters/fields.py",))
