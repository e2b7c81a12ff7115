"""ProbMed: yes/no questions in pairs, one true and one made up, a benchmark. MIT, English, gated.

Layout: `test.json` (57,132 rows) with images under `test/`. `qa_type` says what a row probes and whether it is the true
(`_gt`) or the made-up (`_hallu`) half of its pair; a point counts only if both halves are right (`meta.pair`).
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import content_meta, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


def tables(context: Context) -> list[TableFile]:
    """The JSON file."""
    return split_tables(context, {"test": ("test.json",)}, "ProbMed")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One half of a pair."""
    data = row.data
    require(data, "ProbMed", "image", "question", "answer", "qa_type")
    answer = text_of(data["answer"], "answer").lower()
    if answer not in ("yes", "no"):
        raise Reject("answer_not_in_options", answer, "yes | no")
    name, kind = text_of(data["image"], "image"), text_of(data["qa_type"], "qa_type")
    machine, _, organ = text_of(data.get("image_type"), "image_type").partition("_")
    pair = kind.replace("_gt", "").replace("_hallu", "")
    return Sample(
        question=text_of(data["question"], "question"),
        answer=answer,
        answer_kind="yes_no",
        images=(context.image(name),),
        group=name.rpartition(".")[0] or name or None,
        modality=machine or None,
        organ=organ or None,
        question_type=pair or None,
        meta={"pair": f"{text_of(data.get('id'), 'id')}/{pair}", **content_meta(data, "qa_type", "src_dataset", "i")},
    )


ADAPTER = Adapter(tables=tables, sample=sample, splits=("test",), eval_splits=("test",), code=("adapters/fields.py",))
