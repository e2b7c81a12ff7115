"""The run card: what a result was made of, so that it can be made again and judged."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from infimed_train.errors import TrainError

__all__ = ["evaluation_card", "lineage_of", "peak_flops", "pixels_of_run", "training_card"]

PACKAGES = (
    *("infimed-toolkit", "torch", "torchvision", "transformers", "trl", "accelerate", "peft", "datasets"),
    *("deepspeed", "vllm", "flash-attn"),
)

PEAK_FLOPS: dict[str, float] = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12,
    "L20": 119.5e12, "L4": 121e12, "A10G": 70e12, "A10": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
"""Dense bfloat16 operations a second by the maker's data sheet; the first name that the GPU's own name holds."""


def training_card(*, identity: Mapping[str, Any], config: Mapping[str, Any], data: str, pixels: Any) -> dict[str, Any]:
    """The part of a card that is known before a training starts."""
    return {"identity": identity, "config": config, "data": data, "pixels": pixels, **_surroundings()}


def evaluation_card(*, identity: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The card of an evaluation."""
    return {"identity": identity, "config": config, **_surroundings()}


def peak_flops(name: str) -> float | None:
    """Operations a second that a GPU of this name can do at most; None where it is not listed."""
    return next((flops for known, flops in PEAK_FLOPS.items() if known in name), None)


def pixels_of_run(model: str) -> dict[str, int | None] | None:
    """Pixel limits that the model was trained with, by the card in its folder or beside it; None without a card."""
    pixels = (_card_of(model, "pixels") or {}).get("pixels")
    return None if pixels is None else dict(pixels)


def lineage_of(model: str | None) -> list[str]:
    """What rows the model was trained on, by the cards of its run and of those before it; the last training first."""
    found: list[str] = []
    seen: set[str] = set()
    while model is not None and model not in seen:
        seen.add(model)
        card = _card_of(model, "data")
        if card is None:
            break
        found.append(str(card["data"]))
        model = (card.get("config") or {}).get("model")
    return found


def _card_of(model: str, wanted: str) -> dict[str, Any] | None:
    """The card in the model's folder or beside it that says `wanted`; None without one."""
    for file in (Path(model) / "run.json", Path(model).parent / "run.json"):
        if file.is_file():
            try:
                card = orjson.loads(file.read_bytes())
                if card.get(wanted) is not None:
                    return dict(card)
            except (orjson.JSONDecodeError, AttributeError):
                raise TrainError(f"{file}: not a run's card; remove it if the model is whole") from None
    return None


def _surroundings() -> dict[str, Any]:
    return {"versions": _versions(), "git": _git(), "hardware": _hardware(), "command": sys.argv}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git() -> dict[str, Any] | None:
    """Revision of the folder that the command runs in, and whether files differ from it; None outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    if revision is None:
        return None
    return {"revision": revision, "changed": bool(git("status", "--porcelain", "--untracked-files=no"))}


def _hardware() -> dict[str, Any]:
    try:
        import torch
    except ModuleNotFoundError:  # an evaluation of a server needs none
        torch = None  # type: ignore[assignment,unused-ignore]
    gpus = []
    if torch is not None and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gpus.append({"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)})
    return {
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": gpus,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }
