"""Everything that was logged, as a table (step, name, value) and as one picture that needs no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["as_curves", "draw_curves", "write_curves"]

Curves = dict[str, list[tuple[float, float]]]

CHIEF = (
    *("loss", "eval_loss", "mean_token_accuracy", "reward", "rewards/accuracy/mean", "rewards/format/mean"),
    *("unverifiable", "completions/mean_length", "frac_reward_zero_std", "entropy", "kl", "grad_norm"),
    *("learning_rate", "eval_reward", "eval_rewards/accuracy/mean"),
)
"""Drawn first, where they were logged; curves by source and kind follow."""
PANELS = 24
WIDTH, HEIGHT, COLUMNS = 320, 180, 3
INK, LINE, GRID = (40, 40, 40), (32, 92, 168), (225, 225, 225)


def as_curves(history: Sequence[Mapping[str, Any]]) -> Curves:
    """The numbers in a trainer's log history, by name."""
    curves: Curves = {}
    for entry in history:
        for name, value in entry.items():
            if name not in ("step", "epoch") and isinstance(value, int | float) and "step" in entry:
                curves.setdefault(name, []).append((float(entry["step"]), float(value)))
    return curves


def write_curves(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Writes `curves.parquet` and `curves.png`."""
    curves = as_curves(history)
    rows = [(step, name, value) for name, points in curves.items() for step, value in points]
    table = pa.table(
        {
            "step": pa.array([int(row[0]) for row in rows], pa.int64()),
            "name": pa.array([row[1] for row in rows], pa.string()),
            "value": pa.array([row[2] for row in rows], pa.float64()),
        }
    )
    partial = folder / "curves.parquet.partial"
    pq.write_table(table, partial)
    partial.replace(folder / "curves.parquet")
    if curves:
        draw_curves(curves, folder / "curves.png")


def draw_curves(curves: Curves, path: Path) -> None:
    """A panel a curve."""
    import PIL.Image
    import PIL.ImageDraw

    detail = sorted(name for name in curves if name.startswith(("accuracy/", "alarms/")))
    names = [name for name in (*CHIEF, *detail) if name in curves][:PANELS] or sorted(curves)[:PANELS]
    rows = -(-len(names) // COLUMNS)
    image = PIL.Image.new("RGB", (WIDTH * min(COLUMNS, len(names)), HEIGHT * rows), "white")
    draw = PIL.ImageDraw.Draw(image)
    for index, name in enumerate(names):
        left, top = index % COLUMNS * WIDTH, index // COLUMNS * HEIGHT
        _panel(draw, name, curves[name], left, top)
    partial = path.with_name(f"{path.name}.partial")
    image.save(partial, format="PNG")
    partial.replace(path)


def _panel(draw: Any, name: str, points: Sequence[tuple[float, float]], left: int, top: int) -> None:
    inner = (left + 58, top + 26, left + WIDTH - 12, top + HEIGHT - 24)
    steps, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    first, last = min(steps), max(max(steps), min(steps) + 1)

    def at(step: float, value: float) -> tuple[float, float]:
        x = inner[0] + (step - first) / (last - first) * (inner[2] - inner[0])
        return x, inner[3] - (value - low) / (high - low) * (inner[3] - inner[1])

    draw.text((left + 8, top + 6), name, fill=INK)
    for value in (low, (low + high) / 2, high):
        y = at(first, value)[1]
        draw.line([(inner[0], y), (inner[2], y)], fill=GRID)
        draw.text((left + 4, y - 6), f"{value:.3g}", fill=INK)
    draw.text((inner[0], inner[3] + 6), f"{first:g}", fill=INK)
    draw.text((inner[2] - 30, inner[3] + 6), f"{last:g}", fill=INK)
    line = [at(step, value) for step, value in points]
    if len(line) > 1:
        draw.line(line, fill=LINE, width=2)
    for x, y in line if len(line) < 30 else line[-1:]:
        draw.ellipse([(x - 2, y - 2), (x + 2, y + 2)], fill=LINE)
