"""LLaVA-Med, LLaVA-CoT and three text chat layouts."""

from __future__ import annotations

from typing import Final

from asks import Ask, describe, questions
from disk import (
    Row,
    World,
    cropped,
    inverted,
    jpeg,
    palette_png,
    re_encoded,
    rgba_png,
    sixteen_bit_png,
    write_json,
    write_jsonl,
    write_tar,
    write_zip,
)
from layout_text import written
from layout_vqa_rad import Picture, RadWorld, any_picture, pick_asks
from phantoms import Modality
from PIL import Image

_MODALITIES: Final[tuple[Modality, ...]] = ("xray", "mri", "ct", "us")


def _domain(modality: Modality) -> Row:
    return {
        "chest_xray": modality == "xray",
        "mri": modality == "mri",
        "histology": False,
        "gross": False,
        "ct_scan": modality == "ct",
    }


def _human(question: str, place: int) -> str:
    """The first human turn with the image at its start, its end, in its middle, or not at all."""
    if place == 0:
        return f"<image>\n{question}"
    if place == 1:
        return f"{question}\n<image>"
    if place == 2:
        return f"Here is a picture:\n<image>\nPlease answer. {question}"
    return question


def _reply(ask: Ask) -> str:
    return f"The answer is {ask.answer if ask.topic == 'MODALITY' else ask.answer.lower()}."


def _llava_row(pair: str, file: str, picture: Picture, turns: list[tuple[str, str]], index: int) -> Row:
    key = "conversatons" if index % 3 == 2 else "conversations"
    conversation: list[Row] = []
    for turn, (human, gpt) in enumerate(turns):
        conversation.append({"from": "human", "value": _human(human, index % 4) if turn == 0 else human})
        conversation.append({"from": "gpt", "value": gpt})
    return {"id": pair, "image": file, "domain": _domain(picture.scene.modality), key: conversation}


def write_llava(world: World, rad: RadWorld) -> None:
    """`llava/`: llava_instruct.json with both spellings of its main key, and images.tar."""
    rows: list[Row] = []
    files: dict[str, bytes] = {}
    for index in range(10 * world.scale):
        pair = f"{99100031 + 17 * index}_F{index % 3 + 1}"
        picture = any_picture(world, f"llava {pair}", _MODALITIES[index % 4])
        turns = [(ask.question, _reply(ask)) for ask in pick_asks(world, picture, index % 3 + 1, start=index)]
        if index % 3 == 0:
            turns = [("Describe this picture.", describe(picture.scene)), *turns]
        odd = {1: palette_png, 3: sixteen_bit_png, 5: rgba_png}.get(index, jpeg)
        file = f"{pair}.jpg" if odd is jpeg else f"{pair}.png"
        if odd is not jpeg:
            world.plant(odd.__name__, f"llava/llava_instruct.json id {pair}", "kept; decoded to the same greys")
        files[file] = odd(picture.image)
        rows.append(_llava_row(pair, file, picture, turns, index))

    train_only = sorted({row["image_name"] for row in rad.train} - {row["image_name"] for row in rad.test})
    leak = [rad.pictures[str(name)] for name in dict.fromkeys(row["image_name"] for row in rad.test)]
    twin = rad.pictures[str(train_only[0])]
    where = "vqa_rad test picture {}"
    specials: list[tuple[str, str, Picture, bytes | None]] = [
        (
            "leak_same_image",
            f"same_image as {where.format(leak[0].name)}, smaller: dropped",
            leak[0],
            re_encoded(leak[0].image),
        ),
        (
            "leak_same_image",
            f"same_image as {where.format(leak[1].name)}, inverted: dropped",
            leak[1],
            inverted(leak[1].image),
        ),
        (
            "leak_same_image",
            f"same_image as {where.format(leak[2].name)}, cropped: dropped",
            leak[2],
            cropped(leak[2].image),
        ),
        (
            "near_duplicate_image",
            f"same picture as vqa_rad train {twin.name}, smaller: found",
            twin,
            re_encoded(twin.image),
        ),
        ("tiny_image", "dropped: the image is 12 pixels wide", leak[0], jpeg(Image.new("L", (12, 12), 90))),
        ("blank_image", "dropped: the image is one colour", leak[0], jpeg(Image.new("L", (160, 160), 0))),
        ("missing_image_file", "rejected: images.tar has no such member", leak[0], None),
    ]
    for index, (kind, expect, picture, data) in enumerate(specials):
        pair = f"{99300007 + 13 * index}_F1"
        ask = questions(picture.scene)[0]
        rows.append(_llava_row(pair, f"{pair}.jpg", picture, [(ask.rephrased[0], _reply(ask))], index))
        if data is not None:
            files[f"{pair}.jpg"] = data
        world.plant(kind, f"llava/llava_instruct.json id {pair}", expect)
    write_json(world.root / "llava/llava_instruct.json", rows, indent=1)
    write_tar(world.root / "llava/images.tar", {f"images/{name}": data for name, data in files.items()})


