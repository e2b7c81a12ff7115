"""A plan says what the build then does: what stands, what runs, what it takes, and what it costs."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Run

from infimed_data import forecast
from infimed_data.errors import InfimedError
from infimed_data.forecast.building import build as measured_build
from infimed_data.forecast.memory import memory_of_tree
from infimed_data.forecast.meter import Meter
from infimed_data.forecast.planning import as_plain, as_text, make_plan
from infimed_data.forecast.rates import Rates
from infimed_data.forecast.rates import Run as Rated
from infimed_data.forecast.stages import kind_of
from infimed_data.plan import BuildOptions
from infimed_data.storage.stages import Stage

SAMPLES = PROJECT / "sample_data"
MANIFEST = """
name: texts
root: SAMPLES
sources:
  medqa: {adapter: medqa, location: medqa, category: medical_text, license: CC-BY-4.0}
  medmcqa: {adapter: medmcqa, location: medmcqa, category: medical_text, license: Apache-2.0}
  pubmedqa: {adapter: pubmedqa, location: pubmedqa, category: medical_text, license: MIT}
benchmarks:
  exam: {adapter: medqa, location: medqa, split: test}
outputs: {sft: {}}
"""


@dataclass(frozen=True)
class Desk:
    """A manifest, and where it is planned and built."""

    folder: Path

    def manifest(self, more: str = "", *, without: str = "") -> Path:
        lines = [line for line in MANIFEST.splitlines() if not without or not line.strip().startswith(without)]
        path = self.folder / "texts.yaml"
        path.write_text("\n".join(lines).replace("SAMPLES", str(SAMPLES)) + "\n" + more, "utf-8")
        return path

    @property
    def options(self) -> BuildOptions:
        return BuildOptions(self.folder / "builds", self.folder / "work", 1, None, True)

    def plan(self, more: str = "", **options: Any) -> dict[str, Any]:
        return as_plain(make_plan(self.manifest(more, **options), self.options))

    def build(self, more: str = "", **options: Any) -> tuple[dict[str, Any], list[str]]:
        """(the log of the run, what was said)."""
        before = {*(self.folder / "work" / "runs").glob("*.json")}
        said: list[str] = []
        measured_build(self.manifest(more, **options), self.options, said.append, clock=time.process_time)
        logs = {*(self.folder / "work" / "runs").glob("*.json")} - before
        return (json.loads(logs.pop().read_text()) if logs else {}), said


def states(plan: dict[str, Any], state: str) -> set[tuple[str, str]]:
    return {(stage["kind"], stage["name"]) for stage in plan["stages"] if stage["state"] == state}


def ran(log: dict[str, Any]) -> set[tuple[str, str]]:
    return {(stage["kind"], stage["name"]) for stage in log["ran"]}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk where the manifest was planned, then built."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.folder.joinpath("first.json").write_text(json.dumps(desk.plan()))
    log, said = desk.build()
    desk.folder.joinpath("log.json").write_text(json.dumps(log))
    desk.folder.joinpath("said.txt").write_text("\n".join(said))
    return desk


def test_a_first_plan_counts_rows_says_that_it_guesses_and_does_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    planned = make_plan(desk.manifest(), desk.options)
    plain = as_plain(planned)
    assert not states(plain, "cached") and not states(plain, "maybe")
    assert all(stage["runs"] == 0 for stage in plain["stages"])
    sizes = {stage["name"]: stage["size"] for stage in plain["stages"] if stage["kind"] == "ingest"}
    assert sizes["medqa-train"] == 18 and sizes["exam-test"] > 0
    text = as_text(planned)
    assert "guessed: no build with this work folder was measured" in text and " s with 1 processes" in text
    assert plain["seconds"] > 0 and plain["peak_bytes"] > 1e8 and plain["disk_bytes"] > 0
    assert not (tmp_path / "builds").exists() and not (tmp_path / "work" / "stages").exists()


def test_the_first_plan_names_what_the_build_then_runs(desk: Desk) -> None:
    first, log = (json.loads((desk.folder / name).read_text()) for name in ("first.json", "log.json"))
    assert states(first, "runs") == ran(log) and log["wrong"] == []
    assert not states(first, "maybe") | states(first, "cached")


def test_after_a_build_everything_stands(desk: Desk) -> None:
    plan = desk.plan()
    assert not states(plan, "runs") and not states(plan, "maybe")
    assert plan["finished"] and Path(plan["finished"], "lock.json").exists() and plan["seconds"] == 0
    log, said = desk.build()
    assert not log and said[-1].endswith("nothing changed")  # nothing ran: nothing to compare


@pytest.mark.parametrize(
    ("more", "without", "running"),
    [
        ("seed: 5", "", {"write"}),
        ("dedup: {text: 0.7}", "", {"near", "write"}),
        ("filters: {max_question_chars: 60}", "", {"near", "write"}),
        ("phi: report", "", {"phi-texts", "phi-images", "write"}),
        ("", "medmcqa", {"near", "write", "pictures"}),
    ],
)
def test_what_is_said_to_stand_is_exactly_what_is_not_done_again(
    desk: Desk, more: str, without: str, running: set[str]
) -> None:
    plan = desk.plan(more, without=without)
    log, _ = desk.build(more, without=without)
    done = ran(log)
    assert not states(plan, "cached") & done, "said to stand, and done again"
    assert states(plan, "runs") <= done, "said to run, and did not"
    assert done - states(plan, "runs") <= states(plan, "maybe") and log["wrong"] == []
    assert {kind for kind, _ in done} >= {"write"} and {kind for kind, _ in done} <= running


def test_a_plan_is_within_a_factor_of_what_is_taken(desk: Desk, tmp_path: Path) -> None:
    again = Desk(tmp_path)
    (tmp_path / "work").mkdir()
    shutil.copy(desk.folder / "work" / "rates.json", tmp_path / "work")
    plan = again.plan()
    assert all(stage["runs"] > 0 for stage in plan["stages"])
    log, _ = again.build()
    assert plan["seconds"] / 3 < log["seconds"] < plan["seconds"] * 3
    assert plan["peak_bytes"] / 3 < log["peak_bytes"] < plan["peak_bytes"] * 3


def test_a_build_says_what_was_planned_and_taken_and_nothing_of_it_is_in_the_build(desk: Desk, tmp_path: Path) -> None:
    said = (desk.folder / "said.txt").read_text()
    assert "time planned" in said and "\nall " in said
    log = json.loads((desk.folder / "log.json").read_text())
    assert log["seconds"] > 0 and {"planned", "ran", "wrong", "peak_bytes"} <= set(log)
    other = Desk(tmp_path)
    other.build()
    first, second = (next((d.folder / "builds" / "texts").glob("*/lock.json")) for d in (desk, other))
    names = {path.parent.name for path in (desk.folder / "builds" / "texts").glob("*/lock.json")}
    assert second.parent.name in names and first.parent.parent.name == "texts"
    same = desk.folder / "builds" / "texts" / second.parent.name / "lock.json"
    assert same.read_bytes() == second.read_bytes()


def test_the_command_prints_a_table_or_json(desk: Desk, run: Run) -> None:
    places = ("--out", desk.folder / "builds", "--work", desk.folder / "work")
    assert "nothing to do: " in as_text(make_plan(desk.manifest(), desk.options))
    done = run("plan", desk.manifest("seed: 9"), *places, "--format", "json")
    plan = json.loads(done.stdout)
    assert states(plan, "runs") == {("write", "texts")} and plan["disk_free_bytes"] > 0
    done = run("plan", desk.folder / "none.yaml")
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_too_little_disk_or_memory_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    planned = make_plan(desk.manifest(), desk.options)
    assert "TOO LITTLE" not in as_text(planned)
    assert "TOO LITTLE" in as_text(replace(planned, disk_free=10))
    assert "memory_limit" not in as_text(planned)
    assert "of memory_limit 64 GB\n" in as_text(replace(planned, memory_limit=64 * 10**9))
    assert "of memory_limit 10 MB: MORE THAN THAT" in as_text(replace(planned, memory_limit=10**7))


def test_a_source_that_fails_fails_the_plan_in_the_same_words(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    path = desk.manifest()
    path.write_text(path.read_text().replace("location: medqa,", "location: medqq,"))
    with pytest.raises(InfimedError) as planning:
        make_plan(path, desk.options)
    with pytest.raises(InfimedError) as building:
        measured_build(path, desk.options, lambda line: None)
    assert str(planning.value) == str(building.value)


# Rates


def rated(size: int, seconds: float, *, name: str = "a", peak: int = 100, processes: int = 1) -> Rated:
    return Rated(name, size, seconds, peak, size * 10, processes)


def test_rates_are_those_of_the_same_source_then_of_the_kind() -> None:
    rates = Rates({"texts": [rated(100, 0.1), rated(100, 0.5, name="b"), rated(100, 0.1)]})
    assert rates.expected("texts", "b", 200, 1).seconds == pytest.approx(1.0)
    assert rates.expected("texts", "a", 200, 1).seconds == pytest.approx(0.2)
    found = rates.expected("texts", "new", 1000, 1)
    assert found.seconds == pytest.approx(1.0) and found.runs == 3 and found.disk_bytes == 10_000
    assert rates.expected("ingest", "a", 1000, 1).runs == 0  # shipped


def test_sizes_far_apart_show_what_does_not_depend_on_size() -> None:
    rates = Rates({"near": [rated(n, 2 + n / 1000) for n in (100, 1000, 10_000)]})
    assert rates.expected("near", "a", 100_000, 1).seconds == pytest.approx(102, rel=0.02)
    falling = Rates({"near": [rated(100, 5.0), rated(10_000, 1.0)]})
    assert falling.expected("near", "a", 1_000_000, 1).seconds >= 0


def test_more_processes_share_long_work_and_memory_grows_where_all_is_held_at_once() -> None:
    rates = Rates({kind: [rated(1000, 8.0, processes=2)] for kind in ("texts", "near")})
    assert rates.expected("texts", "a", 1000, 4).seconds == pytest.approx(4.0)
    assert rates.expected("near", "a", 4000, 2).peak_bytes == 400
    assert rates.expected("texts", "a", 4000, 2).peak_bytes == 100


def test_rates_are_kept_beside_those_of_others_and_damage_is_no_fault(tmp_path: Path) -> None:
    for number in range(40):
        Rates({"texts": [rated(number + 1, 1.0)]}).save(tmp_path)
    Rates({"texts": [rated(7, 1.0, name="rare")]}).save(tmp_path)
    kept = Rates.read(tmp_path).runs["texts"]
    assert kept[-1].name == "rare" and kept[-2].size == 40 and len(kept) <= 25
    for damage in (b"{", b"[]", b'{"format": 9, "runs": {}}', b'{"format": 1, "runs": {"texts": [{"a": 1}]}}'):
        (tmp_path / "rates.json").write_bytes(damage)
        assert Rates.read(tmp_path).runs == {}


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_stages_at_the_same_time_share_it_and_one_that_goes_on_says_nothing(tmp_path: Path) -> None:
    clock = Clock()
    meter = Meter(clock)
    first, second, cut, known = (Stage(tmp_path, "index", name, "k") for name in ("a", "b", "c", "d"))
    cut.folder.mkdir(parents=True)
    cut.part(0).write_bytes(b"")
    known.folder.mkdir(parents=True)
    known.finish({"rows": 1})
    with meter.running():
        clock.now = 1
        with first.running(), second.running():
            clock.now = 3
            first.finish({"rows": 5})
            clock.now = 4
            second.finish({"rows": 7})
        with cut.running():
            clock.now = 6
            cut.finish({"rows": 2})
        with known.running():
            clock.now = 7
    measured = {one.name: one for one in meter.ran}
    assert {name: one.own for name, one in measured.items()} == {"a": 1.0, "b": 2.0, "c": 2.0}
    assert [measured[name].resumed for name in "abc"] == [False, False, True] and measured["b"].size == 7
    assert meter.rest == 2.0 and measured["a"].disk_bytes > 0


def test_small_things() -> None:
    assert memory_of_tree() > 10_000_000
    assert kind_of("images-0123abcd") == "images" and kind_of("phi-texts") == "phi-texts"
    assert forecast.make_plan is make_plan
