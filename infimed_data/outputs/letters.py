"""How often each letter is the right one, before and after the options of an output were shuffled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from infimed_data.manifest import Manifest
from infimed_data.shuffling import shuffled

__all__ = ["letter_balances"]

_COLUMNS = [
    "uid", "question", "options", "answer", "answer_label", "answer_kind", "turns", "rationale", "sft_split",
    "rl_split",
]  # fmt: skip


def letter_balances(folder: Path, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """For each output that shuffles options: right letters `before` and `after`, samples `shuffled`, those with
    `anchored` options, and those `kept` as they were, by reason. A sample with several traces counts once."""
    names = [name for name, spec in manifest.outputs.items() if spec.options == "shuffle"]
    if not names:
        return {}
    before: dict[str, Counter[str]] = {name: Counter() for name in names}
    after: dict[str, Counter[str]] = {name: Counter() for name in names}
    kept: dict[str, Counter[str]] = {name: Counter() for name in names}
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for batch in pq.ParquetFile(folder / "samples.parquet").iter_batches(8192, columns=_COLUMNS):
        for record in batch.to_pylist():
            own = [name for name in names if record[f"{name}_split"] is not None]
            if not own or not record["options"] or record["answer_label"] is None:
                continue
            done = shuffled(record, manifest.seed)
            for name in own:
                before[name].update(record["answer_label"].split(","))
                after[name].update(done.record["answer_label"].split(","))
                counts[name]["anchored"] += done.anchored > 0
                counts[name]["shuffled"] += done.record is not record
                if done.kept is not None:
                    kept[name][done.kept] += 1
    return {
        name: {
            "before": dict(sorted(before[name].items())),
            "after": dict(sorted(after[name].items())),
            "shuffled": counts[name]["shuffled"],
            "anchored": counts[name]["anchored"],
            "kept": dict(sorted(kept[name].items())),
        }
        for name in names
    }
