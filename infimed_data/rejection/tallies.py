"""Counting trials: how often unaided answers were right, and out of how many.

A trial is an attempt's first answer, told nothing but the question: revisions, whose teacher knows that it was wrong,
and texts written with the gold in view are none.

- What no rule can judge counts for nothing, neither right nor wrong; so does a request that failed.
- A text cut off at `max_tokens` counts as wrong for a sample's pass rate. The pass rate says how often training would
  reward the model, and a trainer stops it at the same length; leaving such texts out would make just those questions
  look easy on which it thinks too long. It says nothing of whether the teacher would have been right, so `accuracy`,
  which speaks of the teacher, leaves it out.
- Only the first round of attempts makes the pass rate. Whether a second one follows depends on how the first fared: a
  rate over all attempts would come out too high for samples that stop at their first success.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from infimed_data.rejection.judging import Judged

__all__ = ["Tally", "tally"]


class Tally(NamedTuple):
    """Trials by how they ended."""

    correct: int = 0
    wrong: int = 0
    unverifiable: int = 0
    truncated: int = 0
    failed: int = 0

    @property
    def verifiable(self) -> int:
        """Trials that say something about the sample: right, wrong or cut off."""
        return self.correct + self.wrong + self.truncated

    @property
    def pass_rate(self) -> float | None:
        """Share of right trials among those that say something; None where none does."""
        return self.correct / self.verifiable if self.verifiable else None

    @property
    def accuracy(self) -> float | None:
        """Share of right answers among those that a rule could judge: of the teacher, whatever its limit of tokens."""
        judged = self.correct + self.wrong
        return self.correct / judged if judged else None


def tally(judged: Iterable[Judged], *, first_round: bool = False) -> Tally:
    """The trials among candidates, all of them or those of the first round."""
    counts = dict.fromkeys(Tally._fields, 0)
    for each in judged:
        trial = each.candidate.trial
        if trial is None or (first_round and each.round):
            continue
        counts[trial.verdict.outcome if trial.status == "answered" else trial.status] += 1
    return Tally(**counts)
