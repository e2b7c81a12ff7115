"""Everything that is known about an image, from a single decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infimed_data.images.hashes import hash_picture
from infimed_data.images.keypoints import SIDE, find_keypoints
from infimed_data.images.pixels import Canvas, decode
from infimed_data.images.places import pack_places
from infimed_data.images.shrinking import luminance, shrink, shrink_to

__all__ = ["SQUARE", "Look", "Measures", "finish", "look", "measure", "square"]

SQUARE = 64
"""Pixels a side of the small copy by which pictures are first compared."""
_REDUCED_SIDE = 256
_SAMPLED_SIDE = 128
_BORDER_SPAN = 12
"""Lines at an edge that together span at most this much luminance are border."""
_SMALLEST_CONTENT = 16


@dataclass(frozen=True, slots=True)
class Measures:
    """What one decode says about an image."""

    digest: str
    """Digest of the decoded pixels: equal for re-encoded, palette and grey-as-RGB copies of the same pixels."""
    format: str
    mode: str
    width: int
    height: int
    phash: int
    """64 signs of low frequencies of the luminance; see `infimed_data.images.hashes`."""
    patches: tuple[int, ...]
    """64 bits for each keypoint: what is around it; see `infimed_data.images.keypoints`."""
    places: tuple[int, ...]
    """32 bits for each keypoint: where it is and how large; see `infimed_data.images.places`."""
    mean: float
    """Mean luminance, 0 to 255, of a regular grid of at most 128 x 128 pixels; so are the next two."""
    contrast: float
    """Standard deviation of the luminance."""
    sharpness: float
    """Variance of the Laplacian, in every fourth row of the picture halved until no side has more than 256 pixels."""
    flat_share: float
    """Share of the pixels that have the most frequent luminance."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a decoded picture until the rest is computed, for many pictures at a time."""

    digest: str
    format: str
    mode: str
    width: int
    height: int
    grid: NDArray[np.uint8]
    """Luminance of a regular grid of pixels."""
    reduced: NDArray[np.uint8]
    """The picture halved until no side has more than 256 pixels."""


def measure(data: bytes, *, max_pixels: int) -> Measures:
    """Decodes once and measures. Raises `Reject`: `image_unreadable` or `image_too_large`."""
    return finish([look(data, max_pixels=max_pixels)])[0]


