"""Reflection in a trace: where it is, and the gates that ask whether there is any and whether it does anything.

A sentence reflects where one of the phrases of `MARKERS` stands in it. A reflection is idle if neither its sentence nor
the two after it say anything of substance that was not said just before, and nothing is revised: "Let me double-check.
Yes, that is right." A trace is let through with one idle remark beside reflection that works, not with two, nor with
idle remarks alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from infimed_data.gates.phrases import Match, Table, found, phrase, table
from infimed_data.gates.trace import Finding, Trace, words_of
from infimed_data.manifest.generate import Gates
from infimed_data.schema import LABELS
from infimed_data.text import sentences

__all__ = ["MARKERS", "Highlight", "empty_reflection", "highlights", "no_reflection", "options_ignored", "turn_lost"]


class Highlight(NamedTuple):
    """A stretch of a trace that reflects."""

    pattern: str
    """A key of `MARKERS`: the patterns that a manifest can ask for."""
    start: int
    """Of the sentence, in the trace's text."""
    end: int
    marker: str
    """The phrase that shows it."""


REACH = 40
"""Characters on either side of its word that a phrase of reflection takes at most."""
_SHOWN = r"(?:image|picture|scan|film|radiograph|x-ray|slide|question|case|stem|options?|findings?|tracing|slice|view)"

_RETHINK = r"(?:reconsider|rethink|revise|think again|start over|go back|step back|back up|take (?:that|this|it) back)"


def _marks(*phrases: tuple[str, str]) -> Table:
    return table(*(phrase("", words, pattern, reach=REACH) for words, pattern in phrases))


