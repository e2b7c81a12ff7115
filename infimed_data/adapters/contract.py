"""What an adapter is, and what its functions are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from infimed_data.schema import ABSENT_RULES, Reject, Sample, absent
from infimed_data.storage.places import ImageFinder, Place
from infimed_data.storage.tables import TableFile, TableRow

__all__ = ["Adapter", "AdapterOptions", "Context", "no_evidence"]


class AdapterOptions(BaseModel):
    """Settings of an adapter; a subclass adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True)
class Context:
    """What a row is read with."""

    place: Place
    split: str
    options: Any
    """The adapter's options, validated."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What `Adapter.evidence` found out before the first row."""

    @cached_property
    def images(self) -> ImageFinder:
        """Finds images by the names that rows give."""
        return ImageFinder(self.place)

    def image(self, name: str) -> str:
        """The reference for the image that a row calls `name`; an `absent` one where there is none.

        A row without its image is rejected, but what it asks is read all the same: a benchmark's row is matched by its
        text and its group. Raises `Reject` for a name that leads out of the source.
        """
        try:
            return self.images.find(name)
        except Reject as reject:
            if reject.rule not in ABSENT_RULES:
                raise
            return absent(reject)


def no_evidence(files: Sequence[TableFile], context: Context) -> Mapping[str, Any]:
    """For adapters whose rows speak for themselves."""
    return {}


def nothing_beside(context: Context) -> list[str]:
    """For adapters that read no file beside the rows."""
    return []


@dataclass(frozen=True)
class Adapter:
    """One layout of rows: which files hold a split, and how a row becomes a `Sample`."""

    tables: Callable[[Context], list[TableFile]]
    """The files of the split, found by their names and columns. Raises `SourceError` where there are none."""
    sample: Callable[[TableRow, Context], Sample | None]
    """The row as a sample; None where the row belongs to another split; raises `Reject` where it cannot be read."""
    options: type[AdapterOptions] = AdapterOptions
    evidence: Callable[[Sequence[TableFile], Context], Mapping[str, Any]] = no_evidence
    """Facts about the files that rows need (JSON-like, small), such as whether a label counts from 0 or 1."""
    beside: Callable[[Context], list[str]] = nothing_beside
    """Files that `evidence` reads beside the rows: when they change, the rows are read again."""
    splits: tuple[str, ...] = ("train",)
    eval_splits: tuple[str, ...] = ()
    """Splits that published results are measured on: training on one is warned about."""
    code: tuple[str, ...] = ()
    """Further modules of this package that decide what `sample` returns."""
