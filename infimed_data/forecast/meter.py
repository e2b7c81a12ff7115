"""Measures the stages of a build while it runs: seconds, memory, disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from infimed_data.forecast.memory import MemoryWatch
from infimed_data.forecast.stages import KINDS, kind_of
from infimed_data.storage.stages import Stage, watching

__all__ = ["Measured", "Meter"]

_SIZES = {
    "ingest": "read", "texts": "rows", "images": "decoded", "index": "rows", "phi-texts": "rows",
    "phi-images": "decoded",
}  # fmt: skip
"""The fact of a stage that its work grows with."""


@dataclass
class Measured:
    """A stage that ran."""

    kind: str
    name: str
    start: float
    end: float = 0.0
    peak_bytes: int = 0
    disk_bytes: int = 0
    size: int | None = None
    """In the unit of its kind, where the stage itself knows it."""
    resumed: bool = False
    """Whether a run that was cut off had done a part of it: then its seconds say nothing."""
    own: float = field(default=0.0)
    """Seconds, of those that several stages ran at once an equal share."""


class Meter:
    """A watcher of stages; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Measured] = {}
        self.ran: list[Measured] = []
        self.start = self.end = clock()
        self.peak_bytes = self.rest_peak_bytes = self._last = 0

    @contextmanager
    def running(self) -> Iterator[Meter]:
        """Measures until left."""
        self.start = self._clock()
        with MemoryWatch(self._seen), watching(self):
            try:
                yield self
            finally:
                self.end = self._clock()
        _share(self.ran)

    def _seen(self, memory: int) -> None:
        self._last = memory
        self.peak_bytes = max(self.peak_bytes, memory)
        running = list(self._open.values())
        for stage in running:
            stage.peak_bytes = max(stage.peak_bytes, memory)
        if not running:
            self.rest_peak_bytes = max(self.rest_peak_bytes, memory)

    def entering(self, stage: Stage) -> None:
        """See `Watcher`."""
        kind = kind_of(stage.kind)
        if kind in KINDS and stage.done() is None:
            resumed = any(stage.folder.glob("part-*"))
            # A stage that is over before memory is looked at again takes at least what there was before.
            began = Measured(kind, stage.name, self._clock(), peak_bytes=self._last, resumed=resumed)
            self._open[str(stage.folder)] = began

    def finished(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """See `Watcher`."""
        ran = self._open.pop(str(stage.folder), None)
        if ran is None:
            return
        ran.end = self._clock()
        ran.disk_bytes = sum(path.stat().st_size for path in stage.folder.rglob("*") if path.is_file())
        ran.size = facts.get(_SIZES[ran.kind]) if ran.kind in _SIZES else facts.get("account", {}).get("rows")
        self.ran.append(ran)

    @property
    def rest(self) -> float:
        """Seconds in which no stage ran."""
        return max(0.0, self.end - self.start - sum(ran.own for ran in self.ran))


def _share(ran: Iterable[Measured]) -> None:
    """Sets `own`: of stages that ran at the same time, each counts for its share of it."""
    ran = list(ran)
    marks = sorted({mark for one in ran for mark in (one.start, one.end)})
    for first, last in pairwise(marks):
        running = [one for one in ran if one.start <= first and one.end >= last]
        for one in running:
            one.own += (last - first) / len(running)
