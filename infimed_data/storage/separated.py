"""Tables of text: cells between commas, tabs or another mark, a row at a time, none of them beyond the limit."""

from __future__ import annotations

import codecs
import csv
import itertools
from collections.abc import Iterator
from typing import IO

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.places import Place
from infimed_data.storage.table_files import SHARD_BYTES, TableRow, open_table, reading, too_large

__all__ = ["csv_rows", "plain_rows", "text_cell"]


class _TooLongError(ValueError):
    """A row of a table of text that passes the limit; what is left of its line is skipped."""


class _Lines:
    """Decoded lines of a table of text, and where in the file the next one starts. No line is read beyond the limit."""

    def __init__(self, stream: IO[bytes], most: int, at: int = 0) -> None:
        self.at = at
        self.row_from = at
        """Where the row starts that lines are read for."""
        self._stream, self._most = stream, most
        self._pieces: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._pieces:
            raw = self._stream.readline(self._most + 1)
            if not raw:
                raise StopIteration
            line = raw.removeprefix(codecs.BOM_UTF8 if self.at == 0 else b"")
            self.at += len(raw) - len(line)
            if len(raw) > self._most and not raw.endswith(b"\n"):
                self.at += len(line)
                while (more := self._stream.readline(SHARD_BYTES)) and not more.endswith(b"\n"):
                    self.at += len(more)
                self.at += len(more)
                raise _TooLongError
            self._pieces = line.splitlines(keepends=True)[::-1] if b"\r" in line else [line]
        piece = self._pieces.pop()
        self.at += len(piece)
        if self.at - self.row_from > self._most:
            raise _TooLongError
        return piece.decode("utf-8")


def csv_rows(place: Place, name: str) -> Iterator[TableRow | tuple[int, Reject]]:
    """Cells stay text: "N/A", "None" and "nan" are answers, not missing values."""
    most = place.limits.max_row_bytes
    csv.field_size_limit(most)
    with open_table(place, name) as stream:
        lines = _Lines(stream, most)
        reader = csv.DictReader(lines, delimiter=_delimiter(name))
        try:
            cells = len(reader.fieldnames or ())
            for number in itertools.count():
                start = lines.row_from = lines.at
                line = reader.line_num + 1
                try:
                    data = next(reader, None)
                except _TooLongError:
                    yield number, too_large(f"line {line}", lines.at - start, most)
                    continue
                except csv.Error as error:
                    yield number, Reject("invalid_csv", f"line {line}: {error}")
                    continue
                if data is None:
                    return
                if None in data or None in data.values():  # too many cells, or too few
                    yield number, Reject("ragged_row", f"line {reader.line_num}", f"{cells} cells")
                    continue
                yield TableRow(data, name, number, None, start, number)
        except UnicodeDecodeError as error:
            where = f"{place.root / name}: not UTF-8 near line {reader.line_num + 1}"
            raise SourceError(f"{where} ({error.reason})") from error
        except (csv.Error, _TooLongError) as error:  # in the names of the columns
            raise SourceError(f"{place.root / name}: line 1: {error or f'more than {most:,} bytes'}") from error


def _delimiter(name: str) -> str:
    return "\t" if name.endswith(".tsv") else ","


def text_cell(place: Place, name: str, start: int, column: str) -> str | None:
    """The cell of the row that starts at byte `start` of a table of text; None where there is none."""
    most = place.limits.max_row_bytes
    csv.field_size_limit(most)
    with reading(place, name), open_table(place, name) as stream:
        try:
            names = next(csv.reader(_Lines(stream, most), delimiter=_delimiter(name)), [])
            stream.seek(start)
            cells = next(filter(None, csv.reader(_Lines(stream, most, start), delimiter=_delimiter(name))), [])
        except (csv.Error, ValueError) as error:
            raise SourceError(f"{place.root / name}: byte {start}: not the row that was read before") from error
    return dict(zip(names, cells, strict=False)).get(column)


def plain_rows(place: Place, name: str, delimiter: str) -> Iterator[TableRow | tuple[int, Reject]]:
    most = place.limits.max_row_bytes
    with open_table(place, name) as stream:
        lines = _Lines(stream, most)
        try:
            for number in itertools.count():
                start = lines.row_from = lines.at
                try:
                    line = next(lines, None)
                except _TooLongError:
                    yield number, too_large(f"line {number + 1}", lines.at - start, most)
                    continue
                if line is None:
                    return
                if line.strip():
                    cells = line.rstrip("\r\n").split(delimiter)
                    yield TableRow({str(column): cell for column, cell in enumerate(cells, 1)}, name, number)
        except UnicodeDecodeError as error:
            raise SourceError(f"{place.root / name}: not UTF-8 ({error.reason})") from error
