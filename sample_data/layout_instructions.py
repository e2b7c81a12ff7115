"""Conversations about images: PubMedVision, Quilt-LLaVA and the general collections."""

from __future__ import annotations

import base64
import json
from typing import Final

from disk import IMAGE, INT32, STRING, Row, World, list_of, write_json, write_jsonl, write_parquet, write_tar, write_zip
from invented import ABOUT, cell, encoded, exam, files, members, pair

_TURN: Final[Row] = {"from": STRING, "value": STRING}
_FLOAT: Final[Row] = {"dtype": "float64", "_type": "Value"}


def write_pubmedvision(world: World) -> None:
    """`pubmedvision/`: several images a row, no tags in the text, PMC ids in the names."""
    names = [f"pmc_{910000 + n}_{n}.jpg" for n in range(4)]
    rows: list[Row] = [
        {"image": [f"images/{names[0]}"], "conversations": pair(*ABOUT[0]), "id": "it_0",
         "modality": "Digital Photography", "body_part": "Skin"},
        {"image": [f"images/{name}" for name in names[1:3]], "conversations": pair(*ABOUT[5]), "id": "it_1"},
        {"image": ["images/pmc_999999_0.jpg"], "conversations": pair(*ABOUT[1]), "id": "it_2",
         "modality": "Microscopy Images", "body_part": "Liver"},
    ]  # fmt: skip
    root = world.root / "pubmedvision"
    write_json(root / "PubMedVision_InstructionTuning_VQA.json", rows)
    write_json(root / "PubMedVision_Alignment_VQA.json", [{**rows[0], "id": "al_0", "image": [f"images/{names[3]}"]}])
    write_zip(root / "images_0.zip", members(world, *names))


def write_quilt_llava(world: World) -> None:
    """`quilt_llava/`: LLaVA's format, images in folders of their own."""
    rows = [
        {"id": "a1", "image": "drawn_1.jpg", "conversations": pair(f"<image>\n{ABOUT[0][0]}", "Yes, it is.")},
        {"id": "a2", "image": "drawn_2.jpg", "conversations": pair(f"{ABOUT[1][0]}\n<image>", "On the left.")},
    ]
    write_json(world.root / "quilt_llava/quilt_instruct_107k.json", rows)
    files(world, world.root / "quilt_llava/quilt_1m", "drawn_1.jpg")


def write_mulberry(world: World) -> None:
    """`mulberry/`: messages, `images` a text or a list, four steps in the answer, a medical image among them."""
    steps = (
        "### Image Description:\nA grey field with a disc.\n\n### Rationales:\nThe disc is bright.\n\n"
        "### Let's think step by step.\n\n### Step 1:\nI count the discs: one.\n\n### The final answer is: {}"
    )

    def row(question: str, answer: str, images: object) -> Row:
        roles = [{"role": "user", "content": f"<image>{question}"}, {"role": "assistant", "content": answer}]
        return {"messages": roles, "images": images}

    rows = [
        row(ABOUT[2][0], steps.format("1"), "cauldron/clevr/images/clevr_00000001.png"),
        row(ABOUT[0][0], steps.format("yes"), ["geoqa/images/2.png"]),
        row(ABOUT[1][0], steps.format("left"), ["medical/vqa_rad/3.png"]),
        row(ABOUT[1][0], f"{steps.format('left')}\n\n### The final answer is: right", ["geoqa/images/2.png"]),
    ]
    write_json(world.root / "mulberry/mulberry_sft.json", rows)
    names = ("cauldron/clevr/images/clevr_00000001.png", "geoqa/images/2.png", "medical/vqa_rad/3.png")
    write_tar(world.root / "mulberry/mulberry_images.tar", members(world, *names))


def write_mathv360k(world: World) -> None:
    """`mathv360k/`: hints in the question, PMC-VQA and VQA-RAD among the sources, ids that repeat."""
    hint = "Hint: Look at the drawing, then write the answer last.\nQuestion: {}"
    names = ["TabMWP/images/1.png", "Geometry3K/images/2.png", "PMC-VQA/images/3.jpg", "VQA-RAD/images/4.jpg"]
    rows = [
        {"id": f"identity_{min(index, 2)}", "image": name,
         "conversations": pair(f"<image>\n{hint.format(question)}", f"The answer is {answer}")}
        for index, (name, (question, answer)) in enumerate(zip(names, ABOUT, strict=False))
    ]  # fmt: skip
    write_json(world.root / "mathv360k/train_samples_all_tuning.json", rows)
    packed = {f"data_images/{name}": encoded(world, name) for name in names}
    write_zip(world.root / "mathv360k/data_images.zip", packed)


