"""Gates on the shape of a trace: its blocks, its length, its language, loops, a single answer, eyes on the image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infimed_data.gates.trace import Finding, Span, Trace, words_of
from infimed_data.manifest.generate import Gates
from infimed_data.text import SPECIAL_TOKENS
from infimed_data.verify.extract import final_answers

__all__ = ["form", "image_ignored", "language", "length", "repetition", "several_answers"]

_SPECIAL = re.compile(SPECIAL_TOKENS)
_BOX = re.compile(r"\\boxed ?\{")
_HAN = re.compile("[\u4e00-\u9fff\u3400-\u4dbf]")


def _beyond_ascii(text: str) -> int:
    """Characters beyond ASCII: in Chinese text about the number of its words, in a hundredth of the time."""
    return len(text) - len(text.encode("ascii", "ignore"))


def form(trace: Trace, limits: Gates) -> Finding | None:
    """Not one closed block of reasoning and then an answer, or tokens in it that a chat template reads as its own."""
    for at in _marks(trace.text):
        if special := _SPECIAL.match(trace.text, at):
            return trace.show("form", "a special token", special.start(), special.end())
    if not trace.blocks:
        return trace.show("form", "no closed block of reasoning", 0, 0)
    tags = [tag for tag in trace.tags if not tag.answer]
    if len(tags) != 2:
        return trace.show("form", "more than one block of reasoning", tags[2].start, tags[2].end)
    if trace.text[: tags[0].start].strip():
        return trace.show("form", "text before the reasoning", 0, tags[0].start)
    if not trace.reasoning.strip():
        return trace.show("form", "empty reasoning", *trace.thought)
    if not trace.final.strip():
        return trace.show("form", "no answer after the reasoning", tags[1].start, tags[1].end)
    return None


def _marks(text: str) -> Iterator[int]:
    """Where a special token may begin."""
    for mark in "<[":
        at = text.find(mark)
        while at >= 0:
            yield at
            at = text.find(mark, at + 1)


def length(trace: Trace, limits: Gates) -> Finding | None:
    """Reasoning shorter than `min_words` or longer than `max_words`."""
    reasoning = trace.reasoning
    words = reasoning.count(" ") + reasoning.count("\n") + 1
    if words < 2 * limits.min_words or words > limits.max_words:
        words = len(reasoning.split())  # never more than that, and only near a limit worth its time
    if not trace.ascii:
        more = _beyond_ascii(reasoning)
        near = words + more < 2 * limits.min_words or words + more > limits.max_words
        words += max(0, (len(_HAN.findall(reasoning)) if near else more) - 1)
    if words < limits.min_words:
        return trace.show("length", f"{words} words; at least {limits.min_words}", *trace.thought)
    if words > limits.max_words:
        return trace.show("length", f"{words} words; at most {limits.max_words}", trace.thought.end, trace.thought.end)
    return None


def several_answers(trace: Trace, limits: Gates) -> Finding | None:
    """More than one final answer, or an answer tag inside the reasoning."""
    gate = "several_answers"
    markers = [tag.start for tag in trace.tags if tag.answer and not tag.closing]
    if "\\boxed" in trace.text:
        markers = sorted(markers + [found.start() for found in _BOX.finditer(trace.text)])
    if not markers:
        answers = final_answers(trace.text, options=trace.options).answers
        return _shown_last(trace, "another answer", answers[1]) if len(answers) > 1 else None
    if trace.blocks and markers[0] < trace.thought.end:
        return trace.show(gate, "an answer inside the reasoning", markers[0], markers[0] + 8)
    nested = len(markers) == 2 and trace.text[markers[0] : markers[1]].strip() in ("<answer>", "\\boxed{")
    if len(markers) > 1 and not nested:
        return trace.show(gate, "another answer", markers[1], markers[1] + 8)
    start, stop = (trace.thought.end if trace.blocks else 0), trace.text.rfind("</answer>")
    beside = trace.text[start : markers[0]] + (trace.text[stop + len("</answer>") :] if stop > markers[0] else "")
    if "answer" in beside.lower() or "答案" in beside:
        other = final_answers(beside, options=trace.options)
        if other.source == "cue" and other.answers[0].casefold()[:1] != trace.final.casefold()[:1]:
            return _shown_last(trace, "another answer beside the tag", other.answers[0])
    return None


def _shown_last(trace: Trace, reason: str, answer: str) -> Finding:
    at = max(0, trace.text.rfind(answer))
    return trace.show("several_answers", reason, at, at + len(answer))


STEP, CHUNK, STEP_ZH, CHUNK_ZH = 90, 24, 30, 8
"""Every so many characters a chunk of so many is looked for in the rest; near the end, twice as often."""
MIN_REPEATS = 3
LINE, LINE_ZH = 25, 10
"""Characters from which on a sentence that stands there three times is a loop."""
_NOT_WORDS = re.compile(r"[^\w]+")


def repetition(trace: Trace, limits: Gates) -> Finding | None:
    """Loops: the same line, sentence or phrase over and over."""
    text = trace.plain[trace.thought.start : trace.thought.end]
    han = not trace.ascii and _beyond_ascii(text[:400]) > 80
    step, size, line = (STEP_ZH, CHUNK_ZH, LINE_ZH) if han else (STEP, CHUNK, LINE)
    stop = len(text) - size
    places = (*range(0, stop, step), *range(max(0, stop - 5 * step), stop, step // 2))
    twice = {chunk for at in places if text.find(chunk := text[at : at + size], at + 1) > 0}
    for chunk in twice:
        if loop := _loop(text, chunk, 2 * size):
            begin = trace.thought.start
            return trace.show("repetition", "a loop", begin + loop.start, begin + loop.end)
    if not any(text.count(chunk) >= MIN_REPEATS for chunk in twice) and text.count("\n") < 2 * MIN_REPEATS:
        return None
    seen: dict[str, list[int]] = {}
    for start, end in trace.spans:
        words = _NOT_WORDS.sub(" ", trace.plain[start:end])
        if len(words) >= line:
            seen.setdefault(words, []).append(start)
    for words, starts in seen.items():
        if len(starts) >= MIN_REPEATS:
            return trace.show("repetition", "a sentence three times", starts[2], starts[2] + len(words))
    return None


def _loop(text: str, chunk: str, least: int) -> Span | None:
    """Where a chunk comes back again and again with the same text in between, over `least` characters or more."""
    places = [text.find(chunk)]
    while (at := text.find(chunk, places[-1] + 1)) >= 0:
        places.append(at)
    for first, second, third in zip(places, places[1:], places[2:], strict=False):
        if text[first:second] == text[second:third]:
            end = third
            period = second - first
            while text[end : end + period] == text[first:second]:
                end += period
            if end - first >= least:
                return Span(first, end)
    return None


_FOREIGN = re.compile(
    "[\u0400-\u04ff\u0590-\u05ff\u0600-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\uac00-\ud7af]{2,40}"
)
_HAN_RUN = re.compile("[\u4e00-\u9fff]{2,200}")
_LATIN_RUN = re.compile(r"[A-Za-z][A-Za-z ,.;:'()\-]{60,400}[A-Za-z.]")
_LATIN = re.compile("[A-Za-z]")
MAX_HAN = 3
"""Chinese characters that English reasoning may quote."""


def language(trace: Trace, limits: Gates) -> Finding | None:
    """Changes to another language than the sample's, English or Chinese."""
    if trace.lang not in ("en", "zh") or (trace.ascii and trace.lang == "en"):
        return None
    start, end = trace.thought
    foreign = _FOREIGN.search(trace.text, start, end)
    if foreign and foreign.group() not in trace.asked:
        return trace.show("language", "another script", foreign.start(), foreign.end())
    if trace.lang == "en":
        runs = [run for run in _HAN_RUN.finditer(trace.text, start, end) if run.group() not in trace.asked]
        if sum(len(run.group()) for run in runs) > MAX_HAN:
            return trace.show("language", "Chinese in English reasoning", runs[0].start(), runs[0].end())
        return None
    latin = _LATIN_RUN.search(trace.text, start, end)
    if latin and latin.group().lower().strip() not in trace.asked and latin.group().count(" ") >= 6:
        return trace.show("language", "English in Chinese reasoning", latin.start(), latin.end())
    if 3 * _beyond_ascii(trace.reasoning) < end - start:
        letters, han = len(_LATIN.findall(trace.reasoning)), len(_HAN.findall(trace.reasoning))
        if letters > 3 * han and letters > 40:
            return trace.show("language", "English in Chinese reasoning", start, min(end, start + 80))
    return None


_SEEN = words_of(
    """
    image images picture film radiograph radiographs xray scan scans slice slices slide photo photograph figure view
    views shows shown show showing see seen visible visibly visualized visualised appears appear appearance look
    looks looking depicts depicted demonstrates displayed bright dark opacity opacities density dense hyperdense
    hypodense hyperintense hypointense signal enhancement stain staining lucency lucent contour contours silhouette
    tracing outline border borders edge edges margin margins shadow band line lines focus blunted angle smooth
    curved round zone lies sits beside marker
    """
)
_SEEN_ZH = re.compile(
    "图|影像|片|可见|所见|所示|显示|密度|信号|看到|观察|切面|阴影|高亮|染色|边缘|轮廓|光滑|变钝|弧形|标记|走行"
)


def image_ignored(trace: Trace, limits: Gates) -> Finding | None:
    """There is an image, and the reasoning never looks at one: it has no word of what can be seen."""
    if not trace.image or not _SEEN.isdisjoint(trace.words):
        return None
    if not trace.ascii and _SEEN_ZH.search(trace.text, *trace.thought):
        return None
    return trace.show("image_ignored", "nothing in it is about an image", 0, 0)
