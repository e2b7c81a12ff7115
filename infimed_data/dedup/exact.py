"""Exact duplicates: rows with one content digest. One stays, by source preference and then the smallest uid."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

__all__ = ["drop_exact_duplicates"]


def drop_exact_duplicates(rows: pl.DataFrame, preference: Sequence[str]) -> pl.DataFrame:
    """`rows` with all but one row of each digest marked as dropped; `twin` is the uid of the row that stays.

    Takes the columns uid, source, digest, stage, rule, value, limit, twin; only rows without a rule take part.
    `preference` lists all sources, the most preferred first.
    """
    rank = pl.col("source").replace_strict({name: i for i, name in enumerate(preference)}, return_dtype=pl.Int32)
    alive = rows.filter(pl.col("rule").is_null()).select("uid", "digest", rank=rank)
    repeated = alive.filter(pl.len().over("digest") > 1)
    if repeated.is_empty():
        return rows
    canonical = (
        repeated.sort("rank", "uid")
        .group_by("digest", maintain_order=True)
        .agg(keeper=pl.col("uid").first(), copies=pl.len())
    )
    losers = (
        repeated.join(canonical, on="digest")
        .filter(pl.col("uid") != pl.col("keeper"))
        .select("uid", "keeper", "copies")
    )
    # Joined on the uid alone and then put beside the rows: a join of the whole frame would copy all of it.
    found = rows.select("uid").join(losers, on="uid", how="left", maintain_order="left")
    lost = found["keeper"].is_not_null()
    return rows.with_columns(
        stage=pl.when(lost).then(pl.lit("dedup")).otherwise("stage"),
        rule=pl.when(lost).then(pl.lit("exact_duplicate")).otherwise("rule"),
        value=pl.when(lost).then(found["copies"].cast(pl.String) + " copies").otherwise("value"),
        limit=pl.when(lost).then(pl.lit("1 copy")).otherwise("limit"),
        twin=pl.when(lost).then(found["keeper"]).otherwise("twin"),
    )
