"""What a run would ask and cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infimed_data.images import image_tokens
from infimed_data.teachers.cache import RequestCache
from infimed_data.teachers.contract import ImagePart, Prompt
from infimed_data.teachers.keys import asked, request_key
from infimed_data.teachers.settings import Teacher

__all__ = ["Estimate", "Estimator", "History", "estimate", "history", "prompt_tokens"]

_SAMPLE = 2000
"""Remembered answers that the expected length is taken from."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would ask for. Tokens and price are expected values, and only of what is not remembered."""

    candidates: int
    cached: int
    """Candidates that are remembered, and cost nothing."""
    requests: int
    prompt_tokens: int
    image_tokens: int
    """The part of `prompt_tokens` that is for images."""
    completion_tokens: int
    completion_from: int
    """Remembered answers that the length of a completion was taken from; 0: it is half of max_tokens."""
    usd: float | None
    """None where the teacher has no price."""

    @property
    def cached_share(self) -> float:
        """Share of the candidates that are remembered."""
        return self.cached / self.candidates if self.candidates else 0.0


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a model's answers."""

    answers: int
    mean_tokens: float


def history(cache: RequestCache | None, model: str, *, name: str = "") -> History | None:
    """Lengths of a model's latest answers to the prompt template called `name`, or else to any; None without any."""
    if cache is None:
        return None
    same_name, any_name = [], []
    for answer in cache.latest(_SAMPLE):
        if answer.model == model and answer.refused is None:
            any_name.append(answer.completion_tokens)
            if answer.name == name:
                same_name.append(answer.completion_tokens)
    lengths = same_name or any_name
    return History(len(lengths), sum(lengths) / len(lengths)) if lengths else None


def prompt_tokens(prompt: Prompt, image_size: Callable[[str], tuple[int, int]], *, max_pixels: int | None) -> int:
    """Expected tokens: a quarter of ASCII's bytes and 0.7 of other characters, images as Qwen2.5-VL counts them after
    they were scaled to `max_pixels`, and 5 a message. `image_size` gives (width, height) of a picture by its digest."""
    total = float(_image_tokens(prompt, image_size, max_pixels=max_pixels))
    for message in prompt.messages:
        total += 5
        for part in message.parts:
            if not isinstance(part, ImagePart):
                ascii_chars = len(part.text) if part.text.isascii() else sum(map(str.isascii, part.text))
                total += ascii_chars / 4 + (len(part.text) - ascii_chars) * 0.7
    return round(total)


def _image_tokens(prompt: Prompt, image_size: Callable[[str], tuple[int, int]], *, max_pixels: int | None) -> int:
    total = 0
    for message in prompt.messages:
        for part in message.parts:
            if isinstance(part, ImagePart):
                width, height = image_size(part.digest)
                if max_pixels is not None and width * height > max_pixels:
                    scale = (max_pixels / (width * height)) ** 0.5
                    width, height = max(1, int(width * scale)), max(1, int(height * scale))
                total += image_tokens(width, height) + 2
    return total


class Estimator:
    """An estimate that grows with every prompt. A prompt is paid once for all of its candidates, except where
    `multiple_choices: false` says that the server does not honour `n`."""

    def __init__(
        self, teacher: Teacher, *, cache: RequestCache | None, image_size: Callable[[str], tuple[int, int]]
    ) -> None:
        self._teacher, self._cache, self._image_size = teacher, cache, image_size
        self._candidates = self._cached = self._requests = self._prompt_tokens = self._image_tokens = 0
        self._from_answers = 0
        self._expected = 0.0
        self._known: dict[str, History | None] = {}
        self._seen: set[bytes] = set()

    def add(self, prompt: Prompt, indices: Iterable[int]) -> None:
        """Counts these candidates of a prompt."""
        teacher, cache = self._teacher, self._cache
        digest = asked(prompt, teacher)
        missing = 0
        for index in indices:
            self._candidates += 1
            key = request_key(digest, index)
            remembered = cache.get(key) if cache is not None else None
            if key in self._seen or (remembered is not None and remembered.refused is None):
                self._cached += 1
            else:
                missing += 1
                self._seen.add(key)
        if not missing:
            return
        sent = missing if teacher.multiple_choices is False else 1
        self._requests += sent
        self._prompt_tokens += sent * prompt_tokens(prompt, self._image_size, max_pixels=teacher.max_pixels)
        self._image_tokens += sent * _image_tokens(prompt, self._image_size, max_pixels=teacher.max_pixels)
        if prompt.name not in self._known:
            self._known[prompt.name] = history(cache, prompt.model, name=prompt.name)
        past = self._known[prompt.name]
        self._from_answers = max(self._from_answers, past.answers if past else 0)
        length = past.mean_tokens if past else prompt.sampling.max_tokens / 2
        self._expected += missing * min(length, prompt.sampling.max_tokens)

    @property
    def estimate(self) -> Estimate:
        """The estimate so far."""
        teacher = self._teacher
        usd = teacher.price.usd(self._prompt_tokens, round(self._expected)) if teacher.price else None
        if teacher.backend == "replay":
            usd = 0.0
        return Estimate(
            self._candidates, self._cached, self._requests, self._prompt_tokens, self._image_tokens,
            round(self._expected), self._from_answers, usd,
        )  # fmt: skip


def estimate(
    teacher: Teacher,
    work: Iterable[tuple[Prompt, Iterable[int]]],
    *,
    cache: RequestCache | None,
    image_size: Callable[[str], tuple[int, int]],
) -> Estimate:
    """The estimate for (prompt, indices of its candidates); see `Estimator`."""
    found = Estimator(teacher, cache=cache, image_size=image_size)
    for prompt, indices in work:
        found.add(prompt, indices)
    return found.estimate
