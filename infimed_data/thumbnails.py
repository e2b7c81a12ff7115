"""Small copies of pictures for people to look at, a task at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from infimed_data.images import thumbnail
from infimed_data.schema import EVIDENCE, Reject
from infimed_data.signals import PlacedImage, read_placed
from infimed_data.storage.stages import write_table

__all__ = ["ThumbnailTask", "make_thumbnails"]


@dataclass(frozen=True)
class ThumbnailTask:
    """Pictures to copy, and where each can be read."""

    images: tuple[PlacedImage, ...]
    sizes: tuple[tuple[int, int], ...]
    """(width, height) of each picture."""
    max_bytes: int
    max_pixels: int
    out: Path


def make_thumbnails(task: ThumbnailTask) -> int:
    """Writes `schema.EVIDENCE`, one row a picture that can be read; returns their number."""
    sizes = {image.digest: size for image, size in zip(task.images, task.sizes, strict=True)}
    rows: list[dict[str, Any]] = []
    for image, data in read_placed(task.images, max_bytes=task.max_bytes):
        if isinstance(data, Reject):
            continue
        try:
            copy = thumbnail(data, max_pixels=task.max_pixels)
        except Reject:
            continue
        width, height = sizes[image.digest]
        rows.append({"digest": image.digest, "width": width, "height": height, "jpeg": copy})
    rows.sort(key=lambda row: str(row["digest"]))
    write_table(task.out, pa.Table.from_pylist(rows, EVIDENCE), EVIDENCE)
    return len(rows)
