"""Runs the stages of sources: rows, text signals, image signals, each only where it does not stand.

All sources' rows are read together, and then their texts: a file that cannot be cut keeps one process busy, and the
others go on with the next source. Pictures come source by source, so that none is decoded twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from infimed_data.adapters.contract import Context
from infimed_data.engine import Engine
from infimed_data.errors import SourceError
from infimed_data.images import SQUARE
from infimed_data.ingest import IngestTask, ingest_shard
from infimed_data.manifest import Benchmark
from infimed_data.progress import Progress
from infimed_data.schema import MEASURED
from infimed_data.signals import ImageTask, TextTask, measure_images, measure_texts
from infimed_data.source_stages import Reading
from infimed_data.storage.places import READ_FAILED, in_tasks
from infimed_data.storage.squares import gather_squares
from infimed_data.storage.stages import key_of, read_table, write_table
from infimed_data.storage.tables import plan_shards

__all__ = ["HEAVY_BYTES", "Read", "Report", "read_sources"]

IMAGES_A_TASK = 64
HEAVY_BYTES = 3 << 20
"""Stages that read less than this are quicker without worker processes."""

MANY_IMAGES = 50_000
"""After more than this, workers start afresh: they remember which pictures they have seen."""

Report = Callable[[str], None]
Task = TypeVar("Task")
Fact = TypeVar("Fact")
Ran = dict[str, int]


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


def read_sources(readings: Sequence[Reading], engine: Engine, report: Report, *, quiet: bool) -> list[Read]:
    """Runs the stages of sources and splits, skipping what stands."""
    ran: list[Ran] = [{} for _ in readings]
    both = list(zip(readings, ran, strict=True))
    todo = [(reading, own) for reading, own in both if not reading.ingest.done()]
    _together(
        engine, ingest_shard, [_ingest(*one) for one in todo], f"ingest {_named(todo)}",
        sum(reading.input_bytes for reading, _ in todo) > HEAVY_BYTES, quiet, count=lambda fact: fact["read"],
    )  # fmt: skip
    todo = [(reading, own) for reading, own in both if not reading.texts.done()]
    size = sum(
        reading.ingest.part(part).stat().st_size for reading, _ in todo for part in range(_facts(reading)["parts"])
    )
    _together(
        engine, measure_texts, [_texts(*one) for one in todo], f"texts {_named(todo)}", size > HEAVY_BYTES // 2, quiet,
        count=lambda rows: rows,
    )  # fmt: skip
    found = [_read(reading, engine, own, report, quiet) for reading, own in both]
    if sum(own.get("images", 0) for own in ran) > MANY_IMAGES:
        engine.renew()
    return found


def _named(todo: Sequence[tuple[Reading, Ran]]) -> str:
    return todo[0][0].name if len(todo) == 1 else f"{len(todo)} sources"


def _facts(reading: Reading) -> dict[str, Any]:
    """What is known of the rows of a source that has been read."""
    facts = reading.ingest.done()
    if facts is None:
        raise SourceError(f"{reading.ingest.folder}: was removed while it was in use; run the same command again")
    return facts


def _read(reading: Reading, engine: Engine, ran: Ran, report: Report, quiet: bool) -> Read:
    """Looks at the pictures of a source, the rows of which have been read, and tells of all that was done."""
    facts = _facts(reading)
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


def _together(
    engine: Engine,
    function: Callable[[Task], Fact],
    works: Sequence[Generator[Sequence[Task], None, None]],
    label: str,
    heavy: bool,
    quiet: bool,
    *,
    count: Callable[[Fact], int],
) -> None:
    """Runs the tasks of several stages as one list. Each of the `works` gives its tasks, and goes on when all are done.

    A stage is begun when the engine comes to its first task.
    """
    owners: list[int] = []
    left: dict[int, int] = {}

    def tasks() -> Iterator[Task]:
        for number, work in enumerate(works):
            own = next(work, ())
            left[number] = len(own)
            if not own:
                next(work, None)
            for task in own:
                owners.append(number)
                yield task

    with contextlib.ExitStack() as opened, Progress(label, 0, "rows", quiet=quiet) as progress:
        for work in works:
            opened.callback(work.close)
        for index, fact in engine.map(function, tasks(), label=label, heavy=heavy):
            progress.add(count(fact))
            left[owners[index]] -= 1
            if not left[owners[index]]:
                next(works[owners[index]], None)


def _ingest(reading: Reading, ran: Ran) -> Generator[Sequence[IngestTask], None, None]:
    stage = reading.ingest
    with stage.running():
        if stage.done():
            return
        evidence = reading.adapter.evidence(reading.files, reading.context)
        context = Context(reading.place, reading.split, reading.context.options, evidence)
        shards = [shard for file in reading.files for shard in plan_shards(reading.place, file)]
        tasks = [
            IngestTask(reading.spec.adapter, context, shard, reading.spec.group_key, stage.part(i))
            for i, shard in enumerate(shards)
        ]
        yield [task for task in tasks if not task.out.exists()]
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
        stage.finish({"read": sum(rows), "rejected": rejected, "parts": len(tasks), "part_rows": rows})


def _texts(reading: Reading, ran: Ran) -> Generator[Sequence[TextTask], None, None]:
    facts, stage = _facts(reading), reading.texts
    with stage.running():
        if stage.done():
            return
        tasks = [TextTask(reading.ingest.part(i), stage.part(i)) for i in range(facts["parts"])]
        yield [task for task in tasks if not task.out.exists()]
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
        limits = reading.limits
        tasks = [
            ImageTask(reading.place, refs, known, limits.max_image_bytes, limits.max_image_pixels, stage.part(i))
            for i, refs in enumerate(in_tasks(reading.refs, IMAGES_A_TASK))
        ]
        _forget_failed(tasks)
        todo = [task for task in tasks if not task.out.exists()]
        decoded = 0
        with Progress(f"images {reading.name}", len(reading.refs), "images", quiet=quiet) as progress:
            heavy = len(reading.refs) > 16
            for _, fact in engine.map(measure_images, todo, label=f"images {reading.name}", heavy=heavy):
                progress.add(fact["read"])
                decoded += fact["decoded"]
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