def look(data: bytes, *, max_pixels: int, canvas: Canvas | None = None) -> Look:
    """Decodes a picture and keeps what is small. Raises `Reject`: `image_unreadable` or `image_too_large`.

    Many pictures in a row are quicker with one canvas.
    """
    seen = decode(data, max_pixels=max_pixels, canvas=canvas)
    rows, columns = seen.pixels.shape
    step_y, step_x = -(-rows // _SAMPLED_SIDE), -(-columns // _SAMPLED_SIDE)
    grid: NDArray[Any] = seen.pixels[step_y // 2 :: step_y, step_x // 2 :: step_x]
    return Look(
        digest=seen.digest,
        format=seen.format,
        mode=seen.mode,
        width=columns,
        height=rows,
        grid=luminance(grid) if grid.dtype == np.uint32 else grid.copy(),
        reduced=shrink_to(seen.pixels, _REDUCED_SIDE, quick=True),
    )


def finish(looks: Sequence[Look]) -> list[Measures]:
    """The measures of pictures that were looked at; how many at a time changes only the speed."""
    statistics = [_statistics(seen.grid) for seen in looks]
    sharpness = [_sharpness(seen.reduced) for seen in looks]
    halves = [_halved(seen.reduced) for seen in looks]
    hashes = [hash_picture(small) for small in halves]
    boxes = _content_boxes(halves)
    contents = [_content(small, box) for small, box in zip(halves, boxes, strict=True)]
    keypoints = find_keypoints(contents)
    parts = []
    for small, (top, bottom, left, right), content in zip(halves, boxes, contents, strict=True):
        longer = max(small.shape)
        parts.append(
            (
                top / longer,
                left / longer,
                (bottom - top) / content.shape[0] / longer,
                (right - left) / content.shape[1] / longer,
            )
        )
    patches = keypoints.bits.tolist()
    places = pack_places(keypoints, np.array(parts).reshape(-1, 4)).tolist()
    starts = keypoints.starts.tolist()
    return [
        Measures(
            digest=seen.digest,
            format=seen.format,
            mode=seen.mode,
            width=seen.width,
            height=seen.height,
            phash=hashes[number],
            patches=tuple(patches[starts[number] : starts[number + 1]]),
            places=tuple(places[starts[number] : starts[number + 1]]),
            mean=statistics[number][0],
            contrast=statistics[number][1],
            sharpness=sharpness[number],
            flat_share=statistics[number][2],
        )
        for number, seen in enumerate(looks)
    ]


def square(seen: Look) -> NDArray[np.uint8]:
    """The whole picture on `SQUARE` x `SQUARE` pixels, whatever its shape."""
    return np.asarray(Image.fromarray(seen.reduced).resize((SQUARE, SQUARE), Image.Resampling.BILINEAR))


_LEVELS = np.arange(256)
_SQUARES = _LEVELS * _LEVELS


def _statistics(grid: NDArray[np.uint8]) -> tuple[float, float, float]:
    """(mean, standard deviation, share of the most frequent value)."""
    counts = np.array(Image.fromarray(grid).histogram())
    mean = int(counts @ _LEVELS) / grid.size
    variance = int(counts @ _SQUARES) / grid.size - mean * mean
    return mean, max(0.0, variance) ** 0.5, int(counts.max()) / grid.size


def _sharpness(reduced: NDArray[np.uint8]) -> float:
    rows = reduced.shape[0] - 2
    if rows < 1 or reduced.shape[1] < 3:
        return 0.0
    step = 4 if rows >= _REDUCED_SIDE // 4 else 1
    upper, middle, lower = (reduced[first : first + rows : step].astype(np.int16) for first in range(3))
    laplacian = middle[:, 1:-1] * np.int16(-4)
    laplacian += middle[:, :-2]
    laplacian += middle[:, 2:]
    laplacian += upper[:, 1:-1]
    laplacian += lower[:, 1:-1]
    values = laplacian.ravel().astype(np.float64)
    # Sums of whole numbers below 2**53: exact in any order. Without BLAS, which starts threads for long vectors.
    mean = float(values.sum()) / values.size
    return float(np.einsum("i,i->", values, values)) / values.size - mean * mean


def _halved(reduced: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return shrink(reduced, 2) if 2 * max(reduced.shape) > _REDUCED_SIDE and min(reduced.shape) > 1 else reduced


_Box = tuple[int, int, int, int]


def _content_boxes(pictures: Sequence[NDArray[np.uint8]]) -> list[_Box]:
    """(top, bottom, left, right) of each picture without a border of one tone; the whole where little would be left."""
    boxes = []
    for picture in pictures:
        rows, columns = picture.shape
        top, bottom = _trimmed(picture.min(axis=1), picture.max(axis=1))
        left, right = _trimmed(picture.min(axis=0), picture.max(axis=0))
        if min(bottom - top, right - left) < _SMALLEST_CONTENT:
            top, bottom, left, right = 0, rows, 0, columns
        boxes.append((top, bottom, left, right))
    return boxes


def _trimmed(low: NDArray[np.uint8], high: NDArray[np.uint8]) -> tuple[int, int]:
    """First and one past the last line that is not border, from each line's darkest and brightest value."""
    first = _border(low, high) if high[0] - low[0] <= _BORDER_SPAN else 0
    last = len(low) - (_border(low[::-1], high[::-1]) if high[-1] - low[-1] <= _BORDER_SPAN else 0)
    return (first, last) if first < last else (0, len(low))


def _border(low: NDArray[np.uint8], high: NDArray[np.uint8]) -> int:
    """Lines from the first on that together span little."""
    span = np.maximum.accumulate(high) - np.minimum.accumulate(low)
    return int(span.searchsorted(_BORDER_SPAN, side="right"))


def _content(picture: NDArray[np.uint8], box: _Box) -> NDArray[np.uint8]:
    """The part of the picture, `SIDE` pixels along its longer side, and at least half as many along the other."""
    top, bottom, left, right = box
    sides = (right - left, bottom - top)
    size = [max(min(side, SIDE // 2), round(side * SIDE / max(sides))) for side in sides]
    kind: Any = Image.Resampling.BOX if max(sides) > SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((size[0], size[1]), kind, box=(left, top, right, bottom)))
