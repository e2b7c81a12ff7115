"""The remaining medical sets with images: captions, reports, benchmarks, bundles."""

from __future__ import annotations

import base64
import json

from disk import IMAGE, STRING, Row, World, list_of, write_bytes, write_json, write_jsonl, write_parquet, write_zip
from invented import ABOUT, cell, encoded, exam, files, members, write_cells


def write_roco(world: World) -> None:
    """`roco_v2/` as on Zenodo, `roco_v2_hub/` as on the Hub."""
    for split, count in (("train", 3), ("valid", 1), ("test", 1)):
        ids = [f"ROCOv2_2023_{split}_{n:06d}" for n in range(1, count + 1)]
        rows = [{"ID": key, "Caption": f"A drawn film, {split} number {n}."} for n, key in enumerate(ids)]
        if split == "train":
            rows[2]["Caption"] = ""
        write_cells(world.root / f"roco_v2/{split}_captions.csv", ["ID", "Caption"], rows)
        write_cells(world.root / f"roco_v2/{split}_concepts.csv", ["ID", "CUIs"], [{"ID": ids[0], "CUIs": "C1;C2"}])
        images = {f"{split}_images/{key}.jpg": encoded(world, f"{key}.jpg") for key in ids}
        write_zip(world.root / f"roco_v2/{split}_images.zip", images)
    features = {"image": IMAGE, "image_id": STRING, "caption": STRING, "cui": list_of(STRING)}
    row = {"image": cell(world, "roco hub"), "image_id": "ROCOv2_2023_test_000001", "caption": "A drawn film.",
           "cui": ["C0000001"]}  # fmt: skip
    write_parquet(world.root / "roco_v2_hub/data/test-00000-of-00001.parquet", [row], features)


def write_medtrinity(world: World) -> None:
    """`medtrinity/`: image, id, caption; a folder a configuration."""
    features = {"image": IMAGE, "id": STRING, "caption": STRING}
    rows = [{"image": cell(world, f"medtrinity {n}"), "id": f"d{n}", "caption": f"Drawn disc {n}."} for n in range(2)]
    write_parquet(world.root / "medtrinity/25M_demo/train-00000-of-00001.parquet", rows, features)


def write_medpix(world: World) -> None:
    """`medpix/`: names without an ending, unknown values spelt N/A; `medpix_shortqa/`: capitalised splits."""

    def row(case: int, number: int, kind: str, **about: str) -> Row:
        described = {
            "ACR Codes": "1.1", "Age": "40", "Caption": f"A drawn slice, number {number}.", "Figure Part": "1",
            "Modality": f"{kind} - drawn", "Plane": "Axial", "Sex": "N/A", **about,
        }  # fmt: skip
        return {
            "Type": kind, "U_id": f"MPX{case}", "image": f"MPX{case}_synpic{number}", "Description": described,
            "Location": "Abdomen", "Location Category": "Abdomen",
        }  # fmt: skip

    rows = [row(9001, 80001, "CT"), row(9001, 80002, "CT"), row(9002, 80003, "MR", Caption="N/A"),
            row(9003, 80004, "MR")]  # fmt: skip
    root = world.root / "medpix/MedPix-2-0"
    write_json(root / "Descriptions.json", rows)
    parts = {"train": rows[:2], "dev": rows[2:3], "test": rows[3:]}
    for split, part in parts.items():
        write_jsonl(root / f"splitted_dataset/descriptions_{split}.jsonl", part)
    files(world, root / "images", "MPX9001_synpic80001.png", "MPX9001_synpic80002.png", "MPX9002_synpic80003.png")
    texts = ("image_id", "case_id", "question", "answer", "mode", "split")
    features = {**dict.fromkeys(texts, STRING), "ans_len": {"dtype": "int64", "_type": "Value"}}
    short = {
        "image_id": "MPX9001_synpic80001", "case_id": "MPX9001", "question": ABOUT[1][0], "answer": "left",
        "mode": "CT", "split": "Train", "ans_len": 1,
    }  # fmt: skip
    for split in ("Train", "Test", "Valid"):
        write_parquet(world.root / f"medpix_shortqa/data/{split}-00000-of-00001.parquet", [short], features)
    files(world, world.root / "medpix_shortqa/images", "MPX9001_synpic80001.png")


