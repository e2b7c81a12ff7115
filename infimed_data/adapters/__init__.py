"""Adapters: one file a layout. To add one, write the file and add its line to `ADAPTERS`."""

from __future__ import annotations

from importlib import import_module

from infimed_data.adapters.contract import Adapter
from infimed_data.errors import ManifestError, did_you_mean

__all__ = ["ADAPTERS", "load_adapter"]

ADAPTERS: dict[str, str] = {
    "chat": "Conversations as `messages` or ShareGPT, with or without begin/end-of-thought marks",
    "llava": "LLaVA instruction files: image, `conversations` or `conversatons`",
    "medical_o1": "HuatuoGPT-o1's reasoning (SFT) and verifiable-problem files",
    "medmcqa": "MedMCQA: original JSON lines or the Hub's Parquet files",
    "medqa": "MedQA (USMLE): official JSON lines with 4 or 5 options, or the Hub's copy",
    "pubmedqa": "PubMedQA: official JSON with the official test ids, or the Hub's Parquet files",
    "slake": "SLAKE: JSON with a folder or zip of images, English and Chinese",
    "vqa_rad": "VQA-RAD: split JSONs, the OSF JSON, or the Hub's Parquet files",
}
"""Name of each adapter's module, and what it reads."""


def load_adapter(name: str) -> Adapter:
    """The adapter called `name`; raises `ManifestError` with the allowed names."""
    if name not in ADAPTERS:
        raise ManifestError(
            [f"adapter {name!r}: unknown; allowed: {', '.join(ADAPTERS)}{did_you_mean(name, ADAPTERS)}"]
        )
    adapter: Adapter = import_module(f"infimed_data.adapters.{name}").ADAPTER
    return adapter