MARKERS: dict[str, Table] = {
    "self_check": _marks(
        (
            "check checking verify confirm sure certain test",
            r"\b(?:double[- ]check|cross-check|sanity check"
            r"|(?:let me|i should|i want to|i need to|i must|i will) (?:just |now |quickly )?"
            r"(?:check|verify|confirm|test|make sure)"
            r"|to (?:verify|be sure|be certain|make sure|(?:confirm|check) (?:this|that))\b"
            r"|checking (?:this|that|it|again|once more|against|my))",
        ),
        ("were", r"\bif (?:this|that|it|i) were (?:wrong|right|true|so|correct)"),
        ("does", r"\bdoes (?:this|that|it) (?:hold|fit|match|make sense|agree)"),
        ("consistent against", r"\bis (?:this|that) consistent|\bhold(?:ing)? (?:this|that|it) against"),
        (
            "检查 核对 确认 验证 核实 检验 结论",
            r"再次?(?:检查|核对|确认|验证|核实|检验)|(?:检查|验证|核对|确认|检验|核实)一下"
            r"|如果(?:这个|该)?结论(?:是错|不成立|有误)",
        ),
    ),
    "eliminate_options": _marks(
        ("rule rules ruled ruling", r"\brul(?:e|es|ed|ing) (?:\w+ ){0,2}out\b"),
        ("eliminate eliminates eliminated eliminating excluded excludes", r"\beliminat(?:e|es|ed|ing)|\bexclude[sd]\b"),
        ("aside discarded dismissed dropped", r"\bcan be (?:set aside|discarded|dismissed|dropped)"),
        ("option choice", r"\b(?:option|choice) [a-j] (?:is out|fails|falls|does not|doesn't|would)"),
        ("leaves leaving remains", r"\b(?:that|which) leaves|leaving only|leaves only|remains as the only"),
        ("排除 去掉 剩 逐", r"排除|可以去掉|只剩|剩下|逐一|逐项"),
    ),
    "alternative_hypothesis": _marks(
        (
            "alternatively alternative another other competing differential",
            r"\balternatively|\banother (?:possibility|explanation|candidate|hypothesis|reading|option would)"
            r"|\ban alternative|\bthe (?:\w+ ){0,2}alternative|\bcompeting|\bother explanation|\bthe differential",
        ),
        (
            "could might may",
            r"\b(?:could|might) (?:it|this|that) (?:also |instead |rather |really )?be|\bor (?:is|could|might) it"
            r"|\b(?:could|might|may) also\b",
        ),
        ("what whether", r"\bwhat (?:if|else)\b|\bconsider whether"),
        (
            "另一 会不会 可能 还有 换",
            r"另一种(?:可能|解释|情况)|另一个可能|会不会|是否(?:也|还)?可能|其他可能|还有一种"
            r"|换(?:一种|一个|个)(?:思路|角度|可能)",
        ),
    ),
    "look_back": _marks(
        ("look looking", r"\blook(?:ing)? (?:back|again|once more)|\b(?:another|second|closer|fresh) look\b"),
        (
            "re reexamine reexamining reread rereading revisit revisiting",
            r"\bre-?(?:examin|read\b|reading\b|inspect)|\brevisit",
        ),
        (
            "going go coming turning returning return back",
            rf"\b(?:going|go|coming|turning|returning|return|back) (?:back )?to the {_SHOWN}|\bback at the {_SHOWN}",
        ),
        ("again more", rf"\b(?:once more|again) at the {_SHOWN}"),
        (
            "看 回到 重 再次",
            r"回(?:过)?头(?:来)?(?:再)?看|再看|再次(?:观察|查看|阅读|审视)|重读|重看"
            r"|重新(?:看|观察|审视|阅读|检视|查看)|回到(?:图|影像|题|片|原)",
        ),
    ),
    "backtrack": _marks(
        ("wait hold", r"\bwait(?=[,.;:!?-]| -|$| no\b| i | that | the | but)|\bhold on\b"),
        ("second scratch", r"\bon second thoughts?|\bscratch that"),
        (
            "wrong mistaken quick hasty misreading mistake incorrect",
            r"\bi was (?:wrong|mistaken|too quick|too hasty|hasty|misreading)"
            r"|\bthat(?:'s| is| was) (?:wrong|a mistake|mistaken|incorrect|too hasty)|\bmy mistake",
        ),
        (
            "right + that's cannot can't",
            r"\bthat's not right|\b(?:that|this|it) (?:cannot|can't) be right",
        ),
        ("let", rf"\blet me {_RETHINK}"),
        ("reconsider rethink revise again over back + i", rf"\bi (?:should|need to|have to|must) {_RETHINK}"),
        ("myself", r"\bcorrect(?:ing)? myself"),
        ("hmm hmmm actually", r"\bhmm{1,9}|\bactually,"),
        (
            "thought impression idea reading guess + first initial",
            r"\b(?:first|initial) (?:thought|impression|idea|reading|guess) (?:was|is|does|cannot|fails)",
        ),
        (
            "等 不对 错了 重新 慢着 且慢 纠正 收回 退回 推翻 站不住",
            r"等等|等一下|(?:这|那|就)?不对[，。,；！]|(?:想|看|弄|搞|判断|理解)错了|重新(?:考虑|思考|想)|慢着|且慢"
            r"|需要纠正|应当纠正|收回|退回|推翻|站不住脚",
        ),
    ),
}
"""Pattern of reflection to the phrases that show it."""

_CLAIMS = table(*(each for name in ("self_check", "look_back", "backtrack") for each in MARKERS[name].phrases))
"""Phrases that promise that something is looked at again."""


def highlights(trace: Trace) -> tuple[Highlight, ...]:
    """The sentences of the reasoning that reflect, in order; one for each pattern a sentence shows."""
    shown: dict[tuple[int, str], Highlight] = {}
    starts = [start for start, _ in trace.spans]
    for pattern, phrases in MARKERS.items():
        for _, marker in found(trace, phrases, *trace.thought):
            at = max(0, bisect_right(starts, marker.start()) - 1)
            text = trace.text[marker.start() : marker.end()]
            shown.setdefault((at, pattern), Highlight(pattern, *trace.spans[at], text))
    return tuple(shown[place] for place in sorted(shown))


