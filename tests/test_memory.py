"""A memory limit cuts work finer and changes no byte of a build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_rows import make_synthetic

from infimed_data.errors import ManifestError
from infimed_data.memory import LEAST_BYTES, Memory, bytes_of
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions


def unheard(line: str) -> None:
    pass


@pytest.mark.parametrize(
    ("text", "size"), [("4 GB", 4 * 10**9), ("800MB", 8 * 10**8), (" 1.5 tb ", 15 * 10**11), ("7 B", 7)]
)
def test_sizes_are_read_with_their_unit(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["4", "4 GiB", "-1 GB", "GB", "", "4 GB 2"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="such as 4 GB"):
        bytes_of(text)


def test_less_memory_is_fewer_processes_and_smaller_tasks() -> None:
    limits = [Memory(size) for size in (LEAST_BYTES, 10**9, 2 * 10**9, 8 * 10**9)]
    processes = [limit.processes(8) for limit in limits]
    assert processes == sorted(processes)
    assert processes[0] < processes[-1] == 8
    tasks = [limit.task_bytes(2) for limit in limits]
    assert tasks == sorted(tasks)
    assert tasks[0] < tasks[-1]
    free = Memory()
    assert free.processes(64) == 64
    assert free.task_bytes(64) == tasks[-1]
    assert Memory(LEAST_BYTES).processes(1) == 1


def manifest(folder: Path, name: str, limit: object) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"extends": "synthetic.yaml", "memory_limit": limit}))
    return path


def test_a_limit_changes_no_byte_of_a_build(tmp_path: Path) -> None:
    whole = build(make_synthetic(tmp_path, 600, seed=3), BuildOptions(tmp_path / "out", tmp_path / "work", 1), unheard)
    said: list[str] = []
    limited = manifest(tmp_path, "limited", "512 MB")
    assert build(limited, BuildOptions(tmp_path / "out", tmp_path / "work", 1), said.append) == whole
    assert said[-1].endswith("nothing changed")  # neither the build's name nor a stage's key covers it
    other = build(limited, BuildOptions(tmp_path / "other", tmp_path / "other-work", 1), unheard)
    assert other.name == whole.name
    for path in sorted(file for file in whole.rglob("*") if file.is_file()):
        assert path.read_bytes() == (other / path.relative_to(whole)).read_bytes(), path.name


@pytest.mark.parametrize(
    ("limit", "said"), [("4 apples", "such as 4 GB"), ("100 MB", "512000000"), (True, "a whole number")]
)
def test_a_limit_that_is_none_is_refused(tmp_path: Path, limit: object, said: str) -> None:
    make_synthetic(tmp_path, 10, seed=3)
    options = BuildOptions(tmp_path / "out", tmp_path / "work", 1)
    with pytest.raises(ManifestError, match=f"memory_limit.*{said}"):
        build(manifest(tmp_path, "limited", limit), options, unheard)
