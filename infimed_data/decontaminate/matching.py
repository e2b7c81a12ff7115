"""Training questions matched with benchmark questions: which ones each comes closest to, and how close.

Two passes over the distinct questions of one source. The first counts in how many of them each term stands, since what
thousands share is no evidence; the second finds the benchmark questions that share some of their rarest terms with
each, and compares it with the closest few of them term by term.

Closeness is the weight of the shared terms over the weight of one side, and the largest of three: the benchmark's
question in the training row (question and options), the benchmark's question and options in it, and the training
question in the benchmark row. So a stem is found with and without its options, and a part of a vignette in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.decontaminate.questions import (
    HEAVY_BYTES,
    ChosenRows,
    Distinct,
    QuestionIndex,
    chosen_rows,
    distinct_questions,
)
from infimed_data.decontaminate.terms import BATCH_ROWS, counting_slots, weights
from infimed_data.engine import Engine
from infimed_data.storage.arrays import map_array, save_array
from infimed_data.storage.stages import read_table, write_table

__all__ = ["MATCHES", "match_texts"]

MATCHES = pa.schema(
    [
        ("text", pa.int64()),
        ("question", pa.int64()),
        ("same", pa.bool_()),
        ("same_options", pa.bool_()),
        ("question_share", pa.float32()),
        ("with_options_share", pa.float32()),
        ("reverse_share", pa.float32()),
        ("question_weight", pa.float32()),
        ("with_options_weight", pa.float32()),
        ("reverse_weight", pa.float32()),
        ("specific", pa.float32()),
        ("terms", pa.int32()),
        ("asked_terms", pa.int32()),
        ("its_terms", pa.int32()),
        ("its_asked_terms", pa.int32()),
    ]
)
"""One row a distinct training question (`text`) and benchmark question that comes close. `same`: the question has the
same words in the same order; `same_options`: and the same options, or one side has none. Shares, and the weights of
shared terms, as in the module's text. `specific`: the weight of all that is the same, 0 where nothing is. `terms`: the
number of terms of the training question, with and without options, and of the benchmark's."""

CLOSEST = 2
"""Benchmark questions that a training question is compared with term by term."""
LEAST_SHARE, LEAST_WEIGHT = 0.2, 1.5
"""What is less close than this, or shares less, is not kept."""
LEAST_ESTIMATE = 0.18
"""Share of a question's rarest terms below which it is not compared."""
LEAST_TERMS = 2
"""Rare terms that must be shared, where a question has that many."""
COUNT_BITS = (12, 22)
"""Smallest and largest number of slots, as a power of two, in which terms are counted that no benchmark has."""
TERMS_A_ROW = 64
"""Terms that a question has more or less, for the number of those slots."""
_OPTIONS_ONLY = np.uint32(1 << 31)


@dataclass(frozen=True, slots=True)
class _Task:
    rows: ChosenRows
    index: Path
    folder: Path
    """Where the weights are."""
    bits: int
    """Size of the table of counts, as a power of two."""
    texts: int
    """Distinct questions of the source and of the benchmarks."""
    options: NDArray[np.uint64]
    """Digest of the options of each chosen row."""
    exact: NDArray[np.int64]
    """For each chosen row the benchmark question with the same words, -1 for none."""


def match_texts(
    signals: Sequence[Path], sizes: Sequence[int], index: QuestionIndex, folder: Path, engine: Engine
) -> tuple[Distinct, pa.Table]:
    """(distinct questions of one source's parts, `MATCHES` of them). `folder` is for files on the way."""
    distinct = distinct_questions(signals, folder, engine)
    exact = _exact(distinct, index)
    # The size of the table rests on the number of questions alone, so that no order of rows changes a weight.
    bits = int(np.clip((len(distinct.row) * TERMS_A_ROW).bit_length(), *COUNT_BITS))
    texts = len(distinct.row) + len(index.questions)
    tasks = []
    for rows in chosen_rows(signals, sizes, distinct.row, folder):
        own = slice(rows.first, rows.first + len(rows.rows))
        tasks.append(_Task(rows, index.folder, folder, bits, texts, distinct.options[own], exact[own]))
    heavy = sum(path.stat().st_size for path in signals) > HEAVY_BYTES
    for _ in engine.map(_look_up, tasks, label="looking up terms", heavy=heavy):
        pass
    _weigh(tasks, index, texts, bits, folder)
    for _ in engine.map(_match, tasks, label="matching benchmarks", heavy=heavy):
        pass
    return distinct, pa.concat_tables(read_table(task.rows.file("matches")) for task in tasks)


