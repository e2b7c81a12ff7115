"""Pairs of images that may be one picture, from what is stored about each: no pixel is read.

Two ways lead to a pair: hashes that are near in one of the sixteen views (copies that are encoded again, resized,
windowed, inverted, flipped, rotated), and local features in one arrangement (crops, labels, borders as well).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infimed_data.dedup.buckets import Capped, distinct
from infimed_data.dedup.hamming import near_pairs, nearest_views
from infimed_data.dedup.votes import HOLD_BYTES, Features, cast_votes

__all__ = ["CANDIDATES", "Candidates", "find_candidates"]

RADIUS = 4
"""Bits of 64 in which the hashes of copies differ at most."""
LEAST_STRENGTH = 1.0
"""Of the votes of local features; two agree, each found in few pictures."""
LEAST_CONTRAST = 1.0
"""Images whose luminance deviates less have no structure to compare: they are equal by digest or not at all."""
MOST_PARTNERS = 8
"""Pairs that an image brings in: its strongest. It may have more, where it is among the strongest of others."""
_MEMBERS = 4
"""Of the images that share one hash, this many stand for all: each of the others is paired with these."""
_HINTS = 4

_HINT = pa.struct([("view", pa.uint8()), ("scale", pa.float64()), ("shift_y", pa.float64()), ("shift_x", pa.float64())])
CANDIDATES = pa.schema(
    [
        ("digest_a", pa.string()),
        ("digest_b", pa.string()),
        ("hash_distance", pa.uint8()),
        ("votes", pa.int32()),
        ("strength", pa.float64()),
        ("hints", pa.list_(_HINT)),
    ]
)
"""One row a pair, `digest_a` < `digest_b`. `hash_distance` is null where the hashes are further apart than the radius,
`votes` the number of local features that agree. A hint says how b may lie over a, the likeliest first (see
`confirm.Hint`); one with only a view says that the frames coincide."""


@dataclass(frozen=True)
class Candidates:
    """Pairs to be confirmed on pixels."""

    pairs: pa.Table
    """In the columns of `CANDIDATES`, sorted by digests."""
    capped_buckets: int
    """Groups of hashes or features that were too large to compare each with each."""
    skipped: int
    """Comparisons of hashes or features (not of pictures) that this saved, group by group."""
    cut: int
    """Pairs left out because both images have enough stronger ones."""


def find_candidates(
    images: pa.Table, *, benchmark: NDArray[np.bool_] | None = None, radius: int = RADIUS,
    least_strength: float = LEAST_STRENGTH, most_partners: int = MOST_PARTNERS, hold_bytes: int = HOLD_BYTES,
    folder: Path | None = None,
) -> Candidates:  # fmt: skip
    """Pairs of images that may be one picture; the same whatever the order of the rows.

    `images` has one row a distinct image, with the columns digest, phash, patches, places, width, height, contrast (of
    `schema.MEASURED`). With `benchmark` (one flag a row), only pairs of a flagged and an unflagged image: what is in a
    benchmark and in a training set with equal pixels is found by its digest, and stands flagged.

    About a hundred times fewer operations than images squared: equal and near-equal hashes in masses, and features that
    very many images share, are compared with a few of their kind only. Takes some 4 kB of memory an image, and
    `hold_bytes`; what these do not hold waits in files in `folder`.
    """
    order = np.asarray(pc.sort_indices(images["digest"]))
    images = images.take(pa.array(order)).combine_chunks()
    left = None if benchmark is None else np.asarray(benchmark, np.bool_)[order]
    capped = Capped()
    rows = [
        _near_hashes(images, left, radius, capped),
        _shared_features(images, left, least_strength, capped, hold_bytes, folder),
    ]
    found = _Rows(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    kept, cut = _strongest(found, len(images), most_partners)
    return Candidates(_table(images["digest"], kept), capped.buckets, capped.skipped, cut)


class _Rows(NamedTuple):
    """One row for each way that leads to a pair."""

    pair: NDArray[np.uint64]
    """Number of the one, shifted by 32, and of the other, which is larger."""
    distance: NDArray[np.uint8]
    """Of the hashes; `_FAR` for a row of votes."""
    votes: NDArray[np.int64]
    strength: NDArray[np.float64]
    view: NDArray[np.uint8]
    scale: NDArray[np.float64]
    """NaN for a row of hashes."""
    shift_y: NDArray[np.float64]
    shift_x: NDArray[np.float64]

    def at(self, rows: NDArray[Any]) -> _Rows:
        """Some of the rows."""
        return _Rows(*(column[rows] for column in cast("tuple[NDArray[Any], ...]", self)))


_FAR = 255


def _packed(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Pairs as numbers, the smaller first; without pairs of one and the same."""
    pair = (np.minimum(one, other).astype(np.uint64) << np.uint64(32)) | np.maximum(one, other).astype(np.uint64)
    return distinct(pair[one != other])


