"""A build, from top to bottom: read every source, decide on every row, write every table, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from infimed_data.card import card_text
from infimed_data.engine import Engine
from infimed_data.errors import BuildError, disk_error
from infimed_data.generate import Taught, collect, generate_facts, run_jobs, unused_marks, write_generated
from infimed_data.lock import build_digest, check_inputs, lock_of, sources_table
from infimed_data.outputs import (
    Decided,
    Unit,
    decide,
    draw_plots,
    letter_balances,
    placed_targets,
    write_build,
    write_evidence,
    write_leaks,
    write_lookalikes,
    write_phi,
)
from infimed_data.pair_stages import Compared
from infimed_data.plan import BuildOptions, Plan, Warned, copies_read, load_plan, semantic_warnings
from infimed_data.preparing import Prepared, Sources, jobs_of, open_engine, prepare, read_all
from infimed_data.showing import without_secrets
from infimed_data.storage.stages import Stage, clear_folder, key_of, locked, replacing, sha256

__all__ = ["build"]

Say = Callable[[str], None]


def build(path: Path, options: BuildOptions, say: Say, *, plan: Plan | None = None) -> Path:
    """Builds and returns the finished folder `out/NAME/DIGEST`. Progress and warnings go to `say`, a line each.

    `plan` is what `load_plan` gave for the same path and options, where that has been asked before.
    """
    plan = plan or load_plan(path, options)
    warnings = semantic_warnings(plan)
    for line in (*copies_read(plan), *map(str, warnings)):
        say(line)
    shown, options = options.out / plan.manifest.name, options.placed(plan.manifest)
    _check_writable(options)
    engine = open_engine(plan, options, say)
    try:
        sources = read_all(plan, options, engine, say)
        check_inputs(plan, sources.all)
        prepared, taught = None, None
        digest = build_digest(plan, sources.all)
        folder = options.out / plan.manifest.name
        if plan.manifest.asks_teachers:
            # What teachers say is not known beforehand: the digest covers it, so they are asked first.
            answers = Stage(options.work, "answers", plan.manifest.name, digest)
            content = (answers.done() or {}).get("content")
            digest = build_digest(plan, sources.all, answers=content)
            if content is None or not (folder / digest / "lock.json").exists():
                prepared = prepare(plan, sources, options, engine, say)
                taught = _teach(plan, sources, prepared, options, engine, say)
                digest = build_digest(plan, sources.all, answers=taught.content)
                if not any(result.account["transient"] for result in taught.results):
                    answers.folder.mkdir(parents=True, exist_ok=True)
                    answers.finish({"content": taught.content})
        final = folder / digest
        if (final / "lock.json").exists():
            say(f"build   {plan.manifest.name}: nothing changed")
            return shown / digest
        with locked(folder / f".{digest}.lock"):
            if not (final / "lock.json").exists():
                prepared = prepared or prepare(plan, sources, options, engine, say)
                taught = taught or _teach(plan, sources, prepared, options, engine, say)
                _finish(plan, sources, prepared, taught, warnings, final, options, engine, say)
        (folder / f".{digest}.lock").unlink(missing_ok=True)
        return shown / digest
    except OSError as error:
        raise disk_error(error, "building") from error
    finally:
        engine.close()


def _teach(plan: Plan, sources: Sources, prepared: Prepared, options: BuildOptions, engine: Engine, say: Say) -> Taught:
    """Asks the teachers; without any, nothing."""
    jobs, setting = jobs_of(plan, sources, prepared, options, engine)
    return collect(run_jobs(jobs, setting, say), plan.manifest)


def _check_writable(options: BuildOptions) -> None:
    for name, folder in (("--out", options.out), ("--work", options.work)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / f".writable-{name.strip('-')}", durable=True) as probe:
                probe.write_bytes(b"")
            (folder / f".writable-{name.strip('-')}").unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, f"preparing {name} {folder}:") from error


def _finish(
    plan: Plan,
    sources: Sources,
    prepared: Prepared,
    taught: Taught,
    warnings: list[Warned],
    final: Path,
    options: BuildOptions,
    engine: Engine,
    say: Say,
) -> None:
    manifest, compared = plan.manifest, prepared.compared
    parts, benchmark_parts = prepared.parts, prepared.benchmark_parts
    decided = decide(
        prepared.rows,
        manifest,
        same_picture=compared.same_picture,
        taught=taught.rows if taught.results else None,
        targets=taught.targets,
    )
    notes = [*_benchmark_warnings(plan, compared), *_budget_warnings(plan, decided), *_teacher_warnings(plan, taught)]
    for warning in notes:
        say(str(warning))
    table = sources_table(decided, sources.reads, manifest)
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
        for read, part in zip(sources.reads, parts, strict=True)
    ]
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for leftover in partial.rglob(".tmp-*"):
            leftover.unlink(missing_ok=True)
        spill = options.work / "spill" / f"{final.name}-{key_of(str(final.absolute()))[:8]}"
        files = write_build(partial, spill, units, decided, manifest, engine, quiet=options.quiet)
        files |= write_generated(partial, taught, placed_targets(decided))
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
        if manifest.phi.looks:
            files |= write_phi(partial, pl.concat([found.table for found in prepared.searched]))
        if len(compared.pictures):
            files |= write_lookalikes(partial, compared.pictures)
        lock = lock_of(
            plan,
            sources.all,
            decided,
            sources=table,
            benchmarks=compared.summary,
            compared=compared.counts,
            generated=generate_facts(taught, manifest, plan.replays),
            phi={part.name: dict(found.counts) for part, found in zip(parts, prepared.searched, strict=False)},
            files=dict(sorted(files.items())),
            warnings=[without_secrets(warning.text) for warning in (*warnings, *notes)],
            digest=final.name,
            sha256={path.relative_to(partial).as_posix(): sha256(path) for path in sorted(partial.rglob("*.parquet"))},
        )
        for name, balance in letter_balances(partial, manifest).items():
            lock["outputs"][name]["letters"] = balance
        lock["sha256"] |= {name: sha256(partial / name) for name in draw_plots(partial, lock)}
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


def _teacher_warnings(plan: Plan, taught: Taught) -> list[Warned]:
    """Requests that failed, marks of no candidate, strata that are not filled."""
    found = []
    for result in taught.results:
        name = result.job.name
        where = plan.at("difficulty") if result.job.measures else plan.at("generate", name)
        if result.job.rows.is_empty():
            found.append(Warned(where, f"{name}: no row is left for this pass"))
        if failed := result.account["transient"]:
            text = f"{name}: {failed:,} requests failed after all tries; the same command asks them again"
            found.append(Warned(where, text))
        if unused := unused_marks(result):
            text = f"generate.{name}.review: {len(unused):,} marks name no candidate, such as {unused[0]}"
            found.append(Warned(where, text))
        found += [
            Warned(where, f"generate.{name}.fill: stratum '{stratum['stratum']}': {stratum['why']}")
            for stratum in result.filled
            if stratum["why"] is not None
        ]
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
    order = ("ingest", "filter", "phi", "dedup", "decontaminate", "difficulty", "generate", "mix")
    found = dict(counted.iter_rows())
    kept = decided.rows.height - sum(found.values())
    return ", ".join([f"{kept:,} kept", *(f"{found[s]:,} dropped by {s}" for s in order if s in found)])
