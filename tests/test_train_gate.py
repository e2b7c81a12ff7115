"""The gate of SFT says what a training did to a model: better, no worse, or WORSE, and then nobody overlooks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from infimed_train.config import Loaded, load_config
from infimed_train.errors import TrainError
from infimed_train.sft import sft

QUESTIONS = [f"Is mark {number} there?" for number in range(12)]
Load = Callable[..., Loaded]


@pytest.fixture(scope="module")
def yes_build(training: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to learn, whose answer is always yes, and other such rows to be asked."""
    from datasets import Dataset

    folder = tmp_path_factory.mktemp("yes") / "build"
    for split, questions in (("train", QUESTIONS[:6]), ("validation", QUESTIONS[6:])):
        rows = [
            {
                "prompt": [{"role": "user", "content": f"{question}\n\nAnswer with yes or no only."}],
                "completion": [{"role": "assistant", "content": "yes"}],
                "images": [], "uid": question, "question": question, "answer": "yes", "answer_label": None,
                "answer_kind": "yes_no", "options": [], "lang": "en",
            }
            for question in questions
        ]  # fmt: skip
        table: Any = Dataset.from_list(rows)
        from datasets import Image, List

        table = table.cast_column("images", List(Image()))
        (folder / "sft").mkdir(parents=True, exist_ok=True)
        table.to_parquet(str(folder / "sft" / f"{split}-0.parquet"))
    return folder


def load(model: Path, build: Path, run: Path, *settings: str) -> Loaded:
    config = {
        "task": "sft", "model": str(model), "output": str(run), "data": {"path": str(build)}, "freeze": [],
        "gate": {"path": str(build), "prompt": "direct", "max_new_tokens": 4, "dtype": "float32"},
        "trl": {
            "max_steps": 30, "per_device_train_batch_size": 6, "learning_rate": 0.02, "lr_scheduler_type": "constant",
            "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True,
            "save_strategy": "no",
        },
    }  # fmt: skip
    run.parent.mkdir(parents=True, exist_ok=True)
    path = run.parent / f"{run.name}.yaml"
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    return load_config(path, settings)


def test_a_training_that_helps_passes_and_one_that_ruins_is_said_loudly(
    tiny_model: Path, yes_build: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    model = sft(load(tiny_model, yes_build, tmp_path / "good"), said.append)

    assert said[-1].startswith("gate: not found worse: 6 questions, right before 0.0%, after 100.0% (+100.0 points")
    card = orjson.loads((model / "run.json").read_bytes())
    assert (card["gate"]["first"], card["gate"]["second"], card["gate"]["worse"]) == (0.0, 1.0, False)
    assert orjson.loads((tmp_path / "good" / "run.json").read_bytes())["gate"] == card["gate"]
    said.clear()
    assert sft(load(tiny_model, yes_build, tmp_path / "good"), said.append) == model
    assert said[-1].startswith("gate: not found worse")
    assert any("6 answered before" in line or "finished before" in line for line in said)

    ruin = ("trl.max_steps=2", "trl.learning_rate=5.0")
    said.clear()
    ruined = sft(load(model, yes_build, tmp_path / "bad", *ruin), said.append)
    assert "WORSE: this SFT made the model worse: 6 questions, right before 100.0%, after 0.0%" in said[-1]
    assert "!!!!" in said[-1]
    assert orjson.loads((ruined / "run.json").read_bytes())["gate"]["worse"] is True
    with pytest.raises(
        TrainError, match=r"WORSE: .* right before 100.0%, after 0.0% .*; the model stands in"
    ) as caught:
        sft(load(model, yes_build, tmp_path / "bad", *ruin, "gate.stop=true"), said.append)
    assert "\n" not in str(caught.value)


def test_a_gate_that_cannot_be_asked_is_found_before_training(
    tiny_model: Path, yes_build: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match=r"x.yaml:1: .* has no split 'dev'; allowed: train, validation") as caught:
        sft(load(tiny_model, yes_build, tmp_path / "x", "gate.split=dev", "gate.prompt=direct"), print)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x" / "model").exists()
    assert not list((tmp_path / "x").glob("curves*"))
