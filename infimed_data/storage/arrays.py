"""Arrays in files, for the workers of one stage: not made to last, since a stage that is cut off starts again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["map_array", "save_array"]

_SMALL_FILE = 4096
"""An empty array cannot be mapped, and a small one need not be."""


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array."""
    with path.open("wb") as file:
        np.save(file, array)


def map_array(path: Path) -> NDArray[Any]:
    """An array of a file, mapped into memory: workers that read the same one share it."""
    mode = "r" if path.stat().st_size > _SMALL_FILE else None
    found: NDArray[Any] = np.load(path, mmap_mode=mode).view(np.ndarray)  # type: ignore[arg-type]
    return found
