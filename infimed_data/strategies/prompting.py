"""Prompts: the texts of `infimed_data/prompts`, in the language of the sample, filled with what is asked about.

`NAME.LANG.txt` is a message, or pieces of messages under `# name` lines. Placeholders stand in braces. Pieces are put
in first, and the digest in a prompt's name covers the message with its pieces, before anything of the sample is in
it: equal digests are equal wordings. A line that holds nothing but an empty placeholder goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import xxhash

from infimed_data.manifest.generate import Drawing
from infimed_data.strategies.problem import Problem
from infimed_data.teachers import ImagePart, Message, Part, Prompt, Sampling, TextPart

__all__ = ["LANGUAGES", "Template", "asked", "filled", "language", "piece", "prompt", "replied", "template"]

LANGUAGES = ("en", "zh")
"""Languages that prompts are written in; samples of any other are asked in English."""

_HOLDER = re.compile(r"\{([a-z_]+)\}")
_HEADING = re.compile(r"^# ([a-z_.]+)\n", re.MULTILINE)
_QUESTION = "{question}"


class Template(NamedTuple):
    """A message with its pieces in place, to be filled with what belongs to a sample."""

    name: str
    """Name, language, pieces, and digest: `reflective.en+self_check@3f2a90c1`."""
    text: str


def language(problem: Problem) -> str:
    """The language that a problem is asked in."""
    found = problem.lang.lower()[:2]
    return found if found in LANGUAGES else LANGUAGES[0]


@cache
def _file(name: str, lang: str) -> str:
    return (files("infimed_data") / "prompts" / f"{name}.{lang}.txt").read_text("utf-8").rstrip("\n")


@cache
def _pieces(name: str, lang: str) -> Mapping[str, str]:
    parts = _HEADING.split(_file(name, lang))
    return {heading: text.strip("\n") for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def piece(name: str, lang: str, heading: str) -> str:
    """The text under a heading of a file of pieces."""
    return _pieces(name, lang)[heading]


def template(name: str, problem: Problem, *, pattern: tuple[str, str] | None = None) -> Template:
    """The message `name` in the problem's language, with the pieces for its images and kind of answer.

    `pattern` is (file, heading) of a piece that takes the place of `{pattern}`.
    """
    return _template(name, language(problem), bool(problem.images), problem.answer_kind, pattern)


@cache
def _template(name: str, lang: str, image: bool, kind: str, pattern: tuple[str, str] | None) -> Template:
    pieces = _pieces("parts", lang)
    put = {"image": pieces["image"] if image else "", "answer_form": pieces.get(kind, pieces["open"])}
    if pattern is not None:
        put["pattern"] = piece(pattern[0], lang, pattern[1])
    text = filled(_file(name, lang), put, partly=True)
    shown = f"{name}.{lang}+{pattern[1]}" if pattern else f"{name}.{lang}"
    return Template(f"{shown}@{xxhash.xxh3_64_hexdigest(text.encode())[:8]}", text)


def filled(text: str, values: Mapping[str, str], *, partly: bool = False) -> str:
    """`text` with `values` in place of its placeholders, each looked at once: braces in a value are text.

    A placeholder without a value stays where it is filled `partly`, else it is an error, as a value without one is.
    """
    lines = [line for line in text.split("\n") if not (line[:1] == "{" and values.get(line[1:-1]) == "")]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    if not partly:
        holders = {*_HOLDER.findall(text)}
        if missing := holders - values.keys():
            raise KeyError(f"no value for {', '.join(sorted(missing))}")
    return _HOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def asked(template: Template, problem: Problem, **values: str) -> Message:
    """The user message: the template with the question, its options, and the images at their places."""
    values["options"] = problem.option_lines
    if _QUESTION not in template.text:
        return Message("user", (TextPart(filled(template.text, values)),))
    before, _, after = template.text.partition(_QUESTION)
    before, after = filled(before, values), filled(after, values)
    before = f"{before}\n\n" if before else ""
    after = f"\n\n{after}" if not problem.options else f"\n{after}"
    return Message("user", _with_images(before, problem, after))


def _with_images(before: str, problem: Problem, after: str) -> tuple[Part, ...]:
    """The question between two texts, its images where its slots say, else in front."""
    slots = [slot.offset for slot in problem.image_slots]
    if len(slots) != len(problem.images) or slots != sorted(slots):
        slots = []
    parts: list[Part] = [] if slots else [ImagePart(digest) for digest in problem.images]
    text, at = before, 0
    for offset, digest in zip(slots, problem.images, strict=False):
        text += problem.question[at:offset]
        parts += [TextPart(text)] if text else []
        parts.append(ImagePart(digest))
        text, at = "", offset
    return (*parts, TextPart(text + problem.question[at:] + after))


def replied(text: str) -> Message:
    """What a teacher said before, as a message of the conversation."""
    return Message("assistant", (TextPart(text),))


def prompt(name: str, model: str, drawing: Drawing, *messages: Message, logprobs: bool = False) -> Prompt:
    """A prompt to `model` of these messages, the last of which was written by the template called `name`."""
    sampling = Sampling(
        temperature=drawing.temperature, top_p=drawing.top_p, max_tokens=drawing.max_tokens, logprobs=logprobs
    )
    return Prompt(model=model, messages=messages, sampling=sampling, name=name)