_FILLER = words_of(
    """
    a about above again against all also am an and any anything are as at back be because been before being but by can
    case could did do does doing done each else even every everything fine first for from get go going good had has have
    having here how i if in indeed into is it its itself just let letme like look looking looks make makes me mistake
    more my myself no nothing now of ok okay on once one only or other our out over really right same seem seems should
    so some still sure than that the their them then there these they thing think this those through thus to too up us
    very was we well were what when where which while who why will with would yes yet you your double check checked
    checking checks verify verified verifying confirm confirmed confirms confirming correct correctly answer answers
    answered conclusion conclude reasoning reason reasoned consistent sense stands stand holds hold wait hmm actually
    reconsider rethink revisit carefully careful consider considering need want try quickly final option options choice
    question image step steps thinking thought moment second true valid solid reliable confident certain therefore hence
    agree agrees match matches fits fit accurate that's it's i'm let's everything's logic analysis
    """
)
"""Words that say nothing about a case."""
_CONTRAST = re.compile(
    r"\b(?:not|no longer|instead|rather|isn't|doesn't|wasn't|but|however|wrong|mistaken|cannot|never)\b"
)
_FILLER_ZH = re.compile(
    r"再次?|重新|检查|核对|确认|验证|核实|检验|一下|一遍|没有问题|没问题|无误|正确|答案|结论|推理|过程|成立|合理|是的"
    r"|仔细|自己|判断|觉得|没错|感觉|认为|作答|上述|以上|问题|有|确实|仍然|依然|因此|所以|那么|我们?"
    r"|让|来|看|想|等等|不对|回头|回到|图像|题目|思考|考虑|应该|这个|这样|就是|是|的|了|也|都|很|可以|可靠|清楚|一致|逻辑"
)
_HAN = re.compile("[\u4e00-\u9fff]")
_CONTRAST_ZH = re.compile("而不是|并非|不是|不符|相反|其实|实际上|错|却|应为|改为|而是")
NEAR = 2
"""Sentences before a reflection that it may merely repeat, and after it that may hold what it found out."""
BEFORE, AFTER = 200, 280
"""Characters around its phrase in which these sentences are looked for."""


class _Claim(NamedTuple):
    """A sentence that says something is looked at again."""

    start: int
    end: int
    before: str
    """The sentences before it."""
    after: str
    """What follows the phrase, up to the end of the sentences after it."""


def empty_reflection(trace: Trace, limits: Gates) -> Finding | None:
    """Says that it checks or thinks again, and neither looks at anything nor changes anything."""
    claims: dict[int, _Claim] = {}
    for _, marker in found(trace, _CLAIMS, *trace.thought):
        claim = _claim(trace, marker)
        known = claims.setdefault(claim.start, claim)
        if len(claim.after) < len(known.after):
            claims[claim.start] = claim  # what follows the last phrase of a sentence is what it found
    idle = [claim for claim in claims.values() if _is_idle(claim)]
    if not idle or (len(idle) < 2 and len(idle) < len(claims)):
        return None
    return trace.show("empty_reflection", "reflects on nothing", idle[0].start, idle[0].end)


def _claim(trace: Trace, marker: Match) -> _Claim:
    left = max(trace.thought.start, marker.start() - BEFORE)
    right = min(trace.thought.end, marker.end() + AFTER)
    text = trace.plain[left:right]
    spans = sentences(text)
    at = max(0, bisect_right([start for start, _ in spans], marker.start() - left) - 1)
    start, end = spans[at]
    _, last = spans[min(at + NEAR, len(spans) - 1)]
    return _Claim(left + start, left + end, text[spans[max(0, at - NEAR)][0] : start], text[marker.end() - left : last])


def _is_idle(claim: _Claim) -> bool:
    """Whether a reflection says nothing new and changes nothing."""
    if _HAN.search(claim.after):
        left = "".join(_HAN.findall(_FILLER_ZH.sub("", claim.after)))
        pairs = {left[i : i + 2] for i in range(len(left) - 1)}
        told = {claim.before[i : i + 2] for i in range(len(claim.before) - 1)}
        return len(left) < 5 or (len(pairs - told) < 3 and _CONTRAST_ZH.search(claim.after) is None)
    content = {word for word in words_of(claim.after) - _FILLER if len(word) > 1}
    if not 3 <= len(content) <= 9:
        return len(content) < 3  # nobody repeats ten words of two sentences
    return len(content - words_of(claim.before)) < 2 and _CONTRAST.search(claim.after) is None


