"""Shard functions as Ray tasks.

A task that loses its worker is done again, by Ray, up to `task_retries` times. A shard's output appears under its name
whole, and is the same whoever writes it, so that a worker that was given up for lost may even finish it too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
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


class RayEngine:
    """Runs tasks on a cluster; those that are not worth workers in this process, as the local engine does."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.settings = connection.settings

    def map(
        self, function: Callable[[Task], Fact], tasks: Sequence[Task], *, label: str, heavy: bool
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
        call = ray.remote(_call).options(
            num_cpus=settings.num_cpus_per_task, memory=settings.memory_per_task, resources=dict(settings.resources),
            max_retries=settings.task_retries, name=label,
        )  # fmt: skip
        pending: dict[Any, int] = {}
        upcoming = iter(enumerate(tasks))
        ended = told = False
        last = time.monotonic()
        try:
            while True:
                most = self.connection.room() * (1 if settings.max_tasks else 2)
                while not ended and len(pending) < most:
                    following = next(upcoming, None)
                    if following is None:
                        ended = True
                    else:
                        pending[call.remote(self.connection.shared, function, following[1])] = following[0]
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
                    yield pending.pop(one), self._fact(ray, one, label)
        finally:
            for one in pending:
                ray.cancel(one, force=True)

    def _fact(self, ray: Any, one: Any, label: str) -> Any:
        try:
            result = ray.get(one)
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, ImportError):
                raise BuildError(f"engine ray: a machine of the cluster cannot work: {cause_of(error)}") from error
            raise
        except ray.exceptions.OutOfMemoryError as error:
            raise BuildError(
                f"out of memory while {label}: Ray stopped its worker {self.settings.task_retries + 1} times; set "
                "engine.memory_per_task, or num_cpus_per_task to a larger number; the same command continues"
            ) from error
        except ray.exceptions.RayError as error:
            raise BuildError(
                f"a worker was lost while {label}, {self.settings.task_retries + 1} times "
                f"({type(error).__name__}); the same command continues where it stopped"
            ) from error
        if isinstance(result, _Failed):
            raise result.error
        for path, size in result.written:
            _see(path, size, self.settings.visible_within_s)
        return result.fact

    def warm(self) -> None:
        """See `Engine.warm`; a cluster's workers start by themselves."""

    def renew(self) -> None:
        """See `Engine.renew`; a cluster's workers hold no memory that this process needs, and Ray ends idle ones."""

    def close(self) -> None:
        """Gives up what still runs, and leaves the cluster."""
        self.connection.close()


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
