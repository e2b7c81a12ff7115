"""Bad input ends in one line an error that says what, where and what is allowed, or in a drop that names its rule."""

import importlib.util
import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import place_of_rows, planted_uid
from PIL import Image

from infimed_data.pipeline import build as run_build
from infimed_data.plan import BuildOptions

PROJECT = Path(__file__).resolve().parents[1]
SAMPLES = PROJECT / "sample_data"

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Row = dict[str, Any]


def picture(size: tuple[int, int] = (64, 48), *, seed: int = 0, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """An encoded picture of noise."""
    raw = Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))
    if mode == "I;16":
        image = Image.frombytes("I;16", size, random.Random(seed).randbytes(size[0] * size[1] * 2))
    elif mode == "P":
        image = raw.quantize(64)
    else:
        image = raw.convert(mode)
    if mode == "RGBA":
        image.putalpha(raw.convert("L"))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def question(number: int, image: str = "good.png", **more: Any) -> Row:
    """A row of VQA-RAD's train file."""
    text = f"Is sign number {number} seen in this image?"
    return {"qid": number, "image_name": image, "question": text, "answer": "yes", "answer_type": "CLOSED", **more}


def case(number: int, **more: Any) -> Row:
    """A row of MedQA."""
    options = {letter: f"Drug {letter} of case {number}" for letter in "ABCD"}
    text = f"Which drug suits the patient of case {number}?"
    return {"question": text, "options": options, "answer_idx": "B", "answer": options["B"], **more}


def vqa(folder: Path, rows: list[Row], images: dict[str, bytes] | None = None) -> Row:
    """Writes a VQA-RAD source and returns its manifest entry."""
    (folder / "images").mkdir(parents=True)
    (folder / "trainset.json").write_text(json.dumps(rows))
    for name, data in {"good.png": picture(), **(images or {})}.items():
        (folder / "images" / name).write_bytes(data)
    return {"adapter": "vqa_rad", "location": str(folder), "category": "medical_vqa", "license": "CC0-1.0"}


def medqa(folder: Path, rows: list[Row]) -> Row:
    """Writes a MedQA source and returns its manifest entry."""
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"adapter": "medqa", "location": str(folder), "category": "medical_text", "license": "MIT"}


def manifest(folder: Path, sources: dict[str, Row], **more: Any) -> Path:
    """Writes a manifest with an sft output."""
    path = folder / "m.yaml"
    content = {"name": "t", "seed": 1, "sources": sources, "outputs": {"sft": {}}, **more}
    path.write_text(json.dumps(content, indent=1))
    return path


def built(folder: Path, sources: dict[str, Row], **more: Any) -> Path:
    """Builds in this process; returns the finished folder."""
    options = BuildOptions(folder / "out", folder / "work", 1)
    return run_build(manifest(folder, sources, **more), options, lambda line: None)


def drops(build: Path) -> dict[str, Row]:
    return {row["uid"]: row for row in pl.read_parquet(build / "drops.parquet").to_dicts()}


def kept(build: Path) -> dict[str, Row]:
    return {row["uid"]: row for row in pl.read_parquet(build / "samples.parquet").to_dicts()}


def adds_up(build: Path) -> None:
    """Rows read are rows kept and dropped, in the tables and in the lock."""
    for source in json.loads((build / "lock.json").read_text())["sources"]:
        assert source["rows_read"] == source["rejected"] + source["dropped"] + source["kept"]
    read = sum(s["rows_read"] for s in json.loads((build / "lock.json").read_text())["sources"])
    assert read == len(kept(build)) + len(drops(build)) == len(pl.read_parquet(build / "origins.parquet"))


def files_of(build: Path) -> dict[str, bytes]:
    return {p.relative_to(build).as_posix(): p.read_bytes() for p in sorted(build.rglob("*")) if p.is_file()}


