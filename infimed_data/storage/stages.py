"""The work folder: stage outputs under content keys, finished whole or not at all, shared by any number of builds.

    .infimed/stages/<kind>/<name>/<key>/part-00000.arrow ... done.json

A part is written to a temporary name and renamed, so a killed run leaves whole parts only; `done.json` comes last.
A lock keeps two builds from doing the same stage twice: the second waits, then finds it done.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from infimed_data.errors import StorageError, disk_error

__all__ = [
    "Fingerprints",
    "Stage",
    "Watcher",
    "Written",
    "atomic_write",
    "code_digest",
    "key_of",
    "locked",
    "read_table",
    "replacing",
    "watching",
    "write_parquet",
    "write_table",
    "written_files",
]

_PACKAGE = Path(__file__).resolve().parent.parent
_IPC = pa.ipc.IpcWriteOptions(compression="lz4")


def key_of(*parts: object) -> str:
    """A 32-digit hex key of JSON-like parts; equal parts give equal keys, mapping order does not matter."""
    return xxhash.xxh3_128_hexdigest(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


@lru_cache(maxsize=128)
def code_digest(*modules: str) -> str:
    """Digest of the source of this package's `modules` (such as "adapters/slake.py"): a stage's code version."""
    digest = xxhash.xxh3_128()
    for module in sorted(modules):
        path = _PACKAGE / module
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(_PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


Written = tuple[Path, int]
"""A file that was written whole, and its size."""
_watched: list[Written] | None = None


@contextlib.contextmanager
def written_files() -> Iterator[list[Written]]:
    """Gives a list that fills with the files that this process finishes writing: what another machine has to see."""
    global _watched
    found: list[Written] = []
    _watched = found
    try:
        yield found
    finally:
        _watched = None


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool) -> Iterator[Path]:
    """Gives a temporary path; on leaving without an error it is renamed to `path`, and flushed to disk if `durable`."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            if durable:
                os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        temporary.replace(path)
        if _watched is not None:
            _watched.append((path, size))
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path; on leaving without an error it is flushed to disk and renamed to `path`."""
    try:
        with replacing(path, durable=True) as temporary:
            yield temporary
    except OSError as error:
        raise disk_error(error, f"writing {path.name} in {path.parent}:") from error


def write_table(path: Path, batches: Iterator[pa.RecordBatch] | pa.Table, schema: pa.Schema) -> int:
    """Writes an Arrow IPC file whole or not at all; returns its number of rows."""
    rows = 0
    with (
        atomic_write(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema, options=_IPC) as writer,
    ):
        for batch in batches.to_batches(max_chunksize=8192) if isinstance(batches, pa.Table) else batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def write_parquet(path: Path, frame: pl.DataFrame, schema: pa.Schema) -> int:
    """Writes a table of a build whole or not at all, with the columns of `schema`; returns its number of rows."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=65536)
    return len(frame)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """An Arrow IPC file as a table."""
    with pa.memory_map(str(path)) as source:
        options = pa.ipc.IpcReadOptions(
            included_fields=None
            if columns is None
            else [pa.ipc.open_file(source).schema.get_field_index(c) for c in columns],
            use_threads=False,
        )
        source.seek(0)
        return pa.ipc.open_file(source, options=options).read_all()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`, released when the process ends however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise disk_error(error, "opening") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Watcher(Protocol):
    """Somebody who wants to know what stages do."""

    def entering(self, stage: Stage) -> None:
        """Before a stage is looked at; what it raises keeps the stage from running."""
        ...

    def finished(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """After a stage has run."""
        ...


_watchers: list[Watcher] = []


@contextlib.contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Has `watcher` told of every stage of this process until left: to measure them, or to see what would run."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class Stage:
    """One stage's folder under its key."""

    def __init__(self, work: Path, kind: str, name: str, key: str) -> None:
        self.kind, self.name, self.key = kind, name, key
        self.folder = work / "stages" / kind / name / key
        self._done = self.folder / "done.json"

    def done(self) -> dict[str, Any] | None:
        """What `finish` recorded, or None while the stage is not finished."""
        try:
            found = orjson.loads(self._done.read_bytes())
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
            return None
        return found if isinstance(found, dict) else None

    def part(self, index: int) -> Path:
        """Path of a shard's output."""
        return self.folder / f"part-{index:05d}.arrow"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Holds the stage's lock, with leftovers of killed runs swept away."""
        for watcher in _watchers:
            watcher.entering(self)
        with locked(self.folder / ".lock"):
            for leftover in self.folder.glob(".tmp-*"):
                leftover.unlink(missing_ok=True)
            yield

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the completion marker, last of all."""
        with atomic_write(self._done) as temporary:
            temporary.write_bytes(orjson.dumps(dict(facts), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        for watcher in _watchers:
            watcher.finished(self, facts)
        return dict(facts)


class Fingerprints:
    """Content digests of files, remembered by path, size, time of change and inode: unchanged files are not read.

    A file that was changed less than two seconds before it was read is not remembered: a second change within the
    clock's step would go unseen.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / "fingerprints.json"
        self._known: dict[str, list[Any]] = {}
        self._fresh: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            loaded = orjson.loads(self._path.read_bytes())
            if isinstance(loaded, dict):
                self._known = loaded

    def lookup(self, path: Path) -> str | None:
        """The digest of `path` if it has not changed since it was last read."""
        status = path.stat()
        known = self._known.get(str(path.absolute()))
        if known and known[:3] == [status.st_size, status.st_mtime_ns, status.st_ino]:
            return str(known[3])
        return None

    def remember(self, path: Path, status: os.stat_result, digest: str, *, read_at_ns: int) -> None:
        """Keeps `digest`, which was computed from content read when `status` was taken."""
        if read_at_ns - status.st_mtime_ns > 2_000_000_000:
            self._fresh[str(path.absolute())] = [status.st_size, status.st_mtime_ns, status.st_ino, digest]

    def save(self) -> None:
        """Merges what is new into the file; a build that runs beside this one loses nothing."""
        if not self._fresh:
            return
        with locked(self._path.with_name(".fingerprints.lock")):
            merged: dict[str, list[Any]] = {}
            with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError):
                merged = orjson.loads(self._path.read_bytes())
            merged.update(self._fresh)
            with atomic_write(self._path) as temporary:
                temporary.write_bytes(orjson.dumps(merged))
        self._known.update(self._fresh)
        self._fresh.clear()


def file_digest(path: Path) -> str:
    """Digest of a file's bytes, read a block at a time."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while block := file.read(4 << 20):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex: what others can check without this package."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clear_folder(path: Path) -> None:
    """Removes a folder and what is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)
