"""The rows of a build's outputs one by one, a batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from infimed_data.errors import BuildError

__all__ = ["TAG", "Row", "rows_of", "splits_of"]

TAG = "<image>"
BATCH_ROWS = 64


@dataclass(frozen=True)
class Row:
    """One row of an output."""

    output: str
    split: str
    index: int
    """Its position in the split."""
    uid: str
    source: str
    category: str
    messages: list[dict[str, str]]
    """Role and content, with `<image>` where a picture stands; the last is the assistant's in `sft`, else a user's."""
    images: list[bytes]
    gold: Mapping[str, Any] = field(default_factory=dict)
    """answer, answer_label, answer_kind and options; only for `rl`."""


def splits_of(build: Path, output: str) -> dict[str, list[Path]]:
    """Files of each split of an output, in order."""
    files: dict[str, list[Path]] = {}
    for split in ("train", "validation"):
        found = sorted((build / output).glob(f"{split}-*.parquet"))
        if found:
            files[split] = found
    return files


def rows_of(build: Path, output: str, split: str, files: Sequence[Path]) -> Iterator[Row]:
    """The rows of one split in their order."""
    about = _about(build, output, split)
    index = 0
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
            for record in batch.to_pylist():
                known = about.get(index)
                if known is None:
                    raise BuildError(f"{build}: {output}/{split} has a row {index} that samples.parquet does not know")
                yield _row(record, output, split, index, known)
                index += 1


def _about(build: Path, output: str, split: str) -> dict[int, dict[str, Any]]:
    """What samples.parquet knows of the row at each position; further traces of a sample are in candidates.parquet."""
    place = f"{output}_position"
    wanted = ["uid", "source", "category", "image_slots"]
    samples = pl.scan_parquet(build / "samples.parquet").with_columns(
        talk=pl.col("turns").list.len() if output == "sft" else pl.lit(0)
    )
    found = samples.filter(pl.col(f"{output}_split") == split).select(*wanted, "talk", place).collect()
    more = build / "candidates.parquet"
    if output == "sft" and more.exists():
        placed = pl.scan_parquet(more).filter(pl.col("sft_split") == split).select("uid", "sft_position").collect()
        further = placed.join(found.select(pl.exclude(place)), on="uid", how="inner").select(found.columns)
        found = pl.concat([found, further.cast(found.schema)])
    return {int(row[place]): row for row in found.unique(place, keep="first").iter_rows(named=True)}


def _row(record: Mapping[str, Any], output: str, split: str, index: int, known: Mapping[str, Any]) -> Row:
    messages = [*record["prompt"], *(record.get("completion") or [])]
    plain = [message["content"] for message in messages]
    images = [image["bytes"] for image in record["images"] or []]
    slots = [(slot["turn"], slot["offset"]) for slot in known["image_slots"] or []]
    if len(slots) != len(images):
        slots = [(0, 0)] * len(images)
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    # A conversation's turns are counted from its first one; the build may have put a system message in front of it.
    before = len(messages) - known["talk"] if known["talk"] else (users[0] if users else 0)
    placed: dict[int, list[int]] = {}
    for turn, offset in slots:
        at = before + turn if known["talk"] and turn else before
        at = at if at < len(messages) and messages[at]["role"] == "user" else (users[0] if users else 0)
        placed.setdefault(at, []).append(offset)
    contents = [_tagged(text, placed.get(number, [])) for number, text in enumerate(plain)]
    gold = {name: record.get(name) for name in ("answer", "answer_label", "answer_kind", "options")}
    return Row(
        output, split, index, known["uid"], known["source"], known["category"],
        [{"role": m["role"], "content": text} for m, text in zip(messages, contents, strict=True)],
        images, gold if output == "rl" else {},
    )  # fmt: skip


def _tagged(text: str, offsets: Sequence[int]) -> str:
    """`text` with a tag before each of the characters at `offsets`."""
    for offset in sorted(offsets, reverse=True):
        at = min(offset, len(text))
        text = f"{text[:at]}{TAG}{text[at:]}"
    return text
