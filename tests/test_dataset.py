"""Rows become the messages that TRL takes, in files that `datasets` and any Parquet reader see as plain columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infimed_data import dataset
from infimed_data.dataset import FEATURES, FileTask, Packed, PackTask, Prompting, compose, pack_images, write_file
from infimed_data.errors import SourceError
from infimed_data.storage.places import Place
from infimed_data.storage.stages import write_table

PLAIN = Prompting(system=None, instruction=None, reasoning=True, answer_tags=True)
CHOICE: dict[str, Any] = {
    "question": "Which organ?",
    "options": ["Liver", "Lung"],
    "answer": "Lung",
    "answer_label": "B",
    "answer_kind": "choice",
    "turns": [],
    "rationale": "It holds air.",
}
OPEN: dict[str, Any] = {
    **CHOICE, "options": [], "answer": "A lung.", "answer_label": None, "answer_kind": "open", "rationale": "",
}  # fmt: skip
TALK: dict[str, Any] = {
    **OPEN,
    "question": "",
    "answer": "",
    "answer_kind": "none",
    "turns": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
    ],
}


def prompting(**changes: Any) -> Prompting:
    """Plain wording with changes."""
    return Prompting(**{"system": None, "instruction": None, "reasoning": True, "answer_tags": True, **changes})


def said(record: dict[str, Any], **changes: Any) -> str:
    """The completion's text."""
    _, completion = compose(record, prompting(**changes))
    [message] = completion
    assert message["role"] == "assistant"
    return message["content"]


# Wording


def test_a_choice_shows_its_options_and_answers_with_letter_and_text() -> None:
    assert compose(CHOICE, PLAIN) == (
        [{"role": "user", "content": "Which organ?\nA. Liver\nB. Lung"}],
        [{"role": "assistant", "content": "<think>\nIt holds air.\n</think>\n\n<answer>B. Lung</answer>"}],
    )


def test_reasoning_and_tags_can_be_left_out() -> None:
    assert said(CHOICE, reasoning=False) == "<answer>B. Lung</answer>"
    assert said(CHOICE, answer_tags=False) == "<think>\nIt holds air.\n</think>\n\nB. Lung"
    assert said(CHOICE, reasoning=False, answer_tags=False) == "B. Lung"
    assert said({**CHOICE, "rationale": ""}) == "<answer>B. Lung</answer>"
    assert said({**CHOICE, "rationale": None}) == "<answer>B. Lung</answer>"


def test_an_open_answer_stands_without_tags() -> None:
    assert compose(OPEN, PLAIN) == (
        [{"role": "user", "content": "Which organ?"}],
        [{"role": "assistant", "content": "A lung."}],
    )
    assert said({**OPEN, "options": None}) == "A lung."


@pytest.mark.parametrize(
    ("kind", "label", "text"),
    [
        ("yes_no", None, "<answer>Lung</answer>"),
        ("number", None, "<answer>Lung</answer>"),
        ("short_text", None, "<answer>Lung</answer>"),
        ("choice", "B", "<answer>B. Lung</answer>"),
        ("multi_choice", "A,B", "<answer>Lung</answer>"),
        ("open", None, "Lung"),
    ],
)
def test_each_kind_of_answer(kind: str, label: str | None, text: str) -> None:
    assert said({**CHOICE, "answer_kind": kind, "answer_label": label, "rationale": ""}) == text


def test_system_and_instruction_frame_the_question() -> None:
    prompt, _ = compose(CHOICE, prompting(system="Be careful.", instruction="Answer with a letter."))
    assert prompt == [
        {"role": "system", "content": "Be careful."},
        {"role": "user", "content": "Which organ?\nA. Liver\nB. Lung\n\nAnswer with a letter."},
    ]


def test_a_conversation_is_completed_by_its_last_message() -> None:
    prompt, completion = compose(TALK, prompting(instruction="Answer with a letter."))
    assert prompt == TALK["turns"][:-1]
    assert completion == TALK["turns"][-1:]
    prompt, _ = compose(TALK, prompting(system="Be careful."))
    assert prompt == [{"role": "system", "content": "Be careful."}, *TALK["turns"][:-1]]


def test_a_conversation_keeps_the_system_message_of_its_own() -> None:
    own = {**TALK, "turns": [{"role": "system", "content": "Own."}, *TALK["turns"]]}
    for system in (None, "Be careful."):
        prompt, completion = compose(own, prompting(system=system))
        assert [message["content"] for message in prompt] == ["Own.", "Hi", "Hello", "Why?"]
        assert completion == [{"role": "assistant", "content": "So."}]


