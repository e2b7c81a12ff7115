"""What a build of very many rows costs, stage by stage, beside a smaller one: a table, and a chart as PNG.

    python tests/benchmarks/bench_scale.py run --rows 100000 1000000 --folder FOLDER --json FIGURES.json
    python tests/benchmarks/bench_scale.py show FIGURES.json --chart CHART.png

The rows are those of make_mixed.py. A stage's time is what passes until its completion marker is written, from the one
before; its CPU time is that of all processes; its memory is the largest sum over all processes at one moment, looked at
20 times a second: RSS counts what processes share once for each of them. Linux only.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from make_mixed import make_mixed
from measure import processes_of, pss_bytes
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
STAGES = {
    "ingest": "rows read", "texts": "signals of texts", "images": "signals of pictures", "index": "index, filters",
    "pictures": "pictures compared", "near": "texts compared", "questions": "benchmarks indexed",
    "matches": "benchmarks matched", "decide": "decided", "write": "tables written", "end": "digests, card",
}  # fmt: skip
"""Kinds of stages as the work folder names them, and the lines that the build says after the last of these."""
_INTERVAL_S = 0.05


@dataclass
class Cost:
    """What one stage took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


@dataclass(frozen=True)
class Run:
    """One build."""

    rows: int
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    peak_pss_bytes: int
    stages: dict[str, Cost]
    said: list[str]


@dataclass(frozen=True)
class Sample:
    """A look at all processes."""

    time_s: float
    cpu_s: float
    rss_bytes: int


