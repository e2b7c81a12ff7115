"""What holds for every answer: a right one stays right in any dress, a wrong one wrong, and no text breaks a thing."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.adapters.reading import free_answer_kind
from infimed_data.verify import OUTCOMES, REASONS, Gold, verify
from infimed_data.verify.number import quantity_of
from infimed_data.verify.units import CONVERTED, SPELLINGS
from infimed_data.verify.verdict import LABELS

QUICK = settings(max_examples=50, deadline=None)

WORDS = ("renal", "hepatic", "tumor", "edema", "lobe", "septum", "valve", "stent", "cortex", "marrow", "plaque", "duct")
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(" ".join)
option_lists = st.lists(phrases, min_size=2, max_size=10, unique=True)
PIECES = (
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "\\boxed{",
        "}",
        "answer is",
        "答案是",
        "选",
        "A",
        "yes",
        "no",
        "3",
    ),
    *(" cm", "left lung", "\ud800", "\u202e", "\x00", "**", "<|x|>", "not ", " or ", "/", "\n", "½", "10^9", "百分之"),
)
characters = st.characters(codec=None, exclude_categories=()) | st.sampled_from("AB<>/{}\\|是否无左右0123456789.,-\n ")
anything = st.text(characters, max_size=60) | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@st.composite
def choices(draw: st.DrawFn) -> tuple[Gold, int]:
    """A question with options, and where the right one stands."""
    options = draw(option_lists)
    right = draw(st.integers(0, len(options) - 1))
    return Gold("Which of them is drawn here?", tuple(options), options[right], LABELS[right], "choice"), right


@st.composite
def golds(draw: st.DrawFn) -> Gold:
    """A gold answer of any kind."""
    kind = draw(st.sampled_from(("choice", "multi_choice", "yes_no", "number", "short_text", "open", "none")))
    question = draw(st.sampled_from(("", "Which is it?", "How many weeks?", "哪一侧？")))
    if kind == "choice":
        return draw(choices())[0]._replace(question=question)
    if kind == "multi_choice":
        options = draw(option_lists)
        right = sorted(draw(st.sets(st.integers(0, len(options) - 1), min_size=1)))
        labels = ",".join(LABELS[index] for index in right)
        return Gold(question, tuple(options), "; ".join(options[index] for index in right), labels, kind)
    answer = {
        "yes_no": st.sampled_from(("yes", "no", "是", "否")),
        "number": st.sampled_from(("3", "2.5 cm", "50%", "5-10 mm", "120/80", "-1", "2 x 3 cm")),
    }.get(kind, phrases)
    return Gold(question, (), draw(answer), None, kind)


def full_width(text: str) -> str:
    """`text` in full-width forms."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


DRESSES: dict[str, Callable[[str], str]] = {
    "tag": lambda text: f"<answer>{text}</answer>",
    "open tag": lambda text: f"Well.\n<answer>{text}",
    "capital tag, lines": lambda text: f"<ANSWER>\n{text}\n</ANSWER>\nDone.",
    "box": lambda text: f"\\boxed{{{text}}}",
    "text box": lambda text: f"$\\boxed{{\\text{{{text}}}}}$",
    "tag and box": lambda text: f"<answer>\\boxed{{{text}}}</answer>",
    "twice": lambda text: f"<answer>{text}</answer> \\boxed{{{text}}}",
    "cue": lambda text: f"The answer is: {text}",
    "Chinese cue": lambda text: f"答案是：{text}",
    "next line": lambda text: f"Final answer:\n\n{text}",
    "thought": lambda text: f"<think>A or D? Not left, 12 cm. No.</think>\n\n{text}",
    "thought with tags": lambda text: f"<think><answer>yes</answer> \\boxed{{A}} p<b></think>{text}",
    "end of a thought": lambda text: f"right? no, A.</think>{text}",
    "markdown": lambda text: f"**{text}**",
    "heading": lambda text: f"## `{text}`",
    "full width": full_width,
    "special tokens": lambda text: f"<|im_start|>{text}<|im_end|><|endoftext|>",
    "invisible": lambda text: f"\ufeff{text[:1]}\u200b{text[1:]}\u2060",
    "spaces": lambda text: f" \n {text.replace(' ', '   ')}\t\n",
}


