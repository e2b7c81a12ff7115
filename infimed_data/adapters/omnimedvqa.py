"""OmniMedVQA: 73 medical image sets asked about in one form, a benchmark. CC-BY-NC, English, not gated.

Layout: `QA_information/{Open-access,Restricted-access}/<dataset>.json` and `Images/`, in a folder or in
`OmniMedVQA.zip` (42 open files, 88,996 rows; restricted images are not shipped). 2 to 4 options, absent or null ones
left out; `gt_answer` is a text; one row spells `modality_type` as `modality`. There is one split, `test`: the 80/20
split of Med-R1 shares images, so split by image (`group`).
"""

from __future__ import annotations

from typing import Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import choice_answer, text_of
from infimed_data.schema import Sample
from infimed_data.storage.tables import TableFile, TableRow

_FOLDERS = {"open": ("Open-access",), "restricted": ("Restricted-access",), "all": ("Open-access", "Restricted-access")}


class Options(AdapterOptions):
    """Which part to read."""

    access: Literal["open", "restricted", "all"] = "open"
    """Restricted rows come without their images and are rejected as such, yet match as a benchmark's by their text."""


def tables(context: Context) -> list[TableFile]:
    """All JSON files of the part."""
    folders = _FOLDERS[context.options.access]
    patterns = [f"{front}{folder}/*.json" for folder in folders for front in ("", "*/")]
    return split_tables(context, {"test": patterns}, "OmniMedVQA", every=True)


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    data = row.data
    require(data, "OmniMedVQA", "question", "gt_answer", "image_path", "option_A", "option_B")
    options, letter, answer = choice_answer(
        {letter: option for letter in "ABCD" if (option := data.get(f"option_{letter}")) not in (None, "")},
        text=text_of(data["gt_answer"], "gt_answer"),
    )
    name = text_of(data["image_path"], "image_path")
    modality = data.get("modality_type") or data.get("modality")
    return Sample(
        row_key=text_of(data.get("question_id"), "question_id") or None,
        question=text_of(data["question"], "question"),
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice",
        images=(context.image(name),),
        group=name.removeprefix("Images/") or None,
        modality=text_of(modality, "modality_type") or None,
        question_type=text_of(data.get("question_type"), "question_type") or None,
        task=text_of(data.get("dataset"), "dataset") or None,
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("test",),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
