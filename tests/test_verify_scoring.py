"""Labelled cases, ours and anybody's: all hold, each disagreement is shown, and a line that is no case is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infimed_data.adapters.reading import free_answer_kind
from infimed_data.errors import InfimedError, VerifyError
from infimed_data.stats.cases import scored
from infimed_data.verify import KINDS, Gold, verify
from infimed_data.verify.scoring import load_cases, score_cases

OWN = Path(__file__).parent / "verify_cases.jsonl"
Run = Callable[..., "subprocess.CompletedProcess[str]"]

CASE: dict[str, Any] = {
    "id": "ch-1", "kind": "choice", "lang": "en", "question": "Which one?", "options": ["Red", "Blue"],
    "answer": "Blue", "answer_label": "B", "completion": "<answer>B</answer>", "expected": "correct", "why": "It is.",
}  # fmt: skip


def written(path: Path, *cases: dict[str, Any] | str) -> Path:
    """A file of cases; a text is written as it stands."""
    lines = [case if isinstance(case, str) else json.dumps(case, ensure_ascii=False) for case in cases]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_our_own_cases_hold() -> None:
    score = score_cases(OWN)
    assert score.disagreements == ()
    assert score.total >= 400
    assert {(kind, expected) for kind, expected, _ in score.counts} >= {(kind, "wrong") for kind in KINDS}


def test_cases_that_others_wrote_hold(shared_cases: Path) -> None:
    score = score_cases(shared_cases)
    assert score.disagreements == ()
    assert score.total > 0


def test_no_case_of_ours_is_a_copy(shared_cases: Path) -> None:
    theirs = {(case.gold, case.completion) for case in load_cases(shared_cases) if case.completion}
    assert not theirs & {(case.gold, case.completion) for case in load_cases(OWN)}


def test_agreement_is_a_table_and_exit_code_0(run: Run, tmp_path: Path) -> None:
    number = {**CASE, "id": "nu-1", "kind": "number", "options": [], "answer": "2 cm", "answer_label": None}
    path = written(tmp_path / "cases.jsonl", CASE, {**number, "completion": "2", "expected": "unverifiable"})
    done = run("verify", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["kind", "expected", "got", "correct", "got", "wrong", "got", "unverifiable"],
        ["──────", "────────────", "───────────", "─────────", "────────────────"],
        ["choice", "correct", "1", "0", "0"],
        ["number", "unverifiable", "0", "0", "1"],
        [],
        ["2", "cases,", "2", "agree"],
    ]


def test_a_disagreement_is_shown_with_its_reason_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    hostile = {
        **CASE,
        "id": "x\x1b[31m",
        "question": "Which\u202e one? " * 9,
        "completion": "A. Red",
        "expected": "correct",
    }
    done = run("verify", written(tmp_path / "cases.jsonl", CASE, hostile))
    assert (done.returncode, done.stderr) == (1, "")
    line = next(line for line in done.stdout.splitlines() if "other_option" in line)
    assert line.startswith("x\\x1b[31m  choice  Which\\u202e one?")
    assert line.split()[-6:] == ["B:", "Blue", "A", "correct", "wrong", "other_option"]
    assert "\x1b" not in done.stdout
    assert done.stdout.rstrip().endswith("2 cases, 1 agree")


def test_the_tolerance_is_an_option(run: Run, tmp_path: Path) -> None:
    case = {**CASE, "kind": "number", "options": [], "answer": "10", "answer_label": None, "completion": "10.4"}
    path = written(tmp_path / "cases.jsonl", case)
    assert len(score_cases(path).disagreements) == 1
    assert run("verify", path, "--rel-tol", "0.05").returncode == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON (Expecting property name enclosed in double quotes at column 2); expected one object a line"),
        ("[" * 100_000, "not JSON (nested too deep); expected one object a line"),
        ("[1]", "[1]; expected an object with id, kind, question, answer, completion, ..."),
        (
            {**CASE, "kind": "chioce"},
            '"chioce"; allowed: choice, multi_choice, yes_no, number, short_text, open; did you',
        ),
        ({**CASE, "kind": 3}, "kind: 3; expected a text"),
        ({**CASE, "expected": "right"}, 'expected: "right"; allowed: correct, wrong, unverifiable'),
        ({**CASE, "completion": None}, "completion: null; expected a text"),
        ({key: value for key, value in CASE.items() if key != "answer"}, "no answer; expected a text"),
        ({**{k: v for k, v in CASE.items() if k != "question"}, "questions": "?"}, "; did you mean 'questions'?"),
        ({**CASE, "options": "Red"}, 'options: "Red"; expected a list of texts'),
        ({**CASE, "options": ["Red"]}, "options: 1 given; allowed for the kind choice: 2 to 10"),
        ({**CASE, "kind": "open", "answer_label": None}, "options: 2 given; allowed for the kind open: none"),
        ({**CASE, "kind": "open", "options": []}, 'answer_label: "B"; expected null for the kind open'),
        ({**CASE, "answer_label": "C"}, 'answer_label: "C"; expected one letter from A to B'),
        ({**CASE, "answer_label": "A,B"}, 'answer_label: "A,B"; expected one letter from A to B'),
        ({**CASE, "answer_label": None}, "answer_label: null; expected a text"),
        ({**CASE, "kind": "multi_choice", "answer_label": "AB"}, "expected letters from A to B joined by commas"),
    ],
)
def test_a_line_that_is_no_case_is_named(line: dict[str, Any] | str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "cases.jsonl", CASE, "", line)
    with pytest.raises(VerifyError) as caught:
        score_cases(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 250
    assert isinstance(caught.value, InfimedError)
    assert isinstance(caught.value, ValueError)


def test_a_file_that_holds_no_cases_is_an_error(run: Run, tmp_path: Path) -> None:
    empty = written(tmp_path / "empty.jsonl", "", " ")
    missing = tmp_path / "missing.jsonl"
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(json.dumps(CASE).encode() + b"\n\xe9\n")
    for path, message in (
        (empty, f"{empty}: no cases; expected one JSON object a line"),
        (missing, f"{missing}: No such file or directory; expected a file of cases, one JSON object a line"),
        (tmp_path, f"{tmp_path}: Is a directory; expected a file of cases, one JSON object a line"),
        (latin, f"{latin}:2: not UTF-8 (unexpected end of data at byte 0 of the line)"),
    ):
        with pytest.raises(VerifyError) as caught:
            score_cases(path)
        assert str(caught.value).startswith(message.partition(" (")[0])
    done = run("verify", empty)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [f"error: {empty}: no cases; expected one JSON object a line"]


def test_a_byte_order_mark_and_more_fields_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({**CASE, "source": "ours"}).encode() + b"\r\n")
    assert score_cases(path).total == 1
    assert "1 case, 1 agree" in scored(score_cases(path))


def real_answers(real: Path) -> list[Gold]:
    """Every distinct answer of VQA-RAD, SLAKE and PathVQA, with the kind that its adapter gives it."""
    rows: list[tuple[str, Any]] = []
    for name in ("vqa_rad/trainset.json", "vqa_rad/testset.json"):
        rows += [("en", row["answer"]) for row in json.loads((real / name).read_text())]
    for name in ("slake/train.json", "slake/validate.json", "slake/test.json"):
        rows += [(row["q_lang"], row["answer"]) for row in json.loads((real / name).read_text())]
    rows += [("en", row["Answers"]) for row in json.loads((real / "path_vqa_text/QA_pairs_vb.json").read_text())]
    distinct = dict.fromkeys((lang, str(answer).strip()) for lang, answer in rows if str(answer).strip())
    return [Gold("", (), answer, None, free_answer_kind(answer), lang) for lang, answer in distinct]


def test_every_real_answer_given_back_is_correct(real: Path) -> None:
    golds = real_answers(real)
    assert len(golds) > 3000
    for gold in golds:
        for text in (
            f"<think>No, 3 cm.</think><answer>{gold.answer}</answer>",
            gold.answer,
            f"The answer is {gold.answer}.",
        ):
            assert verify(gold, text).outcome == "correct", (gold, text)


def test_every_real_option_is_right_or_wrong_as_labelled(real: Path) -> None:
    rows = []
    for line in (real / "medqa" / "phrases_no_exclude_test.jsonl").read_text().splitlines()[::4]:
        row = json.loads(line)
        rows.append((row["question"], list(row["options"].values()), "ABCDE".index(row["answer_idx"])))
    for line in (real / "medmcqa" / "dev.json").read_text().splitlines()[::8]:
        row = json.loads(line)
        rows.append((row["question"], [row[f"op{letter}"].strip() for letter in "abcd"], row["cop"] - 1))
    assert len(rows) > 800
    for question, options, right in rows:
        plain = [" ".join(option.lower().split()) for option in options]
        gold = Gold(question, tuple(options), options[right], "ABCDE"[right], "choice")
        for index, option in enumerate(options):
            letter = "ABCDE"[index]
            if plain.count(plain[index]) > 1 or len(option) == 1:
                continue
            for text in (letter, f"<answer>{letter}. {option}</answer>", option, f"The correct option is {letter}."):
                assert verify(gold, text).outcome == ("correct" if index == right else "wrong"), (gold, text)
