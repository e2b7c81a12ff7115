"""A build, from top to bottom: read every source, decide on every row, write every table, or nothing at all."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl
import pyarrow as pa

import infimed_data
from infimed_data.card import card_text
from infimed_data.engine import LocalEngine
from infimed_data.errors import BuildError, ManifestError, SourceError, disk_error
from infimed_data.index import IndexTask, write_index
from infimed_data.manifest import Manifest, Positions, load_manifest, place_of
from infimed_data.mix import meta_fields
from infimed_data.outputs import Decided, Unit, decide, deciding_columns, strata_table, write_build
from infimed_data.source_stages import HEAVY_BYTES, Read, Reading, open_source, read_source
from infimed_data.storage.stages import (
    Fingerprints,
    Stage,
    atomic_write,
    clear_folder,
    code_digest,
    key_of,
    locked,
    read_table,
)

__all__ = ["BuildOptions", "Plan", "build", "load_plan", "semantic_warnings"]

Say = Callable[[str], None]

_DECIDING = (
    "schema.py",
    "mix.py",
    "dedup",
    "outputs",
    "dataset.py",
    "images",
    "card.py",
    "pipeline.py",
    "manifest",
)
HEAVY_ROWS = 10_000
"""Indexes of fewer rows than this are made quicker without worker processes."""
_VERSIONED = ("infimed-toolkit", "pyarrow", "polars", "pillow", "numpy", "xxhash")
"""Packages whose version can change the bytes of a build."""


@dataclass(frozen=True)
class BuildOptions:
    """How and where to build; nothing here changes a byte of the result."""

    out: Path
    work: Path
    processes: int
    root: Path | None = None
    """Overrides the manifest's root."""
    quiet: bool = False


@dataclass
class Plan:
    """A manifest with its sources found."""

    manifest: Manifest
    path: Path
    positions: Positions
    readings: list[Reading]
    fingerprints: Fingerprints
    expected_inputs: Mapping[str, Any] | None
    """Inputs that a lock file promises."""


def load_plan(path: Path, options: BuildOptions) -> Plan:
    """Reads the manifest and finds every source's files. Raises `ManifestError` or `SourceError`."""
    manifest, root, positions = load_manifest(path)
    root = options.root or root
    if not root.is_dir():
        raise ManifestError([f"{place_of(positions, path, 'root')}: root: no folder {root}"])
    fingerprints = Fingerprints(options.work)

    def where(*loc: str) -> str:
        return place_of(positions, path, *loc)

    readings: list[Reading] = []
    problems: list[str] = []
    faults: list[SourceError] = []
    for name, spec in manifest.sources.items():
        try:
            readings += open_source(name, spec, root, options.work, fingerprints, manifest.limits, where)
        except ManifestError as error:
            problems += error.problems
        except SourceError as error:
            faults.append(error)
    if problems:
        raise ManifestError([*problems, *map(str, faults)])
    if faults:
        raise SourceError("\n".join(map(str, faults)))
    expected = orjson.loads(path.read_bytes()).get("inputs") if path.suffix == ".json" else None
    return Plan(manifest, path, positions, readings, fingerprints, expected)


class Warned(NamedTuple):
    """Something that is allowed but probably not meant."""

    where: str
    """`file:line`; not recorded in the build, whose bytes do not depend on where its manifest lies."""
    text: str

    def __str__(self) -> str:
        return f"warning: {self.where}: {self.text}"


def semantic_warnings(plan: Plan) -> list[Warned]:
    """An eval split trained on, `1` for `1.0`, a source without a license."""
    found: list[Warned] = []
    manifest = plan.manifest

    def at(*loc: str) -> str:
        return place_of(plan.positions, plan.path, *loc)

    found += [
        Warned(
            at("sources", reading.source, "split"),
            f"source '{reading.source}' trains on '{reading.split}', a split that {reading.spec.adapter} results are "
            "published on",
        )
        for reading in plan.readings
        if reading.split in reading.adapter.eval_splits
    ]
    for name, spec in manifest.sources.items():
        if spec.license is None:
            found.append(Warned(at("sources", name), f"source '{name}' has no license; the card will say 'unknown'"))
    for name, output in manifest.outputs.items():
        for stratum, budget in output.mixture.budgets.items():
            if budget == 1 and isinstance(budget, int):
                key = ("outputs", name, "mixture", "budgets", stratum)
                found.append(Warned(at(*key), f"{'.'.join(key)}: 1 means one row; write 1.0 for all of it"))
    return found


def _budget_warnings(plan: Plan, decided: Decided) -> list[Warned]:
    """Budgets larger than what their stratum has, and what `decide` noticed."""
    found = [Warned(str(plan.path), text) for text in decided.warnings]
    for name, drawn in decided.draws.items():
        budgets = next(spec for n, spec in plan.manifest.outputs.items() if n == name).mixture.budgets
        for report in drawn.strata:
            budget = budgets.get(report.stratum)
            if isinstance(budget, int) and budget > report.available:
                at = place_of(plan.positions, plan.path, "outputs", name, "mixture", "budgets", report.stratum)
                key = f"outputs.{name}.mixture.budgets.{report.stratum}"
                found.append(Warned(at, f"{key}: asked {budget:,} rows, {report.available:,} are eligible"))
    return found


