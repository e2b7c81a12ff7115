"""What `infimed-train` costs beside a bare TRL script of the same arguments, seed and rows.

    python tests/benchmarks/bench_train.py --build BUILD [--steps 40] [--pairs 5] [--tasks sft,grpo]

Runs of both take turns, each a process of its own. A run reports the time and the CPU seconds of every step but the
first, and its losses, which must be equal to the last digit. GRPO gets rows with pictures only, because a bare TRL
cannot take both kinds. The last lines are medians; on a machine that others use too, CPU seconds count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

TRL: dict[str, dict[str, Any]] = {
    "sft": {"per_device_train_batch_size": 8, "learning_rate": 1e-3, "lr_scheduler_type": "cosine"},
    "grpo": {
        "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 48, "learning_rate": 1e-3,
        "mask_truncated_completions": False, "log_completions": True, "log_multimodal": False,
        "num_completions_to_print": 0, "epsilon_high": 0.28,
    },
}  # fmt: skip
BOTH: dict[str, Any] = {
    "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True, "save_strategy": "no",
    "logging_steps": 1, "report_to": "none", "warmup_steps": 0.05, "seed": 3,
}  # fmt: skip


def arguments_of(task: str, steps: int) -> dict[str, Any]:
    """TRL's arguments of a run."""
    given = TRL[task] | BOTH | {"max_steps": steps}
    if task == "grpo":
        del given["warmup_steps"]
    return given


def ours(task: str, model: Path, build: Path, out: Path, steps: int) -> Path:
    """Trains with infimed-train; returns the folder of the checkpoint's state."""
    from infimed_train.config import load_config
    from infimed_train.grpo import grpo
    from infimed_train.sft import sft

    config: dict[str, Any] = {
        "task": task, "model": str(model), "output": str(out), "freeze": [],
        "data": {"path": str(build), "output": "rl" if task == "grpo" else "sft"}, "trl": arguments_of(task, steps),
    }  # fmt: skip
    path = out.with_suffix(".yaml")
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    loaded = load_config(path)
    return sft(loaded, quiet) if task == "sft" else grpo(loaded, quiet)


def bare(task: str, model: Path, build: Path, out: Path, steps: int) -> None:
    """The same with nothing but TRL, and for GRPO the verifier."""
    from datasets import load_dataset

    output = "rl" if task == "grpo" else "sft"
    files = sorted(map(str, (build / output).glob("train-*.parquet")))
    rows: Any = load_dataset("parquet", data_files=files, split="train")
    if task == "sft":
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        trainer: Any = SFTTrainer(
            model=str(model),
            args=SFTConfig(output_dir=str(out), max_length=None, **arguments_of(task, steps)),
            train_dataset=rows,
        )
    else:
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        trainer = GRPOTrainer(
            model=str(model),
            args=GRPOConfig(output_dir=str(out), reward_weights=[1.0, 0.1], **arguments_of(task, steps)),
            reward_funcs=[accuracy, form],
            train_dataset=rows,
        )
    trainer.train()


def verdicts(completions: list[Any], columns: dict[str, Any]) -> list[str]:
    """What the verifier says."""
    from infimed_data.verify import Gold, verify

    names = ("answer", "answer_label", "answer_kind", "options")
    return [
        verify(
            Gold.from_row({name: columns[name][i] for name in names} | {"prompt": columns["prompts"][i]}),
            completion[0]["content"],
        ).outcome
        for i, completion in enumerate(completions)
    ]


def accuracy(completions: list[Any], **columns: Any) -> list[float | None]:
    """1 for right, 0 for wrong."""
    paid: dict[str, float | None] = {"correct": 1.0, "wrong": 0.0, "unverifiable": None}
    return [paid[outcome] for outcome in verdicts(completions, columns)]


def form(completions: list[Any], **columns: Any) -> list[float | None]:
    """1 for the form that is asked for."""
    from infimed_train.rewards import in_form

    return [
        None if outcome == "unverifiable" else float(in_form(completion[0]["content"], "answer"))
        for outcome, completion in zip(verdicts(completions, columns), completions, strict=True)
    ]


def quiet(line: str) -> None:
    pass