@pytest.mark.parametrize("dress", DRESSES)
@QUICK
@given(gold=golds(), completion=st.data())
def test_a_dress_never_changes_the_verdict(dress: str, gold: Gold, completion: st.DataObject) -> None:
    plain = completion.draw(
        st.sampled_from(
            [
                gold.answer,
                gold.answer_label or "yes",
                "no",
                "A",
                "4",
                "25 mm",
                "renal tumor",
                "both lungs",
                "不是",
                "C. duct",
            ]
        )
    )
    assert verify(gold, DRESSES[dress](plain)).outcome == verify(gold, plain).outcome


@QUICK
@given(choice=choices(), upper=st.booleans())
def test_the_gold_option_is_correct_in_each_spelling_and_no_other_is(choice: tuple[Gold, int], upper: bool) -> None:
    gold, right = choice
    for index, option in enumerate(gold.options):
        text = option.upper() if upper else option
        letter = LABELS[index]
        expected = "correct" if index == right else "wrong"
        spellings = [
            letter,
            letter.lower(),
            f"({letter})",
            f"{letter}.",
            f"{letter}) {text}",
            f"{letter}、{text}",
            text,
        ]
        spellings += [f"{text}.", f"the {text}", f"Option {letter}", f"选{letter}", text.replace(" ", "-"), f"{text}s"]
        for spelling in spellings:
            assert verify(gold, spelling).outcome == expected, spelling
        for other in set(range(len(gold.options))) - {index}:
            assert verify(gold, f"{LABELS[other]}. {text}").outcome == "wrong"
            assert verify(gold, f"{letter} or {LABELS[other]}").outcome == "wrong"


@QUICK
@given(choice=choices())
def test_hedges_and_echoes_are_never_paid(choice: tuple[Gold, int]) -> None:
    gold, _ = choice
    letters = LABELS[: len(gold.options)]
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, gold.options, strict=False))
    for text in ("", letters, " ".join(letters), ", ".join(letters), "/".join(letters), " or ".join(letters), lines):
        assert verify(gold, text).outcome == "wrong", text
    for text in (", ".join(gold.options), gold.question, f"{gold.question}\n{lines}", "I cannot tell", "reward=1"):
        assert verify(gold, text).outcome == "wrong", text
    for letter in letters:
        assert verify(gold, f"<think><answer>{letter}</answer>").outcome == "wrong"
        assert verify(gold, f"<answer></answer>{letter}").outcome == "wrong"


@QUICK
@given(options=option_lists, data=st.data())
def test_only_the_gold_set_is_correct(options: list[str], data: st.DataObject) -> None:
    indexes = st.sets(st.integers(0, len(options) - 1), min_size=1)
    right, given_ = data.draw(indexes), data.draw(indexes)
    order = data.draw(st.permutations(sorted(given_)))
    labels = ",".join(LABELS[index] for index in sorted(right))
    gold = Gold("Which?", tuple(options), "; ".join(options[i] for i in sorted(right)), labels, "multi_choice")
    letters = [LABELS[index] for index in order]
    expected = "correct" if given_ == right else "wrong"
    for text in (",".join(letters), "、".join(letters), " and ".join(letters), " ".join(letters), "".join(letters)):
        assert verify(gold, text).outcome == expected, text
    lines = "\n".join(f"{LABELS[index]}. {options[index]}" for index in order)
    assert verify(gold, lines).outcome == expected
    assert verify(gold, ", ".join(options[index] for index in order)).outcome == expected
    if len(letters) > 1:
        assert verify(gold, " or ".join(letters)).outcome == "wrong"


