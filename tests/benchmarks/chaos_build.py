"""Builds on a bad night: killed, with a full disk, with pictures that cannot be read. Then again, undisturbed.

    python tests/benchmarks/chaos_build.py --kills 20 --disks 20 --reads 20 --seed 4711

Each trial must account for every row or end in one line, leave no build that is not whole, and give the bytes of an
undisturbed build when it is run again with what it left. `kill -9` hits one process or all. The disk is a small tmpfs
that a file fills at a random moment (where this user may not mount: a random limit on the size of files). Of image
reads, `--share` (1%) fail once, and as large a share of the pictures of the sources fails all night. Not collected by
pytest.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from bench_build import PROJECT, BenchError, build_command, built, digests, environment
from kill_test import VICTIMS, listing, partial_builds, trial
from measure import run_measured
from PIL import Image

from infimed_data.storage.places import READ_FAILED, Place

__all__ = ["accounted", "failing_reads", "failing_refs", "write_world"]

DISK_BYTES = 64 << 20


def write_world(folder: Path, *, pictures: int = 60, seed: int = 1) -> Path:
    """A manifest of three sources with pictures (files, a zip, Parquet cells), texts and a benchmark; some rows are
    duplicates, and some leak."""
    draw = random.Random(seed)
    drawn = [_picture(draw) for _ in range(3 * pictures)]
    shared = drawn[:5]

    def questions(first: int) -> list[dict[str, Any]]:
        return [
            {"qid": first + n, "image_name": f"p{n}.png", "question": f"Is sign number {(first + n) % 97} seen here?",
             "answer": draw.choice(("yes", "no")), "answer_type": "CLOSED"}
            for n in range(pictures)
        ]  # fmt: skip

    def entry(name: str, adapter: str, category: str = "medical_vqa") -> dict[str, Any]:
        return {"adapter": adapter, "location": name, "category": category, "license": "CC0-1.0"}

    for name, first in (("loose", 0), ("packed", 1000)):
        (folder / name).mkdir(parents=True)
        (folder / name / "trainset.json").write_text(json.dumps(questions(first)))
    (folder / "loose" / "images").mkdir()
    for number, data in enumerate(drawn[:pictures]):
        (folder / "loose" / "images" / f"p{number}.png").write_bytes(data)
    with zipfile.ZipFile(folder / "packed" / "images.zip", "w") as archive:
        for number, data in enumerate([*shared, *drawn[pictures : 2 * pictures - 5]]):
            archive.writestr(f"images/p{number}.png", data)
    (folder / "cells").mkdir()
    rows = [
        {"image": {"bytes": data, "path": None}, "question": f"Is mark number {n % 89} seen?", "answer": "yes"}
        for n, data in enumerate(drawn[2 * pictures :])
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "cells" / "train-00000-of-00001.parquet", row_group_size=25)
    (folder / "texts").mkdir()
    words = [f"word{n}" for n in range(400)]
    cases = [" ".join(draw.choices(words, k=60)) for _ in range(200)] * 2
    lines = [
        {"question": f"{text}{'!' * (n // 200)}", "options": {k: f"Drug {k}{n % 7}" for k in "ABCD"}, "answer_idx": "B",
         "answer": f"Drug B{n % 7}"}
        for n, text in enumerate(cases)
    ]  # fmt: skip
    (folder / "texts" / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "bench").mkdir()
    tested = [{**row, "image_name": f"b{n}.png"} for n, row in enumerate(questions(5000)[:20])]
    (folder / "bench" / "testset.json").write_text(json.dumps(tested))
    for number in range(20):
        data = drawn[number * 7 % len(drawn)] if number < 10 else _picture(draw)
        (folder / "bench" / f"b{number}.png").write_bytes(data)
    manifest = {
        "name": "night", "seed": 1, "root": str(folder),
        "sources": {
            **{name: entry(name, "vqa_rad") for name in ("loose", "packed", "cells")},
            "texts": entry("texts", "medqa", "medical_text"),
        },
        "benchmarks": {"bench": {"adapter": "vqa_rad", "location": "bench"}},
        "outputs": {"sft": {"validation": 0.1}, "rl": {}},
    }  # fmt: skip
    path = folder / "night.yaml"
    path.write_text(json.dumps(manifest, indent=1))
    return path


def _picture(draw: random.Random) -> bytes:
    size = (draw.randrange(60, 140), draw.randrange(60, 140))
    small = Image.frombytes("L", (9, 7), draw.randbytes(63)).resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "PNG")
    return out.getvalue()


# Reads that fail


def failing_refs(seed: int, share: float, ref: str) -> bool:
    """Whether the picture at `ref` fails all night; a property of its name and the seed. One in Parquet never."""
    return "#" not in ref and zlib.crc32(f"{seed} {ref}".encode()) % 10_000 < 10_000 * share


@contextmanager
def failing_reads(seed: int, share: float, *, spared: str = "bench") -> Iterator[Counter[str]]:
    """While it lasts, some reads of pictures fail in this process; gives how many did, for good and in passing.

    Pictures below a folder `spared` fail in passing only. Parquet files fail in passing, when they are opened.
    """
    draw = random.Random(seed)
    counted: Counter[str] = Counter()
    whole, path = Place._bytes, Place.path

    def read(place: Place, ref: str, max_bytes: int) -> bytes:
        counted["reads"] += 1
        if place.root.name != spared and failing_refs(seed, share, ref):
            counted["for good"] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), ref)
        if draw.random() < share:
            counted["in passing"] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), ref)
        return whole(place, ref, max_bytes)

    def find(place: Place, name: str) -> Path:
        if name.endswith(".parquet") and sys._getframe(1).f_code.co_name == "_cells":
            counted["reads"] += 1
            if draw.random() < share:
                counted["in passing"] += 1
                raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return path(place, name)

    Place._bytes, Place.path = read, find  # type: ignore[method-assign,assignment,unused-ignore]
    try:
        yield counted
    finally:
        Place._bytes, Place.path = whole, path  # type: ignore[method-assign,assignment,unused-ignore]


def accounted(build: Path, seed: int, share: float) -> int:
    """Rows of a build that were dropped as `READ_FAILED`. Raises `BenchError` where a row is not accounted for, or
    where other rows were dropped so than those with a failing picture."""
    samples, drops = pl.read_parquet(build / "samples.parquet"), pl.read_parquet(build / "drops.parquet")
    lock = json.loads((build / "lock.json").read_text("utf-8"))
    read = sum(source["rows_read"] for source in lock["sources"])
    uids = {*samples["uid"], *drops["uid"]}
    if not read == len(samples) + len(drops) == len(uids) == len(pl.read_parquet(build / "origins.parquet")):
        raise BenchError(f"{read} rows read, {len(samples)} kept, {len(drops)} dropped, {len(uids)} distinct")
    gone = {row["uid"] for row in drops.to_dicts() if row["rule"] == READ_FAILED}
    failing = {
        row["uid"] for row in drops.to_dicts() if any(failing_refs(seed, share, ref) for ref in row["image_refs"] or ())
    }
    if gone != failing:
        told = (
            f"{sorted(gone - failing)[:5]} without a failing picture, {sorted(failing - gone)[:5]} for another reason"
        )
        raise BenchError(f"rows dropped as {READ_FAILED}, {told}")
    return len(gone)


def _reads_child(given: Any) -> int:
    """A build in this process in which reads fail."""
    from infimed_data.errors import InfimedError
    from infimed_data.pipeline import build
    from infimed_data.plan import BuildOptions

    with failing_reads(given.seed, given.share) as counted:
        try:
            folder = build(
                given.manifest, BuildOptions(given.child / "builds", given.child / "work", 1), lambda _: None
            )
        except InfimedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(json.dumps(counted))
    print(folder)
    return 0


# Trials


class Night:
    """An undisturbed build, and what disturbed ones are held against."""

    def __init__(self, manifest: Path, temp: Path, draw: random.Random, processes: int) -> None:
        self.manifest, self.temp, self.draw, self.processes = manifest, temp, draw, processes
        self.env = environment(temp)
        for name in ("warm", "whole"):  # the first compiles Python files
            command = build_command(manifest, temp / name, processes=processes)
            self.usage = run_measured(command, env=self.env, cwd=PROJECT)
            self.whole = digests(built(self.usage, command))
        self.names = listing(temp / "whole")

    def again(self, folder: Path) -> None:
        """Builds with what lies in `folder`. Raises `BenchError` where the bytes differ."""
        command = build_command(self.manifest, folder, processes=self.processes)
        found = digests(built(run_measured(command, env=self.env, cwd=PROJECT), command))
        if found != self.whole:
            names = sorted(n for n in found.keys() | self.whole.keys() if found.get(n) != self.whole.get(n))
            raise BenchError(f"the rerun differs in {', '.join(names)}")

    def kill(self, number: int, of: int) -> str:
        """Kills a build in its part of the time."""
        after_s = (number + self.draw.random()) / of * self.usage.wall_s
        hit, _, _ = trial(
            self.manifest, None, self.temp, self.whole, self.names, after_s=after_s,
            victim=VICTIMS[number % len(VICTIMS)], draw=self.draw, processes=self.processes,
        )  # fmt: skip
        return f"killed {hit} after {after_s:.2f} s"

    def disk(self, number: int, of: int) -> str:
        """Fills the disk during a build, in its part of the time."""
        after_s = (number + self.draw.random()) / of * self.usage.wall_s
        with (
            tempfile.TemporaryDirectory(dir=self.temp, ignore_cleanup_errors=True) as name,
            _small_disk(Path(name)) as small,
        ):
            command = build_command(self.manifest, small or Path(name), processes=self.processes)
            limit = 0
            if small is None:
                limit = self.draw.randrange(1, 400)
                command = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", *command]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
            if small is not None:
                time.sleep(after_s)
                _fill(small / "filler")
            try:
                _, said = child.communicate(timeout=600)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                raise BenchError("the build hangs on a full disk") from None
            folder = small or Path(name)
            if partial := partial_builds(folder / "builds", self.whole):
                raise BenchError(f"visible but not whole: {', '.join(partial)}")
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            if child.returncode and (len(errors) != 1 or "Traceback" in said):
                raise BenchError(f"exit {child.returncode}, not in one line: {said[-1500:]}")
            (folder / "filler").unlink(missing_ok=True)
            self.again(folder)
            ended = errors[0][:110] if child.returncode else "it was through already"
            return (f"disk full after {after_s:.2f} s: " if small else f"files of at most {limit} KiB: ") + ended

    def reads(self, number: int, share: float) -> str:
        """Lets reads fail."""
        seed = self.draw.randrange(1 << 30)
        with tempfile.TemporaryDirectory(dir=self.temp, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            command = [sys.executable, __file__, str(self.manifest), "--child", name, "--seed", str(seed)]
            usage = run_measured([*command, "--share", str(share)], env=self.env, cwd=Path(__file__).parent)
            build = built(usage, command)
            counted = json.loads(usage.stdout.splitlines()[-2])
            dropped = accounted(build, seed, share)
            if (dropped > 0) != (digests(build) != self.whole):
                raise BenchError(f"{dropped} rows dropped, but the build is {'the same' if dropped else 'another'}")
            self.again(folder)
            told = ", ".join(f"{counted.get(kind, 0)} {kind}" for kind in ("reads", "in passing", "for good"))
            return f"{told}: {dropped} rows dropped, every row accounted for"


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A small disk, or None where this user may not mount one."""
    point = folder / "disk"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(point)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield point if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(point)], check=False)