def write_mimic(world: World) -> None:
    """`mimic_cxr_vqa/`: answers are lists; invented patients."""

    def row(split: str, idx: int, question: str, answer: list[str], kind: str) -> Row:
        return {
            "split": split, "idx": idx, "subject_id": 99000000 + idx, "study_id": 59000000 + idx,
            "image_id": f"drawn-{idx}", "image_path": f"p99/p{99000000 + idx}/s{59000000 + idx}/drawn-{idx}.jpg",
            "question": question, "semantic_type": kind, "content_type": "presence", "template": "Is there ${x}?",
            "template_program": "program_1", "template_arguments": {"object": {}, "attribute": {}}, "answer": answer,
        }  # fmt: skip

    root = world.root / "mimic_cxr_vqa"
    rows = [
        row("train", 0, ABOUT[0][0], ["yes"], "verify"), row("train", 1, "What is drawn?", ["bar", "disc"], "query"),
        row("train", 2, "Which marks are red?", [], "query"),
    ]  # fmt: skip
    write_json(root / "dataset/train.json", rows)
    write_json(root / "dataset/valid.json", [row("valid", 3, ABOUT[4][0], ["no"], "verify")])
    test = row("test", 4, ABOUT[4][0], ["no"], "verify")
    bare = {key: value for key, value in test.items() if key != "answer"}
    write_json(root / "dataset/test.json", [test, {**bare, "idx": 5}])
    write_json(root / "dataset/ans2idx.json", {"yes": 0, "no": 1})
    files(world, root / "files", *(item["image_path"] for item in [*rows[:2], test]))
    files(world, root / "files", rows[2]["image_path"], "p99/p99000003/s59000003/drawn-3.jpg")


def write_gmai(world: World) -> None:
    """`gmai_mmbench/`: base64 images in a TSV, options A to E, a test part that hides its answers."""
    columns = ["index", "image", "question", *"ABCDE", "answer", "category", "clinical VQA task", "department",
               "modality", "perceptual granularity"]  # fmt: skip
    rows = []
    for index in range(3):
        question, options, letter, _ = exam(index)
        rows.append({
            "index": index, "image": base64.b64encode(encoded(world, f"gmai {index}.png")).decode(),
            "question": question, **dict(zip("ABCDE", [*options, "N/A" if index else ""], strict=True)),
            "answer": letter, "category": "AR", "clinical VQA task": "Attribute Recognition", "department": "Drawing",
            "modality": "X-ray", "perceptual granularity": "image level",
        })  # fmt: skip
    rows[2]["answer"] = "F"
    write_cells(world.root / "gmai_mmbench/GMAI-MMBench_VAL.tsv", columns, rows, "\t")
    hidden = [c for c in columns if c != "answer"]
    part = [{name: row[name] for name in hidden} for row in rows[:2]]
    write_cells(world.root / "gmai_mmbench/GMAI_mm_bench_TEST_part_1.tsv", hidden, part, "\t")


def write_quilt_vqa(world: World) -> None:
    """`quilt_vqa/`: a test set whose only split is called train."""
    texts = ("question", "answer", "answer_type", "context")
    features = {"image": IMAGE, **dict.fromkeys(texts, STRING)}
    rows = [
        {"image": cell(world, f"quilt {n}"), "question": q, "answer": a, "context": "A drawing.",
         "answer_type": "CLOSED" if a == "yes" else "OPEN"}
        for n, (q, a) in enumerate(ABOUT[:2])
    ]  # fmt: skip
    write_parquet(world.root / "quilt_vqa/data/train-00000-of-00001.parquet", rows, features)


