"""The final answer in raw output: section 1, points 2 to 7 of the policy.

Reasoning is dropped; then answer tags and boxes count alone, else phrases such as "the answer is", else all the text.
Several answers are all returned: whether they are one answer in different words, a kind's own rule says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from infimed_data.verify.clean import clean, is_empty, lower

__all__ = ["Final", "drop_reasoning", "final_answers", "without_cue"]

MAX_DISTINCT = 64
"""Answers in more spellings than this are not repeats of one answer."""
MAX_CUES = 500
"""A text that declares an answer more often than this declares none."""

_THINK = re.compile(r"<\s?(/?)\s?(?:think(?:ing)?|thought|reasoning)\s?>", re.IGNORECASE)
_OPENS = re.compile(r"\s*<think>")
_MAY_BE_TAG = re.compile(r"<(?! ?[0-9.=])")
_TAG = re.compile(r"<\s?(/?)\s?answer\s?>", re.IGNORECASE)
_BRACE = re.compile(r"\\boxed ?\{|[{}]")
_WRAPPING = re.compile(r"\\boxed ?\{|[{}]|<\s?/?\s?answer\s?>", re.IGNORECASE)

_CUE = re.compile(
    r"a(?<![a-z]a)nswers?(?: (?:is|are)\b| ?[:=])(?: ?:)?"
    r"|f(?<![a-z]f)inal answers?\b(?: ?(?:is|are)\b| ?[:=])?(?P<bare>)(?: ?:)?"
    r"|c(?<![a-z]c)orrect options? (?:is|are)\b(?: ?:)?"
    r"|答案 ?(?:应该|应当|应|就)?(?:是|为|:)(?: ?:)?"
    r"|选 ?:?(?P<pick>) ?(?=[\"'(\[【]? ?(?:[a-j]{1,10}|[a-z])(?![a-z]))"
)
"""In lower-case text. Every branch starts with a letter, which lets the search skip what starts with none of them."""
_LEAD = re.compile(
    r"(?:\b(?:so|thus|hence|therefore|and)\b[,:]? )?(?:\b(?:the|my|our) )?(?:\b(?:final|correct|right|best) ){0,2}$"
    r"|(?:正确|最终)$"
)
_COPULA = re.compile(r"(?:would|should|must|will|has to) be\b ?:? ?", re.IGNORECASE)
_NOT_PICKED = re.compile("[不别勿未非](?:应该|应当|应|能|可以|可|宜|该|要|会)?$")
_ENTRY = re.compile(r"[-•] ?\w|[0-9]{1,2}[.)] ?\w|(?:[-•] ?)?[(\[]?[A-Za-z][)\].:、]")


class Final(NamedTuple):
    """The final answer or answers of one completion."""

    source: Literal["marker", "cue", "text"]
    answers: tuple[str, ...]
    """Distinct answer texts in order, cleaned; an empty one is an empty tag or box."""
    text: str
    """All that stands outside the reasoning."""
    reason: str
    """Why there is no answer, if the answers turn out to be empty: a key of `REASONS`."""


def final_answers(completion: str, *, options: Sequence[str] = (), lists: bool = False) -> Final:
    """What `completion` gives as its answer; `options` are the texts that 选 may stand before.

    With `lists`, a cue that ends its line takes all the lines of a list that follows, not the first alone.
    """
    text, unclosed = drop_reasoning(clean(_after_plain_thought(completion)))
    if "<" in text or "\\boxed" in text:
        markers, open_box = _markers(text)
        if markers:
            reason = "unclosed_box" if open_box else "empty_marker"
            return Final("marker", _distinct(map(_inside, markers)), text, reason)
        text = _TAG.sub("", text).strip()
    spans = _cue_spans(text, options)
    if len(spans) > MAX_CUES:
        return Final("cue", ("",), text, "degenerate")
    cues = _distinct(_cues(text, spans, lists))
    if cues:
        return Final("cue", tuple(filter(None, cues)) or ("",), text, "no_answer")
    return Final("text", (text,), text, "unclosed_reasoning" if unclosed else "no_answer")


def _after_plain_thought(completion: str) -> str:
    """`completion` without the reasoning it begins with, if nothing in that could be a tag once it is cleaned.

    This spares cleaning a long text of which nothing is kept.
    """
    end = completion.find("</think>")
    if end < 0:
        return completion
    start = _OPENS.match(completion)
    thought = completion[start.end() if start else 0 : end]
    if "\uff1c" in thought or "\ufe64" in thought or _MAY_BE_TAG.search(thought):
        return completion
    return completion[end + len("</think>") :]


def drop_reasoning(text: str) -> tuple[str, bool]:
    """(cleaned `text` outside its blocks of reasoning, whether a block is never closed).

    A closing tag without its opening drops all text before it. An opening tag inside a block is part of the block.
    """
    if "<" not in text:
        return text, False
    kept: list[str] = []
    inside, at = False, 0
    for tag in _THINK.finditer(text):
        if tag.group(1):
            if not inside:
                kept.clear()
            inside, at = False, tag.end()
        elif not inside:
            kept.append(text[at : tag.start()])
            inside = True
    if not inside:
        kept.append(text[at:])
    return "\n".join(part for piece in kept if (part := piece.strip())), inside


def _distinct(answers: Iterator[str] | map[str]) -> tuple[str, ...]:
    """The answers in order, without repeats, and no more of them than it takes to see that they disagree."""
    seen: dict[str, str] = {}
    for answer in answers:
        seen.setdefault(answer.casefold(), answer)
        if len(seen) > MAX_DISTINCT:
            break
    return tuple(seen.values())


def _markers(text: str) -> tuple[list[str], bool]:
    """(contents of tags and of boxes outside tags in their order, whether a box is never closed)."""
    spans = _tag_spans(text)
    boxes, open_box = _box_spans(text) if "\\boxed" in text else ([], False)
    if boxes and spans:
        boxes = _outside(boxes, spans)
    found = [text[start:end] for start, end in sorted(spans + boxes)]
    return ([*found, ""] if open_box else found), open_box


def _tag_spans(text: str) -> list[tuple[int, int]]:
    """Contents of answer tags. One that is not closed ends at the next opening tag, the last one with the text."""
    spans = []
    start = None
    for tag in _TAG.finditer(text):
        if start is not None and (tag.group(1) or not is_empty(text[start : tag.start()])):
            spans.append((start, tag.start()))
        start = None if tag.group(1) else tag.end()
    if start is not None:
        spans.append((start, len(text)))
    return spans


def _box_spans(text: str) -> tuple[list[tuple[int, int]], bool]:
    """(contents of the outermost closed boxes, whether a box is never closed)."""
    spans: list[tuple[int, int]] = []
    braces: list[int] = []  # where the content of an open box starts; -1 for a plain brace
    boxes = 0
    for found in _BRACE.finditer(text):
        if found.group() == "}":
            start = braces.pop() if braces else -1
            if start >= 0:
                boxes -= 1
                if not boxes:
                    spans.append((start, found.start()))
        else:
            is_box = found.group() != "{"
            braces.append(found.end() if is_box else -1)
            boxes += is_box
    return spans, boxes > 0


def _outside(boxes: list[tuple[int, int]], tags: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The boxes that do not stand in a tag; those that do are part of the tag's answer. Both lists are in order."""
    outside = []
    index = 0
    for box in boxes:
        while index < len(tags) and tags[index][1] < box[0]:
            index += 1
        if index == len(tags) or box[0] < tags[index][0]:
            outside.append(box)
    return outside


