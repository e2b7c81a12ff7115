"""What a rule is: one form of what may point at a person."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from infimed_data.schema import PhiConfidence, PhiKind

__all__ = ["Judge", "Rule", "after", "always", "before", "compiled", "value_group", "value_of"]

Judge = Callable[[re.Match[str]], PhiConfidence | None]


class Rule(NamedTuple):
    """One form. Every text with a match fits `hint`, a cheap expression (Rust's dialect) that runs over whole columns;
    `pattern` is run on the texts that fit, and its group `value` is what is masked. A hint has no Unicode `\\b`, which
    costs twenty times as much.
    """

    kind: PhiKind
    hint: str
    pattern: re.Pattern[str]
    judge: Judge
    """How sure a match is; None where it is none."""
    evidence: str


def always(confidence: PhiConfidence) -> Judge:
    """For patterns that say enough by themselves."""
    return lambda match: confidence


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern to which Chinese characters are no letters: `患者MRN` has a boundary in it."""
    return re.compile(pattern, re.ASCII)


def value_of(match: re.Match[str]) -> str:
    """What a match found: its group `value`, or `value2` where a pattern has two forms."""
    return match.string[slice(*match.span(value_group(match)))]


def value_group(match: re.Match[str]) -> str:
    """Name of the group that holds what was found."""
    return "value2" if match["value"] is None else "value"


def before(match: re.Match[str], characters: int) -> str:
    """What stands before a match."""
    return match.string[max(0, match.start() - characters) : match.start()]


def after(match: re.Match[str], characters: int) -> str:
    """What stands after a match."""
    return match.string[match.end() : match.end() + characters]
