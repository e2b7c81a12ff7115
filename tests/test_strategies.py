"""What each strategy asks and makes of the answers: the same prompts for the same problem, and no gold told unasked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
from simulated_teacher import (
    Fate,
    Request,
    SimulatedTeacher,
    problem,
    right_answer,
    text_of,
    weighted,
    wrong_answer,
)

from infimed_data.manifest.generate import PATTERNS, Drawing, Generate, Pattern, Reflective, Search, Stability
from infimed_data.schema import ImageSlot
from infimed_data.strategies import REASONS, STRATEGIES, Candidate, Problem
from infimed_data.strategies.candidate import split_reasoning
from infimed_data.strategies.masking import MASK, masked
from infimed_data.strategies.prompting import asked, filled, template
from infimed_data.strategies.reflective import pattern_of
from infimed_data.strategies.search import revision_of
from infimed_data.strategies.stability import tier_of
from infimed_data.teachers import Ask, Completion, ImagePart, Prompt, TextPart

KINDS = ("choice", "yes_no", "number", "short_text")


def settings(strategy: Any, **changes: Any) -> Generate:
    """Settings of a strategy, the rest as it stands."""
    return Generate(teacher="big", strategy=strategy, **changes)


def candidates(
    problem: Problem, ask: Ask, how: Generate, attempts: range = range(1), seed: int = 7
) -> tuple[Candidate, ...]:
    """The candidates of some attempts at one problem."""

    async def made() -> tuple[Candidate, ...]:
        return await STRATEGIES[how.strategy](problem, ask, how, seed, attempts=attempts)

    return asyncio.run(made())


def scripted(**fates: str | Sequence[str]) -> Fate:
    """Fates by the role of a request; a sequence goes by the turn, its last one for all later turns."""

    def fate(request: Request) -> str:
        named = fates.get(request.role, "right")
        return named if isinstance(named, str) else named[min(request.turn, len(named) - 1)]

    return fate


MESSAGES = ("direct", "reflective", "revise", "reveal", "merge", "reconstruct", "rewrite", "judge")
VALUES = {"gold": "GOLD", "path": "PATH", "mask": "MASK", "masked": "MASKED", "draft": "DRAFT", "answer": "ANSWER"}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("kind", [*KINDS, "multi_choice", "open"])
def test_every_message_is_whole_in_both_languages(name: str, lang: str, kind: str) -> None:
    pattern = {"reflective": ("patterns", "self_check"), "revise": ("revisions", "verify")}.get(name)
    for image in (True, False):
        example = Problem(
            uid="u", question="Q", options=("one", "two"), answer_kind=kind, lang=lang, images=("d",) * image
        )
        wording = template(name, example, pattern=pattern)
        text = text_of(made_prompt(wording.name, asked(wording, example, **VALUES)))
        assert "{" not in text and "\n\n\n" not in text and text == text.strip()
        assert ("图像" in text or "image" in text) >= image or name in ("revise", "reveal")
        assert wording.name.startswith(f"{name}.{lang}") and len(wording.name.rpartition("@")[2]) == 8


def made_prompt(name: str, message: Any) -> Prompt:
    """A prompt of one message."""
    from infimed_data.strategies.prompting import prompt

    return prompt(name, "big", Drawing(), message)


def test_every_prompt_file_is_shipped_in_both_languages() -> None:
    names = {entry.name for entry in (files("infimed_data") / "prompts").iterdir() if entry.name.endswith(".txt")}
    pieces = ("parts", "patterns", "revisions")
    assert names == {f"{name}.{lang}.txt" for name in (*MESSAGES, *pieces) for lang in ("en", "zh")}
    sizes = {entry.name: len(entry.read_text("utf-8")) for entry in (files("infimed_data") / "prompts").iterdir()}
    assert min(sizes.values()) > 50


def test_a_digest_names_a_wording_not_a_sample() -> None:
    one, other = problem(1), problem(2)
    assert template("direct", one) == template("direct", other)
    assert template("direct", one).name != template("direct", problem(1, "number")).name
    assert template("direct", one).name != template("direct", problem(1, image=False)).name
    names = {template("reflective", one, pattern=("patterns", pattern)).name for pattern in PATTERNS}
    assert len(names) == len(PATTERNS)


def test_braces_and_placeholders_in_a_question_are_text() -> None:
    odd = Problem(
        uid="u", question="What is {gold} in {x}?", options=("{answer_form}", "b"), answer="b", answer_kind="choice"
    )
    text = text_of(made_prompt("n", asked(template("direct", odd), odd)))
    assert text.startswith("What is {gold} in {x}?\nA. {answer_form}\nB. b\n\nThink first")
    with pytest.raises(KeyError, match="no value for gold"):
        filled("{gold}", {})


def test_images_stand_in_front_or_where_their_slots_say() -> None:
    front = Problem(uid="u", question="Compare them.", images=("a", "b"), answer_kind="open")
    parts = asked(template("direct", front), front).parts
    assert parts[:2] == (ImagePart("a"), ImagePart("b"))
    assert isinstance(parts[2], TextPart) and len(parts) == 3
    slots = (ImageSlot(0, 7), ImageSlot(0, 12))
    inside = Problem(uid="u", question="Before  after  ?", images=("a", "b"), image_slots=slots, answer_kind="open")
    parts = asked(template("direct", inside), inside).parts
    assert [part.text if isinstance(part, TextPart) else part.digest for part in parts[:4]] == [
        "Before ",
        "a",
        " afte",
        "b",
    ]


def test_a_sample_is_asked_in_its_language() -> None:
    for lang, word in (("en", "Think first"), ("zh", "请先思考"), ("de", "Think first")):
        teacher = SimulatedTeacher([problem(1, lang="zh" if lang == "zh" else "en")], scripted())
        how = settings("direct")
        asked_of = (
            problem(1, lang="zh") if lang == "zh" else Problem(uid="made/train/1", question="Case 1: wer?", lang=lang)
        )
        candidates(asked_of, teacher, how)
        assert word in text_of(teacher.asked[0][0])


def test_direct_makes_one_candidate_an_attempt() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted())
    found = candidates(problem(1), teacher, settings("direct"), range(2, 5))
    assert [candidate.attempt for candidate in found] == [2, 3, 4]
    assert [index for _, index in sorted(teacher.asked, key=lambda item: item[1])] == [2, 3, 4]
    assert {candidate.outcome for candidate in found} == {"correct"}
    assert len({candidate.key for candidate in found}) == 3
    assert len({step.completion.key for candidate in found for step in candidate.steps}) == 3


@pytest.mark.parametrize("strategy", ["direct", "reflective", "search"])
@pytest.mark.parametrize(
    ("fate", "status", "outcome", "reason"),
    [
        ("truncated", "truncated", "unverifiable", "truncated"),
        ("error", "failed", "unverifiable", "teacher_failed"),
        ("filtered", "failed", "unverifiable", "teacher_failed"),
        ("refusal", "answered", "wrong", None),
    ],
)
def test_what_goes_wrong_is_a_candidate_too(
    strategy: str, fate: str, status: str, outcome: str, reason: str | None
) -> None:
    every = dict.fromkeys(("direct", "reflective", "revise"), fate)
    (found,) = candidates(problem(1), SimulatedTeacher([problem(1)], scripted(**every)), settings(strategy))
    assert (found.status, found.outcome) == (status, outcome)
    assert found.verdict.reason in REASONS and (reason is None or found.verdict.reason == reason)
    assert found.steps[0].completion.finish_reason in ("length", "error", "content_filter", "stop")


def test_the_shares_of_patterns_are_the_manifests() -> None:
    shares: dict[Pattern, float] = {
        "self_check": 4.0,
        "eliminate_options": 3.0,
        "alternative_hypothesis": 2.0,
        "look_back": 1.0,
    }
    how = settings("reflective", reflective=Reflective(patterns=shares))
    total = 20_000
    for attempt in (0, 3):
        counts = Counter(pattern_of(problem(number), how, 11, attempt) for number in range(total))
        chi = sum((counts[name] - total * share / 10) ** 2 / (total * share / 10) for name, share in shares.items())
        assert chi < 16.3, counts  # 3 degrees of freedom, p = 0.001


def test_the_attempts_at_one_sample_go_round_the_patterns() -> None:
    how = settings("reflective")
    for number in range(200):
        counts = Counter(pattern_of(problem(number), how, 11, attempt) for attempt in range(10))
        assert set(counts) == set(PATTERNS)
        assert max(counts.values()) <= 3


def test_options_are_not_eliminated_where_there_are_none() -> None:
    how = settings("reflective")
    found = Counter(pattern_of(problem(number, "yes_no"), how, 11, 0) for number in range(4000))
    assert set(found) == set(PATTERNS) - {"eliminate_options"}
    assert max(found.values()) / min(found.values()) < 1.2


def test_a_sample_without_an_image_is_not_asked_to_look_at_one() -> None:
    text_only = problem(3, image=False)
    teacher = SimulatedTeacher([text_only], scripted())
    found = candidates(text_only, teacher, settings("reflective"), range(8))
    assert {candidate.pattern for candidate in found} >= {"self_check", "look_back"}
    assert not any("image" in text_of(prompt) for prompt, _ in teacher.asked)


@pytest.mark.parametrize("strategy", ["direct", "reflective", "search", "stability"])
def test_prompts_depend_neither_on_the_order_of_rows_nor_on_other_rows(strategy: str) -> None:
    rows = [problem(number, KINDS[number % 4], "zh" if number % 3 == 0 else "en") for number in range(40)]
    how = settings(strategy, stability=Stability(samples=4, high=3, middle=2, min_verifiable=2, rewriter="mender"))
    fate = weighted(5, right=4, wrong=4, unsure=1, truncated=1)

    def prompts(chosen: list[Problem], seed: int) -> set[tuple[str, Prompt, int]]:
        teacher = SimulatedTeacher(rows, fate, random.Random(len(chosen)))
        for each in chosen:
            candidates(each, teacher, how, range(4), seed)
        return {(teacher.request(prompt, index)[1].uid, prompt, index) for prompt, index in teacher.asked}

    everything = prompts(rows, 1)
    assert prompts(rows[::-1], 1) == everything
    few = {row.uid for row in rows[10:20]}
    assert prompts(rows[10:20], 1) == {each for each in everything if each[0] in few}
    if strategy in ("reflective", "search"):
        assert prompts(rows, 2) != everything


def test_search_ends_with_the_first_right_answer() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted())
    (found,) = candidates(problem(1), teacher, settings("search"))
    assert [step.role for step in found.steps] == ["answer"]
    assert (found.wrong, found.hinted, found.gold_revealed) == ((), False, False)


def test_search_revises_a_wrong_answer_and_merges_the_turn() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted(direct="wrong", revise=("wrong", "wrong", "right")))
    how = settings("search", search=Search(rewriter="mender"))
    (found,) = candidates(problem(1), teacher, how)
    assert [step.role for step in found.steps] == ["answer", "revise", "revise", "merge"]
    assert [step.verdict.outcome for step in found.steps] == ["wrong", "wrong", "correct", "correct"]
    assert found.steps[-1].model == "mender" and found.steps[0].model == "big"
    assert found.outcome == "correct" and found.hinted and not found.gold_revealed
    assert len(found.wrong) == 2 and all(wrong != right_answer(problem(1)) for wrong in found.wrong)
    assert found.wrong[0] in text_of(teacher.asked[-1][0])
    assert found.pattern == "+".join(step.pattern or "" for step in found.steps[1:3])
    assert found.trial is found.steps[0]


def test_search_gives_up_after_its_depth() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted(direct="wrong", revise="wrong"))
    (found,) = candidates(problem(1), teacher, settings("search", search=Search(depth=2)))
    assert [step.role for step in found.steps] == ["answer", "revise", "revise"]
    assert found.outcome == "wrong"


@pytest.mark.parametrize(
    ("fate", "outcome"), [("unsure", "unverifiable"), ("truncated", "unverifiable"), ("refusal", "wrong")]
)
def test_search_says_nothing_against_what_concludes_nothing_or_cannot_be_judged(fate: str, outcome: str) -> None:
    teacher = SimulatedTeacher([problem(1, "number")], scripted(direct=fate))
    (found,) = candidates(problem(1, "number"), teacher, settings("search"))
    assert len(found.steps) == 1 and found.outcome == outcome


def test_a_merge_is_verified_anew() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted(direct="wrong", revise="right", merge="wrong"))
    (found,) = candidates(problem(1), teacher, settings("search"))
    assert found.outcome == "wrong" and found.steps[-2].verdict.outcome == "correct"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
def test_search_never_tells_the_gold(kind: str, lang: str) -> None:
    for number in range(6):
        row = problem(number, kind, lang)
        teacher = SimulatedTeacher([row], scripted(direct="wrong", revise="wrong"))
        candidates(row, teacher, settings("search", search=Search(depth=3)), range(3))
        shown = row.question + row.option_lines
        wrongs = {wrong_answer(row, salt) for salt in range(9)}
        for prompt, _ in teacher.asked:
            text = text_of(prompt).replace(shown, "").replace(row.question, "").replace(row.option_lines, "")
            for wrong in wrongs:
                text = text.replace(wrong, "")
            if kind != "yes_no":  # every prompt names both answers
                assert row.answer not in text
            assert row.gold not in text or kind == "yes_no"
            assert not prompt.name.startswith("reveal")


def as_dict(row: Problem) -> dict[str, Any]:
    """The fields of a problem."""
    return {name: getattr(row, name) for name in Problem.__slots__}


def test_prompts_of_search_do_not_depend_on_the_gold() -> None:
    row = problem(1)
    other = Problem(**{**as_dict(row), "answer": row.options[3], "answer_label": "D"})
    fixed = "<think>\nThe density is even.\n</think>\n\n<answer>A. Cyst</answer>"  # wrong for both

    def prompts(asked_of: Problem) -> list[Prompt]:
        seen: list[Prompt] = []

        async def ask(prompt: Prompt, index: int) -> Completion:
            seen.append(prompt)
            return Completion(key="k", index=index, text=fixed, finish_reason="stop", prompt_tokens=1,
                              completion_tokens=1, latency_s=0.0, cached=False)  # fmt: skip

        candidates(asked_of, ask, settings("search"))
        return seen

    assert prompts(row) == prompts(other) and len(prompts(row)) == 4


def test_reveal_tells_the_gold_in_a_last_round_and_marks_it() -> None:
    row = problem(1)
    teacher = SimulatedTeacher([row], scripted(direct="wrong", revise="wrong"))
    (found,) = candidates(row, teacher, settings("search", search=Search(depth=2, reveal=True)))
    assert [step.role for step in found.steps] == ["answer", "revise", "revise", "reveal", "merge"]
    assert [step.gold_revealed for step in found.steps] == [False, False, False, True, False]
    assert found.gold_revealed and found.outcome == "correct"
    assert f"The right answer is: {row.gold}" in text_of(teacher.asked[3][0])


def test_going_back_is_never_the_first_revision() -> None:
    how = settings("search")
    firsts = Counter(revision_of(problem(number), how, 3, 0, 0) for number in range(3000))
    later = Counter(revision_of(problem(number), how, 3, 0, 1) for number in range(3000))
    assert set(firsts) == {"verify", "explore", "correct"} and set(later) == {*firsts, "backtrack"}
    assert max(firsts.values()) / min(firsts.values()) < 1.2 and max(later.values()) / min(later.values()) < 1.25


def by_index(*fates: str) -> Fate:
    """Fates of the samples of `stability` by their number; all else is right."""
    return lambda request: fates[request.index] if request.role == "direct" else "right"


EIGHT = Stability(rewriter="mender", reconstructor="small")


def test_stability_keeps_what_a_second_model_reconstructs() -> None:
    row = problem(2)
    fates = ("right",) * 7 + ("wrong",)

    def fate(request: Request) -> str:
        if request.role == "reconstruct":
            return "wrong"
        return fates[request.index]

    how = settings("stability", stability=EIGHT)
    teacher = SimulatedTeacher([row], by_index(*fates))
    found = candidates(row, teacher, how, range(8))
    assert len(found) == 8 and {candidate.withheld for candidate in found} == {None}
    assert [step.role for step in found[0].steps] == ["answer", "reconstruct"] and len(found[7].steps) == 1
    assert found[0].made.role == "answer" and found[0].steps[1].model == "small"
    shown = text_of(next(prompt for prompt, _ in teacher.asked if prompt.name.startswith("reconstruct")))
    assert row.question in shown and MASK["en"] in shown
    again = candidates(row, SimulatedTeacher([row], fate), how, range(8))
    assert [candidate.withheld for candidate in again] == ["not_reconstructed"] * 7 + [None]


def test_stability_has_the_middle_tier_rewritten_with_the_gold() -> None:
    row = problem(2)
    teacher = SimulatedTeacher([row], by_index(*("right",) * 4, *("wrong",) * 4))
    found = candidates(row, teacher, settings("stability", stability=EIGHT), range(8))
    assert len(found) == 9 and {candidate.withheld for candidate in found[:8]} == {"middle_tier"}
    last = found[8]
    assert (last.attempt, last.gold_revealed, last.withheld, last.outcome) == (8, True, None, "correct")
    assert last.steps[0].model == "mender" and last.trial is None
    shown = text_of(teacher.asked[-1][0])
    draft = min((c.reasoning for c in found[:8] if c.outcome == "correct"), key=len)
    assert f"The right answer is: {row.gold}" in shown and draft in shown
    without = settings("stability", stability=Stability(rewriter=None))
    assert (
        len(candidates(row, SimulatedTeacher([row], by_index(*("right",) * 4, *("wrong",) * 4)), without, range(8)))
        == 8
    )


@pytest.mark.parametrize(
    ("fates", "tier"),
    [
        (("right",) * 6 + ("wrong",) * 2, "high"),
        (("right",) * 5 + ("wrong",) * 3, "middle"),
        (("right",) * 3 + ("wrong",) * 5, "middle"),
        (("right",) * 2 + ("wrong",) * 6, "low"),
        (("wrong",) * 8, "low"),
        (("right",) * 4 + ("truncated",) * 4, "high"),  # 4 of 4 is more than 6 of 8
        (("right",) * 3 + ("wrong",) * 1 + ("error",) * 4, "high"),  # 3 of 4 is 6 of 8
        (("right",) * 3 + ("wrong",) * 3 + ("error",) * 2, "middle"),
        (("right",) * 3 + ("error",) * 5, "unknown"),
        (("truncated",) * 8, "unknown"),
    ],
)
def test_tiers_are_shares_of_what_can_be_judged(fates: tuple[str, ...], tier: str) -> None:
    row = problem(2)
    found = candidates(row, SimulatedTeacher([row], by_index(*fates)), settings("direct"), range(8))
    assert tier_of(found, settings("stability", stability=EIGHT)) == tier
    withheld = {"high": None, "middle": "middle_tier", "low": "low_tier", "unknown": "few_verifiable"}[tier]
    made = candidates(row, SimulatedTeacher([row], by_index(*fates)), settings("stability", stability=EIGHT), range(8))
    assert {candidate.withheld for candidate in made[:8]} == {withheld}


def row_of(kind: str, answer: str, *options: str, lang: str = "en") -> Problem:
    """A problem of one kind with its gold answer."""
    label = "ABC"[options.index(answer)] if options else None
    return Problem(
        uid="u", question="?", options=options, answer=answer, answer_label=label, answer_kind=kind, lang=lang
    )


CHOICE = row_of("choice", "Nodule", "Cyst", "Scar", "Nodule")
NUMBER = row_of("number", "12 mm")
SHORT = row_of("short_text", "spleen")
YES = row_of("yes_no", "yes")
ZH = row_of("choice", "结节", "囊肿", "结节", lang="zh")


@pytest.mark.parametrize(
    ("row", "text", "taken"),
    [
        (CHOICE, "It is dense. A cyst is clear. So the answer is C.", ["So the answer is C."]),
        (CHOICE, "It is dense. Therefore this is a nodule. Its border is sharp.", ["Therefore this is a nodule."]),
        (CHOICE, "A nodule would be round. It is round. C fits best.", ["C fits best."]),
        (CHOICE, "It is round.\n**Answer:** C. Nodule\nThat is all.", ["**Answer:** C. Nodule"]),
        (CHOICE, "It is round. <answer>C</answer> Done.", ["<answer>C</answer> Done."]),
        (CHOICE, "It is round. \\boxed{C}", ["\\boxed{C}"]),
        (CHOICE, "A nodule is round, and so is a cyst. This one is dense.", []),
        (
            CHOICE,
            "It is dense, so it is the nodule and not the cyst.",
            ["It is dense, so it is the nodule and not the cyst."],
        ),
        (CHOICE, "The answer is not A. It is round. Nodule.", ["Nodule."]),
        (CHOICE, "Of A and C, C fits better.\nI choose C.\nYes.", ["Of A and C, C fits better.", "I choose C."]),
        (NUMBER, "One edge is at 3 and the other at 15. So it measures 1.2 cm.", ["So it measures 1.2 cm."]),
        (NUMBER, "The scale shows 10 mm. It is a little wider: 12 mm.", ["It is a little wider: 12 mm."]),
        (SHORT, "It lies on the left. It has a notch. This must be the spleen.", ["This must be the spleen."]),
        (YES, "The edge can be drawn with one line. So the border is sharp.", ["So the border is sharp."]),
        (YES, "The edge is thin. Nothing is blurred there.", ["Nothing is blurred there."]),
        (ZH, "密度均匀。囊肿应为低密度。因此是结节。", ["因此是结节。"]),
        (ZH, "密度均匀，边界清楚。故选B。", ["故选B。"]),
    ],
)
def test_masking_takes_out_the_conclusion_and_no_more(row: Problem, text: str, taken: list[str]) -> None:
    hidden = masked(row, text, "[masked]")
    assert list(hidden.taken) == taken
    rest = text
    for sentence in hidden.taken:
        assert sentence not in hidden.text
        rest = rest.replace(sentence, "")
    assert "".join(hidden.text.replace("[masked]", "").split()) == "".join(rest.split())
    assert bool(hidden.taken) == ("[masked]" in hidden.text)


def test_a_problem_is_made_of_a_row_of_samples() -> None:
    row = {
        "uid": "s/train/1", "question": "Before  after?", "options": None, "answer": "yes", "answer_label": None,
        "answer_kind": "yes_no", "lang": "en", "images": ["d1"], "image_slots": [{"turn": 0, "offset": 7}],
    }  # fmt: skip
    found = Problem.from_row(row)
    assert (found.options, found.images, found.image_slots) == ((), ("d1",), (ImageSlot(0, 7),))
    assert found.gold == "yes" and problem(1).gold == "B. Scar"
    assert (
        Problem.from_row({**row, "options": ["a", "b"], "images": None, "image_slots": None}).option_lines
        == "A. a\nB. b"
    )


def test_reasoning_is_what_stands_in_the_first_closed_block() -> None:
    assert split_reasoning("<think>\na\n</think>\n\nb") == ("a", "b")
    assert split_reasoning("a </think> b") == ("a", "b")
    assert split_reasoning("no block") == ("", "no block")
    assert split_reasoning("<think>open") == ("", "<think>open")
    assert split_reasoning("<THINKING>a</THINKING>b") == ("a", "b")


def test_log_probabilities_are_asked_for_where_they_are_used() -> None:
    teacher = SimulatedTeacher([problem(1)], scripted())
    candidates(problem(1), teacher, settings("direct"))
    candidates(problem(1), teacher, settings("direct", winners={"policy": "lowest_entropy"}))
    candidates(problem(1), teacher, settings("stability"), range(8))
    assert [prompt.sampling.logprobs for prompt, _ in teacher.asked][:3] == [False, True, True]


def test_an_error_that_must_stop_the_stage_leaves_no_request_behind() -> None:
    running: set[int] = set()

    async def ask(prompt: Prompt, index: int) -> Completion:
        running.add(index)
        try:
            if index == 1:
                raise RuntimeError("the budget is spent")
            await asyncio.sleep(60)
        finally:
            running.discard(index)
        raise AssertionError

    with pytest.raises(RuntimeError, match="the budget is spent"):
        candidates(problem(1), ask, settings("direct"), range(4))
    assert not running
