"""Numbers that lead to a person: of records, of telephones, of a state; and addresses of mail."""

from __future__ import annotations

import re
from datetime import date

from infimed_data.phi.rule import Rule, before, compiled
from infimed_data.schema import PhiConfidence

__all__ = ["CONTACT_RULES", "RECORD_RULES"]

_RECORD = (
    r"\b(?:MRN|M\.R\.N\.|medical record(?: (?:no|num(?:ber)?|id))?|(?:patient|pt|hospital|unit|chart|case"
    r"|accession|encounter|"
    r"account|acct|visit|admission|insurance|policy|member|medicare|medicaid|NHS|health (?:card|plan)|specimen|biopsy)"
    r"(?: (?:no|num(?:ber)?|id)\b|[ ]?#|ID\b)|accession)"
)
_RECORD_ZH = r"(?:病历|病案|住院|门诊|登记|检查|影像|就诊|患者|病人|医保|社保|标本|病理|档案)卡?(?:号码|编号|号|ID)"
_VALUE = r"(?P<value>[A-Z]{0,4}[-/]?[0-9](?:[0-9A-Z\-/]| (?=[0-9])){2,19})"


def _record(match: re.Match[str]) -> PhiConfidence | None:
    """A number of four digits after a label of its own, of five after one that may label other things too."""
    digits = sum(map(str.isdigit, match["value"]))
    own = re.search(r"(?i)mrn|m\.r\.n|medical record|accession", match.group()) or match.string[match.start()] >= "一"
    if match["value"].startswith(("NCT", "PMC")) or digits < (4 if own else 5):
        return None
    return "high"


def _security_number(match: re.Match[str]) -> PhiConfidence | None:
    area, group, serial = (match["value"][a:b] for a, b in ((0, 3), (4, 6), (7, 11)))
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return None
    return "high" if re.search(r"(?i)ssn|social security", before(match, 40)) else "medium"


def _chinese_id(match: re.Match[str]) -> PhiConfidence | None:
    """The date of birth in it must be a day, and its last character is a check of the others (GB 11643)."""
    value = match["value"].upper()
    try:
        date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return None
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(value[:17]))
    return "high" if "10X98765432"[total % 11] == value[17] else None


_BY_PHONE = r"(?i)(?:tel|phone|mobile|cell|fax|call|contact|pager)|电话|手机|联系|传真"


def _phone(match: re.Match[str]) -> PhiConfidence | None:
    return "high" if re.search(_BY_PHONE, before(match, 24)) else "medium"


def _labelled_phone(match: re.Match[str]) -> PhiConfidence | None:
    return "high" if 7 <= sum(map(str.isdigit, match["value"])) <= 15 else None


def _abroad(match: re.Match[str]) -> PhiConfidence | None:
    """A country code and eight to fifteen digits in all."""
    return _phone(match) if 9 <= sum(map(str.isdigit, match["value"])) <= 15 else None


def _email(match: re.Match[str]) -> PhiConfidence | None:
    """Names that are reserved for examples reach nobody."""
    domain = match["value"].rpartition("@")[2].lower()
    reserved = re.search(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)$", domain)
    return "low" if reserved else "high"


RECORD_RULES: dict[str, Rule] = {
    "record_number": Rule(
        "record_number",
        r"(?i)mrn|m\.r\.n|medical record|accession|nhs (?:no|num|id)|(?:patient|pt|hospital|unit|chart|case"
        r"|encounter|account|acct|visit|"
        r"admission|insurance|policy|member|medicare|medicaid|card|plan|specimen|biopsy) ?(?:no(?-u:\b)|num"
        r"|id(?-u:\b)|#)",
        compiled(rf"(?i:{_RECORD})(?i:\s*(?:is\b|no\b|num(?:ber)?\b|id\b)?[.:#=：|\"'\s]{{0,5}}){_VALUE}"),
        _record,
        "after a label such as `MRN`",
    ),
    "record_number_zh": Rule(
        "record_number",
        r"(?:病历|病案|住院|门诊|登记|检查|影像|就诊|患者|病人|医保|社保|标本|病理|档案)卡?(?:号|编号|ID)",
        compiled(rf"{_RECORD_ZH}\s*(?:[:：为是]\s*)?{_VALUE}"),
        _record,
        "after a label such as 住院号",
    ),
    "security_number": Rule(
        "national_id",
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
        compiled(r"(?<![0-9\-])(?P<value>[0-9]{3}-[0-9]{2}-[0-9]{4})(?![0-9\-])"),
        _security_number,
        "in the form of a US social security number",
    ),
    "labelled_security_number": Rule(
        "national_id",
        r"(?i)(?-u:\b)ssn(?-u:\b)|social security",
        compiled(
            r"(?i:\bssn|\bsocial security(?: (?:no"
            r"|num(?:ber)?))?)[.:#=：\s]{0,4}(?i:is )?(?P<value>[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4})(?![0-9])"
        ),
        lambda match: "high",
        "after `SSN`",
    ),
    "chinese_id": Rule(
        "national_id",
        r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]",
        compiled(r"(?<![0-9])(?P<value>[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx])(?![0-9])"),
        _chinese_id,
        "a Chinese identity number, whose check digit is right",
    ),
}

