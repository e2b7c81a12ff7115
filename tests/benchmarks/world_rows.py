"""The drawn world as data: heads with marks in them, three questions whose answer needs the picture, and their builds.

A picture holds one, two or three equal marks on one side of a head: 18 scenes, and no two pictures of one are alike.
Chance is 1/2 for the side, 1/3 for the count and for the shape.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "sample_data"), str(PROJECT / "tests")]

from phantoms import SIDES, Finding, Scene, Shape, draw_scene  # noqa: E402

SHAPES: tuple[Shape, ...] = ("disc", "ring", "bar")
COUNTS = ("one", "two", "three")
QUESTIONS = ("Side?", "Count?", "Shape?")
CHANCE = {"Side?": 50.0, "Count?": 100 / 3, "Shape?": 100 / 3}
SIZE_PX = 64
SYSTEM = "."
TRAIN, HELD_OUT, FORM, FRESH = 1, 2, 3, 4
"""Seeds: no picture of one set is in another."""


class Picture(NamedTuple):
    """One picture to draw: where, of what seed, and what is in it."""

    path: Path
    seed: tuple[int, int]
    shape: Shape
    side: str
    marks: int

    @property
    def answers(self) -> dict[str, str]:
        """By question."""
        return {"Side?": self.side, "Count?": COUNTS[self.marks - 1], "Shape?": self.shape}

    @property
    def thought(self) -> str:
        """What there is to see, before a question is answered."""
        return (
            "I look at the marks in the head and describe what I see. "
            f"Their number is {COUNTS[self.marks - 1]}. Their shape is {self.shape}. Their side is {self.side}. "
            "From these findings the answer follows."
        )


def pictures(folder: Path, count: int, seed: int) -> list[Picture]:
    """`count` scenes by chance; the same whatever their number."""
    found = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        shape, side, marks = SHAPES[rng.integers(3)], SIDES[rng.integers(2)], int(rng.integers(1, 4))
        found.append(Picture(folder / "images" / f"{seed}_{number}.png", (seed, number), shape, side, marks))
    return found


def _draw(picture: Picture) -> None:
    scene = Scene("ct", (Finding(picture.shape, picture.side, count=picture.marks, size="huge"),))  # type: ignore[arg-type]
    rng = np.random.default_rng((*picture.seed, 1))
    draw_scene(scene, SIZE_PX, rng).save(picture.path, compress_level=1)


def draw(
    folder: Path,
    count: int,
    seed: int,
    *,
    questions: Sequence[str] = QUESTIONS,
    split: str = "train",
    processes: int = 1,
) -> None:
    """Pictures, and questions with bare answers, in VQA-RAD's layout."""
    drawn = pictures(folder, count, seed)
    (folder / "images").mkdir(parents=True)
    if processes == 1:
        for picture in drawn:
            _draw(picture)
    else:
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(_draw, drawn, chunksize=64))
    rows = [
        {
            "qid": 3 * number + QUESTIONS.index(question), "image_name": picture.path.name, "image_organ": "HEAD",
            "answer": picture.answers[question], "answer_type": "OPEN", "question_type": question[:-1].upper(),
            "question": question, "phrase_type": "freeform",
        }
        for number, picture in enumerate(drawn) for question in questions
    ]  # fmt: skip
    (folder / f"{split}set.json").write_text(json.dumps(rows), "utf-8")


def draw_reasoned(folder: Path, count: int, seed: int) -> None:
    """Pictures, and questions with reasoned answers, in LLaVA's layout."""
    drawn = pictures(folder, count, seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, picture in enumerate(drawn):
        _draw(picture)
        for question, answer in picture.answers.items():
            said = f"<think>{picture.thought}</think>{answer}"
            rows.append(
                {
                    "id": f"{number}{question[:-1]}", "image": f"images/{picture.path.name}",
                    "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": said}],
                }
            )  # fmt: skip
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def build(out: Path, name: str, manifest: Mapping[str, Any]) -> Path:
    """The folder of a finished build of `manifest`, made by the command."""
    path = out / f"{name}.yaml"
    whole = {"name": name, "root": str(out.resolve()), "dedup": {"exact": False, "near": False}, **manifest}
    path.write_text(json.dumps(whole, indent=1), "utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "infimed_data.cli", "build", str(path), "--quiet"]
    command += ["--out", str(out / "builds"), "--work", str(out / "work")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


def source(location: str, *, adapter: str = "vqa_rad", split: str = "train") -> dict[str, Any]:
    """A source of the drawn world, as a manifest has it."""
    found = {"adapter": adapter, "location": location, "category": "medical_vqa", "license": "CC0-1.0"}
    return found | ({"split": split} if adapter == "vqa_rad" else {"options": {"medical": "keep"}})


def bare(location: str, *, split: str = "train") -> dict[str, Any]:
    """A manifest whose completions are bare answers."""
    outputs = {"sft": {"system": SYSTEM, "answer_tags": False}, "rl": {"system": SYSTEM}}
    return {"sources": {"world": source(location, split=split)}, "outputs": outputs}


def blind(build: Path, to: Path, *, grey: bool) -> Path:
    """The same build with an even grey in place of each picture, or with no picture in any row."""
    shutil.copytree(build, to)
    buffer = BytesIO()
    PIL.Image.new("L", (SIZE_PX, SIZE_PX), 60).save(buffer, "PNG")
    shown = [{"bytes": buffer.getvalue(), "path": None}] if grey else []
    for file in (to / "sft").glob("*.parquet"):
        table = pq.read_table(file)
        field = table.schema.field("images")
        column = pa.array([shown] * len(table), field.type)
        pq.write_table(table.set_column(table.column_names.index("images"), field, column), file)
    return to
