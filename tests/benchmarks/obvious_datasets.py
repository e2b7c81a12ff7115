"""The peer: a VQA-RAD folder made into one Parquet file with `datasets`, the way its documentation suggests.

    python tests/benchmarks/obvious_datasets.py ../shared/real/vqa_rad out.parquet

Rows as JSON, an `Image` column, a filter on the answer and on the image's sides, exact duplicates dropped by image
bytes, question and answer, images embedded. It does less than a build: no ledger of drops, no uids, no splits, no
resume. Each distinct file is decoded once and opened for its size on every row (`--decode rows` decodes on every row,
as `datasets` does when a function touches the column). `--embed last` is what a second look would find: duplicates by a
digest of the file, and only what is kept gets its bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import datasets
from datasets.table import embed_table_storage
from PIL import Image

MIN_SIDE_PX = 28


def plain(text: str) -> str:
    """Text without differences in case and white space."""
    return " ".join(text.casefold().split())


@cache
def decodes(path: str) -> bool:
    """Whether the picture decodes."""
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def embedded(data: Any) -> Any:
    """`data` with the bytes of its images in place of their paths."""
    data = data.cast_column("image", datasets.Image())
    data = data.with_format("arrow").map(embed_table_storage, batched=True).with_format(None)
    return data.cast_column("image", datasets.Image(decode=False))


def build(folder: Path, out: Path, *, cache_dir: Path, decode: str = "distinct", embed: str = "first") -> int:
    """Rows written to `out`."""

    def rows() -> Iterator[dict[str, Any]]:
        for name in ("trainset.json", "testset.json"):
            for row in json.loads((folder / name).read_text("utf-8")):
                yield {**row, "answer": str(row["answer"])}  # ten are JSON numbers

    def usable(row: dict[str, Any]) -> bool:
        if not row["answer"].strip():
            return False
        if decode == "rows":
            return bool(min(row["image"].size) >= MIN_SIDE_PX)
        path = row["image"]["path"]
        if not decodes(path):
            return False
        with Image.open(path) as image:
            return min(image.size) >= MIN_SIDE_PX

    seen: set[bytes] = set()

    def first(row: dict[str, Any]) -> bool:
        text = f"{plain(row['question'])}\0{plain(row['answer'])}\0".encode()
        image = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
        key = hashlib.sha256(text + image).digest()
        if key in seen:
            return False
        seen.add(key)
        return True

    data = datasets.Dataset.from_generator(rows, cache_dir=str(cache_dir))
    data = data.map(lambda row: {"image": str(folder / "images" / row["image_name"])})
    data = data.cast_column("image", datasets.Image(decode=decode == "rows"))
    data = data.filter(usable).cast_column("image", datasets.Image(decode=False))
    data = embedded(data).filter(first) if embed == "first" else embedded(data.filter(first))
    data.cast_column("image", datasets.Image()).to_parquet(out)
    return len(data)


def main() -> int:
    """Builds and prints the number of rows."""
    parser = argparse.ArgumentParser(description="VQA-RAD to Parquet with `datasets`.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--decode", choices=("distinct", "rows"), default="distinct")
    parser.add_argument("--embed", choices=("first", "last"), default="first")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=given.out.parent) as cache_dir:
        rows = build(given.folder, given.out, cache_dir=Path(cache_dir), decode=given.decode, embed=given.embed)
    print(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
