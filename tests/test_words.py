"""Words and n-grams of a text do not depend on its dress, on the texts beside it, or on the machine."""

from __future__ import annotations

import itertools
import re
import time
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.words import CJK_BIT, grams_of, sequence_digests, texts_of, word_digests, word_lists

TEXTS = st.text(
    st.sampled_from("abcXYZ019_ .,-?\néÉß½²µμΣςﬁＡ１漢肺左の한яЯ–’℃e\u0301\u1100\u1161")
    | st.characters(exclude_categories=["Cs"]),
    max_size=40,
)


def words(*texts: str | None) -> list[list[int]]:
    """The words of each text as numbers."""
    found: list[list[int]] = word_lists(pa.array(texts, pa.string())).to_pylist()
    return found


def grams(*texts: str, size: int = 5) -> list[list[int]]:
    """The n-grams of each text as numbers."""
    digests, starts = grams_of(*word_digests(pa.array(texts, pa.string())), size)
    return [digests[first:last].tolist() for first, last in itertools.pairwise(starts)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("?! ... ½", 1),
        ("one two three four five", 5),
        ("one-two/three (four) five, six.", 6),
        ("é1 naïve œdème 3b x y", 6),
        ("左肺有结节", 5),
        ("左肺CT有结节", 6),
        ("患者 55岁 male", 5),
        ("37 ℃, 5mm² “wide” – and 2½ µm", 6),
        ("snake_case stays one", 3),
        ("\N{COMBINING ACUTE ACCENT}", 1),
    ],
)
def test_words_are_runs_of_letters_and_digits_and_single_ideographs(text: str, count: int) -> None:
    [found] = words(text)
    assert len(found) == count


def test_on_western_text_words_are_what_a_regular_expression_finds() -> None:
    texts = [
        "A 3-year-old girl (BP 90/60 mmHg): T 38.5 °C; pH 7.35—7.45 “mild”.",
        "β-blockers, 5µm, naïve Gesäß façade — ½ dose; ±3%; x² + y²; Ω; CO₂",
        "ΣΑΣ straße  Å  ﬁbrosis",
    ]
    for text in texts:
        [found] = words(text)
        assert len(found) == len(re.findall(r"\w+", text.lower()))


def test_equal_words_are_equal_in_any_dress_and_others_are_not() -> None:
    same = words("The left LUNG is clear.", "  the\nleft\tlung -- is (clear)", "ＴＨＥ left lung is clear")
    assert same[0] == same[1] == same[2]
    assert words("naïve É")[0] == words("NAI\u0308VE e\u0301")[0]
    assert words("5 mm²")[0] == words("5 mm2")[0]
    assert words("左 肺 有 结 节")[0] == words("左肺有结节")[0]
    assert words("STRASSE")[0] == words("straße")[0]
    others = ["lung", "lungs", "long", "lun g", "肺", "腑", "lung1", "l", ""]
    assert len({tuple(found) for found in words(*others)}) == len(others)


def test_a_known_text_has_the_words_it_always_had() -> None:
    assert words("Left femur?", "左肺CT", "pneumonoultramicroscopicsilicovolcanoconiosis") == [
        [931587590, 159569670],
        [4270529751, 3130850487, 1237886390],
        [2196262826],
    ]


def test_ideographs_are_marked() -> None:
    assert [[word & CJK_BIT for word in found] for found in words("左肺CT有x", "の한 lung")] == [
        [1, 1, 0, 1, 0],
        [1, 0, 0],
    ]


def test_a_null_is_an_empty_text() -> None:
    assert words(None, "", "a b") == [[], [], words("a b")[0]]
    assert words() == []


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_words_do_not_depend_on_the_texts_beside(texts: list[str]) -> None:
    together = words(*texts)
    assert together == [words(text)[0] for text in texts]
    assert words(*reversed(texts)) == together[::-1]
    assert words("x" * 1000, *texts)[1:] == together
    assert word_lists(pa.array(["pad", *texts, "end"]).slice(1, len(texts))).to_pylist() == together
    assert all(word > 1 for found in together for word in found)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_case_and_composition_do_not_matter(text: str) -> None:
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))
    if text.isascii():
        assert words(text.upper()) == words(text.lower())


def test_a_text_without_any_space_is_read_in_good_time() -> None:
    start = time.perf_counter()
    found = words("a" * 5_000_000, "b", "é" * 500_000, "a" * 4_999_999)
    assert [len(one) for one in found] == [1, 1, 1, 1]
    assert len({one[0] for one in found}) == 4
    assert time.perf_counter() - start < 5


# N-grams


def test_a_text_of_n_words_has_n_minus_four_fives_and_a_short_one_has_one() -> None:
    for count in range(12):
        [found] = grams(" ".join(f"w{i}" for i in range(count)))
        assert len(found) == (max(count - 4, 1) if count else 0)


def test_short_texts_differ_from_one_another_and_from_the_beginnings_of_longer_ones() -> None:
    found = grams("a", "b", "a a", "a b", "b a", "a b c", "a b c d", "a b c d e", "ab", "é")
    assert all(len(one) == 1 for one in found)
    assert len({one[0] for one in found}) == len(found)


@settings(max_examples=60, deadline=None)
@given(some=st.lists(st.sampled_from(["lung", "is", "the", "ct", "x1", "肺"]), min_size=1, max_size=14))
def test_an_ngram_is_its_words_wherever_it_stands(some: list[str]) -> None:
    for size in (1, 2, 5):
        [found] = grams(" ".join(some), size=size)
        parts = [" ".join(some[at : at + size]) for at in range(max(len(some) - size + 1, 1))]
        assert found == [grams(part, size=size)[0][0] for part in parts]
        assert len(set(found)) == len(set(parts))


def test_a_sequence_digest_is_the_words_in_their_order() -> None:
    texts = ["a b", "b a", "a b c", "A, b!", "", "a"]
    digests = sequence_digests(*word_digests(pa.array(texts)))
    assert digests[0] == digests[3]
    assert digests[4] == 0
    assert len(set(digests.tolist())) == len(texts) - 1


def test_lists_of_several_texts_come_apart_at_the_zeros() -> None:
    lists: Any = pa.array([[1, 2, 0, 3, 0], [], [0, 4, 0], [5, 0]], pa.list_(pa.uint32()))
    for column, rows in ((lists, [0, 1, 2, 3]), (lists.slice(2), [2, 3]), (pa.chunked_array([lists]), [0, 1, 2, 3])):
        found, bounds, owners = texts_of(column)
        texts = [found[a:b].tolist() for a, b in itertools.pairwise(bounds)]
        wanted = {0: [[1, 2], [3]], 1: [], 2: [[], [4]], 3: [[5]]}
        assert texts == [text for row in rows for text in wanted[row]]
        assert owners.tolist() == [place for place, row in enumerate(rows) for _ in wanted[row]]
    plain: Any = pa.array([[1, 2], [], [3]], pa.list_(pa.uint32()))
    found, bounds, owners = texts_of(plain)
    assert (found.tolist(), bounds.tolist(), owners.tolist()) == ([1, 2, 3], [0, 2, 2, 3], [0, 1, 2])
    assert np.array_equal(texts_of(pa.chunked_array([], plain.type))[0], [])
