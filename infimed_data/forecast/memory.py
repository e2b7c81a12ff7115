"""Memory of this process and of all that it started, looked at now and then while something runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["MemoryWatch", "memory_of_tree"]

INTERVAL_S = 0.3
_SHARE = 0.02
"""Of the time, what looking may take: the kernel walks all pages of large processes."""


def memory_of_tree() -> int:
    """Bytes of this process and its descendants, shared pages counted once (Linux); 0 where that cannot be seen."""
    parents: dict[int, int] = {}
    try:
        for name in os.listdir("/proc"):  # noqa: PTH208  (called several times a second)
            if name.isdigit():
                parents[int(name)] = _parent(name)
    except OSError:
        return 0
    mine, found = {os.getpid()}, {os.getpid()}
    while found:
        found = {pid for pid, parent in parents.items() if parent in found} - mine
        mine |= found
    return sum(map(_proportional, mine))


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return 0


class MemoryWatch:
    """Calls `seen` with the memory of the tree, again and again, until left."""

    def __init__(self, seen: Callable[[int], None]) -> None:
        self._seen = seen
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while True:
            start = time.monotonic()
            self._seen(memory_of_tree())
            took = time.monotonic() - start
            if self._stopped.wait(max(INTERVAL_S, took / _SHARE)):
                return

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
