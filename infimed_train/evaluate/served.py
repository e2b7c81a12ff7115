"""A server with OpenAI's chat completions as the one who answers."""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from io import BytesIO
from typing import Any, NamedTuple

import httpx2

from infimed_train.config import EvalConfig
from infimed_train.errors import TrainError
from infimed_train.evaluate.journal import Answer

__all__ = ["Asked", "Served"]

TRIES = 6
_MEDIA = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


class Asked(NamedTuple):
    """One request."""

    key: str
    messages: list[dict[str, str]]
    images: list[bytes]


class Served:
    """Asks many questions at a time; a server that is busy or gone for a moment is asked again."""

    def __init__(self, config: EvalConfig, *, where: str) -> None:
        assert config.server is not None
        self._config, self._server, self._where = config, config.server, where
        headers = {}
        if name := self._server.api_key_env:
            key = os.environ.get(name)
            if not key:
                raise TrainError(f"{where}: api_key_env: {name} is not set; export it")
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx2.Client(timeout=self._server.timeout_s, headers=headers)
        self._url = f"{self._server.base_url.rstrip('/')}/chat/completions"

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()

    def ask(self, asked: Sequence[Asked]) -> Iterator[dict[str, Answer]]:
        """Answers as they come, by key. Raises `TrainError` where the server stays away or refuses everything."""
        pending: set[Future[tuple[str, Answer]]] = set()
        with ThreadPoolExecutor(self._server.max_in_flight) as pool:
            try:
                for one in asked:
                    pending.add(pool.submit(self._one, one))
                    if len(pending) >= 2 * self._server.max_in_flight:
                        done, pending = wait(pending, return_when=FIRST_COMPLETED)
                        yield dict(future.result() for future in done)
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield dict(future.result() for future in done)
            finally:
                for future in pending:
                    future.cancel()

    def _one(self, asked: Asked) -> tuple[str, Answer]:
        body = self._body(asked)
        said = ""
        for attempt in range(TRIES):
            try:
                response = self._client.post(self._url, json=body)
            except httpx2.HTTPError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == 200:
                    return asked.key, self._answer(response)
                said = f"HTTP {response.status_code}: {' '.join(response.text.split())[:200]}"
                if response.status_code in (400, 413, 422):
                    return asked.key, Answer("", f"refused: {said}", 0)
                if response.status_code not in (408, 409, 425, 429) and response.status_code < 500:
                    raise TrainError(f"{self._where}: {self._url}: {said}; the answers so far are kept")
            time.sleep(min(30.0, 0.5 * 2**attempt) * random.uniform(0.8, 1.2))
        raise TrainError(
            f"{self._where}: {self._url}: no answer after {TRIES} tries ({said}); the same command goes on"
        )

    def _answer(self, response: Any) -> Answer:
        try:
            reply = response.json()
            choice = reply["choices"][0]
            text = choice["message"].get("content") or ""
            reasoning = choice["message"].get("reasoning_content") or ""
            tokens = int((reply.get("usage") or {}).get("completion_tokens") or 0)
            finish = str(choice.get("finish_reason") or "stop")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise TrainError(
                f"{self._where}: {self._url}: not a chat completion: {response.text[:120]!r}; is base_url right?"
            ) from None
        return Answer(f"<think>{reasoning}</think>{text}" if reasoning else text, finish, tokens)

    def _body(self, asked: Asked) -> dict[str, Any]:
        *before, last = asked.messages
        pictures = [
            {"type": "image_url", "image_url": {"url": _data_url(image, self._config.pixels.max_pixels)}}
            for image in asked.images
        ]
        content: Any = [*pictures, {"type": "text", "text": last["content"]}] if pictures else last["content"]
        return {
            "model": self._server.model,
            "messages": [*before, {"role": last["role"], "content": content}],
            "max_tokens": self._config.max_new_tokens,
            "temperature": self._config.temperature,
            "seed": self._config.seed,
        }


def _data_url(image: bytes, max_pixels: int | None) -> str:
    """The image as it is, or scaled down where it has more pixels than the limit."""
    if max_pixels is not None:
        import PIL.Image

        with PIL.Image.open(BytesIO(image)) as opened:
            size = opened.width * opened.height
            if size > max_pixels:
                factor = (max_pixels / size) ** 0.5
                small = opened.convert("RGB").resize(
                    (max(1, int(opened.width * factor)), max(1, int(opened.height * factor))),
                    PIL.Image.Resampling.BICUBIC,
                )
                buffer = BytesIO()
                small.save(buffer, format="PNG")
                image = buffer.getvalue()
    kind = next((name for start, name in _MEDIA.items() if image.startswith(start)), None)
    if kind is None:
        import PIL.Image

        buffer = BytesIO()
        with PIL.Image.open(BytesIO(image)) as opened:
            opened.convert("RGB").save(buffer, format="PNG")
        image, kind = buffer.getvalue(), "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
