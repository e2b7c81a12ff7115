"""Near-duplicate texts: every pair of rows whose shingle sets have at least a given Jaccard similarity, exactly.

An exact join by prefixes instead of sketches. Put the shingles of every row in one common order, the rarest first: two
sets that are similar enough must share a shingle among the first `size - ceil(threshold * size) + 1` of each. Most of
those stand in one row only, so few pairs are left to compare. On 50,000 and 200,000 texts this takes less time than
MinHash with banding and misses nothing (tests/benchmarks/bench_text.py has both, and the figures).

Three passes over the parts, in worker processes: sizes and how often each shingle occurs; the prefixes, which are then
joined a range of their digests at a time; the sets of the rows that are compared. What is large lies in files; held in
memory are 16 bytes a row, 8 a likely pair, and what a batch or a range of the join needs, which has a limit. What comes
back does not depend on that limit, the number of processes, the parts or the order of rows.

Source of the prefix filter: Chaudhuri, Ganti, Kaushik: "A primitive operator for similarity joins in data cleaning",
ICDE 2006; Bayardo, Ma, Srikant: "Scaling up all pairs similarity search", WWW 2007.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.dedup.join import (
    BITMAP_BITS,
    ENTRY_BYTES,
    PREFIX_HASH_BITS,
    RANK_BITS,
    JoinTask,
    Sets,
    join_range,
    union,
    verified,
)
from infimed_data.dedup.shingles import HASH_BITS, DocPart, Shingled, shingles_of_part
from infimed_data.engine import Engine
from infimed_data.storage.arrays import map_array, save_array
from infimed_data.storage.stages import read_table, replacing, write_table
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
COMMON = (1 << 14) - 1
"""Counts are told apart up to this one."""
TASK_ROWS = 65_536
RANGE_ENTRIES = 1 << 21
"""Prefix shingles that are joined at a time, where memory allows."""
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
    """Similarity of each pair, at least the threshold. Where there are more than `join.ALL_MEASURED` likely pairs,
    those whose rows other pairs link already are not measured, and not here."""
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
    parts: Sequence[DocPart],
    rows: Sequence[int],
    regime: Regime,
    engine: Engine,
    folder: Path,
    *,
    task_bytes: int = RANGE_ENTRIES * ENTRY_BYTES,
) -> Near:
    """All near-duplicates among the rows of `parts` (`rows` has the number of rows of each), numbered through.

    `folder` is for files on the way; it must exist and may be removed afterwards. `task_bytes` is about what one task
    of the join may hold in memory.
    """
    # The size of the table rests on the number of rows alone, so that no order of rows changes what is passed over.
    bits = int(np.clip((sum(rows) * WORDS_A_ROW).bit_length(), *COUNT_BITS))
    tasks = _tasks(parts, rows, regime, bits, folder)
    heavy = sum(part.signals.stat().st_size for part in parts) > HEAVY_BYTES
    counts = np.zeros(1 << bits, np.uint32)
    for done, _ in engine.map(_count, tasks, label="comparing texts", heavy=heavy):
        counts += map_array(tasks[done].counts)
        tasks[done].counts.unlink()
    save_array(folder / "counts.npy", counts)
    del counts
    sizes, digests = _sets(tasks)
    groups = _groups(sizes, digests)
    stand_ins = np.flatnonzero((groups == np.arange(len(groups))) & (sizes > 0))
    chosen = folder / "stand-ins.arrow"
    _write_rows(chosen, stand_ins)
    tasks = [replace(task, counts=folder / "counts.npy", chosen=chosen) for task in tasks]
    _run(engine, _prefix, tasks, heavy)
    docs = _rank(tasks, sizes, digests, folder)
    del digests, stand_ins
    entries = sum(len(map_array(task.out.with_suffix(".prefix.npy"))) for task in tasks)
    joins = _joins(tasks, entries, max(1, task_bytes // ENTRY_BYTES), regime.threshold, folder)
    looked = [fact for _, fact in engine.map(join_range, joins, label="comparing texts", heavy=len(joins) > 1)]
    pairs = union([join.out for join in joins], task_bytes // 32)
    needed = np.unique(docs[np.concatenate([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)]).astype(np.int64)])
    _write_rows(chosen, needed)
    _run(engine, _gather, tasks, heavy and len(needed) > TASK_ROWS)
    _append([task.out.with_suffix(".shingles") for task in tasks], folder / "shingles")
    with Sets(folder / "shingles", needed, sizes[needed], hold_bytes=task_bytes // 2) as sets:
        similar, jaccard = verified(docs, pairs, sets, regime.threshold)
    similar = np.sort(docs[similar], axis=1)
    order = np.lexsort((similar[:, 1], similar[:, 0]))
    compared, passed_over = (sum(fact[at] for fact in looked) for at in (0, 1))
    return Near(groups, similar[order, 0], similar[order, 1], jaccard[order], compared, passed_over)


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
    save_array(task.counts, counts)
    return len(table)


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
    rows, counts = _chosen(task), map_array(task.counts)
    shift = np.uint64(PREFIX_HASH_BITS)
    hash_mask = np.uint64((1 << PREFIX_HASH_BITS) - 1)
    entries, docs, maps = [np.zeros(0, np.uint64)], [], []
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
        number = (owner[wanted] + (first - task.first_row)).astype(np.uint64)
        entries.append(((keys[wanted] & hash_mask) << np.uint64(RANK_BITS)) | number)
        with_entries = np.unique(owner[wanted])
        docs.append(with_entries + first)
        maps.append(_bitmaps(owners, digests, batch.rows)[with_entries])
    found = np.concatenate(entries)
    found.sort()
    save_array(task.out.with_suffix(".prefix.npy"), found)
    save_array(task.out.with_suffix(".docs.npy"), np.concatenate(docs))
    save_array(task.out.with_suffix(".maps.npy"), np.concatenate(maps))
    return len(found)


def _bitmaps(owners: NDArray[np.int64], digests: NDArray[np.uint64], rows: int) -> NDArray[np.uint64]:
    """For each row a bit for each of its shingles, by the digest's lowest bits."""
    bits = np.zeros(rows * BITMAP_BITS, np.uint8)
    bits[owners * BITMAP_BITS + (digests & np.uint64(BITMAP_BITS - 1)).astype(np.int64)] = 1
    return np.packbits(bits.reshape(rows, BITMAP_BITS), axis=1, bitorder="little").view("<u8")


