"""What asking costs: throughput, CPU, memory, the cache's opening and room, and what kill -9 leaves.

    python tests/benchmarks/bench_teachers.py                  all of it, about five minutes
    python tests/benchmarks/bench_teachers.py rate limited     only these

The server is tests/fault_server.py in a process of its own, on this machine; each figure says what ran. CPU is the
client's, by process time. The peers run the same 2,000 requests: `openai` (if it is installed) without any cache, and
httpx2 as this project uses it for TLS; the cache's peer is SQLite in WAL mode with synchronous=FULL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from test_teacher_cache import answer, key  # noqa: E402
from test_teachers import killed_runs, no_images, question  # noqa: E402

from infimed_data.teachers import RequestCache, Teacher, ask_all, open_teacher  # noqa: E402
from infimed_data.teachers.transport import _Httpx  # noqa: E402


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[str]:
    """The address of a fault server in a process of its own."""
    command = [sys.executable, str(TESTS / "fault_server.py"), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def memory_mb() -> float:
    """Resident memory of this process that is its own, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return 0.0


async def asked(url: str, count: int, folder: Path, **more: Any) -> str:
    """Asks `count` questions and says what that took."""
    cache = RequestCache(folder)
    teacher = Teacher(model="m", base_url=url, **more)
    good = 0
    marks: dict[int, float] = {}
    async with open_teacher(teacher, cache=cache, images=no_images) as ask:
        wall, cpu = time.perf_counter(), time.process_time()
        done = 0
        async for _, found in ask_all(ask, ((n, question(n), 0) for n in range(count))):
            good += found.error is None
            done += 1
            if done in (2000, count):
                marks[done] = memory_mb()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    cache.close()
    room = ", ".join(f"{mb:.0f} MB at {n:,}" for n, mb in marks.items())
    return f"{good:,} of {count:,} answered, {count / wall:,.0f}/s, CPU {cpu / count * 1e3:.2f} ms a request, {room}"


def rate(folder: Path) -> None:
    """2,000 requests, 50 ms latency, 64 in flight, cache on."""
    with server("--latency-ms", "50") as url:
        for trial in range(3):
            print("rate    ", asyncio.run(asked(url, 2000, folder / f"rate{trial}")))


def limited(folder: Path) -> None:
    """The same with 20% random 429s that ask for 1 s."""
    with server("--latency-ms", "50", "--faults", '{"429": 0.2}') as url:
        print("limited ", asyncio.run(asked(url, 2000, folder / "limited")))


def memory(folder: Path) -> None:
    """100,000 requests: memory at 2,000 and at the end."""
    with server("--latency-ms", "5") as url:
        print("memory  ", asyncio.run(asked(url, 100_000, folder / "memory", max_in_flight=64)))


def peers(_: Path) -> None:
    """The same 2,000 requests by others, without a cache."""
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": f"Question {n}"}], "max_tokens": 64}
        for n in range(2000)
    ]

    async def run(post: Any) -> str:
        gate = asyncio.Semaphore(64)

        async def one(body: dict[str, Any]) -> None:
            async with gate:
                await post(body)

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(body) for body in bodies))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return f"{2000 / wall:,.0f}/s, CPU {cpu / 2000 * 1e3:.2f} ms a request"

    async def main(url: str) -> None:
        transport = _Httpx(url, None, 64)
        headers = {"Content-Type": "application/json"}
        line = await run(lambda body: transport.post("/chat/completions", json.dumps(body).encode(), headers, 60))
        print("peers    httpx2, no cache:", line)
        await transport.close()
        with contextlib.suppress(ImportError):
            from openai import AsyncOpenAI

            client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)
            line = await run(lambda body: client.chat.completions.create(**body))
            print("peers    AsyncOpenAI, no cache:", line)
            await client.close()

    with server("--latency-ms", "50") as url:
        asyncio.run(main(url))


