"""short_text: a phrase of a few words. Section 7 of the policy; the first rule that fits decides.

Decisions where the policy is silent:
- A refusal, and alternatives that the gold does not have, are looked for after equality and before everything else: a
  gold text may itself hold "or" or a slash.
- Numbered names of one series exclude each other (T1/T2, L4/L5); other numbers do not decide, so that "third ventricle"
  for "fourth ventricle" goes to a judge.
- Whole words are looked for without regard to punctuation between them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from infimed_data.verify.clean import clean
from infimed_data.verify.compare import Phrase, Run, is_han, phrase, run, trimmed, with_plurals
from infimed_data.verify.hedges import alternatives, is_refusal
from infimed_data.verify.opposites import Sides, negation_differs, opposed, sides
from infimed_data.verify.verdict import Gold, Outcome, Reading, Verdict

__all__ = ["read"]


class _Key(NamedTuple):
    """A gold phrase, made ready."""

    phrase: Phrase
    runs: tuple[Run, Run]
    """Its words as they stand, and with abbreviations."""
    sides: Sides


@lru_cache(maxsize=8192)
def _key(answer: str) -> _Key:
    plain = phrase(answer)
    runs = _runs(clean(answer))
    return _Key(plain, runs, sides(runs[0]))


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """How `text` compares with the gold phrase."""
    right = _key(gold.answer)
    shown = trimmed(text)
    if not right.phrase.text:
        return Reading(shown, Verdict("unverifiable", "gold_unreadable", shown))
    if right.phrase.equals(text) or right.phrase.lists_the_same(text):
        return Reading(right.phrase.text, Verdict("correct", "exact_text", shown))
    outcome, reason = _compared(right, text)
    return Reading(shown, Verdict(outcome, reason, shown))


def _compared(right: _Key, text: str) -> tuple[Outcome, str]:
    if is_refusal(text):
        return "wrong", "refusal"
    if alternatives(text, right.phrase.text):
        return "wrong", "alternatives"
    given = _runs(text)
    taken = sides(given[0])
    contained = any(_contains(*pair) or _contains(*pair[::-1]) for pair in zip(right.runs, given, strict=True))
    if opposed(right.sides, taken, contained=contained):
        return "wrong", "opposite_word"
    if negation_differs(right.sides, taken):
        return "wrong", "negation"
    if contained:
        return "unverifiable", "contains"
    if any(_same_last_word(*pair) for pair in zip(right.runs, given, strict=True)):
        return "unverifiable", "same_last_word"
    return "wrong", "other_text"


def _runs(text: str) -> tuple[Run, Run]:
    first, _, rest = text.partition(" ")
    if rest and first.lower() in ("a", "an", "the"):
        text = rest
    return run(text, abbreviated=False), run(text)


def _contains(longer: Run, shorter: Run) -> bool:
    """Whether `longer` holds `shorter` as whole words, the last one in singular or plural."""
    if not 0 < len(shorter.joined) <= len(longer.joined) + 2:
        return False
    return any(longer.find(form) >= 0 for form in with_plurals(shorter.joined))


def _same_last_word(gold: Run, given: Run) -> bool:
    mine, other = gold.last_word(), given.last_word()
    if not mine or not other or is_han(mine[-1]) or is_han(other[-1]):
        return False
    return other in set(with_plurals(mine))
