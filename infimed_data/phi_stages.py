"""The stages that look for protected health information: in the texts of each source, and in its pictures.

What is found is cached under the content that was searched; what becomes of its rows is decided afterwards, so another
action or another list of kinds searches nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from infimed_data.engine import Engine
from infimed_data.manifest import Limits, Phi
from infimed_data.phi.reading import reader_versions
from infimed_data.phi.texts import PhiTextTask, search_texts
from infimed_data.phi.verdicts import acted_on, quarantined
from infimed_data.phi_images import PhiImageTask, search_images
from infimed_data.progress import Progress
from infimed_data.schema import PHI, PHI_KINDS, PHI_LOOKED
from infimed_data.storage.places import Place, in_tasks
from infimed_data.storage.stages import Stage, code_digest, key_of, read_table, write_table

__all__ = ["Searched", "Source", "phi_code", "phi_stages", "search_source"]

IMAGES_A_TASK = 64
HEAVY_ROWS = 5_000
_TEXT_CODE = ("schema.py", *(f"phi/{name}.py" for name in ("findings", "rule", "people", "dates", "numbers", "texts")))
_PICTURE_CODE = ("schema.py", "phi", "phi_images.py", "images", "signals.py", "storage/places.py")


@dataclass(frozen=True)
class Source:
    """One source and split to search."""

    source: str
    split: str
    rows: tuple[Path, ...]
    """Ingested parts."""
    rows_key: str
    part_rows: tuple[int, ...]
    place: Place
    images: Path
    """Measurements of its images by reference."""
    image_content: str
    """Digest of the images' bytes by reference."""

    @property
    def name(self) -> str:
        """`source/split`."""
        return f"{self.source}/{self.split}"


@dataclass(frozen=True)
class Searched:
    """What was found in one source and split."""

    rows: pl.DataFrame
    """Its rows, with those marked that leave."""
    table: pl.DataFrame
    """`schema.PHI`."""
    counts: Mapping[str, Any]
    """Rows and pictures that were searched, findings and rows by kind, and rows that leave."""


def phi_code(phi: Phi) -> list[str]:
    """What of the code decides on findings: part of a build's digest where they are looked for."""
    return [code_digest(*_PICTURE_CODE, "phi_stages.py"), *(reader_versions() if phi.ocr else [])]


def phi_stages(source: Source, phi: Phi, limits: Limits, work: Path) -> list[Stage]:
    """The stages of a source's texts and, where pictures are looked at, of its pictures."""
    name = f"{source.source}-{source.split}"
    stages = [Stage(work, "phi-texts", name, key_of("phi-texts", code_digest(*_TEXT_CODE), source.rows_key))]
    if phi.pictures:
        # Two kinds of folder: what was found with a reader is not what was found without.
        code = key_of(code_digest(*_PICTURE_CODE), reader_versions() if phi.ocr else None)
        key = key_of("phi-images", code, source.image_content, limits.max_image_bytes, limits.max_image_pixels)
        stages.append(Stage(work, f"phi-images-{code[:8]}", name, key))
    return stages


def search_source(
    source: Source,
    rows: pl.DataFrame,
    phi: Phi,
    limits: Limits,
    work: Path,
    engine: Engine,
    say: Callable[[str], None],
    *,
    quiet: bool,
) -> Searched:
    """Searches one source and marks its `rows`: uid, images, image_keys, stage, rule, value, limit and twin, in ingest
    order. Benchmarks are not searched: nothing of them is ever written to an output.
    """
    stages = phi_stages(source, phi, limits, work)
    stood = [_texts(stages[0], source, engine, quiet)]
    stood += [_images(stage, source, limits, phi, engine, quiet) for stage in stages[1:]]
    texts = acted_on(_found_in_texts(stages[0], source), phi)
    pictures = acted_on(_found_in_pictures(stages[1:]), phi)
    keys = rows.select("image_keys").with_row_index("at").explode("image_keys", empty_as_null=False, keep_nulls=False)
    keys = keys.rename({"image_keys": "key"}).unique(maintain_order=True)
    pictures = pictures.with_columns(key=pl.lit(f"{source.source}|") + pl.col("ref"))
    of_rows = pl.concat([texts, keys.join(pictures, on="key")], how="diagonal_relaxed")
    marked = quarantined(rows, of_rows.filter(pl.col("action") == "quarantine"), phi)
    uses = keys.group_by("key").agg(rows=pl.len().cast(pl.Int64))
    table = pl.concat(
        [
            texts.with_columns(uid=rows["uid"].gather(texts["at"]), rows=pl.lit(1, pl.Int64)),
            pictures.rename({"digest": "image"}).join(uses, on="key", how="inner"),
        ],
        how="diagonal_relaxed",
    ).with_columns(source=pl.lit(source.source), split=pl.lit(source.split))
    counts = _counts(of_rows, marked, len(table), source, stages)
    left = int((marked["stage"] == "phi").sum())
    say(
        f"phi     {source.name}: {len(rows):,} rows, {len(table):,} findings"
        + (f", {left:,} rows quarantined" if phi.action == "quarantine" else "") + (", cached" if all(stood) else "")
    )  # fmt: skip
    return Searched(marked, _in_order(table), counts)


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    empty = pl.DataFrame(PHI.empty_table())
    table = pl.concat(
        [empty, table.select(name for name in PHI.names if name in table.columns)], how="diagonal_relaxed"
    )
    return table.sort("source", "split", "uid", "ref", "field", "start", "box", "kind", nulls_last=True)


