"""An image for others to use: its cost in tokens, the resize that an output may ask for, copies to compare and show."""

from __future__ import annotations

import io
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from infimed_data.images.pixels import canonical, decode, is_deep, open_image, to_eight_bits
from infimed_data.images.shrinking import longer_side, shrink_to
from infimed_data.schema import Reject

__all__ = ["GreyCopy", "fit", "grey_copy", "image_tokens", "thumbnail"]


def image_tokens(
    width: int, height: int, *, patch: int = 28, min_pixels: int = 3136, max_pixels: int = 12845056
) -> int:
    """Tokens that Qwen2.5-VL spends on an image: its `smart_resize` to multiples of 28, one token a 28 x 28 patch.

    Source: `transformers` `image_processing_qwen2_vl.smart_resize`, with the processor's default limits.
    """
    rounded_w, rounded_h = max(patch, round(width / patch) * patch), max(patch, round(height / patch) * patch)
    if rounded_w * rounded_h > max_pixels:
        scale = sqrt(width * height / max_pixels)
        rounded_w, rounded_h = (max(patch, floor(x / scale / patch) * patch) for x in (width, height))
    elif rounded_w * rounded_h < min_pixels:
        scale = sqrt(min_pixels / (width * height))
        rounded_w, rounded_h = (ceil(x * scale / patch) * patch for x in (width, height))
    return (rounded_w // patch) * (rounded_h // patch)


def fit(data: bytes, *, max_pixels: int | None, window: bool, limit_pixels: int) -> bytes:
    """`data` as an output wants it: unchanged where it fits, else decoded, changed and encoded again.

    More than `max_pixels` pixels are scaled down. With `window`, 16-bit grey and float pictures are scaled to 8 bits by
    their own range: every trainer converts to RGB, and that conversion clips them to white. JPEG stays JPEG (quality
    95), anything else becomes PNG. Raises `Reject`: `image_unreadable` or `image_too_large`.
    """
    image: Any = open_image(data, max_pixels=limit_pixels)
    large = max_pixels is not None and image.width * image.height > max_pixels
    deep = window and is_deep(image.mode)
    if not large and not deep:
        return data
    try:
        return _fitted(image, max_pixels if large else None, deep=deep)
    except Exception as error:  # a decoder may raise anything on foreign bytes
        raise Reject("image_unreadable", f"{type(error).__name__}: {error}") from error


def _fitted(image: Any, max_pixels: int | None, *, deep: bool) -> bytes:
    kind = image.format
    image = ImageOps.exif_transpose(image)
    if deep or is_deep(image.mode):
        image = to_eight_bits(image)
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = canonical(image)
    if max_pixels is not None:
        scale = sqrt(max_pixels / (image.width * image.height))
        size = (max(1, floor(image.width * scale)), max(1, floor(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    if kind in ("JPEG", "MPO"):
        image.save(out, "JPEG", quality=95)
    else:
        image.save(out, "PNG", compress_level=6)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class GreyCopy:
    """A small grey copy of a picture, to be compared with others."""

    digest: str
    """Digest of the pixels that it was made from."""
    width: int
    height: int
    plane: NDArray[np.uint8]
    """(rows, columns) of luminance."""


def grey_copy(data: bytes, *, side: int, max_pixels: int) -> GreyCopy:
    """The picture in `data`, at most `side` pixels a side (more, where it is long and thin).

    Raises `Reject` as `measure` does.
    """
    seen = decode(data, max_pixels=max_pixels)
    height, width = seen.pixels.shape
    plane = shrink_to(seen.pixels, 2 * side)
    rows, columns = plane.shape
    part = min(longer_side(rows, columns, side), 4.0 * side) / max(rows, columns)
    if part < 1:
        size = (max(1, round(columns * part)), max(1, round(rows * part)))
        plane = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.HAMMING))
    return GreyCopy(seen.digest, width, height, plane)


def thumbnail(data: bytes, *, side: int = 384, max_pixels: int) -> bytes:
    """The picture as a JPEG in RGB to be shown, upright, at most `side` pixels a side; equal bytes for equal pixels.

    What is transparent is shown on white; deep pictures are scaled by their own range. Raises `Reject` as `measure`
    does.
    """
    image: Any = open_image(data, max_pixels=max_pixels)
    try:
        image = canonical(ImageOps.exif_transpose(image))
        if is_deep(image.mode):
            image = to_eight_bits(image)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=85)
    except Exception as error:  # a decoder may raise anything on foreign bytes
        raise Reject("image_unreadable", f"{type(error).__name__}: {error}") from error
    return out.getvalue()
