"""Benchmark questions, made ready to be looked up: the index that training questions are matched against.

A question is a distinct pair of question text and options; benchmark rows with the same words share one. The index is a
folder of plain arrays, mapped into memory by every worker:

    questions.arrow     digests, first benchmark row, number of rows and of pictures of each question
    of_row.arrow        the question of each benchmark row, -1 for none
    terms.npy           numbers of all terms, sorted, and a last one that is larger than all; counts.npy: how many
                        questions have each; slots.npy: where to begin to look for a term
    starts.npy          first posting of each question; term_of.npy: its term; in_question.npy: where it stands
    rare_starts.npy, rare.npy     for each term the questions that it is one of the rarest terms of
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.decontaminate.terms import BATCH_ROWS, TERM_BITS, RowTerms, row_terms
from infimed_data.engine import Engine
from infimed_data.storage.arrays import map_array, save_array
from infimed_data.storage.stages import read_table, write_table
from infimed_data.words import mixed, sequence_digests, texts_of

__all__ = [
    "QUESTIONS",
    "ChosenRows",
    "Distinct",
    "QuestionIndex",
    "asked_in",
    "chosen_rows",
    "distinct_questions",
    "text_digests",
    "write_index",
]

MIN_RARE, MAX_RARE, RARE_SHARE = 8, 16, 4
"""A question is found by its rarest terms: a quarter of them, at least 8 and at most 16."""
HEAVY_BYTES = 8 << 20
FIND_BLOCK = 1 << 16
"""Terms that are looked up at a time: few enough to stay in the processor's cache."""
_TERM_MASK = np.uint64((1 << TERM_BITS) - 1)
_OPTIONS_ONLY = np.uint64(1 << 63)

QUESTIONS = pa.schema(
    [
        ("question", pa.uint64()),
        ("options", pa.uint64()),
        ("row", pa.int64()),
        ("rank", pa.int64()),
        ("rows", pa.int64()),
        ("pictures", pa.int64()),
    ]
)
"""One row a distinct benchmark question: digests of its words and of its options in any order (0: none), the benchmark
row that stands for it with its rank, how many rows ask it, and of how many different pictures."""


def asked_in(signals: Path) -> Iterator[tuple[pa.ListArray, pa.ListArray]]:
    """(words of the questions, words of the options) of a part of the text signals, `BATCH_ROWS` rows at a time."""
    table = read_table(signals, ["asked", "offered"])
    for start in range(0, len(table), BATCH_ROWS):
        rows = table.slice(start, BATCH_ROWS)
        yield pa.concat_arrays(rows.column("asked").chunks), pa.concat_arrays(rows.column("offered").chunks)


def text_digests(asked: pa.ListArray, offered: pa.ListArray) -> NDArray[np.uint64]:
    """Two columns: a digest of each row's question in order, and of its options in any order; 0 for none of them."""
    words, bounds, _ = texts_of(asked)
    option_words, option_bounds, owners = texts_of(offered)
    options = np.zeros(len(asked), np.uint64)
    np.add.at(options, owners, mixed(sequence_digests(option_words, option_bounds)))
    return np.stack([sequence_digests(words, bounds), options], axis=1)


@dataclass(frozen=True, slots=True)
class _Task:
    signals: Path
    out: Path


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Some rows of a part, and the number that the first of them has among all chosen rows."""

    signals: Path
    rows: NDArray[np.int64]
    first: int
    folder: Path
    part: int

    def file(self, name: str) -> Path:
        """The part's own file of that name."""
        return self.folder / f".part-{self.part:05d}.{name}.npy"

    def terms(self) -> Iterator[tuple[int, RowTerms]]:
        """(number of chosen rows, their terms) of each run of rows."""
        start = 0
        for asked, offered in asked_in(self.signals):
            low, high = np.searchsorted(self.rows, [start, start + len(asked)])
            own = pa.array(self.rows[low:high] - start)
            start += len(asked)
            if len(own) == len(asked):
                yield len(own), row_terms(asked, offered)
            elif len(own):
                yield len(own), row_terms(asked.take(own), offered.take(own))


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct questions of a number of rows, numbered in the order of the rows that stand for them."""

    question: NDArray[np.uint64]
    options: NDArray[np.uint64]
    row: NDArray[np.int64]
    """The row that stands for each."""
    of_row: NDArray[np.int64]
    """The question of each row, -1 for rows that ask nothing or do not count."""


def distinct_questions(
    signals: Sequence[Path], folder: Path, engine: Engine, *,
    counted: NDArray[np.bool_] | None = None, ranks: NDArray[np.int64] | None = None,
) -> Distinct:  # fmt: skip
    """The distinct questions of all parts; only rows that are `counted` count, the one with the lowest rank stands for
    all that ask the same."""
    heavy = sum(path.stat().st_size for path in signals) > HEAVY_BYTES
    tasks = [_Task(path, folder / f".digests-{part}.npy") for part, path in enumerate(signals)]
    for _ in engine.map(_digests, tasks, label="reading questions", heavy=heavy):
        pass
    digests = np.concatenate([np.load(task.out) for task in tasks])
    asks = digests[:, 0] != 0
    rows = np.flatnonzero(asks if counted is None else asks & counted)
    question, options = digests[rows, 0], digests[rows, 1]
    order = np.lexsort((rows if ranks is None else ranks[rows], options, question))
    rows, question, options = rows[order], question[order], options[order]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (question[1:] != question[:-1]) | (options[1:] != options[:-1])
    number = np.cumsum(fresh) - 1
    by_row = np.argsort(rows[fresh])
    place = np.empty_like(by_row)
    place[by_row] = np.arange(len(by_row))
    of_row = np.full(len(digests), -1, np.int64)
    of_row[rows] = place[number]
    for task in tasks:
        task.out.unlink()
    return Distinct(question[fresh][by_row], options[fresh][by_row], rows[fresh][by_row], of_row)


def chosen_rows(
    signals: Sequence[Path], sizes: Sequence[int], rows: NDArray[np.int64], folder: Path
) -> list[ChosenRows]:
    """The chosen `rows` (sorted, numbered through all parts) of each part."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    cuts = np.searchsorted(rows, starts).tolist()
    return [
        ChosenRows(path, rows[cuts[part] : cuts[part + 1]] - starts[part], cuts[part], folder, part)
        for part, path in enumerate(signals)
    ]


