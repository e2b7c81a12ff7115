"""A sample as a teacher is asked about it, with the gold answer that the teacher is not told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infimed_data.schema import LABELS, ImageSlot

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question with its gold answer; can be verified against, like a `schema.Sample`."""

    uid: str
    question: str
    options: tuple[str, ...] = ()
    answer: str = ""
    answer_label: str | None = None
    answer_kind: str = "open"
    lang: str = "en"
    images: tuple[str, ...] = ()
    """Digests."""
    image_slots: tuple[ImageSlot, ...] = ()
    """Position of each image in the question; empty means: all of them before the text."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Problem:
        """The problem of a row of `samples` (see `schema.SAMPLES`). A conversation has no question to ask."""
        return cls(
            uid=row["uid"],
            question=row["question"],
            options=tuple(row["options"] or ()),
            answer=row["answer"],
            answer_label=row["answer_label"],
            answer_kind=row["answer_kind"],
            lang=row["lang"],
            images=tuple(row["images"] or ()),
            image_slots=tuple(ImageSlot(slot["turn"], slot["offset"]) for slot in row["image_slots"] or ()),
        )

    @property
    def gold(self) -> str:
        """The gold answer in words, with its letter in front where it has one: `B. Pons`."""
        return f"{self.answer_label}. {self.answer}" if self.answer_label else self.answer

    @property
    def option_lines(self) -> str:
        """The options with their letters, one a line."""
        return "\n".join(f"{LABELS[index]}. {text}" for index, text in enumerate(self.options))