def no_reflection(trace: Trace, limits: Gates) -> Finding | None:
    """A reflection pattern was asked for, and no reflection is found."""
    if trace.pattern not in MARKERS or highlights(trace):
        return None
    if trace.pattern == "eliminate_options" and options_ignored(trace, limits) is None:
        return None
    return trace.show("no_reflection", f"no sign of {trace.pattern}", 0, 0)


_LETTER = re.compile(r"(?<![A-Za-z])([A-J])(?![A-Za-z])")
_LETTER_A = re.compile(
    r"(?:[Oo]ption|[Cc]hoice|选项) ?\(?A|(?<![A-Za-z])A[).:,、]|\(A|A(?:项|选项)|A (?:is|fits|does|would|can) "
)


def options_ignored(trace: Trace, limits: Gates) -> Finding | None:
    """`eliminate_options` was asked for, and the wrong options are never mentioned."""
    if trace.pattern != "eliminate_options" or len(trace.options) < 2:
        return None
    plain = trace.plain[trace.thought.start : trace.thought.end]
    letters = {*_LETTER.findall(trace.reasoning)} - {"A"} | ({"A"} if _LETTER_A.search(trace.reasoning) else set())
    named = {
        index
        for index, option in enumerate(trace.options)
        if LABELS[index] in letters or (option and option.casefold() in plain)
    }
    wrong = named - {trace.chosen}
    if len(wrong) >= min(2, len(trace.options) - 1):
        return None
    return trace.show("options_ignored", f"{len(wrong)} wrong options are mentioned", 0, 0)


_TURN = re.compile(
    r"[.;:!?\n] (?:but|yet|still|instead)\b|\bhowever\b|\bsays? otherwise\b"
    r"|\b(?:but|yet|except that|only)\b[^.\n]{0,140}"
    r"\b(?:not|no|cannot|can't|doesn't|don't|isn't|would|should|against|conflicts?|contradicts?|inconsistent|fails?|wrong"
    r"|rules? out|too|instead|missing|absent)\b"
    r"|\b(?:does not|doesn't|cannot|can't) (?:fit|explain|account|hold|be right|match|agree)"
    r"|(?:但|然而|可是|不过|却)[^。\n]{0,60}(?:不|没|无|未|矛盾|相反|才|应)|不符|不吻合|解释不了|无法解释|说不通"
    r"|后来|其实|原来|才发现|这才"
)
_TURNING = ("backtrack", "look_back", "alternative_hypothesis")
_LABELLED = re.compile(r"([A-J])(?:[.):、]\s*|$)(.*)", re.DOTALL)


def turn_lost(trace: Trace, limits: Gates) -> Finding | None:
    """A wrong turn was merged with its correction, and the turn, or the correction, is no longer there."""
    if not trace.wrong:
        return None
    start = min((at for wrong in trace.wrong if (at := _named_at(trace, wrong)) >= 0), default=-1)
    if start < 0:
        return trace.show("turn_lost", f"{trace.wrong[0][:60]} is not mentioned", 0, 0)
    start = max((begin for begin, _ in trace.spans if begin <= start), default=start)
    end = trace.thought.end
    turns = any(True for pattern in _TURNING for _ in found(trace, MARKERS[pattern], start, end))
    if not turns and _TURN.search(trace.plain, start, end) is None:
        return trace.show("turn_lost", "no turn after it", start, min(start + 80, trace.thought.end))
    return None


def _named_at(trace: Trace, wrong: str) -> int:
    """Where the reasoning first names a conclusion, by its text or its letter; -1 if it does not."""
    labelled = _LABELLED.match(wrong.strip())
    letter, text = (labelled[1], labelled[2]) if labelled else ("", wrong)
    text = text.strip(" .。\n").casefold()
    if not text and letter and LABELS.index(letter) < len(trace.options):
        text = trace.options[LABELS.index(letter)].casefold()
    if trace.answer_kind == "yes_no":
        return trace.thought.start  # "yes" and "no" need not stand there as such
    places = [trace.plain.find(text, *trace.thought)] if text else []
    if letter and letter != "A":
        places += [found.start() for found in _LETTER.finditer(trace.text, *trace.thought) if found[1] == letter][:1]
    return min((at for at in places if trace.thought.start <= at < trace.thought.end), default=-1)
