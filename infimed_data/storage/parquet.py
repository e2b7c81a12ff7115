"""Rows of Parquet files that cost no more than what they say: one value, stored once, can stand in every row.

Texts and bytes are read as the dictionaries that the file has of them, so that the size of a row is known before it is
made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.limits import ReadLimits

__all__ = ["spared_rows"]

BATCH_ROWS = 1024
_FEW_BYTES = 64 << 20
"""A batch that cannot be larger is made at once."""
_MANY_VALUES = 1 << 26
_VALUES_A_ROW = 1000
"""A column of a row group with more values than both allow is made to fill the memory: nulls take no space."""


def spared_rows(
    path: Path, group: int, columns: Sequence[str], limits: ReadLimits
) -> Iterator[dict[str, Any] | Reject]:
    """The rows of a row group, of the named columns or leaves of columns; one that is too large is a `Reject`.

    Raises `SourceError` for what cannot be read.
    """
    where = f"{path}: row group {group}"
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_values(file.metadata.row_group(group), where)
            leaves = [leaf.path for leaf in file.schema if leaf.physical_type == "BYTE_ARRAY"]
        for spared in (leaves, [leaf for leaf in leaves if "." not in leaf]):
            try:
                with pq.ParquetFile(path, read_dictionary=spared) as file:
                    at = 0
                    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                        if at >= done:
                            yield from _rows(batch, limits.max_row_bytes)
                            done += len(batch)
                        at += len(batch)
                return
            except pa.ArrowNotImplementedError:  # Arrow has no dictionaries in some lists
                if spared is not leaves:
                    raise
    except (pa.ArrowException, OSError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise SourceError(f"{where} cannot be read ({line}); fetch it again") from error


def _check_values(meta: Any, where: str) -> None:
    for index in range(meta.num_columns):
        chunk = meta.column(index)
        if chunk.num_values > max(_MANY_VALUES, _VALUES_A_ROW * meta.num_rows):
            raise SourceError(
                f"{where}: column {chunk.path_in_schema} has {chunk.num_values:,} values in {meta.num_rows:,} rows; "
                f"allowed: {_VALUES_A_ROW:,} a row, or {_MANY_VALUES:,} in all"
            )


def _rows(batch: pa.RecordBatch, most: int) -> Iterator[dict[str, Any] | Reject]:
    """The rows of a batch. Where it may be large, each is weighed before it is made."""
    if sum(_bound(column) for column in batch.columns) <= min(_FEW_BYTES, most):
        yield from batch.to_pylist()
        return
    sizes = np.zeros(len(batch), np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            sizes += np.asarray(pc.fill_null(lengths, 0), np.int64)
        elif _bound(column) > _FEW_BYTES // 64:
            sizes += [_exact(column.slice(row, 1)) for row in range(len(batch))]
    for row, size in enumerate(sizes.tolist()):
        if size > most:
            yield Reject("row_too_large", f"{size:,} bytes", f"{most:,} bytes (limits.max_row_bytes)")
        else:
            yield from batch.slice(row, 1).to_pylist()


def _bound(array: pa.Array) -> int:
    """Bytes that the values of an array take at most, each text of a dictionary counted as often as it stands there."""
    if pa.types.is_dictionary(array.type):
        if not len(array.dictionary):
            return len(array)
        return len(array) * int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0)
    return _within(array, _bound)


def _exact(array: pa.Array) -> int:
    """Bytes that the values of an array take."""
    if pa.types.is_dictionary(array.type):
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    return _within(array, _exact)


def _within(array: pa.Array, size: Callable[[pa.Array], int]) -> int:
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return 8 * len(array) + size(array.flatten() if not pa.types.is_map(kind) else _entries(array))
    if pa.types.is_struct(kind):
        return len(array) + sum(size(child) for child in array.flatten())
    return int(array.nbytes)


def _entries(array: pa.Array) -> pa.Array:
    first, last = (array.offsets[at].as_py() for at in (0, len(array)))
    return pa.StructArray.from_arrays(
        [array.keys.slice(first, last - first), array.items.slice(first, last - first)], ["key", "value"]
    )
