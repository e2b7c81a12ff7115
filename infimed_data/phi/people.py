"""Names of people, and where they live."""

from __future__ import annotations

import re

from infimed_data.phi.rule import Judge, Rule, always, compiled, value_of
from infimed_data.schema import PhiConfidence

__all__ = ["ADDRESS_RULES", "NAME_RULES"]

_WORD = r"[A-ZÀ-ÞŁŚŠŽ][A-Za-zÀ-ÿĀ-ž'’\-]{1,30}"
_NEXT = (
    rf"(?!(?:MRN|DOB|SSN|ID|No|Age|Aged|Sex|Gender|Male|Female|Date|Phone|Tel|Patient|Hospital|Ward|Exam|And)\b){_WORD}"
)
_NAME = rf"{_WORD}(?:, {_NEXT}(?: {_NEXT})?|(?: (?:[A-Z]\.? )?{_NEXT}){{0,3}})"
"""One to four words, `Family, Given` too; what is the next label is not part of it."""
_NOBODY = re.compile(
    r"(?i)^(?:[jr]?doe|roe|not|unknown|none|anonym\w*|redacted|withheld|confidential|removed|deleted|the|test|sample|"
    r"patient|x+|n/?a|hidden|de-?identified|unavailable|and|or|is|was|has|with|this|see|male|female|id|mrn|dob|yes|no)$"
)
"""What stands where a name would, when there is none. John and Jane Doe are nobody."""
_AFTER_NAME = r"(?=[^\u4e00-\u9fff]|性别|年龄|出生|住院|病历|检查|$)"
_SURNAME = (
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖"
    "石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤]"
)


def _named(confidence: PhiConfidence) -> Judge:
    """Whether the value can be a name."""

    def judge(match: re.Match[str]) -> PhiConfidence | None:
        name = value_of(match)
        nobody = any(map(_NOBODY.match, re.split(r"[\s,^]+", name))) or re.search("某|匿名|未知|患者|病人", name)
        return None if nobody else confidence

    return judge


def _titled(match: re.Match[str]) -> PhiConfidence | None:
    """A surname after a title may be anybody's in a vignette, and a doctor with both names a textbook's."""
    if _named("low")(match) is None:
        return None
    return "medium" if " " in match["value"] and match["title"].lower() in ("mr", "mrs", "ms") else "low"


