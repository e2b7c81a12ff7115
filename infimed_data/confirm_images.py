"""Candidate pairs of images confirmed or refused on their pixels, a task at a time.

First by their squares, small copies that were made when the images were measured; only images of pairs that are still
alike then are read and decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.dedup.candidates import CANDIDATES
from infimed_data.dedup.confirm import SIDE, Comparison, Hint, Picture, Square, compare, hints_left, verdict
from infimed_data.images import GreyCopy, grey_copy
from infimed_data.schema import CONFIRMED, Reject
from infimed_data.signals import PlacedImage, read_placed
from infimed_data.storage.places import Place
from infimed_data.storage.squares import map_squares
from infimed_data.storage.stages import read_table, write_table

__all__ = ["IMAGES_AT", "PAIRS", "ConfirmTask", "confirm_images"]

IMAGES_AT = pa.schema(
    [
        ("digest", pa.string()),
        ("place", pa.int32()),
        ("ref", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("square", pa.int64()),
    ]
)
"""Where images are: number of the place, reference in it, row of the square among that place's (null: none is kept)."""

PAIRS = pa.schema([*CANDIDATES, ("at_a", pa.int32()), ("at_b", pa.int32())])
"""Pairs to look at, and the row of each of the two images in `IMAGES_AT`."""


@dataclass(frozen=True)
class ConfirmTask:
    """Some rows of a table of pairs; best those of one image together."""

    pairs: Path
    """Arrow file in the columns of `PAIRS`."""
    start: int
    stop: int
    images: Path
    """Arrow file in the columns of `IMAGES_AT`."""
    places: tuple[tuple[Place, Path], ...]
    """Each place, and the folder of its images' squares."""
    max_bytes: int
    max_pixels: int
    out: Path


def confirm_images(task: ConfirmTask) -> dict[str, int]:
    """Writes `schema.CONFIRMED`, one row a pair in the order of the task; returns numbers of pairs and what became of
    them. Each image is read and decoded at most once. A pair with an image that cannot be read, or that is no longer
    the image that was measured, is refused as `unreadable`.
    """
    pairs = _opened(task.pairs).slice(task.start, task.stop - task.start).to_pylist()
    numbers = sorted({pair[side] for pair in pairs for side in ("at_a", "at_b")})
    images = dict(zip(numbers, _opened(task.images).take(numbers).to_pylist(), strict=True))
    squares = _squares(images, task)
    hints = [tuple(_hint(hint) for hint in pair["hints"]) for pair in pairs]
    left = hints_left(
        [(squares[pair["at_a"]], squares[pair["at_b"]], own) for pair, own in zip(pairs, hints, strict=True)]
    )
    needed = {pair[side] for pair, own in zip(pairs, left, strict=True) if own for side in ("at_a", "at_b")}
    copies = _copies([images[number] for number in sorted(needed)], task)
    rows = []
    counts = {"pairs": 0, "confirmed": 0, "unreadable": 0, "decoded": len(needed)}
    for pair, own in zip(pairs, left, strict=True):
        one, other = copies.get(pair["digest_a"]), copies.get(pair["digest_b"])
        if not own:
            found = Comparison(0.0, 0.0, "", "no_overlap")
        elif one is None or other is None:
            found = Comparison(0.0, 0.0, "", "unreadable")
        else:
            found = compare(_picture(one), _picture(other), own)
        decided, reason = verdict(found.score, found.reason)
        counts["pairs"] += 1
        counts["confirmed"] += decided == "confirmed"
        counts["unreadable"] += reason == "unreadable"
        rows.append(
            {
                "digest_a": pair["digest_a"],
                "digest_b": pair["digest_b"],
                "hash_distance": pair["hash_distance"],
                "votes": pair["votes"],
                "score": found.score,
                "overlap": found.overlap,
                "transform": found.transform,
                "verdict": decided,
                "reason": reason,
            }
        )
    write_table(task.out, pa.Table.from_pylist(rows, CONFIRMED), CONFIRMED)
    return counts


def _opened(path: Path) -> pa.Table:
    """A table that many tasks have rows of; read once by each worker."""
    status = path.stat()
    return _opened_at(path, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _opened_at(path: Path, inode: int, changed_ns: int) -> pa.Table:
    return read_table(path).combine_chunks()


def _hint(row: dict[str, Any]) -> Hint | int:
    return row["view"] if row["scale"] is None else Hint(**row)


def _squares(images: Mapping[int, dict[str, Any]], task: ConfirmTask) -> dict[int, Square | None]:
    """The square of each image, None where none was kept."""
    folders: dict[int, NDArray[np.uint8]] = {}
    found: dict[int, Square | None] = {}
    for number, image in images.items():
        place, row = image["place"], image["square"]
        if row is not None and place not in folders:
            folders[place] = map_squares(task.places[place][1])
        found[number] = None if row is None else Square(folders[place][row], image["width"], image["height"])
    return found


def _picture(copy: GreyCopy) -> Picture:
    return Picture(copy.plane, copy.width, copy.height)


def _copies(images: Sequence[dict[str, Any]], task: ConfirmTask) -> dict[str, GreyCopy]:
    """A small grey copy of every image that can be read and is what its digest says, by digest."""
    copies: dict[str, GreyCopy] = {}
    placed = [PlacedImage(image["digest"], task.places[image["place"]][0], image["ref"]) for image in images]
    for image, data in read_placed(placed, max_bytes=task.max_bytes):
        if isinstance(data, Reject):
            continue
        try:
            copy = grey_copy(data, side=SIDE, max_pixels=task.max_pixels)
        except Reject:
            continue
        if copy.digest == image.digest:
            copies[copy.digest] = copy
    return copies
