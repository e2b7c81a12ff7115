"""Writes every table of a build: plans files, scatters rows, packs images, gathers each file's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from infimed_data.dataset import FileTask, Packed, PackTask, Prompting, ScatterTask, pack_images, scatter, write_file
from infimed_data.engine import Engine
from infimed_data.manifest import Manifest, Output
from infimed_data.outputs.decide import Decided
from infimed_data.outputs.taught import Rationales
from infimed_data.progress import Progress
from infimed_data.schema import IMAGES, ORIGINS
from infimed_data.storage.places import Place, in_tasks, is_cell
from infimed_data.storage.stages import clear_folder, read_table, write_parquet, write_table

__all__ = ["Unit", "placed_targets", "write_build"]

FILE_BYTES = 128 << 20
"""An output file ends at this many bytes of images as a reader unpacks them, ..."""
FILE_ROWS = 16384
"""... or at this many rows."""
RUN_ROWS = 4096
RUN_BYTES = 32 << 20
"""Rows (and bytes of images) that are brought into order at a time; a file is a number of such runs."""
PACK_IMAGES = 256


@dataclass(frozen=True)
class Unit:
    """One source and split as the writer needs it."""

    source: str
    split: str
    place: Place
    rows: tuple[Path, ...]
    """Ingested parts."""
    part_rows: tuple[int, ...]
    index: Path
    images: Path
    """Measurements of its images by reference."""
    category: str
    license: str | None


def write_build(
    folder: Path,
    spill: Path,
    units: Sequence[Unit],
    decided: Decided,
    manifest: Manifest,
    engine: Engine,
    *,
    quiet: bool,
) -> dict[str, int]:
    """Writes every table of the build into `folder`; returns rows by file. Files that stand are left alone."""
    rows = _with_targets(decided.rows, manifest)
    targets = [name for name in rows.columns if name.startswith("to_")]
    placed = {target.removeprefix("to_"): _placed(rows, decided.targets, target) for target in targets}
    bounds = {name: _bounds(own, name, manifest) for name, own in placed.items()}
    clear_folder(spill)
    spill.mkdir(parents=True)
    try:
        packed = _pack(rows, units, manifest, engine, spill, quiet=quiet)
        scattered = _scatter(rows, units, bounds, decided.targets, engine, spill, quiet=quiet)
        tasks = _file_tasks(placed, units, bounds, scattered, packed, manifest, folder)
        written: dict[str, int] = {}
        total = sum(map(len, placed.values()))
        with Progress("write", total, "rows", quiet=quiet) as progress:
            for index, count in engine.map(write_file, tasks, label="writing", heavy=total > 2000):
                progress.add(count)
                written[tasks[index].out.relative_to(folder).as_posix()] = count
        _write_images(folder, units, rows)
        _write_origins(folder, units)
    finally:
        clear_folder(spill)
    return dict(sorted(written.items()))


def _with_targets(rows: pl.DataFrame, manifest: Manifest) -> pl.DataFrame:
    """Adds `to_TARGET`: the row's position in each table it is written to, or -1."""
    order = rows["uid"].arg_sort().to_numpy()
    kept = rows["output"].is_not_null().to_numpy()
    ranks = {}
    for target, members in (("to_samples", order[kept[order]]), ("to_drops", order[~kept[order]])):
        rank = np.full(len(rows), -1, np.int64)
        rank[members] = np.arange(len(members))
        ranks[target] = rank
    rows = rows.with_columns(pl.Series(name, rank) for name, rank in ranks.items())
    splits = [(name, split) for name, _ in manifest.outputs.items() for split in ("train", "validation")]
    rows = rows.with_columns(
        pl.when(pl.col(f"{name}_split") == split).then(f"{name}_position").alias(f"to_{name}-{split}")
        for name, split in splits
    )
    used = ["to_samples", "to_drops", *(f"to_{n}-{s}" for n, s in splits if rows[f"to_{n}-{s}"].count())]
    rows = rows.drop(f"to_{n}-{s}" for n, s in splits if f"to_{n}-{s}" not in used)
    return rows.with_columns(pl.col(*used).fill_null(-1))


def placed_targets(decided: Decided) -> pl.DataFrame:
    """pass, key, sft_split and sft_position of every candidate that became a row of `sft`."""
    placed = decided.targets.filter(pl.col("sft_split").is_not_null() & pl.col("key").is_not_null())
    return placed.select("pass", "key", "sft_split", "sft_position")


def _placed(rows: pl.DataFrame, targets: pl.DataFrame, target: str) -> pl.DataFrame:
    """image_keys and image_bytes of every row that a table has, in its order; a sample may have several in `sft`."""
    own = rows.filter(pl.col(target) >= 0).select(target, "image_keys", "image_bytes")
    output, _, split = target.removeprefix("to_").partition("-")
    if output == "sft":
        further = targets.filter((pl.col("copy") > 0) & (pl.col("sft_split") == split))
        about = rows.select("number", "image_keys", "image_bytes")
        more = further.select("number", pl.col("sft_position").alias(target)).join(about, on="number", how="inner")
        own = pl.concat([own, more.select(own.columns).cast(own.schema)])
    return own.sort(target).drop(target)


