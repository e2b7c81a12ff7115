"""What a run's card says of its speed is what a clock and a count of its tokens and weights come to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infimed_train.runs.card import peak_flops
from infimed_train.runs.folder import RunFolder
from infimed_train.runs.training import mfu_of, watch_of


def trainer(**more: Any) -> Any:
    """2 processes, 4 rows a device, 3 batches a step; 10 M trained, 5 M frozen and 7 M vision weights."""
    weights = {
        "model.language_model.layers.0.mlp.up_proj.weight": (10_000_000, True),
        "model.language_model.embed_tokens.weight": (5_000_000, False),
        "model.visual.blocks.0.attn.qkv.weight": (7_000_000, True),
    }
    named = [
        (name, SimpleNamespace(numel=lambda count=count: count, requires_grad=trained))
        for name, (count, trained) in weights.items()
    ]
    return SimpleNamespace(
        args=SimpleNamespace(train_batch_size=4, gradient_accumulation_steps=3, world_size=2),
        model=SimpleNamespace(named_parameters=lambda: named),
        state=SimpleNamespace(log_history=[]),
        **more,
    )


def test_throughput_counts_from_where_the_run_went_on(training: None, tmp_path: Path) -> None:
    now = iter([0.0, 100.0, 150.0])
    watch = watch_of(RunFolder(tmp_path, {}, fresh=False, main=True), trainer(), clock=lambda: next(now))

    watch.on_train_begin(None, SimpleNamespace(global_step=40, num_input_tokens_seen=8_000), None)
    watch.on_train_end(None, SimpleNamespace(global_step=60, num_input_tokens_seen=68_000), None)

    found = watch.throughput()
    assert found["seconds"] == 50.0
    assert found["steps_per_s"] == 20 / 50
    assert found["samples_per_s"] == 20 * 4 * 3 * 2 / 50
    assert found["tokens_per_s"] == 60_000 / 50

    of_sft = trainer(_total_train_tokens=0)  # TRL's SFT counts in the trainer, from 0 in every process
    now = iter([0.0, 100.0, 150.0])
    watch = watch_of(RunFolder(tmp_path, {}, fresh=False, main=True), of_sft, clock=lambda: next(now))
    watch.on_train_begin(None, SimpleNamespace(global_step=40, num_input_tokens_seen=0), None)
    of_sft._total_train_tokens = 30_000
    watch.on_train_end(None, SimpleNamespace(global_step=60, num_input_tokens_seen=0), None)
    assert watch.throughput()["tokens_per_s"] == 600


def test_mfu_is_operations_of_the_language_model_over_the_gpus_peak() -> None:
    operations = 6 * 10_000_000 + 4 * 5_000_000  # a token, trained weights and frozen ones
    found = mfu_of(trainer(), 1_000_000.0, gpu="NVIDIA H100 80GB HBM3")
    assert found == pytest.approx(operations * 1_000_000 / (2 * 989e12))
    assert mfu_of(trainer(), 1_000_000.0, gpu=None) is None
    assert mfu_of(trainer(), 1_000_000.0, gpu="Some GPU of next year") is None
    assert (
        mfu_of(trainer(reward_funcs=[]), 1_000_000.0, gpu="NVIDIA H100 80GB HBM3") is None
    )  # generation is no such cost


@pytest.mark.parametrize(
    ("name", "tflops"),
    [("NVIDIA H100 PCIe", 756), ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362),
     ("NVIDIA L4", 121), ("NVIDIA A10G", 70), ("NVIDIA A10", 125)],
)  # fmt: skip
def test_a_gpu_is_known_by_its_own_name(name: str, tflops: float) -> None:
    assert peak_flops(name) == tflops * 1e12
