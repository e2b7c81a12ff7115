"""Rows as TRL takes them, with what the build's `samples` table says of each: uid, source, pass rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import xxhash

from infimed_train.config import Data
from infimed_train.errors import TrainError, did_you_mean

__all__ = ["Rows", "load_rows"]

NEEDED = {
    "sft": ("prompt", "completion", "images"),
    "grpo": ("prompt", "images", "answer", "answer_kind", "options"),
    "eval": ("prompt", "images"),
}
"""Columns that each task cannot do without."""


@dataclass(frozen=True)
class Rows:
    """A table of rows; the lists run along it."""

    table: Any
    """`datasets.Dataset` with `prompt`, `images` and more, images undecoded until a trainer takes them."""
    uids: Sequence[str]
    sources: Sequence[str] | None
    """None where nothing says what source a row is of."""
    pass_rates: Sequence[float | None] | None
    digest: str
    """What the rows are: a build's name and digest, or a Hub data set at its revision."""
    where: str
    """Data set, output and split, for messages."""

    def __len__(self) -> int:
        return len(self.uids)

    def take(self, indices: Sequence[int]) -> Rows:
        """The rows at `indices`, in that order; an index may come more than once."""
        return replace(
            self,
            table=self.table.select(indices),
            uids=[self.uids[i] for i in indices],
            sources=None if self.sources is None else [self.sources[i] for i in indices],
            pass_rates=None if self.pass_rates is None else [self.pass_rates[i] for i in indices],
        )

    def raw(self, batch: int = 256) -> Iterator[tuple[int, dict[str, Any]]]:
        """(position, row) with images as `{"bytes", "path"}`, not decoded, and nothing copied to a cache."""
        start = 0
        for part in self.table.with_format("arrow").iter(batch):
            for offset, row in enumerate(part.to_pylist()):
                yield start + offset, row
            start += len(part)


def load_rows(data: Data, task: str, *, split: str | None = None, where: str = "data") -> Rows:
    """The rows of one split. Raises `TrainError` in one line where the build, output, split or a column is not there.

    `where` is the place of `data` in the configuration, for messages.
    """
    split = split or data.split
    folder = Path(data.path)
    name = f"{data.path} {data.output}/{split}"
    if folder.is_dir():
        table = _of_build(folder, data.output, split, where)
        notes = _notes(folder, data.output, split, len(table))
        lock = folder / "lock.json"
        digest = f"{folder.parent.name}/{folder.name}"
        if lock.is_file():
            digest += f" lock {xxhash.xxh3_128_hexdigest(lock.read_bytes())}"
    else:
        table = _of_hub(data, split, where)
        notes = None
        digest = f"{data.path}@{data.revision}"
    missing = [column for column in NEEDED[task] if column not in table.column_names]
    if missing:
        raise TrainError(
            f"{where}: {name} has no column {', '.join(missing)}; {task} needs {', '.join(NEEDED[task])}"
            f"{'; output: rl' if task == 'grpo' else ''}"
        )
    if not len(table):
        raise TrainError(f"{where}: {name} has no rows")
    uids, sources, pass_rates = notes or _own_notes(table)
    rows = Rows(table, uids, sources, pass_rates, f"{digest} {data.output}/{split}", name)
    if data.max_rows is not None and data.max_rows < len(rows):
        rows = rows.take(range(data.max_rows))
    return rows


def _of_build(folder: Path, output: str, split: str, where: str) -> Any:
    outputs = sorted(p.name for p in folder.iterdir() if p.is_dir() and any(p.glob("*.parquet")))
    if output not in outputs:
        if not outputs:
            raise TrainError(
                f"{where}: {folder} is no finished build: it holds no output; give the folder that infimed-data printed"
            )
        raise TrainError(
            f"{where}: {folder} has no output {output!r}; allowed: {', '.join(outputs)}{did_you_mean(output, outputs)}"
        )
    splits = sorted({p.name.partition("-")[0] for p in (folder / output).glob("*.parquet")})
    files = sorted(map(str, (folder / output).glob(f"{split}-*.parquet")))
    if not files:
        raise TrainError(
            f"{where}: {folder}/{output} has no split {split!r}; allowed: {', '.join(splits)}"
            f"{did_you_mean(split, splits)}"
        )
    from datasets import Dataset, load_dataset

    try:
        table = load_dataset("parquet", data_files={split: files}, split=split)
    except Exception as error:  # datasets wraps Arrow's errors in its own
        raise TrainError(f"{where}: {folder}/{output}: not readable: {_first_line(error.__cause__ or error)}") from None
    assert isinstance(table, Dataset)
    return table


def _of_hub(data: Data, split: str, where: str) -> Any:
    if data.path.count("/") != 1 or data.path.startswith((".", "/")):
        raise TrainError(f"{where}: no build at {data.path}; give the folder that infimed-data printed, or OWNER/NAME")
    if data.revision is None:
        raise TrainError(
            f"{where}: no build at {data.path}; for a Hub data set of that name give its revision too (a commit)"
        )
    from datasets import load_dataset

    try:
        return load_dataset(data.path, data.output, split=split, revision=data.revision)
    except Exception as error:  # network, name, revision, split: each library in between has its own
        raise TrainError(f"{where}: {data.path}@{data.revision}: {_first_line(error)}") from None


Notes = tuple[list[str], list[str] | None, list[float | None] | None]


def _notes(folder: Path, output: str, split: str, count: int) -> Notes | None:
    """uid, source and pass rate of each row, from the build's `samples` table, which knows every row's position."""
    path = folder / "samples.parquet"
    if not path.is_file():
        return None
    schema = pq.read_schema(path)
    columns = [f"{output}_split", f"{output}_position", "uid", "source", "pass_rate"]
    if any(name not in schema.names for name in columns):
        return None
    table = pq.read_table(path, columns=columns, filters=[(columns[0], "=", split)]).sort_by(columns[1])
    if table.column(columns[1]).to_pylist() != list(range(count)):
        raise TrainError(f"{folder}: samples.parquet and {output}/{split} do not agree; build it again")
    return table.column("uid").to_pylist(), table.column("source").to_pylist(), table.column("pass_rate").to_pylist()


def _own_notes(table: Any) -> Notes:
    """The same from the table's own columns, for a data set that has no `samples` table."""
    names = table.column_names
    uids = list(table["uid"]) if "uid" in names else [str(i) for i in range(len(table))]
    return (
        uids,
        list(table["source"]) if "source" in names else None,
        list(table["pass_rate"]) if "pass_rate" in names else None,
    )


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
