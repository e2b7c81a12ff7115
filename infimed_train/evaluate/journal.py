"""Answers that are already there: one line each, on the disk before the next is asked for; a torn last line is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from infimed_train.errors import TrainError, storage_error

__all__ = ["Answer", "Journal"]


class Answer(NamedTuple):
    """What came back."""

    text: str
    finish: str
    """`stop`, `length` (cut at max_new_tokens), or `refused: ...` where the server would not take the request."""
    tokens: int
    """Tokens of the answer."""


class Journal:
    """Answers by request, in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: dict[str, Answer] = {}
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            try:
                key, text, finish, tokens = orjson.loads(line)
            except (orjson.JSONDecodeError, ValueError):
                raise TrainError(f"{path}: not a journal of answers; --fresh starts anew") from None
            self.answers[key] = Answer(text, finish, tokens)
        if whole < len(data):
            with path.open("r+b") as file:
                file.truncate(whole)

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Keeps these answers, on the disk first."""
        self._write([key, *answer] for key, answer in answers.items())
        self.answers.update(answers)

    def _write(self, lines: Iterable[list[object]]) -> None:
        try:
            with self._path.open("ab") as file:
                file.writelines(orjson.dumps(line) + b"\n" for line in lines)
        except OSError as error:
            raise storage_error(error, f"writing {self._path}") or error from None
