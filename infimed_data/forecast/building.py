"""A build that is measured: what it took is kept for the next plan, and held against its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from infimed_data import pipeline
from infimed_data.forecast.expecting import Expected, expect
from infimed_data.forecast.meter import Measured, Meter
from infimed_data.forecast.planning import in_bytes, in_columns, in_seconds
from infimed_data.forecast.rates import Rates, Run
from infimed_data.forecast.stages import KINDS, ORDER
from infimed_data.plan import BuildOptions, Plan, load_plan
from infimed_data.storage.stages import atomic_write

__all__ = ["build"]

LOGS_KEPT = 100
"""Latest logs of runs in the work folder."""
_QUIET_S = 0.05
"""Kinds that were expected to take less than this, and did, are left out of the table."""


def build(
    path: Path, options: BuildOptions, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
) -> Path:
    """Builds as `pipeline.build` does, and says in a table what was expected and what came of it.

    Nothing of this is part of the build: rates are in `rates.json` of the work folder, the comparison in its `runs/`.
    """
    meter = Meter(clock)
    plan = load_plan(path, options)
    expected: Expected | None = None
    try:
        with meter.running():
            expected = expect(plan, options, Rates.read(options.work), say, priced=False)
            final = pipeline.build(path, options, say, plan=plan)
    finally:
        whole = expected is not None and expected.finished is None
        if whole:
            sizes = _sizes(plan)
            _remember(sizes, options, meter)
    if whole and expected is not None:
        _remember_rest(plan, sizes, options, meter, final)
        for line in _table(expected, meter):
            say(line)
        _log(plan, sizes, options, expected, meter, final)
    return final


def _sizes(plan: Plan) -> dict[str, int]:
    """Rows and images of each source and split that has been read, and of all together."""
    found = {"rows": 0, "images": 0, "held": 0}
    for reading in (*plan.readings, *plan.benchmarks):
        facts = reading.ingest.done()
        rows = int(facts["read"]) if facts else 0
        found[f"{reading.source}-{reading.split}"] = rows
        found["images"] += len(reading.refs) if facts else 0
        found["held" if reading in plan.benchmarks else "rows"] += rows
    return found


def _size(ran: Measured, sizes: dict[str, int]) -> int:
    if ran.size is not None:
        return int(ran.size)
    if ran.kind == "matches":
        return sizes.get(ran.name, 0)
    return sizes[{"pictures": "images", "questions": "held"}.get(ran.kind, "rows")]


def _remember(sizes: dict[str, int], options: BuildOptions, meter: Meter) -> None:
    """Keeps what the finished stages took; of a run that was cut off and went on, nothing can be said."""
    rates = Rates({})
    for ran in meter.ran:
        if not ran.resumed:
            size = _size(ran, sizes)
            run = Run(ran.name, size, round(ran.own, 4), ran.peak_bytes, ran.disk_bytes, options.processes)
            rates.add(ran.kind, run)
    if rates.runs:
        rates.save(options.work)


def _remember_rest(plan: Plan, sizes: dict[str, int], options: BuildOptions, meter: Meter, final: Path) -> None:
    written = sum(path.stat().st_size for path in final.rglob("*") if path.is_file())
    rates, rows = Rates({}), sizes["rows"]
    rates.add(
        "write", Run(plan.manifest.name, rows, round(meter.rest, 4), meter.rest_peak_bytes, written, options.processes)
    )
    rates.save(options.work)


def _took(meter: Meter) -> dict[str, tuple[float, int, int]]:
    """Seconds, peak memory and bytes on disk by kind."""
    found = {}
    for kind in ORDER:
        own = [ran for ran in meter.ran if ran.kind == kind]
        if own:
            peak = max(ran.peak_bytes for ran in own)
            found[kind] = (sum(ran.own for ran in own), peak, sum(ran.disk_bytes for ran in own))
    found["write"] = (meter.rest, meter.rest_peak_bytes, 0)
    return found


def _table(expected: Expected, meter: Meter) -> list[str]:
    """Kinds that ran or should have: expected and measured time and memory."""
    took = _took(meter)
    rows = []
    total = 0.0
    for kind in KINDS:
        own = [stage for stage in expected.stages if stage.kind == kind and stage.state != "cached"]
        sure = sum(stage.cost.seconds for stage in own if stage.state == "runs")
        seconds, peak, _ = took.get(kind, (0.0, 0, 0))
        total += sure
        if max(sure, seconds) < _QUIET_S:
            continue
        maybe = sum(stage.cost.seconds for stage in own if stage.state == "maybe")
        planned = in_seconds(sure) + (f" to {in_seconds(sure + maybe)}" if maybe else "")
        planned_peak = in_bytes(max((stage.cost.peak_bytes for stage in own), default=0)) if own else ""
        rows.append(
            [kind, planned if own else "cached", in_seconds(seconds), planned_peak, in_bytes(peak) if peak else ""]
        )
    whole = meter.end - meter.start
    rows.append(["all", in_seconds(total), in_seconds(whole), "", in_bytes(meter.peak_bytes)])
    head = ("plan", "time planned", "taken", "memory planned", "taken")
    lines = in_columns(head, rows)
    wrong = _wrong(expected, meter.ran)
    return lines + [f"warning: planned as cached, but ran: {', '.join(wrong)}" for _ in wrong[:1]]


def _wrong(expected: Expected, ran: Sequence[Measured]) -> list[str]:
    cached = {(stage.kind, stage.name) for stage in expected.stages if stage.state == "cached"}
    return sorted(f"{one.kind} {one.name}" for one in ran if (one.kind, one.name) in cached and one.kind != "index")


def _log(
    plan: Plan, sizes: dict[str, int], options: BuildOptions, expected: Expected, meter: Meter, final: Path
) -> None:
    """Writes the plan and what came of it to the work folder."""
    stages: list[dict[str, Any]] = [
        {"kind": s.kind, "name": s.name, "state": s.state, "size": s.size, "seconds": s.cost.seconds,
         "peak_bytes": s.cost.peak_bytes, "disk_bytes": s.cost.disk_bytes, "runs": s.cost.runs}
        for s in expected.stages
    ]  # fmt: skip
    ran = [
        {"kind": r.kind, "name": r.name, "size": _size(r, sizes), "seconds": r.own, "peak_bytes": r.peak_bytes,
         "disk_bytes": r.disk_bytes, "resumed": r.resumed}
        for r in meter.ran
    ]  # fmt: skip
    ran.append(
        {"kind": "write", "name": plan.manifest.name, "size": sizes["rows"], "seconds": meter.rest,
         "peak_bytes": meter.rest_peak_bytes, "disk_bytes": 0, "resumed": False}
    )  # fmt: skip
    now = datetime.now(UTC)
    record = {
        "build": str(final), "finished_at": now.isoformat(timespec="seconds"), "processes": options.processes,
        "seconds": meter.end - meter.start, "peak_bytes": meter.peak_bytes, "planned": stages, "ran": ran,
        "wrong": _wrong(expected, meter.ran),
    }  # fmt: skip
    folder = options.work / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{plan.manifest.name}-{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.json") as temporary:
        temporary.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
