"""What a manifest says about protected health information: whether it is looked for, and what becomes of its rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from infimed_data.manifest.records import Record
from infimed_data.schema import PhiConfidence, PhiKind

__all__ = ["Phi"]


class Phi(Record):
    """Search for what may point at a person. Nothing is ever blacked out or reworded: a row stays whole, or it
    leaves."""

    action: Literal["off", "report", "quarantine"]
    """`off`: nothing is looked for, and the card says so. `report`: what is found is in the table `phi`, and rows stay.
    `quarantine`: rows with what `quarantine` names leave the build, with stage `phi`, and their texts with them."""
    quarantine: tuple[PhiKind, ...] = Field(
        default=("name", "birth_date", "record_number", "national_id", "phone", "email", "address")
    )
    """Kinds that take a row out. Not among them unless added: `date`, `age_over_89`, `lettering` (a picture that has
    burned-in text, whatever it says)."""
    min_confidence: PhiConfidence = "medium"
    """Least confidence of a finding that takes a row out: `high` says that a label or a checksum names it (`MRN: ...`),
    `medium` that its form does, `low` that it may be something else."""
    pictures: bool = True
    """Whether headers of image files and burned-in text are looked at too."""
    ocr: bool = False
    """Whether pictures with burned-in text are read, by the extra `ocr`: what stands there is then judged as text
    is."""

    @field_validator("quarantine")
    @classmethod
    def _some_kind(cls, kinds: tuple[PhiKind, ...]) -> tuple[PhiKind, ...]:
        if not kinds:
            raise ValueError("empty; name at least one kind, or set action: report")
        return kinds

    @property
    def looks(self) -> bool:
        """Whether anything is looked for."""
        return self.action != "off"

    def takes_out(self, kind: str, confidence: str) -> bool:
        """Whether a finding takes its row out."""
        order = ("low", "medium", "high")
        sure = order.index(confidence) >= order.index(self.min_confidence)
        return self.action == "quarantine" and kind in self.quarantine and sure
