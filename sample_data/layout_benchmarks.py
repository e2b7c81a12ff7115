"""The benchmarks PathVQA, PMC-VQA, OmniMedVQA, MedXpertQA and MMMU in their public layouts."""

from __future__ import annotations

from typing import Final

from disk import IMAGE, STRING, Row, World, cmyk_jpeg, write_json, write_jsonl, write_parquet, write_zip
from invented import ABOUT, cell, encoded, exam, files, lettered, members, picture, write_cells

_V1: Final = ["Figure_path", "Question", "Answer", *(f"Choice {letter}" for letter in "ABCD"), "Answer_label"]
_V2: Final = [
    "index", "Figure_path", "Caption", "Question", *(f"Choice {letter}" for letter in "ABCD"), "Answer", "split",
]  # fmt: skip


def write_path_vqa(world: World) -> None:
    """`path_vqa/` as the Hub has it, `path_vqa_original/` as the authors have it, `path_vqa_textbook/`."""
    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    for split, rows in (("train", 5), ("validation", 2), ("test", 3)):
        table: list[Row] = []
        for index in range(rows):
            image = cell(world, f"path_vqa {split} {index // 2}")
            if (split, index) == ("train", 4):
                image["bytes"] = cmyk_jpeg(picture(world, "path_vqa cmyk"))
            question, answer = ABOUT[index]
            table.append({"image": image, "question": question.lower(), "answer": answer})
        write_parquet(world.root / f"path_vqa/data/{split}-00000-of-00001.parquet", table, features)
    root = world.root / "path_vqa_original/split"
    for split in ("train", "val", "test"):
        qas = [{"image": f"{split}_{i // 2:04d}", "question": q, "answer": a} for i, (q, a) in enumerate(ABOUT[:3])]
        if split == "train":
            qas.append({"image": "train_9999", "question": "Is this image lost?", "answer": "yes"})
        write_json(root / f"qas/{split}/{split}_qa.json", qas)
        files(world, root / f"images/{split}", f"{split}_0000.jpg", f"{split}_0001.jpg")
    pairs = [{"Image_ID": f"Fig.{i // 2 + 1}", "Questions": q, "Answers": a} for i, (q, a) in enumerate(ABOUT[:4])]
    write_json(world.root / "path_vqa_textbook/QA_pairs_drawn.json", pairs)
    files(world, world.root / "path_vqa_textbook/images", "Fig.1.jpg")


def _v1(index: int, figure: str, **changes: str) -> Row:
    question, options, letter, text = exam(index)
    choices = {f"Choice {c}": f" {c}:{option} " for c, option in zip("ABCD", options, strict=True)}
    row = {"Figure_path": figure, "Question": f" {question} ", "Answer": text, **choices, "Answer_label": letter}
    return {**row, **changes}


def _v2(index: int, figure: str, split: str, **changes: str) -> Row:
    row = _v1(index, figure)
    letter = row.pop("Answer_label")
    return {
        **row, "index": str(index), "Caption": f"A drawn figure, number {index}.", "Answer": letter, "split": split,
        **changes,
    }  # fmt: skip


