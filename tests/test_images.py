"""Equal pixels have equal digests in any encoding; what does not decode is refused by rule; tokens are Qwen's."""

from __future__ import annotations

import io
import math
import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from infimed_data.dedup.candidates import RADIUS
from infimed_data.images import Canvas, Measures, fit, image_tokens, is_deep, measure
from infimed_data.images.pixels import decode
from infimed_data.schema import Reject

LIMIT = 100_000_000


def photo(width: int = 160, height: int = 120, seed: int = 1) -> Image.Image:
    """A smooth RGB picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture's bytes in a format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> Image.Image:
    """The picture in the bytes."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def measured(image: Image.Image | bytes, kind: str = "PNG", **options: Any) -> Measures:
    """Measures of a picture or of bytes."""
    return measure(image if isinstance(image, bytes) else encoded(image, kind, **options), max_pixels=LIMIT)


def refusal(data: bytes, max_pixels: int = LIMIT) -> Reject:
    """What the bytes are refused with."""
    with pytest.raises(Reject) as caught:
        measure(data, max_pixels=max_pixels)
    return caught.value


# The digest


def test_pixels_that_are_encoded_again_have_one_digest() -> None:
    picture = photo()
    digest = measured(picture).digest
    assert measured(picture, compress_level=0).digest == digest
    lzw: dict[str, Any] = {"compression": "tiff_lzw"}
    for kind, options in [("BMP", {}), ("TIFF", {}), ("TIFF", lzw), ("WEBP", {"lossless": True})]:
        assert measured(picture, kind, **options).digest == digest, kind
    jpeg = encoded(picture, "JPEG", quality=80)
    assert measured(jpeg).digest == measured(decoded(jpeg)).digest
    assert measured(jpeg).digest != digest


def test_a_palette_an_opaque_alpha_and_grey_as_rgb_are_the_same_pixels() -> None:
    palette = photo().quantize(32)
    assert palette.mode == "P"
    assert measured(palette).digest == measured(palette.convert("RGB")).digest
    assert measured(palette, "GIF").digest == measured(palette.convert("RGB")).digest
    picture = photo()
    assert measured(picture.convert("RGBA")).digest == measured(picture).digest
    grey = picture.convert("L")
    for mode in ("RGB", "RGBA", "LA", "P"):
        assert measured(grey.convert(mode)).digest == measured(grey).digest, mode
    dots = grey.point(lambda value: 255 if value > 99 else 0).convert("1")
    assert measured(dots).digest == measured(dots.convert("L")).digest


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "CMYK"])
def test_one_changed_pixel_changes_the_digest(mode: str) -> None:
    if mode in ("I;16", "I"):
        values = np.asarray(photo().convert("L"), np.uint16) * 200
        picture = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values.astype(np.int32))
    elif mode == "CMYK":
        picture = photo().convert("CMYK")
    else:
        picture = photo().convert(mode)
    kind = "TIFF" if mode in ("CMYK", "I") else "PNG"
    changed = picture.copy()
    at = (picture.width - 1, picture.height - 1)
    value = picture.getpixel(at)
    if isinstance(value, tuple):
        changed.putpixel(at, (value[0] ^ 1, *value[1:]))
    else:
        assert value is not None
        changed.putpixel(at, int(value) ^ (255 if mode == "1" else 1))
    assert measured(picture, kind).digest == measured(picture.copy(), kind).digest
    assert measured(picture, kind).digest != measured(changed, kind).digest


def test_one_coloured_pixel_makes_a_grey_picture_another() -> None:
    grey = photo(101, 37).convert("L").convert("RGB")
    for at in [(0, 0), (50, 20), (100, 36)]:
        changed = grey.copy()
        value = grey.getpixel(at)
        assert isinstance(value, tuple)
        changed.putpixel(at, (value[0], value[1], value[2] ^ 1))
        assert measured(changed).digest != measured(grey).digest


