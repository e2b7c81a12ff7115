"""A prompt as the chat messages that servers and vLLM take."""

from __future__ import annotations

import asyncio
from typing import Any

from infimed_data.teachers.contract import ImagePart, Prompt
from infimed_data.teachers.outcomes import Images
from infimed_data.teachers.pictures import data_url

__all__ = ["chat_messages", "text_bytes"]


async def chat_messages(prompt: Prompt, images: Images, *, max_pixels: int | None) -> list[dict[str, Any]]:
    """The messages as plain data, pictures as data URLs. Raises `Reject` for a picture that is not there or damaged."""

    def url_of(digest: str) -> str:
        return data_url(images(digest), max_pixels=max_pixels)

    plain = []
    for message in prompt.messages:
        content: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                url = await asyncio.to_thread(url_of, part.digest)
                content.append({"type": "image_url", "image_url": {"url": url}})
            elif content and content[-1]["type"] == "text":
                content[-1]["text"] += part.text
            else:
                content.append({"type": "text", "text": part.text})
        only_text = all(part["type"] == "text" for part in content)
        text = "".join(part["text"] for part in content) if only_text else ""
        plain.append({"role": message.role, "content": text if only_text else content})
    return plain


def text_bytes(prompt: Prompt) -> int:
    """Bytes of a prompt's text."""
    return sum(
        len(part.text.encode())
        for message in prompt.messages
        for part in message.parts
        if not isinstance(part, ImagePart)
    )
