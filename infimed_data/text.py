"""Text: the normal form that identity rests on, and small measurements of it."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["SPECIAL_TOKENS", "clean_cell", "normalise", "strip_option_prefix"]

_EDGE = " \t\r\n\v\f\"'\u00a0\u200a\u200b\ufeff"
_PREFIX = re.compile(r"^([A-Ja-j])\s*[:.)]\s*")

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
