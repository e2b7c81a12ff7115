"""The rows of a pass as problems, and their pictures, read from where the sources keep them."""

from __future__ import annotations

import bisect
import os
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from infimed_data.generate.jobs import Origin
from infimed_data.manifest import Limits
from infimed_data.schema import Reject
from infimed_data.signals import read_image_bytes
from infimed_data.storage.places import is_cell, split_cell
from infimed_data.storage.stages import read_table
from infimed_data.strategies import Problem

__all__ = ["Pictures", "Problems"]

_COLUMNS = ["question", "options", "answer", "answer_label", "answer_kind", "lang", "image_slots"]
_PARTS_HELD = 32


class Problems:
    """Problems of any rows, a few parts of the ingested tables in memory at a time."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = origins
        self._starts = [[0, *accumulate(origin.part_rows)] for origin in origins]
        self._part = lru_cache(maxsize=_PARTS_HELD)(self._read)

    def _read(self, unit: int, part: int) -> pa.Table:
        return read_table(self._origins[unit].rows[part], _COLUMNS)

    def of(self, rows: pl.DataFrame) -> list[Problem]:
        """The problems of rows (unit, at, uid, images), in their order."""
        placed: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for index, (unit, at) in enumerate(rows.select("unit", "at").iter_rows()):
            part = bisect.bisect_right(self._starts[unit], at) - 1
            placed.setdefault((unit, part), []).append((index, at - self._starts[unit][part]))
        records: dict[int, dict[str, Any]] = {}
        for (unit, part), members in placed.items():
            taken = self._part(unit, part).take(pa.array([row for _, row in members])).to_pylist()
            records.update(zip((index for index, _ in members), taken, strict=True))
        about = rows.select("uid", "images").to_dicts()
        return [Problem.from_row({**records[index], **own}) for index, own in enumerate(about)]


class Pictures:
    """An `Images`: bytes of the pictures of some rows by their digests. May be called from any thread.

    Pictures in Parquet files are copied to a scratch file, a row group's at once, as single cells cannot be read.
    """

    def __init__(self, origins: Sequence[Origin], digests: Iterable[str], limits: Limits, spill: Path) -> None:
        digests = frozenset(digests)
        self._made_with = (origins, digests, limits, spill)
        self._origins, self._limits = origins, limits
        self._where: dict[str, tuple[int, str, int, int]] = {}
        wanted = pl.Series("digest", sorted(digests), pl.String)
        for unit, origin in enumerate(origins if len(wanted) else ()):
            table = pl.DataFrame(read_table(origin.images, ["digest", "ref", "width", "height"]))
            table = table.filter(pl.col("digest").is_in(wanted.implode())).sort("ref")
            for digest, ref, width, height in table.select("digest", "ref", "width", "height").iter_rows():
                self._where.setdefault(digest, (unit, ref, width, height))
        self._cells: dict[tuple[int, str, int, str], list[str]] = {}
        for digest, (unit, ref, _, _) in self._where.items():
            if is_cell(ref):
                self._cells.setdefault(self._group(unit, ref), []).append(digest)
        self._copied: dict[str, tuple[int, int] | Reject] = {}
        self._lock = threading.Lock()
        self._scratch = spill / f"pictures-{os.getpid()}-{id(self):x}"
        self._pack: int | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return Pictures, self._made_with  # another process has a scratch file of its own

    @staticmethod
    def _group(unit: int, ref: str) -> tuple[int, str, int, str]:
        cell = split_cell(ref)
        return unit, cell.path, cell.row_group, cell.column

    def size(self, digest: str) -> tuple[int, int]:
        """(width, height) of a picture."""
        return self._where[digest][2:]

    def __call__(self, digest: str) -> bytes:
        """The encoded bytes; raises `Reject` for what cannot be read."""
        unit, ref, _, _ = self._where[digest]
        if not is_cell(ref):
            return self._origins[unit].place.read(ref, max_bytes=self._limits.max_image_bytes)
        with self._lock:
            if digest not in self._copied:
                self._copy(self._group(unit, ref))
            found = self._copied[digest]
            if isinstance(found, Reject):
                raise found
            assert self._pack is not None
            return os.pread(self._pack, found[1], found[0])

    def _copy(self, group: tuple[int, str, int, str]) -> None:
        if self._pack is None:
            self._scratch.parent.mkdir(parents=True, exist_ok=True)
            self._pack = os.open(self._scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            self._scratch.unlink()  # gone with the process, however it ends
        named = {self._where[digest][1]: digest for digest in self._cells[group]}
        place = self._origins[group[0]].place
        for ref, data in read_image_bytes(place, sorted(named), max_bytes=self._limits.max_image_bytes):
            if isinstance(data, Reject):
                self._copied[named[ref]] = data
                continue
            offset = os.lseek(self._pack, 0, os.SEEK_END)
            view = memoryview(data)
            while view:
                view = view[os.write(self._pack, view) :]
            self._copied[named[ref]] = (offset, len(data))

    def close(self) -> None:
        """Lets go of the scratch file."""
        if self._pack is not None:
            os.close(self._pack)
            self._pack = None
