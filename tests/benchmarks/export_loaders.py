"""Gives an export to the trainer's own loader, and prints what it made of it.

    python tests/benchmarks/export_loaders.py model MODEL                    a tiny Qwen2.5-VL, with this environment
    TRAINERS_PYTHON tests/benchmarks/export_loaders.py FORMAT EXPORT MODEL   once for each trainer, each with its own

FORMAT is what `infimed-data export --to` was given, EXPORT the folder that it wrote. The trainer's environment needs
the trainer with what its data part imports, and torch; nothing of infimed-data's own. The loader reads every row and
every picture; the command ends with 1 where it raises, skips a row, or counts other pictures than the files have.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
MAX_TOKENS = 8192


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def counted(file: Path) -> tuple[int, int]:
    """Rows and pictures that a file of an export has."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        images = pq.read_table(file, columns=["images"]).column("images").to_pylist()
        return len(images), sum(map(len, images))
    rows = lines_of(file)
    return len(rows), sum(_tags(row) for row in rows)


def _tags(row: dict[str, Any]) -> int:
    given = row.get("images", row.get("image")) or []
    if given:
        return 1 if isinstance(given, str) else len(given)
    parts = [m["content"] for m in row.get("prompt", []) if isinstance(m["content"], list)]
    return sum(part["type"] == "image_url" for content in parts for part in content)


def verl(folder: Path, model: Path) -> list[str]:
    """RLHFDataset: rows filtered by the length of their prompt, messages built, pictures fetched as a rollout does."""
    from omegaconf import OmegaConf
    from transformers import AutoProcessor
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    processor = AutoProcessor.from_pretrained(model)  # type: ignore[no-untyped-call,unused-ignore]
    said = []
    for file in sorted(folder.glob("*.parquet")):
        with tempfile.TemporaryDirectory() as cache:
            config = OmegaConf.create(
                {"image_key": "images", "max_prompt_length": MAX_TOKENS, "cache_dir": cache, "truncation": "error",
                 "filter_overlong_prompts": True, "filter_overlong_prompts_workers": 1}
            )  # fmt: skip
            rows = RLHFDataset([str(file)], processor.tokenizer, config, processor)
            items = [rows[i] for i in range(len(rows))]
            pictures = 0
            for item in items:
                images, _ = asyncio.run(RLHFDataset.process_vision_info(item["raw_prompt"], 14, config))
                pictures += len(images or [])
            batch = collate_fn(items)
        gold = [reward["ground_truth"] for reward in batch["reward_model"]]
        assert all(isinstance(answer, str) and answer for answer in gold), "a row without ground truth"
        said.append(_agreed(file, len(rows), pictures))
    return said


def llama_factory(folder: Path, model: Path) -> list[str]:
    """get_dataset: dataset_info.json, roles and tags checked, every row made into tokens by the template of Qwen2-VL;
    then the collator, which opens the pictures."""
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from transformers import AutoProcessor

    said = []
    names = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    for name, about in names.items():
        with tempfile.TemporaryDirectory() as out:
            settings = {
                "model_name_or_path": str(model), "stage": "sft", "do_train": True, "finetuning_type": "full",
                "dataset": name, "dataset_dir": str(folder), "template": "qwen2_vl", "cutoff_len": MAX_TOKENS,
                "output_dir": out, "overwrite_cache": True, "report_to": "none", "use_cpu": True,
            }  # fmt: skip
            model_args, data_args, training_args, _, _ = get_train_args(settings)
            processor = AutoProcessor.from_pretrained(model)  # type: ignore[no-untyped-call,unused-ignore]
            for key, value in {"image_max_pixels": 589824, "image_min_pixels": 1024}.items():
                setattr(processor, key, value)
            template = get_template_and_fix_tokenizer(processor.tokenizer, data_args)
            rows = get_dataset(template, model_args, data_args, training_args, "sft", processor.tokenizer, processor)
            rows = rows["train_dataset"]
            collate = SFTDataCollatorWith4DAttentionMask(
                tokenizer=processor.tokenizer, template=template, processor=processor, label_pad_token_id=-100
            )
            patches = pictures = 0
            for row in rows:
                assert any(label != -100 for label in row["labels"]), "a row without anything to learn"
                batch = collate([dict(row)])
                if row["images"]:
                    patches += len(batch["pixel_values"])
                    pictures += len(batch["image_grid_thw"])
        assert patches, "no picture was opened"
        said.append(_agreed(folder / about["file_name"], len(rows), pictures))
    return said


