"""The stages of one source and split: ingest, text signals, image signals. Each is cached under its content."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import ValidationError

from infimed_data.adapters import load_adapter
from infimed_data.adapters.contract import Adapter, Context
from infimed_data.engine import Engine
from infimed_data.errors import HubError, ManifestError, SourceError, did_you_mean
from infimed_data.fetching import find
from infimed_data.images import SQUARE
from infimed_data.ingest import IngestTask, ingest_shard
from infimed_data.manifest import Benchmark, Limits, Reads
from infimed_data.progress import Progress
from infimed_data.schema import MEASURED
from infimed_data.signals import ImageTask, TextTask, measure_images, measure_texts
from infimed_data.storage.places import ARCHIVES, IMAGE_ENDINGS, READ_FAILED, Place, is_cell
from infimed_data.storage.squares import gather_squares
from infimed_data.storage.stages import Fingerprints, Stage, code_digest, file_digest, key_of, read_table, write_table
from infimed_data.storage.tables import TableFile, plan_shards

__all__ = ["HEAVY_BYTES", "Read", "Reading", "Report", "open_source", "read_source"]

IMAGES_A_TASK = 64
READERS = (
    "storage/archives.py", "storage/documents.py", "storage/limits.py", "storage/parquet.py", "storage/places.py",
    "storage/separated.py", "storage/table_files.py", "storage/tables.py",
)  # fmt: skip
"""Modules that decide what is read of a file."""
HEAVY_BYTES = 3 << 20
"""Stages that read less than this are quicker without worker processes."""

Report = Callable[[str], None]
Task = TypeVar("Task")
Fact = TypeVar("Fact")


@dataclass
class Reading:
    """One source and split, ready to be read."""

    source: str
    split: str
    spec: Reads
    adapter: Adapter
    context: Context
    files: list[TableFile]
    work: Path
    fingerprints: Fingerprints
    limits: Limits
    commit: str | None = None
    """The commit that is read, of a data set on the Hub."""
    copy: Path | None = None
    """The folder that is read in its place."""

    @property
    def name(self) -> str:
        """`source/split`, the first two parts of its uids."""
        return f"{self.source}/{self.split}"

    @property
    def place(self) -> Place:
        """Where its files are."""
        return self.context.place

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Digest of each table file, and of each file that is read beside them, by its name in the place."""
        names = (*(file.name for file in self.files), *self.adapter.beside(self.context))
        return {name: self._digest(name.partition("!")[0]) for name in names}

    def _digest(self, name: str) -> str:
        path = self.place.path(name)
        try:
            known = self.fingerprints.lookup(path)
            if known is not None:
                return known
            status, now = path.stat(), time.time_ns()
        except OSError as error:
            raise SourceError(f"{path}: cannot read: {error.strerror}") from error
        digest = file_digest(path)
        self.fingerprints.remember(path, status, digest, read_at_ns=now)
        return digest

    @cached_property
    def input_bytes(self) -> int:
        """Size of the table files."""
        return sum(self.place.path(name.partition("!")[0]).stat().st_size for name in self.inputs)

    @cached_property
    def _image_names(self) -> str:
        """Digest of the image names that rows can be matched with; archives count with their content."""
        digest = xxhash.xxh3_128()
        for name in self.place.names:
            if name.endswith(ARCHIVES):
                digest.update(f"{name}={self._digest(name)}\n".encode())
            elif name.lower().endswith(IMAGE_ENDINGS):
                digest.update(f"{name}\n".encode())
        return digest.hexdigest()

    @cached_property
    def ingest(self) -> Stage:
        """The stage of canonical rows."""
        code = code_digest(
            "schema.py", "text.py", "ingest.py", *READERS, "adapters/contract.py", "adapters/reading.py",
            f"adapters/{self.spec.adapter}.py", *self.adapter.code,
        )  # fmt: skip
        key = key_of(
            "ingest", code, self.spec.adapter, self.split, dict(self.spec.options), self.spec.group_key, self.inputs,
            self._image_names, self.limits.max_row_bytes,
        )  # fmt: skip
        return Stage(self.work, "ingest", f"{self.source}-{self.split}", key)

    @cached_property
    def texts(self) -> Stage:
        """The stage of text signals."""
        key = key_of("texts", code_digest("schema.py", "text.py", "words.py", "signals.py"), self.ingest.key)
        return Stage(self.work, "texts", f"{self.source}-{self.split}", key)

    @cached_property
    def refs(self) -> list[str]:
        """Distinct image references of the ingested rows, sorted."""
        refs: list[str] = read_table(self.ingest.folder / "refs.arrow").column("ref").to_pylist()
        return refs

    @cached_property
    def images(self) -> Stage:
        """The stage of image signals. Its key rests on sizes and times of files; later stages rest on its content."""
        states = []
        for ref in self.refs:
            if is_cell(ref) or "!" in ref:
                continue
            try:
                status = self.place.path(ref).stat()
                states.append((ref, status.st_size, status.st_mtime_ns))
            except OSError:
                states.append((ref, 0, 0))
        containers = sorted(
            {ref.partition("!")[0].partition("#")[0] for ref in self.refs if is_cell(ref) or "!" in ref}
        )
        code = code_digest("schema.py", "images", "signals.py", "storage/squares.py", *READERS)
        limits = (self.limits.max_image_bytes, self.limits.max_image_pixels)
        key = key_of("images", code, limits, states, {c: self._digest(c) for c in containers}, self._refs_digest)
        return Stage(self.work, f"images-{code[:8]}", f"{self.source}-{self.split}", key)

    @cached_property
    def _refs_digest(self) -> str:
        return xxhash.xxh3_128_hexdigest("\n".join(self.refs).encode())


