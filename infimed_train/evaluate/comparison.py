"""Two evaluations of the same benchmarks, compared row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from infimed_train.errors import TrainError
from infimed_train.evaluate.statistics import Difference, paired
from infimed_train.evaluate.tables import compared

__all__ = ["compare", "differences"]


def compare(first: Path, second: Path, *, resamples: int) -> str:
    """Two evaluations side by side, row by row."""
    return compared(differences(first, second, resamples=resamples), first=str(first), second=str(second))


def differences(
    first: Path, second: Path, *, resamples: int, undecided_is_wrong: bool = False
) -> dict[str, Difference]:
    """Second minus first by benchmark, over the rows that both have and, but for `undecided_is_wrong`, both decided.

    Raises `TrainError` where a folder holds no predictions, or no row is left.
    """
    tables = []
    for folder in (first, second):
        file = folder / "predictions.parquet"
        if not file.is_file():
            raise TrainError(f"{folder}: no predictions.parquet; give the folder of a finished evaluation")
        rows = pq.read_table(file, columns=["benchmark", "uid", "cluster", "outcome"]).to_pylist()
        tables.append({(row["benchmark"], row["uid"]): row for row in rows})
    one, other = tables
    both = [
        key
        for key in one
        if key in other and (undecided_is_wrong or "unverifiable" not in (one[key]["outcome"], other[key]["outcome"]))
    ]
    found: dict[str, Difference] = {}
    for name in dict.fromkeys(benchmark for benchmark, _ in both):
        keys = [key for key in both if key[0] == name]
        right = [np.array([table[key]["outcome"] == "correct" for key in keys], dtype=float) for table in tables]
        clusters = np.array([one[key]["cluster"] for key in keys])
        found[name] = paired(right[0], right[1], clusters, resamples=resamples, seed=0)
    if not found:
        raise TrainError(f"{first} and {second} have no row in common that both decided")
    return found
