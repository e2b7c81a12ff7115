"""The loop: a trained model is served, reasons about new pictures, and is trained on what the verifier accepts."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from world_rows import FORM, FRESH, TRAIN, build, draw, draw_reasoned, pictures, source
from world_runs import Accuracy, Trained, accuracy, say, train

from infimed_data.strategies.problem import Problem
from infimed_data.strategies.prompting import asked, template
from infimed_data.teachers import TextPart

READY_S = 300
TOKENS = 96
"""Of a completion: a thought and an answer take 60."""


def instruction() -> str:
    """What the strategy `direct` writes after a question: the student is asked in the same words."""
    problem = Problem(uid="", question="?", answer="left", answer_kind="short_text", images=("",))
    said = asked(template("direct", problem), problem).parts[-1]
    assert isinstance(said, TextPart)
    return said.text.removeprefix("?\n\n")


def texts() -> list[str]:
    """What the tokenizer has to have words for."""
    thought = pictures(Path(), 1, TRAIN)[0].thought
    return [instruction(), f"<think>\n{thought}\n</think>\n\n<answer>left</answer>"]


@dataclass(frozen=True)
class Loop:
    """What the loop found."""

    before: Accuracy
    after: Accuracy
    grey: Accuracy
    teacher: Trained
    student: Trained
    traces: Path
    """Build of the accepted traces."""
    seconds: dict[str, float]
    counts: dict[str, int]

    @property
    def accepted(self) -> float:
        """Accepted candidates in percent."""
        return 100 * self.counts["accepted"] / self.counts["candidates"]


def close_the_loop(
    out: Path, model: Path, unseen: Path, grey: Path, *, server: str, form_pictures: int, form_steps: int,
    fresh_pictures: int, steps: int, processes: int,
) -> Loop:  # fmt: skip
    """`model` learns the form from a few written traces, teaches itself on fresh pictures, and is asked again."""
    tail = instruction()
    reasoned: dict[str, Any] = {"instruction": f"\n\n{tail}", "max_new_tokens": TOKENS, "system": None}
    took: dict[str, float] = {}
    draw_reasoned(out / "form", form_pictures, FORM)
    form = build(
        out, "form", {"sources": {"form": source("form", adapter="llava")}, "outputs": {"sft": {"instruction": tail}}}
    )
    batch = {"per_device_train_batch_size": 32, "learning_rate": 2e-3, "warmup_steps": 20}
    teacher = train("sft", out / "teacher", model, form, form_steps, **batch)
    before = accuracy(out / "eval_teacher", teacher.model, unseen, **reasoned)
    say(f"teacher: {before}")

    draw(out / "fresh", fresh_pictures, FRESH, processes=processes)
    started = time.perf_counter()
    with served(server, teacher.model, out / "server.log") as (url, name):
        took["server"] = time.perf_counter() - started
        started = time.perf_counter()
        traces = build(out, "traces", _asking(url, name, tail))
        took["generate"] = time.perf_counter() - started
    student = train("sft", out / "student", teacher.model, traces, steps, **batch)
    after = accuracy(out / "eval_student", student.model, unseen, **reasoned)
    say(f"student: {after}")
    blind = accuracy(out / "eval_student_grey", student.model, grey, **reasoned)
    return Loop(before, after, blind, teacher, student, traces, took, _counts(traces))


def _asking(url: str, model: str, tail: str) -> dict[str, Any]:
    """The manifest of the traces: up to four candidates a question, the first that verifies wins."""
    return {
        "sources": {"world": source("fresh")},
        "teachers": {"itself": {"base_url": url, "model": model, "max_in_flight": 32}},
        "generate": {
            "look": {
                "teacher": "itself", "strategy": "direct", "drawing": {"temperature": 1.0, "max_tokens": TOKENS},
                "attempts": {"start": 2, "more": 1, "accept": 1, "limit": 4}, "failed": "drop",
            }
        },
        "outputs": {"sft": {"instruction": tail}},
    }  # fmt: skip


def _counts(traces: Path) -> dict[str, int]:
    candidates = pl.read_parquet(traces / "candidates.parquet")
    generated = pl.read_parquet(traces / "generated.parquet")
    return {
        "questions": len(generated),
        "candidates": len(candidates),
        "right": int((candidates["outcome"] == "correct").sum()),
        "accepted": int(candidates["accepted"].sum()),
        "traces": int((generated["accepted"] > 0).sum()),
    }


@contextmanager
def served(command: str, model: Path, log: Path) -> Iterator[tuple[str, str]]:
    """(URL, name of the model) of a server that `command` starts; `{model}` and `{port}` in it are filled in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    arguments = [part.format(model=model.resolve(), port=port) for part in shlex.split(command)]
    say(f"server: {shlex.join(arguments)}")
    with log.open("wb") as written:
        process = subprocess.Popen(arguments, stdout=written, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield url, _ready(process, url, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5) as response:
                return str(json.load(response)["data"][0]["id"])
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    end = log.read_text("utf-8", "replace").splitlines()[-3:]
    raise SystemExit(f"error: no server at {url} after {READY_S} s (exit {process.poll()}); {log}: {' | '.join(end)}")
