"""A manifest of very many made-up rows: four sources, two with pictures, a tenth planted duplicates, two benchmarks.

    python tests/benchmarks/make_mixed.py FOLDER --rows 100000 --seed 7

A quarter of the rows each: exams (MedQA's layout), conversations (OpenAI's), questions about pictures embedded in
Parquet and about picture files (PathVQA's two layouts), five questions a picture. Of each source one row in twenty
repeats an earlier one and one in twenty is an earlier one edited: a word of the text is exchanged, or the picture was
encoded again at another size. The benchmarks are an exam and questions about pictures; one in a hundred of their rows
stands in a source too.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from make_rows import Row, chat_row, exam_row, write_json, write_lines
from PIL import Image, ImageDraw

ROWS_A_PICTURE = 5
BENCHMARK_SHARE = 50
"""One benchmark row for so many rows."""
_ORGANS = ("lung", "liver", "kidney", "heart", "brain", "spleen", "knee", "pelvis", "spine", "breast", "thyroid", "eye")
_SIGNS = (
    "a mass", "an effusion", "a fracture", "calcification", "oedema", "a cyst", "air", "a stone", "thickening",
    "an infarct", "a nodule", "a foreign body", "haemorrhage", "a stricture", "necrosis",
)  # fmt: skip
_SIDES = ("left", "right", "upper", "lower", "central", "anterior", "posterior", "medial", "lateral")
CELLS = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("question", pa.string()),
        ("answer", pa.string()),
    ]
)


def picture(seed: int, number: int, *, changed: bool = False) -> bytes:
    """A picture of some 100 pixels a side: tissue that no other number has, with a few shapes; JPEG."""
    rng = np.random.default_rng([seed, number])
    width, height = int(rng.integers(88, 120)), int(rng.integers(80, 112))
    values = np.zeros((height, width), np.float32)
    for cells, share in ((4, 0.5), (9, 0.3), (20, 0.2)):
        coarse = rng.random((cells, cells), dtype=np.float32)
        values += share * np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 5))):
        x, y, size = (int(rng.integers(0, limit)) for limit in (width, height, 34))
        draw.ellipse((x - size, y - size // 2, x + size, y + size), fill=int(rng.integers(0, 256)))
    if changed:
        image = image.resize((width * 4 // 5, height * 4 // 5), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=70 if changed else 85)
    return out.getvalue()


def _asked(draw: random.Random) -> tuple[str, str]:
    """A question about a picture and its answer."""
    organ, sign, side = draw.choice(_ORGANS), draw.choice(_SIGNS), draw.choice(_SIDES)
    kind = draw.randrange(4)
    if kind == 0:
        return f"Is there {sign} in the {side} part of the {organ}?", draw.choice(("yes", "no"))
    if kind == 1:
        return f"What is seen in the {side} {organ} beside {sign}?", draw.choice(_SIGNS)
    if kind == 2:
        return f"Where in the {organ} does {sign} lie, seen from the {side} side?", f"{draw.choice(_SIDES)} part"
    return f"Which organ is {side} of {sign}?", draw.choice(_ORGANS)


def _edited(text: str, draw: random.Random) -> str:
    """`text` with one word exchanged."""
    words = text.split(" ")
    words[draw.randrange(len(words))] = draw.choice(("perhaps", "reportedly", "notably", "apparently"))
    return " ".join(words)


def _planted(number: int) -> str:
    """What row `number` is: `copy`, `edited` or `fresh`."""
    return {9: "copy", 19: "edited"}.get(number % 20, "fresh")


def exams(rows: int, seed: int) -> Iterator[Row]:
    """Rows of an exam; what is copied stands among the last thousand."""
    draw = random.Random(seed)
    recent: list[Row] = []
    for number in range(rows):
        kind = _planted(number) if recent else "fresh"
        row = exam_row(draw) if kind == "fresh" else dict(draw.choice(recent))
        if kind == "edited":
            row["question"] = _edited(row["question"], draw)
        recent = [*recent[-999:], row] if kind == "fresh" and number % 10 == 0 else recent
        yield row


def chats(rows: int, seed: int) -> Iterator[Row]:
    """Conversations."""
    draw = random.Random(seed)
    recent: list[Row] = []
    for number in range(rows):
        kind = _planted(number) if recent else "fresh"
        row = chat_row(draw, number) if kind == "fresh" else json.loads(json.dumps(draw.choice(recent)))
        row["id"] = f"chat-{number}"
        if kind == "edited":
            row["messages"][0]["content"] = _edited(row["messages"][0]["content"], draw)
        recent = [*recent[-999:], row] if kind == "fresh" and number % 10 == 0 else recent
        yield row


def shown(rows: int, seed: int) -> Iterator[tuple[int, bool, str, str]]:
    """(number of the picture, whether it is a changed copy of that, question, answer) of each row.

    Each tenth picture is an earlier one with the same questions; every other one of these was changed.
    """
    draw = random.Random(seed)
    recent: list[tuple[int, list[tuple[str, str]]]] = []
    for number in range(max(1, rows // ROWS_A_PICTURE)):
        asked = [_asked(draw) for _ in range(ROWS_A_PICTURE)]
        own, changed = number, False
        if number % 10 == 9:
            (own, asked), changed = draw.choice(recent), number % 20 == 19
        elif number % 10 == 0:
            recent = [*recent[-99:], (number, asked)]
        for question, answer in asked:
            yield own, changed, question, answer


def write_embedded(target: Path, rows: int, seed: int, *, file_rows: int = 10_000) -> None:
    """PathVQA's Parquet files, a picture in each row."""
    target.mkdir(parents=True, exist_ok=True)
    made: dict[tuple[int, bool], bytes] = {}
    batch: list[Row] = []
    parts = 0

    def flush() -> None:
        nonlocal parts, batch
        table = pa.Table.from_pylist(batch, CELLS)
        pq.write_table(table, target / f"train-{parts:05d}.parquet", row_group_size=1000, compression="none")
        parts, batch = parts + 1, []

    for number, changed, question, answer in shown(rows, seed):
        key = (number, changed)
        if key not in made:
            made = {key: picture(seed, number, changed=changed)}
        batch.append({"image": {"bytes": made[key], "path": None}, "question": question, "answer": answer})
        if len(batch) == file_rows:
            flush()
    if batch:
        flush()


