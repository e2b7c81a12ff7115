"""An estimate of one GPU's memory: weights, gradients, optimizer, activations, vLLM. Not measured; good to a fourth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infimed_train.config import GrpoConfig, SftConfig
from infimed_train.model import count_parameters, tower_of

__all__ = ["memory_lines"]

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


def memory_lines(
    config: SftConfig | GrpoConfig, arguments: Mapping[str, Any], architecture: Any, *, longest: int
) -> tuple[list[str], bool]:
    """(lines, whether it would not fit) for rows of `longest` tokens at most."""
    counts = count_parameters(architecture)
    total = sum(counts.values())
    if config.lora is not None:
        trained = _adapter_parameters(config, architecture)
    else:
        trained = sum(count for tower, count in counts.items() if tower not in config.freeze)
    weight = BYTES[str((arguments.get("model_init_kwargs") or {}).get("dtype", "float32"))]
    shared = config.hardware.processes
    sharding = config.hardware.sharding
    whole = {
        "weights": total * weight,
        "gradients": trained * (4 if config.lora is not None else weight),
        "optimizer": trained * (8 if weight == 4 or config.lora is not None else 12 if sharding != "none" else 4),
    }
    divided = {
        "none": (), "zero2": ("gradients", "optimizer"), "zero3": tuple(whole), "fsdp2": tuple(whole)
    }[sharding]  # fmt: skip
    parts = {name: size / (shared if name in divided else 1) for name, size in whole.items()}
    text = architecture.get_text_config()
    batch = int(arguments.get("per_device_train_batch_size", 8))
    tokens = batch * longest
    layers = text.num_hidden_layers
    if arguments.get("gradient_checkpointing", True):
        kept = layers * 2 * text.hidden_size + 34 * text.hidden_size + 6 * text.intermediate_size
    else:
        kept = layers * (34 * text.hidden_size + 6 * text.intermediate_size)
    parts["activations"] = tokens * kept
    if isinstance(config, GrpoConfig):
        if arguments.get("use_vllm") and arguments.get("vllm_mode", "colocate") == "colocate":
            share = float(arguments.get("vllm_gpu_memory_utilization", 0.3))
            parts["vLLM"] = share * config.hardware.gpu_memory_gib * GIB
        if float(arguments.get("beta", 0.0)) != 0.0 and config.lora is None:
            parts["reference model"] = total * weight / (shared if sharding in ("zero3", "fsdp2") else 1)
    parts["CUDA and fragments"] = 2.5 * GIB
    needed = sum(parts.values()) / GIB
    limit = config.hardware.gpu_memory_gib
    named = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    lines = [
        f"parameters: {total / 1e6:,.1f} M ({', '.join(f'{t} {c / 1e6:,.1f} M' for t, c in counts.items())}), "
        f"trained {trained / 1e6:,.1f} M",
        f"memory of a GPU, estimated: {needed:.1f} of {limit:.0f} GiB ({named})",
    ]
    return lines, needed > limit


def _adapter_parameters(config: SftConfig | GrpoConfig, architecture: Any) -> int:
    """Parameters of the adapters: rank x (inputs + outputs) of each layer that gets one."""
    import torch
    from transformers import AutoModelForImageTextToText

    assert config.lora is not None
    auto: Any = AutoModelForImageTextToText
    with torch.device("meta"):
        model = auto.from_config(architecture)
    return sum(
        config.lora.rank * (module.in_features + module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and name.rpartition(".")[2] in config.lora.targets
        and tower_of(f"{name}.weight") == "language"
    )
