"""Fixtures: the project's folders, the command, and one finished demo build for the whole session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("INFIMED_SHARED", PROJECT.parent / "shared"))
REAL = SHARED / "real"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def infimed_data(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "infimed_data.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture(scope="session")
def run() -> Run:
    """The command `infimed-data`, run as a process."""
    return infimed_data


@pytest.fixture(scope="session")
def demo_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished demo build."""
    folder = tmp_path_factory.mktemp("demo")
    done = infimed_data(
        "build", PROJECT / "manifests" / "demo.yaml", "--out", folder / "builds", "--work", folder / "work"
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Somebody else's labelled cases for the verifier; tests that need them skip where they are absent."""
    path = SHARED / "verify" / "cases.jsonl"
    if not path.is_file():
        pytest.skip(f"no labelled cases at {path}")
    return path
