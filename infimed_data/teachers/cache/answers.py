"""What is remembered of one answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from infimed_data.teachers.contract import Completion

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One candidate's answer, or the server's refusal to give one. Holds no prompt, no image and no key of a server."""

    model: str
    name: str
    """Name of the prompt's template, as the prompt had it."""
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_s: float
    answer_entropy: float | None = None
    backend: str = ""
    choices: int = 1
    """Candidates that came in the same request, and share the price of its prompt."""
    at: int = 0
    """When it came, in seconds since 1970."""
    refused: str | None = None
    """Why the server would not answer; with it the text is empty."""
    server: str = ""
    """Who refused; another server may well answer."""

    def encoded(self) -> bytes:
        """As JSON, without fields that have their default."""
        return orjson.dumps({key: value for key, value in asdict(self).items() if value != _DEFAULTS.get(key, _NONE)})

    @staticmethod
    def decoded(data: bytes) -> Answer:
        """From JSON; fields of a later version are left out."""
        found: dict[str, Any] = orjson.loads(data)
        return Answer(**{key: value for key, value in found.items() if key in _FIELDS})

    def completion(self, key: bytes, index: int, *, cached: bool) -> Completion:
        """As the candidate that was asked for."""
        return Completion(
            key=key.hex(),
            index=index,
            text=self.text,
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            latency_s=self.latency_s,
            cached=cached,
            answer_entropy=self.answer_entropy,
            error=self.refused,
            backend=self.backend,
            choices=self.choices,
        )


_NONE = object()
_FIELDS = {field.name for field in fields(Answer)}
_DEFAULTS = {"answer_entropy": None, "choices": 1, "refused": None, "server": ""}
