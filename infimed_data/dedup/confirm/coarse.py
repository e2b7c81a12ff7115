"""Which hints of many pairs are worth a close look, by the pictures' squares alone: nothing is decoded.

The same fit as in laying.py, on `SQUARE` pixels a side, many pairs at a time: most pictures that share a few features
or a hash are nowhere alike, and a step or two says so. What is left is laid and compared at full size. Of 2,400 copies
of real pictures each had at least 0.5 likeness before the first step, 0.86 after the coarse ones and 0.91 after the
fine ones; of pictures that only looked alike, one in ten to twenty comes that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.confirm.comparison import Hint
from infimed_data.dedup.confirm.laying import LEAST_OVERLAP
from infimed_data.dedup.confirm.planes import Plane, normalised, seen_around, smooth, unclipped
from infimed_data.images import SQUARE
from infimed_data.images.hashes import VIEWS

__all__ = ["Square", "hints_left"]


@dataclass(frozen=True, slots=True)
class _Level:
    """Pixels a side that pictures are laid over each other with, and what likeness it takes to go on."""

    side: int
    steps: int
    least: tuple[float, ...]
    """Before the first step, the second ..., and before all later ones."""
    least_after: float
    at_a_time: int
    """Hints that are looked at together: what a step works on stays in a core's own cache."""


_LEVELS = (_Level(32, 8, (0.35, 0.4, 0.5), 0.65, 32), _Level(SQUARE, 5, (0.5, 0.6), 0.7, 8))
_RADIUS = 4
_STILL = 0.03
_LONGEST = 3.0
"""Pictures that are more times as long as wide lose too much in a square: they are looked at closely at once."""


@dataclass(frozen=True, slots=True)
class Square:
    """A picture as `images.squares` gives it, and the size that the picture had."""

    plane: NDArray[np.uint8]
    width: int
    height: int


def hints_left(
    pairs: Sequence[tuple[Square | None, Square | None, Sequence[Hint | int]]],
) -> list[tuple[Hint | int, ...]]:
    """For each pair, those of its hints that a close look may confirm; all of them where a square is None.

    How pairs are put together changes nothing but the speed.
    """
    left: list[list[Hint | int]] = [[] for _ in pairs]
    tried: list[tuple[int, Hint | int]] = []
    sides: list[tuple[Square, Square]] = []
    for number, (one, other, hints) in enumerate(pairs):
        if one is None or other is None or max(_longness(one), _longness(other)) > _LONGEST:
            left[number] += hints
            continue
        tried += [(number, hint) for hint in hints]
        sides += [(one, other)] * len(hints)
    likely = _likely(sides, [hint for _, hint in tried])
    for (number, hint), good in zip(tried, likely.tolist(), strict=True):
        if good:
            left[number].append(hint)
    return [tuple(hints) for hints in left]


def _longness(square: Square) -> float:
    return max(square.width, square.height) / min(square.width, square.height)


def _likely(sides: Sequence[tuple[Square, Square]], hints: Sequence[Hint | int]) -> NDArray[np.bool_]:
    """Whether the pictures of each hint are alike once the second lies over the first."""
    if not hints:
        return np.zeros(0, np.bool_)
    lies, shape = _placed(sides, hints)
    views = [VIEWS[hint if isinstance(hint, int) else hint.view] for hint in hints]
    ones = np.stack([one.plane for one, _ in sides])
    others = np.stack([view.of(other.plane) for (_, other), view in zip(sides, views, strict=True)])
    alive = _sound(lies, shape)
    for level in _LEVELS:
        likeness, moving = np.full(len(lies), -1.0), alive.copy()
        for step in range(level.steps):
            least = level.least[min(step, len(level.least) - 1)]
            todo = np.flatnonzero(moving)
            for start in range(0, len(todo), level.at_a_time):
                some = todo[start : start + level.at_a_time]
                fit = _Fit.of(ones[some], others[some], lies[some], level.side)
                likeness[some] = fit.likeness
                enough = fit.likeness >= least
                alive[some] = moving[some] = enough
                if step == level.steps - 1 or not enough.any():
                    continue
                some = some[enough]
                lies[some], still = fit.at(enough).moved(lies[some])
                alive[some] = _sound(lies[some], shape[some])
                moving[some] = alive[some] & ~still
        alive &= likeness >= level.least_after
    return alive