NAME_RULES: dict[str, Rule] = {
    "labelled_name": Rule(
        "name",
        r"(?i)(?:patient|pt|subject|client)(?:'?s|’s)?[ .]*(?:full |last |first )?name|name of (?:the )?patient",
        compiled(
            r"(?:(?i:\b(?:patient|pt|subject|client)(?:'?s|’s)?[ .]*(?:full |last |first )?name"
            r"|\bname of (?:the )?patient)"
            rf"(?i:\s*(?:is\b|was\b)?)\s*[\"']?\s*[:=：|]?\s*[\"']?\s*)(?P<value>{_NAME}|{_WORD}\^[A-Z^]{{1,40}})"
        ),
        _named("high"),
        "after a label such as `patient name`",
    ),
    "signed_name": Rule(
        "name",
        r"(?i)(?: by|physician|radiologist|uploader|technologist) ?[:：]",
        compiled(
            r"(?i:\b(?:(?:electronically )?signed|dictated|transcribed|reported|interpreted|read|performed|verified|"
            r"referred) by|\b(?:referring|attending|reading|ordering|requesting) physician|\bradiologist|"
            rf"\btechnologist)\s*[:：]\s*(?i:(?:dr|prof)\.? )?(?P<value>{_NAME})"
        ),
        _named("high"),
        "after a label such as `signed by:`",
    ),
    "name_field": Rule(
        "name",
        r"(?i)name\s*[:：]",
        compiled(
            rf"(?m)(?:^|[,;|]\s*)(?i:(?:full |first |last |sur)?name)\s*[:：]\s*(?P<value>{_NAME})(?=\s*(?:[,;|\n(]|$))"
        ),
        _named("medium"),
        "in a field `name:`",
    ),
    "introduced_name": Rule(
        "name",
        r"(?i)my name is [^ ]|[a-zà-ÿ] (?:is|was) an? [0-9]{1,3}[ -]year",
        compiled(
            rf"(?:(?i:\bmy name is )(?P<value>{_NAME})"
            rf"|(?<![\w’'])(?P<value2>{_WORD} (?:[A-Z]\. )?{_WORD})(?= (?:is|was) an? [0-9]{{1,3}}[ \-]year))"
        ),
        _named("medium"),
        "where somebody is introduced",
    ),
    "titled_name": Rule(
        "name",
        r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\.? [A-Z]",
        compiled(
            r"\b(?P<title>Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\.? "
            r"(?P<value>[A-Z][a-z'’\-]{1,30}(?: (?:[A-Z]\.? )?[A-Z][a-z'’\-]{1,30}){0,2})"
        ),
        _titled,
        "after a title",
    ),
    "dicom_name": Rule(
        "name",
        r"[A-Z]{2}\^[A-Z]{2}",
        compiled(r"(?<![A-Z^])(?P<value>[A-Z][A-Z'\-]{1,30}\^[A-Z]{2,30}(?:\^[A-Z]{0,30}){0,3})"),
        _named("medium"),
        "FAMILY^GIVEN, as DICOM writes names",
    ),
    "labelled_name_zh": Rule(
        "name",
        r"姓\s*名\s*[:：]",
        compiled(rf"姓\s*名\s*[:：]\s*(?P<value>[\u4e00-\u9fff·]{{2,5}}?){_AFTER_NAME}"),
        _named("high"),
        "after 姓名",
    ),
    "signed_name_zh": Rule(
        "name",
        r"(?:医师|医生|签名|签字)\s*[:：]",
        compiled(rf"(?:医师|医生|签名|签字)\s*[:：]\s*(?P<value>{_SURNAME}[\u4e00-\u9fff·]{{1,3}}?){_AFTER_NAME}"),
        _named("high"),
        "after 医师 or 签名",
    ),
    "introduced_name_zh": Rule(
        "name",
        "[，,] ?(?:男|女)性?[，,] ?[0-9]",
        compiled(
            rf"(?<![\u4e00-\u9fff])(?P<value>{_SURNAME}[\u4e00-\u9fff]{{1,2}})(?=[，,] ?(?:男|女)性?[，,] ?[0-9])"
        ),
        _named("medium"),
        "where somebody is introduced",
    ),
    "titled_name_zh": Rule(
        "name",
        "先生|女士",
        compiled(rf"(?P<value>{_SURNAME}[\u4e00-\u9fff]{{1,2}}?)(?=先生|女士)"),
        _named("low"),
        "before 先生 or 女士",
    ),
}

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY"
)

ADDRESS_RULES: dict[str, Rule] = {
    "street": Rule(
        "address",
        r"[0-9] (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}(?:Street|Avenue|Road|Boulevard|Lane|Drive|Court|Highway|St"
        r"|Ave|Rd|Blvd|Ln)",
        compiled(
            r"(?P<value>\b[0-9]{1,5} (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}"
            r"(?:(?:Street|Avenue|Road|Boulevard|Lane|Drive|Court|Highway)\b|(?:St|Ave|Rd|Blvd|Ln)\b\.?(?=,| [A-Z]|$)))"
        ),
        always("medium"),
        "number and street",
    ),
    "state_and_zip": Rule(
        "address",
        rf", (?:{_STATES})\.? [0-9]{{5}}",
        compiled(rf"(?P<value>[A-Z][A-Za-z .]{{1,30}}, (?:{_STATES})\.? [0-9]{{5}}(?:-[0-9]{{4}})?)(?![0-9])"),
        always("medium"),
        "town, state and ZIP code",
    ),
    "labelled_address": Rule(
        "address",
        r"(?i)address\s*[:：]|address is [0-9]",
        compiled(
            r"(?i:\b(?:(?:home|street|mailing|patient)\s)?address\s*(?:[:：]"
            r"|is))\s*(?P<value>[0-9]{1,5}[A-Za-z]? [A-Z][^\n;|]{4,60})"
        ),
        always("high"),
        "after `address:`",
    ),
    "address_zh": Rule(
        "address",
        r"(?:路|街|道|巷|弄|村|镇|小区)[\u4e00-\u9fff]{0,6}[0-9]+(?:号|弄|栋|室)|(?:住址|地址)\s*[:：]",
        compiled(
            r"(?:(?:住址|地址)\s*[:：]\s*(?P<label>))?"
            r"(?P<value>(?:[\u4e00-\u9fff]{2,8}(?:省|市|自治区|区|县)){1,3}[\u4e00-\u9fff]{1,12}"
            r"(?:路|街|道|巷|弄|村|镇|小区)[\u4e00-\u9fff]{0,6}[0-9]{1,5}(?:号|弄|栋|室))"
        ),
        always("high"),
        "town, street and number",
    ),
}
