"""The join of shingle sets: rows that share a rare shingle, less what cannot be similar enough; the rest measured.

Everything here is arrays of one process; near.py makes them in worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.components import components
from infimed_data.dedup.shingles import HASH_BITS

__all__ = ["BITMAP_BITS", "PREFIX_HASH_BITS", "Likely", "Sets", "likely_pairs", "verified"]

PREFIX_HASH_BITS = 34
"""Bits of a prefix shingle's digest."""
BITMAP_BITS = 512
"""Bits of the signature that refuses most pairs without a look at their sets."""
ALL_PAIRS = 256
"""Rows that share a prefix shingle are all compared with one another up to this number of them; beyond, each with its
next `ALL_PAIRS ** 2 / number` by size, at least 8."""
ALL_MEASURED = 1 << 18
"""Up to this many likely pairs are all measured; of more, only those that other pairs do not link already."""
SLICE = 1 << 21
PAIRS_AT_A_TIME = 1 << 12


@dataclass(frozen=True, slots=True)
class Likely:
    """Pairs that the prefixes and bitmaps leave."""

    rows: NDArray[np.int64]
    """The row of each rank: ranks are by size and digest, so they do not depend on the order of rows."""
    pairs: NDArray[np.int64]
    """Pairs of ranks, shape (pairs, 2), the smaller one first, sorted."""
    compared: int
    passed_over: int


def likely_pairs(
    docs: NDArray[np.int64],
    sizes: NDArray[np.int64],
    digests: NDArray[np.uint64],
    bitmaps: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    owners: NDArray[np.int64],
    threshold: float,
) -> Likely:
    """Pairs of rows that share a prefix shingle, have sizes that allow them, and are not refused by their bitmaps.

    `docs` are rows, sorted, with the `sizes` and `digests` of their sets and their `bitmaps` (shape (rows, words));
    `hashes` are prefix shingles (`PREFIX_HASH_BITS` bits) and `owners` the rows that have them.
    """
    order = np.lexsort((digests, sizes))
    rank = np.empty(len(docs), np.int64)
    rank[order] = np.arange(len(docs))
    bitmaps, size, rows = bitmaps[order], sizes[order], docs[order]
    keys = (hashes << np.uint64(64 - PREFIX_HASH_BITS)) | rank[np.searchsorted(docs, owners)].astype(np.uint64)
    keys.sort()
    who = (keys & np.uint64((1 << (64 - PREFIX_HASH_BITS)) - 1)).astype(np.int64)
    what = keys >> np.uint64(64 - PREFIX_HASH_BITS)
    starts = np.flatnonzero(np.concatenate([[True], what[1:] != what[:-1]]))
    crowd = np.diff(np.append(starts, len(what)))
    ends = np.repeat(starts + crowd, crowd)
    reach = np.where(crowd <= ALL_PAIRS, crowd, np.maximum(8, ALL_PAIRS * ALL_PAIRS // crowd))
    passed_over = int(((crowd * (crowd - 1) // 2) - _within(crowd, reach)).sum())
    limits = np.minimum(ends, np.arange(len(who)) + np.repeat(reach, crowd) + 1)
    found, compared = [], 0
    for start in range(0, len(who), SLICE):
        stop = min(start + SLICE, len(who))
        at = np.arange(start, stop)
        step = 1
        at = at[at + step < limits[at]]
        while len(at):
            a, b = who[at], who[at + step]
            fits = size[a] >= threshold * size[b] - 1e-9  # ranks are by size: b is the larger one
            a, b = a[fits], b[fits]
            compared += len(a)
            likely = _may_be_similar(bitmaps, size, a, b, threshold)
            found.append((a[likely].astype(np.uint64) << np.uint64(32)) | b[likely].astype(np.uint64))
            # Those after a row that is too large are larger still.
            at, step = at[fits], step + 1
            at = at[at + step < limits[at]]
    both = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)
    pairs = np.stack([both >> np.uint64(32), both & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    return Likely(rows, pairs, compared, passed_over)


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
    """The shingle sets of some rows."""

    def __init__(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], shingles: NDArray[np.uint64]) -> None:
        self._rows, self._sizes, self._shingles = rows, sizes, shingles
        self._starts = np.cumsum(sizes) - sizes

    def jaccard(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of each pair of rows, exact but for 48-bit digests that are equal by chance."""
        similarity = np.zeros(len(pairs))
        for start in range(0, len(pairs), PAIRS_AT_A_TIME):
            places = np.searchsorted(self._rows, pairs[start : start + PAIRS_AT_A_TIME])
            sizes = self._sizes[places]
            whole = sizes.sum(axis=1)
            lengths = sizes.ravel()
            ends = np.cumsum(lengths)
            at = np.arange(ends[-1]) + np.repeat(self._starts[places].ravel() - (ends - lengths), lengths)
            numbers = np.repeat(np.arange(len(places), dtype=np.uint64), whole)
            keys = (numbers << np.uint64(HASH_BITS)) | self._shingles[at]
            keys.sort()
            twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
            common = np.bincount(twice.astype(np.int64), minlength=len(places))
            similarity[start : start + PAIRS_AT_A_TIME] = common / (whole - common)
        return similarity


def verified(likely: Likely, sets: Sets, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(pairs of ranks that are similar enough, their Jaccard similarity).

    Of many pairs only as many are measured as it takes to know what is linked to what: first one for each row, then
    twice as many of those that are still apart, and so on.
    """
    pairs = likely.pairs
    take = len(pairs) if len(pairs) <= ALL_MEASURED else 1
    good, similarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    while len(pairs):
        firsts = np.flatnonzero(np.concatenate([[True], pairs[1:, 0] != pairs[:-1, 0]]))
        counts = np.diff(np.append(firsts, len(pairs)))
        chosen = np.arange(len(pairs)) - np.repeat(firsts, counts) < take
        similarity = sets.jaccard(likely.rows[pairs[chosen]])
        enough = similarity >= threshold - 1e-12
        good.append(pairs[chosen][enough])
        similarities.append(similarity[enough])
        linked = np.concatenate(good)
        label = components(len(likely.rows), linked[:, 0], linked[:, 1])
        pairs = pairs[~chosen]
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
        take *= 2
    return np.concatenate(good), np.concatenate(similarities)
