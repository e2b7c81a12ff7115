"""When two texts are equal: section 2 of the policy. Texts are compared after `clean`.

`key` is the form in which equal texts meet; `Phrase` is a gold text with every spelling that equals it. `Run` finds a
phrase inside a text as whole words.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from infimed_data.verify.clean import clean, lower

__all__ = [
    "ABBREVIATIONS",
    "Phrase",
    "Run",
    "is_han",
    "key",
    "keys",
    "phrase",
    "run",
    "spellings",
    "trimmed",
    "with_plurals",
]

ABBREVIATIONS = {
    "computed tomography": "ct",
    "magnetic resonance imaging": "mri",
    "positron emission tomography": "pet",
    "radiograph": "xray",
    "radiographs": "xrays",
}
"""Phrases that equal another, also as words of a longer phrase; nothing else does. `x-ray` is `xray` by joining."""

_OUTER = " \n.,;:!?'\"`()[]{}|_\\/^=#。，、；：！？（）【】《》〈〉「」『』“”‘’…·•▪●○◆■□►→"
_ABBREVIATION = re.compile(
    rf"\b(?:{'|'.join(sorted(ABBREVIATIONS, key=len, reverse=True)).replace(' ', '[ -]')})\b", re.IGNORECASE
)
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[\s\-]+(?=[0-9])")
_ARTICLE = re.compile(r"(?:an?|the)[ \n]+(?=\S)")
_BRITISH = re.compile(r"(?<=[a-z])our|[oa]e", re.IGNORECASE)
_ITEMS = re.compile(r" ?(?:,(?![0-9]{3}(?![0-9]))|[;、\n&]|和|以及|\band\b) ?")
_BETWEEN_WORDS = r"\s\-.,;:!?'\"`()\[\]{}|_\\~^=#。，、；：！？（）【】《》〈〉「」『』“”‘’…·•▪●○◆■□►→"
_WORD = re.compile(
    r"(?:-(?<![0-9a-z\-]-)(?=[0-9])|-(?<=[0-9a-z]-)(?=[.!?]?$|[,;)])"  # a sign, a mark: neither joins two words
    rf"|[^{_BETWEEN_WORDS}]+|(?<=[0-9])[.,:\-](?=[0-9]))+"
)
_WORD_OR_COMMA = re.compile(rf"{_WORD.pattern}|(?P<comma>[,;、])")
_HYPHENS = re.compile(r"\A-+(?![0-9.])[ -]*|(?<= )-+\Z")  # neither a sign, as in -2, nor a mark, as in HER2-
_MARKED = re.compile(r"(?<=[0-9a-z])-(?=[.!?]?$|[,;)])|(?<![0-9a-z\-])-(?=[0-9.])")


def trimmed(text: str) -> str:
    """`text` in lower case without outer punctuation. Signs that carry meaning (`%`, `+`, `<`) stay."""
    text = lower(text).strip(_OUTER)
    if "-" in text:
        text = _HYPHENS.sub("", text).strip(_OUTER)
    return text


def key(text: str) -> str:
    """The form in which equal texts meet, its article kept and its last word as it stands."""
    return _key(trimmed(text))


def keys(text: str) -> tuple[str, ...]:
    """The keys of `text` with and without its leading article."""
    plain = trimmed(text)
    article = _ARTICLE.match(plain)
    if article is None:
        return (_key(plain),)
    return _key(plain), _key(plain[article.end() :].strip(_OUTER))


def spellings(text: str) -> frozenset[str]:
    """Every key that equals `text`: with and without its article, its last word in singular and plural."""
    return frozenset(form for each in keys(text) for form in with_plurals(each))


def _key(plain: str) -> str:
    if not plain.isascii():
        plain = _without_accents(plain)
    plain = _abbreviations(plain)
    if "-" in plain:
        plain = _MARKED.sub("\u2212", plain)
    plain = _BETWEEN_DIGITS.sub("\x00", plain)  # 5-10 is not 510
    plain = plain.replace("-", "").replace(" ", "").replace("\n", "")
    return plain.replace("oe", "e").replace("ae", "e").replace("our", "or")


def _abbreviations(text: str) -> str:
    if "ograph" in text or "imaging" in text or not text.islower():
        return _ABBREVIATION.sub(_abbreviated, text)
    return text


def _abbreviated(found: re.Match[str]) -> str:
    return ABBREVIATIONS[found.group().lower().replace("-", " ")]


def _without_accents(text: str) -> str:
    """Latin letters without their accents, so that Ménière is Meniere."""
    if not any("\u00c0" <= char <= "\u024f" for char in text):
        return text
    return "".join(unicodedata.normalize("NFD", char)[0] if "\u00c0" <= char <= "\u024f" else char for char in text)


def with_plurals(form: str) -> Iterator[str]:
    """`form` and the singulars and plurals of its last word."""
    yield form
    if not ("a" <= form[-1:] <= "z") or len(form) < 2:
        return
    if form[-1] == "s":
        yield form + "es"
        if form.endswith("ies"):
            yield form[:-3] + "y"
        if form.endswith("es"):
            yield form[:-2]
        if form[-2] not in "sui" and len(form) > 2:  # mass, virus and pelvis are singular
            yield form[:-1]
        return
    yield form + "s"
    yield form + "es"
    if form[-1] == "y":
        yield form[:-1] + "ies"
    if form[-1] == "o":
        yield form[:-1] + "es"  # `oe` has become `e`


class Phrase(NamedTuple):
    """A gold text, made ready for comparison."""

    text: str
    """Cleaned and trimmed."""
    equal: frozenset[str]
    """Keys of all texts that equal it."""
    items: tuple[frozenset[str], ...]
    """The same for each item of a list; empty where it is no list."""

    def equals(self, text: str) -> bool:
        """Whether cleaned `text` equals the phrase."""
        if len(text) > 20 * len(self.text) + 500:  # no such text does, whatever its punctuation
            return False
        return any(form in self.equal for form in keys(text))

    def lists_the_same(self, text: str) -> bool:
        """Whether both are lists of equal items, in any order."""
        return bool(self.items) and self._same_items(_listed(text))

    def _same_items(self, items: tuple[str, ...]) -> bool:
        if not 1 < len(items) <= 4 * len(self.items):
            return False
        given = [keys(item) for item in items]
        if not all(any(form in equal for equal in self.items for form in forms) for forms in given):
            return False
        return all(any(form in equal for forms in given for form in forms) for equal in self.items)


@lru_cache(maxsize=8192)
def phrase(text: str) -> Phrase:
    """The phrase of an uncleaned gold text."""
    plain = clean(text)
    items = _listed(plain)
    return Phrase(trimmed(plain), spellings(plain), tuple(map(spellings, items)) if len(items) > 1 else ())


def _listed(text: str) -> tuple[str, ...]:
    """The items of a list joined by commas, `and`, 、 or 和, without those that are empty."""
    plain = trimmed(text)
    plain = plain.removeprefix("both ")
    return tuple(item for part in _ITEMS.split(plain) if (item := part.strip(_OUTER)))


class Run(NamedTuple):
    """A text in which phrases can be found as whole words, however they are hyphenated, spaced or joined."""

    text: str
    """The text, in British spelling made American; positions count in it."""
    joined: str
    """Its words in lower case without anything between them."""
    starts: list[int]
    """Where each word starts in `joined`."""
    offsets: list[int]
    """Where each word starts in `text`."""

    def find(self, wanted: str, start: int = 0) -> int:
        """Position in `joined` of `wanted` (joined itself) as whole words, from `start` on; -1 where there is none."""
        at = self.joined.find(wanted, start)
        while at >= 0 and not self._whole(at, at + len(wanted)):
            # To where a word may begin: within a long run of one character, each step would compare all of `wanted`.
            at = self.joined.find(wanted, self._next_start(at + 1))
        return at

    def position(self, at: int) -> int:
        """Where the character of `joined` at `at` stands in `text`."""
        word = bisect_right(self.starts, at) - 1
        return self.offsets[word] + at - self.starts[word]

    def last_word(self) -> str:
        """The last word, or an empty text."""
        return self.joined[self.starts[-1] :] if self.starts else ""

    def words(self) -> Iterator[str]:
        """The words in order."""
        ends = [*self.starts[1:], len(self.joined)] if self.starts else []
        return (self.joined[start:end] for start, end in zip(self.starts, ends, strict=True))

    def _next_start(self, at: int) -> int:
        """The first position from `at` on where a whole word may begin; the end of `joined` where there is none."""
        while at < len(self.joined) and not self._begins(at):
            at += 1
        return at

    def _begins(self, at: int) -> bool:
        return not at or not _binds(self.joined[at - 1], self.joined[at]) or self._starts_word(at)

    def _whole(self, start: int, end: int) -> bool:
        joined = self.joined
        if not self._begins(start):
            return False
        if end == len(joined) or self._starts_word(end):
            return True
        if joined[end] in "+-" and (end + 1 == len(joined) or self._starts_word(end + 1)):
            return False  # HER2 is not HER2+
        return not _binds(joined[end - 1], joined[end])

    def _starts_word(self, at: int) -> bool:
        word = bisect_right(self.starts, at) - 1
        return self.starts[word] == at


def _binds(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word or number; Chinese characters are words of their own."""
    if left.isalnum() and right.isalnum():
        return not is_han(left) and not is_han(right)
    return (right in ".,:-/%+" and left.isdigit()) or (left in ".,:-/<>" and right.isdigit())


def is_han(char: str) -> bool:
    """Chinese and Japanese characters, which stand beside others without a space."""
    return "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or char >= "\U00020000"


def run(text: str, *, abbreviated: bool = True, commas: bool = False) -> Run:
    """Cleaned `text` as a run of words.

    The phrases of `ABBREVIATIONS` are replaced unless that is turned off. With `commas`, commas and semicolons are
    words too, so that no phrase is found across one.
    """
    text = _BRITISH.sub(_american, _abbreviations(text) if abbreviated else text)
    lowered = lower(text)
    if not text.isascii():
        lowered = _without_accents(lowered)
    words, offsets = [], []
    for found in (_WORD_OR_COMMA if commas else _WORD).finditer(lowered):
        words.append("," if found.lastgroup else found.group())
        offsets.append(found.start())
    lengths = list(map(len, words))
    return Run(text, "".join(words), list(accumulate(lengths[:-1], initial=0)) if words else [], offsets)


def _american(found: re.Match[str]) -> str:
    return "or" if found.group()[-1] in "rR" else found.group()[-1]
