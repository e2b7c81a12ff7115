"""Filling: so many accepted samples of each stratum, under a hard cap of candidates, and an account of what is missing.

Rows of a stratum are tried in the order given (`priority` makes a seeded one), in waves: as many as are still
missing, of all strata at once. No row is tried that may not be needed, so neither what is asked nor who is taken
depends on how many requests are in flight; and no wave begins that could exceed the cap, even if all its rows took
their full number of candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from infimed_data.manifest.generate import Fill
from infimed_data.rejection.outcome import Outcome
from infimed_data.rejection.sampling import in_order
from infimed_data.strategies import Problem
from infimed_data.strategies.draws import drawn

__all__ = ["Filled", "fill", "priority"]


@dataclass(kw_only=True)
class Filled:
    """How far one stratum is filled; grows while it is."""

    stratum: str
    wanted: int
    kept: int = 0
    tried: int = 0
    """Rows asked about."""
    candidates: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Candidates that were not accepted, by reason: `wrong`, `truncated`, `gate:answer_leak` ..."""
    samples: Counter[str] = field(default_factory=Counter)
    """Rows without a winner, by rule."""
    out_of_rows: bool = False

    @property
    def missing(self) -> int:
        """Samples that are still wanted."""
        return self.wanted - self.kept

    @property
    def why(self) -> str | None:
        """Why some are missing, with the refusals that cost most; None where none is."""
        if not self.missing:
            return None
        end = "no rows left" if self.out_of_rows else "the cap of candidates is reached"
        causes = ", ".join(f"{reason} {count:,}" for reason, count in self.refusals.most_common(5))
        return f"{self.missing:,} missing after {self.tried:,} rows and {self.candidates:,} candidates: {end}" + (
            f"; refused: {causes}" if causes else ""
        )


def priority(problems: Iterable[Problem], *, seed: int) -> list[Problem]:
    """Problems in a seeded order that depends on their uids alone."""
    return sorted(problems, key=lambda problem: (drawn(seed, problem.uid, "fill"), problem.uid))


async def fill(
    strata: Mapping[str, Iterable[Problem]],
    work: Callable[[Problem], Coroutine[Any, Any, Outcome]],
    settings: Fill,
    *,
    most: int,
    in_flight: int,
    report: dict[str, Filled],
) -> AsyncGenerator[tuple[str, Outcome], None]:
    """(stratum, outcome) of every row that was tried; `report` is filled with how each stratum stands.

    `work` asks about one row, and takes `most` candidates for it at most (`Generate.most_candidates`).
    """
    rows: dict[str, Iterator[Problem]] = {}
    for name, wanted in sorted(settings.samples.items()):
        report[name] = Filled(stratum=name, wanted=wanted)
        rows[name] = iter(strata.get(name, ()))

    async def tried(item: tuple[str, Problem]) -> tuple[str, Outcome]:
        return item[0], await work(item[1])

    while True:
        wave: list[tuple[str, Problem]] = []
        for name, state in report.items():
            room = max(0, settings.max_candidates - state.candidates) // most
            asked = min(state.missing, room)
            taken = [(name, problem) for problem in islice(rows[name], asked)]
            state.out_of_rows = state.out_of_rows or len(taken) < asked
            wave += taken
        if not wave:
            return
        async for name, outcome in in_order(wave, tried, in_flight=in_flight):
            _count(report[name], outcome)
            yield name, outcome


def _count(state: Filled, outcome: Outcome) -> None:
    state.tried += 1
    state.kept += outcome.kept
    state.candidates += len(outcome.judged)
    state.refusals.update(outcome.refusals)
    if outcome.refused is not None:
        state.samples[outcome.refused.rule] += 1
