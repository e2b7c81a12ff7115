"""SLAKE: CT, MRI and X-ray images with English and Chinese questions. CC-BY-4.0, en + zh, not gated.

Layout: `train.json`, `validation.json` (called `validate.json` until 2024) and `test.json` (9,835 / 2,099 / 2,094
rows; English 4,919 / 1,053 / 1,061), with `imgs.zip` or its folder (642 images). English and Chinese rows use
different image splits: 72 of the 96 images of the English test are in the Chinese train rows. Many CLOSED answers are
not yes or no.

    {"img_id": 9001, "img_name": "xmlab9001/source.jpg", "question": "...", "answer": "Left", "q_lang": "en",
     "location": "Abdomen", "modality": "CT", "answer_type": "CLOSED", "base_type": "vqa", "content_type": "Position",
     "triple": ["vhead", "_", "_"], "qid": 90001}

Source: https://www.med-vqa.com/slake, `BoKelvin/SLAKE`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.reading import content_meta, find_tables, free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_SPLIT_FILES = {"train": ("train.json",), "validation": ("validation.json", "validate.json"), "test": ("test.json",)}


class Options(AdapterOptions):
    """What of SLAKE to read."""

    languages: Annotated[tuple[Literal["en", "zh"], ...], Field(strict=False, min_length=1)] = ("en", "zh")
    """Languages of the questions; rows in another one are no part of the source."""


def tables(context: Context) -> list[TableFile]:
    """The split's JSON."""
    names = _SPLIT_FILES[context.split]
    return find_tables(context, *names, expected=f"SLAKE's {' or '.join(names)}, beside imgs.zip or its folder")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    data = row.data
    lang = text_of(data.get("q_lang"), "q_lang").lower()
    if lang not in ("en", "zh"):
        raise Reject("unknown_language", lang, "en, zh")
    if lang not in context.options.languages:
        return None
    name = text_of(data.get("img_name"), "img_name")
    answer = " ".join(text_of(data.get("answer"), "answer").split())
    return Sample(
        row_key=text_of(data.get("qid"), "qid") or None,
        question=text_of(data.get("question"), "question"),
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=(context.image(name),),
        lang=lang,
        group=name.rpartition("/")[0].rpartition("/")[2] or None,
        modality=text_of(data.get("modality"), "modality") or None,
        organ=text_of(data.get("location"), "location") or None,
        question_type=text_of(data.get("content_type"), "content_type") or None,
        meta=content_meta(data, "base_type", "answer_type", "triple", "img_name"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("train", "validation", "test"),
    eval_splits=("test",),
)
