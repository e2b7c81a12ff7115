"""SLAKE in two layouts: two languages over one set of pictures, each language with its own image split."""

from __future__ import annotations

from typing import Final, Literal

from asks import Ask, Lang
from disk import Row, World, jpeg, write_bytes, write_json, write_zip
from layout_vqa_rad import Picture, any_picture, draw_picture, pick_asks
from phantoms import Finding, Modality, Scene

_LOOKS: Final[tuple[Modality, ...]] = ("xray", "ct", "mri")
_MODALITY: Final[dict[Modality, str]] = {"xray": "X-Ray", "ct": "CT", "mri": "MRI"}
_LOCATION: Final[dict[Modality, str]] = {"xray": "Lung", "ct": "Brain", "mri": "Abdomen"}
_CONTENT: Final = {
    "COUNT": "Quantity",
    "PRES": "Abnormality",
    "ABN": "Abnormality",
    "ATTRIB": "Shape",
    "POS": "Position",
    "SIZE": "Size",
    "MODALITY": "Modality",
    "ORGAN": "Position",
    "PLANE": "Plane",
    "KG": "KG",
}

Split = Literal["train", "validation", "test"]
_SPLIT: Final[dict[Lang, str]] = {"en": "ttttttvvee", "zh": "ttttee..tv"}
"""For the ten pictures of a block: t train, v validation, e test, . unused. Pictures 8 and 9 are English test, and 8 is
Chinese train, 9 Chinese validation; 4 and 5 are Chinese test and English train: the real set's leak."""
_LETTER: Final[dict[str, Split]] = {"t": "train", "v": "validation", "e": "test"}
_ROWS: Final[dict[Lang, int]] = {"en": 3, "zh": 2}


def _row(qid: int, number: int, picture: Picture, ask: Ask, lang: Lang, *, test: bool = False) -> Row:
    look = picture.scene.modality
    content = {"content_type": _CONTENT[ask.topic]}
    kg = ask.topic == "KG"
    row: Row = {
        "img_id": number,
        "img_name": f"xmlab{number}/source.jpg",
        "question": ask.question,
        "answer": ask.answer,
        "q_lang": lang,
        "location": _LOCATION[look],
        "modality": _MODALITY[look],
        "answer_type": "CLOSED" if ask.kind == "yes_no" or ask.topic in ("SIZE", "POS") else "OPEN",
        "base_type": "kvqa" if kg else "vqa",
    }
    tail: Row = {"triple": ["vhead", "function", "ktail"] if kg else ["vhead", "_", "_"], "qid": qid}
    return {**row, **tail, **content} if test else {**row, **content, **tail}


def write_slake(world: World) -> None:
    """`slake/`: train, validation and test JSON of both languages, and `imgs.zip`."""
    pictures: dict[int, Picture] = {}
    rows: dict[Split, list[Row]] = {"train": [], "validation": [], "test": []}
    qids: dict[Split, int] = {"train": 0, "validation": 9835, "test": 11934}
    for index in range(10 * world.scale):
        number = index + 1
        name = f"slake xmlab{number}"
        if index == 0:
            picture = draw_picture(world, name, Scene("xray", (Finding("disc", "right", 4, "small"),)))
        else:
            picture = any_picture(world, name, _LOOKS[index % 3])
        pictures[number] = picture
        for lang, letters in _SPLIT.items():
            split = _LETTER.get(letters[index % 10])
            if split is None:
                continue
            for ask in pick_asks(world, picture, _ROWS[lang], start=3 * index + 2, lang=lang):
                while qids[split] == _EMPTY_QID:
                    qids[split] += 1
                rows[split].append(_row(qids[split], number, picture, ask, lang, test=split == "test"))
                qids[split] += 1
    _plant(world, pictures, rows, qids["train"])
    for split, part in rows.items():
        write_json(world.root / f"slake/{split}.json", part)
    write_zip(
        world.root / "slake/imgs.zip",
        {f"imgs/xmlab{number}/source.jpg": jpeg(picture.image) for number, picture in pictures.items()},
    )


