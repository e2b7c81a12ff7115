"""Gates: labelled traces, offending and close to it; positions that point at what offends; time linear in the text."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.gates import GATES, Trace, findings, highlights
from infimed_data.gates.reflection import MARKERS
from infimed_data.manifest.generate import PATTERNS, Gates

CASES = [json.loads(line) for line in (Path(__file__).parent / "gate_cases.jsonl").read_text("utf-8").splitlines()]
ALL = Gates(no_reflection=True, image_ignored=True)
GOOD = (
    "The film shows the left costophrenic angle filled in, with a curved upper border that climbs toward the side wall."
)


def trace_of(case: dict[str, Any]) -> Trace:
    """The trace of a labelled case."""
    return Trace(
        text=case["text"],
        question=case["question"],
        options=tuple(case["options"]),
        answer_kind=case["kind"],
        lang=case["lang"],
        image=case["image"],
        pattern=case["pattern"],
        wrong=tuple(case["wrong"]),
    )


def thought(text: str, answer: str = "B. Pleural effusion", **fields: Any) -> Trace:
    """A trace of a choice between findings of the chest."""
    options = ("Pneumothorax", "Pleural effusion", "Rib fracture")
    asked = {"question": "What is shown?", "options": options, "answer_kind": "choice", "image": True, **fields}
    return Trace(text=f"<think>\n{text}\n</think>\n\n<answer>{answer}</answer>", **asked)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_labelled_trace_meets_its_gates_and_no_other(case: dict[str, Any]) -> None:
    found = {finding.gate: f"{finding.reason}: {finding.span}" for finding in findings(trace_of(case), ALL)}
    assert set(found) == set(case["gates"]), (found, case["why"])


def test_there_are_cases_enough_of_every_gate_in_both_languages() -> None:
    assert len(CASES) >= 400
    assert len({case["id"] for case in CASES}) == len(CASES)
    offending = Counter(gate for case in CASES for gate in case["gates"])
    assert set(offending) == set(GATES)
    assert sum(not case["gates"] for case in CASES) >= 150
    assert min(offending[gate] for gate in ("answer_leak", "unseen_source", "persona", "refusal")) >= 15
    assert sum(case["lang"] == "zh" for case in CASES) >= 90


def test_the_manifest_has_a_switch_for_every_gate() -> None:
    switches = {name for name, value in Gates() if isinstance(value, bool)}
    assert switches == set(GATES)
    assert {name for name, value in Gates() if value is False} == {"no_reflection", "image_ignored"}
    assert set(MARKERS) == set(PATTERNS)


@pytest.mark.parametrize("case", [case for case in CASES if case["gates"]][::7], ids=lambda case: case["id"])
def test_a_gate_that_is_off_finds_nothing(case: dict[str, Any]) -> None:
    off = Gates(**dict.fromkeys(GATES, False))
    assert findings(trace_of(case), off) == ()
    others = {finding.gate for finding in findings(trace_of(case), ALL.model_copy(update={case["gates"][0]: False}))}
    assert others == set(case["gates"][1:])


def test_a_finding_points_at_what_offends() -> None:
    for case in CASES:
        for finding in findings(trace_of(case), ALL):
            assert case["text"][finding.start : finding.end] == finding.span
            if finding.gate in ("answer_leak", "unseen_source", "persona", "refusal", "repetition", "language"):
                assert finding.span.strip()


def test_positions_hold_in_text_that_changes_its_length_in_lower_case() -> None:
    (finding,) = findings(thought(f"İİİ “İ” {GOOD} The answer key says so."), ALL)
    assert (finding.gate, finding.span) == ("answer_leak", "answer key")


def test_curly_quotation_marks_are_read_like_plain_ones() -> None:
    (finding,) = findings(thought(f"{GOOD} I\u2019m sorry, but this needs a specialist."), ALL)
    assert (finding.gate, finding.span) == ("refusal", "I\u2019m sorry")


def test_what_the_question_shows_may_be_cited() -> None:
    cited = f"{GOOD} The radiology report describes fluid."
    assert [finding.gate for finding in findings(thought(cited), ALL)] == ["unseen_source"]
    assert findings(thought(cited, question="The report says: fluid. What is shown?"), ALL) == ()


def test_limits_of_length_are_the_manifests() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    assert findings(thought(text), Gates(min_words=100, max_words=100)) == ()
    for limits, reason in (
        (Gates(min_words=101), "100 words; at least 101"),
        (Gates(max_words=99), "100 words; at most 99"),
    ):
        (finding,) = findings(thought(text), limits)
        assert (finding.gate, finding.reason) == ("length", reason)
    chinese = "密度均匀边界清楚" * 3
    (finding,) = findings(thought(chinese, lang="zh"), Gates(min_words=25, repetition=False))
    assert finding.reason == "24 words; at least 25"


def test_reflection_is_shown_with_its_pattern_and_its_place() -> None:
    text = (
        f"{GOOD} Let me double-check the apex, where markings reach the wall. Could it be a scar instead? "
        "Pneumothorax is ruled out by the markings. Looking again at the side wall, it tapers. "
        "Wait, the marker is on the other corner."
    )
    trace = thought(text)
    found = [(shown.pattern, shown.marker, trace.text[shown.start : shown.end]) for shown in highlights(trace)]
    assert found == [
        ("self_check", "double-check", "Let me double-check the apex, where markings reach the wall."),
        ("alternative_hypothesis", "Could it be", "Could it be a scar instead?"),
        ("eliminate_options", "ruled out", "Pneumothorax is ruled out by the markings."),
        ("look_back", "Looking again", "Looking again at the side wall, it tapers."),
        ("backtrack", "Wait", "Wait, the marker is on the other corner."),
    ]


def test_reflection_in_chinese_is_shown_too() -> None:
    text = "等等，标记在另一侧。再看侧胸壁，下厚上薄。会不会是瘢痕？气胸可以排除。再次确认一下肺尖，纹理到达胸壁。"
    trace = thought(text, lang="zh")
    assert [shown.pattern for shown in highlights(trace)] == [
        "backtrack",
        "look_back",
        "alternative_hypothesis",
        "eliminate_options",
        "self_check",
    ]


def test_plain_reasoning_has_no_highlights() -> None:
    assert highlights(thought(GOOD)) == ()
    assert highlights(Trace(text="")) == ()


@pytest.mark.parametrize(
    "text", ["", " ", "<think>", "</think>", "<think></think>", "<answer></answer>", "B", "\ud800", "。"]
)
def test_any_text_is_read_without_an_error(text: str) -> None:
    trace = Trace(text=text, question="", options=(), answer_kind="choice", wrong=("A",), pattern="eliminate_options")
    assert {finding.gate for finding in findings(trace, ALL)} >= {"form", "length"}
    highlights(trace)


FRAGMENTS = (
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "\\boxed{",
        "}",
        " ",
        "\n",
        ". ",
        "。",
        "the answer is ",
        "B",
        "A. ",
    ),
    *(
        "given ",
        "as ",
        "wait, ",
        "let me check ",
        "the report says ",
        "the user wants ",
        "I cannot determine ",
        "left ",
        "右",
    ),
    *(
        "答案",
        "根据提供的答案",
        "不是",
        "İ",
        "ß",
        "\u2019",
        "Pneumothorax ",
        "no ",
        "there is ",
        "effusion ",
        "therefore ",
        "lung ",
    ),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join), st.sampled_from(["en", "zh", "de"]))
@settings(max_examples=300, deadline=None)
def test_whatever_the_text_findings_point_into_it(text: str, lang: str) -> None:
    for kind in ("choice", "yes_no"):
        trace = Trace(
            text=text,
            question="Is there an effusion?",
            options=("Left lung", "Right lung"),
            answer_kind=kind,
            lang=lang,
            image=True,
            pattern="eliminate_options",
            wrong=("A. Left lung",),
        )
        for finding in findings(trace, ALL):
            assert text[finding.start : finding.end] == finding.span
        for shown in highlights(trace):
            assert shown.marker in text[shown.start : shown.end] or "\n" in shown.marker


HOSTILE = (
    "the answer ", "given the ", "wait, ", "let me check ", "according to the ", "left ", "no effusion ",
    "answer is B. ", "report ", "the user ", "a b ", "A. ", "\n", "<think>", "<answer>", "<", "[", "\\boxed{",
    "因此左", "答案", "的", "re-", "but ", "if ", " ", ".", "re-exam", "rule them ", "could also ", "aaaaaaaa",
    "the clinical ", "i cannot ", "和", "i ",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
def test_time_is_linear_in_the_text(piece: str) -> None:
    def once(chars: int) -> float:
        trace = thought(piece * (chars // len(piece)), "B", pattern="eliminate_options", wrong=("A. Pneumothorax",))
        started = time.process_time()
        findings(trace, ALL)
        highlights(trace)
        return time.process_time() - started

    def seconds(chars: int) -> float:
        return min(once(chars) for _ in range(3))  # the machine may be busy

    once(1000)
    assert seconds(80_000) < 10 * max(seconds(20_000), 0.01)
