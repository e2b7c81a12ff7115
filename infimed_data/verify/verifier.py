"""One completion against one gold answer: find the final answer, read it as its kind is read, say what it is worth."""

from __future__ import annotations

from collections.abc import Callable

from infimed_data.verify import choice, multi_choice, number, open, short_text, yes_no  # noqa: A004  (a kind)
from infimed_data.verify.clean import is_empty
from infimed_data.verify.extract import Final, final_answers, without_cue
from infimed_data.verify.verdict import Checkable, Gold, Outcome, Reading, Verdict, gold_of

__all__ = ["KINDS", "Kind", "verify"]

Kind = Callable[[Gold, str, float], Reading]
"""Reads one answer text (cleaned, not empty) against a gold answer; the number is the relative tolerance."""

KINDS: dict[str, Kind] = {
    "choice": choice.read,
    "multi_choice": multi_choice.read,
    "yes_no": yes_no.read,
    "number": number.read,
    "short_text": short_text.read,
    "open": open.read,
}
"""Answer kind and the function that reads it. To add a kind, write its module and add its line."""

MAX_CHARS = 100_000
"""A text of more characters is no final answer, whatever it says."""

MAX_EXTRACTED = 500
"""Characters of the answer that a verdict shows."""

_WITH_OPTIONS = ("choice", "multi_choice")
_OF_TEXT = ("short_text", "open")
"""Kinds whose gold text may itself hold a cue or several lines: a text that equals it as a whole is correct."""


def verify(sample: Checkable, completion: str, *, rel_tol: float = 0.0) -> Verdict:
    """Whether `completion`, raw model output, answers `sample`: correct, wrong, or unverifiable by a rule.

    `sample` is a `schema.Sample`, a `Gold`, or anything with their fields; `Gold.from_row` reads rows of a built `rl`
    dataset. `rel_tol` lets numbers differ from the gold by that share of it; 0 compares exactly. Any text is read
    without an error, in time linear in its length. The policy is in POLICY.md beside this file.
    """
    verdict = _judged(gold_of(sample), completion, rel_tol)
    if verdict.extracted is not None and len(verdict.extracted) > MAX_EXTRACTED:
        return verdict._replace(extracted=f"{verdict.extracted[: MAX_EXTRACTED - 1]}…")
    return verdict


def _judged(gold: Gold, completion: str, rel_tol: float) -> Verdict:
    read = KINDS.get(gold.answer_kind)
    if read is None:
        return Verdict("unverifiable", "kind_none" if gold.answer_kind == "none" else "kind_unknown", None)
    final = final_answers(
        completion,
        options=gold.options if gold.answer_kind in _WITH_OPTIONS else (),
        lists=gold.answer_kind == "multi_choice",
    )
    if all(map(is_empty, final.answers)):
        return Verdict("wrong", final.reason, None)
    if max(map(len, final.answers)) > MAX_CHARS and gold.answer_kind != "open":
        return Verdict("wrong", "degenerate", None)
    if final.source == "cue" and gold.answer_kind in _OF_TEXT:
        for whole in (final.text, without_cue(final.text)):
            verdict = read(gold, whole, rel_tol).verdict
            if verdict.outcome == "correct":
                return verdict
    if gold.answer_kind == "open":
        last = next(answer for answer in reversed(final.answers) if not is_empty(answer))
        return read(gold, last, rel_tol).verdict
    if len(final.answers) == 1:
        return read(gold, final.answers[0], rel_tol).verdict
    return _together(gold, read, final, rel_tol)


def _together(gold: Gold, read: Kind, final: Final, rel_tol: float) -> Verdict:
    """The verdict on several answers, which must be one answer in different words."""
    contradiction = Verdict(
        "wrong", "contradictory_markers" if final.source == "marker" else "contradictory_cues", None
    )
    if any(map(is_empty, final.answers)):
        return contradiction
    readings = [read(gold, answer, rel_tol) for answer in final.answers]
    if final.source == "cue":
        readings = [reading for reading in readings if reading.value is not None] or readings
    verdicts = [reading.verdict for reading in readings]
    if all(verdict.outcome == "correct" for verdict in verdicts):
        return verdicts[-1]
    values = {reading.value for reading in readings}
    if len(values) > 1 or (None in values and final.source == "marker"):
        return contradiction
    return min(verdicts, key=lambda verdict: _WORTH[verdict.outcome])


_WORTH: dict[Outcome, int] = {"wrong": 0, "unverifiable": 1, "correct": 2}
