"""Words that exclude each other, and negations: section 7, point 2.

A gold text takes sides ("left", "benign", "T2"); an answer that takes the opposite side and not the same opposes it.
Left and right are stricter: "left and right" and "bilateral" oppose "left", unless the gold stands in the answer word
for word ("left lung, the right is clear"). Numbered names of one series (T1/T2, L4/L5)
exclude each other; plain numbers and ordinals do not decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from infimed_data.verify.compare import Run

__all__ = ["Sides", "negation_differs", "opposed", "sides"]

_LATERAL = ("left lt", "right rt")
_PAIRS = (
    _LATERAL,
    ("upper", "lower"), ("superior", "inferior"), ("anterior", "posterior"), ("front", "back"), ("medial", "lateral"),
    ("proximal", "distal"), ("ventral", "dorsal"), ("cranial cephalic cephalad", "caudal"), ("superficial", "deep"),
    ("internal inner", "external outer"), ("interior", "exterior"), ("inside", "outside"), ("top", "bottom"),
    ("above", "below"), ("central", "peripheral"), ("unilateral", "bilateral"), ("ipsilateral", "contralateral"),
    ("ascending", "descending"), ("benign", "malignant"), ("acute", "chronic"), ("primary", "secondary metastatic"),
    ("focal localized localised", "diffuse"), ("single solitary", "multiple"), ("solid", "cystic"),
    ("increase increased increases increasing elevated raised", "decrease decreased decreases decreasing reduced"),
    ("elevated raised", "lowered"), ("high higher", "low lower"),
    ("large larger big enlarged", "small smaller shrunken"), ("long longer", "short shorter"),
    ("thick thickened thicker", "thin thinned thinner"),
    ("wide widened dilated", "narrow narrowed constricted"), ("present", "absent"), ("positive", "negative"),
    ("normal", "abnormal"), ("regular", "irregular"), ("complete", "incomplete"), ("stable", "unstable"),
    ("homogeneous", "heterogeneous"), ("opaque", "lucent"), ("radiopaque", "radiolucent"), ("bright", "dark"),
    ("white", "black"), ("hot", "cold"), ("early", "late"), ("mild", "severe"), ("soft", "hard"), ("open", "closed"),
    ("male man", "female woman"), ("systolic", "diastolic"), ("arterial", "venous"), ("artery", "vein"),
    ("afferent", "efferent"), ("sensory", "motor"), ("flexion flexor", "extension extensor"), ("wet", "dry"),
    ("abduction", "adduction"), ("pronation", "supination"), ("inversion", "eversion"), ("inspiration", "expiration"),
    ("gain", "loss"), ("improved improving better", "worse worsened worsening"), ("fast rapid", "slow"),
)  # fmt: skip
"""Words of one side and words of the other."""

_PREFIXES = (
    ("hyper", "hypo", "iso", "normo"), ("macro", "micro"), ("tachy", "brady"), ("pre", "post"), ("antero", "postero"),
    ("supero", "infero"), ("medio", "latero"), ("intra", "extra"), ("endo", "exo", "ecto"), ("supra", "infra"),
    ("supra", "sub"), ("super", "sub"), ("uni", "bi"), ("mono", "poly"), ("oligo", "poly"), ("homo", "hetero"),
)  # fmt: skip
"""Prefixes that give one word opposite meanings."""

_NEGATING = ("un", "in", "im", "ir", "il", "non", "dis", "a")
_AFTER_A = frozenset(
    ("typical", "symptomatic", "symmetric", "symmetrical", "vascular", "cellular", "febrile", "septic")
)
_NOT_NEGATED = frozenset(("inside", "implant", "disease", "indwelling", "intense"))
_DETACHED = frozenset(("non", "hyper", "hypo", "iso", "un", "pre", "post", "sub", "supra", "infra", "intra", "extra"))

_NEGATIONS = frozenset(
    (
        *("no", "not", "without", "none", "nor", "neither", "never", "nothing", "non", "cannot"),
        *("absence", "absent", "lack", "lacks", "lacking", "negative"),
    )
)
_SHORT_NEGATION = re.compile(r"n't\b|\bw/o\b", re.IGNORECASE)
_HAN_NEGATION = re.compile(
    r"无(?!名|菌|水)|没|未(?!分化)|非(?!洲)|不(?!张|全|良|规则|均|齐|清|典型|完整|适|孕|育|稳|等)"
)

_HAN_PAIRS = (
    *(
        "左右",
        "上下",
        "前后",
        "内外",
        "良恶",
        "急慢",
        "增减",
        "升降",
        "高低",
        "大小",
        "阳阴",
        "远近",
        "浅深",
        "厚薄",
        "长短",
    ),
    *("轻重", "早晚", "软硬", "单双"),
)

_SERIES = re.compile(r"([a-z]{1,4})([0-9]{1,3})")

_SIDES_OF: dict[str, list[tuple[int, int]]] = {}
for _index, _pair in enumerate(_PAIRS):
    for _side, _words in enumerate(_pair):
        for _word in _words.split():
            _SIDES_OF.setdefault(_word, []).append((_index, _side))


class Sides(NamedTuple):
    """The sides that a text takes."""

    taken: frozenset[tuple[int, int]]
    """Index of a pair and which of its sides occurs."""
    words: frozenset[str]
    series: dict[str, frozenset[str]]
    """Numbers of each series of names, such as 1 of `t`."""
    han: frozenset[str]
    """Chinese characters."""
    negated: bool


def sides(text: Run) -> Sides:
    """The sides that `text` takes."""
    words = frozenset(_with_prefixes(text.words()))
    taken: set[tuple[int, int]] = set()
    series: dict[str, set[str]] = {}
    for word in words:
        taken.update(_SIDES_OF.get(word, ()) or _SIDES_OF.get(word.removesuffix("ly"), ()))
        if found := _SERIES.fullmatch(word):
            series.setdefault(found.group(1), set()).add(found.group(2))
    if words & {"both", "bilateral", "bilaterally"} and not taken & {(0, 0), (0, 1)}:
        taken |= {(0, 0), (0, 1)}
    latin = text.joined.isascii()
    negated = bool(words & _NEGATIONS) or _SHORT_NEGATION.search(text.text) is not None
    return Sides(
        frozenset(taken),
        words,
        {letters: frozenset(numbers) for letters, numbers in series.items()},
        frozenset() if latin else frozenset(text.joined),
        negated or (not latin and _HAN_NEGATION.search(text.joined) is not None),
    )


def opposed(gold: Sides, given: Sides, *, contained: bool) -> bool:
    """Whether an opposite word or prefix differs; `contained` says whether one text holds the other."""
    mine, other = _lateral(gold), _lateral(given)
    if mine and other and mine != other and not contained:
        return True
    swapped = {(pair, 1 - side) for pair, side in gold.taken - given.taken} - gold.taken
    if not swapped.isdisjoint(given.taken):
        return True
    if any(numbers.isdisjoint(given.series.get(letters, numbers)) for letters, numbers in gold.series.items()):
        return True
    lost, added = gold.words - given.words, given.words - gold.words
    if any(not added.isdisjoint(_opposites(word)) or _negates(word, given.words) for word in lost):
        return True
    return any(_negates(word, gold.words) for word in added) or _han_opposed(gold.han, given.han)


def _lateral(text: Sides) -> frozenset[int]:
    return frozenset(side for pair, side in text.taken if pair == 0)


def negation_differs(gold: Sides, given: Sides) -> bool:
    """Whether a negation stands on one side only."""
    return gold.negated != given.negated


@lru_cache(maxsize=8192)
def _opposites(word: str) -> tuple[str, ...]:
    """`word` with each opposite prefix, as hypodense for hyperdense."""
    return tuple(
        other + word[len(prefix) :]
        for group in _PREFIXES
        for prefix in group
        if word.startswith(prefix) and len(word) >= len(prefix) + 3
        for other in group
        if other != prefix
    )


def _negates(word: str, others: frozenset[str]) -> bool:
    """Whether `word` is one of `others` with a negating prefix, as nondisplaced for displaced."""
    if word in _NOT_NEGATED:
        return False
    for prefix in _NEGATING:
        rest = word.removeprefix(prefix)
        if rest != word and len(rest) >= 5 and rest in others and (prefix != "a" or rest in _AFTER_A):
            return True
    return False


def _with_prefixes(words: Iterable[str]) -> Iterator[str]:
    """The words, a prefix that stands alone joined to the next: hyper-dense is hyperdense. `non` stays as well."""
    prefix = ""
    for word in words:
        if word in _DETACHED and not prefix:
            if word == "non":
                yield word
            prefix = word
        else:
            yield prefix + word
            prefix = ""
    if prefix:
        yield prefix


def _han_opposed(gold: frozenset[str], given: frozenset[str]) -> bool:
    for pair in _HAN_PAIRS:
        for side, other in ((pair[0], pair[1]), (pair[1], pair[0])):
            if side in gold and other not in gold and other in given and side not in given:
                return True
    return False
