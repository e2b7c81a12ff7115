"""VinDr-CXR-VQA: questions about chest films with boxes. CC-BY-4.0 for the text; the films are credentialed, English.

Layout: one JSON list of studies, {image_id, vqa: [{question, answer, type, difficulty, gt_finding, gt_location,
reason}]} (17,597 questions on 4,394 films), films as `<image_id>.png` or `.jpg`. Boxes are written
`<loc_x1_y1_x2_y2>` and occur in answers and reasons too: they are taken out of the text, and an answer that is
nothing else is rejected.
"""

from __future__ import annotations

import re

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import any_image, require, split_tables
from infimed_data.adapters.reading import content_meta, free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_BOX = re.compile(r"\s*<loc(?:_-?\d+(?:\.\d+)?){4}>")


def tables(context: Context) -> list[TableFile]:
    """The JSON file, a row a question."""
    found = split_tables(context, {"train": ("data_v*.json", "*.json")}, "VinDr-CXR-VQA")
    return [TableFile(file.name, each="vqa") for file in found]


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one film."""
    data = row.data
    require(data, "VinDr-CXR-VQA", "image_id", "question", "answer")
    name, given = text_of(data["image_id"], "image_id"), text_of(data["answer"], "answer")
    answer = " ".join(_BOX.sub(" ", given).split())
    if given and not answer:
        raise Reject("answer_is_location", given, "an answer in words")
    return Sample(
        question=_BOX.sub("", text_of(data["question"], "question")),
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=(any_image(context, f"{name}.png", f"{name}.jpg", name),),
        rationale=" ".join(_BOX.sub(" ", text_of(data.get("reason"), "reason")).split()),
        group=name or None,
        modality="X-Ray",
        organ="Chest",
        question_type=text_of(data.get("type"), "type") or None,
        meta=content_meta(data, "difficulty", "gt_finding", "gt_location"),
    )


ADAPTER = Adapter(tables=tables, sample=sample, code=("adapters/fields.py",))
