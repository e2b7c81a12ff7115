"""Options are shuffled by the seed with label, answer and reasoning in step, or the row stays as it was, with why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from adapter_rows import read
from conftest import PROJECT, Run

from infimed_data.shuffling import anchors, relabelled, shuffled


def row(**changes: Any) -> dict[str, Any]:
    return {
        "uid": "s/train/1", "question": "Which organ?", "options": ["Liver", "Lung", "Spleen", "Heart"],
        "answer": "Lung", "answer_label": "B", "answer_kind": "choice", "turns": [], "rationale": "", **changes,
    }  # fmt: skip


def orders(**changes: Any) -> list[tuple[str, ...]]:
    """The orders of 200 uids."""
    done = [shuffled(row(uid=f"s/train/{n}", **changes), 17) for n in range(200)]
    assert all(one.kept is None for one in done)
    for one in done:
        labels = one.record["answer_label"].split(",")
        texts = [one.record["options"]["ABCDEFGHIJ".index(label)] for label in labels]
        assert "; ".join(texts) == one.record["answer"]
    return [tuple(one.record["options"]) for one in done]


def test_label_and_options_stay_in_step_and_all_orders_come() -> None:
    found = orders()
    assert len(set(found)) == 24
    places = Counter(order.index("Lung") for order in found)
    assert all(25 <= places[place] <= 80 for place in range(4))
    assert shuffled(row(), 1) == shuffled(row(), 1)
    assert {tuple(shuffled(row(), seed).record["options"]) for seed in range(40)} > {tuple(row()["options"])}


def test_several_right_options_stay_in_the_order_of_their_letters() -> None:
    orders(answer="Liver; Spleen", answer_label="A,C", answer_kind="multi_choice")


@pytest.mark.parametrize(
    ("options", "segments"),
    [
        (["Liver", "Lung", "Heart", "None of the above"], [0, 0, 0, None]),
        (["Liver", "All of the above", "Lung", "Heart"], [0, None, 1, 1]),
        (["Liver", "Lung", "Heart", "Both A and B"], [None, None, 0, None]),
        (["Liver", "Lung", "Heart", "A and C"], [None, 0, None, None]),
        (["Liver", "Lung", "Heart", "A, B and C"], [None, None, None, None]),
        (["Liver", "Lung", "None of these", "Heart"], [0, 0, None, 0]),
        (["肝", "肺", "心", "以上都不是"], [0, 0, 0, None]),
        (["Hepatitis A", "Hepatitis B", "Above the diaphragm", "Allopurinol"], [0, 0, 0, 0]),
        (["Tongue", "Thumb", "Both", "Breathing"], [0, 0, None, 1]),
        (["Yes", "No"], [0, 0]),
        (["A", "B", "C", "D"], None),
    ],
)
def test_options_that_speak_of_others_stay_where_their_words_need_them(
    options: list[str], segments: list[int | None] | None
) -> None:
    assert anchors(options) == segments


def test_what_stands_above_an_anchor_stays_above_it() -> None:
    for order in orders(options=["Liver", "Lung", "None of the above", "Heart"]):
        assert order[2:] == ("None of the above", "Heart") and set(order[:2]) == {"Liver", "Lung"}


PLACES = {0: 2, 1: 0, 2: 3, 3: 1}
OPTIONS = ["Liver", "Lung", "Spleen", "Heart"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The organ is the lung.", "The organ is the lung."),
        ("So the answer is B.", "So the answer is A."),
        ("Option A is wrong, (C) too; **D** as well.", "Option C is wrong, (D) too; **B** as well."),
        ("A. Liver: no air.\nB. Lung: air.", "C. Liver: no air.\nA. Lung: air."),
        ("Options A and C are out, so \\boxed{B}", "Options C and D are out, so \\boxed{A}"),
        ("A patient with hepatitis B and B-cell lymphoma.", "A patient with hepatitis B and B-cell lymphoma."),
        ("排除选项A,选B", "排除选项C,选A"),
        ("Vitamin C is low. Choose D: Heart.", "Vitamin C is low. Choose B: Heart."),
        ("E is no option here.", "E is no option here."),
    ],
)
def test_letters_of_the_reasoning_are_rewritten(text: str, expected: str) -> None:
    assert relabelled(text, OPTIONS, PLACES) == expected


@pytest.mark.parametrize(
    "text",
    ["B fits better than C.", "The second option fits.", "option b is right", "Of the above, the lung has air.",
     "I rule out (a) first.", "Choice 2 it is.", "Ans: BD", "The first two options are out.", "It must be D"],
)  # fmt: skip
def test_reasoning_that_names_options_otherwise_keeps_its_row(text: str) -> None:
    assert relabelled(text, OPTIONS, PLACES) is None
    before = row(rationale=text)
    kept = shuffled(before, 17)
    assert kept.record is before and kept.kept == "rationale_names_options"


def test_rows_that_cannot_be_shuffled_say_why() -> None:
    assert shuffled(row(question="Is option A right?"), 1).kept == "question_names_options"
    assert shuffled(row(options=["A", "B"]), 1).kept == "options_are_letters"
    assert shuffled(row(answer_label="E"), 1).kept == "label_without_option"
    for other in (row(options=[]), row(answer_kind="yes_no", options=[]), row(answer_label=None)):
        assert shuffled(other, 1) == (other, None, 0)


def test_real_exam_questions_are_balanced_and_their_explanations_kept_in_step(real: Path) -> None:
    samples, _ = read("medmcqa", real / "medmcqa", "validation")
    kept, before, after, rewritten = Counter[str](), Counter[str](), Counter[str](), 0
    for number, sample in enumerate(samples):
        given = {**asdict(sample), "uid": f"medmcqa/validation/{number}", "options": list(sample.options)}
        done = shuffled(given, 17)
        kept[done.kept or "shuffled"] += 1
        before[str(sample.answer_label)] += 1
        after[done.record["answer_label"]] += 1
        assert done.record["options"]["ABCD".index(done.record["answer_label"])] == sample.answer
        rewritten += done.record["rationale"] != sample.rationale
    assert kept == {"shuffled": 3889, "rationale_names_options": 275, "options_are_letters": 19}
    assert before == {"A": 1348, "B": 1085, "C": 925, "D": 825}
    assert max(after.values()) - min(after.values()) < 100 and rewritten > 500


@pytest.fixture(scope="module")
def build(demo_build: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The demo with its options shuffled."""
    manifest = tmp_path_factory.mktemp("shuffled") / "m.yaml"
    manifest.write_text(
        f"extends: {PROJECT / 'manifests' / 'demo.yaml'}\nname: shuffled\n"
        "outputs: {sft: {options: shuffle}, rl: {options: shuffle}}\n"
    )
    done = run("build", manifest, "--out", manifest.parent, "--work", demo_build.parents[2] / "work", "-q")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def test_outputs_are_shuffled_in_step_and_the_card_counts_letters(build: Path, demo_build: Path) -> None:
    samples = {row["uid"]: row for row in pl.read_parquet(build / "samples.parquet").to_dicts()}
    rows = [row for file in sorted((build / "rl").glob("*.parquet")) for row in pl.read_parquet(file).to_dicts()]
    moved = 0
    after = Counter[str]()
    for rl in rows:
        read = samples[rl["uid"]]
        assert sorted(rl["options"]) == sorted(read["options"])
        if rl["answer_kind"] != "choice":
            continue
        right = rl["options"]["ABCDEFGHIJ".index(rl["answer_label"])]
        assert right == rl["answer"] == read["answer"]
        assert f"{rl['answer_label']}. {right}" in rl["prompt"][-1]["content"].splitlines()
        moved += rl["options"] != read["options"]
        after[rl["answer_label"]] += 1
    lock = orjson.loads((build / "lock.json").read_bytes())
    letters = lock["outputs"]["rl"]["letters"]
    assert letters["after"] == dict(sorted(after.items())) and 0 < moved <= letters["shuffled"]
    assert sum(letters["before"].values()) == sum(after.values()) == letters["shuffled"] + sum(letters["kept"].values())
    text = (build / "README.md").read_text()
    assert "Options were shuffled by the seed" in text
    cells = " | ".join(f"{n}" for n in letters["before"].values())
    assert f"| as read | {cells} |" in text
    assert "Options were shuffled" not in (demo_build / "README.md").read_text()


def test_answers_of_sft_follow_their_options(build: Path) -> None:
    files = sorted((build / "sft").glob("*.parquet"))
    texts = [
        (row["prompt"][-1]["content"], row["completion"][0]["content"])
        for file in files
        for row in pl.read_parquet(file, columns=["prompt", "completion"]).to_dicts()
    ]
    checked = 0
    for asked, said in texts:
        answer = said.rpartition("<answer>")[2].removesuffix("</answer>")
        if answer[1:3] == ". " and "\nA. " in asked:
            checked += 1
            assert answer in asked.splitlines()
    assert checked > 20
