"""m23k: 23k medical exam questions with a distilled reasoning. License of its sources, English, not gated.

Layout: `train-*.parquet` with `prompt` (the question, and its options one a line), `answer_letter`, `answer_idx`
(from 0) and `answer_string`, which must name one option, and `reasoning`. Column `text` is a Qwen chat with special
tokens and is not read. Sources: MedMCQA, MedQA, HEAD-QA and PubMedQA, drawn by another split than PubMedQA's official
one, so that its test abstracts can be inside: `group` is the PMID wherever `metadata` has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import options_in_text, parsed, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, text_of
from infimed_data.schema import LABELS, Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


def tables(context: Context) -> list[TableFile]:
    """The Parquet files."""
    return split_tables(context, {"train": ("train-*.parquet", "train.jsonl")}, "m23k")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with the options of its prompt."""
    data = row.data
    require(data, "m23k", "prompt", "answer_letter", "answer_string", "reasoning")
    question, raw = options_in_text(text_of(data["prompt"], "prompt"))
    label, text = text_of(data["answer_letter"], "answer_letter"), text_of(data["answer_string"], "answer_string")
    options, letter, answer = choice_answer(raw, label=label, text=text or None)
    index = data.get("answer_idx")
    if isinstance(index, int) and LABELS.find(letter) != index:
        raise Reject("label_text_disagree", f"{letter} but index {index}", "one option")
    about = parsed(data["metadata"], "metadata") if data.get("metadata") else {}
    ids = [about.get(name) for name in ("pubid", "pmid", "PMID")] if isinstance(about, Mapping) else []
    pmid = next((text_of(found, "pubid") for found in ids if found), "")
    return Sample(
        question=question,
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice",
        rationale=text_of(data["reasoning"], "reasoning"),
        group=f"PMID{pmid}" if pmid.isdecimal() else None,
        task=text_of(data.get("source"), "source") or None,
        meta=content_meta(data, "domain_name"),
    )


ADAPTER = Adapter(tables=tables, sample=sample, code=("adapters/fields.py",))
