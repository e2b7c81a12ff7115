"""Invented texts and pictures of which stand-ins for data sets are made; equal names invent equal things."""

from __future__ import annotations

import csv
import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sample_data"))
from disk import IMAGE, INT32, STRING, Row, class_label, list_of, write_json, write_jsonl, write_parquet

__all__ = [
    "IMAGE",
    "INT32",
    "LETTERS",
    "STRING",
    "Counts",
    "Inventor",
    "Row",
    "cell",
    "class_label",
    "data_file",
    "list_of",
    "picture",
    "short_ask",
    "write_csv",
    "write_json",
    "write_jsonl",
    "write_parquet",
    "write_tar",
    "write_zip",
]

Counts = Mapping[str, int]
"""Rows by split."""

_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in ("a", "e", "i", "o", "u", "ar", "en", "il")]
LETTERS = "ABCDEFGHIJ"
_ZH = "病灶位于左侧肺叶上方还是下方心脏肝脾胃肾脑骨颅影像显示明亮暗淡区域形状大小颜色"


class Inventor:
    """Texts of one data set; equal seeds invent equal texts."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(crc32(name.encode()))

    def words(self, count: int) -> str:
        """Made-up words, of some 1.4 million."""
        picks = self.rng.integers(0, len(_SYLLABLES), (count, 3))
        return " ".join("".join(_SYLLABLES[i] for i in row) for row in picks)

    def question(self, words: int = 14) -> str:
        return f"Which {self.words(words)}?"

    def options(self, count: int = 4) -> tuple[list[str], int]:
        """(options, position of the right one)."""
        return [self.words(2).capitalize() for _ in range(count)], int(self.rng.integers(0, count))

    def thought(self) -> str:
        return ". ".join(self.words(12).capitalize() for _ in range(6)) + "."

    def chinese(self) -> str:
        return "".join(_ZH[i] for i in self.rng.integers(0, len(_ZH), 16)) + "?"


def picture(name: str, side: int = 64) -> bytes:
    """A small PNG of blobs and grain, another one for each name."""
    rng = np.random.default_rng(crc32(name.encode()))
    coarse, fine = (
        Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for cells in (6, 32)
    )
    out = io.BytesIO()
    Image.blend(coarse, fine, 0.35).save(out, "PNG", compress_level=1)
    return out.getvalue()


def cell(name: str) -> Row:
    return {"bytes": picture(name), "path": None}


def write_zip(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in dict.fromkeys(names):
            archive.writestr(zipfile.ZipInfo(name), picture(name))


def write_tar(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in dict.fromkeys(names):
            data = picture(name)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def data_file(split: str) -> str:
    return f"data/{split}-00000-of-00001.parquet"


def short_ask(make: Inventor, index: int) -> tuple[str, str]:
    """(question, answer): two in three are closed."""
    kind = index % 3
    answer = ("yes", "no")[int(make.rng.integers(0, 2))] if kind else make.words(1)
    return f"{'is' if kind else 'what'} {make.words(9)}?", answer
