"""Local features: patches that are found again in a crop, under a label, inside a border, at another scale.

A picture is looked at with 64 pixels along its longer side. Blobs (extrema of differences of smoothed copies, over
place and scale) say where to look. Each gives 64 bits: the signs of a windowed cosine transform of the patch around it.
A flip of the picture toggles bits and a transposition permutes them; an inversion changes nothing, because a dark blob
is described as if it were bright. So one set of bits serves all sixteen views of a picture.

Everything is whole numbers, and the one matrix product sums whole numbers that float32 holds exactly: the bits are the
same on every machine and in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_KEYPOINTS", "SIDE", "UNIT", "Keypoints", "find_keypoints"]

SIDE = 64
"""Pixels along the longer side of the pictures that keypoints are looked for in."""
MAX_KEYPOINTS = 48
"""Keypoints kept of one picture: those with the strongest response."""
UNIT = 16
"""Places and scales count in sixteenths of a pixel."""

_BATCH = 16
_STEPS = ((1,), (1, 1), (2,), (3,), (4,))
"""Spacings of the smoothing passes between one level and the next; a pass of spacing d adds d*d/2 to the variance."""
_VARIANCES = (0.7, 1.2, 2.2, 4.2, 8.7, 16.7)
"""Of the levels, in pixels: two passes of spacing 1 before the first, and the pixel itself."""
_EDGE = 2
_FIRST = 1
_LEAST_RESPONSE = 8
_GREY = 8
"""Steps that one level of luminance is divided in: 255 * 8 * 16 (the weights of one pass) fits 16 bits."""
_PATCH = 8
_RADIUS = 6.0
"""Half a patch's side, in scales of its blob."""
_WINDOW = 0.5
_BLOB = 0.25
"""Standard deviations of the window that patches are seen through, and of their blobs, in halves of a side."""
_FINE = 8
"""Steps between two levels that a blob's scale is told in."""


class Keypoints(NamedTuple):
    """The keypoints of some pictures, picture by picture, the strongest first."""

    starts: NDArray[np.int64]
    """Picture n has the keypoints from `starts[n]` to before `starts[n + 1]`."""
    bits: NDArray[np.uint64]
    y: NDArray[np.int64]
    """Sixteenths of a pixel from the upper edge of the picture that was given."""
    x: NDArray[np.int64]
    scale: NDArray[np.int64]
    """Standard deviation of the blob, in sixteenths of a pixel."""
    dark: NDArray[np.bool_]
    """Whether the blob is darker than what is around it."""


def find_keypoints(pictures: Sequence[NDArray[np.uint8]]) -> Keypoints:
    """The keypoints of grey pictures; no side is longer than `SIDE`. The batch changes nothing but the speed."""
    found = [_find(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
    counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.starts) for part in found)])
    if not found:
        nothing = np.zeros(0, np.int64)
        return Keypoints(counts, nothing.astype(np.uint64), nothing, nothing, nothing, nothing > 0)
    columns = zip(*(part[1:] for part in found), strict=True)
    return Keypoints(np.cumsum(counts), *(np.concatenate(column) for column in columns))


def _find(pictures: Sequence[NDArray[np.uint8]]) -> Keypoints:
    count = len(pictures)
    planes = np.empty((len(_STEPS) + 1, SIDE, SIDE, count), np.int16)  # pictures last: long runs for every operation
    squares = np.empty((count, SIDE, SIDE), np.uint8)
    for square, picture in zip(squares, pictures, strict=True):
        height, width = picture.shape
        square[:height, :width] = picture
        square[:height, width:] = picture[:, -1:]
        square[height:] = square[height - 1]
    spare = np.empty(planes.shape[1:], np.int16)
    np.multiply(squares.transpose(1, 2, 0), np.int16(_GREY), out=planes[0])
    _smooth(planes[0], 1, planes[0], spare)
    for number, spacings in enumerate(_STEPS):
        source = planes[number]
        for spacing in spacings:
            _smooth(source, spacing, planes[number + 1], spare)
            source = planes[number + 1]
    which, level, y, x, response = _extrema(planes)
    ends = np.array([picture.shape for picture in pictures]) - _EDGE
    inside = np.flatnonzero((np.minimum(y, x) >= _EDGE) & (y < ends[which, 0]) & (x < ends[which, 1]))
    # The strongest first; a finer level, an upper row, a column to the left first where two are equally strong.
    rank = (((which << 15) - response) << 15) + ((level * SIDE + y) * SIDE + x)
    order = inside[np.argsort(rank[inside])]
    starts = np.searchsorted(which[order], np.arange(count + 1))
    kept = order[np.arange(len(order)) - starts[which[order]] < MAX_KEYPOINTS]
    which, level, y, x = which[kept], level[kept], y[kept], x[kept]
    polarity, fine, y16, x16 = _refine(planes, which, level, y, x)
    bits = _describe(planes, which, fine, y16, x16, polarity)
    starts = np.searchsorted(which, np.arange(count + 1))
    # A level less a finer one: positive at a dark blob.
    return Keypoints(starts, bits, y16, x16, _tables().scale16[fine], polarity > 0)


