"""Masking: reasoning without its statements of the answer, wherever it is stated as the conclusion.

What is taken out is whole sentences: those that a cue marks as a conclusion ("the answer is", "therefore", "best fits",
因此, 选), those with an answer tag or a box, and the last one, each only if it states the answer. Whether it does, the
verifier says; of an answer to a yes/no question any conclusion may be the statement, so all of them go. A sentence that
merely weighs the answer on the way stays: it is what the reasoning consists of.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from infimed_data.strategies.problem import Problem
from infimed_data.text import sentences
from infimed_data.verify import verify

__all__ = ["MASK", "Masked", "masked"]

MASK = {"en": "[masked]", "zh": "[已遮盖]"}
"""What stands in place of a statement of the answer, by language."""

_MARKER = re.compile(r"<answer>|\\boxed")
_CUE = re.compile(
    r"\b(?:answer|conclude[sd]?|conclusions?|therefore|thus|hence|overall|altogether|finally|final|correct|choose|pick"
    r"|select|settle|best|likely|must be|has to be|fits|matches|leaves|left with|points? to|consistent with)\b"
    r"|(?:^|[,;:] )(?:so|then|this means|that makes|it is|it's|that is)\b"
    r"|答案|选|因此|因而|所以|综上|故|结论|总之|由此|可见|最终|应为|应是|应当?是|符合|最可能|诊断为|判断为|就是",
    re.IGNORECASE,
)
_NAMES_SEVERAL = ("several_options", "alternatives", "letter_text_conflict", "several_numbers", "both_polarities")
_OF_STATEMENTS = ("yes_no", "open")


class Masked(NamedTuple):
    """Reasoning without its statements of the answer."""

    text: str
    taken: tuple[str, ...]
    """What was taken out, in order."""


def masked(problem: Problem, reasoning: str, mask: str) -> Masked:
    """`reasoning`, which led to the gold answer, with `mask` for each run of sentences that state it."""
    spans = sentences(reasoning)
    kept: list[str] = []
    taken: list[str] = []
    at = 0
    open_mask = False
    for index, (start, end) in enumerate(spans):
        sentence = reasoning[start:end]
        last = index == len(spans) - 1
        if _MARKER.search(sentence) or ((last or _CUE.search(sentence)) and _states(problem, sentence)):
            kept.append("" if open_mask else reasoning[at:start] + mask)
            taken.append(sentence)
            open_mask = True
        else:
            kept.append(reasoning[at:end])
            open_mask = False
        at = end
    return Masked("".join(kept), tuple(taken))


def _states(problem: Problem, sentence: str) -> bool:
    """Whether a concluding sentence states the gold answer, as far as a rule can tell: in doubt it does."""
    if problem.answer_kind in _OF_STATEMENTS:
        return True
    verdict = verify(problem, sentence)
    if verdict.outcome != "wrong":
        return True
    return verdict.reason in _NAMES_SEVERAL and _holds(problem, sentence)


def _holds(problem: Problem, sentence: str) -> bool:
    """Whether the gold text, or a gold letter standing alone, is in a sentence that names several answers."""
    if problem.answer.casefold() in sentence.casefold():
        return True
    letters = [letter.strip() for letter in (problem.answer_label or "").split(",") if letter.strip()]
    return any(re.search(rf"(?<![A-Za-z]){letter}(?![A-Za-z])", sentence) for letter in letters)
