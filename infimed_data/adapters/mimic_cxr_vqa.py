"""MIMIC-Ext-MIMIC-CXR-VQA: templated questions about chest films. PhysioNet credentialed license, English.

Layout: `dataset/{train,valid,test}.json` (290,031 / 73,567 / 13,793 rows), `image_path` relative to mimic-cxr-jpg's
`files/`. `answer` is a list of labels: ["yes"], several, or empty for none of them; the files of GitHub have no
answers, and their rows are rejected. `group` is the patient: train and valid share 698 of them. Never publish rows or
send them to a third party's API.
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import content_meta, free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_NAMES = {"train": "train", "validation": "valid", "test": "test"}


def tables(context: Context) -> list[TableFile]:
    """The split's JSON."""
    files = {split: (f"{name}.json", f"_{name}.json", f"_{name}_part*.json") for split, name in _NAMES.items()}
    return split_tables(context, files, "MIMIC-CXR-VQA", every=True)


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one film."""
    data = row.data
    require(data, "MIMIC-CXR-VQA", "question", "image_path", "subject_id")
    listed = data.get("answer")
    if listed is None:
        raise Reject("unlabelled", None, "a list of answers")
    if not isinstance(listed, list):
        raise Reject("wrong_type", f"answer: {type(listed).__name__}", "a list of answers")
    answers = [text_of(answer, "answer") for answer in listed]
    answer = ", ".join(answers) or "none"
    patient = text_of(data["subject_id"], "subject_id")
    return Sample(
        row_key=text_of(data.get("idx"), "idx") or None,
        question=text_of(data["question"], "question"),
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=(context.image(text_of(data["image_path"], "image_path")),),
        group=f"p{patient}" if patient else None,
        modality="X-Ray",
        organ="Chest",
        question_type=text_of(data.get("semantic_type"), "semantic_type") or None,
        task=text_of(data.get("content_type"), "content_type") or None,
        meta={"answers": answers, **content_meta(data, "study_id", "image_id", "template")},
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    splits=tuple(_NAMES),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
