"""What became of one sample: its candidates, who won, its pass rate, and why it has no target where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infimed_data.manifest.generate import Generate, Policy
from infimed_data.rejection.judging import Judged
from infimed_data.rejection.tallies import Tally, tally
from infimed_data.rejection.winners import winners
from infimed_data.strategies import Problem
from infimed_data.strategies.draws import SPAN, drawn

__all__ = ["Outcome", "Refused", "is_answer_only", "settle"]


class Refused(NamedTuple):
    """Why a sample leaves, in the terms of a drop."""

    rule: str
    """`teacher_failed`, `truncated`, `unverifiable`, `no_right_answer`, a tier of `stability`, `not_reconstructed`,
    `gates`, or `marked_bad`."""
    value: str
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one sample."""

    uid: str
    judged: tuple[Judged, ...]
    """Its candidates, in the order of their attempts."""
    winners: tuple[int, ...]
    """Positions of those that won, best first."""
    policy: Policy | None
    """The policy that chose them."""
    answer_only: bool
    """Whether it keeps a bare answer, and no teacher was asked."""

    @property
    def kept(self) -> bool:
        """Whether there is something to train on."""
        return self.answer_only or bool(self.winners)

    @property
    def rationales(self) -> tuple[str, ...]:
        """The reasoning of each winner."""
        return tuple(self.judged[at].candidate.reasoning for at in self.winners)

    @property
    def accepted(self) -> int:
        """Candidates that might have won."""
        return sum(each.accepted for each in self.judged)

    @property
    def first_round(self) -> Tally:
        """The trials that make the pass rate."""
        return tally(self.judged, first_round=True)

    @property
    def trials(self) -> Tally:
        """All trials."""
        return tally(self.judged)

    @property
    def refusals(self) -> Counter[str]:
        """Candidates that were not accepted, by the first reason."""
        return Counter(each.refusal for each in self.judged if each.refusal is not None)

    @property
    def refused(self) -> Refused | None:
        """Why the sample leaves; None where it is kept. The reason is what stopped the candidate that came furthest."""
        if self.kept:
            return None
        reasons = self.refusals
        shown = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        return Refused(_rule(reasons), shown or "no candidates", f"1 accepted of {len(self.judged)}")


_FURTHEST = (
    ("mark:", "marked_bad"),
    ("gate:", "gates"),
    ("withheld:not_reconstructed", "not_reconstructed"),
    ("withheld:middle_tier", "middle_tier"),
    ("withheld:low_tier", "low_tier"),
    ("withheld:few_verifiable", "few_verifiable"),
    ("wrong", "no_right_answer"),
    ("unverifiable", "unverifiable"),
    ("truncated", "truncated"),
    ("failed", "teacher_failed"),
)
"""Beginning of a refusal and the rule it makes, the one that came furthest first."""


def _rule(reasons: Counter[str]) -> str:
    return next((rule for start, rule in _FURTHEST if any(r.startswith(start) for r in reasons)), "teacher_failed")


def settle(problem: Problem, judged: Sequence[Judged], settings: Generate, *, seed: int) -> Outcome:
    """The outcome of a sample with these candidates, in whatever order they are given."""
    ordered = tuple(sorted(judged, key=lambda each: each.candidate.attempt))
    won, policy = winners(ordered, settings.policy, settings.winners.count, seed=seed)
    return Outcome(uid=problem.uid, judged=ordered, winners=won, policy=policy, answer_only=False)


def is_answer_only(uid: str, settings: Generate, *, seed: int) -> bool:
    """Whether a sample is one of the share that keeps a bare answer: drawn by its uid alone."""
    return drawn(seed, uid, "answer_only") < settings.answer_only * SPAN
