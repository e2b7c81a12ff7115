"""The join of shingle sets: rows that share a rare shingle, less what cannot be similar enough; the rest measured.

The shingles are joined a range of their digests at a time, each in a task of its own, so that memory is bounded by how
many ranges there are; what is found does not depend on that. near.py makes the arrays in worker processes.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.buckets import distinct
from infimed_data.dedup.components import components
from infimed_data.dedup.shingles import HASH_BITS
from infimed_data.storage.arrays import map_array, save_array

__all__ = ["BITMAP_BITS", "ENTRY_BYTES", "PREFIX_HASH_BITS", "JoinTask", "Sets", "join_range", "union", "verified"]

PREFIX_HASH_BITS = 34
"""Bits of a prefix shingle's digest."""
RANK_BITS = 64 - PREFIX_HASH_BITS
BITMAP_BITS = 512
"""Bits of the signature that refuses most pairs without a look at their sets."""
ENTRY_BYTES = 96
"""What joining one prefix shingle of one row takes at most, less the pairs that are found."""
ALL_PAIRS = 256
"""Rows that share a prefix shingle are all compared with one another up to this number of them; beyond, each with its
next `ALL_PAIRS ** 2 / number` by size, at least 8."""
ALL_MEASURED = 1 << 18
"""Up to this many likely pairs are all measured; of more, only those that other pairs do not link already."""
SLICE = 1 << 19
PAIRS_AT_A_TIME = 1 << 12
SHINGLES_AT_A_TIME = 1 << 20
_PENDING = 1 << 21
"""Pairs of one range that are held before those that were found twice are taken out."""


@dataclass(frozen=True, slots=True)
class JoinTask:
    """One range of prefix shingles to be joined."""

    prefixes: tuple[Path, ...]
    """Arrays of prefix shingles, sorted: the digest, and below it in `RANK_BITS` bits a row's number in its task."""
    ranks: tuple[Path, ...]
    """For each of these the rank of each row by its number."""
    first: int
    last: int
    """The range of digests, the last one included."""
    sizes: Path
    """Size of each set, by rank: ranks are by size and digest, so they do not depend on the order of rows."""
    bitmaps: Path
    """(ranks, words)."""
    threshold: float
    out: Path