_EMPTY_QID: Final = 1622


def _plant(world: World, pictures: dict[int, Picture], rows: dict[Split, list[Row]], next_qid: int) -> None:
    chest = pictures[1]
    head = next(number for number, picture in pictures.items() if picture.scene.modality == "ct")
    empty = Ask("Does the picture contain the lungs?", "", "short_text", "ORGAN")
    plane = Ask("What is the scanning plane of this image?", "Transverse  Plane", "short_text", "PLANE")
    contains = Ask("图片中包含肺吗？", "包含", "yes_no", "ORGAN")
    contains_not = Ask("图片中包含肝脏吗？", "不包含", "yes_no", "ORGAN")
    organ = Ask("Which task does the organ with the opacities carry out?", "Gas exchange", "short_text", "KG")
    organ_zh = Ask("有阴影的器官有什么功能？", "气体交换", "short_text", "KG")
    wrong = Ask("图中阴影在患者的哪一侧？", "右侧", "short_text", "POS")
    asks: list[tuple[int, Ask, Lang, tuple[str, str]]] = [
        (head, plane, "en", ("double_space", "kept; the answer is Transverse Plane with one space")),
        (1, contains, "zh", ("zh_yes_no", "kept; 包含 is a yes")),
        (1, contains_not, "zh", ("zh_yes_no", "kept; 不包含 is a no")),
        (1, organ, "en", ("knowledge_question", "kept; base_type kvqa, triple names the relation")),
        (1, organ_zh, "zh", ("knowledge_question", "kept; base_type kvqa, triple names the relation")),
        (1, wrong, "en", ("wrong_language", "dropped or relabelled: q_lang says en, the text is Chinese")),
    ]
    qid = next_qid
    for number, ask, lang, (kind, expect) in asks:
        qid += 1 if qid == _EMPTY_QID else 0
        rows["train"].append(_row(qid, number, pictures[number], ask, lang))
        world.plant(kind, f"slake/train.json qid {qid}", expect)
        qid += 1
    row = _row(_EMPTY_QID, 1, chest, empty, "en")
    rows["train"].append(row)
    world.plant("missing_answer", f"slake/train.json qid {_EMPTY_QID}", "rejected: the answer is empty")
    held_out = {row["img_name"] for row in rows["test"]}
    for row in rows["train"] + rows["validation"]:
        if row["img_name"] in held_out:
            split = "train" if row in rows["train"] else "validation"
            world.plant(
                "leak_same_image",
                f"slake/{split}.json qid {row['qid']}",
                f"same_image as rows of slake/test.json in the other language ({row['img_name']}): dropped",
            )
    closed = [r for part in rows.values() for r in part if r["answer_type"] == "CLOSED" and r["q_lang"] == "en"]
    other = next(row for row in closed if row["answer"] not in ("Yes", "No"))
    split = next(split for split, part in rows.items() if other in part)
    world.plant(
        "closed_not_yes_no", f"slake/{split}.json qid {other['qid']}", f"kept; CLOSED with the answer {other['answer']}"
    )


def write_slake_validate(world: World) -> None:
    """`slake_validate/`: the older file name `validate.json`, with the images unpacked."""
    rows: list[Row] = []
    for index, look in enumerate(_LOOKS):
        number = 101 + index
        picture = any_picture(world, f"slake xmlab{number}", look)
        langs: tuple[Lang, ...] = ("en", "zh")
        for lang in langs:
            for ask in pick_asks(world, picture, 1, start=2 * index, lang=lang):
                rows.append(_row(9935 + len(rows), number, picture, ask, lang))
        write_bytes(world.root / f"slake_validate/imgs/xmlab{number}/source.jpg", jpeg(picture.image))
    write_json(world.root / "slake_validate/validate.json", rows)
