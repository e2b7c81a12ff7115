"""Copies are confirmed on their pixels; pictures of one look, and pictures of nothing, are not."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import pytest
from drawn_pictures import drawn
from numpy.typing import NDArray
from picture_changes import CHANGES, changed
from PIL import Image
from test_candidates import signals

from infimed_data.dedup.candidates import find_candidates
from infimed_data.dedup.confirm import (
    CONFIRMED_SCORE,
    SIDE,
    Comparison,
    Hint,
    Picture,
    Square,
    compare,
    hints_left,
    verdict,
)
from infimed_data.images import grey_copy, look, square
from infimed_data.images.hashes import VIEWS
from infimed_data.manifest import Manifest

LOOKS = ("slide", "ultrasound", "blurred scan", "64 pixels")
LIMIT = 10**9


def picture(data: bytes) -> Picture:
    copy = grey_copy(data, side=SIDE, max_pixels=LIMIT)
    return Picture(copy.plane, copy.width, copy.height)


def plane(values: NDArray[np.generic]) -> Picture:
    return Picture(np.ascontiguousarray(values, np.uint8), values.shape[1], values.shape[0])


@lru_cache(maxsize=64)
def original(look: str, seed: int = 0) -> bytes:
    return drawn(look, seed)


def hints_of(one: bytes, other: bytes) -> list[Hint | int]:
    """What the candidate search says of how the second may lie over the first."""
    table = signals([one, other])
    found: list[Hint | int] = []
    for pair in find_candidates(table).pairs.to_pylist():
        for row in pair["hints"]:
            hint = row["view"] if row["scale"] is None else Hint(**row)
            found.append(hint)
    if table["digest"][0].as_py() > table["digest"][1].as_py():
        pytest.fail("give the picture with the smaller digest first")
    return found


def compared(one: bytes, other: bytes) -> Comparison:
    first, second = sorted((one, other), key=lambda data: grey_copy(data, side=8, max_pixels=LIMIT).digest)
    return compare(picture(first), picture(second), hints_of(first, second))


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("look", LOOKS)
def test_a_changed_copy_is_confirmed(look: str, kind: str) -> None:
    data = original(look)
    found = compared(data, changed(data, kind, 3))
    assert CONFIRMED_SCORE <= found.score <= 1
    assert 0.5 < found.overlap <= 1
    assert found.transform
    assert verdict(found.score, found.reason) == ("confirmed", "agrees")


WHOLE_FRAME: tuple[Hint | int, ...] = (0, 1, Hint(0, 1.0, 0.0, 0.0), Hint(0, 0.95, 0.02, 0.02))


@pytest.mark.parametrize("look", (*LOOKS, "chart", "strip 8:1", "16 bits", "transparent"))
def test_another_picture_of_the_same_look_is_refused(look: str) -> None:
    pictures = [picture(original(look, seed)) for seed in range(5)]
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            found = compare(one, other, WHOLE_FRAME)
            assert 0 <= found.score < CONFIRMED_SCORE
            assert verdict(found.score, found.reason)[0] == "refused"


def test_a_picture_is_itself_in_every_view() -> None:
    own = plane(picture(original("slide")).plane)
    for number, view in enumerate(VIEWS):
        found = compare(own, plane(view.of(own.plane)), [VIEWS.index(view.undone())])
        assert found.score > 0.99, view
        assert found.overlap > 0.98
        if number == 0:
            assert found.transform == "same"
        for word in view.text().split(", "):
            assert word in found.transform


def test_the_transform_says_what_was_done() -> None:
    image = Image.open(io.BytesIO(original("slide"))).convert("L")

    def said(other: Image.Image) -> str:
        out = io.BytesIO()
        other.save(out, "PNG")
        return compared(original("slide"), out.getvalue()).transform

    assert said(image.resize((480, 360))) == "resized"
    assert "crop 0.8" in said(image.crop((64, 0, 640, 432)))
    assert "windowed" in said(image.point(lambda value: value // 2 + 60))
    marked = image.copy()
    marked.paste(0, (20, 20, 140, 70))
    assert "marked" in said(marked)


@pytest.mark.parametrize("look", LOOKS)
def test_which_of_the_two_comes_first_hardly_matters(look: str) -> None:
    one, other = picture(original(look)), picture(changed(original(look), "resized 0.4-2x", 4))
    forward, backward = compare(one, other, [0]), compare(other, one, [0])
    assert forward.score == pytest.approx(backward.score, abs=0.03)
    assert forward.overlap == pytest.approx(backward.overlap, abs=0.03)
    assert compare(one, other, [0]) == forward


def test_without_a_hint_nothing_is_compared() -> None:
    own = picture(original("slide"))
    assert compare(own, own, []) == Comparison(0.0, 0.0, "", "no_overlap")


def test_a_hint_that_leads_away_is_no_overlap() -> None:
    own = picture(original("slide"))
    for hint in (Hint(0, 1.0, 0.9, 0.9), Hint(0, 0.1, 0.0, 0.0), Hint(0, 9.0, -4.0, -4.0)):
        assert compare(own, own, [hint]).score < CONFIRMED_SCORE
    assert compare(own, own, [Hint(0, 1.0, 0.9, 0.9), 0]).score > 0.99


NOISE = np.random.default_rng(0).integers(0, 256, (320, 320), dtype=np.uint8)
ODD = {
    "one pixel": NOISE[:1, :1],
    "two rows": NOISE[:2],
    "a column": NOISE[:, :1],
    "11 pixels": NOISE[:11, :11],
    "12 pixels": NOISE[:12, :12],
    "12 rows": NOISE[:12],
    "long and thin": np.tile(NOISE[:13], (1, 4)),
    "black": np.zeros((320, 320), np.uint8),
    "white": np.full((40, 320), 255, np.uint8),
    "black and white": np.where(NOISE > 127, 255, 0),
    "two halves": np.repeat([[0], [255]], 100, axis=0) * np.ones((1, 200)),
    "one dot": np.pad(np.full((3, 3), 255), 100),
    "a ramp": np.tile(np.arange(256), (90, 1)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_compared_without_trouble(name: str) -> None:
    own, slide = plane(ODD[name]), picture(original("slide"))
    for one, other in ((own, slide), (slide, own)):
        for hint in (*WHOLE_FRAME, *range(16)):
            found = compare(one, other, [hint])
            assert 0 <= found.score < CONFIRMED_SCORE
            assert 0 <= found.overlap <= 1
    itself = compare(own, own, WHOLE_FRAME)
    assert 0 <= itself.score <= 1
    assert itself.reason in ("compared", "no_structure", "no_overlap")
    if name in ("black", "white", "one pixel", "two rows", "a column", "11 pixels"):
        assert (itself.score, itself.reason != "compared") == (0, True)


# The first look, at squares


def squared(data: bytes) -> Square:
    seen = look(data, max_pixels=LIMIT)
    return Square(square(seen), seen.width, seen.height)


Asked = tuple[Square | None, Square | None, list[Hint | int]]


def asked(one: bytes, other: bytes) -> Asked:
    first, second = sorted((one, other), key=lambda data: grey_copy(data, side=8, max_pixels=LIMIT).digest)
    return squared(first), squared(second), hints_of(first, second)


@lru_cache(maxsize=1)
def copies_and_others() -> tuple[list[Asked], list[Asked]]:
    """Pairs of copies, and pairs of pictures of one look, with what the search says of them."""
    copies = [
        asked(original(look), changed(original(look), kind, 5)) for look in LOOKS for kind in (*CHANGES,)[:: len(LOOKS)]
    ]
    others: list[Asked] = [
        (squared(original(look, one)), squared(original(look, one + 1)), list(WHOLE_FRAME))
        for look in LOOKS
        for one in (1, 3)
    ]
    return copies, others


def test_squares_let_copies_pass_and_turn_most_others_away() -> None:
    copies, others = copies_and_others()
    assert all(hints_left(copies))
    assert sum(map(bool, hints_left(others))) <= 1
    for (_, _, hints), left in zip(copies, hints_left(copies), strict=True):
        assert set(left) <= set(hints)


def test_what_is_looked_at_together_changes_nothing() -> None:
    copies, others = copies_and_others()
    mixed = [pair for both in zip(copies, others * 4, strict=False) for pair in both]
    assert hints_left(mixed) == [hints_left([pair])[0] for pair in mixed]


def test_pictures_without_a_square_or_long_and_thin_are_looked_at_closely() -> None:
    own = squared(original("slide"))
    hints: list[Hint | int] = [0, Hint(3, 1.0, 0.5, 0.5)]
    thin = Square(own.plane, 100, 301)
    for one, other in ((None, own), (own, None), (thin, own), (own, thin)):
        assert hints_left([(one, other, hints)]) == [tuple(hints)]
    assert hints_left([(own, own, hints), (own, own, [])]) == [(0,), ()]
    assert hints_left([]) == []


@pytest.mark.parametrize("hint", [Hint(0, 1.0, 0.9, 0.9), Hint(0, 0.1, 0.0, 0.0), Hint(0, 9.0, -4.0, -4.0)])
def test_a_hint_that_leads_away_is_not_left(hint: Hint) -> None:
    own = squared(original("slide"))
    assert hints_left([(own, own, [hint])]) == [()]


@pytest.mark.parametrize("name", ["black", "white", "a ramp", "two halves", "one dot"])
def test_squares_of_odd_pictures_are_compared_without_trouble(name: str) -> None:
    tile = np.array(Image.fromarray(ODD[name].astype(np.uint8)).resize((64, 64)))
    odd, slide = Square(tile, 64, 64), squared(original("slide"))
    assert hints_left([(odd, slide, [*WHOLE_FRAME, *range(16)])]) == [()]
    assert isinstance(hints_left([(odd, odd, WHOLE_FRAME)])[0], tuple)


def test_a_stored_score_is_decided_again_under_another_limit() -> None:
    assert verdict(0.85, "compared") == ("confirmed", "agrees")
    assert verdict(0.85, "agrees", least_score=0.9) == ("refused", "differs")
    assert verdict(0.75, "differs", least_score=0.7) == ("confirmed", "agrees")
    for reason in ("no_structure", "no_overlap", "unreadable"):
        assert verdict(0.0, reason, least_score=0.0) == ("refused", reason)


def test_the_manifests_default_is_the_score_of_a_confirmed_pair() -> None:
    for part in ("dedup", "decontaminate"):
        model = Manifest.model_fields[part].annotation
        assert model is not None
        assert model().image_score == CONFIRMED_SCORE
