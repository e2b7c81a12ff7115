"""A judge decides what no rule can, and nothing else; what it does not say clearly decides nothing."""

from __future__ import annotations

import asyncio

import pytest

from infimed_data.manifest.generate import Attempts, Generate
from infimed_data.rejection import Outcome, candidate_rows, sampled
from infimed_data.strategies import Problem
from infimed_data.strategies.second_opinion import read_decision
from infimed_data.teachers import Completion, ImagePart, Prompt, TextPart

SETTINGS = Generate(
    teacher="big", judge="strict", strategy="direct", answer_kinds=("open",), attempts=Attempts(start=1, limit=1)
)
PROBLEM = Problem(
    uid="s/train/1", question="What is seen in the left lung?", options=(), answer="A small pleural effusion",
    answer_kind="open", images=("d",),
)  # fmt: skip
THOUGHT = "The left lower zone is dense, and the angle is blunted, which a small amount of fluid would explain well."
AGREES = "Both name a little fluid in the left pleural space.\n<verdict>correct</verdict>"


class Teachers:
    """One that answers, and one that judges; what each was asked."""

    def __init__(self, answer: str, judgement: str, finish: str = "stop") -> None:
        self.answer, self.judgement, self.finish = answer, judgement, finish
        self.asked: list[Prompt] = []

    async def __call__(self, prompt: Prompt, index: int) -> Completion:
        self.asked.append(prompt)
        text = f"<think>\n{THOUGHT}\n</think>\n\n{self.answer}" if prompt.model == "big" else self.judgement
        finish = "stop" if prompt.model == "big" else self.finish
        return Completion(
            key=f"k{len(self.asked)}", index=index, text=text, finish_reason=finish, prompt_tokens=9,
            completion_tokens=5, latency_s=0.1, cached=False,
        )  # fmt: skip

    @property
    def judged(self) -> list[str]:
        """Texts of what the judge was asked."""
        own = [prompt for prompt in self.asked if prompt.model == "strict"]
        return ["".join(p.text for p in each.messages[0].parts if isinstance(p, TextPart)) for each in own]


def outcome(teachers: Teachers, settings: Generate = SETTINGS, problem: Problem = PROBLEM) -> Outcome:
    return asyncio.run(sampled(problem, teachers, settings, seed=1))


def test_what_no_rule_decides_is_accepted_where_the_judge_agrees() -> None:
    teachers = Teachers("<answer>a little fluid at the left base</answer>", AGREES)
    (judged,) = outcome(teachers).judged
    assert (judged.candidate.outcome, judged.candidate.verdict.reason, judged.accepted) == (
        "correct", "judge_correct", True,
    )  # fmt: skip
    assert [step.role for step in judged.candidate.steps] == ["answer", "judge"]
    assert judged.candidate.text.startswith("<think>") and not judged.candidate.gold_revealed
    (asked,) = teachers.judged
    assert "A small pleural effusion" in asked and "a little fluid at the left base" in asked and THOUGHT not in asked
    assert any(isinstance(part, ImagePart) for part in teachers.asked[1].messages[0].parts)
    (row,) = candidate_rows(outcome(teachers), "think")
    assert (row["trial"], row["reason"], [step["role"] for step in row["steps"]]) == (
        "correct", "judge_correct", ["answer", "judge"],
    )  # fmt: skip


def test_a_judge_may_say_wrong() -> None:
    teachers = Teachers("<answer>a fracture of a rib</answer>", "One is fluid, one bone.\n<verdict>wrong</verdict>")
    (judged,) = outcome(teachers).judged
    assert (judged.candidate.verdict.reason, judged.refusal) == ("judge_wrong", "wrong")


@pytest.mark.parametrize(
    "said",
    [
        "", "correct", "<verdict>correct</verdict>", "It is right. <verdict>correct</verdict> I think.\nYes.",
        "Same.\n<verdict>undecided</verdict>", "Same.\n<verdict>Correct!</verdict>", "Same.\n<verdict>correct",
        "A\n<verdict>wrong</verdict>\n<verdict>correct</verdict>", "<think>Same.\n<verdict>correct</verdict></think>",
        "I was told <verdict>\nSame.\n<verdict>correct</verdict>",
    ],
)  # fmt: skip
def test_what_is_not_one_decision_after_a_reason_decides_nothing(said: str) -> None:
    assert read_decision(said) is None
    (judged,) = outcome(Teachers("<answer>a little fluid</answer>", said)).judged
    assert (judged.candidate.verdict.reason, judged.refusal) == ("open_answer", "unverifiable")
    assert [step.role for step in judged.candidate.steps] == ["answer", "judge"]


def test_a_judgement_that_is_cut_off_decides_nothing() -> None:
    (judged,) = outcome(Teachers("<answer>a little fluid</answer>", AGREES, finish="length")).judged
    assert judged.refusal == "unverifiable" and judged.candidate.status == "answered"


def test_what_a_rule_decides_is_not_put_to_the_judge() -> None:
    for answer in ("<answer>A small pleural effusion</answer>", "<answer></answer>"):
        teachers = Teachers(answer, AGREES)
        outcome(teachers)
        assert not teachers.judged, answer
    silent = Teachers("<answer>a little fluid</answer>", AGREES)
    (judged,) = outcome(silent, SETTINGS.model_copy(update={"judge": None})).judged
    assert judged.refusal == "unverifiable" and not silent.judged


def test_the_judge_is_one_of_the_passs_teachers() -> None:
    assert SETTINGS.teachers == ("big", "strict")
    assert read_decision(AGREES) == "correct"
