"""`infimed-train sft`, `grpo` and `eval` on the drawn world, in this process: settings in, models and scores out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from world_rows import QUESTIONS, SIZE_PX, SYSTEM

PLAIN = {"bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True, "save_strategy": "no",
         "logging_steps": 10, "seed": 1}  # fmt: skip
SFT = {
    "per_device_train_batch_size": 64, "learning_rate": 3e-3, "lr_scheduler_type": "cosine", "warmup_steps": 50
}  # fmt: skip
GRPO = {
    "per_device_train_batch_size": 512, "num_generations": 8, "max_completion_length": 4, "learning_rate": 5e-4,
    "adam_beta2": 0.99, "entropy_coef": 0.02, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10,
    "mask_truncated_completions": False, "log_completions": False,
}  # fmt: skip


def say(line: str) -> None:
    """A line on stderr, at once."""
    print(line, file=sys.stderr, flush=True)


def tiny_model(folder: Path, *, texts: Sequence[str] = (), hidden: int = 64, layers: int = 2) -> Path:
    """A Qwen2.5-VL of 0.3M random parameters, for pictures of `SIZE_PX`: 64 patches, 16 tokens each.

    Heads of 32 dimensions are the smallest that vLLM takes on a CPU; the words of the questions and of `texts` are
    one token each.
    """
    from tiny_qwen import tiny_qwen

    heads = hidden // 32
    return tiny_qwen(
        folder, hidden=hidden, layers=layers, vision_hidden=hidden, heads=heads, mrope_section=(6, 5, 5), patch_px=8,
        min_pixels=SIZE_PX**2, max_pixels=SIZE_PX**2, initializer_range=0.1,
        texts=("system\nuser\nassistant\n", *QUESTIONS, "right\nleft\ndisc\nring\nbar\none\ntwo\nthree", *texts),
    )  # fmt: skip


def infimed_train(task: str, config: Mapping[str, Any]) -> None:
    """The command, its configuration written beside its output."""
    from infimed_train.cli import app

    output = Path(config["output"])
    path = output.with_name(f"{output.name}.yaml")
    path.write_text(json.dumps({"task": task, **config}, indent=1), "utf-8")  # JSON is YAML
    with redirect_stdout(sys.stderr):
        ended = app([task, str(path)], standalone_mode=False)
    if ended:
        raise SystemExit(ended)


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    model: Path
    seconds: float
    steps: int

    @property
    def folder(self) -> Path:
        """Where its card and curves are."""
        return self.model.parent


def train(task: str, output: Path, model: Path, data: Path, steps: int, **trl: Any) -> Trained:
    """`steps` of SFT or GRPO from `model` on a build; `trl` goes over the settings above."""
    given = {**PLAIN, **(SFT if task == "sft" else GRPO), "max_steps": steps, **trl}
    config = {
        "model": str(model), "output": str(output), "freeze": [], "trl": given,
        "data": {"path": str(data), "output": "rl" if task == "grpo" else "sft"},
    }  # fmt: skip
    if task == "grpo":
        config["reward"] = {"format": "off"}
    started = time.perf_counter()
    infimed_train(task, config)
    return Trained(output / "model", time.perf_counter() - started, steps)


@dataclass(frozen=True)
class Accuracy:
    """Share of right answers in percent, with its 95% interval by whole pictures."""

    folder: Path
    all: float
    low: float
    high: float
    by_question: Mapping[str, float]
    unread: int
    """Answers in which the verifier found none."""

    def __str__(self) -> str:
        parts = ", ".join(f"{question[:-1].lower()} {share:.1f}" for question, share in self.by_question.items())
        return f"{self.all:.1f} ({self.low:.1f} to {self.high:.1f}; {parts})"


def accuracy(
    output: Path,
    model: Path,
    data: Path,
    *,
    instruction: str = "",
    max_new_tokens: int = 8,
    system: str | None = SYSTEM,
) -> Accuracy:
    """What `model` says about a build's rows, asked as they were asked in training."""
    kinds = ("choice", "multi_choice", "yes_no", "number", "short_text", "open", "none")
    prompts = output.with_name(f"{output.name}_prompts.yaml")
    asked = {kind: "{question}" + ("{options}" if "choice" in kind else "") + instruction for kind in kinds}
    prompts.write_text(json.dumps({**({"system": system} if system else {}), "en": asked}), "utf-8")
    infimed_train(
        "eval",
        {
            "model": str(model), "output": str(output), "dtype": "float32", "batch_size": 100, "resamples": 2000,
            "max_new_tokens": max_new_tokens, "prompt": str(prompts), "benchmarks": {"world": {"path": str(data)}},
        },
    )  # fmt: skip
    score = json.loads((output / "results.json").read_text("utf-8"))["scores"][0]
    rows = pl.read_parquet(output / "predictions.parquet")
    right = rows.group_by("question").agg((pl.col("outcome") == "correct").mean() * 100)
    by_question = {name: float(share) for name, share in right.iter_rows()}
    return Accuracy(
        output, 100 * score["accuracy"], 100 * score["low"], 100 * score["high"],
        {name: by_question[name] for name in QUESTIONS if name in by_question}, score["parse_failures"],
    )  # fmt: skip
