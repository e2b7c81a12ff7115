"""One page of what was found, its pictures inside; and the curves of all trainings as one table and one picture."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from world_loop import Loop
from world_rows import CHANCE, FRESH
from world_runs import Accuracy, Trained

EXAMPLES = 6
"""Traces that the page shows, accepted and refused."""
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .7em;text-align:right}
td:first-child,th:first-child{text-align:left}.trace{display:flex;gap:1em;margin:1em 0;align-items:flex-start}
.trace img{width:128px;image-rendering:pixelated}pre{white-space:pre-wrap;margin:0;font-size:13px}
.accepted{border-left:4px solid #2a7;padding-left:.7em}.refused{border-left:4px solid #c44;padding-left:.7em}"""


@dataclass(frozen=True)
class Line:
    """A row of the results: what was asked, what it scored."""

    name: str
    seeing: Accuracy
    trained: Trained | None = None

    def __str__(self) -> str:
        took = "" if self.trained is None else f", {self.trained.steps} steps in {self.trained.seconds:.0f} s"
        return f"{self.name}: {self.seeing}{took}"


def write_curves_of(runs: Mapping[str, Trained], out: Path) -> None:
    """`curves.parquet` (run, step, name, value) and `curves.png`: loss and reward of every run."""
    from infimed_train.runs.curves import draw_curves

    tables = [
        pl.read_parquet(run.folder / "curves.parquet").select(pl.lit(name).alias("run"), "step", "name", "value")
        for name, run in runs.items()
    ]
    table = pl.concat(tables)
    table.write_parquet(out / "curves.parquet")
    chief = table.filter(pl.col("name").is_in(["loss", "mean_token_accuracy", "reward", "entropy"]))
    drawn: dict[str, list[tuple[float, float]]] = {}
    for run, step, name, value in chief.iter_rows():
        if name != "loss" or "grpo" not in run:  # of GRPO, on policy, it is 0
            drawn.setdefault(f"{run} {name}", []).append((step, value))
    draw_curves(drawn, out / "curves.png")


def write_page(lines: Sequence[Line], loop: Loop | None, out: Path, *, settings: str, seconds: float) -> Path:
    """The page's path: accuracy with intervals, curves, the loop's counts and some of its traces."""
    parts = [
        "<!doctype html><meta charset='utf-8'><title>It learns to look</title>", f"<style>{STYLE}</style>",
        "<h1>It learns to look</h1>",
        "<p>A Qwen2.5-VL of 0.3M parameters, made on the spot, and drawn heads it has not seen. "
        f"{html.escape(settings)} Whole run: {seconds / 60:.1f} minutes.</p>",
        "<p>Accuracy in percent of held-out questions, 95% interval by whole pictures. <i>Grey</i>: an even grey in "
        "place of the picture; <i>none</i>: no picture at all, which no training row lacked.</p>",
        _accuracies(lines), "<h2>Curves</h2>", f"<img style='max-width:100%' src='{_data(out / 'curves.png')}'>",
    ]  # fmt: skip
    if loop is not None:
        parts += _loop(loop, out)
    page = out / "results.html"
    page.write_text("\n".join(parts), "utf-8")
    return page


def _accuracies(lines: Sequence[Line]) -> str:
    questions = list(CHANCE)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("", "all", "95%", *questions, "steps", "seconds"))
    chance = sum(CHANCE.values()) / len(CHANCE)
    rows = [f"<tr><td>chance</td><td>{chance:.1f}</td><td></td>" + _cells(CHANCE) + "<td></td><td></td></tr>"]
    for line in lines:
        found = line.seeing
        steps, took = ("", "") if line.trained is None else (line.trained.steps, f"{line.trained.seconds:.0f}")
        rows.append(
            f"<tr><td>{html.escape(line.name)}</td><td><b>{found.all:.1f}</b></td>"
            f"<td>{found.low:.1f} to {found.high:.1f}</td>{_cells(found.by_question)}"
            f"<td>{steps}</td><td>{took}</td></tr>"
        )
    return f"<table><tr>{heads}</tr>{''.join(rows)}</table>"


def _cells(by_question: Mapping[str, float]) -> str:
    return "".join(f"<td>{by_question[name]:.1f}</td>" if name in by_question else "<td></td>" for name in CHANCE)


def _loop(loop: Loop, out: Path) -> list[str]:
    counts, took = loop.counts, loop.seconds
    candidates = pl.read_parquet(loop.traces / "candidates.parquet").sort("key")
    refused = candidates.filter(~pl.col("accepted"))
    reasons = refused.group_by("outcome", "reason", "refusal").len().sort("len", "reason", descending=[True, False])
    rows = "".join(
        f"<tr><td>{html.escape(' '.join(str(cell) for cell in row[:3] if cell))}</td><td>{row[3]}</td></tr>"
        for row in reasons.head(8).iter_rows()
    )
    shown = [*candidates.filter("accepted").head(EXAMPLES).to_dicts(), *refused.head(EXAMPLES).to_dicts()]
    return [
        "<h2>The loop: its own teacher</h2>",
        f"<p>Served ({took['server']:.0f} s to start), it was asked {counts['questions']:,} questions about pictures "
        f"it had not seen, up to four times each: {counts['candidates']:,} candidates in {took['generate']:.0f} s, "
        f"{counts['right']:,} right, {counts['accepted']:,} accepted ({loop.accepted:.1f}%); "
        f"{counts['traces']:,} questions have a trace ({100 * counts['traces'] / counts['questions']:.1f}%). "
        f"Trained on these, its accuracy, reasoning, went from {loop.before} to {loop.after}, and to {loop.grey} "
        "where it sees grey.</p>",
        f"<table><tr><th>not accepted</th><th>candidates</th></tr>{rows}</table>",
        "<h2>Traces</h2>", *[_trace(row, out) for row in shown],
    ]  # fmt: skip


def _trace(row: Mapping[str, object], out: Path) -> str:
    number = int(str(row["uid"]).rpartition("/")[2]) // len(CHANCE)
    question = list(CHANCE)[int(str(row["uid"]).rpartition("/")[2]) % len(CHANCE)]
    kind = "accepted" if row["accepted"] else "refused"
    verdict = html.escape(f"{kind}: {row['outcome']} ({row['refusal'] or row['reason']})")
    return (
        f"<div class='trace'><img src='{_data(out / 'fresh' / 'images' / f'{FRESH}_{number}.png')}'>"
        f"<div class='{kind}'><b>{question}</b> {verdict}<pre>{html.escape(str(row['text']))}</pre></div></div>"
    )


def _data(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
