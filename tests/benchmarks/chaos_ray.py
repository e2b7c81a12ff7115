"""Kills machines of a Ray cluster, and the build's own process, at random moments: the digest must stay the same.

    python tests/benchmarks/chaos_ray.py --nodes 10 --drivers 5 --seed 4711
    python tests/benchmarks/chaos_ray.py --nodes 0 --drivers 0 --equal      only: local 1, 2, 4 and Ray 1, 2, 4

The cluster is Ray's own test utility: a head and two machines, each of them processes of this one, over the loopback.
The build reads, compares, asks a teacher (tests/fault_server.py, two client workers) and writes, in shards of 20 KB. No
answer that was on disk when something was killed may be asked for again. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
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

    def __init__(self, health: Mapping[str, int]) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "_system_config": dict(health), "object_store_memory": 80 << 20},
        )
        self.nodes = [self.add() for _ in range(2)]

    def add(self) -> Any:
        """One more machine; on a busy one a start may take longer than Ray waits."""
        for last in (False, False, True):
            try:
                return self.cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
            except Exception:
                if last:
                    raise
        return None

    def lose(self, number: int) -> None:
        """Ends a machine at once, with all its processes."""
        raylet = self.nodes[number].all_processes["raylet"][0].process.pid
        for pid in [raylet, *children_of(raylet)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def mend(self, number: int) -> None:
        """Sweeps a lost machine away; another joins."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)
        self.nodes[number] = self.add()

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self.cluster.address)


def children_of(parent: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


class Ended(NamedTuple):
    """A build that ended by itself."""

    folder: Path
    wall_s: float


class Moment(NamedTuple):
    """When something is killed: after so many seconds, or after so many answers of the teacher."""

    after_s: float
    answers: int | None

    def __str__(self) -> str:
        return f"{self.after_s:5.1f} s" if self.answers is None else f"{self.answers} answers"


def moments(count: int, wall_s: float, answers: int, draw: random.Random) -> list[Moment]:
    """One in each of as many equal parts of the build's time; every second one of the teacher's answers instead."""
    shares = [(at + draw.random()) / count for at in range(count)]
    return [
        Moment(share * wall_s, None if at % 2 == 0 else int(draw.random() * answers)) for at, share in enumerate(shares)
    ]


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


Kill = Callable[[Any], tuple[str, Callable[[], None]]]
"""Kills something; returns what, and how to mend it."""


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


def killed(trials: Trials, whole: str, moment: Moment, kill: Kill, *, rerun: bool) -> str:
    """One kill at a moment; the build goes on, or is run again. Raises where its bytes differ."""
    name = trials.fresh()
    since = time.monotonic()
    process = started(trials.folder, "chaos.yaml", name)
    while process.poll() is None:
        if moment.answers is None and time.monotonic() >= since + moment.after_s:
            break
        if moment.answers is not None and sum(trials.script.answered.values()) >= moment.answers:
            break
        time.sleep(0.01)
    late = process.poll() is not None
    told, mend = kill(process)
    if rerun:
        time.sleep(2 * LATENCY_S)  # until workers have noticed too
    work = trials.folder / f"work-{name}"
    kept = kept_requests(work) if (work / "teacher_cache").is_dir() else set()
    mend()
    if rerun and not late:
        process.communicate()
        since = time.monotonic()
        process = started(trials.folder, "chaos.yaml", name)
    done = ended(process, since, trials.folder / f"{name}.log")
    if digest(done.folder) != whole:
        raise SystemExit(f"trial {name}: {done.folder} differs")
    asked = trials.settle(kept)
    log = (trials.folder / f"{name}.log").read_text()
    for line in log.splitlines():
        if line.startswith("warning") and "lost" in line:
            print(f"    {line}")
    return f"{told}{' (after the build)' if late else ''}: same digest, ended after {done.wall_s:.1f} s; {asked}"


def main() -> int:
    """Runs the trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10, help="machines lost")
    parser.add_argument("--drivers", type=int, default=5, help="kills of the build's own process")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--equal", action="store_true", help="also compare engines and shard sizes")
    parser.add_argument("--slowly", action="store_true", help="lost machines are noticed as late as Ray does by itself")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    draw = random.Random(given.seed)
    script = Script(latency_s=LATENCY_S, answer=Known())
    machines = Machines({} if given.slowly else HEALTH)
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

        def lose_machine(process: Any) -> tuple[str, Callable[[], None]]:
            number = draw.randrange(2)
            machines.lose(number)
            return f"machine {number} lost", lambda: machines.mend(number)

        def kill_driver(process: Any) -> tuple[str, Callable[[], None]]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            return "build killed", lambda: None

        answers = sum(script.answered.values())
        for moment in moments(given.nodes, done.wall_s, answers, draw):
            print(f"{moment}: {killed(trials, whole, moment, lose_machine, rerun=False)}", flush=True)
        for moment in moments(given.drivers, done.wall_s, answers, draw):
            print(f"{moment}: {killed(trials, whole, moment, kill_driver, rerun=True)}", flush=True)
        print(
            f"{given.nodes} machines lost, {given.drivers} builds killed: one digest; {trials.sent:,} requests, "
            f"{trials.again} sent again whose answer was kept, {trials.lost} under way when their sender was lost"
        )
        machines.cluster.shutdown()
    return 1 if trials.again else 0


if __name__ == "__main__":
    sys.exit(main())
