"""Words of texts as numbers, and the n-grams that they make.

A word is a run of letters and digits; case, width and punctuation do not count, and each Chinese or Japanese character
is a word. Its number is a 32-bit digest, the same on every machine, so a text is stored once as its words and n-grams
of any length are made from them later, without the text.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "CJK_BIT",
    "Words",
    "grams_of",
    "mixed",
    "sequence_digests",
    "texts_of",
    "windows",
    "word_digests",
    "word_lists",
]

CJK_BIT = 1
"""Set in the numbers of single Chinese or Japanese characters, clear in those of all other words."""

_LONG_WORD = 64
"""Bytes from which on a word is hashed by itself: a text without any space shall not cost a step each 8 bytes."""

_K1, _K2, _K3 = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_LOW_BYTES = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)
"""Masks that keep the first 0 to 8 bytes of a little-endian number."""

_PLAIN = np.zeros(256, np.uint8)
_PLAIN[128:] = np.arange(128, 256)
for _code in (*range(ord("0"), ord("9") + 1), ord("_"), *range(ord("a"), ord("z") + 1)):
    _PLAIN[_code] = _code
for _code in range(ord("A"), ord("Z") + 1):
    _PLAIN[_code] = _code + 32

_UNKNOWN, _APART, _LETTER, _OTHER_CASE, _IDEOGRAPH, _COMPOSED = range(6)
"""What a character beyond ASCII is: not seen yet, between words, part of a word, part of a word once another character
of as many bytes stands in its place, a word of its own, or nothing before its text has been composed as a whole."""

_KINDS = np.zeros(0x110000, np.uint8)
_KINDS[0xD800:0xE000] = _APART
_INSTEAD = np.zeros(0x110000, np.uint32)
_LENGTH = np.zeros(256, np.int64)
_LENGTH[0xC0:0xE0], _LENGTH[0xE0:0xF0], _LENGTH[0xF0:] = 2, 3, 4

Words = tuple[NDArray[np.uint32], NDArray[np.int64]]
"""(numbers of all words, first word of each text and the end of the last)."""


def word_lists(texts: pa.Array) -> pa.ListArray:
    """The words of each text in order, as list<uint32>; null is an empty text. No word has the number 0."""
    words, bounds = word_digests(texts)
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(words))


def word_digests(texts: pa.Array) -> Words:
    """The words of all texts in order, and where each text's words start."""
    plain = pc.fill_null(texts, "")
    found = _words(plain, final=False)
    if isinstance(found, tuple):
        return found
    strings = plain.take(pa.array(found)).to_pylist()
    whole = np.zeros(len(plain), np.bool_)
    whole[found] = True
    composed = pa.array([unicodedata.normalize("NFC", text).translate(_CHARS) for text in strings], pa.string())
    found = _words(pc.replace_with_mask(plain, pa.array(whole), composed), final=True)
    assert isinstance(found, tuple)
    return found


