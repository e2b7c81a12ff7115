"""Key to place: 16 bytes a record in sorted arrays, plus a directory that makes a look-up one short step.

Keys are digests, so they spread evenly: the directory over their leading bits leaves about two records to look at,
whatever the number of records. New records go to a dict, which is merged into the arrays now and then.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Index", "place_of", "split_place"]

_OFFSET_BITS, _SLOT_BITS = 34, 6
_FRESH = 8192
"""New records that are held in a dict before they are merged."""


def place_of(segment: int, offset: int, slot: int) -> int:
    """Segment's number, frame's offset (up to 16 GB) and position in the frame as one number."""
    return (segment << (_OFFSET_BITS + _SLOT_BITS)) | (offset << _SLOT_BITS) | slot


def split_place(place: int) -> tuple[int, int, int]:
    """(segment's number, frame's offset, position in the frame)."""
    return (
        place >> (_OFFSET_BITS + _SLOT_BITS),
        (place >> _SLOT_BITS) & ((1 << _OFFSET_BITS) - 1),
        place & ((1 << _SLOT_BITS) - 1),
    )


class Index:
    """Places by key. The first place that a key was given comes first."""

    def __init__(self) -> None:
        self._fresh: dict[bytes, int] = {}
        self._heads: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._shift = np.uint64(63)
        self._starts: NDArray[np.uint32] = np.zeros(3, np.uint32)

    def __len__(self) -> int:
        return len(self._heads) + len(self._fresh)

    @property
    def size_bytes(self) -> int:
        """Memory of the arrays."""
        return self._heads.nbytes + self._places.nbytes + self._starts.nbytes

    def candidates(self, key: bytes) -> Iterator[int]:
        """Places that may hold `key`: nearly always one or none; the record there says whether it is this key."""
        head = int.from_bytes(key[:8], "big")
        if len(self._heads):
            bucket = head >> int(self._shift)
            for at in range(int(self._starts[bucket]), int(self._starts[bucket + 1])):
                if int(self._heads[at]) == head:
                    yield int(self._places[at])
        place = self._fresh.get(key)
        if place is not None:
            yield place

    def add(self, key: bytes, place: int) -> None:
        """Adds one record."""
        self._fresh.setdefault(key, place)
        if len(self._fresh) >= max(_FRESH, len(self._heads) >> 4):
            self.add_all(np.empty(0, np.uint64), np.empty(0, np.uint64))

    def add_all(self, heads: NDArray[np.uint64], places: NDArray[np.uint64]) -> None:
        """Adds many records: the leading 8 bytes of each key, and its place."""
        fresh = np.fromiter((int.from_bytes(key[:8], "big") for key in self._fresh), np.uint64, len(self._fresh))
        fresh_places = np.fromiter(self._fresh.values(), np.uint64, len(self._fresh))
        self._fresh = {}
        all_heads = np.concatenate([self._heads, fresh, heads])
        all_places = np.concatenate([self._places, fresh_places, places])
        order = np.argsort(all_heads, kind="stable")
        self._heads, self._places = all_heads[order], all_places[order]
        bits = min(28, max(1, len(order).bit_length() - 1))
        self._shift = np.uint64(64 - bits)
        edges = np.arange(1 << bits, dtype=np.uint64) << self._shift
        self._starts = np.append(np.searchsorted(self._heads, edges), len(order)).astype(np.uint32)
