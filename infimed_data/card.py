"""The card of a build: what is in it, where it came from, what was asked and what was realised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from infimed_data.showing import shown

__all__ = ["card_text"]

_TEMPLATE = Path(__file__).with_name("card.md.jinja")


_LICENSES = (
    "apache-2.0", "mit", "gpl-3.0", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
)  # fmt: skip
"""Licenses by the names that the Hub has for them; any other is `other`."""


def card_text(
    lock: Mapping[str, Any],
    *,
    repo: str | None = None,
    tables: Sequence[str] | None = None,
    closed: Mapping[str, str] | None = None,
) -> str:
    """`README.md` of a build: the YAML that makes `datasets.load_dataset(folder, "sft")` work, then the facts.

    `repo` is the data set on the Hub that it is published as. Where only ids are, `tables` are the tables that are, and
    `closed` says why each source is not.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = _cell
    environment.filters["count"] = lambda n: "all" if n is None else f"{n:,}"
    configs = {
        name: {split: f"{name}/{split}-*.parquet" for split in ("train", "validation") if output[split]}
        for name, output in lock["outputs"].items()
    }
    if tables is not None:
        configs = {
            name: {"train": f"{name}.parquet"} for name in sorted(tables, key=lambda name: (name != "ids", name))
        }
    names = {(source["license"] or "unknown").lower() for source in lock["sources"]}
    shown = {
        "where": repo or "THIS_FOLDER",
        "revision": lock["build"] if repo else None,
        "hub_licenses": sorted({name if name in _LICENSES else "other" for name in names}),
        "ids_only": tables is not None,
        "closed": closed or {},
    }
    lock = {"phi": {}, **lock}  # older builds have none
    licenses = sorted({source["license"] or "unknown" for source in lock["sources"]})
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        lock=lock, configs=configs, licenses=licenses, **shown
    )


def _cell(value: object) -> str:
    """A value as the text of one Markdown table cell: no markup, no link, no picture from elsewhere."""
    text = "" if value is None else shown(" ".join(str(value).split("\n")))
    return re.sub(r"([\\|\[\]`])", r"\\\1", text).replace("<", "&lt;")
