"""How well the fine structure of two pictures agrees, block by block, once one lies over the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.confirm.laying import LEAST_OVERLAP, Laid, on_one_grid
from infimed_data.dedup.confirm.planes import Plane, seen_around, smooth, unclipped, without_mean

__all__ = ["SIDE", "Fine", "look_closely"]

SIDE = 320
"""Pixels that a compared picture has at most along its longer side."""
_BLOCKS = (6, 12)
"""Least and most pixels a side of a block; an eighth of the shorter side between them."""
_RADIUS = 3
_FEWEST_BLOCKS = 10
_QUANTILE = 0.1
_NOISE = 2.0
"""Variance of fine structure, in squared levels of luminance, below which a block says nothing."""
_STRONG = 100.0
"""Variance of fine structure that no encoder takes away: where one picture has it, the other must have some."""
_GONE = 0.02
"""Share of the blocks, besides the label's, in which structure may be missing."""


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
    seen, everywhere = unclipped(one) * unclipped(other), np.ones_like(one)
    smoothed = smooth(one), smooth(other)
    found = _correlations(*_fine(smoothed, seen), seen)
    whole = _fine(smoothed, everywhere)
    if np.isfinite(found).sum() < _FEWEST_BLOCKS:  # a drawing, black on white: nearly all of it is clipped
        found = _correlations(*whole, everywhere)
    power_one, power_other = (_blocks(plane).var(axis=2) for plane in whole)
    gone = _gone(one, other, (power_one > _STRONG) & (power_other < _NOISE))
    gone |= _gone(other, one, (power_other > _STRONG) & (power_one < _NOISE))
    found[gone] = 0
    told = np.isfinite(found)
    if told.sum() < _FEWEST_BLOCKS:
        return Fine(0.0, "no_structure", laid)
    label = _worst_rectangle(np.where(told, np.clip(0.9 - found, 0, 1), 0))
    rest = told.copy()
    rest[label] = False
    if rest.sum() < max(_FEWEST_BLOCKS, 0.7 * told.sum()):
        rest = told  # a label covers some of what can be compared, not most of it
    score = float(np.clip(np.quantile(found[rest], _QUANTILE), 0, 1))
    if (gone & rest).sum() > max(1, _GONE * rest.sum()):
        score /= 2  # something is missing in more than one place
    return Fine(score, "compared", laid, bool((found[told] < 0.5).any()), _other_tones(one, other))


def _other_tones(one: Plane, other: Plane) -> bool:
    """Whether the tones differ by more than an encoder changes them."""
    apart = float(np.abs(one - other).mean(dtype=np.float64))
    spreads = float(one.std(dtype=np.float64)), float(other.std(dtype=np.float64))
    return apart > 6 or abs(spreads[0] - spreads[1]) > 0.1 * max(spreads)


def _fine(smoothed: tuple[Plane, Plane], seen: Plane) -> tuple[Plane, Plane]:
    """The fine structure of two pictures where they are seen."""
    count = seen_around(seen, _RADIUS)
    return without_mean(smoothed[0], seen, count, _RADIUS), without_mean(smoothed[1], seen, count, _RADIUS)


def _correlations(one: Plane, other: Plane, seen: Plane) -> Plane:
    """The correlation of two fine structures in each block; NaN for blocks that say nothing."""
    a, b, inside = _blocks(one), _blocks(other), _blocks(seen)
    count = np.maximum(inside.sum(axis=2), 1)
    a = (a - (a.sum(axis=2) / count)[..., None]) * inside
    b = (b - (b.sum(axis=2) / count)[..., None]) * inside
    power_a, power_b = (a * a).sum(axis=2) / count, (b * b).sum(axis=2) / count
    told = (power_a > _NOISE) & (power_b > _NOISE) & (count >= 0.4 * inside.shape[2])
    power = np.sqrt(np.where(told, power_a * power_b, 1))
    return np.where(told, (a * b).sum(axis=2) / count / power, np.nan).astype(np.float32)


def _gone(one: Plane, other: Plane, gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the blocks, in which `one` has strong structure and `other` none at all, that no window explains.

    A window takes structure away where it clips; then all that lies beyond one tone of `one` is clipped.
    """
    if not gone.any():
        return gone
    low, high = float(other.min()), float(other.max())
    margin = max(2.0, 0.02 * (high - low))
    clear = (other > low + margin) & (other < high - margin)
    if clear.any():
        tones, level = _blocks(one), _blocks(other).mean(axis=2)
        darkest, brightest = np.percentile(one[clear], (8, 92))
        gone &= ~((level > high - margin) & (tones.min(axis=2) > brightest - 8))
        gone &= ~((level < low + margin) & (tones.max(axis=2) < darkest + 8))
    return gone


def _blocks(plane: Plane) -> Plane:
    """(rows, columns, pixels) of whole blocks, from the middle of the picture."""
    side = max(_BLOCKS[0], min(_BLOCKS[1], min(plane.shape) // 8))
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    top, left = plane.shape[0] % side // 2, plane.shape[1] % side // 2
    whole = plane[top : top + rows * side, left : left + columns * side]
    return whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, -1)


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
