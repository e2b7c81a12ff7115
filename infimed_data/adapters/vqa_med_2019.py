"""VQA-Med 2019 (ImageCLEF): MedPix images with lower-case questions. CC-BY-4.0, English, not gated.

Layout: text split at `|`, without a header: `All_QA_Pairs_{train,val}.txt` (12,792 / 2,000 rows: id, question,
answer) and `VQAMed2019_Test_Questions_w_Ref_Answers.txt` (500 rows: id, category, question, answer), images
`<id>.jpg`. In the test file `#` stands between answers that are all right, and brackets around words that may be left
out. The ids are MedPix's `synpic` numbers, which VQA-RAD shares.
"""

from __future__ import annotations

import re

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import require, split_tables, synpic_group
from infimed_data.adapters.reading import free_answer_kind, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_FILES = {
    "train": ("All_QA_Pairs_train.txt",),
    "validation": ("All_QA_Pairs_val.txt",),
    "test": ("VQAMed2019_Test_Questions_w_Ref_Answers.txt",),
}
_OPTIONAL = re.compile(r"\s*\([^()]*\)")


def tables(context: Context) -> list[TableFile]:
    """The split's text file."""
    return [TableFile(file.name, delimiter="|") for file in split_tables(context, _FILES, "VQA-Med 2019")]


def _alternatives(text: str) -> list[str]:
    """Every answer that counts as right, with and without the words in brackets."""
    found = []
    for part in text.split("#"):
        found += [_OPTIONAL.sub("", part).strip(), part.replace("(", "").replace(")", "").strip()]
    return list(dict.fromkeys(" ".join(answer.split()) for answer in found if answer))


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one image."""
    test = context.split == "test"
    names = ("1", "2", "3", "4") if test else ("1", "2", "3")
    require(row.data, "VQA-Med 2019", *names)
    if len(row.data) > len(names):
        raise Reject("ragged_row", f"{len(row.data)} cells", f"{len(names)} cells")
    key, *category, question, given = [text_of(row.data[name], name) for name in names]
    answers = _alternatives(given) if test else [given]
    answer = answers[0] if answers else ""
    return Sample(
        question=question,
        answer=answer,
        answer_kind=free_answer_kind(answer),
        images=(context.image(f"{key}.jpg"),),
        group=synpic_group(key) or key or None,
        question_type="".join(category) or None,
        meta={"alternatives": answers} if len(answers) > 1 else {},
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    splits=tuple(_FILES),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
