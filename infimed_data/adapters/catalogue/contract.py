"""What the catalogue says of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infimed_data.schema import Category

__all__ = ["DataSet"]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One public data set: where it is, on what terms, how it is read, and one row as its files have it."""

    title: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The adapter's options for this set."""
    category: Category
    source: str
    """Repository on the Hub, or where else it comes from."""
    license: str
    rows: Mapping[str, int | None]
    """Published number of rows of each split, by the adapter's names; None where it is not published."""
    gated: bool = False
    """Whether its owner asks for consent or an account first: only local copies are read."""
    credentialed: bool = False
    """Whether access is granted to persons: its rows are not sent to a third party's API (`send_to_api: false`)."""
    redistribute: bool | None = True
    """Whether its terms let rows of it be published again; None: nobody says, which is no permission."""
    citation: str = ""
    """The paper that asks to be cited; empty: none is known."""
    note: str = ""
    sample: str = ""
    """Folder of its invented rows in `sample_data/`, where that is not its name."""
    example: str
    """One invented row, as JSON; embedded images are written `{}`."""
