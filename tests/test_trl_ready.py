"""The outputs of a finished build are what TRL takes directly: loaded, collated and trained on as they lie on disk.

Only the model is a stand-in: `datasets` reads the build, and TRL's own collator and trainers get its rows unchanged.
"""

import importlib.util
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tiny_qwen import tiny_qwen

from infimed_train.grpo import mixed_grpo_trainer
from infimed_train.vision_imports import make_torchvision_importable

MISSING = [name for name in ("torch", "torchvision", "trl", "datasets") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (they come with the extra `train`)"),
]

Load = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """No hub. Hugging Face libraries read this at import, one reason why this file imports them inside functions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        make_torchvision_importable()
        yield


@pytest.fixture(scope="module")
def model(offline: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_qwen(tmp_path_factory.mktemp("tiny_qwen")))


@pytest.fixture(scope="module")
def load(offline: None, demo_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """`load("sft")`: the train split of one output, loaded the way a user of the build does."""
    from datasets import load_dataset

    cache = str(tmp_path_factory.mktemp("datasets_cache"))

    def load_output(output: str, *, streaming: bool = False) -> Any:
        return load_dataset(str(demo_build), output, split="train", streaming=streaming, cache_dir=cache)

    return load_output


def columns(output: str) -> Any:
    """The columns of one output, as TRL wants them."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    messages = List({"role": text, "content": text})
    if output == "sft":
        return Features(prompt=messages, completion=messages, images=List(Image()))
    return Features(
        prompt=messages,
        images=List(Image()),
        answer=text,
        answer_label=text,
        options=List(text),
        answer_kind=text,
        source=text,
        uid=text,
    )


def mixed(rows: Any, *, pairs: int) -> Any:
    """`pairs` rows with images and as many without, in turn: both kinds in every batch. The shortest, to be quick."""
    lengths = [sum(len(message["content"]) for message in prompt) for prompt in rows["prompt"]]
    shortest = sorted(range(len(rows)), key=lengths.__getitem__)
    with_images = list(islice((i for i in shortest if rows[i]["images"]), pairs))
    without = list(islice((i for i in shortest if not rows[i]["images"]), pairs))
    assert len(with_images) == len(without) == pairs, "the build must hold enough rows with and without images"
    return rows.select([i for pair in zip(with_images, without, strict=True) for i in pair])


def trained_parameters(trainer: Any) -> tuple[set[str], set[str]]:
    """Names of all parameters, and of those that training changed."""
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, parameter in trainer.model.named_parameters() if not parameter.equal(before[name])}
    return set(before), changed


@pytest.mark.parametrize("output", ["sft", "rl"])
def test_an_output_loads_as_it_stands(output: str, load: Load) -> None:
    import PIL.Image

    table, stream = load(output), load(output, streaming=True)

    assert table.features == columns(output)
    assert stream.features == columns(output)
    rows = list(table)
    assert rows
    assert list(stream) == rows
    for row in rows:
        assert not {name for name, value in row.items() if value is None} - {"answer_label"}
        assert row["prompt"][-1]["role"] == "user"
        assert all(message["role"] and message["content"] for message in row["prompt"])
        for picture in row["images"]:
            assert isinstance(picture, PIL.Image.Image)
            picture.load()
            assert min(picture.size) > 0
    assert {bool(row["images"]) for row in rows} == {True, False}, "the build must hold rows with and without images"


@pytest.fixture(scope="module")
def sft_trainer(model: str, load: Load, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    arguments = SFTConfig(
        output_dir=str(tmp_path_factory.mktemp("sft")),
        max_length=None,  # cutting would cut image tokens; the build has already dropped what is too long
        max_steps=2,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return SFTTrainer(model=model, args=arguments, train_dataset=mixed(load("sft"), pairs=2))


def test_sft_rows_are_learned_from_their_completion_only(sft_trainer: Any) -> None:
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    collate, processor = sft_trainer.data_collator, sft_trainer.processing_class
    assert isinstance(collate, DataCollatorForVisionLanguageModeling)
    rows = list(sft_trainer.train_dataset)
    assert [bool(row["images"]) for row in rows] == [True, False, True, False]

    batch = collate([dict(row) for row in rows])

    tokens_of_image = (batch["image_grid_thw"].prod(dim=1) // processor.image_processor.merge_size**2).tolist()
    for row, ids, mask, labels in zip(rows, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        expected_image_tokens = sum(tokens_of_image.pop(0) for _ in row["images"])
        assert (ids == processor.image_token_id).sum() == expected_image_tokens
        learned = labels != -100
        assert labels[learned].equal(ids[learned])
        completion = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["completion"])
        completion = unicodedata.normalize("NFC", completion)  # as Qwen's tokenizer does
        assert processor.decode(ids[learned]) == completion.removeprefix("<|im_start|>assistant\n")
        prompt = processor.decode(ids[~learned & mask.bool()])
        assert prompt.endswith("<|im_start|>assistant\n")
        assert all(unicodedata.normalize("NFC", message["content"]) in prompt for message in row["prompt"])
    assert tokens_of_image == []


def test_two_steps_of_sft_change_every_parameter(sft_trainer: Any) -> None:
    every, changed = trained_parameters(sft_trainer)

    assert sft_trainer.state.global_step == 2
    assert changed == every  # the vision tower's too: the images of the batch have reached it


def test_grpo_hands_every_column_to_the_reward(model: str, load: Load, tmp_path: Path) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    calls: list[dict[str, Any]] = []

    def reward(**received: Any) -> list[float | None]:
        calls.append(received)
        return [float(position % 2) for position in range(len(received["completions"]))]  # unequal within a group

    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=2,
        max_completion_length=8,
        learning_rate=1e-2,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = mixed(load("rl"), pairs=2)
    row_of = {row["uid"]: row for row in rows}
    assert len(row_of) == 4

    trainer = mixed_grpo_trainer()(model=model, args=arguments, train_dataset=rows, reward_funcs=reward)
    every, changed = trained_parameters(trainer)

    assert changed == every
    assert len(calls) == 2
    for call in calls:
        assert sorted(call["uid"]) == sorted([*row_of, *row_of])  # both kinds together, two completions each
        for position, uid in enumerate(call["uid"]):
            row = row_of[uid]
            assert {name: call[name][position] for name in row if name != "prompt"} == {
                name: value for name, value in row.items() if name != "prompt"
            }
            assert text_of(call["prompts"][position]) == text_of(row["prompt"])
            assert [message["role"] for message in call["completions"][position]] == ["assistant"]


def text_of(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Role and text of each message; TRL turns `content` into parts on its way, where a row has images."""
    return [
        (
            message["role"],
            message["content"]
            if isinstance(message["content"], str)
            else "".join(part["text"] for part in message["content"] if part["type"] == "text"),
        )
        for message in messages
    ]