@dataclass(frozen=True)
class Read:
    """A source and split that has been read: its finished stages."""

    reading: Reading
    rows: int
    rejected: int
    parts: int
    part_rows: tuple[int, ...]
    image_content: str
    """Digest of the images' bytes by reference."""
    ran: dict[str, int] = field(default_factory=dict)
    """Rows or images that had to be worked on, by stage; nothing for what was cached."""


def open_source(
    section: str,
    name: str,
    spec: Reads,
    root: Path,
    work: Path,
    fingerprints: Fingerprints,
    limits: Limits,
    where: Callable[..., str],
    *,
    commit: str | None = None,
    copies: Path | None = None,
) -> list[Reading]:
    """One `Reading` a split. Raises `ManifestError` or `SourceError`, with the manifest's line from `where`.

    `section` is where the manifest names it: `sources` or `benchmarks`. `commit` is the one that a lock names, of a
    data set on the Hub, which is fetched unless there is a copy of it in `copies`.
    """
    try:
        adapter = load_adapter(spec.adapter)
    except ManifestError as error:
        raise ManifestError([f"{where(section, name, 'adapter')}: {section}.{name}.adapter: {error}"]) from None
    try:
        options = adapter.options.model_validate(dict(spec.options))
    except ValidationError as error:
        fault = error.errors()[0]
        allowed = list(adapter.options.model_fields)
        wrong = str(fault["loc"][0]) if fault["loc"] else ""
        hint = (
            f"; allowed: {', '.join(allowed) or 'no options'}{did_you_mean(wrong, allowed)}"
            if wrong not in allowed
            else ""
        )
        raise ManifestError(
            [f"{where(section, name, 'options', wrong)}: {section}.{name}.options.{wrong}: {fault['msg']}{hint}"]
        ) from None
    for split in spec.splits:
        if split not in adapter.splits:
            raise ManifestError(
                [
                    f"{where(section, name, 'split')}: {section}.{name}.split: {split!r}; allowed: "
                    f"{', '.join(adapter.splits)}{did_you_mean(split, adapter.splits)}"
                ]
            )
    try:
        found = find(
            spec, adapter, options, root, work, commit=commit, limits=limits.of_reading, copies=copies
        )  # fmt: skip
        readings = []
        for split in spec.splits:
            context = Context(found.place, split, options)
            files = adapter.tables(context)
            readings.append(
                Reading(
                    name, split, spec, adapter, context, files, work, fingerprints, limits, found.commit, found.copy
                )
            )  # fmt: skip
        return readings
    except (SourceError, HubError) as error:
        raise SourceError(f"{where(section, name, 'location')}: {section}.{name}: {error}") from error


