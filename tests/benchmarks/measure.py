"""Seconds, CPU time and peak memory of a command together with all processes that it starts.

    python tests/benchmarks/measure.py -- infimed-data build manifests/demo.yaml

The command gets a session of its own, and every process of that session counts: forkserver children too, which are no
children of the command. Memory is the largest sum of PSS (shared pages counted once) and of RSS (shared pages counted
in each process) over all of them at one moment, looked at about every 20 ms. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

INTERVAL_S = 0.02
PSS_SHARE = 0.1
"""PSS walks page tables; at most this share of the time goes into it, so that large processes are not slowed."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Usage:
    """What one run of a command took."""

    returncode: int
    """Exit status; negative: ended by that signal."""
    wall_s: float
    """From start to the end of the command's first process."""
    cpu_s: float
    """User and system time of all processes."""
    peak_pss_bytes: int
    anonymous_at_peak_bytes: int
    """The part of the peak PSS that is not a mapped file, whose pages the kernel could take back."""
    peak_rss_bytes: int
    peak_processes: int
    left_behind: int
    """Processes that still ran five seconds after the command's end; they were killed."""
    stdout: str = ""
    stderr: str = ""


class Process(NamedTuple):
    """A process, from `/proc/PID/stat`."""

    pid: int
    state: str
    parent: int
    session: int
    rss_bytes: int
    cpu_s: float
    """User and system time so far, with that of its children that have ended and were waited for."""


def processes_of(session: int, foreign: set[int] | None = None) -> list[Process]:
    """The live and zombie processes of a session. `foreign` remembers processes of other sessions between calls."""
    found = []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  (called 50 times a second)
    if foreign is not None:
        foreign.intersection_update(pids)
        pids = [pid for pid in pids if pid not in foreign]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b") ")[2].split()
        except OSError:
            continue
        cpu_s = sum(map(int, fields[11:15])) / _TICK
        process = Process(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[21]) * _PAGE, cpu_s)
        if process.session == session:
            found.append(process)
        elif foreign is not None:
            foreign.add(pid)
    return found


def pss_bytes(pid: int) -> tuple[int, int]:
    """(proportional set size of a process, its anonymous part); zeros where it has ended."""
    found = {b"Pss:": 0, b"Pss_Anon:": 0}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            for line in file:
                name, *rest = line.split()
                if name in found:
                    found[name] = int(rest[0]) * 1024
    except OSError:
        pass
    return found[b"Pss:"], found[b"Pss_Anon:"]


class _Watch(threading.Thread):
    """Looks at a session's memory until it is stopped."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.peak_pss = self.anonymous = self.peak_rss = self.peak_processes = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        foreign: set[int] = set()
        pss_from = 0.0
        while not self.stopped.wait(INTERVAL_S):
            processes = processes_of(self.session, foreign)
            rss = sum(process.rss_bytes for process in processes)
            self.peak_rss = max(self.peak_rss, rss)
            self.peak_processes = max(self.peak_processes, sum(process.state != "Z" for process in processes))
            start = time.monotonic()
            # PSS is never more than RSS: where RSS is below the PSS seen before, there is no new peak.
            if rss > self.peak_pss and start >= pss_from:
                looks = [pss_bytes(process.pid) for process in processes]
                pss = sum(whole for whole, _ in looks)
                if pss > self.peak_pss:
                    self.peak_pss, self.anonymous = pss, sum(part for _, part in looks)
                now = time.monotonic()
                pss_from = now + (now - start) * (1 / PSS_SHARE - 1)


def adopt_orphans() -> None:
    """Makes processes whose parent ends children of this one, so that their CPU time can be read."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap(session: int, *, wait_s: float = 5.0) -> tuple[float, int]:
    """(CPU seconds of the processes that the command left, how many of them had to be killed)."""
    cpu_s, killed = 0.0, set()
    deadline = time.monotonic() + wait_s
    while processes := processes_of(session):
        for process in processes:
            if process.parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    pid, _, usage = os.wait4(process.pid, os.WNOHANG)
                    cpu_s += (usage.ru_utime + usage.ru_stime) if pid else 0.0
            if time.monotonic() > deadline and process.state != "Z":
                killed.add(process.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)
    return cpu_s, len(killed)


def run_measured(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, capture: bool = True
) -> Usage:
    """Runs `command` to its end and returns what it took. With `capture`, its output is in the result."""
    adopt_orphans()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out if capture else None,
            stderr=err if capture else None,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        watch = _Watch(child.pid)
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            watch.stopped.set()
        wall_s = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
        orphans_cpu_s, left_behind = _reap(child.pid)
        return Usage(
            returncode=child.returncode,
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime + orphans_cpu_s,
            peak_pss_bytes=watch.peak_pss,
            anonymous_at_peak_bytes=watch.anonymous,
            peak_rss_bytes=watch.peak_rss,
            peak_processes=watch.peak_processes,
            left_behind=left_behind,
            stdout=_text(out),
            stderr=_text(err),
        )


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def described(usage: Usage) -> str:
    """One line for people; MB are 10^6 bytes."""
    left = f", {usage.left_behind} left behind" if usage.left_behind else ""
    return (
        f"{usage.wall_s:.2f} s, CPU {usage.cpu_s:.2f} s, peak PSS {usage.peak_pss_bytes / 1e6:,.0f} MB "
        f"({usage.anonymous_at_peak_bytes / 1e6:,.0f} anonymous), "
        f"peak RSS {usage.peak_rss_bytes / 1e6:,.0f} MB, {usage.peak_processes} processes{left}"
    )


def main() -> int:
    """Measures the command line after `--`; the figures go to stderr, the exit status is the command's."""
    parser = argparse.ArgumentParser(description="Time and peak memory of a command with all its processes.")
    parser.add_argument("command", nargs="+")
    usage = run_measured(parser.parse_args().command, capture=False)
    print(described(usage), file=sys.stderr)
    return usage.returncode


if __name__ == "__main__":
    sys.exit(main())
