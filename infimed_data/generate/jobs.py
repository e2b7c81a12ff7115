"""Which rows each pass takes, and the stage that its outcomes are kept under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc
import xxhash

from infimed_data.generate.inputs import TeacherMarks
from infimed_data.manifest import Generate, Manifest
from infimed_data.manifest.checks import RESERVED
from infimed_data.mix import eligible
from infimed_data.rejection import Mark, measuring
from infimed_data.storage.places import Place
from infimed_data.storage.stages import Stage, code_digest, key_of, read_table

__all__ = ["SHARD_ROWS", "Job", "Origin", "make_jobs"]

SHARD_ROWS = 2000
"""Samples of one shard: what a killed run may have to take from the request cache again."""

_CODE = (
    "schema.py", "text.py", "words.py", "signals.py", "verify", "strategies", "gates", "rejection", "generate",
    "teachers/keys.py", "teachers/replay.py", "teachers/replies.py",
)  # fmt: skip
_NOT_KEYED = ("max_in_flight", "timeout_s", "retries", "patience_s", "api_key_env", "price", "file")


@dataclass(frozen=True)
class Origin:
    """One source and split: where the texts and pictures of its rows are."""

    source: str
    split: str
    place: Place
    rows: tuple[Path, ...]
    """Ingested parts."""
    part_rows: tuple[int, ...]
    images: Path
    """Measurements of its images by reference."""
    ingest_key: str


@dataclass(frozen=True)
class Job:
    """A pass and the rows that it takes."""

    name: str
    """The manifest's name of the pass, or `difficulty`."""
    settings: Generate
    rows: pl.DataFrame
    """number, unit, at, uid, images and, for `fill`, stratum; by uid."""
    marks: Mapping[str, Mark]
    stage: Stage

    @property
    def measures(self) -> bool:
        """Whether it only measures how hard rows are."""
        return self.name == RESERVED

    @cached_property
    def shards(self) -> range:
        """Numbers of its shards; for `fill` there may be fewer."""
        return range(-(-self.rows.height // SHARD_ROWS))


def make_jobs(
    rows: pl.DataFrame,
    origins: Sequence[Origin],
    manifest: Manifest,
    replays: Mapping[str, tuple[Path, str]],
    marks: TeacherMarks,
    work: Path,
) -> list[Job]:
    """The measuring of difficulty, then the passes in their order. `rows` are all rows, numbered through; only those
    without a drop are asked about."""
    alive = rows.filter(pl.col("rule").is_null())
    found: list[Job] = []

    def add(name: str, settings: Generate, taken: pl.DataFrame) -> None:
        strata = settings.fill.strata if settings.fill is not None else ()
        named = [pl.col(field).cast(pl.String).fill_null("unknown") for field in strata]
        stratum = [pl.concat_str(named, separator="/").alias("stratum")] if named else []
        own = taken.select("number", "unit", "at", "uid", "images", *stratum).sort("uid")
        seed = manifest.seed
        key = _key(name, settings, own, origins, manifest, replays, marks.get(name, {}), seed)
        found.append(Job(name, settings, own, marks.get(name, {}), Stage(work, "generate", name, key)))

    if manifest.difficulty is not None and manifest.outputs.rl is not None:
        conditions = [condition for condition, _ in eligible("rl", manifest.outputs.rl).values()]
        add(RESERVED, measuring(manifest.difficulty), _without_conversations(alive.filter(*conditions), origins))
    if manifest.generate and manifest.outputs.sft is not None:
        conditions = [condition for condition, _ in eligible("sft", manifest.outputs.sft).values()]
        left = _without_conversations(alive.filter(*conditions) if conditions else alive, origins)
        for name, settings in manifest.generate.items():
            takes = pl.col("answer_kind").is_in(list(settings.answer_kinds))
            if settings.sources is not None:
                takes &= pl.col("source").is_in(list(settings.sources))
            if settings.categories is not None:
                takes &= pl.col("category").is_in(list(settings.categories))
            add(name, settings, left.filter(takes))
            left = left.filter(~takes)
    return found


def _without_conversations(rows: pl.DataFrame, origins: Sequence[Origin]) -> pl.DataFrame:
    """Rows that are one question; only rows of the kind `open` can be anything else."""
    talks: list[int] = []
    for unit in rows.filter(pl.col("answer_kind") == "open")["unit"].unique().sort().to_list():
        first = rows.filter(pl.col("unit") == unit)
        start = int(first["number"][0] - first["at"][0])
        for path in origins[unit].rows:
            turns = read_table(path, ["turns"]).column("turns")
            several = pc.greater(pc.fill_null(pc.list_value_length(turns), 0), 0).to_numpy()
            talks += (several.nonzero()[0] + start).tolist()
            start += len(turns)
    return rows.filter(~pl.col("number").is_in(talks)) if talks else rows


def _key(
    name: str,
    settings: Generate,
    rows: pl.DataFrame,
    origins: Sequence[Origin],
    manifest: Manifest,
    replays: Mapping[str, tuple[Path, str]],
    marks: Mapping[str, Mark],
    seed: int,
) -> str:
    """Key of everything that the outcomes of a pass depend on, but for what its teachers say."""
    content = xxhash.xxh3_128()
    for uid, images, *more in rows.drop("number", "unit", "at").iter_rows():
        content.update("\0".join((uid, *images, "", *map(str, more), "\n")).encode())
    units = rows["unit"].unique().sort().to_list()
    asked: dict[str, Any] = {}
    for teacher in settings.teachers:
        plain = manifest.teachers[teacher].model_dump(mode="json")
        asked[teacher] = [{k: v for k, v in plain.items() if k not in _NOT_KEYED}, replays.get(teacher, ("", ""))[1]]
    prompts = sorted(f"prompts/{path.name}" for path in (Path(__file__).parent.parent / "prompts").glob("*.txt"))
    plain = settings.model_dump(mode="json", exclude={"review"})
    return key_of(
        "generate", code_digest(*_CODE, *prompts), name, plain, asked, seed, sorted(marks.items()),
        content.hexdigest(), [(origins[u].source, origins[u].split, origins[u].ingest_key) for u in units],
    )  # fmt: skip