def write_pmc_vqa(world: World) -> None:
    """`pmc_vqa/`: both versions, with the faults of the published rows."""
    root = world.root / "pmc_vqa"
    first = [f"PMC910000{n}_F{n}.jpg" for n in range(4)]
    second = [f"PMC920000{n}_F1_{n}.jpg" for n in range(3)]
    train = [
        _v1(0, first[0]),
        _v1(1, first[0], **{"Choice B": " B:\u00a0An artery "}),
        _v1(2, first[1], **{"Choice A": " N/A", "Choice B": " B: Smell "}),
        _v1(3, first[2], **{"Choice A": " A:N/A "}),
        _v1(1, first[2], **{"Choice A": " 'A:A vein "}),
        _v1(0, first[1], **{"Answer_label": "'", "Choice A": " \"'A:Liver "}),
        _v1(1, first[1], **{"Choice C": " D:A nerve ", "Choice D": " D:A tendon "}),
        _v1(2, first[3], Answer="T: pulse,  below it..."),
        _v1(3, first[3], Answer_label="A"),
        _v1(0, "PMC9999999_F1.jpg"),
    ]
    write_cells(root / "train.csv", _V1, train)
    write_cells(root / "test.csv", _V1, [_v1(4, first[3]), _v1(5, first[3])])
    write_cells(root / "test_clean.csv", _V1, [_v1(4, first[3])])
    rows = [
        _v2(6, second[0], "train"),
        _v2(7, second[1], "train", Answer=" D "),
        _v2(5, second[1], "train", Answer="E"),
    ]
    write_cells(root / "train_2.csv", _V2, rows)
    write_cells(root / "test_2.csv", _V2, [_v2(2, second[2], "test")])
    write_zip(root / "images.zip", members(world, *(f"images/{name}" for name in first)))
    write_zip(root / "images_2.zip", members(world, *(f"figures/{name}" for name in second)))
    early = {("Anwser" if name == "Answer" else name): value for name, value in _v1(0, first[0]).items()}
    early.pop("Answer_label")
    write_cells(world.root / "pmc_vqa_early/train.csv", list(early), [early])
    files(world, world.root / "pmc_vqa_early/images/images", first[0])


def write_omnimedvqa(world: World) -> None:
    """`omnimedvqa/`: one JSON a data set, 2 to 4 options, one row with `modality`, restricted rows without images."""
    root = world.root / "omnimedvqa/OmniMedVQA"
    sets = {
        "Chest CT Scan": ("CT(Computed Tomography)", ["a b (1).png", "c & d.jpg", "e.tif"]),
        "Drawn Fundus": ("Fundus Photography", ["left.BMP", "right.JPG"]),
    }
    for name, (modality, images) in sets.items():
        rows: list[Row] = []
        for index, image in enumerate(images):
            question, options, _, text = exam(index)
            row: Row = {
                "dataset": name, "question_id": f"{name}_{index:04d}", "question_type": "Anatomy Identification",
                "question": question, "gt_answer": text, "image_path": f"Images/{name}/{image}",
                **{f"option_{letter}": option for letter, option in zip("ABCD", options, strict=True)},
                "modality_type": modality,
            }  # fmt: skip
            rows.append(row)
        rows[0]["option_D"] = None
        rows[1].pop("option_C"), rows[1].pop("option_D")
        if name == "Chest CT Scan":
            rows[0]["modality"] = rows[0].pop("modality_type")
            rows.append({**rows[2], "question_id": f"{name}_0003", "gt_answer": "None of these"})
        write_json(root / f"QA_information/Open-access/{name}.json", rows)
        files(world, root / "Images" / name, *images)
    shut = {**rows[1], "dataset": "Shut", "question_id": "Shut_0000", "image_path": "Images/Shut/x.png"}
    write_json(root / "QA_information/Restricted-access/Shut.json", [shut])


def _expert(key: str, index: int, letters: str, **changes: object) -> Row:
    question, options, letter, _ = exam(index)
    options += [f"Nothing of kind {n}" for n in range(1, len(letters) - 3)]
    row = {
        "id": key,
        "question": f"{question}\nAnswer Choices: " + lettered(options, ") ", " (").replace("A)", "(A)", 1),
        "options": dict(zip(letters, options, strict=True)),
        "label": letter,
        "medical_task": "Diagnosis",
        "body_system": "Digestive",
        "question_type": "Reasoning" if index % 2 else "Understanding",
    }
    return {**row, **changes}


