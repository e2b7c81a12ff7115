"""Near-duplicates of a corpus, from raw text to the documents that go, with the functions that a build uses.

    python tests/benchmarks/dedup_corpus.py --corpus corpus.parquet --removed removed.txt [--processes 2]

The corpus is a Parquet file with the columns id and text. Of each component of near-duplicates the smallest id stays;
the others are written to `--removed`, one a line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infimed_data.dedup.components import components
from infimed_data.dedup.near import LONG_TEXTS, SHORT_TEXTS, near_duplicates
from infimed_data.dedup.shingles import COLUMNS, DocPart
from infimed_data.engine import LocalEngine, leave_pandas_out
from infimed_data.memory import Memory, bytes_of
from infimed_data.storage.stages import write_table
from infimed_data.words import word_lists

BATCH_ROWS = 1024


@dataclass(frozen=True)
class WordsTask:
    """One row group to read."""

    corpus: Path
    row_group: int
    out: Path


def write_words(task: WordsTask) -> list[int]:
    """Writes the words of the row group's texts; returns the ids."""
    table = pq.ParquetFile(task.corpus).read_row_group(task.row_group, columns=["id", "text"])
    lists = [
        word_lists(text) for text in (batch.column("text") for batch in table.to_batches(max_chunksize=BATCH_ROWS))
    ]
    nothing = pa.ListArray.from_arrays(pa.array([0] * (len(table) + 1), pa.int32()), pa.array([], pa.uint32()))
    words = pa.table({name: pa.chunked_array(lists) if name == "asked" else nothing for name in COLUMNS})
    write_table(task.out, words, words.schema)
    ids: list[int] = table.column("id").to_pylist()
    return ids


def removed_ids(
    corpus: Path, folder: Path, processes: int, *, threshold: float, memory: Memory
) -> tuple[list[int], dict[str, float]]:
    """(ids to remove, seconds by step)."""
    engine = LocalEngine(processes)
    engine.warm()
    started = time.perf_counter()
    groups = pq.ParquetFile(corpus).num_row_groups
    tasks = [WordsTask(corpus, group, folder / f"words-{group:05d}.arrow") for group in range(groups)]
    ids = dict(engine.map(write_words, tasks, label="reading", heavy=groups > 1))
    counted = [len(ids[group]) for group in range(groups)]
    numbers = np.concatenate([np.asarray(ids[group], np.int64) for group in range(groups)])
    read = time.perf_counter()
    first, second = [], []
    for regime in (LONG_TEXTS, SHORT_TEXTS):
        scratch = folder / f"near-{regime.size}"
        scratch.mkdir()
        regime = type(regime)(regime.size, threshold, regime.min_words, regime.max_words)
        docs = [DocPart(task.out, None) for task in tasks]
        near = near_duplicates(docs, counted, regime, engine, scratch, task_bytes=memory.task_bytes(processes))
        equal = np.flatnonzero((near.groups >= 0) & (near.groups != np.arange(len(near.groups))))
        first += [near.first, near.groups[equal]]
        second += [near.second, equal]
    engine.close()
    order = np.argsort(numbers)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    label = components(len(numbers), rank[np.concatenate(first)], rank[np.concatenate(second)])
    gone = numbers[order[label != np.arange(len(label))]]
    done = time.perf_counter()
    return sorted(gone.tolist()), {"read": read - started, "compare": done - read}


def main() -> None:
    """Writes the ids to remove and prints the seconds of each step."""
    parser = argparse.ArgumentParser(description="Near-duplicates of a corpus, from raw text.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--removed", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memory-limit", help="as in a manifest, such as '512 MB'")
    parser.add_argument("--threshold", type=float, default=LONG_TEXTS.threshold)
    options = parser.parse_args()
    leave_pandas_out()
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(bytes_of(options.memory_limit) if options.memory_limit else None)
        gone, seconds = removed_ids(
            options.corpus, Path(folder), options.processes, threshold=options.threshold, memory=memory
        )
    options.removed.write_text("".join(f"{one}\n" for one in gone), "utf-8")
    print(json.dumps({"removed": len(gone), **{step: round(spent, 2) for step, spent in seconds.items()}}))


if __name__ == "__main__":
    main()
