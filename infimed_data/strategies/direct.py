"""direct: think, then answer."""

from __future__ import annotations

from infimed_data.manifest.generate import Generate
from infimed_data.strategies.candidate import Candidate, take
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, prompt, template
from infimed_data.strategies.together import together
from infimed_data.teachers import Ask

__all__ = ["direct"]


async def direct(
    problem: Problem, ask: Ask, settings: Generate, seed: int, *, attempts: range
) -> tuple[Candidate, ...]:
    """One candidate an attempt, each one answer to the same prompt."""
    wording = template("direct", problem)
    logprobs = settings.wants_entropy
    question = prompt(wording.name, settings.teacher, settings.drawing, asked(wording, problem), logprobs=logprobs)

    async def attempted(attempt: int) -> Candidate:
        step = await take(ask, question, attempt, problem, role="answer")
        return Candidate(uid=problem.uid, strategy="direct", attempt=attempt, pattern=None, steps=(step,))

    return await together(map(attempted, attempts))
