"""A judge's word on candidates that no rule can decide: a second model compares their answers with the gold one.

The judge reasons first and decides in its last line. Anything but one decision there leaves the candidate unverifiable,
and what a rule has decided is never put to a judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from infimed_data.manifest.generate import Drawing
from infimed_data.strategies.candidate import Candidate, Step, split_reasoning, status_of
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, prompt, template
from infimed_data.teachers import Ask
from infimed_data.verify import Verdict

__all__ = ["read_decision", "with_second_opinion"]

_DRAWING = Drawing(temperature=0.0, max_tokens=512)
_MOST_CHARS = 4000
"""Longer answers are not put to a judge: what is right in so many words cannot be told from what is said beside it."""
_NO_ANSWER = ("kind_none", "gold_unreadable")
"""Reasons for which there is nothing to compare with."""
Decision = Literal["correct", "wrong"]
_DECISIONS: Mapping[str, Decision] = {"correct": "correct", "wrong": "wrong"}
_TAG = re.compile(r"<verdict>([^<>]{0,20})</verdict>")


async def with_second_opinion(problem: Problem, candidate: Candidate, ask: Ask, judge: str) -> Candidate:
    """The candidate with the verdict of the teacher called `judge`, where no rule could decide; else as it is."""
    verdict = candidate.verdict
    if candidate.status != "answered" or verdict.outcome != "unverifiable":
        return candidate
    answer = split_reasoning(candidate.text)[1]
    if verdict.reason in _NO_ANSWER or not problem.gold or not 0 < len(answer) <= _MOST_CHARS:
        return candidate
    wording = template("judge", problem)
    message = asked(wording, problem, gold=problem.gold, answer=answer)
    completion = await ask(prompt(wording.name, judge, _DRAWING, message), 0)
    status = status_of(completion)
    decided = read_decision(completion.text) if status == "answered" else None
    found = verdict if decided is None else Verdict(decided, f"judge_{decided}", verdict.extracted)
    step = Step(
        role="judge",
        prompt=wording.name,
        model=judge,
        pattern=None,
        gold_revealed=False,  # to the judge alone, which writes nothing that is trained on
        completion=completion,
        status=status,
        verdict=found,
    )
    made = candidate.made
    steps = tuple(replace(each, verdict=found) if each is made else each for each in candidate.steps)
    return replace(candidate, steps=(*steps, step))


def read_decision(text: str) -> Decision | None:
    """`correct` or `wrong` where that is the one decision of a judge's text, in its last line; else None."""
    said = split_reasoning(text)[1].strip()
    tags = _TAG.findall(said)
    last = said.rpartition("\n")[2].strip()
    if len(tags) != 1 or said.count("<verdict>") != 1 or _TAG.fullmatch(last) is None:
        return None
    before = said[: -len(last)].strip()
    return _DECISIONS.get(tags[0]) if before else None
