"""Whether a server is on this machine or in the private network, so that data that must not leave can go there."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

__all__ = ["is_private_address", "proxy_for", "why_public"]

_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Loopback, RFC 1918, link-local, and unique local addresses (RFC 4193). Carrier-grade NAT (100.64/10) is not ours."""

Resolve = Callable[[str], list[str]]


def is_private_address(address: str) -> bool:
    """Whether an IP address is loopback, link-local, RFC 1918 or unique local (an IPv4 address in IPv6 dress too)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in _PRIVATE)


def why_public(base_url: str, *, environ: Mapping[str, str] = os.environ, resolve: Resolve | None = None) -> str | None:
    """None where everything sent to `base_url` stays in the private network; else one line that says why it does not.

    A name must resolve to private addresses only, and no proxy of the environment may stand in between. A name that
    does not resolve counts as public: nobody can tell. `Connections` looks again at the address it is connected to.
    """
    parts = urlsplit(base_url)
    if parts.scheme == "http+unix":
        return None
    host = parts.hostname or ""
    proxy = proxy_for(base_url, environ=environ)
    if proxy is not None:
        return f"{host} is reached through the proxy {urlsplit(proxy).hostname} of the environment; see NO_PROXY"
    try:
        addresses = [str(ipaddress.ip_address(host.partition("%")[0]))]
    except ValueError:
        try:
            addresses = (resolve or _resolve)(host)
        except OSError as error:
            return f"{host} does not resolve ({error.strerror or error}), so it cannot be told to be private"
    public = [address for address in addresses if not is_private_address(address)]
    if public or not addresses:
        return f"{host} is {', '.join(public) or 'no address'}, outside the private networks"
    return None


def proxy_for(base_url: str, *, environ: Mapping[str, str] = os.environ) -> str | None:
    """URL of the proxy that the environment puts before a server, or None. As in Go, localhost and loopback addresses
    are always reached directly; NO_PROXY takes hosts, domains, addresses, networks (10.0.0.0/8) and `*`."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").partition("%")[0]
    if parts.scheme == "http+unix" or host == "localhost":
        return None
    found = ""
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        found = found or environ.get(name) or environ.get(name.upper(), "")
    if not found:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return None
    for name in (environ.get("no_proxy") or environ.get("NO_PROXY", "")).lower().split(","):
        bare = name.strip().removeprefix("*.").removeprefix(".")
        if bare and (bare == "*" or host == bare or host.endswith("." + bare) or _in_network(address, bare)):
            return None
    return found if "://" in found else f"http://{found}"


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, name: str) -> bool:
    try:
        return address is not None and address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _resolve(host: str) -> list[str]:
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