class _Watch(threading.Thread):
    """Looks at the processes of a session until it is stopped."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.session, self.peak_pss = session, 0
        self.samples = [Sample(time.time(), 0.0, 0)]
        self.stopped = threading.Event()

    def run(self) -> None:
        foreign: set[int] = set()
        while not self.stopped.wait(_INTERVAL_S):
            processes = processes_of(self.session, foreign)
            rss, cpu_s = sum(p.rss_bytes for p in processes), sum(p.cpu_s for p in processes)
            # Where a process ended that nobody has waited for yet, its time is missing for a moment.
            self.samples.append(Sample(time.time(), max(cpu_s, self.samples[-1].cpu_s), rss))
            if len(self.samples) % 10 == 0 and rss > self.peak_pss:
                self.peak_pss = max(self.peak_pss, sum(pss_bytes(process.pid)[0] for process in processes))


def run_build(manifest: Path, folder: Path, rows: int, processes: int) -> Run:
    """Builds `manifest` with its outputs and work under `folder`."""
    command = [
        sys.executable, "-m", "infimed_data.cli", "build", str(manifest), "--out", str(folder / "builds"), "--work",
        str(folder / "work"), "--processes", str(processes),
    ]  # fmt: skip
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        start_new_session=True, cwd=PROJECT,
    )  # fmt: skip
    watch = _Watch(child.pid)
    watch.start()
    said: list[str] = []
    ends: list[tuple[float, str]] = []
    assert child.stderr is not None
    for line in child.stderr:
        said.append(line.rstrip())
        word = line.rpartition("\r")[2].split(" ", 1)[0]
        if word in ("decide", "write"):
            ends.append((time.time(), word))
    watch.stopped.set()
    watch.join()
    if child.wait():
        raise SystemExit("\n".join(said[-20:]))
    for path in (folder / "work" / "stages").rglob("done.json"):
        kind = path.relative_to(folder / "work" / "stages").parts[0].partition("-")[0]
        ends.append((path.stat().st_mtime, kind))
    ends.append((watch.samples[-1].time_s, "end"))
    first, last = watch.samples[0], watch.samples[-1]
    peak = max(sample.rss_bytes for sample in watch.samples)
    return Run(rows, last.time_s - first.time_s, last.cpu_s, peak, watch.peak_pss, _stages(ends, watch.samples), said)


def _stages(ends: Sequence[tuple[float, str]], samples: Sequence[Sample]) -> dict[str, Cost]:
    """What was used until each end, from the one before, by kind of stage."""
    times = [sample.time_s for sample in samples]
    stages: dict[str, Cost] = {}
    start = 0
    for moment, kind in sorted(ends):
        stop = min(bisect.bisect_left(times, moment), len(samples) - 1)
        cost = stages.setdefault(kind, Cost())
        cost.wall_s += times[stop] - times[start]
        cost.cpu_s += samples[stop].cpu_s - samples[start].cpu_s
        cost.peak_rss_bytes = max(cost.peak_rss_bytes, *(s.rss_bytes for s in samples[start : stop + 1]))
        start = stop
    return stages


def table(runs: Sequence[dict[str, Any]]) -> str:
    """The runs side by side as a Markdown table; the last column compares the cost of a row in the last and first."""
    head = (
        "| stage |" + "".join(f" {run['rows']:,} rows: s, CPU s, GB |" for run in runs) + " CPU a row, last / first |"
    )
    lines = [head, "|---|" + "---:|" * (len(runs) + 1)]
    for word, name in STAGES.items():
        costs = [run["stages"].get(word) for run in runs]
        if all(costs):
            cells = [f" {c['wall_s']:,.1f}, {c['cpu_s']:,.1f}, {c['peak_rss_bytes'] / 1e9:.2f} |" for c in costs]
            lines.append(f"| {name} |" + "".join(cells) + f" {_growth(runs, costs):.2f} |")
    cells = [f" {r['wall_s']:,.0f}, {r['cpu_s']:,.0f}, {r['peak_rss_bytes'] / 1e9:.2f} |" for r in runs]
    lines.append("| all |" + "".join(cells) + f" {_growth(runs, runs):.2f} |")
    return "\n".join(lines)


def _growth(runs: Sequence[dict[str, Any]], costs: Sequence[dict[str, Any]]) -> float:
    each = [cost["cpu_s"] / run["rows"] for cost, run in zip(costs, runs, strict=True)]
    return float(each[-1] / max(each[0], 1e-12))


def chart(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """CPU microseconds a row, a bar for each stage and run, and each run's peak memory, as PNG."""
    colours = ("#7aa6c2", "#1f4e79", "#c2857a", "#79301f")
    words = [word for word in STAGES if all(word in run["stages"] for run in runs)]
    values = [[run["stages"][word]["cpu_s"] / run["rows"] * 1e6 for run in runs] for word in words]
    most = max(max(row) for row in values)
    left, bar, gap, width = 190, 13, 9, 900
    height = 70 + len(words) * (bar * len(runs) + gap) + 22 * len(runs)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((10, 10), "CPU microseconds a row, by stage", fill="black", font=font)
    y = 42
    for word, row in zip(words, values, strict=True):
        draw.text((10, y + (bar * len(runs) - 15) // 2), STAGES[word], fill="black", font=small)
        for at, value in enumerate(row):
            end = left + int(value / most * (width - left - 90))
            draw.rectangle((left, y, max(end, left + 1), y + bar - 2), fill=colours[at % len(colours)])
            draw.text((end + 6, y - 2), f"{value:,.0f}", fill="black", font=small)
            y += bar
        y += gap
    for at, run in enumerate(runs):
        draw.rectangle((left, y + 3, left + 12, y + 15), fill=colours[at % len(colours)])
        text = (
            f"{run['rows']:,} rows: {run['wall_s']:,.0f} s, {run['cpu_s']:,.0f} CPU s, "
            f"{run['peak_rss_bytes'] / 1e9:.2f} GB at most in all processes"
        )
        draw.text((left + 20, y), text, fill="black", font=small)
        y += 22
    image.quantize(32).save(path, "PNG", optimize=True)


def main() -> int:
    """Runs builds, or shows what was found."""
    parser = argparse.ArgumentParser(description="What a build of very many rows costs, stage by stage.")
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("run")
    one.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    one.add_argument("--folder", type=Path, required=True, help="where to work; 12 GB for a million rows")
    one.add_argument("--json", type=Path, required=True)
    one.add_argument("--memory-limit", help="of the manifest, such as '2 GB'")
    one.add_argument("--processes", type=int, default=2)
    two = parts.add_parser("show")
    two.add_argument("figures", type=Path)
    two.add_argument("--chart", type=Path)
    given = parser.parse_args()
    if given.part == "run":
        sys.path.insert(0, str(PROJECT))
        os.environ["PYTHONPATH"] = str(PROJECT)
        runs = []
        for rows in given.rows:
            data = given.folder / f"rows-{rows}"
            if not (data / "mixed.yaml").exists():
                make_mixed(data, rows)
            manifest = data / "mixed.yaml"
            if given.memory_limit:
                manifest = data / "limited.yaml"
                manifest.write_text(f"extends: mixed.yaml\nmemory_limit: {given.memory_limit}\n", "utf-8")
            out = given.folder / f"build-{rows}-{time.time_ns()}"
            runs.append(asdict(run_build(manifest, out, rows, given.processes)))
            given.json.write_text(json.dumps(runs, indent=1) + "\n", "utf-8")
            print(table(runs), flush=True)
        return 0
    runs = json.loads(given.figures.read_text("utf-8"))
    print(table(runs))
    if given.chart is not None:
        chart(runs, given.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
