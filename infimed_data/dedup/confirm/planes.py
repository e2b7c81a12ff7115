"""Grey pictures as arrays of numbers: smoothed, less their local mean, and where they are clipped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plane", "box_sum", "normalised", "smooth", "unclipped", "without_mean"]

Plane = NDArray[np.float32]


def unclipped(plane: Plane) -> Plane:
    """1 where a picture is neither at its darkest nor at its brightest, nor beside that; 0 elsewhere."""
    low, high = float(plane.min()), float(plane.max())
    margin = max(2.0, 0.02 * (high - low))
    clear = (plane > low + margin) & (plane < high - margin)
    rows = clear.copy()
    rows[1:] &= clear[:-1]
    rows[:-1] &= clear[1:]
    around = rows.copy()
    around[:, 1:] &= rows[:, :-1]
    around[:, :-1] &= rows[:, 1:]
    return around.astype(np.float32)


def smooth(plane: Plane) -> Plane:
    """`plane` under the weights 1 2 1 both ways; the edges' values go on outside."""
    rows = plane * 2
    rows[1:] += plane[:-1]
    rows[:-1] += plane[1:]
    rows[0] += plane[0]
    rows[-1] += plane[-1]
    both = rows * 2
    both[:, 1:] += rows[:, :-1]
    both[:, :-1] += rows[:, 1:]
    both[:, 0] += rows[:, 0]
    both[:, -1] += rows[:, -1]
    both *= np.float32(1 / 16)
    return both


def box_sum(plane: Plane, radius: int) -> Plane:
    """Sums over squares of 2 radius + 1 pixels a side; outside is 0."""
    width = 2 * radius + 1
    rows, columns = plane.shape
    sums = np.zeros((rows + width, columns + width))
    sums[radius + 1 : radius + 1 + rows, radius + 1 : radius + 1 + columns] = plane
    np.cumsum(sums, axis=0, out=sums)
    np.cumsum(sums, axis=1, out=sums)
    found: NDArray[np.float64] = sums[width:, width:] - sums[:-width, width:]
    found -= sums[width:, :-width]
    found += sums[:-width, :-width]
    return found.astype(np.float32)


def without_mean(plane: Plane, seen: Plane, radius: int) -> tuple[Plane, Plane]:
    """(`plane` less the mean around each pixel of what is seen, 0 where it is not seen; the number of those pixels)."""
    count: Plane = np.maximum(box_sum(seen, radius), np.float32(1))
    fine: Plane = (plane - box_sum(plane * seen, radius) / count) * seen
    return fine, count


def normalised(plane: Plane, seen: Plane, radius: int) -> Plane:
    """`plane` less its local mean, over its local deviation."""
    fine, count = without_mean(plane, seen, radius)
    normalised: Plane = fine / np.sqrt(box_sum(fine * fine, radius) / count + 4)
    return normalised
