"""Marks what two texts share: runs of words in any order, and single words that say something.

Words are compared without case, width and punctuation; each Chinese or Japanese character is a word. Words that any
question may have ("which", "image", "patient") are marked only inside a run that has others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infimed_data.decontaminate.terms import GENERIC

__all__ = ["Piece", "Shared", "mark_shared", "pieces"]

MAX_WORDS = 4000
"""Words of a side that are compared; what comes after them is not marked."""
LEAST_RUN = 3
"""Words of the shortest run, which must say something; ..."""
LEAST_SAYING = 2
"""... a shorter one does where this many of its words say something."""
_IDEOGRAPHS = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])\w)+")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")


class Shared(NamedTuple):
    """A stretch of a text that the other side has too."""

    start: int
    end: int
    run: bool
    """Several words in a row; else a single word."""


class Piece(NamedTuple):
    """A part of a text as it is shown."""

    text: str
    kind: str
    """`run`, `word`, or empty for what is not shared."""


def mark_shared(ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[list[Shared]], list[list[Shared]]]:
    """For each text of either side the stretches that any text of the other side has too, in order."""
    sides = _words(ours), _words(theirs)
    numbers: dict[str, int] = {}
    ids = [np.array([numbers.setdefault(word.text, len(numbers)) for word in side], np.int64) for side in sides]
    breaks = [_breaks(side) for side in sides]
    longest = _longest_runs(ids[0], ids[1], breaks[0], breaks[1])
    known = [set(side.tolist()) for side in ids]
    return (
        _stretches(sides[0], longest[0], ids[0], known[1], len(ours)),
        _stretches(sides[1], longest[1], ids[1], known[0], len(theirs)),
    )


def pieces(text: str, shared: Sequence[Shared], *, max_chars: int) -> tuple[list[Piece], int]:
    """(the text in pieces, where its first piece starts): the whole text, or the `max_chars` that share the most."""
    start, end = _window(text, shared, max_chars)
    found: list[Piece] = []
    at = start
    for stretch in shared:
        first, last = max(stretch.start, at), min(stretch.end, end)
        if first >= last:
            continue
        found += [Piece(text[at:first], ""), Piece(text[first:last], "run" if stretch.run else "word")]
        at = last
    return [piece for piece in [*found, Piece(text[at:end], "")] if piece.text], start


class _Word(NamedTuple):
    text: str
    place: int
    """Number of its text."""
    start: int
    end: int
    says: bool
    """Whether it says something by itself."""
    stands: bool
    """Whether it is marked by itself."""


def _words(texts: Sequence[str]) -> list[_Word]:
    found: list[_Word] = []
    for place, text in enumerate(texts):
        for match in _WORD.finditer(text):
            if len(found) == MAX_WORDS:
                return found
            word = unicodedata.normalize("NFKC", match.group()).casefold()
            says = word not in GENERIC
            stands = says and len(word) > 1 and not _IDEOGRAPH.match(word)
            found.append(_Word(word, place, match.start(), match.end(), says, stands))
    return found


def _breaks(words: Sequence[_Word]) -> NDArray[np.bool_]:
    """Whether each word is the first of its text, where no run may go on."""
    places = np.array([word.place for word in words], np.int64)
    return np.asarray(np.diff(places, prepend=-1) != 0)


def _longest_runs(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], starts: NDArray[np.bool_], their_starts: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each word of either side, how many words up to it the other side has in a row somewhere."""
    if len(ours) > len(theirs):
        their_best, best = _longest_runs(theirs, ours, their_starts, starts)
        return best, their_best
    best, their_best = np.zeros(len(ours), np.int64), np.zeros(len(theirs), np.int64)
    run = np.zeros(len(theirs), np.int64)
    for at in range(len(ours)):
        before = np.zeros(len(theirs), np.int64)
        if not starts[at]:
            before[1:] = run[:-1]
            before[their_starts] = 0
        run = np.where(theirs == ours[at], before + 1, 0)
        best[at] = run.max(initial=0)
        np.maximum(their_best, run, out=their_best)
    return best, their_best


def _stretches(
    words: Sequence[_Word], runs: NDArray[np.int64], ids: NDArray[np.int64], others: set[int], texts: int
) -> list[list[Shared]]:
    # By place: runs that begin there less runs that ended before it, of words and of the gaps behind words.
    in_run, goes_on = np.zeros(len(words) + 1, np.int64), np.zeros(len(words) + 1, np.int64)
    for at, length in enumerate(runs.tolist()):
        if length < LEAST_SAYING or (at + 1 < len(runs) and runs[at + 1] > length):
            continue
        first = at - length + 1
        saying = sum(word.says for word in words[first : at + 1])
        if saying >= LEAST_SAYING or (saying and length >= LEAST_RUN):
            in_run[first] += 1
            in_run[at + 1] -= 1
            goes_on[first] += 1
            goes_on[at] -= 1
    covered, joined = np.cumsum(in_run) > 0, np.cumsum(goes_on) > 0
    found: list[list[Shared]] = [[] for _ in range(texts)]
    for at, word in enumerate(words):
        own = found[word.place]
        if covered[at] and at and joined[at - 1] and own:
            own[-1] = own[-1]._replace(end=word.end)
        elif covered[at]:
            own.append(Shared(word.start, word.end, True))
        elif word.stands and int(ids[at]) in others:
            own.append(Shared(word.start, word.end, False))
    return found


def _window(text: str, shared: Sequence[Shared], max_chars: int) -> tuple[int, int]:
    """The stretch of at most `max_chars` with the most in shared runs, from a little before the first of them."""
    if len(text) <= max_chars:
        return 0, len(text)
    runs = [stretch for stretch in shared if stretch.run]
    starts, ends = (np.array([getattr(run, side) for run in runs], np.int64) for side in ("start", "end"))
    lasts = np.searchsorted(ends, starts + max_chars, side="right")
    sums = np.concatenate([[0], np.cumsum(ends - starts)])
    inside = np.where(lasts > np.arange(len(runs)), sums[lasts] - sums[:-1], max_chars)
    best = int(starts[int(inside.argmax())]) if runs else 0
    lead = max_chars // 8
    if best <= lead:
        return 0, max_chars
    start = min(text.find(" ", best - lead, best) + 1 or best - lead, len(text) - max_chars)
    return start, start + max_chars
