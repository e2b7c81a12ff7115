"""Rows of JSON, JSON lines, CSV and Parquet files, a shard at a time and with bounded memory.

How a file is cut into shards depends on the file alone, never on the number of processes.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.documents import MAX_ROW_BYTES, listed, spread, streamed_json, whole_json
from infimed_data.storage.places import Place

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

SHARD_BYTES = 8 << 20
"""JSON lines are cut into shards of this many bytes; Parquet row groups are put together up to it."""
WHOLE_JSON_BYTES = 32 << 20
"""A JSON document up to this size is parsed at once; a larger one element by element."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of rows, named by an adapter."""

    name: str
    """Reference within the place."""
    image_columns: tuple[str, ...] = ()
    """Parquet columns that hold images: not read with the rows, but referred to by `TableRow.cell`."""
    told: tuple[str, ...] = ()
    """Those of `image_columns` of which rows are told what is there: None, `{path}` or a list of these, never bytes."""
    delimiter: str | None = None
    """For text without a header or quotes: what its cells are split at. Its columns are called `1`, `2` and so on."""
    lists: bool = False
    """The document is an object of lists of rows; the key of a row is its list's name."""
    each: str | None = None
    """Field of a document's elements that is a list: each of its elements is a row, with the fields around the list."""


@dataclass(frozen=True, slots=True)
class TableShard:
    """A part of a table file that one task reads."""

    file: TableFile
    index: int
    start: int
    """First byte (JSON lines) or first row group (Parquet)."""
    stop: int
    first_row: int
    """Number of rows before this shard."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row as the file has it."""

    data: Mapping[str, Any]
    file: str
    number: int
    """Position in the file, from 0."""
    key: str | None = None
    """The row's key, where the file is one JSON object of rows."""
    row_group: int = 0
    """Row group of a Parquet file; first byte of the row in a table of text."""
    row: int = 0

    def cell(self, column: str) -> str:
        """Reference to the image in this row's `column` (`images[1]`: the second of a list)."""
        return f"{self.file}#{self.row_group}:{self.row}:{column}"


def _open(place: Place, name: str) -> IO[bytes]:
    archive, bang, member = name.partition("!")
    if not bang:
        return place.path(name).open("rb")
    if archive.endswith(".zip"):
        return place.open_member(archive, member)
    return io.BytesIO(place.read(name, max_bytes=1 << 34))


@contextmanager
def _reading(place: Place, name: str) -> Iterator[None]:
    """Turns what a damaged file or archive raises, at whichever byte, into a `SourceError`."""
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, Reject) as error:
        cause = getattr(error, "strerror", None) or getattr(error, "value", None) or error
        raise SourceError(f"{place.root / name}: cannot read: {cause}") from error


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
    with _reading(place, file.name):
        return _plan(place, file)


def _plan(place: Place, file: TableFile) -> list[TableShard]:
    name = file.name
    if name.endswith(".parquet"):
        return _plan_parquet(place, file)
    if _lined(place, file):
        return _plan_lines(place, file)
    if name.endswith((".json", ".csv", ".tsv")) or file.delimiter:
        with _open(place, name) as stream:
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
    with _open(place, name) as stream:
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
    with _open(place, file.name) as stream:
        start = position = first = lines = 0
        while block := stream.read(SHARD_BYTES):
            tail = b"" if block.endswith(b"\n") else stream.readline(MAX_ROW_BYTES)
            position += len(block) + len(tail)
            lines = block.count(b"\n") + tail.count(b"\n")
            shards.append(TableShard(file, len(shards), start, position, first, position - start))
            start, first = position, first + lines
    return shards


def read_rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    """The rows of a shard in file order; a row that cannot be parsed comes as (position, `Reject`).

    A file that cannot be read at all raises `SourceError`.
    """
    with _reading(place, shard.file.name):
        yield from _rows(place, shard)


def _rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    name = shard.file.name
    if name.endswith(".parquet"):
        yield from _parquet_rows(place, shard)
    elif shard.file.delimiter:
        yield from _plain_rows(place, name, shard.file.delimiter)
    elif name.endswith((".csv", ".tsv")):
        yield from _csv_rows(place, name)
    elif _lined(place, shard.file):
        yield from _line_rows(place, shard)
    else:
        yield from _json_rows(place, shard.file, shard.size_bytes)


def _parquet_rows(place: Place, shard: TableShard) -> Iterator[TableRow]:
    parquet = _parquet(place, shard.file.name)
    columns = [n for n in parquet.schema_arrow.names if n not in shard.file.image_columns]
    told = [leaf for name in shard.file.told for leaf in _told_leaves(parquet, name)]
    number = shard.first_row
    for group in range(shard.start, shard.stop):
        row = 0
        try:
            for batch in parquet.iter_batches(1024, row_groups=[group], columns=columns + told):
                for data in batch.to_pylist():
                    yield TableRow(data, shard.file.name, number, None, group, row)
                    number += 1
                    row += 1
        except (pa.ArrowException, OSError) as error:
            where = f"{place.root / shard.file.name}: row group {group}"
            raise SourceError(f"{where} cannot be read ({_first_line(error)}); fetch it again") from error


