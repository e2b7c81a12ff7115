"""A world whose every answer is known: rows with numbered cases, and a server that is right, wrong or faulty by a draw.

What comes of a request follows from its messages and the number of its choice alone. The server notes what it answered,
so that a test can tell what a build must have found.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from ruamel.yaml import YAML
from simulated_teacher import LEAK, WORDS

OPTIONS = ("Cyst", "Scar", "Nodule", "Calculus")
PICTURES = 4


def gold_of(case: int, kind: str) -> str:
    """The right answer of a case: of a choice its option, of a question about a picture yes or no."""
    return OPTIONS[case % 4] if kind == "choice" else ("yes", "no")[case % 2]


def write_choices(folder: Path, cases: range | list[int]) -> Path:
    """A source of text questions with options, in MedMCQA's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": f"c{case}", "question": f"Case {case}: which finding has number {case}?", "opa": OPTIONS[0],
            "opb": OPTIONS[1], "opc": OPTIONS[2], "opd": OPTIONS[3], "cop": case % 4 + 1, "choice_type": "single",
            "exp": "", "subject_name": "Radiology", "topic_name": None,
        }
        for case in cases
    ]  # fmt: skip
    (folder / "train.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_pictures(folder: Path, cases: range | list[int]) -> Path:
    """A source of questions about a few noisy pictures, in VQA-RAD's layout."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(PICTURES):
        noise = random.Random(number).randbytes(64 * 64)
        Image.frombytes("L", (64, 64), noise).save(folder / "images" / f"synpic{number}.png")
    rows = [
        {
            "qid": case, "image_name": f"synpic{case % PICTURES}.png", "image_organ": "CHEST", "answer_type": "CLOSED",
            "answer": gold_of(case, "yes_no"), "question": f"Case {case}: is finding number {case} in the picture?",
            "question_type": "PRES", "phrase_type": "freeform",
        }
        for case in cases
    ]  # fmt: skip
    (folder / "trainset.json").write_text(json.dumps(rows))
    return folder


def manifest_of(folder: Path, url: str, **more: Any) -> dict[str, Any]:
    """A manifest over `folder/choices` and `folder/pictures`, whichever are there, with one pass and one teacher."""
    sources = {
        name: {"adapter": adapter, "location": name, "category": category, "license": "CC0-1.0"}
        for name, adapter, category in (
            ("choices", "medmcqa", "medical_text"), ("pictures", "vqa_rad", "medical_vqa"),
        )
        if (folder / name).is_dir()
    }  # fmt: skip
    return {
        "name": "t", "seed": 5, "root": ".", "sources": sources, "dedup": {"near": False},
        "teachers": {"big": {"model": "m", "base_url": url, "price": {"prompt": 1.0, "completion": 2.0}}},
        "generate": {"think": {"teacher": "big", "strategy": "reflective", "drawing": {"max_tokens": 256}}},
        "outputs": {"sft": {}}, **more,
    }  # fmt: skip


def write_manifest(folder: Path, content: Mapping[str, Any], name: str = "m.yaml") -> Path:
    """The manifest as a file."""
    path = folder / name
    with path.open("w") as file:
        YAML().dump(json.loads(json.dumps(content)), file)
    return path


@dataclass
class Known:
    """Answers by a draw over the request; the weights say how often each fate is drawn."""

    weights: Mapping[str, float] = field(default_factory=lambda: {"right": 5, "wrong": 3, "leaky": 1, "truncated": 1})
    seed: int = 1
    said: dict[tuple[int, str, int], str] = field(default_factory=dict)
    """(case, key of the request, choice) to its fate."""

    def __call__(self, body: Mapping[str, Any], key: str, choice: int) -> tuple[str, str]:
        """See `fault_server.Answer`."""
        said = json.dumps(body["messages"])
        found = re.search(r"Case (\d+)", said)
        assert found is not None, said[:200]
        case = int(found[1])
        kind = "choice" if "A. Cyst" in said else "yes_no"
        fate = self.fate(key, choice)
        self.said[case, key, choice] = fate
        draw = random.Random(f"{key}/{choice}")
        body_text = draw.sample(WORDS["en"], 5)
        if kind == "choice":
            others = [option for option in OPTIONS if option != gold_of(case, kind)]
            body_text.insert(2, f"{', '.join(others)} are ruled out by the even density.")
        if fate == "leaky":
            body_text.insert(3, LEAK["en"])
        body_text.append(f"This is request {key} number {choice}.")
        gold = gold_of(case, kind)
        wrong = OPTIONS[(case + 1) % 4] if kind == "choice" else {"yes": "no", "no": "yes"}[gold]
        answer = wrong if fate == "wrong" else gold
        if kind == "choice":
            answer = f"{'ABCD'[OPTIONS.index(answer)]}. {answer}"
        reasoning = " ".join(body_text)
        if fate == "truncated":
            return f"<think>\n{reasoning}", "length"
        return f"<think>\n{reasoning}\n</think>\n\n<answer>{answer}</answer>", "stop"

    def fate(self, key: str, choice: int) -> str:
        """How a choice ends."""
        digest = hashlib.blake2b(f"{self.seed}/{key}/{choice}".encode(), digest_size=6).digest()
        at = int.from_bytes(digest, "big") / 2**48 * sum(self.weights.values())
        for name, weight in self.weights.items():
            at -= weight
            if at < 0:
                return name
        return list(self.weights)[-1]
