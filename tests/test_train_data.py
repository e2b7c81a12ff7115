"""Rows come with what the build knows of them, are measured exactly, and are drawn by weight and difficulty."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from infimed_train.check.dry_step import dry_step
from infimed_train.config import Data, Difficulty, Pixels, SftConfig
from infimed_train.data import by_difficulty, fitting, load_rows, measure, weighted
from infimed_train.errors import TrainError
from infimed_train.model import architecture, load_processor, pixel_limits, shrunk_model, tower_of


def sft_config(**values: Any) -> SftConfig:
    return SftConfig(task="sft", model="m", output="o", data=Data(path="b"), **values)


@pytest.fixture(scope="module")
def processor(tiny_model: Path) -> Any:
    return load_processor(str(tiny_model), revision=None, pixels=Pixels())


def test_rows_of_a_build_know_their_uid_and_source(demo_build: Path, training: None) -> None:
    rows = load_rows(Data(path=str(demo_build), output="rl"), "grpo")

    assert rows.uids == rows.table["uid"]
    assert rows.sources == rows.table["source"]
    measured = pl.read_parquet(demo_build / "samples.parquet").filter(pl.col("rl_split") == "train")
    assert rows.pass_rates == measured.sort("rl_position")["pass_rate"].to_list()
    assert {rate is None for rate in rows.pass_rates} == {True, False}
    assert demo_build.name in rows.digest
    sft = load_rows(Data(path=str(demo_build), max_rows=7), "sft")
    assert len(sft) == 7
    samples = pl.read_parquet(demo_build / "samples.parquet").filter(pl.col("sft_split") == "train")
    assert sft.uids == samples.sort("sft_position")["uid"].to_list()[:7]


def test_lengths_are_those_of_trls_own_batches(demo_build: Path, processor: Any) -> None:
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    rows = load_rows(Data(path=str(demo_build)), "sft")
    lengths = measure(rows, processor, batch=16)
    sample = sorted({0, *np.argsort(-lengths.image)[:2].tolist(), *np.argsort(lengths.image)[:2].tolist()})
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)

    for i in sample:
        batch = collate([dict(rows.table[i])])
        assert batch["input_ids"].shape[1] == lengths.total[i]
        assert (batch["labels"] != -100).sum() == lengths.completion[i]
        assert (batch["input_ids"] == processor.image_token_id).sum() == lengths.image[i]
    assert {bool(n) for n in lengths.image[sample]} == {True, False}


def test_a_row_with_several_images_is_measured_and_learned_from(
    demo_build: Path, tiny_model: Path, processor: Any, tmp_path: Path
) -> None:
    from datasets import Dataset
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    (file,) = (demo_build / "sft").glob("train-*.parquet")
    table = Dataset.from_parquet(str(file))
    pictures = [row["images"][0] for row in table if row["images"]][:3]
    rows = [{**table[i], "images": images} for i, images in enumerate([pictures, pictures[:1], []])]
    (tmp_path / "build" / "sft").mkdir(parents=True)
    Dataset.from_list(rows, features=table.features).to_parquet(str(tmp_path / "build" / "sft" / "train-0.parquet"))
    loaded = load_rows(Data(path=str(tmp_path / "build")), "sft")

    lengths = measure(loaded, processor)

    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    batch = collate([dict(row) for row in loaded.table])
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths.total.tolist()
    assert (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist() == lengths.image.tolist()
    assert len(batch["image_grid_thw"]) == 4
    line = dry_step(
        loaded.table, processor, architecture(str(tiny_model), None), ("language", "projector"), completions=True
    )
    assert "25 of 25 trained tensors got a gradient" in line


def test_longer_rows_are_refused_or_left_out_and_named(demo_build: Path, processor: Any) -> None:
    rows = load_rows(Data(path=str(demo_build)), "sft")
    lengths = measure(rows, processor)
    limit = int(np.sort(lengths.total)[-3])
    longest = rows.uids[int(np.argmax(lengths.total))]

    with pytest.raises(TrainError, match=rf"2 rows are \(.*over max_tokens {limit}; raise it") as caught:
        fitting(rows, lengths, sft_config(max_tokens=limit), print)
    assert longest in str(caught.value)
    said: list[str] = []
    kept = fitting(rows, lengths, sft_config(max_tokens=limit, over_length="drop"), said.append)
    assert len(kept) == len(rows) - 2
    assert lengths.total[kept].max() == limit
    assert "2 rows are" in said[0]
    with pytest.raises(TrainError, match=r"no row is within max_tokens 1;"):
        fitting(rows, lengths, sft_config(max_tokens=1, over_length="drop"), said.append)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"path": "BUILD", "split": "trian"}, "no split 'trian'; allowed: train, validation; did you mean 'train'?"),
        ({"path": "BUILD", "output": "slf"}, "has no output 'slf'; allowed: rl, sft; did you mean"),
        ({"path": "nowhere"}, "no build at nowhere; give the folder"),
        ({"path": "me/set"}, "no build at me/set; for a Hub data set of that name give its revision too"),
        ({"path": "BUILD/sft"}, "is no finished build"),
        ({"path": "BUILD", "output": "rl"}, "has no column completion; sft needs prompt, completion, images"),
    ],
)  # fmt: skip
def test_data_that_is_not_there_is_one_line(
    demo_build: Path, training: None, data: dict[str, Any], expected: str
) -> None:
    data["path"] = data["path"].replace("BUILD", str(demo_build))
    with pytest.raises(TrainError) as caught:
        load_rows(Data(**data), "sft", where="run.yaml:4")
    assert str(caught.value).startswith("run.yaml:4: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_that_does_not_decode_names_its_row(demo_build: Path, processor: Any, tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, List

    build = tmp_path / "broken"
    shutil.copytree(demo_build / "sft", build / "sft")
    (file,) = (build / "sft").glob("train-*.parquet")
    rows = Dataset.from_parquet(str(file)).select(range(3))
    features = rows.features
    plain = rows.cast_column("images", List(Image(decode=False))).to_list()
    plain[1]["images"] = [{"bytes": b"\xff\xd8 no picture", "path": None}]
    Dataset.from_list(plain, features=Features(features)).to_parquet(str(file))

    with pytest.raises(TrainError, match=r"1 image that does not decode \(1 \(cannot identify image file"):
        measure(load_rows(Data(path=str(build)), "sft"), processor)


def test_weights_take_whole_copies_and_a_seeded_share() -> None:
    sources = ["a"] * 10 + ["b"] * 10 + ["c"] * 10

    drawn = weighted(sources, {"a": 2.5, "b": 0.3}, seed=1, where="x")

    counts = [int((drawn // 10 == i).sum()) for i in range(3)]
    assert counts == [25, 3, 10]
    assert drawn.tolist() == weighted(sources, {"a": 2.5, "b": 0.3}, seed=1, where="x").tolist()
    assert drawn.tolist() != weighted(sources, {"a": 2.5, "b": 0.3}, seed=2, where="x").tolist()
    with pytest.raises(TrainError, match=r"x: weights.bb: no such source; allowed: a, b, c"):
        weighted(sources, {"bb": 1.0}, seed=1, where="x")


def test_difficulty_keeps_and_orders() -> None:
    rates = [0.5, None, 0.0, 1.0, 0.25]
    learnable = Difficulty(min_pass_rate=0.1, max_pass_rate=0.9, order="easy_first")

    assert by_difficulty(rates, learnable, count=5, where="x").tolist() == [0, 4, 1]
    hard = learnable.model_copy(update={"order": "hard_first", "unmeasured": "drop"})
    assert by_difficulty(rates, hard, count=5, where="x").tolist() == [4, 0]
    assert by_difficulty(None, Difficulty(), count=3, where="x").tolist() == [0, 1, 2]
    with pytest.raises(TrainError, match=r"no row has a pass_rate"):
        by_difficulty(None, learnable, count=3, where="x")
    with pytest.raises(TrainError, match=r"no row's pass_rate is within 0.3 and 0.4"):
        by_difficulty([0.5], Difficulty(min_pass_rate=0.3, max_pass_rate=0.4), count=1, where="x")


def test_a_model_without_its_processor_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(TrainError, match=r"no chat template"):
        load_processor(str(copy), revision=None, pixels=Pixels())
    for file in copy.glob("*processor*"):
        file.unlink()
    with pytest.raises(TrainError, match=r"no processor") as caught:
        load_processor(str(copy), revision=None, pixels=Pixels())
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainError, match=r"no model folder: it has no config.json"):
        load_processor(str(tmp_path), revision=None, pixels=Pixels())
    with pytest.raises(TrainError, match=r"no model at ./nowhere"):
        load_processor("./nowhere", revision=None, pixels=Pixels())


def test_pixel_limits_reach_the_processor(tiny_model: Path, demo_build: Path) -> None:
    small = load_processor(str(tiny_model), revision=None, pixels=Pixels(min_pixels=784, max_pixels=4 * 784))
    assert pixel_limits(small) == {"min_pixels": 784, "max_pixels": 4 * 784}
    rows = load_rows(Data(path=str(demo_build)), "sft")
    lengths = measure(rows, small)
    with_image = int(np.argmax(lengths.image))
    assert lengths.image[with_image] > 0
    grid = small.image_processor(rows.table[with_image]["images"], return_tensors="pt")["image_grid_thw"]
    assert grid.prod(dim=1).sum() // 4 == lengths.image[with_image]


def test_a_shrunk_model_keeps_the_architecture(tiny_model: Path) -> None:
    from transformers import Qwen2_5_VLConfig

    real = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2, "num_hidden_layers": 36,
            "intermediate_size": 11008, "vocab_size": 1000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={"out_hidden_size": 2048},
    )  # fmt: skip
    model = shrunk_model(real)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert sum(p.numel() for p in model.parameters()) < 2e7
    towers = {tower_of(name) for name, _ in model.named_parameters()}
    assert towers == {"vision", "projector", "language"}
