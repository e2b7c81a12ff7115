"""Killed, interrupted and repeated builds: the same bytes whatever happened before, and only what changed is redone."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

PROJECT = Path(__file__).resolve().parents[1]
SAMPLES = PROJECT / "sample_data"
REAL = PROJECT.parent / "shared" / "real" / "vqa_rad"

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Popen = subprocess.Popen[str]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file of a build."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leftovers(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if ".tmp-" in path.name or ".partial" in path.name]


def arguments(manifest: Path, folder: Path, processes: int = 2) -> list[str]:
    return ["build", str(manifest), "--out", f"{folder}/out", "--work", f"{folder}/work", "--processes", f"{processes}"]


def start(*command: str) -> Popen:
    """The command in a session of its own, so that its whole group can be killed and its orphans found."""
    line = [sys.executable, "-m", "infimed_data.cli", *command]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def session_members(session: int) -> list[int]:
    """Live processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX" and int(fields[3]) == session:
            found.append(int(stat.parent.name))
    return found


def all_gone(session: int, seconds: float = 8) -> bool:
    """Whether every process of a session ends within `seconds`."""
    until = time.monotonic() + seconds
    while session_members(session):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def finished(done: "subprocess.CompletedProcess[str]") -> Path:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def write_manifest(path: Path, sources: dict[str, dict[str, Any]], **more: Any) -> Path:
    content = {"name": "t", "seed": 3, "sources": sources, "outputs": {"sft": {"validation": 0.1}}, **more}
    path.write_text(json.dumps(content, indent=1))
    return path


def vqa_rad(folder: Path) -> Path:
    """VQA-RAD's train rows: a part of the real ones, or invented ones with pictures of noise."""
    (folder / "images").mkdir(parents=True)
    if REAL.is_dir():
        real = json.loads((REAL / "trainset.json").read_text("utf-8"))
        chosen = sorted({row["image_name"] for row in real})[:70]
        for name in chosen:
            shutil.copy(REAL / "images" / name, folder / "images")
        (folder / "trainset.json").write_text(json.dumps([row for row in real if row["image_name"] in chosen]))
        return folder
    names = [f"synpic{i}.jpg" for i in range(70)]
    for seed, name in enumerate(names):
        noise = random.Random(seed).randbytes(128 * 128 * 3)
        out = io.BytesIO()
        Image.frombytes("RGB", (128, 128), noise).resize((768, 768)).save(out, "JPEG")
        (folder / "images" / name).write_bytes(out.getvalue())
    rows = [
        {"qid": i, "image_name": names[i % 70], "question": f"Is finding {i} present?", "answer": "yes"}
        for i in range(700)
    ]
    (folder / "trainset.json").write_text(json.dumps(rows))
    return folder


class Undisturbed:
    """A build that nothing happened to: its manifest, bytes and time."""

    def __init__(self, folder: Path, run: Run) -> None:
        source = {"adapter": "vqa_rad", "location": str(vqa_rad(folder / "source")), "category": "medical_vqa"}
        text = {"adapter": "medmcqa", "location": str(SAMPLES / "medmcqa"), "category": "medical_text"}
        outputs = {"sft": {"validation": 0.1}, "rl": {}}
        self.manifest = write_manifest(folder / "m.yaml", {"rad": source, "exam": text}, outputs=outputs)
        began = time.monotonic()
        self.build = finished(run(*arguments(self.manifest, folder)))
        self.seconds = time.monotonic() - began
        self.hashes = hashes(self.build)
        self.folder = folder


@pytest.fixture(scope="module")
def undisturbed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"), run)


def same_after_rerun(undisturbed: Undisturbed, folder: Path, run: Run) -> None:
    again = finished(run(*arguments(undisturbed.manifest, folder)))
    assert again.name == undisturbed.build.name
    assert hashes(again) == undisturbed.hashes
    assert not leftovers(folder / "out", folder / "work")
    assert not list((folder / "work").glob("spill/*"))


@pytest.mark.parametrize("share", [random.Random(20).uniform(0.1 + 0.14 * i, 0.24 + 0.14 * i) for i in range(6)])
def test_killed_at_any_moment(undisturbed: Undisturbed, run: Run, tmp_path: Path, share: float) -> None:
    process = start(*arguments(undisturbed.manifest, tmp_path))
    time.sleep(share * undisturbed.seconds)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        process.communicate()
    assert all_gone(process.pid)
    for build in (tmp_path / "out" / "t").glob("[0-9a-f]*"):  # what has a build's name is whole
        assert hashes(build) == undisturbed.hashes
    same_after_rerun(undisturbed, tmp_path, run)


def wait_for(process: Popen, word: str) -> list[str]:
    """Reads stderr up to the line that starts with `word`."""
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(word):
            return lines
    raise AssertionError(f"no line {word!r}: {''.join(lines)}")


