"""What `check` finds before a GPU is rented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Write

from infimed_train.check import check
from infimed_train.check.batches import batch_problems
from infimed_train.check.lengths import histogram
from infimed_train.check.memory import memory_lines
from infimed_train.check.versions import version_problems
from infimed_train.config import Data, Hardware, Lora, SftConfig, load_config


def quiet(line: str) -> None:
    pass


def config(model: Path, build: Path, *, task: str, output: str) -> str:
    return (
        f"task: {task}\nmodel: {model}\noutput: runs/x\ndata:\n  path: {build}\n  output: {output}\n"
        "freeze: []\ntrl:\n  per_device_train_batch_size: 4\n  bf16: false\n  use_cpu: true\n"
    )


def test_a_good_sft_passes_with_its_histograms_and_dry_step(tiny_model: Path, demo_build: Path, write: Write) -> None:
    gate = f"gate={{path: {demo_build}}}"
    lines, failed = check(load_config(write(config(tiny_model, demo_build, task="sft", output="sft")), [gate]), quiet)

    assert not failed, lines
    text = "\n".join(lines)
    assert "ok    gate: " in text
    assert "rows, every image has a size (demo/" in text
    assert "tokens of a completion: mean" in text
    assert "image tokens of a row with images: mean" in text
    assert "56 of 56 trained tensors got a gradient" in text  # one row with an image, one without
    assert "memory of a GPU, estimated: 2.5 of 80 GiB" in text


def test_rows_over_the_limit_are_counted_not_cut(tiny_model: Path, demo_build: Path, write: Write) -> None:
    path = write(config(tiny_model, demo_build, task="sft", output="sft"))

    lines, failed = check(load_config(path, ["max_tokens=300"]), quiet)
    assert failed
    assert any("rows are over max_tokens 300; raise it or set over_length: drop" in line for line in lines)
    assert any(line.endswith("over max_tokens") for line in lines)
    lines, failed = check(load_config(path, ["max_tokens=300", "over_length=drop"]), quiet)
    assert not failed
    assert any("over max_tokens 300 and will be left out; none is cut" in line for line in lines)


def test_a_good_grpo_passes_with_its_audit(tiny_model: Path, demo_build: Path, write: Write) -> None:
    path = write(config(tiny_model, demo_build, task="grpo", output="rl"))
    loaded = load_config(path, ["hardware={processes: 4}", "trl.gradient_accumulation_steps=2"])

    lines, failed = check(loaded, quiet)

    assert not failed, lines
    text = "\n".join(lines)
    assert "a generation: 32 completions of 4 prompts, 8 each" in text
    assert "every gold is paid in full, and empty, constant, listed and copied answers are not" in text
    assert "dry step: 2 rows" in text


def test_everything_wrong_is_found_at_once(tiny_model: Path, demo_build: Path, write: Write) -> None:
    path = write(config(tiny_model, demo_build, task="grpo", output="rl"))
    loaded = load_config(
        path, ["trl.num_generations=3", "trl.use_vllm=true", "data.split=dev", "hardware={gpu_memory_gib: 1.0}"]
    )

    lines, failed = check(loaded, quiet)

    assert failed
    bad = [line for line in lines if line.startswith("FAIL")]
    assert any("no multiple of num_generations 3; works: " in line for line in bad)
    assert any("has no split 'dev'; allowed: train, validation" in line for line in bad)
    assert any(line.startswith("FAIL  mend it with: pip install 'vllm") for line in bad)


def test_an_evaluation_is_checked_too(tiny_model: Path, demo_build: Path, write: Write) -> None:
    text = f"task: eval\noutput: x\nmodel: {tiny_model}\n"
    text += f"benchmarks:\n  a: {{path: {demo_build}}}\n  b: {{path: nowhere}}\n"
    lines, failed = check(load_config(write(text)), quiet)
    assert failed
    assert any(
        line.startswith("ok    a: 114 questions") and line.endswith("15 conversations left out") for line in lines
    )
    assert next(line for line in lines if line.startswith("FAIL")).endswith("or OWNER/NAME")


@pytest.mark.parametrize(
    ("arguments", "processes", "works"),
    [
        ({"per_device_train_batch_size": 8, "num_generations": 8}, 1, None),
        ({"per_device_train_batch_size": 3, "num_generations": 8, "gradient_accumulation_steps": 4}, 2, None),
        (
            {"per_device_train_batch_size": 3, "num_generations": 8, "gradient_accumulation_steps": 3},
            2,
            "works: gradient_accumulation_steps 4, or num_generations 9, or per_device_train_batch_size 4",
        ),
        (
            {"per_device_train_batch_size": 4, "num_generations": 8, "generation_batch_size": 20},
            2,
            "works: 16",
        ),
        ({"num_generations": 1}, 1, "allowed: 2 or more"),
        ({"eval_strategy": "steps", "per_device_eval_batch_size": 3}, 1, "works: per_device_eval_batch_size 8"),
        ({"steps_per_generation": 2, "generation_batch_size": 16}, 1, "give one of them"),
    ],
)
def test_the_batch_law_is_solved(arguments: dict[str, object], processes: int, works: str | None) -> None:
    problems = list(batch_problems(arguments, processes=processes))
    if works is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert works in problems[0]


def test_values_that_are_said_to_work_do(training: None, tmp_path: Path) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    for per_device, steps, group in ((3, 3, 8), (5, 2, 4), (2, 1, 3), (7, 3, 6)):
        given = {
            "per_device_train_batch_size": per_device,
            "gradient_accumulation_steps": steps,
            "num_generations": group,
        }
        (problem,) = batch_problems(given, processes=1)
        for one in problem.partition("works: ")[2].split(", or "):
            name, value = one.split()
            kind = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
            GRPOConfig(**(given | {name: int(value)} | kind))  # type: ignore[arg-type,unused-ignore]


def test_versions_that_cannot_work_together_are_mended_by_one_line() -> None:
    versions = {
        "torch": "2.13.0", "torchvision": "0.28.0", "transformers": "5.23.0", "trl": "1.16.0", "accelerate": "1.15.0",
        "peft": "0.21.2", "datasets": "5.2.0",
    }  # fmt: skip
    declared = {"trl": ["transformers>=5.0", 'vllm<=0.31,>=0.22; extra == "vllm"'], "vllm": ["torch==2.12.0"]}

    def problems(*, vllm: bool) -> list[str]:
        return list(
            version_problems(
                vllm=vllm, lora=True, deepspeed=False, installed=versions.get, declared=lambda n: declared.get(n, [])
            )
        )

    found = problems(vllm=False)
    assert found[0].startswith("transformers: 5.23.0 is installed; infimed-train[train] needs transformers")
    assert found[-1].startswith("mend it with: pip install 'transformers")
    versions["transformers"] = "5.17.0"
    assert problems(vllm=False) == []
    assert problems(vllm=True)[0].startswith("vllm: not installed")
    versions["vllm"] = "0.30.0"
    found = problems(vllm=True)
    assert found[0].startswith("torch: 2.13.0 is installed; vllm 0.30.0 needs torch")
    assert "==2.12.0" in found[-1]


def test_memory_follows_what_is_trained_and_how_it_is_divided(training: None) -> None:
    from transformers import Qwen2_5_VLConfig

    shape = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2, "num_hidden_layers": 36,
            "intermediate_size": 11008, "vocab_size": 151936, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={"hidden_size": 1280, "out_hidden_size": 2048, "intermediate_size": 3420, "depth": 32},
        tie_word_embeddings=True,
    )  # fmt: skip

    def needs(**more: object) -> float:
        given = {"task": "sft", "model": "m", "output": "o", "data": Data(path="b"), **more}
        trl = {"per_device_train_batch_size": 2, "model_init_kwargs": {"dtype": "bfloat16"}}
        lines, _ = memory_lines(SftConfig.model_validate(given), trl, shape, longest=2000)
        assert "3,754." in lines[0]  # as published: 3.75 B parameters
        return float(lines[1].partition("estimated: ")[2].partition(" of")[0])

    full = needs()
    assert needs(lora=Lora()) < full / 2 + 3
    divided = needs(hardware=Hardware(processes=8, sharding="fsdp2"))
    assert divided < needs(hardware=Hardware(processes=8, sharding="zero2")) < 35
    assert needs(freeze=()) > full
    assert 20 < full < 40


def test_a_histogram_adds_up() -> None:
    lines = histogram(np.array([1, 2, 3, 400]), limit=300)
    assert sum(int(line.split()[3]) for line in lines) == 4
    assert lines[-1].endswith("over max_tokens")