def build(path: Path, options: BuildOptions, say: Say) -> Path:
    """Builds and returns the finished folder `out/NAME/DIGEST`. Progress and warnings go to `say`, a line each."""
    plan = load_plan(path, options)
    warnings = semantic_warnings(plan)
    for warning in warnings:
        say(str(warning))
    _check_writable(options)
    engine = LocalEngine(options.processes)
    if any(reading.input_bytes > HEAVY_BYTES // 8 and not reading.ingest.done() for reading in plan.readings):
        engine.warm()
    try:
        reads = [read_source(reading, engine, say, quiet=options.quiet) for reading in plan.readings]
        plan.fingerprints.save()
        _check_counts_of_sources(plan, reads, say)
        _check_lock(plan, reads)
        digest = _build_digest(plan, reads)
        final = options.out / plan.manifest.name / digest
        if (final / "lock.json").exists():
            say(f"build   {plan.manifest.name}: nothing changed")
            return final
        with locked(options.out / plan.manifest.name / f".{digest}.lock"):
            if not (final / "lock.json").exists():
                _finish(plan, reads, warnings, final, digest, options, engine, say)
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


def _check_counts_of_sources(plan: Plan, reads: list[Read], say: Say) -> None:
    """Sources all of whose rows were rejected stop the build, unless they may; far-off row counts warn."""
    for name, spec in plan.manifest.sources.items():
        own = [read for read in reads if read.reading.source == name]
        rows, rejected = sum(r.rows for r in own), sum(r.rejected for r in own)
        at = place_of(plan.positions, plan.path, "sources", name)
        if rows == rejected and not spec.allow_empty:
            rules: dict[str, int] = {}
            for read in own:
                for part in range(read.parts):
                    column = read_table(read.reading.ingest.part(part), ["reject_rule"]).column("reject_rule")
                    for pair in column.value_counts().to_pylist():
                        rules[pair["values"]] = rules.get(pair["values"], 0) + pair["counts"]
            counted = ", ".join(f"{rule} {count:,}" for rule, count in sorted(rules.items()))
            raise SourceError(
                f"{at}: source '{name}': all {rows:,} rows were rejected ({counted}); mend the source, or set "
                "allow_empty: true"
            )
        if spec.expect_rows and abs(rows - spec.expect_rows) > 0.01 * spec.expect_rows:
            say(f"warning: {at}: source '{name}' has {rows:,} rows; {spec.expect_rows:,} were expected")


def _inputs(reads: list[Read]) -> dict[str, Any]:
    """Content of every source: digests of its files and of its images' bytes."""
    return {
        read.reading.name: {
            "files": read.reading.inputs,
            "images": read.image_content,
            "image_count": len(read.reading.refs),
        }
        for read in reads
    }


def _check_lock(plan: Plan, reads: list[Read]) -> None:
    if plan.expected_inputs is None:
        return
    found = _inputs(reads)
    changed = sorted(n for n in {*found, *plan.expected_inputs} if found.get(n) != plan.expected_inputs.get(n))
    if changed:
        raise SourceError(
            f"{plan.path}: sources differ from the lock: {', '.join(changed)}; restore them, or build the manifest"
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = infimed_data.__version__
    return found


def _build_digest(plan: Plan, reads: list[Read]) -> str:
    """Digest of everything that determines the bytes of the build."""
    stages = [
        (read.reading.name, read.reading.ingest.key, read.reading.texts.key, read.image_content) for read in reads
    ]
    code = code_digest(*_DECIDING, "filters.py", "index.py", "card.md.jinja")
    return key_of("build", plan.manifest.resolved(), list(plan.manifest.sources), stages, code, _versions())[:12]


def _indexes(plan: Plan, reads: list[Read], engine: LocalEngine, say: Say) -> list[Path]:
    """The index of every source and split, from its stage or made now."""
    manifest = plan.manifest
    meta = tuple(meta_fields([output for _, output in manifest.outputs.items()]))
    code = code_digest("schema.py", "index.py", "filters.py", "images", "manifest")
    limits = manifest.filters.model_dump(mode="json")
    stages, tasks = [], []
    for read in reads:
        reading = read.reading
        key = key_of("index", code, reading.ingest.key, reading.texts.key, read.image_content, limits, meta)
        stages.append(Stage(reading.work, "index", f"{reading.source}-{reading.split}", key))
        tasks.append(
            IndexTask(
                tuple(reading.ingest.part(i) for i in range(read.parts)),
                tuple(reading.texts.part(i) for i in range(read.parts)),
                reading.images.folder / "images.arrow",
                reading.name,
                manifest.filters,
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
            say(f"filter  {reads[i].reading.name}: {reads[i].rows:,} rows, {dropped:,} dropped")
    return [task.out for task in tasks]


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
    reads: list[Read],
    warnings: list[Warned],
    final: Path,
    digest: str,
    options: BuildOptions,
    engine: LocalEngine,
    say: Say,
) -> None:
    manifest = plan.manifest
    index_paths = _indexes(plan, reads, engine, say)
    engine.close()  # the next workers start fresh; these hold what ingest needed
    indexes = [
        (read.reading.source, read.reading.split, pl.DataFrame(_wanted(path, manifest)))
        for read, path in zip(reads, index_paths, strict=True)
    ]
    pa.default_memory_pool().release_unused()
    decided = decide(indexes, manifest)
    del indexes
    notes = _budget_warnings(plan, decided)
    for warning in notes:
        say(str(warning))
    sources = _sources(decided, reads)
    say(f"decide  {manifest.name}: {len(decided.rows):,} rows, " + _by_stage(decided))
    partial = final.with_name(f".{digest}.partial")
    units = [
        Unit(
            read.reading.source,
            read.reading.split,
            read.reading.place,
            tuple(read.reading.ingest.part(i) for i in range(read.parts)),
            read.part_rows,
            index,
            read.reading.images.folder / "images.arrow",
            read.reading.spec.category,
            read.reading.spec.license,
        )
        for read, index in zip(reads, index_paths, strict=True)
    ]
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for leftover in partial.rglob(".tmp-*"):
            leftover.unlink(missing_ok=True)
        files = write_build(
            partial,
            options.work / "spill" / f"{digest}-{key_of(str(final.absolute()))[:8]}",
            units,
            decided,
            manifest,
            engine,
            quiet=options.quiet,
        )
        lock = _lock(plan, reads, decided, sources, files, [warning.text for warning in (*warnings, *notes)], digest)
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


def _by_stage(decided: Decided) -> str:
    counted = decided.rows.filter(pl.col("stage").is_not_null()).group_by("stage").len()
    order = ("ingest", "filter", "dedup", "mix")
    found = dict(counted.iter_rows())
    kept = decided.rows.height - sum(found.values())
    return ", ".join([f"{kept:,} kept", *(f"{found[s]:,} dropped by {s}" for s in order if s in found)])


def _sources(decided: Decided, reads: list[Read]) -> list[dict[str, Any]]:
    """The `sources` table. Raises `BuildError` where rows read are not rows kept and dropped."""
    gone = pl.col("rule").is_not_null()
    kept = pl.col("output").is_not_null()
    counted = decided.rows.group_by("source", "split").agg(
        seen=pl.len(),
        rejected=(gone & (pl.col("stage") == "ingest")).sum(),
        dropped=(gone & (pl.col("stage") != "ingest")).sum(),
        kept=kept.sum(),
        both=(gone & kept).sum(),
    )
    found = {(row["source"], row["split"]): row for row in counted.iter_rows(named=True)}
    table = []
    for read in reads:
        reading = read.reading
        row = found.get((reading.source, reading.split)) or dict.fromkeys(
            ("seen", "rejected", "dropped", "kept", "both"), 0
        )
        if row["both"] or read.rows != row["rejected"] + row["dropped"] + row["kept"]:
            raise BuildError(
                f"{reading.name}: counts do not add up: {read.rows:,} read, {row['rejected']:,} rejected, "
                f"{row['dropped']:,} dropped, {row['kept']:,} kept, {row['both']:,} both kept and dropped; "
                "this is a fault of infimed-data, please report it"
            )
        table.append(
            {
                "source": reading.source,
                "split": reading.split,
                "adapter": reading.spec.adapter,
                "category": reading.spec.category,
                "license": reading.spec.license,
                "revision": reading.spec.revision,
                "rows_read": read.rows,
                "rejected": row["rejected"],
                "dropped": row["dropped"],
                "kept": row["kept"],
            }
        )
    return table


def _lock(
    plan: Plan,
    reads: list[Read],
    decided: Decided,
    sources: list[dict[str, Any]],
    files: Mapping[str, int],
    warnings: list[str],
    digest: str,
) -> dict[str, Any]:
    drops: dict[str, dict[str, int]] = {}
    counted = decided.rows.filter(pl.col("rule").is_not_null()).group_by("stage", "rule").len().sort("stage", "rule")
    for stage, rule, count in counted.iter_rows():
        drops.setdefault(stage, {})[rule] = count
    return {
        "format": 1,
        "name": plan.manifest.name,
        "build": digest,
        "manifest": plan.manifest.resolved(),
        "inputs": _inputs(reads),
        "sources": sources,
        "drops": drops,
        "outputs": strata_table(decided),
        "files": dict(files),
        "stages": {
            read.reading.name: {
                "ingest": read.reading.ingest.key,
                "texts": read.reading.texts.key,
                "images": read.image_content,
            }
            for read in reads
        },
        "versions": _versions(),
        "warnings": warnings,
    }