def _exact(distinct: Distinct, index: QuestionIndex) -> NDArray[np.int64]:
    """For each question the benchmark question with the same words, the same options if there is one; -1 for none."""
    known = pl.DataFrame(index.questions.select(["question", "options", "rank"])).with_row_index("number")
    asked = pl.DataFrame({"question": distinct.question, "options": distinct.options})
    both = asked.join(known, on=["question", "options"], how="left", maintain_order="left")["number"]
    first = known.sort("rank").unique("question", keep="first", maintain_order=True)
    words = asked.join(first, on="question", how="left", maintain_order="left")["number"]
    return both.fill_null(words).cast(pl.Int64).fill_null(-1).to_numpy()


def _look_up(task: _Task) -> int:
    """Writes where the terms of each chosen row are found, and in how many questions of the part each stands.

    An entry is a term's place in the index or, after all those, its slot; terms in options only are marked.
    """
    index = QuestionIndex(task.index)
    known = len(index.array("counts"))
    counts = np.zeros(known + (1 << task.bits), np.uint32)
    entries, sizes = [np.zeros(0, np.uint32)], [np.zeros(1, np.int64)]
    for rows, found in task.rows.terms():
        places = index.find(found.terms)
        entry = np.where(places >= 0, places, known + counting_slots(found.terms, task.bits)).astype(np.uint32)
        np.add.at(counts, entry, np.uint32(1))
        entry[~found.in_question] |= _OPTIONS_ONLY
        entries.append(entry)
        sizes.append(np.bincount(found.owners, minlength=rows))
    save_array(task.rows.file("entries"), np.concatenate(entries))
    save_array(task.rows.file("bounds"), np.cumsum(np.concatenate(sizes)))
    save_array(task.rows.file("counts"), counts)
    return len(task.rows.rows)


def _weigh(tasks: Sequence[_Task], index: QuestionIndex, texts: int, bits: int, folder: Path) -> None:
    """Writes the weight of each term of the index and of each slot, and what each question of the index weighs."""
    counts = index.array("counts")
    total = np.zeros(len(counts) + (1 << bits), np.uint32)
    for task in tasks:
        total += np.load(task.rows.file("counts"))
    total[: len(counts)] += counts
    weight = weights(total, texts)
    questions = len(index.questions)
    starts = index.array("starts")
    each = weight[index.array("term_of")]
    rare, rare_starts = index.array("rare"), index.array("rare_starts")
    of_rare = np.repeat(weight[: len(counts)], np.diff(rare_starts))
    save_array(folder / "weight.npy", weight)
    save_array(folder / "with_options.npy", _sums(each, starts))
    save_array(folder / "question.npy", _sums(np.where(index.array("in_question"), each, np.float32(0)), starts))
    save_array(
        folder / "asked_terms.npy", _sums(index.array("in_question").astype(np.float32), starts).astype(np.int32)
    )
    save_array(folder / "rarest.npy", np.bincount(rare, of_rare, minlength=questions).astype(np.float32))
    save_array(folder / "rare_terms.npy", np.bincount(rare[of_rare > 0], minlength=questions).astype(np.int32))


