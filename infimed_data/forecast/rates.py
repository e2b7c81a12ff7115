"""What stages cost on this machine: measured by builds, kept in the work folder, and read by plans.

.infimed/rates.json   {"format": 1, "runs": {"ingest": [{"name": "vqa_rad-train", "size": 3064, "seconds": 0.4, ...}]}}
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import orjson

from infimed_data.storage.stages import atomic_write, locked

__all__ = ["Cost", "Rates", "Run"]

FORMAT = 1
KEPT = 24
"""Latest runs of a kind that are remembered."""
ALL_AT_ONCE = ("near", "pictures", "questions", "write", "generate")
"""Kinds whose memory grows with their size; the others work a shard at a time."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a stage, as it was measured."""

    name: str
    size: int
    """In the unit of its kind."""
    seconds: float
    peak_bytes: int
    """Most memory of all processes together while it ran; 0: not measured."""
    disk_bytes: int
    """What it left on disk."""
    processes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage is expected to take."""

    seconds: float
    peak_bytes: int
    disk_bytes: int
    runs: int
    """Measured runs that this comes from; 0: rates that are shipped."""


_SHIPPED: dict[str, tuple[float, float, float, int]] = {
    "ingest": (0.01, 8.0e-5, 700, 200_000_000),
    "texts": (0.01, 2.0e-5, 500, 200_000_000),
    "images": (0.05, 5.0e-3, 6_000, 300_000_000),
    "index": (0.03, 1.0e-5, 250, 300_000_000),
    "phi-texts": (0.05, 4.0e-5, 20, 350_000_000),
    "phi-images": (0.1, 1.0e-2, 400, 400_000_000),
    "pictures": (0.5, 1.0e-2, 500, 400_000_000),
    "near": (0.1, 2.0e-5, 40, 400_000_000),
    "questions": (0.05, 2.0e-5, 600, 400_000_000),
    "matches": (0.02, 3.0e-5, 60, 400_000_000),
    "generate": (0.1, 3.0e-3, 4_000, 400_000_000),
    "write": (0.8, 1.5e-4, 3_000, 400_000_000),
}
"""Seconds a run, seconds, bytes on disk and peak memory of each kind where nothing has been measured: one and a half
times what two cores take of a thousand to a million rows. Pictures are counted as those of VQA-RAD, some 700 pixels a
side; ones of 64 take a tenth. Written tables are without their images."""


class Rates:
    """Measured runs by kind."""

    def __init__(self, runs: Mapping[str, Sequence[Run]]) -> None:
        self.runs: dict[str, list[Run]] = {kind: list(own) for kind, own in runs.items()}

    @classmethod
    def read(cls, work: Path) -> Rates:
        """The rates of a work folder; none where there are none, or where they cannot be read."""
        with contextlib.suppress(OSError, orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            found = orjson.loads((work / "rates.json").read_bytes())
            if found["format"] == FORMAT:
                return cls({kind: [Run(**run) for run in runs] for kind, runs in found["runs"].items()})
        return cls({})

    def expected(self, kind: str, name: str, size: int, processes: int) -> Cost:
        """What a stage of `size` takes with so many processes.

        Runs of the same name count, or else all of the kind. Where their sizes differ fourfold, a line through them
        has a part that does not depend on size; else the median of their rates is taken.
        """
        known = self.runs.get(kind, ())
        if size == 0 and (empty := [run.seconds for run in known if run.size == 0]):
            return Cost(median(empty), 0, 0, len(empty))
        runs = [run for run in known if run.size > 0]
        runs = [run for run in runs if run.name == name] or runs
        if not runs:
            fixed, each, on_disk, peak = _SHIPPED[kind]
            spread = 2 / max(1, min(processes, 2))
            return Cost((fixed + each * size) * spread, peak, round(on_disk * size), 0)
        seconds = [run.seconds * run.processes / processes if run.seconds > 1 else run.seconds for run in runs]
        peak = max(run.peak_bytes for run in runs) or _SHIPPED[kind][3]
        largest = max(run.size for run in runs)
        if kind in ALL_AT_ONCE and size > largest:
            peak = round(peak * size / largest)
        disk = median(run.disk_bytes / run.size for run in runs) * size
        return Cost(_line([run.size for run in runs], seconds, size), peak, round(disk), len(runs))

    def add(self, kind: str, run: Run) -> None:
        """Remembers a run."""
        self.runs.setdefault(kind, []).append(run)

    def save(self, work: Path) -> None:
        """Adds these runs to those of the work folder."""
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / ".rates.lock"):
            known = Rates.read(work).runs
            merged = {kind: [*known.get(kind, ()), *self.runs.get(kind, ())] for kind in {*known, *self.runs}}
            plain = {kind: [asdict(run) for run in _latest(runs)] for kind, runs in sorted(merged.items())}
            with atomic_write(work / "rates.json") as temporary:
                temporary.write_bytes(orjson.dumps({"format": FORMAT, "runs": plain}, option=orjson.OPT_INDENT_2))


def _latest(runs: Sequence[Run]) -> list[Run]:
    """The latest runs, and of each name at least its last."""
    last: dict[str, Run] = {run.name: run for run in runs}
    return [run for place, run in enumerate(runs) if place >= len(runs) - KEPT or last[run.name] is run]


def _line(sizes: Sequence[int], seconds: Sequence[float], size: int) -> float:
    rate = median(s / n for s, n in zip(seconds, sizes, strict=True))
    if max(sizes) < 4 * min(sizes):
        return rate * size
    # Weighted by 1/size: a second too much at a hundred rows says more than one at a million.
    weights = [1 / n for n in sizes]
    total = sum(weights)
    mean_n = sum(w * n for w, n in zip(weights, sizes, strict=True)) / total
    mean_s = sum(w * s for w, s in zip(weights, seconds, strict=True)) / total
    spread = sum(w * (n - mean_n) ** 2 for w, n in zip(weights, sizes, strict=True))
    slope = sum(w * (n - mean_n) * (s - mean_s) for w, n, s in zip(weights, sizes, seconds, strict=True)) / spread
    slope = max(slope, 0.0)
    return max(mean_s + slope * (size - mean_n), 0.0) or rate * size
