"""A trace as the gates read it, and what a gate finds. Positions count in the trace's own text throughout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from infimed_data.schema import LABELS
from infimed_data.text import sentences
from infimed_data.verify.clean import lower
from infimed_data.verify.extract import final_answers

__all__ = ["Finding", "Span", "Tag", "Trace", "words_of"]

_TAG = re.compile(r"<(/?)(?:(answer)|think(?:ing)?|thought|reasoning)>")
_ANSWER_TAG = re.compile("</?answer>")
_QUOTES = (("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2013", "-"), ("\u2014", "-"))
_BREAKS = bytes.maketrans(b'.,;:!?()[]{}"*_`#<>/\\|=-\n\t', b" " * 26)
_LABEL = re.compile(r"[(\[\"' ]{0,3}([A-J])(?:[).\]:、,\"' ]|$)")


class Span(NamedTuple):
    """A stretch of text."""

    start: int
    end: int


class Tag(NamedTuple):
    """A tag around reasoning or an answer."""

    start: int
    end: int
    closing: bool
    answer: bool


class Finding(NamedTuple):
    """Why a gate does not let a trace through."""

    gate: str
    reason: str
    """What is wrong, in a few words."""
    span: str
    """The text that offends; empty where something is missing."""
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a teacher wrote, and what it had been asked."""

    text: str
    """Whole output: reasoning in `<think>`, then the answer."""
    question: str = ""
    options: tuple[str, ...] = ()
    answer_kind: str = "open"
    lang: str = "en"
    image: bool = False
    """Whether the prompt showed an image."""
    pattern: str | None = None
    """Reflection that was asked for."""
    wrong: tuple[str, ...] = ()
    """Conclusions that were given up on the way, one of which the text must still tell of."""

    @cached_property
    def plain(self) -> str:
        """The text in lower case, with plain quotation marks and hyphens: of the same length, so positions agree."""
        return _plain(self.text)

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """The tags around reasoning and answers, in order."""
        return tuple(
            Tag(found.start(), found.end(), bool(found[1]), bool(found[2])) for found in _TAG.finditer(self.plain)
        )

    @cached_property
    def blocks(self) -> tuple[Span, ...]:
        """The closed blocks of reasoning."""
        found = []
        start: int | None = None
        for tag in self.tags:
            if tag.answer:
                continue
            if not tag.closing:
                start = tag.end if start is None else start
            elif start is not None:
                found.append(Span(start, tag.start))
                start = None
        return tuple(found)

    @cached_property
    def thought(self) -> Span:
        """Where the reasoning stands: the first block, or all the text where there is no block."""
        return self.blocks[0] if self.blocks else Span(0, len(self.text))

    @cached_property
    def reasoning(self) -> str:
        """The reasoning, as it was written."""
        return self.text[self.thought.start : self.thought.end]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """(start, end) of the sentences of the reasoning, in order."""
        at = self.thought.start
        return [(at + start, at + end) for start, end in sentences(self.reasoning)]

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the whole text, in lower case without punctuation: what decides whether a gate looks closer."""
        return words_of(_ANSWER_TAG.sub(" ", self.plain))

    @cached_property
    def asked(self) -> str:
        """Question and options in lower case."""
        return _plain("\n".join((self.question, *self.options)))

    @cached_property
    def ascii(self) -> bool:
        """Whether there is nothing but ASCII in the text, so no Chinese."""
        return self.plain.isascii()

    @cached_property
    def final(self) -> str:
        """The final answer as it stands in the text; of several the first."""
        said = [tag for tag in self.tags if tag.answer]
        if len(said) == 2 and said[1].closing and (inside := self.text[said[0].end : said[1].start].strip()):
            return inside
        return final_answers(self.text, options=self.options).answers[0]

    @cached_property
    def chosen(self) -> int | None:
        """Position of the option whose letter the final answer begins with, or which it is word for word."""
        final = self.final
        label = _LABEL.match(final) if self.options else None
        if label is not None and LABELS.index(label[1]) < len(self.options):
            return LABELS.index(label[1])
        plain = final.casefold().strip(". ")
        return next((index for index, option in enumerate(self.options) if option.casefold() == plain), None)

    @cached_property
    def answered(self) -> str:
        """The final answer in lower case, as an option's text where it names one."""
        text = self.options[self.chosen] if self.chosen is not None else self.final
        return text.lower()

    def show(self, gate: str, reason: str, start: int, end: int) -> Finding:
        """A finding about the text from `start` to `end`."""
        return Finding(gate, reason, self.text[start:end], start, end)


def _plain(text: str) -> str:
    text = lower(text)
    if not text.isascii():
        for mark, plain in _QUOTES:
            text = text.replace(mark, plain)
    return text


def words_of(plain: str) -> frozenset[str]:
    """The distinct words of text in lower case, as far as they are ASCII."""
    return frozenset(plain.encode("ascii", "replace").translate(_BREAKS).decode().split())