def lines_of(done: "subprocess.CompletedProcess[str]", count: int = 1) -> list[str]:
    """The error lines of a command that failed as it should: `count` of them, code 1, no traceback."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert not done.stdout
    wrong = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    others = [line for line in done.stderr.splitlines() if not line.startswith("error: ")]
    assert len(wrong) == count, done.stderr
    assert all(
        re.match(r"(ingest|texts|images|filter|pairs|near|bench|match|decide|warning:?) ", line) for line in others
    ), done.stderr
    return wrong


@pytest.fixture
def failing(run: Run, tmp_path: Path) -> Callable[..., list[str]]:
    """`failing(path_or_sources, count=1)`: error lines of a build that must fail, and must leave no build."""

    def fails(what: Path | dict[str, Row], count: int = 1, **more: Any) -> list[str]:
        path = what if isinstance(what, Path) else manifest(tmp_path, what, **more)
        out = tmp_path / "out"
        lines = lines_of(run("build", path, "--out", out, "--work", tmp_path / "work", "--processes", 1), count)
        assert not list(out.rglob("lock.json"))
        return lines

    return fails


Failing = Callable[..., list[str]]


# Manifests


def test_a_missing_manifest(failing: Failing, tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("name: x")
    (line,) = failing(tmp_path / "demi.yaml")
    assert "demi.yaml: no such manifest; did you mean 'demo.yaml'?" in line


def test_every_problem_of_a_manifest_has_its_line(failing: Failing, tmp_path: Path) -> None:
    source = medqa(tmp_path / "s", [case(1)])
    lines = failing(
        {"a": {**source, "licence": "MIT"}, "b": {**source, "expect_rows": "many"}},
        3,
        filters={"min_question_chars": "ten"},
    )
    key, rows, chars = lines
    assert re.search(r"m\.yaml:\d+: sources\.a\.licence: unknown key; allowed: .*; did you mean 'license'\?", key)
    assert re.search(r"m\.yaml:\d+: sources\.b\.expect_rows: 'many'; allowed: ", rows)
    assert re.search(r"m\.yaml:\d+: filters\.min_question_chars: 'ten'; allowed: ", chars)


def test_adapter_split_option_and_folder(failing: Failing, tmp_path: Path) -> None:
    source = medqa(tmp_path / "source", [case(1)])
    lines = failing(
        {
            "a": {**source, "adapter": "medqq"},
            "b": {**source, "split": "trian"},
            "c": {**source, "adapter": "slake", "options": {"language": ["en"]}},
            "d": {**source, "location": str(tmp_path / "sourze")},
        },
        4,
    )
    adapter, split, option, folder = lines
    assert re.search(r"m\.yaml:\d+: sources\.a\.adapter: .*medqq.*medqa.*did you mean 'medqa'\?", adapter)
    assert re.search(r"m\.yaml:\d+: sources\.b\.split: 'trian'; allowed: train, .*did you mean 'train'\?", split)
    assert re.search(r"m\.yaml:\d+: sources\.c\.options\.language: .*allowed: languages; did you mean", option)
    assert re.search(r"m\.yaml:\d+: sources\.d: .*sourze: no such file or folder; did you mean 'source'\?", folder)


def test_a_missing_file_of_a_source(failing: Failing, tmp_path: Path) -> None:
    source = medqa(tmp_path / "s", [case(1)])
    (line,) = failing({"a": {**source, "location": str(tmp_path / "s" / "trian.jsonl")}})
    assert "trian.jsonl: no such file or folder; did you mean 'train.jsonl'?" in line
    (tmp_path / "s" / "train.jsonl").rename(tmp_path / "s" / "other.txt")
    (line,) = failing({"a": source})
    assert str(tmp_path / "s") in line
    assert "train.jsonl" in line


# Files that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train.jsonl", b"", "no rows"),
        ("train.json", b"", "empty file"),
        ("train.json", b"[]", "no rows"),
        ("train.csv", b"question,answer\n", "no rows"),
    ],
)
def test_an_empty_source(failing: Failing, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_bytes(content)
    adapter = {"train.jsonl": "medqa", "train.json": "slake", "train.csv": "chat"}[name]
    source: Row = {"adapter": adapter, "location": str(tmp_path / "s"), "category": "medical_text", "license": "MIT"}
    if adapter == "chat":
        source["options"] = {"file": "train.csv"}
    (line,) = failing({"a": source})
    assert says in line
    assert name in line


def test_all_rows_rejected(failing: Failing, tmp_path: Path) -> None:
    bad = medqa(tmp_path / "bad", [{**case(1), "answer_idx": "Z"}, {**case(2), "options": 5}])
    good = medqa(tmp_path / "good", [case(3)])
    (line,) = failing({"bad": bad, "good": good})
    counted = "all 2 rows were rejected (label_out_of_range 1, wrong_type 1)"
    assert re.search(rf"m\.yaml:\d+: source 'bad': {re.escape(counted)}", line)
    assert "allow_empty: true" in line
    build = built(tmp_path, {"bad": {**bad, "allow_empty": True}, "good": good})
    assert sorted(row["rule"] for row in drops(build).values()) == ["label_out_of_range", "wrong_type"]
    adds_up(build)


def test_a_truncated_parquet_file(failing: Failing, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    whole = (SAMPLES / "medqa_hub/data/train-00000-of-00001.parquet").read_bytes()
    (tmp_path / "s" / "train-00000-of-00001.parquet").write_bytes(whole[: len(whole) // 2])
    source = {"adapter": "medqa", "location": str(tmp_path / "s"), "category": "medical_text", "license": "MIT"}
    (line,) = failing({"a": source})
    assert "train-00000-of-00001.parquet: not a readable Parquet file" in line


def test_a_truncated_zip(failing: Failing, tmp_path: Path) -> None:
    source = vqa(tmp_path / "s", [question(1)])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.png", picture())
    (tmp_path / "s" / "images.zip").write_bytes(out.getvalue()[:-40])
    (line,) = failing({"a": source})
    assert "images.zip: not a readable archive" in line


def test_a_json_array_that_breaks_off(failing: Failing, tmp_path: Path) -> None:
    source = vqa(tmp_path / "s", [])
    (tmp_path / "s" / "trainset.json").write_text('[\n {"qid": 1},\n {"qid": oops}\n]')
    (line,) = failing({"a": source})
    assert "trainset.json:3: not valid JSON" in line


# Rows and images that cannot be read


def test_lines_that_are_not_utf8_or_not_json(tmp_path: Path) -> None:
    source = medqa(tmp_path / "s", [case(1)])
    with (tmp_path / "s" / "train.jsonl").open("ab") as file:
        file.write(b'{"question": "\xff\xfe caf\xe9"}\n{"question": \n[1]\n')
    build = built(tmp_path, {"a": source})
    found = {row["value"].split(":")[0]: row["rule"] for row in drops(build).values()}
    assert found == {"line 2": "invalid_utf8", "line 3": "invalid_json", "line 4": "invalid_json"}
    assert {row["stage"] for row in drops(build).values()} == {"ingest"}
    adds_up(build)


def test_na_stays_text(tmp_path: Path) -> None:
    words = ["N/A", "NA", "None", "null", "nan", "NaN"]
    rows = [question(i, answer=word) for i, word in enumerate(words, 1)]
    build = built(tmp_path, {"a": vqa(tmp_path / "s", rows)})
    assert [kept(build)[f"a/train/{i}"]["answer"] for i in range(1, 7)] == words


def bomb() -> bytes:
    """A PNG whose header claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    jpeg = picture((200, 200), kind="JPEG")
    (tmp_path / "secret.png").write_bytes(picture(seed=9))
    names = ["cut.jpg", "zero.png", "bomb.png", "text.png", "../../secret.png", "/etc/passwd", "none.png", "dot.png"]
    images = {"cut.jpg": jpeg[:-600], "zero.png": b"", "bomb.png": bomb(), "text.png": b"no picture",
              "dot.png": picture((12, 40))}  # fmt: skip
    rows = [question(i, name) for i, name in enumerate(names, 1)]
    build = built(tmp_path, {"a": vqa(tmp_path / "d" / "s", [*rows, question(99)], images)})
    found = {row["uid"].rpartition("/")[2]: row for row in drops(build).values()}
    assert {names[int(key) - 1]: (row["stage"], row["rule"]) for key, row in found.items()} == {
        "cut.jpg": ("filter", "image_unreadable"),
        "zero.png": ("filter", "image_unreadable"),
        "bomb.png": ("filter", "image_unreadable"),
        "text.png": ("filter", "image_unreadable"),
        "../../secret.png": ("ingest", "image_outside_root"),
        "/etc/passwd": ("ingest", "image_outside_root"),
        "none.png": ("ingest", "image_missing"),
        "dot.png": ("filter", "image_tiny"),
    }
    assert found["2"]["value"] == "0 bytes"
    assert found["3"]["value"] == "60000x60000"
    assert list(kept(build)) == ["a/train/99"]
    adds_up(build)


