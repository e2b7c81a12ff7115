"""All comparisons of a build: pictures with pictures, texts with texts, rows with benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infimed_data.decontaminate.grades import GRADES, find_leaks
from infimed_data.dedup.near import Near
from infimed_data.engine import Engine
from infimed_data.errors import SourceError
from infimed_data.manifest import Manifest
from infimed_data.pair_stages.benchmarks import match_benchmarks, read_benchmarks
from infimed_data.pair_stages.parts import Part, Say
from infimed_data.pair_stages.texts import KINDS, compare_texts
from infimed_data.picture_stages import Compared as ComparedPictures
from infimed_data.picture_stages import Pictures, benchmark_pairs, compare_pictures, same_pictures
from infimed_data.schema import ABSENT_RULES

__all__ = ["Compared", "compare"]


@dataclass(frozen=True)
class Compared:
    """What comparing rows has found."""

    near: Sequence[Near]
    """Near-duplicates of long and of short texts; empty where they are not looked for."""
    leaks: pl.DataFrame | None
    """What `find_leaks` gave; None without benchmarks."""
    benchmarks: pl.DataFrame | None
    """All benchmark rows, as `Benchmarks.rows` has them."""
    same_picture: pl.DataFrame
    """image and stands_for: pictures that count as one."""
    pictures: pl.DataFrame
    """All pairs of pictures that were looked at (`schema.CONFIRMED`)."""
    summary: Sequence[Mapping[str, Any]]
    """One record a benchmark: its rows, what they lack, and the rows that leak it by grade."""
    counts: Mapping[str, Any]
    """How many pairs were compared and passed over."""

    @property
    def benchmark_uids(self) -> pl.Series | None:
        """The uids of all benchmark rows."""
        return None if self.benchmarks is None else self.benchmarks["uid"]


def compare(
    rows: pl.DataFrame,
    parts: Sequence[Part],
    benchmark_parts: Sequence[Part],
    manifest: Manifest,
    marks: Mapping[str, bool],
    work: Path,
    engine: Engine,
    say: Say,
    where: Callable[..., str],
    *,
    task_bytes: int,
    quiet: bool,
) -> Compared:
    """Compares the `rows` of all `parts` (numbered through) with one another and with the benchmarks'.

    `where` gives the line of a key of the manifest; `task_bytes` is about what one task may hold in memory. Raises
    `SourceError` for a benchmark that has nothing to match.
    """
    counts: dict[str, Any] = {}
    near: list[Near] = []
    looked_at = _compare_pictures(parts, benchmark_parts, manifest, task_bytes, work, engine, say, quiet)
    counts["pictures"] = _picture_counts(looked_at)
    same_picture = same_pictures(looked_at.pairs, manifest.dedup.image_score)
    if manifest.dedup.near:
        near = compare_texts(rows, parts, same_picture, manifest.dedup, task_bytes, work, engine, say)
        for name, found in zip(KINDS, near, strict=True):
            counts[f"{name}_texts"] = {
                "pairs": len(found.first),
                "compared": found.compared,
                "passed_over": found.passed_over,
            }
    if not benchmark_parts:
        return Compared(near, None, None, same_picture, looked_at.pairs, (), counts)
    benchmarks = read_benchmarks(benchmark_parts, work, engine, say)
    _check_matchable(benchmarks.rows, where)
    texts = match_benchmarks(parts, benchmarks, work, engine, say)
    ours, theirs = (frame["images"].explode() for frame in (rows, benchmarks.rows))
    pictures = benchmark_pairs(looked_at.pairs, ours, theirs)
    readable = (pl.col("stage").fill_null("") != "ingest") | pl.col("rule").is_in(ABSENT_RULES)
    readable &= pl.col("stage").fill_null("") != "phi"  # quarantined: nothing of it is shown beside a benchmark's row
    chosen = rows.filter(readable).select("number", "unit", "at", "digest", "images", "keys")
    leaks = find_leaks(chosen, benchmarks.rows, benchmarks.questions, texts, pictures, manifest.decontaminate, marks)
    return Compared(
        near, leaks, benchmarks.rows, same_picture, looked_at.pairs, _summary(benchmarks.rows, leaks), counts
    )


def _check_matchable(benchmarks: pl.DataFrame, where: Callable[..., str]) -> None:
    """A benchmark without a question, a picture or a key must not pass for one that nothing leaks."""
    something = (pl.col("question") >= 0) | (pl.col("images").list.len() > 0) | (pl.col("keys").list.len() > 0)
    counted = benchmarks.group_by("benchmark", maintain_order=True).agg(rows=pl.len(), matchable=something.sum())
    for name, rows, matchable in counted.iter_rows():
        if not matchable:
            raise SourceError(
                f"{where('benchmarks', name)}: benchmark '{name}': none of its {rows:,} rows has a question, an image "
                "or a group to match; mend it"
            )


def _compare_pictures(
    parts: Sequence[Part],
    benchmark_parts: Sequence[Part],
    manifest: Manifest,
    task_bytes: int,
    work: Path,
    engine: Engine,
    say: Say,
    quiet: bool,
) -> ComparedPictures:
    """The pictures that have to be compared: sources' with benchmarks', and with one another where that matters: for
    near-duplicates, for caps by picture and for splits that no picture may cross.
    """
    looked_for = any(not manifest.decontaminate.is_off(grade) for grade in ("same_item", "same_image"))
    held = [*benchmark_parts] if looked_for else []
    pictures = [
        Pictures(part.place, part.images, part.image_content, part in benchmark_parts) for part in (*parts, *held)
    ]
    outputs = [output for _, output in manifest.outputs.items()]
    split = any(output.validation or output.mixture.max_per_image for output in outputs)
    return compare_pictures(
        pictures,
        within_sources=manifest.dedup.near or split,
        limits=manifest.limits,
        task_bytes=task_bytes,
        work=work,
        engine=engine,
        say=say,
        quiet=quiet,
    )


def _picture_counts(looked_at: ComparedPictures) -> dict[str, int]:
    verdicts = dict(looked_at.pairs.group_by("verdict").len().iter_rows())
    confirmed, refused = verdicts.get("confirmed", 0), verdicts.get("refused", 0)
    counts = {"examined": confirmed + refused, "confirmed": confirmed, "refused": refused}
    return {**counts, "left_out": looked_at.left_out, "crowds": looked_at.crowds}


def _summary(benchmarks: pl.DataFrame, leaks: pl.DataFrame) -> list[dict[str, Any]]:
    """One record a benchmark, in the manifest's order."""
    lacking = pl.col("rule").is_in(ABSENT_RULES) | (pl.col("images").list.len() < pl.col("image_refs").list.len())
    counted = benchmarks.group_by("benchmark", maintain_order=True).agg(
        rows=pl.len(),
        without_image=lacking.sum(),
        text_only=((pl.col("stage") == "ingest") & ~pl.col("rule").is_in(ABSENT_RULES)).sum(),
        questions=pl.col("question").filter(pl.col("question") >= 0).n_unique(),
        images=pl.col("images").explode(empty_as_null=False, keep_nulls=False).n_unique(),
    )
    by_grade = leaks.group_by("benchmark", "grade").agg(rows=pl.len())
    found: dict[str, dict[str, int]] = {}
    for name, grade, count in by_grade.iter_rows():
        found.setdefault(name, {})[grade] = count
    return [
        {**row, "leaks": {grade: found.get(row["benchmark"], {}).get(grade, 0) for grade in GRADES}}
        for row in counted.iter_rows(named=True)
    ]
