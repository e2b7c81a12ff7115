"""Charts as PNG files, drawn with Pillow and its own typeface: equal numbers give equal bytes.

A chart is a picture beside a table that has its numbers: names too long for it are cut, the table has them whole.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Dot", "bars", "dots", "histograms"]

WIDTH_PX = 1400
"""Shown at half of it; the Hub makes it as wide as its column."""
_MARGIN = 30
_TEXT = 22
_HEAD = 28
_LINE = 34
_INK, _SOFT, _GRID, _PAPER = "#1f2933", "#52606d", "#e4e7eb", "#ffffff"
_COLOURS = ("#9fb3c8", "#1f6fb2", "#d1731a", "#3c8a5a")
"""In the order of the series; they differ in lightness too."""


class Dot(NamedTuple):
    """A value with its interval, where one is known; between 0 and 1."""

    value: float
    low: float | None = None
    high: float | None = None


def bars(title: str, rows: Sequence[tuple[str, Sequence[int | None]]], series: Sequence[str]) -> bytes:
    """A PNG with a bar for each number of each row, its value behind it; None has no bar."""
    names = 420
    thick = 18 if len(series) > 1 else 22
    step = thick * len(series) + 16
    sheet = _Sheet(_MARGIN * 2 + 2 * _LINE + step * len(rows) + 10)
    sheet.text(_MARGIN, _MARGIN, title, _HEAD, _INK)
    if len(series) > 1:
        sheet.legend(series)
    left, right = _MARGIN + names, WIDTH_PX - _MARGIN - 130
    most = max((value for _, values in rows for value in values if value is not None), default=0)
    top = _MARGIN + 2 * _LINE
    sheet.line(left, top - 6, left, top + step * len(rows) - 8, _SOFT)
    for number, (label, values) in enumerate(rows):
        y = top + number * step
        sheet.text(left - 14, y + (step - 16) // 2, label, _TEXT, _INK, anchor="rm", width=names - 20)
        for index, value in enumerate(values):
            if value is None:
                continue
            colour = _COLOURS[index if len(series) > 1 else 1]
            at = y + index * thick
            end = left + round((right - left) * value / most) if most else left
            sheet.box(left, at + 1, max(end, left + 1), at + thick - 2, colour)
            sheet.text(max(end, left + 1) + 8, at + thick // 2, f"{value:,}", 18, _SOFT, anchor="lm")
    return sheet.png()


def histograms(title: str, panels: Mapping[str, Sequence[int]], ticks: Sequence[str], *, every: int) -> bytes:
    """A PNG with a panel of columns for each series of counts, under one axis: `ticks` are the lower bounds of the
    columns, of which one in `every` is written."""
    height, gap = 200, 2 * _LINE + 24
    sheet = _Sheet(2 * _MARGIN + _LINE + len(panels) * (height + gap) + 10)
    sheet.text(_MARGIN, _MARGIN, title, _HEAD, _INK)
    left, right = _MARGIN + 10, WIDTH_PX - _MARGIN
    for number, (name, counts) in enumerate(panels.items()):
        top = _MARGIN + _LINE + 10 + number * (height + gap)
        sheet.text(left, top + 12, f"{name} (highest column: {max(counts, default=0):,} rows)", _TEXT, _SOFT)
        base, wide = top + _LINE + height, (right - left) / max(len(ticks), 1)
        most = max(max(counts, default=0), 1)
        for index, count in enumerate(counts):
            x = left + index * wide
            tall = round((height - 10) * count / most)
            if count:
                sheet.box(round(x) + 1, base - max(tall, 1), round(x + wide) - 2, base, _COLOURS[1])
        sheet.line(left, base, right, base, _SOFT)
        for index in range(0, len(ticks), every):
            sheet.text(round(left + index * wide), base + 16, ticks[index], 18, _SOFT, anchor="lm")
    return sheet.png()


def dots(title: str, rows: Sequence[tuple[str, Sequence[Dot | None]]], panels: Sequence[str]) -> bytes:
    """A PNG with a panel for each of `panels`, in each a dot with its interval for every row, in percent; None: no dot.

    Every panel has its own scale, as what differs between rows is little beside what differs between panels.
    """
    names, each = 330, 250
    columns = max(1, min(len(panels), (WIDTH_PX - 2 * _MARGIN - names) // each))
    lines = -(-len(panels) // columns) if panels else 0
    high = _LINE + len(rows) * _LINE + 44
    sheet = _Sheet(2 * _MARGIN + _LINE + lines * (high + 20) + 10)
    sheet.text(_MARGIN, _MARGIN, title, _HEAD, _INK)
    each = (WIDTH_PX - 2 * _MARGIN - names) // columns
    for number, panel in enumerate(panels):
        line, column = divmod(number, columns)
        top = _MARGIN + _LINE + 20 + line * (high + 20)
        left = _MARGIN + names + column * each + 16
        right = left + each - 56
        own = [values[number] for _, values in rows]
        low, top_value = _span([dot for dot in own if dot is not None])
        if column == 0:
            for index, (label, _) in enumerate(rows):
                at = top + _LINE + index * _LINE + _LINE // 2
                sheet.text(_MARGIN + names - 10, at, label, _TEXT, _INK, anchor="rm", width=names - 16)
        sheet.text(left, top, panel, _TEXT, _INK, width=each - 20)
        base = top + _LINE + len(rows) * _LINE + 6
        for value in (low, (low + top_value) / 2, top_value):
            x = _at(value, low, top_value, left, right)
            sheet.line(x, top + _LINE, x, base, _GRID)
            sheet.text(x, base + 14, f"{100 * value:g}", 18, _SOFT, anchor="mm")
        for index, dot in enumerate(own):
            if dot is None:
                continue
            y = top + _LINE + index * _LINE + _LINE // 2
            if dot.low is not None and dot.high is not None:
                ends = [_at(end, low, top_value, left, right) for end in (dot.low, dot.high)]
                sheet.box(ends[0], y - 1, ends[1], y + 1, _COLOURS[0])
            sheet.dot(_at(dot.value, low, top_value, left, right), y, _COLOURS[1])
    return sheet.png()


def _span(found: Sequence[Dot]) -> tuple[float, float]:
    """Whole tenths around all intervals, at least one tenth apart."""
    values = [end for dot in found for end in dot if end is not None] or [0.0, 1.0]
    low = math.floor(10 * min(values) + 1e-9)
    return low / 10, max(math.ceil(10 * max(values) - 1e-9), low + 1) / 10


def _at(value: float, low: float, high: float, left: int, right: int) -> int:
    return round(left + (right - left) * (value - low) / (high - low))


class _Sheet:
    """A white sheet to draw on."""

    def __init__(self, height: int) -> None:
        self._image = Image.new("RGB", (WIDTH_PX, height), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}

    def text(
        self, x: int, y: int, text: str, size: int, colour: str, *, anchor: str = "lm", width: int | None = None
    ) -> None:
        """Writes `text`, cut where it is wider than `width`."""
        font = self._fonts.setdefault(size, ImageFont.load_default(size))
        if width is not None and font.getlength(text) > width:
            while text and font.getlength(f"{text}...") > width:
                text = text[:-1]
            text = f"{text}..."
        self._draw.text((x, y), text, fill=colour, font=font, anchor=anchor)

    def legend(self, series: Sequence[str]) -> None:
        """The colour of each series, at the right of the title."""
        x = WIDTH_PX - _MARGIN
        font = ImageFont.load_default(_TEXT)
        for index in reversed(range(len(series))):
            x -= round(font.getlength(series[index]))
            self.text(x, _MARGIN, series[index], _TEXT, _SOFT)
            x -= 30
            self.box(x, _MARGIN - 9, x + 18, _MARGIN + 9, _COLOURS[index])
            x -= 30

    def box(self, left: int, top: int, right: int, bottom: int, colour: str) -> None:
        """A filled rectangle."""
        self._draw.rectangle((left, top, right, bottom), fill=colour)

    def line(self, x: int, y: int, to_x: int, to_y: int, colour: str) -> None:
        """A thin line."""
        self._draw.line((x, y, to_x, to_y), fill=colour, width=2)

    def dot(self, x: int, y: int, colour: str) -> None:
        """A filled circle."""
        self._draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=colour, outline=_PAPER, width=2)

    def png(self) -> bytes:
        """The sheet, in 64 colours."""
        data = io.BytesIO()
        flat = self._image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        flat.save(data, "PNG")
        return data.getvalue()
