"""Pairs of things that have a key in common, from sorted keys: never all pairs, and never more than a stated number.

Members of a bucket (equal keys) stand in the order of their numbers. A bucket of at most `whole` members gives all its
pairs; a larger one is capped: each member is paired with the `window` members that follow it. Numbers that do not
depend on the order of the input (ranks of sorted hashes, say) make the pairs independent of it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Capped", "bucket_pairs", "bucket_pairs_between", "distinct", "mixed", "runs"]

_CHUNK = 1 << 21
_STEP = 1 << 15


@dataclass
class Capped:
    """What was not compared."""

    buckets: int = 0
    """Buckets that were too large to compare each member with every other."""
    skipped: int = 0
    """Comparisons that this saved, bucket by bucket: a pair may have been compared in another one."""


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values, each once, ascending. (`np.unique` hashes first, which takes ten times as long.)"""
    values = np.sort(values)
    kept: NDArray[np.uint64] = values[
        np.concatenate([np.ones(min(1, len(values)), np.bool_), values[1:] != values[:-1]])
    ]
    return kept


def bucket_pairs(
    keys: NDArray[np.uint64], *, whole: int, window: int, capped: Capped
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (smaller number, larger number) of positions in `keys` with one key, a few million at a time.

    Keys are compared by a digest of at least 64 - log2(len(keys)) bits: a pair of different keys may slip in, an equal
    pair is never lost.
    """
    count = len(keys)
    if count < 2:
        return
    bits = np.uint64((count - 1).bit_length())
    digests, members = _sorted(keys, np.arange(count), bits)
    begins = np.flatnonzero(np.concatenate([[True], digests[1:] != digests[:-1]]))
    del digests
    sizes = np.diff(np.concatenate([begins, [count]]))
    several = sizes > 1
    begins, sizes = begins[several], sizes[several]
    large = sizes > whole
    capped.buckets += int(large.sum())
    capped.skipped += int(_left_out(sizes[large], window).sum())
    reach = np.where(large, np.minimum(window, sizes - 1), sizes - 1)
    for offset in range(1, int(reach.max(initial=0)) + 1):
        far = reach >= offset
        begins, sizes, reach = begins[far], sizes[far], reach[far]
        for _, left in runs(begins, sizes - offset):
            yield members[left], members[left + offset]


def bucket_pairs_between(
    keys: NDArray[np.uint64], left: NDArray[np.bool_], right: NDArray[np.bool_], *, whole: int, window: int,
    capped: Capped,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:  # fmt: skip
    """Pairs (position of a left key, position of a right key) with one key; a key may stand on both sides.

    A left key whose bucket holds more than `whole` right ones is paired with the `window` nearest on either side.
    """
    lefts = np.flatnonzero(left)
    if not len(lefts):
        return
    bits = np.uint64(max(1, (len(keys) - 1).bit_length()))
    wanted, own = _sorted(keys[lefts], lefts, bits)
    rights = _hopeful(keys, right, keys[lefts])
    if not len(rights):
        return
    digests, members = _sorted(keys[rights], rights, bits)
    begins = np.searchsorted(digests, wanted)
    ends = np.searchsorted(digests, wanted, side="right")
    large = np.flatnonzero(ends - begins > whole)
    capped.buckets += len(distinct(wanted[large]))
    capped.skipped += int((ends[large] - begins[large]).sum())
    if window:
        for at in large:
            near = begins[at] + np.searchsorted(members[begins[at] : ends[at]], own[at])
            begins[at], ends[at] = max(begins[at], near - window), min(ends[at], near + window)
    else:
        ends[large] = begins[large]
    capped.skipped -= int((ends[large] - begins[large]).sum())
    for run, place in runs(begins, ends - begins):
        yield own[run], members[place]


def _hopeful(keys: NDArray[np.uint64], right: NDArray[np.bool_], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Positions of right keys that may be among `wanted`: the few that are worth sorting."""
    wide = np.uint64(40)
    seen = np.zeros(1 << 24, np.bool_)
    seen[mixed(wanted) >> wide] = True
    found = []
    for start in range(0, len(keys), _STEP):
        some = slice(start, start + _STEP)
        found.append(start + np.flatnonzero(seen[mixed(keys[some]) >> wide] & right[some]))
    return np.concatenate(found)


def _sorted(
    keys: NDArray[np.uint64], numbers: NDArray[np.int64], bits: np.uint64
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(digests of the keys, ascending; the numbers in that order, ascending for each digest)."""
    low = (np.uint64(1) << bits) - np.uint64(1)
    digests = np.empty(len(keys), np.uint64)
    for start in range(0, len(keys), _STEP):
        some = slice(start, start + _STEP)
        digests[some] = (mixed(keys[some]) & ~low) | numbers[some].astype(np.uint64)
    digests.sort()
    members = (digests & low).astype(np.int64)
    digests >>= bits
    return digests, members


def runs(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(number of the run, place) of every place in the runs, a chunk of runs at a time; one run at least."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        some = counts[first:last]
        run = np.repeat(np.arange(first, last), some)
        place = np.arange(int(some.sum())) + np.repeat(begins[first:last] - (np.cumsum(some) - some), some)
        yield run, place
        first = last


def _left_out(sizes: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Pairs of buckets of these sizes that lie further apart than `window`."""
    rest = np.maximum(sizes - 1 - window, 0)
    left_out: NDArray[np.int64] = rest * (rest + 1) // 2
    return left_out
