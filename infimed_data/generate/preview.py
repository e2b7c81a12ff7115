"""A few rows of each pass, really asked about, and what they say of the whole: acceptance, price and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import polars as pl

from infimed_data.generate.asking import Teachers, open_teachers
from infimed_data.generate.jobs import Job
from infimed_data.generate.problems import Pictures, Problems
from infimed_data.generate.running import Setting, asked, cache_folder, label, work_on
from infimed_data.generate.shards import account_of, spent_rows
from infimed_data.rejection import Outcome, candidate_rows, in_order
from infimed_data.strategies.draws import drawn
from infimed_data.teachers import RequestCache

__all__ = ["preview_jobs"]

_Z = 1.96
"""95% of a normal distribution lie within so many deviations."""


def preview_jobs(jobs: Sequence[Job], setting: Setting, rows: int, say: Callable[[str], None]) -> list[str]:
    """Lines on each pass from `rows` of its rows, drawn by uid. Their answers are remembered: a build does not pay for
    them again."""
    return asyncio.run(_previews(jobs, setting, rows, say))


async def _previews(jobs: Sequence[Job], setting: Setting, rows: int, say: Callable[[str], None]) -> list[str]:
    seed = setting.manifest.seed
    chosen = {}
    for job in jobs:
        uids = sorted(job.rows["uid"].to_list(), key=lambda uid: (drawn(seed, uid, "preview"), uid))[:rows]
        chosen[job.name] = job.rows.filter(pl.col("uid").is_in(pl.Series(uids, dtype=pl.String).implode()))
    digests = {digest for own in chosen.values() for images in own["images"].to_list() for digest in images}
    cache = RequestCache(cache_folder(setting.work))
    pictures = Pictures(setting.origins, digests, setting.manifest.limits, setting.work / "spill")
    names = [name for job in jobs for name in job.settings.teachers]
    lines: list[str] = []
    try:
        async with open_teachers(names, setting.manifest, setting.replays, cache, pictures, say,
                                 connection=setting.connection) as teachers:  # fmt: skip
            for job in jobs:
                lines += await _preview(job, chosen[job.name], teachers, setting)
    finally:
        cache.close()
        pictures.close()
    return lines


async def _preview(job: Job, own: pl.DataFrame, teachers: Teachers, setting: Setting) -> list[str]:
    before = teachers.spent
    work = work_on(job, teachers, seed=setting.manifest.seed)
    window = teachers.askers[job.settings.teacher].window
    async with aclosing(in_order(Problems(setting.origins).of(own), work, in_flight=window)) as found:
        outcomes: list[Outcome] = [outcome async for outcome in found]
    candidates = [row for outcome in outcomes for row in candidate_rows(outcome, job.name)]
    account = account_of(outcomes, candidates)
    sent = asked(job, setting, teachers.spent - before)
    lines = [f"{label(job)}: {len(outcomes):,} of {job.rows.height:,} rows tried; {sent}"]
    if not outcomes:
        return lines
    tried = len(outcomes) - account["answer_only"]
    share = account["accepted"] / max(1, account["candidates"])
    good = "right" if job.measures else "accepted"
    lines.append(f"  {account['candidates']:,} candidates, {account['accepted']:,} {good} ({share:.1%})")
    if job.measures:
        scale = job.rows.height / len(outcomes)
        whole = f"  the whole run: {job.rows.height:,} rows, {round(account['candidates'] * scale):,} candidates"
        return [*lines, whole + _whole(job, outcomes, setting, scale)]
    for title, counts in (("refused", account["refusals"]), ("patterns", account["patterns"])):
        shown = ", ".join(f"{name} {_count(value)}" for name, value in sorted(counts.items(), key=_most))
        lines.append(f"  {title}: {shown or 'none'}")
    low, high = _interval(account["with_winner"], tried)
    won = account["with_winner"] / max(1, tried)
    lines.append(
        f"  rows with a trace: {account['with_winner']:,} of {tried:,} ({won:.1%}; 95%: {low:.0%} to {high:.0%})"
    )
    if job.settings.fill is not None:
        return [*lines, f"  the whole run stops where `fill` is reached: about {_rows_to_fill(job, won):,} rows"
                        + _whole(job, outcomes, setting, _rows_to_fill(job, won) / len(outcomes))]  # fmt: skip
    scale = job.rows.height / len(outcomes)
    expected = round(account["with_winner"] * scale)
    return [
        *lines,
        f"  the whole run: {job.rows.height:,} rows, about {round(account['candidates'] * scale):,} candidates, "
        f"{expected:,} rows with a trace" + _whole(job, outcomes, setting, scale),
    ]


def _rows_to_fill(job: Job, won: float) -> int:
    assert job.settings.fill is not None
    counts = dict(job.rows.group_by("stratum").len().iter_rows())
    return sum(
        min(counts.get(name, 0), round(wanted / won) if won else counts.get(name, 0))
        for name, wanted in job.settings.fill.samples.items()
    )


def _whole(job: Job, outcomes: Sequence[Outcome], setting: Setting, scale: float) -> str:
    """Tokens, price and time of the whole run: what these rows took, times `scale`."""
    prompt_tokens = completion_tokens = usd = hours = 0.0
    priced = True
    latency: dict[str, float] = {}
    for outcome in outcomes:
        for each in outcome.judged:
            for step in each.candidate.steps:
                done = step.completion
                latency[step.model] = latency.get(step.model, 0.0) + done.latency_s / max(1, done.choices)
    for row in spent_rows(outcomes):
        if row["backend"] == "replay":
            continue
        own = row["prompt_tokens"] / row["choices"]
        prompt_tokens += own
        completion_tokens += row["completion_tokens"]
        price = setting.manifest.teachers[row["teacher"]].price
        priced = priced and price is not None
        usd += price.usd(round(own), row["completion_tokens"]) if price else 0.0
    for name, seconds in latency.items():
        hours += seconds * scale / setting.manifest.teachers[name].max_in_flight / 3600
    if not prompt_tokens and not completion_tokens:
        return "; nothing is sent"
    money = f"${usd * scale:,.2f}" if priced else "no price is set"
    time = f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"
    return (
        f", {prompt_tokens * scale:,.0f} + {completion_tokens * scale:,.0f} tokens, {money}, {time} at "
        f"{setting.manifest.teachers[job.settings.teacher].max_in_flight} in flight (what is remembered costs nothing)"
    )


def _count(value: Any) -> str:
    return f"{value['accepted']}/{value['candidates']}" if isinstance(value, dict) else f"{value:,}"


def _most(item: tuple[str, Any]) -> tuple[int, str]:
    value = item[1]["candidates"] if isinstance(item[1], dict) else item[1]
    return -value, item[0]


def _interval(hits: int, count: int) -> tuple[float, float]:
    """Wilson's interval for a share."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, _Z**2 / count
    middle = (share + square / 2) / (1 + square)
    spread = _Z / (1 + square) * ((share * (1 - share) + square / 4) / count) ** 0.5
    return max(0.0, middle - spread), min(1.0, middle + spread)
