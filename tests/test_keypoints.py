"""Keypoints are the same alone and in a batch, and the sixteen views of a picture share their bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from drawn_pictures import drawn
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from infimed_data.images.hashes import VIEWS, View, views_of
from infimed_data.images.keypoints import MAX_KEYPOINTS, SIDE, UNIT, Keypoints, find_keypoints
from infimed_data.images.places import pack_places, unpack_places


def plane(look: str = "slide", seed: int = 0, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(drawn(look, seed))).convert("L")
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def one_of(points: Keypoints, number: int) -> tuple[list[int], ...]:
    some = slice(int(points.starts[number]), int(points.starts[number + 1]))
    return tuple(column[some].tolist() for column in points[1:])


def test_a_batch_changes_nothing() -> None:
    pictures = [plane("slide", seed, (64, 20 + seed)) for seed in range(20)]
    pictures += [np.zeros((64, 64), np.uint8), plane("64 pixels", 1, (64, 64)), np.zeros((1, 1), np.uint8)]
    together = find_keypoints(pictures)
    backwards = find_keypoints(pictures[::-1])
    for number, picture in enumerate(pictures):
        alone = one_of(find_keypoints([picture]), 0)
        assert one_of(together, number) == alone
        assert one_of(backwards, len(pictures) - 1 - number) == alone


def test_no_pictures_have_no_keypoints() -> None:
    points = find_keypoints([])
    assert points.starts.tolist() == [0]
    assert all(len(column) == 0 for column in points[1:])
    assert len(pack_places(points, np.zeros((0, 4)))) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, SIDE), (SIDE, 1), (2, 2), (5, 64), (SIDE, SIDE)])
def test_pictures_of_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    pictures = [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), rng.integers(0, 256, shape, dtype=np.uint8)]
    points = find_keypoints(pictures)
    counts = np.diff(points.starts)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2] <= MAX_KEYPOINTS
    assert ((points.y >= 0) & (points.y < shape[0] * UNIT)).all()
    assert ((points.x >= 0) & (points.x < shape[1] * UNIT)).all()


@pytest.mark.parametrize("view", VIEWS[1:], ids=lambda view: view.text())
def test_bits_of_a_view_are_the_view_of_the_bits(view: View) -> None:
    upright = plane("blurred scan", 2, (64, 56))
    points = find_keypoints([upright])
    seen = find_keypoints([np.ascontiguousarray(view.of(upright))])
    # An inversion leaves the bits, and exchanges dark and bright.
    number = VIEWS.index(view) & 7
    predicted = views_of(points.bits, inverted=False)[:, number]
    apart = np.bitwise_count(predicted[:, None] ^ seen.bits[None, :])
    nearest = apart.argmin(axis=1)
    same = apart.min(axis=1) <= 6
    assert same.mean() > 0.8
    assert ((points.dark ^ seen.dark[nearest])[same] == view.inverted).mean() > 0.9


@given(
    st.integers(0, SIDE * UNIT - 1), st.integers(0, SIDE * UNIT - 1), st.integers(16, 70), st.booleans(),
    st.floats(0.001, 1 / SIDE),
)  # fmt: skip
def test_places_are_packed_to_a_4096th_and_an_eighth_of_an_octave(
    y: int, x: int, scale: int, dark: bool, pixel: float
) -> None:
    bits = np.zeros(1, np.uint64)
    points = Keypoints(np.array([0, 1]), bits, np.array([y]), np.array([x]), np.array([scale]), np.array([dark]))
    places = pack_places(points, np.array([[0.0, 0.0, pixel, pixel]]))
    far_y, far_x, size, was_dark = unpack_places(places)
    assert abs(far_y[0] - y * pixel / UNIT) <= 1 / 4096
    assert abs(far_x[0] - x * pixel / UNIT) <= 1 / 4096
    assert 0.999 * 2 ** (-1 / 8) <= size[0] / (scale * pixel / UNIT) <= 1.001
    assert was_dark[0] == dark