CONTACT_RULES: dict[str, Rule] = {
    "email": Rule(
        "email",
        "@",
        compiled(
            r"(?<![A-Za-z0-9._%+\-])(?P<value>[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,10})(?![A-Za-z0-9])"
        ),
        _email,
        "an address of mail",
    ),
    "labelled_phone": Rule(
        "phone",
        r"(?i)(?:tel|phone|mobile|cell|fax|pager)[a-z]*\.? ?(?:no|num|#)?[a-z.]{0,4} ?(?:is "
        r"|[:：.])? ?[+(]?[0-9]|(?:电话|手机|联系方式|传真)号?码?\s*[:：是为]?\s*[+(]?[0-9]",
        compiled(
            r"(?:(?i:\b(?:tel(?:ephone)?|phone|mobile|cell ?phone|fax|pager)\.?(?: (?:no"
            r"|num(?:ber)?)\b\.?)?\s?(?:is\s|[:：]\s?)?)|(?:电话|手机|联系方式|传真)号?码?\s*[:：是为]?\s*)"
            r"(?P<value>[+(]?[0-9](?:[0-9]|[ ().\-](?=[0-9(])|\)[ \-](?=[0-9])){5,22}[0-9])(?![0-9])"
        ),
        _labelled_phone,
        "after a label such as `phone`",
    ),
    "us_phone": Rule(
        "phone",
        r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)[0-9]{3}-[0-9]{4}",
        compiled(
            r"(?<![0-9\-./])(?P<value>(?:\+?1[ .\-])?(?:\([2-9][0-9]{2}\) ?"
            r"|[2-9][0-9]{2}-)[0-9]{3}-[0-9]{4})(?![0-9\-])"
        ),
        _phone,
        "in the form of a US telephone number",
    ),
    "us_phone_apart": Rule(
        "phone",
        r"[2-9][0-9]{2}[. ][0-9]{3}[. ][0-9]{4}",
        compiled(r"(?<![0-9\-./])(?P<value>[2-9][0-9]{2}([. ])[0-9]{3}\2[0-9]{4})(?![0-9\-])"),
        lambda match: "high" if re.search(_BY_PHONE, before(match, 24)) else None,
        "in the form of a US telephone number, after a word such as `cell`",
    ),
    "international_phone": Rule(
        "phone",
        r"\+[1-9][0-9]{0,2}[ \-(]",
        compiled(
            r"(?<![0-9A-Za-z+^)])(?P<value>\+[1-9][0-9]{0,2}(?:[ \-]?\(?[0-9]{2,4}\)?){2,4}[ \-]?[0-9]{2,4})(?![0-9])"
        ),
        _abroad,
        "a number with a country code",
    ),
    "chinese_mobile": Rule(
        "phone",
        r"1[3-9][0-9][ \-]?[0-9]{4}[ \-]?[0-9]{4}",
        compiled(r"(?<![0-9A-Za-z.,/+\-])(?P<value>1[3-9][0-9]([ \-]?)[0-9]{4}\2[0-9]{4})(?![0-9A-Za-z,]|\.[0-9])"),
        _phone,
        "in the form of a Chinese mobile number",
    ),
    "chinese_landline": Rule(
        "phone",
        r"0[1-9][0-9]{1,2}-[0-9]{7,8}",
        compiled(r"(?<![0-9\-])(?P<value>0[1-9][0-9]{1,2}-[0-9]{7,8})(?![0-9\-])"),
        _phone,
        "in the form of a Chinese telephone number",
    ),
}