def _fill(path: Path) -> None:
    """Writes until the disk is full."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def main() -> int:
    """Runs the trials; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?", help="a world of its own otherwise")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--disks", type=int, default=20)
    parser.add_argument("--reads", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.01, help="of image reads that fail")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed otherwise")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--temp", type=Path, help="where to work")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        return _reads_child(given)
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    failed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="infimed-chaos-", dir=given.temp) as name:
        temp = Path(name)
        manifest = given.manifest.resolve() if given.manifest else write_world(temp / "world")
        night = Night(manifest, temp, random.Random(seed), given.processes)
        print(f"seed {seed}; undisturbed: {night.usage.wall_s:.1f} s, {len(night.whole)} files", flush=True)
        trials: Mapping[str, int] = {"kill": given.kills, "disk": given.disks, "reads": given.reads}
        for kind, count in trials.items():
            for number in range(count):
                try:
                    told = night.reads(number, given.share) if kind == "reads" else getattr(night, kind)(number, count)
                    print(f"{kind} {number + 1:>3}: {told}; the rerun gives the same bytes", flush=True)
                except BenchError as error:
                    failed[kind] += 1
                    print(f"{kind} {number + 1:>3}: FAILED: {error}", flush=True)
    for kind, count in trials.items():
        print(f"{kind}: {count - failed[kind]} of {count} as promised; seed {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
