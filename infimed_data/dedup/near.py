"""Near-duplicate texts: every pair of rows whose shingle sets have at least a given Jaccard similarity, exactly.

An exact join by prefixes instead of sketches. Put the shingles of every row in one common order, the rarest first: two
sets that are similar enough must share a shingle among the first `size - ceil(threshold * size) + 1` of each. Most of
those stand in one row only, so few pairs are left to compare. On 50,000 and 200,000 texts this takes less time than
MinHash with banding and misses nothing (tests/benchmarks/bench_text.py has both, and the figures).

Three passes over the parts, in worker processes: sizes and how often each shingle occurs; the prefixes; the sets of the
rows that are compared. What comes back does not depend on the number of processes, the parts or the order of rows.

Source of the prefix filter: Chaudhuri, Ganti, Kaushik: "A primitive operator for similarity joins in data cleaning",
ICDE 2006; Bayardo, Ma, Srikant: "Scaling up all pairs similarity search", WWW 2007.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.dedup.components import components
from infimed_data.dedup.shingles import HASH_BITS, DocPart, Shingled, shingles_of_part
from infimed_data.engine import Engine
from infimed_data.storage.stages import atomic_write, read_table, write_table
from infimed_data.words import mixed

__all__ = ["LONG_TEXTS", "SHORT_TEXTS", "Near", "Regime", "near_duplicates"]


@dataclass(frozen=True, slots=True)
class Regime:
    """How texts of one range of lengths are compared."""

    size: int
    """Words of a shingle."""
    threshold: float
    """Smallest Jaccard similarity of near-duplicates."""
    min_words: int
    """Shortest text that takes part."""
    max_words: int | None
    """Longest text that takes part; None: any."""


LONG_TEXTS = Regime(size=5, threshold=0.8, min_words=32, max_words=None)
"""Vignettes, reasoning, conversations: one edited word of a hundred changes five of about a hundred shingles."""
SHORT_TEXTS = Regime(size=2, threshold=0.9, min_words=1, max_words=40)
"""Stems: five words hold one shingle of five, so they are compared by pairs of words, and must agree almost wholly, for
one word ("not", "left") turns a question round. The two ranges overlap, so that no pair falls between them."""

COUNT_BITS = (12, 24)
"""Smallest and largest size of the table of shingle counts, as a power of two."""
WORDS_A_ROW = 64
"""Words that a row has more or less, for the size of that table."""
PREFIX_HASH_BITS = 34
COMMON = (1 << 14) - 1
"""Counts are told apart up to this one."""
BITMAP_BITS = 512
"""Bits of the signature that refuses most pairs without a look at their sets."""
ALL_PAIRS = 256
"""Rows that share a prefix shingle are all compared with one another up to this number of them; beyond, each with its
next `ALL_PAIRS ** 2 / number` by size, at least 8."""
ALL_MEASURED = 1 << 18
TASK_ROWS = 65_536
SLICE = 1 << 21
PAIRS_AT_A_TIME = 1 << 12
HEAVY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Near:
    """What one regime found."""

    groups: NDArray[np.int64]
    """For each row the first row with the same shingle set (often itself), or -1 where it takes no part."""
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    """Pairs of rows that stand for their groups, first < second."""
    jaccard: NDArray[np.float64]
    """Similarity of each pair, at least the threshold. Where there are more than `ALL_MEASURED` likely pairs, those
    whose rows other pairs link already are not measured, and not here."""
    compared: int
    """Pairs that shared a prefix shingle and a possible size."""
    passed_over: int
    """Pairs that were not looked at because too many rows share their prefix shingle."""


@dataclass(frozen=True, slots=True)
class _Task:
    parts: tuple[DocPart, ...]
    regime: Regime
    first_row: int
    out: Path
    counts: Path
    """Table of shingle counts: written by the first pass, read by the second."""
    bits: int
    """Size of that table, as a power of two."""
    chosen: Path | None = None
    """Arrow file with a column `row`: the rows to look at, sorted."""


def near_duplicates(
    parts: Sequence[DocPart], rows: Sequence[int], regime: Regime, engine: Engine, folder: Path
) -> Near:
    """All near-duplicates among the rows of `parts` (`rows` has the number of rows of each), numbered through.

    `folder` is for files on the way; it must exist and may be removed afterwards.
    """
    # The size of the table rests on the number of rows alone, so that no order of rows changes what is passed over.
    bits = int(np.clip((sum(rows) * WORDS_A_ROW).bit_length(), *COUNT_BITS))
    tasks = _tasks(parts, rows, regime, bits, folder)
    heavy = sum(part.signals.stat().st_size for part in parts) > HEAVY_BYTES
    _run(engine, _count, tasks, heavy)
    sizes, digests = _sets(tasks)
    groups = _groups(sizes, digests)
    stand_ins = np.flatnonzero((groups == np.arange(len(groups))) & (sizes > 0))
    _sum_counts(tasks, folder / "counts.npy")
    chosen = folder / "stand-ins.arrow"
    _write_rows(chosen, stand_ins)
    tasks = [replace(task, counts=folder / "counts.npy", chosen=chosen) for task in tasks]
    _run(engine, _prefix, tasks, heavy)
    found = _candidates(tasks, sizes, digests, regime.threshold)
    needed = np.unique(found.rows[found.pairs])
    _write_rows(chosen, needed)
    _run(engine, _gather, tasks, heavy and len(needed) > TASK_ROWS)
    shingles = np.concatenate([np.load(task.out.with_suffix(".shingles.npy")) for task in tasks])
    pairs, jaccard = _verified(found, _Sets(needed, sizes[needed], shingles), regime.threshold)
    pairs = np.sort(found.rows[pairs], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Near(groups, pairs[order, 0], pairs[order, 1], jaccard[order], found.compared, found.passed_over)


def _tasks(parts: Sequence[DocPart], rows: Sequence[int], regime: Regime, bits: int, folder: Path) -> list[_Task]:
    """Runs of parts with about `TASK_ROWS` rows together."""
    tasks: list[_Task] = []
    start = first_row = row = 0
    for at, count in enumerate(rows, 1):
        row += count
        if row - first_row >= TASK_ROWS or at == len(parts):
            out = folder / f"{len(tasks):05d}"
            tasks.append(_Task(tuple(parts[start:at]), regime, first_row, out, out.with_suffix(".counts.npy"), bits))
            start, first_row = at, row
    return tasks


def _run(engine: Engine, function: object, tasks: Sequence[_Task], heavy: bool) -> None:
    for _ in engine.map(function, tasks, label="comparing texts", heavy=heavy):  # type: ignore[arg-type]
        pass


def _shingled(task: _Task) -> Iterator[tuple[int, Shingled]]:
    """(first row, shingle sets) of the task's batches."""
    row = task.first_row
    regime = task.regime
    for part in task.parts:
        for batch in shingles_of_part(part, regime.size, min_words=regime.min_words, max_words=regime.max_words):
            yield row, batch
            row += batch.rows


