"""What every machine of a cluster has to share with the one that runs the build: folders, sources, code, versions.

The build's machine leaves a mark in each folder that is written to; another machine must read it there, and one file
more that it writes must be read here. A worker looks before its first task, so a machine that joins later is asked too.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infimed_data.errors import disk_error
from infimed_data.storage.stages import code_digest

__all__ = ["Shared", "marked", "why_not_here"]

_SEEN: dict[str, str | None] = {}
"""What this process found, by token."""


@dataclass(frozen=True)
class Shared:
    """What a machine has to share, besides Ray's and Python's versions, which Ray looks after."""

    folders: tuple[Path, ...]
    """Folders that are written to; absolute."""
    files: tuple[tuple[Path, int], ...]
    """Files of sources that tasks read, and their sizes; absolute."""
    versions: Mapping[str, str]
    """Packages whose version can change a byte."""
    code: str
    """Digest of this package's code."""
    token: str

    @staticmethod
    def of(folders: Sequence[Path], files: Sequence[Path], versions: Mapping[str, str]) -> Shared:
        """What this machine has, right now."""
        sizes = tuple((path, path.stat().st_size) for path in dict.fromkeys(files))
        return Shared(tuple(dict.fromkeys(folders)), sizes, dict(versions), code_digest("."), uuid.uuid4().hex)


def _mark(folder: Path, token: str) -> Path:
    return folder / f".seen-by-all-{token}"


@contextlib.contextmanager
def marked(shared: Shared) -> Iterator[None]:
    """Leaves the marks while a cluster is used."""
    try:
        for folder in shared.folders:
            _mark(folder, shared.token).write_text(shared.token, "ascii")
        yield
    except OSError as error:
        raise disk_error(error, "marking a folder for the cluster's machines:") from error
    finally:
        for folder in shared.folders:
            with contextlib.suppress(OSError):
                _mark(folder, shared.token).unlink(missing_ok=True)


def why_not_here(shared: Shared) -> str | None:
    """Why this machine cannot work on the build, in one line; None where it can. Remembered by process."""
    if shared.token not in _SEEN:
        fault = _fault(shared)
        _SEEN[shared.token] = f"machine {socket.gethostname()}: {fault}" if fault is not None else None
    return _SEEN[shared.token]


def _fault(shared: Shared) -> str | None:
    for folder in shared.folders:
        try:
            there = _mark(folder, shared.token).read_text("ascii")
        except OSError:
            there = ""
        if there != shared.token:
            return f"{folder} is not the folder that the build writes to; put it on a file system that all machines see"
        try:
            probe = folder / f".probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            return f"{folder}: {error.strerror}; it must be writable on all machines"
    for path, size in shared.files:
        try:
            found = path.stat().st_size
        except OSError as error:
            return f"{path}: {error.strerror}; put the source where all machines see it"
        if found != size:
            return f"{path} has {found:,} bytes there and {size:,} here; put the source where all machines see it"
    for name, version in shared.versions.items():
        try:
            found_version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found_version = "missing"
        if found_version != version and name != "infimed-toolkit":
            return f"{name} is {found_version} there and {version} here; install one version on all machines"
    if code_digest(".") != shared.code:
        return "another infimed-toolkit is installed there; install one version on all machines"
    return None
