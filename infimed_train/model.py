"""Processor and model: loaded with one-line errors, pixel limits set, towers frozen, adapters put where they belong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from infimed_train.config import Lora, Pixels, Tower, TrainConfig
from infimed_train.errors import TrainError
from infimed_train.vision_imports import INSTALL, make_torchvision_importable

__all__ = [
    "TOWERS",
    "architecture",
    "base_of",
    "count_parameters",
    "freeze",
    "limits_vllm_would_miss",
    "load_model",
    "load_processor",
    "new_adapter",
    "pixel_limits",
    "shrunk_model",
    "tower_of",
]

TOWERS: dict[str, str] = {
    "projector": r"(^|\.)(merger|deepstack_merger_list|multi_modal_projector|mm_projector|connector|aligner)\.",
    "vision": r"(^|\.)(visual|vision_tower|vision_model|vision_encoder|image_encoder)\.",
    "language": r"",
}
"""Patterns of parameter names; the first that fits says which part of the model a parameter is of."""

_BESIDE_LANGUAGE = (
    r".*\b(visual|vision_tower|vision_model|vision_encoder|image_encoder|merger|multi_modal_projector)\b.*"
)


def load_processor(model: str, *, revision: str | None, pixels: Pixels, where: str = "model") -> Any:
    """The model's processor with the pixel limits set. Raises `TrainError` where it is missing or has no template."""
    make_torchvision_importable()
    from transformers import AutoProcessor, ProcessorMixin

    folder = Path(model)
    if not folder.is_dir() and (model.count("/") != 1 or model.startswith((".", "/"))):
        raise TrainError(f"{where}: no model at {model}; give a folder with config.json, or OWNER/NAME of the Hub")
    if folder.is_dir() and not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise TrainError(f"{where}: {model} is no model folder: it has no config.json")
    try:
        auto: Any = AutoProcessor
        processor = auto.from_pretrained(model, revision=revision)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, ImportError by turns
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise TrainError(f"{where}: {model}: no processor that loads ({line[:200]})") from None
    if not isinstance(processor, ProcessorMixin) or getattr(processor, "image_processor", None) is None:
        raise TrainError(
            f"{where}: {model}: no processor for images (preprocessor_config.json); copy it from the base model"
        )
    if not getattr(processor, "chat_template", None):
        raise TrainError(f"{where}: {model}: no chat template (chat_template.jinja); copy it from the instruct model")
    if pixels.min_pixels or pixels.max_pixels:
        size = dict(processor.image_processor.size)
        if "shortest_edge" not in size or "longest_edge" not in size:
            raise TrainError(
                f"{where}: {model}: its image processor takes no pixel limits (size: {size}); leave `pixels` out"
            )
        size["shortest_edge"] = pixels.min_pixels or min(size["shortest_edge"], pixels.max_pixels or 0)
        size["longest_edge"] = pixels.max_pixels or max(size["longest_edge"], pixels.min_pixels or 0)
        processor.image_processor.size = size
    return processor


def pixel_limits(processor: Any) -> dict[str, int | None]:
    """`min_pixels` and `max_pixels` that the processor keeps to; None where it has no such limits."""
    size = processor.image_processor.size
    size = size if isinstance(size, dict) else dict(size)
    return {"min_pixels": size.get("shortest_edge"), "max_pixels": size.get("longest_edge")}


def limits_vllm_would_miss(config: TrainConfig, processor: Any) -> str | None:
    """What is wrong where TRL generates with vLLM, or None.

    vLLM reads the pixel limits from the model's own files, and TRL hands it no others: it would see pictures of another
    size than those that the loss is taken on.
    """
    if not config.trl.get("use_vllm") or config.pixels == Pixels():
        return None
    own = pixel_limits(load_processor(config.model, revision=config.revision, pixels=Pixels()))
    here = pixel_limits(processor)
    if own == here:
        return None
    return (
        f"vLLM would keep to the pixel limits in {config.model} ({own['min_pixels']} to {own['max_pixels']}), not to "
        f"{here['min_pixels']} to {here['max_pixels']}; an SFT with these writes them into its model; else leave "
        "pixels out"
    )


def tower_of(parameter: str) -> str:
    """`vision`, `projector` or `language`."""
    return next(tower for tower, pattern in TOWERS.items() if re.search(pattern, parameter))


def freeze(model: Any, towers: tuple[Tower, ...], where: str = "freeze") -> None:
    """Makes the parameters of these towers stay as they are. Raises `TrainError` where nothing is left to train."""
    for name, parameter in model.named_parameters():
        if tower_of(name) in towers:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainError(f"{where}: {', '.join(towers)}: nothing is left to train; leave one out")


