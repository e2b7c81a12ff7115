"""Shard functions as Ray tasks.

A task that loses its worker is done again, up to `task_retries` times. A shard's output appears under its name
whole, and is the same whoever writes it, so that a worker that was given up for lost may even finish it too.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from infimed_data.cluster.connection import Connection, cause_of
from infimed_data.cluster.machines import Shared, why_not_here
from infimed_data.engine.contract import Fact, Task
from infimed_data.engine.local import leave_pandas_out
from infimed_data.errors import BuildError, InfimedError
from infimed_data.storage.stages import Written, written_files

__all__ = ["RayEngine"]

_PATIENCE_S = 20.0
"""How long nothing may happen before the user is told why."""


@dataclass(frozen=True)
class _Done:
    fact: Any
    written: tuple[Written, ...]


@dataclass(frozen=True)
class _Failed:
    error: InfimedError | OSError


@dataclass(frozen=True)
class _Lost:
    why: str
    out_of_memory: bool


class RayEngine:
    """Runs tasks on a cluster; those that are not worth workers in this process, as the local engine does."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.settings = connection.settings

    def map(
        self, function: Callable[[Task], Fact], tasks: Iterable[Task], *, label: str, heavy: bool
    ) -> Iterator[tuple[int, Fact]]:
        """See `Engine.map`. At most two tasks a place in the cluster are on their way, so a long list costs no memory.

        Raises `BuildError` where a task's workers are lost again and again, or a machine cannot take part.
        """
        if not heavy:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        ray = self.connection.open()
        settings = self.settings
        # Ray's own retries are off: it would do a task without end whose worker is stopped for its memory.
        call = ray.remote(_call).options(
            num_cpus=settings.num_cpus_per_task, memory=settings.memory_per_task, resources=dict(settings.resources),
            max_retries=0, name=label,
        )  # fmt: skip
        pending: dict[Any, tuple[int, Task]] = {}
        losses: Counter[int] = Counter()
        upcoming = enumerate(tasks)
        told = False
        last = time.monotonic()

        def start(index: int, task: Task) -> None:
            pending[call.remote(self.connection.shared, function, task)] = index, task

        try:
            while True:
                most = self.connection.room() * (1 if settings.max_tasks else 2)
                for index, task in itertools.islice(upcoming, max(0, most - len(pending))):
                    start(index, task)
                if not pending:
                    return
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=1.0)
                if ready:
                    ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
                    last = time.monotonic()
                elif not told and time.monotonic() - last > _PATIENCE_S:
                    told = True
                    if (why := self.connection.why_waiting()) is not None:
                        self.connection.say(f"warning: {label} waits: {why}")
                for one in ready:
                    index, task = pending.pop(one)
                    result = _result_of(ray, one)
                    if isinstance(result, _Lost):
                        losses[index] += 1
                        self._stop_after(losses[index], result, label)
                        if losses.total() == 1:
                            self.connection.say(f"warning: {label}: {result.why}; what was lost is done again")
                        start(index, task)
                        continue
                    for path, size in result.written:
                        _see(path, size, settings.visible_within_s)
                    yield index, result.fact
        finally:
            for one in pending:
                ray.cancel(one, force=True)

    def _stop_after(self, losses: int, lost: _Lost, label: str) -> None:
        """Raises `BuildError` where a task has been lost too often."""
        if losses <= self.settings.task_retries:
            return
        if lost.out_of_memory:
            raise BuildError(
                f"out of memory while {label}: Ray stopped a task's worker {losses} times; set engine.memory_per_task, "
                "or a larger num_cpus_per_task, so that fewer run on a machine; the same command continues"
            )
        raise BuildError(f"{lost.why} while {label}, {losses} times for one task; the same command continues")

    def warm(self) -> None:
        """See `Engine.warm`; a cluster's workers start by themselves."""

    def renew(self) -> None:
        """See `Engine.renew`; a cluster's workers hold no memory that this process needs, and Ray ends idle ones."""

    def close(self) -> None:
        """Gives up what still runs, and leaves the cluster."""
        self.connection.close()


def _result_of(ray: Any, one: Any) -> _Done | _Lost:
    """What a task gave; raises what it raised."""
    try:
        result: _Done | _Failed = ray.get(one)
    except ray.exceptions.RayTaskError as error:
        if isinstance(getattr(error, "cause", None), ImportError):
            raise BuildError(f"engine ray: a machine of the cluster cannot work: {cause_of(error)}") from error
        raise
    except ray.exceptions.OutOfMemoryError:
        return _Lost("a worker was stopped for its memory", True)
    except ray.exceptions.RayError as error:
        return _Lost(f"a worker was lost ({type(error).__name__})", False)
    if isinstance(result, _Failed):
        raise result.error
    return result


def _call(shared: Shared, function: Callable[[Any], Any], task: Any) -> _Done | _Failed:
    """Runs a task in a worker. What a user can mend comes back as a value: Ray would wrap it in a traceback."""
    if (fault := why_not_here(shared)) is not None:
        return _Failed(BuildError(f"engine ray: {fault}"))
    _settle()
    try:
        with written_files() as written:
            fact = function(task)
        return _Done(fact, tuple((path, size) for path, size in dict(written).items() if path.exists()))
    except (InfimedError, OSError) as error:
        return _Failed(error)
    finally:
        pa.default_memory_pool().release_unused()


@lru_cache(maxsize=1)
def _settle() -> None:
    """What a worker does before its first task."""
    leave_pandas_out()


def _see(path: Path, size: int, within_s: float) -> None:
    """Returns when this machine sees the whole file; raises `BuildError` where it does not in time."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with path.open(
                "rb"
            ) as file:  # opening asks the file's server, where a mere look may be answered from memory
                if os.fstat(file.fileno()).st_size == size:
                    return
        except FileNotFoundError:
            if path.parent.is_dir():
                os.listdir(path.parent)  # noqa: PTH208  (makes a network file system look again)
        if time.monotonic() > deadline:
            raise BuildError(
                f"engine ray: {path} was written on another machine and is not seen here after {within_s:g} s; "
                "see engine.visible_within_s"
            )
        time.sleep(0.05)
