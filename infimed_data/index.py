"""The index of a source: one narrow row for every row read, with its uid, digest, signals and the filters' verdict.

Decisions (filters, duplicates, mixture) work on indexes only; texts and pixels stay where they are until written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from infimed_data.decontaminate.keys import group_keys
from infimed_data.filters import apply_filters
from infimed_data.images import image_tokens, is_deep
from infimed_data.manifest import Filters
from infimed_data.storage.stages import read_table, write_table

__all__ = ["IndexTask", "index_part", "index_source", "key_rows", "write_index"]

_ROW_COLUMNS = [
    "row_key", "file", "row_number", "lang", "answer_kind", "group", "modality", "organ", "question_type", "task",
    "pass_rate", "image_refs", "row_digest", "text_digest", "reject_rule", "reject_value", "reject_limit",
]  # fmt: skip
_SIGNAL_COLUMNS = [
    "question_chars", "answer_chars", "rationale_chars", "words", "text_tokens", "script", "script_share",
    "special_token", "figure_reference", "duplicate_option",
]  # fmt: skip
_JUDGED_ONLY = [
    "script_share", "special_token", "figure_reference", "duplicate_option", "min_side", "max_aspect", "max_flat_share",
    "min_contrast", "image_error", "image_error_value", "image_error_limit",
]  # fmt: skip
"""Columns that only the filters look at: not kept in the index."""


@dataclass(frozen=True)
class IndexTask:
    """One source and split to index."""

    rows: tuple[Path, ...]
    texts: tuple[Path, ...]
    images: Path
    name: str
    key_space: str | None
    filters: Filters | None
    """None: rows are not judged (benchmarks)."""
    meta: tuple[str, ...]
    out: Path


def write_index(task: IndexTask) -> int:
    """Writes the index, one batch an ingested part; returns the number of rows that the filters dropped."""
    frame = index_source(
        task.rows, task.texts, task.images,
        name=task.name, key_space=task.key_space, filters=task.filters, meta=task.meta,
    )  # fmt: skip
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.cast(pa.schema([(field.name, _small(field.type)) for field in table.schema]))
    sizes = np.bincount(frame["part"].to_numpy(), minlength=len(task.rows))
    starts = np.cumsum(sizes) - sizes
    batches = (_one_batch(table.slice(start, size)) for start, size in zip(starts, sizes, strict=True))
    write_table(task.out, batches, table.schema)
    return frame.filter(pl.col("stage") == "filter").height


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def _small(kind: pa.DataType) -> pa.DataType:
    """Polars' large types as the plain ones of the schemas."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_small(kind.value_type))
    return kind


def index_source(
    rows: Sequence[Path],
    texts: Sequence[Path],
    images: Path,
    *,
    name: str,
    key_space: str | None,
    filters: Filters | None,
    meta: Sequence[str],
) -> pl.DataFrame:
    """The index of one source and split, in ingest order. `meta` names fields of the rows' meta to bring along."""
    pictures = _pictures(images, name.partition("/")[0])
    parts = [
        index_part(part, row_path, text_path, pictures, filters=filters, meta=meta)
        for part, (row_path, text_path) in enumerate(zip(rows, texts, strict=True))
    ]
    return key_rows(pl.concat(parts), name).with_columns(group_keys(key_space))


def _pictures(path: Path, source: str) -> pl.DataFrame:
    """Measurements by reference. `image_key` is the reference of the first file with the same bytes."""
    measured = pl.DataFrame(read_table(path))
    sizes = zip(measured["width"].to_list(), measured["height"].to_list(), strict=True)
    tokens = [image_tokens(w, h) if w and h else 0 for w, h in sizes]
    deep = [is_deep(mode or "") for mode in measured["mode"].to_list()]
    return measured.with_columns(
        image_key=pl.lit(f"{source}|") + pl.col("ref").min().over("blob"),
        tokens=pl.Series(tokens, dtype=pl.Int32),
        deep=pl.Series(deep, dtype=pl.Boolean),
    ).rename({"ref": "image_refs"})


def index_part(
    part: int, rows: Path, texts: Path, pictures: pl.DataFrame, *, filters: Filters | None, meta: Sequence[str]
) -> pl.DataFrame:
    """The index of one ingested part, judged by the filters, without uids."""
    frame = pl.DataFrame(read_table(rows, [*_ROW_COLUMNS, "meta"] if meta else _ROW_COLUMNS))
    signals = pl.DataFrame(read_table(texts, _SIGNAL_COLUMNS))
    frame = pl.concat([frame, signals], how="horizontal").with_row_index("row")
    if meta:
        frame = frame.with_columns(
            pl.col("meta").str.json_path_match(f"$.{name}").alias(f"meta.{name}") for name in meta
        ).drop("meta")
    frame = frame.join(_row_pictures(frame, pictures), on="row", how="left", maintain_order="left").with_columns(
        pl.lit(part, pl.UInt32).alias("part"),
        pl.col("images", "image_keys", "blobs").fill_null([]),
        pl.col("image_tokens", "image_bytes").fill_null(0),
        pl.col("max_pixels").fill_null(0),
        pl.col("deep").fill_null(False),
        stage=pl.when(pl.col("reject_rule").is_not_null()).then(pl.lit("ingest")),
        rule=pl.col("reject_rule"),
        value=pl.col("reject_value"),
        limit=pl.col("reject_limit"),
        twin=pl.lit(None, pl.String),
    )
    judged = frame if filters is None else apply_filters(frame, filters)
    return judged.drop(*_JUDGED_ONLY, "reject_rule", "reject_value", "reject_limit")


