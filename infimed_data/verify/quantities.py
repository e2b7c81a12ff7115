"""Quantities in a text: numbers, ranges, ratios and sizes with their units. Section 6.

    "about 5 to 10 mm"  one range          "120/80"      one ratio, undivided
    "2.5 x 1.8 cm"      one size           "> 5 mm"      one bound
    "two cysts, 3 cm"   two quantities     "T2, L4-L5"   none: digits in a name

A hyphen before a number is a sign where no number stands before it; "- 5" at the start of a line is a list's bullet.
Numbers above ten are read as words too, so that "one hundred" and "twenty-one" are not read as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from infimed_data.verify.units import CONVERTED, PERCENT, unit_at

__all__ = ["Quantity", "quantities"]

MAX_DIGITS = 40
"""A number with more digits equals nothing: no answer needs so many, and reading them takes quadratic time."""

Shape = Literal["single", "range", "ratio", "size", "plus_minus"]
Number = Fraction | None
"""None for what looks like a number and is none, such as 1.2.3 or "two three"."""


class Quantity(NamedTuple):
    """One quantity."""

    shape: Shape
    written: tuple[Number, ...]
    """Its numbers as written."""
    base: tuple[Number, ...]
    """Its numbers in the base unit of what they measure."""
    unit: str
    """What it measures, or its unit where that does not convert; empty without one."""
    bound: str
    """`<`, `<=`, `>`, `>=`, `±`, or empty."""
    text: str
    """As it stands in the text."""
    ordinal: bool
    """3rd or 第3."""


_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {**{word: at for at, word in enumerate(_SMALL)}, **{word: 10 * at for at, word in enumerate(_TENS, start=2)}}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_HAN_DIGITS = {char: at for at, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000}

_WORD = "|".join((*_WORDS, *_SCALES))
_NUMBER = (
    r"(?P<digits>(?:[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)(?:e[+-]?[0-9]{1,2}(?![0-9a-z]))?)"
    r"(?:(?: (?P<above>[0-9]{1,2}))?⁄(?P<below>[0-9]{1,3}))?"
    rf"|(?P<words>\b(?:{_WORD})\b(?:(?:[ -]|(?<=hundred) and |(?<=thousand) and )(?:{_WORD})\b){{0,9}})"
    r"|(?P<han>[零〇一二两三四五六七八九十百千]+(?:点[零〇一二三四五六七八九]+)?)"
)
_NEXT = re.compile(_NUMBER, re.IGNORECASE)
_FIRST = re.compile(
    r"(?P<name>[0-9](?<=[a-z][0-9])[a-z0-9]*(?:[-.][a-z0-9]+)*|(?<=[a-z]-)[0-9]+(?![0-9.,])|[234]D\b)"
    r"|(?P<idiom>百分[之比率]|十二指肠|[二三]尖瓣|[二三]维|[两二]者|两[侧肺边端]|一[般共致些定样起旁边侧直旦]|一部分|统一|唯一|万一"
    r"|四肢|三角|三叉|[二三四]头肌|千万)"
    rf"|{_NUMBER}",
    re.IGNORECASE,
)
_GLUED = re.compile(r"[A-Z]")
_AND_A_HALF = re.compile(r" and (?:a|one) half\b|个?半(?!径|球|月板|规)", re.IGNORECASE)
_PART = re.compile(r"[ -](?:half|halves|thirds?|quarters?|fourths?|fifths?|tenths?)\b", re.IGNORECASE)
_YEAR_AND_A_HALF = re.compile(r"[天年月周]半")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?![a-z])", re.IGNORECASE)
_POWER = re.compile(r"(?: ?[x×·] ?10 ?|(?<=10))\^ ?(-?[0-9]{1,2})(?![0-9])", re.IGNORECASE)
_JOINS: tuple[tuple[Shape, re.Pattern[str]], ...] = (
    ("plus_minus", re.compile(r" ?(?:±|\+/-|\+-) ?")),
    ("range", re.compile(r" ?- ?(?=[0-9.])| - (?=-[0-9.])| ?~ ?| (?:to|through) | ?[至到] ?", re.IGNORECASE)),
    ("ratio", re.compile(r" ?/ ?(?=[0-9])|:(?=[0-9])| over (?=[0-9])| out of ", re.IGNORECASE)),
    ("size", re.compile(r" ?[x×] ?(?=[0-9.])| by (?=[0-9])| ?乘以? ?", re.IGNORECASE)),
)
_BETWEEN = re.compile(r"\bbetween $|介于 ?$", re.IGNORECASE)
_AND = re.compile(r" and | ?[和与] ?", re.IGNORECASE)
_MINUS = re.compile(r"(?:\bminus|\bnegative|负|零下) ?$", re.IGNORECASE)
_MORE = r"(?:more|greater|larger|bigger|longer|higher)"
_LESS = r"(?:less|fewer|smaller|shorter|lower)"
_ABOUT = r"(?: ?(?:about|approximately|roughly|around|约|大约))? ?~? ?$"
_BEFORE = tuple(
    (bound, re.compile(rf"(?:{words}){_ABOUT}", re.IGNORECASE))
    for bound, words in (
        ("±", r"±|\+/-|\+-"),
        ("<=", rf"<=|\b(?:at most|up to|(?:no|not) {_MORE} than|a maximum of|not exceeding)|至多|最多|不超过"),
        (">=", rf">=|\b(?:at least|(?:no|not) {_LESS} than|a minimum of)|至少|最少|不少于|不低于"),
        ("<", rf"<|\b(?:{_LESS} than|below|under)|小于|少于|不足|不到|低于"),
        (">", rf"(?<![-=])>|\b(?:{_MORE} than|exceed(?:s|ing)?|above|over)|大于|超过|多于|高于"),
    )
)
_AFTER = (
    (">=", re.compile(rf" ?\+(?![0-9])|,? or {_MORE}\b|,? (?:and|or) (?:above|over)\b|及?以上", re.IGNORECASE)),
    ("<=", re.compile(rf",? or {_LESS}\b|,? (?:and|or) (?:below|under)\b|及?以下|以内", re.IGNORECASE)),
)
_LOOK_BACK = 40
"""Characters before a number in which a bound or a sign is looked for."""


def quantities(text: str) -> Iterator[Quantity]:
    """The quantities of cleaned `text`, in order."""
    at = 0
    while found := _FIRST.search(text, at):
        at = found.end()
        if found.lastgroup not in ("name", "idiom") and not _is_name(text, found):
            quantity, at = _quantity(text, found)
            yield quantity


def _is_name(text: str, found: re.Match[str]) -> bool:
    """True for digits that run into a capital letter which is no unit, as in 22Q."""
    return _GLUED.match(text, found.end()) is not None and unit_at(text, found.end())[0] is None


def _quantity(text: str, first: re.Match[str]) -> tuple[Quantity, int]:
    """The quantity that starts with `first`, and where it ends."""
    start, end = first.start(), first.end()
    sign, before = _sign(text[max(0, start - _LOOK_BACK) : start])
    number = _value(first, sign)
    ordinal = before.endswith("第") or _ORDINAL.match(text, end) is not None
    if half := _AND_A_HALF.match(text, end):
        number, end = None if number is None else number + sign * Fraction(1, 2), half.end()
    elif (first.group("words") and _PART.match(text, end)) or _YEAR_AND_A_HALF.match(text, end):
        number = None
    if powered := _POWER.match(text, end):
        factor = Fraction(10) ** (int(powered.group(1)) - (powered.group()[0] == "^"))
        number, end = None if number is None else number * factor, powered.end()
    unit, end = unit_at(text, end)
    numbers, units = [number], [unit]
    shape: Shape = "single"
    joins = (*_JOINS, ("range", _AND)) if _BETWEEN.search(before) else _JOINS
    while len(numbers) < 4 and (joined := _joined(text, end, shape, joins)):
        shape, following, sign_of_it = joined
        numbers.append(_value(following, sign_of_it))
        unit, end = unit_at(text, following.end())
        units.append(unit)
    if before.endswith("百分之"):
        units = [PERCENT] * len(units)
    bound = next((bound for bound, pattern in _BEFORE if pattern.search(before)), "")
    shown = f"{bound} {'-' if sign < 0 else ''}{text[start:end]}".lstrip()
    for after, pattern in _AFTER:
        if not bound and (found := pattern.match(text, end)):
            bound, end = after, found.end()
            shown = f"{bound} {shown}"
    return _made(shape, numbers, units, bound, shown, ordinal), end


def _sign(before: str) -> tuple[int, str]:
    """(sign of the number that `before` leads up to, `before` without it)."""
    if worded := _MINUS.search(before):
        return -1, before[: worded.start()]
    if before[-1:] in ("-", "+") and not (before[-2:-1].isalnum() or before[-2:-1] in (")", "]", "%")):
        return (-1 if before[-1] == "-" else 1), before[:-1]
    return 1, before


def _joined(
    text: str, at: int, shape: Shape, joins: tuple[tuple[Shape, re.Pattern[str]], ...]
) -> tuple[Shape, re.Match[str], int] | None:
    """(shape, next number, its sign) where the quantity goes on at `at`."""
    for kind, pattern in joins:
        if shape not in ("single", kind) or (shape == kind and shape in ("range", "plus_minus")):
            continue
        if found := pattern.match(text, at):
            negative = text[found.end() : found.end() + 1] == "-"
            if following := _NEXT.match(text, found.end() + negative):
                return kind, following, -1 if negative else 1
    return None


def _made(
    shape: Shape, numbers: list[Number], units: list[str | None], bound: str, text: str, ordinal: bool
) -> Quantity:
    """A quantity; a number without a unit takes that of the number after it, the last one that of the one before."""
    for index in reversed(range(len(units) - 1)):
        units[index] = units[index] or units[index + 1]
    for index in range(1, len(units)):
        units[index] = units[index] or units[index - 1]
    measured = {CONVERTED[unit][0] if unit in CONVERTED else unit or "" for unit in units}
    base = tuple(
        number * CONVERTED[unit][1] if number is not None and unit in CONVERTED else number
        for number, unit in zip(numbers, units, strict=True)
    )
    return Quantity(shape, tuple(numbers), base, "|".join(sorted(measured)), bound, text, ordinal)


def _value(found: re.Match[str], sign: int) -> Number:
    if words := found.group("words"):
        value = _from_words(words.lower().replace("-", " ").split())
    elif han := found.group("han"):
        value = _from_han(han)
    else:
        value = _from_digits(found.group("digits").lower())
        if value is not None and (below := found.group("below")):  # NFKC writes ½ as 1⁄2
            above = found.group("above")
            part = Fraction(int(above) if above else value) / int(below) if int(below) else None
            value = part if part is None or not above else value + part
    return None if value is None else sign * value


def _from_digits(digits: str) -> Number:
    """The number, where commas stand before exactly three digits and there is at most one point."""
    if len(digits) > MAX_DIGITS:
        digits = digits.lstrip("0")
        digits = digits.rstrip("0") if "." in digits and "e" not in digits else digits
        if len(digits) > MAX_DIGITS:
            return None
    digits, _, exponent = digits.partition("e")
    whole, _, rest = digits.partition(".")
    head, *groups = whole.split(",")
    if (rest and not rest.isdigit()) or not all(len(group) == 3 for group in groups):
        return None
    value = Fraction(int(head + "".join(groups) + rest or "0"), 10 ** len(rest))
    return value * Fraction(10) ** int(exponent) if exponent else value


def _from_words(words: list[str]) -> Number:
    """The number that English words make: units after tens, anything after hundred and thousand."""
    total, current, room = 0, 0, 1_000_000_000
    for word in words:
        if word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                current, room = max(current, 1) * 100, 100
            else:
                total, current, room = total + max(current, 1) * scale, 0, scale
        elif word != "and":
            value = _WORDS[word]
            if value >= room:
                return None
            current += value
            room = 10 if value >= 20 else 0
    return Fraction(total + current)


def _from_han(han: str) -> Number:
    """The number that Chinese digits and 十, 百, 千 make; two digits in a row ("三四个") make none."""
    total, digit = 0, None
    han, _, decimals = han.partition("点")
    for char in han:
        if char in _HAN_SCALES:
            total += (1 if digit is None else digit) * _HAN_SCALES[char]
            digit = None
        elif digit:
            return None
        else:
            digit = _HAN_DIGITS[char]
    part = int("".join(str(_HAN_DIGITS[char]) for char in decimals[:MAX_DIGITS]) or "0")
    return total + (digit or 0) + Fraction(part, 10 ** len(decimals[:MAX_DIGITS]))
