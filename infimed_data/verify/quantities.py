"""Quantities in a text: numbers, ranges, ratios and sizes with their units. Section 6 of the policy.

    "about 5 to 10 mm"  one range          "120/80"      one ratio, undivided
    "2.5 x 1.8 cm"      one size           "> 5 mm"      one bound
    "two cysts, 3 cm"   two quantities     "T2, L4-L5"   none: digits in a name

A hyphen before a number is a sign where no number stands before it; "- 5" at the start of a line is a list's bullet.
Ordinals (3rd, 第3) count only where no other number is given. Numbers above ten are read as words too, so that "one
hundred" and "twenty-one" are not read as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from infimed_data.verify.units import CONVERTED, UNIT, unit_of

__all__ = ["Quantity", "quantities"]

MAX_DIGITS = 40
"""A number with more digits equals nothing: no answer needs so many, and reading them takes quadratic time."""

Shape = Literal["single", "range", "ratio", "size", "plus_minus"]


class Quantity(NamedTuple):
    """One quantity."""

    shape: Shape
    written: tuple[Fraction | None, ...]
    """Its numbers as written; None for one that cannot be read, such as 1.2.3."""
    base: tuple[Fraction | None, ...]
    """Its numbers in the base unit of what they measure."""
    unit: str
    """What it measures, or its unit where that does not convert; empty without one."""
    bound: str
    """`<`, `<=`, `>`, `>=`, or empty."""
    text: str
    """As it stands in the text."""
    ordinal: bool


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_SMALL = {word: index for index, word in enumerate(f"{_UNITS} eighteen nineteen".split())}
_TENS = {
    word: 10 * index for index, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_BIG = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_NAME = "|".join((*_SMALL, *_TENS, *_BIG))
_HAN_DIGITS = {**{char: index for index, char in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2}
_HAN_TENS = {"十": 10, "百": 100, "千": 1000}

_NUMBER = (
    r"(?P<digits>(?:[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2}(?![0-9A-Za-z]))?)(?:⁄(?P<below>[0-9]{1,3}))?"
    rf"|(?P<words>\b(?:{_NAME})\b(?:(?:[ -]|(?<=hundred) and |(?<=thousand) and )(?:{_NAME})\b){{0,9}})"
    r"|(?P<han>[零〇一二两三四五六七八九十百千]+)"
)
_START = re.compile(
    r"(?P<name>[0-9](?<=[A-Za-z][0-9])[A-Za-z0-9]*(?:[-.][A-Za-z0-9]+)*|[0-9]+(?<=[A-Za-z]-[0-9])(?![0-9.,]))"
    r"|(?P<idiom>十二指肠|[二三]尖瓣|两侧|[一双]侧|一般|一致|统一|一些|一定|一样|一起|唯一|万一|四肢|三角|一旁|一边|一部分|千万)"
    rf"|{_NUMBER}",
    re.IGNORECASE,
)
_MORE = re.compile(_NUMBER, re.IGNORECASE)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?![A-Za-z])", re.IGNORECASE)
_POWER = re.compile(r" ?[x×·] ?10 ?\^ ?(-?[0-9]{1,2})(?![0-9])", re.IGNORECASE)
_PER_HUNDRED = re.compile(r"百分之 ?$")
_JOINS: tuple[tuple[Shape, re.Pattern[str]], ...] = (
    ("plus_minus", re.compile(r" ?(?:±|\+/-|\+-) ?")),
    ("range", re.compile(r" ?- ?(?=[0-9.])| ?~ ?| (?:to|through) (?=-?[0-9.A-Za-z])| ?[至到] ?", re.IGNORECASE)),
    ("ratio", re.compile(r" ?/ ?(?=[0-9])|:(?=[0-9])| over (?=[0-9])| out of ", re.IGNORECASE)),
    ("size", re.compile(r" ?[x×] ?(?=[0-9.])| by (?=[0-9])| ?乘以? ?", re.IGNORECASE)),
)
_BETWEEN = re.compile(r"\bbetween $|介于 ?$", re.IGNORECASE)
_AND = re.compile(r" and | ?[和与] ?", re.IGNORECASE)
_MINUS = re.compile(r"(?:\bminus|\bnegative|负|零下) ?$", re.IGNORECASE)
_ABOUT = r"(?: ?(?:about|approximately|roughly|around|an? (?:estimated|total of)|约|大约))? ?[~≈]? ?$"
_BOUND_BEFORE = (
    ("<=", re.compile(rf"(?:(?<![-=])<=|\b(?:at most|up to|no more than|not more than|maximum of|not exceeding)|至多|最多|不超过){_ABOUT}", re.I)),
    (">=", re.compile(rf"(?:>=|\b(?:at least|no less than|not less than|no fewer than|minimum of)|至少|最少|不少于|不低于){_ABOUT}", re.I)),
    ("<", re.compile(rf"(?:<|\b(?:less than|fewer than|smaller than|shorter than|lower than|below|under)|小于|少于|不足|不到|低于){_ABOUT}", re.I)),
    (">", re.compile(
        rf"(?:(?<![-=])>|\b(?:more than|greater than|larger than|bigger than|longer than|higher than|exceed(?:s|ing)?|above|over)|大于|超过|多于|高于)"
        rf"{_ABOUT}", re.I)),
)  # fmt: skip
_BOUND_AFTER = (
    (
        ">=",
        re.compile(
            r" ?\+(?![0-9])|,? ?or (?:more|greater|larger|higher|above)\b|,? and (?:above|over|up)\b|及?以上", re.I
        ),
    ),
    ("<=", re.compile(r",? ?or (?:less|fewer|smaller|lower|below)\b|,? and (?:below|under)\b|及?以下|以内", re.I)),
)


def quantities(text: str) -> Iterator[Quantity]:
    """The quantities of cleaned `text`, in order."""
    at = 0
    while found := _START.search(text, at):
        at = found.end()
        if found.lastgroup in ("name", "idiom") or _is_part_of_a_word(text, found):
            continue
        quantity, at = _quantity(text, found)
        yield quantity


def _is_part_of_a_word(text: str, found: re.Match[str]) -> bool:
    before = text[found.start() - 1 : found.start()]
    if found.group("digits") is None:
        return False
    return (
        (before.isalpha() and before < "\u2e80")
        or bool(re.match(r"[A-Z](?![A-Za-z]?/)", text[found.end() :][:3]))
        and (
            UNIT.match(text, found.end()) is None or unit_of(UNIT.match(text, found.end())) is None  # type: ignore[arg-type]
        )
    )


def _quantity(text: str, first: re.Match[str]) -> tuple[Quantity, int]:
    """The quantity that starts with `first`, and where it ends."""
    start = first.start()
    before = text[max(0, start - 30) : start]
    sign, before = _sign(before)
    numbers = [_value(first, sign)]
    ordinal = before.endswith("第") or _ORDINAL.match(text, first.end()) is not None
    end = first.end()
    if powered := _POWER.match(text, end):
        numbers[0] = _scaled(numbers[0], powered.group(1))
        end = powered.end()
    unit, end = _unit(text, end)
    units = [unit]
    shape: Shape = "single"
    between = _BETWEEN.search(before) is not None
    while (joined := _join(text, end, shape, between)) is not None:
        shape, following, negative = joined
        numbers.append(_value(following, -1 if negative else 1))
        unit, end = _unit(text, following.end())
        units.append(unit)
        if shape in ("range", "plus_minus"):
            break
    if _PER_HUNDRED.search(before):
        units = ["%"] * len(units)
    bound = next((sign for sign, pattern in _BOUND_BEFORE if pattern.search(before)), "")
    for mark, pattern in _BOUND_AFTER:
        if not bound and (after := pattern.match(text, end)):
            bound, end = mark, after.end()
    return _made(shape, numbers, units, bound, text[start - (sign < 0) : end], ordinal), end


def _sign(before: str) -> tuple[int, str]:
    """(sign, text before it) of a number that `before` leads up to."""
    if worded := _MINUS.search(before):
        return -1, before[: worded.start()]
    if before[-1:] in ("-", "+") and not (before[-2:-1].isalnum() or before[-2:-1] in (")", "]", "%")):
        return (-1 if before[-1] == "-" else 1), before[:-1]
    return 1, before


def _unit(text: str, at: int) -> tuple[str | None, int]:
    """(unit at `at`, where it ends)."""
    found = UNIT.match(text, at)
    unit = None if found is None else unit_of(found)
    if found is None or unit is None:
        return None, at
    if "/" not in unit and found.group("per"):  # "5 cm/left": the word after the slash is no unit
        return unit, found.end("word")
    return unit, found.end()


def _join(text: str, at: int, shape: Shape, between: bool) -> tuple[Shape, re.Match[str], bool] | None:
    """(shape, next number, whether it is negative) where the quantity goes on at `at`."""
    joins = (*_JOINS, ("range", _AND)) if between else _JOINS
    for kind, pattern in joins:
        found = pattern.match(text, at)
        if found is None or shape not in ("single", kind):
            continue
        negative = text[found.end() : found.end() + 1] == "-"
        if following := _MORE.match(text, found.end() + negative):
            return kind, following, negative  # type: ignore[return-value]
    return None


def _made(
    shape: Shape, numbers: list[Fraction | None], units: list[str | None], bound: str, text: str, ordinal: bool
) -> Quantity:
    """A quantity; a number without a unit takes that of the number after it."""
    named = next((unit for unit in reversed(units) if unit), None)
    for index in range(len(units) - 2, -1, -1):
        units[index] = units[index] or units[index + 1]
    measured = {CONVERTED[unit][0] if unit in CONVERTED else unit or "" for unit in units}
    written = tuple(numbers)
    if len(measured) > 1 or named is None:
        return Quantity(
            shape, written, written, "" if named is None else "|".join(sorted(measured)), bound, text, ordinal
        )
    base = tuple(
        number if number is None or unit not in CONVERTED else number * CONVERTED[unit][1]
        for number, unit in zip(numbers, units, strict=True)
    )
    return Quantity(shape, written, base, measured.pop(), bound, text, ordinal)


def _value(found: re.Match[str], sign: int) -> Fraction | None:
    if words := found.group("words"):
        value = _from_words(words.lower())
    elif han := found.group("han"):
        value = _from_han(han)
    else:
        value = _from_digits(found.group("digits"))
        if (below := found.group("below")) and value is not None:
            value = value / int(below) if int(below) else None
    return None if value is None else sign * value


def _from_digits(digits: str) -> Fraction | None:
    """The number, where commas stand before exactly three digits and there is at most one point."""
    if len(digits) > MAX_DIGITS:
        digits = digits.lstrip("0")
        if "." in digits:
            digits = digits.rstrip("0").rstrip(".")
        if len(digits) > MAX_DIGITS:
            return None
    whole, _, rest = digits.partition(".")
    head, *groups = whole.split(",")
    if "." in rest or "," in rest or any(len(group) != 3 for group in groups) or (groups and not head):
        return None
    return Fraction(f"{head}{''.join(groups)}.{rest}" if rest else head + "".join(groups) or "0")


def _from_words(words: str) -> Fraction | None:
    total, current, last = 0, 0, 10**9
    for word in words.replace("-", " ").split():
        if word == "and":
            continue
        if word in _BIG:
            scale = _BIG[word]
            if scale == 100:
                current = max(current, 1) * 100
            else:
                total, current = total + max(current, 1) * scale, 0
            last = scale
            continue
        size = _TENS.get(word, _SMALL.get(word, 0))
        if size >= last or (last < 100 and not (last >= 20 and size < 10)):
            return None  # "two three" is no number
        current += size
        last = size if size else 0
    return Fraction(total + current)


def _from_han(han: str) -> Fraction | None:
    total, digit = 0, None
    for char in han:
        if char in _HAN_DIGITS:
            if digit not in (None, 0):
                return None  # 三四 is no number
            digit = _HAN_DIGITS[char]
        else:
            total += (1 if digit is None else digit) * _HAN_TENS[char]
            digit = None
    return Fraction(total + (digit or 0))


def _scaled(value: Fraction | None, power: str) -> Fraction | None:
    return None if value is None else value * Fraction(10) ** int(power)
