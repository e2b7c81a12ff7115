"""Decoding foreign bytes, the canonical form of what comes out, and one walk over the pixels for all who need them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from infimed_data.schema import Reject

__all__ = [
    "FORMATS",
    "Canvas",
    "Decoded",
    "blob_digest",
    "canonical",
    "decode",
    "is_deep",
    "open_image",
    "to_eight_bits",
]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
"""Decoders that are allowed to run on foreign bytes; Pillow's for JPEG also opens MPO."""

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before a pixel is decoded
ImageFile.LOAD_TRUNCATED_IMAGES = False

MAX_SCANS = 200
"""Passes over a JPEG's pixels. Ten are usual; each costs the time of a whole picture, from a few bytes."""
_SCAN = b"\xff\xda"
_ORIENTATION = 0x0112
_BLOCK = 1 << 16
"""Pixels a step: what a step reads and writes stays in a core's own cache."""
_OPAQUE = np.uint32(0xFF000000)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture in canonical form."""

    digest: str
    """Digest of mode, size and pixels."""
    format: str
    """The file's format, as Pillow names it."""
    mode: str
    """The file's mode, as Pillow names it."""
    pixels: NDArray[np.uint8] | NDArray[np.uint32]
    """(rows, columns): luminance as bytes, or red, green, blue and a fourth byte of any value as one number."""


class Canvas:
    """Memory that pictures are decoded into, one after the other: what was decoded before is written over.

    Pillow clears new memory for each picture, and gives it back; a canvas stays in the caches. Pictures that it does
    not fit (other modes and formats, very large ones) are decoded as always.
    """

    def __init__(self) -> None:
        # The C library gives freed memory back to the system, only to ask for it again, until a large block was freed.
        self._memory = np.empty(24 << 20, np.uint8)
        self._memory = np.empty(16 << 20, np.uint8)
        self._image: Image.Image | None = None

    def lend(self, image: Image.Image) -> None:
        """Lets an opened image decode into this memory, where it can."""
        size = image.width * image.height * 4
        if image.mode not in ("RGB", "RGBA") or image.format not in ("JPEG", "PNG") or size > _LARGEST_CANVAS:
            return
        if _map_buffer is None or not getattr(
            image, "tile", None
        ):  # without a tile nothing would be decoded: Pillow raises
            return
        if size > len(self._memory):
            self._memory = np.empty(size, np.uint8)
        if image.format == "PNG":
            self._memory[:size] = 0  # its stream may end before all rows are there, and that is no error to Pillow
        # An image over foreign memory, which Pillow itself makes for files that it maps.
        image.im = _map_buffer(self._memory[:size], image.size, "raw", 0, (image.mode, 0, 1))
        self._image = image

    def pixels(self, image: Image.Image) -> NDArray[np.uint8] | None:
        """The four bytes a pixel of an image that was decoded into this memory; None of another one."""
        return self._memory[: image.width * image.height * 4] if image is self._image else None


_map_buffer: Any = getattr(getattr(Image, "core", None), "map_buffer", None)
_LARGEST_CANVAS = 64 << 20


def blob_digest(data: bytes) -> str:
    """Digest of an image's encoded bytes."""
    return xxhash.xxh3_128_hexdigest(data)


def open_image(data: bytes, *, max_pixels: int) -> Image.Image:
    """The image, opened and not decoded. Raises `Reject`: `image_unreadable` or `image_too_large`."""
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
    if image.format in ("JPEG", "MPO") and (scans := data.count(_SCAN)) > MAX_SCANS:
        raise Reject("image_unreadable", f"{scans} scans", f"{MAX_SCANS} scans")
    return image


