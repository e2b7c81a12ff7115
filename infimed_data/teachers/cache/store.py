"""The folder of segments: look-ups, group commits, and what other processes add meanwhile.

    .infimed/teacher_cache/01764110400123456789-3f2a90c1.seg ...

Every process writes a segment of its own and reads all of them, so nobody waits for a lock and nobody can damage what
another wrote. An answer is used only after `fdatasync` of the frame that holds it; answers that come while the disk is
busy go into the next frame together. A record that stands in several segments counts once: the first by file name.

Promise: a request whose answer was used by any process of this machine is not sent again. Two processes that ask the
same thing at the same moment may both send it. On a network file system the same holds for the processes of one
machine; another machine sees new answers as soon as the file system shows it the grown file, and may until then send
a request again. A wrong or a torn answer is never read: every frame carries checksums.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from infimed_data.errors import StorageError, disk_error
from infimed_data.teachers.cache import frames
from infimed_data.teachers.cache.answers import Answer
from infimed_data.teachers.cache.index import Index, place_of, split_place

__all__ = ["Places", "RequestCache"]

Kept = tuple[bytes, Answer]


class Places(NamedTuple):
    """Where records were put: what another process needs to find them without reading the segment."""

    segment: str
    """File name."""
    at: tuple[tuple[int, int], ...]
    """Offset of the frame and position in it, of each record."""


_ROLL_BYTES = 1 << 30
_BLOCKS = 128
"""Unpacked frames that are held: a rerun asks in nearly the order in which answers came."""


class _Segment:
    """One file of the folder, and how far it was read."""

    def __init__(self, number: int, path: Path) -> None:
        self.number, self.path = number, path
        self.read_to = 0
        self.growing = True
        """Whether its writer may still be at work."""
        self.told = False
        """Whether its writer tells of every record, so that nobody need look."""


class _Waiting(NamedTuple):
    records: Sequence[Kept]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Places]


class RequestCache:
    """All answers in a folder. Look-ups are for one thread; any number of processes may use the folder at once.

    With `read=False` nothing is looked up: for a process that only keeps answers, and tells another of them.
    """

    def __init__(self, folder: Path, *, read: bool = True) -> None:
        self.folder = folder
        self._reads = read
        self.damaged = 0
        """Bytes that were damaged on disk, and records that could not be read: their requests are sent again."""
        self._answers, self._refusals = Index(), Index()
        self._segments: list[_Segment] = []
        self._known: set[str] = set()
        self._folder_time = -1
        self._blocks: OrderedDict[tuple[int, int], frames.Frame] = OrderedDict()
        self._lock = threading.Lock()
        self._own: tuple[int, _Segment] | None = None
        self._written = 0
        self._queue: list[_Waiting] = []
        self._wake = threading.Condition()
        self._writer: threading.Thread | None = None
        self._closing = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, "opening the request cache") from error
        self.refresh()

    def __len__(self) -> int:
        """Answers, without refusals."""
        return len(self._answers)

    def get(self, key: bytes) -> Answer | None:
        """The answer remembered under `key`; the server's refusal where there is no answer; None where neither is."""
        with self._lock:
            for index in (self._answers, self._refusals):
                for place in index.candidates(key):
                    found = self._read(place, key)
                    if found is not None:
                        return found
        return None

    def records(self) -> Iterator[tuple[bytes, Answer]]:
        """Every record, in the order of the segments; refusals too, and answers that were given twice, twice."""
        for segment in list(self._segments):
            data = _mapped(segment.path)
            found = frames.scan(data, len(frames.MAGIC))
            for offset in np.unique(found.offsets).tolist():
                frame = self._block(segment, offset)
                for slot, key in enumerate(frame.keys if frame else ()):
                    yield key, Answer.decoded(frame.record(slot))  # type: ignore[union-attr]

    def latest(self, count: int) -> list[Answer]:
        """About `count` of the latest records, refusals too."""
        found: list[Answer] = []
        for segment in reversed(self._segments):
            offsets = np.unique(frames.scan(_mapped(segment.path), len(frames.MAGIC)).offsets).tolist()
            for offset in reversed(offsets):
                frame = self._block(segment, offset)
                found += [Answer.decoded(frame.record(slot)) for slot in range(len(frame.keys))] if frame else []
                if len(found) >= count:
                    return found
        return found

    def refresh(self) -> None:
        """Takes in what other processes have added: a look at the folder and at the files that still grow."""
        if not self._reads:
            return
        with self._lock:
            try:
                changed = self.folder.stat().st_mtime_ns
                if changed != self._folder_time:
                    self._folder_time = changed
                    for name in sorted(entry.name for entry in os.scandir(self.folder) if entry.name.endswith(".seg")):
                        if name not in self._known:
                            self._known.add(name)
                            self._segments.append(_Segment(len(self._segments), self.folder / name))
                for segment in self._segments:
                    if segment.growing and not segment.told and (self._own is None or segment is not self._own[1]):
                        self._take_in(segment)
            except OSError as error:
                raise disk_error(error, "reading the request cache") from error

    def learn(self, places: Places, records: Sequence[tuple[bytes, bool]]) -> None:
        """Takes in (key, whether it is a refusal) records that another process has kept, and said where. From now on
        nobody looks at that segment: its writer tells of all that it keeps."""
        with self._lock:
            segment = next((one for one in reversed(self._segments) if one.path.name == places.segment), None)
            if segment is None:
                segment = _Segment(len(self._segments), self.folder / places.segment)
                self._segments.append(segment)
                self._known.add(places.segment)
            segment.told = True
            for (key, refused), (offset, slot) in zip(records, places.at, strict=True):
                index = self._refusals if refused else self._answers
                index.add(key, place_of(segment.number, offset, slot))

    def look_again(self) -> None:
        """Takes in what a process has kept that cannot tell of it any more."""
        with self._lock:
            self._folder_time = -1
            for segment in self._segments:
                if segment.told:
                    segment.told = False
                    with contextlib.suppress(OSError):  # opening makes a network file system look, a `stat` may not
                        os.close(os.open(segment.path, os.O_RDONLY))
        self.refresh()

    def _take_in(self, segment: _Segment) -> None:
        if segment.path.stat().st_size <= max(segment.read_to, len(frames.MAGIC)) and segment.read_to:
            return
        live = _has_writer(segment.path)
        data = _mapped(segment.path)
        if len(data) < len(frames.MAGIC):
            segment.growing = live or time.time() - segment.path.stat().st_mtime < 60  # its writer is about to begin
            return
        if data[: len(frames.MAGIC)] != frames.MAGIC:
            raise StorageError(f"{segment.path}: not a segment of the request cache; move it out of the folder")
        found = frames.scan(data, segment.read_to or len(frames.MAGIC))
        self.damaged += found.skipped
        segment.read_to, segment.growing = found.end, live
        keys = np.ascontiguousarray(found.keys).view(">u8").reshape(-1, 2)[:, 0].astype(np.uint64)
        number = np.uint64(place_of(segment.number, 0, 0))
        places = number | (found.offsets << np.uint64(6)) | found.slots
        for index, kind in ((self._answers, 0), (self._refusals, 1)):
            chosen = found.kinds == kind
            if len(found.kinds) == 0 or not chosen.any():
                continue
            index.add_all(keys[chosen], places[chosen])

    def _read(self, place: int, key: bytes) -> Answer | None:
        number, offset, slot = split_place(place)
        frame = self._block(self._segments[number], offset)
        if frame is None or frame.keys[slot] != key:
            return None
        return Answer.decoded(frame.record(slot))

    def _block(self, segment: _Segment, offset: int) -> frames.Frame | None:
        at = (segment.number, offset)
        frame = self._blocks.get(at)
        if frame is not None:
            self._blocks.move_to_end(at)
            return frame
        try:
            handle = os.open(segment.path, os.O_RDONLY)
            try:
                data = os.pread(handle, 1 << 15, offset)
                size = frames.head_size() + frames.body_size(data[: frames.head_size()])
                if size > len(data):
                    data += os.pread(handle, size - len(data), offset + len(data))
            finally:
                os.close(handle)
        except OSError as error:
            raise disk_error(error, "reading the request cache") from error
        frame = frames.unpack(data[:size])
        if frame is None:
            self.damaged += size
            return None
        self._blocks[at] = frame
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return frame

    async def keep(self, records: Sequence[Kept]) -> Places:
        """Where the records are, once they are on disk and can be found; raises `StorageError`, such as for a full
        disk."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        with self._wake:
            self._queue.append(_Waiting(records, loop, done))
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="request cache", daemon=True)
                self._writer.start()
            self._wake.notify()
        return await asyncio.shield(done)

    def keep_now(self, records: Sequence[Kept]) -> None:
        """The same for callers without an event loop. Not for use beside `keep`."""
        self._commit(records)

    def close(self) -> None:
        """Writes what waits and ends the writer."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join()
        self._leave_segment()

    def _write(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closing:
                    self._wake.wait()
                waiting, self._queue = self._queue, []
                if not waiting:
                    return
            failure: StorageError | None = None
            places = Places("", ())
            try:
                places = self._commit([record for entry in waiting for record in entry.records])
            except StorageError as error:
                failure = error
            own: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Places], Places]]] = {}
            start = 0
            for entry in waiting:
                stop = start + len(entry.records)
                own.setdefault(entry.loop, []).append((entry.done, Places(places.segment, places.at[start:stop])))
                start = stop
            for loop, released in own.items():
                with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                    loop.call_soon_threadsafe(_release, released, failure)

    def _commit(self, records: Sequence[Kept]) -> Places:
        """Writes records as frames, one fdatasync for all, makes them known, and says where they are."""
        packed = frames.pack([(key, answer.encoded(), answer.refused is not None) for key, answer in records])
        offset = 0
        try:
            handle, segment = self._segment()
            offset = self._written
            block = b"".join(frame for frame, _ in packed)
            view = memoryview(block)
            while view:
                view = view[os.write(handle, view) :]
            os.fdatasync(handle)
        except OSError as error:
            if self._own is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._own[0], self._written)
                self._leave_segment()
            raise disk_error(error, f"writing answers to the request cache {self.folder}:") from error
        self._written += len(block)
        at: list[tuple[int, int]] = []
        for frame, count in packed:
            at += [(offset, slot) for slot in range(count)]
            offset += len(frame)
        if self._reads:
            with self._lock:
                for (key, answer), (start, slot) in zip(records, at, strict=True):
                    index = self._answers if answer.refused is None else self._refusals
                    index.add(key, place_of(segment.number, start, slot))
        places = Places(segment.path.name, tuple(at))
        if self._written > _ROLL_BYTES:
            self._leave_segment()
        return places

    def _segment(self) -> tuple[int, _Segment]:
        """The open segment of this process, made when first needed."""
        if self._own is None:
            path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.seg"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            with contextlib.suppress(OSError):  # tells readers only that the file may grow
                fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, frames.MAGIC)
            os.fsync(handle)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            with self._lock:
                segment = _Segment(len(self._segments), path)
                self._segments.append(segment)
                self._known.add(path.name)
            self._own, self._written = (handle, segment), len(frames.MAGIC)
        return self._own

    def _leave_segment(self) -> None:
        if self._own is not None:
            handle, segment = self._own
            segment.growing = False
            self._own = None
            os.close(handle)


def _release(waiting: list[tuple[asyncio.Future[Places], Places]], failure: StorageError | None) -> None:
    for done, places in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(places)
        else:
            done.set_exception(failure)


def _mapped(path: Path) -> memoryview:
    """The file's bytes without reading them."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _has_writer(path: Path) -> bool:
    """Whether a process still writes the file; where locks do not work, it may."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
