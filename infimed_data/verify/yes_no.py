"""yes_no: the answer begins with an answer word. Section 5 of the policy.

An English "yes" is an answer word wherever it is a word; "no" is none directly before a noun ("no fracture line"): it
must be followed by punctuation, the end, or a word that begins a clause ("No it is not"). A Chinese word must stand
alone or before punctuation, 是的 excepted.

Decisions where the policy is silent:
- A line's end is punctuation.
- Without an answer word at the start, answer words of both polarities elsewhere ("either yes or no") are alternatives,
  so `wrong`; one of them alone ("probably yes") is part of a statement, so `unverifiable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infimed_data.verify.clean import clean
from infimed_data.verify.compare import trimmed
from infimed_data.verify.hedges import is_refusal
from infimed_data.verify.verdict import Gold, Reading, Verdict

__all__ = ["POLARITY", "read"]

POLARITY = {
    "yes": "yes", "是": "yes", "是的": "yes", "有": "yes",
    "no": "no", "否": "no", "不是": "no", "没有": "no", "无": "no", "不是的": "no",
}  # fmt: skip
"""Answer words and what they say."""

_WORD = re.compile(r"(?<![\w'])(?:yes|no)(?![\w'])|不是的|是的|不是|没有|是|有|否|无", re.IGNORECASE)
_CLAUSE = re.compile(
    r" (?:it|it's|its|there|there's|this|that|that's|these|those|the|an?|he|she|they|we|i|you|because|since|as|and|or"
    r"|but|not|if|so|yes|no)\b",
    re.IGNORECASE,
)
_OPENING = " \n\"'([{-•>*_.,:;"
_JOINING = "和或与及跟又"


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """The polarity of the answer word that `text` begins with, held against the gold's."""
    right = POLARITY.get(trimmed(clean(gold.answer)))
    if right is None:
        return Reading(None, Verdict("unverifiable", "gold_unreadable", None))
    words = _answer_words(text)
    start, first = next(words, (-1, ""))
    if first and not text[:start].strip(_OPENING):
        if any(polarity != first for _, polarity in words):
            return Reading("both", Verdict("wrong", "both_polarities", None))
        if first == right:
            return Reading(first, Verdict("correct", "polarity_match", first))
        return Reading(first, Verdict("wrong", "other_polarity", first))
    if first and any(polarity != first for _, polarity in words):
        return Reading("both", Verdict("wrong", "alternatives", None))
    if is_refusal(text):
        return Reading(None, Verdict("wrong", "refusal", None))
    return Reading(None, Verdict("unverifiable", "statement", trimmed(text)))


def _answer_words(text: str) -> Iterator[tuple[int, str]]:
    """(start, polarity) of the words in `text` that stand as answers."""
    for word in _WORD.finditer(text):
        polarity = POLARITY[word.group().lower()]
        if word.group().isascii():
            if (
                polarity == "yes"
                or not text[word.end() : word.end() + 2].strip(" ").isalnum()
                or (_CLAUSE.match(text, word.end()))
            ):
                yield word.start(), polarity
        elif _alone(text, word.start() - 1) and (word.group() == "是的" or _alone(text, word.end())):
            yield word.start(), polarity


def _alone(text: str, neighbour: int) -> bool:
    """Whether the character beside a Chinese word lets it stand alone."""
    if not 0 <= neighbour < len(text):
        return True
    return text[neighbour] in _JOINING or not text[neighbour].isalnum()