def _placed(
    sides: Sequence[tuple[Square, Square]], hints: Sequence[Hint | int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(`Lies` of each hint; how much taller for its width the second picture is than the first)."""
    lies, shape = np.empty((len(hints), 4)), np.empty(len(hints))
    for row, ((one, other), hint) in enumerate(zip(sides, hints, strict=True)):
        view = VIEWS[hint if isinstance(hint, int) else hint.view]
        height, width = (other.width, other.height) if view.transposed else (other.height, other.width)
        shape[row] = (height / one.height) / (width / one.width)
        if isinstance(hint, int):
            lies[row] = (1, 0, 1, 0)
        else:
            own, far = max(one.height, one.width), max(height, width)
            lies[row] = (
                hint.scale * (one.height / own) / (height / far), hint.shift_y * far / height,
                hint.scale * (one.width / own) / (width / far), hint.shift_x * far / width,
            )  # fmt: skip
    return lies, shape


_Lies = NDArray[np.float64]
"""(n, 4): a point (y, x) of the first picture, in its sides, is at (c[0] y + c[1], c[2] x + c[3]) in the second."""


def _common(lies: _Lies) -> tuple[NDArray[np.float64], ...]:
    """Top, bottom, left and right of the part of the first picture that the second shows too."""
    scale_y, shift_y, scale_x, shift_x = lies.T
    return (
        np.maximum(0, -shift_y / scale_y), np.minimum(1, (1 - shift_y) / scale_y),
        np.maximum(0, -shift_x / scale_x), np.minimum(1, (1 - shift_x) / scale_x),
    )  # fmt: skip


def _sound(lies: _Lies, shape: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each may be a copy, as `laying` decides it."""
    positive = np.minimum(lies[:, 0], lies[:, 2]) > 0.05
    lies = np.where(positive[:, None], lies, 1.0)
    top, bottom, left, right = _common(lies)
    tall, wide = np.maximum(0, bottom - top), np.maximum(0, right - left)
    stretch = lies[:, 0] / lies[:, 2]
    shaped = ((stretch * shape > 0.8) & (stretch * shape < 1.25)) | ((stretch > 0.93) & (stretch < 1.07))
    share = tall * wide * np.minimum(1, lies[:, 0] * lies[:, 2])
    sound: NDArray[np.bool_] = positive & shaped & (share >= LEAST_OVERLAP * 0.7) & (np.minimum(tall, wide) > 0.1)
    return sound


@dataclass(frozen=True, slots=True)
class _Fit:
    """Pictures on one grid, one of each pair over the other, locally normalised."""

    one: Plane
    other: Plane
    seen: Plane
    likeness: NDArray[np.float64]

    @staticmethod
    def of(ones: NDArray[np.uint8], others: NDArray[np.uint8], lies: _Lies, side: int) -> _Fit:
        """The common parts of pairs on a grid of `side` pixels a side."""
        top, bottom, left, right = _common(lies)
        scale_y, shift_y, scale_x, shift_x = lies.T
        one = _cut(ones, top, bottom, left, right, side)
        other = _cut(
            others, top * scale_y + shift_y, bottom * scale_y + shift_y, left * scale_x + shift_x,
            right * scale_x + shift_x, side,
        )  # fmt: skip
        seen = unclipped(one) * unclipped(other)
        seen[seen.mean(axis=(1, 2)) < 0.15] = 1
        count = seen_around(seen, _RADIUS)
        a, b = (normalised(smooth(plane), seen, count, _RADIUS) for plane in (one, other))
        power = (a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2))
        return _Fit(a, b, seen, ((a * b).sum(axis=(1, 2)) / np.sqrt(power + np.float32(1e-6))).astype(np.float64))

    def at(self, some: NDArray[np.bool_]) -> _Fit:
        """Some of the pairs."""
        return self if some.all() else _Fit(self.one[some], self.other[some], self.seen[some], self.likeness[some])

    def moved(self, lies: _Lies) -> tuple[_Lies, NDArray[np.bool_]]:
        """(how the pictures lie after one step of Gauss and Newton, whether that hardly moved them)."""
        side = self.one.shape[1]
        move = np.clip(self._move(), -0.06 * side, 0.06 * side)
        shift_y, grow_y, shift_x, grow_x = move.T
        top, bottom, left, right = _common(lies)
        per_y, per_x = (bottom - top) * lies[:, 0] / side, (right - left) * lies[:, 2] / side
        more_y, more_x = per_y * grow_y * 2 / (bottom - top), per_x * grow_x * 2 / (right - left)
        after = (
            lies[:, 0] + more_y, lies[:, 1] + per_y * (shift_y - grow_y) - more_y * top,
            lies[:, 2] + more_x, lies[:, 3] + per_x * (shift_x - grow_x) - more_x * left,
        )  # fmt: skip
        return np.stack(after, axis=1), np.abs(move).max(axis=1) < _STILL

    def _move(self) -> NDArray[np.float64]:
        """Shift and growth in rows, then in columns, as `laying` finds them."""
        pairs, side, _ = self.one.shape
        slopes = np.zeros((pairs, 4, side, side), np.float32)
        slopes[:, 0, 1:-1] = (self.other[:, 2:] - self.other[:, :-2]) / 2
        slopes[:, 2, :, 1:-1] = (self.other[:, :, 2:] - self.other[:, :, :-2]) / 2
        at = ((np.arange(side, dtype=np.float32) + np.float32(0.5)) / side) * 2 - 1
        np.multiply(slopes[:, 0], at[:, None], out=slopes[:, 1])
        np.multiply(slopes[:, 2], at, out=slopes[:, 3])
        apart = self.one - self.other
        every = side // 32
        spread = np.median(np.abs(apart[:, ::every, ::every]).reshape(pairs, -1), axis=1) * 1.5 + 0.1
        weight = self.seen / (1 + (apart / spread.astype(np.float32)[:, None, None]) ** 2)
        # A product of small matrices for each pair: the sums are the same whatever pairs are beside it.
        weighed = (slopes * weight[:, None]).reshape(pairs, 4, -1)
        normal = np.matmul(weighed, slopes.reshape(pairs, 4, -1).swapaxes(1, 2)).astype(np.float64)
        normal += np.eye(4) * (1e-3 * side * side)
        wanted = np.matmul(weighed, apart.reshape(pairs, -1, 1)).astype(np.float64)
        return np.asarray(np.linalg.solve(normal, wanted)[:, :, 0])


def _cut(
    planes: NDArray[np.uint8],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    side: int,
) -> Plane:
    """The parts of squares in boxes, each on a grid of `side` pixels a side."""
    down, across = _weights(top, bottom, side), _weights(left, right, side)
    cut: Plane = np.matmul(np.matmul(down, planes.astype(np.float32)), across.swapaxes(1, 2))
    return cut


def _weights(start: NDArray[np.float64], stop: NDArray[np.float64], side: int) -> Plane:
    """(n, side, SQUARE): what each pixel of a square weighs in each pixel of a grid; hats as wide as a grid's pixel."""
    step = (stop - start) * SQUARE / side
    middles = start[:, None] * SQUARE + (np.arange(side) + 0.5) * step[:, None]
    weights = (np.arange(SQUARE, dtype=np.float32) + np.float32(0.5)) - middles.astype(np.float32)[:, :, None]
    np.abs(weights, out=weights)
    weights *= (-1 / np.maximum(1, step)).astype(np.float32)[:, None, None]
    weights += 1
    np.maximum(weights, 0, out=weights)
    weights /= np.maximum(weights.sum(axis=2, keepdims=True), np.float32(1e-6))
    return weights
