"""MedMCQA: Indian entrance-exam questions with 4 options, text only. Apache-2.0, English, not gated.

Layouts: the authors' JSON lines `train.json`, `dev.json`, `test.json` (182,822 / 4,183 / 6,150 rows), where the right
option `cop` counts from 1; the Hub's `{train,validation,test}-*.parquet`, where it is a ClassLabel that counts from 0.
Copies mix the two, so the base is read off the rows (see `evidence`). The test split is unlabelled. A `choice_type` of
"multi" still has one answer.

    {"id": "0f1e2d3c", "question": "...", "opa": "Liver", "opb": "Spleen", "opc": "...", "opd": "...", "cop": 2,
     "choice_type": "single", "exp": "Ans. is 'b' ...", "subject_name": "Anatomy", "topic_name": null}

Source: https://medmcqa.github.io, `openlifescienceai/medmcqa`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.reading import choice_answer, content_meta, find_tables, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow, parquet_schema, plan_shards, read_rows

_NAMES = {"train": ("train",), "validation": ("dev", "validation"), "test": ("test",)}
_SPOKEN_LABEL = re.compile(r"\W*ans(?:wer)?\b[^a-z]{0,12}(?:is)?[^a-z]{0,6}([a-d])\b", re.IGNORECASE)
"""A letter named at the start of an explanation: "Ans. is 'b'", "Answer: (C)"."""
MIN_SPOKEN, MIN_AGREEMENT = 5, 0.9
"""Explanations that must name a letter, and the share of them that must agree, before they decide the base."""


class Options(AdapterOptions):
    """How MedMCQA's labels count."""

    cop_base: Literal[0, 1] | None = None
    """The `cop` of option A, for files that do not show it themselves; may not contradict them."""


def tables(context: Context) -> list[TableFile]:
    """The split's JSON lines or Parquet files."""
    patterns = []
    for name in _NAMES[context.split]:
        patterns += [f"{name}.json", f"{name}.jsonl", f"{name}-*.parquet", f"{name}.parquet"]
    return find_tables(context, *patterns, expected=f"MedMCQA's {', '.join(patterns)}")


def evidence(files: Sequence[TableFile], context: Context) -> Mapping[str, Any]:
    """`cop_base`: 0 where a 0 or a ClassLabel (a, b, c, d) is seen, 1 where a 4 is; else what explanations say."""
    seen: set[int] = set()
    spoken: Counter[int] = Counter()
    for file in files:
        if file.name.endswith(".parquet") and _class_label(context, file):
            seen.add(0)
        for shard in plan_shards(context.place, file):
            for row in read_rows(context.place, shard):
                if isinstance(row, TableRow) and isinstance(cop := row.data.get("cop"), int) and cop >= 0:
                    seen.add(cop)
                    named = _SPOKEN_LABEL.match(str(row.data.get("exp") or "")[:60])
                    if named:
                        spoken[cop - "abcd".index(named[1].lower())] += 1
    chosen: int | None = context.options.cop_base
    where = f"{context.place.root}: MedMCQA's `cop` of split '{context.split}'"
    if 0 in seen and 4 in seen:
        raise SourceError(f"{where} is contradictory: both 0 and 4 occur; use files of one release")
    if not seen:
        return {"cop_base": chosen}
    base = 0 if 0 in seen else 1 if 4 in seen else None
    if base is None and sum(spoken.values()) >= MIN_SPOKEN:
        likely, count = spoken.most_common(1)[0]
        base = likely if likely in (0, 1) and count >= MIN_AGREEMENT * sum(spoken.values()) else None
    if chosen is not None and base is not None and chosen != base:
        raise SourceError(f"{where} counts from {base}, but option `cop_base` says {chosen}; leave the option out")
    if chosen is None and base is None:
        raise SourceError(f"{where} shows neither 0 nor 4, and no explanations settle it; set option `cop_base: 0|1`")
    return {"cop_base": base if chosen is None else chosen}


def _class_label(context: Context, file: TableFile) -> bool:
    """Whether the file's Hugging Face features call `cop` a class label with the names a, b, c, d."""
    metadata = parquet_schema(context.place, file.name).metadata or {}
    features = orjson.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return [str(name).lower() for name in features.get("cop", {}).get("names", [])] == ["a", "b", "c", "d"]


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its options."""
    data = row.data
    cop, base = data.get("cop"), context.evidence["cop_base"]
    if cop is None or cop == -1:
        raise Reject("unlabelled", cop, "cop")
    if isinstance(cop, bool) or not isinstance(cop, int):
        raise Reject("wrong_type", f"cop: {type(cop).__name__}", "an integer")
    if not base <= cop < base + 4:
        raise Reject("label_out_of_range", cop, f"{base}-{base + 3}")
    named: dict[str, Any] = {letter.upper(): data.get(f"op{letter}") for letter in "abcd"}
    options, letter, answer = choice_answer(named, label=cop - base)
    return Sample(
        row_key=text_of(data.get("id"), "id") or None,
        question=text_of(data.get("question"), "question"),
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice",
        rationale=text_of(data.get("exp"), "exp"),
        task=text_of(data.get("subject_name"), "subject_name") or None,
        meta=content_meta(data, "choice_type", "topic_name"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    evidence=evidence,
    splits=("train", "validation", "test"),
    eval_splits=("validation",),
)
