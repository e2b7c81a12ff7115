"""Small invented questions and pictures, of which the sample data of most data sets are made."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from disk import Row, World, jpeg, png, write_bytes
from PIL import Image

EXAM: Final[list[tuple[str, list[str], int]]] = [
    ("Which organ of the drawn patient makes bile?", ["Liver", "Spleen", "Heart", "Left lung"], 0),
    ("Which of these carries blood away from the heart?", ["A vein", "An artery", "A nerve", "A tendon"], 1),
    ("A ball is kicked against a shin. What is tested first?", ["Hearing", "Smell", "The pulse below it", "Taste"], 2),
    ("Which sugar is stored in the liver of an invented newt?", ["Lactose", "Fructose", "Maltose", "Glycogen"], 3),
    ("Which picture is made with sound?", ["Ultrasound", "Computed tomography", "A film", "A photograph"], 0),
    ("Which gas do lungs take up?", ["Helium", "Oxygen", "Neon", "Argon"], 1),
    ("What joins a muscle to a bone?", ["A nerve", "A vein", "A tendon", "A gland"], 2),
    ("Where in the drawing is the stomach?", ["In the skull", "In the knee", "In the hand", "In the belly"], 3),
]
ABOUT: Final[list[tuple[str, str]]] = [
    ("Is there a bright disc in the drawing?", "yes"),
    ("Which side is the disc on?", "left"),
    ("How many discs are drawn?", "2"),
    ("What shape is the bright mark?", "a disc"),
    ("Is the frame broken?", "no"),
    ("What lies beside the disc?", "a grey bar that runs from the top of the frame down to its lower edge"),
]


def picture(world: World, name: str, side: int = 40) -> Image.Image:
    """A grey field with a disc and a bar, another one for each name."""
    rng = world.rng(f"small {name}")
    y, x = np.mgrid[0:side, 0:side]
    cy, cx = rng.integers(10, side - 10, 2)
    radius = rng.integers(4, 9)
    grey = 40 + 60 * x / side + rng.normal(0, 6, (side, side))
    grey[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] += 120
    grey[:, int(rng.integers(2, side - 4)) :][:, :3] += 50
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def small_jpeg(world: World, name: str) -> bytes:
    return jpeg(picture(world, name))


def cell(world: World, name: str) -> Row:
    """An embedded image as the Hub stores it."""
    return {"bytes": png(picture(world, name)), "path": None}


def files(world: World, folder: Path, *names: str) -> None:
    """Pictures as files; the bytes are JPEG or, for other endings, PNG or BMP."""
    for name in names:
        write_bytes(folder / name, encoded(world, name))


def encoded(world: World, name: str) -> bytes:
    """A picture in the encoding that its name ends in."""
    kind = name.rpartition(".")[2].lower()
    if kind in ("jpg", "jpeg"):
        return small_jpeg(world, name)
    buffer = io.BytesIO()
    picture(world, name).save(buffer, {"bmp": "BMP", "tif": "TIFF"}.get(kind, "PNG"))
    return buffer.getvalue()


def members(world: World, *names: str) -> dict[str, bytes]:
    """Pictures as members of an archive."""
    return {name: encoded(world, name) for name in names}


def exam(index: int) -> tuple[str, list[str], str, str]:
    """(question, options, letter, text of the right option)."""
    question, options, right = EXAM[index % len(EXAM)]
    return question, list(options), "ABCD"[right], options[right]


def lettered(options: Sequence[str], mark: str = ". ", join: str = "\n") -> str:
    return join.join(f"{letter}{mark}{text}" for letter, text in zip("ABCDEFGHIJ", options, strict=False))


def pair(question: str, answer: str, roles: tuple[str, str] = ("human", "gpt")) -> list[Row]:
    return [{"from": roles[0], "value": question}, {"from": roles[1], "value": answer}]


def write_cells(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> None:
    """A table of text as pandas writes it."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, buffer.getvalue().encode())
