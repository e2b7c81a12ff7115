"""Each trainer gets the keys that it reads, tags where pictures stand, and no row that it would trip over."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import Run

from infimed_data.errors import BuildError, QueryError
from infimed_data.export import FORMATS, export
from infimed_data.export.rows import TAG, rows_of, splits_of

Exported = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(demo_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The demo's export for a trainer, made once."""
    folder = tmp_path_factory.mktemp("exports")

    def made(to: str) -> Path:
        if not (folder / to).exists():
            export(demo_build, to, folder / to)
        return folder / to

    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def samples(build: Path) -> dict[str, dict[str, Any]]:
    return {row["uid"]: row for row in pl.read_parquet(build / "samples.parquet").to_dicts()}


def test_verl_gets_its_keys_and_one_schema(exported: Exported, demo_build: Path) -> None:
    table = pq.read_table(exported("verl") / "rl-train.parquet")
    keys = ["data_source", "prompt", "images", "ability", "reward_model", "extra_info"]
    assert table.column_names == keys
    known = samples(demo_build)
    rows = table.to_pylist()
    assert [row["extra_info"]["index"] for row in rows] == list(range(len(rows)))
    for row in rows:
        sample = known[row["extra_info"]["uid"]]
        assert all(isinstance(message["content"], str) for message in row["prompt"])
        assert sum(m["content"].count(TAG) for m in row["prompt"]) == len(row["images"]) == len(sample["images"])
        assert row["data_source"] == f"infimed/{sample['source']}" and row["ability"] == sample["category"]
        gold = sample["answer_label"] or sample["answer"]
        assert row["reward_model"] == {"style": "rule", "ground_truth": gold}
        assert json.loads(row["extra_info"]["options"]) == (sample["options"] or [])
        assert row["prompt"][-1]["role"] == "user"


def test_easyr1_gets_plain_texts_and_everything_in_the_answer(exported: Exported) -> None:
    rows = pq.read_table(exported("easyr1") / "rl-train.parquet").to_pylist()
    for row in rows:
        assert set(row) == {"problem", "answer", "images", "uid", "source"}
        packed = json.loads(row["answer"])
        assert set(packed) == {"ground_truth", "answer", "answer_label", "answer_kind", "options"}
        assert row["problem"].count(TAG) == len(row["images"])
        assert all(set(image) == {"bytes"} and image["bytes"] for image in row["images"])
    assert any(row["images"] == [] for row in rows), "text rows have an empty list, not null"


def test_llama_factory_gets_alternating_messages_and_its_dataset_info(exported: Exported, demo_build: Path) -> None:
    folder = exported("llama_factory")
    info = json.loads((folder / "dataset_info.json").read_text())
    assert set(info) == {"infimed_sft_train", "infimed_sft_validation"}
    assert info["infimed_sft_train"]["columns"] == {"messages": "messages", "images": "images"}
    assert info["infimed_sft_train"]["tags"]["role_tag"] == "role"
    count = 0
    for entry in info.values():
        assert entry["formatting"] == "sharegpt"
        for row in lines(folder / entry["file_name"]):
            count += 1
            assert set(row) == {"messages", "images"}
            roles = [message["role"] for message in row["messages"]]
            assert roles[0] == "system" and roles[1::2] == ["user"] * len(roles[1::2])
            assert roles[2::2] == ["assistant"] * len(roles[2::2]) and roles[-1] == "assistant"
            assert sum(m["content"].count(TAG) for m in row["messages"]) == len(row["images"])
            assert all((folder / name).is_file() for name in row["images"])
    assert count == sum(row["sft_split"] is not None for row in samples(demo_build).values())


def test_swift_gets_absolute_paths_and_columns_for_rewards(exported: Exported) -> None:
    folder = exported("swift")
    for row in lines(folder / "rl-train.jsonl"):
        assert row["messages"][-1]["role"] == "user" and row["solution"]
        assert all(Path(name).is_absolute() and Path(name).is_file() for name in row["images"])
    assert set(lines(folder / "sft-train.jsonl")[0]) == {"messages", "images"}


def test_vlm_r1_gets_one_turn_and_how_to_compare(exported: Exported) -> None:
    rows = lines(exported("vlm_r1") / "rl-train.jsonl")
    methods = {"choice": "mcq", "yes_no": "yes_no"}
    assert {row["accu_reward_method"] for row in rows} >= {"mcq", "yes_no"} <= {*methods.values(), "default"}
    for row in rows:
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        images = row.get("image", [])
        assert row["conversations"][0]["value"].count(TAG) == (1 if isinstance(images, str) else len(images))
        if row["accu_reward_method"] == "mcq":
            assert row["conversations"][1]["value"] in list("ABCDEFGHIJ")