def new_adapter(config: TrainConfig, model: Any) -> Any:
    """PEFT's configuration of adapters in the language model only; None where none is wanted or `model` has one."""
    lora = config.lora
    if lora is None or hasattr(model, "peft_config"):
        return None
    return _peft("LoraConfig")(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        exclude_modules=_BESIDE_LANGUAGE,
        task_type="CAUSAL_LM",
    )


def _peft(name: str) -> Any:
    try:
        import peft
    except ModuleNotFoundError as error:
        raise TrainError(f"lora: {error.name}: not installed; {INSTALL}") from None
    return getattr(peft, name)


def base_of(model: str) -> str:
    """The model that an adapter's folder belongs to; of any other model, itself."""
    file = Path(model) / "adapter_config.json"
    return str(orjson.loads(file.read_bytes())["base_model_name_or_path"]) if file.is_file() else model


def _same_adapter(lora: Lora | None, folder: Path, where: str) -> None:
    """Raises `TrainError` where the adapter in `folder` is not what `lora` asks for."""
    if lora is None:
        raise TrainError(
            f"{where}: {folder} holds an adapter; train it on with `lora`, or merge it into its model first"
        )
    there = orjson.loads((folder / "adapter_config.json").read_bytes())
    wanted = {"r": lora.rank, "lora_alpha": lora.alpha, "target_modules": sorted(lora.targets)}
    has = {name: there.get(name) for name in wanted}
    has["target_modules"] = sorted(has["target_modules"] or ())
    if has != wanted:
        raise TrainError(
            f"{where}: the adapter in {folder} has rank {has['r']}, alpha {has['lora_alpha']}, targets "
            f"{', '.join(has['target_modules'])}; lora must say the same"
        )


def load_model(config: TrainConfig, arguments: Any, *, where: str = "model") -> Any:
    """The model as TRL itself would load it from its name, so that it may be frozen before TRL gets it.

    Of an adapter's folder, its base model with the adapter, which is trained on.
    """
    from trl.trainer.utils import create_model_from_path

    given = dict(arguments.model_init_kwargs or {})
    if arguments.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        given["device_map"] = None
    folder, base = Path(config.model), base_of(config.model)
    if base != config.model:
        _same_adapter(config.lora, folder, where)
    elif config.revision is not None:
        given.setdefault("revision", config.revision)
    try:
        model = create_model_from_path(base, **given)
    except (OSError, ValueError, KeyError) as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise TrainError(f"{where}: {base}: does not load ({line[:200]})") from None
    if base != config.model:
        model = _peft("PeftModel").from_pretrained(model, str(folder), is_trainable=True)
    return model


def architecture(model: str, revision: str | None, where: str = "model") -> Any:
    """The model's configuration, without its weights."""
    make_torchvision_importable()
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(base_of(model), revision=revision)
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise TrainError(f"{where}: {model}: no configuration that loads ({line[:200]})") from None


def count_parameters(config: Any) -> dict[str, int]:
    """Parameters by tower, counted on a model without memory."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        auto: Any = AutoModelForImageTextToText
        model = auto.from_config(config)
    counts = dict.fromkeys(TOWERS, 0)
    for name, parameter in model.named_parameters():
        counts[tower_of(name)] += parameter.numel()
    return counts


def shrunk_model(config: Any, *, seed: int = 0) -> Any:
    """A small random float32 model of the same architecture and vocabulary: what a dry step on a CPU can afford."""
    import copy

    import torch
    from transformers import AutoModelForImageTextToText

    small = copy.deepcopy(config)
    text = small.get_text_config()
    heads, kv_heads = text.num_attention_heads, getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // heads
    few = min(heads, 2)
    _set(text, num_attention_heads=few, num_key_value_heads=min(kv_heads, few), hidden_size=few * head_size)
    _set(text, intermediate_size=min(text.intermediate_size, 4 * few * head_size))
    _set(text, num_hidden_layers=min(text.num_hidden_layers, 2), max_window_layers=2)
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[: text.num_hidden_layers]
    vision = getattr(small, "vision_config", None)
    if vision is not None and getattr(vision, "num_heads", None):
        few = min(vision.num_heads, 2)
        _set(vision, hidden_size=vision.hidden_size // vision.num_heads * few, num_heads=few)
        _set(
            vision,
            intermediate_size=min(getattr(vision, "intermediate_size", 256), 256),
            out_hidden_size=text.hidden_size,
        )
        _set(vision, depth=min(vision.depth, 2))
        if getattr(vision, "fullatt_block_indexes", None):
            vision.fullatt_block_indexes = [vision.depth - 1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        auto: Any = AutoModelForImageTextToText
        return auto.from_config(small, dtype=torch.float32)


def _set(config: Any, **values: Any) -> None:
    for name, value in values.items():
        if hasattr(config, name):
            setattr(config, name, value)