def _unpacked(pair: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (pair >> np.uint64(32)).astype(np.int64), (pair & np.uint64(0xFFFFFFFF)).astype(np.int64)


# Hashes


class _Groups(NamedTuple):
    """Images by their hash."""

    starts: NDArray[np.int64]
    """Hash n has the members from `starts[n]` to before `starts[n + 1]`."""
    members: NDArray[np.int64]

    @staticmethod
    def of(number: NDArray[np.int64], images: NDArray[np.int64], side: NDArray[np.bool_], count: int) -> _Groups:
        """The images of one side, by the number of their hash, ascending."""
        number, images = number[side], images[side]
        order = np.argsort(number, kind="stable")
        return _Groups(np.searchsorted(number[order], np.arange(count + 1)), images[order])

    def one_of(self, groups: NDArray[np.int64], place: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """(whether each group has a member at this place, those members)."""
        at = self.starts[groups] + place
        there = at < self.starts[groups + 1]
        return there, self.members[at[there]]


def _near_hashes(images: pa.Table, left: NDArray[np.bool_] | None, radius: int, capped: Capped) -> _Rows:
    hashes = images["phash"].to_numpy()
    structured = np.flatnonzero(images["contrast"].to_numpy() >= LEAST_CONTRAST)
    flags = None if left is None else left[structured]
    near = near_pairs(hashes[structured], radius, views=True, left=flags)
    capped.buckets += near.capped_buckets
    capped.skipped += near.skipped
    everyone = np.ones(len(structured), np.bool_)
    first, second = (
        _Groups.of(near.number, structured, side, len(near.hashes))
        for side in ((everyone, everyone) if flags is None else (flags, ~flags))
    )
    found = [np.zeros(0, np.uint64)]
    for few, all_of in ((first, second),) if flags is None else ((first, second), (second, first)):
        hash_of = np.repeat(np.arange(len(near.hashes)), np.diff(all_of.starts))
        for place in range(_MEMBERS):
            there, one = few.one_of(hash_of, place)
            found.append(_packed(one, all_of.members[there]))
    for here, far in ((near.one, near.other),) if flags is None else ((near.one, near.other), (near.other, near.one)):
        for place in range(_MEMBERS):
            there, one = first.one_of(here, place)
            for other_place in range(_MEMBERS):
                also, other = second.one_of(far[there], other_place)
                found.append(_packed(one[also], other))
    pair = distinct(np.concatenate(found))
    one, other = _unpacked(pair)
    distance, view = nearest_views(hashes[one], hashes[other])
    nothing, strength = np.full(len(pair), np.nan), 2.0 * (radius + 1) - distance.astype(np.float64)
    return _Rows(pair, distance, np.zeros(len(pair), np.int64), strength, view, nothing, nothing, nothing)


# Local features


def _shared_features(
    images: pa.Table, left: NDArray[np.bool_] | None, least_strength: float, capped: Capped, hold_bytes: int,
    folder: Path | None,
) -> _Rows:  # fmt: skip
    patches, places = (_values(images[name]) for name in ("patches", "places"))
    starts = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(images["patches"]), 0).to_numpy())])
    width, height = (images[name].to_numpy().astype(np.float32) for name in ("width", "height"))
    longer = np.maximum(width, height)
    features = Features(starts.astype(np.int64), patches, places, height / longer, width / longer)
    votes = cast_votes(
        features, left=left, least_strength=least_strength, capped=capped, hold_bytes=hold_bytes, folder=folder
    )
    pair = (votes.one.astype(np.uint64) << np.uint64(32)) | votes.other.astype(np.uint64)
    return _Rows(
        pair, np.full(len(pair), _FAR, np.uint8), votes.votes, votes.strength, votes.view, votes.scale, votes.shift_y,
        votes.shift_x,
    )  # fmt: skip


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """The values of all lists of a column, one after the other."""
    values = column.combine_chunks().flatten() if column.num_chunks != 1 else column.chunk(0).flatten()
    found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return found


