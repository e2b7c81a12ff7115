"""Pictures that cannot be read just now: every row is accounted for, nothing is concluded, and a rerun is whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import polars as pl
import pytest
from chaos_build import accounted, failing_reads, failing_refs, write_world
from test_bad_input import files_of

from infimed_data.errors import SourceError
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions
from infimed_data.storage import places
from infimed_data.storage.places import Place

SHARE = 0.06


def built(manifest: Path, folder: Path) -> tuple[Path, list[str]]:
    """The finished build, and what was said."""
    said: list[str] = []
    return build(manifest, BuildOptions(folder / "builds", folder / "work", 1, quiet=True), said.append), said


def test_failing_reads_are_drops_that_a_rerun_takes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PAUSES_S", (0.0, 0.0, 0.0))
    manifest = write_world(tmp_path / "world", pictures=24)
    seed = next(n for n in range(99) if 0 < sum(failing_refs(n, SHARE, f"images/p{i}.png") for i in range(24)) < 4)
    with failing_reads(seed, SHARE) as counted:
        torn, said = built(manifest, tmp_path / "torn")
    assert counted["for good"] > 0
    assert counted["in passing"] > 0
    assert accounted(torn, seed, SHARE) > 0
    warned = next(line for line in said if "could not be read" in line)
    assert warned.startswith("warning: loose/train: ")
    assert "Input/output error: images/p" in warned
    assert "the same command reads them again" in warned
    drops = pl.read_parquet(torn / "drops.parquet").filter(pl.col("rule") == "image_read_failed")
    assert set(drops["stage"]) == {"filter"}
    again, said = built(manifest, tmp_path / "torn")
    assert not [line for line in said if "could not be read" in line]
    whole, _ = built(manifest, tmp_path / "whole")
    assert torn.name != again.name == whole.name
    assert files_of(again) == files_of(whole)


def test_a_benchmark_that_cannot_be_read_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PAUSES_S", (0.0, 0.0))
    manifest = write_world(tmp_path / "world", pictures=20)
    inner = Place._bytes

    def failing(place: Place, ref: str, max_bytes: int) -> bytes:
        if place.root.name == "bench" and ref == "b7.png":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), ref)
        return inner(place, ref, max_bytes)

    with monkeypatch.context() as patch, pytest.raises(SourceError) as caught:
        patch.setattr(Place, "_bytes", failing)
        built(manifest, tmp_path / "torn")
    assert "bench/test: 1 pictures could not be read (Permission denied: b7.png)" in str(caught.value)
    assert not list((tmp_path / "torn").rglob("lock.json"))
    again, _ = built(manifest, tmp_path / "torn")
    assert (again / "lock.json").is_file()
