"""The perceptual hash of a picture, and the hashes that its flipped, rotated and inverted copies would have.

Bit 63 - (8 u + v) of a hash is the sign of one frequency, u vertical and v horizontal. A flip left-right toggles the
bits of odd v, a flip top-bottom those of odd u, a transposition swaps u and v, an inversion complements all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOGGLES", "VIEWS", "View", "hash_picture", "transposed", "views_of"]

_SCALE = 4096


class View(NamedTuple):
    """One way of looking at a picture: first transposed (rows become columns), then flipped, then inverted."""

    transposed: bool
    flipped_rows: bool
    """Top and bottom are exchanged."""
    flipped_columns: bool
    """Left and right are exchanged."""
    inverted: bool

    def text(self) -> str:
        """The view in words, such as `rotated 90, inverted`; rotations are clockwise; empty for the picture itself."""
        words = _WORDS[self[:3]]
        return ", ".join(word for word in (words, "inverted" if self.inverted else "") if word)

    def undone(self) -> View:
        """The view that leads back from this one."""
        rows, columns = self.flipped_rows, self.flipped_columns
        return View(self.transposed, columns, rows, self.inverted) if self.transposed else self

    def of(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A grey picture (rows, columns) of bytes, looked at this way."""
        if self.transposed:
            plane = plane.T
        plane = plane[:: -1 if self.flipped_rows else 1, :: -1 if self.flipped_columns else 1]
        return ~plane if self.inverted else plane


_WORDS = {
    (False, False, False): "",
    (False, False, True): "flipped left-right",
    (False, True, False): "flipped top-bottom",
    (False, True, True): "rotated 180",
    (True, False, False): "transposed",
    (True, False, True): "rotated 90",
    (True, True, False): "rotated 270",
    (True, True, True): "transposed, rotated 180",
}
VIEWS = tuple(View(bool(n & 4), bool(n & 2), bool(n & 1), bool(n & 8)) for n in range(16))
"""All sixteen; the first eight are not inverted."""


def hash_picture(plane: NDArray[np.uint8]) -> int:
    """64 bits: whether the frequencies (0..7, 0..7) of a grey picture are positive; (8, 8) stands for (0, 0).

    Whole numbers throughout, so the bits are the same on every machine. A frequency of exactly 0 gives 0. The picture
    should be reduced, to some 64 to 128 pixels a side: the time grows with its area.
    """
    rows, columns = plane.shape
    values = plane.astype(np.float64)
    values -= int(plane.sum(dtype=np.int64)) // plane.size
    # Products and sums of whole numbers below 2**53: exact in any order.
    low = (_waves(rows) @ values) @ _waves(columns).T
    low[0, 0] = low[8, 8]
    return int(np.packbits(low[:8, :8] > 0).view(">u8")[0])


@lru_cache(maxsize=1024)
def _waves(size: int) -> NDArray[np.float64]:
    """(9, size): the first rows of the DCT-II as whole numbers."""
    at = np.arange(size)
    return np.asarray(np.rint(_SCALE * np.cos(np.pi * (2 * at[None, :] + 1) * np.arange(9)[:, None] / (2 * size))))


def _mask(odd_u: bool, odd_v: bool) -> int:
    return sum(
        1 << (63 - (8 * u + v)) for u in range(8) for v in range(8) if bool(odd_u and u % 2) ^ bool(odd_v and v % 2)
    )


TOGGLES = np.array([_mask(bool(n & 2), bool(n & 1)) for n in range(4)], np.uint64)
"""The bits that each pair of flips toggles, numbered as in `VIEWS`."""


def transposed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes with u and v exchanged: a transposition of the 8 x 8 matrix of bits, in three exchanges of blocks."""
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        other = (hashes ^ (hashes >> np.uint64(shift))) & np.uint64(mask)
        hashes = hashes ^ other ^ (other << np.uint64(shift))
    return hashes


def views_of(hashes: NDArray[np.uint64], *, inverted: bool = True) -> NDArray[np.uint64]:
    """(n, 16) or (n, 8): what the hashes would be if their pictures were looked at as `VIEWS` says."""
    both = np.stack([hashes, transposed(hashes)], axis=1)
    upright = (both[:, :, None] ^ TOGGLES[None, None, :]).reshape(len(hashes), 8)
    return np.concatenate([upright, ~upright], axis=1) if inverted else upright