def _digests(task: _Task) -> int:
    """Writes the digests of each row's question and options."""
    found = [text_digests(asked, offered) for asked, offered in asked_in(task.signals)]
    save_array(task.out, np.concatenate(found) if found else np.zeros((0, 2), np.uint64))
    return len(found)


def write_index(
    signals: Sequence[Path],
    sizes: Sequence[int],
    counted: NDArray[np.bool_],
    ranks: NDArray[np.int64],
    pictures: NDArray[np.uint64],
    folder: Path,
    engine: Engine,
) -> int:
    """Writes the index of all benchmark rows into `folder`; returns the number of distinct questions.

    `signals` are the parts of all benchmarks in order, with `sizes` rows each. Of all rows together, `counted` says
    which count, `ranks` numbers them by preference (the first that asks a question stands for it), and `pictures` is a
    digest of each row's pictures, 0 for none.
    """
    found = distinct_questions(signals, folder, engine, counted=counted, ranks=ranks)
    count = len(found.row)
    asking = found.of_row >= 0
    shown = np.unique(np.stack([found.of_row[asking].astype(np.uint64), pictures[asking]], axis=1), axis=0)
    shown = shown[shown[:, 1] != 0, 0].astype(np.int64)
    table = pa.table(
        {
            "question": found.question,
            "options": found.options,
            "row": found.row,
            "rank": ranks[found.row],
            "rows": np.bincount(found.of_row[asking], minlength=count),
            "pictures": np.bincount(shown, minlength=count),
        },
        schema=QUESTIONS,
    )
    write_table(folder / "questions.arrow", table, QUESTIONS)
    of_row = pa.table({"question": found.of_row})
    write_table(folder / "of_row.arrow", of_row, of_row.schema)
    tasks = chosen_rows(signals, sizes, found.row, folder)
    heavy = sum(path.stat().st_size for path in signals) > HEAVY_BYTES
    for _ in engine.map(_terms, tasks, label="reading benchmarks", heavy=heavy):
        pass
    _write_vocabulary(tasks, folder)
    for _ in engine.map(_place, tasks, label="reading benchmarks", heavy=heavy):
        pass
    _join(tasks, folder, "starts", "term_of", "in_question")
    rare = np.concatenate([np.load(task.file("rare")) for task in tasks])
    rare.sort()
    terms = np.arange(len(np.load(folder / "counts.npy", mmap_mode="r")) + 1, dtype=np.uint64)
    save_array(folder / "rare_starts.npy", np.searchsorted(rare >> np.uint64(32), terms))
    save_array(folder / "rare.npy", (rare & np.uint64(0xFFFFFFFF)).astype(np.uint32))
    for leftover in folder.glob(".part-*"):
        leftover.unlink()
    return count


def _terms(task: ChosenRows) -> int:
    """Writes the terms of the chosen rows with the mark `_OPTIONS_ONLY`, how many each row has, and all that occur."""
    marked, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for rows, terms in task.terms():
        marked.append(terms.terms | np.where(terms.in_question, np.uint64(0), _OPTIONS_ONLY))
        sizes.append(np.bincount(terms.owners, minlength=rows))
    all_ = np.concatenate(marked)
    save_array(task.file("terms"), all_)
    save_array(task.file("sizes"), np.concatenate(sizes))
    save_array(task.file("vocabulary"), np.stack(np.unique(all_ & _TERM_MASK, return_counts=True)).astype(np.uint64))
    return len(all_)


