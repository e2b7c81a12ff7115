"""The card of a build: what is in it, where it came from, what was asked and what was realised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

__all__ = ["card_text"]

_TEMPLATE = Path(__file__).with_name("card.md.jinja")


def card_text(lock: Mapping[str, Any]) -> str:
    """`README.md` of a build: the YAML that makes `datasets.load_dataset(folder, "sft")` work, then the facts."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = _cell
    environment.filters["count"] = lambda n: "all" if n is None else f"{n:,}"
    configs = {
        name: [split for split in ("train", "validation") if output[split]] for name, output in lock["outputs"].items()
    }
    licenses = sorted({source["license"] or "unknown" for source in lock["sources"]})
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(lock=lock, configs=configs, licenses=licenses)


def _cell(value: object) -> str:
    """A value as the text of one Markdown table cell."""
    text = "" if value is None else str(value)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
