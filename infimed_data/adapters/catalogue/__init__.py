"""Every data set that an adapter reads: source, license, size, and the table of them all."""

from __future__ import annotations

from infimed_data.adapters.catalogue import general, medical_text, medical_vqa
from infimed_data.adapters.catalogue.contract import DataSet

__all__ = ["DATA_SETS", "DataSet", "listing", "markdown_table"]

DATA_SETS: dict[str, DataSet] = {**medical_vqa.SETS, **medical_text.SETS, **general.SETS}
"""By name, which is also the folder of its invented rows in `sample_data/`."""


def markdown_table() -> str:
    """The table of the README, without a line break at its end."""
    lines = ["| data set | adapter and options | source | license | published rows | |", "|---|---|---|---|---|---|"]
    for name, entry in DATA_SETS.items():
        options = ", ".join(f"{key}: {_yaml(value)}" for key, value in entry.options.items())
        read = f"`{entry.adapter}`" + (f" `{{{options}}}`" if options else "")
        title = f"{entry.title} (`{name}`)"
        lines.append(f"| {title} | {read} | {entry.source} | {entry.license} | {_rows(entry)} | {_remarks(entry)} |")
    return "\n".join(lines)


def listing(adapter: str) -> list[str]:
    """A line for each data set that the adapter reads: name, source, license, terms."""
    return [
        f"{name}: {entry.source}; {entry.license}{_terms(entry)}"
        for name, entry in DATA_SETS.items()
        if entry.adapter == adapter
    ]


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _terms(entry: DataSet) -> str:
    terms = {"gated": entry.gated, "not for APIs": entry.credentialed, "not to be published": not entry.redistribute}
    return "".join(f"; {term}" for term, holds in terms.items() if holds)


def _rows(entry: DataSet) -> str:
    return ", ".join(f"{split} {count:,}" if count else f"{split} ?" for split, count in entry.rows.items())


def _remarks(entry: DataSet) -> str:
    return "; ".join(part for part in (_terms(entry).removeprefix("; "), entry.note) if part)
