"""Whether what is sent stays in the private network; how servers ask to wait; settings that cannot be used."""

from __future__ import annotations

import socket
from email.utils import formatdate

import pytest
from pydantic import ValidationError

from infimed_data.teachers import Teacher, why_public
from infimed_data.teachers.gate import backoff_s, retry_after_s
from infimed_data.teachers.private import proxy_for
from infimed_data.teachers.replies import answer_entropy, entropy_of, folded


def names(host: str) -> list[str]:
    """A resolver of our own."""
    known = {
        "gpu.lan": ["192.168.1.7"], "both.lan": ["10.0.0.1", "8.8.8.8"], "six.lan": ["fd00::1", "fe80::1%eth0"],
        "localhost": ["127.0.0.1", "::1"], "api.example": ["93.184.216.34"],
    }  # fmt: skip
    if host not in known:
        raise socket.gaierror(-2, "Name or service not known")
    return known[host]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/v1", "http://localhost:8000/v1", "http://[::1]/v1", "http://10.1.2.3/v1",
     "http://172.16.0.1/v1", "http://172.31.255.255/v1", "http://192.168.0.1/v1", "http://169.254.1.1/v1",
     "https://[fd12::1]/v1", "http://[fe80::1%25eth0]/v1", "http://[::ffff:10.0.0.1]/v1", "http://gpu.lan/v1",
     "http://six.lan/v1", "http+unix://%2Ftmp%2Fs/v1"],
)  # fmt: skip
def test_private(url: str) -> None:
    assert why_public(url, environ={}, resolve=names) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://api.example/v1", "93.184.216.34, outside the private networks"),
        ("http://both.lan/v1", "both.lan is 8.8.8.8, outside"),
        ("http://unknown.lan/v1", "does not resolve"),
        ("http://172.32.0.1/v1", "outside"),
        ("http://100.64.0.1/v1", "outside"),
        ("http://0.0.0.0/v1", "outside"),
        ("http://198.18.0.1/v1", "outside"),
        ("http://[::ffff:8.8.8.8]/v1", "outside"),
        ("http://[2001:db8::1]/v1", "outside"),
    ],
)
def test_public(url: str, why: str) -> None:
    assert why in str(why_public(url, environ={}, resolve=names))


def test_a_proxy_carries_it_out() -> None:
    proxy = {"http_proxy": "http://user:secret@proxy.corp:3128", "NO_PROXY": "gpu2.lan, .hosts.lan,10.0.0.0/8"}
    why = why_public("http://gpu.lan/v1", environ=proxy, resolve=names)
    assert why is not None and "proxy proxy.corp" in why and "secret" not in why
    assert proxy_for("http://gpu.lan/v1", environ=proxy) == "http://user:secret@proxy.corp:3128"
    assert proxy_for("https://gpu.lan/v1", environ=proxy) is None
    assert proxy_for("https://gpu.lan/v1", environ={"ALL_PROXY": "p:1"}) == "http://p:1"
    for direct in ("http://gpu2.lan/v1", "http://a.hosts.lan/v1", "http://10.2.3.4/v1", "http://127.0.0.1/v1"):
        assert proxy_for(direct, environ=proxy) is None
    for through in ("http://notgpu2.lan/v1", "http://11.0.0.1/v1"):
        assert proxy_for(through, environ=proxy) is not None
    assert proxy_for("http://x/v1", environ={"http_proxy": "p:1", "no_proxy": "*"}) is None


def test_retry_after() -> None:
    assert retry_after_s("2") == 2.0 and retry_after_s("0.5") == 0.5 and retry_after_s("-3") == 0.0
    assert retry_after_s(formatdate(1000 + 7, usegmt=True), now=1000.0) == 7.0
    assert retry_after_s(formatdate(1000 - 7, usegmt=True), now=1000.0) == 0.0
    for wrong in (None, "soon", "nan", "inf", ""):
        assert retry_after_s(wrong) is None
    waits = [backoff_s(attempt) for attempt in range(12) for _ in range(50)]
    assert min(waits) >= 0.25 and max(waits) <= 30 and len(set(waits)) > 500


def test_reasoning_is_folded_into_the_text() -> None:
    assert folded("B", "why", cut=False) == "<think>\nwhy\n</think>\n\nB"
    assert folded("", "why", cut=True) == "<think>\nwhy\n"
    assert folded("why</think>\nB", "", cut=False) == "<think>\nwhy</think>\nB"
    assert folded("<think>why</think>B", "", cut=False) == "<think>why</think>B"


def test_entropy_is_that_of_the_distribution_whatever_was_drawn() -> None:
    """Averaged over what may be drawn it is the entropy; also as vLLM lists it, the drawn one among the top."""
    from math import exp, log

    chances = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04]
    logs = [log(chance) for chance in chances]
    entropy = -sum(chance * log(chance) for chance in chances)
    as_openai = sum(exp(own) * entropy_of(logs[:4], own) for own in logs)
    as_vllm = sum(exp(own) * entropy_of(sorted({own, *logs[: 3 + (own in logs[:3])]}), own) for own in logs)
    alone = sum(exp(own) * entropy_of([], own) for own in logs)
    assert as_openai == pytest.approx(entropy) and as_vllm == pytest.approx(entropy)
    assert alone == pytest.approx(entropy)
    tokens = [
        ("<think>", 9.0),
        ("x", 9.0),
        ("</think>", 9.0),
        ("<answer>", 9.0),
        ("B", 1.0),
        ("C", 2.0),
        ("</answer>", 9),
    ]
    assert answer_entropy(tokens) == 1.5
    assert answer_entropy([("a", 1.0), (" ", 50.0), ("b", 3.0)]) == 2.0 and answer_entropy([]) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "ftp://x/v1"}, "allowed: http://HOST:PORT/v1"),
        ({"base_url": "http://me:pw@x/v1"}, "api_key_env"),
        ({"base_url": "http://x/v1?key=1"}, "holds `\\?` or `#`"),
        ({}, "needs base_url"),
        ({"backend": "replay"}, "needs file"),
        ({"base_url": "http://x/v1", "extra_body": {"n": 3}}, "set elsewhere"),
        ({"base_url": "http://x/v1", "api_key_env": "sk-123"}, "api_key_env"),
        ({"base_url": "http://x/v1", "api_key": "sk-123"}, "api_key"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Teacher.model_validate({"model": "m", **settings})
