"""Results as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from infimed_train.evaluate.scoring import Score
from infimed_train.evaluate.statistics import Difference

__all__ = ["as_csv", "as_markdown", "compared"]

_HEADS = ("rows", "accuracy", "95%", "of all", "undecided", "no answer read", "cut")


def as_markdown(scores: Sequence[Score], mean: tuple[float, float, float] | None, *, model: str, style: str) -> str:
    """The papers' layout first (a column a benchmark, and the average), then every part in full."""
    whole = [score for score in scores if score.part == "all"]
    names = [score.benchmark for score in whole]
    last = "-" if mean is None else _percent(mean[0])
    blocks = [
        f"{model}, prompts `{style}`. Accuracy in percent, over the answers that a rule can decide.",
        _table(["Model", *names, "Avg"], [[model, *[_percent(score.accuracy) for score in whole], last]]),
    ]
    if mean is not None:
        blocks.append(f"Average {_percent(mean[0])}, 95% interval {_percent(mean[1])} to {_percent(mean[2])}.")
    rows = [
        [
            score.benchmark if score.part == "all" else "",
            score.part,
            str(score.rows),
            _percent(score.accuracy),
            "-" if score.low is None else f"{_percent(score.low)} to {_percent(score.high)}",
            _percent(score.of_all),
            str(score.unverifiable),
            str(score.parse_failures),
            str(score.cut),
        ]
        for score in scores
    ]
    blocks.append(_table(["Benchmark", "part", *_HEADS], rows))
    blocks.append(
        "95%: bootstrap of whole images. of all: right answers over all rows. undecided: rows whose answer no rule can "
        "decide. published, rebuilt: closed and open as the data set says, and as answers of yes or no against others."
    )
    return "\n\n".join(blocks)


def as_csv(scores: Sequence[Score]) -> str:
    """One line a part, plain numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Score.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(score.as_dict() for score in scores)
    return text.getvalue()


def compared(differences: Mapping[str, Difference], *, first: str, second: str) -> str:
    """Two evaluations side by side, and a loud line where the second is worse."""
    rows = [
        [
            name,
            str(found.rows),
            _percent(found.first),
            _percent(found.second),
            f"{100 * found.difference:+.1f}",
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            f"{found.p_value:.4f}",
        ]
        for name, found in differences.items()
    ]
    blocks = [
        f"first: {first}; second: {second}. Rows that both decided, paired.",
        _table(["Benchmark", "rows", "first", "second", "difference", "95%", "p"], rows),
    ]
    worse = [name for name, found in differences.items() if found.difference < 0 and found.p_value < 0.05]
    if worse:
        blocks.append(f"WORSE: the second loses on {', '.join(worse)} (p < 0.05).")
    return "\n\n".join(blocks)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
