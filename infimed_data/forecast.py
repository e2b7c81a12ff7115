"""What a build would do: stages that are cached, stages that would run, and the rows to expect. Nothing is built."""

from __future__ import annotations

import re
from pathlib import Path

from infimed_data.plan import BuildOptions, load_plan, semantic_warnings
from infimed_data.source_stages import Reading
from infimed_data.storage.tables import count_rows

__all__ = ["forecast"]


def forecast(path: Path, options: BuildOptions) -> str:
    """A table of stages, a line a stage, then the outputs' budgets and the warnings. `~` marks an estimate."""
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
    return "\n".join(lines)


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
