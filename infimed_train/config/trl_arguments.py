"""TRL's own arguments: names and types held against TRL's dataclasses, our defaults under the user's values.

What we own (`output`, `reward`, `max_tokens` ...) is refused under `trl:`, so that it cannot be said twice.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from infimed_train.config.loading import Loaded
from infimed_train.config.models import EvalConfig, GrpoConfig, SftConfig
from infimed_train.errors import TrainError, did_you_mean
from infimed_train.vision_imports import make_torchvision_importable

__all__ = ["DEFAULTS", "OWNED", "trl_config", "trl_problems"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {
        "max_length": None,  # a cut would take image tokens or the answer; max_tokens refuses instead
        "learning_rate": 1e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "report_to": "none",
        "save_total_limit": 3,
    },
    "grpo": {
        "num_generations": 8,
        "max_completion_length": 1024,
        "epsilon_high": 0.28,
        "mask_truncated_completions": True,
        "log_completions": True,
        "log_multimodal": False,
        "num_completions_to_print": 0,
        "report_to": "none",
        "save_total_limit": 3,
    },
}
"""What we set where the user does not; everything else is TRL's default."""
LORA_LEARNING_RATE = {"sft": 1e-4, "grpo": 1e-5}

OWNED: dict[str, str] = {
    "output_dir": "it is `output`",
    "max_length": "a cut takes image tokens or the answer; set `max_tokens`, which refuses or drops longer rows",
    "truncation_mode": "nothing is cut; set `max_tokens`",
    "packing": "TRL cannot pack rows with images; set train_sampling_strategy: group_by_length",
    "padding_free": "TRL cannot do it with images; set train_sampling_strategy: group_by_length",
    "assistant_only_loss": "rows are prompt and completion, and the loss is taken on the completion",
    "completion_only_loss": "the loss is always taken on the completion only",
    "dataset_text_field": "rows are prompt and completion",
    "remove_unused_columns": "the trainer needs its own setting",
    "length_column_name": "lengths are measured by us",
    "reward_weights": "it follows from `reward`",
    "resume_from_checkpoint": "the same command goes on by itself; --fresh starts anew",
    "overwrite_output_dir": "--fresh starts anew",
    "disable_dropout": "the reward needs it off, as TRL's default has it",
}
"""Arguments of TRL that are not to be given, and why."""


def trl_config(
    loaded: Loaded, arguments: Mapping[str, Any], *, output: Path, extra: Mapping[str, Any] | None = None
) -> Any:
    """TRL's configuration object for these arguments: `SFTConfig` or `GRPOConfig`.

    Raises `TrainError` with a line a problem, TRL's own objections included.
    """
    assert not isinstance(loaded.config, EvalConfig)
    problems = list(trl_problems(loaded, arguments))
    if problems:
        raise TrainError("\n".join(problems))
    task = loaded.config.task
    ours = dict(DEFAULTS[task])
    if loaded.config.lora is not None:
        ours["learning_rate"] = LORA_LEARNING_RATE[task]
    values = {**ours, **arguments, **(extra or {}), "output_dir": str(output)}
    known = {field.name for field in dataclasses.fields(_dataclass(task))}
    try:
        return _dataclass(task)(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError, ImportError) as error:
        raise TrainError(f"{loaded.place('trl')}: trl: {' '.join(str(error).split())}") from None


def trl_problems(loaded: Loaded, arguments: Mapping[str, Any]) -> Iterator[str]:
    """One line for each argument that TRL does not know, that has the wrong type, or that is ours."""
    assert isinstance(loaded.config, SftConfig | GrpoConfig)
    kind = _dataclass(loaded.config.task)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    for name, value in arguments.items():
        where = loaded.place("trl", name)
        if name in OWNED:
            yield f"{where}: trl.{name}: not to be given; {OWNED[name]}"
        elif name not in names:
            hint = did_you_mean(name, names) or f"; allowed: the fields of trl.{kind.__name__}"
            yield f"{where}: trl.{name}: unknown to trl.{kind.__name__}{hint}"
        elif not _fits(value, hints[name]):
            shown = str(hints[name]).replace("typing.", "").removeprefix("<class '").removesuffix("'>")
            yield f"{where}: trl.{name}: {value!r}; allowed: {shown}"


def _fits(value: object, hint: Any) -> bool:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        return False
    except PydanticSchemaGenerationError:  # a class of somebody else's, which TRL checks itself
        return True
    return True


def _dataclass(task: str) -> Any:
    make_torchvision_importable()
    try:
        if task == "sft":
            from trl.trainer.sft_config import SFTConfig

            return SFTConfig
        from trl.trainer.grpo_config import GRPOConfig
    except ModuleNotFoundError as error:
        from infimed_train.vision_imports import INSTALL

        raise TrainError(f"{error.name}: not installed; {INSTALL}") from None
    return GRPOConfig