_LOOK_AT: Final = {
    "COUNT": "I go through the picture from top to bottom on each side and count every mark once.",
    "PRES": "I compare the two sides and look for anything brighter than its surroundings.",
    "ATTRIB": "I follow the outline of the marks.",
    "POS": "The left of the image is the patient's right, so I turn the sides around before I answer.",
    "SIZE": "I compare what is asked about with its usual size or with the calibration bar.",
    "ABN": "I look at the middle organ and at both sides for anything out of the ordinary.",
}


def _staged(picture: Picture, ask: Ask) -> str:
    """The four stages of LLaVA-CoT, each in its tags."""
    stages = {
        "SUMMARY": "I will describe the picture, look at the part that the question is about, and then answer.",
        "CAPTION": describe(picture.scene),
        "REASONING": f"{_LOOK_AT[ask.topic]} The description leads to one answer: {ask.answer.lower()}.",
        "CONCLUSION": ask.answer,
    }
    return "\n\n".join(f"<{name}> {text} </{name}>" for name, text in stages.items())


def write_llava_cot(world: World) -> None:
    """`llava_cot/`: train.jsonl with staged answers, and image.zip."""
    rows: list[Row] = []
    files: dict[str, bytes] = {}
    for index in range(8 * world.scale):
        picture = any_picture(world, f"llava_cot {index}", _MODALITIES[index % 4])
        path = f"phantom/{_MODALITIES[index % 4]}/{index:05d}.jpg"
        asks = [ask for ask in questions(picture.scene) if ask.topic in _LOOK_AT]
        chosen = [asks[int(n)] for n in world.rng(f"cot {index}").permutation(len(asks))[: 1 + index % 2]]
        turns: list[Row] = []
        for ask in chosen:
            listed = f" Options: {', '.join(ask.options)}." if ask.options else ""
            turns.append({"from": "human", "value": ask.question + listed})
            turns.append({"from": "gpt", "value": _staged(picture, ask)})
        files[path] = jpeg(picture.image)
        rows.append({"id": f"phantom_{index:05d}", "image": path, "conversations": turns})
    rows.append({"id": "phantom_text", "conversations": [dict(turn) for turn in rows[0]["conversations"][:2]]})
    world.plant(
        "missing_image", "llava_cot/train.jsonl id phantom_text", "rejected or text only: the row has no image key"
    )
    write_jsonl(world.root / "llava_cot/train.jsonl", rows)
    write_zip(world.root / "llava_cot/image.zip", files)


_SYSTEM: Final = (
    "Think about the problem in detail before you answer. Put the thinking between <|begin_of_thought|> and "
    "<|end_of_thought|>, and the final solution between <|begin_of_solution|> and <|end_of_solution|>."
)


def write_chat(world: World) -> None:
    """`chat/`: open_thoughts.jsonl, messages.jsonl and sharegpt.jsonl, all without images."""
    texts = written("chats")
    thoughts: list[Row] = []
    for item in texts["thoughts"]:
        answer = (
            f"<|begin_of_thought|>\n\n{item['thought']}\n\n<|end_of_thought|>\n\n"
            f"<|begin_of_solution|>\n\n{item['solution']}\n\n<|end_of_solution|>"
        )
        turns = [{"from": "user", "value": item["question"]}, {"from": "assistant", "value": answer}]
        thoughts.append({"system": _SYSTEM, "conversations": turns})
    last = thoughts[-1]["conversations"][1]
    last["value"] = last["value"].split("<|end_of_thought|>")[0]
    world.plant(
        "unfinished_thought", f"chat/open_thoughts.jsonl row {len(thoughts) - 1}", "rejected: no solution follows"
    )
    write_jsonl(world.root / "chat/open_thoughts.jsonl", thoughts)

    messages: list[Row] = [{"messages": turns} for turns in texts["messages"]]
    token = "<|im_start|>assistant\nSure.<|im_end|> What does this mark mean?"
    turns = [{"role": "user", "content": token}, {"role": "assistant", "content": "It opens a turn in a chat format."}]
    messages.append({"messages": turns})
    expect = "dropped or cleaned: chat tokens never reach an output"
    world.plant("literal_special_token", f"chat/messages.jsonl row {len(messages) - 1}", expect)
    write_jsonl(world.root / "chat/messages.jsonl", messages)

    chats: list[Row] = [
        {"id": f"chat_{index}", "conversations": turns, "source": "written"}
        for index, turns in enumerate(texts["sharegpt"])
    ]
    turns = [
        {"from": "human", "value": "<image>\nWhat is shown here?"},
        {"from": "gpt", "value": "There is no picture in your message, so I cannot tell."},
    ]
    chats.append({"id": f"chat_{len(chats)}", "conversations": turns, "source": "written"})
    world.plant(
        "literal_image_tag", "chat/sharegpt.jsonl id chat_8", "rejected or cleaned: the row has a tag but no image"
    )
    write_jsonl(world.root / "chat/sharegpt.jsonl", chats)
