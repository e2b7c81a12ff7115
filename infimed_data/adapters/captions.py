"""Images with captions, asked about with an instruction of ours: ROCOv2, MedTrinity-25M, MedPix 2.0.

Captions are no answers to a question: option `instructions` gives the texts that ask for one, chosen by a digest of
the row's id. Layouts: ROCOv2 as `{train,valid,test}_captions.csv` (`ID`, `Caption`) with zips of images, or as
Parquet with `cui`; MedTrinity's Parquet (`image`, `id`, `caption`; gated, machine-written captions); MedPix's
`Descriptions.json` or `descriptions_{train,dev,test}.jsonl`, where `image` has no ending and `group` is the case.
`infimed-data adapters` lists each set with its license.

    {"ID": "ROCOv2_2023_train_000001", "Caption": "..."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import xxhash
from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import any_image, require, split_tables
from infimed_data.adapters.reading import content_meta, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "roco_v2": {
        split: (f"{name}_captions.csv", f"{split}-*.parquet")
        for split, name in (("train", "train"), ("validation", "valid"), ("test", "test"))
    },
    "medtrinity": {"train": ("train-*.parquet", "train*.parquet")},
    "medpix": {
        "train": ("descriptions_train.jsonl",),
        "validation": ("descriptions_dev.jsonl",),
        "test": ("descriptions_test.jsonl",),
        "all": ("Descriptions.json", "descriptions.jsonl"),
    },
}
_NOTHING = ("", "null", "n/a", "none")


class Options(AdapterOptions):
    """Which data set it is, and what asks for a caption."""

    layout: Literal["roco_v2", "medtrinity", "medpix"] = "roco_v2"
    """The data set whose columns the files have."""
    instructions: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = (
        "Describe this medical image.",
        "What does this medical image show?",
        "Write a caption for this medical image.",
    )
    """Questions that ask for a caption."""
    config: str | None = None
    """Folder to read, such as MedTrinity's `25M_demo`, where the location holds several."""


def tables(context: Context) -> list[TableFile]:
    """The split's CSV, JSON or Parquet files."""
    options: Options = context.options
    return split_tables(
        context, _FILES[options.layout], options.layout, config=options.config, image_columns=("image",)
    )


def _medpix(row: TableRow, context: Context) -> tuple[str, str, tuple[str, ...], dict[str, Any]]:
    data = row.data
    require(data, "medpix", "image", "U_id", "Description")
    about = data["Description"]
    if not isinstance(about, Mapping):
        raise Reject("wrong_type", f"Description: {type(about).__name__}", "an object")
    name = text_of(data["image"], "image")
    known = {k: v for k, v in about.items() if isinstance(v, str) and v.strip().lower() not in _NOTHING}
    return (
        name,
        text_of(about.get("Caption"), "Caption"),
        (any_image(context, f"{name}.png", name),),
        {
            "group": text_of(data["U_id"], "U_id") or None,
            "modality": known.get("Modality"),
            "organ": text_of(data.get("Location"), "Location") or None,
            "meta": {
                **{name.lower().replace(" ", "_"): known[name] for name in ("Plane", "Age", "Sex") if name in known},
                **content_meta(data, "Location Category", "Type"),
            },
        },
    )


def sample(row: TableRow, context: Context) -> Sample | None:
    """One image with the caption as the answer."""
    options: Options = context.options
    data = row.data
    if options.layout == "medpix":
        key, caption, images, more = _medpix(row, context)
    elif row.file.endswith(".csv"):
        require(data, options.layout, "ID", "Caption")
        key, caption = text_of(data["ID"], "ID"), text_of(data["Caption"], "Caption")
        images, more = (any_image(context, f"{key}.jpg", key),), {}
    else:
        require(data, options.layout, "caption")
        named = data.get("image_id") if options.layout == "roco_v2" else data.get("id")
        key, caption = text_of(named, "id"), text_of(data["caption"], "caption")
        images, more = (row.cell("image"),), {"meta": content_meta(data, "cui")}
    if caption.lower() in _NOTHING:
        raise Reject("caption_empty", caption, "a caption")
    asked = options.instructions[xxhash.xxh3_64_intdigest((key or caption).encode()) % len(options.instructions)]
    return Sample(
        row_key=key or None, question=asked, answer=caption, answer_kind="open", images=images,
        task="caption", **more,
    )  # fmt: skip


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("train", "validation", "test", "all"),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
