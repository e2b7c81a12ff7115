"""The Cauldron: 50 general sets of questions about images in one form. License of each set its own, not gated.

Layout: one folder a configuration, `<config>/train-*.parquet`, with `images` (a list of embedded images) and `texts` (a
list of {user, assistant, source}: several turns about the same images). Configuration `vqarad` is medical and holds
VQA-RAD; it and what looks like it are rejected unless asked for. Rows of some configurations came without their images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import pictures, refuse_medical, require, split_tables
from infimed_data.adapters.reading import exchange, free_answer_kind, language_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


class Options(AdapterOptions):
    """What of the collection to read."""

    configs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Configurations to read, each of which must be there; none named: all that are there."""
    medical: Literal["reject", "keep"] = "reject"
    """What to do with rows of medical configurations."""


def tables(context: Context) -> list[TableFile]:
    """The Parquet files of the configurations."""
    files = {"train": ("train-*.parquet",)}
    if not context.options.configs:
        return split_tables(context, files, "The Cauldron", told=("images",), every=True)
    return [
        table
        for config in context.options.configs
        for table in split_tables(context, files, "The Cauldron", config=config, told=("images",))
    ]


def sample(row: TableRow, context: Context) -> Sample | None:
    """The turns about one row's images."""
    data = row.data
    require(data, "The Cauldron", "images", "texts")
    texts = data["texts"]
    if not isinstance(texts, list) or not texts or not all(isinstance(turn, Mapping) for turn in texts):
        raise Reject("no_conversation", type(texts).__name__, "a list of user and assistant")
    sources = [turn.get("source") for turn in texts]
    refuse_medical((row.file.rpartition("/")[0].rpartition("/")[2], *sources), context.options.medical)
    images = pictures(row, context, "images")
    if not images:
        raise Reject("image_missing", "images: empty", "at least one image")
    messages = [{"role": role, "content": turn.get(role)} for turn in texts for role in ("user", "assistant")]
    said = exchange(messages, images=len(images))
    return Sample(
        question=said.question,
        answer=said.answer,
        answer_kind="open" if said.turns else free_answer_kind(said.answer),
        images=images,
        image_slots=said.image_slots,
        turns=said.turns,
        rationale=said.rationale,
        lang=language_of(said.question + said.answer + "".join(turn.content for turn in said.turns)),
        meta={"source": sources[0]} if isinstance(sources[0], str) else {},
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options, code=("adapters/fields.py",))
