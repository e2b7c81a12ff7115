"""Pictures: the speed of their signals, the join of hashes, and which changed copies are found.

    python tests/benchmarks/bench_images.py speed FOLDER... [--peer PYTHON]
    python tests/benchmarks/bench_images.py hashes
    python tests/benchmarks/bench_images.py changes [FOLDER...] [--known known.txt]
    python tests/benchmarks/bench_images.py crowd FOLDER... --work WORK --count 40000 500000

`speed` times all signals of a folder's pictures, from file to table, against decoding alone with Pillow, and against
imagehash (the interpreter of an environment that has it is an option). `hashes` joins a million hashes with themselves.
`changes` plants changed copies of the folders' pictures, or of drawn ones, among training pictures, searches them with
the originals as the benchmark, and prints recall and precision by kind of change. Pictures of two files that are one
picture may be named in a text file, two stems a line; what else is confirmed is false, and listed. `crowd` plants the
same copies of every fourth picture among those that builds with this work folder measured, and prints how many become
candidates.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from drawn_pictures import LOOKS, drawn
from measure import run_measured
from numpy.typing import NDArray
from PIL import Image
from planted_pictures import Found, Plan, plant, search, whole_report

from infimed_data.dedup.candidates import find_candidates
from infimed_data.dedup.hamming import near_pairs
from infimed_data.engine import LocalEngine, leave_pandas_out
from infimed_data.images import FORMATS, measure
from infimed_data.signals import ImageTask, measure_images
from infimed_data.storage.places import Place
from infimed_data.storage.stages import read_table

LIMIT = 10**9
CROWD = ["digest", "phash", "patches", "places", "width", "height", "contrast"]
"""Columns that the search for candidates reads."""
PART = 16
ROUNDS = 5


# Speed


@dataclass(frozen=True)
class Part:
    """Some files of a folder, to be handled one way."""

    way: str
    folder: Path
    names: tuple[str, ...]
    out: Path


def cpu_of(part: Part) -> float:
    """Handles the files; returns the CPU seconds."""
    start = time.process_time()
    WAYS[part.way](part)
    return time.process_time() - start


def _decode(part: Part) -> None:
    for name in part.names:
        with Image.open(part.folder / name, formats=FORMATS) as image:
            image.load()


def _signals(part: Part) -> None:
    measure_images(ImageTask(Place(part.folder), part.names, (), LIMIT, LIMIT, part.out))


def _one_by_one(part: Part) -> None:
    for name in part.names:
        measure((part.folder / name).read_bytes(), max_pixels=LIMIT)


WAYS: dict[str, Callable[[Part], None]] = {
    "decoding alone": _decode,
    "all signals, file to table": _signals,
    "measure(), one by one": _one_by_one,
}
PEER = "sha256 + imagehash.phash"


class Taken(NamedTuple):
    """Seconds of one pass over a folder."""

    wall_s: float
    cpu_s: float


def speed(folders: Sequence[Path], peer: Path | None, processes: Sequence[int]) -> None:
    """Medians over interleaved rounds."""
    for number in processes:
        engine = LocalEngine(number)
        engine.warm()
        for folder in folders:
            with tempfile.TemporaryDirectory() as name:
                _speed(folder, peer, number, engine, Path(name))
        engine.close()


def _speed(folder: Path, peer: Path | None, processes: int, engine: LocalEngine, temp: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    ways: dict[str, Callable[[], Taken | None]] = {
        way: partial(_pass, way, folder, names, temp, engine) for way in WAYS
    }
    if peer is not None:
        ways[PEER] = partial(_peer, peer, folder, processes)
    taken: dict[str, list[Taken]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way, run in ways.items():
            if (one := run()) is not None and number:  # the first round warms up
                taken[way].append(one)
    base = taken["decoding alone"]
    print(f"{folder}: {len(names)} files, {processes} processes; medians of {ROUNDS} rounds")
    for way, passes in taken.items():
        if not passes:
            print(f"  {way:<28} not installed in that environment")
            continue
        wall, cpu = (statistics.median(each) / len(names) * 1e3 for each in zip(*passes, strict=True))
        ratios = [
            statistics.median(one[at] / other[at] for one, other in zip(passes, base, strict=True)) for at in (0, 1)
        ]
        print(
            f"  {way:<28} {1e3 / wall:>7.0f} pictures/s, wall {wall:.2f} ms x{ratios[0]:.2f}, "
            f"CPU {cpu:.2f} ms x{ratios[1]:.2f}"
        )


def _pass(way: str, folder: Path, names: Sequence[str], temp: Path, engine: LocalEngine) -> Taken:
    size = PART if engine.processes > 1 else 64
    parts = [
        Part(way, folder, tuple(names[first : first + size]), temp / f"{first}.arrow")
        for first in range(0, len(names), size)
    ]
    start = time.perf_counter()
    cpu_s = sum(cpu for _, cpu in engine.map(cpu_of, parts, label=way, heavy=engine.processes > 1))
    return Taken(time.perf_counter() - start, cpu_s)


def _peer(python: Path, folder: Path, processes: int) -> Taken | None:
    script = Path(__file__).with_name("picture_peers.py")
    done = subprocess.run(
        [str(python), str(script), str(folder), "--processes", str(processes)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode == 3:
        return None
    done.check_returncode()
    return Taken(**json.loads(done.stdout))


# Hashes


def hashes() -> None:
    """Each join in a process of its own."""
    for share in (0.0, 0.2):
        for views in (False, True):
            command = [sys.executable, __file__, "join", str(share), *(["--views"] if views else [])]
            usage = run_measured(command)
            if usage.returncode:
                raise SystemExit(usage.stderr)
            print(f"{usage.stdout.strip()}, peak of the process {usage.peak_rss_bytes / 1e6:,.0f} MB")


def join(share: float, views: bool, count: int = 1_000_000, radius: int = 4) -> None:
    """One self-join; `share` of the hashes are within two bits of one another."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    alike = int(share * count)
    values[:alike] = values[0]
    for _ in range(2):
        values[:alike] ^= np.uint64(1) << rng.integers(0, 64, alike, dtype=np.uint64)
    copies, sources = np.split(rng.choice(np.arange(alike, count), count // 100 * 2, replace=False), 2)
    values[copies] = values[sources] ^ (np.uint64(1) << rng.integers(0, 64, len(copies), dtype=np.uint64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start = time.perf_counter()
    near = near_pairs(values, radius, views=views)
    wall_s = time.perf_counter() - start
    found = _has(near.one, near.other, near.number[sources], near.number[copies])
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before
    print(
        f"{count:,} hashes, {share:.0%} near-identical{', sixteen views' if views else ''}: {wall_s:.1f} s, "
        f"{more:,.0f} MB more, {len(near.one):,} pairs, {found:.1%} of the planted, "
        f"{near.capped_buckets:,} buckets capped"
    )


def _has(
    one: NDArray[np.int64], other: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> float:
    """Share of pairs (first, second) that are among (one, other); equal ones count as found."""
    found = (one << 32) | other
    wanted = (np.minimum(first, second) << 32) | np.maximum(first, second)
    return float((np.isin(wanted, found) | (first == second)).mean())


# Changes


@dataclass
class Known:
    """Files that are one picture though nobody planted them."""

    pairs: set[frozenset[str]] = field(default_factory=set)

    @staticmethod
    def read(path: Path | None) -> Known:
        """Two stems a line."""
        lines = [] if path is None else path.read_text().splitlines()
        return Known({frozenset(line.split()) for line in lines if line.strip()})


def changes(folders: Sequence[Path], known: Known, step: int, seed: int, processes: int, looks: int) -> None:
    """Every `step`-th kind of change of each picture."""
    engine = LocalEngine(processes)
    engine.warm()
    with tempfile.TemporaryDirectory() as name:
        if folders:
            files = {path.stem: path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()}
            _report(" + ".join(map(str, folders)), search(Plan(files, step, seed), Path(name), engine), known)
        else:
            together: list[Found] = []
            for look in LOOKS:
                files = {}
                for number in range(looks):
                    path = Path(name) / look / f"{look}-{number}.png"
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(drawn(look, number))
                    files[path.stem] = path
                found = search(Plan(files, step, seed), Path(name) / f"{look} search", engine)
                together.append(found)
                print(whole_report(look, found, known.pairs, by_kind=False))
            _report(f"{len(LOOKS)} looks, {looks} drawn pictures each", Found.joined(together), known)
    engine.close()


def crowd(folders: Sequence[Path], work: Path, counts: Sequence[int], step: int, seed: int, processes: int) -> None:
    """Candidates among so many other pictures."""
    measured = [read_table(path, CROWD) for path in sorted(work.glob("stages/images-*/*/*/images.arrow"))]
    others = pl.concat([pl.DataFrame(table) for table in measured]).drop_nulls("digest").unique("digest").sort("digest")
    names = sorted((path.stem, path) for folder in folders for path in folder.iterdir() if path.is_file())
    engine = LocalEngine(processes)
    with tempfile.TemporaryDirectory() as name:
        found, own, _ = plant(Plan(dict(names[::4]), step, seed), Path(name), engine)
    engine.close()
    for count in (0, *counts):
        beside = others.head(count).select(CROWD).to_arrow(compat_level=pl.CompatLevel.oldest())
        pictures = pa.concat_tables([own.select(CROWD), beside.cast(own.select(CROWD).schema)])
        start = time.process_time()
        pairs = find_candidates(pictures).pairs
        spent = time.process_time() - start
        together = set(zip(pairs["digest_a"].to_pylist(), pairs["digest_b"].to_pylist(), strict=True))
        hits: dict[str, list[bool]] = {"all": []}
        for stem, kind, copy in found.planted:
            original = found.of_original[stem]
            hit = original == copy or (min(original, copy), max(original, copy)) in together
            hits.setdefault(kind, []).append(hit)
            hits["all"].append(hit)
        print(f"{len(pictures):,} pictures: {len(pairs):,} pairs to be looked at, {spent:.0f} CPU s")
        for kind, each in hits.items():
            print(f"  {kind:<26} {len(each):>6,} {np.mean(each):>8.3f}")


def _report(title: str, found: Found, known: Known) -> None:
    print(whole_report(title, found, known.pairs, by_kind=True))


def main() -> int:
    """Runs one section."""
    parser = argparse.ArgumentParser(description="Pictures: speed of signals, joins of hashes, copies found.")
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("speed")
    one.add_argument("folders", type=Path, nargs="+")
    one.add_argument("--peer", type=Path, help="interpreter of an environment with imagehash")
    one.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parts.add_parser("hashes")
    two = parts.add_parser("join")
    two.add_argument("share", type=float)
    two.add_argument("--views", action="store_true")
    three = parts.add_parser("changes")
    three.add_argument("folders", type=Path, nargs="*")
    three.add_argument("--known", type=Path, help="pairs of stems that are one picture, two a line")
    three.add_argument("--step", type=int, default=1, help="of the kinds of change, one in so many for each picture")
    three.add_argument("--seed", type=int, default=1)
    three.add_argument("--processes", type=int, default=2)
    three.add_argument("--looks", type=int, default=16, help="drawn pictures of each look")
    four = parts.add_parser("crowd")
    four.add_argument("folders", type=Path, nargs="+")
    four.add_argument("--work", type=Path, required=True)
    four.add_argument("--count", type=int, nargs="+", required=True)
    four.add_argument("--step", type=int, default=3)
    four.add_argument("--seed", type=int, default=1)
    four.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    leave_pandas_out()
    for folder in getattr(options, "folders", []):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder of pictures")
    if options.part == "speed":
        speed(options.folders, options.peer, options.processes)
    elif options.part == "hashes":
        hashes()
    elif options.part == "join":
        join(options.share, options.views)
    elif options.part == "crowd":
        crowd(options.folders, options.work, options.count, options.step, options.seed, options.processes)
    else:
        known = Known.read(options.known)
        changes(options.folders, known, options.step, options.seed, options.processes, options.looks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
