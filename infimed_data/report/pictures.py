"""The pictures of pairs, each once on the page, and how the benchmark's picture lies on the training picture.

Each picture is a class of the page's second style sheet (`.p7 {background-image: ...}`), so that many pairs can show it
and a browser decodes it only where it is seen.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from infimed_data.stats import Build
from infimed_data.stats.sql import rows

__all__ = ["Lie", "Picture", "find_pictures", "lie_of", "same_shape", "style_of"]

MAX_PICTURE_BYTES = 2 << 20
MAX_PAGE_BYTES = 48 << 20
"""Bytes of all pictures of a page; those of its last pairs are left out beyond it."""
SAME_SHAPE = 0.04
"""Largest difference of two aspect ratios that a resized copy may have."""
_JPEG = b"\xff\xd8\xff"


class Picture(NamedTuple):
    """A picture of the table `evidence`."""

    number: int
    jpeg: bytes
    width: int
    height: int
    """Size of the original; 0 where it is not known."""


class Lie(NamedTuple):
    """How the benchmark's picture has to be looked at to be the training picture."""

    words: str
    """In words; empty where it lies as it is."""
    classes: str
    """Names of style classes."""
    quarter: bool
    """Whether width and height are exchanged."""


_TURNS = {
    "transposed, rotated 180": ("transverse", True),
    "transposed": ("transposed", True),
    "rotated 90": ("rotated-90", True),
    "rotated 180": ("rotated-180", False),
    "rotated 270": ("rotated-270", True),
    "flipped left-right": ("flipped-x", False),
    "flipped top-bottom": ("flipped-y", False),
}
"""By what evidence says was done to the benchmark's picture (rotations clockwise): style class, whether it is a quarter
turn or a transposition."""


def lie_of(evidence: str) -> Lie:
    """What the evidence of two pictures says about how one lies on the other."""
    words, classes, quarter = [], [], False
    for turn, (name, exchanged) in _TURNS.items():
        if re.search(rf"\b{turn}\b", evidence):
            words, classes, quarter = [turn], [name], exchanged
            break
    if re.search(r"\binverted\b", evidence):
        words.append("inverted")
        classes.append("inverted")
    return Lie(", ".join(words), " ".join(classes), quarter)


def same_shape(ours: Picture, theirs: Picture, lie: Lie) -> bool:
    """Whether one picture covers the other when it is stretched a little, as a resized copy does."""
    if not (ours.width and ours.height and theirs.width and theirs.height):
        return False
    ratio = theirs.height / theirs.width if lie.quarter else theirs.width / theirs.height
    own = ours.width / ours.height
    return abs(own - ratio) <= SAME_SHAPE * own


def find_pictures(
    connection: duckdb.DuckDBPyConnection, build: Build, digests: Sequence[str]
) -> Mapping[str, Picture | str]:
    """By digest the picture, or why it cannot be shown. `digests` come in the order in which they are wanted."""
    wanted = list(dict.fromkeys(digests))
    found: dict[str, Picture | str] = dict.fromkeys(wanted, "This build keeps no copy of this picture.")
    if "evidence" not in build.files or not wanted:
        return found
    sizes = rows(
        connection,
        """SELECT digest, octet_length(min(jpeg)) AS bytes FROM evidence
           WHERE digest IN (SELECT unnest($1::VARCHAR[])) AND jpeg IS NOT NULL GROUP BY digest""",
        [wanted],
    )
    known = {row["digest"]: row["bytes"] for row in sizes}
    total, chosen = 0, []
    for digest in wanted:
        if digest not in known:
            continue
        if known[digest] > MAX_PICTURE_BYTES or total + known[digest] > MAX_PAGE_BYTES:
            found[digest] = "Left out to keep this page small; show fewer rows."
            continue
        total += known[digest]
        chosen.append(digest)
    copies = rows(
        connection,
        """SELECT digest, min(jpeg) AS jpeg, min(width) AS width, min(height) AS height FROM evidence
           WHERE digest IN (SELECT unnest($1::VARCHAR[])) AND jpeg IS NOT NULL GROUP BY digest""",
        [chosen],
    )
    number = {digest: place for place, digest in enumerate(chosen, 1)}
    for row in copies:
        digest, jpeg = row["digest"], bytes(row["jpeg"])
        if jpeg.startswith(_JPEG):
            found[digest] = Picture(number[digest], jpeg, max(0, row["width"] or 0), max(0, row["height"] or 0))
        else:
            found[digest] = "The build's copy of this picture is no JPEG."
    return found


def style_of(pictures: Sequence[Picture]) -> str:
    """The style sheet with the class `pN` of each picture, and `sN` for a box of its shape that fits its parent."""
    lines = []
    for picture in sorted(pictures):
        data = base64.b64encode(picture.jpeg).decode("ascii")
        lines.append(f".p{picture.number}{{background-image:url(data:image/jpeg;base64,{data})}}")
        if picture.width and picture.height:
            shape = f"{picture.width}/{picture.height}"
            lines.append(f".s{picture.number}{{aspect-ratio:{shape};width:min(100cqw,calc(100cqh*{shape}))}}")
    return "\n".join(lines)