def _counts(
    of_rows: pl.DataFrame, marked: pl.DataFrame, findings: int, source: Source, stages: Sequence[Stage]
) -> dict[str, Any]:
    by_kind = of_rows.group_by("kind").agg(rows=pl.col("at").n_unique())
    kinds = dict(by_kind.iter_rows())
    searched = stages[1].done() if len(stages) > 1 else None
    return {
        "rows": sum(source.part_rows),
        "images": searched["images"] if searched else 0,
        "findings": findings,
        "rows_with": {kind: kinds[kind] for kind in PHI_KINDS if kind in kinds},
        "quarantined": int((marked["stage"] == "phi").sum()),
    }


def _texts(stage: Stage, source: Source, engine: Engine, quiet: bool) -> bool:
    """Searches the texts; returns whether that had been done."""
    with stage.running():
        if stage.done():
            return True
        tasks = [PhiTextTask(rows, stage.part(i)) for i, rows in enumerate(source.rows)]
        todo = [task for task in tasks if not task.out.exists()]
        total = sum(source.part_rows)
        with Progress(f"phi {source.name}", total, "rows", quiet=quiet) as progress:
            for _, fact in engine.map(search_texts, todo, label="searching texts", heavy=total > HEAVY_ROWS):
                progress.add(fact["read"])
        stage.finish({"rows": total})
        return False


def _images(stage: Stage, source: Source, limits: Limits, phi: Phi, engine: Engine, quiet: bool) -> bool:
    with stage.running():
        if stage.done():
            return True
        measured = pl.DataFrame(read_table(source.images, ["ref", "blob", "digest"]))
        refs = measured.filter(pl.col("digest").is_not_null()).group_by("blob").agg(pl.col("ref").min())["ref"].sort()
        earlier = sorted(
            path for path in stage.folder.parents[1].glob("*/*/found.arrow") if (path.parent / "done.json").exists()
        )
        tasks = [
            PhiImageTask(
                source.place, own, tuple(earlier), limits.max_image_bytes, limits.max_image_pixels, phi.ocr,
                stage.part(number),
            )
            for number, own in enumerate(in_tasks(refs.to_list(), IMAGES_A_TASK))
        ]  # fmt: skip
        todo = [task for task in tasks if not task.out.exists()]
        decoded = 0
        with Progress(f"phi {source.name}", len(refs), "images", quiet=quiet) as progress:
            for _, fact in engine.map(search_images, todo, label="searching pictures", heavy=len(refs) > 16):
                progress.add(fact["read"])
                decoded += fact["decoded"]
        tables = [read_table(task.out) for task in tasks]
        found = pa.concat_tables([PHI_LOOKED.empty_table(), *tables]).sort_by("ref")
        write_table(stage.folder / "found.arrow", found, PHI_LOOKED)
        stage.finish({"images": len(refs), "decoded": decoded})
        return False


def _found_in_texts(stage: Stage, source: Source) -> pl.DataFrame:
    """Findings with `at`, the place of their row in the source."""
    starts = np.cumsum([0, *source.part_rows])
    frames = [
        pl.DataFrame(read_table(stage.part(part))).with_columns(at=pl.col("row").cast(pl.UInt32) + int(start))
        for part, start in enumerate(starts[:-1])
    ]
    return pl.concat(frames).drop("row")


def _found_in_pictures(stages: Sequence[Stage]) -> pl.DataFrame:
    tables = [PHI_LOOKED.empty_table(), *(read_table(stage.folder / "found.arrow") for stage in stages)]
    return pl.DataFrame(pa.concat_tables(tables)).filter(pl.col("kind").is_not_null())
