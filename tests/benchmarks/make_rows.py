"""Rows for the benchmarks: copies of real data with changed ids, shuffled copies, and synthetic text.

    python tests/benchmarks/make_rows.py synthetic FOLDER --rows 200000 --seed 7
    python tests/benchmarks/make_rows.py copies ../shared/real FOLDER --copies 10

Nothing here is medical knowledge: the sentences are put together by chance.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

VQA_RAD_SPLITS = ("trainset.json", "testset.json")
SLAKE_SPLITS = ("train.json", "validate.json", "test.json")
ID_STEP = 10_000_000
"""Added to numeric ids once a copy."""

Row = dict[str, Any]


def read_json(path: Path) -> Any:
    """The document in `path`."""
    return json.loads(path.read_text("utf-8"))


def read_lines(path: Path) -> list[Row]:
    """The rows of a JSON-lines file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_json(path: Path, document: Any) -> None:
    """Writes one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")


def write_lines(path: Path, rows: Iterable[Row]) -> None:
    """Writes JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def copy_vqa_rad(source: Path, target: Path, copies: int, *, suffix: bool = False) -> int:
    """Rows written: those of VQA-RAD `copies` times with other qids, the images once.

    Without `suffix` the copies are duplicates in all but their ids; with it every question differs.
    """
    total = 0
    for name in VQA_RAD_SPLITS:
        rows = [
            _changed(row, copy, ("question",) if suffix else (), {"qid": row["qid"] + copy * ID_STEP})
            for copy in range(copies)
            for row in read_json(source / name)
        ]
        write_json(target / name, rows)
        total += len(rows)
    shutil.copytree(source / "images", target / "images", dirs_exist_ok=True)
    return total


def copy_real(real: Path, target: Path, copies: int) -> int:
    """Rows written: all that `real.yaml` reads `copies` times, each copy with other ids and questions; images once."""
    total = copy_vqa_rad(real / "vqa_rad", target / "vqa_rad", copies, suffix=True)

    def repeated(rows: list[Row], fields: tuple[str, ...], ids: Callable[[Row, int], Row]) -> list[Row]:
        nonlocal total
        total += len(rows) * copies
        return [_changed(row, copy, fields, ids(row, copy)) for copy in range(copies) for row in rows]

    for name in SLAKE_SPLITS:
        rows = read_json(real / "slake" / name)
        write_json(target / "slake" / name, repeated(rows, ("question",), _numeric("qid")))
    name = "phrases_no_exclude_test.jsonl"
    write_lines(target / "medqa" / name, repeated(read_lines(real / "medqa" / name), ("question",), _no_id))
    rows = read_lines(real / "medmcqa" / "dev.json")
    write_lines(
        target / "medmcqa" / "dev.json",
        repeated(rows, ("question",), lambda row, copy: {"id": f"{row['id']}{f'-{copy}' if copy else ''}"}),
    )
    rows = read_json(real / "huatuo_o1" / "demo_data.json")
    fields = ("question", "Question", "Open-ended Verifiable Question")
    write_json(target / "huatuo_o1" / "demo_data.json", repeated(rows, fields, _no_id))

    def pmid(key: str, copy: int) -> str:
        return str(int(key) + copy * 10 * ID_STEP)

    keyed = read_json(real / "pubmedqa" / "ori_pqal.json")
    write_json(
        target / "pubmedqa" / "ori_pqal.json",
        {
            pmid(key, copy): _changed(row, copy, ("QUESTION",), {})
            for copy in range(copies)
            for key, row in keyed.items()
        },
    )
    labels = read_json(real / "pubmedqa" / "test_ground_truth.json")
    write_json(
        target / "pubmedqa" / "test_ground_truth.json",
        {pmid(key, copy): label for copy in range(copies) for key, label in labels.items()},
    )
    return total + len(keyed) * copies


def _numeric(field: str) -> Callable[[Row, int], Row]:
    return lambda row, copy: {field: row[field] + copy * ID_STEP}


def _no_id(row: Row, copy: int) -> Row:
    return {}


def _changed(row: Mapping[str, Any], copy: int, fields: tuple[str, ...], ids: Row) -> Row:
    """The row as its copy number `copy`; number 0 is the row itself."""
    texts = {field: f"{row[field]} (variant {copy})" for field in fields if copy}
    return {**row, **ids, **texts}


