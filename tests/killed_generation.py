"""Builds that ask a teacher, killed at random moments and run again. What must hold is asserted.

Used by tests/test_generate.py (three moments) and tests/benchmarks/kill_generate.py (twenty).
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from fault_server import Script, serving
from known_answers import Known, manifest_of, write_choices, write_manifest

from infimed_data.teachers import RequestCache

_VARYING = ("latency_s", "choices")
"""How fast an answer came, and with how many others."""


def plain_candidates(build: Path) -> pl.DataFrame:
    """The candidates of a build without what may differ from run to run."""
    frame = pl.read_parquet(build / "candidates.parquet").drop("latency_s")
    steps = frame["steps"].to_list()
    plain = [[{name: value for name, value in step.items() if name not in _VARYING} for step in row] for row in steps]
    return frame.drop("steps").with_columns(steps=pl.Series([json.dumps(row) for row in plain], dtype=pl.String))


def kept_requests(work: Path) -> set[str]:
    """Keys (the server's) of the requests whose answers are on disk."""
    cache = RequestCache(work / "teacher_cache")
    try:
        found = (re.search(r"This is request (\w+) number", answer.text) for _, answer in cache.records())
        return {match[1] for match in found if match is not None}
    finally:
        cache.close()


def killed_generation(folder: Path, *, rows: int, kills: int, latency_s: float, seed: int) -> dict[str, int]:
    """Kills builds of `rows` rows and two requests a row, then lets one end; returns what was seen."""
    draw = random.Random(seed)
    write_choices(folder / "choices", range(rows))
    with serving(Script(latency_s=latency_s, answer=Known())) as url:
        whole = _built(folder, url, "whole")
    script = Script(latency_s=latency_s, answer=Known())
    at_work = 0
    with serving(script) as url:
        expected = 2 * rows * latency_s / 64
        for trial in range(kills + 1):
            known, before = kept_requests(folder / "work"), dict(script.asked)
            process = _started(folder, url, "work")
            if trial < kills:
                deadline = time.monotonic() + 120
                while script.asked == before and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.005)  # until it asks
                time.sleep(draw.uniform(0, expected * 1.5 / (kills + 1)))
                at_work += process.poll() is None
                process.kill()
                process.communicate()
            else:
                out, errors = process.communicate()
                assert process.returncode == 0, errors
            time.sleep(2 * latency_s)
            again = [key for key in known if script.asked[key] != before.get(key, 0)]
            assert not again, f"{len(again)} requests that were answered and kept were sent again"
    final = Path(out.splitlines()[-1])
    assert plain_candidates(final).equals(plain_candidates(whole)), "the candidates differ from an undisturbed run's"
    assert final.name == whole.name and json.loads((final / "lock.json").read_text())["build"] == whole.name
    needed = len(kept_requests(folder / "whole"))
    return {
        "killed_at_work": at_work,
        "requests": needed,
        "sent": sum(script.asked.values()),
        "sent_twice_unanswered": sum(script.asked.values()) - needed,
    }


def _started(folder: Path, url: str, work: str) -> subprocess.Popen[str]:
    attempts = {"start": 2, "more": 1, "accept": 2, "limit": 2}  # two prompts a row, no request like another
    content = manifest_of(folder, url, dedup={"exact": False, "near": False})
    content["generate"]["think"] |= {"attempts": attempts}
    path = write_manifest(folder, content, f"{work}.yaml")
    command = [sys.executable, "-W", "error", "-m", "infimed_data.cli", "build", str(path), "-q", "--processes", "1"]
    places = ["--out", str(folder / f"builds-{work}"), "--work", str(folder / work)]
    return subprocess.Popen([*command, *places], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _built(folder: Path, url: str, work: str) -> Path:
    process = _started(folder, url, work)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return Path(out.splitlines()[-1])