def write_llava_onevision(world: World) -> None:
    """`llava_onevision/`: a folder a configuration, embedded images or none, a medical configuration."""
    features = {"id": STRING, "image": IMAGE, "conversations": list_of(_TURN), "data_source": STRING}
    for config in ("ai2d(cauldron,llava_format)", "CLEVR-Math(MathV360K)", "PMC-VQA(MathV360K)"):
        rows: list[Row] = [
            {"id": f"{config}_{n}", "image": cell(world, f"{config} {n}"), "data_source": config,
             "conversations": pair(f"<image>\n{ABOUT[n][0]}", ABOUT[n][1])}
            for n in range(2)
        ]  # fmt: skip
        rows[1]["image"] = None if config.startswith("CLEVR") else rows[1]["image"]
        if rows[1]["image"] is None:
            rows[1]["conversations"] = pair("How many sides does a square have?", "4")
        write_parquet(world.root / f"llava_onevision/{config}/train-00000-of-00001.parquet", rows, features)


def write_r1_onevision(world: World) -> None:
    """`r1_onevision/`: images as base64 text, with and without a data URL, or null; tags missing."""
    features = {"id": STRING, "image": STRING, "conversations": list_of(_TURN)}

    def text(name: str) -> str:
        return base64.b64encode(encoded(world, f"{name}.png")).decode()

    thought = "<think>\nI look at the disc.\n</think>\n\n{}"
    rows: list[Row] = [
        {"id": "g_0", "image": text("r1 0"), "conversations": pair(ABOUT[1][0], thought.format("left"))},
        {"id": "g_1", "image": "data:image/png;base64," + text("r1 1"),
         "conversations": pair(f"<image>\n{ABOUT[2][0]}", thought.format("2"))},
        {"id": "g_2", "image": None, "conversations": pair("How many sides has a square?", thought.format("4"))},
        {"id": "g_3", "image": text("r1 3"), "conversations": pair(ABOUT[0][0], thought.format("yes")[:20])},
    ]  # fmt: skip
    root = world.root / "r1_onevision"
    write_parquet(root / "Geometry3K(MathV360K)/train-00000-of-00001.parquet", rows[:2], features)
    write_parquet(root / "vsr(cauldron,llava_format)/train-00000-of-00001.parquet", rows[2:], features)


def write_cauldron(world: World) -> None:
    """`cauldron/`: several turns about the same images, rows without one, the medical configuration."""
    texts = list_of({"user": STRING, "assistant": STRING, "source": STRING})
    features = {"images": list_of(IMAGE), "texts": texts}

    def row(config: str, number: int, images: int, turns: int) -> Row:
        return {
            "images": [cell(world, f"cauldron {config} {number} {n}") for n in range(images)],
            "texts": [{"user": q, "assistant": f"Answer: {a}", "source": config} for q, a in ABOUT[:turns]],
        }

    sets = {
        "ai2d": [row("ai2d", 0, 1, 1), row("ai2d", 1, 1, 3)],
        "nlvr2": [row("nlvr2", 0, 2, 1), row("nlvr2", 1, 0, 1)],
        "vqarad": [row("vqarad", 0, 1, 1)],
    }
    for config, rows in sets.items():
        write_parquet(world.root / f"cauldron/{config}/train-00000-of-00001.parquet", rows, features)


def write_geometry3k(world: World) -> None:
    """`geometry3k/`, and `geometry3k_choices/` as one revision has it."""
    features = {"images": list_of(IMAGE), "problem": STRING, "answer": STRING}
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        rows = [
            {"images": [cell(world, f"geometry3k {split} {n}")], "problem": f"<image>Find x. Case {n}.",
             "answer": str(3 * n + 4)}
            for n in range(count)
        ]  # fmt: skip
        write_parquet(world.root / f"geometry3k/data/{split}-00000-of-00001.parquet", rows, features)
    more: Row = {"id": INT32, **features, "choices": list_of(STRING), "ground_truth": STRING}
    revised: list[Row] = [
        {"id": n, "images": [cell(world, f"geometry3k choices {n}")], "problem": "<image>Find x.", "answer": "12",
         "choices": ["3", "6", "12", "24"], "ground_truth": "CB"[n]}
        for n in range(2)
    ]  # fmt: skip
    write_parquet(world.root / "geometry3k_choices/data/train-00000-of-00001.parquet", revised, more)