def test_no_prompt_holds_an_image_tag() -> None:
    prompt, completion = compose({**CHOICE, "image_keys": ["a|x.png"]}, PLAIN)
    assert "<image" not in str(prompt) + str(completion)


# Files


def png(shade: int, size: int = 40) -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("L", (size, size), shade).save(out, "PNG")
    return out.getvalue()


def scattered(folder: Path, target: str, records: list[dict[str, Any]]) -> tuple[Path, int]:
    """A scattered part with one batch: rows in ingest order with their positions."""
    schema = pa.schema(
        [
            ("uid", pa.string()),
            ("source", pa.string()),
            ("question", pa.string()),
            ("options", pa.list_(pa.string())),
            ("answer", pa.string()),
            ("answer_label", pa.string()),
            ("answer_kind", pa.string()),
            ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("rationale", pa.string()),
            ("image_keys", pa.list_(pa.string())),
            (f"to_{target}", pa.int64()),
        ]
    )
    path = folder / f"part-{len(list(folder.glob('part-*')))}.arrow"
    blank = {**CHOICE, "source": "a", "image_keys": []}
    rows = [{**blank, "uid": f"a/{number}", f"to_{target}": number, **record} for number, record in enumerate(records)]
    table = pa.Table.from_pylist(rows, schema).combine_chunks()
    write_table(path, iter(table.to_batches()), schema)
    return path, 0


def written(folder: Path, target: str, records: list[dict[str, Any]], **changes: Any) -> Path:
    """The output file of these rows, whose images lie in the folder."""
    part = scattered(folder, target, records)
    out = folder / f"{target}.parquet"
    settings: dict[str, Any] = {
        "target": target, "batches": ((part,),), "out": out, "places": {"a": Place(folder)}, "packed": {},
        "prompting": PLAIN, "max_bytes": 1 << 20, **changes,
    }  # fmt: skip
    assert write_file(FileTask(**settings)) == len(records)
    return out


def declared(output: str) -> datasets.Features:
    """The columns of an output, said with the library's own classes."""
    text = datasets.Value("string")
    messages = datasets.List({"role": text, "content": text})
    images = datasets.List(datasets.Image())
    if output == "sft":
        return datasets.Features({"prompt": messages, "completion": messages, "images": images})
    return datasets.Features(
        {
            "prompt": messages,
            "images": images,
            "answer": text,
            "answer_label": text,
            "options": datasets.List(text),
            "answer_kind": text,
            "source": text,
            "uid": text,
        }
    )


@pytest.mark.parametrize("output", ["sft", "rl"])
def test_features_are_what_the_library_itself_writes(output: str, tmp_path: Path) -> None:
    features = declared(output)
    own = orjson.loads(features.arrow_schema.metadata[b"huggingface"])
    assert {"info": {"features": FEATURES[output]}} == own
    path = written(tmp_path, f"{output}-train", [CHOICE])
    metadata = pq.read_schema(path).metadata
    assert orjson.loads(metadata[b"huggingface"]) == own
    assert datasets.Features.from_arrow_schema(pq.read_schema(path)) == features
    assert pq.read_schema(path).names == list(features)


@pytest.mark.parametrize("output", ["sft", "rl"])
def test_a_reader_sees_plain_types(output: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(1))
    path = written(tmp_path, f"{output}-train", [{"image_keys": ["a|x.png"]}] * 5)
    table = pq.read_table(path)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    assert table.schema.field("images").type.equals(pa.list_(image))
    assert table.schema.field("prompt").type.equals(messages)
    assert "dictionary" not in str(table.schema)
    assert table["images"].to_pylist() == [[{"bytes": png(1), "path": "x.png"}]] * 5


def test_rows_come_in_the_order_of_their_positions_with_their_images(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "3.png").write_bytes(png(3))
    records: list[dict[str, Any]] = [
        {"to_sft-train": 2, "question": "third", "image_keys": ["a|0.png", "a|1.png"]},
        {"to_sft-train": 0, "question": "first", "image_keys": ["a|2.png"]},
        {"to_sft-train": 3, "question": "fourth", "image_keys": []},
        {"to_sft-train": 1, "question": "second", "image_keys": ["a|deep/3.png", "a|0.png"]},
    ]
    table = pq.read_table(written(tmp_path, "sft-train", records)).to_pylist()
    assert [row["prompt"][0]["content"].split("\n")[0] for row in table] == ["first", "second", "third", "fourth"]
    shown = [[(image["path"], image["bytes"]) for image in row["images"]] for row in table]
    assert shown == [
        [("2.png", png(2))],
        [("3.png", png(3)), ("0.png", png(0))],
        [("0.png", png(0)), ("1.png", png(1))],
        [],
    ]


