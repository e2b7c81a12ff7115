"""What a chat-completions server says, read strictly: choices with text and usage, or an error in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from infimed_data.showing import without_secrets

__all__ = ["Choice", "Reply", "answer_entropy", "entropy_of", "error_line", "folded", "read_reply"]


class Choice(NamedTuple):
    """One candidate of a reply."""

    text: str
    finish_reason: str
    completion_tokens: int
    entropy: float | None


class Reply(NamedTuple):
    """A reply with at least one choice."""

    choices: list[Choice]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


def read_reply(body: bytes, *, prompt_tokens: int) -> Reply:
    """The reply; raises `ValueError` with what is wrong with it. `prompt_tokens` stands in where it has no usage."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {body[:40]!r}") from error
    if not isinstance(found, dict) or not isinstance(found.get("choices"), list) or not found["choices"]:
        raise ValueError(f"no choices: {error_line(body)}")
    raw = [_choice(choice) for choice in found["choices"]]
    usage: dict[str, Any] = found["usage"] if isinstance(found.get("usage"), dict) else {}
    completed = usage.get("completion_tokens")
    if not isinstance(completed, int):
        completed = sum(count if count is not None else _about(text) for text, _, count, _ in raw)
    asked = usage.get("prompt_tokens")
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    shares = _shares(completed, [count or len(text) + 1 for text, _, count, _ in raw])
    choices = [
        Choice(text, reason, share, entropy) for (text, reason, _, entropy), share in zip(raw, shares, strict=True)
    ]
    asked = asked if isinstance(asked, int) else prompt_tokens
    return Reply(choices, asked, completed, min(cached, asked) if isinstance(cached, int) else 0)


def _choice(choice: Any) -> tuple[str, str, int | None, float | None]:
    """(text, finish reason, tokens where they are listed, entropy) of a raw choice."""
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise ValueError("a choice without a message")
    reason = choice.get("finish_reason")
    reason = reason if isinstance(reason, str) else "stop"
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not isinstance(reasoning, str):
        raise ValueError("a message whose content is no text")
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens = tokens if isinstance(tokens, list) and all(isinstance(token, dict) for token in tokens) else None
    text = folded(content, reasoning, cut=reason == "length")
    listed = len(tokens) if tokens and not reasoning else None
    return text, reason, listed, answer_entropy(_surprises(tokens)) if tokens else None


def folded(content: str, reasoning: str, *, cut: bool) -> str:
    """The answer with its reasoning in front as `<think>...</think>`; left open where the reasoning was cut off.

    >>> folded("B", "Look at the pleura.", cut=False)
    '<think>\\nLook at the pleura.\\n</think>\\n\\nB'
    """
    if reasoning.strip():
        thought = f"<think>\n{reasoning.strip()}\n"
        return thought if cut and not content.strip() else f"{thought}</think>\n\n{content.lstrip()}"
    if "</think>" in content and "<think>" not in content:  # templates that open the thought in the prompt
        return f"<think>\n{content.lstrip()}"
    return content


def _surprises(tokens: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """(text, estimated entropy in nats) of each token."""
    found = []
    for token in tokens:
        listed = token.get("top_logprobs")
        top = [
            float(one["logprob"])
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict) and isinstance(one.get("logprob"), int | float)
        ]
        own = token.get("logprob")
        found.append(
            (str(token.get("token", "")), entropy_of(top, float(own) if isinstance(own, int | float) else 0.0))
        )
    return found


def entropy_of(listed: Sequence[float], own: float) -> float:
    """An unbiased estimate of the entropy in nats at one token, from the log-probabilities of the alternatives listed
    and of the token that was drawn: the share of the likeliest, and the token's surprise where it is none of them.

    The least of the list is left out: vLLM lists the token drawn in place of the last of the likeliest.
    """
    likeliest = sorted((logprob for logprob in listed if logprob > -100), reverse=True)[:-1]
    share = -sum(logprob * math.exp(logprob) for logprob in likeliest)
    return max(0.0, share - (own if not likeliest or own < likeliest[-1] else 0.0))


def answer_entropy(tokens: Sequence[tuple[str, float]]) -> float | None:
    """Mean entropy in nats of the answer's tokens: those in `<answer>` tags after the reasoning, or all after it."""
    text = "".join(token for token, _ in tokens)
    start = text.rfind("</think>")
    start = 0 if start < 0 else start + len("</think>")
    end = len(text)
    opened = text.find("<answer>", start)
    if opened >= 0:
        start = opened + len("<answer>")
        closed = text.find("</answer>", start)
        end = closed if closed >= 0 else end
    at = 0
    inside = []
    for token, entropy in tokens:
        if at < end and at + len(token) > start and token.strip():
            inside.append(entropy)
        at += len(token)
    return sum(inside) / len(inside) if inside else None


def _shares(total: int, weights: list[int]) -> list[int]:
    """`total` as whole numbers in proportion to `weights`, which add up to it."""
    shares, given, seen, whole = [], 0, 0, sum(weights)
    for weight in weights:
        seen += weight
        share = total * seen // whole - given
        given += share
        shares.append(share)
    return shares


def _about(text: str) -> int:
    return (len(text.encode()) + 3) // 4


def error_line(body: bytes) -> str:
    """What an error's body says, in one line of at most 200 characters."""
    said: Any = None
    try:
        found: Any = orjson.loads(body)
        inner = found.get("error", found) if isinstance(found, dict) else found
        said = inner
        if isinstance(inner, dict):
            said = inner.get("message") or inner.get("detail") or inner.get("code")
            code = inner.get("code")
            if isinstance(code, str) and isinstance(said, str) and code not in said:
                said = f"{said} ({code})"
        said = said if isinstance(said, str) else orjson.dumps(said).decode()
    except orjson.JSONDecodeError:
        said = body[:4000].decode("utf-8", "replace")
    line = without_secrets(" ".join(str(said).split()))  # before it is cut: half of a key is no key that is known
    return line if len(line) <= 200 else line[:197] + "..."
