"""Near-duplicates as decisions: rows linked by near-duplicate texts form components, and one row of each stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infimed_data.dedup.components import components
from infimed_data.dedup.near import Near

__all__ = ["drop_near_duplicates"]


def drop_near_duplicates(
    rows: pl.DataFrame, found: Sequence[tuple[Near, float, str]], preference: Sequence[str]
) -> pl.DataFrame:
    """`rows` with all but one row of each component marked as dropped; `twin` is the uid of the row that stays.

    Takes the columns number (0, 1, ...), uid, source, stage, rule, value, limit, twin; only rows without a rule take
    part, so nothing is linked by way of a row that was dropped before. `found` has, for each kind of text, its pairs,
    the threshold and what its shingles are called. The preferred source's row stays, then the smallest uid.
    """
    alive = rows["rule"].is_null().to_numpy()
    links = pl.concat([_links(near, alive, limit, what) for near, limit, what in found])
    if links.is_empty():
        return rows
    first, second = links["first"].to_numpy(), links["second"].to_numpy()
    label = components(len(rows), first, second)
    linked = np.unique(np.concatenate([first, second]))
    rank = pl.col("source").replace_strict({name: i for i, name in enumerate(preference)}, return_dtype=pl.Int32)
    members = rows[linked].select("number", "uid", rank=rank).with_columns(component=pl.Series(label[linked]))
    keeper = members.sort("rank", "uid").group_by("component", maintain_order=True).agg(keeper=pl.col("uid").first())
    losers = members.join(keeper, on="component").filter(pl.col("uid") != pl.col("keeper"))
    closest = (
        pl.concat([links, links.rename({"first": "second", "second": "first"})], how="diagonal")
        .select(number=pl.col("first").cast(pl.UInt32), other="second", jaccard="jaccard", limit="limit", what="what")
        .join(rows.select(other=pl.col("number").cast(pl.Int64), nearest="uid"), on="other")
        .sort("number", "jaccard", "nearest", descending=[False, True, False])
        .unique("number", keep="first", maintain_order=True)
    )
    losers = losers.join(closest, on="number", how="left")
    marks = rows.select("number").join(
        losers.select("number", "keeper", "jaccard", "nearest", near_limit="limit", what="what"),
        on="number", how="left", maintain_order="left",
    )  # fmt: skip
    lost = marks["keeper"].is_not_null()
    shown = marks.select(pl.format("{} of its {} with {}", pl.col("jaccard").round(2), "what", "nearest")).to_series()
    return rows.with_columns(
        stage=pl.when(lost).then(pl.lit("dedup")).otherwise("stage"),
        rule=pl.when(lost).then(pl.lit("near_duplicate")).otherwise("rule"),
        value=pl.when(lost).then(shown).otherwise("value"),
        limit=pl.when(lost).then(marks["near_limit"].cast(pl.String)).otherwise("limit"),
        twin=pl.when(lost).then(marks["keeper"]).otherwise("twin"),
    )


def _links(near: Near, alive: NDArray[np.bool_], limit: float, what: str) -> pl.DataFrame:
    """Links between rows that are alive: of each with the first of its equals, and of such firsts with one another."""
    members = np.flatnonzero((near.groups >= 0) & alive)
    first_of = np.full(len(alive), -1, np.int64)
    order = members[::-1]
    first_of[near.groups[order]] = order  # the smallest is written last
    stands = first_of[near.groups[members]]
    equal = members[stands != members]
    a, b = first_of[near.first], first_of[near.second]
    both = (a >= 0) & (b >= 0)
    return pl.DataFrame(
        {
            "first": np.concatenate([first_of[near.groups[equal]], a[both]]),
            "second": np.concatenate([equal, b[both]]),
            "jaccard": np.concatenate([np.ones(len(equal)), near.jaccard[both]]),
        },
        schema={"first": pl.Int64, "second": pl.Int64, "jaccard": pl.Float64},
    ).with_columns(limit=pl.lit(limit), what=pl.lit(what))