def _count(task: _Task) -> int:
    """Writes size and digest of each row's set (size 0: it takes no part), and the counts of the shingles."""
    counts = np.zeros(1 << task.bits, np.uint32)
    sizes, digests = [], []
    for _, batch in _shingled(task):
        owners = batch.owners
        size = np.bincount(owners, minlength=batch.rows)
        digest = np.zeros(batch.rows, np.uint64)
        starts = np.searchsorted(owners, np.arange(batch.rows))
        held = size > 0
        sums = np.add.reduceat(mixed(batch.digests), starts[held]) if held.any() else np.zeros(0, np.uint64)
        digest[held] = mixed(sums)
        slots = batch.digests >> np.uint64(HASH_BITS - task.bits)
        np.add.at(counts, slots.astype(np.int64), np.uint32(1))
        sizes.append(size.astype(np.uint32))
        digests.append(digest)
    table = pa.table({"size": np.concatenate(sizes), "digest": np.concatenate(digests)})
    write_table(task.out.with_suffix(".sets.arrow"), table, table.schema)
    _save(task.counts, counts)
    return len(table)


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def _sets(tasks: Sequence[_Task]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    tables = [read_table(task.out.with_suffix(".sets.arrow")) for task in tasks]
    joined = pa.concat_tables(tables)
    return joined.column("size").to_numpy().astype(np.int64), joined.column("digest").to_numpy()


def _groups(sizes: NDArray[np.int64], digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each row the first row with an equal set, -1 for rows without one."""
    takes_part = np.flatnonzero(sizes > 0)
    groups = np.full(len(sizes), -1, np.int64)
    _, first, which = np.unique(digests[takes_part], return_index=True, return_inverse=True)
    groups[takes_part] = takes_part[first[which]]
    return groups


def _sum_counts(tasks: Sequence[_Task], out: Path) -> None:
    total = np.load(tasks[0].counts)
    for task in tasks[1:]:
        total += np.load(task.counts)
    _save(out, total)


def _write_rows(path: Path, rows: NDArray[np.int64]) -> None:
    table = pa.table({"row": rows})
    write_table(path, table, table.schema)


def _chosen(task: _Task) -> NDArray[np.int64]:
    assert task.chosen is not None
    return np.asarray(read_table(task.chosen).column("row").to_numpy())


def _marked(rows: NDArray[np.int64], first: int, count: int) -> NDArray[np.bool_]:
    """Which of the `count` rows from `first` on are among the sorted `rows`."""
    low, high = np.searchsorted(rows, [first, first + count])
    marks = np.zeros(count, np.bool_)
    marks[rows[low:high] - first] = True
    return marks


def _prefix(task: _Task) -> int:
    """Writes the prefix shingles of each chosen row that some other row may have, and the rows' bitmaps."""
    rows, counts = _chosen(task), np.load(task.counts, mmap_mode="r")
    shift = np.uint64(PREFIX_HASH_BITS)
    hash_mask = np.uint64((1 << PREFIX_HASH_BITS) - 1)
    entries, owners_, docs, maps = [], [], [], []
    for first, batch in _shingled(task):
        marks = _marked(rows, first, batch.rows)
        owners = batch.owners
        keep = marks[owners]
        owners, digests = owners[keep], batch.digests[keep]
        common = np.minimum(counts[(digests >> np.uint64(HASH_BITS - task.bits)).astype(np.int64)], COMMON)
        # Row, then how common, then digest: the common order of all rows, cut off after each row's prefix.
        keys = (owners.astype(np.uint64) << np.uint64(48)) | (common.astype(np.uint64) << shift) | (digests & hash_mask)
        keys.sort()
        owner = (keys >> np.uint64(48)).astype(np.int64)
        sizes = np.bincount(owner, minlength=batch.rows)
        place = np.arange(len(keys)) - (np.cumsum(sizes) - sizes)[owner]
        prefix = sizes - np.ceil(task.regime.threshold * sizes - 1e-9).astype(np.int64) + 1
        shared = ((keys >> shift) & np.uint64(COMMON)) > 1
        wanted = shared & (place < prefix[owner])
        entries.append(keys[wanted] & hash_mask)
        owners_.append(owner[wanted] + first)
        with_entries = np.unique(owner[wanted])
        docs.append(with_entries + first)
        maps.append(_bitmaps(owners, digests, batch.rows)[with_entries])
    table = pa.table({"hash": np.concatenate(entries), "row": np.concatenate(owners_)})
    write_table(task.out.with_suffix(".prefix.arrow"), table, table.schema)
    bitmaps = np.concatenate(maps)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(bitmaps.ravel()), BITMAP_BITS // 64)
    table = pa.table({"row": np.concatenate(docs), "bitmap": flat})
    write_table(task.out.with_suffix(".maps.arrow"), table, table.schema)
    return len(bitmaps)


def _bitmaps(owners: NDArray[np.int64], digests: NDArray[np.uint64], rows: int) -> NDArray[np.uint64]:
    """For each row a bit for each of its shingles, by the digest's lowest bits."""
    bits = np.zeros(rows * BITMAP_BITS, np.uint8)
    bits[owners * BITMAP_BITS + (digests & np.uint64(BITMAP_BITS - 1)).astype(np.int64)] = 1
    return np.packbits(bits.reshape(rows, BITMAP_BITS), axis=1, bitorder="little").view("<u8")


@dataclass(frozen=True, slots=True)
class _Likely:
    """Pairs that the prefixes and bitmaps leave."""

    rows: NDArray[np.int64]
    """The row of each rank: ranks are by size and digest, so they do not depend on the order of rows."""
    pairs: NDArray[np.int64]
    """Pairs of ranks, shape (pairs, 2), the smaller one first, sorted."""
    compared: int
    passed_over: int


def _candidates(
    tasks: Sequence[_Task], sizes: NDArray[np.int64], digests: NDArray[np.uint64], threshold: float
) -> _Likely:
    """Pairs that share a prefix shingle, have sizes that allow them, and are not refused by their bitmaps."""
    maps = pa.concat_tables(read_table(task.out.with_suffix(".maps.arrow")) for task in tasks).combine_chunks()
    docs = maps.column("row").to_numpy()
    if not len(docs):
        return _Likely(docs, np.zeros((0, 2), np.int64), 0, 0)
    bitmaps = maps.column("bitmap").chunk(0).flatten().to_numpy().reshape(len(docs), -1)
    order = np.lexsort((digests[docs], sizes[docs]))
    rank = np.empty(len(docs), np.int64)
    rank[order] = np.arange(len(docs))
    bitmaps, size, rows = bitmaps[order], sizes[docs][order], docs[order]
    entries = pa.concat_tables(read_table(task.out.with_suffix(".prefix.arrow")) for task in tasks)
    keys = entries.column("hash").to_numpy() << np.uint64(64 - PREFIX_HASH_BITS)
    keys |= rank[np.searchsorted(docs, entries.column("row").to_numpy())].astype(np.uint64)
    keys.sort()
    who = (keys & np.uint64((1 << (64 - PREFIX_HASH_BITS)) - 1)).astype(np.int64)
    what = keys >> np.uint64(64 - PREFIX_HASH_BITS)
    starts = np.flatnonzero(np.concatenate([[True], what[1:] != what[:-1]]))
    crowd = np.diff(np.append(starts, len(what)))
    ends = np.repeat(starts + crowd, crowd)
    reach = np.where(crowd <= ALL_PAIRS, crowd, np.maximum(8, ALL_PAIRS * ALL_PAIRS // crowd))
    passed_over = int(((crowd * (crowd - 1) // 2) - _within(crowd, reach)).sum())
    limits = np.minimum(ends, np.arange(len(who)) + np.repeat(reach, crowd) + 1)
    found, compared = [], 0
    for start in range(0, len(who), SLICE):
        stop = min(start + SLICE, len(who))
        at = np.arange(start, stop)
        step = 1
        at = at[at + step < limits[at]]
        while len(at):
            a, b = who[at], who[at + step]
            fits = size[a] >= threshold * size[b] - 1e-9  # ranks are by size: b is the larger one
            a, b = a[fits], b[fits]
            compared += len(a)
            likely = _may_be_similar(bitmaps, size, a, b, threshold)
            found.append((a[likely].astype(np.uint64) << np.uint64(32)) | b[likely].astype(np.uint64))
            # Those after a row that is too large are larger still.
            at, step = at[fits], step + 1
            at = at[at + step < limits[at]]
    both = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)
    pairs = np.stack([both >> np.uint64(32), both & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    return _Likely(rows, pairs, compared, passed_over)


def _within(crowd: NDArray[np.int64], reach: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of a row with one of the next `reach` rows, in each crowd."""
    reach = np.minimum(reach, crowd - 1)
    return reach * crowd - reach * (reach + 1) // 2


def _may_be_similar(
    bitmaps: NDArray[np.uint64], size: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """False where the bitmaps prove that a pair is not similar enough.

    Each bit that only one of them has is at least one shingle that only one of them has.
    """
    likely = np.zeros(len(a), np.bool_)
    for start in range(0, len(a), SLICE // 8):
        i, j = a[start : start + SLICE // 8], b[start : start + SLICE // 8]
        x, y = bitmaps[i], bitmaps[j]
        both = size[i] + size[j]
        only_i = np.bitwise_count(x & ~y).sum(axis=1, dtype=np.int64)
        only_j = np.bitwise_count(y & ~x).sum(axis=1, dtype=np.int64)
        common = np.minimum(size[i] - only_i, size[j] - only_j)
        likely[start : start + SLICE // 8] = common * (1 + threshold) >= threshold * both - 1e-9
    return likely


def _gather(task: _Task) -> int:
    """Writes the shingles of the chosen rows, one after the other."""
    rows = _chosen(task)
    found = [np.zeros(0, np.uint64)]
    for first, batch in _shingled(task):
        found.append(batch.digests[_marked(rows, first, batch.rows)[batch.owners]])
    shingles = np.concatenate(found)
    _save(task.out.with_suffix(".shingles.npy"), shingles)
    return len(shingles)


class _Sets:
    """The shingle sets of some rows."""

    def __init__(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], shingles: NDArray[np.uint64]) -> None:
        self._rows, self._sizes, self._shingles = rows, sizes, shingles
        self._starts = np.cumsum(sizes) - sizes

    def jaccard(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of each pair of rows, exact but for 48-bit digests that are equal by chance."""
        similarity = np.zeros(len(pairs))
        for start in range(0, len(pairs), PAIRS_AT_A_TIME):
            places = np.searchsorted(self._rows, pairs[start : start + PAIRS_AT_A_TIME])
            sizes = self._sizes[places]
            whole = sizes.sum(axis=1)
            lengths = sizes.ravel()
            ends = np.cumsum(lengths)
            at = np.arange(ends[-1]) + np.repeat(self._starts[places].ravel() - (ends - lengths), lengths)
            numbers = np.repeat(np.arange(len(places), dtype=np.uint64), whole)
            keys = (numbers << np.uint64(HASH_BITS)) | self._shingles[at]
            keys.sort()
            twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
            common = np.bincount(twice.astype(np.int64), minlength=len(places))
            similarity[start : start + PAIRS_AT_A_TIME] = common / (whole - common)
        return similarity


def _verified(likely: _Likely, sets: _Sets, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(pairs of ranks that are similar enough, their Jaccard similarity).

    Of many pairs only as many are measured as it takes to know what is linked to what: first one for each row, then
    twice as many of those that are still apart, and so on.
    """
    pairs = likely.pairs
    take = len(pairs) if len(pairs) <= ALL_MEASURED else 1
    good, similarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    while len(pairs):
        firsts = np.flatnonzero(np.concatenate([[True], pairs[1:, 0] != pairs[:-1, 0]]))
        counts = np.diff(np.append(firsts, len(pairs)))
        chosen = np.arange(len(pairs)) - np.repeat(firsts, counts) < take
        similarity = sets.jaccard(likely.rows[pairs[chosen]])
        enough = similarity >= threshold - 1e-12
        good.append(pairs[chosen][enough])
        similarities.append(similarity[enough])
        linked = np.concatenate(good)
        label = components(len(likely.rows), linked[:, 0], linked[:, 1])
        pairs = pairs[~chosen]
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
        take *= 2
    return np.concatenate(good), np.concatenate(similarities)
