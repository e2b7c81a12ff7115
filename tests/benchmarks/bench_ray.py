"""What Ray costs: starting, a task, a request through a client worker; the same build with both engines.

    python tests/benchmarks/bench_ray.py                    start, tasks, requests
    python tests/benchmarks/bench_ray.py --rows 200000      also a build of so many synthetic rows, local and Ray
    python tests/benchmarks/bench_ray.py --pays 1000 10000 100000       only: from how many mixed rows on Ray pays

Everything on one machine, so Ray has nothing to win here: what it adds is what counts. CPU is this process's alone
unless said otherwise. `--pays` takes two cores for two machines of one core each: a local build on one of them against
Ray on both, its start included. Networks and shared file systems cost nothing here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from bench_teachers import server  # noqa: E402
from make_mixed import make_mixed  # noqa: E402
from make_rows import make_synthetic  # noqa: E402
from measure import run_measured  # noqa: E402
from test_teachers import no_images, question  # noqa: E402

from infimed_data.cluster import Connection, RayEngine, Shared  # noqa: E402
from infimed_data.engine import Engine, EngineSettings, LocalEngine  # noqa: E402
from infimed_data.teachers import RequestCache, Teacher, ask_all, open_teacher  # noqa: E402
from infimed_data.teachers.backends import open_backend  # noqa: E402
from infimed_data.teachers.crew import Crew  # noqa: E402

PROCESSES = 2


@contextlib.contextmanager
def timed(what: str, count: int = 1) -> Iterator[None]:
    """Prints wall-clock and CPU time, for each of `count`."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if count == 1:
        print(f"{what}: {wall:.2f} s, CPU {cpu:.2f} s", flush=True)
    else:
        print(f"{what}: {count:,} in {wall:.2f} s, CPU {cpu / count * 1e3:.2f} ms each", flush=True)


def nothing(task: int) -> int:
    """A shard function that does nothing."""
    return task


def tasks(engine: Engine, name: str, count: int) -> None:
    """Tasks that do nothing, after a few that start the workers."""
    with timed(f"{name}: first task"):
        list(engine.map(nothing, [0], label="starting", heavy=True))
    list(engine.map(nothing, range(100), label="starting", heavy=True))
    with timed(f"{name}: tasks", count):
        list(engine.map(nothing, range(count), label="counting", heavy=True))


async def requests(url: str, folder: Path, count: int, open_: Callable[[RequestCache], Any], name: str) -> None:
    """Asks `count` questions, 50 ms each, 64 in flight."""
    cache = RequestCache(folder)
    teacher = Teacher(model="m", base_url=url)
    async with open_teacher(teacher, cache=cache, images=no_images, open_=open_(cache)) as ask:
        async for _ in ask_all(ask, ((n, question(n), 0) for n in range(200))):  # starts workers and connections
            pass
        with timed(f"{name}: requests", count):
            async for _, found in ask_all(ask, ((n, question(n), 0) for n in range(200, 200 + count))):
                assert found.error is None and not found.cached
    cache.close()


def builds(folder: Path, rows: int) -> None:
    """The same cold build with both engines, whole processes with all that they start."""
    manifest = make_synthetic(folder / "data", rows, seed=7)
    for engine in ({"kind": "local"}, {"kind": "ray", "object_store_memory": 100 << 20}):
        name = str(engine["kind"])
        path = manifest.with_name(f"{name}.yaml")
        path.write_text(json.dumps({"extends": manifest.name, "engine": engine}))
        places = ["--out", str(folder / f"b-{name}"), "--work", str(folder / f"w-{name}"), "-q"]
        command = [sys.executable, "-m", "infimed_data.cli", "build", str(path), "--processes", str(PROCESSES), *places]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        usage = run_measured(command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name}: {rows:,} rows in {usage.wall_s:.1f} s, CPU of all processes that ended with it {cpu:.1f} s")


def pays(folder: Path, sizes: Sequence[int]) -> None:
    """Cold builds of mixed rows on one core, and through Ray on two."""
    for rows in sizes:
        manifest = make_mixed(folder / f"rows-{rows}", rows)
        taken = {}
        for name, engine, cores, processes in (
            ("local", {"kind": "local"}, "0", 1),
            ("ray", {"kind": "ray", "object_store_memory": 100 << 20, "max_tasks": 2}, "0,1", 2),
        ):
            path = manifest.with_name(f"{name}.yaml")
            path.write_text(json.dumps({"extends": manifest.name, "engine": engine}))
            places = ["--out", str(folder / f"b-{name}-{rows}"), "--work", str(folder / f"w-{name}-{rows}"), "-q"]
            command = [sys.executable, "-m", "infimed_data.cli", "build", str(path), "--processes", str(processes)]
            usage = run_measured(["taskset", "-c", cores, *command, *places])
            if usage.returncode:
                raise SystemExit(usage.stderr)
            taken[name] = usage.wall_s
            for kind in "bw":
                shutil.rmtree(folder / f"{kind}-{name}-{rows}")
        print(
            f"{rows:,} rows: one core {taken['local']:.1f} s, Ray on two {taken['ray']:.1f} s, "
            f"{taken['local'] / taken['ray']:.2f} times as fast",
            flush=True,
        )


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--pays", type=int, nargs="+")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-ray-") as place:
        folder = Path(place)
        if given.pays:
            pays(folder, given.pays)
            return 0
        with contextlib.closing(LocalEngine(PROCESSES)) as local:
            tasks(local, "local", given.count)
        settings = EngineSettings(kind="ray", object_store_memory=100 << 20, client_workers=2)
        connection = Connection(settings, lambda: Shared.of([folder], [], {}), processes=PROCESSES, say=print)
        with timed("ray: import and start of a cluster"):
            connection.open()
        tasks(RayEngine(connection), "ray", given.count)
        with server("--latency-ms", "50") as url:
            asyncio.run(requests(url, folder / "own", given.count, lambda cache: open_backend, "this process"))
            crew = partial(Crew, connection=connection)
            asyncio.run(
                requests(url, folder / "crew", given.count, lambda cache: partial(crew, cache=cache), "2 clients")
            )
        with timed("ray: end"):
            connection.close()
        if given.rows:
            builds(folder, given.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
