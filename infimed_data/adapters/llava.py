"""LLaVA instruction files: conversations about images (LLaVA-Med, LLaVA-CoT-100k, PubMedVision, MathV360K, Mulberry).

Layout: a JSON array or JSON lines with `image` (a name, a list of names, or none) and `conversations`, which LLaVA-Med
also spells `conversatons`; or `messages` and `images`. Images lie in a folder, tar or zip below the location; `<image>`
may stand anywhere in a user's text, and counts as first where it is missing. Rows whose image is gone are rejected,
and normal in LLaVA-Med (60k rows). LLaVA-CoT's stages up to `<CONCLUSION>` become the rationale. License, language
and row counts are each set's own: LLaVA-Med CC-BY-NC-4.0, LLaVA-CoT (98.6k rows) and PubMedVision (647k) Apache-2.0.

    {"id": "p1_F1", "image": "p1_F1.jpg", "domain": {"ct_scan": true, "mri": false},
     "conversatons": [{"from": "human", "value": "What is shown?\\n<image>"}, {"from": "gpt", "value": "..."}]}

Source: https://github.com/microsoft/LLaVA-Med, `Xkev/LLaVA-CoT-100k`, `FreedomIntelligence/PubMedVision`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.reading import content_meta, exchange, find_tables, free_answer_kind, language_of, text_of
from infimed_data.schema import Sample
from infimed_data.storage.tables import TableFile, TableRow


class Options(AdapterOptions):
    """Where a file's rows and their ids are."""

    file: str | None = None
    """Name or pattern of the file to read, for a folder that holds several."""
    id_field: str | None = "id"
    """Field with a row's own id; null for files whose ids repeat: the key is then made from the row's content."""


def tables(context: Context) -> list[TableFile]:
    """The file that `location` or option `file` names, else the only JSON file there."""
    patterns = (context.options.file,) if context.options.file else ("*.json", "*.jsonl")
    return find_tables(context, *patterns, expected=f"one file {' or '.join(patterns)} (option `file` names another)")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One conversation, as a question and its answer where it is no longer than that."""
    data = row.data
    given = data.get("image") or data.get("images") or []
    names = [text_of(name, "image") for name in (given if isinstance(given, list) else [given])]
    said = exchange(data.get("conversations") or data.get("conversatons") or data.get("messages"), images=len(names))
    everything = said.question + said.answer + "".join(turn.content for turn in said.turns)
    domain = data.get("domain")
    kinds = [name for name, holds in domain.items() if holds is True] if isinstance(domain, Mapping) else []
    modality = text_of(data.get("modality"), "modality") or (kinds[0] if len(kinds) == 1 else None)
    return Sample(
        row_key=text_of(data.get(context.options.id_field), "id") or None if context.options.id_field else None,
        question=said.question,
        answer=said.answer,
        answer_kind="open" if said.turns else free_answer_kind(said.answer),
        images=tuple(context.image(name) for name in names),
        image_slots=said.image_slots,
        turns=said.turns,
        rationale=said.rationale,
        lang=language_of(everything),
        group=names[0].rpartition(".")[0] or names[0] if names else None,
        modality=modality or None,
        organ=text_of(data.get("body_part"), "body_part") or None,
        meta={
            **({"domain": kinds} if len(kinds) > 1 else {}),
            **({"system": said.system} if said.system and not said.turns else {}),
            **content_meta(data, "source", "data_source"),
        },
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options)
