"""Gates on what a trace claims to know: an answer that it was given, a document that it was not shown.

What makes a phrase harmless stands in its pattern or beside it: "the answer is given by the ratio" leaks nothing, "a
report would help" cites nothing.
"""

from __future__ import annotations

import re

from infimed_data.gates.phrases import Match, Phrase, first, phrase, table
from infimed_data.gates.trace import Finding, Trace, words_of
from infimed_data.manifest.generate import Gates

__all__ = ["answer_leak", "unseen_source"]

_GIVEN = "given|provided|supplied|stated|listed|marked|specified|indicated|labell?ed|known|revealed|disclosed"
_KEYED = "provided|given|supplied|reference|gold|golden|official|expected|known|stated|target|annotated|labell?ed"
_NOUNS = "choice|conclusion|solution|option|label|explanation"
_NOT_OPTIONS = r"\b(?! (?:options?|choices?|set|format|list|alternatives|possibilities)\b)"

_LEAKS = table(
    phrase(
        "the answer was given",
        "answer + given provided supplied stated listed marked specified indicated labelled known revealed disclosed",
        rf"answer (?:is|was|has been) (?:already )?(?:{_GIVEN})"
        r" (?:as\b|to be\b|to (?:me|us)\b|here\b|above\b|beforehand"
        r"|in (?:the|my|this) (?:prompt|key|label|annotation|reference|data ?set|metadata|instructions?)\b)",
    ),
    phrase(
        "the answer was given",
        "answer + provided given supplied stated indicated",
        r"\banswer (?:that was )?(?:provided|given|supplied)\b(?=[,.:]| (?:is|was|here|above|says|to (?:me|us))\b)"
        r"|\bas (?:stated|given|indicated|provided) (?:in|by) the (?:correct )?answer\b(?! (?:options?|choices?)\b)"
        r"|\b(?:correct|right) answer, as (?:stated|given|indicated|provided)\b",
    ),
    phrase(
        "the answer was given",
        "answer + says reads states claims mentions tells reading seeing",
        r"\bthe answer (?:says|reads|states|claims|mentions|tells)\b|\b(?:reading|seeing) the answer first\b",
    ),
    phrase(
        "the answer was given",
        "answer response option choice diagnosis + given provided supplied stated listed marked specified indicated"
        " labelled known revealed disclosed + correct right true",
        r"\b(?:correct|right|true) (?:answer|response|option|choice|diagnosis) (?:is|was|has been) (?:already )?"
        rf"(?:{_GIVEN})\b(?! (?:by|in the (?:question|stem|image|picture|film|vignette|text)|only|from)\b)",
    ),
    phrase(
        "the answer was given",
        "listed given marked stated keyed supplied + correct right true + as",
        r"\b(?:listed|given|marked|stated|keyed|supplied) as (?:the )?(?:correct|right|true)\b",
    ),
    phrase(
        "goes by a given answer",
        "answer + according based per given knowing backwards backward",
        r"(?:according to|based on|as per|given|knowing|(?:reasoning|working|work) backwards? from)"
        rf" the (?:correct |right |final |true )?answer{_NOT_OPTIONS}"
        r"(?! (?:that|which|to|of|from|for|one|lies|must|has)\b)",
    ),
    phrase(
        "a given answer",
        "answer + provided given supplied reference gold golden official expected known stated target annotated"
        " labelled ground",
        rf"\b(?:the|this|that) (?:{_KEYED}|ground[- ]truth) (?:correct |final |right )?answer{_NOT_OPTIONS}",
    ),
    phrase(
        "a given answer",
        "choice conclusion solution option label explanation + provided supplied reference official gold golden"
        " annotated target given model",
        rf"\b(?:the|this|that) (?:provided|supplied|reference|official|gold|golden|annotated|target) (?:{_NOUNS})\b"
        r"|\b(?:given|model) (?:solution|conclusion)\b(?! of\b)",
    ),
    phrase(
        "takes the answer as known",
        "answer + since because given knowing assuming as now",
        r"\b(?:since|because|given that|knowing that|knowing|assuming|as|now that) "
        r"(?:(?:we|i) (?:already )?know (?:that )?)?the "
        r"(?:answer (?:is|was) (?:option )?\(?[a-j]\b(?! )|(?:correct|right|true|gold) answer (?:is|was) "
        r"(?!the (?:one|option|choice)\b|not\b|supposed|asked|likely|probably|clear|unclear|obvious))",
    ),
    phrase(
        "takes the answer as known",
        "answer + know knew",
        r"\b(?:i|we) (?:already (?:know|knew)|(?:know|knew) (?:in advance|beforehand)) (?:that )?(?:what )?the"
        r" (?:correct |right )?answer\b|\b(?:i|we) (?:know|knew) (?:that )?the (?:correct|right) answer (?:is|was)\b",
    ),
    phrase(
        "the answer was given",
        "dataset database benchmark",
        r"\bthe (?:dataset|database|benchmark) (?:says|labels|has it)\b",
    ),
    phrase(
        "the answer was given",
        "answer + problem question task item exercise they + states state says say gives give tells tell told gave"
        " provide provides provided specify specifies reveal reveals",
        r"\b(?:problem|question|task|item|exercise|they) (?:already |itself |clearly )?"
        r"(?:states?|says?|gives?|tells?|told|gave|provides?|provided|specif(?:y|ies)|reveals?) (?:us |me )?(?:that )?"
        r"(?:the|its) (?:correct |right )?answer\b(?! (?:options?|choices?|format)\b)",
    ),
    phrase(
        "was told",
        "told informed",
        r"\b(?:told|informed) (?:me |us )?(?:that )?(?:the |my )?"
        r"(?:correct |right |final |first |previous |earlier |last )?(?:answer|conclusion|label|option)\b"
        r"(?! (?:that|to|options?)\b)|\bi(?:'ve| was|'m| am| have been) (?:been )?(?:secretly )?told\b",
    ),
    phrase(
        "explains a given answer",
        "justify explain",
        r"\b(?:need|have|want|has|asked|supposed|now|must|should|let me|try|trying) (?:to )?(?:justify|explain)"
        r" (?:why )?(?:the |this |that )?(?:correct |right |given |provided )?"
        r"(?:answer\b|(?:option )?[a-j] is (?:the )?(?:correct|right))",
    ),
    phrase(
        "speaks of a key",
        "key truth label labelled labeled solution",
        r"\banswer key\b|\bthe key (?:says|gives|lists|names|states|has it)\b|\bthe (?:correct|true) label\b"
        r"|\bthe label (?:for|of) this (?:item|image|case|question|sample|picture)\b"
        r"|\b(?:item|image|case|question|sample|picture) is labell?ed (?:as )?(?!with\b)"
        r"|(?<!is the )(?<!are the )(?<!as the )(?<!as )(?<!of )\bground[- ]truth\b",
    ),
    phrase(
        "speaks of feedback",
        "hint feedback",
        r"\b(?:the|a|your|this) (?:hint|feedback) (?:says|said|states|stated|indicates|indicated|suggests|suggested"
        r"|tells|told|was|is|given|provided|above|that)\b"
        r"|\b(?:according to|based on|from|per|given|with) (?:the|your|this) (?:hint|feedback)\b"
        r"(?! (?:loop|inhibition|mechanism|regulation|axis|control))",
    ),
    phrase(
        "speaks of feedback",
        "marked judged flagged rated deemed reported graded scored rejected confirmed established pointed indicated"
        " said",
        r"\b(?:previous|earlier|first|last|initial|my) (?:answer|conclusion|attempt|response|choice) "
        r"(?:was|has been|is|got) (?:marked|judged|flagged|rated|deemed|reported|graded|scored|rejected)\b"
        r"|\b(?:been|was) (?:confirmed|established|pointed out|indicated|said) (?:to me )?(?:that )?(?:my|the) "
        r"(?:previous |earlier |first |last |initial )(?:answer|conclusion|attempt|response|choice)\b",
    ),
    phrase(
        "goes by a given answer",
        "答案 + 提供 给 已知 标准 参考 正确 反推 倒推 出发",
        r"(?:根据|按照|依据|参照|参考|结合|基于|依照)(?:题目|用户|系统)?(?:所|已)?"
        r"(?:提供|给出|给定|已知|标准|参考|正确|给)的?(?:正确|标准|参考)?答案(?!选项|中|里|范围|格式)"
        r"|(?:从|由|根据)(?:正确)?答案(?:来)?(?:反推|倒推|出发)",
    ),
    phrase(
        "speaks of a key",
        "答案 真值",
        r"(?<!没有)(?<!无)(?:标准|参考|官方)答案|答案解析|真值标签|(?:标签|标注)(?:显示|为|给出)的?(?:正确)?答案",
    ),
    phrase(
        "takes the answer as known",
        "答案 + 已知 既然 由于 因为 鉴于",
        r"(?:已知|既然|由于已知|因为已知)(?:正确)?答案(?:是|为|选)|(?:由于|因为|鉴于)正确答案(?:是|为|选)",
    ),
    phrase(
        "the answer was given",
        "答案 选项 + 给 提 告 标 指 显 写 透",
        r"答案(?:已经|已|被)(?:给出|给定|提供|告知|标注|标出|指明)|答案(?:提示|显示|写着|标明)(?:为|是|的)"
        r"|(?:已|被|事先)(?:告知|告诉|透露|提供|给出|指定)(?:了)?(?:正确|标准)(?:答案|选项)(?!范围|中)",
    ),
    phrase(
        "a given answer",
        "答案 + 提供 给定 所给 已给 给出",
        r"(?:提供|给定|所给|已给|给出)的(?:正确|标准)?答案(?!选项|中|里)",
    ),
    phrase(
        "was told",
        "告知 告诉 提示 反馈",
        r"被告知|告诉我(?:的)?(?:正确)?(?:答案|结论)|提示(?:中|里)?(?:说|给出|告诉)|反馈(?:说|指出|表明|显示)我",
    ),
)


