"""All pairs of 64-bit hashes within a radius, by pigeonhole: whoever differs in few bits agrees on some blocks.

The 64 bits are cut into `radius + 2` blocks. Two hashes within the radius leave two blocks untouched, so they meet in
the bucket of that pair of blocks: recall is exact, except in buckets that are capped.

Hashes of pictures may be joined in all sixteen views (`infimed_data.images.hashes`). A block holds both (u, v) and
(v, u), so the smallest of the sixteen values that two blocks take is the same for a picture and its turned copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.buckets import Capped, bucket_pairs, bucket_pairs_between, distinct
from infimed_data.images.hashes import TOGGLES, VIEWS, transposed

__all__ = ["WHOLE", "WINDOW", "Near", "near_pairs", "nearest_views"]

WHOLE = 128
"""Hashes that a bucket may have for all its pairs to be compared."""
WINDOW = 4
"""In a larger bucket, a hash is compared with this many that follow it in the order of their values."""
_PENDING = 8_000_000


@dataclass(frozen=True)
class Near:
    """Pairs of different hashes. Equal hashes are one: what shares a hash is for the caller to expand."""

    hashes: NDArray[np.uint64]
    """The distinct hashes, ascending."""
    number: NDArray[np.int64]
    """For each hash that was given, its place in `hashes`."""
    one: NDArray[np.int64]
    """Place in `hashes` of the smaller hash of each pair, ascending; then by the larger."""
    other: NDArray[np.int64]
    distance: NDArray[np.uint8]
    view: NDArray[np.uint8]
    """Which of `VIEWS` of the other hash is that near to the one; 0 where views were not asked for."""
    capped_buckets: int
    skipped: int
    """Comparisons not made in capped buckets; a pair skipped in one bucket may have been found in another."""


def near_pairs(
    hashes: NDArray[np.uint64], radius: int, *, views: bool = False, left: NDArray[np.bool_] | None = None,
    whole: int = WHOLE, window: int = WINDOW,
) -> Near:  # fmt: skip
    """All pairs of distinct hashes at most `radius` bits apart, in the order of their values.

    With `views`, the distance is the smallest over the sixteen views. With `left` (one flag a hash), only pairs of a
    flagged and an unflagged hash are returned, and a flagged hash in a capped bucket is compared with `whole` others. A
    hash that is given with both flags stands on both sides. Raises `ValueError` for a radius outside 0 to 10.
    """
    if not 0 <= radius <= 10:
        raise ValueError(f"radius: {radius}; allowed: 0 to 10")
    values, number = np.unique(np.asarray(hashes, np.uint64), return_inverse=True)
    sides = np.zeros((2, len(values)), np.bool_)
    if left is not None:
        sides[0][number[left]] = True
        sides[1][number[~left]] = True
    capped = Capped()
    found = [np.zeros(0, np.uint64)]
    pending = 0
    for mask in _masks(len(values), radius, views):
        keys = _keys(values, mask, views)
        if left is None:
            meetings = bucket_pairs(keys, whole=whole, window=window, capped=capped)
        else:
            meetings = bucket_pairs_between(keys, sides[0], sides[1], whole=whole, window=whole // 2, capped=capped)
        for one, other in meetings:
            near = _distances(values[one], values[other], views) <= radius
            one, other = one[near], other[near]
            found.append(
                np.minimum(one, other).astype(np.uint64) << np.uint64(32) | np.maximum(one, other).astype(np.uint64)
            )
            pending += len(one)
            if pending > _PENDING:
                found, pending = [distinct(np.concatenate(found))], 0
    pairs = distinct(np.concatenate(found))
    one, other = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    one, other = one[one != other], other[one != other]
    if views:
        distance, view = nearest_views(values[one], values[other])
    else:
        distance, view = _distances(values[one], values[other], False), np.zeros(len(one), np.uint8)
    return Near(values, number.astype(np.int64), one, other, distance, view, capped.buckets, capped.skipped)


def nearest_views(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(bits that differ, in which of `VIEWS` of the other): the first view with the smallest distance, pair by pair."""
    distance = np.bitwise_count(one ^ other)
    view = np.zeros(len(one), np.uint8)
    turned = transposed(other)
    for number in range(16):
        base = turned if VIEWS[number].transposed else other
        bits = np.bitwise_count(one ^ base ^ TOGGLES[number & 3])
        if VIEWS[number].inverted:
            bits = np.uint8(64) - bits
        closer = bits < distance
        np.copyto(distance, bits, where=closer)
        view[closer] = number
    return distance, view


def _distances(one: NDArray[np.uint64], other: NDArray[np.uint64], views: bool) -> NDArray[np.uint8]:
    """Bits that differ; with views, in the nearest."""
    if not views:
        plain: NDArray[np.uint8] = np.bitwise_count(one ^ other)
        return plain
    least, most = np.full(len(one), 64, np.uint8), np.zeros(len(one), np.uint8)
    for base in (one ^ other, one ^ transposed(other)):
        for toggle in TOGGLES:
            bits = np.bitwise_count(base ^ toggle)
            np.minimum(least, bits, out=least)
            np.maximum(most, bits, out=most)
    nearest: NDArray[np.uint8] = np.minimum(least, np.uint8(64) - most)  # an inverted view complements all bits
    return nearest


def _masks(count: int, radius: int, views: bool) -> list[np.uint64]:
    """The sets of bits to sort by: all choices of as many blocks as leave small buckets."""
    needed = max(count, 2).bit_length() - 4 + (4 if views else 0)
    together = next((t for t in range(1, 5) if 64 * t >= needed * (radius + t)), 4)
    blocks = _blocks(radius + together)
    return [np.uint64(sum(chosen)) for chosen in combinations(blocks, together)]


def _blocks(count: int) -> list[int]:
    """64 bits cut into blocks of nearly equal size, each closed under the exchange of u and v."""
    blocks = [0] * count
    orbits = [((u, v), (v, u)) for u in range(8) for v in range(u + 1, 8)] + [((u, u),) for u in range(8)]
    for orbit in orbits:
        at = min(range(count), key=lambda n: (blocks[n].bit_count(), n))
        blocks[at] |= sum(1 << (63 - (8 * u + v)) for u, v in orbit)
    return blocks


def _keys(hashes: NDArray[np.uint64], mask: np.uint64, views: bool) -> NDArray[np.uint64]:
    """What the bits under the mask are; with views, the smallest number that they are in any view."""
    if not views:
        return hashes & mask
    smallest = np.full(len(hashes), np.iinfo(np.uint64).max, np.uint64)
    for base in (hashes & mask, transposed(hashes) & mask):
        for toggle in TOGGLES:
            seen = base ^ (toggle & mask)
            np.minimum(smallest, seen, out=smallest)
            np.minimum(smallest, seen ^ mask, out=smallest)
    return smallest
