"""A `Place` is the folder (or archive) of one source: its files, its archives' members, and safe access to both.

A reference is a plain string, relative to the place, that says where bytes are:

    images/synpic1.jpg                 a file
    imgs.zip!imgs/xmlab1/source.jpg    a member of a zip or tar archive
    data/train.parquet#3:17:image      row 17 of row group 3, column `image` of a Parquet file
    data/train.parquet#3:17:images[1]  the second image of a list
    VAL.tsv#5120:17:image              row 17 of a table of text, from byte 5120 on, where the image is base64

Nothing outside the place is ever opened: names that climb out, absolute names and links that lead out are refused.
"""

from __future__ import annotations

import errno
import os
import re
import time
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import translate
from functools import cached_property
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from infimed_data.errors import SourceError, did_you_mean
from infimed_data.schema import Reject
from infimed_data.storage.archives import list_members, member_stream, read_all
from infimed_data.storage.limits import ReadLimits
from infimed_data.storage.listing import Listing, tidy_name

__all__ = [
    "ARCHIVES", "IMAGE_ENDINGS", "PAUSES_S", "READ_FAILED", "FetchingPlace", "ImageFinder", "Place", "in_tasks",
    "is_cell", "refusal_of", "split_cell",
]  # fmt: skip

ARCHIVES = (".zip", ".tar")
_FETCHED_AT_ONCE = 8
_CELLS = 16
"""Tasks' sizes that the cells of one row group may take in one task."""
_BUILD = {"lock.json", "samples.parquet"}
"""What every build's folder holds."""
_TABLES = (".parquet", ".csv", ".tsv")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_PLAIN_FOLDER = re.compile(r"(?:images?|imgs?|figures?|figs?|pictures?|pics?)[_-]?\d*", re.IGNORECASE)
READ_FAILED = "image_read_failed"
"""Rule of an image that the disk or the network would not give just now: nothing is concluded from it, and it is read
again by the next run."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""What says that a file is not there, and will not be there when it is asked for again."""
PAUSES_S = (0.05, 0.3)
"""Pauses before a read that failed is tried again."""


class CellRef(NamedTuple):
    """A cell of a table that holds an image."""

    path: str
    row_group: int
    row: int
    column: str


def is_cell(ref: str) -> bool:
    """Whether `ref` names a cell of a table."""
    return "#" in ref and ref.partition("#")[0].endswith(_TABLES)


def split_cell(ref: str) -> CellRef:
    """The parts of a cell's reference."""
    path, _, rest = ref.rpartition("#")
    group, row, column = rest.split(":", 2)
    return CellRef(path, int(group), int(row), column)


