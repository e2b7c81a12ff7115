"""Units: which spellings name one unit, and which units convert into each other. Section 6 of the policy.

Length, mass, volume and time convert within themselves. Every other unit has only its spellings: 12 months are no
year. Units that differ by case alone (`mM` and `mm`) are told apart; elsewhere case does not matter.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["CONVERTED", "PERCENT", "UNIT", "unit_named", "unit_of"]

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

_SPELLINGS: dict[str, str] = {
    "%": "% percent percents pct",
    "µm": "um mcm micron microns micrometer micrometers micrometre micrometres 微米",
    "mm": "millimeter millimeters millimetre millimetres mms 毫米",
    "cm": "centimeter centimeters centimetre centimetres cms 厘米 公分",
    "m": "meter meters metre metres 米",
    "µg": "ug mcg microgram micrograms microgramme microgrammes 微克",
    "mg": "milligram milligrams milligramme milligrammes mgs 毫克",
    "g": "gm gms gram grams gramme grammes 克",
    "kg": "kgs kilogram kilograms kilogramme kilogrammes kilo kilos 千克 公斤",
    "ml": "mls cc ccs milliliter milliliters millilitre millilitres cm3 cm^3 毫升 立方厘米",
    "dl": "deciliter deciliters decilitre decilitres 分升",
    "l": "liter liters litre litres 升",
    "s": "sec secs second seconds 秒 秒钟",
    "min": "mins minute minutes 分钟",
    "h": "hr hrs hour hours 小时 个小时",
    "day": "d days 天 日",
    "week": "wk wks weeks 周 星期 个星期",
    "month": "mo mos months 个月 月",
    "year": "y yr yrs years 年 岁 周岁",
    "nm": "nanometer nanometers nanometre nanometres 纳米",
    "km": "kilometer kilometers kilometre kilometres 千米 公里",
    "inch": "inches",
    "foot": "feet ft",
    "mm2": "mm^2 平方毫米",
    "cm2": "cm^2 平方厘米",
    "m2": "m^2 平方米",
    "mm3": "mm^3 立方毫米",
    "m3": "m^3 立方米",
    "mmhg": "毫米汞柱",
    "cmh2o": "厘米水柱",
    "kpa": "千帕",
    "pa": "",
    "°c": "°C celsius centigrade C 摄氏度",
    "°f": "°F fahrenheit F 华氏度",
    "°": "deg degree degrees 度",
    "kelvin": "K",
    "hu": "亨氏单位",
    "gy": "gray grays 戈瑞",
    "cgy": "", "mgy": "", "sv": "", "msv": "毫希", "µsv": "usv", "bq": "", "mbq": "", "ci": "", "mci": "",
    "kvp": "", "kv": "", "mv": "", "v": "volt volts", "ma": "", "mas": "", "ev": "", "kev": "", "mev": "",
    "hz": "hertz 赫兹", "khz": "", "mhz": "兆赫",
    "tesla": "T 特斯拉",
    "db": "decibel decibels 分贝",
    "mol": "", "mmol": "", "µmol": "umol", "nmol": "", "pmol": "", "meq": "", "mosm": "",
    "molar": "M", "millimolar": "mM", "micromolar": "µM uM",
    "ng": "nanogram nanograms 纳克", "pg": "picogram picograms 皮克",
    "fl": "", "u": "units unit 单位", "iu": "国际单位", "miu": "", "ppm": "",
    "cal": "", "kcal": "千卡", "j": "joule joules", "kj": "",
    "diopter": "D diopters dioptre dioptres",
    "french": "Fr fr",
    "/min": "bpm 次/分 次/分钟 次每分",
    "ms": "msec msecs millisecond milliseconds 毫秒",
    "lb": "lbs pound pounds 磅", "oz": "ounce ounces",
    "drops": "drop 滴",
}  # fmt: skip
"""Unit and its other spellings. A spelling with a capital letter means that case."""

_CASED = {
    spelling: unit for unit, names in _SPELLINGS.items() for spelling in names.split() if spelling != spelling.lower()
}
_FOLDED = {
    spelling.lower(): unit
    for unit, names in _SPELLINGS.items()
    for spelling in (unit, *names.split())
    if spelling == spelling.lower() and spelling not in ("f", "c")
}
_PHRASES = {
    "per cent": "%", "beats per minute": "/min", "breaths per minute": "/min", "beats/min": "/min", "breaths/min": "/min",
    "degrees celsius": "°c", "degree celsius": "°c", "degrees c": "°c", "degrees centigrade": "°c",
    "degrees fahrenheit": "°f", "degree fahrenheit": "°f", "degrees f": "°f", "hounsfield units": "hu", "hounsfield unit": "hu",
    "mm hg": "mmhg", "millimeters of mercury": "mmhg", "millimetres of mercury": "mmhg", "cm h2o": "cmh2o",
    "cubic centimeters": "ml", "cubic centimetres": "ml", "cubic centimeter": "ml", "cubic centimetre": "ml",
    "cubic millimeters": "mm3", "cubic millimetres": "mm3", "square centimeters": "cm2", "square centimetres": "cm2",
    "square millimeters": "mm2", "square millimetres": "mm2", "square meters": "m2", "square metres": "m2",
    "international units": "iu",
}  # fmt: skip
_HAN_NAMES = sorted((name for name in _FOLDED if name[0] > "\u2e80"), key=len, reverse=True)

UNIT = re.compile(
    rf"[ \-]?(?:(?P<phrase>{'|'.join(sorted(map(re.escape, _PHRASES), key=len, reverse=True))})(?![A-Za-z])"
    rf"|(?P<han>{'|'.join(_HAN_NAMES)})"
    r"|(?P<word>°(?: ?[CcFf](?![A-Za-z]))?|%|[A-Za-zµ]+(?:\^?[23](?![0-9A-Za-z]))?)"
    r"(?P<per>(?: ?/ ?| per |·)[A-Za-zµ]+(?:\^?[23](?![0-9A-Za-z]))?){0,2}"
    r"|(?P<rate>(?:/ ?|per |每)(?:[A-Za-zµ]+|分钟|分|秒|小时|天)))",
    re.IGNORECASE,
)
"""A unit where one may stand: directly after a number, or after a space or a hyphen."""

_RATES = {"分钟": "min", "分": "min", "秒": "s", "小时": "h", "天": "day"}
_ASKED = re.compile(
    r"how many (\w+)|\b(?:in|unit:?) (\w+)[ ?.)]*$|\((?:in |unit: ?)?([\wµ%/]+)\)|(?:多少|几个?)(毫米|厘米|米|毫升|升|克|毫克|千克|天|周|岁|年|个?月"
    r"|小时|分钟|秒)",
    re.IGNORECASE,
)
_ASKS_AGE = re.compile(r"how old|\bage\b|多大|年龄|几岁", re.IGNORECASE)


def unit_of(found: re.Match[str]) -> str | None:
    """The unit that a match of `UNIT` names, or None where the word is none (a counting noun, for example)."""
    if phrase := found.group("phrase"):
        return _PHRASES[" ".join(phrase.lower().split())]
    if han := found.group("han"):
        return _FOLDED[han]
    if rate := found.group("rate"):
        base = rate.removeprefix("/").removeprefix("per ").removeprefix("每").strip()
        below = _RATES.get(base) or _named(base)
        return f"/{below}" if below else None
    top = _named(found.group("word").replace(" ", ""))
    if top is None:
        return None
    whole = re.split(r" ?/ ?| per |·", found.group().strip(" -"))
    rest = [_named(part) for part in whole[1:]]
    return "/".join([top, *(part for part in rest if part)]) if all(rest) else top


def unit_named(question: str) -> str | None:
    """The unit that a question asks for ("How many weeks ...", "... in cm?", "(mm)", "How old ..."), if it names one."""
    if _ASKS_AGE.search(question):
        return "year"
    for found in _ASKED.finditer(question):
        unit = _named(next(filter(None, found.groups())))
        if unit is not None:
            return unit
    return None


def _named(word: str) -> str | None:
    return _CASED.get(word) or _FOLDED.get(word.lower())
