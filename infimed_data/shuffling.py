"""Options in another order, drawn for each sample by the seed, with label, answer and reasoning kept in step.

What an option's words say of others holds afterwards too: "all of the above" stays where it is and what stood above it
stays above; "both A and B" stays, and so do A and B. Letters in the reasoning are rewritten where it is plain that they
are labels ("option B", "(B)", "B. the text of B"). A row whose reasoning or question names options in any other way is
left as it was, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import xxhash

from infimed_data.schema import LABELS

__all__ = ["Shuffled", "anchors", "relabelled", "shuffled"]


class Shuffled(NamedTuple):
    """A row after shuffling."""

    record: Mapping[str, Any]
    """Itself where it was left as it was."""
    kept: str | None
    """Why it was left as it was; None where it was shuffled, or has no options."""
    anchored: int
    """Options that had to stay in their places."""


_ABOVE = re.compile(
    r"\b(?:none|all|both|neither|either|any|some|most|each|two|three|more than one|not any)\b[^.]*?"
    r"\b(?:above|preceding|previous|mentioned|listed)\b|^\W*the above\b|以上|上述",
    re.IGNORECASE,
)
"""Options that speak of those that stand before them."""
_THESE = re.compile(
    r"^\W*(?:none|all|both|neither|either|any)(?: of)?(?: the)?"
    r"(?: these| those| them| (?:\w+ )?(?:options|choices|answers|others?)(?: given| listed)?)?"
    r"(?: (?:is|are) (?:\w+ )?(?:correct|right|true))?\W*$|^\W*(?:都|均|全)(?:不|是|对|正确)|^\W*其他",
    re.IGNORECASE,
)
"""Options that speak of all others: they keep their place, by custom the last."""
_JOINED = re.compile(
    r"^\W*(?:both|either|neither|only|all|options?|choices?)?\W*(?:of\W+)?(?:options?|choices?|answers?|statements?)?\W*"
    r"(?P<letters>[A-J](?:\s*(?:,|;|&|\+|/|and|or|nor|和|与|及|、)+\s*(?:and\s+)?[A-J])*)\s*"
    r"(?:only|alone|are (?:both )?(?:correct|right|true)|都对|均正确)?\W*$",
    re.IGNORECASE,
)
"""Options that are made of the letters of others; a lone letter is one too."""

_LETTER = re.compile(r"(?<![A-Za-z0-9\u00c0-\u024f_\\])[A-J](?![A-Za-z0-9\u00c0-\u024f_'’])")
_LABEL_BEFORE = re.compile(
    r"(?:\b(?:options?|choices?|answers?|letters?|labels?|pick|choose|select|chose|selected)"
    r"(?: (?:is|was|are|be|must be|should be|would be|letter|option|choice))?|选项?|答案[是为]?)[\s:=\"'(\[*{]*$",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?$")
_JOIN = re.compile(r"\s*(?:,|;|/|&|and|or|nor|和|与|及|、|,\s*and|,\s*or)\s*[(\"'*]*$", re.IGNORECASE)
_NAMES = re.compile(
    r"\b(?:vitamins?|hepatitis|influenza|ha?emoglobin|immunoglobulin|types?|groups?|grades?|stages?|class|phase|leads?"
    r"|factor|protein|figures?|fig\.?|panels?|image|zone|point|region|vessel|structure|apolipoprotein|coxsackie|lipid"
    r"|Ig|Child-Pugh|botulinum toxin|natural killer|serotype|plan|patient|case|part|step|appendix|table)\.? $",
    re.IGNORECASE,
)
"""What stands before a letter that is part of a name."""
_NAME_AFTER = re.compile(r"(?:[-–][A-Za-z0-9]| (?:cells?|lymphocytes?|virus|antigen|wave|scan|streptococc\w+)\b)")
_ARTICLE_AFTER = re.compile(
    r" (?!is\b|was\b|are\b|were\b|and\b|or\b|because\b|since\b|does\b|has\b|can\b)[a-z][a-z-]*\b"
)
_OTHERWISE = re.compile(
    r"\b(?:first|second|third|fourth|fifth|last|final|former|latter|next|previous|remaining two) "
    r"(?:option|choice|answer|alternative|two|one of the options)s?\b"
    r"|\b(?:option|choice|alternative)s?\s+(?:\d|[ivx]+\b|one\b|two\b|three\b|four\b|five\b|[a-j]\b)"
    r"|\b(?:answers?|ans)\b\W{0,4}[a-j]{2,}\b"
    r"|\([a-j]\)|(?:^|\n)\s*[a-j][.)]\s|\b(?:of|the) above\b|第[一二三四五]个?(?:选项|答案)|以上",
    re.IGNORECASE,
)
"""Ways to name an option by its place that are not rewritten."""
_OTHERWISE_IN_CASE = re.compile(r"\b(?i:option|choice|alternative)(?i:s?)\s+[A-J]\b|\([A-J]\)|(?:^|\n)\s*[A-J][.)]\s")
"""What `_OTHERWISE` finds of capital letters, which are read one by one instead."""
_ASKED = re.compile(
    r"\b(?:option|choice|answer|statement)s?\s+\(?[A-J]\b|\b(?:option|choice)s? in (?:this )?order\b"
    r"|选项\s*[A-J]"
)


def shuffled(record: Mapping[str, Any], seed: int) -> Shuffled:
    """The row with its options in another order; `record` has uid, question, options, answer, answer_label,
    answer_kind, turns and rationale. Equal seeds and uids give equal orders."""
    options: list[str] = list(record["options"] or ())
    label = record["answer_label"]
    if record["turns"] or len(options) < 2 or not label or record["answer_kind"] not in ("choice", "multi_choice"):
        return Shuffled(record, None, 0)
    right = [LABELS.find(part.strip()) for part in label.split(",")]
    if not all(0 <= index < len(options) for index in right):
        return Shuffled(record, "label_without_option", 0)
    if _ASKED.search(record["question"]):
        return Shuffled(record, "question_names_options", 0)
    fixed = anchors(options)
    if fixed is None:
        return Shuffled(record, "options_are_letters", 0)
    order = _order(fixed, f"{seed}/options/{record['uid']}")
    places = {old: new for new, old in enumerate(order)}
    rationale = relabelled(record["rationale"] or "", options, places)
    anchored = sum(segment is None for segment in fixed)
    if rationale is None:
        return Shuffled(record, "rationale_names_options", anchored)
    now = sorted(places[index] for index in right)
    moved = [options[index] for index in order]
    answer = record["answer"]
    if len(right) > 1 and answer == "; ".join(options[index] for index in right):
        answer = "; ".join(moved[index] for index in now)
    changed = {
        "options": moved,
        "answer": answer,
        "answer_label": ",".join(LABELS[index] for index in now),
        "rationale": rationale,
    }
    return Shuffled({**record, **changed}, None, anchored)


def anchors(options: Sequence[str]) -> list[int | None] | None:
    """For each option the number of the segment that it may move in, or None where it has to stay; None in all where
    options are mere letters, such as marks in a picture."""
    fixed = [False] * len(options)
    walls = [False] * len(options)
    for index, text in enumerate(options):
        joined = _JOINED.match(text)
        if joined is not None:
            named = [LABELS.find(letter.upper()) for letter in _letters(joined["letters"])]
            if len(named) < 2:
                return None
            fixed[index] = True
            for other in named:
                if 0 <= other < len(options):
                    fixed[other] = True
        elif _ABOVE.search(text):
            fixed[index] = walls[index] = True
        elif _THESE.match(text):
            fixed[index] = True
            walls[index] = re.match(r"\W*(?:both|neither|either)\b", text, re.IGNORECASE) is not None
    segments: list[int | None] = []
    segment = 0
    for index in range(len(options)):
        segment += walls[index]
        segments.append(None if fixed[index] else segment)
    return segments


def _letters(text: str) -> list[str]:
    return re.findall(r"(?<![A-Za-z])[A-Ja-j](?![A-Za-z])", text)


def _order(fixed: Sequence[int | None], salt: str) -> list[int]:
    """Old position of the option at each new position."""
    order = list(range(len(fixed)))
    for segment in {number for number in fixed if number is not None}:
        members = [index for index, number in enumerate(fixed) if number == segment]
        drawn = sorted(members, key=lambda index: xxhash.xxh3_64_intdigest(f"{salt}/{index}".encode()))
        for place, index in zip(members, drawn, strict=True):
            order[place] = index
    return order


def relabelled(text: str, options: Sequence[str], places: Mapping[int, int]) -> str | None:
    """`text` with every label replaced by that of the option's new place; None where it names options in a way that
    cannot be told from other words."""
    plain = _OTHERWISE_IN_CASE.sub("", text)
    if _OTHERWISE.search(plain):
        return None
    pieces: list[str] = []
    done = 0
    last_label = -1
    for found in _LETTER.finditer(text):
        index = LABELS.index(found.group())
        if index >= len(options):
            continue
        before, after = text[max(0, found.start() - 40) : found.start()], text[found.end() : found.end() + 200]
        joined = last_label >= 0 and _JOIN.fullmatch(text[last_label : found.start()].lstrip(")\"'*")) is not None
        if joined or _is_label(before, after, options[index]):
            pieces += [text[done : found.start()], LABELS[places[index]]]
            done = last_label = found.end()
        elif not _is_word(found.group(), before, after):
            return None
    return "".join(pieces) + text[done:]


def _is_label(before: str, after: str, option: str) -> bool:
    if before.endswith("(") and after.startswith(")"):
        return _NAMES.search(before.removesuffix("(")) is None
    if before.endswith("**") and after.startswith(("**", ".", ":", ")")):
        return True
    own = re.match(r"[.):]*\s*[-:(\"'*]*\s*", after)
    rest = after[own.end() :] if own else after
    if own and own.group().strip() and option and rest.casefold().startswith(option.casefold()):
        return True
    return _LABEL_BEFORE.search(before) is not None or _BOXED.search(before) is not None


def _is_word(letter: str, before: str, after: str) -> bool:
    """Whether the letter is plainly no label: an article, a pronoun, part of a name."""
    if _NAMES.search(before) or _NAME_AFTER.match(after):
        return True
    starts = not before.strip() or re.search(r"[.!?:;\"'(>\n]\s*$", before) is not None
    if letter == "A":
        return starts and _ARTICLE_AFTER.match(after) is not None
    return letter == "I" and re.match(r" [a-z]|'", after) is not None
