"""The command `infimed-train`: quick to answer, one line an error, the same under torchrun; nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Write

Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """The command, run as a process; `launcher` stands before it."""

    def command(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "HF_DATASETS_CACHE": str(tmp_path / "datasets_cache"),
        }
        line = [sys.executable, *launcher, "-m", "infimed_train.cli", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, env=env, timeout=300, check=False)

    return command


def sft(model: Path, build: Path, output: Path) -> str:
    return (
        f"task: sft\nmodel: {model}\noutput: {output}\ndata: {{path: {build}, max_rows: 8}}\nfreeze: []\n"
        "trl: {max_steps: 2, per_device_train_batch_size: 2, bf16: false, use_cpu: true, save_steps: 1, "
        "gradient_checkpointing: false, disable_tqdm: true}\n"
    )


def test_help_and_version_need_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['infimed-train', sys.argv[1]]\n"
        "import infimed_train.cli\n"
        "try:\n    infimed_train.cli.main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'trl', 'datasets'} & sys.modules.keys()\n"
    )
    for flag in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_ready_configurations_are_listed_and_printed(start: Start) -> None:
    listed = start("configs").stdout
    for name in ("sft", "sft_lora", "grpo_vllm_server", "sft_8gpu_fsdp2", "accelerate_zero2", "eval"):
        assert f"\n{name} " in f"\n{listed}"
    assert start("configs", "sft_lora").stdout.startswith("# The same with adapters")
    path = Path(start("configs", "accelerate_zero2", "--path").stdout.strip())
    assert "zero_stage: 2" in path.read_text("utf-8")
    done = start("configs", "sftt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: sftt: no such configuration; allowed: ")


def test_a_wrong_key_is_one_line_and_starts_nothing(start: Start, write: Write, tmp_path: Path) -> None:
    path = write("task: sft\nmodel: m\noutput: out\ndata: {path: b, spilt: train}\n")
    done = start("sft", path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line == (
        f"error: {path}:4: data.spilt: unknown key; allowed: path, output, split, eval_split, revision, weights, "
        "max_rows; did you mean 'split'?"
    )


def test_two_processes_train_one_model(
    start: Start, write: Write, tiny_model: Path, demo_build: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    path = write(sft(tiny_model, demo_build, run))

    done = start("sft", path, launcher=("-m", "torch.distributed.run", "--nproc_per_node", "2"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run / "model")
    assert (run / "model" / "run.json").is_file()
    assert '"processes": 2' in (run / "run.json").read_text("utf-8")
    again = start("sft", path)  # by one process: the number of processes is no part of a finished run
    assert again.returncode == 0
    assert "finished before" in again.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB."""
    point = tmp_path / "disk"
    point.mkdir()
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("needs root on Linux to mount a small tmpfs")
    options = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(point)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=False)


def test_a_disk_that_fills_while_saving_leaves_nothing_half(
    start: Start, write: Write, tiny_model: Path, demo_build: Path, small_disk: Path
) -> None:
    done = start("sft", write(sft(tiny_model, demo_build, small_disk / "run")))

    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: disk full while saving to {small_disk / 'run'}")
    assert "Traceback" not in done.stderr
    assert not (small_disk / "run" / "model").exists()
    assert not list((small_disk / "run").glob("checkpoint-*/whole.json"))
