"""A candidate: one attempt at one problem, with every request that it took and what the verifier says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import xxhash

from infimed_data import verify as verifier
from infimed_data.strategies.problem import Problem
from infimed_data.teachers import Ask, Completion, Prompt
from infimed_data.verify import Outcome, Verdict

__all__ = ["REASONS", "Candidate", "Role", "Status", "Step", "Withheld", "split_reasoning", "status_of", "take"]

Role = Literal["answer", "revise", "reveal", "merge", "reconstruct", "rewrite", "judge"]
"""What a request is for: an answer; another one after a wrong conclusion; one with the gold answer told; one
monologue of several answers; the answer to masked reasoning; reasoning written anew with the gold answer told;
whether an answer that no rule can decide means the gold one."""

Status = Literal["answered", "truncated", "failed"]
"""What became of a request: a whole text; a text cut off at `max_tokens`; nothing, or nothing that is the teacher's
own."""

Withheld = Literal["low_tier", "middle_tier", "few_verifiable", "not_reconstructed"]
"""Why a strategy does not offer a candidate that may well be right: too few of its fellows are; it is rewritten
instead; too few of them can be judged; its reasoning does not lead to its answer once that is masked."""

REASONS: dict[str, str] = {
    **verifier.REASONS,
    "truncated": "the text is cut off at max_tokens, so it has no final answer",
    "teacher_failed": "nothing came back from the teacher",
    "judge_correct": "no rule could decide; a judge says that it means the gold answer",
    "judge_wrong": "no rule could decide; a judge says that it means something else",
}
"""Every reason a candidate's verdict can give: the verifier's, and what happens before it is asked."""

_LENGTH = ("length", "max_tokens", "max_output_tokens")
_FAILED = ("error", "content_filter")
_TAG = re.compile(r"<(/?)(?:think(?:ing)?|thought|reasoning)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request and its completion."""

    role: Role
    prompt: str
    """Name of the template, with its digest."""
    model: str
    pattern: str | None
    """Reflection or revision that the prompt asked for."""
    gold_revealed: bool
    """Whether the prompt holds the gold answer."""
    completion: Completion
    status: Status
    verdict: Verdict
    masked: tuple[str, ...] = ()
    """What was taken out of the reasoning that this request shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One attempt at one problem."""

    uid: str
    strategy: str
    attempt: int
    """Number of the attempt at this problem, from 0."""
    pattern: str | None
    """Reflection that was asked for, or the revisions in order, joined by `+`."""
    steps: tuple[Step, ...]
    """In the order in which they were asked; reconstructions and the judge last."""
    wrong: tuple[str, ...] = ()
    """Conclusions that were given up on the way; the text must still tell of one."""
    withheld: Withheld | None = None

    @property
    def made(self) -> Step:
        """The step that wrote the text."""
        return next(step for step in reversed(self.steps) if step.role not in ("reconstruct", "judge"))

    @property
    def trial(self) -> Step | None:
        """The unaided answer that counts for the pass rate, told neither the gold nor that it was wrong."""
        return self.steps[0] if self.steps[0].role == "answer" else None

    @property
    def text(self) -> str:
        """The whole text, reasoning in `<think>` first; empty where nothing came back."""
        return self.made.completion.text

    @property
    def reasoning(self) -> str:
        """What stands in the text's block of reasoning."""
        return split_reasoning(self.text)[0]

    @property
    def status(self) -> Status:
        """What became of the step that wrote the text."""
        return self.made.status

    @property
    def verdict(self) -> Verdict:
        """The verdict on the text."""
        return self.made.verdict

    @property
    def outcome(self) -> Outcome:
        """Correct, wrong or unverifiable."""
        return self.made.verdict.outcome

    @property
    def gold_revealed(self) -> bool:
        """Whether a prompt held the gold answer."""
        return any(step.gold_revealed for step in self.steps)

    @property
    def hinted(self) -> bool:
        """Whether the teacher was told that a conclusion of its was wrong; of two answers that leaves one."""
        return any(step.role == "revise" for step in self.steps)

    @property
    def key(self) -> str:
        """What a review refers to this candidate by: changes with its text, not with what is made of it."""
        return xxhash.xxh3_128_hexdigest(f"{self.uid}\0{self.strategy}\0{self.attempt}\0{self.text}".encode())


def status_of(completion: Completion) -> Status:
    """What became of a request."""
    if completion.error is not None or completion.finish_reason in _FAILED:
        return "failed"
    return "truncated" if completion.finish_reason in _LENGTH else "answered"


async def take(
    ask: Ask,
    prompt: Prompt,
    index: int,
    problem: Problem,
    *,
    role: Role,
    pattern: str | None = None,
    masked: tuple[str, ...] = (),
) -> Step:
    """Asks, and has the answer verified. What failed or was cut off is unverifiable: no rule can know what it meant."""
    completion = await ask(prompt, index)
    status = status_of(completion)
    if status == "answered":
        verdict = verifier.verify(problem, completion.text)
    else:
        verdict = Verdict("unverifiable", "truncated" if status == "truncated" else "teacher_failed", None)
    return Step(
        role=role,
        prompt=prompt.name,
        model=prompt.model,
        pattern=pattern,
        gold_revealed=role in ("reveal", "rewrite"),
        completion=completion,
        status=status,
        verdict=verdict,
        masked=masked,
    )


def split_reasoning(text: str) -> tuple[str, str]:
    """(what stands in the first closed block of reasoning, what comes after it); no block: ("", text)."""
    opened = None
    for tag in _TAG.finditer(text):
        if not tag.group(1):
            opened = tag.end() if opened is None else opened
        elif opened is not None or not text[: tag.start()].isspace():
            return text[opened or 0 : tag.start()].strip(), text[tag.end() :].strip()
    return "", text
