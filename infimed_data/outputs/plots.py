"""The pictures of a card: what was asked and realised, what was dropped and why, right letters, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infimed_data.charts import bars, histograms

__all__ = ["draw_plots"]

_Row = tuple[str, tuple[int | None, ...]]
MAX_BARS = 40
_BOUNDS = [1, 2, 3, *(round(2 ** (half / 2)) for half in range(4, 41))]
"""Lower bounds of the columns of lengths: two to each power of two."""


def draw_plots(folder: Path, lock: Mapping[str, Any]) -> list[str]:
    """Draws `plots/*.png` into a build's folder, from what its lock says and its outputs hold; returns their names."""
    drawn: dict[str, bytes] = {}
    for name, output in lock["outputs"].items():
        strata: list[_Row] = [(s["stratum"], (s["asked"], s["realised"])) for s in output["strata"]]
        drawn[f"mixture-{name}"] = bars(f"{name}: rows by stratum", _most(strata, 1), ("asked", "realised"))
        if letters := output.get("letters"):
            pairs = [(letter, (n, letters["after"].get(letter, 0))) for letter, n in letters["before"].items()]
            title = f"{name}: how often each letter is right"
            drawn[f"letters-{name}"] = bars(title, pairs, ("as read", "shuffled"))
        if panels := _lengths(folder, name):
            used = [at for counts in panels.values() for at in np.flatnonzero(counts)]
            first, last = min(used), max(used) + 1
            shown = {part: counts[first:last].tolist() for part, counts in panels.items()}
            ticks = [f"{bound:,}" for bound in _BOUNDS[first:last]]
            drawn[f"lengths-{name}"] = histograms(f"{name}: characters of a row", shown, ticks, every=2)
    rules = [(stage, rule, n) for stage, found in lock["drops"].items() for rule, n in found.items()]
    dropped: list[_Row] = [(f"{stage}: {rule}", (n,)) for stage, rule, n in rules]
    if dropped:
        drawn["drops"] = bars("Rows dropped, by stage and rule", _most(dropped, 0), ("rows",))
    (folder / "plots").mkdir(exist_ok=True)
    for name, data in drawn.items():
        (folder / "plots" / f"{name}.png").write_bytes(data)
    return sorted(f"plots/{name}.png" for name in drawn)


def _most(rows: list[_Row], by: int) -> list[_Row]:
    """The rows in their order; of more than a picture has room for, those with the most, and the sum of the others."""
    if len(rows) <= MAX_BARS:
        return rows
    ranked = sorted(rows, key=lambda row: -(row[1][by] or 0))
    others = ranked[MAX_BARS - 1 :]
    sums = tuple(sum(row[1][i] or 0 for row in others) for i in range(len(rows[0][1])))
    return [*ranked[: MAX_BARS - 1], (f"{len(others)} others", sums)]


def _lengths(folder: Path, output: str) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """Rows by the characters of their prompt, and of their completion, in the columns of `_BOUNDS`."""
    rows = pl.scan_parquet(folder / output / "*.parquet")
    parts = [name for name in ("prompt", "completion") if name in rows.collect_schema().names()]
    talk = [
        pl.col(name).list.eval(pl.element().struct.field("content").str.len_chars()).list.sum().alias(name)
        for name in parts
    ]
    found = rows.select(talk).collect()
    if not len(found):
        return {}
    counts: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
    for name in parts:
        at = np.searchsorted(_BOUNDS, found[name].to_numpy(), side="right") - 1
        counts[name] = np.bincount(np.clip(at, 0, None), minlength=len(_BOUNDS))
    return counts