def decode(data: bytes, *, max_pixels: int, canvas: Canvas | None = None) -> Decoded:
    """The picture in `data`, upright. With a canvas, its pixels are gone when the next picture is decoded on it.

    Raises `Reject`: `image_unreadable` or `image_too_large`.
    """
    image = open_image(data, max_pixels=max_pixels)
    if canvas is not None:
        canvas.lend(image)
    kind, mode = image.format or "", image.mode
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            if image.getexif().get(_ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(image)  # as every loader of these files shows it
            image = _with_bytes(image)
    except Exception as error:  # a decoder may raise anything on foreign bytes; the row is rejected with what it said
        raise Reject("image_unreadable", f"{type(error).__name__}: {error}") from error
    return _walk(image, kind, mode, canvas)


def canonical(image: Image.Image) -> Image.Image:
    """The picture as L, RGB, RGBA or deep grey, in the smallest of these that loses nothing; grey RGB stays RGB."""
    image = _with_bytes(image)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def _with_bytes(image: Image.Image) -> Image.Image:
    """The picture as L, RGB, RGBA or deep grey."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    if is_deep(image.mode) or image.mode == "RGBA":
        return image
    if image.mode in ("P", "PA", "LA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep(mode: str) -> bool:
    """Whether pixels of this Pillow mode have more than 8 bits."""
    return mode.startswith("I") or mode == "F"


def to_eight_bits(image: Image.Image) -> Image.Image:
    """A deep picture as L, scaled by its own darkest and brightest pixel."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():  # NaN is as dark as the darkest, infinity as bright as the brightest
        low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(scaled.astype(np.uint8))


def _walk(image: Image.Image, kind: str, mode: str, canvas: Canvas | None) -> Decoded:
    """Digest and pixels, with grey RGB seen to be grey."""
    width, height = image.size
    if is_deep(image.mode):
        digest = _digest(image.mode, image.size)
        digest.update(image.tobytes())
        return Decoded(digest.hexdigest(), kind, mode, _raw(to_eight_bits(image)).reshape(height, width))
    raw = canvas.pixels(image) if canvas is not None else None
    if raw is None:
        raw = _raw(image)
    if image.mode == "L":
        grey: NDArray[np.uint8] | None = raw
    elif image.mode == "RGBA" and np.bitwise_and.reduce(raw.view(np.uint32)) < _OPAQUE:
        digest = _digest("RGBA", image.size)
        digest.update(raw.data)
        return Decoded(digest.hexdigest(), kind, mode, raw.view(np.uint32).reshape(height, width))
    else:
        grey = _grey(raw)
    if grey is None:
        return Decoded(_colour_digest(raw, image.size), kind, mode, raw.view(np.uint32).reshape(height, width))
    digest = _digest("L", image.size)
    digest.update(grey.data)
    return Decoded(digest.hexdigest(), kind, mode, grey.reshape(height, width))


def _digest(mode: str, size: tuple[int, int]) -> xxhash.xxh3_128:
    return xxhash.xxh3_128(f"{mode[:4]} {size[0]}x{size[1]} ".encode())


def _raw(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an L, RGB or RGBA picture as Pillow holds them: one or four bytes each, where possible no copy."""
    depth = 1 if image.mode == "L" else 4
    width, height = image.size
    try:
        array = pa.Array._import_from_c_capsule(*image.__arrow_c_array__())
        values = array if depth == 1 else array.values
        pixels = np.frombuffer(values.buffers()[1], np.uint8)
        if len(pixels) == width * height * depth:
            return pixels
    except ValueError:  # a large picture lies in several blocks
        rows = max(1, (1 << 20) // (width * depth))
        if height > rows:
            whole = np.empty(width * height * depth, np.uint8)
            for top in range(0, height, rows):
                strip = _raw(image.crop((0, top, width, min(height, top + rows))))
                whole[top * width * depth :][: len(strip)] = strip
            return whole
    return np.frombuffer(image.tobytes() if depth == 1 else image.tobytes("raw", "RGBX"), np.uint8)


def _grey(raw: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The one channel of RGB pixels (four bytes each) whose three channels are equal; None where they are not.

    A block at a time from the last to the first, whose pixels the decoder left in the cache: once for everything.
    """
    pixels = raw.view(np.uint32)
    for start in range(0, len(pixels), 1 + len(pixels) // 24):  # a few runs first: most pictures in colour end here
        few = pixels[start : start + 256]
        if ((few ^ (few >> np.uint32(8))) & np.uint32(0xFFFF)).any():
            return None
    channel = np.empty(len(pixels), np.uint8)
    apart = np.zeros(min(len(pixels) + len(pixels) % 2, _BLOCK) * 4, np.uint8)
    equal = np.frombuffer(b"\xff\xff\x00\x00" * 2, np.uint64)[0]
    for start in reversed(range(0, len(pixels), _BLOCK)):
        block = raw[4 * start : 4 * (start + _BLOCK)]
        if len(block) < len(apart):
            apart[len(block) - 1 :] = 0
        np.bitwise_xor(block[:-1], block[1:], out=apart[: len(block) - 1])
        if np.bitwise_or.reduce(apart.view(np.uint64)) & equal:
            return None
        np.copyto(channel[start : start + _BLOCK], pixels[start : start + _BLOCK], casting="unsafe")
    return channel


def _colour_digest(raw: NDArray[np.uint8], size: tuple[int, int]) -> str:
    digest = _digest("RGB", size)
    pixels = raw.view(np.uint32)
    opaque = np.empty(min(len(pixels), _BLOCK), np.uint32)
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK]
        digest.update(np.bitwise_or(block, _OPAQUE, out=opaque[: len(block)]).data)  # the fourth byte may be anything
    return digest.hexdigest()
