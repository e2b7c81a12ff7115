"""Images: everything that is known about one, from a single decode, and the resize that an output may ask for."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from infimed_data.schema import Reject

__all__ = ["FORMATS", "Measures", "blob_digest", "fit", "image_tokens", "is_deep", "measure", "pixel_digest"]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
"""Decoders that are allowed to run on foreign bytes; Pillow's for JPEG also opens MPO."""

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before a pixel is decoded
ImageFile.LOAD_TRUNCATED_IMAGES = False

_ORIENTATION = 0x0112
_REDUCED_SIDE = 256
_GREY_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Measures:
    """What one decode says about an image."""

    digest: str
    """Digest of the decoded pixels: equal for re-encoded, palette and grey-as-RGB copies of the same pixels."""
    format: str
    mode: str
    width: int
    height: int
    phash: int
    """64-bit DCT hash of the luminance at 32 x 32."""
    mean: float
    """Mean luminance, 0 to 255."""
    contrast: float
    """Standard deviation of the luminance."""
    sharpness: float
    """Variance of the Laplacian, on the picture reduced to at most 256 x 256 pixels."""
    flat_share: float
    """Share of the pixels that have the most frequent luminance."""


def blob_digest(data: bytes) -> str:
    """Digest of an image's encoded bytes."""
    return xxhash.xxh3_128_hexdigest(data)


def measure(data: bytes, *, max_pixels: int) -> Measures:
    """Decodes once and measures. Raises `Reject`: `image_unreadable` or `image_too_large`."""
    image = _open(data, max_pixels=max_pixels)
    kind, mode = image.format or "", image.mode
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            if image.getexif().get(_ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(image)  # as every loader of these files shows it
            pixels = _canonical(image)
    except Exception as error:  # a decoder may raise anything on foreign bytes; the row is rejected with what it said
        raise Reject("image_unreadable", f"{type(error).__name__}: {error}") from error
    luminance = pixels if pixels.mode == "L" else _luminance(pixels)
    histogram = np.asarray(luminance.histogram()[:256], dtype=np.float64)
    count = histogram.sum()
    levels = np.arange(256)
    reduced = luminance.reduce(max(1, ceil(max(luminance.size) / _REDUCED_SIDE)))
    mean = float((histogram * levels).sum() / count)
    variance = float((histogram * (levels - mean) ** 2).sum() / count)
    return Measures(
        digest=pixel_digest(pixels),
        format=kind,
        mode=mode,
        width=image.width,
        height=image.height,
        phash=_phash(reduced),
        mean=mean,
        contrast=sqrt(variance),
        sharpness=_sharpness(reduced),
        flat_share=float(histogram.max() / count),
    )


def _open(data: bytes, *, max_pixels: int) -> Image.Image:
    if not data:
        raise Reject("image_unreadable", "0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise Reject("image_unreadable", f"{type(error).__name__}: not one of {', '.join(FORMATS)}") from error
    if image.width * image.height > max_pixels:
        raise Reject("image_too_large", f"{image.width}x{image.height}", f"{max_pixels} pixels")
    return image


def _canonical(image: Image.Image) -> Image.Image:
    """The picture as L, RGB, RGBA or 16-bit grey, in the smallest of these that loses nothing."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    if is_deep(image.mode):
        return image
    if image.mode in ("P", "PA", "LA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        if image.getchannel("A").getextrema() != (255, 255):
            return image
        image = image.convert("RGB")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return image.getchannel(0) if _is_grey(image) else image


def _raw(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels as Pillow holds them (RGB as four bytes), without a copy where it holds them in one block."""
    try:
        array = pa.Array._import_from_c_capsule(*image.__arrow_c_array__())
        values = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
        pixels = np.frombuffer(values.buffers()[-1], np.uint8)
        if len(pixels) == image.width * image.height * (1 if image.mode == "L" else 4):
            return pixels
    except ValueError:  # a large picture lies in several blocks
        pass
    return np.frombuffer(image.tobytes() if image.mode == "L" else image.tobytes("raw", "RGBX"), np.uint8)


def _is_grey(image: Image.Image) -> bool:
    """Whether the three channels of an RGB image are equal: first on every 97th pixel, then on all."""
    pixels = _raw(image).view(np.uint32)
    for start, step in ((0, 97), *((start, 1) for start in range(0, len(pixels), _GREY_BLOCK))):
        part = pixels[start::step] if step > 1 else pixels[start : start + _GREY_BLOCK]
        if ((part ^ (part >> np.uint32(8))) & np.uint32(0xFFFF)).any():
            return False
    return True


def _luminance(image: Image.Image) -> Image.Image:
    if is_deep(image.mode):
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
        return Image.fromarray(scaled.astype(np.uint8))
    return image.convert("L")


def pixel_digest(image: Image.Image) -> str:
    """Digest of mode, size and pixels of a decoded picture in canonical form."""
    digest = xxhash.xxh3_128(f"{image.mode[:4]} {image.width}x{image.height} ".encode())
    if image.mode == "L":
        digest.update(_raw(image).data)
    elif image.mode == "RGB":
        digest.update(
            (_raw(image).view(np.uint32) | np.uint32(0xFF000000)).data
        )  # the fourth byte is not part of the picture
    else:
        digest.update(image.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _dct_rows() -> NDArray[np.float64]:
    """The first 8 rows of the 32-point DCT-II."""
    at = np.arange(32)
    return np.asarray(np.cos(np.pi * (2 * at[None, :] + 1) * np.arange(8)[:, None] / 64))


def _phash(reduced: Image.Image) -> int:
    small = reduced.resize((32, 32), Image.Resampling.BOX, reducing_gap=None)
    rows = _dct_rows()
    # einsum without BLAS: the same bits on every machine, whatever its thread count.
    low = np.einsum("ik,kl,jl->ij", rows, np.asarray(small, dtype=np.float64), rows, optimize=False)
    flat = np.round(low, 6).ravel()
    bits = flat > np.median(flat[1:])
    return int(np.packbits(bits).view(">u8")[0])


def _sharpness(reduced: Image.Image) -> float:
    grey = np.asarray(reduced, dtype=np.int32)
    if min(grey.shape) < 3:
        return 0.0
    laplacian = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]).ravel()
    mean = int(laplacian.sum()) / laplacian.size  # whole numbers until here: the same on every machine
    return int((laplacian.astype(np.int64) ** 2).sum()) / laplacian.size - mean * mean


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
    image: Any = _open(data, max_pixels=limit_pixels)
    large = max_pixels is not None and image.width * image.height > max_pixels
    deep = window and is_deep(image.mode)
    if not large and not deep:
        return data
    kind = image.format
    image = ImageOps.exif_transpose(image)
    if deep or is_deep(image.mode):
        image = _luminance(image)
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = _canonical(image)
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


def is_deep(mode: str) -> bool:
    """Whether pixels of this Pillow mode have more than 8 bits."""
    return mode.startswith("I") or mode == "F"