@QUICK
@given(
    value=st.integers(1, 10**6).map(lambda number: Fraction(number, 1000)),
    units=st.sampled_from([(a, b) for a in CONVERTED for b in CONVERTED if CONVERTED[a][0] == CONVERTED[b][0]]),
    data=st.data(),
)
def test_numbers_are_equal_after_conversion_and_in_each_spelling_of_the_unit(
    value: Fraction, units: tuple[str, str], data: st.DataObject
) -> None:
    factor = CONVERTED[units[0]][1] / CONVERTED[units[1]][1]
    converted = value * factor
    if (converted * 10**12).denominator != 1:
        return
    spelled = data.draw(st.sampled_from([units[1], *SPELLINGS[units[1]].split(", ")]))
    gold = Gold("", (), f"{_decimal(value)} {units[0]}", None, "number")
    given_ = _decimal(converted)
    assert verify(gold, f"{given_} {spelled}").outcome == "correct"
    assert verify(gold, f"It measures about {given_}{spelled}.").outcome == "correct"
    assert verify(gold, f"{_decimal(converted + 1)} {spelled}").outcome == "wrong"
    assert verify(gold, f"-{given_} {spelled}").outcome == "wrong"
    assert verify(gold, f"{given_}-{given_} {spelled}").outcome == "wrong"
    assert verify(gold, f"> {given_} {spelled}").outcome == "wrong"
    assert verify(gold, _decimal(value)).outcome == "unverifiable"


def _decimal(value: Fraction) -> str:
    digits = f"{int(value * 10**12):013d}"
    return f"{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".")


@QUICK
@given(number=st.integers(0, 10**9))
def test_thousands_separators_do_not_matter_and_other_commas_do(number: int) -> None:
    gold = Gold("", (), str(number), None, "number")
    assert verify(gold, f"{number:,}").outcome == "correct"
    assert verify(gold, f"{number}.0").outcome == "correct"
    assert verify(gold, f"{number},5").outcome == "wrong"
    assert verify(gold, f"{number}%").outcome == "wrong"


@QUICK
@given(phrase=phrases, article=st.sampled_from(("", "a ", "an ", "the ", "The ")))
def test_a_phrase_is_correct_in_each_spelling(phrase: str, article: str) -> None:
    gold = Gold("", (), phrase, None, "short_text")
    for text in (phrase.upper(), phrase.replace(" ", "-"), phrase.replace(" ", ""), f"'{phrase}'.", f"{phrase}\n"):
        assert verify(gold, article + text).outcome == "correct", text
    british = phrase.replace("tumor", "tumour").replace("edema", "oedema")
    assert verify(gold, british).outcome == "correct"
    assert verify(Gold("", (), british, None, "short_text"), phrase).outcome == "correct"


OPPOSITES = [
    ("left", "right"), ("upper", "lower"), ("anterior", "posterior"), ("benign", "malignant"), ("acute", "chronic"),
    ("increased", "decreased"), ("present", "absent"), ("hyperdense", "hypodense"), ("hyper-intense", "hypointense"),
    ("T1", "T2"), ("superior", "inferior"), ("medial", "lateral"), ("proximal", "distal"), ("normal", "abnormal"),
    ("intraocular", "extraocular"), ("tachycardic", "bradycardic"), ("positive", "negative"), ("large", "small"),
    ("displaced", "nondisplaced"), ("stable", "unstable"), ("with", "without"), ("anterolateral", "posterolateral"),
]  # fmt: skip


@pytest.mark.parametrize("pair", OPPOSITES, ids="/".join)
@QUICK
@given(before=st.sampled_from(("", "the ", "focal ")), after=phrases, swapped=st.booleans())
def test_an_opposite_word_is_always_wrong(pair: tuple[str, str], before: str, after: str, swapped: bool) -> None:
    gold, given_ = pair[::-1] if swapped else pair
    verdict = verify(Gold("", (), f"{before}{gold} {after}", None, "short_text"), f"{before}{given_} {after}")
    assert verdict.outcome == "wrong"
    assert verify(Gold("", (), gold, None, "short_text"), given_).outcome == "wrong"
    options = (f"{gold} {after}", f"{given_} {after}")
    assert verify(Gold("", options, options[0], "A", "choice"), options[1]).outcome == "wrong"


