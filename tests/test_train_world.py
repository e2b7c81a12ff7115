"""It learns to look: SFT takes a tiny model from chance to nearly every unseen picture, and nowhere without pictures.

The whole proof, with three questions, GRPO and a model that teaches itself, is `tests/benchmarks/train_world.py`; this
is its quick beginning.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import PROJECT


def test_sft_learns_from_the_picture(training: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "tests" / "benchmarks"), *sys.path])
    import world_rows
    import world_runs

    asked = ("Side?", "Count?")
    world_rows.draw(tmp_path / "drawn", 700, world_rows.TRAIN, questions=asked)
    world_rows.draw(tmp_path / "unseen", 60, world_rows.HELD_OUT, questions=asked, split="test")
    learned = world_rows.build(tmp_path, "train", world_rows.bare("drawn"))
    unseen = world_rows.build(tmp_path, "test", world_rows.bare("unseen", split="test"))
    grey = world_rows.blind(unseen, tmp_path / "grey", grey=True)
    untrained = world_runs.tiny_model(tmp_path / "untrained")

    before = world_runs.accuracy(tmp_path / "before", untrained, unseen)
    trained = world_runs.train("sft", tmp_path / "sft", untrained, learned, 120, per_device_train_batch_size=32)
    seeing = world_runs.accuracy(tmp_path / "seeing", trained.model, unseen)
    blind = world_runs.accuracy(tmp_path / "blind", trained.model, grey)

    assert before.all <= 50
    assert seeing.by_question["Side?"] >= 90, seeing
    assert seeing.by_question["Count?"] >= 70, seeing
    assert 30 <= blind.by_question["Side?"] <= 70, blind
    assert 15 <= blind.by_question["Count?"] <= 52, blind
