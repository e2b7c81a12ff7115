"""Whether two pictures are one, proved on their pixels.

The second picture is laid over the first: looked at in the hinted view, scaled and shifted until the two fit to a part of
a pixel. Then fine structure is compared block by block: what remains after the local mean is taken away, correlated
over each block, so that a window, a gamma or an inversion does not matter. Where either picture is clipped (the black
around a body, a saturated bone) nothing is compared, so that an outline which every slice of a study shares proves
nothing. The score is a low quantile of the blocks' correlations, after the one rectangle in which a burned-in label
would fit was left out: everywhere else the structure has to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infimed_data.images.hashes import VIEWS

__all__ = ["CONFIRMED_SCORE", "SIDE", "Comparison", "Hint", "Picture", "compare", "verdict"]

CONFIRMED_SCORE = 0.8
"""Pictures that score at least this are one picture."""
SIDE = 320
"""Pixels that a compared picture has at most along its longer side."""
LEAST_OVERLAP = 0.3
"""Share of either picture's area that has to be common."""
_LEVELS = ((32, 4, 0.2), (64, 4, 0.4), (128, 3, 0.5))
"""Longer side, most steps, and least likeness after them: what is less alike is not fitted any finer."""
_NEAR = 0.03
_BLOCK = 12
_RADIUS = 3
_FEWEST_BLOCKS = 10
_NOISE = 2.0
"""Variance of fine structure, in squared levels of luminance, below which a block says nothing."""

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Picture:
    """A grey picture, reduced to at most 320 pixels a side, and the size that it had."""

    plane: NDArray[np.uint8]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Hint:
    """How a second picture may lie over a first: a point p of the first is at `scale * p + shift` in the second.

    Points are (row, column) in longer sides of their picture; the second is looked at as `VIEWS[view]` says first.
    """

    view: int
    scale: float
    shift_y: float
    shift_x: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the pixels say about two pictures."""

    score: float
    """0 to 1; `CONFIRMED_SCORE` and more is one picture. 0 where nothing could be compared."""
    overlap: float
    """Share of the picture that shows more which is common to both; 0 where they could not be laid over each other."""
    transform: str
    """How the second picture differs from the first: `same`, or `resized`, `windowed`, `crop 0.87` and so on."""
    reason: str
    """Why the score is what it is: `agrees`, `differs`, `no_structure`, `no_overlap`."""


@dataclass(frozen=True, slots=True)
class _Map:
    """A point p of the first picture is at (scale_y * y + shift_y, scale_x * x + shift_x) in the second; in pixels."""

    scale_y: float
    scale_x: float
    shift_y: float
    shift_x: float


@dataclass(frozen=True, slots=True)
class _Sizes:
    """A picture, and the same at a half and a quarter of the size."""

    sizes: tuple[Image.Image, Image.Image, Image.Image]

    @staticmethod
    def of(plane: NDArray[np.uint8]) -> _Sizes:
        """The sizes of a grey picture."""
        whole = Image.fromarray(plane.astype(np.float32))
        half = whole.resize((max(1, whole.width // 2), max(1, whole.height // 2)), Image.Resampling.BOX)
        return _Sizes(
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
class _Laid:
    """Two pictures and how the second lies over the first."""

    one: _Sizes
    other: _Sizes
    lies: _Map

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

    def moved(self, lies: _Map) -> _Laid:
        """The same pictures, lying otherwise."""
        return _Laid(self.one, self.other, lies)


def compare(one: Picture, other: Picture, hints: Sequence[Hint | int]) -> Comparison:
    """The best of what the hints lead to. A hint may be the number of a view alone: then the frames coincide."""
    best = Comparison(0.0, 0.0, "", "no_overlap")
    if min(*one.plane.shape, *other.plane.shape) < _BLOCK:
        return Comparison(0.0, 0.0, "", "no_structure")
    for hint in hints:
        found = _compare(one, other, hint)
        if (found.score, found.overlap) > (best.score, best.overlap):
            best = found
        if best.score > 0.95:
            break
    return best


def verdict(score: float, reason: str, *, least_score: float = CONFIRMED_SCORE) -> tuple[str, str]:
    """(`confirmed` or `refused`, why) for a stored score: another limit decides again without a second comparison."""
    if reason != "agrees" and reason != "differs":
        return "refused", reason
    return ("confirmed", "agrees") if score >= least_score else ("refused", "differs")


def _compare(one: Picture, other: Picture, hint: Hint | int) -> Comparison:
    view = VIEWS[hint if isinstance(hint, int) else hint.view]
    turned = np.ascontiguousarray(view.of(other.plane))
    first, second = _Sizes.of(one.plane), _Sizes.of(turned)
    whole = _Map(second.height / first.height, second.width / first.width, 0.0, 0.0)
    if isinstance(hint, int):
        start = whole
    else:
        longer = max(second.height, second.width)
        scale = hint.scale * longer / max(first.height, first.width)
        start = _Map(scale, scale, hint.shift_y * longer, hint.shift_x * longer)
    aligned = _align(_Laid(first, second, start))
    if aligned is None:
        return Comparison(0.0, 0.0, "", "no_overlap")
    tried = [aligned]
    if _close(aligned, whole):  # most copies have the whole frame: more exact than any fit
        tried.append(aligned.moved(whole))
    best = max((_fine(laid) for laid in tried), key=lambda found: found.score)
    if best.reason == "no_overlap":
        return Comparison(0.0, 0.0, "", best.reason)
    return Comparison(
        round(best.score, 4),
        round(float(min(best.laid.shares())), 4),
        _describe(one, other, view.text(), best),
        best.reason,
    )


def _close(laid: _Laid, whole: _Map) -> bool:
    """Whether the frames nearly coincide."""
    corners = []
    for lies in (laid.lies, whole):
        height, width = laid.one.height, laid.one.width
        corners.append(
            (
                lies.shift_y,
                lies.shift_x,
                lies.scale_y * height + lies.shift_y,
                lies.scale_x * width + lies.shift_x,
            )  # fmt: skip
        )
    return max(abs(a - b) for a, b in zip(*corners, strict=True)) < _NEAR * max(laid.other.height, laid.other.width)


# Laying one over the other


def _align(laid: _Laid) -> _Laid | None:
    """`laid` with scales and shifts that fit best, from coarse to fine; None where nothing common remains."""
    for side, steps, least in _LEVELS:
        likeness = 0.0
        for _ in range(steps):
            top, bottom, left, right = laid.common()
            cut = _cut(laid, side)
            if cut is None:
                return None
            move, likeness = _step(*cut)
            rows, columns = cut[0].shape
            limit = 0.06 * max(rows, columns)
            shift_y, grow_y, shift_x, grow_x = (max(-limit, min(limit, value)) for value in move)
            lies = laid.lies
            per_y, per_x = (bottom - top) * lies.scale_y / rows, (right - left) * lies.scale_x / columns
            more_y, more_x = per_y * grow_y * 2 / (bottom - top), per_x * grow_x * 2 / (right - left)
            laid = laid.moved(
                _Map(
                    lies.scale_y + more_y,
                    lies.scale_x + more_x,
                    lies.shift_y + per_y * (shift_y - grow_y) - more_y * top,
                    lies.shift_x + per_x * (shift_x - grow_x) - more_x * left,
                )
            )
            if not _sound(laid):
                return None
            if max(map(abs, move)) < _NEAR:
                break
        if likeness < least:
            return None
    return laid


def _sound(laid: _Laid) -> bool:
    lies = laid.lies
    if min(lies.scale_y, lies.scale_x) <= 0.05 or not 0.6 < lies.scale_y / lies.scale_x < 1.67:
        return False
    return min(laid.shares()) >= LEAST_OVERLAP * 0.7


def _cut(laid: _Laid, side: int) -> tuple[Plane, Plane] | None:
    """The common part of both pictures on one grid, no finer than either and at most `side` along its longer side."""
    top, bottom, left, right = laid.common()
    if min(bottom - top, right - left) < _BLOCK / 2:
        return None
    lies = laid.lies
    fine = min(1.0, side / max(bottom - top, right - left), max(lies.scale_y, lies.scale_x))
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


def _step(one: Plane, other: Plane) -> tuple[tuple[float, float, float, float], float]:
    """(shift and growth in rows, then in columns, that bring `other` closer to `one`; how alike they were before).

    One step of Gauss and Newton. In pixels; growth is the shift at the last row or column over that in the middle. After Lucas and Kanade (1981), on
    locally normalised pictures, with outliers weighed down.
    """
    radius = 4
    seen = _unclipped(one) * _unclipped(other)
    if seen.mean() < 0.15:
        seen = np.ones_like(seen)
    a, b = _normalised(_smooth(one), seen, radius), _normalised(_smooth(other), seen, radius)
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


def _unclipped(plane: Plane) -> Plane:
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


def _smooth(plane: Plane) -> Plane:
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


def _box_sum(plane: Plane, radius: int) -> Plane:
    """Sums over squares of 2 radius + 1 pixels a side; outside is 0."""
    width = 2 * radius + 1
    rows, columns = plane.shape
    sums = np.zeros((rows + width, columns + width))
    sums[radius + 1 : radius + 1 + rows, radius + 1 : radius + 1 + columns] = plane
    np.cumsum(sums, axis=0, out=sums)
    np.cumsum(sums, axis=1, out=sums)
    found = sums[width:, width:] - sums[:-width, width:]
    found -= sums[width:, :-width]
    found += sums[:-width, :-width]
    return found.astype(np.float32)


def _without_mean(plane: Plane, seen: Plane, radius: int) -> tuple[Plane, Plane]:
    """(`plane` less the mean around each pixel of what is seen, 0 where it is not seen; the number of those pixels)."""
    count = np.maximum(_box_sum(seen, radius), 1)
    fine: Plane = (plane - _box_sum(plane * seen, radius) / count) * seen
    return fine, count


def _normalised(plane: Plane, seen: Plane, radius: int) -> Plane:
    """`plane` less its local mean, over its local deviation."""
    fine, count = _without_mean(plane, seen, radius)
    normalised: Plane = fine / np.sqrt(_box_sum(fine * fine, radius) / count + 4)
    return normalised


# Comparing what is fine


@dataclass(frozen=True, slots=True)
class _Fine:
    """How well the fine structure of two pictures agrees."""

    score: float
    reason: str
    laid: _Laid
    marked: bool = False
    windowed: bool = False


def _fine(laid: _Laid) -> _Fine:
    if min(laid.shares()) < LEAST_OVERLAP:
        return _Fine(0.0, "no_overlap", laid)
    cut = _cut(laid, SIDE)
    if cut is None:
        return _Fine(0.0, "no_overlap", laid)
    one, other = cut
    seen = _unclipped(one) * _unclipped(other)
    found = _correlations(one, other, seen)
    if np.isfinite(found).sum() < _FEWEST_BLOCKS:
        found = _correlations(one, other, np.ones_like(seen))
    told = np.isfinite(found)
    if told.sum() < _FEWEST_BLOCKS:
        return _Fine(0.0, "no_structure", laid)
    label = _worst_rectangle(np.where(told, np.clip(0.9 - found, 0, 1), 0))
    rest = told.copy()
    rest[label] = False
    if rest.sum() < _FEWEST_BLOCKS:
        rest = told
    score = float(np.clip(np.quantile(found[rest], 0.1), 0, 1))
    gain = np.polyfit(other.ravel()[::7], one.ravel()[::7], 1) if other.std() > 0 else np.array([1.0, 0.0])
    windowed = bool(abs(gain[0] - 1) > 0.1 or np.abs(one - other).mean() > 6)
    return _Fine(
        score, "agrees" if score >= CONFIRMED_SCORE else "differs", laid, bool((found[told] < 0.5).any()), windowed
    )


def _correlations(one: Plane, other: Plane, seen: Plane) -> Plane:
    """The correlation of fine structure in each block; NaN for blocks that say nothing."""
    a, _ = _without_mean(_smooth(one), seen, _RADIUS)
    b, _ = _without_mean(_smooth(other), seen, _RADIUS)
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


def _describe(one: Picture, other: Picture, view: str, fine: _Fine) -> str:
    """What was done to the second picture, in words."""
    lies = fine.laid.lies
    height, width = (other.width, other.height) if view.startswith(("rotated 90", "rotated 270", "transposed")) else (
        other.height, other.width,
    )  # fmt: skip
    grown_y = lies.scale_y * (height / fine.laid.other.height) / (one.height / fine.laid.one.height)
    grown_x = lies.scale_x * (width / fine.laid.other.width) / (one.width / fine.laid.one.width)
    share = min(fine.laid.shares())
    words = [view]
    words.append("resized" if hypot(grown_y - 1, grown_x - 1) > 0.02 else "")
    words.append("windowed" if fine.windowed else "")
    words.append(f"crop {share:.2f}" if share < 0.985 else "")
    words.append("marked" if fine.marked else "")
    return ", ".join(word for word in words if word) or "same"