def _sums(values: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The sum of each run of values."""
    sums = np.zeros(len(starts) - 1, np.float32)
    held = starts[1:] > starts[:-1]
    if held.any():
        sums[held] = np.add.reduceat(values, starts[:-1][held])
    return sums


def _match(task: _Task) -> int:
    """Writes `MATCHES` of a part."""
    known = _Weighed(task)
    entries, bounds = map_array(task.rows.file("entries")), np.load(task.rows.file("bounds"))
    found = [MATCHES.empty_table()]
    for start in range(0, len(task.rows.rows), BATCH_ROWS):
        rows = slice(start, min(start + BATCH_ROWS, len(task.rows.rows)))
        own = bounds[rows.start : rows.stop + 1]
        terms = _Terms.of(entries[own[0] : own[-1]], own - own[0], known)
        found.append(_compared(terms, task.options[rows], task.exact[rows], task.rows.first + start, known))
    return write_table(task.rows.file("matches"), pa.concat_tables(found), MATCHES)


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of a run of questions."""

    bounds: NDArray[np.int64]
    """First term of each question and the end of the last."""
    places: NDArray[np.int64]
    """Place of each in the index; meaningless where it is not `met`."""
    met: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    """Whether it stands in the question itself."""
    weight: NDArray[np.float32]
    asked_count: NDArray[np.int64]
    """Number of terms of each question without its options."""
    total: NDArray[np.float64]
    """Weight of each question without its options."""

    @staticmethod
    def of(entries: NDArray[np.uint32], bounds: NDArray[np.int64], known: _Weighed) -> _Terms:
        """The terms that entries mean."""
        asked = entries < _OPTIONS_ONLY
        places = (entries & ~_OPTIONS_ONLY).astype(np.int64)
        weight = known.weight[places]
        met = places < known.index_terms
        owners = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        total: NDArray[np.float64] = np.bincount(owners, weight * asked, minlength=len(bounds) - 1).astype(np.float64)
        count = np.bincount(owners[asked], minlength=len(bounds) - 1)
        return _Terms(bounds, places, met, asked, weight, count, total)


class _Weighed:
    """The index with its weights, as one worker reads them."""

    def __init__(self, task: _Task) -> None:
        index = QuestionIndex(task.index)

        def load(name: str) -> NDArray[Any]:
            return map_array(task.folder / f"{name}.npy")

        self.weight = load("weight")
        self.question, self.with_options = load("question"), load("with_options")
        self.rarest, self.rare_terms = load("rarest"), load("rare_terms")
        array = index.array
        self.index_terms = len(array("counts"))
        self.rare, self.rare_starts = array("rare"), array("rare_starts")
        self.starts, self.term_of, self.in_question = array("starts"), array("term_of"), array("in_question")
        self.terms = np.diff(self.starts)
        self.asked_terms = load("asked_terms")
        self.digest = index.questions.column("question").to_numpy()
        self.options = index.questions.column("options").to_numpy()


def _compared(
    terms: _Terms, options: NDArray[np.uint64], exact: NDArray[np.int64], first: int, known: _Weighed
) -> pa.Table:
    """`MATCHES` of a run of questions; the first of them has the number `first`."""
    likely = _likely(terms, known)
    same = np.flatnonzero(exact >= 0)
    pairs = np.unique(np.concatenate([likely, _pairs(same, exact[same])]))
    who, whom = (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOWER).astype(np.int64)
    shared = _shared(terms, who, whom, known)
    wholes = np.stack([known.question[whom], known.with_options[whom], terms.total[who]])
    shares = np.divide(shared, wholes, out=np.zeros_like(shared), where=wholes > 0)
    same_words = exact[who] == whom
    keep = same_words | ((shares >= LEAST_SHARE) & (shared >= LEAST_WEIGHT)).any(axis=0)
    who, whom, same_words = who[keep], whom[keep], same_words[keep]
    shares, shared = shares[:, keep].astype(np.float32), shared[:, keep].astype(np.float32)
    ours, theirs = options[who], known.options[whom]
    same_options = (ours == theirs) | (ours == 0) | (theirs == 0)
    all_same = same_words & (ours == theirs) & (ours != 0)
    specific = np.where(same_words, np.where(all_same, known.with_options[whom], known.question[whom]), np.float32(0))
    own = np.diff(terms.bounds)[who], terms.asked_count[who]
    its = known.terms[whom], known.asked_terms[whom]
    columns = [who + first, whom, same_words, same_options, *shares, *shared, specific, *own, *its]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, MATCHES, strict=True)]
    return pa.Table.from_arrays(arrays, schema=MATCHES)


_LOWER = np.uint64(0xFFFFFFFF)


