"""The key that an answer is remembered under: what was asked of which model, and nothing else.

Not part of it: who asks, in which order, the address of the server, the prompt's name, the parser of the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from infimed_data.teachers.contract import ImagePart, Prompt
from infimed_data.teachers.settings import Teacher

__all__ = ["KEY_BYTES", "asked", "request_key", "sampling_of"]

KEY_BYTES = 16
_VERSION = 1


def asked(prompt: Prompt, teacher: Teacher) -> bytes:
    """Digest of everything that the answer depends on, without the candidate's index.

    That is the model, the canonical messages with image digests in place of bytes, the sampling, the teacher's further
    parameters, and the size that images are scaled to, where there are some.
    """
    messages = []
    pictures = False
    for message in prompt.messages:
        parts: list[str] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                pictures = True
                parts.append("i" + part.digest)
            elif parts and parts[-1][0] == "t":
                parts[-1] += part.text  # two pieces of text read like one
            else:
                parts.append("t" + part.text)
        messages.append((message.role, parts))
    content = {
        "v": _VERSION,
        "model": prompt.model,
        "messages": messages,
        "sampling": sampling_of(prompt),
        "extra": _plain(teacher.extra_body),
        "max_pixels": teacher.max_pixels if pictures else None,
    }
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=32).digest()


def sampling_of(prompt: Prompt) -> dict[str, Any]:
    """The sampling as plain data, one spelling for equal values (1 and 1.0)."""
    sampling = prompt.sampling
    return {
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "max_tokens": int(sampling.max_tokens),
        "logprobs": bool(sampling.logprobs),
    }


def request_key(digest: bytes, index: int) -> bytes:
    """The key of one candidate: 16 bytes."""
    return hashlib.blake2b(digest + index.to_bytes(4, "big"), digest_size=KEY_BYTES).digest()


def _plain(value: Any) -> Any:
    """Mappings and tuples as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
