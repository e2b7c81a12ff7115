"""How sure a score is: draws of whole clusters of rows, because rows about one image stand or fall together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Difference", "clusters_of", "draws", "interval", "paired"]


def clusters_of(image_ids: Sequence[Sequence[str]]) -> np.ndarray:
    """A number for each row; rows that share an image, directly or through others, have the same.

    >>> clusters_of([["a"], ["b", "c"], [], ["c"], ["a"]]).tolist()
    [0, 1, 2, 1, 0]
    """
    parent = list(range(len(image_ids)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[str, int] = {}
    for row, ids in enumerate(image_ids):
        for image in ids:
            first = seen.setdefault(image, row)
            low, high = sorted((root(first), root(row)))
            parent[high] = low
    roots = [root(i) for i in range(len(image_ids))]
    numbers = {number: index for index, number in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[number] for number in roots], dtype=np.int64)


def draws(values: np.ndarray, clusters: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Means of `values` in `resamples` draws of as many clusters as there are, with replacement."""
    sums = np.bincount(clusters, weights=values)
    counts = np.bincount(clusters)
    present = counts > 0
    sums, counts = sums[present], counts[present]
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, 4_000_000 // len(sums))
    for start in range(0, resamples, step):
        chosen = random.integers(len(sums), size=(min(step, resamples - start), len(sums)))
        means[start : start + step] = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    return means


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """The middle 95%."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


class Difference(NamedTuple):
    """Second minus first, over the rows that both decided."""

    rows: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided, by flipping the sign of whole clusters."""


def paired(first: np.ndarray, second: np.ndarray, clusters: np.ndarray, *, resamples: int, seed: int) -> Difference:
    """Compares two answers to each row (1.0 right, 0.0 wrong)."""
    apart = second - first
    low, high = interval(draws(apart, clusters, resamples=resamples, seed=seed))
    sums = np.bincount(clusters, weights=apart)
    sums = sums[sums != 0]
    seen = abs(sums.sum())
    random = np.random.default_rng(seed + 1)
    as_far = 0
    step = max(1, 4_000_000 // max(1, len(sums)))
    for start in range(0, resamples, step):
        signs = random.choice([-1.0, 1.0], size=(min(step, resamples - start), len(sums)))
        as_far += int((np.abs(signs @ sums) >= seen - 1e-9).sum())
    return Difference(
        rows=len(first),
        first=float(first.mean()),
        second=float(second.mean()),
        difference=float(apart.mean()),
        low=low,
        high=high,
        p_value=(1 + as_far) / (1 + resamples),
    )