def _inside(marker: str) -> str:
    """A marker's content without the marks inside it and without a cue at its start."""
    return without_cue(_WRAPPING.sub("", marker).strip())


def without_cue(text: str) -> str:
    """Cleaned `text` without the cue that it starts with, if it does."""
    start = lower(text[:80])
    cue = _CUE.search(start)
    if cue is None or cue.group("pick") is not None or _lead(start, cue.start()) > 0:
        return text
    return _after(text[cue.end() :])


def _after(text: str) -> str:
    text = text.strip()
    copula = _COPULA.match(text)
    return text[copula.end() :] if copula else text


def _cues(text: str, found: list[tuple[int, int, bool]], lists: bool) -> Iterator[str]:
    """The texts after the cues, each up to its line's end or the next cue; two cues in a row are one."""
    for index, (_, start, needs_text) in enumerate(found):
        stop = found[index + 1][0] if index + 1 < len(found) else len(text)
        end = text.find("\n", start, stop)
        answer = _after(text[start : stop if end < 0 else end])
        if is_empty(answer) and end >= 0:
            line_end = text.find("\n", end + 1, stop)
            if lists and line_end >= 0:
                line_end = _list_end(text, end + 1, stop)
            answer = _after(text[end + 1 : stop if line_end < 0 else line_end])
        if not is_empty(answer):
            yield answer
        elif index + 1 == len(found) and not needs_text:
            yield ""


def _cue_spans(text: str, options: Sequence[str]) -> list[tuple[int, int, bool]]:
    """(start, end, whether it is a cue only with text after it) of each cue, in order."""
    lowered = lower(text)
    found = []
    end = 0
    for cue in _CUE.finditer(lowered):
        if cue.group("pick") is not None and (not options or _not_picked(text, cue.start())):
            continue
        start = cue.start() if cue.start() - end < 3 else _lead(lowered, cue.start())
        bare = cue.group("bare") is not None and cue.group().endswith(("answer", "answers"))
        if bare and _ends_its_sentence(text, start, cue.end()):
            continue
        end = cue.end()
        found.append((start, end, bare))
        if len(found) > MAX_CUES:
            return found
    if options and "选" in text:
        found = sorted(found + list(_picks(lowered, options)))
    return found


def _lead(lowered: str, at: int) -> int:
    """Where the words begin that lead up to the cue at `at`, such as "so the final"."""
    found = _LEAD.search(lowered[max(0, at - 40) : at])
    return at if found is None else at - len(found.group())


def _ends_its_sentence(text: str, start: int, end: int) -> bool:
    """True for "B is my final answer.", where nothing is announced."""
    stands_alone = start == 0 or text[start - 1] == "\n"
    return not stands_alone and is_empty(text[end : end + 3].partition("\n")[0])


def _picks(lowered: str, options: Sequence[str]) -> Iterator[tuple[int, int, bool]]:
    """选 before an option text."""
    starts = tuple(option.lower() for option in options if option)
    firsts = {option[0] for option in starts}
    at = lowered.find("选")
    while at >= 0:
        if lowered[at + 1 : at + 2] in firsts and lowered.startswith(starts, at + 1) and not _not_picked(lowered, at):
            yield at, at + 1, False
        at = lowered.find("选", at + 1)


def _not_picked(text: str, at: int) -> bool:
    return _NOT_PICKED.search(text[max(0, at - 3) : at]) is not None


def _list_end(text: str, start: int, stop: int) -> int:
    """Where the list ends whose first line begins at `start`: that line's end, where no list follows."""
    at = start
    while True:
        end = text.find("\n", at, stop)
        if end < 0:
            return stop
        if not (_ENTRY.match(text, at) and _ENTRY.match(text, end + 1)):
            return end
        at = end + 1
