"""Pictures that nobody took: slides, charts, ultrasound, blurred scans, for checks beyond radiographs.

Pictures of one look share everything that a template gives them (the sector, the axes, the stain) and differ in what
is in them: exactly what must not be called the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["LOOKS", "drawn"]


def drawn(look: str, seed: int) -> bytes:
    """A PNG of one look; equal arguments give equal bytes."""
    image = LOOKS[look](np.random.default_rng([seed, list(LOOKS).index(look)]))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _noise(rng: np.random.Generator, height: int, width: int, cells: int) -> NDArray[np.float64]:
    """Smooth noise between 0 and 1 with about `cells` blobs across."""
    coarse = rng.random((max(2, cells * height // width), cells)) * 255
    smooth = Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth, np.float64) / 255, 0, 1)


def _grey(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _slide(rng: np.random.Generator) -> Image.Image:
    """Tissue under a stain: pink ground, purple nuclei."""
    width, height = 640, 480
    ground = 0.6 * _noise(rng, height, width, 24) + 0.4 * _noise(rng, height, width, 90)
    colours = np.stack([0.92 - 0.2 * ground, 0.72 - 0.35 * ground, 0.82 - 0.15 * ground], axis=-1)
    image = Image.fromarray((colours * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(260):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(3, 8)
        draw.ellipse((x - r, y - r * 0.8, x + r, y + r * 0.8), fill=(90, 50, int(rng.uniform(110, 160))))
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _chart(rng: np.random.Generator) -> Image.Image:
    """Bars over axes with a title: one template, other values."""
    image = Image.new("RGB", (600, 420), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(16)
    draw.text((180, 8), f"Survival by stage, cohort {rng.integers(1, 99)}", fill="black", font=font)
    draw.line((60, 40, 60, 360, 560, 360), fill="black", width=2)
    for number in range(7):
        height = rng.uniform(20, 300)
        left = 80 + number * 68
        draw.rectangle((left, 360 - height, left + 44, 360), fill=(60, 110, int(rng.uniform(120, 230))))
        draw.text((left + 8, 366), f"{height:.0f}", fill="black", font=font)
        draw.text((20, 350 - number * 50), f"{number * 50}", fill="black", font=font)
    return image


def _ultrasound(rng: np.random.Generator) -> Image.Image:
    """Speckle in a sector on black."""
    height, width = 480, 640
    y, x = np.mgrid[0:height, 0:width]
    angle, depth = np.arctan2(x - width / 2, y + 40), np.hypot(x - width / 2, y + 40)
    tissue = 0.25 + 0.5 * _noise(rng, height, width, 7)
    for _ in range(3):
        cx, cy, r = rng.uniform(200, 440), rng.uniform(150, 400), rng.uniform(25, 70)
        tissue = np.where(np.hypot(x - cx, (y - cy) * 1.3) < r, 0.06, tissue)
    speckle = np.asarray(_grey(rng.random((height, width))).filter(ImageFilter.GaussianBlur(1.2)), np.float64) / 255
    values = np.clip(tissue * (0.3 + 2.5 * (speckle - 0.35)), 0, 1)
    return _grey(np.where((np.abs(angle) < 0.7) & (depth < 500) & (depth > 60), values, 0))


def _blurred(rng: np.random.Generator) -> Image.Image:
    """A blurred scan: an ellipse with soft blobs, hardly any fine structure."""
    height = width = 256
    y, x = np.mgrid[0:height, 0:width]
    inside = np.hypot((x - 128) / 95, (y - 128) / 112) < 1
    values = 0.35 + 0.3 * _noise(rng, height, width, 9) + 0.15 * _noise(rng, height, width, 22)
    image = _grey(np.where(inside, values, 0)).filter(ImageFilter.GaussianBlur(2.5))
    noise = rng.normal(0, 0.006, (height, width))
    return _grey(np.asarray(image, np.float64) / 255 + noise)


def _tiny(rng: np.random.Generator) -> Image.Image:
    """64 pixels of cells, as data sets for classification have them."""
    values = 0.5 * _noise(rng, 64, 64, 8) + 0.5 * _noise(rng, 64, 64, 20)
    return _grey(values)


def _strip(rng: np.random.Generator) -> Image.Image:
    """A trace, eight times as wide as high."""
    width, height = 1200, 150
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for at in range(0, width, 25):
        draw.line((at, 0, at, height), fill=225)
    x = np.arange(width)
    beat = 60 + rng.uniform(-8, 8)
    phase = (x + rng.uniform(0, 60)) % beat
    y = 90 - 55 * np.exp(-(((phase - 20) / 2.5) ** 2)) - 12 * np.exp(-(((phase - 42) / 6) ** 2))
    y = y + np.convolve(rng.normal(0, 6, width), np.ones(9) / 9, "same")
    draw.line([(int(a), int(b)) for a, b in zip(x, y, strict=True)], fill=0, width=2)
    return image


def _deep(rng: np.random.Generator) -> Image.Image:
    """16 bits of grey, most of the range unused."""
    values = 900 + 1400 * _noise(rng, 300, 300, 10) + 500 * _noise(rng, 300, 300, 40) + rng.normal(0, 25, (300, 300))
    return Image.fromarray(values.astype(np.uint16))


def _clear(rng: np.random.Generator) -> Image.Image:
    """A picture with a transparent surround."""
    image = _slide(rng).resize((400, 300)).convert("RGBA")
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse((10, 10, 390, 290), fill=255)
    image.putalpha(mask)
    return image


LOOKS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "slide": _slide,
    "chart": _chart,
    "ultrasound": _ultrasound,
    "blurred scan": _blurred,
    "64 pixels": _tiny,
    "strip 8:1": _strip,
    "16 bits": _deep,
    "transparent": _clear,
}