def _bounds(placed: pl.DataFrame, target: str, manifest: Manifest) -> tuple[int, ...]:
    """First position of each run of a target."""
    if target in ("samples", "drops"):
        return tuple(range(0, len(placed), RUN_ROWS)) or (0,)
    spec = _spec(manifest, target.partition("-")[0])
    sizes = placed["image_bytes"].to_list()
    if spec.max_pixels is not None:
        sizes = [min(size, 2 * spec.max_pixels) for size in sizes]
    starts, size, since = [0], 0, 0
    for position, more in enumerate(sizes):
        if position > since and (size + more > RUN_BYTES or position - since >= RUN_ROWS):
            starts.append(position)
            size, since = 0, position
        size += more
    return tuple(starts)


def _spec(manifest: Manifest, output: str) -> Output:
    return next(spec for name, spec in manifest.outputs.items() if name == output)


_DECISIONS = [
    "output", "sft_split", "sft_position", "rl_split", "rl_position", "stage", "rule", "value", "limit", "twin",
]  # fmt: skip
"""What `decide` adds to the indexes."""


def _scatter(
    rows: pl.DataFrame,
    units: Sequence[Unit],
    bounds: Mapping[str, tuple[int, ...]],
    targets: pl.DataFrame,
    engine: Engine,
    spill: Path,
    *,
    quiet: bool,
) -> dict[str, list[list[tuple[Path, int]]]]:
    """Scatters every part; returns, for each target and file, its batches."""
    tasks: list[ScatterTask] = []
    sizes: list[int] = []
    # Of the index's columns only the pass rate may have changed; what the plan has stands for what the index has.
    changed = [name for name in ("pass_rate", "withheld") if name in rows.columns]
    plan = rows.select(*_DECISIONS, *changed, *(f"to_{target}" for target in bounds))
    texts = Rationales()
    start = 0
    for unit_index, unit in enumerate(units):
        written = targets.filter(pl.col("unit") == unit_index)
        first = 0
        for part, count in enumerate(unit.part_rows):
            out = spill / f"{unit_index:03d}-{part:05d}"
            path = out.with_suffix(".plan")
            table = plan.slice(start, count).to_arrow(compat_level=pl.CompatLevel.oldest())
            table = table.cast(
                pa.schema([(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in table.schema])
            )
            write_table(path, table, table.schema)
            constants = {"source": unit.source, "split": unit.split, "category": unit.category, "license": unit.license}
            own = written.filter(pl.col("at").is_between(first, first + count - 1))
            taught = out.with_suffix(".targets") if len(own) else None
            if taught is not None:
                table = texts.of_part(own, first)
                write_table(taught, table, table.schema)
            first += count
            tasks.append(ScatterTask(unit.rows[part], unit.index, part, path, constants, bounds, out, taught))
            sizes.append(count)
            start += count
    found: dict[str, list[list[tuple[Path, int]]]] = {t: [[] for _ in b] for t, b in bounds.items()}
    with Progress("scatter", len(rows), "rows", quiet=quiet) as progress:
        facts: dict[int, dict[str, list[int]]] = {}
        for index, fact in engine.map(scatter, tasks, label="scattering rows", heavy=len(rows) > 50_000):
            facts[index] = fact
            progress.add(sizes[index])
    for index in sorted(facts):
        for target, files in facts[index].items():
            path = tasks[index].out.with_name(f"{tasks[index].out.name}-{target}.arrow")
            for batch, file in enumerate(files):
                found[target][file].append((path, batch))
    return found


def _pack(
    rows: pl.DataFrame, units: Sequence[Unit], manifest: Manifest, engine: Engine, spill: Path, *, quiet: bool
) -> dict[str, dict[str, Packed]]:
    """Copies what cannot be read straight from its place while writing: Parquet cells, and images that must change."""
    places = {unit.source: unit.place for unit in units}
    packed: dict[str, dict[str, Packed]] = {}
    for name, spec in manifest.outputs.items():
        packed[name] = {}
        used = rows.filter(pl.col(f"{name}_split").is_not_null() & (pl.col("image_bytes") > 0))
        large = pl.lit(False) if spec.max_pixels is None else pl.col("max_pixels") > spec.max_pixels
        deep = pl.col("deep") if spec.window_deep_images else pl.lit(False)
        keys = (
            used.select(pl.col("image_keys").alias("key"), change=large | deep)
            .explode("key", empty_as_null=False, keep_nulls=False)
            .group_by("key").agg(pl.col("change").any()).sort("key")
        )  # fmt: skip
        wanted = [key for key, change in keys.iter_rows() if change or is_cell(key)]
        by_source: dict[str, list[str]] = {}
        for key in wanted:
            source, _, ref = key.partition("|")
            by_source.setdefault(source, []).append(ref)
        each = [(source, refs) for source in sorted(by_source) for refs in in_tasks(by_source[source], PACK_IMAGES)]
        tasks = [
            PackTask(
                places[source], refs, spec.max_pixels, spec.window_deep_images, manifest.limits.max_image_bytes,
                manifest.limits.max_image_pixels, spill / f"pack-{name}-{number:05d}",
            )
            for number, (source, refs) in enumerate(each)
        ]  # fmt: skip
        with Progress(f"images for {name}", len(wanted), "images", quiet=quiet) as progress:
            for index, entries in engine.map(pack_images, tasks, label="packing images", heavy=len(wanted) > 100):
                progress.add(len(entries))
                for ref, offset, size in entries:
                    packed[name][f"{each[index][0]}|{ref}"] = Packed(tasks[index].out, offset, size)
    return packed


def _file_tasks(
    placed: Mapping[str, pl.DataFrame],
    units: Sequence[Unit],
    bounds: Mapping[str, tuple[int, ...]],
    scattered: Mapping[str, list[list[tuple[Path, int]]]],
    packed: Mapping[str, Mapping[str, Packed]],
    manifest: Manifest,
    folder: Path,
) -> list[FileTask]:
    places = {unit.source: unit.place for unit in units}
    limit = manifest.limits.max_image_bytes
    tasks: list[FileTask] = []
    for target in bounds:
        runs = scattered[target]
        if target in ("samples", "drops"):
            batches = tuple(tuple(run) for run in runs if run)
            tasks.append(FileTask(target, batches, folder / f"{target}.parquet", {}, {}, None, limit))
            continue
        output, _, split = target.partition("-")
        spec = _spec(manifest, output)
        seed = manifest.seed if spec.options == "shuffle" else None
        prompting = Prompting(spec.system, spec.instruction, spec.reasoning, spec.answer_tags, seed)
        (folder / output).mkdir(parents=True, exist_ok=True)
        ordered = placed[target]
        starts = [*bounds[target], len(ordered)]
        files = _files(starts, ordered["image_bytes"])
        for file, (first, last) in enumerate(files):
            own: dict[str, Packed] = {}
            if packed[output]:
                used = ordered["image_keys"][starts[first] : starts[last]].to_list()
                own = {key: packed[output][key] for row in used for key in row if key in packed[output]}
            out = folder / output / f"{split}-{file:05d}-of-{len(files):05d}.parquet"
            batches = tuple(tuple(run) for run in runs[first:last])
            tasks.append(FileTask(target, batches, out, places, own, prompting, limit))
    # The largest first, so that no worker is left with a long last file.
    return sorted(tasks, key=lambda t: (t.target in ("samples", "drops"), str(t.out)))


def _files(starts: Sequence[int], sizes: pl.Series) -> list[tuple[int, int]]:
    """(first run, run after the last) of each file of a target whose runs start at `starts` (and end at its last)."""
    files, first, size = [], 0, 0
    for run in range(len(starts) - 1):
        more = int(sizes[starts[run] : starts[run + 1]].sum())
        if run > first and (size + more > FILE_BYTES or starts[run + 1] - starts[first] > FILE_ROWS):
            files.append((first, run))
            first, size = run, 0
        size += more
    return [*files, (first, len(starts) - 1)]


def _write_images(folder: Path, units: Sequence[Unit], rows: pl.DataFrame) -> None:
    """images.parquet: one row a distinct picture, and one for each that could not be read."""
    tables = []
    for unit in units:
        table = pl.DataFrame(read_table(unit.images))
        tables.append(table.with_columns(pl.lit(unit.source).alias("source")))
    measured = pl.concat(tables).unique(["source", "ref"]).sort("source", "ref")
    each = rows.select("output", digest=pl.col("images")).explode("digest", empty_as_null=False, keep_nulls=False)
    uses = each.group_by("digest").agg(rows_read=pl.len(), rows_kept=pl.col("output").is_not_null().sum())
    good = measured.filter(pl.col("digest").is_not_null()).unique("digest", keep="first", maintain_order=True)
    bad = measured.filter(pl.col("digest").is_null())
    table = (
        pl.concat([good, bad])
        .join(uses, on="digest", how="left")
        .with_columns(
            pl.col("rows_read", "rows_kept").fill_null(0).cast(pl.Int64),
            error=pl.when(pl.col("error").is_not_null()).then(
                pl.concat_str("error", "error_value", separator=": ", ignore_nulls=True)
            ),
        )
        .sort("digest", "source", "ref", nulls_last=True)
    )
    write_parquet(folder / "images.parquet", table, IMAGES)


def _write_origins(folder: Path, units: Sequence[Unit]) -> None:
    parts = [pl.DataFrame(read_table(unit.index, ORIGINS.names)) for unit in units]
    write_parquet(folder / "origins.parquet", pl.concat(parts).sort("uid"), ORIGINS)