def _rank(
    tasks: Sequence[_Task], sizes: NDArray[np.int64], digests: NDArray[np.uint64], folder: Path
) -> NDArray[np.int64]:
    """The rows that have prefix shingles, by size and digest. Writes sizes and bitmaps in this order, and for each task
    the rank of each of its rows.
    """
    own = [map_array(task.out.with_suffix(".docs.npy")) for task in tasks]
    docs = np.concatenate(own)
    docs = docs[np.lexsort((digests[docs], sizes[docs]))]
    save_array(folder / "sizes.npy", sizes[docs].astype(np.int32))
    ranks = np.zeros(len(sizes), np.int32)
    ranks[docs] = np.arange(len(docs), dtype=np.int32)
    shape = (len(docs), BITMAP_BITS // 64)
    bitmaps = np.lib.format.open_memmap(
        folder / "bitmaps.npy", mode="w+", dtype=np.uint64, shape=(max(1, shape[0]), shape[1])
    )
    ends = [*(task.first_row for task in tasks[1:]), len(sizes)]
    for task, rows, end in zip(tasks, own, ends, strict=True):
        bitmaps[ranks[rows]] = map_array(task.out.with_suffix(".maps.npy"))
        save_array(task.out.with_suffix(".ranks.npy"), ranks[task.first_row : end])
    bitmaps.flush()  # other machines read the file
    return docs


def _joins(tasks: Sequence[_Task], entries: int, at_a_time: int, threshold: float, folder: Path) -> list[JoinTask]:
    """The ranges of prefix shingles, each with about as many as a task may hold."""
    count = max(1, -(-entries // min(RANGE_ENTRIES, at_a_time)))
    bounds = [(number << PREFIX_HASH_BITS) // count for number in range(count + 1)]
    prefixes, ranks = (
        tuple(task.out.with_suffix(suffix) for task in tasks) for suffix in (".prefix.npy", ".ranks.npy")
    )
    return [
        JoinTask(
            prefixes, ranks, first, end - 1, folder / "sizes.npy", folder / "bitmaps.npy", threshold,
            folder / f"pairs-{number:05d}.npy",
        )
        for number, (first, end) in enumerate(pairwise(bounds))
    ]  # fmt: skip


def _gather(task: _Task) -> int:
    """Writes the shingles of the chosen rows, one after the other."""
    rows = _chosen(task)
    count = 0
    out = task.out.with_suffix(".shingles")
    with replacing(out, durable=False) as temporary, temporary.open("wb") as file:
        for first, batch in _shingled(task):
            own = batch.digests[_marked(rows, first, batch.rows)[batch.owners]]
            file.write(own.data)
            count += len(own)
    return count


def _append(parts: Sequence[Path], out: Path) -> None:
    """Puts files one after the other, and removes them."""
    with out.open("wb") as whole:
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)
            path.unlink()
