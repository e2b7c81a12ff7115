"""The join finds the pairs that comparing all with all finds; where buckets are capped it says so and stays bounded."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infimed_data.dedup.hamming import WHOLE, WINDOW, Near, near_pairs, nearest_views
from infimed_data.images.hashes import VIEWS, hash_picture, views_of

Pairs = dict[tuple[int, int], int]


def all_pairs(hashes: NDArray[np.uint64], radius: int, views: bool, left: NDArray[np.bool_] | None) -> Pairs:
    """Distance by (smaller hash, larger hash), comparing every hash with every other."""
    sides: dict[int, set[bool]] = {}
    for at, value in enumerate(hashes.tolist()):
        sides.setdefault(value, set()).add(left is not None and bool(left[at]))
    found = {}
    for one, other in combinations(sorted(sides), 2):
        seen = views_of(np.array([other], np.uint64))[0].tolist() if views else [other]
        distance = min((one ^ each).bit_count() for each in seen)
        if distance <= radius and (left is None or len(sides[one] | sides[other]) == 2):
            found[one, other] = distance
    return found


def pairs_of(near: Near) -> Pairs:
    keys = zip(near.hashes[near.one].tolist(), near.hashes[near.other].tolist(), strict=True)
    return dict(zip(keys, near.distance.tolist(), strict=True))


def hashes_of(values: list[int]) -> NDArray[np.uint64]:
    return np.array(values, np.uint64)


@st.composite
def families(draw: st.DrawFn) -> list[int]:
    """Hashes in families: a few of any value, with copies that differ in no or a few bits, in any view."""
    values: list[int] = []
    for base in draw(st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=5)):
        for bits in draw(st.lists(st.lists(st.integers(0, 63), max_size=12), max_size=8)):
            changed = base
            for bit in bits:
                changed ^= 1 << bit
            view = draw(st.sampled_from([0, 0, *range(16)]))
            values.append(int(views_of(hashes_of([changed]))[0, view]))
    return values


@settings(max_examples=120, deadline=None)
@given(values=families(), radius=st.integers(0, 10), views=st.booleans(), flags=st.none() | st.integers(0, 2**40 - 1))
def test_the_join_is_what_comparing_all_gives(values: list[int], radius: int, views: bool, flags: int | None) -> None:
    hashes = hashes_of(values)
    left = None if flags is None else np.array([bool(flags >> at & 1) for at in range(len(values))], np.bool_)
    near = near_pairs(hashes, radius, views=views, left=left)
    assert pairs_of(near) == all_pairs(hashes, radius, views, left)
    assert (near.capped_buckets, near.skipped) == (0, 0)
    assert near.hashes[near.number].tolist() == values
    assert (near.one < near.other).all()
    order = list(zip(near.one.tolist(), near.other.tolist(), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize("count", [300, 3000, 40_000])
@pytest.mark.parametrize("views", [False, True])
def test_the_join_of_many_finds_every_planted_pair(count: int, views: bool) -> None:
    """Numbers of hashes at which blocks are chosen otherwise."""
    rng = np.random.default_rng(count)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    copies = hashes[:200].copy()
    for row in range(200):
        for bit in rng.choice(64, row % 5, replace=False).tolist():
            copies[row] ^= np.uint64(1 << bit)
    if views:
        copies = views_of(copies)[np.arange(200), np.arange(200) % 16]
    near = near_pairs(np.concatenate([hashes, copies]), 4, views=views)
    found = set(zip(near.one.tolist(), near.other.tolist(), strict=True))
    for one, other in zip(near.number[:200].tolist(), near.number[count:].tolist(), strict=True):
        assert one == other or (min(one, other), max(one, other)) in found
    assert near.distance.max() <= 4


def test_equal_hashes_are_one_hash_with_many_members() -> None:
    near = near_pairs(hashes_of([7, 7, 7, 6] * 10_000), 4)
    assert pairs_of(near) == {(6, 7): 1}
    assert near.number.tolist() == [1, 1, 1, 0] * 10_000
    assert near.capped_buckets == 0


def crowd(count: int) -> NDArray[np.uint64]:
    """Hashes that all agree on most of their bits."""
    return np.random.default_rng(3).permutation(np.arange(count, dtype=np.uint64)) | np.uint64(0xABCDEF << 40)


@pytest.mark.parametrize("views", [False, True])
def test_a_crowd_is_compared_with_its_neighbours_only(views: bool) -> None:
    hashes = crowd(4096)
    near = near_pairs(hashes, 4, views=views)
    found = pairs_of(near)
    assert near.capped_buckets > 0
    assert near.skipped > 0
    assert all(distance == (one ^ other).bit_count() for (one, other), distance in found.items() if not views)
    assert max(found.values()) <= 4
    # Every hash has the partners of its window, where they are near; fewer than all pairs.
    ascending = np.sort(hashes).tolist()
    for at, one in enumerate(ascending):
        for other in ascending[at + 1 : at + 1 + WINDOW]:
            assert (one ^ other).bit_count() > 4 or (one, other) in found
    assert len(found) < 0.5 * len(all_pairs_of_a_crowd(4096, 4))


def all_pairs_of_a_crowd(count: int, radius: int) -> NDArray[np.int64]:
    numbers = np.arange(count)
    near: NDArray[np.int64] = np.argwhere(np.triu(np.bitwise_count(numbers[:, None] ^ numbers[None, :]) <= radius, 1))
    return near


def test_a_crowd_that_is_not_capped_is_compared_whole() -> None:
    near = near_pairs(crowd(WHOLE), 4)
    assert near.capped_buckets == 0
    assert len(near.one) == len(all_pairs_of_a_crowd(WHOLE, 4))
    whole = near_pairs(crowd(1024), 4, whole=1024)
    assert whole.capped_buckets == 0
    assert len(whole.one) == len(all_pairs_of_a_crowd(1024, 4))


def test_one_flagged_hash_of_a_crowd_meets_its_neighbours() -> None:
    hashes = crowd(4096)
    left = np.zeros(4096, np.bool_)
    left[17] = True
    near = near_pairs(hashes, 4, left=left)
    own = int(hashes[17])
    assert near.capped_buckets > 0
    assert all(own in pair for pair in pairs_of(near))
    neighbours = {value for value in hashes.tolist() if abs(value - own) <= WHOLE // 4}
    wanted = {(min(own, one), max(own, one)) for one in neighbours if 0 < (one ^ own).bit_count() <= 4}
    assert wanted <= set(pairs_of(near))


def test_the_order_of_the_hashes_changes_no_pair() -> None:
    hashes = np.concatenate([crowd(2000), crowd(2000) ^ np.uint64(1 << 50)])
    left = np.arange(4000) % 3 == 0
    first, first_left = near_pairs(hashes, 4), near_pairs(hashes, 4, left=left, views=True)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(4000)
        assert pairs_of(near_pairs(hashes[order], 4)) == pairs_of(first)
        assert pairs_of(near_pairs(hashes[order], 4, left=left[order], views=True)) == pairs_of(first_left)


@pytest.mark.parametrize("radius", [-1, 11])
def test_a_radius_beyond_reach_is_refused(radius: int) -> None:
    with pytest.raises(ValueError, match=r"allowed: 0 to 10"):
        near_pairs(hashes_of([1, 2]), radius)


def test_the_hash_of_a_view_is_the_view_of_the_hash() -> None:
    for shape in ((64, 64), (48, 64), (64, 48), (33, 57)):
        plane = np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)
        predicted = views_of(hashes_of([hash_picture(plane)]))[0].tolist()
        for number, view in enumerate(VIEWS):
            assert (predicted[number] ^ hash_picture(np.ascontiguousarray(view.of(plane)))).bit_count() <= 1, view
            undone = view.undone().of(view.of(plane))
            assert (undone == plane).all(), view


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_nearest_view_is_the_first_of_the_nearest(one: int, other: int) -> None:
    distances = np.bitwise_count(views_of(hashes_of([other]))[0] ^ np.uint64(one))
    distance, view = nearest_views(hashes_of([one]), hashes_of([other]))
    assert (distance[0], view[0]) == (distances.min(), distances.argmin())