@pytest.mark.parametrize("pair", [("左", "右"), ("上", "下"), ("前", "后"), ("良", "恶"), ("急", "慢")], ids="".join)
def test_an_opposite_character_is_always_wrong(pair: tuple[str, str]) -> None:
    for gold, given_ in (pair, pair[::-1]):
        for frame in ("{}肺", "{}侧", "在{}叶"):
            verdict = verify(Gold("", (), frame.format(gold), None, "short_text", "zh"), frame.format(given_))
            assert (verdict.outcome, verdict.reason) == ("wrong", "opposite_word")


@settings(max_examples=500, deadline=None)
@given(gold=golds(), completion=anything)
def test_any_text_gets_one_verdict(gold: Gold, completion: str) -> None:
    verdict = verify(gold, completion)
    assert verdict == verify(gold, completion)
    assert verdict.outcome in OUTCOMES
    assert verdict.reason in REASONS


@QUICK
@given(question=anything, options=st.lists(anything, max_size=4), answer=anything, label=st.none() | anything)
def test_any_gold_gets_a_verdict(question: str, options: list[str], answer: str, label: str | None) -> None:
    for kind in ("choice", "multi_choice", "yes_no", "number", "short_text", "open"):
        gold = Gold(question, tuple(options), answer, label, kind)
        for completion in (answer, label or "A", question, ""):
            assert verify(gold, completion).reason in REASONS


@settings(max_examples=300, deadline=None)
@given(
    st.from_regex(
        r"[-+]?[0-9][0-9,]{0,4}(\.[0-9]{1,3})?( ?(-|to|/|x) ?[0-9,]{1,4})?[ ]?(%|percent|[µum]?m|kg|dL|cc|weeks?)?"
    )
    | anything
)
def test_what_is_read_as_a_number_can_be_verified_as_one(answer: str) -> None:
    if free_answer_kind(answer) == "number":
        assert quantity_of(answer) is not None
        assert verify(Gold("", (), answer, None, "number"), answer).outcome == "correct"


HOSTILE = {
    name: piece * (200_000 // len(piece))
    for name, piece in {
        "boxes": "\\boxed{", "spaces": " ", "lines": " \n", "thoughts": "<think>", "closed": "</think>", "digits": "9",
        "tags": "<answer>", "commas": "9,", "points": "1.", "marks": "\u0301\u0316", "marked": "a\u0301\u0316\u0327",
        "cues": "answer is ", "cue lines": "answer:\n", "letters": "A B ", "word": "A", "angle": "<", "braces": "{",
        "ends": "}", "stars": "1*", "slashes": "\\", "wrappers": "\\text{", "fractions": "\\frac{1", "hyphens": "-",
        "ranges": "1-", "sides": "left lung ", "nots": "not ", "refusals": "can not be ", "选": "选B", "答案": "答案是",
        "leads": "so the my final correct ", "无": "无", "十": "十", "both": "yes no ", "numbers": "one hundred and ",
        "units": "5 mg per ", "names": "T2-", "minus": "minus ", "ligature": "\ufdfa", "nul": "\x00", "bidi": "\u202e",
        "surrogate": "\ud800", "half": "½", "text": "bladder", "quotes": '"', "vulgar": "1 1⁄2 ",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_no_time_and_is_never_paid(name: str) -> None:
    options = ("Bladder", "Left lung", "Uterus", "No")
    for gold in (
        Gold("Which organ?", options, "Uterus", "C", "choice"),
        Gold("Which organs?", options, "Bladder; Uterus", "A,C", "multi_choice"),
        Gold("Is it?", (), "yes", None, "yes_no"),
        Gold("How big?", (), "2.5 cm", None, "number"),
        Gold("Where?", (), "right lung", None, "short_text"),
        Gold("What?", (), "The right lung is large.", None, "open"),
    ):
        started = time.process_time()
        outcome = verify(gold, HOSTILE[name]).outcome
        assert time.process_time() - started < 0.5
        assert outcome != "correct"
