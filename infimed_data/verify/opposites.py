"""Words that exclude each other, and negations: section 7, point 2 of the policy.

Two texts oppose each other where both take a side and the sides differ: left/right, also where one says both. Numbered
names of one series (T1/T2, L4/L5) exclude each other; plain numbers and ordinals do not decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from infimed_data.verify.compare import Run

__all__ = ["Sides", "negation_differs", "opposed", "sides"]

_OPPOSITES = (
    ("left lt", "right rt"),
    ("upper", "lower"), ("superior", "inferior"), ("anterior", "posterior"), ("front frontal", "back"),
    ("medial", "lateral"), ("proximal", "distal"), ("ventral", "dorsal"), ("cranial cephalic cephalad", "caudal"),
    ("superficial", "deep"), ("internal inner inside", "external outer outside"), ("interior", "exterior"),
    ("top", "bottom"), ("above", "below"), ("central", "peripheral"), ("near", "far"),
    ("unilateral", "bilateral"), ("ipsilateral", "contralateral"), ("single solitary", "multiple"),
    ("benign", "malignant"), ("acute", "chronic"), ("primary", "secondary metastatic"), ("focal localized", "diffuse"),
    ("increase increased increases increasing elevated raised", "decrease decreased decreases decreasing reduced lowered"),
    ("high higher", "low"), ("large larger big enlarged", "small smaller little shrunken"), ("long", "short"),
    ("thick thickened", "thin thinned"), ("wide widened dilated", "narrow narrowed constricted"), ("heavy", "light"),
    ("present", "absent"), ("positive", "negative"), ("normal", "abnormal"), ("regular", "irregular"),
    ("complete", "incomplete"), ("symmetric symmetrical", "asymmetric asymmetrical"), ("homogeneous", "heterogeneous"),
    ("solid", "cystic"), ("opaque", "lucent"), ("radiopaque", "radiolucent"), ("bright", "dark"), ("white", "black"),
    ("hot", "cold"), ("early", "late"), ("mild", "severe"), ("soft", "hard"), ("open", "closed"), ("stable", "unstable"),
    ("male", "female"), ("man", "woman"), ("systolic", "diastolic"), ("arterial", "venous"), ("artery", "vein"),
    ("ascending", "descending"), ("afferent", "efferent"), ("sensory", "motor"), ("flexion flexor", "extension extensor"),
    ("abduction", "adduction"), ("pronation", "supination"), ("inversion", "eversion"), ("inspiration", "expiration"),
    ("gain", "loss"), ("improved improving better", "worse worsened worsening"), ("fast rapid", "slow"),
    ("with", "without"), ("wet", "dry"), ("old", "new"), ("in", "out"), ("on", "off"), ("first", "last"),
)  # fmt: skip
"""Words of one side and words of the other."""

_PREFIXES = (
    ("hyper", "hypo", "iso", "normo"), ("macro", "micro"), ("tachy", "brady"), ("pre", "post"), ("ante", "post"),
    ("antero", "postero"), ("supero", "infero"), ("medio", "latero"), ("intra", "extra"), ("endo", "exo", "ecto"),
    ("supra", "infra", "sub"), ("super", "sub"), ("uni", "bi"), ("mono", "poly"), ("homo", "hetero"), ("eu", "dys"),
    ("vaso", "veno"),
)  # fmt: skip
"""Prefixes of one word that make it another."""

_NEGATING = ("un", "in", "im", "ir", "il", "non", "dis", "ab", "a")
_NEGATED_BY_A = frozenset("typical symptomatic symmetric symmetrical vascular cellular febrile septic".split())
_NOT_NEGATED = frozenset("infusion inside implant impaction improper indirect disease dislocation".split())

_HAN_OPPOSITES = (
    "左右", "上下", "前后", "内外", "良恶", "急慢", "增减", "升降", "高低", "大小", "阳阴", "远近", "浅深", "动静", "男女", "厚薄", "长短",
    "轻重", "早晚", "软硬", "单双", "主次", "横纵", "冷热", "快慢",
)  # fmt: skip
_HAN_NAMES = re.compile(
    "前列腺|上皮|上腔|下腔|内分泌|内膜|外伤|外科|大脑|小脑|高血压|低血压|前庭|后遗症|外周|内脏|上肢|下肢|大便|小便|大量|少量|动脉瘤"
)
_HAN_SIDES = re.compile("双侧|两侧|双肺|双肾|双|两")

_NEGATION_WORDS = frozenset(
    "no not without none nor neither never nothing non cannot absence lack lacks lacking".split()
)
_NEGATION = re.compile(r"n't\b|\bw/o\b", re.IGNORECASE)
_HAN_NEGATION = re.compile(r"无|没|未|非|并非|不(?!张|全|良|规则|均|齐|清|典型|整|明|适|孕|育|稳|等)")
_NOT_NEGATION = re.compile(r"无名|无菌|非洲|无水|未分化")

_SERIES = re.compile(r"([a-z]{1,4})([0-9]{1,3})")


class Sides(NamedTuple):
    """The sides that a text takes."""

    taken: dict[int, frozenset[int]]
    """Index of a pair of opposites and which of its sides occur."""
    words: frozenset[str]
    series: dict[str, frozenset[str]]
    """Numbers of each series of names, such as 1 and 2 of `t`."""
    han: frozenset[str]
    """Chinese characters that have an opposite."""
    negated: bool


_SIDE_OF = {
    word: (index, side)
    for index, pair in enumerate(_OPPOSITES)
    for side, words in enumerate(pair)
    for word in words.split()
}
_HAN_OF = {char: pair for pair in _HAN_OPPOSITES for char in pair}
_LATERAL = _SIDE_OF["left"][0]


def sides(text: Run) -> Sides:
    """The sides that `text` takes."""
    words = frozenset(_joined_prefixes(text.words()))
    taken: dict[int, set[int]] = {}
    series: dict[str, set[str]] = {}
    for word in words:
        side = _SIDE_OF.get(word) or _SIDE_OF.get(word.removesuffix("ly"))
        if side is not None:
            taken.setdefault(side[0], set()).add(side[1])
        elif found := _SERIES.fullmatch(word):
            series.setdefault(found.group(1), set()).add(found.group(2))
    if _LATERAL not in taken and words & {"both", "bilateral", "bilaterally"}:
        taken[_LATERAL] = {0, 1}
    joined = text.joined
    han = frozenset(char for char in set(_HAN_NAMES.sub("", joined)) if char in _HAN_OF) if not joined.isascii() else ()
    negated = bool(words & _NEGATION_WORDS) or _NEGATION.search(text.text) is not None
    if not negated and not joined.isascii():
        negated = _HAN_NEGATION.search(_NOT_NEGATION.sub("", joined)) is not None
    return Sides(
        {pair: frozenset(at) for pair, at in taken.items()},
        words,
        {letters: frozenset(numbers) for letters, numbers in series.items()},
        frozenset(han),
        negated,
    )


def opposed(gold: Sides, given: Sides) -> bool:
    """Whether an opposite word or prefix differs."""
    if any(given.taken.get(pair, at) != at for pair, at in gold.taken.items()):
        return True
    if any(given.series.get(letters, numbers) != numbers for letters, numbers in gold.series.items()):
        return True
    if any(_prefix_opposed(word, given.words) or _negated(word, given.words) for word in gold.words - given.words):
        return True
    if any(_negated(word, gold.words) for word in given.words - gold.words):
        return True
    return _han_opposed(gold.han, given.han)


def negation_differs(gold: Sides, given: Sides) -> bool:
    """Whether a negation stands on one side only."""
    return gold.negated != given.negated


def _prefix_opposed(word: str, others: frozenset[str]) -> bool:
    """Whether `others` have `word` with an opposite prefix, as hypodense for hyperdense."""
    return any(other in others for other in _opposites_by_prefix(word))


@lru_cache(maxsize=8192)
def _opposites_by_prefix(word: str) -> tuple[str, ...]:
    return tuple(
        other + word[len(prefix) :]
        for group in _PREFIXES
        for prefix in group
        if word.startswith(prefix) and len(word) >= len(prefix) + 3
        for other in group
        if other != prefix
    )


def _negated(word: str, others: frozenset[str]) -> bool:
    """Whether `word` is one of `others` with a negating prefix, as nondisplaced for displaced."""
    if word in _NOT_NEGATED:
        return False
    for prefix in _NEGATING:
        rest = word.removeprefix(prefix)
        if len(rest) >= 5 and rest != word and rest in others:
            return prefix not in ("a", "ab") or rest in _NEGATED_BY_A or word == "abnormal"
    return False


_DETACHED = frozenset(("non", "hyper", "hypo", "iso", "un", "pre", "post", "sub", "supra", "infra", "intra", "extra"))


def _joined_prefixes(words: Iterable[str]) -> Iterable[str]:
    """The words, with a prefix that stands alone joined to the next: hyper-dense is hyperdense. `non` stays as well."""
    prefix = ""
    for word in words:
        if word in _DETACHED:
            if word == "non":
                yield word
            prefix = word
            continue
        yield prefix + word
        prefix = ""
    if prefix:
        yield prefix


def _han_opposed(gold: frozenset[str], given: frozenset[str]) -> bool:
    for char in gold:
        pair = _HAN_OF[char]
        other = pair[1] if char == pair[0] else pair[0]
        if other in given and (char not in given or pair == "左右") and not (other in gold):
            return True
    return False
