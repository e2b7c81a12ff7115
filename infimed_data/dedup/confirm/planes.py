"""Grey pictures as arrays of numbers: smoothed, less their local mean, and where they are clipped.

The last two axes are rows and columns; before them there may be one for many pictures of one size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plane", "box_sum", "normalised", "seen_around", "smooth", "unclipped", "without_mean"]

Plane = NDArray[np.float32]


def unclipped(plane: Plane) -> Plane:
    """1 where a picture is neither at its darkest nor at its brightest, nor beside that; 0 elsewhere."""
    low, high = plane.min(axis=(-2, -1), keepdims=True), plane.max(axis=(-2, -1), keepdims=True)
    margin = np.maximum(np.float32(2), np.float32(0.02) * (high - low))
    clear = (plane > low + margin) & (plane < high - margin)
    rows = clear.copy()
    rows[..., 1:, :] &= clear[..., :-1, :]
    rows[..., :-1, :] &= clear[..., 1:, :]
    around = rows.copy()
    around[..., 1:] &= rows[..., :-1]
    around[..., :-1] &= rows[..., 1:]
    seen: Plane = around.astype(np.float32)
    return seen


def smooth(plane: Plane) -> Plane:
    """`plane` under the weights 1 2 1 both ways; the edges' values go on outside."""
    rows = plane * 2
    rows[..., 1:, :] += plane[..., :-1, :]
    rows[..., :-1, :] += plane[..., 1:, :]
    rows[..., 0, :] += plane[..., 0, :]
    rows[..., -1, :] += plane[..., -1, :]
    both = rows * 2
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    both[..., 0] += rows[..., 0]
    both[..., -1] += rows[..., -1]
    both *= np.float32(1 / 16)
    return both


def box_sum(plane: Plane, radius: int) -> Plane:
    """Sums over squares of 2 radius + 1 pixels a side; outside is 0."""
    rows, columns = plane.shape[-2:]
    framed = np.zeros((*plane.shape[:-2], rows + 2 * radius, columns + 2 * radius), np.float32)
    framed[..., radius : radius + rows, radius : radius + columns] = plane
    return _sums(_sums(framed, 2 * radius + 1, down=True), 2 * radius + 1, down=False)


def _sums(values: Plane, width: int, *, down: bool) -> Plane:
    """Sums of `width` (odd) rows or columns that follow one another, from sums of 1, 2, 4...: a few long additions."""

    def part(of: Plane, first: int, length: int) -> Plane:
        return of[..., first : first + length, :] if down else of[..., first : first + length]

    size = values.shape[-2 if down else -1]
    count = size - width + 1
    sums: Plane = part(values, 0, count).copy()
    first, span = 1, 2
    while span <= width:
        size -= span // 2
        values = part(values, 0, size) + part(values, span // 2, size)
        if width & span:
            sums += part(values, first, count)
            first += span
        span *= 2
    return sums


def seen_around(seen: Plane, radius: int) -> Plane:
    """How many of the pixels around each are seen; at least 1."""
    return np.maximum(box_sum(seen, radius), np.float32(1))


def without_mean(plane: Plane, seen: Plane, count: Plane, radius: int) -> Plane:
    """`plane` less the mean of what is seen around each pixel, 0 where it is not seen; `count` as `seen_around`."""
    fine: Plane = (plane - box_sum(plane * seen, radius) / count) * seen
    return fine


def normalised(plane: Plane, seen: Plane, count: Plane, radius: int) -> Plane:
    """`plane` less its local mean, over its local deviation."""
    fine = without_mean(plane, seen, count, radius)
    normalised: Plane = fine / np.sqrt(box_sum(fine * fine, radius) / count + 4)
    return normalised
