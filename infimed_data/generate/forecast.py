"""What the passes of a build would ask and cost, told from the rows and the request cache; nothing is sent.

Each row is run with a teacher that knows only what is remembered. Where it knows no answer the row stops: what it asked
until then is what the build asks next for certain. What follows that depends on the answers, up to the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import groupby

from infimed_data.generate.asking import resolved_teacher
from infimed_data.generate.jobs import SHARD_ROWS, Job
from infimed_data.generate.problems import Pictures, Problems
from infimed_data.generate.running import Setting, cache_folder, label
from infimed_data.rejection import Filled, Outcome, fill, priority, sampled
from infimed_data.strategies import Problem
from infimed_data.teachers import Asker, Completion, Estimator, Prompt, RequestCache, asked, open_teacher, request_key

__all__ = ["JobForecast", "Sending", "forecast_each", "forecast_jobs"]


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


@dataclass(frozen=True, slots=True)
class Sending:
    """What would be sent to one teacher."""

    teacher: str
    model: str
    requests: int
    prompt_tokens: int
    image_tokens: int
    completion_tokens: int
    completion_from: int
    """Remembered answers that the length of a completion was taken from; 0: it is half of max_tokens."""
    usd: float | None
    """None where the teacher has no price."""


@dataclass(frozen=True, slots=True)
class JobForecast:
    """What a pass would ask and cost."""

    name: str
    label: str
    rows: int
    is_finished: bool = False
    """It was finished before; nothing is sent."""
    open_rows: int = 0
    """Rows with something left to ask."""
    remembered: int = 0
    """Answers that are known."""
    missing: int = 0
    """Answers that are asked for next for certain."""
    further: int = 0
    """More candidates at most, where these are not accepted."""
    sendings: tuple[Sending, ...] = ()
    """Empty where all answers are replayed from files."""
    judge: str | None = None

    @property
    def requests(self) -> int:
        """Requests that are sent for certain."""
        return sum(sending.requests for sending in self.sendings)

    @property
    def usd(self) -> float | None:
        """What these cost; None where a teacher has no price."""
        prices = [sending.usd for sending in self.sendings]
        return None if None in prices else sum(price or 0.0 for price in prices)

    @property
    def dearest_usd(self) -> float | None:
        """What it costs if nothing is accepted early."""
        usd = self.usd
        return usd if usd is None or not self.missing else usd * (1 + self.further / self.missing)

    def lines(self) -> list[str]:
        """The same for people."""
        if self.is_finished:
            return [f"{self.label}: {self.rows:,} rows, finished before; nothing is sent"]
        if not self.sendings:
            return [f"{self.label}: {self.rows:,} rows, {self.remembered:,} answers replayed; nothing is sent"]
        total = self.missing + self.remembered
        lines = [f"{self.label}: {self.rows:,} rows, {self.open_rows:,} with something left to ask"]
        share = self.remembered / total if total else 1.0
        lines.append(f"  {total:,} answers, {self.remembered:,} of them remembered ({share:.1%})")
        for sending in self.sendings:
            source = f"mean of {sending.completion_from:,} answers" if sending.completion_from else "half of max_tokens"
            price = "no price is set" if sending.usd is None else f"${sending.usd:,.4f}"
            lines.append(
                f"  to send to '{sending.teacher}' ({sending.model}): {sending.requests:,} requests, "
                f"{sending.prompt_tokens:,} prompt tokens ({sending.image_tokens:,} for images), "
                f"{sending.completion_tokens:,} completion tokens ({source}), {price}"
            )
        if self.judge is not None:
            lines.append(f"  and '{self.judge}' once for each new answer that no rule can decide")
        if self.further and self.missing:
            spent = sum(sending.usd or 0.0 for sending in self.sendings) * (1 + self.further / self.missing)
            dearest = f", about ${spent:,.4f} in all" if spent else ""
            lines.append(f"  up to {self.further:,} more candidates where these are not accepted{dearest}")
        return lines


def forecast_jobs(jobs: Sequence[Job], setting: Setting) -> list[str]:
    """Lines that say for each pass what it would ask and cost."""
    return [line for found in forecast_each(jobs, setting) for line in found.lines()]


def forecast_each(jobs: Sequence[Job], setting: Setting, *, priced: bool = True) -> list[JobForecast]:
    """What each pass would ask and cost.

    Not `priced`: only which are finished, and how many rows are asked about; no remembered answer is looked at.
    """
    if not jobs:
        return []
    if not priced:
        return [
            JobForecast(job.name, label(job), _rows_about(job), is_finished=job.stage.done() is not None)
            for job in jobs
        ]
    cache = RequestCache(cache_folder(setting.work))
    digests = {digest for job in jobs for images in job.rows["images"].to_list() for digest in images}
    pictures = Pictures(setting.origins, digests, setting.manifest.limits, setting.work / "spill")
    try:
        return [asyncio.run(_job(job, setting, cache, pictures)) for job in jobs]
    finally:
        cache.close()
        pictures.close()


async def _job(job: Job, setting: Setting, cache: RequestCache, pictures: Pictures) -> JobForecast:
    if job.stage.done() is not None:
        return JobForecast(job.name, label(job), job.rows.height, is_finished=True)
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
    return _found(job, remembered, asked_rows, open_rows, further)


def _rows_about(job: Job) -> int:
    fill = job.settings.fill
    return job.rows.height if fill is None else min(job.rows.height, sum(fill.samples.values()))


def _problems(job: Job, setting: Setting) -> Iterator[Problem]:
    problems = Problems(setting.origins)
    for number in job.shards:
        yield from problems.of(job.rows.slice(number * SHARD_ROWS, SHARD_ROWS))


def _found(job: Job, remembered: _Remembered, rows: int, open_rows: int, further: int) -> JobForecast:
    sendings = []
    for name, estimator in remembered.estimators.items():
        if name not in remembered.replayed:
            found = estimator.estimate
            model = remembered.teachers[name].model
            sendings.append(
                Sending(
                    name, model, found.requests, found.prompt_tokens, found.image_tokens, found.completion_tokens,
                    found.completion_from, found.usd,
                )
            )  # fmt: skip
    missing = sum(each.estimate.candidates for each in remembered.estimators.values())
    return JobForecast(
        job.name, label(job), rows, open_rows=open_rows, remembered=remembered.cached, missing=missing, further=further,
        sendings=tuple(sendings), judge=job.settings.judge,
    )  # fmt: skip
