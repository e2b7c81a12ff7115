"""Kills builds at random moments and runs them again: the bytes must be those of an undisturbed build.

    python tests/benchmarks/kill_test.py --kills 20 --seed 4711
    python tests/benchmarks/kill_test.py manifests/demo.yaml

By turns `kill -9` hits the main process alone (the others must end by themselves), all processes at once (as when the
machine goes down), or one of the others. A build folder that is visible after a kill must already be whole. Every trial
starts without a work folder; the rerun takes up what the killed build left. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench_build import PROJECT, REAL_MANIFEST, BenchError, build_command, built, digests, environment
from measure import processes_of, run_measured

VICTIMS = ("main", "all", "other")


def killed_build(
    command: Sequence[str], env: dict[str, str], *, after_s: float, victim: str, draw: random.Random
) -> tuple[str, int]:
    """(what the kill hit, session of the build): `main`, `all`, `other`, or `too late` where the build had ended."""
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, cwd=PROJECT,
        start_new_session=True,
    )  # fmt: skip
    try:
        child.wait(after_s)
        return "too late", child.pid
    except subprocess.TimeoutExpired:
        pass
    others = [process.pid for process in processes_of(child.pid) if process.pid != child.pid]
    if victim == "all":
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return "all", child.pid
    if victim == "other" and others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(draw.choice(others), signal.SIGKILL)
        try:
            child.wait(600)  # it ends with an error, or goes on without that process
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise BenchError("the build hangs after one of its processes was killed") from None
        return "other", child.pid
    child.kill()
    child.wait()
    return "main", child.pid


def partial_builds(out: Path, whole: dict[str, str]) -> list[str]:
    """Visible build folders below `out` that are not the whole build."""
    visible = [p for p in out.glob("*/*") if not any(part.startswith(".") for part in p.relative_to(out).parts)]
    return [str(folder) for folder in visible if digests(folder) != whole]


def listing(folder: Path) -> set[str]:
    """Relative paths of the files below `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def trial(
    manifest: Path, root: Path | None, temp: Path, whole: dict[str, str], names: set[str], *, after_s: float,
    victim: str, draw: random.Random, processes: int | None,
) -> tuple[str, float, set[str]]:  # fmt: skip
    """(what was hit, seconds of the rerun, files that an undisturbed build does not leave). Raises `BenchError`."""
    env = environment(temp)
    while True:
        with tempfile.TemporaryDirectory(dir=temp, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            command = build_command(manifest, folder, root=root, processes=processes)
            hit, session = killed_build(command, env, after_s=after_s, victim=victim, draw=draw)
            if hit == "too late":
                after_s *= 0.9
                continue
            if partial := partial_builds(folder / "builds", whole):
                raise BenchError(f"visible but not whole after the kill: {', '.join(partial)}")
            usage = run_measured(command, env=env, cwd=PROJECT)
            again = digests(built(usage, command))
            if again != whole:
                differ = sorted(name for name in again.keys() | whole.keys() if again.get(name) != whole.get(name))
                raise BenchError(f"the rerun differs in {', '.join(differ)}")
            if alive := [process for process in processes_of(session) if process.state != "Z"]:
                for process in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                raise BenchError(f"{len(alive)} processes of the killed build outlive its rerun")
            return hit, usage.wall_s, listing(folder) - names


def main() -> int:
    """Runs the trials; 1 where one failed."""
    parser = argparse.ArgumentParser(description="Kills builds at random moments and runs them again.")
    parser.add_argument("manifest", type=Path, nargs="?", default=REAL_MANIFEST)
    parser.add_argument("--root", type=Path, help="the manifest's own otherwise")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed otherwise")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--temp", type=Path, help="where to work")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    draw = random.Random(seed)
    manifest = given.manifest.resolve()
    root = None if given.root is None else given.root.resolve()
    failed, hits, leftovers, reruns = 0, Counter[str](), set[str](), []
    with tempfile.TemporaryDirectory(prefix="infimed-kill-", dir=given.temp) as name:
        temp = Path(name)
        command = build_command(manifest, temp / "whole", root=root, processes=given.processes)
        built(run_measured(command, env=environment(temp), cwd=PROJECT), command)  # compiles Python files
        command = build_command(manifest, temp / "whole2", root=root, processes=given.processes)
        usage = run_measured(command, env=environment(temp), cwd=PROJECT)
        whole = digests(built(usage, command))
        names = listing(temp / "whole2")
        print(f"seed {seed}; undisturbed: {usage.wall_s:.1f} s, {len(whole)} files", flush=True)
        # One moment in each of as many equal parts of the build, in random order.
        moments = [(index + draw.random()) / given.kills * usage.wall_s for index in range(given.kills)]
        draw.shuffle(moments)
        for index, after_s in enumerate(moments):
            start = time.monotonic()
            shown = f"{index + 1:>3}: after {after_s:5.2f} s"
            try:
                hit, wall_s, extra = trial(
                    manifest, root, temp, whole, names, after_s=after_s, victim=VICTIMS[index % len(VICTIMS)],
                    draw=draw, processes=given.processes,
                )  # fmt: skip
            except BenchError as error:
                failed += 1
                print(f"{shown}  FAILED: {error}", flush=True)
                continue
            hits[hit] += 1
            leftovers |= extra
            reruns.append(wall_s)
            print(
                f"{shown}  killed {hit:<5}  rerun {wall_s:5.2f} s: same bytes"
                f"{f', {len(extra)} files more than undisturbed' if extra else ''}  ({time.monotonic() - start:.1f} s)",
                flush=True,
            )
    if reruns:
        print(f"reruns: median {statistics.median(reruns):.2f} s; undisturbed {usage.wall_s:.2f} s")
    for path in sorted(leftovers)[:20]:
        print(f"left over after a rerun: {path}")
    hit_text = ", ".join(f"{count} {name}" for name, count in hits.items())
    print(f"{given.kills - failed} of {given.kills} kills ({hit_text}): same bytes after the rerun; seed {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
