"""What a teacher is asked, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Ask", "Completion", "ImagePart", "Message", "Part", "Prompt", "Sampling", "TextPart"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture in a message, by the digest of its pixels; its bytes are put in when the message is sent."""

    digest: str


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a completion is drawn; part of the key that it is remembered under."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048
    """Tokens of a completion, reasoning included."""
    logprobs: bool = False
    """Ask for the log-probabilities of the tokens, for `Completion.answer_entropy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt to one model. Equal prompts have equal keys, whoever asks, in whatever order."""

    model: str
    """Name of the model, with its revision where it has one."""
    messages: tuple[Message, ...]
    sampling: Sampling
    name: str
    """Name of the prompt's template and its digest, such as `reflective@3f2a90c1`; recorded, not part of the key."""
    uid: str = ""
    """Sample that it is about, by which `replay` may find finished answers; not part of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came back for one candidate of one prompt."""

    key: str
    """Key of the request: model, canonical messages, sampling and the candidate's index."""
    index: int
    text: str
    """The answer with its reasoning in front as `<think>...</think>`, wherever the server put it."""
    finish_reason: str
    """`stop`, `length` (cut off at max_tokens), or what else the server said; `error` where nothing came back."""
    prompt_tokens: int
    completion_tokens: int
    """Where several candidates came in one request, the server says only their sum; it is shared out by their text."""
    latency_s: float
    """Of the request that was answered, without waiting and earlier attempts."""
    cached: bool
    """Whether it was remembered, and not asked for now."""
    answer_entropy: float | None = None
    """Mean entropy in nats of the answer's tokens, where the server gave log-probabilities."""
    error: str | None = None
    """Why nothing came back, after all retries."""
    backend: str = ""
    """`openai`, `vllm` or `replay`: where it came from."""
    choices: int = 1
    """Candidates that came in the same request, and share the price of its prompt."""
    transient: bool = False
    """Whether it failed for a cause that may pass: the next run asks again."""


class Ask(Protocol):
    """Asks a teacher for one candidate of a prompt. Candidates of a prompt are counted from 0; each is drawn anew."""

    async def __call__(self, prompt: Prompt, index: int) -> Completion:
        """The completion; raises only what must stop the stage, such as a budget that is spent."""
        ...