# Both


def _strongest(rows: _Rows, images: int, most: int) -> tuple[_Rows, int]:
    """The rows of pairs that are among the `most` strongest of one of their images, the strongest row of a pair first.

    Also the number of pairs left out.
    """
    order = np.lexsort((rows.view, -rows.strength, rows.pair))
    rows = rows.at(order)
    begins = _begins(rows.pair)
    pair = rows.pair[begins]
    strength = np.add.reduceat(rows.strength, begins) if len(begins) else rows.strength
    one, other = _unpacked(pair)
    image = np.concatenate([one, other])
    number = np.concatenate([np.arange(len(pair))] * 2)
    order = np.lexsort((number, -strength[number], image))
    starts = np.searchsorted(image[order], np.arange(images))
    rank = np.arange(len(order)) - starts[image[order]]
    kept = np.zeros(len(pair), np.bool_)
    kept[number[order][rank < most]] = True
    sizes = np.diff(np.concatenate([begins, [len(rows.pair)]]))
    return rows.at(np.repeat(kept, sizes)), int(len(pair) - kept.sum())


def _begins(pair: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where each run of equal pairs begins."""
    return np.flatnonzero(np.concatenate([np.ones(min(1, len(pair)), np.bool_), pair[1:] != pair[:-1]]))


def _table(digests: pa.ChunkedArray, rows: _Rows) -> pa.Table:
    begins = _begins(rows.pair)
    sizes = np.diff(np.concatenate([begins, [len(rows.pair)]]))
    one, other = _unpacked(rows.pair[begins])
    by_hash = rows.distance != _FAR
    distance = np.minimum.reduceat(rows.distance, begins) if len(begins) else rows.distance
    votes = np.maximum.reduceat(rows.votes, begins) if len(begins) else rows.votes
    # Hints: what the hashes say, then the strongest votes.
    place = np.arange(len(rows.pair)) - np.repeat(begins, sizes)
    number = np.repeat(np.arange(len(begins)), sizes)
    order = np.lexsort((place, ~by_hash, number))
    order = order[place < _HINTS]  # `place` of a sorted row: rows of a pair stay together
    offsets = np.concatenate([[0], np.cumsum(np.minimum(sizes, _HINTS))])
    unknown = np.isnan(rows.scale[order])
    hints = pa.StructArray.from_arrays(
        [
            pa.array(rows.view[order]),
            *(pa.array(column[order], mask=unknown) for column in (rows.scale, rows.shift_y, rows.shift_x)),
        ],
        fields=list(_HINT),
    )
    return pa.Table.from_arrays(
        [
            digests.take(pa.array(one)).combine_chunks(),
            digests.take(pa.array(other)).combine_chunks(),
            pa.array(distance, pa.uint8(), mask=distance == _FAR),
            pa.array(votes, pa.int32()),
            pa.array(np.round(rows.strength[begins], 3)),
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), hints),
        ],
        schema=CANDIDATES,
    )
