"""Rows of JSON, JSON lines, CSV and Parquet files, a shard at a time and with bounded memory.

How a file is cut into shards depends on the file alone, never on the number of processes.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.documents import listed, spread, streamed_json, whole_json
from infimed_data.storage.parquet import spared_rows
from infimed_data.storage.places import Place
from infimed_data.storage.separated import csv_rows, plain_rows, text_cell
from infimed_data.storage.table_files import (
    SHARD_BYTES,
    TableFile,
    TableRow,
    TableShard,
    open_table,
    reading,
    too_large,
)

__all__ = [
    "TableFile",
    "TableRow",
    "TableShard",
    "count_rows",
    "parquet_schema",
    "plan_shards",
    "read_rows",
    "text_cell",
]

WHOLE_JSON_BYTES = 32 << 20
"""A JSON document up to this size is parsed at once; a larger one element by element."""


def parquet_schema(place: Place, name: str) -> pa.Schema:
    """The Arrow schema of a Parquet file; raises `SourceError` where it is not one."""
    return _parquet(place, name).schema_arrow


def _parquet(place: Place, name: str) -> pq.ParquetFile:
    if "!" in name:
        raise SourceError(f"{place.root / name}: Parquet inside an archive is not read; unpack it")
    path = place.path(name)
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a readable Parquet file ({_first_line(error)}); fetch it again") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def plan_shards(place: Place, file: TableFile) -> list[TableShard]:
    """The shards of `file`, in order. An unreadable file raises `SourceError`."""
    with reading(place, file.name):
        return _plan(place, file)


def _plan(place: Place, file: TableFile) -> list[TableShard]:
    name = file.name
    if name.endswith(".parquet"):
        return _plan_parquet(place, file)
    if _lined(place, file):
        return _plan_lines(place, file)
    if name.endswith((".json", ".csv", ".tsv")) or file.delimiter:
        with open_table(place, name) as stream:
            size = stream.seek(0, io.SEEK_END)
        return [TableShard(file, 0, 0, size, 0, size)]
    raise SourceError(f"{place.root / name}: unknown table format; allowed: .json, .jsonl, .csv, .tsv, .parquet")


def _lined(place: Place, file: TableFile) -> bool:
    """Whether a file is JSON lines."""
    return not file.lists and (file.name.endswith(".jsonl") or _is_json_lines(place, file.name))


def _is_json_lines(place: Place, name: str) -> bool:
    """Whether a `.json` file is really JSON lines, as the original MedMCQA files are: two objects on two lines."""
    if not name.endswith(".json"):
        return False
    with open_table(place, name) as stream:
        head = stream.read(1 << 20).lstrip(codecs.BOM_UTF8).lstrip()
    if not head.startswith(b"{"):
        return False
    first, newline, rest = head.partition(b"\n")
    if not newline or not rest.strip():
        return _parses(first) and len(first) < (1 << 20) and _row_like(first)
    return _parses(first)


def _parses(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _row_like(line: bytes) -> bool:
    """Whether a lone object is a row, and not an object of rows: some value is not an object."""
    return any(not isinstance(value, dict) for value in orjson.loads(line).values())


def _plan_parquet(place: Place, file: TableFile) -> list[TableShard]:
    parquet = _parquet(place, file.name)
    meta = parquet.metadata
    wanted = [i for i in range(meta.num_columns) if meta.schema.column(i).path.split(".")[0] not in file.image_columns]
    shards: list[TableShard] = []
    start = rows = first = size = 0
    for group in range(meta.num_row_groups):
        row_group = meta.row_group(group)
        size += sum(row_group.column(i).total_uncompressed_size for i in wanted)
        rows += row_group.num_rows
        if size >= SHARD_BYTES or group == meta.num_row_groups - 1:
            shards.append(TableShard(file, len(shards), start, group + 1, first, size))
            start, first, size = group + 1, first + rows, 0
            rows = 0
    return shards


def _plan_lines(place: Place, file: TableFile) -> list[TableShard]:
    shards: list[TableShard] = []
    most = place.limits.max_row_bytes
    with open_table(place, file.name) as stream:
        start = first = 0
        while block := stream.read(SHARD_BYTES):
            tail = b"" if block.endswith(b"\n") else stream.readline(most)
            stop, lines = start + len(block) + len(tail), block.count(b"\n") + tail.count(b"\n")
            if len(tail) == most and not tail.endswith(b"\n"):
                # A line that is too long gets a shard of its own, so that it is one row, and is never read as a whole.
                kept = block.rfind(b"\n") + 1
                if kept:
                    shards.append(TableShard(file, len(shards), start, start + kept, first, kept))
                    start, first = start + kept, first + lines
                lines = 0
                while piece := stream.readline(SHARD_BYTES):
                    stop += len(piece)
                    if piece.endswith(b"\n"):
                        lines = 1
                        break
            shards.append(TableShard(file, len(shards), start, stop, first, stop - start))
            start, first = stop, first + lines
    return shards


def read_rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    """The rows of a shard in file order; a row that cannot be parsed comes as (position, `Reject`).

    A file that cannot be read at all raises `SourceError`.
    """
    with reading(place, shard.file.name):
        yield from _rows(place, shard)


def _rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    name = shard.file.name
    if name.endswith(".parquet"):
        yield from _parquet_rows(place, shard)
    elif shard.file.delimiter:
        yield from plain_rows(place, name, shard.file.delimiter)
    elif name.endswith((".csv", ".tsv")):
        yield from csv_rows(place, name)
    elif _lined(place, shard.file):
        yield from _line_rows(place, shard)
    else:
        yield from _json_rows(place, shard.file, shard.size_bytes)


def _parquet_rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    parquet = _parquet(place, shard.file.name)
    columns = [n for n in parquet.schema_arrow.names if n not in shard.file.image_columns]
    told = [leaf for name in shard.file.told for leaf in _told_leaves(parquet, name)]
    number = shard.first_row
    for group in range(shard.start, shard.stop):
        found = spared_rows(place.path(shard.file.name), group, columns + told, place.limits)
        for row, data in enumerate(found):
            if isinstance(data, Reject):
                yield number, data
            else:
                yield TableRow(data, shard.file.name, number, None, group, row)
            number += 1


def _told_leaves(parquet: pq.ParquetFile, name: str) -> list[str]:
    """What to read of an image column to know which images are there: the paths beside the bytes."""
    own = [leaf for leaf in (c.path for c in parquet.schema) if leaf.split(".")[0] == name]
    return [leaf for leaf in own if leaf.endswith(".path")] or own


def _line_rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    most = place.limits.max_row_bytes
    if shard.stop - shard.start > most + SHARD_BYTES:
        yield shard.first_row, too_large(f"line {shard.first_row + 1}", shard.stop - shard.start, most)
        return
    with open_table(place, shard.file.name) as stream:
        stream.seek(shard.start)
        block = stream.read(shard.stop - shard.start)
    if shard.start == 0:
        block = block.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(block.splitlines() if b"\r" in block else block.split(b"\n"), shard.first_row):
        if not line.strip():
            continue
        if len(line) > most:
            yield number, too_large(f"line {number + 1}", len(line), most)
            continue
        try:
            data = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield number, Reject(_json_fault(line), f"line {number + 1}: {_first_line(error)}")
            continue
        if not isinstance(data, dict):
            yield number, Reject("invalid_json", f"line {number + 1}: {type(data).__name__}", "a JSON object")
            continue
        if line.count(b"{") + line.count(b"[") > 200 and (fault := _unwritable(data)):
            yield number, Reject("invalid_json", f"line {number + 1}: {fault}")
            continue
        yield TableRow(data, shard.file.name, number)


def _json_fault(line: bytes) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid_utf8"
    return "invalid_json"


def _unwritable(data: dict[str, Any]) -> str | None:
    """Why a parsed row cannot be written again: half of a surrogate pair, an integer of over 64 bits, deep nesting."""
    try:
        orjson.dumps(data)
    except TypeError as error:
        return _first_line(error)
    return None


def _json_rows(place: Place, file: TableFile, size_bytes: int) -> Iterator[TableRow | tuple[int, Reject]]:
    name = file.name
    where = place.root / name
    with open_table(place, name) as stream:
        most = place.limits.max_row_bytes
        whole = size_bytes <= min(WHOLE_JSON_BYTES, most)
        elements: Iterator[tuple[str | None, Any]] = (
            whole_json(stream.read(), where, max_row_bytes=most)
            if whole
            else streamed_json(stream, where, max_row_bytes=most)
        )
        if file.lists:
            elements = listed(elements, where)
        if file.each:
            elements = spread(elements, file.each)
        for number, (key, data) in enumerate(elements):
            if isinstance(data, Reject):
                yield number, Reject(data.rule, f"element {number}: {data.value}", data.limit)
            elif not isinstance(data, dict):
                yield number, Reject("invalid_json", f"element {number}: {type(data).__name__}", "a JSON object")
            elif fault := _unwritable(data):
                yield number, Reject("invalid_json", f"element {number}: {fault}")
            else:
                yield TableRow(data, name, number, key)


def count_rows(place: Place, file: TableFile) -> tuple[int, bool]:
    """(rows, whether that is exact) without parsing it all: JSON and CSV are estimated from their first rows."""
    shards = plan_shards(place, file)
    name = file.name
    if name.endswith(".parquet"):
        return int(_parquet(place, name).metadata.num_rows), True
    with open_table(place, name) as stream:
        if _lined(place, file):
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 22), b"")), True
        head = stream.read(1 << 18)
    size = sum(shard.size_bytes for shard in shards)
    lines = name.endswith((".csv", ".tsv")) or file.delimiter
    marks = head.count(b"\n") if lines else head.count(b"},") + head.count(b"}\n")
    return round(max(marks, 1) * size / max(len(head), 1)), False
