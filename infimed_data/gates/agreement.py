"""The gate that asks whether the reasoning concludes what the final answer says.

Only what the reasoning says last is held against the answer: what it announces as its answer, and its concluding
sentences ("therefore ...", and the last one). Three things can contradict there: another option, polarity or number in
an announcement; the other side of the same thing (a left lung for the right lung); and the denial of what is affirmed.
A sentence with both sides, a comparison or a doubt contradicts nothing, and neither does anything before a turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from functools import lru_cache

from infimed_data.gates.phrases import found, phrase, table
from infimed_data.gates.trace import Finding, Span, Trace, words_of
from infimed_data.manifest.generate import Gates
from infimed_data.schema import LABELS
from infimed_data.text import sentences
from infimed_data.verify import Gold, verify

__all__ = ["contradiction"]

TAIL = 400
"""Characters at the end of the reasoning that conclude it."""
LAST = 4
"""Sentences at its end that may."""

_ANNOUNCED = table(
    phrase(
        "",
        "answer",
        r"\banswer(?::| (?:is|must be|should be|has to be|would be|will be))",
        reach=20,
    ),
    phrase("", "correct", r"\bcorrect (?:option|choice|answer) is", reach=20),
    phrase(
        "",
        "choose select pick go settle",
        r"\b(?:choose|select|pick|go with|settle on) (?:option |answer |choice )?(?=\(?[a-j]\b)",
        reach=25,
    ),
    phrase("", "答案 选", r"答案(?:应该|应当|应)?(?:是|为|选|:)|(?:应|故|因此|所以)选(?:择)?"),
)
"""An answer is announced, and follows."""
_OTHER = {"choice": "other_option", "yes_no": "other_polarity", "number": "other_number"}
"""Reason of a verdict that says so, by kind of answer."""
_CONCLUDES = re.compile(
    r"^(?:so|thus|therefore|hence|overall|altogether|in (?:sum|summary|conclusion|short)|taken together|all in all"
    r"|this means|that means)\b|\b(?:therefore|hence|thus|i conclude|we conclude)\b|[,;] so\b"
    r"|因此|所以|综上|故|由此|总之|可见"
)
_TURNS = re.compile(
    r"\b(?:wait|but|however|although|though|yet|on second|actually|reconsider|instead|no,)"
    r"|但|然而|不过|等等|不对|可是|其实"
)
_LOOSE = re.compile(
    r"\b(?:if|were|would|could|might|may|expected|unlike|than|compared|comparison|versus|whereas|while|although|rather"
    r"|both|either|neither|bilateral|except|besides|opposite|contralateral|viewer|viewer's|reader's|screen"
    r"|side of the image|normal|clear|unremarkable|spared|intact|preserved|unaffected|uninvolved|healthy|shift\w{0,3}"
    r"|away|toward|towards|push\w{0,3}|displac\w{0,4})\b"
    r"|如果|若|比|相较|对侧|双侧|两侧|正常|清晰|未受累|移位|可能|图像[左右]|画面[左右]"
)
_SIDE = re.compile(r"\b(?:left|right)(?![- ]?hand(?:ed)?\b)(?:-sided)?\b|左|右")
_SIDE_OF = {"l": "left", "r": "right", "左": "left", "右": "right"}
_DENIALS = words_of(
    "no not without absent absence lack lacks lacking never none negative isn't doesn't aren't cannot can't nor free"
)
_DENIAL_ZH = re.compile(r"没有|无(?!法|名)|未见|不存在|未|不是|并非|没")
_PRESENT = words_of("present seen visible there shown identified evident")
_IS = ("is", "are")
_GENERAL = words_of("side lobe the a an of in on left right is sided")
"""Words of an answer that do not say what it is about."""
_EXISTENCE = re.compile(
    r"(?:is|are|was|were) there\b"
    r"|(?:is|are) [a-z -]{3,60} (?:present|seen|visible|shown|identified|evident|detected)\b"
    r"|(?:does|do) [a-z -]{3,60} (?:show|have|contain|demonstrate|reveal)\b|can [a-z -]{3,60} be seen"
    r"|[^？?]{0,20}(?:是否有|有没有|是否存在|有无|是否可见)"
)
"""A question about the presence of something, from its start."""
_ASKED = words_of(
    """
    is are was were there an any some evidence of signs sign a the in on this that image scan picture film present seen
    visible shown identified evident detected does do show have contain demonstrate reveal can be slice x-ray ray
    radiograph ct mri patient patient's chest brain abdomen with to at for and or it here view axial coronal sagittal
    """
)
"""Words of such a question that do not say what it asks for."""
_ASKED_ZH = re.compile(r"图中|图像中?|影像中?|这张|片中|该|患者|是否|有没有|有无|存在|可见|有|吗|[？?。中上]")


def contradiction(trace: Trace, limits: Gates) -> Finding | None:
    """What the reasoning concludes has another side, polarity or option than the final answer."""
    if not trace.blocks or not trace.final:
        return None
    if announced := _announced(trace):
        return announced
    denies = _denies_question if trace.answer_kind == "yes_no" else _denies_answer
    checks = [check for check, applies in ((_opposes, _has_side), (denies, _is_deniable)) if applies(trace)]
    if not checks:
        return None
    begin = max(trace.thought.start, trace.thought.end - TAIL)
    spans = sentences(trace.text[begin : trace.thought.end])[-LAST:]
    for start, end in reversed(spans):
        span = Span(begin + start, begin + end)
        for check in checks:
            if (other := check(trace, span)) and _concludes(trace, span, last=(start, end) == spans[-1]):
                return other
    return None


def _has_side(trace: Trace) -> bool:
    return _SIDE.search(trace.answered) is not None


def _is_deniable(trace: Trace) -> bool:
    if trace.answer_kind != "yes_no":
        tail = trace.plain[max(trace.thought.start, trace.thought.end - TAIL) : trace.thought.end]
        return trace.answered.isascii() and all(thing in tail for thing in _things(trace.answered))
    question = trace.question.lower().strip()
    if _EXISTENCE.match(question) is None:
        return False
    asked = re.sub("是否|有没有|有无", "", question)
    return _DENIALS.isdisjoint(words_of(asked)) and _DENIAL_ZH.search(asked) is None


def _announced(trace: Trace) -> Finding | None:
    """Another option, polarity or number in the last announcement of an answer, if nothing takes it back."""
    if trace.answer_kind not in _OTHER:
        return None
    start, end = max(trace.thought.start, trace.thought.end - TAIL), trace.thought.end
    last = max((match.span() for _, match in found(trace, _ANNOUNCED, start, end)), default=None)
    gold = _gold(trace) if last else None
    if last is None or gold is None or _TURNS.search(trace.plain, last[1], end):
        return None
    at = last[1]
    stop = at + next((end for _, end in sentences(trace.text[at : trace.thought.end])), 0)
    said = trace.text[at:stop].strip(" :")
    if gold.answer_label == said[:1] and not said[1:2].isalnum():
        return None
    if verify(gold, said).reason != _OTHER[trace.answer_kind]:
        return None
    return trace.show("contradiction", "announces another answer", last[0], stop)


def _gold(trace: Trace) -> Gold | None:
    """The final answer as a gold answer, to hold what the reasoning says against it."""
    if trace.answer_kind != "choice":
        return Gold(trace.question, trace.options, trace.final, None, trace.answer_kind, trace.lang)
    if trace.chosen is None:
        return None
    option = trace.options[trace.chosen]
    return Gold(trace.question, trace.options, option, LABELS[trace.chosen], "choice", trace.lang)


def _concludes(trace: Trace, span: Span, *, last: bool) -> bool:
    """Whether a sentence concludes, and nothing after it turns."""
    if last:
        return True
    if _CONCLUDES.search(trace.plain[span.start : span.end]) is None:
        return False
    return _TURNS.search(trace.plain, span.end, trace.thought.end) is None


def _opposes(trace: Trace, span: Span) -> Finding | None:
    """The other side of the same thing."""
    answer, sentence = trace.answered, trace.plain[span.start : span.end]
    mine = {_SIDE_OF[found[0]] for found in _SIDE.findall(answer)}
    given = {_SIDE_OF[found[0]] for found in _SIDE.findall(sentence)}
    if len(mine) != 1 or len(given) != 1 or mine == given:
        return None
    words = words_of(sentence)
    if _LOOSE.search(sentence) or not words.isdisjoint(_DENIALS) or _DENIAL_ZH.search(sentence):
        return None
    if answer.isascii():
        things = words_of(answer) - _GENERAL
        if things and things.isdisjoint(words):
            return None
    elif (thing := re.sub("[左右侧]", "", answer).strip(" .。")) and thing not in sentence:
        return None
    return trace.show("contradiction", f"says {given.pop()}, answers {mine.pop()}", span.start, span.end)


def _denies_answer(trace: Trace, span: Span) -> Finding | None:
    """The denial of what the answer affirms, or the other way round."""
    answer, sentence = trace.answered, trace.plain[span.start : span.end]
    things = _things(trace.answered)
    if not things or not all(thing in sentence for thing in things) or _LOOSE.search(sentence):
        return None
    words = _in_order(sentence)
    if sum(option.lower() in sentence for option in trace.options) > 1:
        return None
    negative = not _DENIALS.isdisjoint(words_of(answer))
    if negative and _affirmed(words, things):
        return trace.show("contradiction", "affirms what the answer denies", span.start, span.end)
    if not negative and _denied(words, things):
        return trace.show("contradiction", "denies what the answer affirms", span.start, span.end)
    return None


@lru_cache(maxsize=1024)
def _things(answer: str) -> frozenset[str]:
    """The words of an answer that say what it is about."""
    return frozenset(word for word in words_of(answer) - _GENERAL - _DENIALS if len(word) > 3)


def _denies_question(trace: Trace, span: Span) -> Finding | None:
    """A question about the presence of something, and a conclusion about it of the other polarity than the answer."""
    sentence, final = trace.plain[span.start : span.end], trace.final.lower()
    yes, no = final.startswith(("yes", "是", "有", "存在")), final.startswith(("no", "否", "无", "没", "不"))
    if yes == no or _LOOSE.search(sentence):
        return None
    question = trace.question.lower().strip()
    if question.isascii():
        things = {word for word in words_of(question) - _ASKED if len(word) > 3}
        words = _in_order(sentence)
        denied, affirmed = _denied(words, things), _affirmed(words, things)
    else:
        before, thing, after = sentence.partition(_ASKED_ZH.sub("", question))
        near = before[-8:].rpartition("，")[2]
        denied = bool(thing) and (_DENIAL_ZH.search(near) is not None or "不存在" in after[:8])
        affirmed = (
            bool(thing) and not _DENIAL_ZH.search(sentence) and any(word in near for word in ("有", "存在", "可见"))
        )
    if yes and denied:
        return trace.show("contradiction", "denies what the answer affirms", span.start, span.end)
    if no and affirmed:
        return trace.show("contradiction", "affirms what the answer denies", span.start, span.end)
    return None


def _in_order(sentence: str) -> list[str]:
    """The words of a sentence; a comma is a word, so that nothing reaches across it."""
    return re.findall(r"[a-z][a-z']*|[,;:]", sentence)


def _denied(words: Sequence[str], things: Set[str]) -> bool:
    """Whether one of `things` is said not to be there: "no pleural effusion", "the effusion is not seen"."""
    for at, word in enumerate(words):
        if word in ("no", "without", "lacks", "excludes") or words[at : at + 2] in (["absence", "of"], ["free", "of"]):
            for later in words[at + 1 : at + 5]:
                if later in things:
                    return True
                if later in ",;:":
                    break
        elif word in things:
            after = words[at + 1 : at + 6]
            for index, later in enumerate(after[:-1]):
                if later in _IS and after[index + 1] == "absent":
                    return True
                if later in _IS and after[index + 1] == "not" and not _PRESENT.isdisjoint(after[index + 2 :]):
                    return True
    return False


def _affirmed(words: Sequence[str], things: Set[str]) -> bool:
    """Whether one of `things` is said to be there, in a sentence without any denial."""
    if not _DENIALS.isdisjoint(words):
        return False
    for at, word in enumerate(words[:-1]):
        if word == "there" and words[at + 1] in _IS and not things.isdisjoint(words[at + 2 : at + 7]):
            return True
        if word in _IS and words[at + 1] in _PRESENT and not things.isdisjoint(words[max(0, at - 5) : at]):
            return True
    return False
