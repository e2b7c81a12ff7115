"""Builds whose every text is drawn, and what must hold of the pages, the card and the lines that are made of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from parsed_page import Page, check_no_markup

from infimed_data import stats
from infimed_data.card import card_text
from infimed_data.rejection import CANDIDATES, GENERATED
from infimed_data.report import leaks_text
from infimed_data.report.page import leaks_page
from infimed_data.report.traces import traces_page, traces_text
from infimed_data.schema import BENCHMARKS, DROPS, EVIDENCE, IMAGES, LEAKS, SAMPLES

__all__ = ["check_pages"]

NEVER_NULL = {
    "uid", "source", "split", "benchmark", "benchmark_uid", "grade", "action", "pair", "key", "stage", "rule", "digest",
    "question", "options", "role", "content", "matches", "evidence", "status", "steps", "turns", "images", "pass",
}  # fmt: skip
"""Columns that every build fills."""


class Drawing(Protocol):
    """What is needed of `fuzz_targets.Draws`."""

    def below(self, count: int) -> int:
        """A number below `count`."""

    def text(self) -> str:
        """A text."""


class _Values:
    """Values of a schema; keys come from a few, so that rows meet."""

    def __init__(self, draws: Drawing) -> None:
        self._draws = draws
        self._keys = [self._text() or "k" for _ in range(3)]

    def _text(self) -> str:
        return self._draws.text().encode("utf-8", "replace").decode("utf-8")

    def row(self, schema: pa.Schema, **fixed: Any) -> dict[str, Any]:
        """A row of the schema."""
        return {field.name: self._value(field.name, field.type) for field in schema} | fixed

    def _value(self, name: str, kind: pa.DataType) -> Any:
        if name not in NEVER_NULL and self._draws.below(6) == 5:
            return None
        if pa.types.is_string(kind):
            keyed = name in ("uid", "benchmark_uid", "pair", "key", "digest", "image", "benchmark_image")
            return self._keys[self._draws.below(3)] if keyed else self._text()
        if pa.types.is_boolean(kind):
            return self._draws.below(2) == 1
        if pa.types.is_integer(kind):
            return self._draws.below(5)
        if pa.types.is_floating(kind):
            return self._draws.below(5) / 4
        if pa.types.is_binary(kind):
            return self._text().encode()
        if pa.types.is_list(kind):
            return [self._value("role", kind.value_type) for _ in range(self._draws.below(3))]
        if pa.types.is_struct(kind):
            return {field.name: self._value(field.name, field.type) for field in kind}
        return None

    def lock(self) -> dict[str, Any]:
        """A lock of such a build."""
        text = self._text
        source = {
            "source": text(), "split": text(), "adapter": "medqa", "category": text(), "license": text(),
            "revision": text(), "rows_read": 1, "rejected": 0, "dropped": 0, "kept": 1,
        }  # fmt: skip
        leaks = dict.fromkeys(("same_item", "same_image"), 1)
        stratum = {"stratum": text(), "asked": 1, "available": 2, "realised": 1, "why": text()}
        output = {"rows": 1, "train": 1, "validation": 0, "asked": 1, "strata": [stratum]}
        return {
            "format": 1, "name": text(), "build": text(), "sources": [source],
            "benchmarks": [{"benchmark": text(), "rows": 1, "without_image": 0, "images": 1, "leaks": leaks}],
            "versions": {"infimed-toolkit": "0"}, "outputs": {"sft": output}, "drops": {"ingest": {text(): 1}},
            "warnings": [text()], "generate": {}, "manifest": {"decontaminate": {"same_item": "drop"}, "teachers": {}},
        }  # fmt: skip


def check_pages(draws: Drawing, folder: Path) -> None:
    """Raises where a page has markup of data, the card has, or a line steers a terminal."""
    values = _Values(draws)
    build = folder / "build"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    tables = {
        "samples": SAMPLES, "drops": DROPS, "images": IMAGES, "leaks": LEAKS, "benchmarks": BENCHMARKS,
        "evidence": EVIDENCE, "candidates": CANDIDATES, "generated": GENERATED,
    }  # fmt: skip
    for name, schema in tables.items():
        rows = [values.row(schema) for _ in range(3)]
        pq.write_table(pa.Table.from_pylist(rows, schema), build / f"{name}.parquet")
    lock = values.lock()
    (build / "lock.json").write_text(json.dumps(lock), "utf-8")
    opened = stats.open_build(build)
    part = draws.below(5)  # each takes its time
    told: list[str] = []
    if part == 0:
        check_no_markup(Page(leaks_page(opened).decode("utf-8")))
    elif part == 1:
        check_no_markup(Page(traces_page(opened).decode("utf-8")))
    elif part == 2:
        told = [leaks_text(opened, width=80), traces_text(opened, width=80)]
    elif part == 3:
        told = [stats.stats(opened, width=80), stats.difference(opened, opened, examples=1, width=80)]
    else:
        told = [stats.as_table(stats.query(opened, "SELECT * FROM samples"), width=80)]
        told.append(stats.why(opened, pq.read_table(build / "samples.parquet").column("uid")[0].as_py()))
    for text in told:
        for line in text.split("\n"):
            assert line.isprintable(), ascii(line)
    card = card_text(lock)
    body = card.partition("\n---\n")[2]
    assert not re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", body), body
    assert "<script" not in body.lower() and "<img" not in body.lower()
    assert all(line.isprintable() for line in card.split("\n")), card
