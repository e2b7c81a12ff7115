"""Whether two pictures are one, proved on their pixels.

The second picture is laid over the first: looked at in the hinted view, scaled and shifted until the two fit to a part
of a pixel. Then fine structure is compared block by block: what remains after the local mean is taken away, correlated
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

from infimed_data.dedup.confirm.fine import Fine, look_closely
from infimed_data.dedup.confirm.laying import SMALLEST, Laid, Map, Sizes, align
from infimed_data.images.hashes import VIEWS, View

__all__ = ["CONFIRMED_SCORE", "Comparison", "Hint", "Picture", "compare", "verdict"]

CONFIRMED_SCORE = 0.8
"""Pictures that score at least this are one picture."""
_SURE = 0.95
_SCALES = (1.08, 0.925)
_WORTH_SCALING = 0.25
"""What scores less is not tried at other scales: hardly a copy does, and most pictures that only look alike."""
_NEAR = 0.03
"""Where all edges differ by less than this share of the longer side, the frames may well coincide."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A grey picture, reduced to at most `SIDE` pixels a side, and the size that it had."""

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

    def scaled(self, factor: float) -> Hint:
        """The same with another scale, the middle of the first picture staying where it is."""
        scale = self.scale * factor
        moved = (self.scale - scale) / 2
        return Hint(self.view, scale, self.shift_y + moved, self.shift_x + moved)


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
    """`compared`, or why they were not: `no_structure`, `no_overlap`."""


def compare(one: Picture, other: Picture, hints: Sequence[Hint | int]) -> Comparison:
    """The best of what the hints lead to. A hint may be the number of a view alone: then the frames coincide."""
    if min(*one.plane.shape, *other.plane.shape) < SMALLEST:
        return Comparison(0.0, 0.0, "", "no_structure")
    best, best_hint = Comparison(0.0, 0.0, "", "no_overlap"), None
    first = Sizes.of(one.plane)
    for hint in hints:
        found = _compare(one, other, hint, first)
        if best_hint is None or (found.score, found.overlap) > (best.score, best.overlap):
            best, best_hint = found, hint
        if best.score > _SURE:
            return best
    unsure = best.reason == "compared" and _WORTH_SCALING <= best.score < CONFIRMED_SCORE
    if isinstance(best_hint, Hint) and unsure:
        # Alike, but not laid well: a few features tell the scale badly.
        for factor in _SCALES:
            found = _compare(one, other, best_hint.scaled(factor), first)
            if found.score > best.score:
                best = found
    return best


def verdict(score: float, reason: str, *, least_score: float = CONFIRMED_SCORE) -> tuple[str, str]:
    """(`confirmed` or `refused`, why) for a score: `agrees`, `differs`, or the reason for which nothing was compared.

    Scores are stored, so another limit decides again without a second look at the pixels.
    """
    if reason not in ("compared", "agrees", "differs"):
        return "refused", reason
    return ("confirmed", "agrees") if score >= least_score else ("refused", "differs")


def _compare(one: Picture, other: Picture, hint: Hint | int, first: Sizes) -> Comparison:
    view = VIEWS[hint if isinstance(hint, int) else hint.view]
    turned = np.ascontiguousarray(view.of(other.plane))
    second = Sizes.of(turned)
    whole = Map(second.height / first.height, second.width / first.width, 0.0, 0.0)
    if isinstance(hint, int):
        start = whole
    else:
        longer = max(second.height, second.width)
        scale = hint.scale * longer / max(first.height, first.width)
        start = Map(scale, scale, hint.shift_y * longer, hint.shift_x * longer)
    aligned = align(Laid(first, second, start))
    if aligned is None:
        return Comparison(0.0, 0.0, "", "no_overlap")
    best = None
    if _close(aligned, whole):  # most copies have the whole frame: more exact than any fit
        best = look_closely(aligned.moved(whole))
    if best is None or best.score <= _SURE:
        fitted = look_closely(aligned)
        best = fitted if best is None or fitted.score >= best.score else best
    if best.reason == "no_overlap":
        return Comparison(0.0, 0.0, "", best.reason)
    return Comparison(
        round(best.score, 4),
        round(float(min(best.laid.shares())), 4),
        _describe(one, other, view, best),
        best.reason,
    )


def _close(laid: Laid, whole: Map) -> bool:
    """Whether the frames nearly coincide."""
    height, width = laid.one.height, laid.one.width
    edges = [
        (m.shift_y, m.shift_x, m.scale_y * height + m.shift_y, m.scale_x * width + m.shift_x)
        for m in (laid.lies, whole)
    ]
    apart: float = max(abs(a - b) for a, b in zip(*edges, strict=True))
    return apart < _NEAR * max(laid.other.height, laid.other.width)


def _describe(one: Picture, other: Picture, view: View, fine: Fine) -> str:
    """What was done to the second picture, in words."""
    lies = fine.laid.lies
    height, width = (other.width, other.height) if view.transposed else (other.height, other.width)
    grown_y = lies.scale_y * (height / fine.laid.other.height) / (one.height / fine.laid.one.height)
    grown_x = lies.scale_x * (width / fine.laid.other.width) / (one.width / fine.laid.one.width)
    share = min(fine.laid.shares())
    words = [view.undone().text()]
    words.append("resized" if hypot(grown_y - 1, grown_x - 1) > 0.02 else "")
    words.append("windowed" if fine.windowed else "")
    words.append(f"crop {share:.2f}" if share < 0.985 else "")
    words.append("marked" if fine.marked else "")
    return ", ".join(word for word in words if word) or "same"
