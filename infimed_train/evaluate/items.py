"""Rows of a benchmark's build as questions: gold answer, images, and whether the question is closed or open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import xxhash

from infimed_data.text import normalise
from infimed_data.verify import Gold
from infimed_train.config import Benchmark, Data
from infimed_train.data import Rows, load_rows
from infimed_train.errors import TrainError

__all__ = ["Item", "Items", "load_items"]

_COLUMNS = ("uid", "question", "options", "answer", "answer_label", "answer_kind", "lang", "images", "meta")


@dataclass(frozen=True)
class Item:
    """One question of a benchmark."""

    benchmark: str
    uid: str
    position: int
    gold: Gold
    image_ids: tuple[str, ...]
    """Digests; rows that share one are not independent."""
    published: str | None
    """`closed` or `open` as the data set itself says; None where it does not."""
    rebuilt: str
    """`closed` if the answer is yes or no, else `open`: what is used where a copy has lost the data set's own word."""


@dataclass(frozen=True)
class Items:
    """All questions of a benchmark, their images read when they are asked for."""

    name: str
    items: Sequence[Item]
    rows: Rows
    digest: str
    left_out: int
    """Conversations of several turns, which are no single question."""

    def images(self, positions: Sequence[int]) -> Iterator[list[bytes]]:
        """The encoded images of the rows at `positions`."""
        chosen = self.rows.table.select_columns(["images"]).select(positions).with_format("arrow")
        for part in chosen.iter(len(positions)):
            for row in part.to_pylist():
                yield [_bytes(image) for image in row["images"] or []]


def load_items(name: str, benchmark: Benchmark, *, where: str) -> Items:
    """The questions of one benchmark.

    The gold answers come from the build's `samples` table, which has them for every output; else from the columns of
    an `rl` output.
    """
    data = Data(
        path=benchmark.path,
        output=benchmark.output,
        split=benchmark.split,
        revision=benchmark.revision,
        max_rows=benchmark.max_rows,
    )
    rows = load_rows(data, "eval", where=where)
    known = _samples(Path(benchmark.path), rows)
    items = []
    for position, row in enumerate(known if known is not None else _own(rows, where)):
        gold = Gold.from_row(row)
        if not gold.question.strip():
            continue
        meta = orjson.loads(row["meta"]) if row.get("meta") else {}
        published = str(meta.get("answer_type", "")).lower() if not meta.get("answer_type_rebuilt") else ""
        items.append(
            Item(
                benchmark=name,
                uid=str(row["uid"]),
                position=position,
                gold=gold,
                image_ids=tuple(row["images"]),
                published=published if published in ("closed", "open") else None,
                rebuilt="closed" if normalise(gold.answer) in ("yes", "no") else "open",
            )
        )
    if not items:
        raise TrainError(f"{where}: {rows.where} has no question; give a build of single questions")
    return Items(name, items, rows, rows.digest, len(rows) - len(items))


def _samples(build: Path, rows: Rows) -> list[Mapping[str, Any]] | None:
    path = build / "samples.parquet"
    if not path.is_file():
        return None
    wanted = {uid: position for position, uid in enumerate(rows.uids)}
    found: list[Any] = [None] * len(rows)
    for batch in pq.ParquetFile(path).iter_batches(columns=list(_COLUMNS)):
        for row in batch.to_pylist():
            position = wanted.get(row["uid"])
            if position is not None:
                found[position] = row
    if any(row is None for row in found):
        raise TrainError(f"{build}: samples.parquet does not hold every row of {rows.where}; build it again")
    return found


def _own(rows: Rows, where: str) -> Iterator[Mapping[str, Any]]:
    missing = {"answer", "answer_kind", "options"} - set(rows.table.column_names)
    if missing:
        raise TrainError(
            f"{where}: {rows.where} has no column {', '.join(sorted(missing))} and no samples.parquet beside it; "
            "give a build's folder, or an rl output"
        )
    for position, row in rows.raw():
        images = [xxhash.xxh3_128_hexdigest(_bytes(image)) for image in row["images"] or []]
        yield {**row, "uid": rows.uids[position], "images": images}


def _bytes(image: Mapping[str, Any]) -> bytes:
    data = image.get("bytes")
    return Path(str(image["path"])).read_bytes() if data is None else bytes(data)
