"""Reads rows through an adapter the way the pipeline does, and writes files in the layouts that rows come in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimed_data.adapters import load_adapter
from infimed_data.adapters.contract import Context
from infimed_data.schema import Reject, Sample, why_absent
from infimed_data.storage.places import Place
from infimed_data.storage.tables import TableRow, plan_shards, read_rows


def read(name: str, location: Path, split: str = "train", **options: Any) -> tuple[list[Sample], Counter[str]]:
    """(samples, rejected rows by rule) of one split, read the way the pipeline reads it."""
    adapter = load_adapter(name)
    assert split in adapter.splits
    context = Context(Place(location), split, adapter.options.model_validate(options))
    files = adapter.tables(context)
    context = replace(context, evidence=adapter.evidence(files, context))
    samples, rejected = [], Counter[str]()
    for shard in (shard for file in files for shard in plan_shards(context.place, file)):
        for row in read_rows(context.place, shard):
            if not isinstance(row, TableRow):
                rejected[row[1].rule] += 1
                continue
            try:
                found = adapter.sample(row, context)
            except Reject as reject:
                rejected[reject.rule] += 1
                continue
            missing = next(filter(None, map(why_absent, found.images)), None) if found is not None else None
            if missing is not None:
                rejected[missing.rule] += 1
            elif found is not None:
                samples.append(found)
    return samples, rejected


def put_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def put_lines(path: Path, rows: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def put_parquet(path: Path, rows: list[dict[str, Any]], features: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


def put_images(root: Path, *names: str) -> None:
    """Empty files: an adapter only finds images, it does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def rule(function: Any, *args: Any, **keywords: Any) -> str:
    """The rule that the call is refused with."""
    with pytest.raises(Reject) as caught:
        function(*args, **keywords)
    return caught.value.rule