def _row_pictures(frame: pl.DataFrame, pictures: pl.DataFrame) -> pl.DataFrame:
    """What each row's images say together."""
    each = frame.select("row", "image_refs").explode("image_refs", empty_as_null=False, keep_nulls=False)
    each = each.join(pictures, on="image_refs", how="left", maintain_order="left")
    longer, shorter = pl.max_horizontal("width", "height"), pl.min_horizontal("width", "height")
    failed = pl.col("error").is_not_null()
    return each.group_by("row", maintain_order=True).agg(
        images=pl.col("digest").drop_nulls(),
        image_keys=pl.col("image_key"),
        blobs=pl.col("blob").drop_nulls(),
        image_bytes=pl.col("bytes").sum(),
        image_tokens=pl.col("tokens").sum(),
        max_pixels=(pl.col("width").cast(pl.Int64) * pl.col("height")).max(),
        deep=pl.col("deep").any(),
        min_side=shorter.min(),
        max_aspect=(longer / shorter).max(),
        max_flat_share=pl.col("flat_share").max(),
        min_contrast=pl.col("contrast").min(),
        image_error=pl.col("error").filter(failed).first(),
        image_error_value=pl.when(pl.col("error_value").filter(failed).first().is_null())
        .then(pl.col("error").filter(failed).first())
        .otherwise(pl.col("error_value").filter(failed).first()),
        image_error_limit=pl.col("error_limit").filter(failed).first(),
    )


def key_rows(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """`frame` with `uid` and `digest`, and with rows that repeat another's key rejected.

    A row without a key of its own gets one from its content, so that it keeps it when rows are added or reordered.
    """
    digests, keys = [], []
    wanted = frame.select("row_key", "row_digest", "text_digest", "images", "blobs")
    for key, row, text, images, blobs in wanted.iter_rows():
        digests.append(None if text is None else xxhash.xxh3_128_hexdigest(text + "".join(images).encode()))
        keys.append(key or "x" + xxhash.xxh3_64_hexdigest((row or b"") + "".join(blobs).encode())[:12])
    frame = frame.with_columns(
        uid=pl.lit(f"{name}/") + pl.Series("key", keys, pl.String),
        digest=pl.Series("digest", digests, pl.String),
        own_key=pl.col("row_key").is_not_null(),
    ).drop("text_digest", "blobs")
    frame = frame.with_columns(row_key=pl.Series("row_key", keys, pl.String))
    if frame["uid"].n_unique() == len(frame):
        return frame.drop("own_key", "row_digest")
    return _repeated_keys(frame).drop("own_key", "row_digest")


def _repeated_keys(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows after the first of each uid, by content and place, get the uid `...~2` and so on, and are rejected.

    Only rows with ids of their own are rejected: two rows without ids and with one content are duplicates, not a fault.
    """
    frame = frame.with_row_index("at")
    repeated = frame.filter(pl.len().over("uid") > 1).sort(
        "uid", pl.col("rule").is_not_null(), "digest", "row_digest", "file", "row_number"
    )
    numbered = repeated.select("at", "own_key", first="uid", copy=pl.int_range(1, pl.len() + 1).over("uid")).filter(
        pl.col("copy") > 1
    )
    frame = frame.join(numbered.drop("own_key"), on="at", how="left", maintain_order="left")
    later = pl.col("copy").is_not_null()
    rejected = later & pl.col("own_key") & (pl.col("stage").is_null() | (pl.col("stage") != "ingest"))
    return frame.with_columns(
        uid=pl.when(later).then(pl.format("{}~{}", "uid", "copy")).otherwise("uid"),
        stage=pl.when(rejected).then(pl.lit("ingest")).otherwise("stage"),
        rule=pl.when(rejected).then(pl.lit("duplicate_row_key")).otherwise("rule"),
        value=pl.when(rejected).then("row_key").otherwise("value"),
        limit=pl.when(rejected).then(pl.lit("a key of its own")).otherwise("limit"),
        twin=pl.when(rejected).then("first").otherwise("twin"),
    ).drop("at", "first", "copy")
