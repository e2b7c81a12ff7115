"""A small world that is cut into many shards, every one of which goes to a worker: what engines are compared on.

python tests/many_shards.py MANIFEST --out DIR --work DIR --shard-bytes 20000      a build of it, for chaos_ray.py
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_answers import manifest_of, write_choices, write_manifest, write_pictures
from PIL import Image

from infimed_data import picture_stages, pipeline, preparing, source_runs
from infimed_data.dedup import near
from infimed_data.engine import Engine
from infimed_data.generate import jobs, running
from infimed_data.plan import BuildOptions
from infimed_data.storage import tables

FINDINGS = re.findall(
    r"\w+", "the shadow is round and its edge even, the lung around it shows no change of density at all"
)


@contextmanager
def cut_small(shard_bytes: int, *, rows: int = 500) -> Iterator[list[int]]:
    """Shards of `shard_bytes`, few pictures and pairs a task, every task to a worker; gives the numbers of tasks.

    `rows` cuts what is cut by rows.
    """
    counts: list[int] = []
    opened = preparing.open_engine

    def heavy_engine(*given: Any) -> Engine:
        engine: Any = opened(*given)
        run = engine.map

        def run_all(
            function: Callable[[Any], Any], tasks: Iterable[Any], *, label: str, heavy: bool
        ) -> Iterator[tuple[int, Any]]:
            tasks = list(tasks)
            counts.append(len(tasks))
            found: Iterator[tuple[int, Any]] = run(function, tasks, label=label, heavy=True)
            return found

        engine.map = run_all
        engine.renew = lambda: None
        made: Engine = engine
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SHARD_BYTES", shard_bytes)
        patch.setattr(source_runs, "IMAGES_A_TASK", max(1, shard_bytes // 10_000))
        patch.setattr(picture_stages, "PAIRS_A_TASK", max(1, shard_bytes // 10_000))
        patch.setattr(near, "TASK_ROWS", rows)
        for module in (jobs, running):
            patch.setattr(module, "SHARD_ROWS", rows)
        patch.setattr(pipeline, "open_engine", heavy_engine)
        yield counts


def write_world(folder: Path, *, rows: int, url: str = "", in_flight: int = 64, **more: Any) -> Path:
    """Questions with duplicates and near-duplicates, pictures, and a benchmark that has some of both; its manifest.

    Teachers are asked where `url` is given.
    """
    write_choices(folder / "choices", [*range(rows), *range(rows // 10)])
    lines = (folder / "choices" / "train.json").read_text().splitlines()
    with (folder / "choices" / "train.json").open("w") as file:
        for number, line in enumerate(lines):
            row = json.loads(line)
            row["id"] = f"c{number}"
            words = [FINDINGS[(number % rows * step) % len(FINDINGS)] for step in range(1, 40)]
            row["question"] += f" It was seen {number % rows} times: {' '.join(words)}"
            if number >= rows and number % 2:
                row["question"] += " indeed"
            file.write(json.dumps(row) + "\n")
    write_pictures(folder / "pictures", range(rows // 10))
    _draw_copy(folder / "pictures" / "images")
    write_choices(folder / "held", range(3, 9))
    (folder / "held" / "train.json").rename(folder / "held" / "dev.json")
    held = [json.loads(line) for line in lines[: max(8, rows // 20)]]
    (folder / "held" / "dev.json").write_text("".join(json.dumps(row | {"id": f"h{row['id']}"}) + "\n" for row in held))
    content = manifest_of(folder, url or "http://127.0.0.1:1/v1", dedup={}, **more)
    content["benchmarks"] = {"held": {"adapter": "medmcqa", "location": "held", "split": "validation"}}
    if not url:
        del content["teachers"], content["generate"]
    else:
        attempts = {"start": 2, "more": 1, "accept": 2, "limit": 2}  # two prompts a row, no request like another
        content["generate"]["think"] |= {"attempts": attempts}
        content["teachers"]["big"] |= {"max_in_flight": in_flight}
    return write_manifest(folder, content)


def _draw_copy(images: Path) -> None:
    """Makes the second picture a smaller copy of the first, so that pairs of pictures are confirmed too."""
    across, down = np.meshgrid(np.linspace(0, 1, 320), np.linspace(0, 1, 240))
    waves = np.sin(9 * across**2 + 14 * down) + np.cos(25 * across * down) + np.sin(40 * (across - 0.4) * (down - 0.7))
    drawn = Image.fromarray(np.uint8(255 * (waves - waves.min()) / np.ptp(waves)))
    drawn.save(images / "synpic0.png")
    drawn.resize((240, 180)).save(images / "synpic1.png")


def main() -> int:
    """Builds a manifest in small shards."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shard-bytes", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    options = BuildOptions(given.out, given.work, given.processes, None, quiet=True)
    with cut_small(given.shard_bytes) as counts:
        folder = pipeline.build(given.manifest, options, lambda line: print(line, file=sys.stderr, flush=True))
        print(f"{sum(counts)} tasks", file=sys.stderr)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
