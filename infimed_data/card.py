"""The card of a build: what is in it, where it came from, what was asked and what was realised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from infimed_data.adapters.catalogue import data_set_of
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
    specs = lock["manifest"]["sources"]
    cited = [(name, data_set_of(name, s["adapter"], s["location"], s["options"])) for name, s in specs.items()]
    lock = {"phi": {}, **lock}  # older builds have none
    licenses = sorted({source["license"] or "unknown" for source in lock["sources"]})
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        lock=lock, configs=configs, licenses=licenses, cited=cited, limits=_limits(lock), **shown
    )


def _limits(lock: Mapping[str, Any]) -> list[str]:
    """What is known to be wanting, of this build and of data made in this way."""
    found = [
        "For research. Nothing here was made or checked to treat patients by; people who can judge a picture have not "
        "looked at each row.",
        f"Benchmarks kept out: {', '.join(b['benchmark'] for b in lock['benchmarks'])}. Rows of any other may be here."
        if lock["benchmarks"]
        else "No benchmark was kept out: rows of any may be here.",
        "Duplicates and leaks are found by pixels, keys and words. The same patient in another picture without a "
        "shared key, and a question told in quite other words, are not found.",
    ]
    passes = [name for name in lock["generate"] if name != "difficulty"]
    if passes:
        found.append(
            f"Reasoning of the passes {', '.join(passes)} was written by language models. Rules hold its answer "
            "against the source's; the way to it was not checked by a clinician."
        )
    if lock["generate"].get("difficulty"):
        found.append("Pass rates are those of the models named above; another model finds other rows hard.")
    without = [row for row in lock["benchmarks"] if row["without_image"] or row["text_only"]]
    found += [
        f"{row['benchmark']}: {row['without_image'] + row['text_only']:,} of its {row['rows']:,} rows were matched "
        "without a picture."
        for row in without
    ]
    found += [
        f"{s['source']}/{s['split']}: {s['rejected'] / s['rows_read']:.0%} of the rows that were read are not used."
        for s in lock["sources"]
        if s["rows_read"] and s["rejected"] > 0.1 * s["rows_read"]
    ]
    return found


def _cell(value: object) -> str:
    """A value as the text of one Markdown table cell: no markup, no link, no picture from elsewhere."""
    text = "" if value is None else shown(" ".join(str(value).split("\n")))
    return re.sub(r"([\\|\[\]`])", r"\\\1", text).replace("<", "&lt;")
