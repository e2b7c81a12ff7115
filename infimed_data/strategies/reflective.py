"""reflective: think with one pattern of reflection, named in the instruction, then answer.

Which pattern an attempt gets is a turn of a wheel (`draws.shared_out`) that starts at a place drawn for its uid. No
other sample matters, so a data set that grows keeps its prompts; the expected share of each pattern is exactly the
manifest's, attempt by attempt; and the attempts at one sample go round the patterns instead of repeating one.
"""

from __future__ import annotations

from infimed_data.manifest.generate import Generate
from infimed_data.strategies.candidate import Candidate, take
from infimed_data.strategies.draws import drawn, shared_out
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, prompt, template
from infimed_data.strategies.together import together
from infimed_data.teachers import Ask

__all__ = ["pattern_of", "reflective"]

_OF_IMAGES = ("self_check", "look_back")
"""Patterns that look at the image; their wording for text alone is another one."""


async def reflective(
    problem: Problem, ask: Ask, settings: Generate, seed: int, *, attempts: range
) -> tuple[Candidate, ...]:
    """One candidate an attempt, each with a pattern of its own."""

    async def attempted(attempt: int) -> Candidate:
        pattern = pattern_of(problem, settings, seed, attempt)
        heading = f"{pattern}.text" if pattern in _OF_IMAGES and not problem.images else pattern
        wording = template("reflective", problem, pattern=("patterns", heading))
        question = prompt(
            wording.name,
            settings.teacher,
            settings.drawing,
            asked(wording, problem),
            logprobs=settings.wants_entropy,
        )
        step = await take(ask, question, attempt, problem, role="answer", pattern=pattern)
        return Candidate(uid=problem.uid, strategy="reflective", attempt=attempt, pattern=pattern, steps=(step,))

    return await together(map(attempted, attempts))


def pattern_of(problem: Problem, settings: Generate, seed: int, attempt: int) -> str:
    """The pattern of an attempt. `eliminate_options` is no pattern for a sample without options."""
    shares: dict[str, float] = {
        name: share
        for name, share in settings.reflective.patterns.items()
        if problem.options or name != "eliminate_options"
    }
    return shared_out(shares, drawn(seed, problem.uid, "pattern"), attempt)
