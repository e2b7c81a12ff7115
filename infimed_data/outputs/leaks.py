"""Writes what decontamination found: the tables `leaks` and `benchmarks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from infimed_data.decontaminate.grades import GRADES
from infimed_data.schema import BENCHMARKS, LEAKS
from infimed_data.storage.stages import read_table, write_parquet

__all__ = ["write_leaks"]


def write_leaks(
    folder: Path,
    rows: pl.DataFrame,
    leaks: pl.DataFrame,
    benchmarks: pl.DataFrame,
    parts: Sequence[tuple[Path, int]],
) -> dict[str, int]:
    """Writes `leaks.parquet` and `benchmarks.parquet` into `folder`; returns rows by file.

    `rows` has uid, source and split in order of the numbers that `leaks` gives rows; `benchmarks` has uid, benchmark,
    split, images and group of all benchmark rows, whose ingested `parts` are given with their numbers of rows.
    """
    of_rows = rows.select("uid", "source", "split")[leaks["number"]]
    named = leaks.with_columns(benchmark_uid=benchmarks["uid"].gather(leaks["benchmark_row"]))
    table = pl.concat([of_rows, named.drop("number", "benchmark_row")], how="horizontal")
    table = table.sort("uid", pl.col("grade").cast(pl.Enum(GRADES)), "benchmark")
    wanted = leaks["benchmark_row"].unique().sort()
    texts = _texts(parts, wanted)
    about = benchmarks.select("uid", "benchmark", "split", "images", "group")[wanted]
    return {
        "leaks.parquet": write_parquet(folder / "leaks.parquet", table, LEAKS),
        "benchmarks.parquet": write_parquet(
            folder / "benchmarks.parquet", pl.concat([about, texts], how="horizontal").sort("uid"), BENCHMARKS
        ),
    }


def _texts(parts: Sequence[tuple[Path, int]], wanted: pl.Series) -> pl.DataFrame:
    """Question and options of the `wanted` rows (sorted); a conversation's question is what its users say."""
    found = [pl.DataFrame(schema={"question": pl.String, "options": pl.List(pl.String)})]
    start = 0
    for path, count in parts:
        own = wanted.filter((wanted >= start) & (wanted < start + count)) - start
        start += count
        if own.is_empty():
            continue
        frame = pl.DataFrame(read_table(path, ["question", "options", "turns"]))[own]
        asked = pl.col("turns").list.eval(
            pl.element().struct.field("content").filter(pl.element().struct.field("role") != "assistant")
        )
        said = pl.concat_list("question", asked.fill_null([])).list.drop_nulls()
        found.append(frame.select(question=said.list.join("\n").str.strip_chars(), options="options"))
    return pl.concat(found)
