"""Refusals, bare doubts and alternatives: section 1, point 8. A hedge is never paid.

A refusal is about the question or the picture ("cannot determine", "unable to view the image"). "I cannot see a
fracture" is a finding, and so is "cannot be excluded". A refusal that is taken back ("..., but most likely B") gives an
answer, and is read for it.
"""

from __future__ import annotations

import re

__all__ = ["alternatives", "is_refusal", "without_refused"]

_UNABLE = (
    r"(?:can ?not|can'?t|could not|couldn'?t|(?:unable|not able|impossible|not possible|hard|difficult) to|no way to)"
)
_VERB = (
    r"(?:determine|tell|say|answer|decide|judge|assess|view|access|open|interpret|evaluate|diagnose|comment|conclude"
    r"|help|assist|know|be (?:sure|certain)|make (?:a|the) (?:determination|diagnosis)"
    r"|(?:provide|give|offer) (?:an?|the|any) (?:\w+ )?(?:answer|diagnosis|opinion|interpretation)"
    r"|(?:see|read|load|find|analy[sz]e) (?:the|this|any|an) (?:image|picture|scan|film|photo|figure|slide))"
)
_PASSIVE = r"(?:determined|assessed|answered|decided|evaluated|interpreted|judged|known|ascertained|established|told)"
_REFUSAL = re.compile(
    rf"\b{_UNABLE} (?:\w+ ){{0,2}}?{_VERB}\b"
    rf"|\b(?:can ?not|can'?t|could not|couldn'?t) be (?:\w+ )?{_PASSIVE}\b"
    r"|\b(?:do|does|did)(?: not|n'?t) (?:really |actually )?know\b"
    r"|\b(?:no idea|not (?:quite |entirely |really )?(?:sure|certain)|no answer|no (?:information|data|context))\b"
    r"|\b(?:i am|i'm|it is|it's|remains) (?:\w+ )?(?:unsure|uncertain|unclear|unknown)\b"
    r"|\b(?:not enough|insufficient|inadequate) (?:information|data|evidence|context|detail|image quality)\b"
    r"|\bno image (?:is |was |has been )?(?:provided|attached|given|available)\b"
    r"|\b(?:i'?m|i am|we are) sorry\b|\bas an ai\b"
    r"|(?:无法|难以|不能|没法|无从)\w{0,2}(?:判断|确定|回答|得知|查看|看到图|看清|辨认|识别图|评估|诊断|判定|明确|作答|给出|得出|提供)"
    r"|不(?:知道|确定|清楚|好说|了解)|看不清|说不准|抱歉|对不起|信息不足|没有图|未提供图",
    re.IGNORECASE,
)
_DOUBTS = frozenset(
    (
        *(
            "maybe",
            "perhaps",
            "possibly",
            "probably",
            "unknown",
            "unclear",
            "undetermined",
            "indeterminate",
            "undecided",
        ),
        *("it depends", "not known", "hard to say", "difficult to say", "not applicable", "n/a", "na", "idk", "pass"),
        *("可能", "也许", "或许", "大概", "不一定", "未知", "不明", "不详"),
    )
)
"""Texts that, alone, say no more than a shrug."""
_TAKEN_BACK = re.compile(r"\b(?:but|however|although|though|yet|nevertheless|still)\b|但|不过|然而", re.IGNORECASE)
_CLAUSE_END = re.compile(rf"[.,;:!?](?![0-9])|[\n。，；！？]|{_TAKEN_BACK.pattern}", re.IGNORECASE)
_EDGES = " \n.,;:!?'\"()[]。，！？"
WINDOW = 1000
"""A refusal is looked for in so many characters at either end of a text."""

_SHORTHAND = re.compile(r"\b(?:w/o?|[chrs]/[opw]|f/u)(?![A-Za-z])", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\b(?:or|versus|vs)\b|(?<![0-9])/|/(?![0-9])|或(?!许)|还是", re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """True for a refusal or a bare doubt ("maybe") in cleaned `text`, unless it is taken back and an answer given."""
    if len(text) > 2 * WINDOW:
        text = f"{text[:WINDOW]}\n{text[-WINDOW:]}"
    elif text.strip(_EDGES).lower() in _DOUBTS:
        return True
    found = _REFUSAL.search(text)
    return found is not None and _TAKEN_BACK.search(text, found.end()) is None


def without_refused(text: str) -> str:
    """`text` without the clause of a refusal: "cannot tell whether it is B" does not answer B."""
    if len(text) > 2 * WINDOW or (found := _REFUSAL.search(text)) is None:
        return text
    start = 0
    for end in _CLAUSE_END.finditer(text):
        if end.start() >= found.end():
            return f"{text[:start]} {text[end.start() :]}".strip()
        if end.end() <= found.start():
            start = end.end()
    return text[:start].strip()


def alternatives(text: str, gold: str) -> bool:
    """True where cleaned `text` offers alternatives that the gold text, which may hold an "or" itself, does not."""
    return _ALTERNATIVE.search(_SHORTHAND.sub("", text)) is not None and _ALTERNATIVE.search(gold) is None
