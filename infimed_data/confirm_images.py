"""Candidate pairs of images confirmed or refused on their pixels, a task at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from infimed_data.dedup.confirm import SIDE, Comparison, Hint, Picture, compare, verdict
from infimed_data.images import GreyCopy, grey_copy
from infimed_data.schema import CONFIRMED, Reject
from infimed_data.signals import PlacedImage, read_placed
from infimed_data.storage.places import Place
from infimed_data.storage.stages import write_table

__all__ = ["ConfirmTask", "ImageAt", "PairToConfirm", "confirm_images", "pairs_to_confirm"]


@dataclass(frozen=True)
class ImageAt:
    """Where the bytes of an image are."""

    place: Place
    ref: str


@dataclass(frozen=True)
class PairToConfirm:
    """Two images that may be one picture, and why; a row of `dedup.candidates.CANDIDATES`."""

    digest_a: str
    digest_b: str
    hash_distance: int | None
    votes: int
    hints: tuple[Hint | int, ...]


@dataclass(frozen=True)
class ConfirmTask:
    """Pairs to look at, and where each of their images is; some hundred pairs, best those of one image together."""

    pairs: tuple[PairToConfirm, ...]
    images: tuple[tuple[str, ImageAt], ...]
    """(digest, where it is) of every image of the pairs."""
    max_bytes: int
    max_pixels: int
    out: Path


def confirm_images(task: ConfirmTask) -> dict[str, int]:
    """Writes `schema.CONFIRMED`, one row a pair in the order of the task; returns numbers of pairs and what became of
    them. Each image is read and decoded once. A pair with an image that cannot be read, or that is no longer the image
    that was measured, is refused as `unreadable`.
    """
    copies = _copies(task)
    rows = []
    counts = {"pairs": 0, "confirmed": 0, "unreadable": 0}
    for pair in task.pairs:
        one, other = copies.get(pair.digest_a), copies.get(pair.digest_b)
        if one is None or other is None:
            found = Comparison(0.0, 0.0, "", "unreadable")
        else:
            found = compare(_picture(one), _picture(other), pair.hints)
        decided, reason = verdict(found.score, found.reason)
        counts["pairs"] += 1
        counts["confirmed"] += decided == "confirmed"
        counts["unreadable"] += reason == "unreadable"
        rows.append(
            {
                "digest_a": pair.digest_a,
                "digest_b": pair.digest_b,
                "hash_distance": pair.hash_distance,
                "votes": pair.votes,
                "score": found.score,
                "overlap": found.overlap,
                "transform": found.transform,
                "verdict": decided,
                "reason": reason,
            }
        )
    write_table(task.out, pa.Table.from_pylist(rows, CONFIRMED), CONFIRMED)
    return counts


def pairs_to_confirm(candidates: pa.Table) -> list[PairToConfirm]:
    """The rows of a table (or a slice) of `dedup.candidates.CANDIDATES`."""
    return [
        PairToConfirm(
            row["digest_a"],
            row["digest_b"],
            row["hash_distance"],
            row["votes"],
            tuple(_hint(hint) for hint in row["hints"]),
        )
        for row in candidates.to_pylist()
    ]


def _hint(row: dict[str, Any]) -> Hint | int:
    return row["view"] if row["scale"] is None else Hint(**row)


def _picture(copy: GreyCopy) -> Picture:
    return Picture(copy.plane, copy.width, copy.height)


def _copies(task: ConfirmTask) -> dict[str, GreyCopy]:
    """A small grey copy of every image that can be read and is what its digest says, by digest."""
    copies: dict[str, GreyCopy] = {}
    images = [PlacedImage(digest, at.place, at.ref) for digest, at in task.images]
    for image, data in read_placed(images, max_bytes=task.max_bytes):
        if isinstance(data, Reject):
            continue
        try:
            copy = grey_copy(data, side=SIDE, max_pixels=task.max_pixels)
        except Reject:
            continue
        if copy.digest == image.digest:
            copies[copy.digest] = copy
    return copies
