"""A lean HTTP/1.1 client for servers that are reached directly: plain http to an address, or a Unix socket.

It posts a body and gives back the whole answer, over connections that are kept alive. Where the way to the server needs
TLS or a proxy, transport.py takes httpx2 instead.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = ["Connections", "Dropped", "Response"]

MAX_HEAD = 1 << 16
MAX_BODY = 1 << 28
_STALE_S = 0.2


class Dropped(Exception):  # noqa: N818  (it names what happened to the connection)
    """A connection that could not be made, broke, or carried no HTTP. `reached` is False where none was made."""

    def __init__(self, what: str, *, reached: bool = True) -> None:
        super().__init__(what)
        self.reached = reached


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class _Exchange(asyncio.Protocol):
    """One connection: at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Response] | None = None
        self.usable = True
        self.fresh = True
        """Whether nothing of an answer has come yet."""
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._left: int | None = None
        """Bytes of the body, or of its present chunk, that are still to come; None before that is known."""
        self._chunked = self._until_close = False
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self._head is not None and self._until_close and error is None:
            self._finish()
            return
        what = "in the middle of an answer" if not self.fresh else "before an answer"
        self._fail(f"connection closed {what}" + (f" ({error})" if error else ""))

    def request(self, data: list[bytes]) -> asyncio.Future[Response]:
        """Sends a request; the future holds the answer or `Dropped`."""
        self.answer = asyncio.get_running_loop().create_future()
        self.fresh = True
        assert self.transport is not None
        self.transport.writelines(data)
        return self.answer

    def drop(self) -> None:
        """Closes the connection at once."""
        self.usable = False
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.answer is None:  # bytes that nobody asked for: whatever follows cannot be told apart from an answer
            self.drop()
            return
        self.fresh = False
        self._buffer += data
        try:
            while self._step():
                pass
        except ValueError as error:
            self._fail(f"not HTTP: {error}")
            self.drop()

    def _step(self) -> bool:
        """Takes one piece off the buffer; False where more must come first."""
        if self._head is None:
            return self._take_head()
        if self._until_close:
            self._take(len(self._buffer))
            return False
        if self._left is None:
            return self._take_chunk_size()
        if self._left:
            self._left -= self._take(self._left)
            if self._left:
                return False
        if not self._chunked:
            self._finish()
            return False
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise ValueError("a chunk without its end")
        del self._buffer[:2]
        self._left = None
        return True

    def _take(self, count: int) -> int:
        taken = min(count, len(self._buffer))
        if len(self._body) + taken > MAX_BODY:
            raise ValueError(f"an answer of more than {MAX_BODY} bytes")
        self._body += self._buffer[:taken]
        del self._buffer[:taken]
        return taken

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ValueError("headers without an end")
            if self._buffer and not b"HTTP/1.".startswith(self._buffer[:7]):
                raise ValueError(f"{bytes(self._buffer[:20])!r}")
            return False
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        status = int(rest[:3])
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{lines[0][:20]!r}")
        if 100 <= status < 200:
            return True
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"a header without a colon: {line[:40]!r}")
            headers[name.strip().lower()] = value.strip()
        connection = headers.get("connection", "").lower()
        self.usable = connection != "close" and (version == "HTTP/1.1" or connection == "keep-alive")
        self._head = (status, headers)
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        if self._chunked:
            self._left = None
        elif status in (204, 304):
            self._left = 0
        elif "content-length" in headers:
            self._left = int(headers["content-length"])
            if not 0 <= self._left <= MAX_BODY:
                raise ValueError(f"content-length {self._left}")
        else:
            self._until_close, self.usable = True, False
        return True

    def _take_chunk_size(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > 1024:
                raise ValueError("a chunk without a size")
            return False
        size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
        if size:
            del self._buffer[: end + 2]
            self._left = size
            return True
        if self._buffer[end + 2 : end + 4] == b"\r\n":
            del self._buffer[: end + 4]
            self._finish()
            return False
        trailers = self._buffer.find(b"\r\n\r\n")  # trailing headers say nothing that matters here
        if trailers < 0:
            return False
        del self._buffer[: trailers + 4]
        self._finish()
        return False

    def _finish(self) -> None:
        assert self._head is not None
        status, headers = self._head
        body = bytes(self._body)
        self._head, self._left, self._chunked, self._until_close = None, None, False, False
        self._body.clear()
        if self._buffer:
            self.drop()
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_result(Response(status, headers, body))

    def _fail(self, what: str) -> None:
        self.usable = False
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_exception(Dropped(what))


class Connections:
    """Posts to one server over connections that are kept and used again."""

    def __init__(self, base_url: str, *, allowed: Callable[[str], bool] | None = None) -> None:
        parts = urlsplit(base_url)
        self._socket = unquote(parts.netloc) if parts.scheme == "http+unix" else None
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path.rstrip("/")
        self._host_header = "localhost" if self._socket else parts.netloc
        self._allowed = allowed
        self._idle: list[_Exchange] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Response:
        """The whole answer; raises `Dropped`, or `TimeoutError` after `timeout_s`."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {self._path}{path} HTTP/1.1\r\nHost: {self._host_header}\r\n{lines}"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode("latin-1")
        exchange: _Exchange | None = None
        try:
            async with asyncio.timeout(timeout_s):
                exchange = self._kept()
                response = None
                if exchange is not None:
                    sent = time.monotonic()
                    try:
                        response = await exchange.request([head, body])
                    except Dropped:
                        # The server may have closed the kept connection before it read the request: once more, on a
                        # new one. Later than that it has read it, and this is a try that failed.
                        if not exchange.fresh or time.monotonic() - sent > _STALE_S:
                            raise
                if response is None:
                    exchange = await self._connect()
                    response = await exchange.request([head, body])
        except BaseException:
            if exchange is not None:
                exchange.drop()
            raise
        assert exchange is not None
        if exchange.usable:
            self._idle.append(exchange)
        elif exchange.transport is not None:
            exchange.transport.close()
        return response

    def _kept(self) -> _Exchange | None:
        while self._idle:
            exchange = self._idle.pop()
            if exchange.usable:
                return exchange
        return None

    async def _connect(self) -> _Exchange:
        loop = asyncio.get_running_loop()
        try:
            if self._socket:
                return (await loop.create_unix_connection(_Exchange, self._socket))[1]
            transport, exchange = await loop.create_connection(_Exchange, self._host, self._port)
        except OSError as error:
            raise Dropped(f"cannot connect: {error.strerror or error}", reached=False) from error
        peer = transport.get_extra_info("peername")
        if self._allowed is not None and not self._allowed(str(ipaddress.ip_address(peer[0].partition("%")[0]))):
            transport.abort()
            raise Dropped(f"{self._host} is {peer[0]} now, an address outside", reached=False)
        return exchange

    async def close(self) -> None:
        """Closes kept connections."""
        for exchange in self._idle:
            exchange.drop()
        self._idle.clear()