def write_vqa_med(world: World) -> None:
    """`vqa_med_2019/`: text split at bars, alternative answers, words that may be left out."""
    root = world.root / "vqa_med_2019"
    lines = {
        "All_QA_Pairs_train.txt": "synpic90001|is there a disc?|yes\nsynpic90001|what plane is this?|axial\n"
        "synpic90002|what is drawn?|a disc (bright)\nsynpic90002|what is wrong\n",
        "All_QA_Pairs_val.txt": "synpic90003|is there a bar?|no\n",
        "VQAMed2019_Test_Questions_w_Ref_Answers.txt": "synpic90004|modality|what is this?|film#drawing\n"
        "synpic90005|abnormality|what is wrong?|disc (of the left) side\nsynpic90004|plane|which plane?|axial\n",
    }
    for name, text in lines.items():
        write_bytes(root / name, text.encode())
    files(world, root / "images", *(f"synpic9000{n}.jpg" for n in range(1, 6)))


def write_vindr(world: World) -> None:
    """`vindr_cxr_vqa/`: questions inside studies, box tags inside answers."""

    def asked(question: str, answer: str, kind: str) -> Row:
        return {
            "question": question, "answer": answer, "type": kind, "difficulty": "Easy", "gt_finding": "disc",
            "gt_location": "<loc_10_10_20_20>", "reason": "The disc is bright <loc_10_10_20_20>.",
        }  # fmt: skip

    studies: list[Row] = [
        {"image_id": "d1", "vqa": [asked(ABOUT[0][0], "Yes", "Is_there"),
                                   asked("Where is it?", "<loc_10_10_20_20>", "Where"),
                                   asked("Where is it?", "On the left <loc_10_10_20_20>", "Where")]},
        {"image_id": "d2", "vqa": [asked(ABOUT[2][0], "2", "How_many")]},
        {"image_id": "d3", "vqa": [asked(ABOUT[2][0], "3", "How_many")]},
    ]  # fmt: skip
    write_json(world.root / "vindr_cxr_vqa/data_v1.json", studies)
    files(world, world.root / "vindr_cxr_vqa/images", "d1.png", "d2.jpg")


def write_kvasir(world: World) -> None:
    """`kvasir_vqa/`: an image repeated row by row; `kvasir_vqa_x1/`: names only."""
    features = {"image": IMAGE, **dict.fromkeys(("source", "question", "answer", "img_id"), STRING)}
    rows = [
        {"image": cell(world, f"kvasir {n // 2}"), "source": "Drawn-Kvasir", "question": ABOUT[n][0],
         "answer": "left; upper" if n == 1 else ABOUT[n][1], "img_id": f"k{n // 2}"}
        for n in range(4)
    ]  # fmt: skip
    write_parquet(world.root / "kvasir_vqa/data/raw-00000-of-00001.parquet", rows, features)
    more = dict.fromkeys(("img_id", "question", "answer", "original", "question_class"), STRING)
    for split in ("train", "test"):
        row = {
            "img_id": "k0" if split == "train" else "k9", "complexity": 1, "question": ABOUT[0][0], "answer": "yes",
            "original": json.dumps([{"q": ABOUT[0][0], "a": "yes"}]), "question_class": "presence",
        }  # fmt: skip
        complexity = {"complexity": {"dtype": "int64", "_type": "Value"}}
        write_parquet(world.root / f"kvasir_vqa_x1/data/{split}-00000-of-00001.parquet", [row], {**more, **complexity})
    files(world, world.root / "kvasir_vqa_x1/images", "k0.jpg")


