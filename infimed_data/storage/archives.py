"""Zip and tar archives within limits: their lists of members, and each member's bytes as a stream.

Names decide nothing but how a member is called: it is never written to a disk, and only plain files are members. What
an archive says of its sizes is checked before a byte is unpacked, and held against what comes out.
"""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from infimed_data.errors import SourceError
from infimed_data.storage.limits import ReadLimits

__all__ = ["Member", "list_members", "read_all", "tar_stream"]

_LIST_BYTES = 256
"""Bytes of a zip archive's list, a member, with which a limit of members bounds the list as a whole."""
_HEADER_BYTES = 4 << 20
"""Bytes of a tar header with its long names; a larger one is made to fill the memory."""
_SMALL_BYTES = 64 << 20
"""An archive that unpacks to less may do so from as little as it likes."""
_STEP = 1 << 20
_ZIP_ENTRY = b"PK\x01\x02"


class Member(NamedTuple):
    """A plain file in an archive."""

    name: str
    """As the archive spells it."""
    offset: int
    """A tar member's first byte; a zip member's position in the archive's list."""
    size: int
    """Unpacked, as the archive says."""


class _Sparing(io.BufferedReader):
    """A file that refuses to be read in pieces of more than `most` bytes, which a list of members does not need."""

    def __init__(self, path: Path, most: int, max_members: int) -> None:
        super().__init__(io.FileIO(path, "rb"))
        self._most, self._max_members = most, max_members

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.BufferedReader.read`."""
        if size is not None and size > self._most:
            raise SourceError(f"its list of members takes {size:,} bytes; allowed: {self._most:,}")
        found = super().read(self._most if size is None or size < 0 else size)
        if len(found) > self._max_members and (count := found.count(_ZIP_ENTRY)) > self._max_members:
            raise SourceError(_too_many(f"{count:,}", self._max_members))
        return found


def _too_many(count: str, most: int) -> str:
    return f"{count} members; allowed: {most:,} (limits.max_archive_members); split or unpack it"


def list_members(path: Path, limits: ReadLimits) -> list[Member]:
    """The plain files of a zip or tar archive in its order; links and devices are left out.

    Raises `SourceError` for an archive that cannot be read, or that passes a limit.
    """
    try:
        found = list(_zip_members(path, limits) if path.suffix == ".zip" else _tar_members(path, limits))
        size = path.stat().st_size
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{path}: not a readable archive ({_line(error)}); fetch it again") from error
    unpacked = sum(member.size for member in found)
    if unpacked > max(_SMALL_BYTES, limits.max_archive_ratio * size):
        raise SourceError(
            f"{path}: unpacks to {unpacked:,} bytes, {unpacked / max(size, 1):,.0f} times its size; allowed: "
            f"{limits.max_archive_ratio:g} times (limits.max_archive_ratio); raise it if that is meant"
        )
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _zip_members(path: Path, limits: ReadLimits) -> Iterator[Member]:
    most = max(1 << 20, limits.max_archive_members * _LIST_BYTES)
    with _Sparing(path, most, limits.max_archive_members) as file, zipfile.ZipFile(file) as archive:
        for position, info in enumerate(archive.infolist()):
            mode = info.external_attr >> 16
            if not info.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFREG):
                yield Member(info.filename, position, info.file_size)


def _tar_members(path: Path, limits: ReadLimits) -> Iterator[Member]:
    with _Sparing(path, _HEADER_BYTES, _HEADER_BYTES) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        count = 0
        while (member := archive.next()) is not None:
            count += 1
            if count > limits.max_archive_members:
                raise SourceError(_too_many("more than that many", limits.max_archive_members))
            archive.members.clear()  # type: ignore[attr-defined]  # else every header is kept
            if member.isreg() and not member.issparse() and member.size >= 0:
                yield Member(member.name, member.offset_data, member.size)
        if 0 < path.stat().st_size - archive.offset < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("cut off inside a member's header")


def read_all(stream: IO[bytes], size: int) -> bytes:
    """The bytes of a member that says it has `size`, and never more, whatever its packed bytes unpack to.

    Raises `EOFError` where there are fewer.
    """
    parts, left = [], size
    while left > 0:
        part = stream.read(min(left, _STEP))
        if not part:
            raise EOFError(f"{size - left:,} of {size:,} bytes")
        parts.append(part)
        left -= len(part)
    if stream.read(1):  # at the end, zipfile compares the checksum
        raise EOFError(f"more than the {size:,} bytes that the archive's list says")
    return b"".join(parts)


class _Window(io.RawIOBase):
    """Some bytes of a file as a file of their own."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = path.open("rb")
        self._offset, self._size, self._at = offset, size, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `io.IOBase.seek`."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """See `io.RawIOBase.readinto`."""
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._offset + self._at)
        read = self._file.readinto(memoryview(buffer)[:wanted])
        self._at += read
        return read

    def close(self) -> None:
        """See `io.IOBase.close`."""
        self._file.close()
        super().close()


def tar_stream(path: Path, offset: int, size: int) -> IO[bytes]:
    """A tar archive's member as a stream of its own."""
    return io.BufferedReader(_Window(path, offset, size))
