"""What the passes of a build would ask and cost, told from the rows and the request cache; nothing is sent.

Each row is run with a teacher that knows only what is remembered. Where it knows no answer the row stops: what it asked
until then is what the build asks next for certain. What follows that depends on the answers, up to the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import groupby

from infimed_data.generate.asking import resolved_teacher
from infimed_data.generate.jobs import SHARD_ROWS, Job
from infimed_data.generate.problems import Pictures, Problems
from infimed_data.generate.running import Setting, cache_folder, label
from infimed_data.rejection import Filled, Outcome, fill, priority, sampled
from infimed_data.strategies import Problem
from infimed_data.teachers import Asker, Completion, Estimator, Prompt, RequestCache, asked, open_teacher, request_key

__all__ = ["forecast_jobs"]


class _NotKnown(Exception):  # noqa: N818  (no fault: the answer has to be asked for)
    """A request whose answer is not remembered."""


class _Remembered:
    """Answers from the cache and from replayed files, and notes what else is asked."""

    def __init__(self, job: Job, setting: Setting, cache: RequestCache, pictures: Pictures) -> None:
        self.teachers = {
            name: resolved_teacher(setting.manifest, name, setting.replays) for name in job.settings.teachers
        }
        self.estimators = {
            name: Estimator(teacher, cache=cache, image_size=pictures.size) for name, teacher in self.teachers.items()
        }
        self.replayed: dict[str, Asker] = {}
        self.cached = 0
        self._cache = cache
        self.missing: list[tuple[str, Prompt, int]] = []

    async def __call__(self, prompt: Prompt, index: int, *, uid: str) -> Completion:
        """The answer, where there is one; raises `_NotKnown` where not."""
        name = prompt.model
        teacher = self.teachers[name]
        own = replace(prompt, model=teacher.name, uid=uid)
        if name in self.replayed:
            self.cached += 1
            return await self.replayed[name](own, index)
        key = request_key(asked(own, teacher), index)
        found = self._cache.get(key)
        if found is None or (found.refused is not None and (teacher.retry_refused or found.server != teacher.base_url)):
            self.missing.append((name, own, index))
            raise _NotKnown
        self.cached += 1
        return found.completion(key, index, cached=True)

    def count(self) -> int:
        """Adds what was missing to the estimates; returns how many candidates that were."""
        missing, self.missing = self.missing, []
        for (name, prompt), members in groupby(missing, key=lambda item: item[:2]):
            self.estimators[name].add(prompt, [index for _, _, index in members])
        return len(missing)


def forecast_jobs(jobs: Sequence[Job], setting: Setting) -> list[str]:
    """Lines that say for each pass what it would ask and cost."""
    cache = RequestCache(cache_folder(setting.work))
    digests = {digest for job in jobs for images in job.rows["images"].to_list() for digest in images}
    pictures = Pictures(setting.origins, digests, setting.manifest.limits, setting.work / "spill")
    try:
        return [line for job in jobs for line in asyncio.run(_job(job, setting, cache, pictures))]
    finally:
        cache.close()
        pictures.close()


async def _job(job: Job, setting: Setting, cache: RequestCache, pictures: Pictures) -> list[str]:
    if job.stage.done() is not None:
        return [f"{label(job)}: {job.rows.height:,} rows, finished before; nothing is sent"]
    seed = setting.manifest.seed
    remembered = _Remembered(job, setting, cache, pictures)
    asked_rows = open_rows = further = 0

    async def work(problem: Problem) -> Outcome:
        nonlocal asked_rows, open_rows, further
        asked_rows += 1

        async def ask(prompt: Prompt, index: int) -> Completion:
            return await remembered(prompt, index, uid=problem.uid)

        before = remembered.cached
        try:
            return await sampled(problem, ask, job.settings, seed=seed, marks=job.marks)
        except _NotKnown:
            known = remembered.cached - before
            missing = remembered.count()
            open_rows += 1
            further += max(0, job.settings.most_candidates - known - missing)
            return Outcome(uid=problem.uid, judged=(), winners=(), policy=None, answer_only=True)

    async with AsyncExitStack() as stack:
        for name, teacher in remembered.teachers.items():
            if teacher.backend == "replay":
                opened = open_teacher(teacher, cache=None, images=pictures)
                remembered.replayed[name] = await stack.enter_async_context(opened)
        if job.settings.fill is None:
            for problem in _problems(job, setting):
                await work(problem)
        else:
            rows = priority(_problems(job, setting), seed=seed)
            strata = dict(zip(job.rows["uid"].to_list(), job.rows["stratum"].to_list(), strict=True))
            wanted = {name: [row for row in rows if strata[row.uid] == name] for name in job.settings.fill.samples}
            report: dict[str, Filled] = {}
            most = job.settings.most_candidates
            async for _ in fill(wanted, work, job.settings.fill, most=most, in_flight=1, report=report):
                pass
    return _lines(job, remembered, asked_rows, open_rows, further)


def _problems(job: Job, setting: Setting) -> Iterator[Problem]:
    problems = Problems(setting.origins)
    for number in job.shards:
        yield from problems.of(job.rows.slice(number * SHARD_ROWS, SHARD_ROWS))


def _lines(job: Job, remembered: _Remembered, rows: int, open_rows: int, further: int) -> list[str]:
    lines = [f"{label(job)}: {rows:,} rows, {open_rows:,} with something left to ask"]
    only_replayed = all(name in remembered.replayed for name in remembered.teachers)
    if only_replayed:
        return [f"{label(job)}: {rows:,} rows, {remembered.cached:,} answers replayed; nothing is sent"]
    total = sum(each.estimate.candidates for each in remembered.estimators.values())
    share = remembered.cached / (total + remembered.cached) if total + remembered.cached else 1.0
    lines.append(f"  {total + remembered.cached:,} answers, {remembered.cached:,} of them remembered ({share:.1%})")
    spent = 0.0
    for name, estimator in remembered.estimators.items():
        if name in remembered.replayed:
            continue
        found = estimator.estimate
        teacher = remembered.teachers[name]
        source = f"mean of {found.completion_from:,} answers" if found.completion_from else "half of max_tokens"
        price = "no price is set" if found.usd is None else f"${found.usd:,.4f}"
        lines.append(
            f"  to send to '{name}' ({teacher.model}): {found.requests:,} requests, "
            f"{found.prompt_tokens:,} prompt tokens ({found.image_tokens:,} for images), "
            f"{found.completion_tokens:,} completion tokens ({source}), {price}"
        )
        spent += found.usd or 0.0
    if job.settings.judge is not None:
        lines.append(f"  and '{job.settings.judge}' once for each new answer that no rule can decide")
    if further and total:
        dearest = f", about ${spent * (1 + further / total):,.4f} in all" if spent else ""
        lines.append(f"  up to {further:,} more candidates where these are not accepted{dearest}")
    return lines
