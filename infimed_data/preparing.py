"""From a plan to the rows that still stand: sources read, filtered, compared with one another and with benchmarks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from infimed_data.adapters.catalogue import published_rows
from infimed_data.cluster import Connection, RayEngine, Shared
from infimed_data.engine import Engine, LocalEngine
from infimed_data.errors import ManifestError, SourceError
from infimed_data.generate import Job, Origin, Setting, make_jobs
from infimed_data.index import IndexTask, write_index
from infimed_data.lock import versions
from infimed_data.manifest import Filters, Manifest, Reads
from infimed_data.memory import Memory
from infimed_data.mix import meta_fields
from infimed_data.outputs import deciding_columns, drop_compared, gather
from infimed_data.pair_stages import Compared, Part, compare
from infimed_data.phi_stages import Searched, Source, search_source
from infimed_data.plan import BuildOptions, Plan
from infimed_data.source_runs import HEAVY_BYTES, Read, read_sources
from infimed_data.storage.stages import Stage, code_digest, key_of, read_table

__all__ = ["FILTERED", "Prepared", "Sources", "jobs_of", "open_engine", "prepare", "read_all"]

Say = Callable[[str], None]

FILTERED = "filter  "
"""How the line that tells of filtered rows begins."""
HEAVY_ROWS = 10_000
"""Indexes of fewer rows than this are made quicker without worker processes."""


@dataclass(frozen=True)
class Sources:
    """Sources and benchmarks that have been read."""

    reads: Sequence[Read]
    benchmarks: Sequence[Read]

    @property
    def all(self) -> list[Read]:
        """The sources' and then the benchmarks'."""
        return [*self.reads, *self.benchmarks]


@dataclass(frozen=True)
class Prepared:
    """All rows, with the drops of filters, duplicates and benchmarks."""

    rows: pl.DataFrame
    parts: Sequence[Part]
    benchmark_parts: Sequence[Part]
    compared: Compared
    searched: Sequence[Searched] = ()
    """What each part has that may point at a person, where that was looked for."""


def open_engine(plan: Plan, options: BuildOptions, say: Say) -> Engine:
    """The manifest's engine; it starts workers when it first needs some."""
    settings = plan.manifest.engine
    if settings.kind == "local":
        return LocalEngine(Memory(plan.manifest.memory_limit).processes(options.processes))

    def shared() -> Shared:
        read = [
            reading.place.path(name.partition("!")[0])
            for reading in (*plan.readings, *plan.benchmarks)
            for name in reading.inputs
        ]
        folders = [folder for folder in (options.work, options.out) if folder.is_dir()]  # a forecast makes no builds
        return Shared.of(folders, read, versions())

    return RayEngine(Connection(settings, shared, processes=options.processes, say=say))


def read_all(plan: Plan, options: BuildOptions, engine: Engine, say: Say) -> Sources:
    """Reads every source and benchmark, skipping what stands. Raises `SourceError` for a source without good rows."""
    everything = [*plan.readings, *plan.benchmarks]
    if any(reading.input_bytes > HEAVY_BYTES // 8 and not reading.ingest.done() for reading in everything):
        engine.warm()
    found = read_sources(everything, engine, say, quiet=options.quiet)
    reads, benchmarks = found[: len(plan.readings)], found[len(plan.readings) :]
    plan.fingerprints.save()
    _check_counts(plan, reads, benchmarks, say)
    return Sources(reads, benchmarks)


def prepare(plan: Plan, sources: Sources, options: BuildOptions, engine: Engine, say: Say) -> Prepared:
    """Filters and compares the rows that were read."""
    manifest = plan.manifest
    parts = _indexes(sources.reads, manifest, manifest.filters, options.work, engine, say)
    benchmark_parts = _indexes(sources.benchmarks, manifest, None, options.work, engine, say)
    indexes = [pl.DataFrame(_wanted(part.index, manifest)) for part in parts]
    searched = _search(sources.reads, parts, indexes, manifest, options, engine, say)
    indexes = [found.rows for found in searched] or indexes
    named = zip(parts, indexes, strict=True)
    rows = gather([(part.source, part.split, index) for part, index in named], manifest)
    memory = Memory(manifest.memory_limit)
    compared = compare(
        rows, parts, benchmark_parts, manifest, plan.marks, options.work, engine, say, plan.at,
        task_bytes=memory.task_bytes(memory.processes(options.processes)), quiet=options.quiet,
    )  # fmt: skip
    engine.renew()  # the next workers start fresh; these hold what the stages before needed
    pa.default_memory_pool().release_unused()
    rows = drop_compared(
        rows, manifest, near=compared.near, leaks=compared.leaks, benchmark_uids=compared.benchmark_uids
    )
    return Prepared(rows, parts, benchmark_parts, compared, searched)


def _search(
    reads: Sequence[Read],
    parts: Sequence[Part],
    indexes: Sequence[pl.DataFrame],
    manifest: Manifest,
    options: BuildOptions,
    engine: Engine,
    say: Say,
) -> list[Searched]:
    """What may point at a person in each part; nothing where that is not looked for."""
    if not manifest.phi.looks:
        return []
    return [
        search_source(
            Source(part.source, part.split, part.rows, read.reading.ingest.key, part.part_rows, part.place, part.images,
                   part.image_content),
            index, manifest.phi, manifest.limits, options.work, engine, say, quiet=options.quiet,
        )
        for read, part, index in zip(reads, parts, indexes, strict=True)
    ]  # fmt: skip


def jobs_of(
    plan: Plan, sources: Sources, prepared: Prepared, options: BuildOptions, engine: Engine | None = None
) -> tuple[list[Job], Setting]:
    """What teachers are to be asked, and what with. An `engine` on a cluster may give them workers."""
    origins = [
        Origin(part.source, part.split, part.place, part.rows, part.part_rows, part.images, read.reading.ingest.key)
        for part, read in zip(prepared.parts, sources.reads, strict=True)
    ]
    connection = engine.connection if isinstance(engine, RayEngine) else None
    setting = Setting(plan.manifest, origins, plan.replays, options.work, options.quiet, connection)
    jobs = make_jobs(prepared.rows, origins, plan.manifest, plan.replays, plan.teacher_marks, options.work)
    return jobs, setting


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
            rows = sum(read.rows for read in found if read.reading.source == name)
            expected = asked.expect_rows or published_rows(
                name, asked.adapter, asked.location, asked.options, asked.splits
            )
            if expected and abs(rows - expected) > 0.01 * expected:
                what = f"{section.removesuffix('s')} '{name}'"
                say(
                    f"warning: {plan.at(section, name)}: {what} has {rows:,} rows; {expected:,} were "
                    f"{'expected' if asked.expect_rows else 'published'}"
                )


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
    reads: Sequence[Read], manifest: Manifest, filters: Filters | None, work: Path, engine: Engine, say: Say
) -> list[Part]:
    """Every source (or benchmark, without `filters`) and split with its index, from its stage or made now."""
    fills = [settings.fill for settings in manifest.generate.values() if settings.fill is not None]
    outputs = [output for _, output in manifest.outputs.items()]
    meta = tuple(meta_fields(outputs, fills)) if filters is not None else ()
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
                say(f"{FILTERED}{reads[i].reading.name}: {reads[i].rows:,} rows, {dropped:,} dropped")
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
