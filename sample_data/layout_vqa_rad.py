"""VQA-RAD in three layouts, over drawn pictures. Keys, order and types: docs of the real sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from asks import Ask, Lang, questions
from disk import (
    IMAGE,
    STRING,
    Row,
    World,
    cmyk_jpeg,
    jpeg,
    png,
    re_encoded,
    truncated,
    write_bytes,
    write_json,
    write_parquet,
)
from phantoms import Finding, Modality, Scene, draw_scene, random_scene
from PIL import Image

_TOPICS = ("COUNT", "PRES", "ATTRIB", "POS", "SIZE", "ABN", "MODALITY", "ORGAN")
_ORGAN: dict[Modality, str] = {"xray": "CHEST", "ct": "HEAD", "mri": "ABD", "us": "ABD"}
_SIZES: dict[Modality, int] = {"xray": 224, "ct": 192, "mri": 192, "us": 160}

_FIXED_SCENES = (
    Scene("xray", (Finding("ring", "left", 3, "large"),)),
    Scene("ct", (Finding("disc", "right", 2, "large"),)),
    Scene("mri", (), enlarged=True),
    Scene("us", (Finding("triangle", "right", 3, "small"), Finding("bar", "left", 2, "large"))),
)


@dataclass(frozen=True)
class Picture:
    """A drawn scene with the name its rows use."""

    name: str
    scene: Scene
    image: Image.Image


def draw_picture(world: World, name: str, scene: Scene) -> Picture:
    """The picture of this name: always the same for one seed."""
    return Picture(name, scene, draw_scene(scene, _SIZES[scene.modality], world.rng(f"pixels {name}")))


def any_picture(world: World, name: str, modality: Modality) -> Picture:
    return draw_picture(world, name, random_scene(world.rng(f"scene {name}"), modality))


def pick_asks(world: World, picture: Picture, number: int, *, start: int, lang: Lang = "en") -> list[Ask]:
    """`number` questions of different topics, the first topic turning with `start`; none needs options to be read."""
    rng = world.rng(f"asks {picture.name} {lang}")
    pool = [ask for ask in questions(picture.scene, lang) if ask.rephrased]
    turned = [_TOPICS[(start + step) % len(_TOPICS)] for step in range(len(_TOPICS))]
    groups = [group for topic in turned if (group := [ask for ask in pool if ask.topic == topic])]
    return [group[int(rng.integers(len(group)))] for group in groups[:number]]


# ---------------------------------------------------------------------------------------------------------------------
# VQA-RAD
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RadWorld:
    """What later sources repeat on purpose: the pictures and clean rows of VQA-RAD."""

    pictures: dict[str, Picture]
    train: list[Row]
    test: list[Row]


def _rad_row(qid: int, picture: Picture, ask: Ask, question: str, phrase_type: str) -> Row:
    return {
        "qid": qid,
        "image_name": picture.name,
        "image_organ": _ORGAN[picture.scene.modality],
        "answer": ask.answer.lower() if qid % 3 == 0 and ask.kind == "yes_no" else ask.answer,
        "answer_type": "CLOSED" if ask.kind == "yes_no" or ask.topic == "SIZE" else "OPEN",
        "question_type": ask.topic,
        "question": question,
        "phrase_type": phrase_type,
    }


def write_vqa_rad(world: World) -> RadWorld:
    """`vqa_rad/`: trainset.json, testset.json and images; half of the pictures are on both sides."""
    pictures: list[Picture] = []
    train: list[Row] = []
    test: list[Row] = []
    qid = 0
    for index in range(12 * world.scale):
        name = f"synpic{20011 + 37 * index}.jpg"
        modality: Modality = ("xray", "ct", "mri", "us")[index % 4]
        fixed = index < len(_FIXED_SCENES)
        picture = draw_picture(world, name, _FIXED_SCENES[index]) if fixed else any_picture(world, name, modality)
        pictures.append(picture)
        only_test, only_train = index % 12 == 11, index % 12 < 5
        for place, ask in enumerate(pick_asks(world, picture, 3, start=3 * index)):
            to_test = only_test or (place == 2 and not only_train)
            wordings = [(ask.question, "freeform")]
            if place == 0:
                wordings.append((ask.rephrased[-1], "para" if index % 2 else "frame"))
            for question, phrase_type in wordings:
                qid += 1
                kind = "para" if to_test and phrase_type == "frame" else phrase_type
                (test if to_test else train).append(_rad_row(qid, picture, ask, question, kind))
    clean = RadWorld({picture.name: picture for picture in pictures}, [dict(r) for r in train], [dict(r) for r in test])
    files = {picture.name: jpeg(picture.image) for picture in pictures}
    _plant_in_vqa_rad(world, clean, train, test, files)
    write_json(world.root / "vqa_rad/trainset.json", train, indent=2)
    write_json(world.root / "vqa_rad/testset.json", test, indent=2)
    for name, data in files.items():
        write_bytes(world.root / "vqa_rad/images" / name, data)
    return clean


def _plant_in_vqa_rad(
    world: World, clean: RadWorld, train: list[Row], test: list[Row], files: dict[str, bytes]
) -> None:
    where = "vqa_rad/trainset.json qid {}"

    def first(field: str, value: object, rows: Sequence[Row] = train) -> Row:
        return next(row for row in rows if row[field] == value)

    for row in [row for row in train if row["question_type"] == "COUNT"][:2]:
        row["answer"] = int(row["answer"])
        world.plant("integer_answer", where.format(row["qid"]), "kept; the JSON number is read as its digits")
    row = first("answer_type", "CLOSED")
    row["answer_type"] = "CLOSED "
    world.plant("trailing_space", where.format(row["qid"]), "kept; answer_type is stripped to CLOSED")
    row = first("question_type", "PRES")
    row["question_type"] = "POS, PRES"
    world.plant("joined_question_type", where.format(row["qid"]), "kept; question types POS and PRES")

    names = list(clean.pictures)
    files[names[1]] = cmyk_jpeg(clean.pictures[names[1]].image)
    world.plant("cmyk_jpeg", f"vqa_rad/images/{names[1]}", "kept; decoded and converted without inverting")

    last = max(row["qid"] for row in train + test)
    chest = clean.pictures[names[0]]
    special: list[tuple[str, str, Ask]] = [
        (chest.name, "tab_answer", Ask("What organs are seen in this film?", "Lungs \theart", "short_text", "ORGAN")),
        ("synpic90001.jpg", "truncated_image", Ask("Is the heart enlarged?", "No", "yes_no", "SIZE")),
        ("synpic90002.jpg", "empty_image_file", Ask("Is the heart shadow too wide?", "Yes", "yes_no", "SIZE")),
        (
            "synpic90003.jpg",
            "missing_image_file",
            Ask("Is there an opacity in the left lung?", "Yes", "yes_no", "PRES"),
        ),
        ("synpic90004.jpg", "blank_image", Ask("Is there a fracture of a rib?", "No", "yes_no", "PRES")),
        (chest.name, "missing_answer", Ask("What lies behind the heart in this film?", "", "short_text", "POS")),
    ]
    expect = {
        "tab_answer": "kept; the tab becomes one space: Lungs heart",
        "truncated_image": "rejected or dropped: the JPEG ends in the middle",
        "empty_image_file": "rejected: the image file has 0 bytes",
        "missing_image_file": "rejected: no such image file",
        "blank_image": "dropped: the image is one colour",
        "missing_answer": "rejected: the answer is empty",
    }
    for offset, (name, kind, ask) in enumerate(special, start=1):
        train.append(_rad_row(last + offset, Picture(name, chest.scene, chest.image), ask, ask.question, "freeform"))
        world.plant(kind, where.format(last + offset), expect[kind])
    files["synpic90001.jpg"] = truncated(jpeg(any_picture(world, "synpic90001.jpg", "xray").image))
    files["synpic90002.jpg"] = b""
    files["synpic90004.jpg"] = jpeg(Image.new("L", (192, 192), 118))
    both = sorted({row["image_name"] for row in train} & {row["image_name"] for row in test})
    world.plant(
        "shared_images", f"vqa_rad/trainset.json all rows of {len(both)} pictures", "same_image when test is held out"
    )


def write_vqa_rad_osf(world: World, rad: RadWorld) -> None:
    """`vqa_rad_osf/`: the public JSON with all its keys; a mirror of a part of `vqa_rad/`."""
    chosen = [row for row in rad.train if row["phrase_type"] != "frame"][: 18 * world.scale]
    tested = {row["qid"] for row in rad.test}
    rows: list[Row] = []
    for row in sorted(chosen + rad.test[: 8 * world.scale], key=lambda row: int(row["qid"])):
        link = uuid5(NAMESPACE_URL, f"{row['image_name']} {row['answer']} {row['question_type']}")
        case = uuid5(NAMESPACE_URL, str(row["image_name"]))
        frames = [r["question"] for r in rad.train if r["qid"] == row["qid"] + 1 and r["phrase_type"] == "frame"]
        qid = row["qid"]
        rows.append(
            {
                "qid": str(qid) if qid % 5 == 0 else qid,
                "phrase_type": f"test_{row['phrase_type']}" if qid in tested else row["phrase_type"],
                "qid_linked_id": str(link),
                "image_case_url": f"https://cases.example.org/case?id={case}",
                "image_name": row["image_name"],
                "image_organ": row["image_organ"],
                "evaluation": "evaluated" if qid % 2 else "not evaluated",
                "question": row["question"],
                "question_rephrase": "NULL",
                "question_relation": "NULL",
                "question_frame": frames[0] if frames else "NULL",
                "question_type": row["question_type"],
                "answer": int(row["answer"]) if row["question_type"] == "COUNT" else row["answer"],
                "answer_type": row["answer_type"],
            }
        )
    write_json(world.root / "vqa_rad_osf/VQA_RAD Dataset Public.json", rows, indent=1)
    for name in sorted({str(row["image_name"]) for row in rows}):
        path = world.root / "vqa_rad_osf/VQA_RAD Image Folder" / name
        write_bytes(path, jpeg(rad.pictures[name].image))
    world.plant("mirror", "vqa_rad_osf all rows", "exact duplicates of the vqa_rad rows of the same qid")


def write_vqa_rad_hub(world: World, rad: RadWorld) -> None:
    """`vqa_rad_hub/data/*.parquet`: image, question, answer; own pictures plus planted copies of VQA-RAD rows."""
    train: list[Row] = []
    test: list[Row] = []

    def cell(data: bytes) -> Row:
        return {"bytes": data, "path": None}

    for index in range(6 * world.scale):
        modality: Modality = ("ct", "xray", "us", "mri")[index % 4]
        picture = any_picture(world, f"vqa_rad_hub {index}", modality)
        data = png(picture.image) if modality == "mri" else jpeg(picture.image)
        for place, ask in enumerate(pick_asks(world, picture, 3, start=5 * index + 1)):
            row = {"image": cell(data), "question": ask.question.lower(), "answer": ask.answer.lower()}
            (test if place == 2 else train).append(row)

    file = "vqa_rad_hub/data/train-00000-of-00001.parquet"

    def add(kind: str, expect: str, image: Row | None, question: str, answer: str) -> None:
        world.plant(kind, f"{file} row {len(train)}", expect)
        train.append({"image": image, "question": question, "answer": answer})

    def copy_of(row: Row) -> Row:
        return cell(jpeg(rad.pictures[str(row["image_name"])].image))

    held_out = {row["image_name"] for row in rad.test}
    same = next(row for row in rad.train if row["image_name"] not in held_out)
    expect = f"exact duplicate of vqa_rad/trainset.json qid {same['qid']}: one of the two is kept"
    add("exact_duplicate", expect, copy_of(same), str(same["question"]), str(same["answer"]))
    leak = rad.test[0]
    expect = f"same_item as vqa_rad/testset.json qid {leak['qid']}: dropped"
    add("leak_same_item", expect, copy_of(leak), str(leak["question"]), str(leak["answer"]))
    leak = rad.test[-1]
    expect = f"same_image as vqa_rad/testset.json qid {leak['qid']}, resized and re-encoded: dropped"
    small = cell(re_encoded(rad.pictures[str(leak["image_name"])].image))
    add("leak_same_image", expect, small, "what part of the patient does the picture show?", "abdomen")
    head = draw_picture(world, "vqa_rad_hub conflict", Scene("ct", (Finding("disc", "left", 1, "large"),)))
    question = "is there a dense lesion in the left hemisphere?"
    expect = "same image and question with the answers yes and no: at least the wrong one (no) is dropped or reported"
    add("conflicting_answers", expect, cell(jpeg(head.image)), question, "yes")
    add("conflicting_answers", expect, cell(jpeg(head.image)), question, "no")
    film = draw_picture(world, "vqa_rad_hub normal", Scene("xray"))
    expect = "kept; N/A is an answer, not a missing value"
    add("na_answer", expect, cell(jpeg(film.image)), "what is the shape of the opacity in the right lung?", "N/A")
    expect = "kept; the tag is taken out of the text and becomes the place of the image"
    add("literal_image_tag", expect, cell(jpeg(film.image)), "look at <image> and say: is the heart enlarged?", "no")
    add("missing_image", "rejected: the image cell is null", None, "is the aorta dilated?", "yes")

    features = {"image": IMAGE, "question": STRING, "answer": STRING}
    write_parquet(world.root / file, train, features)
    write_parquet(world.root / file.replace("train", "test"), test, features)