def answer_leak(trace: Trace, limits: Gates) -> Finding | None:
    """Speaks of an answer, a key or feedback that was given to it."""
    return first("answer_leak", trace, _LEAKS)


_BY = (
    r"(?:according to|based on|judging (?:by|from)|going by|per|as per|consulting|reviewing|from reading|we know from"
    r"|i know from|it says in|as (?:stated|noted|mentioned|described|documented|written|reported|indicated) (?:in|by))"
)
_THE = r"(?:the|this|that|his|her|their|its|patient's|the patient's)"
_SAYS = (
    r"(?: (?:also|clearly|explicitly|itself|further|does not))? (?:says?|states?|stated|mentions?|mentioned|notes|noted"
    r"|shows|showed|suggests|suggested|supports|calls|marks|speaks|points|gives|has it"
    r"|describes?|described|indicates?|indicated|reads|lists|listed|documents?|documented|confirms|confirmed|reveals"
    r"|revealed|identifies|specif(?:y|ies)|tells|gives|reports|labels|names|reported|records)\b"
)
_IS_THERE = (
    r"(?! (?:would|could|may|might|should|can"
    r"|(?:is|are|was|were) (?:not|absent|missing|unknown|unavailable|needed)))"
)
_DOCUMENTS = (
    (
        "report",
        "report",
        r"(?:(?:radiology|radiological|radiologist's|imaging|pathology|ct|mri|x-ray|ultrasound|laboratory|lab|official"
        r"|original|accompanying|attached|final|biopsy|autopsy|written|formal) ){0,3}report",
        "report",
    ),
    (
        "record",
        "record records chart notes note summary letter",
        r"(?:(?:(?:medical|patient|patient's|hospital|health|clinical|nursing|referral|discharge|admission|electronic"
        r"|radiologist's|doctor's|physician's) ){1,3}|(?<=his )|(?<=her )|(?<=patient's ))"
        r"(?:records?|charts?|notes?|summary|letter)"
        r"|(?<=the )(?:notes|records)(?= (?:mention|say|state|show|describe)\b)",
        "record chart note summary letter",
    ),
    (
        "history",
        "history information",
        r"(?:(?:clinical|medical|patient|patient's|past|provided|given|accompanying|documented|surgical) ){1,3}history"
        r"|(?:history|(?:clinical|patient) information) (?:provided|given|supplied)",
        "history information year years old presents presented presenting complains diagnosed admitted underwent month"
        " months",
    ),
    (
        "caption",
        "caption legend title text description article",
        r"(?:(?:figure|image|accompanying|original|attached|provided) ){0,2}(?:captions?|(?<=figure )(?:legend|title)"
        r"|(?<=image )title|(?<=accompanying )(?:text|article|description))",
        "caption legend title text",
    ),
    (
        "metadata",
        "metadata filename file dicom exif header",
        r"(?:(?:dicom|image|file|exif) )?(?:metadata|filename|file name|(?<=dicom )(?:header|tags?))",
        "metadata filename file dicom",
    ),
    (
        "label",
        "label labels annotation annotations",
        r"(?:(?:dataset|data set|training|image-level|provided|given|supplied|class|ground-truth|expert) ){1,2}"
        r"(?:labels?|annotations?)|annotation files?",
        "label annotation",
    ),
)  # fmt: skip
"""What is cited; words one of which is in every mention; the mention; words of a question that shows it."""
_DOCUMENTS_ZH = (
    (
        "report",
        "报告",
        r"(?:根据|依据|按照|从|查阅|参考)(?:患者|病人|该)?的?(?:所给|提供)?的?"
        r"(?:检查|影像学?|放射科?|病理|超声|ct|mri|诊断)?的?报告"
        r"|(?:检查|影像|放射科|病理|超声|诊断|ct|mri|该|此)报告(?:中|里)?"
        r"(?:提示|显示|指出|写明|写道|写着|描述|提到|证实|明确|说|记载)",
        "报告",
    ),
    (
        "record",
        "病历 病史 既往史 临床资料",
        r"(?:根据|依据|按照|从|查阅|结合)(?:患者|病人|该)?的?(?:提供的)?(?:电子)?(?:病历|病史|既往史|临床资料)"
        r"|(?:病历|病史|既往史|临床资料)(?:中|里|上)?(?:提示|显示|指出|写明|提到|记载|记录|提及|描述)",
        "病历 病史 既往 岁 主诉 因 就诊 患者，",
    ),
    (
        "label",
        "标签 标注 元数据 图注 说明 文件名",
        r"(?:根据|依据|按照|从)(?:数据集|图像|图片|文件)?的?(?:标签|标注信息|元数据|图注|图片说明|文件名)"
        r"|(?:数据集|训练)(?:的)?(?:标签|标注)"
        r"|(?:元数据|文件名|图注|图片说明)(?:中|里)?(?:显示|提示|写|说明|标明|表明|指出)",
        "标签 标注 元数据 图注 说明 文件名",
    ),
)


