"""What people do to a picture, with random parameters: the copies that image matching has to find.

`CHANGES` maps a kind to a function of a picture (L or RGB) and a random generator; it gives the encoded copy.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from math import cos, exp, log, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["CHANGES", "Change", "changed"]

Change = Callable[[Image.Image, np.random.Generator], bytes]
Step = Callable[[Image.Image, np.random.Generator], Image.Image]

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
_FLIPS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


def changed(data: bytes, kind: str, seed: int) -> bytes:
    """A copy of an encoded picture, changed as `kind` says; equal arguments give equal bytes."""
    image: Any = Image.open(io.BytesIO(data))
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    return CHANGES[kind](image, np.random.default_rng([seed, list(CHANGES).index(kind)]))


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _png_or_jpeg(image: Image.Image, rng: np.random.Generator, lowest: int = 60) -> bytes:
    if rng.random() < 0.5:
        return _encoded(image, "PNG", compress_level=1)
    return _encoded(image, "JPEG", quality=int(rng.integers(lowest, 96)))


def _reencoded(image: Image.Image, rng: np.random.Generator) -> bytes:
    kind = ("JPEG", "JPEG", "PNG", "WEBP")[rng.integers(4)]
    options = {"compress_level": 1} if kind == "PNG" else {"quality": int(rng.integers(30, 96))}
    return _encoded(image, kind, **options)


def _resize(image: Image.Image, rng: np.random.Generator, low: float = 0.4, high: float = 2.0) -> Image.Image:
    scale = exp(rng.uniform(log(low), log(high)))
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return image.resize(size, _FILTERS[rng.integers(len(_FILTERS))])


def _window(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    gamma, contrast, brightness = exp(rng.uniform(log(0.6), log(1.7))), rng.uniform(0.7, 1.4), rng.uniform(-0.12, 0.12)
    values = ((np.asarray(image, np.float64) / 255) ** gamma - 0.5) * contrast + 0.5 + brightness
    return Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))


def _crop(kind: str) -> Step:
    def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        cut = [0.0] * 4
        if kind == "centred":
            cut = [rng.uniform(0.025, 0.075)] * 2 * 2
            cut[1] = cut[3] = rng.uniform(0.025, 0.075)
        elif kind == "deep":
            cut[0] = cut[2] = rng.uniform(0.05, 0.15)
            cut[1] = cut[3] = rng.uniform(0.05, 0.15)
        elif kind == "one-sided":
            cut[rng.integers(4)] = rng.uniform(0.05, 0.15)
        elif kind == "corner":
            cut[rng.choice([0, 2])], cut[rng.choice([1, 3])] = rng.uniform(0.05, 0.15), rng.uniform(0.05, 0.15)
        else:
            cut = [rng.uniform(0, 0.15) for _ in range(4)]
        width, height = image.size
        return image.crop(
            (round(width * cut[0]), round(height * cut[1]), round(width * (1 - cut[2])), round(height * (1 - cut[3])))
        )

    return crop


def _any_crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _crop(("centred", "one-sided", "corner")[rng.integers(3)])(image, rng)


def _cropped(kind: str) -> Change:
    return lambda image, rng: _png_or_jpeg(_crop(kind)(image, rng), rng, 70)


def _cropped_resized(image: Image.Image, rng: np.random.Generator) -> bytes:
    part = _any_crop(image, rng)
    part = part.resize(image.size, Image.Resampling.BICUBIC) if rng.random() < 0.4 else _resize(part, rng, 0.5, 1.6)
    return _encoded(part, "JPEG", quality=int(rng.integers(50, 96)))


def _label(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    width, height = image.size
    colour = ("white", "yellow", "black", "red")[rng.integers(4)]
    kind = rng.integers(3)
    if kind == 0:
        area, shape = rng.uniform(0.01, 0.08) * width * height, rng.uniform(1.5, 4)
        across = min(width * 0.9, (area * shape) ** 0.5)
        down = area / across
        left, top = rng.choice([0, width - across]), rng.choice([0, height - down])
        draw.rectangle((left, top, left + across, top + down), fill="white" if colour == "black" else "black")
        text = ("PORTABLE", "R 1234", "SUPINE AP", "L")[rng.integers(4)]
        font = ImageFont.load_default(max(8, int(down * 0.5)))
        draw.text((left + across * 0.05, top + down * 0.1), text, fill=colour, font=font)
    elif kind == 1:
        font = ImageFont.load_default(max(10, int(min(width, height) * rng.uniform(0.05, 0.14))))
        text = ("R", "L", "PORTABLE", "12:45 PM", "Fig 2a")[rng.integers(5)]
        draw.text((width * rng.uniform(0.02, 0.6), height * rng.choice([0.02, 0.85])), text, fill=colour, font=font)
    else:
        x, y = width * rng.uniform(0.25, 0.75), height * rng.uniform(0.25, 0.75)
        length, angle = min(width, height) * rng.uniform(0.08, 0.22), rng.uniform(0, 6.28)
        for turn, part in ((0.0, 1.0), (0.5, 0.4), (-0.5, 0.4)):
            tip = (x + part * length * cos(angle + turn), y + part * length * sin(angle + turn))
            draw.line((x, y, *tip), fill=colour, width=max(2, int(length * 0.09)))
    return image


def _flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(_FLIPS[rng.integers(len(_FLIPS))])


def _turn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(_TURNS[rng.integers(len(_TURNS))])


def _invert(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.invert(image)


def _pad(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = image.size
    sides = [round(rng.uniform(0.02, 0.15) * side) for side in (width, height, width, height)]
    kind = rng.integers(3)
    if kind < 2:
        sides[kind] = sides[kind + 2] = 0
    colour = "black" if rng.random() < 0.8 else "white"
    return ImageOps.expand(image, (sides[0], sides[1], sides[2], sides[3]), colour)


_STEPS: dict[str, Step] = {
    "resized": lambda image, rng: _resize(image, rng, 0.5, 1.6),
    "windowed": _window,
    "inverted": _invert,
    "cropped": _any_crop,
    "labelled": _label,
    "flipped": _flip,
    "rotated": _turn,
    "bordered": _pad,
}


def _stepped(name: str) -> Change:
    return lambda image, rng: _png_or_jpeg(_STEPS[name](image, rng), rng)


def _two(image: Image.Image, rng: np.random.Generator) -> bytes:
    for name in rng.choice(sorted(_STEPS), 2, replace=False):
        image = _STEPS[name](image, rng)
    return _encoded(image, "JPEG", quality=int(rng.integers(60, 96)))


CHANGES: dict[str, Change] = {
    "re-encoded": _reencoded,
    "resized 0.4-2x": lambda image, rng: _png_or_jpeg(_resize(image, rng), rng, 70),
    "windowed": _stepped("windowed"),
    "inverted": _stepped("inverted"),
    "flipped": _stepped("flipped"),
    "rotated": _stepped("rotated"),
    "crop, centred, 5-15%": _cropped("centred"),
    "crop, one-sided, 5-15%": _cropped("one-sided"),
    "crop, corner, 5-15%": _cropped("corner"),
    "crop, resized, JPEG": _cropped_resized,
    "labelled": _stepped("labelled"),
    "bordered": _stepped("bordered"),
    "two of these": _two,
    "crop, 0-15% each edge": _cropped("any"),
    "crop, 5-15% each edge": _cropped("deep"),
}