def test_zip_members_that_climb_out(tmp_path: Path) -> None:
    source = vqa(tmp_path / "s", [question(1, "out.png"), question(2, "../out.png"), question(3, "in.png")])
    with zipfile.ZipFile(tmp_path / "s" / "images.zip", "w") as archive:
        archive.writestr("../out.png", picture(seed=1))
        archive.writestr("in.png", picture(seed=2))
    build = built(tmp_path, {"a": source})
    assert {uid: row["rule"] for uid, row in drops(build).items()} == {
        "a/train/1": "image_missing",
        "a/train/2": "image_outside_root",
    }
    assert list(kept(build)) == ["a/train/3"]


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="not installed: datasets")
def test_unusual_modes_load_from_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    images = {
        "cmyk.jpg": picture(seed=1, mode="CMYK", kind="JPEG"),
        "palette.png": picture(seed=2, mode="P"),
        "deep.png": picture(seed=3, mode="I;16"),
        "alpha.png": picture(seed=4, mode="RGBA"),
        "grey.png": picture(seed=5, mode="L"),
        "bit.png": picture(seed=6, mode="1"),
    }
    build = built(tmp_path, {"a": vqa(tmp_path / "s", [question(i, n) for i, n in enumerate(images, 1)], images)})
    rows = load_dataset(str(build), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == len(images)
    for row in rows:
        (image,) = row["images"]
        assert image.size == (64, 48)
        low, high = image.convert("RGB").convert("L").getextrema()
        assert low < high
    assert not drops(build)


# Keys that repeat


@pytest.mark.parametrize("seed", range(3))
def test_repeated_keys(tmp_path: Path, seed: int) -> None:
    rows = [question(1), question(2), question(3)]
    # Same id: other text; same text but another organ; the same row; a row that is rejected; two that are rejected.
    rows += [question(1, question="Is the heart large?"), question(2, image_organ="HEAD"), question(3)]
    rows += [question(2, "nowhere.png"), question(7, "lost.png"), question(7, "gone.png"), question(8, "n.png")]
    first = built(tmp_path / "a", {"s": vqa(tmp_path / "a" / "s", rows)})
    random.Random(seed).shuffle(rows)
    second = built(tmp_path / "b", {"s": vqa(tmp_path / "b" / "s", rows)})
    repeated = {uid: row for uid, row in drops(first).items() if row["rule"] == "duplicate_row_key"}
    assert {uid: row["twin"] for uid, row in repeated.items()} == {f"s/train/{i}~2": f"s/train/{i}" for i in (1, 2, 3)}
    assert {row["stage"] for row in repeated.values()} == {"ingest"}
    adds_up(first)
    for table in ("samples", "drops", "images"):
        frames = [pl.read_parquet(build / f"{table}.parquet") for build in (first, second)]
        assert frames[0].to_dicts() == frames[1].to_dicts(), table


# Disks


def noisy(folder: Path) -> Path:
    """A manifest over some 3 MB of pictures."""
    images = {f"i{n}.png": picture((192, 192), seed=n) for n in range(24)}
    return manifest(folder, {"a": vqa(folder / "s", [question(i, f"i{i}.png") for i in range(24)], images)})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`disk(size)`: a small file system of its own; again, to change its options."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        how = f"remount,{options}" if mounted else options
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", how, "none", str(point)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
        mounted = True
        return point

    if sys.platform != "linux" or os.geteuid():
        pytest.skip("needs root on Linux to mount a small tmpfs")
    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(point)], check=False)


