"""Near-duplicates are exactly the pairs that a comparison of every pair finds, for any split of the rows into parts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.dedup.components import components
from infimed_data.dedup.near import LONG_TEXTS, SHORT_TEXTS, Near, Regime, near_duplicates
from infimed_data.dedup.near_rows import drop_near_duplicates
from infimed_data.dedup.shingles import COLUMNS, DocPart
from infimed_data.engine import LocalEngine
from infimed_data.storage.stages import write_table
from infimed_data.words import grams_of, word_digests, word_lists

WORDS = [f"w{i}" for i in range(400)]
EVERY = Regime(size=5, threshold=0.8, min_words=1, max_words=None)


def put_parts(
    folder: Path, texts: Sequence[str], *, cut: int = 10_000, gates: Sequence[int | None] | None = None, **more: Any
) -> tuple[list[DocPart], list[int]]:
    """Text signals of rows that ask `texts`, in parts of `cut` rows."""
    parts, rows = [], []
    for start in range(0, len(texts), cut):
        own = texts[start : start + cut]
        lists = {name: more.get(name, {}) for name in COLUMNS}
        table = pa.table(
            {
                name: word_lists(pa.array([lists[name].get(start + i, "") for i in range(len(own))], pa.string()))
                if name != "asked"
                else word_lists(pa.array(own, pa.string()))
                for name in COLUMNS
            }
        )
        path = folder / f"part-{start}.arrow"
        write_table(path, table, table.schema)
        gate = None
        if gates is not None:
            gate = folder / f"gates-{start}.arrow"
            numbers = pa.table({"gate": pa.array(gates[start : start + cut], pa.uint64())})
            write_table(gate, numbers, numbers.schema)
        parts.append(DocPart(path, gate))
        rows.append(len(own))
    return parts, rows


def near(
    tmp_path: Path,
    texts: Sequence[str],
    regime: Regime = EVERY,
    processes: int = 1,
    task_bytes: int = 1 << 27,
    **more: Any,
) -> Near:
    """Near-duplicates of texts."""
    folder = tmp_path / f"near-{random.random()}"
    (folder / "scratch").mkdir(parents=True)
    engine = LocalEngine(processes)
    try:
        return near_duplicates(
            *put_parts(folder, texts, **more), regime, engine, folder / "scratch", task_bytes=task_bytes
        )
    finally:
        engine.close()


def linked(found: Near) -> set[frozenset[int]]:
    """Components of more than one row."""
    equal = np.flatnonzero((found.groups >= 0) & (found.groups != np.arange(len(found.groups))))
    label = components(
        len(found.groups), np.concatenate([found.first, found.groups[equal]]), np.concatenate([found.second, equal])
    )
    members: dict[int, set[int]] = {}
    for row, root in enumerate(label.tolist()):
        members.setdefault(root, set()).add(row)
    return {frozenset(rows) for rows in members.values() if len(rows) > 1}


def sets_of(texts: Sequence[str], size: int) -> list[set[int]]:
    digests, starts = grams_of(*word_digests(pa.array(texts, pa.string())), size)
    return [set(digests[a:b].tolist()) for a, b in itertools.pairwise(starts.tolist())]


def jaccard(ours: set[int], theirs: set[int]) -> float:
    return len(ours & theirs) / len(ours | theirs)


def brute(texts: Sequence[str], threshold: float, size: int = 5) -> set[frozenset[int]]:
    """Components by comparing every pair."""
    sets = sets_of(texts, size)
    pairs = [(i, j) for i in range(len(texts)) for j in range(i) if jaccard(sets[i], sets[j]) >= threshold]
    label = components(len(texts), np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], int))
    members: dict[int, set[int]] = {}
    for row, root in enumerate(label.tolist()):
        members.setdefault(root, set()).add(row)
    return {frozenset(rows) for rows in members.values() if len(rows) > 1}


def edited(rng: random.Random, text: str, share: float) -> str:
    words = text.split()
    for at in rng.sample(range(len(words)), max(1, round(share * len(words)))):
        words[at] = rng.choice(WORDS)
    return " ".join(words)


def some_texts(seed: int, count: int) -> list[str]:
    """Texts of common phrases, with copies edited so that many pairs lie about the threshold."""
    rng = random.Random(seed)
    phrases = [" ".join(rng.choices(WORDS, k=12)) for _ in range(25)]
    texts = [" ".join(rng.choices(phrases, k=rng.randint(2, 6))) for _ in range(count // 2)]
    texts += [edited(rng, rng.choice(texts), rng.choice([0.01, 0.03, 0.05])) for _ in range(count - len(texts))]
    rng.shuffle(texts)
    return texts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("size", "threshold"), [(5, 0.8), (5, 0.6), (2, 0.9), (1, 0.95)])
def test_finds_exactly_what_comparing_every_pair_finds(tmp_path: Path, seed: int, size: int, threshold: float) -> None:
    texts = some_texts(seed, 120)
    found = near(tmp_path, texts, Regime(size=size, threshold=threshold, min_words=1, max_words=None))
    assert linked(found) == brute(texts, threshold, size)
    assert found.passed_over == 0
    sets = sets_of(texts, size)
    for first, second, similarity in zip(found.first, found.second, found.jaccard, strict=True):
        assert similarity == pytest.approx(jaccard(sets[first], sets[second]), abs=1e-12)


def test_parts_and_processes_change_nothing(tmp_path: Path) -> None:
    texts = some_texts(9, 300)
    whole = near(tmp_path, texts)
    for cut, processes in ((7, 1), (64, 1), (150, 2)):
        other = near(tmp_path, texts, cut=cut, processes=processes)
        for name in ("groups", "first", "second", "jaccard"):
            assert np.array_equal(getattr(whole, name), getattr(other, name)), (cut, processes, name)


def test_what_a_task_may_hold_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        *some_texts(9, 300),
        *(f"variant {n} of " + "the left lung shows a nodule of nine mm " * 9 for n in range(400)),
    ]
    whole = near(tmp_path, texts)
    for task_bytes, cut in ((10_000, 700), (50_000, 100)):
        other = near(tmp_path, texts, cut=cut, task_bytes=task_bytes)
        assert (other.compared, other.passed_over) == (whole.compared, whole.passed_over)
        for name in ("groups", "first", "second", "jaccard"):
            assert np.array_equal(getattr(whole, name), getattr(other, name)), (task_bytes, name)
    for name, value in (("shingles.BATCH_WORDS", 50), ("join.SHINGLES_AT_A_TIME", 300), ("join._PENDING", 10)):
        monkeypatch.setattr(f"infimed_data.dedup.{name}", value)
    other = near(tmp_path, texts, task_bytes=50_000)
    for name in ("groups", "first", "second", "jaccard"):
        assert np.array_equal(getattr(whole, name), getattr(other, name)), name


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    texts = some_texts(11, 200)
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    shuffled = linked(near(tmp_path, [texts[i] for i in order]))
    assert {frozenset(order[i] for i in rows) for rows in shuffled} == linked(near(tmp_path, texts))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_texts_are_compared_exactly(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(["a", "b", "c", "肺", "d e"]), max_size=12).map(" ".join)
    texts = data.draw(st.lists(words, min_size=1, max_size=14))
    threshold = data.draw(st.sampled_from([0.5, 0.7, 0.8, 1.0]))
    regime = Regime(size=2, threshold=threshold, min_words=1, max_words=None)
    found = near(tmp_path_factory.mktemp("near"), texts, regime)
    asking = [i for i, text in enumerate(texts) if text]
    wanted = brute([texts[i] for i in asking], threshold, 2)
    assert linked(found) == {frozenset(asking[i] for i in rows) for rows in wanted}
    assert [i for i, group in enumerate(found.groups) if group < 0] == [i for i, text in enumerate(texts) if not text]


def test_equal_texts_in_thousands_cost_nothing(tmp_path: Path) -> None:
    texts = ["the left lung shows a nodule of nine mm " * 10, *some_texts(3, 20)] + [
        "the left lung shows a nodule of nine mm " * 10
    ] * 20_000
    found = near(tmp_path, texts)
    assert found.compared < 500
    assert max(map(len, linked(found))) == 20_001


def test_thousands_of_variants_of_one_text_are_one_component_within_bounds(tmp_path: Path) -> None:
    rng = random.Random(5)
    base = " ".join(rng.choices(WORDS, k=120))
    texts = [edited(rng, base, 0.008) for _ in range(4000)]
    found = near(tmp_path, texts)
    [component] = linked(found)
    assert len(component) == 4000
    assert found.compared < 4000 * 4000 / 4
    assert found.passed_over > 0
    shuffled = sorted(texts)
    again = near(tmp_path, shuffled)
    assert (again.compared, again.passed_over) == (found.compared, found.passed_over)


def test_rows_that_may_not_be_duplicates_are_not(tmp_path: Path) -> None:
    text = " ".join(WORDS[:60])
    found = near(tmp_path, [text] * 6, gates=[1, 2, 1, None, 2, 2])
    assert linked(found) == {frozenset({0, 2}), frozenset({1, 4, 5})}
    assert found.groups.tolist() == [0, 1, 0, -1, 1, 1]


def test_a_text_is_question_answer_and_reasoning_and_options_in_any_order(tmp_path: Path) -> None:
    stem, told = " ".join(WORDS[:40]), " ".join(WORDS[100:160])
    same = near(tmp_path, [stem, stem], told={0: told, 1: told})
    assert linked(same) == {frozenset({0, 1})}
    other = near(tmp_path, [stem, stem], told={0: told, 1: " ".join(WORDS[200:260])})
    assert not linked(other)
    apart = near(tmp_path, [stem + " " + told, stem], told={1: told})
    assert linked(apart) == {frozenset({0, 1})}  # but for the n-grams across the border


def test_the_two_ranges_of_lengths_overlap(tmp_path: Path) -> None:
    assert SHORT_TEXTS.max_words is not None
    assert LONG_TEXTS.min_words / SHORT_TEXTS.threshold <= SHORT_TEXTS.max_words
    for words in (10, 31, 32, 36, 40, 41, 80):
        text = " ".join(WORDS[:words])
        found = [linked(near(tmp_path, [text, text.upper()], regime)) for regime in (LONG_TEXTS, SHORT_TEXTS)]
        assert [bool(one) for one in found] == [words >= 32, words <= 40]


def test_one_word_in_a_stem_is_a_difference(tmp_path: Path) -> None:
    texts = [
        "Is the lesion in the left lower lobe?",
        "Is the lesion in the right lower lobe?",
        "Is the lesion not in the left lower lobe?",
        "is the lesion  in the LEFT lower-lobe",
    ]
    assert linked(near(tmp_path, texts, SHORT_TEXTS)) == {frozenset({0, 3})}


# Components and what is dropped


def rows_of(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    """Rows given as (uid, source, rule)."""
    frame = pl.DataFrame(
        [{"uid": uid, "source": source, "rule": rule} for uid, source, rule in rows],
        schema={"uid": pl.String, "source": pl.String, "rule": pl.String},
    ).with_row_index("number")
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("stage", "value", "limit", "twin")]
    return frame.with_columns(nothing)


def found(rows: int, pairs: Iterable[tuple[int, int, float]], groups: dict[int, int] | None = None) -> Near:
    group = np.arange(rows)
    for row, first in (groups or {}).items():
        group[row] = first
    listed = list(pairs)
    return Near(
        group,
        np.array([p[0] for p in listed], np.int64),
        np.array([p[1] for p in listed], np.int64),
        np.array([p[2] for p in listed], np.float64),
        len(listed),
        0,
    )


def dropped(rows: pl.DataFrame, near: Near, preference: Sequence[str] = ("a", "b")) -> dict[str, tuple[str, str]]:
    """uid to (twin, value) of the rows that near-duplicates drop."""
    done = drop_near_duplicates(rows, [(near, 0.8, "word 5-grams")], preference)
    lost = done.filter(pl.col("rule") == "near_duplicate")
    assert lost["stage"].unique().to_list() in ([], ["dedup"])
    assert lost["limit"].unique().to_list() in ([], ["0.8"])
    return {uid: (twin, value) for uid, twin, value in lost.select("uid", "twin", "value").iter_rows()}


def test_the_preferred_sources_row_stays_then_the_smallest_uid() -> None:
    rows = rows_of(("b/1", "b", None), ("a/9", "a", None), ("a/2", "a", None), ("b/0", "b", None))
    near = found(4, [(0, 1, 0.9), (1, 2, 0.81), (2, 3, 0.85)])
    gone = dropped(rows, near)
    assert {uid: twin for uid, (twin, _) in gone.items()} == {"b/1": "a/2", "a/9": "a/2", "b/0": "a/2"}
    assert gone["b/1"][1] == "0.9 of its word 5-grams with a/9"
    assert {uid: twin for uid, (twin, _) in dropped(rows, near, ("b", "a")).items()} == {
        "b/1": "b/0",
        "a/9": "b/0",
        "a/2": "b/0",
    }


def test_nothing_is_linked_by_way_of_a_row_that_went_before() -> None:
    rows = rows_of(("a/1", "a", None), ("a/2", "a", "answer_empty"), ("a/3", "a", None))
    assert dropped(rows, found(3, [(0, 1, 0.9), (1, 2, 0.9)])) == {}
    # The first of three equal rows went before: the others stand for themselves.
    rows = rows_of(("a/1", "a", "answer_empty"), ("a/2", "a", None), ("a/3", "a", None), ("a/4", "a", None))
    gone = dropped(rows, found(4, [(0, 3, 0.9)], groups={1: 0, 2: 0}))
    assert {uid: twin for uid, (twin, _) in gone.items()} == {"a/3": "a/2", "a/4": "a/2"}


def test_rows_without_twins_are_left_alone() -> None:
    rows = rows_of(("a/1", "a", None), ("a/2", "a", None))
    assert drop_near_duplicates(rows, [(found(2, []), 0.8, "x")], ("a",)).equals(rows)


@settings(max_examples=100, deadline=None)
@given(
    nodes=st.integers(1, 30),
    links=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40),
)
def test_components_are_those_of_a_walk(nodes: int, links: list[tuple[int, int]]) -> None:
    links = [(a % nodes, b % nodes) for a, b in links]
    label = components(nodes, np.array([a for a, _ in links], int), np.array([b for _, b in links], int))
    beside: dict[int, set[int]] = {node: {node} for node in range(nodes)}
    for a, b in links:
        union = beside[a] | beside[b]
        for node in union:
            beside[node] = union
    assert label.tolist() == [min(beside[node]) for node in range(nodes)]


def test_a_chain_of_a_hundred_thousand_is_one_component() -> None:
    ends = np.arange(100_000)
    assert not components(100_001, ends, ends + 1).any()
    assert not components(100_001, ends[::-1], ends[::-1] + 1).any()
