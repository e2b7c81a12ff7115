"""Tables of phrases to look for in a trace.

Fifteen gates read a trace of 400 words in a fraction of a millisecond, so no phrase is looked for in all of it: an
English one only around its own words, if they are there, a Chinese one only if its characters are. No quantifier in a
phrase is unbounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from infimed_data.gates.trace import Finding, Trace

__all__ = ["Match", "Phrase", "Table", "first", "found", "phrase", "table"]

Match = re.Match[str]
REACH = 75
"""Characters on either side of an English phrase's word that a match may take, where nothing else is said."""


class Phrase(NamedTuple):
    """A way of saying something."""

    reason: str
    words: tuple[frozenset[str], ...]
    """Every match has one of each set; an English one lies around one of the first set."""
    pattern: re.Pattern[str]
    """Of text in lower case."""
    reach: int
    """Characters on either side of a word of the first set that a match may take."""


class Table(NamedTuple):
    """Phrases, and which of them a word may begin."""

    phrases: tuple[Phrase, ...]
    places: dict[str, tuple[int, ...]]
    """English word of a first set to its phrases."""
    words: frozenset[str]
    chinese: tuple[int, ...]
    """Phrases in Chinese."""


def phrase(reason: str, words: str, pattern: str, *, reach: int = REACH) -> Phrase:
    """A phrase; its words (in Chinese: pieces of text) are separated by spaces, sets of them by `+`."""
    sets = tuple(frozenset(some.split()) for some in words.split("+"))
    return Phrase(reason, sets, re.compile(pattern), reach)


def table(*phrases: Phrase) -> Table:
    """Phrases, made ready to be looked for together."""
    places: dict[str, tuple[int, ...]] = {}
    chinese = []
    for number, each in enumerate(phrases):
        if not all(word.isascii() for word in each.words[0]):
            chinese.append(number)
            continue
        for word in each.words[0]:
            places[word] = (*places.get(word, ()), number)
    return Table(phrases, places, frozenset(places), tuple(chinese))


def found(trace: Trace, among: Table, start: int = 0, end: int | None = None) -> Iterator[tuple[Phrase, Match]]:
    """Matches of the phrases between two positions, phrase by phrase."""
    plain, words = trace.plain, trace.words
    end = len(plain) if end is None else end
    numbers: set[int] = set()
    for word in among.words & words:
        numbers.update(among.places[word])
    for number in sorted(numbers):
        each = among.phrases[number]
        if any(some.isdisjoint(words) for some in each.words[1:]):
            continue
        at = start
        for left, right in _around(plain, each.words[0] & words, each.reach, start, end):
            for match in each.pattern.finditer(plain, max(left, at), right):
                yield each, match
                at = match.end()
    if not trace.ascii:
        for number in among.chinese:
            each = among.phrases[number]
            if all(any(word in plain for word in some) for some in each.words):
                for match in each.pattern.finditer(plain, start, end):
                    yield each, match


def _around(plain: str, words: Iterable[str], reach: int, start: int, end: int) -> list[tuple[int, int]]:
    """Windows around the words, joined where they meet."""
    places = []
    for word in words:
        at = plain.find(word, start, end)
        while at >= 0:
            places.append(at)
            at = plain.find(word, at + len(word), end)
    places.sort()
    windows: list[tuple[int, int]] = []
    for at in places:
        left, right = max(start, at - reach), min(end, at + reach)
        if windows and left <= windows[-1][1]:
            windows[-1] = (windows[-1][0], right)
        else:
            windows.append((left, right))
    return windows


def first(
    gate: str, trace: Trace, among: Table, harmless: Callable[[Trace, Phrase, Match], bool] | None = None
) -> Finding | None:
    """The first match of the first phrase that is there and not harmless."""
    for each, match in found(trace, among):
        if harmless is None or not harmless(trace, each, match):
            return trace.show(gate, each.reason, match.start(), match.end())
    return None
