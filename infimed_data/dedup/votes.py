"""Pairs of pictures that share local features in one arrangement: crops, labels, borders, whatever moves a global hash.

Features meet in buckets of equal bits: several sets of the steadiest bits, each reduced to the smallest of the values
that its eight turned copies take. Features that meet, and differ in few of all 64 bits, vote for how one picture lies
over the other; only votes that agree on view, scale and shift count. A bucket with too many members (a watermark, a
scanner's table, the edge of a film) votes for nobody.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infimed_data.dedup.buckets import Capped, distinct, mixed, runs
from infimed_data.dedup.feature_matches import MOST_BITS, find_matches
from infimed_data.images.places import unpack_places

__all__ = ["Features", "Votes", "cast_votes"]

WHOLE = 128
"""Features that a bucket may have to vote, while there are at most `_FEW` in all; half as many for each four times
that, down to `_LEAST_WHOLE`. Of millions, most in one bucket are strangers, and each costs a look at the others."""
_FEW = 1 << 20
_LEAST_WHOLE = 32
_FEWEST_BITS = 20
_MORE_BITS = {128: 1, 64: 3, 32: 7}
"""Keys have more bits where there are more features, so that buckets hold some four by chance, and some more where few
may vote: then what alike pictures have in common fills no bucket."""
_RARE = 24
"""Pictures that a feature may be found in to count fully."""
HOLD_BYTES = 192 << 20
"""Memory for matches, where nothing else is said."""
_MATCH_BYTES = 96
"""What a match takes until those that stand alone are out."""
_REACHES = (0.04, 0.02)
"""Distances, in longer sides, within which matches belong to an arrangement, round by round."""


@dataclass(frozen=True)
class Features:
    """The keypoints of pictures, one picture after the other."""

    starts: NDArray[np.int64]
    """Picture n has the features from `starts[n]` to before `starts[n + 1]`."""
    patches: NDArray[np.uint64]
    places: NDArray[np.uint32]
    height: NDArray[np.float32]
    """Of each picture, in its longer side."""
    width: NDArray[np.float32]


@dataclass(frozen=True)
class Votes:
    """Pairs of pictures, by number of the one and then of the other; the one has the smaller number.

    A point p of the one is at `scale * p + shift` of the other looked at as `VIEWS[view]`, in longer sides.
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    votes: NDArray[np.int64]
    """Features that agree on the arrangement."""
    strength: NDArray[np.float64]
    """The same, but a feature that is found in more than 24 pictures counts less the more they are."""
    view: NDArray[np.uint8]
    scale: NDArray[np.float64]
    shift_y: NDArray[np.float64]
    shift_x: NDArray[np.float64]


def cast_votes(
    features: Features, *, left: NDArray[np.bool_] | None, least_strength: float, capped: Capped,
    whole: int | None = None, hold_bytes: int = HOLD_BYTES, folder: Path | None = None,
) -> Votes:  # fmt: skip
    """Pairs of pictures with two or more features in one arrangement, at least that strong; each view is one row.

    With `left` (one flag a picture), only pairs of a flagged and an unflagged picture. Matches that `hold_bytes` do not
    hold wait in files in `folder` (without one, where temporary files go); how many changes nothing.
    """
    owner = np.repeat(np.arange(len(features.starts) - 1, dtype=np.int32), np.diff(features.starts))
    whole = whole or _whole(len(owner))
    with tempfile.TemporaryDirectory(prefix=".votes-", dir=folder) as temporary:
        parts = list(_parts(features, owner, left, whole, capped, hold_bytes, Path(temporary)))
        counts = np.zeros(len(owner), np.int32)
        for part in parts:
            for numbers in _numbers(part.read()):
                np.add.at(counts, numbers, np.int32(1))
        found = [_agree(features, owner, part.read(), counts, least_strength) for part in parts]
    return Votes(*(np.concatenate([getattr(votes, field.name) for votes in found]) for field in fields(Votes)))


