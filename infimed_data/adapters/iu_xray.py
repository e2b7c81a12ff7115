"""IU X-Ray (Open-i): chest films, often two a patient, with their reports. Licence of Open-i, English, not gated.

Layouts: R2Gen's `annotation.json` (`train`, `val`, `test`: 2,069 / 296 / 590) of {id, report, image_path}; Kaggle's
`indiana_reports.csv` with `indiana_projections.csv` (split `all`, 3,955 reports on 7,470 images); MedEvalKit's
`test.json` of {id, image, findings, impression} (split `medevalkit`: 296 rows, R2Gen's *val*). The question is an
instruction of ours; `group` is the study (`CXR1020`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import content_meta, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow, plan_shards, read_rows

_STUDY = re.compile(r"(?:CXR|open_i_)(\d+)")
_LISTS = {"train": "train", "validation": "val", "test": "test"}
_FILES = {
    **dict.fromkeys(_LISTS, ("annotation.json",)),
    "all": ("indiana_reports.csv",),
    "medevalkit": ("test.json",),
}


class Options(AdapterOptions):
    """What asks for a report."""

    instruction: str = "Write the radiology report of this chest X-ray examination."
    """Question of each row."""


def tables(context: Context) -> list[TableFile]:
    """The split's JSON or CSV file."""
    return split_tables(context, _FILES, "IU X-Ray", lists=context.split in _LISTS)


def beside(context: Context) -> list[str]:
    """The list of images that belongs to the CSV of reports."""
    return context.place.find("indiana_projections.csv")[:1] if context.split == "all" else []


def evidence(files: Sequence[TableFile], context: Context) -> Mapping[str, Any]:
    """`images`: names of the images of each report, for the CSV, which lists them in a second file."""
    if context.split != "all":
        return {}
    if not (found := beside(context)):
        raise SourceError(f"{context.place.root}: split 'all' needs indiana_projections.csv beside indiana_reports.csv")
    images: dict[str, list[str]] = {}
    for shard in plan_shards(context.place, TableFile(found[0])):
        for row in read_rows(context.place, shard):
            if isinstance(row, TableRow) and row.data.get("filename"):
                images.setdefault(str(row.data.get("uid")), []).append(str(row.data["filename"]))
    return {"images": images}


def sample(row: TableRow, context: Context) -> Sample | None:
    """One examination with its report."""
    data = row.data
    if context.split in _LISTS:
        if row.key != _LISTS[context.split]:
            return None
        require(data, "R2Gen", "id", "report", "image_path")
        key, names, report = text_of(data["id"], "id"), data["image_path"], text_of(data["report"], "report")
    else:
        require(data, "IU X-Ray", "findings", "impression")
        key = text_of(data.get("id", data.get("uid")), "id")
        names = data.get("image") if context.split == "medevalkit" else context.evidence.get("images", {}).get(key)
        parts = [text_of(data[name], name) for name in ("findings", "impression")]
        report = "\n".join(part for part in parts if part)
    if not report:
        raise Reject("report_empty", key, "findings or an impression")
    if not isinstance(names, list) or not names:
        raise Reject("image_count", "no image", "one or more")
    study = _STUDY.search(key)
    number = study[1] if study else key if key.isdecimal() else None
    return Sample(
        row_key=key or None,
        question=context.options.instruction,
        answer=report,
        answer_kind="open",
        images=tuple(context.image(text_of(name, "image")) for name in names),
        group=f"CXR{number}" if number else key or None,
        modality="X-Ray",
        organ="Chest",
        task="report",
        meta=content_meta(data, "MeSH", "Problems", "indication", "comparison"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    evidence=evidence,
    beside=beside,
    splits=tuple(_FILES),
    eval_splits=("test", "medevalkit"),
    code=("adapters/fields.py",),
)