def read_source(reading: Reading, engine: Engine, report: Report, *, quiet: bool) -> Read:
    """Runs the stages of one source and split, skipping what stands."""
    ran: dict[str, int] = {}
    facts = reading.ingest.done() or _ingest(reading, engine, ran, quiet)
    if not reading.texts.done():
        _texts(reading, engine, facts, ran, quiet)
    pictures = reading.images.done() or _images(reading, engine, ran, quiet)
    for stage, unit, total in (
        ("ingest", "rows", facts["read"]),
        ("texts", "rows", facts["read"]),
        ("images", "images", len(reading.refs)),
    ):
        if stage in ran:
            report(
                f"{stage:<7} {reading.name}: {ran[stage]:,} {unit}" + (f" of {total:,}" if ran[stage] != total else "")
            )
        elif total:
            report(f"{stage:<7} {reading.name}: {total:,} {unit}, cached")
    if failed := pictures.get("failed"):
        _tell_failed(reading, failed, report)
    return Read(
        reading, facts["read"], facts["rejected"], facts["parts"], tuple(facts["part_rows"]), pictures["content"], ran
    )


def _tell_failed(reading: Reading, failed: int, report: Report) -> None:
    """Says which pictures could not be read. Raises `SourceError` for a benchmark's, which no leak may hide behind."""
    errors = read_table(reading.images.folder / "images.arrow", ["error", "error_value"])
    first = errors.filter(pc.equal(errors.column("error"), READ_FAILED)).column("error_value")[0].as_py()
    told = f"{reading.name}: {failed:,} pictures could not be read ({first})"
    if isinstance(reading.spec, Benchmark):
        raise SourceError(f"benchmark {told}; the same command reads them again and goes on")
    report(f"warning: {told}; rows with them are dropped as {READ_FAILED}, and the same command reads them again")


def _ingest(reading: Reading, engine: Engine, ran: dict[str, int], quiet: bool) -> dict[str, Any]:
    stage = reading.ingest
    with stage.running():
        if facts := stage.done():
            return facts
        evidence = reading.adapter.evidence(reading.files, reading.context)
        context = Context(reading.place, reading.split, reading.context.options, evidence)
        shards = [shard for file in reading.files for shard in plan_shards(reading.place, file)]
        tasks = [
            IngestTask(reading.spec.adapter, context, shard, reading.spec.group_key, stage.part(i))
            for i, shard in enumerate(shards)
        ]
        todo = [task for task in tasks if not task.out.exists()]
        size = sum(task.shard.size_bytes for task in todo)
        _run(
            engine, ingest_shard, todo, f"ingest {reading.name}", "rows", 0, size > HEAVY_BYTES, quiet,
            count=lambda fact: fact["read"],
        )  # fmt: skip
        rows: list[int] = []
        rejected = 0
        refs: set[str] = set()
        for task in tasks:
            table = read_table(task.out, ["image_refs", "reject_rule"])
            rows.append(len(table))
            rejected += len(table) - table.column("reject_rule").null_count
            refs.update(pc.unique(pc.list_flatten(table.column("image_refs"))).to_pylist())
        if not sum(rows):
            raise SourceError(
                f"{reading.place.root}: source '{reading.source}' has no rows for split '{reading.split}' "
                f"in {', '.join(file.name for file in reading.files)}"
            )
        write_table(
            stage.folder / "refs.arrow",
            pa.table({"ref": pa.array(sorted(refs), pa.string())}),
            pa.schema([("ref", pa.string())]),
        )
        ran["ingest"] = sum(rows)
        return stage.finish({"read": sum(rows), "rejected": rejected, "parts": len(tasks), "part_rows": rows})