def _whole(features: int) -> int:
    whole = WHOLE
    while features > _FEW and whole > _LEAST_WHOLE:
        features, whole = -(-features // 4), whole // 2
    return whole


@dataclass(frozen=True)
class _Part:
    """The matches of some pictures with later ones, distinct and sorted: in memory, or in a file."""

    matches: NDArray[np.uint64] | None
    path: Path

    def read(self) -> NDArray[np.uint64]:
        """The matches."""
        return np.fromfile(self.path, np.uint64) if self.matches is None else self.matches


def _parts(
    features: Features, owner: NDArray[np.int32], left: NDArray[np.bool_] | None, whole: int, capped: Capped,
    hold_bytes: int, folder: Path,
) -> Iterator[_Part]:  # fmt: skip
    """All matches, those of one picture with later ones together."""
    most = max(1, hold_bytes // _MATCH_BYTES)
    chunks: list[Path] = []
    first = np.zeros(0, np.uint64)
    total = 0
    bits = max(_FEWEST_BITS, (len(owner) - 1).bit_length() + _MORE_BITS.get(whole, 1))
    flagged = None if left is None else left[owner]
    for chunk in find_matches(features.patches, owner, flagged, min(bits, MOST_BITS), whole, capped, most):
        if not len(chunk):
            continue
        total += len(chunk)
        chunks.append(folder / f"chunk-{len(chunks)}")
        if len(chunks) == 1:
            first = chunk  # often the only one: it stays in memory
            continue
        if len(chunks) == 2:
            first.tofile(chunks[0])
        chunk.tofile(chunks[-1])
    if len(chunks) < 2:
        yield _Part(first, folder)
        return
    del first
    arrays = [np.memmap(path, np.uint64, "r").view(np.ndarray) for path in chunks]
    count = -(-total // most)
    # Matches are sorted by the first feature, and so by its picture.
    middles = arrays[0][np.arange(1, count) * len(arrays[0]) // count] >> np.uint64(33)
    cuts = features.starts[owner[middles.astype(np.int64)]].astype(np.uint64) << np.uint64(33)
    bounds = [np.uint64(0), *np.unique(cuts[cuts > 0]), np.uint64(2**64 - 1)]
    for number, (low, high) in enumerate(pairwise(bounds)):
        own = distinct(np.concatenate([array[array.searchsorted(low) : array.searchsorted(high)] for array in arrays]))
        path = folder / f"part-{number}"
        own.tofile(path)
        del own
        yield _Part(None, path)


def _numbers(matches: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the one feature and of the other of each match."""
    return (
        (matches >> np.uint64(33)).astype(np.int64),
        ((matches >> np.uint64(3)) & np.uint64((1 << 30) - 1)).astype(np.int64),
    )


def _agree(
    features: Features, owner: NDArray[np.int32], matches: NDArray[np.uint64], counts: NDArray[np.int32],
    least_strength: float,
) -> Votes:  # fmt: skip
    """Groups of matches of one pair of pictures in one view, and how many of each agree. `counts` has the matches of
    each feature."""
    matches = _not_alone(matches, owner)
    one, other = _numbers(matches)
    dark = (features.places & np.uint32(1)).astype(np.uint8)
    view = (matches & np.uint64(7)).astype(np.uint8) | ((dark[one] ^ dark[other]) << np.uint8(3))
    group = (owner[one].astype(np.uint64) << np.uint64(34)) | (owner[other].astype(np.uint64) << np.uint64(4))
    group |= view.astype(np.uint64)
    order = np.argsort(group, kind="stable")
    group = group[order]
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, len(group)), np.bool_), group[1:] != group[:-1]]))
    sizes = np.diff(np.concatenate([begins, [len(group)]]))
    enough = sizes >= 2
    begins, sizes = begins[enough], sizes[enough]
    if not len(begins):
        nothing = np.zeros(0, np.int64)
        floats = nothing.astype(np.float64)
        return Votes(nothing, nothing, nothing, floats, nothing.astype(np.uint8), floats, floats, floats)
    members = np.concatenate([place for _, place in runs(begins, sizes)])
    kept = order[members]
    number = np.repeat(np.arange(len(begins)), sizes)
    one, other, view = one[kept], other[kept], view[kept]
    weight = np.minimum(1.0, _RARE / np.maximum(counts[one], counts[other]))
    points = _Points.of(features, owner, one, other, view)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return _count(points, weight, starts, number, group[begins], least_strength)


def _not_alone(matches: NDArray[np.uint64], owner: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The matches without most of those that no other match has the pictures of: nearly all, by chance."""
    one, other = _numbers(matches)
    pair = (owner[one].astype(np.uint64) << np.uint64(32)) | owner[other].astype(np.uint64)
    bits = (4 * len(matches)).bit_length()
    place = mixed(pair) >> np.uint64(64 - bits)
    number = np.arange(len(place), dtype=np.uint32)
    last = np.empty(1 << bits, np.uint32)
    last[place] = number
    shared = np.zeros(1 << bits, np.bool_)
    shared[place[last[place] != number]] = True
    kept: NDArray[np.uint64] = matches[shared[place]]
    return kept


@dataclass(frozen=True)
class _Points:
    """Matched features: which, where, how large."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    there_y: NDArray[np.float64]
    """Row in the other picture, looked at in the view of the match."""
    there_x: NDArray[np.float64]
    scale: NDArray[np.float64]

    @staticmethod
    def of(
        features: Features, owner: NDArray[np.int32], one: NDArray[np.int64], other: NDArray[np.int64],
        view: NDArray[np.uint8],
    ) -> _Points:  # fmt: skip
        """The points of matches."""
        y, x, size, _ = unpack_places(features.places[one])
        far_y, far_x, far_size, _ = unpack_places(features.places[other])
        height, width = features.height[owner[other]], features.width[owner[other]]
        turned = (view & 4).astype(np.bool_)
        far_y, far_x = np.where(turned, far_x, far_y), np.where(turned, far_y, far_x)
        height, width = np.where(turned, width, height), np.where(turned, height, width)
        far_y = np.where(view & 2, height - far_y, far_y)
        far_x = np.where(view & 1, width - far_x, far_x)
        columns = (y, x, far_y, far_x, far_size / size)
        return _Points(one, other, *(column.astype(np.float64) for column in columns))


def _count(
    points: _Points, weight: NDArray[np.float64], starts: NDArray[np.int64], number: NDArray[np.int64],
    groups: NDArray[np.uint64], least_strength: float,
) -> Votes:  # fmt: skip
    """The largest set of each group's matches that agree with one of them, and the arrangement that fits the set."""
    sizes = np.diff(starts)[number]
    votes, strength = np.ones(len(number), np.int64), weight.copy()
    for first, second in runs(starts[number], sizes):
        fits = _consistent(points, first, second)
        votes += np.bincount(first[fits], minlength=len(number))
        strength += np.bincount(first[fits], weight[second[fits]], minlength=len(number))
    strength = np.round(strength, 3)
    order = np.lexsort((np.arange(len(number)), -votes, -strength, number))
    best = order[starts[:-1]]
    best = best[(votes[best] > 1) & (strength[best] >= least_strength)]
    chosen = number[best]
    all_of = _Runs(starts[chosen], sizes[best])
    fit = _fitted(points, best, all_of, lambda run, match: _consistent(points, best[run], match))
    for reach in _REACHES:  # what agrees with one match may agree badly with all of them
        fit = _fitted(points, best, all_of, partial(fit.near, points, reach))
    groups = groups[chosen]
    return Votes(
        (groups >> np.uint64(34)).astype(np.int64),
        ((groups >> np.uint64(4)) & np.uint64((1 << 30) - 1)).astype(np.int64),
        votes[best],
        strength[best],
        (groups & np.uint64(15)).astype(np.uint8),
        fit.scale,
        fit.shift_y,
        fit.shift_x,
    )


class _Runs(NamedTuple):
    """The matches of each group, as runs of places."""

    begins: NDArray[np.int64]
    counts: NDArray[np.int64]


class _Fit(NamedTuple):
    """For each group, how the other picture lies over the one."""

    scale: NDArray[np.float64]
    shift_y: NDArray[np.float64]
    shift_x: NDArray[np.float64]

    def near(
        self, points: _Points, reach: float, group: NDArray[np.int64], match: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each match is within reach of where its group's arrangement puts it."""
        scale = self.scale[group]
        off_y = points.there_y[match] - scale * points.y[match] - self.shift_y[group]
        off_x = points.there_x[match] - scale * points.x[match] - self.shift_x[group]
        near: NDArray[np.bool_] = np.hypot(off_y, off_x) < reach
        return near


_Fits = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


def _fitted(points: _Points, best: NDArray[np.int64], all_of: _Runs, fits: _Fits) -> _Fit:
    """The scale and the shift with the least squares over the matches of each group that `fits` says belong."""
    sums = np.zeros((7, len(best)))
    for run, match in runs(all_of.begins, all_of.counts):
        belongs = fits(run, match) | (best[run] == match)
        run, match = run[belongs], match[belongs]
        y, x, there_y, there_x = points.y[match], points.x[match], points.there_y[match], points.there_x[match]
        terms = (np.ones(len(run)), y, x, there_y, there_x, y * y + x * x, y * there_y + x * there_x)
        for row, term in zip(sums, terms, strict=True):
            row += np.bincount(run, term, minlength=len(best))
    count, y, x, there_y, there_x = sums[0], *(sums[row] / sums[0] for row in range(1, 5))
    spread = sums[5] - count * (y * y + x * x)
    moved = sums[6] - count * (y * there_y + x * there_x)
    # Points that lie close together say little about the scale; then the features' own sizes do.
    hold = 0.002 * count
    scale = (moved + hold * points.scale[best]) / (spread + hold)
    return _Fit(scale, there_y - scale * y, there_x - scale * x)


def _consistent(points: _Points, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the second match lies where, and is as large as, the first one's arrangement says."""
    scale = points.scale[first]
    dy, dx = points.y[second] - points.y[first], points.x[second] - points.x[first]
    off_y = points.there_y[second] - points.there_y[first] - scale * dy
    off_x = points.there_x[second] - points.there_x[first] - scale * dx
    near = np.hypot(off_y, off_x) < 0.03 + 0.15 * np.hypot(dy, dx)
    ratio = points.scale[second] / scale
    near &= (ratio < 1.42) & (ratio > 0.704)
    agree: NDArray[np.bool_] = (
        near & (points.one[second] != points.one[first]) & (points.other[second] != points.other[first])
    )
    return agree