def _pairs(who: NDArray[np.int64], whom: NDArray[np.integer]) -> NDArray[np.uint64]:
    return (who.astype(np.uint64) << np.uint64(32)) | whom.astype(np.uint64)


def _runs(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(all numbers of the runs from each `first` up to its `last`, the run of each)."""
    sizes = last - first
    run = np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(int(sizes.sum())) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes), run


def _likely(terms: _Terms, known: _Weighed) -> NDArray[np.uint64]:
    """Pairs (question of the run, benchmark question) that are worth comparing, by the benchmark's rarest terms."""
    use = np.flatnonzero(terms.met & (terms.weight > 0))
    place = terms.places[use]
    at, hit = _runs(known.rare_starts[place], known.rare_starts[place + 1])
    if not len(at):
        return np.zeros(0, np.uint64)
    # A pair and the weight of one term it shares, in one number, so that one sort brings pairs together.
    owners = np.searchsorted(terms.bounds, use, side="right") - 1
    own = (owners.astype(np.uint64) << np.uint64(48)) | (terms.weight[use] * 0xFFFF).astype(np.uint64)
    keys = own[hit] | (known.rare[at].astype(np.uint64) << np.uint64(16))
    keys.sort()
    pair = keys >> np.uint64(16)
    starts = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    count = np.diff(np.append(starts, len(pair)))
    shared = np.add.reduceat((keys & np.uint64(0xFFFF)).astype(np.int64), starts) / 0xFFFF
    who, whom = (pair[starts] >> np.uint64(32)).astype(np.int64), (pair[starts] & _LOWER).astype(np.int64)
    share = shared / np.maximum(known.rarest[whom], 1e-6)
    reverse = share * known.with_options[whom] / np.maximum(terms.total[who], 1e-6)
    estimate = np.round(np.maximum(share, np.minimum(reverse, 1)), 5)
    keep = (count >= np.minimum(LEAST_TERMS, known.rare_terms[whom])) & (estimate >= LEAST_ESTIMATE)
    who, whom, estimate = who[keep], whom[keep], estimate[keep]
    order = np.lexsort((known.options[whom], known.digest[whom], -estimate, who))
    who, whom = who[order], whom[order]
    sizes = np.bincount(who, minlength=len(terms.total))
    rank = np.arange(len(who)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return _pairs(who[rank < CLOSEST], whom[rank < CLOSEST])


def _shared(terms: _Terms, who: NDArray[np.int64], whom: NDArray[np.int64], known: _Weighed) -> NDArray[np.float64]:
    """Weights of the terms that each pair shares: of the benchmark's question, of its question and options, of the
    training question. Shape (3, pairs)."""
    met = np.flatnonzero(terms.met)
    bounds = np.searchsorted(met, terms.bounds)
    ours = (terms.places[met].astype(np.uint64) << np.uint64(2)) | (~terms.asked[met]).astype(np.uint64)
    result = np.zeros((3, len(who)))
    step = 1 << 10
    for start in range(0, len(who), step):
        a, b = who[start : start + step], whom[start : start + step]
        at, pair = _runs(bounds[a], bounds[a + 1])
        own = (pair.astype(np.uint64) << np.uint64(34)) | ours[at]
        at, pair = _runs(known.starts[b], known.starts[b + 1])
        other = (pair.astype(np.uint64) << np.uint64(34)) | (known.term_of[at].astype(np.uint64) << np.uint64(2))
        other |= np.uint64(2) | (~known.in_question[at]).astype(np.uint64)
        keys = np.concatenate([own, other])
        keys.sort()
        twice = np.flatnonzero((keys[1:] >> np.uint64(2)) == (keys[:-1] >> np.uint64(2)))
        mine, its = keys[twice], keys[twice + 1]
        pair = (mine >> np.uint64(34)).astype(np.int64)
        value = known.weight[((mine >> np.uint64(2)) & _LOWER).astype(np.int64)]
        part = slice(start, start + len(a))
        result[0, part] = np.bincount(pair, value * ((its & np.uint64(1)) == 0), minlength=len(a))
        result[1, part] = np.bincount(pair, value, minlength=len(a))
        result[2, part] = np.bincount(pair, value * ((mine & np.uint64(1)) == 0), minlength=len(a))
    return result
