"""How records lie in a segment file.

    IMTSEG01                                        8 bytes, once
    frame*                                          each written at once, and never changed

    frame:  FRM1  packed  raw  count  head  body    4s I I I Q Q, little-endian: bytes packed and unpacked, records,
                                                    checksum of head and table, checksum of the packed bytes
            key end kind  x count                   16s I B: where the record ends in the unpacked bytes; 1 is a refusal
            packed bytes                            zstd of the records' JSON, one after the other

A reader takes whole frames only: what a killed writer or a full disk left behind is passed over, and so is a damaged
frame, whose neighbours are found by their checksums.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

__all__ = ["MAGIC", "MAX_RECORDS", "Found", "Frame", "pack", "scan", "unpack"]

MAGIC = b"IMTSEG01"
MAX_RECORDS = 32
"""Records of one frame: compressed together, so that looking one up unpacks few others."""
MAX_RAW = 1 << 17
"""Unpacked bytes from which on a frame takes no further record."""
_HEAD = struct.Struct("<4sIIIQQ")
_MARK = b"FRM1"
_ROW = np.dtype([("key", "V16"), ("end", "<u4"), ("kind", "u1")])
_zstd = pa.Codec("zstd", compression_level=3)


class Found(NamedTuple):
    """The frames of a stretch of a file."""

    keys: NDArray[np.void]
    kinds: NDArray[np.uint8]
    offsets: NDArray[np.uint64]
    """Where each record's frame begins."""
    slots: NDArray[np.uint64]
    """The record's position in its frame."""
    end: int
    """Where reading goes on when the file has grown."""
    skipped: int
    """Bytes that are no frame, before the last whole one: damage."""


class Frame(NamedTuple):
    """One unpacked frame."""

    keys: list[bytes]
    ends: list[int]
    raw: bytes

    def record(self, slot: int) -> bytes:
        """The JSON of a record."""
        return self.raw[self.ends[slot - 1] if slot else 0 : self.ends[slot]]


def pack(records: Sequence[tuple[bytes, bytes, bool]]) -> list[tuple[bytes, int]]:
    """(bytes of a frame, its number of records) for (key, JSON, whether it is a refusal) records, in their order."""
    frames = []
    start = 0
    while start < len(records):
        stop, size = start, 0
        while stop < len(records) and stop - start < MAX_RECORDS and size < MAX_RAW:
            size += len(records[stop][1])
            stop += 1
        frames.append((_frame(records[start:stop]), stop - start))
        start = stop
    return frames


def _frame(records: Sequence[tuple[bytes, bytes, bool]]) -> bytes:
    raw = b"".join(data for _, data, _ in records)
    packed = bytes(_zstd.compress(raw, asbytes=True))
    end = 0
    rows = []
    for key, data, refused in records:
        end += len(data)
        rows.append(struct.pack("<16sIB", key, end, refused))
    table = b"".join(rows)
    body = xxhash.xxh3_64_intdigest(packed)
    sizes = struct.pack("<4sIIIQ", _MARK, len(packed), len(raw), len(records), body)
    head = xxhash.xxh3_64_intdigest(sizes + table)
    return _HEAD.pack(_MARK, len(packed), len(raw), len(records), head, body) + table + packed


def scan(view: memoryview, start: int) -> Found:
    """The whole frames from `start` on. Packed bytes are not read here; their checksum is, when they are."""
    size = len(view)
    tables: list[bytes] = []
    offsets: list[int] = []
    counts: list[int] = []
    at = end = start
    skipped = 0
    while at + _HEAD.size <= size:
        sound = _head_at(view, at, size)
        if sound is None:
            at = _next_mark(view, at + 1)
            continue
        table_end, frame_end, count = sound
        tables.append(bytes(view[at + _HEAD.size : table_end]))
        offsets.append(at)
        counts.append(count)
        skipped += at - end
        at = end = frame_end
    rows = np.frombuffer(b"".join(tables), _ROW)
    repeats = np.asarray(counts, np.int64)
    firsts = np.repeat(np.cumsum(repeats) - repeats, repeats)
    slots = (np.arange(len(rows)) - firsts).astype(np.uint64)
    return Found(rows["key"], rows["kind"], np.repeat(np.asarray(offsets, np.uint64), repeats), slots, end, skipped)


def _head_at(view: memoryview, at: int, size: int) -> tuple[int, int, int] | None:
    """(end of the table, end of the frame, records) of the whole frame at `at`, or None."""
    mark, packed, raw, count, head, body = _HEAD.unpack_from(view, at)
    table_end = at + _HEAD.size + count * _ROW.itemsize
    frame_end = table_end + packed
    if mark != _MARK or not 0 < count <= MAX_RECORDS or frame_end > size:
        return None
    sizes = struct.pack("<4sIIIQ", mark, packed, raw, count, body)
    if xxhash.xxh3_64_intdigest(sizes + bytes(view[at + _HEAD.size : table_end])) != head:
        return None
    return table_end, frame_end, count


def _next_mark(view: memoryview, start: int) -> int:
    """Where the next frame may begin, or the end."""
    step = 1 << 20
    for at in range(start, len(view), step):
        hit = bytes(view[at : at + step + len(_MARK) - 1]).find(_MARK)
        if hit >= 0:
            return at + hit
    return len(view)


def head_size() -> int:
    """Bytes of a frame's head."""
    return _HEAD.size


def body_size(head: bytes) -> int:
    """Bytes that follow a frame's head."""
    _, packed, _, count, _, _ = _HEAD.unpack(head)
    return int(count * _ROW.itemsize + packed)


def unpack(data: bytes) -> Frame | None:
    """A frame's records, or None where its bytes are damaged."""
    mark, packed, raw_size, count, head, body = _HEAD.unpack_from(data)
    table_end = _HEAD.size + count * _ROW.itemsize
    table = data[_HEAD.size : table_end]
    blob = data[table_end : table_end + packed]
    sizes = struct.pack("<4sIIIQ", mark, packed, raw_size, count, body)
    if xxhash.xxh3_64_intdigest(sizes + table) != head or xxhash.xxh3_64_intdigest(blob) != body:
        return None
    raw = bytes(_zstd.decompress(blob, raw_size, asbytes=True)) if raw_size else b""
    rows = [struct.unpack_from("<16sIB", table, at) for at in range(0, len(table), _ROW.itemsize)]
    return Frame([key for key, _, _ in rows], [end for _, end, _ in rows], raw)