class SqliteCache:
    """The same promise with SQLite: durable before used, one transaction for all that wait, WAL, synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        self.queue: list[tuple[list[tuple[bytes, bytes]], asyncio.Future[None]]] = []
        self.wake = threading.Condition()
        self.closing = False
        self.path = path
        self.loop = asyncio.get_running_loop()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self) -> None:
        """Commits whatever waits."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS a (key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID")
        while True:
            with self.wake:
                while not self.queue and not self.closing:
                    self.wake.wait()
                waiting, self.queue = self.queue, []
            if not waiting:
                connection.close()
                return
            connection.execute("BEGIN")
            connection.executemany("INSERT OR IGNORE INTO a VALUES (?, ?)", [r for rows, _ in waiting for r in rows])
            connection.execute("COMMIT")
            for _, done in waiting:
                self.loop.call_soon_threadsafe(done.set_result, None)

    async def keep(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Returns when the rows are on disk."""
        done = self.loop.create_future()
        with self.wake:
            self.queue.append((rows, done))
            self.wake.notify()
        await done

    def close(self) -> None:
        """Ends the writer."""
        with self.wake:
            self.closing = True
            self.wake.notify()
        self.thread.join()


def stores(folder: Path) -> None:
    """Keeping 20,000 answers of 300 words, 64 waiting at a time: segments against SQLite."""
    import zlib

    rows = [(key(n), answer(n, words=300)) for n in range(20_000)]

    async def main(keep: Any) -> tuple[float, float]:
        upcoming = iter(rows)
        wall, cpu = time.perf_counter(), time.process_time()

        async def worker() -> None:
            for row in upcoming:
                await keep([row])

        await asyncio.gather(*(worker() for _ in range(64)))
        return time.perf_counter() - wall, time.process_time() - cpu

    async def ours() -> str:
        cache = RequestCache(folder / "ours")
        wall, cpu = await main(cache.keep)
        cache.close()
        size = sum(path.stat().st_size for path in (folder / "ours").iterdir())
        return _stored(wall, cpu, size, len(rows))

    async def sqlite(path: Path, packed: bool) -> str:
        cache = SqliteCache(path)

        def encoded(found: Any) -> bytes:
            return zlib.compress(found.encoded()) if packed else found.encoded()

        wall, cpu = await main(lambda found: cache.keep([(k, encoded(a)) for k, a in found]))
        cache.close()
        return _stored(wall, cpu, sum(p.stat().st_size for p in path.parent.glob(path.name + "*")), len(rows))

    print("stores   segments:", asyncio.run(ours()))
    print("stores   SQLite WAL, zlib a record:", asyncio.run(sqlite(folder / "z.db", True)))
    print("stores   SQLite WAL, plain:", asyncio.run(sqlite(folder / "p.db", False)))


def _stored(wall: float, cpu: float, size: int, count: int) -> str:
    return f"{count / wall:,.0f} records/s, CPU {cpu / count * 1e6:.0f} us and {size / count:,.0f} bytes a record"


def million(folder: Path) -> None:
    """Opening 1,000,000 records in 1,250 group commits, and looking some up."""
    place = folder / "million"
    cache = RequestCache(place)
    for start in range(0, 1_000_000, 8000):
        batch = [(random.Random(n).randbytes(16), answer(n % 1000)) for n in range(start, start + 8000)]
        for at in range(0, 8000, 800):
            cache.keep_now(batch[at : at + 800])
    cache.close()
    code = (
        "import sys, time; from pathlib import Path; from infimed_data.teachers import RequestCache;"
        "rss = lambda: [int(l.split()[1]) / 1000 for l in open('/proc/self/status') if l.startswith('RssAnon')][0];"
        "before = rss(); cpu = time.process_time(); start = time.perf_counter();"
        "cache = RequestCache(Path(sys.argv[1]));"
        "wall, cpu = time.perf_counter() - start, time.process_time() - cpu;"
        "print(f'{len(cache):,} records opened in {wall:.2f} s, CPU {cpu:.2f} s, {rss() - before:.0f} MB');"
        "import random; keys = [random.Random(n).randbytes(16) for n in range(0, 1000000, 100)];"
        "cpu = time.process_time(); found = [cache.get(k) for k in keys]; assert None not in found;"
        "print(f'a hit {(time.process_time() - cpu) / len(keys) * 1e6:.0f} us');"
        "cpu = time.process_time(); [cache.get(k[::-1]) for k in keys];"
        "print(f'a miss {(time.process_time() - cpu) / len(keys) * 1e6:.1f} us')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    size = sum(path.stat().st_size for path in place.iterdir())
    print("million ", "; ".join(done.stdout.split("\n")), f"{size / 1e6:.0f} MB on disk")


def kills(folder: Path) -> None:
    """kill -9 at 20 random moments of runs of 2,000 requests; what must hold is asserted."""
    (folder / "kills").mkdir()
    print("kills   ", killed_runs(folder / "kills", count=2000, kills=20, latency_s=0.05, seed=random.randrange(10**6)))


PARTS = {part.__name__: part for part in (rate, limited, peers, stores, million, memory, kills)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    chosen = parser.parse_args().parts or list(PARTS)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    place = Path(tempfile.mkdtemp(prefix="bench-teachers-"))
    try:
        for part in chosen:
            PARTS[part](place)
    finally:
        shutil.rmtree(place)
