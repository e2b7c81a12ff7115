"""What is paid equals what the verifier says; gaming the reward rings; the audit finds rows that it gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infimed_data.verify import Gold, verify
from infimed_train.config import Data, Reward
from infimed_train.data import load_rows
from infimed_train.rewards import Batch, Judge, Watch, audit, gold_answer, in_form, repeated_share

CHOICE: dict[str, Any] = {
    "answer": "Pons",
    "answer_label": "B",
    "options": ["Medulla", "Pons"],
    "answer_kind": "choice",
}
TEXT: dict[str, Any] = {"answer": "left lung", "answer_label": None, "options": [], "answer_kind": "short_text"}


def columns(*rows: dict[str, Any], source: str = "s") -> dict[str, Any]:
    table = {name: [row[name] for row in rows] for name in CHOICE}
    prompt = [{"role": "user", "content": "Where is it?"}]
    uids = [str(i) for i in range(len(rows))]
    return table | {"prompts": [prompt] * len(rows), "source": [source] * len(rows), "uid": uids}


def paid(judge: Judge, texts: list[str], **more: Any) -> dict[str, list[float | None]]:
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    functions, _ = judge.functions()
    return {
        f.__name__: f(completions=completions, completion_ids=[list(range(len(t))) for t in texts], **more)
        for f in functions
    }


def test_an_undecided_answer_is_not_counted_by_any_function() -> None:
    judge = Judge(Reward(soft_max_tokens=40, repetition_ngram=2), max_completion_tokens=60)
    texts = ["It is. <answer>B</answer>", "<answer>A</answer>", "So. <answer>the lower left lung</answer>"]

    values = paid(judge, texts, **columns(CHOICE, CHOICE, TEXT))

    assert values["accuracy"] == [1.0, 0.0, None]
    assert values["format"] == [1.0, 0.0, None]
    assert values["length"] == [0.0, 0.0, None]
    assert values["repetition"] == [-0.0, -0.0, None]
    assert judge.functions()[1] == [1.0, 0.1, 0.1, 0.1]


def test_a_gate_pays_nothing_without_the_form() -> None:
    judge = Judge(Reward(format="gate", form="think_answer"), max_completion_tokens=None)
    texts = ["<answer>B</answer>", "<think>It is.</think> <answer>B</answer>"]

    values = paid(judge, texts, **columns(CHOICE, CHOICE))

    assert values == {"accuracy": [0.0, 1.0], "format": [0.0, 1.0]}
    assert judge.functions()[1] == [1.0, 0.0]


def test_rewards_equal_the_verifiers_verdicts_on_a_build(demo_build: Path, training: None) -> None:
    rows = load_rows(Data(path=str(demo_build), output="rl"), "grpo")
    table = [row for _, row in rows.raw()]
    texts = [f"So. <answer>{gold_answer(Gold.from_row(row))}</answer>" for row in table]
    texts[::3] = ["So. <answer>A</answer>"] * len(texts[::3])
    judge = Judge(Reward(format="off"), max_completion_tokens=None)
    named: dict[str, Any] = {name: [row[name] for row in table] for name in table[0] if name != "prompt"}

    values = paid(judge, texts, prompts=[row["prompt"] for row in table], **named)["accuracy"]

    outcome = {"correct": 1.0, "wrong": 0.0, "unverifiable": None}
    verdicts = [verify(Gold.from_row(row), text) for row, text in zip(table, texts, strict=True)]
    assert values == [outcome[v.outcome] for v in verdicts]
    assert {0.0, 1.0} <= set(values)


def test_curves_are_by_source_and_kind() -> None:
    metrics: dict[str, float] = {}
    extra: dict[str, list[Any]] = {}
    judge = Judge(Reward(), max_completion_tokens=None)

    logs = {"log_metric": metrics.__setitem__, "log_extra": extra.__setitem__}
    paid(judge, ["B", "A", "the lower left lung"], **logs, **columns(CHOICE, CHOICE, TEXT))

    assert metrics == {"accuracy/kind/choice": 0.5, "accuracy/source/s": 0.5, "unverifiable": pytest.approx(1 / 3)}
    assert extra["uid"] == ["0", "1", "2"]
    assert extra["verdict"] == ["correct", "wrong", "unverifiable"]
    assert extra["reason"][1] == "other_option"


@pytest.mark.parametrize(
    ("text", "answer", "think_answer"),
    [
        ("Grey. <answer>B</answer>", True, False),
        ("<think>Grey.</think>\n<answer>B</answer>\n", True, True),
        ("<answer>B</answer>", False, False),
        ("<think> </think><answer>B</answer>", True, False),
        ("<think>a</think><answer> </answer>", False, False),
        ("<think>a</think><answer>B</answer> and more", False, False),
        ("<think>a</think></think><answer>B</answer>", True, False),
        ("<think>a</think><answer>A</answer><answer>B</answer>", False, False),
        ("B", False, False),
    ],
)
def test_the_form_is_exact(text: str, answer: bool, think_answer: bool) -> None:
    assert in_form(text, "answer") is answer
    assert in_form(text, "think_answer") is think_answer


def test_repeats_are_counted_in_words_and_in_chinese() -> None:
    assert repeated_share("one two three four", 2) == 0.0
    assert repeated_share("肺炎肺炎肺炎", 2) == pytest.approx(0.6)
    assert repeated_share("", 3) == 0.0


def batch(step: int, **values: Any) -> Batch:
    usual: dict[str, Any] = {
        "tokens": 100.0, "accuracy": 0.5, "form": 0.5, "unverifiable": 0.1, "letters": (("A", "A"), ("B", "C"))
    }  # fmt: skip
    return Batch(step=step, **(usual | values))


@pytest.mark.parametrize(
    ("values", "alarm"),
    [
        ({"tokens": 1.0}, "answers_vanish"),
        ({"letters": (("C", "A"), ("C", "C"), ("C", "B"), ("C", "D"))}, "constant_letter"),
        ({"form": 1.0, "accuracy": 0.3}, "form_without_answers"),
        ({"unverifiable": 0.6}, "unverifiable_rises"),
    ],
)
def test_an_alarm_rings_once_and_only_for_its_own_reason(values: dict[str, Any], alarm: str) -> None:
    said: list[str] = []
    watch = Watch(said.append, window=10)
    for step in range(30):
        assert watch.see(batch(step)) == []
    rung = [watch.see(batch(step, **values)) for step in range(30, 50)]

    assert rung[-1] == [alarm]
    assert len(said) == 1
    assert said[0].startswith("alarm at step ")
    assert alarm in said[0]


def test_a_letter_that_is_right_that_often_is_no_alarm() -> None:
    watch = Watch(pytest.fail, window=10)
    for step in range(30):
        assert watch.see(batch(step, letters=(("A", "A"),) * 8)) == []


def test_the_audit_lists_rows_that_the_reward_gets_wrong(demo_build: Path, training: None) -> None:
    rows = load_rows(Data(path=str(demo_build), output="rl"), "grpo")

    clean = audit(zip(rows.uids, (row for _, row in rows.raw()), strict=True), Reward())

    assert clean.rows == len(rows)
    assert clean.broken == []
    assert 0 < clean.usable <= len(rows)
    assert clean.guesses["yes_no"][0] in ("yes", "no")
    bad: dict[str, dict[str, Any]] = {
        "y": TEXT | {"answer_kind": "open"},
        "z": CHOICE | {"answer_label": "A"},
        "w": TEXT | {"answer": "A, B", "options": ["p", "q"]},
    }
    found = audit(bad.items(), Reward())
    assert found.undecided == {"choice": 1, "open": 1}
    assert found.usable == 1
    assert ("w", "short_text", "all options 'A, B'", "paid: exact_text") in found.broken
