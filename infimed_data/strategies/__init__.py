"""Strategies: ways of asking a teacher about a sample, each an async function from a problem to candidates.

problem.py      what is asked about
direct.py  reflective.py  search.py  stability.py      one strategy each
candidate.py    what comes of an attempt: its requests, text and verdict
prompting.py    the texts of `infimed_data/prompts`, filled; masking.py: reasoning without its answer
draws.py        seeded draws by name; together.py: requests at once

A strategy sees one problem and a teacher (`teachers.Ask`), and nothing else: equal problems, settings and seeds make
equal prompts, whatever else is asked, in whatever order. Whether a candidate is good enough is decided elsewhere.
"""

from collections.abc import Awaitable
from typing import Protocol

from infimed_data.manifest.generate import Generate, StrategyName
from infimed_data.strategies.candidate import REASONS, Candidate, Status, Step
from infimed_data.strategies.direct import direct
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.reflective import reflective
from infimed_data.strategies.search import search
from infimed_data.strategies.stability import stability
from infimed_data.teachers import Ask

__all__ = ["REASONS", "STRATEGIES", "Candidate", "Problem", "Status", "Step", "Strategy"]


class Strategy(Protocol):
    """Makes the candidates of some attempts at a problem."""

    def __call__(
        self, problem: Problem, ask: Ask, settings: Generate, seed: int, *, attempts: range
    ) -> Awaitable[tuple[Candidate, ...]]:
        """One candidate for each attempt, in order, and any that are made from these together."""
        ...


STRATEGIES: dict[StrategyName, Strategy] = {
    "direct": direct,
    "reflective": reflective,
    "search": search,
    "stability": stability,
}
"""Name and function. To add a strategy, write its module and its prompts, and add its line and its settings."""