def write_iu_xray(world: World) -> None:
    """`iu_xray/` for R2Gen, `iu_xray_kaggle/`, `iu_xray_medevalkit/`."""
    report = "The drawn lungs are clear. The frame is whole."
    lists = {
        split: [{"id": f"CXR9{n}0{k}_IM-{n}{k}", "report": report, "split": split,
                 "image_path": [f"CXR9{n}0{k}_IM-{n}{k}/{side}.png" for side in (0, 1)]} for k in range(2)]
        for n, split in enumerate(("train", "val", "test"))
    }  # fmt: skip
    lists["train"][1]["report"] = ""
    write_json(world.root / "iu_xray/annotation.json", lists)
    names = [path for rows in lists.values() for row in rows for path in row["image_path"]]
    files(world, world.root / "iu_xray/images", *names)
    columns = ["uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"]
    rows = [
        dict(zip(columns, [uid, "normal", "normal", "Drawn films", "", "None.", report, ""], strict=True))
        for uid in ("1", "2")
    ]
    root = world.root / "iu_xray_kaggle"
    write_cells(root / "indiana_reports.csv", columns, rows)
    views = [{"uid": "1", "filename": f"1_IM-0001-{n}.dcm.png", "projection": "Frontal"} for n in (3001, 4001)]
    write_cells(root / "indiana_projections.csv", ["uid", "filename", "projection"], views)
    files(world, root / "images/images_normalized", *(view["filename"] for view in views))
    row = {"id": "open_i_9001", "image": ["CXR9001_IM-1.png"], "findings": report, "impression": "No mark."}
    write_json(world.root / "iu_xray_medevalkit/test.json", [row])
    files(world, world.root / "iu_xray_medevalkit/images", "CXR9001_IM-1.png")


def write_probmed(world: World) -> None:
    """`probmed/`: a true and a made-up half of each question."""
    rows: list[Row] = []
    for n, (kind, answer) in enumerate([
        ("modality_gt", "yes"), ("modality_hallu", "no"), ("entity_gt_1", "yes"), ("entity_hallu_1", "No"),
        ("abnormality", "maybe"),
    ]):  # fmt: skip
        rows.append({
            "id": 1, "i": n, "image": "test/x-ray_chest/1.jpg", "image_type": "x-ray_chest", "qa_type": kind,
            "question": f"Is there mark {n} in the drawing?", "answer": answer, "src_dataset": "drawn",
        })  # fmt: skip
    write_json(world.root / "probmed/test.json", rows)
    write_zip(world.root / "probmed/test.zip", members(world, "test/x-ray_chest/1.jpg"))


def write_medvlthinker(world: World) -> None:
    """`medvlthinker_eval/`: several benchmarks in one table, options as JSON text."""
    texts = ("question", "options", "answer_label", "answer", "reasoning", "dataset_name", "hash", "misc")
    features = {
        "images": list_of(IMAGE), **dict.fromkeys(texts, STRING),
        "dataset_index": {"dtype": "int64", "_type": "Value"},
    }  # fmt: skip
    rows = []
    for index, name in enumerate(["pmc_vqa", "slake_closed", "MMMU-medical"]):
        question, options, letter, text = exam(index)
        rows.append({
            "images": [cell(world, f"bundle {index}")], "question": question,
            "options": json.dumps(dict(zip("ABCD", options, strict=True))), "answer_label": letter,
            "answer": text if index < 2 else options[0], "reasoning": None, "dataset_name": name, "hash": str(index),
            "misc": "{}", "dataset_index": index,
        })  # fmt: skip
    write_parquet(world.root / "medvlthinker_eval/data/test-00000-of-00001.parquet", rows, features)


def write_medical_vqa(world: World) -> None:
    """Every medical set with images that is neither among the paper's benchmarks nor a set of conversations."""
    for write in (
        write_roco, write_medtrinity, write_medpix, write_mimic, write_gmai, write_quilt_vqa, write_vqa_med,
        write_vindr, write_kvasir, write_iu_xray, write_probmed, write_medvlthinker,
    ):  # fmt: skip
        write(world)
