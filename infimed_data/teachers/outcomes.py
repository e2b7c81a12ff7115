"""What a backend gives back, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from infimed_data.errors import TeacherError
from infimed_data.teachers.cache import Answer
from infimed_data.teachers.contract import Prompt

__all__ = ["Backend", "Failure", "Images", "ModelDiedError", "Outcomes"]

Images = Callable[[str], bytes]
"""Encoded bytes of a picture by its digest. May raise `Reject`; called in a thread of its own."""


class ModelDiedError(TeacherError):
    """A model in a process of ours that had been loaded and is gone; another copy may be loaded."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing came back for a candidate; asked again in the next run."""

    error: str
    stopped: bool = False
    """Whether it was the end of the run that cut it short."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came back for the first candidates of a request, and what the request took."""

    found: Sequence[Answer | Failure]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    @staticmethod
    def nothing() -> Outcomes:
        """Nothing was sent."""
        return Outcomes([], 0, 0, 0)

    @staticmethod
    def failed(error: str, count: int, *, stopped: bool = False) -> Outcomes:
        """The same failure for `count` candidates."""
        return Outcomes([Failure(error, stopped)] * count, 0, 0, 0)


class Backend(Protocol):
    """A way to ask a model. To add one, write its file and its line in `BACKENDS` (backends.py)."""

    name: str
    server: str
    """Who answers, for refusals; empty where nobody can refuse."""
    choices: bool | None
    """Whether one request can bring several candidates; None while that is not known."""
    keeps: bool
    """Whether answers are in the request cache when they come back."""
    copies: int
    """Copies of the model, each of which takes `max_in_flight` candidates; 1 for a server."""
    closing: bool
    """Set when the run ends: nothing further is begun."""

    async def request(self, prompt: Prompt, indices: Sequence[int], news: Callable[[], bool]) -> Outcomes:
        """Outcomes of these candidates, or of the first few of them; raises `TeacherError` for what stops the run.

        `news` says, after a wait, whether another process has one of them by now: then nothing is sent, and no outcome
        comes back.
        """
        ...

    async def close(self) -> None:
        """Lets go of what is held."""
        ...
