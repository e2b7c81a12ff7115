"""Pairs worth a look: copies are among them, masses of equal pictures stay bounded, pictures of nothing give none."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from drawn_pictures import drawn
from numpy.typing import NDArray
from PIL import Image, ImageOps

from infimed_data.dedup.candidates import CANDIDATES, MOST_PARTNERS, find_candidates
from infimed_data.images import finish, look
from infimed_data.schema import MEASURED

COLUMNS = ("digest", "phash", "patches", "places", "width", "height", "contrast")
SIGNALS = pa.schema([MEASURED.field(name) for name in COLUMNS])
LIMIT = 10**8


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def grey(values: Any) -> bytes:
    return encoded(Image.fromarray(np.asarray(values, np.uint8)))


def signals(pictures: Sequence[bytes]) -> pa.Table:
    """What is measured of some pictures, one row each."""
    found = finish([look(data, max_pixels=LIMIT) for data in pictures])
    return pa.Table.from_pylist([{name: getattr(one, name) for name in COLUMNS} for one in found], SIGNALS)


def every_benchmark(count: int) -> list[NDArray[np.bool_] | None]:
    """No benchmark, and flags: none, all, one, every second."""
    number = np.arange(count)
    return [None, number < 0, number >= 0, number < 1, number % 2 == 0]


BLACK, WHITE = grey(np.zeros((64, 64))), grey(np.full((70, 90), 255))
STRUCTURELESS = {
    "black": BLACK,
    "white": WHITE,
    "one pixel": grey([[7]]),
    "two pixels": grey([[0, 255]]),
    "a column of two": grey([[0], [255]]),
    "nine pixels": grey(np.eye(3) * 255),
    "a line": grey(np.tile([0, 255], (1, 800))),
    "a column": grey(np.tile([0, 255], (1, 800)).T),
    "two halves": grey(np.repeat([[0], [255]], 50, axis=0) * np.ones((1, 80))),
}
PICTURES = [drawn("slide", 1), drawn("blurred scan", 1), drawn("64 pixels", 1)]


@pytest.mark.parametrize("name", STRUCTURELESS)
def test_a_picture_of_nothing_has_no_partner(name: str) -> None:
    table = signals([STRUCTURELESS[name], *PICTURES])
    for benchmark in every_benchmark(len(table)):
        assert find_candidates(table, benchmark=benchmark).pairs.num_rows == 0


@pytest.mark.parametrize("pictures", [[], [BLACK], [BLACK, WHITE], [BLACK, WHITE, *PICTURES], PICTURES[:1]])
def test_batches_of_which_some_or_all_have_no_keypoints(pictures: list[bytes]) -> None:
    table = signals(pictures)
    lists = [[], *table["patches"].to_pylist()]
    assert [] in lists
    without = table
    for at, name in ((2, "patches"), (3, "places")):
        field = SIGNALS.field(name)
        without = without.set_column(at, field, pa.array([None] * len(table), field.type))
    for some in (table, without, pa.concat_tables([table, table.slice(len(table))])):
        for benchmark in every_benchmark(len(table)):
            found = find_candidates(some, benchmark=benchmark)
            assert found.pairs.schema == CANDIDATES
            assert (found.pairs.num_rows, found.cut, found.capped_buckets) == (0, 0, 0)


def test_copies_are_candidates_with_a_way_to_lay_them() -> None:
    table = signals([*PICTURES, *map(_small_mirrored, PICTURES), *map(_cropped, PICTURES)])
    pairs = find_candidates(table).pairs.to_pylist()
    digests = table["digest"].to_pylist()
    found = {frozenset((pair["digest_a"], pair["digest_b"])): pair for pair in pairs}
    for at in range(3):
        for copy in (at + 3, at + 6):
            pair = found[frozenset((digests[at], digests[copy]))]
            assert pair["hints"]
            assert pair["votes"] >= 2 or pair["hash_distance"] is not None
    assert all(pair["digest_a"] < pair["digest_b"] and pair["hints"] for pair in pairs)


def _small_mirrored(data: bytes) -> bytes:
    image = ImageOps.mirror(Image.open(io.BytesIO(data)))
    return encoded(image.resize((image.width * 3 // 4, image.height * 3 // 4)))


def _cropped(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data))
    return encoded(image.crop((image.width // 12, 0, image.width, image.height * 9 // 10)))


def test_only_pairs_of_a_benchmark_and_a_training_picture() -> None:
    table = signals([*PICTURES, *map(_small_mirrored, PICTURES)])
    digests = table["digest"].to_pylist()
    everything = find_candidates(table).pairs
    for held in ([True] * 3 + [False] * 3, [True, False, True, False, True, True]):
        benchmark = set(np.array(digests)[held].tolist())
        pairs = find_candidates(table, benchmark=np.array(held)).pairs
        both = [{pair["digest_a"] in benchmark, pair["digest_b"] in benchmark} for pair in everything.to_pylist()]
        assert pairs.num_rows
        assert pairs == everything.filter(pa.array([len(sides) == 2 for sides in both]))


def test_the_order_of_the_rows_changes_nothing() -> None:
    table = signals([*PICTURES, *map(_small_mirrored, PICTURES), *map(_cropped, PICTURES), BLACK])
    held = np.arange(len(table)) % 3 == 0
    first, first_held = find_candidates(table), find_candidates(table, benchmark=held)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(table))
        assert find_candidates(table.take(pa.array(order))) == first
        assert find_candidates(table.take(pa.array(order)), benchmark=held[order]) == first_held


def masses(table: pa.Table, count: int) -> pa.Table:
    """`count` pictures that differ in their digests alone."""
    digests = pa.array([f"{number:032x}" for number in range(count)])
    return table.take(pa.array([0] * count)).set_column(0, "digest", digests)


@pytest.mark.parametrize("benchmark", [False, True])
def test_pictures_that_are_alike_in_masses_have_few_partners_each(benchmark: bool) -> None:
    count = 20_000
    table = masses(signals(PICTURES[:1]), count)
    found = find_candidates(table, benchmark=np.arange(count) % 2 == 0 if benchmark else None)
    assert count <= found.pairs.num_rows <= MOST_PARTNERS * count
    assert found.capped_buckets > 0
    paired = {*found.pairs["digest_a"].to_pylist(), *found.pairs["digest_b"].to_pylist()}
    assert len(paired) == count


def test_alike_pictures_beyond_the_most_partners_are_counted() -> None:
    found = find_candidates(masses(signals(PICTURES[:1]), 60))
    assert found.cut > 0
    assert found.pairs.num_rows + found.cut == 60 * 59 // 2
