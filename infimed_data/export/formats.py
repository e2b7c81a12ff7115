"""What each trainer wants of a row: its exact keys, and the files they stand in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pyarrow as pa

from infimed_data.export.rows import TAG, Row

__all__ = ["FORMATS", "Format", "Images"]

Images = Callable[[bytes], str]
"""Stores a picture and gives its path below the export's folder."""


@dataclass(frozen=True)
class Format:
    """One trainer's layout."""

    outputs: tuple[str, ...]
    """Outputs that it can be given."""
    row: Callable[[Row, Images], dict[str, Any]]
    pictures: Literal["bytes", "files", "absolute", "inline"]
    """In the row as bytes; as files whose names the row has, relative or absolute; in the row as data URLs."""
    schema: pa.Schema | None = None
    """Of the Parquet files; None: JSON lines."""
    how: str = ""
    """How a trainer is told to read it."""


_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_BYTES = pa.list_(pa.struct([("bytes", pa.binary())]))


def _short(row: Row) -> str:
    """The gold answer as a rule compares it: the letter of a choice, else the text."""
    return str(row.gold["answer_label"] or row.gold["answer"])


def _options(row: Row) -> str:
    return orjson.dumps(row.gold["options"] or []).decode()


def verl(row: Row, images: Images) -> dict[str, Any]:
    """verl: contents are plain texts with as many tags as images; what a reward needs stands in `extra_info`."""
    return {
        "data_source": f"infimed/{row.source}",
        "prompt": row.messages,
        "images": [{"bytes": data} for data in row.images],
        "ability": row.category,
        "reward_model": {"style": "rule", "ground_truth": _short(row)},
        "extra_info": {
            "split": row.split, "index": row.index, "uid": row.uid, "answer": row.gold["answer"],
            "answer_label": row.gold["answer_label"], "answer_kind": row.gold["answer_kind"], "options": _options(row),
        },
    }  # fmt: skip


VERL = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", _MESSAGES),
        ("images", _BYTES),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct(
                [("split", pa.string()), ("index", pa.int64())]
                + [(name, pa.string()) for name in ("uid", "answer", "answer_label", "answer_kind", "options")]
            ),
        ),
    ]
)


def easyr1(row: Row, images: Images) -> dict[str, Any]:
    """EasyR1: one text without roles; the reward is given only the answer, so options and kind are packed into it."""
    packed = {name: row.gold[name] for name in ("answer", "answer_label", "answer_kind", "options")}
    return {
        "problem": "\n\n".join(message["content"] for message in row.messages),
        "answer": orjson.dumps({"ground_truth": _short(row), **packed}).decode(),
        "images": [{"bytes": data} for data in row.images],
        "uid": row.uid,
        "source": row.source,
    }


EASYR1 = pa.schema(
    [
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("images", _BYTES),
        ("uid", pa.string()),
        ("source", pa.string()),
    ]
)


def llama_factory(row: Row, images: Images) -> dict[str, Any]:
    """LLaMA-Factory: sharegpt with role and content; images relative to the folder."""
    return {"messages": row.messages, "images": [images(data) for data in row.images]}


def swift(row: Row, images: Images) -> dict[str, Any]:
    """ms-swift: messages and absolute paths; for GRPO the columns that a reward is given."""
    plain: dict[str, Any] = {"messages": row.messages, "images": [images(data) for data in row.images]}
    if row.output == "rl":
        plain |= {"solution": _short(row), "uid": row.uid, "source": row.source, **row.gold}
    return plain


_METHODS = {"choice": "mcq", "yes_no": "yes_no"}


def vlm_r1(row: Row, images: Images) -> dict[str, Any]:
    """VLM-R1: one human turn with tags, the gold answer as the model's, and how it is compared."""
    stored = [images(data) for data in row.images]
    image = {"image": stored[0] if len(stored) == 1 else stored} if stored else {}
    return {
        "id": row.uid,
        **image,
        "conversations": [
            {"from": "human", "value": "\n\n".join(message["content"] for message in row.messages)},
            {"from": "gpt", "value": _short(row)},
        ],
        "accu_reward_method": _METHODS.get(row.gold["answer_kind"], "default"),
    }


def verifiers(row: Row, images: Images) -> dict[str, Any]:
    """verifiers: messages as OpenAI's chat takes them, pictures as data URLs in their places; `info` for the reward.

    Every content is a list of parts, as Arrow cannot hold texts and lists in one column. In version 0.4 a line is the
    `TaskData` of a `Taskset`; in version 0.1 a row of an environment's dataset.
    """
    left = list(row.images)
    prompt: list[dict[str, Any]] = []
    for message in row.messages:
        parts: list[dict[str, Any]] = []
        for number, text in enumerate(message["content"].split(TAG)):
            if number:
                parts.append({"type": "image_url", "image_url": {"url": images(left.pop(0))}})
            if text:
                parts.append({"type": "text", "text": text})
        prompt.append({"role": message["role"], "content": parts})
    info = {"uid": row.uid, "source": row.source, **row.gold}
    return {"id": row.uid, "prompt": prompt, "answer": _short(row), "info": info, "task": row.category}


def data_url(data: bytes) -> str:
    """A picture as a data URL."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg" if data.startswith(b"\xff\xd8") else "octet-stream"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


FORMATS: Mapping[str, Format] = {
    "verl": Format(("rl",), verl, "bytes", VERL, "data.train_files=FOLDER/rl-train.parquet data.image_key=images"),
    "easyr1": Format(
        ("rl",), easyr1, "bytes", EASYR1,
        "data.train_files=FOLDER/rl-train.parquet data.prompt_key=problem data.answer_key=answer data.image_key=images",
    ),
    "llama_factory": Format(("sft",), llama_factory, "files", None, "dataset_dir: FOLDER, dataset: infimed_sft_train"),
    "swift": Format(("sft", "rl"), swift, "absolute", None, "--dataset FOLDER/sft-train.jsonl (or rl-train.jsonl)"),
    "vlm_r1": Format(("rl",), vlm_r1, "files", None, "--data_file_paths FOLDER/rl-train.jsonl --image_folders FOLDER"),
    "verifiers": Format(
        ("rl",), verifiers, "inline", None,
        "a Taskset's load yields TaskData.model_validate(line) for the lines of FOLDER/rl-train.jsonl",
    ),
}  # fmt: skip
"""Name of each trainer's format."""
