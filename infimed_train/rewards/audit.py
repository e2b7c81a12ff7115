"""The reward held against its own data: right answers are paid in full, answers that say nothing never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infimed_data.schema import LABELS, VERIFIABLE_KINDS
from infimed_data.verify import Gold, verify
from infimed_train.config import Reward
from infimed_train.rewards.judge import in_form

__all__ = ["Audit", "audit", "decidable", "gold_answer"]

CONSTANTS = ("N/A", "unknown", "I don't know", "the answer", "...", "答案")
"""Answers that answer nothing."""


@dataclass
class Audit:
    """What an audit found."""

    rows: int = 0
    undecided: Counter[str] = field(default_factory=Counter)
    """Rows whose right answer no rule can decide, by kind of answer: never counted in training."""
    broken: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(uid, kind of answer, what was answered, why it is wrong) of each row that the reward gets wrong."""
    guesses: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By kind: the one answer that is right most often, and how often it is."""

    @property
    def usable(self) -> int:
        """Rows that can be paid at all."""
        return self.rows - sum(self.undecided.values())


def gold_answer(gold: Gold) -> str:
    """A right answer, as a model would write it."""
    if gold.answer_kind in ("choice", "multi_choice") and gold.answer_label:
        return gold.answer_label
    return gold.answer


def decidable(gold: Gold) -> bool:
    """Whether a rule can tell right from wrong for this answer; else no completion would ever be paid or refused.

    >>> decidable(Gold(answer="2 cm", answer_kind="number")), decidable(Gold(answer="a mass", answer_kind="open"))
    (True, False)
    """
    if gold.answer_kind not in VERIFIABLE_KINDS:
        return False
    return verify(gold, f"<answer>{gold_answer(gold)}</answer>").outcome != "unverifiable"


def audit(rows: Iterable[tuple[str, Mapping[str, Any]]], reward: Reward) -> Audit:
    """Audits (uid, row) pairs with the columns of an `rl` output."""
    found = Audit()
    right: dict[str, Counter[str]] = {}
    for uid, row in rows:
        gold = Gold.from_row(row)
        found.rows += 1
        if not decidable(gold):
            found.undecided[gold.answer_kind] += 1
            continue
        answer = gold_answer(gold)
        completion = _said(answer, reward.form)
        verdict = verify(gold, completion, rel_tol=reward.rel_tol)
        right.setdefault(gold.answer_kind, Counter())[answer.casefold()] += 1
        if verdict.outcome != "correct" or not in_form(completion, reward.form):
            found.broken.append((uid, gold.answer_kind, f"the gold {answer!r}", f"not paid: {verdict.reason}"))
        for name, empty in _nothings(gold):
            verdict = verify(gold, _said(empty, reward.form), rel_tol=reward.rel_tol)
            if verdict.outcome == "correct":
                found.broken.append((uid, gold.answer_kind, f"{name} {empty!r}", f"paid: {verdict.reason}"))
    for kind, answers in right.items():
        answer, times = answers.most_common(1)[0]
        found.guesses[kind] = (answer, times / answers.total())
    return found


def _nothings(gold: Gold) -> Iterable[tuple[str, str]]:
    yield "empty", ""
    for constant in CONSTANTS:
        if constant.casefold() != gold.answer.casefold():
            yield "constant", constant
    if gold.options and not (gold.answer_kind == "multi_choice" and _all_right(gold)):
        yield "all options", ", ".join(LABELS[: len(gold.options)])
        yield "all options", ", ".join(gold.options)
    if gold.question and gold.question.casefold() != gold.answer.casefold():
        yield "the question", gold.question


def _all_right(gold: Gold) -> bool:
    return len((gold.answer_label or "").split(",")) == len(gold.options)


def _said(answer: str, form: str) -> str:
    """The answer in the form that is asked for, so that only the answer itself decides."""
    if form == "think_answer":
        return f"<think>Looking at it again.</think><answer>{answer}</answer>"
    return f"Looking at it again.\n<answer>{answer}</answer>"
