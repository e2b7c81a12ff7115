"""Terms: what a question is matched by. Single words and pairs of neighbours, each weighing what its rarity says.

A term weighs 1 where one text has it and nothing from half a percent of all texts on, falling with the logarithm in
between. Words that any question may have ("which", "image", "patient") weigh nothing, alone or beside one another,
however few texts there are to count. In Chinese and Japanese, where each character is a word, terms are pairs and
fours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.words import CJK_BIT, mixed, texts_of, windows, word_digests

__all__ = ["GENERIC", "TERM_BITS", "RowTerms", "counting_slots", "row_terms", "weights"]

TERM_BITS = 51
"""Bits of a term's number."""
BATCH_ROWS = 512
"""Rows whose terms are made at a time: few enough to stay in the processor's cache; at most 2 ** (63 - TERM_BITS)."""
MIN_COMMON = 64
"""A term weighs nothing from this many texts on, or from ..."""
COMMON_SHARE = 0.005
"""... this share of all texts on, whichever is more."""

GENERIC = frozenset(
    """
    a about above according after all also among an and any appear appears are area areas around as associated at be
    because been before being below between best both but by can case cause causes caused characteristic choose
    clinical common commonly condition considered correct could demonstrate demonstrated demonstrates depicted describe
    described describes diagnosis did disease do does done due during each either evidence evident except false feature
    features figure finding findings following for found from given had has have he her here his how i if image images
    in increase increased indicate indicated indicates into is it its kind know known least left less likely located
    location made main major make man may mg might modality more most mostly name next no none normal not now observed
    of old on one only option options or organ other out patient patients picture pictures plane present presented
    presenting presents question response reveal revealed reveals right s scan scans see seen select she should show
    showing shown shows side sign signs situated slice so some statement statements step study suggest suggested
    suggestive suggests symptoms taken than that the their them there these they this those through to treatment true
    two type types used usually view visible was we were what when where which while who why will with within woman
    would year years yes you your
    answer answers choice choices letter directly briefly explain please single word phrase provided based using
    image1 b c d e f g
    """.split()  # noqa: SIM905  (a list to read and to add to)
)
"""Words that say nothing about which question this is."""


@lru_cache(maxsize=1)
def _generic_numbers() -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """(numbers of the generic words, sorted; which upper halves of a number any of them has)."""
    words, _ = word_digests(pa.array(sorted(GENERIC)))
    halves = np.zeros(1 << 16, np.bool_)
    halves[words >> np.uint32(16)] = True
    return np.unique(words), halves


def _is_generic(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    numbers, halves = _generic_numbers()
    found: NDArray[np.bool_] = halves[words >> np.uint32(16)]
    maybe = np.flatnonzero(found)
    at = np.minimum(np.searchsorted(numbers, words[maybe]), len(numbers) - 1)
    found[maybe] = numbers[at] == words[maybe]
    return found


@dataclass(frozen=True, slots=True)
class RowTerms:
    """The distinct terms of a run of rows, in order of rows."""

    owners: NDArray[np.int64]
    """The row of each term."""
    terms: NDArray[np.uint64]
    in_question: NDArray[np.bool_]
    """Whether the question has it; the others stand in the options only."""


def row_terms(asked: pa.ListArray, offered: pa.ListArray) -> RowTerms:
    """The terms of at most `BATCH_ROWS` rows, from the words of their questions and of their options."""
    found = []
    for column, only_options in ((asked, 0), (offered, 1)):
        words, bounds, owners = texts_of(column)
        if not len(words):
            continue
        ideographs = np.add.reduceat(np.append(words & np.uint32(CJK_BIT), np.uint32(0)), bounds[:-1])
        dense = (ideographs * 2 > np.diff(bounds)) & (np.diff(bounds) > 0)
        text = np.repeat(np.arange(len(owners)), np.diff(bounds))
        plain = _is_generic(words)
        for size, chosen in ((1, ~dense), (2, None), (4, dense)):
            if chosen is not None and not chosen.any():
                continue
            digests, whole = windows(words, bounds, size)
            idle = plain.copy()
            for step in range(1, size):
                idle[:-step] &= plain[step:]
            keep = whole & ~idle
            if chosen is not None:
                keep &= chosen[text]
            numbers = mixed(digests[keep] + np.uint64(size)) >> np.uint64(64 - TERM_BITS)
            owner = owners[text[keep]].astype(np.uint64)
            found.append((owner << np.uint64(TERM_BITS + 1)) | (numbers << np.uint64(1)) | np.uint64(only_options))
    keys = np.concatenate(found) if found else np.zeros(0, np.uint64)
    keys.sort()
    fresh = np.ones(len(keys), np.bool_)
    fresh[1:] = (keys[1:] ^ keys[:-1]) > 1  # the same term in question and options counts for the question
    keys = keys[fresh]
    return RowTerms(
        (keys >> np.uint64(TERM_BITS + 1)).astype(np.int64),
        (keys >> np.uint64(1)) & np.uint64((1 << TERM_BITS) - 1),
        (keys & np.uint64(1)) == 0,
    )


def counting_slots(terms: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Where each term is counted in a table of 2 ** bits counts."""
    return (terms >> np.uint64(TERM_BITS - bits)).astype(np.int64)


def weights(counts: NDArray[np.integer], texts: int) -> NDArray[np.float32]:
    """What terms weigh that `counts` of all `texts` have: 1 for one, 0 for common ones."""
    common = np.log(max(MIN_COMMON, COMMON_SHARE * texts))
    scaled: NDArray[np.float32] = (1 - np.log(np.maximum(counts, 1)) / common).astype(np.float32)
    return np.maximum(scaled, np.float32(0))
