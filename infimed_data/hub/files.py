"""Which files of a build are published: all but what WITHHELD names, or ids and what may be read.

Ids and digests are facts that people with their own copy of a source can use: `lock.json` and those copies build the
same bytes again. Rows of a source whose terms allow it keep their texts; pictures are never among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimed_data.card import card_text
from infimed_data.errors import HubError

__all__ = ["WITHHELD", "Digests", "checked_files", "findings_left", "ids_files"]

WITHHELD = ("benchmarks.parquet", "evidence.parquet", "phi.parquet")
"""Questions and pictures of benchmarks, kept for those who judge leaks: in a training set they would be leaks. And the
places where rows may point at a person, which would lead others to them."""

_IDS = (
    "uid", "source", "split", "digest", "category", "license", "images", "output", "sft_split", "sft_position",
    "rl_split", "rl_position",
)  # fmt: skip
_DROP_IDS = ("uid", "source", "split", "stage", "rule", "twin", "file", "digest", "images")
_LEAK_IDS = ("uid", "source", "split", "benchmark", "benchmark_uid", "grade", "action", "score", "matches")
_BATCH_ROWS = 4096

Digests = dict[str, str]
"""SHA-256 of each file, by its path in the repository."""


def checked_files(build: Path, lock: Mapping[str, Any]) -> tuple[dict[str, Path], Digests]:
    """The files of a whole build by their path in it, and their digests, which must be those that the lock promises.

    Raises `HubError` where a file is missing or is not the one that was built.
    """
    promised = lock.get("sha256")
    if not isinstance(promised, Mapping):
        raise HubError(f"{build}: built by an older version, whose lock has no digests; build it again")
    files, digests = {}, {}
    for name, digest in promised.items():
        path = build / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise HubError(f"{path}: cannot read: {error.strerror}; {_again(build)}") from error
        if found != digest:
            raise HubError(f"{path}: changed since it was built; nothing was pushed; {_again(build)}")
        if name not in WITHHELD:
            files[name], digests[name] = path, digest
    return files, digests


def _again(build: Path) -> str:
    return f"remove {build} and build it again"


def findings_left(build: Path) -> int:
    """Findings of protected health information in texts and pictures of rows that the build kept."""
    if not (build / "phi.parquet").exists():
        return 0
    found = pl.scan_parquet(build / "phi.parquet").filter(pl.col("action") == "report").select("uid", "image")
    kept = pl.scan_parquet(build / "samples.parquet").select("uid", "images")
    texts = found.join(kept, on="uid", how="semi")
    pictures = found.join(kept.explode("images").drop_nulls("images"), left_on="image", right_on="images", how="semi")
    return sum(int(part.select(pl.len()).collect().item()) for part in (texts, pictures))


def ids_files(build: Path, closed: Collection[str], out: Path) -> dict[str, Path]:
    """Writes what may be published of a build with `closed` sources into `out`; returns the files by name.

    `ids` has each kept row's uid, digests and place in the outputs; `samples`, `candidates` and what else has texts
    have the rows of the other sources alone; of the closed sources' drops and leaks the ids are left. The card's
    pictures have counts only.
    """
    written = {"ids.parquet": _filtered(build / "samples.parquet", out / "ids.parquet", (), columns=_IDS)}
    for name, ids in (("drops", _DROP_IDS), ("leaks", _LEAK_IDS)):
        if (build / f"{name}.parquet").exists():
            path = out / f"{name}.parquet"
            written[path.name] = _filtered(build / path.name, path, closed, kept_ids=ids)
    for name in ("samples", "candidates", "generated", "difficulty"):
        if (build / f"{name}.parquet").exists():
            path = out / f"{name}.parquet"
            written[path.name] = _filtered(build / path.name, path, closed)
    plots = {f"plots/{path.name}": path for path in sorted((build / "plots").glob("*.png"))}
    return {name: out / name for name, rows in written.items() if rows} | plots


def _filtered(
    source: Path,
    out: Path,
    closed: Collection[str],
    *,
    columns: Collection[str] | None = None,
    kept_ids: Collection[str] | None = None,
) -> int:
    """Copies a table without the rows of closed sources, or with nothing but `kept_ids` of them; returns its rows."""
    rows = 0
    with pq.ParquetFile(source) as table:
        names = [name for name in table.schema_arrow.names if columns is None or name in columns]
        schema = pa.schema([table.schema_arrow.field(name) for name in names])
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in table.iter_batches(_BATCH_ROWS, columns=names):
                of = pc.list_element(pc.split_pattern(batch.column("uid"), "/", max_splits=1), 0)
                shut = pc.is_in(of, value_set=pa.array(sorted(closed), pa.string()))
                if kept_ids is None:
                    kept = batch.filter(pc.invert(shut))
                else:
                    kept = pa.RecordBatch.from_arrays(
                        [
                            column if name in kept_ids else pc.if_else(shut, pa.scalar(None, column.type), column)
                            for name, column in zip(names, batch.columns, strict=True)
                        ],
                        schema=schema,
                    )
                writer.write_batch(kept)
                rows += kept.num_rows
    return rows


def write_card(
    lock: Mapping[str, Any], repo: str, files: Collection[str], closed: Mapping[str, str], out: Path
) -> Path:
    """Writes the card of what is published as `repo`."""
    path = out / "README.md"
    tables = sorted(name.removesuffix(".parquet") for name in files if name.endswith(".parquet"))
    ids_only = "ids" in tables
    path.write_text(card_text(lock, repo=repo, tables=tables if ids_only else None, closed=closed), "utf-8")
    return path