def one(task: str, who: str, folder: Path, steps: int) -> None:
    """One run; prints its step times, CPU seconds and losses as JSON."""
    from infimed_train.vision_imports import make_torchvision_importable

    make_torchvision_importable()
    import torch
    import transformers.trainer
    from transformers import TrainerCallback

    torch.set_num_threads(1)
    seconds: list[float] = []
    cpu: list[float] = []
    losses: list[float] = []
    at = [0.0, 0.0]

    class Watch(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def on_step_begin(self, *a: Any, **k: Any) -> None:
            if not at[0]:
                at[:] = time.perf_counter(), time.process_time()

        def on_step_end(self, *a: Any, **k: Any) -> None:
            now = time.perf_counter(), time.process_time()
            seconds.append(now[0] - at[0])
            cpu.append(now[1] - at[1])
            at[:] = now

        def on_log(self, *a: Any, logs: Any = None, **k: Any) -> None:
            if "loss" in (logs or {}):
                losses.append(logs["loss"])

    callbacks: list[Any] = transformers.trainer.DEFAULT_CALLBACKS
    callbacks.append(Watch)
    (ours if who == "ours" else bare)(task, folder / "model", folder / "build", folder / f"{task}_{who}", steps)
    print(json.dumps({"seconds": seconds[1:], "cpu": cpu[1:], "losses": losses, "whole_cpu": time.process_time()}))


def prepared(build: Path, folder: Path) -> None:
    """A model, and the build's rows that both can take: with pictures and payable where they are for GRPO."""
    from datasets import Dataset
    from tiny_qwen import tiny_qwen

    from infimed_data.verify import Gold
    from infimed_train.config import Data
    from infimed_train.data import load_rows
    from infimed_train.rewards import decidable

    tiny_qwen(folder / "model", hidden=64, layers=4, vision_hidden=64, mrope_section=(4, 2, 2))
    for output in ("sft", "rl"):
        rows = load_rows(Data(path=str(build), output=output), "grpo" if output == "rl" else "sft")
        chosen = [
            i for i, row in rows.raw() if output == "sft" or (row["images"] and decidable(Gold.from_row(row)))
        ]  # fmt: skip
        (folder / "build" / output).mkdir(parents=True)
        table: Dataset = rows.table.select(chosen)
        table.to_parquet(str(folder / "build" / output / "train-0.parquet"))


def compare(task: str, folder: Path, steps: int, pairs: int) -> None:
    """Prints one line of medians. Raises where the losses differ."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "bare": []}
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    for pair in range(pairs):
        for who in ("ours", "bare") if pair % 2 == 0 else ("bare", "ours"):
            with tempfile.TemporaryDirectory(dir=folder) as run:
                for name in ("model", "build"):
                    (Path(run) / name).symlink_to(folder / name)
                command = [sys.executable, __file__, "--one", task, who, "--folder", run, "--steps", str(steps)]
                done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
                if done.returncode:
                    raise SystemExit(f"{task}, {who}: {done.stderr[-2000:]}")
                found[who].append(json.loads(done.stdout.splitlines()[-1]))
    losses = {tuple(run["losses"]) for runs in found.values() for run in runs}
    if len(losses) != 1 or len(next(iter(losses))) != steps:
        raise SystemExit(f"{task}: the losses differ: {[list(one)[:5] for one in losses]}")
    line = [f"{task}: {steps} steps, {pairs} runs each, losses equal"]
    for name, words in (("cpu", "CPU seconds a step"), ("seconds", "seconds a step")):
        middle = {who: statistics.median(value for run in runs for value in run[name]) for who, runs in found.items()}
        ratio = middle["ours"] / middle["bare"] - 1
        line.append(f"{words} {middle['ours']:.4f} and bare {middle['bare']:.4f} ({ratio:+.1%})")
    whole = {who: statistics.median(run["whole_cpu"] for run in runs) for who, runs in found.items()}
    line.append(f"CPU seconds of the whole process {whole['ours']:.1f} and {whole['bare']:.1f}")
    print("; ".join(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=Path, help="build with outputs `sft` and `rl`")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tasks", default="sft,grpo")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        task, who = arguments.one
        one(task, who, arguments.folder, arguments.steps)
        return
    with tempfile.TemporaryDirectory() as made:
        prepared(arguments.build, Path(made))
        for task in arguments.tasks.split(","):
            compare(task, Path(made), arguments.steps, arguments.pairs)


if __name__ == "__main__":
    main()
