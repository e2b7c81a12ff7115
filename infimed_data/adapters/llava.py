"""Conversations about images: LLaVA-Med, PubMedVision, Quilt-LLaVA, LLaVA-CoT, Mulberry, MathV360K and others.

Layout: a JSON array or JSON lines with `image` (a name, a list of names, or none) and `conversations`, which
LLaVA-Med also spells `conversatons`; or `messages` and `images`. Images lie in a folder, tar or zip below the
location; or in Parquet, embedded (LLaVA-OneVision) or as base64 text (R1-Onevision). `<image>` may stand anywhere in
a user's text, and counts as first where it is missing. Rows whose image is gone are rejected, and normal in
LLaVA-Med. LLaVA-CoT's stages up to `<CONCLUSION>`, and Mulberry's steps, become the rationale. General collections
carry medical sets, tests included: such rows are rejected as `medical_part`. `infimed-data adapters` lists each set
with its license.

    {"id": "p1_F1", "image": "p1_F1.jpg", "domain": {"ct_scan": true, "mri": false},
     "conversatons": [{"from": "human", "value": "What is shown?\\n<image>"}, {"from": "gpt", "value": "..."}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import pictures, pmc_group, refuse_medical, split_tables
from infimed_data.adapters.reading import content_meta, exchange, find_tables, free_answer_kind, language_of, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import Sample
from infimed_data.storage.tables import TableFile, TableRow

_IMAGES = ("image", "images")


class Options(AdapterOptions):
    """Where a file's rows and their ids are."""

    file: str | None = None
    """Name or pattern of the file to read, for a folder that holds several."""
    id_field: str | None = "id"
    """Field with a row's own id; null for files whose ids repeat: the key is then made from the row's content."""
    every_folder: bool = False
    """Read the matching Parquet files of all folders, as for a collection with a folder a configuration."""
    medical: Literal["reject", "keep"] = "reject"
    """What to do with rows of medical sets in a general collection, as their image path, source or folder names them.
    A medical collection whose names look the same is read with `keep`."""


def tables(context: Context) -> list[TableFile]:
    """The file that `location` or option `file` names, else the only JSON file there, else the Parquet files."""
    file = context.options.file
    if (parts := context.place.find("*.zip.part*")) and not context.place.find("*.zip"):
        where = context.place.root
        whole = parts[0].rpartition(".part")[0]
        raise SourceError(f"{where}: the images are in parts; join them: cat {whole}.part* > {whole}")
    patterns = (file,) if file else ("*.json", "*.jsonl")
    embedded = not context.place.find(*patterns) if not file else file.endswith(".parquet")
    if embedded and (file or context.place.find("*.parquet")):
        return split_tables(
            context, {"train": (file or "*.parquet",)}, "the set", told=_IMAGES, every=context.options.every_folder
        )
    return find_tables(context, *patterns, expected=f"one file {' or '.join(patterns)} (option `file` names another)")


def _names(data: Mapping[str, object]) -> list[str]:
    given = data.get("image") or data.get("images") or []
    return [text_of(name, "image") for name in (given if isinstance(given, list) else [given])]


def sample(row: TableRow, context: Context) -> Sample | None:
    """One conversation, as a question and its answer where it is no longer than that."""
    data = row.data
    embedded = row.file.endswith(".parquet")
    names = [] if embedded else _names(data)
    folder = row.file.rpartition("/")[0].rpartition("/")[2] if embedded else None
    refuse_medical((*names, data.get("source"), data.get("data_source"), folder), context.options.medical)
    images = next((refs for column in _IMAGES if (refs := pictures(row, context, column))), ()) if embedded else ()
    count = len(images) if embedded else len(names)
    said = exchange(data.get("conversations") or data.get("conversatons") or data.get("messages"), images=count)
    everything = said.question + said.answer + "".join(turn.content for turn in said.turns)
    domain = data.get("domain")
    kinds = [name for name, holds in domain.items() if holds is True] if isinstance(domain, Mapping) else []
    modality = text_of(data.get("modality"), "modality") or (kinds[0] if len(kinds) == 1 else None)
    return Sample(
        row_key=text_of(data.get(context.options.id_field), "id") or None if context.options.id_field else None,
        question=said.question,
        answer=said.answer,
        answer_kind="open" if said.turns else free_answer_kind(said.answer),
        images=images or tuple(context.image(name) for name in names),
        image_slots=said.image_slots,
        turns=said.turns,
        rationale=said.rationale,
        lang=language_of(everything),
        group=pmc_group(names[0]) or names[0].rpartition(".")[0] or names[0] if names else None,
        modality=modality or None,
        organ=text_of(data.get("body_part"), "body_part") or None,
        meta={
            **({"domain": kinds} if len(kinds) > 1 else {}),
            **({"system": said.system} if said.system and not said.turns else {}),
            **content_meta(data, "source", "data_source"),
        },
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options, code=("adapters/fields.py",))
