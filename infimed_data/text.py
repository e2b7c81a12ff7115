"""Text: the normal form that identity rests on, and small measurements of it."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["SPECIAL_TOKENS", "clean_cell", "normalise", "sentences", "strip_option_prefix"]

_EDGE = " \t\r\n\v\f\"'\u00a0\u200a\u200b\ufeff"
_PREFIX = re.compile(r"^([A-Ja-j])\s*[:.)]\s*")
_CLOSING = r"[.!?]{0,8}[\"')\]*]{0,3}(?=\s|$)"
_STOP = re.compile(  # every branch begins with a letter, which lets the search skip what begins with none of them
    rf"\n|\.(?<!\W[A-Z]\.)(?<!\We\.g\.)(?<!\Wi\.e\.)(?<!\Wvs\.)(?<!\Wcf\.)(?<!\WDr\.)(?<!\W[Ff]ig\.){_CLOSING}|!{_CLOSING}"
    rf"|\?{_CLOSING}|。[”」』）]{{0,2}}|！[”」』）]{{0,2}}|？[”」』）]{{0,2}}|；"
)

SPECIAL_TOKENS = (
    r"<\|[^|<>\s]{1,40}\|>|<image(?:\s?\d+)?>|</?s>|<video>|<pad>|<unk>|\[INST\]|\[/INST\]|<<SYS>>"
    r"|<start_of_turn>|<end_of_turn>"
)
"""Pattern (RE2 and Python) of marks that a chat template or a processor would read as its own."""


def normalise(text: str) -> str:
    """`text` in the form that identity compares: NFKC, case folded, runs of white space made one space, trimmed.

    >>> normalise("  Is this a  CT？ ")
    'is this a ct?'
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not unicodedata.is_normalized("NFKC", folded):
        folded = unicodedata.normalize("NFKC", folded)
    return " ".join(folded.split())


def clean_cell(text: str) -> str:
    """A table cell without the white space, quotes and no-break spaces around it."""
    return text.strip(_EDGE)


def strip_option_prefix(text: str) -> tuple[str | None, str]:
    """(letter, rest) of an option such as `" A:Green "`; the letter is None where there is no prefix.

    Only one prefix is taken off, so `"A: B: x"` gives `("A", "B: x")`.
    """
    cleaned = clean_cell(text)
    found = _PREFIX.match(cleaned)
    if found is None:
        return None, cleaned
    return found.group(1).upper(), clean_cell(cleaned[found.end() :])


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence or line of English or Chinese text, without the white space around it.

    A letter with a full stop (`B. Pons`) and common abbreviations end no sentence.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        if piece := text[start:end].strip():
            start = text.index(piece[0], start, end)
            found.append((start, start + len(piece)))
        start = end
    if rest := text[start:].strip():
        start = text.index(rest[0], start)
        found.append((start, start + len(rest)))
    return found