def test_verifiers_gets_pictures_in_their_places(exported: Exported, demo_build: Path) -> None:
    known = samples(demo_build)
    for row in lines(exported("verifiers") / "rl-train.jsonl"):
        assert set(row) == {"id", "prompt", "answer", "info", "task"} and row["id"] == row["info"]["uid"]
        parts = [part for message in row["prompt"] for part in message["content"]]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        assert len(urls) == len(known[row["info"]["uid"]]["images"])
        assert all(base64.b64decode(url.partition("base64,")[2]) for url in urls)
        assert not any(TAG in part.get("text", "") for part in parts)
        assert all(part["type"] in ("text", "image_url") for part in parts), "lists of parts only: Arrow mixes no kinds"


def test_tags_stand_where_the_source_had_them(demo_build: Path) -> None:
    known = samples(demo_build)
    inside = 0
    for output in ("sft", "rl"):
        for split, files in splits_of(demo_build, output).items():
            for row in rows_of(demo_build, output, split, files):
                sample = known[row.uid]
                slots = sample["image_slots"] or [{"turn": 0, "offset": 0}] * len(row.images)
                if sample["turns"]:
                    continue
                asked = next(m["content"] for m in row.messages if m["role"] == "user")
                offset = slots[0]["offset"] if slots else None
                assert asked.find(TAG) == (-1 if offset is None else offset)
                assert asked.replace(TAG, "").startswith(sample["question"])
                inside += bool(offset)
    assert inside, "the demo has pictures inside a question"


def test_every_format_names_its_outputs(run: Run) -> None:
    assert set(FORMATS) == {"verl", "easyr1", "llama_factory", "swift", "vlm_r1", "verifiers"}
    assert all(name in run("export", "--help", COLUMNS="200").stdout for name in FORMATS)


def test_the_command_says_what_was_checked(demo_build: Path, tmp_path: Path, run: Run) -> None:
    done = run("export", demo_build, "--to", "verl", "--out", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("rl-train.parquet: 54 rows, ") and first.endswith("pictures, all decoded")
    assert last == str(tmp_path / "x")
    again = run("export", demo_build, "--to", "verl", "--out", tmp_path / "x")
    assert again.returncode == 1 and "exists; give --out" in again.stderr
    wrong = run("export", demo_build, "--to", "ver", "--out", tmp_path / "y")
    assert wrong.stderr.startswith("error: --to ver: unknown; allowed: verl, easyr1")


def changed(build: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the build whose first row of rl with a picture was changed behind its back."""
    shutil.copytree(build, folder)
    [file, *_] = sorted((folder / "rl").glob("train-*.parquet"))
    rows = pq.read_table(file).to_pylist()
    change(next(row for row in rows if row["images"]))
    pl.DataFrame(rows).write_parquet(file)
    return folder


def _truncate(row: dict[str, Any]) -> None:
    row["images"][0]["bytes"] = row["images"][0]["bytes"][:200]


def _token(row: dict[str, Any]) -> None:
    row["prompt"][-1]["content"] += " <|im_end|>"


def _tag(row: dict[str, Any]) -> None:
    row["prompt"][-1]["content"] += " <image>"


@pytest.mark.parametrize(
    ("change", "said"),
    [(_truncate, "an image cannot be decoded"), (_token, r"holds '<\|im_end\|>'"), (_tag, "2 image tags for 1 images")],
)
@pytest.mark.parametrize("to", ["verl", "vlm_r1", "swift"])
def test_what_a_trainer_would_trip_over_is_refused(
    demo_build: Path, tmp_path: Path, to: str, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    build = changed(demo_build, tmp_path / "build", change)
    with pytest.raises(BuildError, match=said):
        export(build, to, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*")), "nothing is left behind"


def test_a_build_without_the_output_says_what_it_can_be_exported_to(demo_build: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_build, tmp_path / "build")
    shutil.rmtree(tmp_path / "build" / "rl")
    with pytest.raises(QueryError, match=r"verl reads the output rl, which .*: llama_factory, swift$"):
        export(tmp_path / "build", "verl", tmp_path / "out")
