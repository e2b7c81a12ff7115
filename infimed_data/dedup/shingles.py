"""Shingles: the set of word n-grams that a row's text is compared by.

A row's text is its question (and what users and the system say), each of its options, its answer, and its reasoning
(and what the assistant says). An n-gram never reaches from one of them into the next, so the order of options does not
matter. The set is salted with the row's gate: rows that may not be duplicates of one another share no shingle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.storage.stages import read_table
from infimed_data.words import grams_of, mixed, texts_of

__all__ = ["COLUMNS", "DocPart", "Shingled", "shingles_of_part"]

COLUMNS = ("asked", "offered", "answered", "told")
"""Word lists of a row, as the text signals have them."""
HASH_BITS = 48
HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class DocPart:
    """One part of the text signals, and what is known of its rows."""

    signals: Path
    """Arrow file with the columns `COLUMNS`, each list<uint32>."""
    gates: Path | None
    """Arrow file with a column `gate` (uint64) in the same order; null: the row takes no part. None: all rows do, and
    any two may be duplicates."""


@dataclass(frozen=True, slots=True)
class Shingled:
    """The shingle sets of a run of rows."""

    keys: NDArray[np.uint64]
    """Distinct, sorted: row in the upper 16 bits, counted from the run's first, a shingle's digest in the lower 48."""
    rows: int
    words: NDArray[np.int64]
    """Words of each row; -1 for rows that take no part."""

    @property
    def owners(self) -> NDArray[np.int64]:
        """The row of each key."""
        return (self.keys >> np.uint64(HASH_BITS)).astype(np.int64)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """The shingle of each key, 48 bits."""
        return self.keys & HASH_MASK


def shingles_of_part(part: DocPart, size: int) -> Iterator[Shingled]:
    """Shingle sets of a part's rows, `BATCH_ROWS` rows at a time; a shingle is `size` words."""
    table = read_table(part.signals, list(COLUMNS))
    gates = None if part.gates is None else read_table(part.gates, ["gate"])
    for start in range(0, len(table), BATCH_ROWS):
        rows = table.slice(start, BATCH_ROWS)
        gate, takes_part = np.zeros(len(rows), np.uint64), np.ones(len(rows), np.bool_)
        if gates is not None:
            column = gates.column("gate").slice(start, BATCH_ROWS).combine_chunks()
            takes_part = column.is_valid().to_numpy(zero_copy_only=False)
            gate = column.fill_null(0).to_numpy(zero_copy_only=False)
        yield _shingled(rows, size, gate, takes_part)


def _shingled(rows: pa.Table, size: int, gates: NDArray[np.uint64], takes_part: NDArray[np.bool_]) -> Shingled:
    counts = np.zeros(len(rows), np.int64)
    found = []
    for name in COLUMNS:
        words, bounds, owners = texts_of(rows.column(name))
        if not len(words):
            continue
        grams, starts = grams_of(words, bounds, size)
        owner = np.repeat(owners, np.diff(starts))
        np.add.at(counts, owners, np.diff(bounds))
        found.append((owner.astype(np.uint64) << np.uint64(HASH_BITS)) | (mixed(grams ^ gates[owner]) & HASH_MASK))
    keys = np.concatenate(found) if found else np.zeros(0, np.uint64)
    if not takes_part.all():
        keys = keys[takes_part[(keys >> np.uint64(HASH_BITS)).astype(np.int64)]]
    keys.sort()
    fresh = np.ones(len(keys), np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    counts[~takes_part] = -1
    return Shingled(keys[fresh], len(rows), counts)