def _smooth(source: NDArray[np.int16], spacing: int, out: NDArray[np.int16], spare: NDArray[np.int16]) -> None:
    """`source` under the weights 1 2 1, with this spacing, along both axes; the edges' values go on outside."""
    down = np.empty_like(source)
    _weighed(source, spacing, down)
    _weighed(down.transpose(1, 0, 2), spacing, spare.transpose(1, 0, 2))
    np.right_shift(spare, 4, out=out)


def _weighed(source: NDArray[np.int16], spacing: int, out: NDArray[np.int16]) -> None:
    """The weights 1 2 1 along the first axis, as 1 1 twice."""
    d = spacing
    pairs = source[:-d] + source[d:]
    np.add(pairs[:-d], pairs[d:], out=out[d:-d])
    np.add(pairs[:d], source[:d], out=out[:d])
    out[:d] += source[0]
    np.add(pairs[-d:], source[-d:], out=out[-d:])
    out[-d:] += source[-1]


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _extrema(planes: NDArray[np.int16]) -> _Found:
    """(picture, level, row, column, response) of each blob: the strongest of its neighbours in place and scale."""
    levels = len(planes) - 1
    responses = planes[1:] - planes[:-1]
    np.abs(responses, out=responses)
    around = np.empty_like(responses)
    spare = np.empty_like(responses[0])
    for level in range(levels):
        _largest_of_nine(responses[level], around[level], spare)
    parts = []
    for level in range(_FIRST, levels):
        limit = np.maximum(around[level], around[level - 1], out=spare)
        if level + 1 < levels:
            np.maximum(limit, around[level + 1], out=limit)
        np.maximum(limit, _LEAST_RESPONSE, out=limit)
        at = np.flatnonzero((responses[level] == limit).ravel())
        parts.append((at, np.full(len(at), level), responses[level].ravel()[at].astype(np.int64)))
    at, level_of, response_of = (np.concatenate(column) for column in zip(*parts, strict=True))
    place, which = np.divmod(at, planes.shape[-1])
    row, column = np.divmod(place, SIDE)
    return which, level_of, row, column, response_of


def _largest_of_nine(plane: NDArray[np.int16], out: NDArray[np.int16], spare: NDArray[np.int16]) -> None:
    """The largest of each value and its eight neighbours, in `out`."""
    rows = np.maximum(plane[:-1], plane[1:], out=spare[1:])
    np.maximum(rows[:-1], rows[1:], out=out[1:-1])
    out[0], out[-1] = rows[0], rows[-1]
    pairs = np.maximum(out[:, :-1], out[:, 1:], out=spare[:, 1:])
    np.maximum(pairs[:, :-1], pairs[:, 1:], out=out[:, 1:-1])
    out[:, 0], out[:, -1] = pairs[:, 0], pairs[:, -1]


