"""Every data set that an adapter reads: source, license, size, and the table of them all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infimed_data.adapters.catalogue import general, medical_text, medical_vqa, medical_vqa_tests
from infimed_data.adapters.catalogue.contract import DataSet
from infimed_data.adapters.catalogue.elsewhere import NOT_READ

__all__ = ["DATA_SETS", "DataSet", "data_set_of", "data_sets_like", "listing", "markdown_table", "published_rows"]

DATA_SETS: dict[str, DataSet] = {**medical_vqa.SETS, **medical_vqa_tests.SETS, **medical_text.SETS, **general.SETS}
"""By name, which is also the folder of its invented rows in `sample_data/`."""


def markdown_table() -> str:
    """The table of the README and what is not in it, without a line break at its end."""
    lines = ["| data set | adapter and options | source | license | published rows | |", "|---|---|---|---|---|---|"]
    for name, entry in DATA_SETS.items():
        options = ", ".join(f"{key}: {_yaml(value)}" for key, value in entry.options.items())
        read = f"`{entry.adapter}`" + (f" `{{{options}}}`" if options else "")
        title = f"{entry.title} (`{name}`)"
        lines.append(f"| {title} | {read} | {entry.source} | {entry.license} | {_rows(entry)} | {_remarks(entry)} |")
    lines += ["", "Without a row of their own:", *(f"- {repos}: {reason}" for repos, reason in NOT_READ.items())]
    return "\n".join(lines)


def listing(adapter: str) -> list[str]:
    """A line for each data set that the adapter reads: name, source, license, terms."""
    return [
        f"{name}: {entry.source}; {entry.license}{_terms(entry)}"
        for name, entry in DATA_SETS.items()
        if entry.adapter == adapter
    ]


def data_sets_like(name: str, adapter: str, location: str, options: Mapping[str, Any]) -> dict[str, DataSet]:
    """Every data set that a manifest's source may be, by title: that of its repository, else those of its name and of
    its settings."""
    entries = {known: entry for known, entry in DATA_SETS.items() if entry.adapter == adapter}
    if placed := {entry.title: entry for entry in entries.values() if _is_at(location, entry)}:
        return placed
    return {
        entry.title: entry
        for known, entry in entries.items()
        if name.startswith(known) or _has_settings(entry, options)
    }


def data_set_of(name: str, adapter: str, location: str, options: Mapping[str, Any]) -> DataSet | None:
    """The data set that a manifest's source is: by its repository, its name, its settings, or as its adapter reads no
    other. None where that does not say which."""
    entries = {known: entry for known, entry in DATA_SETS.items() if entry.adapter == adapter}
    named = [known for known in entries if name == known or name.startswith(f"{known}_")]
    for found in (
        [entry for entry in entries.values() if _is_at(location, entry)],
        [entries[known] for known in sorted(named, key=len, reverse=True)[:1]],
        [entry for entry in entries.values() if _has_settings(entry, options)],
        list(entries.values()),
    ):
        if len({entry.title for entry in found}) == 1:
            return found[0]
    return None


def published_rows(
    name: str, adapter: str, location: str, options: Mapping[str, Any], splits: Sequence[str]
) -> int | None:
    """Published number of rows of these splits, where a location on the Hub says which data set it is, read with the
    settings that the number is of; None where it does not, or where nobody has published one."""
    entry = data_set_of(name, adapter, location, options)
    if entry is None or not _is_at(location, entry) or dict(options) != dict(entry.options):
        return None
    counts = [entry.rows.get(split) for split in splits]
    return None if None in counts else sum(count or 0 for count in counts)


def _has_settings(entry: DataSet, options: Mapping[str, Any]) -> bool:
    return bool(entry.options) and all(k in options and options[k] == v for k, v in entry.options.items())


def _is_at(location: str, entry: DataSet) -> bool:
    places = [place.strip() for place in entry.source.split(",")]
    return any(re.match(rf"hf://datasets/{re.escape(place)}(?:[@/]|$)", location, re.IGNORECASE) for place in places)


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _terms(entry: DataSet) -> str:
    terms = {
        "gated": entry.gated,
        "not for APIs": entry.credentialed,
        "not to be published": entry.redistribute is False,
        "publishing: nobody says": entry.redistribute is None,
    }
    return "".join(f"; {term}" for term, holds in terms.items() if holds)


def _rows(entry: DataSet) -> str:
    return ", ".join(f"{split} {count:,}" if count else f"{split} ?" for split, count in entry.rows.items())


def _remarks(entry: DataSet) -> str:
    return "; ".join(part for part in (_terms(entry).removeprefix("; "), entry.note) if part)
