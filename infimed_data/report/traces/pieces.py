"""A trace cut where something is to be said of it: its reflection, what gates object to, its tags, its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from infimed_data.gates import Trace, highlights
from infimed_data.report.wording import readable_part

__all__ = ["Note", "Piece", "annotated", "notes_of"]

MAX_CHARS = 12_000
"""Characters of a trace that are shown; of a longer one the beginning and the end."""
TAIL_CHARS = 3000

Fields = Mapping[str, Any]


class Note(NamedTuple):
    """Something to be said of a stretch of a text."""

    start: int
    end: int
    kind: str
    """`reflects` (a sentence that shows a pattern), `marker` (the phrase that shows it), `gate`, `tag`, or `answer`."""
    label: str
    """The pattern or the gate; empty for the rest."""


class Piece(NamedTuple):
    """A part of a text as it is shown."""

    text: str
    kinds: tuple[str, ...]
    """Of the notes that it lies in."""
    begins: tuple[Note, ...]
    """Notes with a label that begin with it."""


def notes_of(candidate: Fields, row: Fields | None) -> list[Note]:
    """All that is to be said of a candidate's text."""
    whole = candidate["text"] or ""
    text = whole[: MAX_CHARS - TAIL_CHARS] if len(whole) > MAX_CHARS else whole
    trace = Trace(
        text=text,
        question=(row or {}).get("question") or "",
        options=tuple((row or {}).get("options") or ()),
        answer_kind=(row or {}).get("answer_kind") or "open",
        lang=(row or {}).get("lang") or "en",
    )
    found = [Note(tag.start, tag.end, "tag", "") for tag in trace.tags]
    opened = None
    for tag in trace.tags:
        if tag.answer and tag.closing and opened is not None:
            found.append(Note(opened, tag.start, "answer", ""))
        opened = tag.end if tag.answer and not tag.closing else None
    for reflection in highlights(trace):
        found.append(Note(reflection.start, reflection.end, "reflects", reflection.pattern))
        at = text.find(reflection.marker, reflection.start, reflection.end) if reflection.marker else -1
        if at >= 0:
            found.append(Note(at, at + len(reflection.marker), "marker", ""))
    for finding in candidate["gates"] or ():
        start, end = finding["start"] or 0, finding["end"] or 0
        if 0 <= start < end <= len(whole):
            found.append(Note(start, end, "gate", finding["gate"] or ""))
    return sorted(found)


def annotated(text: str, notes: Sequence[Note]) -> tuple[list[Piece], int]:
    """(the text in pieces that are safe to show, how many characters in its middle are left out).

    What is left out stands as a piece of no text and the kind `cut`.
    """
    if len(text) <= MAX_CHARS:
        return _cut(text, notes, 0, len(text)), 0
    head, tail = MAX_CHARS - TAIL_CHARS, len(text) - TAIL_CHARS
    pieces = [*_cut(text, notes, 0, head), Piece("", ("cut",), ()), *_cut(text, notes, tail, len(text))]
    return pieces, tail - head


def _cut(text: str, notes: Sequence[Note], first: int, last: int) -> list[Piece]:
    places = {first, last}
    for note in notes:
        places.update(min(max(place, first), last) for place in (note.start, note.end))
    bounds = sorted(places)
    coming = sorted(notes, key=lambda note: note.start, reverse=True)
    inside: list[Note] = []
    pieces = []
    for start, end in pairwise(bounds):
        while coming and coming[-1].start <= start:
            inside.append(coming.pop())
        inside = [note for note in inside if note.end >= end]
        kinds = tuple(sorted({note.kind for note in inside}))
        begins = tuple(note for note in inside if note.label and note.start == start)
        part = readable_part(text[start:end])
        if part.isspace() and "\n" in part:  # between tags, which stand in lines of their own anyway
            part = "\n"
        pieces.append(Piece(part, kinds, begins))
    return pieces
