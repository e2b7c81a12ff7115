"""Token counts as lines to read: quantiles, a histogram, and what the limits would take away."""

from __future__ import annotations

import numpy as np

__all__ = ["histogram", "quantiles"]

BARS = 8
WIDTH = 40


def quantiles(name: str, counts: np.ndarray) -> str:
    """One line: mean, median, high quantiles, the longest."""
    if not len(counts):
        return f"{name}: none"
    middle, high, higher = np.quantile(counts, [0.5, 0.9, 0.99])
    return (
        f"{name}: mean {counts.mean():.0f}, median {middle:.0f}, 90% {high:.0f}, 99% {higher:.0f}, "
        f"longest {counts.max()}"
    )


def histogram(counts: np.ndarray, *, limit: int | None) -> list[str]:
    """Lines of a histogram; bars over the limit are marked."""
    edges = np.unique(np.linspace(0, max(int(counts.max()), 1), BARS + 1).round().astype(int))
    numbers, _ = np.histogram(counts, bins=edges)
    top = max(1, int(numbers.max()))
    lines = []
    for number, low, high in zip(numbers.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        over = "  over max_tokens" if limit is not None and low >= limit else ""
        lines.append(f"  {low:>6} to {high:<6} {number:>7} {'#' * round(WIDTH * number / top)}{over}")
    return lines