@pytest.mark.parametrize(("size", "work_there"), [("32k", True), ("1m", True), ("1m", False), ("64k", False)])
def test_a_full_disk(run: Run, disk: Callable[..., Path], tmp_path: Path, size: str, work_there: bool) -> None:
    path = noisy(tmp_path)
    lone = run_build(path, BuildOptions(tmp_path / "lone", tmp_path / "lone_work", 1), lambda line: None)
    small = disk(f"size={size}")
    work = small / "work" if work_there else tmp_path / "work"
    command = ("build", path, "--out", small / "out", "--work", work, "--processes", 2)
    (line,) = lines_of(run(*command))
    assert "disk full while " in line
    assert str(small) in line
    assert "free space and run the same command again" in line
    assert not list((small / "out").rglob("lock.json"))
    disk("size=64m")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    again = Path(done.stdout.splitlines()[-1])
    assert again.name == lone.name
    assert files_of(again) == files_of(lone)
    assert not [p for p in small.rglob("*") if ".tmp-" in p.name or ".partial" in p.name]


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    path = noisy(tmp_path)
    tail = f"{sys.executable} -m infimed_data.cli build {path} --out {tmp_path}/out --work {tmp_path}/work"
    limited = ["bash", "-c", f"ulimit -f 600; exec {tail} --processes 1"]
    (line,) = lines_of(subprocess.run(limited, capture_output=True, text=True, check=False))
    assert "File too large" in line
    assert ".parquet" in line
    done = subprocess.run(["bash", "-c", tail], capture_output=True, text=True, check=True)
    lone = run_build(path, BuildOptions(tmp_path / "lone", tmp_path / "lone_work", 1), lambda line: None)
    assert files_of(Path(done.stdout.splitlines()[-1])) == files_of(lone)


