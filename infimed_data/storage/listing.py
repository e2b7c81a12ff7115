"""The members of one archive by name, in little memory: an archive of pictures may have a million."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from infimed_data.schema import Reject

__all__ = ["Extent", "Listing", "tidy_name"]

_ANY = "surrogatepass"
"""How names are encoded: of bytes that are no UTF-8, `tarfile` makes halves of characters."""


def tidy_name(name: str) -> str:
    """`name` as a relative POSIX path; raises `Reject("image_outside_root")` where it climbs out or is absolute."""
    posix = name.replace("\\", "/")
    if "\0" in posix or posix.startswith("/") or (len(posix) > 1 and posix[1] == ":"):
        raise Reject("image_outside_root", name, "a relative path inside the source's folder")
    parts = [part for part in posix.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise Reject("image_outside_root", name, "a relative path inside the source's folder")
    return "/".join(parts)


class Extent(NamedTuple):
    """Where a member's bytes are in its archive."""

    offset: int
    """A tar member's first byte; the header before a zip member's bytes."""
    size: int
    """Unpacked, as the archive says."""
    packed_size: int = 0
    """Of a zip member, and so are the next three."""
    crc: int = 0
    method: int = 0
    flags: int = 0


class Listing(Mapping[str, Extent]):
    """Name to extent, sorted by name; some 80 bytes a member."""

    def __init__(self, members: Mapping[str, Extent]) -> None:
        names = sorted(members)
        self._names = pa.array(map(_encoded, names), pa.large_binary())
        self._extents = np.array([members[name] for name in names], np.int64).reshape(-1, len(Extent._fields))
        hashes = np.array([_hash(name) for name in names], np.uint64)
        self._order = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._order]

    def __getitem__(self, name: str) -> Extent:
        wanted = np.uint64(_hash(name))
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            row = int(self._order[at])
            if self._names[row].as_py() == _encoded(name):
                return Extent(*self._extents[row].tolist())
            at += 1
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for name in self._names:
            yield name.as_py().decode("utf-8", _ANY)

    def __len__(self) -> int:
        return len(self._names)


def _hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(_encoded(name))


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", _ANY)
