"""Files of rows: what an adapter says of one, a part of it, a row of it; and how its bytes are reached."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.places import Place

__all__ = ["SHARD_BYTES", "TableFile", "TableRow", "TableShard", "open_table", "reading", "too_large"]

SHARD_BYTES = 8 << 20
"""JSON lines are cut into shards of this many bytes; Parquet row groups are put together up to it."""


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


def open_table(place: Place, name: str) -> IO[bytes]:
    """The bytes of a file, or of an archive's member."""
    archive, bang, member = name.partition("!")
    if not bang:
        return place.path(name).open("rb")
    try:
        return place.open_member(archive, member)
    except KeyError:
        raise SourceError(f"{place.root / name}: no such member") from None


@contextmanager
def reading(place: Place, name: str) -> Iterator[None]:
    """Turns what a damaged file or archive raises, at whichever byte, into a `SourceError`."""
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, Reject) as error:
        cause = getattr(error, "strerror", None) or getattr(error, "value", None) or error
        raise SourceError(f"{place.root / name}: cannot read: {cause}") from error


def too_large(where: str, size: int, most: int) -> Reject:
    """The refusal of a row beyond the limit."""
    return Reject("row_too_large", f"{where}: {size:,} bytes", f"{most:,} bytes (limits.max_row_bytes)")