def _texts(reading: Reading, engine: Engine, facts: Mapping[str, Any], ran: dict[str, int], quiet: bool) -> None:
    stage = reading.texts
    with stage.running():
        if stage.done():
            return
        tasks = [TextTask(reading.ingest.part(i), stage.part(i)) for i in range(facts["parts"])]
        todo = [task for task in tasks if not task.out.exists()]
        heavy = sum(task.rows.stat().st_size for task in todo) > HEAVY_BYTES // 2
        _run(
            engine,
            measure_texts,
            todo,
            f"texts {reading.name}",
            "rows",
            facts["read"],
            heavy,
            quiet,
            count=lambda rows: rows,
        )
        ran["texts"] = facts["read"]
        stage.finish({"rows": facts["read"]})


def _images(reading: Reading, engine: Engine, ran: dict[str, int], quiet: bool) -> dict[str, Any]:
    stage = reading.images
    with stage.running():
        if facts := stage.done():
            return facts
        known = tuple(
            sorted(p for p in stage.folder.parents[1].glob("*/*/images.arrow") if (p.parent / "done.json").exists())
        )
        groups = [tuple(reading.refs[i : i + IMAGES_A_TASK]) for i in range(0, len(reading.refs), IMAGES_A_TASK)]
        limits = reading.limits
        tasks = [
            ImageTask(reading.place, refs, known, limits.max_image_bytes, limits.max_image_pixels, stage.part(i))
            for i, refs in enumerate(groups)
        ]
        _forget_failed(tasks)
        todo = [task for task in tasks if not task.out.exists()]
        decoded = sum(
            fact["decoded"]
            for fact in _run(
                engine, measure_images, todo, f"images {reading.name}", "images", len(reading.refs),
                len(reading.refs) > 16,
                quiet, count=lambda fact: fact["read"],
            )
        )  # fmt: skip
        tables = [read_table(task.out) for task in tasks]
        measured = pa.concat_tables(tables).sort_by("ref") if tables else MEASURED.empty_table()
        write_table(stage.folder / "images.arrow", measured, MEASURED)
        digests = pc.unique(measured.column("digest").drop_null()).sort()
        squares = [task.squares for task in tasks]
        gather_squares(stage.folder, digests, squares, [path.parent for path in known], SQUARE)
        if reading.refs:
            ran["images"] = decoded
        content = key_of(measured.column("ref").to_pylist(), measured.column("blob").to_pylist())
        facts = {"content": content, "images": len(reading.refs), "decoded": decoded}
        if failed := _forget_failed(tasks):  # not finished: the next run reads these pictures again
            errors = measured.column("error").to_pylist()
            return {**facts, "failed": failed, "content": key_of(content, errors)}
        finished = stage.finish(facts)
        for path in squares:
            path.unlink(missing_ok=True)
        return finished


def _forget_failed(tasks: Sequence[ImageTask]) -> int:
    """Removes parts with pictures that could not be read just then; returns how many there were."""
    failed = 0
    for task in tasks:
        if task.out.exists():
            errors = read_table(task.out, ["error"]).column("error")
            if count := pc.sum(pc.equal(errors, READ_FAILED)).as_py():
                failed += int(count)
                task.out.unlink()
    return failed


def _run(
    engine: Engine,
    function: Callable[[Task], Fact],
    tasks: Sequence[Task],
    label: str,
    unit: str,
    total: int,
    heavy: bool,
    quiet: bool,
    *,
    count: Callable[[Fact], int],
) -> list[Fact]:
    facts = []
    with Progress(label, total, unit, quiet=quiet) as progress:
        for _, fact in engine.map(function, tasks, label=label, heavy=heavy):
            progress.add(count(fact))
            facts.append(fact)
    return facts
