"""A chat-completions server that misbehaves on purpose, and counts. Answers and faults depend on the request alone.

    python tests/fault_server.py --latency-ms 50 --faults '{"429": 0.2}'      prints its address, serves until killed

A fault hits a request's first tries (`--tries`, one unless told), so that a client that tries again gets through; a
fault named `always-X` hits every try. GET /counts says what was asked and answered; GET /reset forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
FAULTS = (
    *("429", "429-date", "429-quota", "500", "502", "503", "503-after", "hang", "drop-before", "drop-middle"),
    *("truncated", "empty", "no-choices", "one-choice", "refuse-n", "drip", "html", "html-200", "wrong-type"),
    *("length", "reasoning", "no-usage", "logprobs", "chunked", "until-close", "filtered", "too-long", "unauthorized"),
    *("no-model", "redirect", "max-completion"),
)


Answer = Callable[[Mapping[str, Any], str, int], tuple[str, str]]
"""(text, finish_reason) of a request's choice, from its body, its key and the number of the choice."""


class Script:
    """What the server does: latency, faults by share, and what it has counted."""

    def __init__(
        self, *, faults: Mapping[str, float] | None = None, latency_s: float = 0.0, tries: int = 1, seed: int = 0,
        retry_after_s: float = 1.0, salt: str = "", answer: Answer | None = None,
    ) -> None:  # fmt: skip
        self.faults = dict(faults or {})
        for name in self.faults:
            assert name.removeprefix("always-") in FAULTS, name
        self.latency_s, self.tries, self.seed, self.retry_after_s, self.salt = (
            latency_s,
            tries,
            seed,
            retry_after_s,
            salt,
        )
        self.answer = answer
        self.asked: Counter[str] = Counter()
        """Requests by key, whatever came of them."""
        self.answered: Counter[str] = Counter()
        """Whole good answers that were sent, by key."""
        self.faulted: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.keep_bodies = False
        self.connections = self.inside = self.most_inside = 0

    def fault_of(self, key: str) -> str | None:
        """The fault of a request's present try."""
        draw = int.from_bytes(hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=6).digest(), "big") / 2**48
        for name, share in self.faults.items():
            draw -= share
            if draw < 0:
                if name.startswith("always-"):
                    return name.removeprefix("always-")
                return name if self.asked[key] <= self.tries else None
        return None

    def counts(self) -> dict[str, Any]:
        """What has happened, as plain data."""
        return {
            "asked": dict(self.asked), "answered": dict(self.answered), "faulted": dict(self.faulted),
            "connections": self.connections, "most_inside": self.most_inside,
        }  # fmt: skip


