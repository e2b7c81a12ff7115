"""Searches the pictures of a source for what may point at a person, a task at a time: the headers of each file, and
once a picture its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from infimed_data.images.pixels import Canvas, blob_digest, decode
from infimed_data.phi.headers import find_in_headers
from infimed_data.phi.pictures import find_in_pixels
from infimed_data.phi.reading import open_reader
from infimed_data.phi.texts import as_record
from infimed_data.schema import PHI_LOOKED, Reject
from infimed_data.signals import read_image_bytes
from infimed_data.storage.places import Place
from infimed_data.storage.stages import read_table, write_table

__all__ = ["PhiImageTask", "search_images"]


@dataclass(frozen=True)
class PhiImageTask:
    """References to search, and earlier outputs in which pictures are looked up that were searched before."""

    place: Place
    refs: tuple[str, ...]
    known: tuple[Path, ...]
    max_bytes: int
    max_pixels: int
    ocr: bool
    out: Path


def search_images(task: PhiImageTask) -> dict[str, int]:
    """Writes `schema.PHI_LOOKED`; returns how many pictures were read and how many decoded.

    A file that cannot be read or decoded is left out: it has no pixels, and its row is dropped for that.
    """
    known = _known(task.known)
    reader = open_reader() if task.ocr else None
    canvas = Canvas()
    records: list[dict[str, Any]] = []
    fresh: dict[str, list[dict[str, Any]]] = {}
    seen: dict[str, list[dict[str, Any]]] = {}
    decoded = read = 0
    for ref, data in read_image_bytes(task.place, task.refs, max_bytes=task.max_bytes):
        read += 1
        if isinstance(data, Reject):
            continue
        blob = blob_digest(data)
        own = fresh.get(blob) or known.of_blob(blob)
        if own is None:
            try:
                headers = find_in_headers(data, max_pixels=task.max_pixels)
                picture = decode(data, max_pixels=task.max_pixels, canvas=canvas)
            except Reject:
                continue
            in_pixels = seen.get(picture.digest) or known.of_digest(picture.digest)
            if in_pixels is None:
                decoded += 1
                in_pixels = [as_record(f) for f in find_in_pixels(picture.pixels, reader)] or [{"kind": None}]
                seen[picture.digest] = in_pixels
            own = [as_record(f) for f in headers] + [record for record in in_pixels if record["kind"] is not None]
            own = [{**record, "blob": blob, "digest": picture.digest} for record in own or [{"kind": None}]]
            fresh[blob] = own
        records += [{**record, "ref": ref} for record in own]
    write_table(task.out, pa.Table.from_pylist(records, PHI_LOOKED), PHI_LOOKED)
    return {"read": read, "decoded": decoded}


class _Known:
    """What earlier tasks found, by the digest of a file's bytes and by that of its pixels."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        tables = [pl.DataFrame(PHI_LOOKED.empty_table()), *(pl.DataFrame(read_table(path)) for path in paths)]
        self._table = pl.concat(tables)
        self._blobs, self._digests = (self._places(name) for name in ("blob", "digest"))

    def _places(self, name: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        refs: dict[str, str] = {}
        for at, (value, ref) in enumerate(self._table.select(name, "ref").iter_rows()):
            if refs.setdefault(value, ref) == ref:  # another reference to it repeats the same findings
                found.setdefault(value, []).append(at)
        return found

    def of_blob(self, blob: str) -> list[dict[str, Any]] | None:
        """Everything found in a file with these bytes; None where it was not searched."""
        places = self._blobs.get(blob)
        return None if places is None else self._table[places].drop("ref").to_dicts()

    def of_digest(self, digest: str) -> list[dict[str, Any]] | None:
        """What was found in these pixels; None where they were not searched."""
        places = self._digests.get(digest)
        if places is None:
            return None
        records = self._table[places].drop("ref", "blob", "digest").to_dicts()
        return [record for record in records if record["field"] == "pixels"] or [{"kind": None}]


@lru_cache(maxsize=2)
def _known(paths: tuple[Path, ...]) -> _Known:
    return _Known(paths)
