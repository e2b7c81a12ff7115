"""A teacher whose every answer is known beforehand: what comes of a request follows from what is asked, not from when.

`fate_of` says how each request ends; `SimulatedTeacher` writes text to that end, in an order of its own making.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import xxhash

from infimed_data.strategies import Problem
from infimed_data.teachers import Completion, Prompt, TextPart

WORDS = {
    "en": (
        "The film was taken upright, and its two halves can be compared from top to bottom.",
        "On one side the density is even and its border is sharp all round.",
        "The vessels behind it can still be followed, which puts it in front of them.",
        "Nothing is pulled in or pushed away, and the middle line stays where it belongs.",
        "Its outline does not change where it meets the wall, and the wall itself is smooth.",
        "The bone next to it has the same brightness along its whole length.",
        "Compared with the other half, the picture differs in this one place alone.",
    ),
    "zh": (
        "片子为立位摄片，左右两半可以从上到下逐段比较。",
        "其中一处密度均匀，边界清楚。",
        "它后方的血管仍可追踪，说明它位于血管前方。",
        "中线结构居中，没有受到牵拉或推挤。",
        "它与胸壁相接处的轮廓没有变化，胸壁本身光滑。",
        "旁边的骨质在全长上亮度一致。",
        "与另一半相比，图像只有这一处不同。",
    ),
}
REFLECTION = {
    "self_check": "Let me check this against the lower edge: a fluid level would be flat there, and it is curved.",
    "eliminate_options": "{} is ruled out by the even density, and {} would not have so sharp a border.",
    "alternative_hypothesis": "Another possibility is a fold of skin, which would run on beyond the wall.",
    "look_back": "Looking again at the upper pole, a thin bright rim comes into view.",
    "backtrack": "Wait, the marker lies on the other corner, so the sides have to be swapped first.",
}
LEAK = {"en": "According to the provided answer this has to be so.", "zh": "根据提供的正确答案，应当如此。"}
OPTIONS = {"en": ("Cyst", "Scar", "Nodule", "Calculus"), "zh": ("囊肿", "瘢痕", "结节", "结石")}

FATES = ("right", "wrong", "truncated", "error", "refusal", "unsure", "leaky", "filtered")
"""How a request can end; `unsure` is an answer that no rule can judge, `leaky` a right one that a gate must catch."""


@dataclass(frozen=True)
class Request:
    """What is asked, as far as it decides what comes back."""

    uid: str
    role: str
    """First part of the template's name: `direct`, `reflective`, `revise`, `reveal`, `merge`, `reconstruct` ..."""
    turn: int
    """Answers before it in the conversation."""
    index: int


Fate = Callable[[Request], str]


def weighted(seed: int, **weights: float) -> Fate:
    """Fates drawn by request, with these weights."""

    def fate(request: Request) -> str:
        at = xxhash.xxh3_64_intdigest(repr((seed, request)).encode()) / 2**64 * sum(weights.values())
        for name, weight in weights.items():
            at -= weight
            if at < 0:
                return name
        return name

    return fate


def problem(number: int, kind: str = "choice", lang: str = "en", image: bool = True) -> Problem:
    """A problem whose gold answer is known; its question names it."""
    common = {"uid": f"made/train/{number}", "lang": lang, "images": (f"{number:032x}",) if image else ()}
    case = f"病例{number}：" if lang == "zh" else f"Case {number}: "
    if kind == "choice":
        right = number % 4
        question = "图中所示是什么？" if lang == "zh" else "what is shown?"
        options = OPTIONS[lang]
        return Problem(question=case + question, options=options, answer=options[right], answer_label="ABCD"[right],
                       answer_kind=kind, **common)  # type: ignore[arg-type]  # fmt: skip
    if kind == "yes_no":
        gold = ("是", "否") if lang == "zh" else ("yes", "no")
        question = "边界是否清楚？" if lang == "zh" else "is the border sharp?"
        return Problem(question=case + question, answer=gold[number % 2], answer_kind=kind, **common)  # type: ignore[arg-type]
    if kind == "number":
        question = "它有多宽？" if lang == "zh" else "how wide is it?"
        return Problem(question=case + question, answer=f"{number + 2} mm", answer_kind=kind, **common)  # type: ignore[arg-type]
    question = "这是什么？" if lang == "zh" else "what is it?"
    answer = "圆形结节" if lang == "zh" else "round nodule"
    return Problem(question=case + question, answer=answer, answer_kind="short_text", **common)  # type: ignore[arg-type]


def right_answer(problem: Problem) -> str:
    """What a right answer reads."""
    return problem.gold


def wrong_answer(problem: Problem, salt: int = 0) -> str:
    """What a wrong answer reads; `salt` makes others."""
    if problem.answer_kind == "choice":
        at = ("ABCD".index(problem.answer_label or "A") + 1 + salt % 3) % 4
        return f"{'ABCD'[at]}. {problem.options[at]}"
    if problem.answer_kind == "yes_no":
        return {"yes": "no", "no": "yes", "是": "否", "否": "是"}[problem.answer]
    if problem.answer_kind == "number":
        return f"{900 + salt} mm"
    return "膈疝" if problem.lang == "zh" else "hiatal hernia"


