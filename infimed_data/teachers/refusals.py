"""What an answer that is no success means: wait, try again, give up this candidate, or stop the run."""

from __future__ import annotations

from enum import StrEnum

import orjson

__all__ = ["Meaning", "meaning"]


class Meaning(StrEnum):
    """What to do about an answer."""

    success = "success"
    wait = "wait"
    """The server is busy, and says so: nothing is wrong with the request."""
    retry = "retry"
    """Something broke on the way or in the server."""
    refused = "refused"
    """The server will not answer this request, however often it is asked."""
    stop = "stop"
    """No request will be answered until somebody mends something."""


def meaning(status: int, body: bytes, *, has_retry_after: bool) -> Meaning:
    """What an answer with this status and body means."""
    if status == 200:
        return Meaning.success
    code = _words(body)
    if status == 429:
        return Meaning.stop if "insufficient_quota" in code or "billing" in code else Meaning.wait
    if status == 503 and has_retry_after:
        return Meaning.wait
    if status >= 500 or status in (408, 409, 425):
        return Meaning.retry
    if status in (400, 413, 422):
        return Meaning.stop if "model_not_found" in code or "invalid_api_key" in code else Meaning.refused
    if status == 403 and any(word in code for word in ("moderation", "content_policy", "content_filter", "flagged")):
        return Meaning.refused
    return Meaning.stop


def _words(body: bytes) -> str:
    """The code, type and metadata of an error's body, in lower case; what it says in prose does not count."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    inner = found.get("error", found) if isinstance(found, dict) else {}
    if not isinstance(inner, dict):
        return ""
    return " ".join(str(inner.get(name, "")) for name in ("code", "type", "metadata", "innererror")).lower()
