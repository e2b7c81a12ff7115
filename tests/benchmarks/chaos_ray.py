"""Kills machines of a Ray cluster, and the build's own process, at random moments: the digest must stay the same.

    python tests/benchmarks/chaos_ray.py --nodes 10 --drivers 5 --seed 4711
    python tests/benchmarks/chaos_ray.py --nodes 0 --drivers 0 --equal      only: local 1, 2, 4 and Ray 1, 2, 4

The cluster is Ray's own test utility: a head and two machines, each of them processes of this one, over the loopback.
The build reads, compares, asks a teacher (tests/fault_server.py, two client workers) and writes, in shards of 20 KB. No
answer that was on disk when something was killed may be asked for again. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fault_server import Script, serving  # noqa: E402
from killed_generation import kept_requests, plain_candidates  # noqa: E402
from known_answers import Known  # noqa: E402
from many_shards import write_world  # noqa: E402

LATENCY_S = 0.2
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A lost machine is noticed after two seconds, not after Ray's fifteen."""


class Machines:
    """The cluster: a head without processors, and two machines with two each."""

    def __init__(self) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "_system_config": HEALTH, "object_store_memory": 80 << 20},
        )
        self.nodes = [self.add() for _ in range(2)]

    def add(self) -> Any:
        """One more machine."""
        return self.cluster.add_node(num_cpus=2, object_store_memory=80 << 20)

    def lose(self, number: int) -> None:
        """Ends a machine at once, with all its processes; another joins."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)
        self.nodes[number] = self.add()

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self.cluster.address)


class Ended(NamedTuple):
    """A build that ended by itself."""

    folder: Path
    wall_s: float


def command(folder: Path, manifest: str, name: str, shard_bytes: int, processes: int) -> list[str]:
    """The command of a build with folders of its own."""
    return [
        sys.executable, str(TESTS / "many_shards.py"), str(folder / manifest), "--out", str(folder / f"builds-{name}"),
        "--work", str(folder / f"work-{name}"), "--shard-bytes", str(shard_bytes), "--processes", str(processes),
    ]  # fmt: skip


def started(folder: Path, manifest: str, name: str, shard_bytes: int = 20_000, processes: int = 2) -> Any:
    """The process of a build, its output in a file."""
    output = (folder / f"{name}.log").open("ab")
    line = command(folder, manifest, name, shard_bytes, processes)
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=output, text=True, start_new_session=True)


def ended(process: Any, since: float, log: Path) -> Ended:
    """What the build left; raises where it failed."""
    out, _ = process.communicate(timeout=900)
    if process.returncode != 0:
        raise SystemExit(f"the build ended with {process.returncode}: {log.read_text()[-2000:]}")
    return Ended(Path(out.splitlines()[-1]), time.monotonic() - since)


def digest(build: Path) -> str:
    """Of all that a build holds; when and how fast answers came is left out of its candidates."""
    found = hashlib.sha256(build.name.encode())
    lock = json.loads((build / "lock.json").read_text())
    lock["sha256"].pop("candidates.parquet", None)
    found.update(json.dumps(lock, sort_keys=True).encode())
    if (build / "candidates.parquet").exists():
        found.update(plain_candidates(build).write_json().encode())
    for path in sorted(build.rglob("*.parquet")):
        if path.name != "candidates.parquet":
            found.update(path.relative_to(build).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


class Trials:
    """One world, one teacher's server, and what was seen of it."""

    def __init__(self, folder: Path, url: str, script: Script, machines: Machines | None, rows: int) -> None:
        self.folder, self.script, self.machines = folder, script, machines
        write_world(folder, rows=rows, url=url, in_flight=16)
        self.number = 0
        self.sent = self.again = self.lost = 0

    def engine(self, name: str, **settings: Any) -> str:
        """A manifest of the same world with another engine."""
        text = json.dumps({"extends": "m.yaml", "engine": settings})
        (self.folder / name).write_text(text)
        return name

    def fresh(self) -> str:
        """A name for the next build's folders; the server forgets."""
        self.number += 1
        self.script.asked.clear()
        self.script.answered.clear()
        return f"{self.number:02d}"

    def settle(self, kept: set[str]) -> str:
        """Counts what was asked twice; `kept` are the requests whose answers were on disk at the kill."""
        again = [key for key in kept if self.script.asked[key] > 1]
        twice = sum(count - 1 for count in self.script.asked.values() if count > 1)
        self.sent += sum(self.script.asked.values())
        self.again += len(again)
        self.lost += twice
        return f"{len(kept):,} answers kept, {len(again)} of them asked again, {twice} requests lost under way"