def write_files(target: Path, rows: int, seed: int, *, split: str = "train", leaked: tuple[int, int] = (0, 0)) -> None:
    """PathVQA's JSON with picture files. `leaked` pictures are (how many, of the source with which seed)."""
    folder = target / "images" / split
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for at, (number, changed, question, answer) in enumerate(shown(rows, seed)):
        own, of_seed = number, seed
        if at // ROWS_A_PICTURE < leaked[0]:
            own, of_seed = 10 * (at // ROWS_A_PICTURE), leaked[1]
        name = f"{of_seed}_{own:07d}{'c' if changed else ''}"
        path = folder / f"{name}.jpg"
        if not path.exists():
            path.write_bytes(picture(of_seed, own, changed=changed))
        listed.append({"image": name, "question": question, "answer": answer})
    write_json(target / f"{split}_qa.json", listed)


def make_mixed(target: Path, rows: int, *, seed: int = 7, processes: int = 2) -> Path:
    """The manifest, in `target`, of about `rows` rows."""
    each, held = rows // 4, max(50, rows // 4 // BENCHMARK_SHARE)
    leaks = max(1, held // 100)

    def exam_benchmark() -> Iterator[Row]:
        taken = (row for number, row in enumerate(exams(20 * leaks, seed)) if number % 20 == 0)
        yield from taken
        yield from exams(held - leaks, seed + 50)

    jobs = [
        partial(write_embedded, target / "cells", each, seed + 2),
        partial(write_files, target / "files", each, seed + 3),
        partial(
            write_files, target / "held_pictures", held, seed + 60, split="test",
            leaked=(max(1, leaks // ROWS_A_PICTURE), seed + 2),
        ),
    ]  # fmt: skip
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(job) for job in jobs]
        write_lines(target / "exam" / "train.jsonl", exams(each, seed))
        write_lines(target / "chat" / "rows.jsonl", chats(each, seed + 1))
        write_lines(target / "held_exam" / "test.jsonl", exam_benchmark())
        for future in futures:
            future.result()
    manifest = target / "mixed.yaml"
    manifest.write_text(
        f"""name: mixed
root: {json.dumps(str(target.resolve()))}
sources:
  exam: {{adapter: medqa, location: exam, category: medical_text}}
  chat: {{adapter: chat, location: chat/rows.jsonl, category: general_text}}
  cells: {{adapter: path_vqa, location: cells, category: medical_vqa}}
  files: {{adapter: path_vqa, location: files, category: medical_vqa}}
benchmarks:
  held_exam: {{adapter: medqa, location: held_exam, split: test}}
  held_pictures: {{adapter: path_vqa, location: held_pictures, split: test}}
outputs: {{sft: {{validation: 0.01}}, rl: {{mixture: {{total: {max(100, rows // 20)}}}}}}}
""",
        "utf-8",
    )
    return manifest


def main() -> int:
    """Writes one set."""
    parser = argparse.ArgumentParser(description="A large manifest of made-up rows.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    print(make_mixed(given.target, given.rows, seed=given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
