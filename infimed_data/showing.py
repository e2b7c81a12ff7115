"""What may be shown: text without characters that steer a terminal, and without keys, tokens and signed addresses."""

from __future__ import annotations

import os
import re
import traceback
import unicodedata
from collections.abc import Mapping

__all__ = ["holds_secret", "keep_secret", "safe", "shown", "trace_of", "without_secrets"]

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HIDDEN = "***"
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 8
"""Characters of a variable's value from which on it is taken for a secret: `TOKENIZERS_PARALLELISM=true` is none."""
_KEYS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{6,})"
)
"""Keys that are known by their beginnings: Hugging Face, OpenAI and others, GitHub, GitLab, Slack, AWS, Google, JWT."""
_HEADER = re.compile(
    r"""(?ix)\b(authorization|proxy-authorization|x-api-key|api-key)(["']?\s*[:=]\s*(?:[bB]?["'])?)(?:(?:bearer|basic)\s+)?[^\s"',;)]+
    |\b(bearer)(\s+)[^\s"',;)]{6,}"""
)
_USER = re.compile(r"(?<=://)[^/\s@?#]+@(?=[\w\[])")
_QUERY = re.compile(r"""\b((?:https?|s3|gs|gcs|az|abfss?|ftp)://[^\s?#'"<>]*)\?[^\s'"<>)\]}]+""", re.IGNORECASE)
_known: set[str] = set()


def shown(text: str) -> str:
    """`text` as one line that a terminal can be given: control, format and bidirectional characters are escaped.

    >>> shown("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    return text if text.isprintable() else "".join(map(_shown_char, text))


def _shown_char(char: str) -> str:
    if char.isprintable():
        return char
    if unicodedata.category(char) == "Zs":
        return " "
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def keep_secret(value: str) -> None:
    """Remembers a key, whatever the variable was called that held it: `without_secrets` hides it from then on."""
    if value:
        _known.add(value)


def without_secrets(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """`text` with keys, the values of variables that hold some, users in addresses and their queries as `***`.

    >>> without_secrets("GET https://u:p@h.org/a?X-Amz-Signature=1 failed", {})
    'GET https://***@h.org/a?*** failed'
    """
    named = (value.strip() for name, value in environ.items() if _SECRET_NAME.search(name))
    for value in sorted((*_known, *(v for v in named if len(v) >= _SHORTEST)), key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    text = _HEADER.sub(lambda found: f"{found[1] or found[3]}{found[2] or found[4]}{_HIDDEN}", text)
    text = _USER.sub(f"{_HIDDEN}@", text)
    return _KEYS.sub(_HIDDEN, _QUERY.sub(rf"\1?{_HIDDEN}", text))


def holds_secret(text: str, *, address: bool = False) -> bool:
    """Whether `text` holds a key known by its beginning, or a user in an address; of an `address`, also a query."""
    return bool(_KEYS.search(text) or _USER.search(text) or (address and _QUERY.search(text)))


def safe(text: str) -> str:
    """`text` as one line for a terminal or a log: neither what steers it nor what is secret."""
    return shown(without_secrets(text))


def trace_of(error: BaseException) -> str:
    """The traceback of an error that nobody foresaw, each line of it safe, without the values of variables."""
    lines = "".join(traceback.format_exception(error)).split("\n")
    return "\n".join(safe(line) for line in lines)