def test_workers_end_with_their_parent(undisturbed: Undisturbed, run: Run, tmp_path: Path) -> None:
    process = start(*arguments(undisturbed.manifest, tmp_path))
    wait_for(process, "texts   rad")  # images are next, in workers
    until = time.monotonic() + 5
    while len(session_members(process.pid)) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(session_members(process.pid)) > 1
    process.kill()
    process.communicate()
    assert all_gone(process.pid)
    same_after_rerun(undisturbed, tmp_path, run)


@pytest.mark.parametrize(("word", "more"), [("ingest  rad", 0.0), ("images  rad", 0.0), ("decide", 0.0)])
def test_ctrl_c(undisturbed: Undisturbed, run: Run, tmp_path: Path, word: str, more: float) -> None:
    process = start(*arguments(undisturbed.manifest, tmp_path))
    wait_for(process, word)
    time.sleep(more)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    last = err.splitlines()
    assert last[-1] == "stopped; the same command continues"
    assert "Traceback" not in err
    assert not [
        line for line in last[:-1] if not line.startswith(("ingest", "texts", "images", "filter", "decide", "warning"))
    ]
    assert not out
    assert all_gone(process.pid)
    builds = tmp_path / "out" / "t"
    assert not [p.name for p in builds.glob("*") if p.is_dir()] if builds.exists() else True
    same_after_rerun(undisturbed, tmp_path, run)


def test_one_process_or_two(undisturbed: Undisturbed, run: Run, tmp_path: Path) -> None:
    build = finished(run(*arguments(undisturbed.manifest, tmp_path, processes=1)))
    assert build.name == undisturbed.build.name
    assert hashes(build) == undisturbed.hashes


def test_an_unchanged_rebuild_does_nothing(undisturbed: Undisturbed, run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.folder.rglob("*") if path.is_file()}
    done = run(*arguments(undisturbed.manifest, undisturbed.folder))
    assert finished(done) == undisturbed.build
    said = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert said[-1] == "build   t: nothing changed"
    assert all(line.endswith(", cached") for line in said[:-1])
    after = {path: path.stat().st_mtime_ns for path in undisturbed.folder.rglob("*") if path.is_file()}
    # What content was read is remembered once files are two seconds old.
    changed = {path.name for path in {*before, *after} if before.get(path) != after.get(path)}
    assert changed <= {"fingerprints.json", ".fingerprints.lock"}


# Order of rows


def shuffle_rows(path: Path, seed: int) -> None:
    """Shuffles the rows of a JSON array, a JSON object of rows, or JSON lines."""
    text = path.read_text("utf-8")
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        lines = text.splitlines()
        random.Random(seed).shuffle(lines)
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return
    rows = list(document.items()) if isinstance(document, dict) else document
    random.Random(seed).shuffle(rows)
    path.write_text(json.dumps(dict(rows) if isinstance(document, dict) else rows, ensure_ascii=False), "utf-8")


