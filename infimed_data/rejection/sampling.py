"""Sampling: candidates in rounds until enough are accepted, and many samples at once in bounded memory.

A round is complete before it is decided whether another follows, so what is asked depends on the answers alone, not
on the order in which they arrive; how many samples are in flight changes nothing but the time it takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from infimed_data.manifest.generate import Generate
from infimed_data.rejection.judging import Judged, Mark, judge
from infimed_data.rejection.outcome import Outcome, is_answer_only, settle
from infimed_data.strategies import STRATEGIES, Problem
from infimed_data.strategies.second_opinion import with_second_opinion
from infimed_data.strategies.together import together
from infimed_data.teachers import Ask

__all__ = ["in_order", "rounds", "sampled"]

T = TypeVar("T")
R = TypeVar("R")


def rounds(settings: Generate) -> Iterator[range]:
    """The attempts of each round, up to the limit."""
    if settings.strategy == "stability":
        yield range(settings.stability.samples)
        return
    attempts = settings.attempts
    stop = attempts.start
    yield range(stop)
    while stop < attempts.limit:
        start, stop = stop, min(stop + attempts.more, attempts.limit)
        yield range(start, stop)


async def sampled(
    problem: Problem, ask: Ask, settings: Generate, *, seed: int, marks: Mapping[str, Mark] | None = None
) -> Outcome:
    """The outcome of one sample: rounds of attempts until `accept` of them are accepted or the limit is reached."""
    if is_answer_only(problem.uid, settings, seed=seed):
        return Outcome(uid=problem.uid, judged=(), winners=(), policy=None, answer_only=True)
    strategy = STRATEGIES[settings.strategy]
    judged: list[Judged] = []
    for number, attempts in enumerate(rounds(settings)):
        found = await strategy(problem, ask, settings, seed, attempts=attempts)
        if settings.judge is not None:
            found = await together(with_second_opinion(problem, each, ask, settings.judge) for each in found)
        judged += [judge(problem, candidate, settings, marks or {}, number=number) for candidate in found]
        if sum(each.accepted for each in judged) >= settings.attempts.accept:
            break
    return settle(problem, judged, settings, seed=seed)


async def in_order(
    items: Iterable[T], work: Callable[[T], Coroutine[Any, Any, R]], *, in_flight: int
) -> AsyncGenerator[R, None]:
    """The result for each item, in the items' order, with at most `in_flight` of them begun and not yet handed out.

    Items are taken as they are needed, and a result is forgotten once it is handed out: write results away in shards as
    they come, and memory does not grow with their number. If one raises, the others are cancelled first.
    """
    waiting: deque[asyncio.Task[R]] = deque()
    source = iter(items)
    try:
        while True:
            while len(waiting) < in_flight and (item := next(source, _END)) is not _END:
                waiting.append(asyncio.ensure_future(work(item)))
            if not waiting:
                return
            yield await waiting[0]
            waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


_END: Any = object()
