"""Small copies of the pictures of samples: the build's own copies, or made from the pictures in its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet as pq

from infimed_data.images import thumbnail
from infimed_data.report.pictures import MAX_PAGE_BYTES, Picture, find_pictures
from infimed_data.schema import Reject
from infimed_data.stats import Build
from infimed_data.stats.sql import rows

__all__ = ["find_output_pictures"]

MAX_IMAGE_PIXELS = 100_000_000
SIDE_PX = 320
"""Longer side of a copy."""
THREADS = 4


class _Place(NamedTuple):
    """Where an output has a picture."""

    output: str
    split: str
    position: int
    at: int
    """Number of the picture in its row, from 0."""
    images: int
    """Pictures that its row has."""


def find_output_pictures(
    connection: duckdb.DuckDBPyConnection, build: Build, digests: Sequence[str]
) -> Mapping[str, Picture | str]:
    """By digest the picture, or why it cannot be shown. `digests` come in the order in which they are wanted."""
    found = dict(find_pictures(connection, build, digests))
    missing = [digest for digest in found if not isinstance(found[digest], Picture)]
    if not missing:
        return found
    sizes = {row["digest"]: (row["width"] or 0, row["height"] or 0) for row in rows(connection, _SIZES, [missing])}
    copies = _copies(build, _places(connection, missing))
    total = sum(len(picture.jpeg) for picture in found.values() if isinstance(picture, Picture))
    number = len(found)
    for digest in missing:
        copy = copies.get(digest)
        if copy is None:
            continue
        total += len(copy)
        if total > MAX_PAGE_BYTES:
            found[digest] = "Left out to keep this page small; show fewer samples with --samples."
            continue
        number += 1
        found[digest] = Picture(number, copy, *sizes.get(digest, (0, 0)))
    return found


def _places(connection: duckdb.DuckDBPyConnection, digests: Sequence[str]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for row in rows(connection, _PLACES, [list(digests)]):
        place = _Place(row["output"], row["split"], row["position"], row["number"] - 1, row["images"])
        places.setdefault(row["digest"], place)
    return places


def _copies(build: Build, places: Mapping[str, _Place]) -> dict[str, bytes]:
    """A copy of each picture that is found where it should be and can be read."""
    targets: dict[tuple[str, str], dict[str, _Place]] = {}
    for digest, place in places.items():
        targets.setdefault((place.output, place.split), {})[digest] = place
    copies: dict[str, bytes] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for (output, split), wanted in sorted(targets.items()):
            start = 0
            for file in sorted((build.path / output).glob(f"{split}-*.parquet")):
                start = _copy_file(file, start, wanted, copies, pool)
    return copies


def _copy_file(
    file: Path, start: int, wanted: Mapping[str, _Place], copies: dict[str, bytes], pool: ThreadPoolExecutor
) -> int:
    """Adds copies of those pictures that a file has; returns the position after its last row. Reads only the groups of
    rows that have some."""
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            here = {digest: place for digest, place in wanted.items() if start <= place.position < end}
            if here:
                column = parquet.read_row_group(group, columns=["images"]).column("images")
                cells = [column[place.position - start].as_py() or [] for place in here.values()]
                data = [
                    cell[place.at]["bytes"] if len(cell) == place.images else None
                    for cell, place in zip(cells, here.values(), strict=True)
                ]
                copied = zip(here, pool.map(_copy, data), strict=True)
                copies.update((digest, copy) for digest, copy in copied if copy is not None)
            start = end
    return start


def _copy(data: Any) -> bytes | None:
    if not isinstance(data, bytes):
        return None
    try:
        return thumbnail(data, side=SIDE_PX, max_pixels=MAX_IMAGE_PIXELS)
    except Reject:
        return None


_SIZES = """
    SELECT digest, min(width) AS width, min(height) AS height FROM images
    WHERE digest IN (SELECT unnest($1::VARCHAR[])) GROUP BY digest"""

_PLACES = """
    WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS digest),
      numbered AS (
        SELECT images, unnest(range(1, len(images) + 1)) AS number, sft_split, sft_position, rl_split, rl_position
        FROM samples),
      placed AS (
        SELECT images[number] AS digest, number, len(images) AS images, sft_split, sft_position, rl_split, rl_position
        FROM numbered WHERE images[number] IN (FROM wanted))
    SELECT digest, 'rl' AS output, rl_split AS split, rl_position AS position, number, images FROM placed
    WHERE rl_split IS NOT NULL AND rl_position IS NOT NULL
    UNION ALL
    SELECT digest, 'sft', sft_split, sft_position, number, images FROM placed
    WHERE sft_split IS NOT NULL AND sft_position IS NOT NULL
    ORDER BY digest, output, split, position, number"""