def test_size_and_transparency_are_part_of_the_digest() -> None:
    pixels = np.arange(48, dtype=np.uint8)
    digests = {measured(Image.fromarray(pixels.reshape(shape))).digest for shape in ((6, 8), (8, 6), (4, 12))}
    assert len(digests) == 3
    clear, half = photo().convert("RGBA"), photo().convert("RGBA")
    clear.putalpha(0)
    half.putalpha(128)
    assert len({measured(image).digest for image in (photo(), clear, half)}) == 3


def test_a_rotated_camera_picture_is_measured_as_it_is_shown() -> None:
    upright = photo(40, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    seen = measured(lying, exif=exif)
    assert (seen.width, seen.height) == (40, 30)
    assert seen.digest == measured(upright).digest
    assert seen.phash == measured(upright).phash
    jpeg = measured(lying, "JPEG", exif=exif)
    assert (jpeg.width, jpeg.height, jpeg.format) == (40, 30, "JPEG")


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("L", (1, 1)), ("L", (7, 13)), ("L", (33, 101)), ("RGB", (1, 1)), ("RGB", (7, 13)), ("RGB", (33, 101)),
        ("RGB", (4000, 5000)), ("L", (4100, 5001)),
    ],
)  # fmt: skip
def test_pixels_are_seen_as_numpy_sees_them(mode: str, shape: tuple[int, int]) -> None:
    depth = 1 if mode == "L" else 3
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, depth), dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    for canvas in (None, Canvas()):
        seen = decode(encoded(image, "PNG", compress_level=1), max_pixels=10**8, canvas=canvas).pixels
        if mode == "L":
            assert np.array_equal(seen, pixels[..., 0])
        else:
            assert np.array_equal(seen.view(np.uint8).reshape(*shape, 4)[..., :3], pixels)


def test_large_pictures_have_one_digest_however_pillow_holds_them() -> None:
    pixels = np.tile(np.asarray(photo(500, 400)), (10, 10, 1))
    picture = Image.fromarray(pixels)
    assert picture.size == (5000, 4000)
    bitmap, png = measured(picture, "BMP"), measured(picture, compress_level=1)
    assert bitmap.digest == png.digest
    pixels[-1, -1, 2] ^= 1
    assert measured(Image.fromarray(pixels), "BMP").digest != bitmap.digest
    grey = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    assert measured(grey.convert("RGB"), "BMP").digest == measured(grey, "BMP").digest


# Modes and measures


def test_every_mode_is_measured() -> None:
    base = photo()
    clear = base.quantize(16)
    clear.info["transparency"] = 3
    deep = Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 16)
    pictures: dict[str, bytes] = {
        "CMYK": encoded(base.convert("CMYK"), "JPEG"),
        "I;16": encoded(deep),
        "RGBA": encoded(base.convert("RGBA")),
        "LA": encoded(base.convert("LA")),
        "P": encoded(clear, transparency=3),
        "F": encoded(Image.fromarray(np.asarray(base.convert("L"), np.float32)), "TIFF"),
    }
    grey = measured(base.convert("L"))
    for mode, data in pictures.items():
        seen = measured(data)
        assert (seen.width, seen.height) == base.size, mode
        assert seen.mode == mode
        assert seen.contrast > 10, mode
        if mode not in ("I;16", "F"):  # these are scaled to their own range
            assert seen.mean == pytest.approx(grey.mean, abs=12), mode
    assert {mode for mode in pictures if is_deep(mode)} == {"I;16", "F"}


def test_measures_say_what_is_in_a_picture() -> None:
    blank = measured(Image.new("RGB", (64, 48), (10, 10, 10)))
    assert (blank.mean, blank.contrast, blank.flat_share, blank.sharpness) == (10, 0, 1, 0)
    half = Image.new("L", (64, 64), 0)
    half.paste(200, (0, 0, 16, 64))
    seen = measured(half)
    assert (seen.mean, seen.flat_share) == (50, 0.75)
    assert seen.contrast == pytest.approx(np.asarray(half).std())
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8))
    assert measured(sharp).sharpness > 4 * measured(sharp.filter(ImageFilter.GaussianBlur(2))).sharpness
    assert (seen.format, measured(photo(), "JPEG").format) == ("PNG", "JPEG")
    assert measured(Image.new("L", (1, 1), 7)).mean == 7


