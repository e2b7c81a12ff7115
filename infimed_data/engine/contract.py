"""What an engine is: the one place where it matters how many processes or machines there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Engine", "Fact", "Task"]

Task = TypeVar("Task")
Fact = TypeVar("Fact")


class Engine(Protocol):
    """What the pipeline asks of an engine."""

    def map(
        self, function: Callable[[Task], Fact], tasks: Iterable[Task], *, label: str, heavy: bool
    ) -> Iterator[tuple[int, Fact]]:
        """(index of task, fact) as tasks finish. `heavy` says that the tasks are worth starting workers for."""
        ...

    def warm(self) -> None:
        """Says that workers will be needed soon; what they import may be loaded beside the caller's first work."""
        ...

    def renew(self) -> None:
        """Lets workers go that hold what the stages before needed, where that is memory of this machine."""
        ...

    def close(self) -> None:
        """Ends the workers."""
        ...