def swift(folder: Path, model: Path) -> list[str]:
    """load_dataset, strictly, and every row encoded by the template of Qwen2.5-VL; for `rl` as GRPO encodes a prompt,
    the columns for a reward kept."""
    from swift.dataset import load_dataset
    from swift.model import get_processor
    from swift.template import get_template

    processor = get_processor(str(model), model_type="qwen2_5_vl", use_hf=True)
    said = []
    for file in sorted(folder.glob("*.jsonl")):
        rows, _ = load_dataset(
            [str(file)], strict=True, use_hf=True, load_from_cache_file=False, remove_unused_columns=False
        )
        template = get_template(
            processor, max_length=MAX_TOKENS, truncation_strategy="raise", template_type="qwen2_5_vl"
        )
        learns = file.name.startswith("sft")
        template.set_mode("train" if learns else "transformers")
        pictures = 0
        for row in rows:
            encoded = template.encode(dict(row))
            pictures += len(encoded["image_grid_thw"]) if encoded.get("image_grid_thw") is not None else 0
            assert not learns or any(label != -100 for label in encoded["labels"]), "a row without anything to learn"
            assert learns or row["solution"], "a row without solution"
        said.append(_agreed(file, len(rows), pictures))
    return said


def verifiers(folder: Path, model: Path) -> list[str]:
    """A Taskset of TaskData, which validates each message; in version 0.1 the dataset of a SingleTurnEnv."""
    return _tasks(folder) if int(version("verifiers").split(".")[1]) > 1 else _environment(folder)


def _tasks(folder: Path) -> list[str]:
    import verifiers.v1 as vf

    class Data(vf.TaskData):  # type: ignore[misc,name-defined,unused-ignore]
        answer: str
        info: dict[str, Any]

    class Task(vf.Task[Data]):  # type: ignore[misc,name-defined,valid-type,unused-ignore]
        pass

    said = []
    for file in sorted(folder.glob("*.jsonl")):

        class Rows(vf.Taskset[Task]):  # type: ignore[misc,name-defined,valid-type,unused-ignore]
            path = file

            def load(self) -> Any:
                for row in lines_of(self.path):
                    yield Task(Data.model_validate(row))

        tasks = list(Rows(vf.TasksetConfig(id="infimed")))
        assert len({task.data.id for task in tasks}) == len(tasks), "ids that are not unique"
        parts = [m.content for task in tasks for m in task.data.prompt if isinstance(m.content, list)]
        urls = [part.image_url.url for content in parts for part in content if part.type == "image_url"]
        _opened(urls)
        assert all(task.data.answer and task.data.prompt_text for task in tasks), "a task without answer or question"
        said.append(_agreed(file, len(tasks), len(urls)))
    return said


def _environment(folder: Path) -> list[str]:
    import verifiers as vf
    from datasets import Dataset

    said = []
    for file in sorted(folder.glob("*.jsonl")):
        rows = [{**row, "info": json.dumps(row["info"])} for row in lines_of(file)]
        environment = vf.SingleTurnEnv(dataset=Dataset.from_list(rows), rubric=vf.Rubric())  # type: ignore[attr-defined,unused-ignore]
        found = environment.get_dataset()
        parts = [m["content"] for row in found for m in row["prompt"] if isinstance(m["content"], list)]
        urls = [part["image_url"]["url"] for content in parts for part in content if part.get("image_url")]
        _opened(urls)
        assert all(row["answer"] for row in found), "a row without answer"
        said.append(_agreed(file, len(found), len(urls)))
    return said


def _opened(urls: list[str]) -> None:
    import base64
    import io

    from PIL import Image

    for url in urls:
        Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).load()


def _agreed(file: Path, rows: int, pictures: int) -> str:
    """What was read, in a line. Raises `AssertionError` where the file has more or less."""
    written = counted(file)
    assert (rows, pictures) == written, f"{file.name}: read {rows} rows, {pictures} pictures; written {written}"
    return f"{file.name}: {rows} rows, {pictures} pictures"


TRAINERS: dict[str, tuple[str, Callable[[Path, Path], list[str]]]] = {
    "verl": ("verl", verl),
    "llama_factory": ("llamafactory", llama_factory),
    "swift": ("ms-swift", swift),
    "verifiers": ("verifiers", verifiers),
}


def _pretend_torchaudio() -> None:
    """LLaMA-Factory imports torchaudio for sound; its wheels are for CUDA, and an export has no sound."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        module = types.ModuleType("torchaudio")
        module.__spec__ = ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = module


def main() -> None:
    os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp(prefix="infimed-loaders-"))
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    from infimed_train.vision_imports import make_torchvision_importable

    if sys.argv[1] == "model":
        from tiny_qwen import tiny_qwen

        print(tiny_qwen(Path(sys.argv[2])))
        return
    make_torchvision_importable()
    if sys.argv[1] == "llama_factory":
        _pretend_torchaudio()
    package, read = TRAINERS[sys.argv[1]]
    said = read(Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve())
    print(f"\n{package} {version(package)} read {'; '.join(said)}")


if __name__ == "__main__":
    main()
