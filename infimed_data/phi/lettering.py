"""Burned-in text: rows of small shapes of one height and one brightness, that stand on one line.

Cheap and unread: it says that something is written there, not what. Letters are what stands out from its surroundings
within a window (a top-hat), in connected shapes; texture does so too, but its shapes do not stand on lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infimed_data.images.shrinking import luminance, shrink

__all__ = ["Line", "find_lettering"]

LARGEST_SIDE = 1400
"""Longer pictures are halved."""
WINDOW = 9
"""Pixels that a stroke is at most wide."""
STANDS_OUT = 40
"""Luminance by which letters differ from what is around them, at least."""
LEAST_HEIGHT, MOST_HEIGHT = 5, 44
LEAST_GLYPHS = 5
"""Shapes on one line that make it lettering."""
MOST_SHAPES = 40_000
"""More shapes than this are texture: the threshold is doubled."""
MOST_LINES = 16


@dataclass(frozen=True, slots=True)
class Line:
    """A row of shapes that look like letters."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom in the picture."""
    glyphs: int


def find_lettering(pixels: NDArray[Any]) -> list[Line]:
    """Lines of lettering in a picture (as `Decoded.pixels`), the longest first, at most 16."""
    grey = pixels if pixels.dtype == np.uint8 else luminance(pixels)
    factor = 1
    while max(grey.shape) > LARGEST_SIDE * factor:
        factor *= 2
    grey = shrink(grey, factor)
    if min(grey.shape) < 2 * WINDOW:
        return []
    lines: list[Line] = []
    for plane in (grey, 255 - grey):
        lines += _lines(_top_hat(plane), plane)
    lines = _apart(lines)
    lines.sort(key=lambda line: (-line.glyphs, line.box))
    left, top, right, bottom = (np.array([line.box[i] for line in lines]) * factor for i in range(4))
    return [
        Line((int(left[i]), int(top[i]), int(right[i]), int(bottom[i])), line.glyphs)
        for i, line in enumerate(lines[:MOST_LINES])
    ]