def _told_leaves(parquet: pq.ParquetFile, name: str) -> list[str]:
    """What to read of an image column to know which images are there: the paths beside the bytes."""
    own = [leaf for leaf in (c.path for c in parquet.schema) if leaf.split(".")[0] == name]
    return [leaf for leaf in own if leaf.endswith(".path")] or own


def _line_rows(place: Place, shard: TableShard) -> Iterator[TableRow | tuple[int, Reject]]:
    with _open(place, shard.file.name) as stream:
        stream.seek(shard.start)
        block = stream.read(shard.stop - shard.start)
    if shard.start == 0:
        block = block.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(block.splitlines() if b"\r" in block else block.split(b"\n"), shard.first_row):
        if not line.strip():
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


class _Lines:
    """Decoded lines of a table of text, and where in the file the next one starts."""

    def __init__(self, stream: IO[bytes], at: int = 0) -> None:
        self.at = at
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        for raw in self._stream:
            line = raw.removeprefix(codecs.BOM_UTF8 if self.at == 0 else b"")
            self.at += len(raw) - len(line)
            for piece in line.splitlines(keepends=True) if b"\r" in line else (line,):
                self.at += len(piece)
                yield piece.decode("utf-8")


def _csv_rows(place: Place, name: str) -> Iterator[TableRow | tuple[int, Reject]]:
    """Cells stay text: "N/A", "None" and "nan" are answers, not missing values."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with _open(place, name) as stream:
        lines = _Lines(stream)
        reader = csv.DictReader(lines, delimiter=_delimiter(name))
        try:
            cells = len(reader.fieldnames or ())
            for number in itertools.count():
                start = lines.at
                data = next(reader, None)
                if data is None:
                    return
                if None in data or None in data.values():  # too many cells, or too few
                    yield number, Reject("ragged_row", f"line {reader.line_num}", f"{cells} cells")
                    continue
                yield TableRow(data, name, number, None, start, number)
        except UnicodeDecodeError as error:
            where = f"{place.root / name}: not UTF-8 near line {reader.line_num + 1}"
            raise SourceError(f"{where} ({error.reason})") from error
        except csv.Error as error:
            raise SourceError(f"{place.root / name}: line {reader.line_num}: {error}") from error


def _delimiter(name: str) -> str:
    return "\t" if name.endswith(".tsv") else ","


def text_cell(place: Place, name: str, start: int, column: str) -> str | None:
    """The cell of the row that starts at byte `start` of a table of text; None where there is none."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with _reading(place, name), _open(place, name) as stream:
        names = next(csv.reader(_Lines(stream), delimiter=_delimiter(name)), [])
        stream.seek(start)
        cells = next(filter(None, csv.reader(_Lines(stream, start), delimiter=_delimiter(name))), [])
    return dict(zip(names, cells, strict=False)).get(column)


def _plain_rows(place: Place, name: str, delimiter: str) -> Iterator[TableRow]:
    with _open(place, name) as stream, io.TextIOWrapper(stream, "utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines):
                if line.strip():
                    cells = line.rstrip("\n").split(delimiter)
                    yield TableRow({str(column): cell for column, cell in enumerate(cells, 1)}, name, number)
        except UnicodeDecodeError as error:
            raise SourceError(f"{place.root / name}: not UTF-8 ({error.reason})") from error


def _json_rows(place: Place, file: TableFile, size_bytes: int) -> Iterator[TableRow | tuple[int, Reject]]:
    name = file.name
    where = place.root / name
    with _open(place, name) as stream:
        if size_bytes <= WHOLE_JSON_BYTES:
            elements: Iterator[tuple[str | None, Any]] = whole_json(stream.read(), where)
        else:
            elements = streamed_json(stream, where)
        if file.lists:
            elements = listed(elements, where)
        if file.each:
            elements = spread(elements, file.each)
        for number, (key, data) in enumerate(elements):
            if not isinstance(data, dict):
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
    with _open(place, name) as stream:
        if _lined(place, file):
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 22), b"")), True
        head = stream.read(1 << 18)
    size = sum(shard.size_bytes for shard in shards)
    lines = name.endswith((".csv", ".tsv")) or file.delimiter
    marks = head.count(b"\n") if lines else head.count(b"},") + head.count(b"}\n")
    return round(max(marks, 1) * size / max(len(head), 1)), False
