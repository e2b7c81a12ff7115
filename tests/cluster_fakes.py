"""What workers of a cluster run in tests: a model of our own at vLLM's boundary, shard functions with a mishap."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from test_teacher_vllm import FakeLLM

from infimed_data.errors import SourceError
from infimed_data.storage.stages import atomic_write
from infimed_data.teachers import Teacher
from infimed_data.teachers.outcomes import Images
from infimed_data.teachers.vllm import Engine, InProcess


class Shard(NamedTuple):
    """A task: a number, and the folder that its output goes to."""

    number: int
    folder: Path


def squared(task: Shard) -> int:
    """Writes and returns the square."""
    with atomic_write(task.folder / f"{task.number}.txt") as temporary:
        temporary.write_text(str(task.number**2))
    return task.number**2


def lost_once(task: Shard) -> int:
    """The same; the worker of the third is lost the first time."""
    mark = task.folder / "lost"
    if task.number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return squared(task)


def lost_always(task: Shard) -> int:
    """Loses every worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def faulty(task: Shard) -> int:
    """Fails as a damaged source does."""
    raise SourceError(f"{task.folder}: shard {task.number} is damaged")


class MortalLLM(FakeLLM):
    """Dies in its second batch, once in all: `mark` remembers."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = mark

    def chat(self, *given: Any, **more: Any) -> Any:
        """As in vLLM."""
        if self.batches and not self.mark.exists():
            self.mark.touch()
            self.dead = True
        return super().chat(*given, **more)


def open_fake_vllm(
    teacher: Teacher, images: Images, busy: set[Any], *, private_only: bool, environ: Mapping[str, str]
) -> InProcess:
    """An in-process vLLM whose model is `MortalLLM`; the teacher's revision names the file that remembers."""
    assert teacher.vllm.data_parallel_size == 1, "a worker has one copy"

    def load(given: Teacher) -> Engine:
        time.sleep(0.05)
        return Engine(MortalLLM(Path(str(given.revision))), dict)

    return InProcess(teacher, images, busy, load=load)
