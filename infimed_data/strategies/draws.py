"""Seeded draws: a number for each thing that has a name, whatever else there is and in whatever order it comes."""

from __future__ import annotations

from collections.abc import Mapping

import xxhash

__all__ = ["SPAN", "drawn", "shared_out"]

SPAN = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 over the golden ratio: steps of this size spread evenly over a circle, however many are taken."""


def drawn(seed: int, *names: str | int) -> int:
    """A number from 0 to `SPAN` - 1 that depends on the seed and the names alone, such as a uid and a purpose."""
    return xxhash.xxh3_64_intdigest("/".join(map(str, (seed, *names))).encode())


def shared_out(shares: Mapping[str, float], start: int, turn: int) -> str:
    """The name that has turn number `turn` on a wheel of `shares`, which begins at `start` (a number from `drawn`).

    With a start drawn at random each turn has each name with exactly its share of the probability, and the turns of one
    wheel follow each other in steps of the golden ratio: any number of them gives each name its share, to within about
    one turn. Names are sorted, so the order of a mapping does not matter.
    """
    total = sum(shares.values())
    at = (start + turn * _GOLDEN) % SPAN / SPAN * total
    names = sorted(shares)
    for name in names:
        at -= shares[name]
        if at < 0:
            return name
    return names[-1]
