"""Units: which spellings name one unit, and which units convert into each other. Section 6.

Length, mass, volume and time convert within themselves. Every other unit has only its spellings: 12 months are no
year. Units that differ by case alone (`mM` and `mm`) are told apart; elsewhere case does not matter.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["CONVERTED", "PERCENT", "unit_asked", "unit_at"]

PERCENT = "%"

CONVERTED: dict[str, tuple[str, Fraction]] = {
    "µm": ("length", Fraction(1, 1_000_000)),
    "mm": ("length", Fraction(1, 1000)),
    "cm": ("length", Fraction(1, 100)),
    "m": ("length", Fraction(1)),
    "µg": ("mass", Fraction(1, 1_000_000)),
    "mg": ("mass", Fraction(1, 1000)),
    "g": ("mass", Fraction(1)),
    "kg": ("mass", Fraction(1000)),
    "ml": ("volume", Fraction(1, 1000)),
    "dl": ("volume", Fraction(1, 10)),
    "l": ("volume", Fraction(1)),
    "s": ("time", Fraction(1)),
    "min": ("time", Fraction(60)),
    "h": ("time", Fraction(3600)),
    "day": ("time", Fraction(86_400)),
    "week": ("time", Fraction(604_800)),
}
"""Units that convert: what they measure, and how much of it one is."""

SPELLINGS: dict[str, str] = {
    "%": "percent, percents, per cent, pct",
    "µm": "um, mcm, micron, microns, micrometer, micrometers, micrometre, micrometres, 微米",
    "mm": "mms, millimeter, millimeters, millimetre, millimetres, 毫米",
    "cm": "cms, centimeter, centimeters, centimetre, centimetres, 厘米, 公分",
    "m": "meter, meters, metre, metres, 米",
    "µg": "ug, mcg, microgram, micrograms, microgramme, microgrammes, 微克",
    "mg": "mgs, milligram, milligrams, milligramme, milligrammes, 毫克",
    "g": "gm, gms, gram, grams, gramme, grammes, 克",
    "kg": "kgs, kilo, kilos, kilogram, kilograms, kilogramme, kilogrammes, 千克, 公斤",
    "ml": "mls, cc, ccs, cm3, cm^3, milliliter, milliliters, millilitre, millilitres, cubic centimeter, "
    "cubic centimeters, cubic centimetre, cubic centimetres, 毫升, 立方厘米",
    "dl": "deciliter, deciliters, decilitre, decilitres, 分升",
    "l": "liter, liters, litre, litres, 升",
    "s": "sec, secs, second, seconds, 秒, 秒钟",
    "min": "mins, minute, minutes, 分钟",
    "h": "hr, hrs, hour, hours, 小时, 个小时",
    "day": "d, days, 天, 日",
    "week": "wk, wks, weeks, 周, 星期, 个星期",
    "month": "mo, mos, months, 个月, 月",
    "year": "y, yr, yrs, years, 年, 岁, 周岁",
    "ms": "msec, msecs, millisecond, milliseconds, 毫秒",
    "nm": "nanometer, nanometers, nanometre, nanometres, 纳米",
    "km": "kilometer, kilometers, kilometre, kilometres, 千米, 公里",
    "inch": "inches",
    "foot": "feet, ft",
    "mm2": "mm^2, square millimeters, square millimetres, 平方毫米",
    "cm2": "cm^2, square centimeters, square centimetres, 平方厘米",
    "m2": "m^2, square meters, square metres, 平方米",
    "mm3": "mm^3, cubic millimeters, cubic millimetres, 立方毫米",
    "m3": "m^3, 立方米",
    "ng": "nanogram, nanograms, 纳克",
    "pg": "picogram, picograms, 皮克",
    "lb": "lbs, pound, pounds, 磅",
    "oz": "ounce, ounces",
    "mmhg": "mm hg, millimeters of mercury, millimetres of mercury, 毫米汞柱",
    "cmh2o": "cm h2o, 厘米水柱",
    "kpa": "千帕",
    "pa": "pascal, pascals",
    "°c": "°C, C, degrees celsius, degree celsius, degrees c, degrees centigrade, celsius, centigrade, 摄氏度",
    "°f": "°F, F, degrees fahrenheit, degree fahrenheit, degrees f, fahrenheit, 华氏度",
    "°": "deg, degree, degrees, 度",
    "kelvin": "K",
    "hu": "hounsfield unit, hounsfield units, 亨氏单位",
    "gy": "戈瑞", "cgy": "", "mgy": "", "sv": "", "msv": "毫希", "µsv": "usv", "bq": "", "mbq": "", "ci": "", "mci": "",
    "kvp": "", "kv": "", "mv": "", "v": "volt, volts", "ma": "", "mas": "", "ev": "", "kev": "", "mev": "",
    "hz": "hertz, 赫兹", "khz": "", "mhz": "兆赫", "tesla": "T, 特斯拉", "db": "decibel, decibels, 分贝",
    "mol": "", "mmol": "", "µmol": "umol", "nmol": "", "pmol": "", "meq": "", "mosm": "",
    "molar": "M", "millimolar": "mM", "micromolar": "µM, uM",
    "fl": "", "u": "unit, units, 单位", "iu": "international unit, international units, 国际单位", "miu": "", "ppm": "",
    "cal": "", "kcal": "千卡", "j": "joule, joules", "kj": "",
    "diopter": "D, diopters, dioptre, dioptres", "french": "Fr, fr",
    "/min": "bpm, beats per minute, breaths per minute, beats/min, breaths/min, 次/分, 次/分钟, 次每分",
}  # fmt: skip
"""Unit and its other spellings. A spelling with a capital letter holds in that case only."""

_NAMES = {name: unit for unit, others in SPELLINGS.items() for name in (unit, *filter(None, others.split(", ")))}
_CASED = {name: unit for name, unit in _NAMES.items() if name != name.lower()}
_FOLDED = {name: unit for name, unit in _NAMES.items() if name == name.lower()}


def _any_of(names: list[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


_PHRASE = _any_of([name for name in _FOLDED if " " in name or "/" in name])
_HAN = _any_of([name for name in _FOLDED if name[0] > "\u2e80" and "/" not in name])
_ATOM = r"[a-zµ]+(?:\^?[23](?![0-9a-z]))?"
_UNIT = re.compile(
    rf"[ -]?(?:(?P<phrase>{_PHRASE})(?![a-z])|(?P<han>{_HAN})"
    rf"|(?P<top>%|°(?: ?[cf](?![a-z]))?|{_ATOM})(?P<below>(?:(?: ?/ ?| per |·){_ATOM}){{0,2}})"
    r"|(?P<rate>(?:/ ?|per |每)(?:[a-zµ]+|分钟|分|秒|小时|天)))",
    re.IGNORECASE,
)
_SLASH = re.compile(r" ?/ ?| per |·", re.IGNORECASE)
_RATE = re.compile(r"/ ?|per |每", re.IGNORECASE)
_ASKED = re.compile(
    r"how many (\w+)|\b(?:in|unit:?) (\w+)[ ?.)]*$|\((?:in |unit: ?)?([\wµ%/]+)\)"
    r"|(?:多少|几个?)(毫米|厘米|米|毫升|升|克|毫克|千克|天|周|岁|年|个?月|小时|分钟|秒)",
    re.IGNORECASE,
)
_ASKS_AGE = re.compile(r"how old|\bage\b|多大|年龄|几岁", re.IGNORECASE)


def unit_at(text: str, at: int) -> tuple[str | None, int]:
    """(unit that stands at `at`, directly or after a space or hyphen; where it ends). None and `at` where the word
    there is no unit, such as a counting noun."""
    found = _UNIT.match(text, at)
    if found is None:
        return None, at
    if name := found.group("phrase") or found.group("han"):
        return _FOLDED[name.lower()], found.end()
    if rate := found.group("rate"):
        word = _RATE.sub("", rate, count=1)
        below = _named("分钟" if word == "分" else word)
        return (f"/{below}", found.end()) if below else (None, at)
    top = _named(found.group("top").replace(" ", ""))
    if top is None:
        return None, at
    parts = [_named(part) for part in _SLASH.split(found.group("below"))[1:]]
    if all(parts):
        return "/".join([top, *filter(None, parts)]), found.end()
    return top, found.end("top")  # "5 cm/left": the word after the slash is no unit


def unit_asked(question: str) -> str | None:
    """The unit that a question asks for ("How many weeks ...", "... in cm?", "(mm)", "How old ..."), if it does."""
    if _ASKS_AGE.search(question):
        return "year"
    for found in _ASKED.finditer(question):
        if (unit := _named(next(filter(None, found.groups())))) is not None:
            return unit
    return None


def _named(word: str) -> str | None:
    return _CASED.get(word) or _FOLDED.get(word.lower())
