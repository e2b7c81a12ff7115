"""What all records of a manifest share: they are frozen, typed strictly, and refuse unknown fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["NAME", "Record"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""Names that a user gives: of a dataset, a source, a teacher, a pass."""


class Record(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
