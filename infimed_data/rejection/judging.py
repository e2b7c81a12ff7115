"""What is said of a candidate: the verdict, the gates, and a reviewer's mark, which may overrule some of it.

A mark is a line of a file, `{"candidate": KEY, "verdict": "good"}` (or `"bad"`). `good` lets a candidate through
whatever the gates say, and where no rule can tell whether it is right; it never makes a wrong answer right, since the
reasoning would then contradict the gold that stands after it: mend the gold instead. `bad` keeps any candidate out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import orjson

from infimed_data.errors import ManifestError
from infimed_data.gates import Finding, Trace, findings
from infimed_data.manifest.generate import Generate
from infimed_data.strategies import Candidate, Problem

__all__ = ["Judged", "Mark", "judge", "read_marks", "unused_marks"]

Mark = Literal["good", "bad"]
Marks = Mapping[str, Mark]
"""Key of a candidate to what a reviewer said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate with all that is said of it."""

    candidate: Candidate
    round: int
    """Which round of attempts it came from; the first, 0, is the one that every sample gets."""
    findings: tuple[Finding, ...]
    """What the gates found wrong with its text."""
    mark: Mark | None

    @property
    def objections(self) -> tuple[str, ...]:
        """Why it would not be accepted without a mark: `wrong`, `withheld:low_tier`, `gate:length` ... ; none: it
        would."""
        candidate = self.candidate
        if candidate.status != "answered":
            return (candidate.status,)
        found: list[str] = [] if candidate.outcome == "correct" else [candidate.outcome]
        if candidate.withheld is not None:
            found.append(f"withheld:{candidate.withheld}")
        return (*found, *(f"gate:{finding.gate}" for finding in self.findings))

    @property
    def accepted(self) -> bool:
        """Whether it may be trained on."""
        if self.mark == "good":
            return self.candidate.status == "answered" and self.candidate.outcome != "wrong"
        return self.mark is None and not self.objections

    @property
    def refusal(self) -> str | None:
        """The first reason why it is not accepted; None where it is."""
        if self.accepted:
            return None
        return next(iter(self.objections), "mark:bad")

    @property
    def overruled(self) -> tuple[str, ...]:
        """What the mark overruled: objections, or `accepted` for a candidate that was kept out. None: it changed
        nothing."""
        if self.mark == "good" and self.accepted:
            return self.objections
        return ("accepted",) if self.mark == "bad" and not self.objections else ()


def judge(problem: Problem, candidate: Candidate, settings: Generate, marks: Marks, *, number: int) -> Judged:
    """A candidate of round `number` with its gates run and its mark found. Only a whole text meets the gates."""
    found: tuple[Finding, ...] = ()
    if candidate.status == "answered":
        trace = Trace(
            text=candidate.text,
            question=problem.question,
            options=problem.options,
            answer_kind=problem.answer_kind,
            lang=problem.lang,
            image=bool(problem.images),
            pattern=candidate.pattern if candidate.strategy == "reflective" else None,
            wrong=candidate.wrong,
        )
        found = findings(trace, settings.gates)
    return Judged(candidate=candidate, round=number, findings=found, mark=marks.get(candidate.key))


def read_marks(text: str, place: str) -> dict[str, Mark]:
    """The marks of a file's text; the last of several for one candidate counts. Raises `ManifestError` naming
    `place`."""
    marks: dict[str, Mark] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            mark = orjson.loads(line)
            key, verdict = mark["candidate"], mark["verdict"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            key, verdict = None, None
        if not isinstance(key, str) or verdict not in get_args(Mark):
            allowed = '{"candidate": "...", "verdict": "good" or "bad"}, a line each'
            raise ManifestError([f"{place}:{number}: not a mark; allowed: {allowed}"])
        marks[key] = verdict
    return marks


def unused_marks(marks: Marks, judged: Iterable[Judged]) -> list[str]:
    """Keys of marks that no candidate has: of texts that were asked for anew, or of other builds."""
    return sorted(set(marks) - {each.candidate.key for each in judged})