def _write_vocabulary(tasks: Sequence[ChosenRows], folder: Path) -> None:
    """Writes `terms.npy` and `counts.npy`."""
    parts = np.concatenate([np.load(task.file("vocabulary")) for task in tasks], axis=1)
    order = np.argsort(parts[0])
    terms, counts = parts[0][order], parts[1][order]
    firsts = np.flatnonzero(np.concatenate([[True], terms[1:] != terms[:-1]])) if len(terms) else np.zeros(0, np.int64)
    vocabulary = np.append(terms[firsts], np.uint64(1 << TERM_BITS))
    save_array(folder / "terms.npy", vocabulary)
    save_array(folder / "slots.npy", _slots(vocabulary))
    save_array(folder / "counts.npy", np.add.reduceat(counts, firsts).astype(np.uint32) if len(firsts) else counts)


def _place(task: ChosenRows) -> int:
    """Writes the part's share of `starts.npy`, `term_of.npy` and `in_question.npy`, and its rarest terms."""
    marked, sizes = np.load(task.file("terms")), np.load(task.file("sizes"))
    index = QuestionIndex(task.folder)
    places = index.find(marked & _TERM_MASK).astype(np.uint32)
    save_array(task.file("term_of"), places)
    save_array(task.file("in_question"), marked < _OPTIONS_ONLY)
    save_array(task.file("starts"), sizes)
    save_array(task.file("rare"), _rare(places, sizes, index.array("counts"), task.first))
    return len(places)


def _join(tasks: Sequence[ChosenRows], folder: Path, *names: str) -> None:
    """Puts the parts of arrays together; sizes become starts."""
    for name in names:
        whole = np.concatenate([np.load(task.file(name)) for task in tasks])
        save_array(folder / f"{name}.npy", np.concatenate([[0], np.cumsum(whole)]) if name == "starts" else whole)


def _rare(
    places: NDArray[np.uint32], sizes: NDArray[np.int64], counts: NDArray[np.uint32], first: int
) -> NDArray[np.uint64]:
    """Term (upper half) and question (lower half) of the rarest terms of each question; the first question's number
    is `first`."""
    found = [np.zeros(0, np.uint64)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for begin in range(0, len(sizes), BATCH_ROWS):
        end = min(begin + BATCH_ROWS, len(sizes))
        own = places[starts[begin] : starts[end]]
        size = sizes[begin:end]
        owner = np.repeat(np.arange(end - begin), size)
        common = np.minimum(counts[own], 0xFFFF).astype(np.uint64)
        keys = (owner.astype(np.uint64) << np.uint64(48)) | (common << np.uint64(32)) | own
        keys.sort()  # rows stay where they are, since the row comes first
        place = np.arange(len(keys)) - np.repeat(np.cumsum(size) - size, size)
        keep = place < np.clip(size // RARE_SHARE, MIN_RARE, MAX_RARE)[owner]
        who = owner[keep].astype(np.uint64) + np.uint64(begin + first)
        found.append(((keys[keep] & np.uint64(0xFFFFFFFF)) << np.uint64(32)) | who)
    return np.concatenate(found)


@dataclass(frozen=True)
class QuestionIndex:
    """The index in `folder`."""

    folder: Path

    def array(self, name: str) -> NDArray[Any]:
        """One of its arrays, mapped into memory."""
        return map_array(self.folder / f"{name}.npy")

    @cached_property
    def questions(self) -> pa.Table:
        """`QUESTIONS`; a question's number is its place."""
        return read_table(self.folder / "questions.arrow")

    @cached_property
    def _lookup(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], int]:
        """(terms, first term of each slot, bits within a slot)."""
        slots = self.array("slots")
        return self.array("terms"), slots, TERM_BITS - (len(slots).bit_length() - 1)

    def find(self, terms: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The place of each term among those of the index, -1 where no benchmark has it."""
        known, starts, shift = self._lookup
        found = np.empty(len(terms), np.int32)
        for start in range(0, len(terms), FIND_BLOCK):
            wanted = terms[start : start + FIND_BLOCK]
            at = starts[wanted >> np.uint64(shift)]
            seen = known[at]
            behind = np.flatnonzero(seen < wanted)
            while len(behind):
                at[behind] += 1
                seen[behind] = known[at[behind]]
                behind = behind[seen[behind] < wanted[behind]]
            found[start : start + FIND_BLOCK] = np.where(seen == wanted, at, -1)
        return found


def _slots(terms: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The first term of each slot, by the upper bits of its number: terms spread evenly, so a slot holds about one."""
    bits = int(np.clip(len(terms).bit_length(), 8, 24))
    slots = (terms >> np.uint64(TERM_BITS - bits)).astype(np.int64)
    counts = np.bincount(slots[:-1], minlength=1 << bits)
    return (np.cumsum(counts) - counts).astype(np.int32)
