"""Features that agree on one arrangement are votes, and say it; what is found everywhere, or nowhere twice, is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from infimed_data.dedup.buckets import Capped
from infimed_data.dedup.votes import WHOLE, Features, Votes, cast_votes
from infimed_data.images.hashes import VIEWS, View, views_of
from infimed_data.images.keypoints import UNIT, Keypoints
from infimed_data.images.places import pack_places

HEIGHT, WIDTH = 0.75, 1.0


class Drawn(NamedTuple):
    """Features of a picture: bits, (row, column) in longer sides, dark."""

    bits: NDArray[np.uint64]
    at: NDArray[np.float64]
    dark: NDArray[np.bool_]
    size: tuple[float, float] = (HEIGHT, WIDTH)


def some(count: int, seed: int, low: float = 0.1, high: float = 0.65) -> Drawn:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**64, count, dtype=np.uint64)
    return Drawn(bits, rng.uniform(low, high, (count, 2)), rng.random(count) < 0.5)


def laid(one: Drawn, view: View, scale: float, shift: tuple[float, float]) -> Drawn:
    """The picture that, looked at as `view`, shows the features of `one` at `scale * place + shift`."""
    undone = VIEWS.index(view.undone()) & 7
    rows, columns = (WIDTH, HEIGHT) if view.transposed else (HEIGHT, WIDTH)
    y, x = (one.at * scale + np.array(shift)).T
    y = rows - y if view.flipped_rows else y
    x = columns - x if view.flipped_columns else x
    if view.transposed:
        y, x = x, y
    bits = views_of(one.bits, inverted=False)[:, undone]
    return Drawn(bits, np.stack([y, x], axis=1), one.dark ^ view.inverted)


def features(pictures: Sequence[Drawn], sizes: Sequence[float] | None = None) -> Features:
    sizes = sizes or [1.0] * len(pictures)
    starts = np.concatenate([[0], np.cumsum([len(one.bits) for one in pictures])]).astype(np.int64)
    places = [np.zeros(0, np.uint32)]
    for one, size in zip(pictures, sizes, strict=True):
        y, x = np.rint(one.at * 64 * UNIT).astype(np.int64).T
        scale = np.full(len(one.bits), round(32 * size))
        own = Keypoints(np.array([0, len(one.bits)]), one.bits, y, x, scale, one.dark)
        places.append(pack_places(own, np.array([[0.0, 0.0, 1 / 64, 1 / 64]])))
    bits = [np.zeros(0, np.uint64), *(one.bits for one in pictures)]
    height, width = (np.array([one.size[side] for one in pictures], np.float32) for side in (0, 1))
    return Features(starts, np.concatenate(bits), np.concatenate(places), height, width)


def votes_of(found: Features, left: NDArray[np.bool_] | None = None, least: float = 1.0) -> Votes:
    return cast_votes(found, left=left, least_strength=least, capped=Capped())


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.text() or "upright")
@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0.0, 0.0)), (0.8, (0.05, 0.1)), (1.1, (-0.06, 0.02))])
def test_an_arrangement_is_told_as_it_was_planted(view: View, scale: float, shift: tuple[float, float]) -> None:
    one = some(12, 1)
    found = votes_of(features([one, laid(one, view, scale, shift)], [1.0, scale]))
    assert (found.one.tolist(), found.other.tolist()) == ([0], [1])
    assert VIEWS[found.view[0]] == view
    assert found.votes[0] >= 10
    assert found.scale[0] == pytest.approx(scale, abs=0.02)
    assert (found.shift_y[0], found.shift_x[0]) == pytest.approx(shift, abs=0.01)


def test_features_in_disorder_do_not_agree() -> None:
    one = some(12, 1)
    shuffled = Drawn(one.bits, some(12, 2).at, one.dark)
    found = votes_of(features([one, shuffled]))
    assert found.votes.max(initial=0) <= 3


def test_unrelated_features_and_a_single_one_are_no_votes() -> None:
    one, other = some(12, 1), some(12, 2)
    assert len(votes_of(features([one, other])).one) == 0
    single = Drawn(one.bits[:1], one.at[:1], one.dark[:1])
    assert len(votes_of(features([one, single])).one) == 0
    pair = Drawn(one.bits[:2], one.at[:2], one.dark[:2])
    assert votes_of(features([one, pair])).votes.tolist() == [2]


@pytest.mark.parametrize("counts", [[], [0], [0, 0], [0, 3, 0], [3, 0, 0, 3], [1, 1]])
@pytest.mark.parametrize("flagged", [False, True])
def test_pictures_without_features(counts: list[int], flagged: bool) -> None:
    found = features([some(count, seed) for seed, count in enumerate(counts)])
    votes = votes_of(found, np.arange(len(counts)) % 2 == 0 if flagged else None, least=0.0)
    assert len(votes.one) == len(votes.scale) == 0


def test_only_pairs_of_a_flagged_and_an_unflagged_picture() -> None:
    one = some(12, 1)
    found = features([one, one, some(12, 2), one])
    everyone = {(int(a), int(b)) for a, b in zip(votes_of(found).one, votes_of(found).other, strict=True)}
    assert everyone == {(0, 1), (0, 3), (1, 3)}
    across = votes_of(found, np.array([True, False, True, True]))
    assert {(int(a), int(b)) for a, b in zip(across.one, across.other, strict=True)} == {(0, 1), (1, 3)}


@pytest.mark.parametrize("flagged", [False, True])
def test_what_memory_holds_changes_nothing(tmp_path: Path, flagged: bool) -> None:
    rng = np.random.default_rng(5)
    originals = [some(14, seed) for seed in range(30)]
    pictures = [originals[number] for number in rng.integers(0, 30, 120)]
    pictures = [laid(one, VIEWS[at % 16], 1.0, (0.01 * (at % 7), 0.0)) for at, one in enumerate(pictures)]
    left = np.arange(120) % 3 == 0 if flagged else None
    whole = votes_of(features(pictures), left)
    assert len(whole.one) > 100
    for hold_bytes in (1, 30_000, 200_000):
        cut = cast_votes(
            features(pictures), left=left, least_strength=1.0, capped=Capped(), hold_bytes=hold_bytes, folder=tmp_path
        )
        for name in ("one", "other", "votes", "strength", "view", "scale", "shift_y", "shift_x"):
            assert np.array_equal(getattr(whole, name), getattr(cut, name)), (hold_bytes, name)
    assert not list(tmp_path.iterdir())


def test_what_very_many_pictures_share_votes_for_nobody() -> None:
    """A watermark: two features in one place of each of many pictures; two of them are one picture besides."""
    mark, own = some(2, 1000), some(9, 1001)
    pictures = [_both(mark, some(9, seed)) for seed in range(WHOLE + 10)]
    pictures[3] = pictures[40] = _both(mark, own)
    capped = Capped()
    found = cast_votes(features(pictures), left=None, least_strength=1.0, capped=capped)
    assert (found.one.tolist(), found.other.tolist()) == ([3], [40])
    assert capped.buckets > 0
    assert capped.skipped > 0
    # What some pictures share counts less than what two share.
    few = votes_of(features([_both(mark, some(9, seed)) for seed in range(100)]), least=0.0)
    assert few.strength.max() < 1.0


def _both(one: Drawn, other: Drawn) -> Drawn:
    bits, at, dark = (np.concatenate(pair) for pair in zip(one[:3], other[:3], strict=True))
    return Drawn(bits, at, dark)