def copy_shuffled(real: Path, target: Path, *, seed: int) -> None:
    """What `real.yaml` reads: files in another order, with other times, and rows shuffled where they have ids."""
    draw = random.Random(seed)

    def shuffle(path: Path) -> None:
        rows = read_json(path)
        items = list(rows.items()) if isinstance(rows, dict) else rows
        draw.shuffle(items)
        write_json(path, dict(items) if isinstance(rows, dict) else items)

    for folder in ("huatuo_o1", "pubmedqa", "medmcqa", "medqa", "slake", "vqa_rad"):
        for source in sorted((p for p in (real / folder).rglob("*") if p.is_file()), reverse=True):
            copied = target / folder / source.relative_to(real / folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(source.read_bytes())
    for path in [
        *(target / "vqa_rad" / name for name in VQA_RAD_SPLITS),
        *(target / "slake" / name for name in SLAKE_SPLITS),
        target / "pubmedqa" / "ori_pqal.json",
    ]:
        shuffle(path)
    lines = read_lines(target / "medmcqa" / "dev.json")
    draw.shuffle(lines)
    write_lines(target / "medmcqa" / "dev.json", lines)
    for path in target.rglob("*"):
        moment = draw.uniform(1.0e9, 1.6e9)
        os.utime(path, (moment, moment))


_PEOPLE = ("woman", "man", "girl", "boy", "retired nurse", "farmer", "office worker", "long-distance runner", "student")
_PLACES = ("clinic", "emergency department", "physician's office", "outpatient ward", "maternity unit", "day centre")
_SYMPTOMS = (
    "sharp chest pain on breathing in", "a dry cough at night", "swelling of both ankles", "a spreading rash",
    "double vision", "loss of appetite", "pain in the right flank", "numb fingertips", "a stiff neck",
    "palpitations at rest", "bloody stools", "trouble swallowing", "weakness of the left hand", "itching of the scalp",
)  # fmt: skip
_CONDITIONS = (
    "iron deficiency", "pulmonary embolism", "atrial fibrillation", "gallstones", "type 2 diabetes", "gout",
    "multiple sclerosis", "pneumothorax", "psoriasis", "peptic ulcer", "kidney stones", "Graves disease",
    "aortic stenosis", "migraine", "hepatitis B", "osteoporosis", "sarcoidosis", "asthma", "appendicitis", "sepsis",
)  # fmt: skip
_DRUGS = (
    "metformin", "warfarin", "lisinopril", "ibuprofen", "levothyroxine", "prednisone", "omeprazole", "salbutamol",
    "atorvastatin", "amoxicillin", "furosemide", "sertraline",
)  # fmt: skip
_FINDINGS = (
    "reduced breath sounds over the left base", "a soft systolic murmur", "tenderness below the ribs", "brisk reflexes",
    "pale conjunctivae", "a palpable spleen", "clear lungs", "a swollen knee with a warm overlying skin",
    "decreased sensation over both feet", "an irregular pulse", "yellow sclerae", "a midline scar",
)  # fmt: skip
_LABS = ("Sodium", "Potassium", "Creatinine", "Glucose", "Haemoglobin", "Platelets", "Ferritin", "Lactate", "Calcium")
_ASKS = (
    "Which of the following is the most likely diagnosis?", "Which condition explains these findings best?",
    "Which of these should be ruled out first?", "What is the most likely underlying cause?",
)  # fmt: skip


def case(draw: random.Random) -> str:
    """A made-up case history of 60 to 100 words."""
    pick, number = draw.choice, draw.randrange
    labs = ", ".join(f"{name.lower()} {number(1, 400)}.{number(10)}" for name in draw.sample(_LABS, 3))
    return (
        f"A {number(2, 95)}-year-old {pick(_PEOPLE)} comes to the {pick(_PLACES)} because of {pick(_SYMPTOMS)} "
        f"and {pick(_SYMPTOMS)} for {number(2, 30)} {pick(('hours', 'days', 'weeks'))}. The history includes "
        f"{pick(_CONDITIONS)} and {pick(_CONDITIONS)}, treated with {pick(_DRUGS)} {number(5, 900)} mg daily. "
        f"Temperature is {number(350, 410) / 10}°C, pulse is {number(45, 150)}/min and blood pressure is "
        f"{number(80, 200)}/{number(40, 110)} mm Hg. Examination shows {pick(_FINDINGS)} and {pick(_FINDINGS)}. "
        f"Laboratory studies show {labs}."
    )


def exam_row(draw: random.Random) -> Row:
    """A row in MedQA's layout."""
    options = dict(zip("ABCD", draw.sample(_CONDITIONS, 4), strict=True))
    label = draw.choice("ABCD")
    return {
        "question": f"{case(draw)} {draw.choice(_ASKS)}",
        "answer": options[label].capitalize() if draw.random() < 0.1 else options[label],
        "options": options,
        "meta_info": draw.choice(("step1", "step2&3")),
        "answer_idx": label,
    }


def chat_row(draw: random.Random, number: int) -> Row:
    """A conversation in OpenAI's layout; half of the replies show their reasoning."""
    likely, other = draw.sample(_CONDITIONS, 2)
    thought = (
        f"<think>{draw.choice(_FINDINGS).capitalize()} would fit {likely}; {draw.choice(_SYMPTOMS)} speaks against "
        f"{other}. {case(draw)}</think>\n"
    )
    reply = f"The picture fits {likely} better than {other}; I would check {draw.choice(_LABS).lower()} again."
    messages = [
        {"role": "user", "content": f"{case(draw)} How would you go on?"},
        {"role": "assistant", "content": f"{thought if number % 2 else ''}{reply}"},
    ]
    if number % 5 == 0:
        messages += [
            {"role": "user", "content": f"And with {draw.choice(_FINDINGS)}?"},
            {"role": "assistant", "content": f"Then {other} is more likely, and {draw.choice(_DRUGS)} can wait."},
        ]
    return {"id": f"chat-{number}", "messages": messages}


def make_synthetic(target: Path, rows: int, *, seed: int, exams: int = 2, chats: int = 4) -> Path:
    """The manifest, in `target`, of `rows` rows: half in `exams` MedQA files, half in `chats` files of conversations.

    One exam row in a hundred is an exact copy of an earlier one.
    """
    draw = random.Random(seed)
    for index, count in enumerate(_shares(rows // 2, exams)):
        made: list[Row] = []
        for number in range(count):
            made.append(draw.choice(made) if number % 100 == 99 else exam_row(draw))
        write_lines(target / f"exam_{index}" / "train.jsonl", made)
    start = 0
    for index, count in enumerate(_shares(rows - rows // 2, chats)):
        write_lines(target / "chat" / f"part-{index}.jsonl", (chat_row(draw, start + n) for n in range(count)))
        start += count
    lines = ["name: synthetic", f"root: {json.dumps(str(target.resolve()))}", "sources:"]
    lines += [f"  exam_{n}: {{adapter: medqa, location: exam_{n}, category: medical_text}}" for n in range(exams)]
    lines += [
        f"  chat_{n}: {{adapter: chat, location: chat/part-{n}.jsonl, category: general_text}}" for n in range(chats)
    ]
    lines.append("outputs: {sft: {}, rl: {}}")
    manifest = target / "synthetic.yaml"
    manifest.write_text("\n".join(lines) + "\n", "utf-8")
    return manifest


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (index < total % parts) for index in range(parts)]


def main() -> int:
    """Writes one of the three sets."""
    parser = argparse.ArgumentParser(description="Rows for the benchmarks.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    synthetic = kinds.add_parser("synthetic")
    synthetic.add_argument("target", type=Path)
    synthetic.add_argument("--rows", type=int, default=200_000)
    synthetic.add_argument("--seed", type=int, default=7)
    for name in ("copies", "shuffled"):
        kind = kinds.add_parser(name)
        kind.add_argument("real", type=Path)
        kind.add_argument("target", type=Path)
        kind.add_argument("--copies", type=int, default=10)
        kind.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.kind == "synthetic":
        print(make_synthetic(given.target, given.rows, seed=given.seed))
    elif given.kind == "copies":
        print(f"{copy_real(given.real, given.target, given.copies):,} rows")
    else:
        copy_shuffled(given.real, given.target, seed=given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