def shuffled_demo(folder: Path, seed: int) -> Path:
    """The sample data, with the rows of every JSON file in another order."""
    root = folder / "sample_data"
    shutil.copytree(SAMPLES, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for path in [*root.rglob("*.json"), *root.rglob("*.jsonl")]:
        if path.name != "planted.json":
            shuffle_rows(path, seed)
    return root


def assert_same_tables(first: Path, second: Path) -> None:
    ours, others = hashes(first), hashes(second)
    may_differ = {"origins.parquet", "lock.json", "README.md"}
    assert {*ours} == {*others}
    differ = sorted(name for name in {*ours} - may_differ if ours[name] != others[name])
    for name in differ:  # says which row
        left, right = pl.read_parquet(first / name), pl.read_parquet(second / name)
        assert left.to_dicts() == right.to_dicts(), name
    assert not differ


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_does_not_matter(demo_build: Path, run: Run, tmp_path: Path, seed: int) -> None:
    root = shuffled_demo(tmp_path, seed)
    demo = PROJECT / "manifests" / "demo.yaml"
    other = finished(run(*arguments(demo, tmp_path), "--root", root))
    assert hashes(other)["origins.parquet"] != hashes(demo_build)["origins.parquet"]
    assert_same_tables(demo_build, other)


def test_the_order_of_rows_that_repeat_does_not_matter(run: Run, tmp_path: Path) -> None:
    lines = (SAMPLES / "medqa" / "phrases_no_exclude_train.jsonl").read_text("utf-8").splitlines()
    exam = [json.loads(line) for line in (SAMPLES / "medmcqa" / "train.json").read_text("utf-8").splitlines()]
    lines += [lines[0], lines[0], lines[5], json.dumps({**json.loads(lines[1]), "meta_info": "step9"})]
    exam += [exam[0], {**exam[1], "exp": "Another explanation."}, {**exam[2], "id": "copy"}, {**exam[3], "cop": 9}]
    builds = []
    for seed in (0, 1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        random.Random(seed).shuffle(lines)
        random.Random(seed).shuffle(exam)
        (folder / "phrases_no_exclude_train.jsonl").write_text("\n".join(lines), "utf-8")
        (folder / "train.json").write_text("\n".join(map(json.dumps, exam)), "utf-8")
        sources = {
            "ids": {"adapter": "medmcqa", "location": f"{folder}/train.json", "category": "medical_text"},
            "none": {
                "adapter": "medqa",
                "location": f"{folder}/phrases_no_exclude_train.jsonl",
                "category": "medical_text",
            },
        }
        manifest = write_manifest(folder / "m.yaml", sources, outputs={"sft": {"validation": 0.2}, "rl": {}})
        builds.append(finished(run(*arguments(manifest, folder, processes=1))))
    assert_same_tables(builds[0], builds[1])
    assert_same_tables(builds[0], builds[2])
    rules = pl.read_parquet(builds[0] / "drops.parquet")["rule"].to_list()
    assert rules.count("duplicate_row_key") >= 2
    assert rules.count("exact_duplicate") >= 4


# What is redone


def stages_run(done: "subprocess.CompletedProcess[str]") -> tuple[set[str], set[str]]:
    """(stages that ran, stages that were cached), as `stage source/split`."""
    ran: set[str] = set()
    cached: set[str] = set()
    for line in done.stderr.splitlines():
        stage, _, rest = line.partition(" ")
        if stage in ("ingest", "texts", "images", "filter") and ":" in rest:  # without one, the plan's table
            (cached if line.endswith(", cached") else ran).add(f"{stage} {rest.strip().partition(':')[0]}")
    return ran, cached


@pytest.fixture
def two_sources(tmp_path: Path) -> Path:
    """A manifest over copies of two sources: a vqa one and a text one."""
    sources = {}
    for name, category in (("vqa_rad", "medical_vqa"), ("medqa", "medical_text")):
        shutil.copytree(SAMPLES / name, tmp_path / name)
        sources[name] = {"adapter": name, "location": name, "category": category, "license": "MIT"}
    return write_manifest(tmp_path / "m.yaml", sources, root=str(tmp_path))


def test_only_the_changed_source_is_redone(two_sources: Path, run: Run, tmp_path: Path) -> None:
    first = finished(run(*arguments(two_sources, tmp_path)))
    path = tmp_path / "medqa" / "phrases_no_exclude_train.jsonl"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n", "utf-8")
    done = run(*arguments(two_sources, tmp_path))
    assert finished(done) != first
    ran, cached = stages_run(done)
    assert ran == {"ingest medqa/train", "texts medqa/train", "filter medqa/train"}
    assert cached == {"ingest vqa_rad/train", "texts vqa_rad/train", "images vqa_rad/train"}
    path.write_text("\n".join(lines) + "\n", "utf-8")
    assert finished(run(*arguments(two_sources, tmp_path))) == first


def test_a_changed_image_is_measured_alone(two_sources: Path, run: Run, tmp_path: Path) -> None:
    first = finished(run(*arguments(two_sources, tmp_path)))
    image = tmp_path / "vqa_rad" / "images" / "synpic20011.jpg"
    with Image.open(image) as opened:
        opened.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    done = run(*arguments(two_sources, tmp_path))
    assert finished(done) != first
    ran, _ = stages_run(done)
    assert ran == {"images vqa_rad/train", "filter vqa_rad/train"}
    assert "images  vqa_rad/train: 1 images of 14" in done.stderr


def test_a_changed_limit_reads_nothing_again(two_sources: Path, run: Run, tmp_path: Path) -> None:
    first = finished(run(*arguments(two_sources, tmp_path)))
    content = json.loads(two_sources.read_text())
    two_sources.write_text(json.dumps({**content, "filters": {"max_question_chars": 60}}))
    done = run(*arguments(two_sources, tmp_path))
    second = finished(done)
    assert second != first
    ran, cached = stages_run(done)
    assert ran == {"filter vqa_rad/train", "filter medqa/train"}
    assert len(cached) == 5
    assert "question_long" in pl.read_parquet(second / "drops.parquet")["rule"].to_list()


# Locks


def test_a_lock_repeats_a_build_or_refuses(two_sources: Path, run: Run, tmp_path: Path) -> None:
    first = finished(run(*arguments(two_sources, tmp_path)))
    lock = tmp_path / "lock.json"
    lock.write_bytes((first / "lock.json").read_bytes())
    again = finished(run(*arguments(lock, tmp_path / "again"), "--root", tmp_path))
    assert (again.name, hashes(again)) == (first.name, hashes(first))
    path = tmp_path / "medqa" / "phrases_no_exclude_train.jsonl"
    path.write_text(path.read_text("utf-8").replace("patient", "person"), "utf-8")
    done = run(*arguments(lock, tmp_path / "third"), "--root", tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "lock.json: sources differ from the lock: medqa/train" in line
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "third" / "out").rglob("lock.json"))
