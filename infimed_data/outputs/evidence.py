"""Writes what people look at to judge leaks: `lookalikes` and, with small copies of the pictures, `evidence`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from infimed_data.engine import Engine
from infimed_data.manifest import Manifest
from infimed_data.progress import Progress
from infimed_data.schema import CONFIRMED, EVIDENCE, PHI
from infimed_data.signals import PlacedImage
from infimed_data.storage.places import Place
from infimed_data.storage.stages import clear_folder, read_table, write_parquet
from infimed_data.thumbnails import ThumbnailTask, make_thumbnails

__all__ = ["write_evidence", "write_lookalikes", "write_phi"]

IMAGES_A_TASK = 64


def write_lookalikes(folder: Path, pairs: pl.DataFrame) -> dict[str, int]:
    """Writes `lookalikes.parquet`, all pairs of pictures that were looked at; returns rows by file."""
    return {"lookalikes.parquet": write_parquet(folder / "lookalikes.parquet", pairs, CONFIRMED)}


def write_phi(folder: Path, findings: pl.DataFrame) -> dict[str, int]:
    """Writes `phi.parquet`, what may point at a person, masked; returns rows by file."""
    return {"phi.parquet": write_parquet(folder / "phi.parquet", findings, PHI)}


def write_evidence(
    folder: Path,
    scratch: Path,
    rows: pl.DataFrame,
    leaks: pl.DataFrame,
    benchmarks: pl.DataFrame,
    pictures: Sequence[tuple[Place, Path]],
    manifest: Manifest,
    engine: Engine,
    *,
    quiet: bool,
) -> dict[str, int]:
    """Writes `evidence.parquet`: small copies of the pictures of leaks, those that people need most first.

    `rows` and `benchmarks` have the images of all rows, in the order of the numbers that `leaks` has; `pictures` says
    where the images of each source and benchmark are and were measured.
    """
    wanted = _wanted(rows, leaks, benchmarks)[: manifest.decontaminate.keep_pictures]
    where = _where(pictures, wanted)
    tasks: list[ThumbnailTask] = []
    for start in range(0, len(where), IMAGES_A_TASK):
        part = where[start : start + IMAGES_A_TASK]
        limits = manifest.limits
        images, sizes = tuple(image for image, _ in part), tuple(size for _, size in part)
        out = scratch / f"{len(tasks):05d}.arrow"
        tasks.append(ThumbnailTask(images, sizes, limits.max_image_bytes, limits.max_image_pixels, out))
    clear_folder(scratch)
    scratch.mkdir(parents=True)
    try:
        with Progress("pictures of leaks", len(where), "images", quiet=quiet) as progress:
            for _, count in engine.map(make_thumbnails, tasks, label="copying pictures", heavy=len(where) > 32):
                progress.add(count)
        copies = [pl.DataFrame(EVIDENCE.empty_table()), *(pl.DataFrame(read_table(task.out)) for task in tasks)]
        table = pl.concat(copies).sort("digest")
        return {"evidence.parquet": write_parquet(folder / "evidence.parquet", table, EVIDENCE)}
    finally:
        clear_folder(scratch)


def _wanted(rows: pl.DataFrame, leaks: pl.DataFrame, benchmarks: pl.DataFrame) -> pl.Series:
    """Digests of the pictures of leaks: pairs whose pixels differ, like questions, equal pixels, then the rest."""
    differs = pl.col("image") != pl.col("benchmark_image")
    rank = (
        pl.when(differs.fill_null(False)).then(0)
        .when(pl.col("grade").is_in(["same_question", "near_question"])).then(1)
        .when(pl.col("image").is_not_null()).then(2)
        .otherwise(3)
    )  # fmt: skip
    ours = rows["images"].gather(leaks["number"]).list.first()
    theirs = benchmarks["images"].gather(leaks["benchmark_row"]).list.first()
    shown = leaks.select(rank=rank, image=pl.coalesce("image", ours), other=pl.coalesce("benchmark_image", theirs))
    each = pl.concat([shown.select("rank", "image"), shown.select("rank", image="other")]).drop_nulls("image")
    return each.group_by("image").agg(pl.col("rank").min()).sort("rank", "image")["image"]


def _where(pictures: Sequence[tuple[Place, Path]], wanted: pl.Series) -> list[tuple[PlacedImage, tuple[int, int]]]:
    """Where each wanted picture can be read, and its size; by digest."""
    found: dict[str, tuple[PlacedImage, tuple[int, int]]] = {}
    for place, images in pictures:
        table = pl.DataFrame(read_table(images, ["digest", "ref", "width", "height"]))
        table = table.filter(pl.col("digest").is_in(wanted.implode())).sort("ref")
        for digest, ref, width, height in table.select("digest", "ref", "width", "height").iter_rows():
            found.setdefault(digest, (PlacedImage(digest, place, ref), (width, height)))
    return [found[digest] for digest in sorted(found)]
