"""Gates on whose voice a trace speaks in: that of a model, of a servant of users, of one that will not answer."""

from __future__ import annotations

import re

from infimed_data.gates.phrases import Match, Phrase, first, phrase, table
from infimed_data.gates.trace import Finding, Trace
from infimed_data.manifest.generate import Gates

__all__ = ["persona", "refusal"]

_PERSONAS = table(
    phrase(
        "speaks of being an AI",
        "ai assistant model chatbot intelligence + am i'm as being like language an this",
        r"\b(?:i am|i'm|as|being|like) (?:just |only |merely )?(?:an?|your) (?:\w+ ){0,2}"
        r"(?:ai|artificial intelligence|language model|chatbot|virtual assistant|assistant)\b"
        r"|\blanguage model\b|\b(?:an|this) ai (?:model|assistant|system|language)\b(?! (?:read|detect|interpret|for))",
    ),
    phrase("speaks of its training", "training cutoff", r"\bmy (?:training|knowledge cutoff)\b"),
    phrase(
        "speaks of a user",
        "user user's",
        r"\bthe user(?:'s\b|,|\.| (?:asks?|asked|wants?|wanted|is asking|is looking|has asked|has provided|has given"
        r"|provided|gave|question|query|request|said|says|requested|needs|expects|uploaded|shared|would like|also"
        r"|did)\b)"
        r"|\buser's (?:question|query|request|prompt|instruction)",
    ),
    phrase(
        "speaks of a prompt",
        "prompt system",
        r"\bsystem (?:message|prompt)\b|\b(?:the|this|my|your) (?:system |original |given )?prompt(?:'s|[.,:;)]"
        r"| (?:says?|asks?|asked|states?|requires?|required|tells?|instructs?|wants?|mentions?|specif(?:y|ies)|gives"
        r"|gave|provides?|does|did|is|was|itself|above))",
    ),
    phrase(
        "speaks of instructions",
        "instructed told required supposed asked + i i'm i've",
        r"\bi(?:'m| am| was|'ve been| have been) (?:instructed|told|required|supposed) (?:not )?to\b"
        r"|\bi(?:'ve| have) been asked to\b",
    ),
    phrase(
        "speaks of instructions",
        "instruction instructions format output reply",
        r"\b(?:the|these|your) (?:\w+ )?instructions? "
        r"(?:says?|states?|asks?|requires?|tells?|specif(?:y|ies)|above|mentions?|wants?)\b|\bmy instructions?\b"
        r"|\b(?:follow|following|per|as per|according to) (?:the|my|these|your) "
        r"(?:given |provided |above |output |required |answer |system |requested )?(?:instructions?|format)\b"
        r"(?! (?:of|on|for|from|sheet|leaflet)\b)"
        r"|\b(?:required|requested|output|answer|specified) format\b"
        r"|\bformat (?:demands|requires|asks|wants|calls|says)\b"
        r"|\bformat of (?:an? |the )?(?:letter|option|answer|number)\b|\b(?:output|reply) (?:should|must|has to) be\b",
    ),
    phrase(
        "speaks of tags",
        "tags tag",
        r"\b(?:answer|think|thinking|xml|response) tags?\b|\b(?:in|inside|within|between) (?:the )?tags\b",
    ),
    phrase(
        "speaks of its output",
        "put wrap enclose format output present place respond",
        r"\bi (?:should|must|need to|will|have to|'ll|am going to) (?:now )?"
        r"(?:output|respond|(?:put|wrap|enclose|format|present|place)"
        r" (?:my |the )?(?:final )?(?:answer|response|reasoning))\b",
    ),
    phrase(
        "speaks to a reader",
        "you your you've + asked provided uploaded shared gave want asking sent question request query prompt message"
        " image scan x-ray picture film photo",
        r"\byou(?:'ve| have)? (?:asked|provided|uploaded|shared|gave me|want me|are asking|sent)\b"
        r"|\byour (?:question|request|query|prompt|uploaded|message|image|scan|x-ray|picture|film|photo)\b",
    ),
    phrase(
        "speaks of being an AI",
        "作为 身为 我是 我只是 + ai 人工 模型 助手 机器人",
        r"(?:作为|身为|我是|我只是)(?:一个|一名|一款)?"
        r"(?:ai|人工智能|大?型?语言模型|大模型|智能助手|聊天机器人|虚拟助手|助手)",
    ),
    phrase("speaks of a user", "用户", r"(?<![使利应采服常])用户(?!外)"),
    phrase(
        "speaks of instructions",
        "提示 指令 指示 格式 被要求 标签",
        r"提示词|(?:根据|按照|遵循|依照)(?:系统|用户|您的|你的|上述|给定|题目)?的?"
        r"(?:指令|指示|输出格式|格式要求|要求的格式|回答格式)"
        r"|(?:指令|系统提示)(?:中)?(?:要求|说|规定)|我被要求|标签(?:内|中|之间)(?:给出|写|输出)",
    ),
    phrase("speaks to a reader", "您 你", r"[您你](?:的(?:问题|提问|要求|图片|图像)|提供的|上传的|想知道|问的|发来)"),
)