def run_equal(trials: Trials) -> str:
    """Builds with local and Ray engines of several sizes and shards; returns the one digest."""
    found: dict[str, list[str]] = {}
    for kind, count, shard_bytes in [
        ("local", 1, 8 << 20), ("local", 2, 20_000), ("local", 4, 47_000),
        ("ray", 1, 33_000), ("ray", 2, 20_000), ("ray", 4, 8 << 20), ("ray", 4, 11_000),
    ]:  # fmt: skip
        settings: dict[str, Any] = {"kind": "local"}
        if kind == "ray":
            assert trials.machines is not None
            address = trials.machines.address
            settings = {"kind": "ray", "address": address, "max_tasks": count, "client_workers": min(count, 2)}
        manifest = trials.engine(f"{kind}.yaml", **settings)
        name = trials.fresh()
        since = time.monotonic()
        done = ended(started(trials.folder, manifest, name, shard_bytes, count), since, trials.folder / f"{name}.log")
        found.setdefault(digest(done.folder), []).append(f"{kind} {count}, shards of {shard_bytes:,}")
        print(f"{kind} {count}, shards of {shard_bytes:,} bytes: {done.folder.name}, {done.wall_s:.1f} s", flush=True)
    print(f"{len(found)} digest{'s' * (len(found) != 1)}", flush=True)
    if len(found) != 1:
        raise SystemExit(f"different bytes: {found}")
    return next(iter(found))


def killed(trials: Trials, whole: str, after_s: float, kill: Callable[[Any], str], *, rerun: bool) -> str:
    """One kill at `after_s`; the build goes on, or is run again. Raises where its bytes differ."""
    name = trials.fresh()
    since = time.monotonic()
    process = started(trials.folder, "chaos.yaml", name)
    while time.monotonic() < since + after_s and process.poll() is None:
        time.sleep(0.01)
    late = process.poll() is not None
    told = kill(process)
    time.sleep(2 * LATENCY_S)
    work = trials.folder / f"work-{name}"
    kept = kept_requests(work) if (work / "teacher_cache").is_dir() else set()
    if rerun and not late:
        process.communicate()
        since = time.monotonic()
        process = started(trials.folder, "chaos.yaml", name)
    done = ended(process, since, trials.folder / f"{name}.log")
    if digest(done.folder) != whole:
        raise SystemExit(f"trial {name}: {done.folder} differs")
    asked = trials.settle(kept)
    return f"{told}{' (after the build)' if late else ''}: same digest, ended after {done.wall_s:.1f} s; {asked}"


def main() -> int:
    """Runs the trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10, help="machines lost")
    parser.add_argument("--drivers", type=int, default=5, help="kills of the build's own process")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--equal", action="store_true", help="also compare engines and shard sizes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    draw = random.Random(given.seed)
    script = Script(latency_s=LATENCY_S, answer=Known())
    machines = Machines()
    with tempfile.TemporaryDirectory(prefix="chaos-ray-") as place, serving(script) as url:
        trials = Trials(Path(place), url, script, machines, given.rows)
        whole = run_equal(trials) if given.equal else ""
        trials.engine("chaos.yaml", kind="ray", address=machines.address, client_workers=2)
        name, since = trials.fresh(), time.monotonic()
        done = ended(started(trials.folder, "chaos.yaml", name), since, trials.folder / f"{name}.log")
        whole = whole or digest(done.folder)
        if digest(done.folder) != whole:
            raise SystemExit("the undisturbed build on Ray differs")
        print(f"seed {given.seed}; undisturbed: {done.wall_s:.1f} s, {(trials.folder / f'{name}.log').read_text()}")

        def lose_machine(process: Any) -> str:
            number = draw.randrange(2)
            machines.lose(number)
            return f"machine {number} lost"

        def kill_driver(process: Any) -> str:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            return "build killed"

        moments = [(at + draw.random()) / max(1, given.nodes) * done.wall_s for at in range(given.nodes)]
        for after_s in moments:
            print(f"{after_s:5.1f} s: {killed(trials, whole, after_s, lose_machine, rerun=False)}", flush=True)
        moments = [(at + draw.random()) / max(1, given.drivers) * done.wall_s for at in range(given.drivers)]
        for after_s in moments:
            print(f"{after_s:5.1f} s: {killed(trials, whole, after_s, kill_driver, rerun=True)}", flush=True)
        print(
            f"{given.nodes} machines lost, {given.drivers} builds killed: one digest; {trials.sent:,} requests, "
            f"{trials.again} sent again whose answer was kept, {trials.lost} under way when their sender was lost"
        )
        machines.cluster.shutdown()
    return 1 if trials.again else 0


if __name__ == "__main__":
    sys.exit(main())