@pytest.mark.parametrize("option", ["--out", "--work"])
def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path, option: str) -> None:
    path = manifest(tmp_path, {"a": medqa(tmp_path / "s", [case(1)])})
    (tmp_path / "file").write_text("")
    folders = {"--out": tmp_path / "out", "--work": tmp_path / "work"}
    for bad in (tmp_path / "file" / "below", Path("/proc/builds")):
        arguments = [part for pair in {**folders, option: bad}.items() for part in pair]
        (line,) = lines_of(run("build", path, *arguments))
        assert str(bad) in line


def test_a_read_only_disk(run: Run, disk: Callable[..., Path], tmp_path: Path) -> None:
    path = manifest(tmp_path, {"a": medqa(tmp_path / "s", [case(1)])})
    disk("size=1m")
    point = disk("ro")
    (line,) = lines_of(run("build", path, "--out", point, "--work", tmp_path / "work"))
    assert "not writable while preparing --out" in line
    assert str(point) in line


def test_two_builds_at_once(tmp_path: Path) -> None:
    path = noisy(tmp_path)
    lone = run_build(path, BuildOptions(tmp_path / "lone", tmp_path / "lone_work", 1), lambda line: None)
    command = [sys.executable, "-m", "infimed_data.cli", "build", str(path), "--processes", "2"]
    command += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    folders = {Path(out.splitlines()[-1]) for out, _ in said}
    assert len(folders) == 1
    assert files_of(folders.pop()) == files_of(lone)
    left = [p.name for p in tmp_path.rglob("*") if ".tmp-" in p.name or ".partial" in p.name]
    assert not left


# The defects planted in the sample data


RULES: dict[str, tuple[str, ...]] = {
    "truncated_image": ("image_unreadable",),
    "empty_image_file": ("image_unreadable",),
    "missing_image_file": ("image_missing",),
    "blank_image": ("image_blank",),
    "tiny_image": ("image_tiny",),
    "missing_answer": ("answer_empty",),
    "label_disagrees": ("label_text_disagree",),
    "answer_not_in_options": ("label_out_of_range",),
    "duplicate_options": ("duplicate_options",),
    "figure_without_image": ("missing_figure",),
    "cop_out_of_range": ("label_out_of_range",),
    "literal_special_token": ("special_token",),
    "unfinished_thought": ("unclosed_thought",),
}
"""Rule that each kind of planted defect ends with, wherever it is planted."""
KEPT = (
    "integer_answer", "trailing_space", "joined_question_type", "cmyk_jpeg", "tab_answer", "na_answer",
    "literal_image_tag", "double_space", "zh_yes_no", "knowledge_question", "closed_not_yes_no", "palette_png",
    "sixteen_bit_png", "rgba_png",
)  # fmt: skip
"""Kinds that look like defects and are none, where the plan says that they are kept."""


