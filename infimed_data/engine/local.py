"""Shard functions in worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing.connection import wait as wait_for
from multiprocessing.forkserver import ensure_running

import pyarrow as pa

from infimed_data.engine.contract import Fact, Task
from infimed_data.errors import BuildError

__all__ = ["LocalEngine", "default_processes", "leave_pandas_out"]

_PRELOAD = ["infimed_data.ingest", "infimed_data.signals", "infimed_data.dataset"]


def default_processes() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


class LocalEngine:
    """Runs tasks in `processes` worker processes, or in this one where that is quicker."""

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise BuildError(f"processes: {processes}; allowed: 1 or more")
        self.processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def map(
        self, function: Callable[[Task], Fact], tasks: Iterable[Task], *, label: str, heavy: bool
    ) -> Iterator[tuple[int, Fact]]:
        """See `Engine.map`. At most two tasks a process are in flight, so a long list costs no memory."""
        if not heavy or self.processes == 1:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        pool = self._workers()
        pending: dict[Future[Fact], int] = {}
        upcoming = iter(enumerate(tasks))
        try:
            for index, task in upcoming:
                pending[pool.submit(_call, function, task)] = index
                if len(pending) < 2 * self.processes:
                    continue
                yield from self._collect(pending)
            while pending:
                yield from self._collect(pending)
        except BrokenProcessPool as error:
            self.close()
            raise BuildError(
                f"a worker process died while {label} (out of memory?); the same command continues where it stopped"
            ) from error
        finally:
            for future in pending:
                future.cancel()

    @staticmethod
    def _collect(pending: dict[Future[Fact], int]) -> Iterator[tuple[int, Fact]]:
        finished, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            yield pending.pop(future), future.result()

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_PRELOAD)
            self._pool = ProcessPoolExecutor(self.processes, mp_context=context, initializer=_start_worker)
        return self._pool

    def warm(self) -> None:
        """Starts the server that workers are forked from, so that its imports run beside the caller's first work."""
        if self.processes > 1:
            multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
            ensure_running()

    def renew(self) -> None:
        """See `Engine.renew`."""
        self.close()

    def close(self) -> None:
        """Ends the workers at once; a task in progress leaves only a temporary file, which is swept later."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _call(function: Callable[[Task], Fact], task: Task) -> Fact:
    """Runs a task in a worker, and gives back the memory that it used."""
    try:
        return function(task)
    finally:
        pa.default_memory_pool().release_unused()


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Raises for pandas; None, for others, asks the next finder."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)
        return None


def leave_pandas_out() -> None:
    """Keeps PyArrow of this process from importing pandas, which it does on the first `pa.array` only to look whether
    the values are a pandas object: 0.15 s and 40 MB in every process, for nothing. For processes of our own only.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])  # PyArrow looks once and remembers
    finally:
        sys.meta_path.remove(finder)


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends the worker when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_pandas_out()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
