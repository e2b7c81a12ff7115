"""The demo build with teachers' traces in it: real rows, asked of a simulated teacher, judged as a build would."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from simulated_teacher import SimulatedTeacher, weighted

from infimed_data.manifest.generate import Attempts, Gates, Generate, Search, Stability, Winners
from infimed_data.rejection import (
    CANDIDATES,
    GENERATED,
    Judged,
    Outcome,
    candidate_rows,
    generated_row,
    in_order,
    sampled,
)
from infimed_data.schema import DROPS, VERIFIABLE_KINDS
from infimed_data.strategies import Problem

__all__ = ["Asked", "ended", "judged", "won", "write_tables", "write_traced_build"]

MIXED = weighted(2, right=5, wrong=3, truncated=0.7, error=0.5, refusal=0.5, unsure=1, leaky=1.3, filtered=0.3)
PASSES: tuple[Generate, ...] = (
    Generate(
        teacher="big",
        strategy="reflective",
        attempts=Attempts(start=3, more=2, accept=2, limit=7),
        winners=Winners(count=2),
        gates=Gates(no_reflection=True),
        answer_only=0.05,
    ),
    Generate(teacher="big", strategy="search", search=Search(depth=2, reveal=True)),
    Generate(
        teacher="big",
        strategy="stability",
        stability=Stability(samples=4, high=3, middle=2, min_verifiable=2, rewriter="mender", reconstructor="small"),
    ),
)
PRICES: Mapping[str, Any] = {
    "big": {"model": "org/big", "price": {"prompt": 1.0, "completion": 4.0}},
    "mender": {"model": "org/mender", "price": {"prompt": 10.0, "completion": 40.0}},
    "small": {"model": "org/small", "backend": "replay"},
}
"""Teachers as a manifest in a lock has them."""


@dataclass
class _Teacher(SimulatedTeacher):
    """Knows problems by their number in the question, whatever their uid is."""

    numbered: Mapping[str, Problem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_number = dict(self.numbered)


@dataclass(frozen=True)
class Asked:
    """What was asked and what came of it."""

    folder: Path
    outcomes: tuple[Outcome, ...]
    rows: Mapping[str, Mapping[str, Any]]
    """By uid, the row as `samples` has it."""


def _problems(rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """The rows as problems; those that the simulated teacher can answer wrongly too. Questions get a number."""
    asked = [
        row
        for row in rows
        if row["answer_kind"] in VERIFIABLE_KINDS
        and row["answer_kind"] != "multi_choice"
        and (row["answer_kind"] != "choice" or len(row["options"]) >= 4)
        and (row["answer_kind"] != "yes_no" or row["answer"].lower() in ("yes", "no", "是", "否"))
        and not row["turns"]
    ]
    return [
        replace(
            problem := Problem.from_row(row),
            question=("病例{}：" if problem.lang == "zh" else "Case {}: ").format(number) + problem.question,
            answer=problem.answer.lower() if problem.answer_kind == "yes_no" else problem.answer,
            image_slots=(),
        )
        for number, row in enumerate(asked)
    ]


def ask_about(
    problems: Sequence[Problem],
    passes: Sequence[Generate] = PASSES,
    *,
    marks: Mapping[str, Any] | None = None,
) -> list[Outcome]:
    """The outcome of each problem; passes take them in turns."""
    numbered = {found[1]: each for each in problems if (found := re.search(r"^(?:Case |病例)(\d+)", each.question))}
    teacher = _Teacher(problems, MIXED, random.Random(1), numbered=numbered)

    async def made() -> list[Outcome]:
        def work(item: tuple[int, Problem]) -> Any:
            return sampled(item[1], teacher, passes[item[0] % len(passes)], seed=7, marks=marks)

        return [each async for each in in_order(enumerate(problems), work, in_flight=16)]

    return asyncio.run(made())


def write_tables(folder: Path, candidates: Sequence[Mapping[str, Any]], generated: Sequence[Mapping[str, Any]]) -> None:
    """Writes both tables into a build."""
    pq.write_table(pa.Table.from_pylist(list(candidates), CANDIDATES), folder / "candidates.parquet")
    pq.write_table(pa.Table.from_pylist(list(generated), GENERATED), folder / "generated.parquet")


def write_traced_build(demo: Path, folder: Path, *, lock: Mapping[str, Any] | None = None) -> Asked:
    """A copy of the demo build in `folder` in which teachers were asked about its rows, and some were marked.

    Samples without a trace are dropped, as the build would drop them.
    """
    shutil.copytree(demo, folder)
    samples = pl.read_parquet(folder / "samples.parquet")
    rows = {row["uid"]: row for row in samples.to_dicts()}
    problems = _problems(list(rows.values()))
    first = ask_about(problems)
    marks = _marks(first)
    outcomes = ask_about(problems, marks=marks)
    write_tables(
        folder,
        [row for outcome in outcomes for row in candidate_rows(outcome)],
        [generated_row(outcome) for outcome in outcomes],
    )
    refused = {outcome.uid: outcome.refused for outcome in outcomes if outcome.refused is not None}
    samples.filter(~pl.col("uid").is_in(list(refused))).write_parquet(folder / "samples.parquet")
    gone = [
        {**{name: rows[uid].get(name) for name in DROPS.names}, "stage": "generate", **why._asdict(), "twin": None}
        for uid, why in refused.items()
    ]
    drops = pa.concat_tables([pq.read_table(folder / "drops.parquet").cast(DROPS), pa.Table.from_pylist(gone, DROPS)])
    pq.write_table(drops, folder / "drops.parquet")
    told = json.loads((folder / "lock.json").read_text("utf-8"))
    told["manifest"] = {**told["manifest"], "teachers": dict(PRICES)}
    (folder / "lock.json").write_text(json.dumps({**told, **(lock or {})}), "utf-8")
    return Asked(folder, tuple(outcomes), rows)


def _marks(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Marks of a reviewer: good for one that only a gate refused, bad for a winner."""
    marks: dict[str, str] = {}
    for outcome in outcomes:
        for at, each in enumerate(outcome.judged):
            if each.refusal == "gate:answer_leak" and "good" not in marks.values():
                marks[each.candidate.key] = "good"
            elif outcome.winners[:1] == (at,) and "bad" not in marks.values():
                marks[each.candidate.key] = "bad"
    return marks


def judged(asked: Asked) -> list[tuple[Outcome, Judged]]:
    """Every candidate with its sample's outcome."""
    return [(outcome, each) for outcome in asked.outcomes for each in outcome.judged]


def won(outcome: Outcome, each: Judged) -> bool:
    """Whether a candidate is among its sample's winners."""
    return any(outcome.judged[at] is each for at in outcome.winners)


def ended(each: Judged) -> str:
    """What became of a candidate: its verdict, or why there is none."""
    return each.candidate.outcome if each.candidate.status == "answered" else each.candidate.status
