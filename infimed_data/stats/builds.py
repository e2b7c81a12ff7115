"""Finds and opens a finished build.

builds/demo/3f2a90c1d4e7/
  samples.parquet drops.parquet images.parquet ...   each a table under its name
  lock.json                                          its `sources` are a table too
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from infimed_data.errors import QueryError
from infimed_data.schema import SOURCES
from infimed_data.stats.tables import shown

__all__ = ["Build", "open_build"]

LOCK_FORMAT = 1
NEEDED = ("samples", "drops", "images")
"""Tables that every build has."""
SHOWN_BUILDS = 10
_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A finished build."""

    path: Path
    lock: Mapping[str, Any]
    """What `lock.json` holds."""
    files: Mapping[str, Path]
    """Parquet file of each table, by the table's name; absolute, since Arrow takes `s3:/x` for an address."""
    sources: pa.Table
    """The lock's sources, with the columns of `schema.SOURCES`."""

    @property
    def label(self) -> str:
        """`name digest`, such as `demo 3f2a90c1d4e7`."""
        return f"{self.lock.get('name', self.path.parent.name)} {self.lock.get('build', self.path.name)}"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that SQL sees, sorted."""
        return tuple(sorted({*self.files, "sources"}))


def open_build(path: Path) -> Build:
    """The build in the folder `path`, or the only build below it (`builds/demo`).

    Raises `QueryError` in one line where there is no build, more than one, or one that is unfinished or damaged.
    """
    if not path.exists():
        raise QueryError(
            f"{shown(str(path))}: no such folder; give a build's folder: the last line of `infimed-data build`"
        )
    if not path.is_dir():
        raise QueryError(f"{shown(str(path))}: not a folder; give a build's folder, such as builds/demo/3f2a90c1d4e7")
    try:
        if (path / "lock.json").is_file():
            return _opened(path)
        if any(path.glob("*.parquet")) or (path / "sft").is_dir() or (path / "rl").is_dir():
            raise QueryError(f"{shown(str(path))}: unfinished: it has no lock.json; run its build again")
        below = _builds_below(path)
    except OSError as error:
        raise QueryError(f"{shown(str(path))}: cannot read: {error.strerror or error}") from error
    if len(below) == 1:
        return _opened(below[0])
    if not below:
        raise QueryError(f"{shown(str(path))}: not a build (no lock.json) and no build below it; give a build's folder")
    named = ", ".join(shown(str(build)) for build in below[:SHOWN_BUILDS])
    more = f" and {len(below) - SHOWN_BUILDS} more" if len(below) > SHOWN_BUILDS else ""
    raise QueryError(f"{shown(str(path))}: holds {len(below)} builds; give one, newest first: {named}{more}")


def _builds_below(path: Path) -> list[Path]:
    """Finished builds one floor below `path`, or else two, newest first; hidden folders are work in progress."""
    for pattern in ("*/lock.json", "*/*/lock.json"):
        locks = [lock for lock in path.glob(pattern) if not _hidden(lock.relative_to(path))]
        if locks:
            locks.sort(key=lambda lock: (-lock.stat().st_mtime_ns, str(lock)))
            return [lock.parent for lock in locks]
    return []


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _opened(path: Path) -> Build:
    lock = _lock(path / "lock.json")
    files = {
        file.stem: file
        for file in sorted(path.absolute().glob("*.parquet"))
        if file.is_file() and _TABLE_NAME.fullmatch(file.stem) and file.stem != "sources"
    }
    for name in NEEDED:
        if name not in files:
            raise QueryError(f"{shown(str(path))}: damaged: {name}.parquet is missing; run its build again")
    for file in files.values():
        _check_parquet(file)
    try:
        sources = pa.Table.from_pylist(list(lock.get("sources", [])), schema=SOURCES)
    except (pa.ArrowException, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise QueryError(f"{shown(str(path / 'lock.json'))}: damaged: sources: {_line(error)}") from error
    return Build(path=path, lock=lock, files=files, sources=sources)


def _lock(path: Path) -> dict[str, Any]:
    try:
        lock = orjson.loads(path.read_bytes())
    except OSError as error:
        raise QueryError(f"{shown(str(path))}: cannot read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise QueryError(f"{shown(str(path))}: damaged: not valid JSON: {error}") from error
    if not isinstance(lock, dict) or "format" not in lock:
        raise QueryError(f"{shown(str(path))}: not a build's lock.json: it has no `format`")
    if lock["format"] != LOCK_FORMAT:
        raise QueryError(
            f"{shown(str(path))}: format {lock['format']!r}; this version reads format {LOCK_FORMAT}; "
            f"use the version that wrote it, or build again"
        )
    return lock


def _check_parquet(file: Path) -> None:
    import pyarrow.parquet as pq

    try:
        pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise QueryError(f"{shown(str(file))}: damaged: {_line(error)}; run its build again") from error


def _line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return shown(lines[0])[:200].rstrip(". ") if lines else type(error).__name__
