"""One picture laid over another: scaled and shifted, both ways apart, until the two fit to a part of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infimed_data.dedup.confirm.planes import Plane, normalised, seen_around, smooth, unclipped
from infimed_data.images.shrinking import longer_side

__all__ = ["LEAST_OVERLAP", "SMALLEST", "Laid", "Map", "Sizes", "align", "on_one_grid"]

LEAST_OVERLAP = 0.4
"""Share of either picture's area that has to be common."""
SMALLEST = 12
"""Pixels a side below which there is nothing to compare."""
_LEVELS = ((32, 10, 0.6), (64, 6, 0.65), (128, 3, 0.8))
"""Longer side, most steps, and least likeness after them: what is less alike is not fitted any finer. Copies of real
pictures had at least 0.86, 0.89 and 0.91; other pictures that came as far 0.73, 0.63 and 0.43 in the median."""
_HOPELESS = (3, 0.3)
"""After so many steps of a level, what is less alike than this does not become a copy: those had at least 0.8."""
_STILL = 0.03
"""A step that moves nothing by more than this many pixels is the last on its level."""


@dataclass(frozen=True, slots=True)
class Map:
    """A point p of the first picture is at (scale_y * y + shift_y, scale_x * x + shift_x) in the second; in pixels."""

    scale_y: float
    scale_x: float
    shift_y: float
    shift_x: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """A picture, and the same at a half and a quarter of the size."""

    sizes: tuple[Image.Image, Image.Image, Image.Image]

    @staticmethod
    def of(plane: NDArray[np.uint8]) -> Sizes:
        """The sizes of a grey picture."""
        whole = Image.fromarray(plane.astype(np.float32))
        half = whole.resize((max(1, whole.width // 2), max(1, whole.height // 2)), Image.Resampling.BOX)
        return Sizes(
            (whole, half, half.resize((max(1, half.width // 2), max(1, half.height // 2)), Image.Resampling.BOX))
        )

    @property
    def height(self) -> int:
        """Rows."""
        return self.sizes[0].height

    @property
    def width(self) -> int:
        """Columns."""
        return self.sizes[0].width

    def cut(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Plane:
        """The part in a box (left, top, right, bottom) of the full size, at `size` (columns, rows)."""
        spare = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])
        image = self.sizes[2 if spare >= 6 else 1 if spare >= 3 else 0]
        across, down = image.width / self.width, image.height / self.height
        left, top = max(0.0, box[0] * across), max(0.0, box[1] * down)
        right, bottom = min(float(image.width), box[2] * across), min(float(image.height), box[3] * down)
        return np.asarray(image.resize(size, Image.Resampling.HAMMING, box=(left, top, right, bottom)))


@dataclass(frozen=True, slots=True)
class Laid:
    """Two pictures and how the second lies over the first."""

    one: Sizes
    other: Sizes
    lies: Map

    def common(self) -> tuple[float, float, float, float]:
        """(top, bottom, left, right) of the part of the first picture that the second shows too."""
        lies = self.lies
        return (
            max(0.0, -lies.shift_y / lies.scale_y),
            min(float(self.one.height), (self.other.height - lies.shift_y) / lies.scale_y),
            max(0.0, -lies.shift_x / lies.scale_x),
            min(float(self.one.width), (self.other.width - lies.shift_x) / lies.scale_x),
        )

    def shares(self) -> tuple[float, float]:
        """Shares of the areas of the first and of the second picture that are common."""
        top, bottom, left, right = self.common()
        area = max(0.0, bottom - top) * max(0.0, right - left)
        scaled = area * self.lies.scale_y * self.lies.scale_x
        return area / (self.one.width * self.one.height), scaled / (self.other.width * self.other.height)

    def moved(self, lies: Map) -> Laid:
        """The same pictures, lying otherwise."""
        return Laid(self.one, self.other, lies)


def on_one_grid(laid: Laid, side: int) -> tuple[Plane, Plane] | None:
    """The common part of both pictures on one grid, no finer than either and at most `side` along its longer side."""
    top, bottom, left, right = laid.common()
    if min(bottom - top, right - left) < SMALLEST / 2:
        return None
    lies = laid.lies
    longest = longer_side(bottom - top, right - left, side)
    fine = min(1.0, longest / max(bottom - top, right - left), max(lies.scale_y, lies.scale_x))
    size = (max(8, round((right - left) * fine)), max(8, round((bottom - top) * fine)))
    box = (
        max(0.0, left * lies.scale_x + lies.shift_x),
        max(0.0, top * lies.scale_y + lies.shift_y),
        min(float(laid.other.width), right * lies.scale_x + lies.shift_x),
        min(float(laid.other.height), bottom * lies.scale_y + lies.shift_y),
    )
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return None
    return laid.one.cut((left, top, right, bottom), size), laid.other.cut(box, size)


def align(laid: Laid) -> Laid | None:
    """`laid` with scales and shifts that fit best, from coarse to fine; None where nothing common remains."""
    for side, steps, least in _LEVELS:
        likeness = 0.0
        for step in range(1, steps + 1):
            top, bottom, left, right = laid.common()
            planes = on_one_grid(laid, side)
            if planes is None:
                return None
            move, likeness = _step(*planes)
            rows, columns = planes[0].shape
            limit = 0.06 * max(rows, columns)
            shift_y, grow_y, shift_x, grow_x = (max(-limit, min(limit, value)) for value in move)
            lies = laid.lies
            per_y, per_x = (bottom - top) * lies.scale_y / rows, (right - left) * lies.scale_x / columns
            more_y, more_x = per_y * grow_y * 2 / (bottom - top), per_x * grow_x * 2 / (right - left)
            laid = laid.moved(
                Map(
                    lies.scale_y + more_y,
                    lies.scale_x + more_x,
                    lies.shift_y + per_y * (shift_y - grow_y) - more_y * top,
                    lies.shift_x + per_x * (shift_x - grow_x) - more_x * left,
                )
            )
            if not _sound(laid):
                return None
            if max(map(abs, move)) < _STILL or (step >= _HOPELESS[0] and likeness < _HOPELESS[1]):
                break
        if likeness < least:
            return None
    return laid


def _sound(laid: Laid) -> bool:
    """Whether this may be a copy: not stretched, unless the whole frame was, and enough of it common."""
    lies = laid.lies
    if min(lies.scale_y, lies.scale_x) <= 0.05:
        return False
    stretch = lies.scale_y / lies.scale_x
    whole = (laid.other.height / laid.one.height) / (laid.other.width / laid.one.width)
    if not (0.8 < stretch < 1.25 or 0.93 < stretch / whole < 1.07):
        return False
    return min(laid.shares()) >= LEAST_OVERLAP * 0.7


def _step(one: Plane, other: Plane) -> tuple[tuple[float, float, float, float], float]:
    """(what brings `other` closer to `one`: shift and growth in rows, then in columns; how alike they are before that).

    One step of Gauss and Newton, in pixels; growth is the shift at the last row or column over that in the middle.
    After Lucas and Kanade (1981), on locally normalised pictures, with outliers weighed down.
    """
    radius = 4
    seen = unclipped(one) * unclipped(other)
    if seen.mean() < 0.15:
        seen = np.ones_like(seen)
    count = seen_around(seen, radius)
    a, b = (normalised(smooth(plane), seen, count, radius) for plane in (one, other))
    down, across = np.zeros_like(b), np.zeros_like(b)
    down[1:-1] = (b[2:] - b[:-2]) / 2
    across[:, 1:-1] = (b[:, 2:] - b[:, :-2]) / 2
    rows, columns = a.shape
    y = (((np.arange(rows, dtype=np.float32) + 0.5) / rows) * 2 - 1)[:, None]
    x = (((np.arange(columns, dtype=np.float32) + 0.5) / columns) * 2 - 1)[None, :]
    apart = a - b
    spread = float(np.median(np.abs(apart))) * 1.5 + 0.1
    weight = (seen / (1 + (apart / spread) ** 2)).ravel()
    slopes = np.stack([down, down * y, across, across * x]).reshape(4, -1)
    weighed = slopes * weight
    normal = np.einsum("in,jn->ij", weighed, slopes).astype(np.float64)
    normal += np.eye(4) * (1e-3 * a.size)
    move = np.linalg.solve(normal, np.einsum("in,n->i", weighed, apart.ravel()).astype(np.float64))
    likeness = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))
    return (float(move[0]), float(move[1]), float(move[2]), float(move[3])), likeness
