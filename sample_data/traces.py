"""Invented traces of a teacher for some rows of VQA-RAD and MedMCQA, one for each pattern of reflection.

    {"uid": "vqa_rad/train/1", "pattern": "look_back", "text": "<think>...</think>\\n\\n<answer>3</answer>", ...}

Most are right; some are wrong, some are cut off, and some are right and have a fault that a quality gate must find. No
model wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from asks import describe
from disk import Row, World, write_jsonl
from layout_text import written
from layout_vqa_rad import RadWorld
from phantoms import Scene

PATTERNS: Final = ("self_check", "eliminate_options", "alternative_hypothesis", "look_back", "backtrack")
_LETTERS: Final = "ABCD"
_FATES: Final = (
    *("right",) * 13, *("wrong",) * 4, *("cut off",) * 2, "leak", "report", "persona", "idle", "contradiction",
)  # fmt: skip
"""How a trace ends, drawn for each; the last five are right answers with a fault."""
_FAULTS: Final = {
    "leak": "According to the provided answer this has to be {answer}.",
    "report": "The radiology report also mentions {answer}, which settles it.",
    "persona": "As an AI language model I cannot examine patients, but I can give an answer.",
    "contradiction": "Therefore the answer is {wrong}.",
}
_IDLE: Final = (
    "Let me double-check. Yes, that is right. Let me verify once more. Yes, it is right. Let me check this again. "
    "Yes, that is correct."
)


def write_traces(world: World, rad: RadWorld, mcqa: Sequence[Row]) -> None:
    """`teacher/traces.jsonl`: traces for the first rows of `vqa_rad` and of `medmcqa`."""
    rows: list[Row] = []
    for row in rad.train[:20]:
        scene = rad.pictures[row["image_name"]].scene
        rows += _of_picture(world, row, scene)
    for item, row in zip(written("exam")["short"], mcqa, strict=False):
        rows += _of_item(world, row, item["why"])
    write_jsonl(world.root / "teacher/traces.jsonl", rows)


def _fate(rng: np.random.Generator) -> str:
    return _FATES[int(rng.integers(len(_FATES)))]


def _of_picture(world: World, row: Row, scene: Scene) -> list[Row]:
    """Traces for one question about a drawn scene; there are no options to rule out."""
    answer = str(row["answer"])
    wrong = _other(answer)
    seen = describe(scene)
    marks = next((text for text in seen.split(". ") if text.startswith(("There ", "No "))), seen).rstrip(".")
    middle = seen.rstrip(".").split(". ")[-1]
    reflection = {
        "self_check": (
            f"Let me check this against the image once more: if the answer were {wrong}, the picture would look "
            f"different. What it shows is this: {_lower(marks)}, and the calibration bar beside it is unchanged. "
            "The conclusion holds."
        ),
        "alternative_hypothesis": (
            f"Another possibility would be {wrong}. What tells them apart is what lies on either side of the midline: "
            f"{_lower(marks)}. That points to {answer} and not to {wrong}."
        ),
        "look_back": (
            f"Looking back at the image, from its upper edge down to the calibration bar: {_lower(marks)}. "
            f"{middle}. The first reading still stands."
        ),
        "backtrack": (
            f"My first thought was {wrong}. Wait, image left is the patient's right, and I had read the sides the "
            f"other way round. Going back to that step: {_lower(marks)}. That gives {answer}."
        ),
    }
    return [
        _trace(f"vqa_rad/train/{row['qid']}", pattern, seen, text, answer, wrong, world)
        for pattern, text in reflection.items()
    ]


def _of_item(world: World, row: Row, why: str | None) -> list[Row]:
    """Traces for one exam question with four options."""
    options = [row["opa"], row["opb"], row["opc"], row["opd"]]
    right = row["cop"] - 1
    answer, wrong = options[right], options[(right + 1) % 4]
    fact = (why or f"{answer} is the usual textbook answer to this").rstrip(".")
    others = [f"{_LETTERS[at]} ({options[at]})" for at in range(4) if at != right]
    opening = f"The question is about {row['subject_name'].lower()}, and what it turns on is a single fact. {fact}."
    reflection = {
        "self_check": (
            f"Let me check this against the case: if {wrong} were right, the stem would have to name something that "
            f"sets it apart, and it does not. {fact}, so the conclusion holds."
        ),
        "eliminate_options": (
            f"{others[0]} is ruled out, since it does something else. {others[1]} belongs to another setting, and "
            f"{others[2]} is excluded as the stem gives no hint of it. That leaves {answer}."
        ),
        "alternative_hypothesis": (
            f"Another explanation worth weighing is {wrong}. What would tell them apart is the wording of the stem, "
            f"and here it fits {answer} better: {_lower(fact)}."
        ),
        "look_back": (
            f"Going back to the question and reading it again, the words that matter are the last ones. {fact}, and "
            f"that still leads to {answer}."
        ),
        "backtrack": (
            f"My first thought was {wrong}. Wait, that does not fit what the stem says, so I take that step back. From "
            f"there the other path is {_lower(fact)}, which gives {answer}."
        ),
    }
    said = f"{_LETTERS[right]}. {answer}"
    not_so = f"{_LETTERS[(right + 1) % 4]}. {wrong}"
    return [
        _trace(f"medmcqa/train/{row['id']}", pattern, opening, text, said, not_so, world)
        for pattern, text in reflection.items()
    ]


def _trace(uid: str, pattern: str, opening: str, reflection: str, answer: str, wrong: str, world: World) -> Row:
    fate = _fate(world.rng(f"trace {uid} {pattern}"))
    plain, plain_wrong = (text.partition(". ")[2] or text for text in (answer, wrong))
    sentences = [opening, reflection]
    if fate == "wrong":
        sentences.append(f"Weighing both, {plain_wrong} fits better all the same.")
    elif fate == "idle":
        sentences[1] = _IDLE
    elif fate in _FAULTS:
        sentences.append(_FAULTS[fate].format(answer=plain, wrong=plain_wrong))
    thought = " ".join(sentences)
    if fate == "cut off":
        cut = len(thought) * 2 // 3
        text, finish = f"<think>\n{thought[:cut]}", "length"
    else:
        given = wrong if fate == "wrong" else answer
        text, finish = f"<think>\n{thought}\n</think>\n\n<answer>{given}</answer>", "stop"
    tokens = len(text) // 4
    row: Row = {"uid": uid, "pattern": pattern, "text": text, "finish_reason": finish, "completion_tokens": tokens}
    return row


def _other(answer: str) -> str:
    """A wrong answer of the same kind."""
    pairs = (("yes", "no"), ("Right", "Left"), ("Both", "Left"), ("MRI", "CT"), ("X-ray", "CT"), ("Abdomen", "Chest"))
    if answer.isdigit():
        return str(int(answer) + 1)
    for one, other in pairs:
        if answer.lower() == one.lower():
            return other
        if answer.lower() == other.lower():
            return one
    return "Linear" if answer != "Linear" else "Round"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
