"""Memory of builds of inputs several times larger than their `memory_limit`.

    python tests/benchmarks/bench_memory.py --folder FOLDER --limit "1 GB" --pictures 4000 --texts 60000

Writes pictures of 1 MB each as cells of Parquet, 200 to a row group, and conversations of some 20 kB a row; builds both
under the limit, and prints the size of the input and the most memory that all processes took together, of which the
kernel can take back what is mapped of files. With `--without` the same builds are measured without a limit too; a
number of 0 leaves one out.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from make_mixed import CELLS
from make_rows import Row, write_lines
from measure import run_measured
from PIL import Image

SIDE = 1000
GROUP_ROWS = 200
FILE_ROWS = 1000
WORDS = 3000


def picture(number: int) -> bytes:
    """A megabyte of grain; every tenth picture is the one before it."""
    rng = np.random.default_rng(number - number % 10 // 9)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(out, "PNG", compress_level=0)
    return out.getvalue()


def write_pictures(folder: Path, count: int) -> None:
    """Embedded pictures in the layout of PathVQA."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, count, FILE_ROWS)):
        with pq.ParquetWriter(folder / f"train-{number:05d}.parquet", CELLS, compression="none") as writer:
            for start in range(first, min(first + FILE_ROWS, count), GROUP_ROWS):
                rows = [
                    {
                        "image": {"bytes": picture(row), "path": None},
                        "question": f"What does picture {row} show beside the grain?",
                        "answer": f"mark {row % 97}",
                    }
                    for row in range(start, min(start + GROUP_ROWS, count))
                ]
                writer.write_table(pa.Table.from_pylist(rows, CELLS), row_group_size=GROUP_ROWS)


def conversations(count: int) -> Iterator[Row]:
    """Long answers; every tenth row is the one before it with a word exchanged."""
    rng = np.random.default_rng(5)
    words = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("ra", "ne", "lo", "ti", "mu")])
    said = ""
    for number in range(count):
        if number % 10 == 9:
            said = said.replace(" ", " perhaps ", 1)
        else:
            said = " ".join(words[rng.integers(0, len(words), WORDS)])
        asked = {"role": "user", "content": f"Tell me all about case {number}."}
        yield {"id": f"c{number}", "messages": [asked, {"role": "assistant", "content": said}]}


def manifest(folder: Path, name: str, source: str, limit: str | None) -> Path:
    """A manifest of one source."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nseed: 7\nroot: {json.dumps(str(folder.resolve()))}\n"
        + (f"memory_limit: {limit}\n" if limit else "")
        + f"sources:\n  {source}\noutputs:\n  sft: {{}}\n",
        "utf-8",
    )
    return path


def main() -> int:
    """Writes, builds, and prints a line a build."""
    parser = argparse.ArgumentParser(description="Memory of builds of inputs larger than their memory_limit.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--limit", default="1 GB")
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--texts", type=int, default=60_000)
    parser.add_argument("--without", action="store_true")
    given = parser.parse_args()
    sources = {}
    if given.pictures:
        write_pictures(given.folder / "cells", given.pictures)
        sources["cells"] = "cells: {adapter: path_vqa, location: cells, category: medical_vqa}"
    if given.texts:
        (given.folder / "chat").mkdir(parents=True, exist_ok=True)
        write_lines(given.folder / "chat" / "rows.jsonl", conversations(given.texts))
        sources["chat"] = "chat: {adapter: chat, location: chat/rows.jsonl, category: general_text}"
    for name, source in sources.items():
        size = sum(path.stat().st_size for path in (given.folder / name).iterdir())
        for limit in (given.limit, None) if given.without else (given.limit,):
            path = manifest(given.folder, name, source, limit)
            places = [f"--{what}={given.folder / f'{what}-{name}-{limit is None}'}" for what in ("out", "work")]
            usage = run_measured([sys.executable, "-m", "infimed_data.cli", "build", str(path), *places, "-q"])
            if usage.returncode:
                raise SystemExit(usage.stderr)
            print(
                f"{name}: {size / 1e9:.2f} GB of input, memory_limit {limit or 'none'}: {usage.wall_s:.0f} s, "
                f"PSS {usage.peak_pss_bytes / 1e9:.2f} GB at most, without mapped files "
                f"{usage.anonymous_at_peak_bytes / 1e9:.2f}; RSS {usage.peak_rss_bytes / 1e9:.2f} GB",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
