"""Small copies of the pictures of a stage, all of one size, in one file that is mapped into memory.

squares.npy     (n, side, side) bytes
squares.arrow   the digests of their pictures, sorted: row n of the one belongs to row n of the other
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infimed_data.storage.arrays import map_array
from infimed_data.storage.stages import read_table, write_table

__all__ = ["gather_squares", "map_squares", "square_rows", "write_squares"]

_PART = pa.schema([("digest", pa.string()), ("square", pa.binary())])
_DIGESTS = pa.schema([("digest", pa.string())])


def write_squares(path: Path, squares: Mapping[str, NDArray[np.uint8]]) -> None:
    """Writes the squares of some pictures, by digest, for `gather_squares`."""
    columns = [pa.array(list(squares), pa.string()), pa.array([one.tobytes() for one in squares.values()], pa.binary())]
    write_table(path, pa.table(columns, schema=_PART), _PART)


def gather_squares(folder: Path, digests: pa.Array, parts: Sequence[Path], known: Sequence[Path], side: int) -> None:
    """Writes the squares of `digests` (distinct, sorted) into `folder`, each from one of the `parts`, or from one of
    the folders `known` that have theirs already. Raises `KeyError` where none has it.
    """
    wanted = _bytes(digests)
    found = np.zeros(len(digests), np.bool_)
    squares = np.lib.format.open_memmap(
        folder / "squares.npy", mode="w+", dtype=np.uint8, shape=(len(digests), side, side)
    ) if len(digests) else np.zeros((0, side, side), np.uint8)  # fmt: skip
    for own, planes in _sources(parts, known, side):
        if not (len(own) and len(wanted)):
            continue
        names = _bytes(own)
        rows = np.minimum(wanted.searchsorted(names), len(wanted) - 1)
        for at in np.flatnonzero((wanted[rows] == names) & ~found[rows]):
            squares[rows[at]] = planes[at]
            found[rows[at]] = True
    if not found.all():
        raise KeyError(digests[int(np.flatnonzero(~found)[0])].as_py())
    if not len(digests):
        np.save(folder / "squares.npy", squares)
    write_table(folder / "squares.arrow", pa.table([digests], schema=_DIGESTS), _DIGESTS)


def _sources(parts: Sequence[Path], known: Sequence[Path], side: int) -> Iterator[tuple[pa.Array, NDArray[np.uint8]]]:
    for path in parts:
        table = read_table(path)
        data = b"".join(table.column("square").to_pylist())
        yield table.column("digest").combine_chunks(), np.frombuffer(data, np.uint8).reshape(len(table), side, side)
    for folder in known:
        yield _digests_in(folder), map_squares(folder)


def _bytes(digests: pa.Array) -> NDArray[np.bytes_]:
    return np.array(digests.to_pylist(), np.bytes_)


def map_squares(folder: Path) -> NDArray[np.uint8]:
    """(n, side, side): the squares of `folder`, mapped into memory."""
    found: NDArray[Any] = map_array(folder / "squares.npy")
    return found


def square_rows(folder: Path, digests: pa.Array) -> pa.Array:
    """For each digest the row of its square, null where `folder` has none."""
    return pc.index_in(digests, value_set=_digests_in(folder))


def _digests_in(folder: Path) -> pa.Array:
    return read_table(folder / "squares.arrow").column("digest").combine_chunks()
