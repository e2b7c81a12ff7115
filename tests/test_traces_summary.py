"""The numbers of teachers' traces: each against the truth, counted from the outcomes themselves."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from parsed_page import Page
from traced_build import Asked, ended, judged, won, write_traced_build

from infimed_data.rejection import Judged
from infimed_data.report.traces import traces_page, traces_text
from infimed_data.report.traces.summary import PASS_RATES, summarise
from infimed_data.stats import open_build
from infimed_data.teachers.settings import Price


def test_the_summary_equals_the_truth(asked: Asked) -> None:
    found = summarise(open_build(asked.folder))
    taught = [outcome for outcome in asked.outcomes if not outcome.answer_only]
    assert dict(found.samples) == {
        "asked": len(taught),
        "kept": sum(outcome.kept for outcome in taught),
        "answer_only": len(asked.outcomes) - len(taught),
    }
    everything = judged(asked)
    truth: Counter[str] = Counter(ended(each) for _, each in everything)
    assert dict(found.candidates) == {
        "n": len(everything),
        **{name: truth[name] for name in ("correct", "wrong", "unverifiable", "truncated", "failed")},
        "accepted": sum(each.accepted for _, each in everything),
        "winners": sum(won(*pair) for pair in everything),
        "good": sum(each.mark == "good" for _, each in everything),
        "bad": sum(each.mark == "bad" for _, each in everything),
        "overruled": 2,
    }
    assert min(found.candidates.values()) > 0
    assert {row["reason"]: row["n"] for row in found.refusals} == Counter(
        each.refusal for _, each in everything if each.refusal
    )
    assert {(row["ended"], row["reason"]): row["n"] for row in found.reasons} == Counter(
        (ended(each), each.candidate.verdict.reason) for _, each in everything
    )
    assert {row["rule"]: row["n"] for row in found.rules} == Counter(
        outcome.refused.rule for outcome in taught if outcome.refused
    )
    assert {row["policy"]: (row["samples"], row["winners"]) for row in found.policies} == {
        policy: (len(own), sum(len(outcome.winners) for outcome in own))
        for policy in {outcome.policy for outcome in taught if outcome.kept}
        if (own := [outcome for outcome in taught if outcome.kept and outcome.policy == policy])
    }


VALUES: dict[str, Callable[[Asked, Judged], set[str]]] = {
    "source": lambda asked, each: {asked.rows[each.candidate.uid]["source"]},
    "answer kind": lambda asked, each: {asked.rows[each.candidate.uid]["answer_kind"]},
    "strategy": lambda asked, each: {each.candidate.strategy},
    "pattern": lambda asked, each: set((each.candidate.pattern or "").split("+")),
}


@pytest.mark.parametrize("name", VALUES)
def test_accept_rates_equal_the_truth(asked: Asked, name: str) -> None:
    truth: dict[str, Counter[str]] = {}
    samples: dict[str, set[str]] = {}
    for outcome, each in judged(asked):
        for value in VALUES[name](asked, each):
            counts = truth.setdefault(value, Counter())
            samples.setdefault(value, set()).add(outcome.uid)
            counts["candidates"] += 1
            counts["correct"] += ended(each) == "correct"
            counts["accepted"] += each.accepted
            counts["winners"] += won(outcome, each)
    rows = summarise(open_build(asked.folder)).breakdowns[name]
    assert {row["name"]: {field: row[field] for field in row if field != "name"} for row in rows} == {
        value: {**{field: counts[field] for field in ("candidates", "correct", "accepted", "winners")},
                "samples": len(samples[value])}
        for value, counts in truth.items()
    }  # fmt: skip
    assert len(rows) > 2


def test_gates_tell_what_they_refused(asked: Asked) -> None:
    truth: dict[str, Counter[str]] = {}
    for _, each in judged(asked):
        names = [finding.gate for finding in each.findings]
        held = ended(each) == "correct" and each.candidate.withheld is None and not each.accepted and each.mark != "bad"
        for name in names:
            counts = truth.setdefault(name, Counter())
            counts["found"] += 1
            counts["refused"] += held
            counts["alone"] += held and len(names) == 1
            counts["overruled"] += each.accepted
    rows = summarise(open_build(asked.folder)).gates
    fields = ("found", "refused", "alone", "overruled")
    assert {row["gate"]: {field: row[field] for field in fields} for row in rows} == {
        gate: {field: counts[field] for field in fields} for gate, counts in truth.items()
    }
    assert {"answer_leak", "no_reflection"} <= truth.keys() and truth["answer_leak"]["overruled"] == 1


def test_pass_rates_are_those_of_the_first_round(asked: Asked) -> None:
    rates = [outcome.first_round.pass_rate for outcome in asked.outcomes if not outcome.answer_only]
    found = summarise(open_build(asked.folder)).pass_rates
    assert tuple(found) == PASS_RATES
    assert found["unknown"] == sum(rate is None for rate in rates)
    known = [rate for rate in rates if rate is not None]
    bounds = {"0": (-1, 0), "up to 1/4": (0, 0.25), "up to 1/2": (0.25, 0.5), "up to 3/4": (0.5, 0.75)}
    for name, (low, high) in bounds.items():
        assert found[name] == sum(low < rate <= high for rate in known), name
    assert found["1"] == sum(rate == 1 for rate in known) > 0
    assert sum(found.values()) == len(rates)


def test_cost_counts_every_request_once(asked: Asked) -> None:
    requests = {
        (step.model, step.completion.key): (step.completion.prompt_tokens, step.completion.completion_tokens)
        for _, each in judged(asked)
        for step in each.candidate.steps
    }
    cost = summarise(open_build(asked.folder)).cost
    prices = {"big": Price(prompt=1.0, completion=4.0), "mender": Price(prompt=10.0, completion=40.0)}
    usd = sum(prices[model].usd(*tokens) for (model, _), tokens in requests.items() if model in prices)
    accepted = sum(each.accepted for _, each in judged(asked))
    assert {model.model: model.requests for model in cost.models} == Counter(model for model, _ in requests)
    assert {model.model for model in cost.models if model.replayed} == {"small"}
    assert cost.usd == pytest.approx(usd)
    assert cost.usd_each == pytest.approx(usd / accepted)
    assert cost.tokens_each == pytest.approx(sum(map(sum, requests.values())) / accepted)


def test_without_prices_the_text_says_so(demo_build: Path, tmp_path: Path) -> None:
    shortfall = {"stratum": "slake", "wanted": 40, "kept": 31, "why": "9 missing: no rows left; refused: wrong 12"}
    asked = write_traced_build(
        demo_build, tmp_path / "b", lock={"manifest": {}, "generate": {"thinking": {"fill": [shortfall]}}}
    )
    text = traces_text(open_build(asked.folder), width=120)
    assert "no prices per accepted trace" in text and "$" not in text
    assert "slake        40    31  9 missing: no rows left; refused: wrong 12" in text
    shown = Page(traces_page(open_build(asked.folder), max_samples=3).decode())
    assert "no prices" in shown.html and "9 missing: no rows left" in shown.html
    assert summarise(open_build(asked.folder)).cost.usd is None


def test_the_text_has_every_part_and_fits_its_width(asked: Asked) -> None:
    text = traces_text(open_build(asked.folder), width=90)
    assert max(map(len, text.splitlines())) <= 90
    titles = [block.splitlines()[0].split(" (")[0] for block in text.split("\n\n")]
    assert titles[1:] == [
        "Accept rate by source", "Accept rate by answer kind", "Accept rate by strategy", "Accept rate by pattern",
        "Gates", "Refused candidates", "Verdicts", "Cost", "Pass rates of samples", "Wins",
        "Samples without a trace to train on", "Marked so far: 1 good, 1 bad; 2 changed something",
    ]  # fmt: skip
    kept = sum(outcome.kept and not outcome.answer_only for outcome in asked.outcomes)
    assert f"{kept} have a trace to train on" in text


def test_what_was_asked_to_measure_difficulty_is_no_trace(asked: Asked, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(asked.folder, folder)
    table = pl.read_parquet(folder / "candidates.parquet")
    measured = table.with_columns(
        pl.lit("difficulty").alias("pass"), pl.lit(None, pl.Boolean).alias("accepted"), winner=None, refusal=None
    )
    both = pl.concat([table.with_columns(pl.lit("thinking").alias("pass")), measured], how="vertical_relaxed")
    both.write_parquet(folder / "candidates.parquet")
    assert summarise(open_build(folder)) == summarise(open_build(asked.folder))
    assert traces_page(open_build(folder), max_samples=20) == traces_page(open_build(asked.folder), max_samples=20)


def test_candidates_of_one_request_share_its_prompt(asked: Asked, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(asked.folder, folder)
    table = pl.read_parquet(folder / "candidates.parquet")
    four = pl.element().struct.with_fields(pl.lit(4, pl.Int32).alias("choices"))
    table.with_columns(pl.col("steps").list.eval(four)).write_parquet(folder / "candidates.parquet")
    one, shared = summarise(open_build(asked.folder)).cost, summarise(open_build(folder)).cost
    assert shared.prompt_tokens == pytest.approx(one.prompt_tokens / 4, abs=2)
    assert shared.completion_tokens == one.completion_tokens