def texts_of(column: pa.ChunkedArray | pa.ListArray) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """(words, bounds of the texts in them, row of each text) of a column of word lists.

    A row's list is one text, or several of which each ends in a 0.
    """
    lists = column
    if isinstance(column, pa.ChunkedArray):
        lists = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    words = lists.values.to_numpy()[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    ends = np.flatnonzero(words == 0)
    if not len(ends):
        return words, offsets, np.arange(len(lists))
    owners = np.searchsorted(offsets, ends, side="right") - 1
    bounds = np.concatenate([[0], ends + 1])
    return words[words != 0], bounds - np.arange(len(bounds)), owners


def _words(texts: pa.Array, *, final: bool) -> Words | NDArray[np.int64]:
    """The words; or the texts that have to be normalised as a whole first, unless this is the `final` pass."""
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
    offsets -= first
    data = np.frombuffer(data_buffer, np.uint8)[first : first + size] if size else np.zeros(0, np.uint8)
    plain = np.zeros(size + 8, np.uint8)
    np.take(_PLAIN, data, out=plain[:size])
    ideographs = None
    if size and data.max() >= 128:
        leads = np.flatnonzero(data >= 0xC0)
        points = _code_points(data, leads)
        kinds = _kinds(points)
        composed = leads[kinds == _COMPOSED]
        if len(composed) and not final:
            return np.unique(np.searchsorted(offsets, composed, side="right") - 1)
        _replace(plain, leads, points, kinds)
        if (kinds == _IDEOGRAPH).any():
            ideographs = leads[kinds == _IDEOGRAPH]
    inside = plain[:size] != 0
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    heads = offsets[:-1][offsets[:-1] < size]
    begins[heads] = inside[heads]
    if ideographs is not None:
        begins[ideographs] = True
        after = ideographs + _LENGTH[data[ideographs]]
        after = after[after < size]
        begins[after] |= inside[after]
    last = inside.copy()
    last[:-1] &= ~inside[1:] | begins[1:]
    starts = np.flatnonzero(begins)
    lengths = np.flatnonzero(last) + 1 - starts
    numbers = _numbers(plain, starts, lengths)
    if ideographs is not None:
        numbers[np.searchsorted(starts, ideographs)] |= np.uint32(CJK_BIT)
    return numbers, np.searchsorted(starts, offsets)


def _numbers(plain: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """A number for each word, from its bytes, eight at a time."""
    eights = np.ndarray((len(plain) - 7,), "<u8", plain, 0, (1,))
    digests = eights[starts] & _LOW_BYTES[np.minimum(lengths, 8)]
    digests *= _K1
    long = np.flatnonzero(lengths > 8)
    at = 8
    while len(long) and at < _LONG_WORD:
        more = eights[starts[long] + at] & _LOW_BYTES[np.minimum(lengths[long] - at, 8)]
        digests[long] = mixed(digests[long]) + more * _K2
        at += 8
        long = long[lengths[long] > at]
    for word in long.tolist():
        rest = plain[starts[word] + at : starts[word] + lengths[word]]
        padded = np.zeros(-(-len(rest) // 8) * 8, np.uint8)
        padded[: len(rest)] = rest
        digests[word] = _digest_of(digests[word], padded.view("<u8"))
    digests = mixed(digests ^ lengths.astype(np.uint64))
    # The lowest bit belongs to ideographs, and 0 is no word.
    return (digests >> np.uint64(32)).astype(np.uint32) & np.uint32(0xFFFFFFFE) | np.uint32(2)


def _digest_of(start: np.uint64, values: NDArray[np.uint64]) -> np.uint64:
    """A digest of numbers in order."""
    at = np.arange(1, len(values) + 1, dtype=np.uint64)
    mixing = mixed(values + at * _K1)
    return np.uint64(np.bitwise_xor.reduce(mixed(np.cumsum(mixing, dtype=np.uint64))) ^ start)


def _code_points(data: NDArray[np.uint8], leads: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The characters whose first bytes stand at `leads`, of text that is valid UTF-8."""
    first = data[leads]
    length = _LENGTH[first]
    points = first.astype(np.uint32) & (np.uint32(0xFF) >> (length + 1).astype(np.uint32))
    for step in range(1, 4):
        more = length > step
        points[more] = (points[more] << np.uint32(6)) | (data[leads[more] + step] & np.uint8(0x3F))
    return points


def _kinds(points: NDArray[np.uint32]) -> NDArray[np.uint8]:
    kinds = _KINDS[points]
    if (kinds == _UNKNOWN).any():
        for point in np.unique(points[kinds == _UNKNOWN]).tolist():
            _KINDS[point], _INSTEAD[point] = _kind(point)
        kinds = _KINDS[points]
    return kinds


def _kind(point: int) -> tuple[int, int]:
    """(what a character is, the one that stands in its place)."""
    char = chr(point)
    if _joins(char):
        return _COMPOSED, 0
    plain = _plain_of(char)
    if not plain:
        return _APART, 0
    if len(plain) != 1 or len(plain.encode()) != len(char.encode()):
        return _COMPOSED, 0
    if _is_ideograph(ord(plain)):
        return _IDEOGRAPH, ord(plain)
    return (_LETTER, 0) if plain == char else (_OTHER_CASE, ord(plain))


def _plain_of(char: str) -> str:
    """A character as words have it: without case and width; nothing where it stands between words.

    A character that would fall apart, such as ½, stays what it is.
    """
    if not _in_word(char):
        return ""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    return plain if all(map(_in_word, plain)) else char


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_" or _joins(char)


def _joins(char: str) -> bool:
    """Whether a character may become one with those before it."""
    return unicodedata.category(char) in ("Mn", "Mc", "Me") or "\u1160" <= char <= "\u11ff"


class _Chars(dict[int, str]):
    """What stands for each character of a text that is put in other characters as a whole."""

    def __missing__(self, point: int) -> str:
        self[point] = found = _plain_of(chr(point)) or " "
        return found


_CHARS = _Chars()


def _is_ideograph(point: int) -> bool:
    """Whether it is a Chinese character or a Japanese syllable."""
    return (
        0x3040 <= point <= 0x30FF
        or 0x3400 <= point <= 0x4DBF
        or 0x4E00 <= point <= 0x9FFF
        or 0x20000 <= point <= 0x3FFFF
        or point in (0x3005, 0x3006, 0x3007)
    )


def _replace(
    plain: NDArray[np.uint8], leads: NDArray[np.int64], points: NDArray[np.uint32], kinds: NDArray[np.uint8]
) -> None:
    """Blanks what stands between words, and puts characters in their other case."""
    apart = leads[kinds == _APART]
    lengths = _LENGTH[plain[apart]]
    for step in range(4):
        plain[apart[lengths > step] + step] = 0
    other = (kinds == _OTHER_CASE) | (kinds == _IDEOGRAPH)
    if not other.any():
        return
    at, becomes = leads[other], _INSTEAD[points[other]]
    lengths = _LENGTH[plain[at]]
    for size in (2, 3, 4):
        chosen = lengths == size
        here, value = at[chosen], becomes[chosen]
        for step in range(size - 1, 0, -1):
            plain[here + step] = (value & np.uint32(0x3F)) | np.uint32(0x80)
            value = value >> np.uint32(6)
        plain[here] = value | np.uint32((0xF00 >> size) & 0xFF)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    values = values ^ (values >> np.uint64(30))
    values *= _K2
    values ^= values >> np.uint64(27)
    values *= _K3
    values ^= values >> np.uint64(31)
    return values


def grams_of(
    words: NDArray[np.uint32], bounds: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(digests of the n-grams of `size` words in order, where each text's start and the end of the last).

    A text with fewer words is one n-gram of all of them, a text without words has none.
    """
    counts = np.diff(bounds)
    many = np.where(counts == 0, 0, np.maximum(counts - size + 1, 1))
    digests, whole = windows(words, bounds, size)
    short = np.flatnonzero((counts > 0) & (counts < size))
    if len(short):
        whole[bounds[short]] = True
        digests[bounds[short]] = _short_grams(mixed(words.astype(np.uint64) * _K1), bounds[short], counts[short])
    return digests[whole], np.concatenate([[0], np.cumsum(many)])


def windows(
    words: NDArray[np.uint32], bounds: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """(digest of the `size` words from each word on, whether they lie within one text)."""
    total = len(words)
    padded = np.concatenate([mixed(words.astype(np.uint64) * _K1), np.zeros(size, np.uint64)])
    digests = padded[:total].copy()
    for step in range(1, size):
        digests *= _K3
        digests += padded[step : step + total]
    digests ^= digests >> np.uint64(32)
    digests *= _K2
    digests ^= digests >> np.uint64(29)
    whole = np.ones(total, np.bool_)
    for step in range(1, size):
        tail = bounds[1:] - step
        whole[tail[tail >= bounds[:-1]]] = False
    return digests, whole


def sequence_digests(words: NDArray[np.uint32], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A digest of each text's words in order; 0 for a text without words."""
    counts = np.diff(bounds)
    place = np.arange(len(words)) - np.repeat(bounds[:-1], counts)
    each: NDArray[np.uint64] = mixed((words.astype(np.uint64) * _K1) ^ mixed(place.astype(np.uint64) + _K2))
    digests = np.zeros(len(counts), np.uint64)
    held = counts > 0
    if held.any():
        sums: NDArray[np.uint64] = np.add.reduceat(each, bounds[:-1][held])
        digests[held] = mixed(sums ^ counts[held].astype(np.uint64)) | np.uint64(1)
    return digests


def _short_grams(ready: NDArray[np.uint64], firsts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Digests of whole texts that are shorter than an n-gram."""
    digests = counts.astype(np.uint64) * _K2
    for step in range(int(counts.max())):
        more = counts > step
        digests[more] = mixed(digests[more] + ready[firsts[more] + step])
    return digests
