"""Pictures made smaller: means of whole blocks of pixels, quick because several sums share one machine word."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["longer_side", "luminance", "shrink", "shrink_to"]

_ONCE = 16
"""Largest side of a block that is summed at once: 16 * 16 * 255 fits 16 bits."""
_STRIP_BYTES = 1 << 18


def shrink_to(pixels: NDArray[Any], side: int, *, quick: bool = False) -> NDArray[np.uint8]:
    """The luminance of a picture (as `Decoded.pixels`), halved until its longer side is at most `side`.

    A long and thin picture stays longer than that: its shorter side keeps a quarter of `side`, where it has as much.
    With `quick`, of a picture that is halved twice or more only every second pixel of every second row is looked at.
    """
    factor = 1
    while max(pixels.shape) > side * factor and 4 * min(pixels.shape) >= 2 * factor * side:
        factor *= 2
    if quick and factor >= 4:
        pixels, factor = _every_second(pixels), factor // 2
    if pixels.dtype == np.uint8:
        return shrink(pixels, factor)
    step = min(factor, _ONCE)
    return shrink(luminance(_means(pixels, step)), factor // step)


def longer_side(height: float, width: float, side: int) -> float:
    """Pixels for the longer side of a picture that is reduced to `side`: more for one longer than twice its width."""
    return float(side * max(1.0, sqrt(max(height, width) / min(height, width) / 2)))


def shrink(plane: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of the squares of `factor` (a power of two) pixels a side; what is left over at the edges is left out."""
    while factor > 1:
        step = min(factor, _ONCE)
        plane = _means(plane, step)
        factor //= step
    return plane


def _means(pixels: NDArray[Any], step: int) -> NDArray[Any]:
    """Means of the squares of `step` pixels a side, some rows at a time: what is computed stays in the cache."""
    if step == 1:
        return pixels
    whole = _whole_blocks(pixels, step)
    rows, columns = whole.shape
    means = np.empty((rows // step, columns // step), pixels.dtype)
    of_rows = _mean_bytes if pixels.dtype == np.uint8 else _mean_colours
    strip = max(1, _STRIP_BYTES // (columns * step * pixels.itemsize))
    for first in range(0, len(means), strip):
        of_rows(whole[first * step : (first + strip) * step], step, means[first : first + strip])
    return means


def luminance(pixels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Luminance of RGB pixels in Pillow's weights (ITU-R 601)."""
    red, green, blue = (((pixels >> np.uint32(shift)) & np.uint32(0xFF)) for shift in (0, 8, 16))
    weighed = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471) + np.uint32(0x8000)
    grey: NDArray[np.uint8] = (weighed >> np.uint32(16)).astype(np.uint8)
    return grey


def _every_second(pixels: NDArray[Any]) -> NDArray[Any]:
    """Every second pixel of every second row: the lower half of a word of two pixels."""
    pairs = pixels[: pixels.shape[0] // 2 * 2 : 2, : pixels.shape[1] // 2 * 2]
    even: NDArray[Any] = pairs.view(np.uint16 if pixels.dtype == np.uint8 else np.uint64).astype(pixels.dtype)
    return even


def _whole_blocks(plane: NDArray[Any], step: int) -> NDArray[Any]:
    """The middle of a picture that blocks of `step` pixels fill, in rows that begin at even addresses."""
    rows, columns = plane.shape
    top, left = rows % step // 2, columns % step // 2
    whole = plane[top : top + rows // step * step, left : left + columns // step * step]
    return whole if columns % step == 0 else np.ascontiguousarray(whole)


def _sum_rows(values: NDArray[Any], step: int) -> NDArray[Any]:
    """Sums of `step` rows each."""
    rows = values.reshape(values.shape[0] // step, step, values.shape[1])
    total: NDArray[Any] = rows[:, 0] + rows[:, 1]
    for number in range(2, step):
        total += rows[:, number]
    return total


def _mean_bytes(whole: NDArray[np.uint8], step: int, means: NDArray[np.uint8]) -> None:
    pairs = whole.view(np.uint16)
    sums = pairs >> np.uint16(8)
    sums += pairs & np.uint16(0xFF)
    sums = _sum_rows(sums, step)
    for _ in range(step.bit_length() - 2):
        two = sums.view(np.uint32)
        sums = ((two >> np.uint32(16)) + two).astype(np.uint16)
    sums += np.uint16(step * step // 2)
    np.right_shift(sums, np.uint16(2 * step.bit_length() - 2), out=means, casting="unsafe")


def _mean_colours(whole: NDArray[np.uint32], step: int, means: NDArray[np.uint32]) -> None:
    """Red and blue, then green and the fourth byte, are summed in one word."""
    lanes = np.uint32(0x00FF00FF)
    half, shift = np.uint32(step * step // 2 * 0x00010001), np.uint32(2 * step.bit_length() - 2)
    parts = []
    for part in (whole & lanes, (whole >> np.uint32(8)) & lanes):
        sums = _sum_rows(part, step)
        for _ in range(step.bit_length() - 1):
            two = sums.view(np.uint64)
            sums = ((two >> np.uint64(32)) + two).astype(np.uint32)
        parts.append(((sums + half) >> shift) & lanes)
    np.bitwise_or(parts[0], parts[1] << np.uint32(8), out=means)
