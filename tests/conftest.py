"""Fixtures: the project's folders, the command, and one finished demo build for the whole session."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tiny_qwen import tiny_qwen

from infimed_train.vision_imports import make_torchvision_importable

if TYPE_CHECKING:
    from traced_build import Asked

PROJECT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("INFIMED_SHARED", PROJECT.parent / "shared"))
REAL = SHARED / "real"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def infimed_data(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, with these environment variables set."""
    command = [sys.executable, "-W", "error", "-m", "infimed_data.cli", *map(str, arguments)]
    env = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300, check=False)


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
def asked(demo_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The demo build with teachers' traces, and what came of asking them."""
    from traced_build import write_traced_build

    return write_traced_build(demo_build, tmp_path_factory.mktemp("traced") / "demo" / demo_build.name)


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


NOT_TRAINING = [name for name in ("torch", "torchvision", "trl") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Skips where the trainer's libraries are missing; no hub and one thread where they are there."""
    if NOT_TRAINING:
        pytest.skip(f"not installed: {', '.join(NOT_TRAINING)} (they come with the extra `train`)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        make_torchvision_importable()
        import datasets
        import torch

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets_cache"))
        datasets.disable_progress_bars()
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def tiny_model(training: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen2.5-VL of 38K parameters; read only."""
    return tiny_qwen(tmp_path_factory.mktemp("tiny_qwen"))


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(yaml)`: a configuration file."""

    def write_config(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, "utf-8")
        return path

    return write_config


def place_of_rows(build: Path) -> dict[tuple[str, str], str]:
    """uid by (source, where: key or `FILE row N`)."""
    found = {}
    for row in pl.read_parquet(build / "origins.parquet").to_dicts():
        source, _, key = row["uid"].split("/", 2)
        found[source, f"{Path(row['file']).name} row {row['row_number']}"] = row["uid"]
        found[source, key] = row["uid"]
    return found


def planted_uid(plant: dict[str, str], places: dict[tuple[str, str], str]) -> str | None:
    """uid of the row where `sample_data/planted.json` says that something is, or None if the build has no such row."""
    source, _, rest = plant["where"].partition("/")
    if source == "chat":
        source = Path(rest.split()[0]).stem
    numbered = re.match(r"(\S+) row (\d+)", rest)
    named = re.search(r"(?:qid|id) (\S+)$", rest)
    place = named[1] if named else f"{Path(numbered[1]).name} row {numbered[2]}" if numbered else rest
    return places.get((source, place))
