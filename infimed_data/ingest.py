"""Ingest: a shard of a source's rows becomes canonical rows; what cannot be read honestly is rejected and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from infimed_data.adapters import load_adapter
from infimed_data.adapters.contract import Context
from infimed_data.schema import ROWS, Reject, Sample, why_absent
from infimed_data.storage.stages import write_table
from infimed_data.storage.tables import TableRow, TableShard, read_rows
from infimed_data.text import normalise

__all__ = ["IngestTask", "ingest_shard"]

BATCH_ROWS = 1024
_QUESTIONS = (
    "question", "Question", "QUESTION", "Questions", "Open-ended Verifiable Question", "qtext", "problem", "query",
    "instruction", "prompt",
)  # fmt: skip
_ANSWERS = ("answer", "Answer", "Answers", "final_decision", "Response", "gt_answer", "output", "caption", "Caption")
"""Columns by which a rejected row is shown, and matched where it is a benchmark's."""


@dataclass(frozen=True)
class IngestTask:
    """One shard to read."""

    adapter: str
    context: Context
    shard: TableShard
    group_key: str | None
    out: Path


def ingest_shard(task: IngestTask) -> dict[str, int]:
    """Writes the shard's rows as `schema.ROWS`; returns the numbers of rows read and rejected."""
    counts = {"read": 0, "rejected": 0}
    write_table(task.out, _batches(task, counts), ROWS)
    return counts


def _batches(task: IngestTask, counts: dict[str, int]) -> Iterator[pa.RecordBatch]:
    columns: dict[str, list[Any]] = {name: [] for name in ROWS.names}
    adapter = load_adapter(task.adapter)
    for row in read_rows(task.context.place, task.shard):
        if isinstance(row, TableRow):
            try:
                sample = adapter.sample(row, task.context)
                if sample is None:
                    continue
                record = _record(sample, row, task.group_key)
                counts["rejected"] += record["reject_rule"] is not None
            except Reject as reject:
                counts["rejected"] += 1
                record = _rejected(reject, row.file, row.number, row.data, row.key or _own_id(row.data))
        else:
            number, fault = row
            counts["rejected"] += 1
            record = _rejected(fault, task.shard.file.name, number, {"row": number})
        counts["read"] += 1
        for name, values in columns.items():
            values.append(record.get(name))
        if len(columns["file"]) >= BATCH_ROWS:
            yield _batch(columns)
            columns = {name: [] for name in ROWS.names}
    if columns["file"]:
        yield _batch(columns)


def _batch(columns: dict[str, list[Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in ROWS], schema=ROWS)


def _record(sample: Sample, row: TableRow, group_key: str | None) -> dict[str, Any]:
    group = sample.group
    if group_key is not None:
        value = row.data.get(group_key)
        if value is None:
            raise Reject("group_key_missing", None, group_key)
        group = str(value)
    images = [(ref, why_absent(ref)) for ref in sample.images]
    missing = next((why for _, why in images if why), None)
    return {
        "row_key": sample.row_key,
        "file": row.file,
        "row_number": row.number,
        "lang": sample.lang,
        "question": sample.question,
        "options": sample.options,
        "answer": sample.answer,
        "answer_label": sample.answer_label,
        "answer_kind": sample.answer_kind,
        "image_slots": [{"turn": slot.turn, "offset": slot.offset} for slot in sample.image_slots],
        "turns": [{"role": turn.role, "content": turn.content} for turn in sample.turns],
        "rationale": sample.rationale,
        "group": group,
        "modality": sample.modality,
        "organ": sample.organ,
        "question_type": sample.question_type,
        "task": sample.task,
        "pass_rate": sample.pass_rate,
        "meta": orjson.dumps(sample.meta, option=orjson.OPT_SORT_KEYS, default=str).decode() if sample.meta else "{}",
        "image_refs": [ref for ref, why in images if why is None],
        "row_digest": _row_digest(row.data),
        "text_digest": _text_digest(sample),
        "reject_rule": missing and missing.rule,
        "reject_value": missing and missing.value,
        "reject_limit": missing and missing.limit,
    }


def _rejected(
    reject: Reject, file: str, number: int, data: Mapping[str, Any], key: str | None = None
) -> dict[str, Any]:
    """A rejected row: where it was, why it went, and its texts as the file has them."""
    return {
        "row_key": key,
        "file": file,
        "row_number": number,
        "question": _shown(data, *_QUESTIONS),
        "answer": _shown(data, *_ANSWERS),
        "row_digest": _row_digest(data),
        "reject_rule": reject.rule,
        "reject_value": reject.value,
        "reject_limit": reject.limit,
    }


def _own_id(data: Mapping[str, Any]) -> str | None:
    """The id that a row's file gives it, under one of the names in use."""
    value = next((data[name] for name in ("qid", "id", "question_id", "pubid") if data.get(name) is not None), None)
    return str(value) if isinstance(value, str | int) else None


def _shown(data: Mapping[str, Any], *names: str) -> str | None:
    value = next((data[name] for name in names if data.get(name) is not None), None)
    return None if value is None else str(value)[:2000]


def _row_digest(data: Mapping[str, Any]) -> bytes:
    plain = orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=repr)
    return xxhash.xxh3_128_digest(plain)


def _text_digest(sample: Sample) -> bytes:
    """Digest of the normalised question, options and answer (and turns), which identity rests on."""
    parts = [normalise(sample.question), *map(normalise, sample.options), normalise(sample.answer)]
    if sample.turns:
        parts.append("\x1e")
        parts.extend(f"{turn.role}\x1f{normalise(turn.content)}" for turn in sample.turns)
    return xxhash.xxh3_128_digest("\x1f".join((str(len(sample.options)), *parts)).encode("utf-8", "surrogatepass"))
