"""Which rows an epoch takes, and in what order: by source's weight, by difficulty. Seeded, and the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from infimed_train.config import Difficulty
from infimed_train.errors import TrainError, did_you_mean

__all__ = ["by_difficulty", "weighted"]


def weighted(sources: Sequence[str] | None, weights: Mapping[str, float], *, seed: int, where: str) -> np.ndarray:
    """Positions of the rows of one epoch: each row of a source floor(weight) times, and a seeded draw of the rest.

    >>> weighted(["a", "a", "b"], {"a": 2.0, "b": 0.0}, seed=0, where="").tolist()
    [0, 0, 1, 1]
    """
    if sources is None:
        raise TrainError(f"{where}: weights by source, but nothing says what source a row is of; give a build's folder")
    known = sorted(set(sources))
    for name in weights:
        if name not in known:
            raise TrainError(
                f"{where}: weights.{name}: no such source; allowed: {', '.join(known)}{did_you_mean(name, known)}"
            )
    random = np.random.default_rng(seed)
    taken: list[np.ndarray] = []
    column = np.asarray(sources)
    for name in known:
        rows = np.flatnonzero(column == name)
        weight = weights.get(name, 1.0)
        whole = int(weight)
        taken.append(np.repeat(rows, whole))
        extra = round((weight - whole) * len(rows))
        taken.append(np.sort(random.choice(rows, size=extra, replace=False)))
    return np.sort(np.concatenate(taken))


def by_difficulty(
    pass_rates: Sequence[float | None] | None, difficulty: Difficulty, *, count: int, where: str
) -> np.ndarray:
    """Positions of the `count` rows that are within the limits, in the order asked for; unmeasured rows come last.

    Raises `TrainError` where nothing is measured, though limits or an order are asked for, or nothing is left.
    """
    asked = difficulty.order != "as_built" or difficulty.unmeasured == "drop"
    rates = np.array([np.nan if rate is None else rate for rate in pass_rates or [None] * count], dtype=float)
    if np.isnan(rates).all():
        if asked:
            raise TrainError(f"{where}: no row has a pass_rate; measure it in the build, or leave difficulty out")
        return np.arange(count)
    measured = ~np.isnan(rates)
    keep = (rates >= difficulty.min_pass_rate) & (rates <= difficulty.max_pass_rate)
    if difficulty.unmeasured == "keep":
        keep |= ~measured
    kept = np.flatnonzero(keep)
    if not len(kept):
        raise TrainError(
            f"{where}: no row's pass_rate is within {difficulty.min_pass_rate} and {difficulty.max_pass_rate}"
        )
    if difficulty.order == "as_built":
        return kept
    sign = -1.0 if difficulty.order == "easy_first" else 1.0
    return np.asarray(kept[np.argsort(sign * rates[kept], kind="stable")])  # NaN is sorted last
