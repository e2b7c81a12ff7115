"""Raw output as plain text: section 1, point 1 of the policy.

NFKC comes first, so that full-width tags, letters and digits are read like any other. Every pattern here takes time
linear in the text, however it is built: no quantifier is nested, and white space is never skipped before a literal.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["clean", "is_empty", "lower"]

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_MARK_RUN = re.compile(r"[^\w\s\x00-\x7f]{65,}")
_VULGAR = re.compile("(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215e])")
_POWER = re.compile("(?<=[0-9])(?=[\u00b2\u00b3\u00b9\u2070-\u207b])")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u300c\u300d\u300e\u300f", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\u2043", "-"),
        **dict.fromkeys("\u2014\u2015", " - "),  # a dash between clauses joins no words
        **dict.fromkeys("\u301c\u223c\u223d\u2248", "~"),
        "\u2215": "/",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u2266": "<=",
        "\u2267": ">=",
        "\u2a7d": "<=",
        "\u2a7e": ">=",
        "\u2715": "\u00d7",
        "\u2716": "\u00d7",
        "\u03bc": "\u00b5",
    }
)
_SYMBOLS = ("So", "Sm", "Sc")
_SPACED_MINUS = re.compile("\u2212\\s(?=[0-9.])")

_THOUGHT_TOKEN = re.compile(r"<\|(begin|end)_of_thought\|>")
_SPECIAL = re.compile(r"<\|[^<>|]{0,80}\|>|</?s>|<(?:pad|unk|eos|bos|start_of_turn|end_of_turn)>")

_TIMES = re.compile(r"(?<=[0-9]) ?\* ?(?=[0-9])")
_HEADING = re.compile(r"^#+ ?", re.MULTILINE)
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")

_BRACES = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt)|mbox|emph|bm|boldsymbol|underline) ?\{|\\?[{}]"
)
_FRACTION = re.compile(r"\\[dt]?frac ?\{([^{}]{1,40})\} ?\{([^{}]{1,40})\}")
_EXPONENT = re.compile(r"\^\{([^{}]{1,8})\}")
_COMMAND = re.compile(
    r"\\(?:(times|cdot|mu|pm|sim|approx|leq?|geq?|lt|gt|circ|degree|q?quad|left|right|displaystyle)(?![A-Za-z])"
    r"|([%,;:! &#_$/\\()\[\]]))"
)
_COMMANDS = {
    "times": "\u00d7", "cdot": "\u00b7", "mu": "\u00b5", "pm": "\u00b1", "sim": "~", "approx": "~",
    "le": "<=", "leq": "<=", "ge": ">=", "geq": ">=", "lt": "<", "gt": ">", "circ": "\u00b0", "degree": "\u00b0",
    "quad": " ", "qquad": " ", "left": "", "right": "", "displaystyle": "",
    "%": "%", ",": " ", ";": " ", ":": " ", "!": "", " ": " ", "&": "&", "#": "#", "_": "_", "/": "/",
    "$": "", "\\": "\n",
    "(": "", ")": "", "[": "", "]": "",
}  # fmt: skip


def clean(text: str) -> str:
    """`text` without what only dresses it, white space collapsed: no line is empty, no two spaces meet.

    >>> clean("**\\uff22**.  $\\\\text{Pons}$<|im_end|>")
    'B. Pons'
    """
    if not text.isascii():
        text = _plain(text)
    if not text.isprintable():
        text = _CONTROL.sub("", "\n".join(text.splitlines()))
    if "<" in text:
        text = _THOUGHT_TOKEN.sub(_thought_tag, text)
        text = _SPECIAL.sub("", text)
    if "*" in text:
        text = _TIMES.sub("\u00d7", text).replace("*", "")
    if "`" in text:
        text = text.replace("`", "")
    if "\\" in text:
        text = _latex(text)
    if "$" in text:
        text = text.replace("$", "")
    text = _LINES.sub("\n", _SPACES.sub(" ", text)).strip()
    if "#" in text:
        text = _HEADING.sub("", text).strip()
    return text


def is_empty(text: str) -> bool:
    """True for nothing, white space and punctuation. Symbols outside ASCII, such as a tick, are content."""
    if text[:1].isalnum():
        return False
    return not any(char.isalnum() or (char > "\x7f" and unicodedata.category(char) in _SYMBOLS) for char in set(text))


def lower(text: str) -> str:
    """Lower case, character by character where the whole would change in length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _plain(text: str) -> str:
    """NFKC, with plain quotation marks, hyphens and comparison signs, and without invisible characters."""
    text = _INVISIBLE.sub("", text).replace("\ufdfa", " ")  # one sign that NFKC makes eighteen
    text = _MARK_RUN.sub(_without_marks, text)
    text = _VULGAR.sub(" ", text)
    text = _POWER.sub("^", text)
    text = unicodedata.normalize("NFKC", text)
    return _SPACED_MINUS.sub("-", text).translate(_TYPOGRAPHY)


def _without_marks(run: re.Match[str]) -> str:
    # Sorting a long run of combining marks takes NFKC quadratic time; no text has more than a few on one letter.
    return "".join(char for char in run.group() if not unicodedata.combining(char))


def _thought_tag(token: re.Match[str]) -> str:
    return "<think>" if token.group(1) == "begin" else "</think>"


def _latex(text: str) -> str:
    """`text` without LaTeX wrappers and delimiters; `\\boxed{...}` stays as it is."""
    if "{" in text:
        text = _FRACTION.sub(r"\1/\2", text)
        text = _EXPONENT.sub(r"^\1", text)
        text = _unwrapped(text)
    text = _COMMAND.sub(_command, text)
    return text.replace("^\u00b0", "\u00b0")


def _command(found: re.Match[str]) -> str:
    return _COMMANDS[found.group(1) or found.group(2)]


def _unwrapped(text: str) -> str:
    """`text` without `\\text{` and its like and the braces that close them."""
    kept: list[str] = []
    wrappers: list[bool] = []
    at = 0
    for found in _BRACES.finditer(text):
        brace = found.group()
        if brace in ("\\{", "\\}"):
            drop = True
        elif brace == "}":
            drop = wrappers.pop() if wrappers else False
        else:
            drop = brace != "{"
            wrappers.append(drop)
        if drop:
            kept.append(text[at : found.start()])
            at = found.end()
    kept.append(text[at:])
    return "".join(kept)
