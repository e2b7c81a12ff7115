"""MedQA, MedMCQA, PubMedQA and the two medical-o1 sets in their public layouts, over text written for this project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from disk import INT32, STRING, Row, World, class_label, list_of, write_json, write_jsonl, write_parquet

_WRITTEN: Final = Path(__file__).parent / "written"
_LETTERS: Final = "ABCDE"
_SHORT_WORD: Final = 3
"""The stand-in for a phrase tagger keeps words that are longer than this."""
_MEDQA_TRAIN: Final = 18


def written(name: str) -> Any:
    """The text of `written/<name>.json`."""
    return json.loads((_WRITTEN / f"{name}.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------------------------
# MedQA
# ---------------------------------------------------------------------------------------------------------------------


def _five_options(index: int, vignette: Row) -> Row:
    """The original layout: five options, turned so that every letter is right somewhere."""
    turn = index % 5
    options = vignette["options"][turn:] + vignette["options"][:turn]
    answer = vignette["options"][vignette["correct"]]
    return {
        "question": vignette["question"],
        "answer": answer,
        "options": dict(zip(_LETTERS, options, strict=True)),
        "meta_info": vignette["step"],
        "answer_idx": _LETTERS[options.index(answer)],
    }


def _four_options(row: Row, left_out: int) -> Row:
    """The four-option layout: one wrong option fewer, and the phrases that a tagger found."""
    wrong = [text for text in row["options"].values() if text != row["answer"]]
    options = [text for text in row["options"].values() if text != wrong[left_out]]
    words = re.findall(r"[A-Za-z-]+|\d+(?:\.\d+)?", row["question"])
    return {
        "question": row["question"],
        "answer": row["answer"],
        "options": dict(zip(_LETTERS, options, strict=False)),
        "meta_info": row["meta_info"],
        "answer_idx": _LETTERS[options.index(row["answer"])],
        "metamap_phrases": [word for word in words if len(word) > _SHORT_WORD],
    }


def write_medqa(world: World) -> list[Row]:
    """`medqa/`, `medqa_5/` and `medqa_hub/`; gives back the clean test rows with four options."""
    five = [_five_options(index, vignette) for index, vignette in enumerate(written("exam")["vignettes"])]
    four = [_four_options(row, index % 4) for index, row in enumerate(five)]
    train, test = [dict(row) for row in four[:_MEDQA_TRAIN]], four[_MEDQA_TRAIN:]

    where = "medqa/phrases_no_exclude_train.jsonl row {}"
    row = train[5]
    row["answer_idx"] = next(letter for letter in "ABCD" if letter != row["answer_idx"])
    world.plant("label_disagrees", where.format(5), "rejected: answer_idx and answer name different options")
    row = train[7]
    wrong = [letter for letter in "ABCD" if letter != row["answer_idx"]]
    row["options"] = {**row["options"], wrong[0]: row["options"][wrong[1]]}
    world.plant("duplicate_options", where.format(7), "rejected or dropped: two options have the same text")
    row = train[9]
    row["answer"], row["answer_idx"] = "None of these findings", "E"
    world.plant("answer_not_in_options", where.format(9), "rejected: neither label nor text is among the options")
    figure = next(index for index, row in enumerate(train) if "figure below" in row["question"])
    world.plant(
        "figure_without_image", where.format(figure), "dropped: the question leans on a figure that is not there"
    )

    write_jsonl(world.root / "medqa/phrases_no_exclude_train.jsonl", train)
    write_jsonl(world.root / "medqa/phrases_no_exclude_test.jsonl", test)
    write_jsonl(world.root / "medqa_5/train.jsonl", five[:8])
    write_jsonl(world.root / "medqa_5/test.jsonl", five[_MEDQA_TRAIN : _MEDQA_TRAIN + 4])
    features: dict[str, Row] = {
        "question": STRING,
        "answer": STRING,
        "options": dict.fromkeys("ABCD", STRING),
        "meta_info": STRING,
        "answer_idx": STRING,
        "metamap_phrases": list_of(STRING),
    }
    write_parquet(world.root / "medqa_hub/data/train-00000-of-00001.parquet", four[:8], features)
    write_parquet(world.root / "medqa_hub/data/test-00000-of-00001.parquet", test[:4], features)
    world.plant("mirror", "medqa_5 all rows", "medqa rows with one more wrong option: same_question")
    world.plant("mirror", "medqa_hub all rows", "rows 0 to 7 of medqa train and 0 to 3 of its test, without defects")
    return test


# ---------------------------------------------------------------------------------------------------------------------
# MedMCQA
# ---------------------------------------------------------------------------------------------------------------------


def _mcqa(item: Row, salt: str = "") -> Row:
    """The original layout: `cop` counts from 1."""
    options = item["options"]
    return {
        "question": item["question"],
        "exp": item["why"],
        "cop": item["correct"] + 1,
        "opa": options[0],
        "opb": options[1],
        "opc": options[2],
        "opd": options[3],
        "subject_name": item["subject"],
        "topic_name": item["topic"],
        "id": str(uuid5(NAMESPACE_URL, f"medmcqa {item['question']}{salt}")),
        "choice_type": item["choice_type"],
    }


_HUB_ORDER: Final = (
    *("id", "question", "opa", "opb", "opc", "opd"),
    *("cop", "choice_type", "exp", "subject_name", "topic_name"),
)


def write_medmcqa(world: World, medqa_test: list[Row]) -> list[Row]:
    """`medmcqa/` as JSON lines with `cop` from 1, and `medmcqa_hub/` as Parquet with `cop` from 0; its clean rows."""
    items: list[Row] = written("exam")["short"]
    train = [_mcqa(item) for item in items[:23]]
    dev = [_mcqa(item) for item in items[23:30]]
    hub_train = [dict(row) for row in train[:10]]

    def add(kind: str, expect: str, row: Row) -> None:
        train.append(row)
        world.plant(kind, f"medmcqa/train.json row {len(train) - 1} id {row['id']}", expect)

    twin = train[3]
    expect = f"exact duplicate of id {twin['id']}: one of the two is kept"
    add("exact_duplicate", expect, _mcqa(items[3], " again"))
    short: Row = {"subject": "Anatomy", "topic": None, "why": None, "choice_type": "single"}
    item = {**short, "question": "Which bone forms the heel?", "correct": 4}
    item["options"] = ["Calcaneus", "Talus", "Navicular", "Cuboid"]
    add("cop_out_of_range", "rejected: cop is 5, allowed are 1 to 4", _mcqa(item))
    leak = medqa_test[0]
    item = {**short, "subject": "Medicine", "question": leak["question"], "options": list(leak["options"].values())}
    item["correct"] = _LETTERS.index(leak["answer_idx"])
    expect = "same_question as medqa/phrases_no_exclude_test.jsonl row 0: dropped"
    add("leak_same_question", expect, _mcqa(item))
    item = {**short, "question": "<|im_start|>user\nHow many bones form the ankle mortise?<|im_end|>", "correct": 1}
    item["options"] = ["One", "Two", "Five", "Seven"]
    add("literal_special_token", "dropped or cleaned: chat tokens never reach an output", _mcqa(item))
    world.plant(
        "na_answer", f"medmcqa/dev.json id {_mcqa(items[28])['id']}", "kept; N/A is an option, not a missing value"
    )

    write_jsonl(world.root / "medmcqa/train.json", train, compact=True)
    write_jsonl(world.root / "medmcqa/dev.json", dev, compact=True)

    features: dict[str, Row] = {**dict.fromkeys(_HUB_ORDER, STRING), "cop": class_label(["a", "b", "c", "d"])}
    unlabelled = [{**_mcqa(item), "cop": -1, "exp": None} for item in items[30:]]
    for split, rows, shift in (("train", hub_train, 1), ("validation", dev[:5], 1), ("test", unlabelled, 0)):
        mirrored = [{name: row[name] for name in _HUB_ORDER} | {"cop": row["cop"] - shift} for row in rows]
        write_parquet(world.root / f"medmcqa_hub/data/{split}-00000-of-00001.parquet", mirrored, features)
    world.plant(
        "mirror", "medmcqa_hub train and validation", "rows 0 to 9 of medmcqa train and 0 to 4 of dev, cop one lower"
    )
    world.plant("unlabelled_test", "medmcqa_hub/data/test-00000-of-00001.parquet", "rejected or answerless: cop is -1")
    return train[:23]


# ---------------------------------------------------------------------------------------------------------------------
# PubMedQA
# ---------------------------------------------------------------------------------------------------------------------


def write_pubmedqa(world: World) -> None:
    """`pubmedqa/` keyed by PMID with its test labels, and `pubmedqa_hub/` with the nested context."""
    originals: dict[str, Row] = {}
    hub: list[Row] = []
    for index, item in enumerate(written("pubmed")):
        pmid = 99000117 + 211 * index
        guess = "maybe" if index % 5 == 4 else item["decision"]
        originals[str(pmid)] = {
            "QUESTION": item["question"],
            "CONTEXTS": item["contexts"],
            "LABELS": item["labels"],
            "MESHES": item["meshes"],
            "YEAR": item["year"],
            "reasoning_required_pred": guess,
            "reasoning_free_pred": item["decision"],
            "final_decision": item["decision"],
            "LONG_ANSWER": item["long_answer"],
        }
        context = {
            "contexts": item["contexts"],
            "labels": item["labels"],
            "meshes": item["meshes"],
            "reasoning_required_pred": list(guess),
            "reasoning_free_pred": list(item["decision"]),
        }
        hub.append(
            {
                "pubid": pmid,
                "question": item["question"],
                "context": context,
                "long_answer": item["long_answer"],
                "final_decision": item["decision"],
            }
        )
    official = {pmid: row["final_decision"] for pmid, row in list(originals.items())[::2]}
    write_json(world.root / "pubmedqa/ori_pqal.json", originals, indent=4)
    write_json(world.root / "pubmedqa/test_ground_truth.json", official, indent=4)
    names = ("contexts", "labels", "meshes", "reasoning_required_pred", "reasoning_free_pred")
    features: dict[str, Row] = {
        "pubid": INT32,
        "question": STRING,
        "context": {name: list_of(STRING) for name in names},
        "long_answer": STRING,
        "final_decision": STRING,
    }
    write_parquet(world.root / "pubmedqa_hub/pqa_labeled/train-00000-of-00001.parquet", hub[:8], features)
    for row in hub[:8]:
        if str(row["pubid"]) in official:
            where = f"pubmedqa_hub/pqa_labeled/train-00000-of-00001.parquet pubid {row['pubid']}"
            world.plant("leak_same_group", where, "same_group as an official test PMID: dropped")


# ---------------------------------------------------------------------------------------------------------------------
# medical-o1
# ---------------------------------------------------------------------------------------------------------------------


def write_medical_o1(world: World) -> None:
    """`medical_o1/`: English and Chinese reasoning, and the verifiable problems."""
    texts = written("reasoning")

    def sft(item: Row) -> Row:
        return {"Question": item["question"], "Complex_CoT": item["reasoning"], "Response": item["response"]}

    english = [sft(item) for item in texts["english"]]
    english.append(sft(texts["chinese"][3]))
    world.plant(
        "wrong_language",
        "medical_o1/medical_o1_sft.json row 10",
        "dropped or relabelled: Chinese text in an English file",
    )
    twin = "medical_o1/medical_o1_sft_Chinese.json row 3"
    world.plant("exact_duplicate", "medical_o1/medical_o1_sft.json row 10", f"exact duplicate of {twin}")
    for where in (
        "medical_o1/medical_o1_sft.json row 3",
        "medical_o1/medical_o1_sft.json row 5",
        "medical_o1/medical_o1_sft.json row 7",
        "medical_o1/medical_o1_verifiable_problem.json row 3",
    ):
        world.plant(
            "leak_paraphrase", where, "a medqa test case in other words: near_question, dropped; not sure to be found"
        )
    write_json(world.root / "medical_o1/medical_o1_sft.json", english, indent=2)
    write_json(world.root / "medical_o1/medical_o1_sft_Chinese.json", [sft(i) for i in texts["chinese"]], indent=2)
    problems = [
        {"Open-ended Verifiable Question": item["question"], "Ground-True Answer": item["answer"]}
        for item in texts["verifiable"]
    ]
    write_json(world.root / "medical_o1/medical_o1_verifiable_problem.json", problems, indent=2)
    world.plant(
        "same_question_twice",
        "medical_o1/medical_o1_verifiable_problem.json rows 0 to 3",
        "the question also stands in medical_o1_sft.json: duplicate across the two sources",
    )
