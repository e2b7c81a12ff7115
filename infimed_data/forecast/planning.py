"""The command `plan`: a table of the build to come, for people or as JSON."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from infimed_data.errors import disk_error
from infimed_data.forecast.expecting import Expected, ExpectedStage, expect
from infimed_data.forecast.rates import Rates
from infimed_data.forecast.stages import KINDS
from infimed_data.plan import BuildOptions, load_plan, semantic_warnings

__all__ = ["Planned", "as_json", "as_text", "in_bytes", "in_columns", "in_seconds", "make_plan"]


@dataclass(frozen=True)
class Planned:
    """A build to come, with the room that there is for it."""

    name: str
    expected: Expected
    processes: int
    disk_free: int
    memory_limit: int | None
    """What the manifest says that a build may take."""
    warnings: list[str]

    @property
    def measured(self) -> int:
        """Stages whose cost was measured here, of those that run or may."""
        return sum(stage.cost.runs > 0 for stage in self.working)

    @property
    def working(self) -> list[ExpectedStage]:
        """Stages that run or may."""
        return [stage for stage in self.expected.stages if stage.state != "cached"]

    def seconds(self, *states: str) -> float:
        """Expected time of the stages in these states."""
        return sum(stage.cost.seconds for stage in self.expected.stages if stage.state in states)

    @property
    def peak_bytes(self) -> int:
        """Most memory that a stage which runs is expected to take."""
        return max((stage.cost.peak_bytes for stage in self.working), default=0)

    @property
    def disk_bytes(self) -> int:
        """What stages that run leave on disk."""
        return sum(stage.cost.disk_bytes for stage in self.working)


def make_plan(path: Path, options: BuildOptions) -> Planned:
    """What `build` would do with these arguments. Nothing is built and nothing sent; what is counted is remembered."""
    plan = load_plan(path, options)
    try:
        expected = expect(plan, options, Rates.read(options.work))
    except OSError as error:
        raise disk_error(error, "planning") from error
    plan.fingerprints.save()
    folder = next(folder for folder in (options.work, *options.work.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    return Planned(
        plan.manifest.name,
        expected,
        options.processes,
        free,
        plan.manifest.memory_limit,
        [*map(str, semantic_warnings(plan))],
    )


def as_text(planned: Planned) -> str:
    """A line a kind of stage, then time, memory, disk, requests and price. `~` marks an estimate."""
    expected = planned.expected
    rows = [_line(kind, own) for kind in KINDS if (own := [s for s in expected.stages if s.kind == kind])]
    head = ("stage", "of", "cached", "run", "may run", "size", "reads", "time", "memory", "writes")
    lines = in_columns(head, rows)
    if expected.finished is not None:
        return "\n".join([*lines, f"nothing to do: {expected.finished} is finished"])
    maybe = planned.seconds("maybe")
    more = f", and up to {in_seconds(maybe)} for stages that depend on what comes before" if maybe else ""
    lines.append(f"time     ~{in_seconds(planned.seconds('runs'))} with {planned.processes} processes{more}")
    lines.append(f"memory   ~{in_bytes(planned.peak_bytes)} at most{_of_limit(planned)}")
    tight = "" if planned.disk_bytes < planned.disk_free else ": TOO LITTLE"
    lines.append(f"disk     ~{in_bytes(planned.disk_bytes)} more, of {in_bytes(planned.disk_free)} free{tight}")
    for job in expected.jobs:
        lines += [f"asks     {line}" for line in job.lines()]
    for name, most in expected.most_candidates.items():
        text = "known once sources are read and compared; `build --dry-run` does that, and sends nothing"
        lines.append(f"asks     {name}: at most ~{most:,} candidates; requests and price are {text}")
    lines.append(f"rates    {_where_from(planned)}")
    return "\n".join([*lines, *planned.warnings])


def _of_limit(planned: Planned) -> str:
    if planned.memory_limit is None:
        return ""
    tight = "" if planned.peak_bytes <= planned.memory_limit else ": MORE THAN THAT"
    return f", of memory_limit {in_bytes(planned.memory_limit)}{tight}"


def _where_from(planned: Planned) -> str:
    total = len(planned.working)
    if planned.measured == total:
        return "measured on this machine, by builds with this work folder"
    if not planned.measured:
        return "guessed: no build with this work folder was measured; half as much again as two cores take"
    return f"measured on this machine for {planned.measured} of {total} stages; guessed for the others"


def _line(kind: str, stages: Sequence[ExpectedStage]) -> list[str]:
    """Cells of a kind's stages together."""
    counts = {state: sum(stage.state == state for stage in stages) for state in ("cached", "runs", "maybe")}
    working = [stage for stage in stages if stage.state != "cached"]
    about = "" if all(stage.is_exact for stage in working) else "~"
    size = sum(stage.size for stage in working)
    if kind == "near" and working:  # two searches of the same rows
        size = max(stage.size for stage in working)
    reads = [stage.input_bytes for stage in working if stage.input_bytes is not None]
    if not working:
        return [kind, f"{len(stages):,}", f"{counts['cached']:,}", "", "", "", "", "", "", ""]
    return [
        kind,
        f"{len(stages):,}",
        f"{counts['cached'] or '':}",
        f"{counts['runs'] or '':}",
        f"{counts['maybe'] or '':}",
        f"{about}{size:,} {KINDS[kind]}",
        in_bytes(sum(reads)) if reads else "",
        "~" + in_seconds(sum(stage.cost.seconds for stage in working)),
        in_bytes(max(stage.cost.peak_bytes for stage in working)),
        in_bytes(sum(stage.cost.disk_bytes for stage in working)),
    ]


def as_json(planned: Planned) -> str:
    """Everything that the table has, stage by stage: seconds, bytes, requests and dollars as numbers."""
    return orjson.dumps(as_plain(planned), option=orjson.OPT_INDENT_2).decode()


def as_plain(planned: Planned) -> dict[str, Any]:
    """The plan as plain data."""
    expected = planned.expected
    stages = [
        {
            **{
                name: getattr(stage, name)
                for name in ("kind", "name", "state", "size", "unit", "is_exact", "input_bytes")
            },
            **asdict(stage.cost),
        }
        for stage in expected.stages
    ]
    jobs = [
        {**asdict(job), "requests": job.requests, "usd": job.usd, "dearest_usd": job.dearest_usd}
        for job in expected.jobs
    ]
    return {
        "name": planned.name,
        "finished": None if expected.finished is None else str(expected.finished),
        "processes": planned.processes,
        "seconds": planned.seconds("runs"),
        "seconds_maybe": planned.seconds("maybe"),
        "peak_bytes": planned.peak_bytes,
        "memory_limit_bytes": planned.memory_limit,
        "disk_bytes": planned.disk_bytes,
        "disk_free_bytes": planned.disk_free,
        "stages": stages,
        "asks": jobs,
        "most_candidates": dict(expected.most_candidates),
        "warnings": planned.warnings,
    }


def in_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, all columns but the first flush right. (That of `stats` would load DuckDB.)"""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    body = [head, ["─" * width for width in widths], *rows]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in body]


def in_seconds(seconds: float) -> str:
    """Seconds, minutes or hours, as short as they can be read."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def in_bytes(size: float) -> str:
    """Kilobytes, megabytes or gigabytes."""
    for limit, unit in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if size < limit:
            return f"{size / limit * 1000:.{0 if size / limit * 1000 >= 10 else 1}f} {unit}"
    return f"{size / 1e12:.1f} TB"
