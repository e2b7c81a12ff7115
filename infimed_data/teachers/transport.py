"""The way to a server: a lean client where it is reached directly over plain http, httpx2 for TLS and proxies.

Measured on two cores (tests/benchmarks/bench_teachers.py): the lean client costs a small part of httpx2's time a
request, which only matters where the server is near; servers behind TLS or a proxy are far away.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from infimed_data.errors import TeacherError
from infimed_data.teachers.http1 import Connections, Dropped, Response
from infimed_data.teachers.private import is_private_address, proxy_for

__all__ = ["Dropped", "Response", "Transport", "open_transport"]


class Transport(Protocol):
    """Posts a body to a path below the server's base address."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Response:
        """The whole answer, whatever its status; raises `Dropped` or `TimeoutError`."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


def open_transport(
    base_url: str, *, connections: int, private_only: bool = False, environ: Mapping[str, str] = os.environ
) -> Transport:
    """The transport for a server. With `private_only` an address that is not private is never sent anything."""
    proxy = proxy_for(base_url, environ=environ)
    if urlsplit(base_url).scheme in ("http", "http+unix") and proxy is None:
        return Connections(base_url, allowed=is_private_address if private_only else None)
    return _Httpx(base_url, proxy, connections)


class _Httpx:
    """TLS and proxies, with the certificates of the environment (`SSL_CERT_FILE`) or of certifi."""

    def __init__(self, base_url: str, proxy: str | None, connections: int) -> None:
        import httpx2

        self._httpx = httpx2
        self._base_url = base_url
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=connections)
        try:
            self._client = httpx2.AsyncClient(
                verify=httpx2.create_ssl_context(trust_env=True), trust_env=False, proxy=proxy, limits=limits
            )
        except (ValueError, ImportError) as error:
            raise TeacherError(f"proxy of the environment for {base_url}: {error}") from None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Response:
        """See `Transport.post`."""
        import asyncio

        try:
            async with asyncio.timeout(timeout_s):
                found = await self._client.post(
                    self._base_url + path, content=body, headers=dict(headers), timeout=timeout_s
                )
        except self._httpx.TimeoutException as error:
            raise TimeoutError from error
        except (self._httpx.ConnectError, self._httpx.ProxyError) as error:
            raise Dropped(f"cannot connect: {error}", reached=False) from error
        except self._httpx.TransportError as error:
            raise Dropped(f"{type(error).__name__}: {error}") from error
        return Response(
            found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content
        )

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.aclose()
