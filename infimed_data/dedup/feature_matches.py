"""Local features that are one: they meet in buckets of equal bits, and differ in few of all.

A key is a set of the steadiest bits, reduced to the smallest of the values that the feature's eight turned copies take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.buckets import Capped, bucket_pairs, bucket_pairs_between, distinct, mixed
from infimed_data.engine import default_processes
from infimed_data.images.hashes import TOGGLES, transposed, views_of

__all__ = ["MAX_BITS", "MOST_BITS", "find_matches"]

MAX_BITS = 12
"""Bits of 64 in which two features that are one may differ."""
_KEYS = 12
_STEADY = (
    (0, 1), (1, 2), (0, 3), (2, 3), (3, 3), (0, 4), (1, 3), (2, 4), (1, 1), (0, 2), (4, 4), (3, 5), (0, 0), (0, 6),
    (2, 6), (5, 5), (6, 7), (1, 5), (1, 4), (4, 6), (3, 4),
)  # fmt: skip
"""Frequencies (u, v) whose signs, and those of (v, u), changed least in cropped and resized copies: 5 to 13 of 100."""
MOST_BITS = 32
"""Bits of a key at most: of 37 that are steady, so that keys differ."""
_THREADS = min(4, default_processes())
_CHUNK = 1 << 15

_Meeting = tuple[NDArray[np.int64], NDArray[np.int64]]


def find_matches(
    patches: NDArray[np.uint64], owner: NDArray[np.int32], flagged: NDArray[np.bool_] | None, bits: int, whole: int,
    capped: Capped, most: int,
) -> Iterator[NDArray[np.uint64]]:  # fmt: skip
    """Features that are one, packed: the one's number (30 bits), the other's (30), the view of the other (3).

    Keys have so many `bits`; a bucket of more than `whole` features matches nobody. Of one `owner` no two match, and
    with `flagged` only a flagged and an unflagged one. Comes in sorted arrays, each of about `most` or fewer; two may
    have the same.
    """
    found, pending = [np.zeros(0, np.uint64)], 0
    with ThreadPoolExecutor(_THREADS) as threads:
        for mask in _masks(bits):
            keys, turned, turns = _keyed(patches, mask)
            if flagged is None:
                meetings = bucket_pairs(keys, whole=whole, window=0, capped=capped)
            else:
                meetings = bucket_pairs_between(keys, flagged, ~flagged, whole=whole, window=0, capped=capped)
            for matches in _in_order(threads, _Near(owner, turned, turns), meetings):
                found.append(matches)
                pending += len(matches)
                if pending > most:
                    found = [distinct(np.concatenate(found))]
                    pending = len(found[0])
                    if 2 * pending > most:
                        yield found[0]
                        found, pending = [np.zeros(0, np.uint64)], 0
    yield distinct(np.concatenate(found))


@dataclass(frozen=True)
class _Near:
    """Which features that meet are one, packed."""

    owner: NDArray[np.int32]
    turned: NDArray[np.uint64]
    turns: NDArray[np.uint8]

    def __call__(self, meeting: _Meeting) -> NDArray[np.uint64]:
        one, other = meeting
        near = np.bitwise_count(self.turned[one] ^ self.turned[other]) <= MAX_BITS
        one, other = one[near], other[near]
        apart = self.owner[one] != self.owner[other]
        one, other = one[apart], other[apart]
        swap = one > other
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        packed: NDArray[np.uint64] = _RELATIVE[self.turns[one], self.turns[other]].astype(np.uint64)
        packed |= (one.astype(np.uint64) << np.uint64(33)) | (other.astype(np.uint64) << np.uint64(3))
        return packed


def _in_order(
    threads: ThreadPoolExecutor, function: Callable[[_Meeting], NDArray[np.uint64]], meetings: Iterable[_Meeting]
) -> Iterator[NDArray[np.uint64]]:
    """What the function gives for each meeting, in their order; a few are on their way at a time."""
    pending: deque[Future[NDArray[np.uint64]]] = deque()
    for meeting in meetings:
        pending.append(threads.submit(function, meeting))
        if len(pending) > _THREADS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@lru_cache(maxsize=4)
def _masks(bits: int) -> tuple[np.uint64, ...]:
    """Sets of `bits` of the steadiest bits, closed under the exchange of u and v; each bit is in about as many sets."""
    used = [0.0] * len(_STEADY)
    masks = []
    for number in range(_KEYS):
        luck = mixed(np.arange(len(_STEADY), dtype=np.uint64) + np.uint64(100 * number + 1)) >> np.uint64(40)
        order = np.argsort(np.array(used) + luck * (0.9 / 2**24), kind="stable")
        mask, left = 0, bits
        for at in order.tolist():
            u, v = _STEADY[at]
            if (size := 1 if u == v else 2) <= left:
                mask |= (1 << (63 - (8 * u + v))) | (1 << (63 - (8 * v + u)))
                left -= size
                used[at] += 1
        masks.append(np.uint64(mask))
    return tuple(masks)


def _keyed(
    patches: NDArray[np.uint64], mask: np.uint64
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint8]]:
    """(smallest value of the bits under the mask in the eight upright views, the patch in a view in which they have it,
    that view)."""
    keys, turned, turns = np.empty_like(patches), np.empty_like(patches), np.empty(len(patches), np.uint8)
    for start in range(0, len(patches), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        plain, flips = _flipped(patches[chunk], mask)
        across, other_flips = _flipped(transposed(patches[chunk]), mask)
        key, other = plain & mask, across & mask
        less = other < key
        keys[chunk] = np.minimum(key, other)
        turned[chunk] = np.where(less, across, plain)
        turns[chunk] = np.where(less, other_flips + np.uint8(4), flips)
    return keys, turned, turns


def _flipped(patches: NDArray[np.uint64], mask: np.uint64) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """(patches flipped so that their bits under the mask are the smallest number of the four; by which flips).

    Flips toggle sets of bits. One of two sets decides the highest bit that any of them has, the other (or both
    together) the highest that this one leaves undecided: two looks at one bit each instead of four comparisons.
    """
    sets = sorted(((int(TOGGLES[flips] & mask), flips) for flips in range(1, 4)), reverse=True)
    high, by_high = sets[0]
    low, by_low = sets[2]
    low, by_low = min((low, by_low), (low ^ high, by_low ^ by_high))
    flips = np.zeros(len(patches), np.uint8)
    for toggled, by in ((high, by_high), (low, by_low)):
        if toggled:
            chosen = (patches >> np.uint64(toggled.bit_length() - 1)) & np.uint64(1)
            patches = patches ^ chosen * TOGGLES[by]
            flips ^= chosen.astype(np.uint8) * np.uint8(by)
    return patches, flips


def _relative_views() -> NDArray[np.uint8]:
    """[a, b] is the view in which the other has to be seen to be the one, where the one seen as a is the other as b."""
    sample = np.array([0x0123456789ABCDEF], np.uint64)
    seen = views_of(sample, inverted=False)[0]
    table = np.zeros((8, 8), np.uint8)
    for other in range(8):
        for one in range(8):
            # The one is that view of the sample which, seen as `one`, is what the sample is seen as `other`.
            table[one, other] = next(
                view for view in range(8) if views_of(seen[view : view + 1], inverted=False)[0, one] == seen[other]
            )
    return table


_RELATIVE = _relative_views()
