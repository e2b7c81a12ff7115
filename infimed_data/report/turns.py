"""A choice that every kind has its part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["in_turns"]

Fields = Mapping[str, Any]


def in_turns(ranked: Sequence[Fields], by: Sequence[str], name: str, most: int) -> list[Fields]:
    """At most `most` rows with distinct values of `name`: one from each combination of the fields `by` after another,
    in the order in which they come."""
    strata: dict[tuple[Any, ...], list[Fields]] = {}
    for row in ranked:
        strata.setdefault(tuple(row[field] for field in by), []).append(row)
    turns = [iter(stratum) for stratum in strata.values()]
    chosen: dict[str, Fields] = {}
    while turns and len(chosen) < most:
        for turn in list(turns):
            fresh: Fields | None = next((row for row in turn if row[name] not in chosen), None)
            if fresh is None:
                turns.remove(turn)
            else:
                chosen[fresh[name]] = fresh
    return list(chosen.values())[:most]