def in_tasks(refs: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """`refs` in tasks of about `size`.

    Whoever reads a cell goes through its Parquet row group from the beginning: cells of one stay together, in their
    order, in tasks of up to `_CELLS` times `size`.
    """
    plain = [ref for ref in refs if not is_cell(ref)]
    tasks = [tuple(plain[start : start + size]) for start in range(0, len(plain), size)]
    task: list[str] = []
    cells = sorted((split_cell(ref), ref) for ref in refs if is_cell(ref))
    for _, members in groupby(cells, key=lambda cell: cell[0][:2]):
        group = [ref for _, ref in members]
        if task and len(task) + len(group) > size:
            tasks.append(tuple(task))
            task = []
        for start in range(0, len(group), _CELLS * size):
            task += group[start : start + _CELLS * size]
            if len(task) >= size:
                tasks.append(tuple(task))
                task = []
    return [*tasks, tuple(task)] if task else tasks


class Place:
    """One source's root. `location` is a folder, one data file, or one zip/tar that is read as a folder."""

    limits = ReadLimits()

    def __init__(self, location: Path, *, only: str | None = None) -> None:
        if only is None and not location.exists():
            raise SourceError(f"{location}: no such file or folder{_nearby(location)}")
        single = only is None and location.is_file()
        self.root = location.parent if single else location
        self.only = location.name if single else only
        """The one file that the location names, if it names a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return _place, (str(self.root), self.only), {"limits": self.limits}

    @cached_property
    def _allowed_root(self) -> Path:
        root = self.root.resolve()
        # A Hub cache snapshot is a folder of links into its repository's `blobs`, which belongs to the place.
        return root.parent.parent if root.parent.name == "snapshots" else root

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All files below the root, as sorted relative POSIX paths.

        Without hidden files, links out of the root, and what is no file: a pipe would never end.
        """
        found = []
        pending = [""]
        while pending:
            below = pending.pop()
            folder = self.root / below
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise SourceError(f"{folder}: cannot list: {error.strerror}") from error
            if below and {entry.name for entry in entries} >= _BUILD:
                continue  # a build that lies below its own sources is none of them
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and not self._holds(entry.path):
                    continue
                try:
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # a link that leads to itself
                    continue
                if is_folder:
                    if not entry.is_symlink():
                        pending.append(f"{below}{entry.name}/")
                elif is_file:
                    found.append(f"{below}{entry.name}")
        return tuple(sorted(found))

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Names that may hold rows: the plain files, or the members of the archive that the location names."""
        if self.only is None:
            return self.names
        if self.only.endswith(ARCHIVES):
            return tuple(f"{self.only}!{member}" for member in self.members(self.only))
        return (self.only,)

    def find(self, *patterns: str) -> list[str]:
        """Table files whose path or base name matches one of `patterns` (shell style), shallowest first."""
        wanted = re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns))
        hits = []
        for name in self.tables:
            inner = name.rpartition("!")[2]
            if wanted.match(inner) or wanted.match(inner.rpartition("/")[2]):
                hits.append(name)
        return sorted(hits, key=lambda n: (n.count("/"), n))

    def path(self, name: str) -> Path:
        """The path of a plain file of this place; raises `SourceError` where it leads out of the root."""
        path = self.root / name
        if not self._holds(path):
            how = "climbs" if ".." in PurePosixPath(name).parts or name.startswith("/") else "a link"
            raise SourceError(f"{path}: {how} out of {self.root}; copy the file there")
        return path

    def _holds(self, path: str | Path) -> bool:
        """Whether a path lies below the root, all links followed."""
        return Path(os.path.realpath(path)).is_relative_to(self._allowed_root)

    def members(self, archive: str) -> Listing:
        """Members of an archive: tidy name to where it is. Those whose names climb out are left out."""
        return list_members(self.path(archive), self.limits)

    def open_member(self, archive: str, member: str) -> IO[bytes]:
        """A member of an archive, by its tidy name; the archive may spell it with backslashes or a leading dot."""
        path = self.path(archive)
        return member_stream(path, list_members(path, self.limits)[member])

    def read(self, ref: str, *, max_bytes: int) -> bytes:
        """The bytes of a file or an archive member.

        Raises `Reject` (`image_missing`, `image_too_large`, `image_unreadable`) for what cannot be read, and of the
        rule `READ_FAILED` for what could not be read now, after some tries.
        """
        for pause_s in (*PAUSES_S, None):
            try:
                return self._bytes(ref, max_bytes)
            except Reject:
                raise
            except KeyError as error:
                raise Reject("image_missing", ref) from error
            except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
                refusal = refusal_of(error, ref)
                if refusal.rule != READ_FAILED or pause_s is None:
                    raise refusal from error
                time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def _bytes(self, ref: str, max_bytes: int) -> bytes:
        archive, bang, member = ref.partition("!")
        if not bang:
            with self.path(ref).open("rb") as file:
                _check_size(os.fstat(file.fileno()).st_size, max_bytes)
                data = file.read(max_bytes + 1)  # it may grow while it is read
                _check_size(len(data), max_bytes)
                return data
        path = self.path(archive)
        extent = list_members(path, self.limits)[member]
        _check_size(extent.size, max_bytes)
        with member_stream(path, extent) as stream:
            return read_all(stream, extent.size)


class FetchingPlace(Place):
    """A place whose files are fetched when their path is asked for."""

    fetched: set[str]
    """Names of the files that were asked for so far."""
    listing: tuple[str, ...]
    """All files of the folder, fetched or not, sorted."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The listing."""
        return self.listing

    def fetch(self, names: Iterable[str]) -> None:
        """Fetches files, several at a time."""
        pool = ThreadPoolExecutor(_FETCHED_AT_ONCE)
        try:
            for _ in pool.map(self.path, sorted(set(names))):
                pass
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C or an error, only what is being fetched is finished


def refusal_of(error: Exception, what: str) -> Reject:
    """Why an image that could not be read is refused: it is not there, it is damaged, or it was not given just now."""
    number = getattr(error, "errno", None)
    if number in _GONE:
        return Reject("image_missing", what)
    if number is not None:
        return Reject(READ_FAILED, f"{os.strerror(number)}: {what}", "the same command reads it again")
    return Reject("image_unreadable", f"{type(error).__name__}: {error}")


def _place(root: str, only: str | None) -> Place:
    """The same place in another process."""
    place = Place.__new__(Place)
    place.root = Path(root)
    place.only = only
    return place


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Reject("image_too_large", f"{size} bytes", f"{max_bytes} bytes")


def _nearby(location: Path) -> str:
    parent = location.parent
    if not parent.is_dir():
        return f" (nor the folder {parent})"
    return did_you_mean(location.name, (p.name for p in parent.iterdir()))


class ImageFinder:
    """Finds the file or archive member that a row's image name means, anywhere below the place.

    A name may be the full relative path, a path below some folder, or a base name. Leading folders of the name may be
    absent on disk, as after `unzip -j`, but only where nothing but `images/`, `figures/` or the like stands in their
    place: `xmlab2/source.jpg` is never found as `xmlab1/source.jpg`. Plain files come before archive members.
    """

    def __init__(self, place: Place) -> None:
        self._exact: dict[str, list[str]] = {}
        self._endings: dict[str, list[str]] = {}
        for name in place.names:
            if name.endswith(ARCHIVES):
                for member in place.members(name):
                    self._add(f"{name}!{member}", member)
            elif name.lower().endswith(IMAGE_ENDINGS):
                self._add(name, name)

    def _add(self, ref: str, path: str) -> None:
        self._exact.setdefault(path, []).append(ref)
        parts = path.lower().split("/")
        for start in range(len(parts)):
            self._endings.setdefault("/".join(parts[start:]), []).append(ref)

    def find(self, name: str) -> str:
        """The reference for `name`; raises `Reject`: `image_missing`, `image_ambiguous` or `image_outside_root`."""
        tidy = tidy_name(name)
        parts = tidy.lower().split("/")
        hits = self._exact.get(tidy) or self._endings.get(tidy.lower(), [])
        for start in range(1, len(parts)):
            if hits:
                break
            found = self._endings.get("/".join(parts[start:]), [])
            hits = [ref for ref in found if _lies_flat(ref, len(parts) - start)]
        if not hits:
            raise Reject("image_missing", tidy)
        plain = [hit for hit in hits if "!" not in hit] or hits
        if len(plain) > 1:
            raise Reject("image_ambiguous", tidy, ", ".join(sorted(plain)[:3]))
        return plain[0]


def _lies_flat(ref: str, parts: int) -> bool:
    """Whether only folders such as `images` stand before the last `parts` parts of a reference."""
    return all(_PLAIN_FOLDER.fullmatch(folder) for folder in ref.rpartition("!")[2].split("/")[:-parts])
