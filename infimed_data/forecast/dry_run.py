"""What a build would do: stages that are cached, stages that would run, the rows to expect, and what teachers would be
asked. Nothing is built."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from infimed_data.errors import ManifestError, disk_error
from infimed_data.generate import forecast_jobs, preview_jobs
from infimed_data.plan import BuildOptions, Plan, load_plan, semantic_warnings
from infimed_data.preparing import jobs_of, open_engine, prepare, read_all
from infimed_data.source_stages import Reading
from infimed_data.storage.tables import count_rows

__all__ = ["forecast", "preview"]

Say = Callable[[str], None]


def forecast(path: Path, options: BuildOptions, say: Say) -> str:
    """A table of stages, a line a stage, then the outputs' budgets and the warnings. `~` marks an estimate.

    Where teachers are to be asked, sources are read and compared first (progress goes to `say`): what would be asked,
    and what it would cost, is known from the rows that are left. Those stages are kept, and nothing is sent.
    """
    plan = load_plan(path, options)
    lines = [f"{'stage':<8}{'source':<28}{'rows or images':>16}  state"]
    known = total = 0
    exact = True
    for reading in [*plan.readings, *plan.benchmarks]:
        rows, is_exact = _expected(reading)
        total, exact = total + rows, exact and is_exact
        counted = f"{'' if is_exact else '~'}{rows:,}"
        done = reading.ingest.done() is not None
        lines.append(_line("ingest", reading, counted, done))
        lines.append(_line("texts", reading, counted, done and reading.texts.done() is not None))
        if not done:
            lines.append(_line("images", reading, "after ingest", False))
        elif reading.refs:
            lines.append(_line("images", reading, f"{len(reading.refs):,}", reading.images.done() is not None))
        known += done
    plan.fingerprints.save()
    lines.append(
        f"{len(plan.readings)} source splits and {len(plan.benchmarks)} of benchmarks, {known} ingested before; "
        f"{'' if exact else '~'}{total:,} rows in all"
    )
    for name, output in plan.manifest.outputs.items():
        asked = "every eligible row" if output.mixture.total is None else f"{output.mixture.total:,} rows"
        budgets = ", ".join(f"{s}: {_budget(b)}" for s, b in output.mixture.budgets.items())
        lines.append(f"output {name}: {asked}" + (f" ({budgets})" if budgets else ""))
    lines += [str(warning) for warning in semantic_warnings(plan)]
    if plan.manifest.asks_teachers:
        lines += _asked(plan, options, say, None)
    return "\n".join(lines)


def preview(path: Path, options: BuildOptions, rows: int, say: Say) -> str:
    """What asking about `rows` rows of each pass says of the whole: acceptance, price and time. No build is written;
    the answers are remembered, and a build does not pay for them again."""
    plan = load_plan(path, options)
    if not plan.manifest.asks_teachers:
        raise ManifestError([f"{plan.path}:1: --preview: no teacher is asked; add `generate` or `difficulty`"])
    for warning in semantic_warnings(plan):
        say(str(warning))
    return "\n".join(_asked(plan, options, say, rows))


def _asked(plan: Plan, options: BuildOptions, say: Say, rows: int | None) -> list[str]:
    """What teachers would be asked, or what comes of asking them about `rows` rows of each pass."""
    options = options.placed(plan.manifest)
    engine = open_engine(plan, options, say)
    try:
        sources = read_all(plan, options, engine, say)
        prepared = prepare(plan, sources, options, engine, say)
        jobs, setting = jobs_of(plan, sources, prepared, options, engine)
        return forecast_jobs(jobs, setting) if rows is None else preview_jobs(jobs, setting, rows, say)
    except OSError as error:
        raise disk_error(error, "reading") from error
    finally:
        engine.close()


def _line(stage: str, reading: Reading, count: str, done: bool) -> str:
    return f"{stage:<8}{reading.name:<28}{count:>16}  {'cached' if done else 'would run'}"


def _budget(budget: object) -> str:
    return re.sub(r"^weight=", "weight ", str(budget))


def _expected(reading: Reading) -> tuple[int, bool]:
    """(rows, whether that is exact) of a source and split."""
    facts = reading.ingest.done()
    if facts is not None:
        return int(facts["read"]), True
    counts = [count_rows(reading.place, file) for file in reading.files]
    return sum(rows for rows, _ in counts), all(exact for _, exact in counts)
