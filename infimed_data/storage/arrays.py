"""Arrays in files, for the workers of one stage: not made to last, since a stage that is cut off starts again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infimed_data.storage.stages import replacing

__all__ = ["map_array", "save_array"]

_SMALL_FILE = 4096
"""An empty array cannot be mapped, and a small one need not be."""


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array whole or not at all: a worker that was given up for lost may write beside the next one."""
    with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def map_array(path: Path) -> NDArray[Any]:
    """An array of a file, mapped into memory: workers that read the same one share it."""
    mode = "r" if path.stat().st_size > _SMALL_FILE else None
    found: NDArray[Any] = np.load(path, mmap_mode=mode).view(np.ndarray)  # type: ignore[arg-type]
    return found
