"""Passes run: outcomes of all their rows, in shards that a killed run finds again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infimed_data.cluster import Connection
from infimed_data.generate.asking import Spent, Teachers, open_teachers
from infimed_data.generate.jobs import SHARD_ROWS, Job, Origin
from infimed_data.generate.problems import Pictures, Problems
from infimed_data.generate.shards import account_of_shard, merged, shard_path, together, write_shard, write_targets
from infimed_data.manifest import Manifest
from infimed_data.progress import Progress
from infimed_data.rejection import Filled, Outcome, fill, in_order, sampled
from infimed_data.storage.stages import key_of, read_table
from infimed_data.strategies import Problem
from infimed_data.strategies.draws import drawn
from infimed_data.teachers import RequestCache

__all__ = ["Result", "Setting", "asked", "cache_folder", "label", "run_jobs", "work_on"]

Say = Callable[[str], None]
Done = tuple[Problem, Outcome]
_AHEAD = 64
"""Rows of a stratum that are read at a time while it is filled."""


@dataclass(frozen=True)
class Setting:
    """What passes are run with."""

    manifest: Manifest
    origins: Sequence[Origin]
    replays: Mapping[str, tuple[Path, str]]
    work: Path
    quiet: bool
    connection: Connection | None = None
    """The cluster that teachers' workers may run on."""


@dataclass(frozen=True)
class Result:
    """What a pass has made."""

    job: Job
    shards: int
    account: Mapping[str, Any]
    content: str
    """Digest of the outcomes; when and how fast answers came is no part of it."""
    filled: Sequence[Mapping[str, Any]]
    """How far each stratum of `fill` came."""


def cache_folder(work: Path) -> Path:
    """Where answers are remembered."""
    return work / "teacher_cache"


def run_jobs(jobs: Sequence[Job], setting: Setting, say: Say) -> list[Result]:
    """The result of each job; teachers are opened for those that are not finished yet. Raises what stops the run."""
    results: dict[str, Result] = {}
    for job in jobs:
        if (facts := job.stage.done()) is not None:
            results[job.name] = _result(job, facts)
            say(f"{label(job)}: {_counted(results[job.name])}, cached")
    todo = [job for job in jobs if job.name not in results]
    if todo:
        results |= {result.job.name: result for result in asyncio.run(_run(todo, setting, say))}
    return [results[job.name] for job in jobs]


async def _run(jobs: Sequence[Job], setting: Setting, say: Say) -> list[Result]:
    cache = RequestCache(cache_folder(setting.work))
    digests = {digest for job in jobs for images in job.rows["images"].to_list() for digest in images}
    pictures = Pictures(setting.origins, digests, setting.manifest.limits, setting.work / "spill")
    names = [name for job in jobs for name in job.settings.teachers]
    found = []
    try:
        async with open_teachers(names, setting.manifest, setting.replays, cache, pictures, say,
                                 connection=setting.connection) as teachers:  # fmt: skip
            for job in jobs:
                with job.stage.running():
                    facts = job.stage.done()
                    before = teachers.spent
                    result = _result(job, facts) if facts else await _pass(job, teachers, setting)
                    found.append(result)
                    say(f"{label(job)}: {_counted(result)}; {asked(job, setting, teachers.spent - before)}")
    finally:
        cache.close()
        pictures.close()
    if cache.damaged:
        say(f"warning: request cache: {cache.damaged:,} bytes were damaged; what they held was asked again")
    return found


def label(job: Job) -> str:
    """What the lines about a pass begin with."""
    return "difficulty" if job.measures else f"generate {job.name}"


def _counted(result: Result) -> str:
    account = result.account
    candidates, accepted = account["candidates"], account["accepted"]
    share = f" ({accepted / candidates:.1%})" if candidates else ""
    if result.job.measures:
        return f"{account['rows']:,} rows, {candidates:,} candidates, {accepted:,} right{share}"
    return (
        f"{account['rows']:,} rows, {candidates:,} candidates, {accepted:,} accepted{share}, "
        f"{account['with_winner']:,} rows with a trace, {account['answer_only']:,} with a bare answer"
    )


def asked(job: Job, setting: Setting, spent: Spent) -> str:
    """What was asked, in words; of teachers that are replayed, from which file."""
    replayed = [name for name in job.settings.teachers if name in setting.replays]
    told = f"replayed from {', '.join(setting.replays[name][0].name for name in replayed)}" if replayed else ""
    if len(replayed) == len(job.settings.teachers):
        return f"{told}, nothing was sent"
    return f"{told}; {spent.line}" if told else spent.line


def _result(job: Job, facts: Mapping[str, Any]) -> Result:
    return Result(job, facts["shards"], facts["account"], facts["content"], facts["filled"])


def work_on(job: Job, teachers: Teachers, *, seed: int) -> Callable[[Problem], Any]:
    """What asks about one problem."""

    def work(problem: Problem) -> Any:
        return sampled(problem, teachers.about(problem.uid), job.settings, seed=seed, marks=job.marks)

    return work


