"""What the whole stage costs: 2,000 rows about a server with 50 ms of latency, 64 in flight, cache and shards on disk.

    python tests/benchmarks/bench_generate.py                 about half a minute
    python tests/benchmarks/bench_generate.py --rows 20000

The server is tests/fault_server.py's, in a process of its own; every answer is right. The stage is timed in this
process, to the finished shards: prompts, requests, the cache's fdatasync, verdicts, gates, tables. CPU is this
process's. The second line is the same stage with every answer remembered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fault_server import Script, start  # noqa: E402
from known_answers import Known, manifest_of, write_choices, write_manifest  # noqa: E402

from infimed_data.engine import LocalEngine, leave_pandas_out  # noqa: E402
from infimed_data.generate import run_jobs  # noqa: E402
from infimed_data.plan import BuildOptions, load_plan  # noqa: E402
from infimed_data.preparing import jobs_of, prepare, read_all  # noqa: E402


@contextlib.contextmanager
def server(latency_ms: float) -> Iterator[str]:
    """The address of a server that is always right, in a process of its own."""
    command = [sys.executable, __file__, "--serve", str(latency_ms)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


async def serve(latency_ms: float) -> None:
    """Serves until the standard input ends."""
    listening, port = await start(Script(latency_s=latency_ms / 1000, answer=Known({"right": 1})))
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    async with listening:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def measured(folder: Path, url: str, rows: int) -> None:
    """Runs the stage twice: everything asked, then everything remembered."""
    content = manifest_of(folder, url, dedup={"exact": False, "near": False})
    content["generate"]["think"] |= {"attempts": {"start": 1, "more": 1, "accept": 1, "limit": 1}}
    options = BuildOptions(folder / "b", folder / "w", 1, None, True)
    plan = load_plan(write_manifest(folder, content), options)
    engine = LocalEngine(1)
    sources = read_all(plan, options, engine, lambda line: None)
    prepared = prepare(plan, sources, options, engine, lambda line: None)
    for title in ("asked", "remembered"):
        jobs, setting = jobs_of(plan, sources, prepared, options)
        shutil.rmtree(jobs[0].stage.folder, ignore_errors=True)
        wall, cpu = time.perf_counter(), time.process_time()
        (result,) = run_jobs(jobs, setting, lambda line: None)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert result.account["accepted"] == rows, result.account
        print(
            f"{title:<11}{rows:,} rows in {wall:.2f} s: {rows / wall:,.0f}/s, CPU {cpu / rows * 1e3:.2f} ms a request"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        sys.exit()
    leave_pandas_out()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="bench-generate-") as place, server(given.latency_ms) as address:
        write_choices(Path(place) / "choices", range(given.rows))
        measured(Path(place), address, given.rows)
