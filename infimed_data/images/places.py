"""Where a keypoint is in its picture, as 32 bits.

Unit is the longer side of the whole picture: 12 bits for the row, 12 for the column (a 4096th each), 7 for the scale (a
blob's standard deviation, in eighths of an octave), and one that is set for a blob darker than what is around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infimed_data.images.keypoints import UNIT, Keypoints

__all__ = ["pack_places", "unpack_places"]

_STEPS = 4096
_OCTAVE = 8
_SMALLEST = 2.0**-14
_SCALES = _SMALLEST * 2.0 ** (np.arange(128) / _OCTAVE)


def pack_places(points: Keypoints, parts: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Places of keypoints that were found in parts of pictures.

    `parts` is (n, 4): each part's top and left edge, the height and the width of one of its pixels.
    """
    top, left, height, width = np.repeat(parts, np.diff(points.starts), axis=0).T
    y = np.clip(np.rint((top + points.y * (height / UNIT)) * _STEPS), 0, _STEPS - 1).astype(np.uint32)
    x = np.clip(np.rint((left + points.x * (width / UNIT)) * _STEPS), 0, _STEPS - 1).astype(np.uint32)
    scale = np.searchsorted(_SCALES[1:], points.scale * (np.sqrt(height * width) / UNIT)).astype(np.uint32)
    packed: NDArray[np.uint32] = (
        (y << np.uint32(20)) | (x << np.uint32(8)) | (scale << np.uint32(1)) | points.dark.astype(np.uint32)
    )
    return packed


def unpack_places(
    places: NDArray[np.uint32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """(row, column, scale, dark) of each keypoint; the first three in longer sides of its picture."""
    y = (places >> np.uint32(20)).astype(np.float32) / np.float32(_STEPS)
    x = ((places >> np.uint32(8)) & np.uint32(0xFFF)).astype(np.float32) / np.float32(_STEPS)
    scale = _SCALES.astype(np.float32)[(places >> np.uint32(1)) & np.uint32(0x7F)]
    return y, x, scale, (places & np.uint32(1)).astype(np.bool_)
