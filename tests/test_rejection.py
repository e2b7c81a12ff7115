"""Rejection sampling against a teacher whose every answer is known: what is accepted, who wins, what it counts as."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_teacher import Fate, Request, SimulatedTeacher, problem, unsure_answer, weighted

from infimed_data.errors import ManifestError
from infimed_data.manifest.generate import Attempts, Difficulty, Fill, Generate, Search, Stability, Winners
from infimed_data.rejection import (
    CANDIDATES,
    GENERATED,
    POLICIES,
    Filled,
    Judged,
    Mark,
    Outcome,
    Tally,
    candidates_table,
    fill,
    generated_row,
    generated_table,
    in_order,
    is_answer_only,
    measuring,
    priority,
    read_marks,
    rounds,
    sampled,
    select,
    unused_marks,
    winners,
)
from infimed_data.strategies import Problem

KINDS = ("choice", "yes_no", "number", "short_text")
ROWS = [problem(number, KINDS[number % 4], "zh" if number % 5 == 0 else "en") for number in range(60)]
MIXED = weighted(2, right=5, wrong=4, truncated=1, error=0.5, refusal=0.5, unsure=1, leaky=1, filtered=0.3)


def settings(strategy: Any = "direct", **changes: Any) -> Generate:
    """Settings of a pass, the rest as it stands."""
    return Generate(teacher="big", strategy=strategy, **changes)


def outcomes(
    rows: list[Problem],
    how: Generate,
    fate: Fate,
    *,
    seed: int = 7,
    in_flight: int = 8,
    shuffle: int = 0,
    marks: Mapping[str, Any] | None = None,
    entropy: bool = True,
) -> list[Outcome]:
    """The outcome of each row."""
    teacher = SimulatedTeacher(rows, fate, random.Random(shuffle), entropy)

    async def made() -> list[Outcome]:
        def work(row: Problem) -> Any:
            return sampled(row, teacher, how, seed=seed, marks=marks)

        return [outcome async for outcome in in_order(rows, work, in_flight=in_flight)]

    return asyncio.run(made())


def true_fate(row: Problem, attempt: int, fate: Fate = MIXED) -> str:
    """What the teacher does at an attempt of `direct`."""
    found = fate(Request(row.uid, "direct", 0, attempt))
    return "refusal" if found == "unsure" and unsure_answer(row) is None else found


def fates(*named: str) -> Fate:
    """Fates of first answers by the number of the attempt; everything else is right."""
    return lambda r: named[r.index] if r.role == "direct" and r.index < len(named) else "right"


ENDS = {
    "right": "correct", "leaky": "correct", "wrong": "wrong", "refusal": "wrong", "unsure": "unverifiable",
    "truncated": "truncated", "error": "failed", "filtered": "failed",
}  # fmt: skip
FIXED = settings(attempts=Attempts(start=8, limit=8, accept=8))


def test_rates_equal_the_truth_exactly() -> None:
    found = outcomes(ROWS, FIXED, MIXED)
    for row, outcome in zip(ROWS, found, strict=True):
        truth = Counter(ENDS[true_fate(row, attempt)] for attempt in range(8))
        assert outcome.first_round == outcome.trials == Tally(**truth)
        told = truth["correct"] + truth["wrong"] + truth["truncated"]
        assert outcome.first_round.pass_rate == (truth["correct"] / told if told else None)
        assert outcome.accepted == sum(true_fate(row, attempt) == "right" for attempt in range(8))
    everything = Counter(true_fate(row, attempt) for row in ROWS for attempt in range(8))
    assert set(everything) == set(ENDS) and min(everything.values()) > 5


def test_the_teachers_accuracy_leaves_out_what_was_cut_off() -> None:
    (outcome,) = outcomes(
        ROWS[:1], FIXED, fates("right", "right", "wrong", "truncated", "truncated", "error", "filtered", "wrong")
    )
    trials = outcome.first_round
    assert trials == Tally(correct=2, wrong=2, unverifiable=0, truncated=2, failed=2)
    assert (trials.pass_rate, trials.accuracy) == (2 / 6, 2 / 4)


def test_nothing_known_is_no_rate() -> None:
    (outcome,) = outcomes([problem(1, "number")], FIXED, fates(*["unsure"] * 4, *["error"] * 4))
    assert (outcome.first_round.pass_rate, outcome.first_round.accuracy) == (None, None)
    assert not outcome.kept and outcome.refused is not None and outcome.refused.rule == "unverifiable"


def test_rounds_start_small_and_end_at_the_limit() -> None:
    assert list(rounds(settings())) == [range(2), range(2, 4), range(4, 6), range(6, 8)]
    assert list(rounds(settings(attempts=Attempts(start=3, more=4, limit=8)))) == [range(3), range(3, 7), range(7, 8)]
    assert list(rounds(settings("stability", stability=Stability(samples=8)))) == [range(8)]


@pytest.mark.parametrize(
    ("named", "asked", "kept"),
    [
        (("right", "right"), 2, True),
        (("wrong", "wrong", "right", "wrong"), 4, True),
        (("leaky", "truncated", "error", "right"), 4, True),
        (("wrong",) * 8, 8, False),
        (("leaky",) * 8, 8, False),
    ],
)
def test_sampling_stops_when_enough_are_accepted(named: tuple[str, ...], asked: int, kept: bool) -> None:
    (outcome,) = outcomes(ROWS[:1], settings(), fates(*named))
    assert (len(outcome.judged), outcome.kept) == (asked, kept)
    assert [each.candidate.attempt for each in outcome.judged] == list(range(asked))
    assert [each.round for each in outcome.judged] == [number // 2 for number in range(asked)]


def test_more_may_be_wanted_than_one() -> None:
    how = settings(attempts=Attempts(start=2, more=2, accept=3, limit=8), winners=Winners(count=3))
    (outcome,) = outcomes(ROWS[:1], how, fates("right", "wrong", "right", "wrong", "right", "wrong"))
    assert len(outcome.judged) == 6 and len(outcome.winners) == 3 and len(set(outcome.rationales)) == 3


def test_the_pass_rate_is_not_bent_by_when_sampling_stops() -> None:
    often = weighted(3, right=3, wrong=7)
    rows = [problem(number) for number in range(600)]
    found = outcomes(rows, settings(attempts=Attempts(start=2, more=1, limit=8)), often, in_flight=64)
    rates = [outcome.first_round.pass_rate or 0.0 for outcome in found]
    naive = [outcome.trials.pass_rate or 0.0 for outcome in found]
    assert sum(rates) / 600 == pytest.approx(0.3, abs=0.04)
    assert sum(naive) / 600 > 0.36


@pytest.mark.parametrize("strategy", ["direct", "reflective", "search", "stability"])
def test_outcomes_depend_neither_on_what_is_in_flight_nor_on_the_order_of_answers(strategy: str) -> None:
    how = settings(
        strategy,
        search=Search(depth=2, reveal=True),
        stability=Stability(samples=4, high=3, middle=2, min_verifiable=2, rewriter="mender", reconstructor="small"),
        winners=Winners(policy="seeded_random"),
        answer_only=0.1,
    )
    found = outcomes(ROWS, how, MIXED)
    plain = candidates_table(found)
    for in_flight, shuffle in ((1, 1), (3, 2), (60, 3)):
        again = outcomes(ROWS, how, MIXED, in_flight=in_flight, shuffle=shuffle)
        assert again == found
        assert candidates_table(again) == plain and generated_table(again) == generated_table(found)
    reverse = outcomes(ROWS[::-1], how, MIXED, shuffle=4)
    assert reverse[::-1] == found
    assert outcomes(ROWS[20:30], how, MIXED) == found[20:30]
    assert len({each.candidate.key for outcome in found for each in outcome.judged}) == len(plain)


def test_no_more_are_in_flight_than_allowed() -> None:
    rows = [problem(number) for number in range(200)]
    teacher = SimulatedTeacher(rows, fates("right"), random.Random(1))
    how = settings(attempts=Attempts(start=1, limit=1))
    taken = 0

    async def run() -> int:
        nonlocal taken

        def source() -> Any:
            nonlocal taken
            for row in rows:
                taken += 1
                yield row

        most = done = 0
        async for _ in in_order(source(), lambda row: sampled(row, teacher, how, seed=1), in_flight=5):
            done += 1
            most = max(most, taken - done)
        return most

    assert asyncio.run(run()) <= 5
    assert teacher.most_in_flight <= 5 and taken == 200


def test_an_error_stops_all_that_is_in_flight() -> None:
    started, ended = [], []

    async def work(number: int) -> int:
        started.append(number)
        try:
            await asyncio.sleep(0 if number == 2 else 60 if number > 2 else 0)
            if number == 2:
                raise RuntimeError("spent")
            return number
        finally:
            ended.append(number)

    async def run() -> list[int]:
        return [number async for number in in_order(range(100), work, in_flight=4)]

    with pytest.raises(RuntimeError, match="spent"):
        asyncio.run(run())
    assert sorted(started) == sorted(ended) and len(started) < 10


def test_search_counts_the_first_answer_alone() -> None:
    how = settings("search", attempts=Attempts(start=4, limit=4, accept=4))
    first = ("wrong", "wrong", "right", "unsure")
    (outcome,) = outcomes([problem(2, "number")], how, fates(*first))
    assert outcome.first_round == Tally(correct=1, wrong=2, unverifiable=1)
    assert [each.accepted for each in outcome.judged] == [True, True, True, False]
    assert [each.candidate.hinted for each in outcome.judged] == [True, True, False, False]


def test_a_merge_without_its_turn_is_refused() -> None:
    def fate(request: Request) -> str:
        return {"direct": "wrong", "merge": "lost"}.get(request.role, "right")

    for kind in ("choice", "number", "short_text"):
        (outcome,) = outcomes([problem(2, kind)], settings("search"), fate)
        assert outcome.refused is not None and outcome.refused.rule == "gates"
        assert set(outcome.refusals) == {"gate:turn_lost"}


def test_what_saw_the_gold_wins_only_where_nothing_else_does() -> None:
    how = settings("search", search=Search(depth=1, reveal=True), attempts=Attempts(start=2, limit=2, accept=2))

    def fate(request: Request) -> str:
        if request.role in ("direct", "revise"):
            return "wrong" if request.index == 0 else "right"
        return "right"

    (outcome,) = outcomes(ROWS[:1], how, fate)
    assert [each.candidate.gold_revealed for each in outcome.judged] == [True, False]
    assert [each.accepted for each in outcome.judged] == [True, True] and outcome.winners == (1,)
    (alone,) = outcomes(ROWS[:1], how, lambda r: "wrong" if r.role in ("direct", "revise") else "right")
    assert len(alone.winners) == 1 and all(each.candidate.gold_revealed for each in alone.judged)
    assert alone.first_round == Tally(wrong=2)


def test_the_middle_tier_wins_with_its_rewritten_text() -> None:
    how = settings("stability", stability=Stability(rewriter="mender"))
    (outcome,) = outcomes(ROWS[:1], how, fates(*["right"] * 4, *["wrong"] * 4))
    (won,) = outcome.winners
    assert outcome.judged[won].candidate.attempt == 8 and outcome.judged[won].candidate.gold_revealed
    assert outcome.first_round == Tally(correct=4, wrong=4)
    assert outcome.refusals["withheld:middle_tier"] == 4
    (low,) = outcomes(ROWS[:1], how, fates("right", *["wrong"] * 7))
    assert low.refused is not None and low.refused.rule == "low_tier"


def judged_texts(*texts: str, entropies: tuple[float | None, ...] = ()) -> list[Judged]:
    """Accepted candidates with these reasonings."""
    (outcome,) = outcomes(ROWS[:1], settings(attempts=Attempts(start=len(texts), limit=len(texts), accept=len(texts))),
                          fates(*["right"] * len(texts)))  # fmt: skip
    from dataclasses import replace

    made = []
    for at, text in enumerate(texts):
        each = outcome.judged[at]
        step = each.candidate.steps[0]
        entropy = entropies[at] if entropies else None
        completion = replace(step.completion, text=f"<think>{text}</think>x", answer_entropy=entropy)
        candidate = replace(each.candidate, steps=(replace(step, completion=completion),))
        made.append(replace(each, candidate=candidate, findings=()))
    return made


def test_policies_choose_what_they_say() -> None:
    some = judged_texts("a" * 50, "a" * 10, "a" * 30, "a" * 20, "a" * 10, entropies=(0.1, 0.5, 0.2, 0.05, 0.6))
    assert winners(some, "shortest", 3, seed=1) == ((1, 4, 3), "shortest")
    assert winners(some, "median_length", 2, seed=1) == ((3, 1), "median_length")
    assert winners(some, "lowest_entropy", 2, seed=1) == ((3, 0), "lowest_entropy")
    assert winners(some[:1], "shortest", 3, seed=1) == ((0,), "shortest")
    assert winners([], "shortest", 3, seed=1) == ((), None)
    assert set(POLICIES) == {"shortest", "median_length", "lowest_entropy", "most_diverse", "seeded_random"}


def test_without_log_probabilities_the_median_length_wins_and_says_so() -> None:
    some = judged_texts("a" * 50, "a" * 10, "a" * 30, entropies=(0.1, None, 0.2))
    assert winners(some, "lowest_entropy", 1, seed=1) == ((2,), "median_length")
    (outcome,) = outcomes(ROWS[:1], settings("stability"), fates(), entropy=False)
    assert outcome.policy == "median_length"
    (outcome,) = outcomes(ROWS[:1], settings("stability"), fates())
    assert outcome.policy == "lowest_entropy"
    entropies = [each.candidate.made.completion.answer_entropy or 9.0 for each in outcome.judged]
    assert entropies[outcome.winners[0]] == min(entropies)


def test_diverse_winners_share_the_least() -> None:
    one = "the border is sharp and the density is even from top to bottom"
    near = "the border is sharp and the density is even from top to toe"
    far = "vessels run behind it so it lies in front of every one of them"
    other = "bone beside this place has one brightness along its whole length now"
    some = judged_texts(one, near, far, other)
    chosen, _ = winners(some, "most_diverse", 3, seed=1)
    assert len(set(chosen) & {0, 1}) == 1 and set(chosen) >= {2, 3}


def test_a_seeded_winner_depends_on_the_seed_alone() -> None:
    some = judged_texts(*("a" * size for size in range(20, 30)))
    chosen = [winners(some, "seeded_random", 1, seed=seed)[0][0] for seed in range(300)]
    assert chosen == [winners(some, "seeded_random", 1, seed=seed)[0][0] for seed in range(300)]
    counts = Counter(chosen)
    assert len(counts) == 10 and max(counts.values()) < 60


def test_a_share_keeps_a_bare_answer_and_costs_nothing() -> None:
    how = settings(answer_only=0.25)
    bare = [is_answer_only(f"s/train/{number}", how, seed=3) for number in range(8000)]
    assert sum(bare) / 8000 == pytest.approx(0.25, abs=0.015)
    found = outcomes(ROWS, how, fates())
    some = [outcome for outcome in found if outcome.answer_only]
    assert some and all(outcome.kept and not outcome.judged and outcome.refused is None for outcome in some)
    assert {outcome.uid for outcome in some} == {row.uid for row in ROWS if is_answer_only(row.uid, how, seed=7)}
    assert not any(is_answer_only(row.uid, settings(), seed=7) for row in ROWS)


def test_marks_overrule_gates_and_what_no_rule_can_judge() -> None:
    row = [problem(2, "number")]
    named = ("leaky", "unsure", "wrong", "truncated", "right", "wrong", "wrong", "wrong")
    (plain,) = outcomes(row, FIXED, fates(*named))
    keys = [each.candidate.key for each in plain.judged]
    assert [each.refusal for each in plain.judged][:5] == [
        "gate:answer_leak",
        "unverifiable",
        "wrong",
        "truncated",
        None,
    ]
    marks: dict[str, Mark] = {
        keys[0]: "good",
        keys[1]: "good",
        keys[2]: "good",
        keys[3]: "good",
        keys[4]: "bad",
        "unknown": "bad",
    }
    (marked,) = outcomes(row, FIXED, fates(*named), marks=marks)
    assert [each.accepted for each in marked.judged[:5]] == [True, True, False, False, False]
    assert [each.overruled for each in marked.judged[:5]] == [
        ("gate:answer_leak",), ("unverifiable",), (), (), ("accepted",),
    ]  # fmt: skip
    assert marked.judged[4].refusal == "mark:bad" and marked.judged[2].refusal == "wrong"
    assert unused_marks(marks, marked.judged) == ["unknown"]
    assert marked.trials == plain.trials


def test_a_mark_may_end_the_sampling_sooner_or_later() -> None:
    named = ("leaky", "wrong", "right")
    (plain,) = outcomes(ROWS[:1], settings(), fates(*named))
    key = plain.judged[0].candidate.key
    (marked,) = outcomes(ROWS[:1], settings(), fates(*named), marks={key: "good"})
    assert (len(plain.judged), len(marked.judged), marked.winners) == (4, 2, (0,))


def test_marks_are_read_from_lines_and_the_last_one_counts() -> None:
    lines = ('{"candidate": "a", "verdict": "good"}', "", '{"candidate": "b", "verdict": "bad"}')
    text = "\n".join((*lines, '{"candidate": "a", "verdict": "bad"}'))
    assert read_marks(text, "marks.jsonl") == {"a": "bad", "b": "bad"}
    for line in (
        "nonsense",
        '{"candidate": "a"}',
        '{"candidate": 1, "verdict": "good"}',
        '["a"]',
        '{"candidate": "a", "verdict": "fine"}',
    ):
        with pytest.raises(ManifestError, match=r'marks.jsonl:2: not a mark; allowed: \{"candidate"'):
            read_marks('{"candidate": "a", "verdict": "good"}\n' + line, "marks.jsonl")


def filled(
    strata: Mapping[str, list[Problem]], how: Generate, fate: Fate, *, in_flight: int = 16, shuffle: int = 0
) -> tuple[list[tuple[str, Outcome]], dict[str, Filled]]:
    """What filling gives, and its report."""
    assert how.fill is not None
    rows = [row for some in strata.values() for row in some]
    teacher = SimulatedTeacher(rows, fate, random.Random(shuffle))
    report: dict[str, Filled] = {}

    async def run() -> list[tuple[str, Outcome]]:
        assert how.fill is not None
        return [
            pair
            async for pair in fill(
                strata,
                lambda row: sampled(row, teacher, how, seed=7),
                how.fill,
                most=how.most_candidates,
                in_flight=in_flight,
                report=report,
            )
        ]

    return asyncio.run(run()), report


def test_fill_gives_each_stratum_what_it_asks_for_and_no_more() -> None:
    strata = {"a": [problem(number) for number in range(100)], "b": [problem(number) for number in range(100, 200)]}
    how = settings(fill=Fill(samples={"a": 12, "b": 5}, max_candidates=1000))
    found, report = filled(strata, how, weighted(4, right=4, wrong=6))
    kept = Counter(name for name, outcome in found if outcome.kept)
    assert kept == {"a": 12, "b": 5}
    assert all(state.why is None and state.missing == 0 for state in report.values())
    assert report["a"].tried == sum(name == "a" for name, _ in found) < 100
    assert report["a"].candidates == sum(len(outcome.judged) for name, outcome in found if name == "a")


def test_fill_never_exceeds_its_cap_and_says_what_it_cost() -> None:
    strata = {"a": [problem(number) for number in range(300)]}
    how = settings(fill=Fill(samples={"a": 50}, max_candidates=100), attempts=Attempts(limit=8))
    found, report = filled(strata, how, weighted(4, leaky=6, wrong=3, right=0.3))
    state = report["a"]
    assert 100 - 8 < state.candidates <= 100 and state.candidates == sum(len(outcome.judged) for _, outcome in found)
    assert state.missing == 50 - sum(outcome.kept for _, outcome in found) > 0
    assert state.why is not None and "the cap of candidates is reached; refused: gate:answer_leak" in state.why
    assert state.refusals["gate:answer_leak"] + state.refusals["wrong"] + state.kept == pytest.approx(
        state.candidates, abs=9
    )
    assert state.samples == Counter(outcome.refused.rule for _, outcome in found if outcome.refused)


def test_fill_says_when_the_rows_run_out() -> None:
    how = settings(fill=Fill(samples={"a": 10, "nowhere": 2}, max_candidates=1000))
    found, report = filled({"a": [problem(number) for number in range(4)]}, how, fates("right"))
    assert len(found) == 4
    assert report["a"].why == "6 missing after 4 rows and 8 candidates: no rows left"
    assert report["nowhere"].why == "2 missing after 0 rows and 0 candidates: no rows left"


def test_filling_does_not_depend_on_what_is_in_flight() -> None:
    strata = {"a": priority(map(problem, range(80)), seed=1), "b": priority(map(problem, range(100, 180)), seed=1)}
    how = settings(fill=Fill(samples={"a": 20, "b": 30}, max_candidates=120))
    one, report = filled(strata, how, MIXED, in_flight=1)
    many, again = filled(strata, how, MIXED, in_flight=50, shuffle=9)
    assert one == many and report == again


def test_priority_depends_on_the_seed_and_the_uid_alone() -> None:
    rows = [problem(number) for number in range(50)]
    assert priority(rows[::-1], seed=1) == priority(rows, seed=1) != priority(rows, seed=2)
    few = priority(rows[:10], seed=1)
    assert few == [row for row in priority(rows, seed=1) if row in few]


def test_difficulty_keeps_what_is_neither_too_hard_nor_too_easy() -> None:
    tallies = {f"s/{right}": Tally(correct=right, wrong=8 - right) for right in range(9)}
    found = select(tallies, Difficulty(teacher="small"), seed=1)
    assert found.kept == tuple(f"s/{right}" for right in range(7, 0, -1))
    assert {uid: reason.rule for uid, reason in found.dropped.items()} == {"s/0": "too_hard", "s/8": "too_easy"}
    assert found.dropped["s/0"] == ("too_hard", "0 of 8 right", "1 of 8")
    hard = select(tallies, Difficulty(teacher="small", order="hard_first", keep_min=2, keep_max=5), seed=1)
    assert hard.kept == ("s/2", "s/3", "s/4", "s/5")


def test_difficulty_reads_its_bounds_as_shares_of_what_is_known() -> None:
    tallies = {
        "cut": Tally(correct=4, truncated=4),
        "few": Tally(correct=1, wrong=2, unverifiable=5),
        "half": Tally(correct=1, wrong=3, failed=4),
        "all": Tally(correct=4, unverifiable=4),
        "none": Tally(truncated=8),
    }
    found = select(tallies, Difficulty(teacher="small"), seed=1)
    assert found.kept == ("cut", "half")
    assert {uid: reason.rule for uid, reason in found.dropped.items()} == {
        "few": "difficulty_unknown", "all": "too_easy", "none": "too_hard",
    }  # fmt: skip


def test_a_share_of_easy_samples_may_stay() -> None:
    tallies = {f"s/{number}": Tally(correct=8) for number in range(2000)}
    found = select(tallies, Difficulty(teacher="small", keep_easy=0.1), seed=1)
    assert len(found.kept) / 2000 == pytest.approx(0.1, abs=0.025)


def test_ties_of_the_curriculum_are_shuffled_by_the_seed() -> None:
    tallies = {f"s/{number:03d}": Tally(correct=4, wrong=4) for number in range(50)}
    one, other = (select(tallies, Difficulty(teacher="small"), seed=seed).kept for seed in (1, 2))
    assert one != other and sorted(one) == sorted(other) != list(one)
    shuffled = select(
        {**tallies, "easy": Tally(correct=7, wrong=1)}, Difficulty(teacher="small", order="shuffled"), seed=1
    )
    assert [uid for uid in shuffled.kept if uid != "easy"] == list(one)


def test_measuring_draws_a_fixed_number_and_lets_no_gate_stop_it() -> None:
    how = measuring(Difficulty(teacher="small", samples=6))
    found = outcomes(ROWS, how, MIXED)
    assert {len(outcome.judged) for outcome in found} == {6}
    assert all(each.round == 0 and not each.findings for outcome in found for each in outcome.judged)
    for row, outcome in zip(ROWS, found, strict=True):
        assert outcome.first_round == Tally(**Counter(ENDS[true_fate(row, attempt)] for attempt in range(6)))


def test_the_tables_hold_every_attempt_and_what_became_of_each_sample(tmp_path: Any) -> None:
    how = settings("search", search=Search(reveal=True), answer_only=0.2)
    found = outcomes(ROWS, how, MIXED)
    table = candidates_table(found)
    assert table.schema == CANDIDATES and len(table) == sum(len(outcome.judged) for outcome in found)
    rows = table.to_pylist()
    assert sum(row["winner"] == 0 for row in rows) == sum(bool(outcome.winners) for outcome in found)
    assert {row["outcome"] for row in rows} == {"correct", "wrong", "unverifiable"}
    assert {row["trial"] for row in rows} >= {"correct", "wrong", "truncated", "failed"}
    for row in rows:
        assert row["accepted"] == (row["refusal"] is None)
        assert all(step["key"] and step["prompt"].count("@") == 1 for step in row["steps"])
        assert row["completion_tokens"] == sum(step["completion_tokens"] for step in row["steps"])
        assert row["gold_revealed"] == any(step["role"] == "reveal" for step in row["steps"])
        for finding in row["gates"]:
            assert row["text"][finding["start"] : finding["end"]] == finding["span"]
    samples = generated_table(found)
    assert samples.schema == GENERATED and len(samples) == len(ROWS)
    for row, outcome in zip(samples.to_pylist(), found, strict=True):
        assert row["kept"] == (row["rule"] is None) == outcome.kept
        assert row["answer_only"] == (row["candidates"] == 0)
    pq.write_table(table, tmp_path / "candidates.parquet")
    assert pq.read_table(tmp_path / "candidates.parquet").equals(table)
    assert candidates_table([]).schema == CANDIDATES and isinstance(generated_table([]), pa.Table)


def test_a_refused_sample_says_what_stopped_the_one_that_came_furthest() -> None:
    (outcome,) = outcomes(ROWS[:1], FIXED, fates("leaky", "leaky", "truncated", "error", *["wrong"] * 4))
    row = generated_row(outcome)
    assert (row["rule"], row["limit"]) == ("gates", "1 accepted of 8")
    assert row["value"] == "failed 1, gate:answer_leak 2, truncated 1, wrong 4"
    for named, rule in (
        (("wrong",) * 8, "no_right_answer"),
        (("truncated",) * 8, "truncated"),
        (("error",) * 8, "teacher_failed"),
    ):
        (outcome,) = outcomes(ROWS[:1], FIXED, fates(*named))
        assert outcome.refused is not None and outcome.refused.rule == rule
