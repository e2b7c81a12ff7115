"""It learns to look: SFT takes a tiny model from chance to nearly every unseen picture, and nowhere without pictures.

The whole proof, with three questions and GRPO, is `tests/benchmarks/train_world.py`; this is its quick beginning.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT


def test_sft_learns_from_the_picture(training: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "tests" / "benchmarks"), *sys.path])
    import train_world

    model, learned, unseen, blind = train_world.world(
        tmp_path, pictures=600, held_out=60, questions=("Side?",), hidden=48, layers=2
    )
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 16, "lr_scheduler_type": "constant", "learning_rate": 3e-3
    }  # fmt: skip

    trained, _ = train_world.train("sft", tmp_path, "sft", model, learned, 140, **settings)

    assert train_world.accuracy(tmp_path, "sft", trained, unseen)["all"] >= 90
    assert 30 <= train_world.accuracy(tmp_path, "blind", trained, blind)["all"] <= 70