def persona(trace: Trace, limits: Gates) -> Finding | None:
    """Speaks of being an AI, of instructions, a prompt or a user."""
    return first("persona", trace, _PERSONAS)


_UNABLE = (
    r"(?:cannot|can not|can't|am unable to|am not able to|'m unable to|'m not able to|won't|will not|must decline to)"
)
_REFUSALS = table(
    phrase(
        "apologises",
        "sorry apologise apologize apologies",
        r"\b(?:i'm|i am) (?:very |so )?sorry\b|\bsorry, (?:but )?i\b|\bi apologi[sz]e\b|\bmy apologies\b",
    ),
    phrase(
        "will not answer",
        "help assist provide give offer comply advice diagnose interpret analyze analyse + i i'm",
        rf"\bi ?{_UNABLE} (?:\w+ )?(?:(?:help|assist|comply)\b"
        r"|(?:provide|give|offer) (?:you )?(?:an?y? |the |specific )?(?:medical |clinical |definitive )?"
        r"(?:advice|diagnosis|diagnoses|opinion|interpretation|answer|assessment)\b"
        r"|(?:diagnose|interpret|analy[sz]e) (?:medical |patient |this |the |these |any )?(?:medical )?"
        r"(?:images?|scans?|conditions?|patients|x-rays?)\b)",
    ),
    phrase(
        "cannot see the image",
        "image images picture attachment file photo",
        rf"\bi ?{_UNABLE} (?:\w+ )?(?:view|see|access|open|process|load|look at)"
        r" (?:the |this |any |an |your )?(?:attached |actual |uploaded )?"
        r"(?:images?|pictures?|attachments?|files?|photos?)\b"
        r"|\bno (?:image|picture) (?:is|was|has been|seems to be) "
        r"(?:provided|attached|given|included|available|uploaded)\b"
        r"|\bimage (?:is|was) not (?:provided|attached|included|available|visible to me)\b",
    ),
    phrase(
        "sends the reader to a doctor",
        "please consult seek contact advice substitute informational",
        r"\bplease (?:\w+ )?(?:consult|seek|see) (?:an?|your|the|with|medical|professional|immediate)\b"
        r"|\b(?:consult|seek|contact)\b[^.\n]{0,30}\b(?:qualified|licensed|healthcare|health care)"
        r" (?:professional|physician|doctor|provider|specialist)"
        r"|\b(?:not|never) (?:be )?(?:intended as |considered |constitute |construed as )?"
        r"(?:a substitute for |medical |professional |professional medical )(?:advice|medical advice|professional)\b"
        r"|\binformational purposes\b",
    ),
    phrase(
        "does not answer",
        "determine answer tell say decide know judge + i i'm",
        rf"\bi ?{_UNABLE} (?:\w+ )?(?:determine|answer|tell|say|decide|judge)\b[^.\n]{{0,60}}[.\n]"
        r"|\bi (?:do not|don't) know\b (?:the|what|which|how to answer)[^.\n]{0,60}[.\n]",
    ),
    phrase(
        "refuses",
        "歉 对不起 遗憾 医疗建议 没有 未 无法 不能 难以 请",
        r"(?:非常|很)?抱歉|对不起|很遗憾|不构成(?:任何)?医疗建议|(?:没有|未)(?:提供|上传|附上?)(?:任何)?(?:图像|图片|影像)"
        r"|(?:我|本助手)(?:无法|不能|没有办法|难以)(?:为您|为你|直接)?"
        r"(?:提供|给出|查看|看到|访问|处理|回答|协助|打开)[^。，；\n]{0,8}"
        r"(?:诊断|建议|图像|图片|影像|回答|答案|帮助|这个问题|该问题)"
        r"|请(?:您|你)?(?:及时)?(?:咨询|就医|求助)(?:专业)?(?:的)?(?:医生|医师|医疗|人员)?",
    ),
)
_TAKEN_BACK = re.compile(r"\b(?:but|however|yet|still|though|although|so|until|unless|therefore|instead)\b")
_MAY_BE_A_STEP = re.compile(r"\b(?:determine|answer|tell|say|decide|judge|know)\b")


def refusal(trace: Trace, limits: Gates) -> Finding | None:
    """Refuses, apologises, or sends the reader to a doctor instead of answering."""
    return first("refusal", trace, _REFUSALS, _goes_on)


def _goes_on(trace: Trace, phrase: Phrase, refused: Match) -> bool:
    """Whether "I cannot determine ..." is only a step: its sentence, or the next one, goes on from it."""
    if _MAY_BE_A_STEP.search(refused.group()) is None or "image" in refused.group():
        return False
    return _TAKEN_BACK.search(trace.plain, refused.start(), refused.end() + 40) is not None