def key_of(body: Mapping[str, Any]) -> str:
    """A request's key: its messages, with `Question N` standing for itself."""
    text = json.dumps(body.get("messages"), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def answer_to(key: str, choice: int = 0) -> str:
    """The text that is answered, the same for every candidate but for the choice's letter."""
    return f"The answer to {key} is <answer>{key[:4]}</answer>" + f" ({choice})" * (choice > 0)


_OPEN: set[_Connection] = set()
"""Connections that stand, of all servers of this process."""


class _Connection(asyncio.Protocol):
    def __init__(self, script: Script) -> None:
        self.script = script
        self.buffer = bytearray()
        self.transport: Any = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.script.connections += 1
        _OPEN.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        _OPEN.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = bytes(self.buffer[:end]).decode().split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
            size = int(headers.get("content-length", 0))
            if len(self.buffer) < end + 4 + size:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + size])
            del self.buffer[: end + 4 + size]
            self._take(lines[0], headers, body)

    def _take(self, line: str, headers: dict[str, str], body: bytes) -> None:
        script = self.script
        if line.startswith("GET /counts"):
            self._send(200, json.dumps(script.counts()).encode())
            return
        if line.startswith("GET /reset"):
            for counter in (script.asked, script.answered, script.faulted):
                counter.clear()
            script.connections = script.most_inside = 0
            self._send(200, b"{}")
            return
        request = json.loads(body)
        key = key_of(request)
        script.asked[key] += 1
        script.inside += 1
        script.most_inside = max(script.most_inside, script.inside)
        if script.keep_bodies:
            script.bodies.append(request)
            script.headers.append(headers)
        fault = script.fault_of(key)
        if fault is not None:
            script.faulted[fault] += 1
        loop = asyncio.get_running_loop()
        if fault == "drop-before":
            script.inside -= 1
            self.transport.abort()
        elif fault == "hang":
            script.inside -= 1
        elif script.latency_s:
            loop.call_later(script.latency_s, self._answer, request, key, fault)
        else:
            self._answer(request, key, fault)

    def _answer(self, request: dict[str, Any], key: str, fault: str | None) -> None:
        script = self.script
        script.inside -= 1
        if self.closed:
            return
        status, extra, content = _refusal(script, request, fault)
        if status:
            self._send(status, content, extra)
            return
        body = json.dumps(_completion(request, key, fault, script)).encode()
        if fault in ("truncated", "empty"):
            self._send(200, body[: len(body) // 2] if fault == "truncated" else b"")
        elif fault == "html-200":
            self._send(200, b"<html><body>Welcome to the captive portal</body></html>", "Content-Type: text/html\r\n")
        elif fault == "no-choices":
            self._send(200, b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}')
        elif fault == "drop-middle":
            self.transport.write(_head(200, len(body), "") + body[: len(body) // 2])
            self.transport.close()
        else:
            script.answered[key] += 1
            if fault == "drip":
                self._drip(_head(200, len(body), "") + body, 0)
            elif fault == "chunked":
                pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
                chunks = b"".join(b"%x;x=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
                head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                self._drip(head + chunks + b"0\r\nTrailer: x\r\n\r\n", 0, step=19)
            elif fault == "until-close":
                self.transport.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
                self.transport.close()
            else:
                self._send(200, body, "Content-Type: text/plain\r\n" if fault == "wrong-type" else "")

    def _drip(self, data: bytes, at: int, step: int = 40) -> None:
        if self.closed or at >= len(data):
            return
        self.transport.write(data[at : at + step])
        asyncio.get_running_loop().call_later(0.001, self._drip, data, at + step, step)

    def _send(self, status: int, body: bytes, extra: str = "") -> None:
        self.transport.write(_head(status, len(body), extra) + body)


def _head(status: int, size: int, extra: str) -> bytes:
    kind = "" if "Content-Type" in extra else "Content-Type: application/json\r\n"
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n{kind}{extra}Content-Length: {size}\r\n\r\n".encode()


def _refusal(script: Script, request: dict[str, Any], fault: str | None) -> tuple[int, str, bytes]:
    """(status, headers, body) of an answer that is no success; status 0 for a success."""

    def error(message: str, code: str | None = None) -> bytes:
        return json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()

    if fault == "429":
        return 429, f"Retry-After: {script.retry_after_s:g}\r\n", error("Rate limit reached")
    if fault == "429-date":
        return 429, f"Retry-After: {formatdate(time.time() + script.retry_after_s, usegmt=True)}\r\n", error("Busy")
    if fault == "429-quota":
        return 429, "", error("You exceeded your current quota", "insufficient_quota")
    if fault == "503-after":
        return 503, f"Retry-After: {script.retry_after_s:g}\r\n", error("Overloaded")
    if fault in ("500", "502", "503"):
        return int(fault), "", error("Internal error")
    if fault == "html":
        return 502, "Content-Type: text/html\r\n", b"<html><h1>502 Bad Gateway</h1></html>"
    if fault == "refuse-n" and request.get("n", 1) > 1:
        return 400, "", error("n must be 1")
    if fault == "filtered":
        return 400, "", error("The response was filtered", "content_filter")
    if fault == "too-long":
        return 400, "", error("This model's maximum context length is 2048 tokens", "context_length_exceeded")
    if fault == "unauthorized":
        return 401, "", error("Incorrect API key provided: sk-secret-key")
    if fault == "no-model":
        return (
            404,
            "",
            json.dumps({"object": "error", "message": "The model `m` does not exist.", "code": 404}).encode(),
        )
    if fault == "redirect":
        return 308, "Location: https://elsewhere/v1\r\n", b""
    if fault == "max-completion" and "max_tokens" in request:
        return 400, "", error("Unsupported parameter: use 'max_completion_tokens'", "unsupported_parameter")
    return 0, "", b""


def _completion(request: dict[str, Any], key: str, fault: str | None, script: Script) -> dict[str, Any]:
    count = 1 if fault == "one-choice" else request.get("n", 1)
    choices = []
    for number in range(count):
        content, finish = answer_to(key) + script.salt, "stop"
        if script.answer is not None:
            content, finish = script.answer(request, key, number)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        choice: dict[str, Any] = {"index": number, "message": message, "finish_reason": finish}
        if fault == "length":
            choice["finish_reason"] = "length"
        if fault == "reasoning":
            message["reasoning_content"] = f"Thinking of {key}."
        if fault == "logprobs":
            tokens = ["<think>", "hm", "</think>", "<answer>", "B", "</answer>"]
            message["content"] = "".join(tokens)
            choice["logprobs"] = {"content": [{"token": t, "logprob": -0.5, "top_logprobs": []} for t in tokens]}
        choices.append(choice)
    usage = {"prompt_tokens": 100, "completion_tokens": 20 * count, "prompt_tokens_details": {"cached_tokens": 40}}
    found = {"id": "x", "object": "chat.completion", "model": request.get("model"), "choices": choices, "usage": usage}
    if fault == "no-usage":
        del found["usage"]
    return found


async def start(script: Script, *, port: int = 0, ssl: Any = None) -> tuple[asyncio.Server, int]:
    """(server, port) on 127.0.0.1."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(script), "127.0.0.1", port, backlog=4096, ssl=ssl)
    return server, int(server.sockets[0].getsockname()[1])


@contextmanager
def serving(script: Script, *, ssl: Any = None) -> Any:
    """The base address of a server that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    found: list[Any] = []

    def run() -> None:
        asyncio.set_event_loop(loop)
        found.extend(loop.run_until_complete(start(script, ssl=ssl)))
        ready.set()
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"{'https' if ssl else 'http'}://127.0.0.1:{found[1]}/v1"
    finally:

        async def stop() -> None:
            found[0].close()
            for connection in [one for one in _OPEN if one.loop is loop]:
                connection.transport.abort()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _main(arguments: argparse.Namespace) -> None:
    script = Script(
        faults=json.loads(arguments.faults), latency_s=arguments.latency_ms / 1000, tries=arguments.tries,
        seed=arguments.seed,
    )  # fmt: skip
    server, port = await start(script, port=arguments.port)
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--faults", default="{}")
    parser.add_argument("--tries", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(_main(parser.parse_args()))
