"""VQA-RAD: radiology images from MedPix with clinicians' questions. CC0-1.0, English, not gated.

Layouts: `trainset.json` and `testset.json` with an image folder (3,064 / 451 rows); the OSF release
`VQA_RAD Dataset Public.json` with `VQA_RAD Image Folder/` (2,248 rows; test = `phrase_type` starting with "test":
1,797 / 451); the Hub's Parquet files with embedded images and no answer type (1,793 / 451). Train and test share
images by design.

    {"qid": 1, "image_name": "synpic54610.jpg", "image_organ": "HEAD", "answer": "Yes", "answer_type": "CLOSED",
     "question_type": "PRES", "question": "...", "phrase_type": "freeform"}

Source: https://osf.io/89kps, `flaviagiammarino/vqa-rad`.
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.reading import content_meta, free_answer_kind, split_image_tags, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import ImageSlot, Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow
from infimed_data.text import normalise

_SPLIT_FILES = {"train": "trainset.json", "test": "testset.json"}


def tables(context: Context) -> list[TableFile]:
    """The split's JSON, else the OSF file (both splits in one), else the Hub's Parquet files."""
    place = context.place
    if found := place.find(_SPLIT_FILES[context.split]):
        return [TableFile(found[0])]
    if found := place.find("VQA_RAD Dataset Public.json"):
        return [TableFile(found[0])]
    if found := place.find(f"{context.split}-*.parquet"):
        return [TableFile(name, image_columns=("image",)) for name in found]
    raise SourceError(
        f"{place.root}: no VQA-RAD files for split '{context.split}'; expected {_SPLIT_FILES[context.split]}, "
        f"'VQA_RAD Dataset Public.json' or {context.split}-*.parquet"
    )


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    data = row.data
    phrase = text_of(data.get("phrase_type"), "phrase_type")
    if row.file.endswith("Public.json") and phrase.startswith("test") != (context.split == "test"):
        return None
    answer = " ".join(text_of(data.get("answer"), "answer").split())
    embedded = row.file.endswith(".parquet")
    name = "" if embedded else text_of(data.get("image_name"), "image_name")
    kind = free_answer_kind(answer)
    question, offsets = split_image_tags(text_of(data.get("question"), "question"))
    if len(offsets) > 1:
        raise Reject("image_count", f"{len(offsets)} tags", "1 image")
    published = text_of(data.get("answer_type"), "answer_type").upper()
    return Sample(
        row_key=text_of(data.get("qid"), "qid") or None,
        question=question,
        answer=answer,
        answer_kind=kind,
        images=(row.cell("image") if embedded else context.image(name),),
        image_slots=tuple(ImageSlot(0, offset) for offset in offsets),
        group=name.rpartition(".")[0] or None,
        organ=text_of(data.get("image_organ"), "image_organ") or None,
        question_type=text_of(data.get("question_type"), "question_type").upper() or None,
        task=phrase or None,
        meta={
            # The Hub's copy lost the answer type; peers rebuild it from the answer itself.
            "answer_type": published or ("CLOSED" if normalise(answer) in ("yes", "no") else "OPEN"),
            "answer_type_rebuilt": not published,
            **content_meta(data, "image_case_url", "qid_linked_id", "question_rephrase", "question_relation"),
        },
    )


ADAPTER = Adapter(tables=tables, sample=sample, splits=("train", "test"), eval_splits=("test",))
