"""What an image costs a model in tokens, and the resize that an output may ask for."""

from __future__ import annotations

import io
from math import ceil, floor, sqrt
from typing import Any

from PIL import Image, ImageOps

from infimed_data.images.pixels import canonical, is_deep, open_image, to_eight_bits

__all__ = ["fit", "image_tokens"]


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
    95), anything else becomes PNG.
    """
    image: Any = open_image(data, max_pixels=limit_pixels)
    large = max_pixels is not None and image.width * image.height > max_pixels
    deep = window and is_deep(image.mode)
    if not large and not deep:
        return data
    kind = image.format
    image = ImageOps.exif_transpose(image)
    if deep or is_deep(image.mode):
        image = to_eight_bits(image)
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = canonical(image)
    if large and max_pixels is not None:
        scale = sqrt(max_pixels / (image.width * image.height))
        size = (max(1, floor(image.width * scale)), max(1, floor(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    if kind in ("JPEG", "MPO"):
        image.save(out, "JPEG", quality=95)
    else:
        image.save(out, "PNG", compress_level=6)
    return out.getvalue()
