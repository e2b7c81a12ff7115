"""stability: many samples; how many of them are right decides what becomes of the problem (InfiMed2).

- Many (`high`): each right candidate must lead a second model to the answer from its reasoning alone, with every
  statement of the answer masked. Which of those wins is for the winner's policy to say, by default the lowest answer
  entropy.
- Some (`middle`): a rewriter is given the gold answer and the shortest right reasoning. The result is marked.
- Few, or too few that a rule can judge: none is offered.

The tiers compare shares: right candidates over those that can be judged. What failed or was cut off counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from infimed_data.manifest.generate import Generate
from infimed_data.strategies.candidate import Candidate, Withheld, split_reasoning, take
from infimed_data.strategies.masking import MASK, masked
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, language, prompt, template
from infimed_data.strategies.together import together
from infimed_data.teachers import Ask

__all__ = ["Tier", "stability", "tier_of"]

Tier = Literal["high", "middle", "low", "unknown"]
_WITHHELD: dict[Tier, Withheld | None] = {
    "high": None,
    "middle": "middle_tier",
    "low": "low_tier",
    "unknown": "few_verifiable",
}


async def stability(
    problem: Problem, ask: Ask, settings: Generate, seed: int, *, attempts: range
) -> tuple[Candidate, ...]:
    """The samples, with what their tier asks for; in the middle tier one more candidate, the rewritten one."""
    wording = template("direct", problem)
    question = prompt(
        wording.name, settings.teacher, settings.drawing, asked(wording, problem), logprobs=settings.wants_entropy
    )

    async def sampled(attempt: int) -> Candidate:
        step = await take(ask, question, attempt, problem, role="answer")
        return Candidate(uid=problem.uid, strategy="stability", attempt=attempt, pattern=None, steps=(step,))

    found = await together(map(sampled, attempts))
    tier = tier_of(found, settings)
    if tier == "high":
        return await together(_reconstructed(problem, ask, settings, candidate) for candidate in found)
    right = [candidate for candidate in found if candidate.outcome == "correct"]
    found = tuple(replace(candidate, withheld=_WITHHELD[tier]) for candidate in found)
    if tier == "middle" and settings.stability.rewriter is not None:
        draft = min(right, key=lambda candidate: (len(candidate.reasoning), candidate.attempt))
        found += (await _rewritten(problem, ask, settings, draft, settings.stability.rewriter, attempts.stop),)
    return found


def tier_of(candidates: tuple[Candidate, ...], settings: Generate) -> Tier:
    """The tier of a problem by its samples."""
    limits = settings.stability
    judged = [candidate for candidate in candidates if candidate.outcome != "unverifiable"]
    right = sum(candidate.outcome == "correct" for candidate in judged)
    if len(judged) < limits.min_verifiable:
        return "unknown"
    if right * limits.samples >= limits.high * len(judged):
        return "high"
    return "middle" if right * limits.samples >= limits.middle * len(judged) else "low"


async def _reconstructed(problem: Problem, ask: Ask, settings: Generate, candidate: Candidate) -> Candidate:
    """A right candidate after a second model read its masked reasoning; any other as it is."""
    if candidate.outcome != "correct":
        return candidate
    reasoning, said = split_reasoning(candidate.text)
    mask = MASK[language(problem)]
    hidden = masked(problem, reasoning or said, mask)
    wording = template("reconstruct", problem)
    message = asked(wording, problem, mask=mask, masked=hidden.text)
    model = settings.stability.reconstructor or settings.teacher
    greedy = settings.drawing.model_copy(update={"temperature": 0.0, "top_p": 1.0})
    # The first candidate of its own prompt: the same masked reasoning need not be read twice.
    step = await take(
        ask, prompt(wording.name, model, greedy, message), 0, problem, role="reconstruct", masked=hidden.taken
    )
    withheld: Withheld | None = None if step.verdict.outcome == "correct" else "not_reconstructed"
    return replace(candidate, steps=(*candidate.steps, step), withheld=withheld)


async def _rewritten(
    problem: Problem, ask: Ask, settings: Generate, draft: Candidate, rewriter: str, attempt: int
) -> Candidate:
    """A candidate that was written with the gold answer and a draft in view."""
    reasoning, said = split_reasoning(draft.text)
    wording = template("rewrite", problem)
    message = asked(wording, problem, gold=problem.gold, draft=reasoning or said)
    request = prompt(wording.name, rewriter, settings.drawing, message, logprobs=settings.wants_entropy)
    step = await take(ask, request, 0, problem, role="rewrite")
    return Candidate(uid=problem.uid, strategy="stability", attempt=attempt, pattern=None, steps=(step,))
