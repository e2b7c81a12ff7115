"""PMC-VQA: figures of PubMed Central with four options each. CC-BY-SA, English, not gated.

Layouts: version 1, `train.csv`, `test.csv`, `test_clean.csv` (176,946 / 50,000 / 2,000 rows, compound figures of
`images.zip`), where `Answer` (once `Anwser`) is the right option's text and `Answer_label` its letter; version 2,
`train_2.csv`, `test_2.csv` (152,603 / 33,430 rows, sub-figures of `images_2.zip`), where `Answer` is the letter.
Which one holds is told by the columns. Each choice carries its own letter (` A:Green `), which must be its column's.
Both versions and PubMedVision come from the same articles: `group` is the PMC id.
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.fields import any_image, pmc_group, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow
from infimed_data.text import clean_cell, strip_option_prefix

_SPLITS = ("train", "test", "test_clean", "train_2", "test_2")
_FILES = {split: (f"{split}.csv",) for split in _SPLITS}


def tables(context: Context) -> list[TableFile]:
    """The split's CSV."""
    return split_tables(context, _FILES, "PMC-VQA")


def _choices(row: TableRow) -> list[str]:
    cells = {letter: text_of(row.data[f"Choice {letter}"], f"Choice {letter}") for letter in "ABCD"}
    split = {letter: strip_option_prefix(cell) for letter, cell in cells.items()}
    if all(prefix is None for prefix, _ in split.values()):
        split = {letter: (letter, rest) for letter, (_, rest) in split.items()}
    for letter, (prefix, text) in split.items():
        if prefix != letter:
            raise Reject("option_prefix", cells[letter], f"{letter}:")
        if not text:
            raise Reject("option_empty", cells[letter], f"a text for option {letter}")
    return [text for _, text in split.values()]


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question about one figure."""
    data = row.data
    first = "Answer_label" in data or "Anwser" in data
    answer = "Anwser" if "Anwser" in data else "Answer"
    require(data, "PMC-VQA", "Figure_path", "Question", answer, *(f"Choice {letter}" for letter in "ABCD"))
    choices = _choices(row)
    given = clean_cell(text_of(data[answer], answer))
    if not first:
        letter, text = given, None
    else:
        letter = clean_cell(text_of(data.get("Answer_label"), "Answer_label"))
        if not letter and "Answer_label" in data:
            raise Reject("unlabelled", data["Answer_label"], "a letter in Answer_label")
        prefix, rest = strip_option_prefix(given)
        text = rest if prefix is not None and prefix == letter and given not in choices else given
    options, label, right = choice_answer(dict(zip("ABCD", choices, strict=True)), label=letter or None, text=text)
    name = text_of(data["Figure_path"], "Figure_path")
    return Sample(
        question=clean_cell(text_of(data["Question"], "Question")),
        options=options,
        answer=right,
        answer_label=label,
        answer_kind="choice",
        images=(any_image(context, f"{'images' if first else 'figures'}/{name}", name),),
        group=pmc_group(name),
        meta={"version": 1 if first else 2, "figure": name, **content_meta(data, "Caption", "index")},
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    splits=_SPLITS,
    eval_splits=("test", "test_clean", "test_2"),
    code=("adapters/fields.py",),
)