async def _pass(job: Job, teachers: Teachers, setting: Setting) -> Result:
    """Runs a pass; it counts as finished where no request failed for a cause that may pass."""
    filled: dict[str, Filled] = {}
    accounts: dict[int, Mapping[str, Any]] = {}
    if job.settings.fill is not None:
        for left in job.stage.folder.glob("*.arrow"):
            left.unlink()
        standing: dict[int, Mapping[str, Any]] = {}
        shards = _filled(job, teachers, setting, filled)
    else:
        whole = {number: account_of_shard(job.stage, number) for number in job.shards}
        standing = {number: account for number, account in whole.items() if account and not account["transient"]}
        shards = _in_shards(job, teachers, setting, [number for number in job.shards if number not in standing])
    accounts |= standing
    before = teachers.spent
    total = sum(job.settings.fill.samples.values()) if job.settings.fill else job.rows.height
    with Progress(label(job), total, "rows", quiet=setting.quiet) as progress:
        progress.add(sum(account["rows"] for account in standing.values()))
        candidates = accepted = 0

        def tick(outcome: Outcome) -> None:
            nonlocal candidates, accepted
            candidates += len(outcome.judged)
            accepted += outcome.accepted
            progress.add(1, f"{accepted:,} of {candidates:,} accepted, {(teachers.spent - before).line}")

        async with aclosing(shards(tick)) as made:
            async for number, done in made:
                accounts[number] = await asyncio.to_thread(write_shard, job, number, done)
    if job.settings.fill is not None and job.settings.failed == "answer_only":
        _write_untried(job, setting, len(accounts))
    ordered = [accounts[number] for number in sorted(accounts)]
    account = merged(ordered) or merged([_EMPTY])
    strata = [_stratum(state) for state in filled.values()]
    facts = {
        "shards": len(ordered),
        "account": account,
        "content": key_of(together(account["content"] for account in ordered), strata),
        "filled": strata,
    }
    if not account["transient"]:
        job.stage.finish(facts)
    return _result(job, facts)


_EMPTY: dict[str, Any] = dict.fromkeys(
    ("rows", "answer_only", "with_winner", "winners", "candidates", "accepted", "replayed", "overruled",
     "gold_revealed", "transient"), 0,
) | {name: {} for name in ("verdicts", "refusals", "gates", "patterns", "rules", "prompts")}  # fmt: skip
"""The account of no rows."""

Tick = Callable[[Outcome], None]
Shards = Callable[[Tick], AsyncGenerator[tuple[int, list[Done]], None]]
"""Shards of a pass as they are whole; each outcome is told of when it comes."""


def _in_flight(job: Job, teachers: Teachers) -> int:
    """Samples begun at once: enough to keep the teacher busy."""
    return teachers.askers[job.settings.teacher].window


def _in_shards(job: Job, teachers: Teachers, setting: Setting, todo: Sequence[int]) -> Shards:
    """Shards of `SHARD_ROWS` samples by uid, one after the other without a pause between them."""
    problems = Problems(setting.origins)

    def items() -> Iterator[tuple[int, Problem]]:
        for number in todo:
            for problem in problems.of(job.rows.slice(number * SHARD_ROWS, SHARD_ROWS)):
                yield number, problem

    ask = work_on(job, teachers, seed=setting.manifest.seed)

    async def work(item: tuple[int, Problem]) -> tuple[int, Problem, Outcome]:
        return *item, await ask(item[1])

    async def shards(tick: Tick) -> AsyncGenerator[tuple[int, list[Done]], None]:
        done: list[Done] = []
        current: int | None = None
        async with aclosing(in_order(items(), work, in_flight=_in_flight(job, teachers))) as outcomes:
            async for number, problem, outcome in outcomes:
                if number != current and current is not None:
                    yield current, done
                    done = []
                current = number
                done.append((problem, outcome))
                tick(outcome)
        if current is not None:
            yield current, done

    return shards


def _filled(job: Job, teachers: Teachers, setting: Setting, report: dict[str, Filled]) -> Shards:
    """Shards of `SHARD_ROWS` samples in the order in which strata were filled."""
    assert job.settings.fill is not None
    problems = Problems(setting.origins)
    seen: dict[str, Problem] = {}
    ask = work_on(job, teachers, seed=setting.manifest.seed)

    def rows(own: pl.DataFrame) -> Iterator[Problem]:
        seed, uids = setting.manifest.seed, own["uid"].to_list()
        order = sorted(range(len(uids)), key=lambda at: (drawn(seed, uids[at], "fill"), uids[at]))
        for start in range(0, len(order), _AHEAD):
            for problem in problems.of(own[order[start : start + _AHEAD]]):
                seen[problem.uid] = problem
                yield problem

    strata = {name: rows(job.rows.filter(pl.col("stratum") == name)) for name in job.settings.fill.samples}
    outcomes = fill(
        strata, ask, job.settings.fill, most=job.settings.most_candidates,
        in_flight=_in_flight(job, teachers), report=report,
    )  # fmt: skip

    async def shards(tick: Tick) -> AsyncGenerator[tuple[int, list[Done]], None]:
        number, done = 0, list[Done]()
        async with aclosing(outcomes) as found:
            async for _, outcome in found:
                done.append((seen.pop(outcome.uid), outcome))
                tick(outcome)
                if len(done) == SHARD_ROWS:
                    yield number, done
                    number, done = number + 1, []
        if done:
            yield number, done

    return shards


def _stratum(state: Filled) -> dict[str, Any]:
    return {
        **{name: value for name, value in asdict(state).items() if name not in ("refusals", "samples")},
        "refusals": dict(state.refusals),
        "samples": dict(state.samples),
        "missing": state.missing,
        "why": state.why,
    }


def _write_untried(job: Job, setting: Setting, number: int) -> None:
    """Bare answers of the rows that `fill` did not come to."""
    tried = [pl.Series(read_table(shard_path(job.stage, "generated", n), ["uid"]).column("uid")) for n in range(number)]
    left = job.rows.filter(~pl.col("uid").is_in(pl.concat(tried).implode())) if tried else job.rows
    problems = Problems(setting.origins)
    for start in range(0, left.height, SHARD_ROWS):
        rows = problems.of(left.slice(start, SHARD_ROWS))
        write_targets(job, number + start // SHARD_ROWS, [(problem, None) for problem in rows])
