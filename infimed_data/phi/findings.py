"""What a search gives: a finding, and the snippet that shows its form without saying what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infimed_data.schema import PhiConfidence, PhiKind

__all__ = ["CONFIDENCES", "Finding", "masked", "strongest_first", "without_overlaps"]

CONFIDENCES: tuple[PhiConfidence, ...] = ("low", "medium", "high")
"""From the least to the most."""
MAX_SNIPPET = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may point at a person."""

    kind: PhiKind
    confidence: PhiConfidence
    snippet: str
    """Its form, masked."""
    evidence: str
    """Why it counts."""
    start: int | None = None
    length: int | None = None
    """Where it stands in its text, in characters."""
    field: str = ""
    """Field of the row, header of the file, or `pixels`."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in the picture."""

    def at(self, field: str, box: tuple[int, int, int, int] | None = None) -> Finding:
        """The same, in a field or at a place of a picture."""
        return replace(self, field=field, box=box)


def masked(text: str, start: int, end: int) -> str:
    """`text` with every letter from `start` to `end` as `x` and every digit as `#`; at most 80 characters.

    >>> masked("MRN: A12-3", 5, 10)
    'MRN: x##-#'
    """
    inside = "".join("#" if c.isdigit() else "x" if c.isalnum() else c for c in text[start:end])
    whole = " ".join((text[:start] + inside + text[end:]).split())
    return whole if len(whole) <= MAX_SNIPPET else whole[: MAX_SNIPPET - 1] + "…"


def without_overlaps(findings: list[Finding]) -> list[Finding]:
    """Findings in one text, of those that overlap only the surest (of equals the first given), in order of place."""
    kept: list[Finding] = []
    for found in sorted(findings, key=lambda f: -CONFIDENCES.index(f.confidence)):
        start, end = found.start or 0, (found.start or 0) + (found.length or 0)
        if all((k.start or 0) >= end or (k.start or 0) + (k.length or 0) <= start for k in kept):
            kept.append(found)
    return sorted(kept, key=lambda f: f.start or 0)


def strongest_first(kinds: tuple[str, ...], found: list[Finding]) -> list[Finding]:
    """Findings by confidence, then in the order of `kinds`."""
    return sorted(found, key=lambda f: (-CONFIDENCES.index(f.confidence), kinds.index(f.kind)))