def write_medxpertqa(world: World) -> None:
    """`medxpertqa/`: MM and Text, options repeated in the question, images in a zip."""
    root = world.root / "medxpertqa"
    images = ["MM-0-a.jpeg", "MM-0-b.png", "MM-1-a.JPG", "MM-2-a.jpeg"]
    write_jsonl(root / "MM/dev.jsonl", [_expert("MM-2000", 6, "ABCDE", images=[images[3]])])
    other = _expert("MM-2", 2, "ABCDE", images=[images[3]])
    other["options"] = {**other["options"], "B": "Touch"}
    rows = [
        _expert("MM-0", 0, "ABCDE", images=images[:2]),
        _expert("MM-1", 1, "ABCDE", images=[images[2]]),
        other,
        _expert("MM-3", 3, "ABCDE", images=["MM-3-a.jpeg"]),
    ]
    write_jsonl(root / "MM/test.jsonl", rows)
    write_jsonl(root / "Text/dev.jsonl", [_expert("Text-2450", 5, "ABCDEFGHIJ")])
    text = [_expert(f"Text-{index}", index, "ABCDEFGHIJ") for index in range(3)]
    write_jsonl(root / "Text/test.jsonl", [*text, _expert("Text-3", 3, "ABCDEFGHIJ", label="K")])
    write_zip(root / "images.zip", {f"images/{name}": encoded(world, name) for name in images})
    asked = _expert("MM-0", 0, "ABCDE", label=["A"], images=[{"image_path": name} for name in images[:2]])
    asked["options"] = [{"letter": letter, "content": text} for letter, text in asked["options"].items()]
    write_jsonl(world.root / "medxpertqa_input/medxpertqa_mm_input.jsonl", [asked])
    files(world, world.root / "medxpertqa_input/images", *images[:2])


_SUBJECTS: Final = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy", "Public_Health",
)  # fmt: skip


def write_mmmu(world: World) -> None:
    """`mmmu/`: five subjects; options as text, images where the text says, hidden answers in the test split."""
    columns = ("id", "question", "options", "explanation")
    tail = ("img_type", "answer", "topic_difficulty", "question_type", "subfield")
    images = [f"image_{number}" for number in range(1, 8)]
    features = {
        **dict.fromkeys(columns, STRING), **dict.fromkeys(images, IMAGE), **dict.fromkeys(tail, STRING),
    }  # fmt: skip

    def row(split: str, subject: str, number: int, count: int, **changes: object) -> Row:
        question, options, letter, _ = exam(number + len(subject))
        key = f"{split}_{subject}_{number}"
        shown = {name: cell(world, f"{key} {name}") if i < count else None for i, name in enumerate(images)}
        made = {
            "id": key, "question": f"{question} <image 1>", "options": repr(options), "explanation": "",
            **shown, "img_type": "['Medical Images']", "answer": "?" if split == "test" else letter,
            "topic_difficulty": "Easy", "question_type": "multiple-choice", "subfield": "Drawn anatomy",
        }  # fmt: skip
        return {**made, **changes}

    for subject in _SUBJECTS:
        folder = world.root / "mmmu" / subject
        rows = [row("validation", subject, 1, 1)]
        if subject == "Clinical_Medicine":
            rows += [
                row("validation", subject, 2, 2, question="Is <image 2> older than <image 1>? See <image 1> again."),
                row("validation", subject, 3, 3, question="Which one is the disc?", answer="B",
                    options="['<image 2>', '<image 3>']"),
                row("validation", subject, 4, 1, question="How many discs are in <image 1>?", options="[]",
                    question_type="open", answer="2"),
                row("validation", subject, 5, 1, question="What is <image 2>?"),
                row("validation", subject, 6, 1, answer="E"),
            ]  # fmt: skip
        write_parquet(folder / "dev-00000-of-00001.parquet", [row("dev", subject, 1, 1)], features)
        write_parquet(folder / "validation-00000-of-00001.parquet", rows, features)
        write_parquet(folder / "test-00000-of-00001.parquet", [row("test", subject, n, 1) for n in (1, 2)], features)


def write_benchmarks(world: World) -> None:
    """The paper's benchmarks that are not among the demo's sources."""
    write_path_vqa(world)
    write_pmc_vqa(world)
    write_omnimedvqa(world)
    write_medxpertqa(world)
    write_mmmu(world)
