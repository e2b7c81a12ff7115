"""SFT of a tiny Qwen2.5-VL on the demo build: it learns, goes on where it stopped, and leaves a card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from infimed_train.config import Loaded, load_config
from infimed_train.errors import StorageError, TrainError
from infimed_train.model import tower_of
from infimed_train.sft import sft

Load = Callable[..., Loaded]


@pytest.fixture
def load(tiny_model: Path, demo_build: Path, tmp_path: Path) -> Load:
    """`load("key: value", ...)`: an SFT of four steps with these settings on top."""

    def loaded(*settings: str) -> Loaded:
        path = tmp_path / "sft.yaml"
        path.write_text(
            f"""
task: sft
model: {tiny_model}
output: {tmp_path / "run"}
data: {{path: {demo_build}, max_rows: 24}}
max_tokens: 3000
over_length: drop
freeze: []
trl:
  max_steps: 4
  per_device_train_batch_size: 2
  learning_rate: 0.01
  lr_scheduler_type: constant
  save_steps: 2
  logging_steps: 1
  bf16: false
  use_cpu: true
  gradient_checkpointing: false
  disable_tqdm: true
""",
            "utf-8",
        )
        return load_config(path, settings)

    return loaded


def quiet(line: str) -> None:
    pass


def weights(model: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(model / "model.safetensors"))


def changed(before: Path, after: Path) -> set[str]:
    """Towers whose weights differ."""
    first, second = weights(before), weights(after)
    assert first.keys() == second.keys()
    return {tower_of(name) for name, value in first.items() if not value.equal(second[name])}


def test_it_learns_and_a_stopped_run_ends_in_the_same_weights(load: Load, tiny_model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    model = sft(load("trl.train_sampling_strategy=group_by_length"), said.append)

    run = tmp_path / "run"
    assert model == run / "model"
    assert changed(tiny_model, model) == {"vision", "projector", "language"}
    curves = pl.read_parquet(run / "curves.parquet").filter(pl.col("name") == "loss").sort("step")
    assert curves["step"].to_list() == [1, 2, 3, 4]
    assert curves["value"][-1] < curves["value"][0]
    assert (run / "curves.png").stat().st_size > 1000
    assert sorted(p.name for p in run.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    card = orjson.loads((run / "run.json").read_bytes())
    assert card["pixels"] == {"min_pixels": 3136, "max_pixels": 12544}
    assert card["steps"] == 4
    assert card["throughput"]["samples_per_s"] > 0
    assert card["throughput"]["tokens_per_s"] > 0
    assert {"torch", "trl", "transformers"} <= card["versions"].keys()
    assert card["data"].startswith("demo/")
    assert (model / "run.json").is_file()

    whole = weights(model)
    log = orjson.loads((run / "checkpoint-4" / "trainer_state.json").read_bytes())["log_history"]
    shutil.rmtree(model)
    (run / "checkpoint-4" / "whole.json").unlink()  # as if the machine had died while saving
    said.clear()
    again = sft(load("trl.train_sampling_strategy=group_by_length", "trl.logging_steps=1"), said.append)

    assert any(line.endswith("checkpoint-4: half-written, removed") for line in said)
    assert any("going on from" in line and "(step 2)" in line for line in said)
    assert all(value.equal(whole[name]) for name, value in weights(again).items())
    log_again = orjson.loads((run / "checkpoint-4" / "trainer_state.json").read_bytes())["log_history"]
    assert [entry["loss"] for entry in log_again] == [entry["loss"] for entry in log]

    said.clear()
    assert sft(load("trl.train_sampling_strategy=group_by_length"), said.append) == model
    assert said == [f"{model}: finished before; --fresh starts anew"]
    with pytest.raises(TrainError, match=r"holds another run: .*trl.learning_rate 0.01, now 0.02") as caught:
        sft(load("trl.train_sampling_strategy=group_by_length", "trl.learning_rate=0.02"), quiet)
    assert "\n" not in str(caught.value)


def test_the_losses_are_those_of_a_bare_trl_script(
    load: Load, tiny_model: Path, demo_build: Path, tmp_path: Path
) -> None:
    from datasets import load_dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    sft(load("max_tokens=100000"), quiet)
    (file,) = (demo_build / "sft").glob("train-*.parquet")
    bare: Any = SFTTrainer(
        model=str(tiny_model),
        args=SFTConfig(
            output_dir=str(tmp_path / "bare"),
            max_length=None,
            max_steps=4,
            per_device_train_batch_size=2,
            learning_rate=0.01,
            lr_scheduler_type="constant",
            warmup_steps=0.05,
            logging_steps=1,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset("parquet", data_files=str(file), split="train").select(range(24)),
    )
    bare.train()

    ours = pl.read_parquet(tmp_path / "run" / "curves.parquet").filter(pl.col("name") == "loss").sort("step")
    assert ours["value"].to_list() == [entry["loss"] for entry in bare.state.log_history if "loss" in entry]


def test_frozen_towers_stay_and_weights_choose_sources(load: Load, tiny_model: Path) -> None:
    said: list[str] = []
    model = sft(load("freeze=[vision, projector]", "data.weights={slake: 0.5}", "trl.max_steps=1"), said.append)

    assert changed(tiny_model, model) == {"language"}
    with pytest.raises(TrainError, match=r"weights.slaek: no such source; allowed: .*; did you mean 'slake'\?"):
        sft(load("data.weights={slaek: 2.0}"), quiet, fresh=True)
    with pytest.raises(TrainError, match="nothing is left to train"):
        sft(load("freeze=[vision, projector, language]"), quiet, fresh=True)


def test_adapters_leave_the_vision_tower_alone_and_go_from_phase_to_phase(
    load: Load, demo_build: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="peft is not installed (it comes with the extra `train`)")
    from safetensors.torch import load_file

    data = f"data: {{path: {demo_build}, max_rows: 4}}"
    phases = f"phases={{text: {{{data}}}, mixed: {{{data}, trl: {{learning_rate: 0.0}}}}}}"
    lora = "lora={rank: 2, targets: [q_proj, v_proj, proj, up_proj]}"
    model = sft(load(phases, lora, "trl.max_steps=1"), quiet)

    assert model == tmp_path / "run" / "mixed" / "model"
    first = load_file(tmp_path / "run" / "text" / "model" / "adapter_model.safetensors")
    second = load_file(model / "adapter_model.safetensors")
    assert any("q_proj" in name for name in first)
    assert not [name for name in first if "visual" in name or "merger" in name]
    assert any(bool(value.any()) for name, value in first.items() if "lora_B" in name)  # it was trained
    assert all(value.equal(second[name]) for name, value in first.items())  # and carried over, which a rate of 0 shows
    adapter = orjson.loads((model / "adapter_config.json").read_bytes())
    assert adapter["base_model_name_or_path"] == str(tiny_model)

    alone = ("trl.max_steps=1", f"model={model}", f"output={tmp_path / 'alone'}")
    with pytest.raises(TrainError, match=r"rank 2, alpha 32, targets proj, .*; lora must say the same"):
        sft(load(*alone, "lora={rank: 4}"), quiet)
    with pytest.raises(TrainError, match="holds an adapter; train it on with `lora`"):
        sft(load(*alone), quiet)


def test_phases_follow_one_another(load: Load, demo_build: Path, tiny_model: Path, tmp_path: Path) -> None:
    phases = (
        f"phases={{text: {{data: {{path: {demo_build}, max_rows: 4}}, freeze: [vision, projector]}}, "
        f"mixed: {{data: {{path: {demo_build}, max_rows: 6}}, trl: {{learning_rate: 0.02}}}}}}"
    )
    said: list[str] = []
    model = sft(load(phases, "trl.max_steps=1"), said.append)

    assert model == tmp_path / "run" / "mixed" / "model"
    first = tmp_path / "run" / "text" / "model"
    assert changed(tiny_model, first) == {"language"}
    assert changed(first, model) == {"vision", "projector", "language"}
    assert orjson.loads((model / "run.json").read_bytes())["config"]["model"] == str(first)


def test_a_folder_that_is_no_run_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    with pytest.raises(TrainError, match="holds checkpoints of an unknown run"):
        sft(load(), quiet)
    with pytest.raises(TrainError, match="is not the folder of a run"):
        sft(load(), quiet, fresh=True)


def test_an_image_that_breaks_in_training_is_one_line(load: Load, demo_build: Path, tmp_path: Path) -> None:
    from datasets import Dataset, Image, List

    (tmp_path / "build" / "sft").mkdir(parents=True)
    (file,) = (demo_build / "sft").glob("train-*.parquet")
    rows = Dataset.from_parquet(str(file))
    features = rows.features
    plain = [row for row in rows.cast_column("images", List(Image(decode=False))) if row["images"]][:2]
    for row in plain:  # its header is whole, so its size is known
        row["images"] = [{**image, "bytes": image["bytes"][: len(image["bytes"]) * 2 // 3]} for image in row["images"]]
    Dataset.from_list(plain, features=features).to_parquet(str(tmp_path / "build" / "sft" / "train-0.parquet"))

    with pytest.raises(TrainError, match=r"an image of the data does not decode \(image file is truncated") as caught:
        sft(load(f"data.path={tmp_path / 'build'}", "trl.max_steps=1"), quiet)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "model").exists()


def test_a_full_disk_while_saving_is_one_line_and_leaves_no_model(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    def full(self: Any, *arguments: Any, **more: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(StorageError, match=r"disk full while saving to .*run: free space") as caught:
        sft(load("trl.max_steps=2"), quiet)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.undo()
    said: list[str] = []
    assert sft(load("trl.max_steps=2"), said.append).is_dir()
    assert any("half-written, removed" in line for line in said)