def unsure_answer(problem: Problem) -> str | None:
    """What no rule can judge, where there is such a thing for the kind of answer."""
    if problem.answer_kind == "yes_no":
        return "边界大体如此" if problem.lang == "zh" else "the border looks that way"
    if problem.answer_kind == "number":
        return problem.answer.removesuffix(" mm")
    if problem.answer_kind == "short_text":
        return "肺内的圆形结节" if problem.lang == "zh" else "solitary round nodule"
    return None


@dataclass
class SimulatedTeacher:
    """Answers requests about `problems` to the fate that `fate_of` says, and notes what it was asked."""

    problems: Iterable[Problem]
    fate_of: Fate
    shuffle: random.Random = field(default_factory=random.Random)
    """Decides how long each answer takes; nothing else depends on it."""
    entropy: bool = True
    """Whether the server gives log-probabilities where it is asked for them."""
    asked: list[tuple[Prompt, int]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._by_number = {each.uid.rpartition("/")[2]: each for each in self.problems}

    async def __call__(self, prompt: Prompt, index: int) -> Completion:
        """The completion of a request, after a while."""
        self.asked.append((prompt, index))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        for _ in range(self.shuffle.randrange(4)):
            await asyncio.sleep(0)
        self.in_flight -= 1
        return self.answer(prompt, index)

    def request(self, prompt: Prompt, index: int) -> tuple[Problem, Request]:
        """What a prompt asks."""
        found = re.search(r"(?:Case |病例)(\d+)", text_of(prompt))
        assert found is not None, text_of(prompt)
        problem = self._by_number[found[1]]
        turn = sum(message.role == "assistant" for message in prompt.messages)
        return problem, Request(problem.uid, prompt.name.partition(".")[0], turn, index)

    def answer(self, prompt: Prompt, index: int) -> Completion:
        """The completion of a request."""
        problem, request = self.request(prompt, index)
        fate = self.fate_of(request)
        key = xxhash.xxh3_128_hexdigest(repr((prompt.model, prompt.messages, prompt.sampling, index)).encode())
        rng = random.Random(key)
        if fate == "unsure" and unsure_answer(problem) is None:
            fate = "refusal"
        text, finish, error = self._written(problem, prompt, request, fate, rng), "stop", None
        if fate == "truncated":
            text, finish = text[: max(0, text.find("</think>"))], "length"
        elif fate in ("error", "filtered"):
            text, finish = "", "error" if fate == "error" else "content_filter"
            error = "503 after 4 tries" if fate == "error" else None
        return Completion(
            key=key, index=index, text=text, finish_reason=finish, error=error, prompt_tokens=100,
            completion_tokens=len(text) // 4, latency_s=round(rng.random(), 3), cached=False,
            answer_entropy=round(rng.random(), 6) if self.entropy and prompt.sampling.logprobs and text else None,
        )  # fmt: skip

    def _written(self, problem: Problem, prompt: Prompt, request: Request, fate: str, rng: random.Random) -> str:
        lang = problem.lang
        said = {
            "wrong": wrong_answer(problem, request.turn + request.index),
            "refusal": "无法判断" if lang == "zh" else "I cannot determine this.",
            "unsure": unsure_answer(problem) or "",
        }.get(fate, right_answer(problem))
        if request.role == "reconstruct":
            return f"<answer>{said}</answer>"
        body = rng.sample(WORDS[lang], 5)
        pattern = re.search(r"\+(\w+)", prompt.name)
        wrong = [option for option in problem.options if option != problem.answer][:2]
        if request.role == "reflective" and pattern and (lang == "en" or wrong):
            sentence = REFLECTION[pattern[1]] if lang == "en" else "逐项来看，{}与{}都不符合。"
            body.insert(3, sentence.format(*wrong))
        if request.role == "merge" and fate != "lost":
            body.insert(1, self._turn(prompt, lang))
        if fate == "leaky":
            body.insert(2, LEAK[lang])
        joined = "".join(body) if lang == "zh" else " ".join(body)
        return f"<think>\n{joined}\n</think>\n\n<answer>{said}</answer>"

    def _turn(self, prompt: Prompt, lang: str) -> str:
        first = re.search(r"(?:Conclusion: |结论：)(.+)", text_of(prompt))
        assert first is not None
        if lang == "zh":
            return f"起初像是{first[1]}。但是密度并不支持这一点。"
        return f"At first this looks like {first[1].rstrip('.')}. But the even density does not fit that."


def text_of(prompt: Prompt) -> str:
    """All text of a prompt's messages."""
    return "\n".join(part.text for message in prompt.messages for part in message.parts if isinstance(part, TextPart))