def _top_hat(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much brighter each pixel is than the brightest window that fits around it."""
    padded = np.pad(plane, WINDOW // 2, mode="edge")
    opened = _slide(
        _slide(_slide(_slide(padded, 0, np.minimum), 1, np.minimum), 0, np.maximum, True), 1, np.maximum, True
    )
    inner = opened[WINDOW // 2 : WINDOW // 2 + plane.shape[0], WINDOW // 2 : WINDOW // 2 + plane.shape[1]]
    return plane - inner


def _slide(plane: NDArray[np.uint8], axis: int, of: np.ufunc, pad: bool = False) -> NDArray[np.uint8]:
    """The least or the largest of each window of `WINDOW` pixels along an axis; padded, as many as there were
    before."""
    if pad:
        width = [(0, 0), (0, 0)]
        width[axis] = (WINDOW - 1, WINDOW - 1)
        plane = np.pad(plane, width, constant_values=0)
    size = 1
    while size < WINDOW:
        step = min(size, WINDOW - size)
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -step), slice(step, None)
        plane = of(plane[tuple(first)], plane[tuple(second)])
        size += step
    return plane


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Connected shapes: their boxes, areas and highest luminance."""

    left: NDArray[np.int64]
    top: NDArray[np.int64]
    right: NDArray[np.int64]
    bottom: NDArray[np.int64]
    area: NDArray[np.int64]
    peak: NDArray[np.int64]

    def take(self, chosen: NDArray[Any]) -> _Shapes:
        return _Shapes(*(getattr(self, name)[chosen] for name in self.__slots__))


def _lines(stands_out: NDArray[np.uint8], plane: NDArray[np.uint8]) -> list[Line]:
    shapes = None
    for threshold in (STANDS_OUT, 2 * STANDS_OUT):
        shapes = _shapes(stands_out >= threshold, plane)
        if shapes is not None:
            break
    if shapes is None:
        return []
    height, width = shapes.bottom - shapes.top, shapes.right - shapes.left
    filled = shapes.area / (height * width)
    letters = (
        (height >= LEAST_HEIGHT)
        & (height <= MOST_HEIGHT)
        & (width <= 1.6 * height)
        & (filled > 0.15)
        & (shapes.area >= 5)
    )
    shapes = shapes.take(np.flatnonzero(letters))
    found: list[Line] = []
    for edge in (shapes.bottom, shapes.top):
        for shift in (0, 1):
            found += _rows(shapes, (edge + shift) // 2)
    return found


def _shapes(mask: NDArray[np.bool_], plane: NDArray[np.uint8]) -> _Shapes | None:
    """Connected shapes of a mask, None where there are too many."""
    rows, columns = mask.shape
    wide = np.zeros((rows, columns + 2), np.int8)
    wide[:, 1:-1] = mask
    flat = wide.ravel()
    edges = np.diff(flat)
    start, end = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    if len(start) > MOST_SHAPES * 8:
        return None
    if not len(start):
        empty = np.zeros(0, np.int64)
        return _Shapes(empty, empty, empty, empty, empty, empty)
    step = columns + 2
    # A run touches those of the next row that begin before its end and end after its beginning.
    low = np.searchsorted(end, start + step, side="right")
    high = np.searchsorted(start, end + step, side="left")
    count = np.maximum(high - low, 0)
    first = np.repeat(np.arange(len(start)), count)
    second = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    label = _joined(len(start), first, second)
    names, label = np.unique(label, return_inverse=True)
    if len(names) > MOST_SHAPES:
        return None
    row, left, right = start // step, start % step - 1, end - 1 - start // step * step
    values = np.zeros((rows, step), np.uint8)
    values[:, 1:-1] = plane
    bounds = np.stack([start, end], axis=1).ravel()
    peaks = np.maximum.reduceat(np.append(values.ravel(), 0), bounds)[::2]
    order = np.argsort(label, kind="stable")
    cuts = np.searchsorted(label[order], np.arange(len(names)))

    def each(values: NDArray[Any], of: np.ufunc) -> NDArray[np.int64]:
        found: NDArray[np.int64] = of.reduceat(values[order].astype(np.int64), cuts)
        return found

    return _Shapes(
        each(left, np.minimum), each(row, np.minimum), each(right, np.maximum), each(row, np.maximum) + 1,
        each(end - start, np.add), each(peaks, np.maximum),
    )  # fmt: skip


def _joined(count: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `count` runs the first one that it is linked to, over any number of links."""
    label = np.arange(count)
    while len(first):
        a, b = label[first], label[second]
        apart = a != b
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(label, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(above := label[label], label):
            label = above
    return label


def _rows(shapes: _Shapes, level: NDArray[np.int64]) -> list[Line]:
    """Rows of shapes on one level, each next to the one before, of like heights and brightness."""
    if len(level) < LEAST_GLYPHS:
        return []
    order = np.lexsort((shapes.left, level))
    own = shapes.take(order)
    height = own.bottom - own.top
    taller = np.maximum(height[1:], height[:-1])
    shorter = np.minimum(height[1:], height[:-1])
    gap = own.left[1:] - own.right[:-1]
    near = (
        (level[order][1:] == level[order][:-1])
        & (gap <= 1.3 * taller)
        & (gap >= -0.2 * taller)
        & (taller <= 1.7 * shorter + 1)
        & (np.abs(own.peak[1:] - own.peak[:-1]) <= 64)
    )
    bounds = np.flatnonzero(~near) + 1
    found = []
    for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(order)], strict=True):
        if stop - start >= LEAST_GLYPHS and _looks_written(own, slice(start, stop)):
            part = slice(start, stop)
            box = (own.left[part].min(), own.top[part].min(), own.right[part].max(), own.bottom[part].max())
            found.append(Line((int(box[0]), int(box[1]), int(box[2]), int(box[3])), stop - start))
    return found


def _looks_written(shapes: _Shapes, part: slice) -> bool:
    """Whether a row of shapes has the evenness of letters: of two heights at most, as bright as each other."""
    height = (shapes.bottom[part] - shapes.top[part]).astype(np.float64)
    width = (shapes.right[part] - shapes.left[part]).astype(np.float64)
    peak = shapes.peak[part]
    common = float(np.median(height))
    even = np.mean(np.abs(height - common) <= 0.12 * common + 1) >= 0.6
    return bool(even and np.std(peak) <= 30 and np.median(width) >= 0.25 * common and np.ptp(width) >= 1)


def _apart(lines: list[Line]) -> list[Line]:
    """Lines without those that another, longer one covers for the most part."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda line: (-line.glyphs, line.box)):
        if not any(_covered(line.box, other.box) for other in kept):
            kept.append(line)
    return kept


def _covered(box: tuple[int, int, int, int], by: tuple[int, int, int, int]) -> bool:
    width = min(box[2], by[2]) - max(box[0], by[0])
    height = min(box[3], by[3]) - max(box[1], by[1])
    return width > 0 and height > 0 and width * height > 0.3 * (box[2] - box[0]) * (box[3] - box[1])