_CITED = table(
    *(
        phrase(
            f"cites a {name}",
            words,
            rf"\b{_BY} (?:{_THE} )?(?:[a-z'-]{{1,14}} )?(?:{noun})\b|\b(?:{_THE}|a|in) (?:{noun}){_SAYS}"
            rf"|\b(?:in|from) {_THE} (?:{noun})\b(?! of)|\b{_THE} (?!report\b)(?:{noun})\b{_IS_THERE}",
        )
        for name, words, noun, _ in _DOCUMENTS
    ),
    *(phrase(f"cites a {name}", words, pattern) for name, words, pattern, _ in _DOCUMENTS_ZH),
)
_SEEN = {f"cites a {name}": frozenset(seen.split()) for name, _, _, seen in _DOCUMENTS}
_SEEN_ZH = {f"cites a {name}": tuple(seen.split()) for name, _, _, seen in _DOCUMENTS_ZH}
"""Words of a question that shows what is cited."""
_HYPOTHETICAL = re.compile(
    r"\b(?:would|should|could|might|may|needs?|must|if|without|no|cannot|can't|not|unless|ideally|correlat\w{1,6}|absent"
    r"|lack\w{0,3}|available|request\w{0,3}|obtain\w{0,3})\b[^.;:\n]{0,60}$"
    r"|(?:需|应|要|请|建议|进一步|可|宜|没有|无|未|缺少|如果|若)[^。，；]{0,6}$"
)


def unseen_source(trace: Trace, limits: Gates) -> Finding | None:
    """Cites a report, a record, a caption, a label or metadata that is not in the prompt."""
    return first("unseen_source", trace, _CITED, _is_harmless)


def _is_harmless(trace: Trace, document: Phrase, cited: Match) -> bool:
    """Whether the prompt shows the source, or it is only said that it is missing or would help."""
    if cited.group().isascii():
        if not _SEEN[document.reason].isdisjoint(words_of(trace.asked)):
            return True
    elif any(word in trace.asked for word in _SEEN_ZH[document.reason]):
        return True
    return _HYPOTHETICAL.search(trace.plain[max(0, cited.start() - 80) : cited.start()]) is not None