# Refusals


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is huge and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_what_is_no_picture_is_unreadable() -> None:
    assert (refusal(b"").rule, refusal(b"").value) == ("image_unreadable", "0 bytes")
    for data in (b"<html>not found</html>", b"%PDF-1.7", b"\0" * 5000, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        assert refusal(data).rule == "image_unreadable"
    assert "PNG, JPEG" in (refusal(b"<html>").value or "")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"  # a format whose decoder would start a program
    assert refusal(eps).rule == "image_unreadable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_truncated_file_is_unreadable(kind: str) -> None:
    data = encoded(photo(), kind)
    assert measured(data).width == 160
    assert refusal(data[: len(data) // 2]).rule == "image_unreadable"


def test_a_bomb_is_refused_on_its_header() -> None:
    reject = refusal(png_header(60_000, 60_000))
    assert (reject.rule, reject.value, reject.limit) == ("image_too_large", "60000x60000", "100000000 pixels")
    assert refusal(encoded(photo(160, 120)), max_pixels=160 * 120 - 1).rule == "image_too_large"
    assert measure(encoded(photo(160, 120)), max_pixels=160 * 120).width == 160
    assert refusal(png_header(500, 500)).rule == "image_unreadable"
    with pytest.raises(Reject) as caught:
        fit(png_header(60_000, 60_000), max_pixels=None, window=True, limit_pixels=LIMIT)
    assert caught.value.rule == "image_too_large"


def test_a_stereo_jpeg_is_read_as_its_first_picture() -> None:
    seen = measured(encoded(photo(seed=1), "MPO", save_all=True, append_images=[photo(seed=2)]))
    assert (seen.format, seen.width, seen.height) == ("MPO", 160, 120)
    assert seen.digest == measured(photo(seed=1), "JPEG").digest


# The perceptual hash


def distance(one: Image.Image | bytes, other: Image.Image | bytes) -> int:
    """Bits in which the perceptual hashes differ."""
    return (measured(one).phash ^ measured(other).phash).bit_count()


@pytest.mark.parametrize("seed", range(6))
def test_a_perceptual_hash_stays_under_encoding(seed: int) -> None:
    picture = photo(640, 480, seed)
    for quality in (95, 70):
        assert distance(picture, encoded(picture, "JPEG", quality=quality)) <= 2, quality
    assert distance(picture, encoded(picture, "WEBP", quality=90)) <= 2


def test_a_perceptual_hash_stays_near_under_resize() -> None:
    """Within what candidates are looked for, nine times of ten; local features find the others."""
    moved: list[int] = []
    for seed in range(12):
        fine = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(fine).resize((640, 480), Image.Resampling.BICUBIC)
        sizes = ((320, 240), (500, 375), (1280, 960))
        moved.extend(distance(picture, picture.resize(size, Image.Resampling.LANCZOS)) for size in sizes)
    assert sum(bits <= RADIUS for bits in moved) >= 0.9 * len(moved), moved


def test_different_pictures_have_hashes_far_apart() -> None:
    hashes = [measured(photo(640, 480, seed)).phash for seed in range(20)]
    apart = [(a ^ b).bit_count() for number, a in enumerate(hashes) for b in hashes[:number]]
    assert min(apart) > 10
    assert 28 < sum(apart) / len(apart) < 36


# Tokens


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Qwen2-VL's own function, as `transformers` has it."""
    h_bar, w_bar = max(factor, round(height / factor) * factor), max(factor, round(width / factor) * factor)
    if h_bar * w_bar > max_pixels:
        beta = math.sqrt((height * width) / max_pixels)
        h_bar = max(factor, math.floor(height / beta / factor) * factor)
        w_bar = max(factor, math.floor(width / beta / factor) * factor)
    elif h_bar * w_bar < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h_bar, w_bar = math.ceil(height * beta / factor) * factor, math.ceil(width * beta / factor) * factor
    return h_bar, w_bar


def test_tokens_are_qwens() -> None:
    sides = random.Random(5)
    sizes = [(sides.randint(1, 9000), sides.randint(1, 9000)) for _ in range(3000)]
    sizes += [(a, b) for a in range(1, 130, 3) for b in range(1, 130, 3)]
    for width, height in sizes:
        for least, most in ((56 * 56, 14 * 14 * 4 * 1280 * 1280 // 100), (3136, 12845056), (200704, 1003520)):
            rows, columns = smart_resize(height, width, 28, least, most)
            wanted = rows * columns // 784
            assert image_tokens(width, height, min_pixels=least, max_pixels=most) == wanted, (width, height)
    assert image_tokens(224, 224) == 64
    assert image_tokens(1, 1) == 4
    assert image_tokens(640, 480) == 23 * 17
    assert image_tokens(3584, 3584) == 16384
    assert image_tokens(8000, 8000) == 16384


# Fitting


def fitted(data: bytes, max_pixels: int | None = None, window: bool = True) -> bytes:
    """The bytes as an output with these settings has them."""
    return fit(data, max_pixels=max_pixels, window=window, limit_pixels=LIMIT)


def test_a_picture_that_fits_passes_through_byte_by_byte() -> None:
    for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"):
        data = encoded(photo(), kind)
        assert fitted(data) is data
        assert fitted(data, 160 * 120) is data
        assert fitted(data, 160 * 120 - 1) != data
    deep = encoded(Image.fromarray(np.full((40, 40), 900, np.uint16)))
    assert fitted(deep, window=False) is deep


@settings(max_examples=40, deadline=None)
@given(width=st.integers(30, 300), height=st.integers(30, 300), max_pixels=st.integers(784, 30_000))
def test_no_picture_has_more_pixels_than_allowed(width: int, height: int, max_pixels: int) -> None:
    image = decoded(fitted(encoded(Image.new("L", (width, height), 9), compress_level=1), max_pixels))
    assert image.width * image.height <= max(max_pixels, 0)
    if width * height > max_pixels:
        assert image.width / image.height == pytest.approx(width / height, rel=0.12)
        assert image.width * image.height > 0.85 * max_pixels - 60


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1"])
def test_a_scaled_picture_looks_as_before(mode: str) -> None:
    picture = photo(400, 300).convert(mode)
    data = encoded(picture, "JPEG" if mode == "CMYK" else "PNG")
    small = decoded(fitted(data, 10_000))
    assert small.width * small.height <= 10_000
    wanted = np.asarray(decoded(data).convert("RGB").resize(small.size, Image.Resampling.BOX), np.float64)
    assert np.abs(np.asarray(small.convert("RGB"), np.float64) - wanted).mean() < (12 if mode == "1" else 8)


def test_a_scaled_jpeg_stays_one_and_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    small = decoded(fitted(encoded(photo(400, 300), "JPEG", exif=exif), 10_000))
    assert small.format == "JPEG"
    assert small.width < small.height
    assert small.getexif().get(0x0112, 1) == 1
    assert decoded(fitted(encoded(photo(400, 300)), 10_000)).format == "PNG"


@pytest.mark.parametrize("top", [1200, 4095, 65535])
def test_a_deep_picture_is_scaled_to_eight_bits_and_not_to_white(top: int) -> None:
    values = np.linspace(0, top, 64 * 64).reshape(64, 64).astype(np.uint16)
    assert values.max() == top
    for data in (encoded(Image.fromarray(values)), encoded(Image.fromarray(values.astype(np.float32)), "TIFF")):
        shown = decoded(fitted(data))
        assert shown.mode == "L"
        luminance = np.asarray(shown.convert("RGB"), np.float64)
        assert 120 < luminance.mean() < 135
        assert (luminance.min(), luminance.max()) == (0, 255)
        small = decoded(fitted(data, 784))
        assert small.size == (28, 28)
        assert 120 < np.asarray(small).mean() < 135
    flat = decoded(fitted(encoded(Image.fromarray(np.full((40, 40), 900, np.uint16)))))
    assert flat.mode == "L"
