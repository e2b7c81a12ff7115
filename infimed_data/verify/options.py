"""Which options a text names: section 3 of the policy, shared by choice and multi_choice.

Letters that stand alone and option texts are mentions. The longest text wins, and what lies inside it does not count.
Words that only look like labels are none: `A` before a noun, `I` before a verb, the letter of "vitamin C", of
"B-cell", of B超 and of "i.e.". A negated mention ("not B", "rather than B", 排除B) is no answer; so is one that is
called wrong ("B is incorrect"), unless the question asks for what is wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from infimed_data.verify.clean import clean
from infimed_data.verify.compare import Run, key, run, spellings, trimmed, with_plurals
from infimed_data.verify.hedges import without_refused
from infimed_data.verify.verdict import LABELS, Gold, labels_of

__all__ = ["MAX_MENTIONS", "Mention", "Options", "alternatives_at", "lone_letter", "mentions", "options_of"]

MAX_MENTIONS = 200
"""A text that names options more often than this is read no further: it answers nothing."""


class Options(NamedTuple):
    """The options of a question and which of them are right."""

    texts: tuple[str, ...]
    """Cleaned."""
    right: frozenset[int]
    """Positions of the right options; empty where the gold answer cannot be read."""
    equal: dict[str, frozenset[int]]
    """Positions of the options with a text of this key; spellings that equal several different options are left out."""
    wanted: tuple[tuple[str, frozenset[int]], ...]
    """Joined texts to look for in a sentence, the longest first."""
    asks_wrong: bool
    """Whether the question asks for what is not so."""
    twins: tuple[frozenset[int], ...]
    """For each option all positions that have its text."""
    refusing: bool
    """Whether an option reads like a refusal ("I cannot help you"): then no clause of an answer may be left out."""

    def named(self, forms: tuple[str, ...]) -> frozenset[int] | None:
        """Positions of the option whose text has one of the keys `forms`."""
        for form in forms:
            if (at := self.equal.get(form)) is not None:
                return at
        return None


class Mention(NamedTuple):
    """An option that a text names."""

    start: int
    end: int
    options: frozenset[int]
    """Its position, or all positions of a text that is repeated; empty for a letter that is no option."""
    letter: bool
    negated: bool


_NEGATIVE_QUESTION = re.compile(
    r"\b(?:not|except|incorrect|false|wrong|least|untrue|exclud\w+|never|unlikely|inappropriate|contraindicated)\b"
    r"|n't\b|[不错除非未]|无关",
    re.IGNORECASE,
)


@lru_cache(maxsize=8192)
def options_of(gold: Gold) -> Options:
    """The options of a sample, made ready. Label and text of the gold must agree, else nothing is right."""
    texts = tuple(map(clean, gold.options))
    at_key: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        at_key.setdefault(key(text), []).append(index)
    exact = {form: frozenset(at) for form, at in at_key.items() if form}
    equal: dict[str, frozenset[int]] = {}
    wanted: dict[str, frozenset[int]] = {}
    several: set[str] = set()
    for at in exact.values():
        text = texts[min(at)]
        for form in spellings(text):
            if equal.setdefault(form, at) != at:
                several.add(form)
        joined = run(trimmed(text), commas=True).joined
        if joined.upper() not in tuple(LABELS):  # a lone letter is always a label
            for form in with_plurals(joined):
                wanted.setdefault(form, at)
    for form in several:
        del equal[form]
    for form, at in exact.items():  # an option's own text outranks the plural of another
        equal[form] = at
        joined = run(trimmed(texts[min(at)]), commas=True).joined
        if joined in wanted:
            wanted[joined] = at
    ordered = sorted(((text, at) for text, at in wanted.items() if text), key=lambda item: (-len(item[0]), item[0]))
    negative = _NEGATIVE_QUESTION.search(gold.question) is not None
    twins = tuple(exact.get(key(text), frozenset({index})) for index, text in enumerate(texts))
    refusing = any(without_refused(text) != text for text in texts)
    return Options(texts, _right(gold, texts, exact), equal, tuple(ordered), negative, twins, refusing)


def _right(gold: Gold, texts: tuple[str, ...], exact: dict[str, frozenset[int]]) -> frozenset[int]:
    parts = [clean(part) for part in gold.answer.split(";")]
    whole = key(clean(gold.answer))
    if gold.answer_label:
        right = labels_of(gold.answer_label)
        if not right or max(right) >= len(texts) or (len(right) > 1 and gold.answer_kind == "choice"):
            return frozenset()
        named = [texts[index] for index in sorted(right)]
        agree = not whole or whole == key("; ".join(named)) or {*map(key, parts)} == {*map(key, named)}
        return right if agree else frozenset()
    if len(found := exact.get(whole, frozenset())) == 1:
        return found
    if gold.answer_kind == "choice" or not all(len(exact.get(key(part), ())) == 1 for part in parts):
        return frozenset()
    return frozenset().union(*(exact[key(part)] for part in parts))


_LETTER = re.compile(r"(?<![A-Za-z0-9\u00c0-\u024f])[A-J](?![A-Za-z0-9\u00c0-\u024f])")
_NAME_BEFORE = re.compile(
    r"\b(?:vitamins?|hepatitis|influenza|ha?emoglobin|immunoglobulin|types?|group|grade|stage|class|phase|lead|nerve|fig"
    r"|figure|panel|factor|protein)\.? $|维生素 ?$",
    re.IGNORECASE,
)
_NAME_AFTER = re.compile("型|超|族|细胞|反应蛋白|二聚体|波")
_ABBREVIATED = re.compile(r"\.[A-Za-z](?![A-Za-z])")
_LABEL_BEFORE = re.compile(r"\b(?:option|choice|answer|letter|label)s?[:'\"( ]{0,3}$|选项? ?$", re.IGNORECASE)
_LABEL_AFTER = re.compile(
    r" (?:is|was|are|were|and|or|nor|but|not|because|since|as|due|given|so|than|over|vs|versus|then|thus|therefore|if"
    r"|while|has|have|had|does|do|did|can|could|may|might|must|should|will|would|seems?|appears?|looks?|fits?|match|matches"
    r"|shows?|describes?|represents?|corresponds?|indicates?|suggests?|explains?|remains?|for|with|in|on|at|from|by|to|only"
    r"|alone|instead|rather|which|that|the|it|this|these|correctly"
    r"|best (?:fits?|explains?|matches|describes?|represents?))\b",
    re.IGNORECASE,
)
_I_AS_LABEL_AFTER = re.compile(r" (?:is|are|and|or|but|not|because|since)\b|[^ A-Za-z']|$")
_WORD_AFTER = re.compile(r" [A-Za-z0-9\u00c0-\u024f]")


def lone_letter(text: str) -> str | None:
    """The letter that trimmed `text` consists of, in upper case."""
    return text.upper() if len(text) == 1 and "a" <= text <= "z" else None


def mentions(text: Run, options: Options) -> list[Mention]:
    """All that `text` names, in order, at most a few more than `MAX_MENTIONS`; letters from A to J count whether or
    not they are options."""
    found = _texts(text, options)
    masked = bytearray(len(text.text)) if found else b""
    for mention in found:
        masked[mention.start : mention.end] = b"\x01" * (mention.end - mention.start)  # type: ignore[index]
    for letter in _LETTER.finditer(text.text):
        if len(found) > MAX_MENTIONS:
            break
        at = letter.start()
        if not (masked and masked[at]) and _is_label(text.text, at, options):
            index = LABELS.index(letter.group())
            named = frozenset({index}) if index < len(options.texts) else frozenset[int]()
            found.append(Mention(at, at + 1, named, True, False))
    found.sort(key=lambda mention: mention.start)
    return _with_negations(text.text, found, options)


def _texts(text: Run, options: Options) -> list[Mention]:
    """Option texts that stand as whole words and inside no longer one."""
    taken = bytearray()
    found: list[Mention] = []
    for wanted, at in options.wanted:
        start = text.find(wanted)
        while start >= 0 and len(found) <= MAX_MENTIONS:
            taken = taken or bytearray(len(text.joined))
            end = start + len(wanted)
            if not taken[start] and not taken[end - 1]:
                first, last = text.position(start), text.position(end - 1) + 1
                if not _half_of_both(text.text, first) and not _only_looks_so(text.text, first, last, options):
                    found.append(Mention(first, last, at, False, False))
                taken[start:end] = b"\x01" * (end - start)
            start = text.find(wanted, end)
    return found


_PAIRS = frozenset(("左右", "右左", "上下", "下上", "前后", "后前", "内外", "外内"))
_DETERMINES = re.compile(
    r" (?!(?:it|its|there|this|that|these|the|he|she|they|we|i|because|since|as|and|or|but)\b)[a-z]", re.IGNORECASE
)
"""What follows the option "no" where it is no answer but stands before a noun."""


def _only_looks_so(text: str, first: int, last: int, options: Options) -> bool:
    """True for "no" before a noun where "no" is an option, and for a small letter where a capital one is."""
    if last - first == 1 and text[first].isascii():
        return text[first].islower()
    if text[first:last].lower() != "no" or not _DETERMINES.match(text, last):
        return False
    return not text[last + 1 :].lower().startswith(tuple(option.lower() for option in options.texts if option))


def _half_of_both(text: str, first: int) -> bool:
    """True in 左右肺 for an option 右肺: both sides are meant."""
    return text[max(0, first - 1) : first + 1] in _PAIRS


def _is_label(text: str, at: int, options: Options) -> bool:
    """Whether the capital letter at `at` is a label and not part of a name, an article or a pronoun."""
    before, rest = text[max(0, at - 16) : at], text[at + 1 : at + 40]
    letter = text[at]
    if rest[:1] == "-" and _compound(text, at, options):
        return False
    if (
        before[-1:] in ("-", ".")
        and before[-2:-1].isalpha()
        and not before[-3:-2].isalpha()
        and before[-2:-1].isascii()
    ):
        return False  # non-B is caught below; this is X-A and U.S.
    if before[-1:] == "-" and before[-2:-1].isalnum():
        return False
    if _ABBREVIATED.match(rest) or before.endswith(("°", "° ")):
        return False
    if _NAME_BEFORE.search(before) or _NAME_AFTER.match(rest):
        return False
    if letter == "I":
        return _I_AS_LABEL_AFTER.match(rest) is not None
    if letter == "A" and _WORD_AFTER.match(rest) and not _LABEL_BEFORE.search(before):
        return _LABEL_AFTER.match(rest) is not None
    return True


def _compound(text: str, at: int, options: Options) -> bool:
    """True for the B of "B-cell"; false for "B-Pons", where an option text follows."""
    rest = text[at + 2 : at + 80].lower()
    return rest[:1].isalnum() and not rest.startswith(tuple(option.lower() for option in options.texts if option))


_FILLER = (
    r"(?: (?:an?|the|option|choice|answer|letter|likely|really|to|be|in|on|of|at|any|evidence|signs?|due|from|caused|by"
    r"|for|consistent|with|as|clearly|visible|seen|definite|obvious))"
)
_NEGATED = re.compile(
    r"(?:\b(?:not|no|never|without|neither|nor|non|rather than|instead of|other than|except(?: for)?"
    r"|exclud(?:e|es|ed|ing)|rul(?:e|es|ed|ing) out|eliminat(?:e|es|ed|ing)|unlike|cannot be)|n't)"
    rf"{_FILLER}{{0,4}}[\s\"'(\[:-]{{0,3}}$"
    r"|(?:不是|并非|不在|不选|不会是|不可能是|不能是|不为|不属于|不考虑|不支持|非|无|没有|没见|未见|未|排除|除外|除了|而非|不)"
    r"(?:了|选项|答案|选|是|为|在|有|出现|见|明显|任何){0,3}[\s\"'(\[:]{0,3}$",
    re.IGNORECASE,
)
_CALLED_WRONG = re.compile(
    r"[)\]'\"]? (?:is|are|was|were|can be|could be) (?:clearly |probably |definitely |also )?"
    r"(?:incorrect|wrong|false|excluded|ruled out|eliminated|not (?:the )?(?:correct|right|answer|best))"
    r"|(?:选项)?(?:是)?(?:不对|错误|错的|不正确|被排除|可排除|可以排除|不符合)",
    re.IGNORECASE,
)
_JOINS = re.compile(
    r"[)\]'\"]? ?(?:,? ?n?or|,? ?and|&|/|、|或者?|和|与|及|以及)(?: the| an?| option)? ?[(\['\"]?", re.IGNORECASE
)
_COMMA = re.compile(r"[)\]'\"]?, ?(?:the |an? |option )?[(\['\"]?", re.IGNORECASE)
_OR = re.compile(r"or\b|/|、|或", re.IGNORECASE)


def _with_negations(text: str, found: list[Mention], options: Options) -> list[Mention]:
    """The mentions with `negated` set. A negation reaches through "or", "and" and a list that ends with "or"."""
    ends = [0, *(mention.end for mention in found)]
    own = [_is_negated(text, end, mention, options) for end, mention in zip(ends, found, strict=False)]
    reach = -1
    for index, is_own in enumerate(own):
        if not is_own:
            continue
        reach, comma, at = max(reach, index), False, index
        while at + 1 < len(found) and not own[at + 1]:
            gap = text[found[at].end : found[at + 1].start]
            if _JOINS.fullmatch(gap):
                if not _OR.search(gap) and (comma or "," in gap):
                    break
                reach = at + 1
            elif _COMMA.fullmatch(gap):
                comma = True
            else:
                break
            at += 1
        for joined in range(index, reach + 1):
            found[joined] = found[joined]._replace(negated=True)
    return found


def _is_negated(text: str, since: int, mention: Mention, options: Options) -> bool:
    if _NEGATED.search(text[max(since, mention.start - 60) : mention.start]):
        return True
    return not options.asks_wrong and _CALLED_WRONG.match(text, mention.end) is not None


_OR_AFTER = re.compile(r"[)\]'\"]?,? ?(?:\bor\b|/|或者?(?!许)|还是|\bvs\b|\bversus\b)", re.IGNORECASE)
_OR_BEFORE = re.compile(r"(?:\bor|/|或者?|还是|\bvs\.?|\bversus)(?: the| an?| option)? ?[(\['\"]?$", re.IGNORECASE)


def alternatives_at(text: str, found: list[Mention]) -> bool:
    """Whether "or", a slash or 或 joins a mention that counts to anything but the same option."""
    for index, mention in enumerate(found):
        if mention.negated:
            continue
        after = _OR_AFTER.match(text, mention.end)
        if after is not None and not _same(found, index, index + 1):
            return True
        before = _OR_BEFORE.search(text[max(0, mention.start - 20) : mention.start])
        if before is not None and not _same(found, index, index - 1):
            return True
    return False


def _same(found: list[Mention], index: int, other: int) -> bool:
    """Whether the neighbouring mention is a close one of the same option, as in "B or Pons"."""
    if not 0 <= other < len(found):
        return False
    first, second = sorted((found[index], found[other]), key=lambda mention: mention.start)
    return bool(first.options & second.options) and second.start - first.end <= 12
