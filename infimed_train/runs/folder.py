"""The folder of one run. What stands in it under its final name is whole; a stopped run goes on in it.

run.json            the card: config, data, versions, hardware, throughput
curves.parquet      step, name, value of everything that was logged; curves.png shows the chief ones
checkpoint-200/     taken for whole only with the mark that is written last
completions/        GRPO: completions with their uid, rewards and verdict; completions.html shows them with pictures
model/              the result, with its processor; appears when all of it is written
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from infimed_train.errors import TrainError, storage_error

__all__ = ["MARK", "RunFolder"]

MARK = "whole.json"
CARD = "run.json"
FREE = ("hardware", "trl.logging_steps", "trl.save_steps", "trl.save_total_limit", "trl.report_to", "trl.run_name")
"""Settings that may differ when a run goes on: they do not change what it learns."""


class RunFolder:
    """A run's folder, opened for one identity: the configuration and data that determine what is learned."""

    def __init__(self, path: Path, identity: Mapping[str, Any], *, fresh: bool, main: bool) -> None:
        self.path = path
        self.identity = orjson.loads(orjson.dumps(identity))
        self._main = main
        if fresh and main and path.exists():
            if (path / CARD).is_file() or not any(path.iterdir()):
                shutil.rmtree(path)
            else:
                raise TrainError(f"output: {path} is not the folder of a run (no {CARD}); choose another")
        if fresh and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()  # nobody looks before the old run is gone
        if main:
            self._refuse_another_run()

    @property
    def model(self) -> Path:
        """Where the finished model stands, once it does."""
        return self.path / "model"

    @property
    def finished(self) -> bool:
        """Whether the run has nothing left to do."""
        return (self.model / CARD).is_file()

    def card(self) -> dict[str, Any]:
        """The card as it was last written; empty before."""
        file = self.path / CARD
        if not file.is_file():
            return {}
        try:
            return dict(orjson.loads(file.read_bytes()))
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise TrainError(f"{file}: not a run's card; choose another output, or --fresh") from None

    def write_card(self, card: Mapping[str, Any], *, folder: Path | None = None) -> None:
        """Writes the card whole or not at all."""
        if not self._main:
            return
        target = (folder or self.path) / CARD
        partial = target.with_name(f"{CARD}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
            partial.replace(target)
        except OSError as error:
            raise storage_error(error, f"writing {target}") or error from None

    def checkpoint(self, say: Callable[[str], None]) -> Path | None:
        """The last whole checkpoint. Half-written ones are removed."""
        whole: list[tuple[int, Path]] = []
        for folder in self.path.glob("checkpoint-*"):
            number = folder.name.rpartition("-")[2]
            if not number.isdigit():
                continue
            if (folder / MARK).is_file():
                whole.append((int(number), folder))
            elif self._main:
                say(f"{folder}: half-written, removed")
                shutil.rmtree(folder, ignore_errors=True)
        if not whole:
            return None
        step, folder = max(whole)
        say(f"going on from {folder} (step {step})")
        return folder

    def mark(self, checkpoint: Path) -> None:
        """Says that a checkpoint is whole; called when all of it is written."""
        if self._main and checkpoint.is_dir():
            (checkpoint / MARK).write_bytes(orjson.dumps(self.identity))

    def _refuse_another_run(self) -> None:
        """Raises `TrainError` where the folder holds a run with another identity, naming what differs."""
        there = self.card().get("identity")
        if there is None:
            if any(self.path.glob("checkpoint-*")) or self.model.exists():
                raise TrainError(
                    f"output: {self.path} holds checkpoints of an unknown run (no {CARD}); choose another output"
                )
            return
        before, now = _flat(there), _flat(self.identity)
        differing = [
            f"{key} {_short(before.get(key))}, now {_short(now.get(key))}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key) and not any(key == free or key.startswith(f"{free}.") for free in FREE)
        ]
        if differing:
            more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise TrainError(
                f"output: {self.path} holds another run: {'; '.join(differing[:3])}{more}; "
                "choose another output, or --fresh to start anew"
            )


def replace_folder(partial: Path, folder: Path) -> None:
    """Puts a finished folder under its name."""
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys; the first level's own names (`config`) are left out."""
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        deeper = f"{path}.{key}" if path and path != "config" else str(key)
        flat |= _flat(inner, deeper)
    return flat


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