def join_range(task: JoinTask) -> tuple[int, int]:
    """Writes pairs of rows that share a prefix shingle of the range, have sizes that allow them, and are not refused by
    their bitmaps: ranks, the smaller one in the upper half of a number, distinct and sorted.

    Returns (pairs that were compared, pairs that were passed over because too many rows share their shingle).
    """
    keys = _keys(task)
    if not len(keys):
        save_array(task.out, keys)
        return 0, 0
    size, bitmaps = map_array(task.sizes), map_array(task.bitmaps)
    who = (keys & np.uint64((1 << RANK_BITS) - 1)).astype(np.int32)
    keys >>= np.uint64(RANK_BITS)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    del keys
    crowd = np.diff(np.append(starts, len(who)))
    reach = np.where(crowd <= ALL_PAIRS, crowd, np.maximum(8, ALL_PAIRS * ALL_PAIRS // crowd))
    passed_over = int(((crowd * (crowd - 1) // 2) - _within(crowd, reach)).sum())
    limits = np.repeat(starts + crowd, crowd)
    limits = np.minimum(limits, np.arange(1, len(who) + 1) + np.repeat(reach, crowd))
    found, pending, compared = [np.zeros(0, np.uint64)], 0, 0  # the first of `found` has no pair twice
    for start in range(0, len(who), SLICE):
        at = np.arange(start, min(start + SLICE, len(who)))
        step = 1
        at = at[at + step < limits[at]]
        while len(at):
            a, b = who[at], who[at + step]
            fits = size[a] >= task.threshold * size[b] - 1e-9  # ranks are by size: b is the larger one
            a, b = a[fits], b[fits]
            compared += len(a)
            likely = _may_be_similar(bitmaps, size, a, b, task.threshold)
            found.append((a[likely].astype(np.uint64) << np.uint64(32)) | b[likely].astype(np.uint64))
            pending += len(found[-1])
            if pending > max(_PENDING, len(found[0])):
                found, pending = [distinct(np.concatenate(found))], 0
            # Those after a row that is too large are larger still.
            at, step = at[fits], step + 1
            at = at[at + step < limits[at]]
    save_array(task.out, distinct(np.concatenate(found)))
    return compared, passed_over


def _keys(task: JoinTask) -> NDArray[np.uint64]:
    """The prefix shingles of the range, each with the rank of its row, sorted."""
    low = np.uint64(task.first << RANK_BITS)
    high = np.uint64((task.last << RANK_BITS) | ((1 << RANK_BITS) - 1))
    mask = np.uint64((1 << RANK_BITS) - 1)
    found = [np.zeros(0, np.uint64)]
    for prefixes, ranks in zip(task.prefixes, task.ranks, strict=True):
        entries = map_array(prefixes)
        own = entries[entries.searchsorted(low) : entries.searchsorted(high, side="right")]
        found.append((own & ~mask) | map_array(ranks)[(own & mask).astype(np.int64)].astype(np.uint64))
    keys = np.concatenate(found)
    keys.sort()
    return keys


def union(parts: Sequence[Path], at_a_time: int) -> NDArray[np.uint64]:
    """The distinct pairs of several files of them, sorted; about so many are sorted at a time."""
    arrays = [map_array(path) for path in parts]
    total = sum(len(array) for array in arrays)
    last = max((int(array[-1]) >> 32 for array in arrays if len(array)), default=0)
    ranges = max(1, min(last + 1, -(-total // max(1, at_a_time))))
    bounds = [np.uint64((last + 1) * number // ranges << 32) for number in range(ranges + 1)]
    found = [np.zeros(0, np.uint64)]
    for low, high in pairwise(bounds):
        some = [array[array.searchsorted(low) : array.searchsorted(high)] for array in arrays]
        found.append(distinct(np.concatenate(some)) if some else np.zeros(0, np.uint64))
    return np.concatenate(found)


def _within(crowd: NDArray[np.int64], reach: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of a row with one of the next `reach` rows, in each crowd."""
    reach = np.minimum(reach, crowd - 1)
    return reach * crowd - reach * (reach + 1) // 2


def _may_be_similar(
    bitmaps: NDArray[np.uint64], size: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """False where the bitmaps prove that a pair is not similar enough.

    Each bit that only one of them has is at least one shingle that only one of them has.
    """
    likely = np.zeros(len(a), np.bool_)
    for start in range(0, len(a), SLICE // 8):
        i, j = a[start : start + SLICE // 8], b[start : start + SLICE // 8]
        x, y = bitmaps[i], bitmaps[j]
        both = size[i] + size[j]
        only_i = np.bitwise_count(x & ~y).sum(axis=1, dtype=np.int64)
        only_j = np.bitwise_count(y & ~x).sum(axis=1, dtype=np.int64)
        common = np.minimum(size[i] - only_i, size[j] - only_j)
        likely[start : start + SLICE // 8] = common * (1 + threshold) >= threshold * both - 1e-9
    return likely


class Sets:
    """The shingle sets of some rows, one after the other in a file; used in a `with` block.

    The file is mapped, and its pages are given back before they are many.
    """

    def __init__(
        self, path: Path, rows: NDArray[np.int64], sizes: NDArray[np.int64], *, hold_bytes: int = 1 << 26
    ) -> None:
        self._rows, self._sizes = rows, sizes
        self._starts = np.cumsum(sizes) - sizes
        self._hold_bytes, self._touched = hold_bytes, 0
        self._map: mmap.mmap | None = None
        self._shingles = np.zeros(0, np.uint64)
        if path.stat().st_size:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._shingles = np.frombuffer(self._map, np.uint64)

    def __enter__(self) -> Sets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shingles = np.zeros(0, np.uint64)
        if self._map is not None:
            self._map.close()

    def jaccard(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of each pair of rows, exact but for 48-bit digests that are equal by chance."""
        similarity = np.zeros(len(pairs))
        shingles = np.cumsum(self._sizes[np.searchsorted(self._rows, pairs)].sum(axis=1)) if len(pairs) else similarity
        start = stop = 0
        while (start := stop) < len(pairs):
            before = shingles[start - 1] if start else 0
            stop = int(np.searchsorted(shingles, before + SHINGLES_AT_A_TIME))
            stop = max(start + 1, min(stop, start + PAIRS_AT_A_TIME))
            places = np.searchsorted(self._rows, pairs[start:stop])
            sizes = self._sizes[places]
            whole = sizes.sum(axis=1)
            lengths = sizes.ravel()
            ends = np.cumsum(lengths)
            at = np.arange(ends[-1]) + np.repeat(self._starts[places].ravel() - (ends - lengths), lengths)
            numbers = np.repeat(np.arange(len(places), dtype=np.uint64), whole)
            keys = (numbers << np.uint64(HASH_BITS)) | self._shingles[at]
            self._give_back(len(at))
            keys.sort()
            twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
            common = np.bincount(twice.astype(np.int64), minlength=len(places))
            similarity[start:stop] = common / (whole - common)
        return similarity

    def _give_back(self, shingles: int) -> None:
        self._touched += shingles * 8
        if self._touched > self._hold_bytes and self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


def verified(
    rows: NDArray[np.int64], pairs: NDArray[np.uint64], sets: Sets, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(pairs of ranks that are similar enough, shape (n, 2); their Jaccard similarity).

    `rows` has the row of each rank, `pairs` are as `union` gives them. Of many pairs only as many are measured as it
    takes to know what is linked to what: first one for each row, then twice as many of those that are still apart, and
    so on.
    """
    take = len(pairs) if len(pairs) <= ALL_MEASURED else 1
    good, similarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    while len(pairs):
        first = pairs >> np.uint64(32)
        firsts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
        counts = np.diff(np.append(firsts, len(pairs)))
        chosen = np.arange(len(pairs)) - np.repeat(firsts, counts) < take
        ranks = _halves(pairs[chosen])
        similarity = sets.jaccard(rows[ranks])
        enough = similarity >= threshold - 1e-12
        good.append(ranks[enough])
        similarities.append(similarity[enough])
        linked = np.concatenate(good)
        label = components(len(rows), linked[:, 0], linked[:, 1])
        pairs = pairs[~chosen]
        one, other = _halves(pairs).T
        pairs = pairs[label[one] != label[other]]
        take *= 2
    return np.concatenate(good), np.concatenate(similarities)


def _halves(pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n, 2): the two ranks of each pair."""
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
