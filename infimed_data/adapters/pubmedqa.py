"""PubMedQA: yes/no/maybe questions about PubMed abstracts, text only. MIT, English, not gated.

Layouts: the authors' `ori_pqal.json` (1,000 rows, keyed by PMID), `ori_pqaa.json` (211,269, yes and no only) and
`ori_pqau.json` (61,249, no decision), with `test_ground_truth.json` (the 500 official test PMIDs); the Hub's
`pqa_labeled/`, `pqa_artificial/` and `pqa_unlabeled/train-*.parquet`. Splits: `test` is the official 500 rows of the
labelled set, `train` the other 500, `labeled` all of it; `artificial`; `unlabeled` as open questions whose answer is
the abstract's conclusion. A question is read with its abstract in front of it; alone it stands in
`meta.bare_question`.

    {"10000001": {"QUESTION": "...?", "CONTEXTS": ["...", "..."], "LABELS": ["BACKGROUND", "RESULTS"],
     "MESHES": ["Humans"], "YEAR": "2011", "final_decision": "yes", "LONG_ANSWER": "..."}}

Source: https://github.com/pubmedqa/pubmedqa, `qiaojin/PubMedQA`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.adapters.reading import choice_answer, content_meta, find_tables, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_SETS = {
    "train": ("ori_pqal.json", "pqa_labeled"),
    "test": ("ori_pqal.json", "pqa_labeled"),
    "labeled": ("ori_pqal.json", "pqa_labeled"),
    "artificial": ("ori_pqaa.json", "pqa_artificial"),
    "unlabeled": ("ori_pqau.json", "pqa_unlabeled"),
}
_TEST_IDS = "test_ground_truth.json"


def tables(context: Context) -> list[TableFile]:
    """The set's JSON or Parquet files."""
    name, folder = _SETS[context.split]
    patterns = (name, f"{folder}/*.parquet", f"*/{folder}/*.parquet")
    return find_tables(context, *patterns, expected=f"PubMedQA's {name} or {folder}/*.parquet")


def beside(context: Context) -> list[str]:
    """The file of official test labels, for the splits that rest on it."""
    return context.place.find(_TEST_IDS)[:1] if context.split in ("train", "test") else []


def evidence(files: Sequence[TableFile], context: Context) -> Mapping[str, Any]:
    """`test_labels`: the official test labels by PMID, for the splits that rest on them."""
    if context.split not in ("train", "test"):
        return {}
    where = f"{context.place.root}: split '{context.split}'"
    if not (found := context.place.find(_TEST_IDS)):
        raise SourceError(f"{where} needs PubMedQA's {_TEST_IDS} beside the rows; split 'labeled' reads all without it")
    try:
        labels = orjson.loads(context.place.read(found[0], max_bytes=1 << 24))
    except (Reject, orjson.JSONDecodeError) as error:
        raise SourceError(f"{where}: {found[0]} cannot be read ({error}); fetch it again") from error
    if not isinstance(labels, dict) or not labels:
        raise SourceError(f"{where}: {found[0]} holds no test ids; expected an object of PMIDs and labels")
    return {"test_labels": labels}


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its abstract."""
    data = {name.lower(): value for name, value in row.data.items()}
    pmid = row.key or text_of(data.get("pubid"), "pubid")
    label: object = None
    if (labels := context.evidence.get("test_labels")) is not None:
        if (pmid in labels) != (context.split == "test"):
            return None
        label = labels.get(pmid)
    nested = data["context"] if isinstance(data.get("context"), Mapping) else data
    contexts = nested.get("contexts")
    if not isinstance(contexts, list):
        raise Reject("wrong_type", f"contexts: {type(contexts).__name__}", "a list of texts")
    bare = text_of(data.get("question"), "question")
    conclusion = text_of(data.get("long_answer"), "long_answer")
    shared: dict[str, Any] = {
        "row_key": pmid or None,
        "question": "\n".join(text_of(part, "contexts") for part in contexts) + f"\n\n{bare}",
        "group": f"PMID{pmid}" if pmid else None,
        "meta": {"bare_question": bare, **content_meta(nested, "labels", "meshes"), **content_meta(data, "year")},
    }
    if context.split == "unlabeled":
        return Sample(**shared, answer=conclusion, answer_kind="open")
    decision = text_of(data.get("final_decision"), "final_decision")
    options, letter, answer = choice_answer(("yes", "no", "maybe"), text=decision)
    if label is not None and label != answer:
        raise Reject("label_text_disagree", f"{answer} but {label} in {_TEST_IDS}")
    return Sample(
        **shared, options=options, answer=answer, answer_label=letter, answer_kind="choice", rationale=conclusion
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    evidence=evidence,
    beside=beside,
    splits=("train", "test", "labeled", "artificial", "unlabeled"),
    eval_splits=("test", "labeled"),
)
