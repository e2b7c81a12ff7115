"""Finds what may point at a person in texts: whole columns are looked through by cheap expressions, and only the texts
that fit one are read closely.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from infimed_data.phi.dates import AGE_RULES, DATE_RULES
from infimed_data.phi.findings import Finding, masked, without_overlaps
from infimed_data.phi.numbers import CONTACT_RULES, RECORD_RULES
from infimed_data.phi.people import ADDRESS_RULES, NAME_RULES
from infimed_data.phi.rule import Rule, value_group
from infimed_data.schema import PHI_FOUND
from infimed_data.storage.stages import read_table, write_table

__all__ = ["RULES", "PhiTextTask", "as_record", "find_in_text", "find_in_texts", "search_texts"]

RULES: dict[str, Rule] = {**NAME_RULES, **RECORD_RULES, **CONTACT_RULES, **DATE_RULES, **AGE_RULES, **ADDRESS_RULES}
"""Every form that is looked for, by name."""

ROWS_AT_A_TIME = 4096
_WIDE = {code: code - 0xFEE0 for code in range(0xFF10, 0xFF5B) if chr(code).isalnum()} | {
    0xFF0D: 0x2D,
    0xFF20: 0x40,
    0x3000: 0x20,
    0xA0: 0x20,
}
"""Wide digits and letters as plain ones, one for one, so that places stay."""
_MARGIN = 24


@dataclass(frozen=True)
class PhiTextTask:
    """One shard of ingested rows to search."""

    rows: Path
    out: Path


def search_texts(task: PhiTextTask) -> dict[str, int]:
    """Writes `schema.PHI_FOUND`; returns the numbers of rows read and of findings."""
    table = read_table(task.rows, ["question", "options", "answer", "rationale", "turns", "meta"])
    batches: list[pa.RecordBatch] = []
    for first in range(0, len(table), ROWS_AT_A_TIME):
        fields = _fields(pl.DataFrame(table.slice(first, ROWS_AT_A_TIME)))
        found = find_in_texts(fields["text"])
        records = [
            _record(first + int(fields["row"][at]), finding.at(_name(fields, at)))
            for at, findings in found
            for finding in findings
        ]
        batches += pa.Table.from_pylist(records, PHI_FOUND).to_batches()
    return {"read": len(table), "found": write_table(task.out, iter(batches), PHI_FOUND)}


def _fields(rows: pl.DataFrame) -> pl.DataFrame:
    """row, field, number (from 1, within a list) and text of every text that the rows have."""
    rows = rows.with_row_index("row")
    plain = [
        rows.select("row", field=pl.lit(name), number=pl.lit(None, pl.Int64), text=name)
        for name in ("question", "answer", "rationale", "meta")
    ]
    said = pl.col("turns").list.eval(pl.element().struct.field("content"))
    lists = [
        rows.select("row", text=texts)
        .explode("text", empty_as_null=False, keep_nulls=False)
        .select("row", field=pl.lit(name), number=pl.int_range(1, pl.len() + 1).over("row"), text="text")
        for name, texts in (("options", pl.col("options")), ("turns", said))
    ]
    return pl.concat([*plain, *lists]).filter(pl.col("text").str.len_bytes() > 3).sort("row", maintain_order=True)


def _name(fields: pl.DataFrame, at: int) -> str:
    field, number = fields["field"][at], fields["number"][at]
    return str(field) if number is None else f"{field}[{number}]"


def find_in_texts(texts: pl.Series) -> list[tuple[int, list[Finding]]]:
    """(place, findings) of the texts that have some, in order."""
    wide = texts.str.contains("[０-９Ａ-Ｚａ-ｚ＠－\u3000\u00a0]").fill_null(False)
    if wide.any():
        places = wide.arg_true()
        texts = texts.scatter(
            places, pl.Series([text.translate(_WIDE) for text in texts.gather(places)], dtype=pl.String)
        )
    frame = texts.to_frame("text")
    fits = frame.select(
        pl.col("text").str.contains(rule.hint).fill_null(False).alias(name) for name, rule in RULES.items()
    )
    found: dict[int, list[Finding]] = {}
    for name, rule in RULES.items():
        for at in fits[name].arg_true().to_list():
            if matches := _matches(rule, texts[at]):
                found.setdefault(at, []).extend(matches)
    return [(at, without_overlaps(found[at])) for at in sorted(found)]


def find_in_text(text: str) -> list[Finding]:
    """Findings in one text."""
    return next((found for _, found in find_in_texts(pl.Series([text], dtype=pl.String))), [])


def _matches(rule: Rule, text: str) -> list[Finding]:
    found = []
    for match in rule.pattern.finditer(text):
        confidence = rule.judge(match)
        if confidence is None:
            continue
        start, end = match.span(value_group(match))
        label = text[max(match.start(), start - _MARGIN) : start]
        snippet = masked(label + text[start:end], len(label), len(label) + end - start)
        found.append(Finding(rule.kind, confidence, snippet, rule.evidence, start, end - start))
    return found


def _record(row: int, finding: Finding) -> dict[str, Any]:
    return {"row": row, **as_record(finding)}


def as_record(finding: Finding) -> dict[str, Any]:
    """A finding in the columns that all tables of findings share."""
    return {
        "field": finding.field,
        "kind": finding.kind,
        "confidence": finding.confidence,
        "start": finding.start,
        "length": finding.length,
        "box": finding.box,
        "snippet": finding.snippet,
        "evidence": finding.evidence,
    }
