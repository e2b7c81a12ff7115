"""How well the fine structure of two pictures agrees, block by block, once one lies over the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.confirm.laying import LEAST_OVERLAP, Laid, on_one_grid
from infimed_data.dedup.confirm.planes import Plane, smooth, unclipped, without_mean

__all__ = ["SIDE", "Fine", "look_closely"]

SIDE = 320
"""Pixels that a compared picture has at most along its longer side."""
_BLOCK = 12
_RADIUS = 3
_FEWEST_BLOCKS = 10
_QUANTILE = 0.1
_NOISE = 2.0
"""Variance of fine structure, in squared levels of luminance, below which a block says nothing."""


@dataclass(frozen=True, slots=True)
class Fine:
    """How well the fine structure of two pictures agrees."""

    score: float
    """0 to 1."""
    reason: str
    """`compared`, or why not: `no_overlap`, `no_structure`."""
    laid: Laid
    marked: bool = False
    """Whether some place does not agree at all."""
    windowed: bool = False
    """Whether the tones differ."""


def look_closely(laid: Laid) -> Fine:
    """Compares what is common to two pictures, as the one lies over the other."""
    planes = on_one_grid(laid, SIDE)
    if planes is None or min(laid.shares()) < LEAST_OVERLAP:
        return Fine(0.0, "no_overlap", laid)
    one, other = planes
    seen = unclipped(one) * unclipped(other)
    found = _correlations(one, other, seen)
    if np.isfinite(found).sum() < _FEWEST_BLOCKS:  # a drawing, black on white: all of it is clipped
        found = _correlations(one, other, np.ones_like(seen))
    told = np.isfinite(found)
    if told.sum() < _FEWEST_BLOCKS:
        return Fine(0.0, "no_structure", laid)
    label = _worst_rectangle(np.where(told, np.clip(0.9 - found, 0, 1), 0))
    rest = told.copy()
    rest[label] = False
    if rest.sum() < _FEWEST_BLOCKS:
        rest = told
    score = float(np.clip(np.quantile(found[rest], _QUANTILE), 0, 1))
    return Fine(score, "compared", laid, bool((found[told] < 0.5).any()), _other_tones(one, other))


def _other_tones(one: Plane, other: Plane) -> bool:
    """Whether the tones differ by more than an encoder changes them."""
    apart = float(np.abs(one - other).mean(dtype=np.float64))
    spreads = float(one.std(dtype=np.float64)), float(other.std(dtype=np.float64))
    return apart > 6 or abs(spreads[0] - spreads[1]) > 0.1 * max(spreads)


def _correlations(one: Plane, other: Plane, seen: Plane) -> Plane:
    """The correlation of fine structure in each block; NaN for blocks that say nothing."""
    a, _ = without_mean(smooth(one), seen, _RADIUS)
    b, _ = without_mean(smooth(other), seen, _RADIUS)
    blocks = [_blocks(plane) for plane in (a, b, seen)]
    count = np.maximum(blocks[2].sum(axis=2), 1)
    a, b = ((block - (block.sum(axis=2) / count)[..., None]) * blocks[2] for block in blocks[:2])
    power_a, power_b = (a * a).sum(axis=2) / count, (b * b).sum(axis=2) / count
    told = (power_a > _NOISE) & (power_b > _NOISE) & (count >= 0.4 * _BLOCK * _BLOCK)
    power = np.sqrt(np.where(told, power_a * power_b, 1))
    return np.where(told, (a * b).sum(axis=2) / count / power, np.nan).astype(np.float32)


def _blocks(plane: Plane) -> Plane:
    """(rows, columns, pixels) of whole blocks, from the middle of the picture."""
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    top, left = plane.shape[0] % _BLOCK // 2, plane.shape[1] % _BLOCK // 2
    whole = plane[top : top + rows * _BLOCK, left : left + columns * _BLOCK]
    return whole.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)


def _worst_rectangle(bad: NDArray[np.floating]) -> tuple[slice, slice]:
    """The rectangle of at most a tenth of the blocks that holds most of what is bad."""
    rows, columns = bad.shape
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = bad.cumsum(axis=0).cumsum(axis=1)
    most, found = 0.0, (slice(0, 0), slice(0, 0))
    if not bad.any():
        return found
    for height in range(1, rows + 1):
        width = min(columns, int(0.1 * rows * columns) // height)
        if not width:
            break
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        at = int(inside.argmax())
        if inside.flat[at] > most:
            most = float(inside.flat[at])
            top, left = divmod(at, inside.shape[1])
            found = (slice(top, top + height), slice(left, left + width))
    return found
