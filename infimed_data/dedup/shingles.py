"""Shingles: the set of word n-grams that a row's text is compared by.

A row's text is its question (and what users and the system say), each of its options, its answer, and its reasoning
(and what the assistant says). An n-gram never reaches from one of them into the next, so the order of options does not
matter. The set is salted with the row's gate: rows that may not be duplicates of one another share no shingle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infimed_data.storage.stages import read_table
from infimed_data.words import grams_of, mixed, texts_of

__all__ = ["COLUMNS", "DocPart", "Shingled", "shingles_of_part"]

COLUMNS = ("asked", "offered", "answered", "told")
"""Word lists of a row, as the text signals have them."""
HASH_BITS = 48
HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
BATCH_ROWS = 4096
BATCH_WORDS = 1 << 20
"""Words that the rows of one batch have together at most, unless one row alone has more."""


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

    @property
    def owners(self) -> NDArray[np.int64]:
        """The row of each key."""
        return (self.keys >> np.uint64(HASH_BITS)).astype(np.int64)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """The shingle of each key, 48 bits."""
        return self.keys & HASH_MASK


def shingles_of_part(part: DocPart, size: int, *, min_words: int, max_words: int | None) -> Iterator[Shingled]:
    """Shingle sets of a part's rows, at most `BATCH_ROWS` rows and `BATCH_WORDS` words at a time; a shingle is `size`
    words.

    Rows with fewer than `min_words` or more than `max_words` words have none.
    """
    table = read_table(part.signals, list(COLUMNS))
    gates = None if part.gates is None else read_table(part.gates, ["gate"])
    for start, stop in _batches(table):
        rows = table.slice(start, stop - start)
        gate, takes_part = np.zeros(len(rows), np.uint64), np.ones(len(rows), np.bool_)
        if gates is not None:
            column = gates.column("gate").slice(start, stop - start).combine_chunks()
            takes_part = column.is_valid().to_numpy(zero_copy_only=False)
            gate = column.fill_null(0).to_numpy(zero_copy_only=False)
        texts = [texts_of(rows.column(name)) for name in COLUMNS]
        words = np.zeros(len(rows), np.int64)
        for _, bounds, owners in texts:
            np.add.at(words, owners, np.diff(bounds))
        takes_part = takes_part & (words >= min_words)
        if max_words is not None:
            takes_part &= words <= max_words
        yield Shingled(_keys(texts, size, gate, takes_part), len(rows))


def _batches(table: pa.Table) -> Iterator[tuple[int, int]]:
    """First and one past the last row of each batch."""
    words = np.zeros(len(table), np.int64)
    for name in COLUMNS:
        words += pc.fill_null(pc.list_value_length(table.column(name)), 0).to_numpy()
    ends = np.cumsum(words)
    start = 0
    while start < len(table):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + BATCH_WORDS, side="right"))
        stop = max(start + 1, min(stop, start + BATCH_ROWS))
        yield start, stop
        start = stop


def _keys(
    texts: Sequence[tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]],
    size: int,
    gates: NDArray[np.uint64],
    takes_part: NDArray[np.bool_],
) -> NDArray[np.uint64]:
    found = [np.zeros(0, np.uint64)]
    for words, bounds, owners in texts:
        wanted = takes_part[owners]
        if not wanted.any() or not len(words):
            continue
        if not wanted.all():
            lengths = np.diff(bounds)
            words, owners = words[np.repeat(wanted, lengths)], owners[wanted]
            bounds = np.concatenate([[0], np.cumsum(lengths[wanted])])
        grams, starts = grams_of(words, bounds, size)
        owner = np.repeat(owners, np.diff(starts))
        found.append((owner.astype(np.uint64) << np.uint64(HASH_BITS)) | (mixed(grams ^ gates[owner]) & HASH_MASK))
    keys = np.concatenate(found)
    keys.sort()
    fresh = np.ones(len(keys), np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    return keys[fresh]
