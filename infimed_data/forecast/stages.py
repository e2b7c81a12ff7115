"""The stages of a build by kind: what each counts, and the order in which they run."""

from __future__ import annotations

import re

__all__ = ["KINDS", "ORDER", "SHARED", "kind_of"]

KINDS: dict[str, str] = {
    "ingest": "rows",
    "texts": "rows",
    "images": "images",
    "index": "rows",
    "phi-texts": "rows",
    "phi-images": "images",
    "pictures": "images",
    "near": "rows",
    "questions": "rows",
    "matches": "rows",
    "generate": "rows",
    "write": "rows",
}
"""Kinds of stages, in the order in which they run, and what the size of each counts. `write` is everything that is no
stage of its own: decisions, and the tables of the build."""
ORDER = tuple(KINDS)
SHARED = ("pictures", "near", "questions", "write")
"""Kinds that look at all sources together."""


def kind_of(folder: str) -> str:
    """The kind of a stage, from the name of its folder (some have the code's digest in it)."""
    return re.sub(r"-[0-9a-f]{8}$", "", folder)
