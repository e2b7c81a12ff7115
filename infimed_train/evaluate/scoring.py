"""Predictions with the verifier's verdicts, and what is counted of them.

`accuracy` is right over decided answers: an answer that no rule can decide is neither right nor wrong. `of_all` is
right over all rows, which is the least that a judge could make of it; `undecided` is the share in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from infimed_data.verify import verify
from infimed_train.evaluate.items import Item
from infimed_train.evaluate.journal import Answer
from infimed_train.evaluate.statistics import clusters_of, draws, interval

__all__ = ["PARSE_FAILURES", "PREDICTIONS", "Score", "average", "predictions", "summarise"]

PARSE_FAILURES = (
    *("no_answer", "unclosed_reasoning", "unclosed_box", "empty_marker", "degenerate"),
    *("no_option", "no_number"),
)
"""Reasons that mean: no answer of the kind asked for could be read."""

PREDICTIONS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("uid", pa.string()),
        ("cluster", pa.int64()),
        ("answer_kind", pa.string()),
        ("lang", pa.string()),
        ("published", pa.string()),
        ("rebuilt", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("answer_label", pa.string()),
        ("response", pa.string()),
        ("finish", pa.string()),
        ("tokens", pa.int64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("extracted", pa.string()),
        ("parse_failure", pa.bool_()),
    ]
)
"""One row a question. `cluster` numbers the rows of a benchmark that share images; `published` and `rebuilt` are its
two definitions of closed and open."""


@dataclass(frozen=True)
class Score:
    """One line of the results."""

    benchmark: str
    part: str
    """`all`, `kind=choice`, `published=closed`, `rebuilt=open` ..."""
    rows: int
    correct: int
    wrong: int
    unverifiable: int
    parse_failures: int
    cut: int
    """Answers that ran into max_new_tokens."""
    accuracy: float | None
    low: float | None
    high: float | None
    of_all: float
    undecided: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def predictions(items: Sequence[Item], answers: Sequence[Answer], *, rel_tol: float) -> list[dict[str, Any]]:
    """One row of `PREDICTIONS` a question."""
    clusters = clusters_of([item.image_ids for item in items]).tolist()
    rows = []
    for item, answer, cluster in zip(items, answers, clusters, strict=True):
        verdict = verify(item.gold, answer.text, rel_tol=rel_tol)
        rows.append(
            {
                "benchmark": item.benchmark,
                "uid": item.uid,
                "cluster": cluster,
                "answer_kind": item.gold.answer_kind,
                "lang": item.gold.lang,
                "published": item.published,
                "rebuilt": item.rebuilt,
                "question": item.gold.question,
                "options": list(item.gold.options),
                "answer": item.gold.answer,
                "answer_label": item.gold.answer_label,
                "response": answer.text,
                "finish": answer.finish,
                "tokens": answer.tokens,
                "outcome": verdict.outcome,
                "reason": verdict.reason,
                "extracted": verdict.extracted,
                "parse_failure": verdict.reason in PARSE_FAILURES,
            }
        )
    return rows


def summarise(rows: Sequence[Mapping[str, Any]], *, resamples: int, seed: int) -> list[Score]:
    """The lines of one benchmark: all rows, each kind of answer, closed and open by both definitions."""
    parts: list[tuple[str, str | None, str]] = [("all", None, "")]
    for column, short in (("answer_kind", "kind"), ("published", "published"), ("rebuilt", "rebuilt")):
        for value in sorted({row[column] for row in rows if row[column] is not None}):
            parts.append((f"{short}={value}", column, value))  # noqa: PERF401  (a loop in a loop reads better)
    return [
        _score(part, [row for row in rows if column is None or row[column] == value], resamples, seed)
        for part, column, value in parts
    ]


def _score(part: str, rows: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> Score:
    count = {
        outcome: sum(row["outcome"] == outcome for row in rows) for outcome in ("correct", "wrong", "unverifiable")
    }
    decided = [row for row in rows if row["outcome"] != "unverifiable"]
    accuracy = low = high = None
    if decided:
        accuracy = count["correct"] / len(decided)
        low, high = interval(_drawn(decided, resamples, seed))
    return Score(
        benchmark=str(rows[0]["benchmark"]),
        part=part,
        rows=len(rows),
        **count,
        parse_failures=sum(bool(row["parse_failure"]) for row in rows),
        cut=sum(row["finish"] == "length" for row in rows),
        accuracy=accuracy,
        low=low,
        high=high,
        of_all=count["correct"] / len(rows),
        undecided=count["unverifiable"] / len(rows),
    )


def _drawn(decided: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> np.ndarray:
    values = np.array([row["outcome"] == "correct" for row in decided], dtype=float)
    return draws(values, np.array([row["cluster"] for row in decided]), resamples=resamples, seed=seed)


def average(
    benchmarks: Iterable[Sequence[Mapping[str, Any]]], *, resamples: int, seed: int
) -> tuple[float, float, float] | None:
    """(mean of the benchmarks' accuracies, and its interval); None where one of them decided nothing."""
    drawn = []
    means = []
    for number, rows in enumerate(benchmarks):
        decided = [row for row in rows if row["outcome"] != "unverifiable"]
        if not decided:
            return None
        means.append(sum(row["outcome"] == "correct" for row in decided) / len(decided))
        drawn.append(_drawn(decided, resamples, seed + number))
    low, high = interval(np.mean(drawn, axis=0))
    return sum(means) / len(means), low, high