def test_an_image_of_many_rows_is_stored_once(tmp_path: Path) -> None:
    noise = Image.effect_noise((300, 300), 90)
    noise.save(tmp_path / "x.png")
    size = (tmp_path / "x.png").stat().st_size
    path = written(tmp_path, "sft-train", [{"image_keys": ["a|x.png"]}] * 50)
    assert path.stat().st_size < 2 * size
    assert len(pq.read_table(path).column("images")) == 50


def test_equal_images_under_two_names_are_stored_once_and_nothing_else_is(tmp_path: Path) -> None:
    """PyArrow leaves room for a repeated dictionary value and fills it with stray memory: never in our files."""
    Image.effect_noise((300, 300), 90).save(tmp_path / "x.png")
    (tmp_path / "y.png").write_bytes((tmp_path / "x.png").read_bytes())
    size = (tmp_path / "x.png").stat().st_size
    path = written(tmp_path, "sft-train", [{"image_keys": ["a|x.png", "a|y.png"]}] * 5)
    assert pq.read_metadata(path).row_group(0).column(4).path_in_schema == "images.list.element.bytes"
    assert size < pq.read_metadata(path).row_group(0).column(4).total_uncompressed_size < size + 200
    assert [image["path"] for image in pq.read_table(path)["images"].to_pylist()[0]] == ["x.png", "y.png"]


def test_row_groups_end_at_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(png(1))
    monkeypatch.setattr(dataset, "ROW_GROUP_ROWS", 4)
    path = written(tmp_path, "rl-train", [{"image_keys": ["a|x.png"]}] * 10)
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [4, 4, 2]
    assert pq.read_table(path)["uid"].to_pylist() == [f"a/{number}" for number in range(10)]
    monkeypatch.setattr(dataset, "ROW_GROUP_BYTES", 2 * len(png(1)))
    path = written(tmp_path, "rl-validation", [{"image_keys": ["a|x.png"]}] * 5)
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [2, 2, 1]
    assert pq.read_table(path)["uid"].to_pylist() == [f"a/{number}" for number in range(5)]


def test_an_rl_row_carries_what_a_reward_needs(tmp_path: Path) -> None:
    [row] = pq.read_table(written(tmp_path, "rl-train", [CHOICE])).to_pylist()
    assert row == {
        "prompt": [{"role": "user", "content": "Which organ?\nA. Liver\nB. Lung"}],
        "images": [],
        "answer": "Lung",
        "answer_label": "B",
        "options": ["Liver", "Lung"],
        "answer_kind": "choice",
        "source": "a",
        "uid": "a/0",
    }


def test_a_file_loads_with_the_library_and_decodes_its_images(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(77))
    path = written(tmp_path, "sft-train", [{"image_keys": ["a|x.png"]}, {"image_keys": []}])
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert loaded.features == declared("sft")
    assert loaded[0]["images"][0].getpixel((0, 0)) == 77
    assert loaded[1]["images"] == []


def test_packed_images_are_taken_from_their_pack_at_their_size(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png(9, 100))
    (tmp_path / "small.png").write_bytes(png(8, 30))
    entries = pack_images(
        PackTask(
            place=Place(tmp_path),
            refs=("large.png", "small.png"),
            max_pixels=900,
            window=True,
            max_bytes=1 << 20,
            limit_pixels=10**6,
            out=tmp_path / "images.pack",
        )
    )
    packed = {f"a|{ref}": Packed(tmp_path / "images.pack", offset, size) for ref, offset, size in entries}
    path = written(tmp_path, "sft-train", [{"image_keys": ["a|large.png", "a|small.png"]}], packed=packed)
    [[large, small]] = pq.read_table(path)["images"].to_pylist()
    assert Image.open(io.BytesIO(large["bytes"])).size == (30, 30)
    assert small["bytes"] == png(8, 30)


def test_an_image_that_went_away_stops_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png: .* while writing"):
        written(tmp_path, "sft-train", [{"image_keys": ["a|gone.png"]}])
    assert not (tmp_path / "sft-train.parquet").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_file_that_stands_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "sft-train", [CHOICE, OPEN])
    before = path.read_bytes()
    task = FileTask("sft-train", (), path, {}, {}, PLAIN, 1)
    assert write_file(task) == 2
    assert path.read_bytes() == before


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(png(1))
        files.append(written(tmp_path / name, "rl-train", [{"image_keys": ["a|x.png"]}, {}, {}]).read_bytes())
    assert files[0] == files[1]
