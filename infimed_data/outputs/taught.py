"""What teachers change of decisions: rows that leave, measures of new rationales, several rows of one sample."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from infimed_data.manifest import Manifest, Mixture, Order
from infimed_data.storage.stages import read_table

__all__ = ["NO_TARGETS", "Rationales", "in_order_of_difficulty", "placed_copies", "taught_rows", "with_traces"]

NO_TARGETS = pl.DataFrame(
    schema={
        "number": pl.UInt32, "unit": pl.UInt32, "at": pl.UInt32, "copy": pl.Int32, "pass": pl.String, "key": pl.String,
        "file": pl.String, "row": pl.UInt32, "rationale_chars": pl.Int32, "words": pl.Int32, "text_tokens": pl.Int32,
        "sft_split": pl.String, "sft_position": pl.Int64,
    }
)  # fmt: skip
"""No row has a text that a teacher wrote."""
_MEASURES = ("rationale_chars", "words", "text_tokens")


def taught_rows(rows: pl.DataFrame, taught: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the drops and pass rates that came of asking teachers, what `rl` may not draw, and the measures of a
    row with its trace as `taught_words` and so on: only `sft` shows traces, so no other output is ordered by them."""
    new = taught.rename({name: f"new_{name}" for name in ("pass_rate", "rule", "value", "limit")})
    measured = targets.filter(pl.col("copy") == 0).select(
        "number", *(pl.col(n).alias(f"taught_{n}") for n in _MEASURES)
    )
    rows = rows.join(new, on="number", how="left", maintain_order="left")
    rows = rows.join(measured, on="number", how="left", maintain_order="left")
    leaves = pl.col("new_rule").is_not_null()
    changed = [
        pl.when(leaves).then(pl.lit("generate")).otherwise("stage").alias("stage"),
        *(pl.when(leaves).then(f"new_{name}").otherwise(name).alias(name) for name in ("rule", "value", "limit")),
        pl.coalesce("new_pass_rate", "pass_rate").alias("pass_rate"),
    ]
    if "meta.pass_rate" in rows.columns:
        own = pl.col("meta.pass_rate").cast(pl.Float64, strict=False)
        changed.append(pl.coalesce("new_pass_rate", own, "pass_rate").alias("meta.pass_rate"))
    rows = rows.with_columns(changed)
    return rows.drop(name for name in rows.columns if name.startswith("new_"))


def with_traces(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` as `sft` has them: measured with the traces that they show."""
    taught = [name for name in _MEASURES if name in rows.columns and f"taught_{name}" in rows.columns]
    return rows.with_columns(pl.coalesce(f"taught_{name}", name).alias(name) for name in taught)


def in_order_of_difficulty(output: str, mixture: Mixture, manifest: Manifest) -> Mixture:
    """The mixture of an output; that of `rl` in the curriculum of `difficulty`, where it has no order of its own."""
    difficulty = manifest.difficulty
    if output != "rl" or difficulty is None or mixture.order is not None or difficulty.order == "shuffled":
        return mixture
    order = Order(by="pass_rate", descending=difficulty.order == "easy_first")
    return mixture.model_copy(update={"order": order})


def placed_copies(
    targets: pl.DataFrame, members: np.ndarray[Any, np.dtype[Any]], *, shuffled: bool, seed: int
) -> pl.DataFrame:
    """number, copy and sft_position of every row that a split has for its samples, given in their order.

    Further copies of a sample lie anywhere where the order is drawn, and behind the first where it means something.
    """
    order = pl.DataFrame({"number": members, "place": np.arange(len(members), dtype=np.float64)})
    order = order.with_columns(pl.col("number").cast(pl.UInt32))
    further = order.join(targets.filter(pl.col("copy") > 0).select("number", "copy", "key"), on="number", how="inner")
    if shuffled:
        digest = xxhash.xxh3_64_intdigest
        drawn = [
            digest(f"{seed}/sft/{key}/{copy}".encode()) / 2**64
            for copy, key in further.select("copy", "key").iter_rows()
        ]
        further = further.with_columns(place=pl.Series(drawn, dtype=pl.Float64) * len(members) - 0.5)
    everything = pl.concat(
        [order.select("number", pl.lit(0, pl.Int32).alias("copy"), "place"), further.select("number", "copy", "place")]
    ).sort("place", "number", "copy")
    return everything.with_row_index("sft_position").select("number", "copy", pl.col("sft_position").cast(pl.Int64))


class Rationales:
    """The texts that teachers wrote, read from their shards, a few of them in memory at a time."""

    def __init__(self) -> None:
        self._shard = lru_cache(maxsize=8)(self._read)

    @staticmethod
    def _read(file: str) -> pa.Array:
        return read_table(Path(file), ["rationale"]).column("rationale").combine_chunks()

    def of_part(self, targets: pl.DataFrame, first: int) -> pa.Table:
        """What is written for the rows of an ingested part, whose first row is number `first` of its unit: `row` in the
        part, copy, rationale, its measures, and `to_sft-SPLIT`, the position of a further copy (-1 for none)."""
        targets = targets.sort("file", "row")
        texts = [
            self._shard(str(file)).take(pa.array(own["row"].to_list(), pa.int64()))
            for (file,), own in targets.group_by("file", maintain_order=True)
        ]
        table = pa.table(
            {
                "row": pa.array((targets["at"].cast(pl.Int64) - first).to_list(), pa.int64()),
                "copy": pa.array(targets["copy"].to_list(), pa.int32()),
                "rationale": pa.concat_arrays(texts),
                **{name: pa.array(targets[name].to_list(), pa.int32()) for name in _MEASURES},
                **{f"to_sft-{split}": _positions(targets, split) for split in ("train", "validation")},
            }
        )
        return table.sort_by([("row", "ascending"), ("copy", "ascending")])


def _positions(targets: pl.DataFrame, split: str) -> pa.Array:
    further = (pl.col("copy") > 0) & (pl.col("sft_split") == split)
    placed = targets.select(pl.when(further).then("sft_position").otherwise(-1).fill_null(-1))
    return pa.array(placed.to_series().to_list(), pa.int64())
