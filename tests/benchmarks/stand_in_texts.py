"""Stand-ins for the data sets of text that the recipes read, in the exact layouts of the public files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stand_in_invented import (
    INT32,
    LETTERS,
    STRING,
    Counts,
    Inventor,
    Row,
    class_label,
    data_file,
    list_of,
    write_json,
    write_jsonl,
    write_parquet,
)

__all__ = ["TEXT_WRITERS"]

_MMLU = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine",
)  # fmt: skip


# Reasoning and exams


def medical_o1(root: Path, counts: Counts) -> None:
    make = Inventor("medical_o1")
    rows = [
        {"Question": make.question(25), "Complex_CoT": make.thought(), "Response": make.thought()}
        for _ in range(counts["train"])
    ]
    write_json(root / "medical_o1_sft.json", rows)


def medical_r1(root: Path, counts: Counts) -> None:
    make = Inventor("medical_r1")
    keys = ("question", "reasoning (reasoning_content)", "response (content)")
    texts = ((make.question(25), make.thought(), make.thought()) for _ in range(counts["train"]))
    write_json(root / "medical_r1_distill_sft.json", [dict(zip(keys, row, strict=True)) for row in texts])


def _listed(options: Sequence[str]) -> str:
    return "\n".join(f"{c}. {text}" for c, text in zip(LETTERS, options, strict=False))


def m23k(root: Path, counts: Counts) -> None:
    make, rows = Inventor("m23k"), list[Row]()
    for index in range(counts["train"]):
        options, right = make.options()
        thought = make.thought()
        rows.append({
            "answer_idx": right, "source": "openlifescienceai/medmcqa", "metadata": repr({"id": index}),
            "prompt": f"{make.question(20)}\n{_listed(options)}", "answer_letter": "ABCD"[right],
            "answer_string": options[right], "reasoning": thought,
            "distilled_answer_string": f"The answer is {'ABCD'[right]}.", "text": thought,
        })  # fmt: skip
    number = {"dtype": "int64", "_type": "Value"}
    write_parquet(root / data_file("train"), rows, {n: number if n == "answer_idx" else STRING for n in rows[0]})


def medreason(root: Path, counts: Counts) -> None:
    make, rows = Inventor("medreason"), list[Row]()
    for index in range(counts["train"]):
        options, right = make.options()
        source = "medmcqa" if index % 25 else "MedXpertQA"
        rows.append({
            "dataset_name": source, "id_in_dataset": index, "question": make.question(20),
            "answer": f"{options[right]}. Explanation: {make.words(6)}.", "reasoning": make.thought(),
            "options": f"Answer Choices:\n{_listed(options)}",
        })  # fmt: skip
    write_jsonl(root / "ours_quality_33000.jsonl", rows)


def alphamed(root: Path, counts: Counts) -> None:
    make, rows = Inventor("alphamed"), list[Row]()
    for _ in range(counts["train"]):
        options, right = make.options()
        rows.append({"question": f"{make.question(20)}\n{_listed(options)}", "answer": "ABCD"[right]})
    write_parquet(root / "train19k.parquet", rows, {"question": STRING, "answer": STRING})


def medqa(root: Path, counts: Counts) -> None:
    features: dict[str, Row] = {
        "question": STRING, "answer": STRING, "options": dict.fromkeys("ABCD", STRING), "meta_info": STRING,
        "answer_idx": STRING, "metamap_phrases": list_of(STRING),
    }  # fmt: skip
    for split, count in counts.items():
        make, rows = Inventor(f"medqa {split}"), list[Row]()
        for _ in range(count):
            options, right = make.options()
            rows.append({
                "question": make.question(40), "answer": options[right],
                "options": dict(zip("ABCD", options, strict=True)), "meta_info": "step1",
                "answer_idx": "ABCD"[right], "metamap_phrases": [],
            })  # fmt: skip
        write_parquet(root / data_file(split), rows, features)


def medmcqa(root: Path, counts: Counts) -> None:
    texts = ("id", "question", "opa", "opb", "opc", "opd", "choice_type", "exp", "subject_name", "topic_name")
    features: dict[str, Row] = {**dict.fromkeys(texts, STRING), "cop": class_label(["a", "b", "c", "d"])}
    for split, count in counts.items():
        make, rows = Inventor(f"medmcqa {split}"), list[Row]()
        for index in range(count):
            options, right = make.options()
            rows.append({
                "id": f"{split}-{index}", "question": make.question(18), "cop": right, "choice_type": "single",
                **dict(zip(("opa", "opb", "opc", "opd"), options, strict=True)), "exp": make.words(12),
                "subject_name": "Anatomy", "topic_name": None,
            })  # fmt: skip
        write_parquet(root / data_file(split), rows, features)


def pubmedqa(root: Path, counts: Counts) -> None:
    make, rows = Inventor("pubmedqa"), dict[str, Row]()
    for index in range(counts["test"]):
        said = ("yes", "no", "maybe")[index % 3]
        rows[str(88000000 + index)] = {
            "QUESTION": make.question(), "CONTEXTS": [make.thought()], "LABELS": ["RESULTS"], "MESHES": [],
            "YEAR": "2020", "reasoning_required_pred": said, "reasoning_free_pred": said, "final_decision": said,
            "LONG_ANSWER": make.thought(),
        }  # fmt: skip
    write_json(root / "ori_pqal.json", rows)
    write_json(root / "test_ground_truth.json", {pmid: row["final_decision"] for pmid, row in rows.items()})


def mmlu(root: Path, counts: Counts) -> None:
    features = {"question": STRING, "subject": STRING, "choices": list_of(STRING), "answer": class_label("ABCD")}
    make = Inventor("mmlu")
    for subject in _MMLU:
        rows: list[Row] = []
        for _ in range(-(-counts["test"] // len(_MMLU))):
            options, right = make.options()
            rows.append({"question": make.question(18), "subject": subject, "choices": options, "answer": right})
        write_parquet(root / subject / "test-00000-of-00001.parquet", rows, features)


def mmlu_pro(root: Path, counts: Counts) -> None:
    numbers, rows, make = ("question_id", "answer_index"), list[Row](), Inventor("mmlu_pro")
    for index in range(counts["test"]):
        options, right = make.options(10)
        rows.append({
            "question_id": index, "question": make.question(18), "options": options, "answer": LETTERS[right],
            "answer_index": right, "cot_content": "", "category": "health", "src": "drawn",
        })  # fmt: skip
    kinds = {name: INT32 if name in numbers else STRING for name in rows[0]}
    write_parquet(root / data_file("test"), rows, {**kinds, "options": list_of(STRING)})


def medbullets_op5(root: Path, counts: Counts) -> None:
    make, rows, letters = Inventor("medbullets_op5"), list[Row](), [f"op{c}" for c in "abcde"]
    for _ in range(counts["test"]):
        options, right = make.options(5)
        rows.append({
            "question": make.question(40), **dict(zip(letters, options, strict=True)), "answer": options[right],
            "answer_idx": "ABCDE"[right], "explanation": make.words(9), "link": "",
        })  # fmt: skip
    write_parquet(root / data_file("train"), rows, dict.fromkeys(rows[0], STRING))


def medbullets_op4(root: Path, counts: Counts) -> None:
    make, rows = Inventor("medbullets_op4"), list[Row]()
    for _ in range(counts["test"]):
        options, right = make.options()
        listed = dict(zip("ABCDE", [*options, None], strict=True))
        row: Row = {"question": make.question(40), "options": listed, "answer": options[right]}
        rows.append({**row, "answer_idx": "ABCD"[right]})
    kinds: dict[str, Row] = dict.fromkeys(rows[0], STRING)
    write_parquet(root / data_file("train"), rows, {**kinds, "options": dict.fromkeys("ABCDE", STRING)})


def super_gpqa(root: Path, counts: Counts) -> None:
    make, rows = Inventor("super_gpqa"), list[Row]()
    for index in range(counts["test"]):
        options, right = make.options()
        rows.append({
            "uuid": f"u{index}", "question": make.question(25), "options": options, "answer": options[right],
            "answer_letter": "ABCD"[right], "discipline": "Medicine", "field": "Drawn", "subfield": "Drawn",
            "difficulty": "easy",
        })  # fmt: skip
    write_jsonl(root / "SuperGPQA-all.jsonl", rows)


TEXT_WRITERS: dict[str, Callable[[Path, Counts], None]] = {
    write.__name__: write
    for write in (
        medical_o1, medical_r1, m23k, medreason, alphamed, medqa, medmcqa, pubmedqa, mmlu, mmlu_pro, medbullets_op5,
        medbullets_op4, super_gpqa,
    )
}  # fmt: skip
"""By the folder that the recipes read them from."""
