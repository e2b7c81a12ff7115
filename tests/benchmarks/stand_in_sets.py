"""Stand-ins for the data sets of the recipes: invented rows of any number in the exact layouts of the public files.

Texts are sentences of made-up words, another one for each row; pictures are small smooth noise, another one for each
name. Where a public set's train split shares pictures with its test (VQA-RAD, SLAKE across languages), so does its
stand-in.
"""

from __future__ import annotations

import base64
import csv
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sample_data"))
from disk import IMAGE, INT32, STRING, Row, class_label, list_of, write_json, write_jsonl, write_parquet

__all__ = ["WRITERS", "Counts"]

Counts = Mapping[str, int]
"""Rows by split."""

_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in ("a", "e", "i", "o", "u", "ar", "en", "il")]
_LETTERS = "ABCDEFGHIJ"
_ZH = "病灶位于左侧肺叶上方还是下方心脏肝脾胃肾脑骨颅影像显示明亮暗淡区域形状大小颜色"
_SUBJECTS = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy", "Public_Health",
)  # fmt: skip
_MMLU = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine",
)  # fmt: skip


class Inventor:
    """Texts of one data set; equal seeds invent equal texts."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(crc32(name.encode()))

    def words(self, count: int) -> str:
        """Made-up words, of some 1.4 million."""
        picks = self.rng.integers(0, len(_SYLLABLES), (count, 3))
        return " ".join("".join(_SYLLABLES[i] for i in row) for row in picks)

    def question(self, words: int = 14) -> str:
        return f"Which {self.words(words)}?"

    def options(self, count: int = 4) -> tuple[list[str], int]:
        """(options, position of the right one)."""
        return [self.words(2).capitalize() for _ in range(count)], int(self.rng.integers(0, count))

    def thought(self) -> str:
        return ". ".join(self.words(12).capitalize() for _ in range(6)) + "."

    def chinese(self) -> str:
        return "".join(_ZH[i] for i in self.rng.integers(0, len(_ZH), 16)) + "?"


def picture(name: str, side: int = 64) -> bytes:
    """A small PNG of blobs and grain, another one for each name."""
    rng = np.random.default_rng(crc32(name.encode()))
    coarse, fine = (
        Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for cells in (6, 32)
    )
    out = io.BytesIO()
    Image.blend(coarse, fine, 0.35).save(out, "PNG", compress_level=1)
    return out.getvalue()


def cell(name: str) -> Row:
    return {"bytes": picture(name), "path": None}


def _zip(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in dict.fromkeys(names):
            archive.writestr(zipfile.ZipInfo(name), picture(name))


def _tar(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in dict.fromkeys(names):
            data = picture(name)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _csv(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _file(split: str) -> str:
    return f"data/{split}-00000-of-00001.parquet"


def _short(make: Inventor, index: int) -> tuple[str, str]:
    """(question, answer): two in three are closed."""
    kind = index % 3
    answer = ("yes", "no")[int(make.rng.integers(0, 2))] if kind else make.words(1)
    return f"{'is' if kind else 'what'} {make.words(9)}?", answer


# Questions about medical images


def vqa_rad(root: Path, counts: Counts) -> None:
    """Six questions a picture; two in three pictures of the test are in train too."""
    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    for split, count in counts.items():
        make = Inventor(f"vqa_rad {split}")
        rows = []
        for index in range(count):
            shared = split == "test" and index % 6 < 4
            question, answer = _short(make, index)
            name = f"rad {'train' if shared else split} {index // 6}"
            rows.append({"image": cell(name), "question": question, "answer": answer})
        write_parquet(root / _file(split), rows, features)


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
            question, answer = _short(make, index)
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
    _zip(root / "imgs.zip", names)


def path_vqa(root: Path, counts: Counts) -> None:
    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    for split, count in counts.items():
        make = Inventor(f"path_vqa {split}")
        asks = [_short(make, index) for index in range(count)]
        rows = [{"image": cell(f"path {split} {n // 5}"), "question": q, "answer": a} for n, (q, a) in enumerate(asks)]
        write_parquet(root / _file(split), rows, features)


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
        _csv(root / f"{split}.csv", rows)
    for archive, names in packed.items():
        _zip(root / f"{archive}.zip", names)


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
        make, letters, rows = Inventor(f"medxpertqa {config}"), _LETTERS[: 5 if config == "MM" else 10], list[Row]()
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
    _zip(root / "images.zip", names)


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


def _talk(make: Inventor, question: str, answer: str) -> list[Row]:
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
    _zip(root / "images_0.zip", [row["image"][0] for row in rows])


def llava_med(root: Path, counts: Counts) -> None:
    make, rows = Inventor("llava_med"), list[Row]()
    for index in range(counts["train"]):
        talk = [*_talk(make, make.question(), make.thought()), {"from": "human", "value": make.question(8)}]
        talk.append({"from": "gpt", "value": make.thought()})
        domain = {"chest_xray": True, "ct_scan": False, "mri": False, "histology": False, "gross": False}
        key = f"{90000000 + index}_F1"
        rows.append({"id": key, "image": f"{key}.jpg", "domain": domain, "conversatons": talk})
    write_json(root / "llava_instruct.json", rows)
    _tar(root / "images.tar", [f"images/{row['image']}" for row in rows])


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
    return "\n".join(f"{c}. {text}" for c, text in zip(_LETTERS, options, strict=False))


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
    write_parquet(root / _file("train"), rows, {n: number if n == "answer_idx" else STRING for n in rows[0]})


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
        write_parquet(root / _file(split), rows, features)


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
        write_parquet(root / _file(split), rows, features)


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
            "question_id": index, "question": make.question(18), "options": options, "answer": _LETTERS[right],
            "answer_index": right, "cot_content": "", "category": "health", "src": "drawn",
        })  # fmt: skip
    kinds = {name: INT32 if name in numbers else STRING for name in rows[0]}
    write_parquet(root / _file("test"), rows, {**kinds, "options": list_of(STRING)})


def medbullets_op5(root: Path, counts: Counts) -> None:
    make, rows, letters = Inventor("medbullets_op5"), list[Row](), [f"op{c}" for c in "abcde"]
    for _ in range(counts["test"]):
        options, right = make.options(5)
        rows.append({
            "question": make.question(40), **dict(zip(letters, options, strict=True)), "answer": options[right],
            "answer_idx": "ABCDE"[right], "explanation": make.words(9), "link": "",
        })  # fmt: skip
    write_parquet(root / _file("train"), rows, dict.fromkeys(rows[0], STRING))


def medbullets_op4(root: Path, counts: Counts) -> None:
    make, rows = Inventor("medbullets_op4"), list[Row]()
    for _ in range(counts["test"]):
        options, right = make.options()
        listed = dict(zip("ABCDE", [*options, None], strict=True))
        row: Row = {"question": make.question(40), "options": listed, "answer": options[right]}
        rows.append({**row, "answer_idx": "ABCD"[right]})
    kinds: dict[str, Row] = dict.fromkeys(rows[0], STRING)
    write_parquet(root / _file("train"), rows, {**kinds, "options": dict.fromkeys("ABCDE", STRING)})


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


# General images


def llava_cot(root: Path, counts: Counts) -> None:
    make, rows = Inventor("llava_cot"), list[Row]()
    for index in range(counts["train"]):
        stages = ("SUMMARY", "CAPTION", "REASONING", "CONCLUSION")
        staged = "\n\n".join(f"<{stage}> {make.words(15)} </{stage}>" for stage in stages)
        talk = _talk(make, make.question(), staged)
        talk[0]["value"] = talk[0]["value"].removeprefix("<image>\n")
        rows.append({"id": f"drawn_{index:06d}", "image": f"drawn/{index:06d}.jpg", "conversations": talk})
    write_jsonl(root / "train.jsonl", rows)
    _zip(root / "image.zip", [row["image"] for row in rows])


def mulberry(root: Path, counts: Counts) -> None:
    make, rows = Inventor("mulberry"), list[Row]()
    for index in range(counts["train"]):
        said = f"### Image Description:\n{make.words(12)}\n\n### Rationales:\n{make.words(12)}\n\n"
        said += f"### Let's think step by step.\n{make.words(20)}\n\n### The final answer is: {make.words(2)}"
        turns = [{"role": "user", "content": f"<image>{make.question()}"}, {"role": "assistant", "content": said}]
        rows.append({"messages": turns, "images": f"cauldron/clevr/images/clevr_{index:08d}.png"})
    write_json(root / "mulberry_sft.json", rows)
    _tar(root / "mulberry_images.tar", [row["images"] for row in rows])


def r1_onevision(root: Path, counts: Counts) -> None:
    make, rows = Inventor("r1_onevision"), list[Row]()
    for index in range(counts["train"]):
        said = f"<think>\n{make.thought()}\n</think>\n\n{make.words(2)}"
        talk = _talk(make, make.question(), said)
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
    write_parquet(root / _file("train"), rows, {**kinds, **dict.fromkeys(texts, STRING)})


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
    _zip(root / "images.zip", [row["image"][0] for row in rows])


def geometry3k(root: Path, counts: Counts) -> None:
    make = Inventor("geometry3k")
    rows = [
        {"images": [cell(f"geometry {n}")], "problem": f"<image>{make.question()}",
         "answer": str(make.rng.integers(2, 900))}
        for n in range(counts["train"])
    ]  # fmt: skip
    write_parquet(root / _file("train"), rows, {"images": list_of(IMAGE), "problem": STRING, "answer": STRING})


WRITERS: dict[str, Callable[[Path, Counts], None]] = {
    write.__name__: write
    for write in (
        vqa_rad, slake, path_vqa, pmc_vqa, omnimedvqa, medxpertqa, mmmu, pubmedvision, llava_med, medical_o1,
        medical_r1, m23k, medreason, alphamed, medqa, medmcqa, pubmedqa, mmlu, mmlu_pro, medbullets_op5, medbullets_op4,
        super_gpqa, llava_cot, mulberry, r1_onevision, scienceqa, virl39k, geometry3k,
    )
}  # fmt: skip
"""By the folder that the recipes read them from."""
