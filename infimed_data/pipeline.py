"""A build, from top to bottom: read every source, decide on every row, write every table, or nothing at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from infimed_data.card import card_text
from infimed_data.engine import LocalEngine
from infimed_data.errors import BuildError, ManifestError, SourceError, disk_error
from infimed_data.index import IndexTask, write_index
from infimed_data.lock import build_digest, check_inputs, lock_of, sources_table
from infimed_data.manifest import Filters, Manifest, Reads
from infimed_data.mix import meta_fields
from infimed_data.outputs import (
    Decided,
    Unit,
    decide,
    deciding_columns,
    gather,
    write_build,
    write_evidence,
    write_leaks,
    write_lookalikes,
)
from infimed_data.pair_stages import Compared, Part, compare
from infimed_data.plan import BuildOptions, Plan, Warned, load_plan, semantic_warnings
from infimed_data.source_stages import HEAVY_BYTES, Read, read_source
from infimed_data.storage.stages import Stage, atomic_write, clear_folder, code_digest, key_of, locked, read_table

__all__ = ["build"]

Say = Callable[[str], None]

HEAVY_ROWS = 10_000
"""Indexes of fewer rows than this are made quicker without worker processes."""


def build(path: Path, options: BuildOptions, say: Say) -> Path:
    """Builds and returns the finished folder `out/NAME/DIGEST`. Progress and warnings go to `say`, a line each."""
    plan = load_plan(path, options)
    warnings = semantic_warnings(plan)
    for warning in warnings:
        say(str(warning))
    _check_writable(options)
    engine = LocalEngine(options.processes)
    everything = [*plan.readings, *plan.benchmarks]
    if any(reading.input_bytes > HEAVY_BYTES // 8 and not reading.ingest.done() for reading in everything):
        engine.warm()
    try:
        reads = [read_source(reading, engine, say, quiet=options.quiet) for reading in plan.readings]
        benchmarks = [read_source(reading, engine, say, quiet=options.quiet) for reading in plan.benchmarks]
        plan.fingerprints.save()
        _check_counts(plan, reads, benchmarks, say)
        check_inputs(plan, [*reads, *benchmarks])
        digest = build_digest(plan, [*reads, *benchmarks])
        final = options.out / plan.manifest.name / digest
        if (final / "lock.json").exists():
            say(f"build   {plan.manifest.name}: nothing changed")
            return final
        with locked(options.out / plan.manifest.name / f".{digest}.lock"):
            if not (final / "lock.json").exists():
                _finish(plan, reads, benchmarks, warnings, final, options, engine, say)
        (options.out / plan.manifest.name / f".{digest}.lock").unlink(missing_ok=True)
        return final
    except OSError as error:
        raise disk_error(error, "building") from error
    finally:
        engine.close()


def _check_writable(options: BuildOptions) -> None:
    for name, folder in (("--out", options.out), ("--work", options.work)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / f".writable-{name.strip('-')}") as probe:
                probe.write_bytes(b"")
            (folder / f".writable-{name.strip('-')}").unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, f"preparing {name} {folder}:") from error


def _check_counts(plan: Plan, reads: Sequence[Read], benchmarks: Sequence[Read], say: Say) -> None:
    """Sources all of whose rows were rejected stop the build, unless they may; far-off row counts warn."""
    for name, spec in plan.manifest.sources.items():
        own = [read for read in reads if read.reading.source == name]
        rows, rejected = sum(r.rows for r in own), sum(r.rejected for r in own)
        if rows == rejected and not spec.allow_empty:
            counted = ", ".join(f"{rule} {count:,}" for rule, count in sorted(_rejected(own).items()))
            raise SourceError(
                f"{plan.at('sources', name)}: source '{name}': all {rows:,} rows were rejected ({counted}); mend the "
                "source, or set allow_empty: true"
            )
    sections: tuple[tuple[str, Mapping[str, Reads], Sequence[Read]], ...] = (
        ("sources", plan.manifest.sources, reads),
        ("benchmarks", plan.manifest.benchmarks, benchmarks),
    )
    for section, specs, found in sections:
        for name, asked in specs.items():
            rows, expected = sum(read.rows for read in found if read.reading.source == name), asked.expect_rows
            if expected and abs(rows - expected) > 0.01 * expected:
                what = f"{section.removesuffix('s')} '{name}'"
                say(f"warning: {plan.at(section, name)}: {what} has {rows:,} rows; {expected:,} were expected")


def _rejected(reads: Sequence[Read]) -> dict[str, int]:
    """Rejected rows by rule."""
    rules: dict[str, int] = {}
    for read in reads:
        for part in range(read.parts):
            column = read_table(read.reading.ingest.part(part), ["reject_rule"]).column("reject_rule")
            for pair in column.value_counts().to_pylist():
                if pair["values"] is not None:
                    rules[pair["values"]] = rules.get(pair["values"], 0) + pair["counts"]
    return rules


def _indexes(
    reads: Sequence[Read], manifest: Manifest, filters: Filters | None, work: Path, engine: LocalEngine, say: Say
) -> list[Part]:
    """Every source (or benchmark, without `filters`) and split with its index, from its stage or made now."""
    meta = tuple(meta_fields([output for _, output in manifest.outputs.items()])) if filters is not None else ()
    code = code_digest("schema.py", "index.py", "filters.py", "images", "decontaminate/keys.py", "manifest")
    limits = None if filters is None else filters.model_dump(mode="json")
    stages, tasks = [], []
    for read in reads:
        reading = read.reading
        space = reading.spec.key_space
        key = key_of(
            "index", code, reading.name, reading.ingest.key, reading.texts.key, read.image_content, limits, meta, space
        )
        stages.append(Stage(work, "index", f"{reading.source}-{reading.split}", key))
        tasks.append(
            IndexTask(
                tuple(reading.ingest.part(i) for i in range(read.parts)),
                tuple(reading.texts.part(i) for i in range(read.parts)),
                reading.images.folder / "images.arrow",
                reading.name,
                space,
                filters,
                meta,
                stages[-1].folder / "index.arrow",
            )
        )
    with contextlib.ExitStack() as locks:
        todo = [i for i, stage in enumerate(stages) if not stage.done()]
        for i in todo:
            locks.enter_context(stages[i].running())
        heavy = sum(reads[i].rows for i in todo) > HEAVY_ROWS
        made = engine.map(write_index, [tasks[i] for i in todo], label="filtering", heavy=heavy)
        for i, dropped in sorted((todo[at], count) for at, count in made):
            stages[i].finish({"rows": reads[i].rows, "dropped": dropped})
            if filters is not None:
                say(f"filter  {reads[i].reading.name}: {reads[i].rows:,} rows, {dropped:,} dropped")
    return [
        Part(read.reading.source, read.reading.split, task.rows, task.texts, read.reading.texts.key, read.part_rows,
             read.reading.place, task.images, read.image_content, task.out, stage.key)
        for read, task, stage in zip(reads, tasks, stages, strict=True)
    ]  # fmt: skip


def _wanted(path: Path, manifest: Manifest) -> pa.Table:
    """The columns of an index that decisions need; an order by an unknown field is refused here."""
    with pa.memory_map(str(path)) as source:
        available = pa.ipc.open_file(source).schema.names
    columns = deciding_columns(manifest)
    missing = [name for name in columns if name not in available]
    if missing:
        raise ManifestError([f"mixture.order.by: {missing[0]!r}; allowed: {', '.join(sorted(available))}, meta.NAME"])
    return read_table(path, columns)


def _finish(
    plan: Plan,
    reads: Sequence[Read],
    benchmark_reads: Sequence[Read],
    warnings: list[Warned],
    final: Path,
    options: BuildOptions,
    engine: LocalEngine,
    say: Say,
) -> None:
    manifest = plan.manifest
    parts = _indexes(reads, manifest, manifest.filters, options.work, engine, say)
    benchmark_parts = _indexes(benchmark_reads, manifest, None, options.work, engine, say)
    rows = gather([(part.source, part.split, pl.DataFrame(_wanted(part.index, manifest))) for part in parts], manifest)
    compared = compare(
        rows, parts, benchmark_parts, manifest, plan.marks, options.work, engine, say, plan.at, quiet=options.quiet
    )
    engine.close()  # the next workers start fresh; these hold what the stages before needed
    pa.default_memory_pool().release_unused()
    decided = decide(
        rows,
        manifest,
        near=compared.near,
        same_picture=compared.same_picture,
        leaks=compared.leaks,
        benchmark_uids=compared.benchmark_uids,
    )
    del rows
    notes = [*_benchmark_warnings(plan, compared), *_budget_warnings(plan, decided)]
    for warning in notes:
        say(str(warning))
    sources = sources_table(decided, reads, manifest)
    say(f"decide  {manifest.name}: {len(decided.rows):,} rows, " + _by_stage(decided))
    partial = final.with_name(f".{final.name}.partial")
    units = [
        Unit(
            read.reading.source,
            read.reading.split,
            read.reading.place,
            part.rows,
            read.part_rows,
            part.index,
            part.images,
            manifest.sources[read.reading.source].category,
            manifest.sources[read.reading.source].license,
        )
        for read, part in zip(reads, parts, strict=True)
    ]
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for leftover in partial.rglob(".tmp-*"):
            leftover.unlink(missing_ok=True)
        spill = options.work / "spill" / f"{final.name}-{key_of(str(final.absolute()))[:8]}"
        files = write_build(partial, spill, units, decided, manifest, engine, quiet=options.quiet)
        if compared.leaks is not None and compared.benchmarks is not None:
            pairs = [pair for part in benchmark_parts for pair in zip(part.rows, part.part_rows, strict=True)]
            files |= write_leaks(partial, decided.rows, compared.leaks, compared.benchmarks, pairs)
            files |= write_evidence(
                partial,
                spill,
                decided.rows,
                compared.leaks,
                compared.benchmarks,
                [(part.place, part.images) for part in (*parts, *benchmark_parts)],
                manifest,
                engine,
                quiet=options.quiet,
            )
        if len(compared.pictures):
            files |= write_lookalikes(partial, compared.pictures)
        lock = lock_of(
            plan,
            [*reads, *benchmark_reads],
            decided,
            sources=sources,
            benchmarks=compared.summary,
            compared=compared.counts,
            files=dict(sorted(files.items())),
            warnings=[warning.text for warning in (*warnings, *notes)],
            digest=final.name,
        )
        (partial / "README.md").write_text(card_text(lock), "utf-8")
        (partial / "lock.json").write_bytes(orjson.dumps(lock, option=orjson.OPT_INDENT_2))
        if final.exists():  # left by hand or by an older version: it has no lock, so it is not a build
            raise BuildError(f"{final}: exists and is not a finished build; remove it and run again")
        partial.rename(final)
    except KeyboardInterrupt:
        engine.close()  # workers leave Ctrl-C to us and would go on writing
        clear_folder(partial)
        raise
    say(
        f"write   {manifest.name}: "
        + ", ".join(f"{name} {output['rows']:,} rows" for name, output in lock["outputs"].items())
    )


def _benchmark_warnings(plan: Plan, compared: Compared) -> list[Warned]:
    """Benchmark rows that can only be matched in part."""
    found = []
    for row in compared.summary:
        lacks = [
            f"{row[field]:,} of {row['rows']:,} rows {text}"
            for field, text in (
                ("without_image", "are matched without their image, which is missing or unreadable"),
                ("text_only", "could not be read and are matched by their question alone"),
            )
            if row[field]
        ]
        if lacks:
            where = plan.at("benchmarks", row["benchmark"])
            found.append(Warned(where, f"benchmark '{row['benchmark']}': " + "; ".join(lacks)))
    return found


def _budget_warnings(plan: Plan, decided: Decided) -> list[Warned]:
    """Budgets larger than what their stratum has, and what `decide` noticed."""
    found = [Warned(str(plan.path), text) for text in decided.warnings]
    for name, drawn in decided.draws.items():
        budgets: dict[str, Any] = dict(
            next(spec for n, spec in plan.manifest.outputs.items() if n == name).mixture.budgets
        )
        for report in drawn.strata:
            budget = budgets.get(report.stratum)
            if isinstance(budget, int) and budget > report.available:
                where = plan.at("outputs", name, "mixture", "budgets", report.stratum)
                key = f"outputs.{name}.mixture.budgets.{report.stratum}"
                found.append(Warned(where, f"{key}: asked {budget:,} rows, {report.available:,} are eligible"))
    return found


def _by_stage(decided: Decided) -> str:
    counted = decided.rows.filter(pl.col("stage").is_not_null()).group_by("stage").len()
    order = ("ingest", "filter", "dedup", "decontaminate", "mix")
    found = dict(counted.iter_rows())
    kept = decided.rows.height - sum(found.values())
    return ", ".join([f"{kept:,} kept", *(f"{found[s]:,} dropped by {s}" for s in order if s in found)])
