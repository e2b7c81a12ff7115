"""What is compared: one part for each source and split, or benchmark and split, that has been read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infimed_data.storage.places import Place

__all__ = ["Part", "Say"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One source and split, or benchmark and split, that has been read."""

    source: str
    split: str
    rows: tuple[Path, ...]
    """Ingested parts."""
    texts: tuple[Path, ...]
    """Parts of its text signals."""
    texts_key: str
    part_rows: tuple[int, ...]
    place: Place
    images: Path
    """Measurements of its images by reference."""
    image_content: str
    """Digest of the images' bytes by reference."""
    index: Path
    index_key: str

    @property
    def name(self) -> str:
        """`source/split`."""
        return f"{self.source}/{self.split}"
