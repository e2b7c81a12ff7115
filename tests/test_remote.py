"""Locations at URLs: fsspec's own file systems in memory, on disk and over HTTP, and copies of data sets of the Hub."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import PROJECT

from infimed_data.adapters.catalogue import published_rows
from infimed_data.errors import ManifestError, SourceError
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions, Plan, load_plan

SAMPLES = PROJECT / "sample_data"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def manifest(folder: Path, location: str, **more: Any) -> Path:
    """A manifest of one source, SLAKE unless `more` says otherwise."""
    source = {"adapter": "slake", "location": location, "category": "medical_vqa", "license": "CC-BY-4.0", **more}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_bytes(orjson.dumps({"name": "small", "sources": {"it": source}, "outputs": {"sft": {"validation": 0}}}))
    return path


def planned(folder: Path, location: str, *, root: Path | None = None, **more: Any) -> Plan:
    """The plan of that manifest."""
    options = BuildOptions(folder / "builds", folder / "work", 1, root, quiet=True)
    return load_plan(manifest(folder, location, **more), options)


def built(folder: Path, location: str, *, root: Path | None = None, **more: Any) -> tuple[Path, list[str]]:
    """(the build of that manifest, lines said)."""
    said: list[str] = []
    options = BuildOptions(folder / "builds", folder / "work", 1, root, quiet=True)
    return build(manifest(folder, location, **more), options, said.append), said


def fault(folder: Path, location: str) -> str:
    """The one line that says why a location cannot be read."""
    with pytest.raises(SourceError) as caught:
        planned(folder, location)
    assert "\n" not in str(caught.value)
    return str(caught.value).partition("sources.it: ")[2]


@pytest.fixture
def memory() -> Iterator[Any]:
    """A file system in memory that holds SLAKE, and files that nobody asks for."""
    import fsspec

    system = fsspec.filesystem("memory")
    for name in ("train.json", "imgs.zip", "test.json"):
        system.pipe_file(f"/slake/{name}", (SAMPLES / "slake" / name).read_bytes())
    system.pipe_file("/slake/notes/big.bin", b"x" * 1000)
    system.pipe_file("/slake/.hidden/train.json", b"[]")
    yield system
    system.store.clear()


def kept(folder: Path) -> set[str]:
    """Names of what was fetched, whatever state of the location they are of."""
    root = folder / "work" / "remote"
    return {"/".join(path.relative_to(root).parts[1:]) for path in root.rglob("*") if path.is_file()} - {""}


def test_a_url_builds_what_a_local_copy_builds_and_named_files_are_fetched_only(memory: Any, tmp_path: Path) -> None:
    there, _ = built(tmp_path, "memory://slake")
    assert kept(tmp_path) == {"train.json", "imgs.zip"}
    local, _ = built(tmp_path / "local", str(SAMPLES / "slake"))
    assert (there / "samples.parquet").read_bytes() == (local / "samples.parquet").read_bytes()
    assert [p.read_bytes() for p in there.glob("sft/*")] == [p.read_bytes() for p in local.glob("sft/*")]

    asked: list[str] = []
    memory.get_file = lambda name, target, **more: asked.append(name)
    try:
        assert built(tmp_path, "memory://slake")[0] == there and not asked, "nothing is fetched twice"
    finally:
        del memory.get_file


def test_what_changed_there_is_fetched_again_and_the_lock_refuses_it(memory: Any, tmp_path: Path) -> None:
    first = planned(tmp_path, "memory://slake").readings[0]
    rows = orjson.loads(memory.cat_file("/slake/train.json"))
    memory.pipe_file("/slake/train.json", orjson.dumps(rows[:-1]))
    second = planned(tmp_path, "memory://slake").readings[0]
    assert first.inputs["train.json"] != second.inputs["train.json"]
    assert len(orjson.loads(second.place.path("train.json").read_bytes())) == len(rows) - 1


def test_one_file_behind_a_url(tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SAMPLES / "medical_o1"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        more: dict[str, Any] = {"adapter": "medical_o1", "category": "medical_text"}
        reading = planned(tmp_path, f"{at}/medical_o1_sft.json", **more).readings[0]
        assert [file.name for file in reading.files] == ["medical_o1_sft.json"]
        local = SAMPLES / "medical_o1" / "medical_o1_sft.json"
        assert reading.place.path("medical_o1_sft.json").read_bytes() == local.read_bytes()
        assert fault(tmp_path, f"{at}/gone.json") == (
            f"{at}/gone.json: no such file or folder (any more); look at what is there"
        )
        server.shutdown()
    assert "check address, credentials and network, then" in fault(tmp_path, f"{at}/medical_o1_sft.json")


def test_a_member_of_an_archive_behind_a_url(memory: Any, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "all"), "zip", SAMPLES / "slake")
    memory.pipe_file("/all.zip", (tmp_path / "all.zip").read_bytes())
    reading = planned(tmp_path, "zip://::memory://all.zip").readings[0]
    assert kept(tmp_path) == {"train.json", "imgs.zip"} and reading.files[0].name == "train.json"


def test_what_cannot_be_read_says_why_and_what_to_do(memory: Any, tmp_path: Path) -> None:
    assert fault(tmp_path, "s3://bucket/slake").startswith(
        "s3://bucket/slake: this file system needs a package that is not there: pip install s3fs ("
    )
    assert "gcsfs" in fault(tmp_path, "gs://bucket/slake")
    assert fault(tmp_path, "nowhere://x") == (
        "nowhere://x: no file system has that name; fsspec knows s3, gs, abfs, https, sftp, hdfs"
    )
    memory.makedirs("/empty")
    assert fault(tmp_path, "memory://empty") == "memory://empty: no files there; give a folder or file that has some"
    assert fault(tmp_path, "memory://gone").endswith("no such file or folder (any more); look at what is there")
    for url in ("https://ada:pass@host/x.zip", "https://host/x.zip?X-Amz-Signature=abc", "s3://ada:pw@host/x"):
        with pytest.raises(ManifestError, match="which the build's lock would publish") as caught:
            planned(tmp_path, url)
        assert "pass@" not in str(caught.value) and "=abc" not in str(caught.value)
    memory.get_file = _refused
    try:
        assert "refused (not yours); give the file system credentials" in fault(tmp_path, "memory://slake")
    finally:
        del memory.get_file
    assert planned(tmp_path, "memory://slake").readings, "the same command goes on"


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError("not yours")


def test_a_cut_transfer_is_no_file(memory: Any, tmp_path: Path) -> None:
    memory.get_file = lambda name, target, **more: Path(target).write_bytes(b"[")
    try:
        assert "1 bytes came of" in fault(tmp_path, "memory://slake") and not kept(tmp_path)
    finally:
        del memory.get_file


def test_a_copy_below_root_is_read_in_place_of_a_data_set_of_the_hub(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(SAMPLES / "slake", copies / "BoKelvin" / "SLAKE")
    location = f"hf://datasets/BoKelvin/SLAKE@{COMMIT}"
    there, said = built(tmp_path, location, root=copies)
    assert f"copy    it: {copies / 'BoKelvin' / 'SLAKE'} in place of {location}" in said
    [warned] = [line for line in said if line.startswith("warning") and "published" in line]
    assert warned.endswith("source 'it' has 35 rows; 9,835 were published")
    lock = orjson.loads((there / "lock.json").read_bytes())
    assert lock["commits"] == {"it": COMMIT} and str(copies) not in (there / "lock.json").read_text()
    local, said = built(tmp_path / "local", str(SAMPLES / "slake"), expect_rows=36)
    assert any(line.endswith("source 'it' has 35 rows; 36 were expected") for line in said), "more than 1%"
    assert (there / "samples.parquet").read_bytes() == (local / "samples.parquet").read_bytes()

    again = build(there / "lock.json", BuildOptions(tmp_path / "again", tmp_path / "w", 1, copies, quiet=True), print)
    assert again.name == there.name and (again / "lock.json").read_bytes() == (there / "lock.json").read_bytes()


def test_rows_are_held_against_what_is_published_where_that_is_known() -> None:
    at = "hf://datasets/BoKelvin/SLAKE@main"
    assert published_rows("it", "slake", at, {}, ("train",)) == 9835
    assert published_rows("it", "slake", at, {}, ("train", "test")) == 9835 + 2094
    assert published_rows("slake", "slake", "slake", {}, ("train",)) is None, "a folder may hold anything"
    text = "hf://datasets/TsinghuaC3I/MedXpertQA"
    assert published_rows("medxpertqa_text", "medxpertqa", text, {"config": "Text"}, ("test",)) in (2450, None)
    assert published_rows("it", "multiple_choice", "hf://datasets/cais/mmlu", {"layout": "mmlu"}, ("test",)) == 1089
    some = {"layout": "mmlu", "configs": ["anatomy"]}
    assert published_rows("it", "multiple_choice", "hf://datasets/cais/mmlu", some, ("test",)) is None
