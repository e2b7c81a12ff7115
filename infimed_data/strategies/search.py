"""search: attempt, verify, and on a wrong conclusion revise, then tell it as one train of thought (HuatuoGPT-o1).

The teacher hears that a conclusion does not hold and how to look for another, never which one is right. A conclusion
that no rule can judge ends the attempt, as nothing may be said against it; so does a text that concludes nothing. An
attempt that was right at once needs no telling; one that was revised is merged into a monologue, which is verified anew
and must still tell of a wrong turn (a gate looks for it). `reveal` adds a last round in which the gold answer is told,
and marks what comes of it.
"""

from __future__ import annotations

from infimed_data.manifest.generate import Generate
from infimed_data.strategies.candidate import Candidate, Role, Step, split_reasoning, take
from infimed_data.strategies.draws import drawn
from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, filled, language, piece, prompt, replied, template
from infimed_data.strategies.together import together
from infimed_data.teachers import Ask, Message
from infimed_data.verify.extract import final_answers

__all__ = ["revision_of", "search"]

_NO_CONCLUSION = frozenset(
    (
        "no_answer",
        "unclosed_reasoning",
        "unclosed_box",
        "empty_marker",
        "degenerate",
        "refusal",
        "question_copied",
    )
)
"""Reasons of wrong verdicts on texts that conclude nothing."""


async def search(
    problem: Problem, ask: Ask, settings: Generate, seed: int, *, attempts: range
) -> tuple[Candidate, ...]:
    """One candidate an attempt, each a chain of answers and, after a wrong one, their merging."""

    async def attempted(attempt: int) -> Candidate:
        steps = await _chain(problem, ask, settings, seed, attempt)
        wrong = tuple(dict.fromkeys(_conclusion(problem, step) for step in steps if step.verdict.outcome == "wrong"))
        if len(steps) > 1 and steps[-1].verdict.outcome == "correct":
            steps.append(await _merged(problem, ask, settings, steps, attempt))
        return Candidate(
            uid=problem.uid,
            strategy="search",
            attempt=attempt,
            pattern="+".join(step.pattern for step in steps if step.pattern) or None,
            steps=tuple(steps),
            wrong=tuple(filter(None, wrong)) if steps[-1].role == "merge" else (),
        )

    return await together(map(attempted, attempts))


async def _chain(problem: Problem, ask: Ask, settings: Generate, seed: int, attempt: int) -> list[Step]:
    """Answers, up to the first that is not wrong or the last that `depth` allows."""
    wording = template("direct", problem)
    said = [asked(wording, problem)]
    steps: list[Step] = []

    async def follow(name: str, role: Role, pattern: str | None = None) -> None:
        request = prompt(name, settings.teacher, settings.drawing, *said, logprobs=settings.wants_entropy)
        steps.append(await take(ask, request, attempt, problem, role=role, pattern=pattern))
        said.append(replied(steps[-1].completion.text))

    await follow(wording.name, "answer")
    for turn in range(settings.search.depth):
        if not _is_refuted(steps[-1]):
            return steps
        pattern = revision_of(problem, settings, seed, attempt, turn)
        wording = template("revise", problem, pattern=("revisions", pattern))
        said.append(asked(wording, problem))
        await follow(wording.name, "revise", pattern)
    if settings.search.reveal and _is_refuted(steps[-1]):
        wording = template("reveal", problem)
        said.append(asked(wording, problem, gold=problem.gold))
        await follow(wording.name, "reveal")
    return steps


def _is_refuted(step: Step) -> bool:
    """Whether a step concludes something, and that is wrong."""
    return step.verdict.outcome == "wrong" and step.verdict.reason not in _NO_CONCLUSION


async def _merged(problem: Problem, ask: Ask, settings: Generate, steps: list[Step], attempt: int) -> Step:
    """The chain as one monologue."""
    lang = language(problem)
    path: list[str] = []
    for step in steps:
        heading = "path_next" if path else "path_first"
        reasoning, said = split_reasoning(step.completion.text)
        values = {"reasoning": reasoning or said, "conclusion": _conclusion(problem, step) or said}
        path.append(filled(piece("parts", lang, heading), values))
    wording = template("merge", problem)
    message: Message = asked(wording, problem, path="\n\n".join(path))
    model = settings.search.rewriter or settings.teacher
    request = prompt(wording.name, model, settings.drawing, message, logprobs=settings.wants_entropy)
    return await take(ask, request, attempt, problem, role="merge")


def _conclusion(problem: Problem, step: Step) -> str:
    """What a step concluded, in its own words."""
    return final_answers(step.completion.text, options=problem.options).answers[0]


def revision_of(problem: Problem, settings: Generate, seed: int, attempt: int, turn: int) -> str:
    """How a revision is asked for: drawn for each one; going back is for chains that have somewhere to go back to."""
    names = sorted(name for name in settings.search.patterns if turn or name != "backtrack")
    return names[drawn(seed, problem.uid, "revision", attempt, turn) % len(names)]