def test_every_planted_defect_of_the_demo_ended_as_planned(demo_build: Path) -> None:
    gone, stay, where = drops(demo_build), kept(demo_build), place_of_rows(demo_build)
    wrong, seen = [], set()
    for plant in json.loads((SAMPLES / "planted.json").read_text()):
        uid = planted_uid(plant, where)
        if uid is None:
            continue
        kind = plant["kind"]
        if kind in KEPT and plant["expect"].startswith("kept"):
            # A draw may leave a sound row out, which is no verdict on it.
            sound = uid in stay or gone[uid]["stage"] == "mix"
        elif kind in RULES:
            sound = uid in gone and gone[uid]["rule"] in RULES[kind]
        else:
            continue
        seen.add(kind)
        if not sound:
            wrong.append((plant["where"], plant["expect"], gone.get(uid, {}).get("rule")))
    assert not wrong
    assert {*RULES, *KEPT} - seen == {"cmyk_jpeg"}  # a file, not a row: the next test


def test_planted_values_of_the_demo(demo_build: Path) -> None:
    gone, where = drops(demo_build), place_of_rows(demo_build)
    every = {**gone, **kept(demo_build)}
    assert every["vqa_rad/train/1"]["answer"].isdigit()
    assert every["vqa_rad/train/49"]["answer"] == "Lungs heart"
    assert every["slake/train/28"]["answer"] == "Transverse Plane"
    hub = {n: where["vqa_rad_hub", f"train-00000-of-00001.parquet row {n}"] for n in range(20)}
    assert every[hub[17]]["answer"] == "N/A"
    assert (gone[hub[12]]["rule"], gone[hub[12]]["twin"]) == ("exact_duplicate", "vqa_rad/train/1")
    assert gone[hub[19]]["rule"] == "image_unreadable"
    assert gone["slake/train/33"]["rule"] == "script_mismatch"
    assert gone["sharegpt/train/chat_8"]["rule"] == "image_count"
    twin = gone["medmcqa/train/ebf2afa6-574b-5d47-abaf-9142abbe87c3"]
    assert (twin["rule"], twin["twin"]) == ("exact_duplicate", "medmcqa/train/8671785b-5930-5916-8860-4d3c8a0ea757")
    pictures = {row["ref"]: row for row in pl.read_parquet(demo_build / "images.parquet").to_dicts()}
    cmyk = pictures["images/synpic20048.jpg"]
    assert (cmyk["mode"], cmyk["error"]) == ("CMYK", None)
    assert cmyk["rows_kept"] > 0
    adds_up(demo_build)


def test_planted_defects_of_sources_outside_the_demo(tmp_path: Path) -> None:
    def source(adapter: str, folder: str, **more: Any) -> Row:
        entry: Row = {"adapter": adapter, "location": str(SAMPLES / folder), "license": "CC0-1.0", **more}
        return {"category": "medical_vqa" if adapter == "vqa_rad" else "medical_text", **entry}

    build = built(
        tmp_path,
        {
            "rad": source("vqa_rad", "vqa_rad"),
            "osf": source("vqa_rad", "vqa_rad_osf"),
            "o1": source("medical_o1", "medical_o1", options={"languages": ["en", "zh"]}),
            "dev": source("medmcqa", "medmcqa", split="validation", options={"cop_base": 1}),
            "blind": source("medmcqa", "medmcqa_hub", split="test", allow_empty=True, options={"cop_base": 0}),
        },
    )
    gone, stay, where = drops(build), kept(build), place_of_rows(build)
    mirrored = {uid: row for uid, row in gone.items() if uid.startswith("osf/")}
    assert {row["rule"] for row in mirrored.values()} == {"exact_duplicate"}
    assert all(row["twin"] == uid.replace("osf/", "rad/") for uid, row in mirrored.items())
    assert not [uid for uid in stay if uid.startswith("osf/")]
    assert "dev/validation/8bff3b99-5bd6-5c5d-8adc-c265fdd27f04" in stay
    assert {row["rule"] for uid, row in gone.items() if uid.startswith("blind/")} == {"unlabelled"}
    twins = {where["o1", "medical_o1_sft.json row 10"], where["o1", "medical_o1_sft_Chinese.json row 3"]}
    assert [gone[uid]["rule"] for uid in twins if uid in gone] == ["exact_duplicate"]
    adds_up(build)
    other = tmp_path / "en"
    other.mkdir()
    english = built(other, {"o1": source("medical_o1", "medical_o1")}, filters={"languages": ["en"]})
    chinese = place_of_rows(english)["o1", "medical_o1_sft.json row 10"]
    assert (drops(english)[chinese]["rule"], drops(english)[chinese]["value"]) == ("language", "zh")
