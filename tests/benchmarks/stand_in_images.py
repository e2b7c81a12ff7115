"""Stand-ins for the data sets of images that the recipes read, in the exact layouts of the public files.

Where a public set's train split shares pictures with its test (VQA-RAD, SLAKE across languages), so does its stand-in.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from stand_in_invented import (
    IMAGE,
    LETTERS,
    STRING,
    Counts,
    Inventor,
    Row,
    cell,
    data_file,
    list_of,
    picture,
    short_ask,
    write_csv,
    write_json,
    write_jsonl,
    write_parquet,
    write_tar,
    write_zip,
)

__all__ = ["IMAGE_WRITERS"]

_SUBJECTS = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy", "Public_Health",
)  # fmt: skip


# Questions about medical images


def vqa_rad(root: Path, counts: Counts) -> None:
    """Six questions a picture; two in three pictures of the test are in train too."""
    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    for split, count in counts.items():
        make = Inventor(f"vqa_rad {split}")
        rows = []
        for index in range(count):
            shared = split == "test" and index % 6 < 4
            question, answer = short_ask(make, index)
            name = f"rad {'train' if shared else split} {index // 6}"
            rows.append({"image": cell(name), "question": question, "answer": answer})
        write_parquet(root / data_file(split), rows, features)


def slake(root: Path, counts: Counts) -> None:
    """Fourteen questions a picture, half of them Chinese; one in eight of train's pictures is one of the test."""
    names: list[str] = []
    start = 0
    for split, count in counts.items():
        make = Inventor(f"slake {split}")
        rows: list[Row] = []
        for index in range(count):
            number = index // 14
            of_test = split == "test" or (split == "train" and number % 8 == 7)
            name = f"xmlab{number // 8 if split == 'train' and of_test else number}{'9' if of_test else '1'}/source.jpg"
            question, answer = short_ask(make, index)
            chinese = index % 2 == 1 or (of_test and split == "train")
            if chinese:
                question, answer = make.chinese(), ("是", "否")[index % 4 // 2]
            names.append(f"imgs/{name}")
            rows.append({
                "img_id": number, "img_name": name, "question": question, "answer": answer,
                "q_lang": "zh" if chinese else "en", "location": "Lung", "modality": "CT", "answer_type": "CLOSED",
                "base_type": "vqa", "content_type": "Organ", "triple": ["vhead", "_", "_"], "qid": start + index,
            })  # fmt: skip
        start += count
        write_json(root / f"{split}.json", rows)
    write_zip(root / "imgs.zip", names)


def path_vqa(root: Path, counts: Counts) -> None:
    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    for split, count in counts.items():
        make = Inventor(f"path_vqa {split}")
        asks = [short_ask(make, index) for index in range(count)]
        rows = [{"image": cell(f"path {split} {n // 5}"), "question": q, "answer": a} for n, (q, a) in enumerate(asks)]
        write_parquet(root / data_file(split), rows, features)


def pmc_vqa(root: Path, counts: Counts) -> None:
    """Both versions. Right options stand first more often than not, as in the published rows."""
    packed: dict[str, list[str]] = {"images": [], "images_2": []}
    for split, count in counts.items():
        make, second = Inventor(f"pmc_vqa {split}"), split.endswith("_2")
        rows: list[Row] = []
        for index in range(count):
            options, right = make.options()
            right = 0 if make.rng.random() < 0.2 else right
            figure = f"PMC{crc32(split.encode()) % 900 + 100}{index:06d}_F1.jpg"
            packed["images_2" if second else "images"].append(f"{'figures' if second else 'images'}/{figure}")
            choices = {f"Choice {c}": f" {c}:{option} " for c, option in zip("ABCD", options, strict=True)}
            row = {"Figure_path": figure, "Question": f" {make.question(10)} ", **choices}
            if second:
                more = {"Answer": "ABCD"[right], "split": split.removesuffix("_2")}
                rows.append({"index": str(index), "Caption": make.words(8), **row, **more})
            else:
                rows.append({**row, "Answer": options[right], "Answer_label": "ABCD"[right]})
        write_csv(root / f"{split}.csv", rows)
    for archive, names in packed.items():
        write_zip(root / f"{archive}.zip", names)


def omnimedvqa(root: Path, counts: Counts) -> None:
    make, base, rows = Inventor("omnimedvqa"), root / "OmniMedVQA", list[Row]()
    for index in range(counts["test"]):
        options, right = make.options((4, 4, 2, 3)[index % 4])
        rows.append({
            "dataset": "Drawn CT", "question_id": f"Drawn CT_{index:06d}", "question_type": "Disease Diagnosis",
            "question": make.question(8), "gt_answer": options[right], "image_path": f"Images/Drawn CT/{index}.png",
            **{f"option_{c}": text for c, text in zip("ABCD", options, strict=False)},
            "modality_type": "CT(Computed Tomography)",
        })  # fmt: skip
        path = base / str(rows[-1]["image_path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(f"omni {index}"))
    write_json(base / "QA_information/Open-access/Drawn CT.json", rows)


def medxpertqa(root: Path, counts: Counts) -> None:
    """Configurations MM and Text; options stand in the question too."""
    names: list[str] = []
    for config, count in counts.items():
        make, letters, rows = Inventor(f"medxpertqa {config}"), LETTERS[: 5 if config == "MM" else 10], list[Row]()
        for index in range(count):
            options, right = make.options(len(letters))
            question = make.question(30)
            listed = " ".join(f"({c}) {text}" for c, text in zip(letters, options, strict=True))
            row: Row = {
                "id": f"{config}-{index}", "question": f"{question}\nAnswer Choices: {listed}",
                "options": dict(zip(letters, options, strict=True)), "label": letters[right],
                "medical_task": "Diagnosis", "body_system": "Digestive", "question_type": "Reasoning",
            }  # fmt: skip
            if config == "MM":
                row["images"] = [f"MM-{index}-a.jpeg"]
                names.append(f"images/MM-{index}-a.jpeg")
            rows.append(row)
        write_jsonl(root / config / "test.jsonl", rows)
    write_zip(root / "images.zip", names)


def mmmu(root: Path, counts: Counts) -> None:
    columns = [f"image_{number}" for number in range(1, 8)]
    tail = ("img_type", "answer", "topic_difficulty", "question_type", "subfield")
    features = {
        **dict.fromkeys(("id", "question", "options", "explanation"), STRING), **dict.fromkeys(columns, IMAGE),
        **dict.fromkeys(tail, STRING),
    }  # fmt: skip
    for split, count in counts.items():
        make = Inventor(f"mmmu {split}")
        for subject in _SUBJECTS:
            rows: list[Row] = []
            for number in range(-(-count // len(_SUBJECTS))):
                options, right = make.options()
                key = f"{split}_{subject}_{number}"
                rows.append({
                    "id": key, "question": f"{make.question()} <image 1>", "options": repr(options), "explanation": "",
                    **dict.fromkeys(columns), "image_1": cell(f"mmmu {key}"), "img_type": "['Medical Images']",
                    "answer": "?" if split == "test" else "ABCD"[right], "topic_difficulty": "Easy",
                    "question_type": "multiple-choice", "subfield": "Drawn",
                })  # fmt: skip
            write_parquet(root / subject / f"{split}-00000-of-00001.parquet", rows, features)


def _talk(question: str, answer: str) -> list[Row]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]


def pubmedvision(root: Path, counts: Counts) -> None:
    make, rows = Inventor("pubmedvision"), list[Row]()
    for index in range(counts["train"]):
        talk = [
            {"from": "human", "value": make.question()},
            {"from": "gpt", "value": make.thought()},
        ]
        rows.append({
            "image": [f"images/pmc_{7000000 + index}_0.jpg"], "conversations": talk, "id": f"it_{index}",
            "modality": "CT", "body_part": "Chest",
        })  # fmt: skip
    write_json(root / "PubMedVision_InstructionTuning_VQA.json", rows)
    write_zip(root / "images_0.zip", [row["image"][0] for row in rows])


def llava_med(root: Path, counts: Counts) -> None:
    make, rows = Inventor("llava_med"), list[Row]()
    for index in range(counts["train"]):
        talk = [*_talk(make.question(), make.thought()), {"from": "human", "value": make.question(8)}]
        talk.append({"from": "gpt", "value": make.thought()})
        domain = {"chest_xray": True, "ct_scan": False, "mri": False, "histology": False, "gross": False}
        key = f"{90000000 + index}_F1"
        rows.append({"id": key, "image": f"{key}.jpg", "domain": domain, "conversatons": talk})
    write_json(root / "llava_instruct.json", rows)
    write_tar(root / "images.tar", [f"images/{row['image']}" for row in rows])


# General images


def llava_cot(root: Path, counts: Counts) -> None:
    make, rows = Inventor("llava_cot"), list[Row]()
    for index in range(counts["train"]):
        stages = ("SUMMARY", "CAPTION", "REASONING", "CONCLUSION")
        staged = "\n\n".join(f"<{stage}> {make.words(15)} </{stage}>" for stage in stages)
        talk = _talk(make.question(), staged)
        talk[0]["value"] = talk[0]["value"].removeprefix("<image>\n")
        rows.append({"id": f"drawn_{index:06d}", "image": f"drawn/{index:06d}.jpg", "conversations": talk})
    write_jsonl(root / "train.jsonl", rows)
    write_zip(root / "image.zip", [row["image"] for row in rows])


def mulberry(root: Path, counts: Counts) -> None:
    make, rows = Inventor("mulberry"), list[Row]()
    for index in range(counts["train"]):
        said = f"### Image Description:\n{make.words(12)}\n\n### Rationales:\n{make.words(12)}\n\n"
        said += f"### Let's think step by step.\n{make.words(20)}\n\n### The final answer is: {make.words(2)}"
        turns = [{"role": "user", "content": f"<image>{make.question()}"}, {"role": "assistant", "content": said}]
        rows.append({"messages": turns, "images": f"cauldron/clevr/images/clevr_{index:08d}.png"})
    write_json(root / "mulberry_sft.json", rows)
    write_tar(root / "mulberry_images.tar", [row["images"] for row in rows])


def r1_onevision(root: Path, counts: Counts) -> None:
    make, rows = Inventor("r1_onevision"), list[Row]()
    for index in range(counts["train"]):
        said = f"<think>\n{make.thought()}\n</think>\n\n{make.words(2)}"
        talk = _talk(make.question(), said)
        text = base64.b64encode(picture(f"r1 {index}")).decode()
        rows.append({"id": f"g_{index}", "image": text, "conversations": talk})
    features = {"id": STRING, "image": STRING, "conversations": list_of({"from": STRING, "value": STRING})}
    write_parquet(root / "Geometry3K(MathV360K)" / "train-00000-of-00001.parquet", rows, features)


def scienceqa(root: Path, counts: Counts) -> None:
    texts = ("hint", "task", "grade", "subject", "topic", "category", "skill", "lecture", "solution")
    make, rows = Inventor("scienceqa"), list[Row]()
    for index in range(counts["train"]):
        options, right = make.options()
        rows.append({
            "image": cell(f"science {index}") if index % 2 else None, "question": make.question(), "choices": options,
            "answer": right, **dict.fromkeys(texts, "drawn"), "hint": "", "solution": make.words(15),
        })  # fmt: skip
    number = {"dtype": "int8", "_type": "Value"}
    kinds = {"image": IMAGE, "question": STRING, "choices": list_of(STRING), "answer": number}
    write_parquet(root / data_file("train"), rows, {**kinds, **dict.fromkeys(texts, STRING)})


def virl39k(root: Path, counts: Counts) -> None:
    make, rows = Inventor("virl39k"), list[Row]()
    for index in range(counts["train"]):
        number = int(make.rng.integers(2, 900))
        rows.append({
            "question": f"<image>{make.question()}", "answer": f"\\boxed{{{number}}}",
            "image": [f"images/Drawn-{index}.png"], "category": "(GradeSchool) Geometric", "source": "Drawn",
            "qid": f"Drawn-{index}", "PassRate_32BTrained": 0.5, "PassRate_7BBase": 0.25,
        })  # fmt: skip
    share = {"dtype": "float64", "_type": "Value"}
    kinds: dict[str, Any] = {name: share if name.startswith("PassRate") else STRING for name in rows[0]}
    write_parquet(root / "39Krelease.parquet", rows, {**kinds, "image": list_of(STRING)})
    write_zip(root / "images.zip", [row["image"][0] for row in rows])


def geometry3k(root: Path, counts: Counts) -> None:
    make = Inventor("geometry3k")
    rows = [
        {"images": [cell(f"geometry {n}")], "problem": f"<image>{make.question()}",
         "answer": str(make.rng.integers(2, 900))}
        for n in range(counts["train"])
    ]  # fmt: skip
    write_parquet(root / data_file("train"), rows, {"images": list_of(IMAGE), "problem": STRING, "answer": STRING})


IMAGE_WRITERS: dict[str, Callable[[Path, Counts], None]] = {
    write.__name__: write
    for write in (
        vqa_rad, slake, path_vqa, pmc_vqa, omnimedvqa, medxpertqa, mmmu, pubmedvision, llava_med, llava_cot, mulberry,
        r1_onevision, scienceqa, virl39k, geometry3k,
    )
}  # fmt: skip
"""By the folder that the recipes read them from."""
