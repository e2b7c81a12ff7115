"""Finds what may point at a person in the pixels of a picture: lettering, and with a reader what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from infimed_data.phi.findings import Finding
from infimed_data.phi.lettering import Line, find_lettering
from infimed_data.phi.reading import Reader, ReadLine, judge_lines
from infimed_data.schema import PhiConfidence

__all__ = ["find_in_pixels"]

GLYPHS_OF_WRITING = 8
"""Shapes in all lines together, from which on lettering is more than a likeness."""


def find_in_pixels(pixels: NDArray[Any], reader: Reader | None) -> list[Finding]:
    """Lettering in a picture, and with a reader what it says. A reader is asked only where there is lettering."""
    lines = find_lettering(pixels)
    if not lines:
        return []
    glyphs = sum(line.glyphs for line in lines)
    if reader is None:
        confidence: PhiConfidence = "medium" if glyphs >= GLYPHS_OF_WRITING else "low"
        return [_lettering(line.box, confidence, f"{line.glyphs} shapes on a line, unread") for line in lines]
    said = reader(pixels)
    found = [_lettering(line.box, *_confirmed(line, said)) for line in lines]
    return found + judge_lines(said)


def _confirmed(line: Line, said: Sequence[ReadLine]) -> tuple[PhiConfidence, str]:
    left, top, right, bottom = line.box
    for other in said:
        a, b, c, d = other.box
        if min(right, c) > max(left, a) and min(bottom, d) > max(top, b):
            return "high", f"{line.glyphs} shapes on a line, read as text"
    return "low", f"{line.glyphs} shapes on a line, which could not be read"


def _lettering(box: tuple[int, int, int, int], confidence: PhiConfidence, evidence: str) -> Finding:
    return Finding("lettering", confidence, "", evidence).at("pixels", box)
