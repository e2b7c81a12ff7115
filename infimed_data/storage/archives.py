"""Zip and tar archives within limits: their lists of members, and each member's bytes as a stream.

Names decide nothing but how a member is called: it is never written to a disk, and only plain files are members. What
an archive says of its sizes is checked before a byte is unpacked, and held against what comes out.
"""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage.limits import ReadLimits
from infimed_data.storage.listing import Extent, Listing, tidy_name

__all__ = ["list_members", "member_stream", "read_all"]

_LIST_BYTES = 256
"""Bytes of a zip archive's list, a member, with which a limit of members bounds the list as a whole."""
_HEADER_BYTES = 4 << 20
"""Bytes of a tar header with its long names; a larger one is made to fill the memory."""
_SMALL_BYTES = 64 << 20
"""An archive that unpacks to less may do so from as little as it likes."""
_STEP = 1 << 20
_ZIP_ENTRY = b"PK\x01\x02"
_ZIP_HEADER = struct.Struct("<26xHH")
"""Of a member; at its end the sizes of its name and of further fields, which stand before its bytes."""
_ENCRYPTED = 1


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


_LISTED = 4_000_000
"""Members that a process remembers, of the archives that were listed last."""
_listings: dict[tuple[object, ...], Listing] = {}
_lock = threading.Lock()


def list_members(path: Path, limits: ReadLimits) -> Listing:
    """The plain files of a zip or tar archive, by tidy name; links, devices and names that climb out are left out.

    An archive is listed once by each process, unless it changes. Raises `SourceError` for one that cannot be read, or
    that passes a limit.
    """
    try:
        now = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: not a readable archive ({_line(error)}); fetch it again") from error
    key = (str(path), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, limits)
    with _lock:
        found = _listings.pop(key, None)
        if found is None:
            found = _listed(path, limits)
        _listings[key] = found  # the latest stands last
        spare = sum(map(len, _listings.values())) - _LISTED
        for oldest in [*_listings][:-1]:
            if spare <= 0:
                break
            spare -= len(_listings.pop(oldest))
    return found


def _listed(path: Path, limits: ReadLimits) -> Listing:
    members = dict[str, Extent]()
    unpacked = 0
    try:
        for name, extent in _zip_members(path, limits) if path.suffix == ".zip" else _tar_members(path, limits):
            unpacked += extent.size
            try:
                members[tidy_name(name)] = extent
            except Reject:
                continue
        size = path.stat().st_size
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{path}: not a readable archive ({_line(error)}); fetch it again") from error
    if unpacked > max(_SMALL_BYTES, limits.max_archive_ratio * size):
        raise SourceError(
            f"{path}: unpacks to {unpacked:,} bytes, {unpacked / max(size, 1):,.0f} times its size; allowed: "
            f"{limits.max_archive_ratio:g} times (limits.max_archive_ratio); raise it if that is meant"
        )
    return Listing(members)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _zip_members(path: Path, limits: ReadLimits) -> Iterator[tuple[str, Extent]]:
    most = max(1 << 20, limits.max_archive_members * _LIST_BYTES)
    with _Sparing(path, most, limits.max_archive_members) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if not info.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFREG):
                packed = (info.compress_size, info.CRC, info.compress_type, info.flag_bits)
                yield info.filename, Extent(info.header_offset, info.file_size, *packed)


def _tar_members(path: Path, limits: ReadLimits) -> Iterator[tuple[str, Extent]]:
    with _Sparing(path, _HEADER_BYTES, _HEADER_BYTES) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        count = 0
        while (member := archive.next()) is not None:
            count += 1
            if count > limits.max_archive_members:
                raise SourceError(_too_many("more than that many", limits.max_archive_members))
            archive.members.clear()  # type: ignore[attr-defined]  # else every header is kept
            if member.isreg() and not member.issparse() and member.size >= 0:
                yield member.name, Extent(member.offset_data, member.size)
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


def member_stream(path: Path, extent: Extent) -> IO[bytes]:
    """A member of an archive as a stream of its own; nothing else of the archive is read.

    Raises `OSError`, `RuntimeError` (a password), `NotImplementedError` (how it is packed) or `zipfile.BadZipFile`.
    """
    if path.suffix == ".tar":
        return io.BufferedReader(_Window(path, extent.offset, extent.size))
    if extent.flags & _ENCRYPTED:
        raise RuntimeError("it is encrypted")
    info = zipfile.ZipInfo()
    info.file_size, info.compress_size, info.CRC = extent.size, extent.packed_size, extent.crc
    info.compress_type, info.flag_bits = extent.method, extent.flags
    file = path.open("rb")
    try:
        file.seek(extent.offset)
        header = file.read(_ZIP_HEADER.size)
        if len(header) < _ZIP_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise zipfile.BadZipFile("no member stands where the list says")
        file.seek(sum(_ZIP_HEADER.unpack(header)), io.SEEK_CUR)
        return zipfile.ZipExtFile(file, "r", info, close_fileobj=True)  # type: ignore[return-value]  # IO in all but name
    except BaseException:
        file.close()
        raise
