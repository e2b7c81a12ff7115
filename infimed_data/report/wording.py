"""Grades, evidence, limits and fates in words, and text from data made safe to show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from infimed_data.stats import shown

__all__ = [
    "GRADES_IN_WORDS",
    "STAGES_IN_WORDS",
    "Wording",
    "evidence_in_words",
    "fate_in_words",
    "readable",
    "readable_part",
    "wording",
]


class Wording(NamedTuple):
    """A grade in words."""

    title: str
    means: str


GRADES_IN_WORDS: Mapping[str, Wording] = {
    "same_item": Wording("Same picture and question", "The same picture with the same question."),
    "same_image": Wording(
        "Same picture", "Equal pixels, or confirmed on pixels when re-encoded, resized, inverted, turned or cropped."
    ),
    "same_group": Wording("Same patient or figure", "One key of a patient, study, figure or page on both sides."),
    "same_question": Wording("Same question", "The same words, and rare enough ones to be no template."),
    "near_question": Wording(
        "Similar question", "Much of one question is in the other, weighed by how rare words are."
    ),
    "same_template": Wording(
        "Template question", "The same words, but a question that many rows may ask: of itself no leak."
    ),
}
"""By grade, the strongest first."""

STAGES_IN_WORDS: Mapping[str, str] = {
    "kept": "kept",
    "ingest": "rejected when read",
    "filter": "dropped by a filter",
    "phi": "quarantined: it may say who somebody is",
    "dedup": "dropped as a duplicate",
    "decontaminate": "dropped as a leak",
    "generate": "dropped without a trace to train on",
    "mix": "not drawn by an output",
}
"""What became of rows, by the stage that dropped them."""

_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n){2,}")
_JOINERS = "\u200c\u200d"
"""Characters without width that Persian, Indic scripts and emoji need."""


def readable(text: str) -> str:
    """`text` with its lines, and whatever could mislead a reader (control, format, bidirectional) as `\\u202e`."""
    return text if text.isprintable() else readable_part(text).strip()


def readable_part(text: str) -> str:
    """`readable` for a stretch of a text: the white space at its ends stays."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return _BLANK_LINES.sub("\n\n", "\n".join(map(_readable_line, lines)))


def _readable_line(line: str) -> str:
    return "".join(part if part in _JOINERS else shown(part) for part in re.split(f"([{_JOINERS}])", line))


def wording(grade: str) -> Wording:
    """The grade in words; one that is not known here stands as it is."""
    return GRADES_IN_WORDS.get(grade) or Wording(readable(grade).replace("_", " "), "")


def evidence_in_words(grade: str, evidence: str, limit: str) -> tuple[str, str]:
    """(what was found, what was needed) as sentences; the second is empty where nothing was."""
    found, needed = readable(evidence), readable(limit)
    if grade in ("same_item", "same_image"):
        return f"Pictures: {found}.", needed and f"Pictures count as the same from {needed} on."
    if grade == "same_group":
        return f"Both rows carry the key {found}.", ""
    if grade == "same_question":
        return f"Question: {found}.", needed and f"It is specific from {needed} on."
    if grade == "same_template":
        because = f"Below {needed}, or asked of more than two pictures, it is a template."
        return f"Question: {found}.", needed and because
    if grade == "near_question":
        return f"{found[:1].upper()}{found[1:]}.", needed and f"Needed: {needed}."
    return f"{found[:1].upper()}{found[1:]}.", needed and f"Limit: {needed}."


def fate_in_words(row: Mapping[str, Any] | None) -> str:
    """What became of a training row: a row of `samples` or `drops`, or None where the build has neither."""
    if row is None:
        return "lost: it is in neither samples nor drops"
    if row["stage"] is None and row["rule"] is None:
        places = [f"{name} {readable(row[name])}" for name in ("sft", "rl") if row[name] is not None]
        return f"kept in {' and '.join(places)}" if places else "kept, in no output"
    stage, rule = row["stage"] or "(none)", row["rule"] or "(none)"
    return f"{STAGES_IN_WORDS.get(stage) or f'dropped at {readable(stage)}'} ({readable(rule)})"
