"""What a verifier says, and what it is given: a verdict with a reason that can be counted, and a gold answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, get_args

__all__ = ["LABELS", "OUTCOMES", "REASONS", "Checkable", "Gold", "Outcome", "Reading", "Verdict", "gold_of"]

Outcome = Literal["correct", "wrong", "unverifiable"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)

LABELS = "ABCDEFGHIJ"
"""Option letters, in order: those of `schema.LABELS`, which cannot be imported without Arrow."""

REASONS: dict[str, str] = {
    # correct
    "label_match": "the option that is named is the gold option (choice), or the named set is the gold set",
    "polarity_match": "the answer word has the gold's polarity",
    "number_match": "the quantity equals the gold, after conversion",
    "exact_text": "the text equals the gold",
    # wrong: nothing was answered
    "no_answer": "the answer is empty, white space or punctuation",
    "unclosed_reasoning": "nothing stands outside a block of reasoning that is never closed",
    "unclosed_box": "a box is never closed, so its answer is empty",
    "empty_marker": "the answer tag or box is empty",
    "degenerate": "the answer runs to more than 100,000 characters, or is declared more than 500 times",
    "refusal": "a refusal, or a bare 'maybe', instead of an answer",
    "question_copied": "the question stands where the answer belongs",
    # wrong: more than one thing was answered
    "contradictory_markers": "answer tags or boxes give different answers",
    "contradictory_cues": "two phrases such as 'the answer is' declare different answers",
    "alternatives": "alternatives such as 'A or B'",
    "several_options": "several options are named",
    "letter_text_conflict": "a letter stands with the text of another option",
    "both_polarities": "answer words of both polarities",
    "several_numbers": "more than one quantity",
    # wrong: another thing was answered
    "other_option": "another option, or a set that is not the gold set",
    "label_outside": "a letter that is no option",
    "no_option": "no option is named",
    "other_polarity": "the answer word of the other polarity",
    "other_number": "another quantity, unit, sign or bound",
    "no_number": "no number is given",
    "opposite_word": "an opposite word or prefix: left for right, hypo- for hyper-",
    "negation": "a negation stands on one side only",
    "other_text": "another phrase",
    # unverifiable: a rule cannot decide
    "duplicate_option": "the gold text stands at several labels and the gold letter is not given",
    "statement": "a yes/no question answered by a statement without an answer word",
    "unit_missing": "the number agrees but a unit or percent sign stands on one side only",
    "contains": "one text contains the other",
    "same_last_word": "the last words agree",
    "open_answer": "an answer to an open question that is not word for word the gold",
    "kind_none": "the sample has no answer to check",
    "kind_unknown": "no rule for this kind of answer",
    "gold_unreadable": "the gold answer does not fit its kind: no such option, no number, no polarity",
}
"""Every reason a verdict can give, and what it means. The codes are stable: they are counted and stored."""


class Verdict(NamedTuple):
    """What a rule says of one completion."""

    outcome: Outcome
    reason: str
    """A key of `REASONS`."""
    extracted: str | None
    """The final answer as it was read: letters (`B`, `A,C`), `yes` or `no`, a number with its unit, normalised text.
    None where there is none."""


class Reading(NamedTuple):
    """One answer text as a kind reads it: what the kind's function returns."""

    value: Hashable | None
    """What two texts must share to be one answer; None where the text declares nothing of this kind."""
    verdict: Verdict


class Checkable(Protocol):
    """Anything that can be verified against; `schema.Sample` is one."""

    @property
    def question(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def answer(self) -> str: ...
    @property
    def answer_label(self) -> str | None: ...
    @property
    def answer_kind(self) -> str: ...
    @property
    def lang(self) -> str: ...


class Gold(NamedTuple):
    """A gold answer with its question: the part of a sample that a verdict depends on."""

    question: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    answer_label: str | None = None
    answer_kind: str = "open"
    lang: str = "en"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Gold:
        """The gold answer of a row of a built `rl` dataset, or of any mapping with its columns.

        The question is the row's `question`, else the last user message of its `prompt`, without its option lines.
        """
        options = tuple(str(text) for text in (() if row.get("options") is None else row["options"]))
        label = row.get("answer_label")
        question = row.get("question")
        return cls(
            question=_asked(row.get("prompt"), options) if question is None else str(question),
            options=options,
            answer=str(row.get("answer") or ""),
            answer_label=None if label is None else str(label),
            answer_kind=str(row.get("answer_kind") or "none"),
            lang=str(row.get("lang") or "en"),
        )


def gold_of(sample: Checkable) -> Gold:
    """The gold answer of a sample."""
    if isinstance(sample, Gold):
        return sample
    return Gold(
        sample.question, tuple(sample.options), sample.answer, sample.answer_label, sample.answer_kind, sample.lang
    )


def _asked(prompt: str | Sequence[Mapping[str, Any]] | None, options: tuple[str, ...]) -> str:
    """The question in a prompt that `dataset.compose` wrote: before the option lines, else before the instruction."""
    if prompt is None:
        return ""
    text = prompt if isinstance(prompt, str) else _last_user_text(prompt)
    if options:
        return text.partition(f"\n{LABELS[0]}. {options[0]}")[0]
    head, _, _ = text.rpartition("\n\n")
    return head or text


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = [part.get("text") for part in content or () if isinstance(part, Mapping)]
            return "".join(part for part in parts if isinstance(part, str))
    return ""


@lru_cache(maxsize=8192)
def labels_of(answer_label: str) -> frozenset[int]:
    """Positions of the letters of an `answer_label` such as `B` or `A,C`; empty where it is not made of letters."""
    letters = [part.strip().upper() for part in answer_label.replace(";", ",").split(",")]
    if not all(len(letter) == 1 and letter in LABELS for letter in letters):
        return frozenset()
    return frozenset(LABELS.index(letter) for letter in letters)