def write_virl39k(world: World) -> None:
    """`virl39k/`: names of images in a zip beside the Parquet file, boxed answers, pass rates."""
    features = {
        "question": STRING, "answer": STRING, "image": list_of(STRING), "category": STRING, "source": STRING,
        "qid": STRING, "PassRate_32BTrained": _FLOAT, "PassRate_7BBase": _FLOAT,
    }  # fmt: skip
    answers = ["\\boxed{12}", "\\boxed{\\frac{1}{2}}", "\\boxed{B", "\\boxed{left}"]
    rows = [
        {"question": f"<image>{ABOUT[n % 4][0]}", "answer": answer, "image": [f"images/Drawn-{n}.png"],
         "category": "(GradeSchool) Geometric", "source": "SLAKE" if n == 3 else "Drawn", "qid": f"Drawn-{n}",
         "PassRate_32BTrained": 0.25 * n, "PassRate_7BBase": 0.0}
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    rows.append({**rows[0], "question": "<image>Compare with <image>.", "qid": "Drawn-4"})
    write_parquet(world.root / "virl39k/39Krelease.parquet", rows, features)
    write_zip(world.root / "virl39k/images.zip", members(world, *(f"images/Drawn-{n}.png" for n in range(4))))


def write_mm_eureka(world: World) -> None:
    """`mm_eureka/`: chats written as JSON text, in two forms, and rows with a blank image."""

    def parts(question: str, path: str) -> str:
        content = [{"type": "image", "image": f"file:///data/{path}"}, {"type": "text", "text": question}]
        return json.dumps([{"role": "system", "content": "Think."}, {"role": "user", "content": content}])

    rows: list[Row] = [
        {"id": "0", "conversations": json.dumps([{"role": "user", "content": f"<image>{ABOUT[2][0]}"}]), "answer": "2",
         "image_urls": ["K12/0.png"]},
        {"id": "1", "message": parts(ABOUT[1][0], "K12/1.png"), "answer": "\\boxed{left}", "image_urls": ["K12/1.png"]},
        {"id": "2", "conversations": json.dumps([{"role": "user", "content": "<image>What is 6 x 7?"}]),
         "answer": "42", "image_urls": ["blank.png"]},
        {"id": "3", "conversations": "[{'role'", "answer": "1", "image_urls": ["K12/0.png"]},
    ]  # fmt: skip
    write_jsonl(world.root / "mm_eureka/dataset.jsonl", rows)
    files(world, world.root / "mm_eureka", "K12/0.png", "K12/1.png", "blank.png")


def write_r1v(world: World) -> None:
    """`geoqa_r1v/`, `multimodal_open_r1/` and `medix_rl/`: image, problem, solution."""
    features = {"image": IMAGE, "problem": STRING, "solution": STRING}
    rows: list[Row] = [
        {"image": cell(world, f"r1v {n}"), "problem": q, "solution": f"<answer> {a} </answer>"}
        for n, (q, a) in enumerate(ABOUT[1:3])
    ]
    write_parquet(world.root / "geoqa_r1v/data/train-00000-of-00001.parquet", rows, features)
    thought = "<think>I look at the disc.</think><answer>left</answer>"
    row = {**rows[0], "solution": thought, "original_question": ABOUT[1][0], "original_answer": "left"}
    more = {**features, "original_question": STRING, "original_answer": STRING}
    write_parquet(world.root / "multimodal_open_r1/data/train-00000-of-00001.parquet", [row], more)
    listed = {"id": STRING, "image": list_of(IMAGE), "source": STRING, "problem": STRING, "solution": STRING}
    for split in ("train", "test"):
        table = [
            {"id": f"{split}_{n}", "image": [cell(world, f"medix {split} {n} {k}") for k in range(n)],
             "source": "PMC-VQA" if n == 1 else "medical_text", "problem": ABOUT[n][0], "solution": ABOUT[n][1]}
            for n in range(3)
        ]  # fmt: skip
        write_parquet(world.root / f"medix_rl/data/{split}-00000-of-00001.parquet", table, listed)


def write_mmathcot(world: World) -> None:
    """`mmathcot/`: image roots of several collections, the answer after a dagger."""
    rows = [
        {"image_url": "DataEngine_Geometry/1.png", "instruction": "What is x?",
         "output": "Step 1: The sides are equal.\nStep 2: So x = 4.\n†Answer: 4"},
        {"image_url": "MathV360K/data_images/2.png", "instruction": "Which is longer?", "output": "The left one."},
        {"image_url": "Multimath/3.png", "instruction": "求 x 的值", "output": "由此得 x = 5。\n†Answer: 5"},
        {"image_url": "MathV360K/data_images/VQA-RAD/images/4.png", "instruction": "Which side?",
         "output": "It is left.\n†Answer: left"},
    ]  # fmt: skip
    write_jsonl(world.root / "mmathcot/train.jsonl", rows)
    images = ("DataEngine_Geometry/1.png", "MathV360K/data_images/2.png")
    files(world, world.root / "mmathcot", *images)


def write_scienceqa(world: World) -> None:
    """`scienceqa/`: half of the rows without an image, 2 to 5 choices, hints."""
    number = {"dtype": "int8", "_type": "Value"}
    texts = ("hint", "task", "grade", "subject", "topic", "category", "skill", "lecture", "solution")
    features = {
        "image": IMAGE, "question": STRING, "choices": list_of(STRING), "answer": number, **dict.fromkeys(texts, STRING)
    }  # fmt: skip
    for split in ("train", "validation", "test"):
        rows: list[Row] = []
        for index in range(3):
            question, options, letter, _ = exam(index)
            rows.append({
                "image": cell(world, f"scienceqa {split}") if index == 0 else None, "question": question,
                "choices": options[:2] if index == 0 else options, "answer": "ABCD".index(letter),
                **{name: f"drawn {name}" for name in texts}, "hint": "Look at the drawing." if index == 0 else "",
            })  # fmt: skip
        if split == "train":
            rows.append({**rows[1], "answer": 4})
        write_parquet(world.root / f"scienceqa/data/{split}-00000-of-00001.parquet", rows, features)


def write_ai2d(world: World) -> None:
    """`ai2d/`: the index of the right option written as text."""
    features = {"question": STRING, "options": list_of(STRING), "answer": STRING, "image": IMAGE}
    rows = []
    for index in range(3):
        question, options, letter, _ = exam(index)
        answer = str("ABCD".index(letter)) if index < 2 else "C"
        rows.append({"question": question, "options": options, "answer": answer, "image": cell(world, f"ai2d {index}")})
    write_parquet(world.root / "ai2d/data/test-00000-of-00001.parquet", rows, features)


def write_chartqa(world: World) -> None:
    """`chartqa/`, `chartqa_lmms/` and the original files of `chartqa_files/`."""
    kind = {"names": ["human", "machine"], "_type": "ClassLabel"}
    features = {"image": IMAGE, "query": STRING, "label": list_of(STRING), "human_or_machine": kind}
    for split in ("train", "val", "test"):
        rows: list[Row] = [
            {"image": cell(world, f"chartqa {split} {n}"), "query": q, "label": [a], "human_or_machine": n % 2}
            for n, (q, a) in enumerate(ABOUT[1:3])
        ]
        if split == "train":
            rows.append({**rows[0], "label": ["left", "right"]})
        write_parquet(world.root / f"chartqa/data/{split}-00000-of-00001.parquet", rows, features)
    plain = {"type": STRING, "question": STRING, "answer": STRING, "image": IMAGE}
    row = {"type": "human_test", "question": ABOUT[2][0], "answer": "2", "image": cell(world, "chartqa lmms")}
    write_parquet(world.root / "chartqa_lmms/data/test-00000-of-00001.parquet", [row], plain)
    root = world.root / "chartqa_files/ChartQA Dataset/test"
    for name in ("human", "augmented"):
        write_json(root / f"test_{name}.json", [{"imgname": f"{name}.png", "query": ABOUT[2][0], "label": "2"}])
        files(world, root / "png", f"{name}.png")


def write_instructions(world: World) -> None:
    """Every set of conversations or problems about images."""
    for write in (
        write_pubmedvision, write_quilt_llava, write_mulberry, write_mathv360k, write_llava_onevision,
        write_r1_onevision, write_cauldron, write_geometry3k, write_virl39k, write_mm_eureka, write_r1v, write_mmathcot,
        write_scienceqa, write_ai2d, write_chartqa,
    ):  # fmt: skip
        write(world)