def _refine(
    planes: NDArray[np.int16], which: NDArray[np.int64], level: NDArray[np.int64], y: NDArray[np.int64],
    x: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """(polarity, step of the scale, row, column) with parabolas through the neighbours."""
    last = len(planes) - 2

    def response(of: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = planes[of + 1, row, column, which].astype(np.int64) - planes[of, row, column, which]
        return found

    centre = response(level, y, x)
    polarity = np.where(centre > 0, 1, -1)
    centre *= polarity
    y16 = y * UNIT + _vertex(response(level, y - 1, x) * polarity, centre, response(level, y + 1, x) * polarity, UNIT)
    x16 = x * UNIT + _vertex(response(level, y, x - 1) * polarity, centre, response(level, y, x + 1) * polarity, UNIT)
    below = np.abs(response(np.maximum(level - 1, 0), y, x))
    above = np.abs(response(np.minimum(level + 1, last), y, x))
    step = _vertex(below, centre, above, _FINE)
    return polarity, np.clip(level * _FINE + step, 0, last * _FINE), y16, x16


def _vertex(before: NDArray[np.int64], at: NDArray[np.int64], after: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Where the parabola through three values has its top, in parts of `unit`, at most half a step away."""
    bend = np.minimum(before - 2 * at + after, -1)
    top = np.clip(np.rint((before - after) * unit / (2 * bend)), -(unit // 2), unit // 2)
    whole: NDArray[np.int64] = top.astype(np.int64)
    return whole


class _Tables(NamedTuple):
    """Constants of the description of patches."""

    scale16: NDArray[np.int64]
    offset16: NDArray[np.int64]
    """Places of a patch's samples from its middle, for each step of the scale."""
    plane: NDArray[np.int64]
    """The level whose smoothness suits the distance of the samples, for each step of the scale."""
    transform: NDArray[np.float32]
    """One row a sample, one column a bit: whole numbers of at most 31."""


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    sigmas = np.sqrt(np.array(_VARIANCES))
    middles = np.sqrt(sigmas[:-1] * sigmas[1:])
    steps = np.arange((len(middles) - 1) * _FINE + 1) / _FINE
    scale = np.exp(np.interp(steps, np.arange(len(middles)), np.log(middles)))
    at = (np.arange(_PATCH) + 0.5) / _PATCH * 2 - 1
    offset16 = np.rint(at[None, :] * (_RADIUS * UNIT) * scale[:, None]).astype(np.int64)
    wanted = 2 * _RADIUS * scale / _PATCH * 0.6
    plane = np.rint(np.interp(np.log(wanted), np.log(sigmas), np.arange(len(sigmas)))).astype(np.int64)
    cosines = np.cos(np.pi * (at[None, :] + 1) / 2 * np.arange(8)[:, None])
    window = np.exp(-(at**2) / (2 * _WINDOW**2))
    window = np.outer(window, window)
    blob = np.exp(-np.add.outer(at**2, at**2) / (2 * _BLOB**2))
    blob = (blob - (blob * window).sum() / window.sum()) * window
    rows = []
    for u in range(8):
        for v in range(8):
            wave = np.outer(cosines[u], cosines[v]) if u or v else np.add.outer(cosines[2], cosines[2])
            wave = (wave - (wave * window).sum() / window.sum()) * window
            # Every patch has a blob in the middle; only what is around it tells one patch from another.
            wave = wave - blob * ((wave * blob).sum() / (blob * blob).sum())
            rows.append(np.rint(wave * (31 / np.abs(wave).max())).ravel())
    return _Tables(np.rint(scale * UNIT).astype(np.int64), offset16, plane, np.array(rows, np.float32).T.copy())


def _describe(
    planes: NDArray[np.int16], which: NDArray[np.int64], fine: NDArray[np.int64], y16: NDArray[np.int64],
    x16: NDArray[np.int64], polarity: NDArray[np.int64],
) -> NDArray[np.uint64]:  # fmt: skip
    """64 bits a keypoint; bit 63 - (8 u + v) is the sign of the u-th vertical, v-th horizontal frequency."""
    tables = _tables()
    count = planes.shape[-1]
    most = (SIDE - 1) * UNIT - 1
    rows = np.clip(y16[:, None] + tables.offset16[fine], 0, most)
    columns = np.clip(x16[:, None] + tables.offset16[fine], 0, most)
    at = (tables.plane[fine] * (SIDE * SIDE * count) + which)[:, None] + (rows >> 4) * (SIDE * count)
    at = at[:, :, None] + ((columns >> 4) * count)[:, None, :]
    down, across = (rows & 15).astype(np.int16)[:, :, None], (columns & 15).astype(np.int16)[:, None, :]
    flat, below = planes.reshape(-1), SIDE * count
    upper = _between(flat[at], flat[count:][at], across)
    lower = _between(flat[below:][at], flat[below + count :][at], across)
    patches = _between(upper, lower, down).reshape(len(which), _PATCH * _PATCH).astype(np.float32)
    # Sums of whole numbers below 2**24: exact in any order.
    patches -= np.rint(patches.sum(axis=1, keepdims=True) / patches.shape[1])
    values = np.empty_like(patches)
    for start in range(0, len(patches), _PATCH * _PATCH):  # few rows at a time, so that no BLAS starts threads
        rows_of = slice(start, start + _PATCH * _PATCH)
        np.matmul(patches[rows_of], tables.transform, out=values[rows_of])
    signs = (values * polarity[:, None].astype(np.float32)) > 0
    return np.packbits(signs, axis=1).view(">u8").ravel().astype(np.uint64)


def _between(one: NDArray[np.int16], other: NDArray[np.int16], part: NDArray[np.int16]) -> NDArray[np.int16]:
    """`one` moved by `part` sixteenths towards `other`."""
    other -= one
    other *= part
    other >>= 4
    other += one
    return other
