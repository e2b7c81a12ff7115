"""Dates of days, as people write them in English and Chinese (a year or a month alone is none), and ages over 89."""

from __future__ import annotations

import re
from datetime import date

from infimed_data.phi.rule import Rule, after, before, compiled
from infimed_data.schema import PhiConfidence

__all__ = ["AGE_RULES", "DATE_RULES"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?|"
    r"[Ss]ep(?:t(?:ember)?)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|"
    r"NOV|DEC)"
)
_YEAR = "(?:19|20)[0-9]{2}"
_NUMBERED = "|".join(
    rf"{_YEAR}{sep}[0-9]{{1,2}}{sep}[0-9]{{1,2}}|[0-9]{{1,2}}{sep}[0-9]{{1,2}}{sep}{_YEAR}" for sep in ("/", "-", r"\.")
)
_WORDED = (
    rf"{_MONTH}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?[ -](?:of )?{_MONTH}\.?,?[ -]{_YEAR}"
)
_CHINESE = rf"{_YEAR} ?年 ?[0-9]{{1,2}} ?月 ?[0-9]{{1,2}} ?[日号]"
_DATE = rf"(?<![0-9A-Za-z./-])(?:{_WORDED}|{_NUMBERED}|{_CHINESE})(?![0-9A-SU-Za-z]|[./-][0-9])"
_SHORT = r"[0-9]{1,2}[/-][0-9]{1,2}[/-][0-9]{2}(?![0-9])|(?:19|20)[0-9]{6}(?![0-9])"
"""Forms that are dates only where a label says so."""
_HINT = (
    r"(?:19|20)[0-9]{2}[-/.][0-9]{1,2}[-/.][0-9]|[0-9][-/.][0-9]{1,2}[-/.](?:19|20)[0-9]{2}|(?:19"
    r"|20)[0-9]{2} ?年 ?[0-9]"
    r"|[0-9](?:st|nd|rd|th)?,?[ -](?:of )?(?:[A-Z][A-Za-z]{2,8}\.?,?[ -])?(?:19|20)[0-9]{2}"
)
_BIRTH = (
    r"(?:(?i:\bdob|\bd\.o\.b\.?|\bdate of birth|\bbirth ?date|\bborn)|出生(?:日期|年月日?)?|生[日于])"
    r"(?i:\s*(?:is|was)?)\s*[:：=]?\s*(?i:(?:on )?)"
)
_OF_A_STAY = re.compile(
    r"(?i)admi(?:tted|ssion)|discharge|exam|stud(?:y|ies) date|date of|visit|seen|presented|died|deceased|death|operat|"
    r"surger|underwent|collected|dictated|signed|reported|performed|acquired|scan|入院|出院|就诊|检查|手术|报告|住院|死亡|复查"
)
_OF_A_PERIOD = re.compile(r"(?i)(?:between|from|since|until|till|through|to|and|before|after|by|[-–—~至到])\s*$")


def _is_day(text: str) -> bool:
    """Whether a date can be one: a month from 1 to 12 and a day that it has, in either order of the two."""
    word = next((number for number, name in enumerate(_MONTHS, 1) if name in text.lower()), None)
    numbers = [int(number) for number in re.findall("[0-9]+", text)]
    if len(numbers) == 1:
        numbers = [numbers[0] // 10_000, numbers[0] // 100 % 100, numbers[0] % 100]
    year = next((number for number in numbers if number > 31), 2000 + numbers[-1] % 100)
    rest = [number for number in numbers if number <= 31][:2]
    if word is not None:
        rest = [word, *rest[:1]]
    if len(rest) != 2:
        return False
    return any(_exists(year, month, day) for month, day in (rest, rest[::-1]))


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _birth(match: re.Match[str]) -> PhiConfidence | None:
    return "high" if _is_day(match["value"]) else None


def _any_day(match: re.Match[str]) -> PhiConfidence | None:
    if not _is_day(match["value"]):
        return None
    said = before(match, 48)
    if _OF_A_PERIOD.search(said):
        return "low"
    return "medium" if _OF_A_STAY.search(said + after(match, 6)) else "low"


DATE_RULES: dict[str, Rule] = {
    "birth_date": Rule(
        "birth_date",
        r"(?i)(?-u:\b)dob(?-u:\b)|d\.o\.b|date of birth|birth ?date|born (?:on )?(?:[0-9]"
        r"|[A-Z][a-z]{2,8}\.? [0-9])|出生|生[日于]",
        compiled(rf"{_BIRTH}(?P<value>{_DATE}|{_SHORT})"),
        _birth,
        "a date after a label such as `date of birth`",
    ),
    "date": Rule("date", _HINT, compiled(rf"(?P<value>{_DATE})"), _any_day, "a date of a day"),
}


def _of_a_person(match: re.Match[str]) -> PhiConfidence | None:
    """An age that is no bound (`over 90 years old`, `90 years or older`) and no end of a range."""
    if re.search(
        r"(?i)(?:[-–—~≥>≤<至到]|\b(?:to|and|or|over|above|than|least|under|below|until|beyond|up to))\s*$",
        before(match, 12),
    ):
        return None
    if re.match(r"(?i)s\b|\s*(?:[-–—~至到%]|以[上下内]|(?:or|and|to)\b)", after(match, 12)):
        return None
    return "high"


AGE_RULES: dict[str, Rule] = {
    "age_over_89": Rule(
        "age_over_89",
        r"(?:9|1[012])[0-9][ -]{0,2}(?i:years?|yrs?|y/?o|y\.o)|(?i:age[d:]? ?[:=]? ?(?:is|of)? ?)(?:9"
        r"|1[01])[0-9]|(?:9|1[01])[0-9] ?周?岁",
        compiled(
            r"(?<![0-9.,/])(?P<value>9[0-9]|1[01][0-9])(?i:[ -]{0,2}(?:years?|yrs?|y)[ -]{0,2}(?:old|of age)\b"
            r"|[ -]?(?:y/?o|y\.o\.)(?![a-z])| ?周?岁)"
            r"|(?i:\baged?\s*[:=：]?\s*(?:(?:is|of)\s)?)(?P<value2>9[0-9]|1[01][0-9])(?![0-9.,]?[0-9]|\s*(?:%|days?|weeks?|months?))"
        ),
        _of_a_person,
        "an age over 89",
    ),
}
