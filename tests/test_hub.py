"""Locations on the Hub, and pushes to it: the real huggingface_hub against a Hub in memory (hub_server.py).

huggingface_hub takes its settings from the environment when it is imported, so it runs in a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from hub_server import Hub, Repo, serving

from infimed_data.errors import InfimedError
from infimed_data.hub import closed_sources
from infimed_data.hub.files import WITHHELD, findings_left
from infimed_data.manifest import Manifest, portable
from infimed_data.pipeline import build as run_build
from infimed_data.plan import BuildOptions, load_plan

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"

Call = Callable[..., Any]


# What runs in the other process


def settle(variables: dict[str, str]) -> None:
    """Sets the environment before huggingface_hub is imported."""
    os.environ.update(variables)


def outcome(function: Call, token: str | None, *arguments: Any, **options: Any) -> tuple[str, Any, list[str]]:
    """("ok", result, lines said) or ("error", message, lines said)."""
    os.environ.pop("HF_TOKEN", None)
    if token is not None:
        os.environ["HF_TOKEN"] = token
    said: list[str] = []
    try:
        return "ok", function(*arguments, said.append, **options), said
    except InfimedError as error:
        return "error", str(error), said


def build(manifest: Path, folder: Path, say: Call, *, root: Path | None = None) -> Path:
    """A build in `folder`."""
    return run_build(manifest, BuildOptions(folder / "builds", folder / "work", 1, root, quiet=True), say)


def plan(manifest: Path, folder: Path, say: Call) -> list[str | None]:
    """The commits of a manifest's sources, once they are found and fetched."""
    found = load_plan(manifest, BuildOptions(folder / "builds", folder / "work", 1))
    return [reading.commit for reading in found.readings]


def push(folder: Path, repo: str, say: Call, *, ids_only: bool = False, public: bool = False) -> str:
    """A push."""
    from infimed_data.hub import push as push_build

    return push_build(folder, repo, say, ids_only=ids_only, public=public)


def load(repo: str, config: str, revision: str, say: Call) -> tuple[int, list[str], list[int]]:
    """Rows, columns and sides of the pictures of what `datasets` reads back."""
    from datasets import load_dataset

    rows = load_dataset(repo, config, split="train", revision=revision)
    return (
        len(rows),
        rows.column_names,
        [side for row in rows for image in row["images"] for side in getattr(image, "size", ())],
    )


# Fixtures


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Call, dict[str, str]]]:
    """The Hub, how to call a function where it is the Hub, and the environment that makes it so."""
    home = tmp_path_factory.mktemp("hf")
    with serving() as hub:
        variables = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }
        with ProcessPoolExecutor(1, get_context("spawn"), settle, (variables,)) as pool:

            def call(function: Call, *arguments: Any, token: str | None = "hf_ada", **options: Any) -> Any:
                return pool.submit(outcome, function, token, *arguments, **options).result(120)

            yield hub, call, variables


@pytest.fixture
def hub(server: tuple[Hub, Call, dict[str, str]]) -> Iterator[Hub]:
    """The Hub, empty."""
    server[0].clear()
    yield server[0]
    server[0].clear()


@pytest.fixture
def call(server: tuple[Hub, Call, dict[str, str]]) -> Call:
    """Runs a function in the process whose Hub it is."""
    return server[1]


def files_of(*folders: str) -> dict[str, bytes]:
    """Sample data as the files of a repository."""
    return {
        path.relative_to(SAMPLES / folder).as_posix(): path.read_bytes()
        for folder in folders
        for path in sorted((SAMPLES / folder).rglob("*"))
        if path.is_file()
    }


def manifest_of(folder: Path, sources: dict[str, Any], **more: Any) -> Path:
    """A manifest file."""
    content = {
        "name": "small",
        "root": str(SAMPLES),
        "sources": sources,
        "outputs": {"sft": {"validation": 0, "mixture": {"strata": ["source"]}}},
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_bytes(orjson.dumps(content))
    return path


def slake(location: str, **more: Any) -> dict[str, Any]:
    """SLAKE as a source."""
    return {"adapter": "slake", "location": location, "category": "medical_vqa", "license": "CC-BY-4.0", **more}


def medqa(**more: Any) -> dict[str, Any]:
    """MedQA as a source."""
    return {"adapter": "medqa", "location": "medqa", "category": "medical_text", "license": "MIT", **more}


def planned(call: Call, folder: Path, source: dict[str, Any], token: str | None = "hf_ada") -> str:
    """The error of finding a source's files; in one line."""
    status, message, _ = call(plan, manifest_of(folder, {"it": source}), folder, token=token)
    assert status == "error" and "\n" not in message, message
    return str(message)


# Locations


def test_a_location_on_the_hub_builds_what_a_local_copy_builds_and_fetches_named_files_only(
    hub: Hub, call: Call, tmp_path: Path
) -> None:
    repo = hub.repos["ada/slake"] = Repo({**files_of("slake"), "notes/big.bin": b"x" * 1000, "README.md": b"#"})
    repo.tags["v1"] = first = repo.head
    sources = {"slake": slake("hf://datasets/ada/slake@v1")}
    status, there, _ = call(build, manifest_of(tmp_path, sources), tmp_path, token=None)
    assert status == "ok", there
    fetched = {path.rpartition("/")[2] for method, path in hub.asked if method == "GET" and "/resolve/" in path}
    assert fetched == {"train.json", "imgs.zip"}
    lock = orjson.loads((there / "lock.json").read_bytes())
    assert lock["commits"] == {"slake": first} and lock["sources"][0]["revision"] == first

    local = build(manifest_of(tmp_path / "local", {"slake": slake("slake")}), tmp_path / "local", lambda line: None)
    assert (there / "samples.parquet").read_bytes() == (local / "samples.parquet").read_bytes()
    assert [p.read_bytes() for p in there.glob("sft/*")] == [p.read_bytes() for p in local.glob("sft/*")]

    # The tag moves; the lock still builds what it promises, from the cache and without asking.
    repo.tags["v1"] = repo.commit({"train.json": b"[]"})
    hub.asked.clear()
    status, again, _ = call(build, there / "lock.json", tmp_path, root=SAMPLES)
    assert (status, again, hub.asked) == ("ok", there, [])
    status, other, _ = call(build, there / "lock.json", tmp_path / "other", root=SAMPLES)
    assert status == "ok" and other.name == there.name
    assert (other / "lock.json").read_bytes() == (there / "lock.json").read_bytes()


def test_loose_pictures_are_fetched_as_rows_name_them(hub: Hub, call: Call, tmp_path: Path) -> None:
    files = {f"data/{name}": content for name, content in files_of("vqa_rad").items()}
    repo = hub.repos["ada/rad"] = Repo({**files, "data/images/never.jpg": b"\xff", "elsewhere/one.jpg": b"\xff"})
    source = {"adapter": "vqa_rad", "location": f"hf://datasets/ada/rad@{repo.head}/data", "category": "medical_vqa"}
    status, there, _ = call(build, manifest_of(tmp_path, {"rad": source}), tmp_path)
    assert status == "ok", there
    names = {path.partition("/resolve/")[2].partition("/")[2] for _, path in hub.asked if "/resolve/" in path}
    assert "data/trainset.json" in names and any(name.endswith(".jpg") for name in names)
    assert not names & {"data/images/never.jpg", "elsewhere/one.jpg", "data/testset.json"}
    local = {"rad": {**source, "location": "vqa_rad"}}
    copy = build(manifest_of(tmp_path / "local", local), tmp_path / "local", lambda line: None)
    assert (there / "drops.parquet").read_bytes() == (copy / "drops.parquet").read_bytes()

    # What else comes into the cache, here the pictures of the other split, changes nothing.
    manifest = manifest_of(tmp_path / "other", {"test": {**source, "split": "test"}})
    assert call(plan, manifest, tmp_path / "other")[0] == "ok"
    status, again, _ = call(build, manifest_of(tmp_path / "again", {"rad": source}), tmp_path / "again")
    assert (status, again.name) == ("ok", there.name)


def test_a_download_that_breaks_off_goes_on(hub: Hub, call: Call, tmp_path: Path) -> None:
    rows = files_of("slake")["train.json"] + b" " * (11 << 20)  # huggingface_hub writes 10 MiB at a time
    hub.repos["ada/cut"] = Repo({**files_of("slake"), "train.json": rows})
    hub.cut_after = 21 << 19
    manifest = manifest_of(tmp_path, {"it": slake("hf://datasets/ada/cut")})
    assert call(plan, manifest, tmp_path)[:2] == ("ok", [hub.repos["ada/cut"].head])
    assert hub.ranges == ["bytes=10485760-"]


def test_a_run_that_stopped_fetches_only_what_is_not_there_yet(hub: Hub, call: Call, tmp_path: Path) -> None:
    repo = hub.repos["ada/half"] = Repo({**files_of("slake"), "train.json": files_of("slake")["train.json"] + b" "})
    manifest = manifest_of(tmp_path, {"it": slake("hf://datasets/ada/half")})
    hub.faults["resolve imgs.zip"] = (403, "not now")
    status, message, _ = call(plan, manifest, tmp_path)
    assert status == "error" and "imgs.zip: refused (not now)" in message
    hub.faults, hub.asked = {}, []
    assert call(plan, manifest, tmp_path)[:2] == ("ok", [repo.head])
    assert {path.rpartition("/")[2] for _, path in hub.asked if "/resolve/" in path} == {"imgs.zip"}


def test_one_file_of_a_data_set_is_a_location(hub: Hub, call: Call, tmp_path: Path) -> None:
    name = "phrases_no_exclude_train.jsonl"
    repo = hub.repos["ada/qa"] = Repo({f"en/{name}": files_of("medqa")[name], "en/other.jsonl": b"{}"})
    source = medqa(location=f"hf://datasets/ada/qa/en/{name}", revision=repo.head)
    assert call(plan, manifest_of(tmp_path, {"qa": source}), tmp_path)[:2] == ("ok", [repo.head])
    assert hub.count("GET", "/resolve/") == 1


def test_what_cannot_be_fetched_says_why_and_what_to_do(hub: Hub, call: Call, tmp_path: Path) -> None:
    hub.repos["ada/slake"] = Repo(files_of("slake"))
    hub.repos["ada/gated"] = gated = Repo({**files_of("slake"), "train.json": b"[1]"}, gated=True)
    hub.repos["bob/own"] = Repo(files_of("slake"), private=True, owner="bob")
    at = "hf://datasets/ada/slake"

    def error(location: str, token: str | None = "hf_ada", **more: Any) -> str:
        return planned(call, tmp_path, slake(location, **more), token)

    assert "small.yaml:1: sources.it: hf://datasets/ada/slake@v9: no such revision" in error(f"{at}@v9")
    assert "no such revision" in error(f"{at}@{'0' * 40}")
    assert "no such file or folder in it" in error(f"{at}@main/gone")
    assert "no such data set" in error("hf://datasets/ada/gone") and "may not see it" in error("hf://datasets/bob/own")
    assert "it is private: set HF_TOKEN" in error("hf://datasets/bob/own", None)
    assert "the token is wrong, expired or revoked" in error(at, "hf_stale")
    assert "gated: ask for access" in error("hf://datasets/ada/gated") and "with the account of your token" in error(
        f"hf://datasets/ada/gated@{gated.head}"
    )
    assert "set HF_TOKEN" in error("hf://datasets/ada/gated", None)
    assert "a model, not a data set; allowed: a local folder" in error("hf://ada/slake")
    assert "allowed: a local folder or file, hf://datasets/OWNER/NAME@REVISION/PATH, or a URL" in error(
        "hf://spaces/a/b"
    )
    assert "`revision: v2` says otherwise" in error(f"{at}@v1", revision="v2")
    assert "expected" in (text := error(f"{at}@main/imgs.zip")) and "snapshots" not in text

    # Access was revoked, but what was fetched of a commit is still there.
    hub.may_read_gated.add("ada")
    pinned = {"it": slake(f"hf://datasets/ada/gated@{gated.head}")}
    assert call(plan, manifest_of(tmp_path, pinned), tmp_path)[0] == "ok"
    hub.may_read_gated.clear()
    assert call(plan, manifest_of(tmp_path, pinned), tmp_path)[0] == "ok"


def test_offline_is_one_line_with_the_way_on(hub: Hub, tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"it": slake("hf://datasets/ada/slake@v1")})
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "infimed_data.cli",
        "validate",
        str(manifest),
        "--work",
        str(tmp_path),
    ]
    asked = {
        "cannot reach http://127.0.0.1:9": {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
        "HF_HUB_OFFLINE is set": {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "1"},
    }
    running = {
        expected: subprocess.Popen(
            command, env={**os.environ, "HF_HOME": str(tmp_path), **variables}, stderr=subprocess.PIPE, text=True
        )
        for expected, variables in asked.items()
    }
    for expected, process in running.items():
        _, error = process.communicate(timeout=60)
        assert process.returncode == 1 and expected in error and error.count("\n") == 1, error
        assert error.endswith("with a commit after the @, what was fetched before is enough\n")


# Pushes


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of two sources that may be published."""
    folder = tmp_path_factory.mktemp("small")
    sources = {"slake": slake("slake"), "medqa": medqa()}
    benchmarks = {"slake_test": {"adapter": "slake", "location": "slake"}}
    return build(manifest_of(folder, sources, benchmarks=benchmarks), folder, lambda line: None)


def copied(path: Path, folder: Path) -> Path:
    """A copy of a build that a test may spoil."""
    import shutil

    return Path(shutil.copytree(path, folder / path.parent.name / path.name))


def expected_files(path: Path) -> dict[str, bytes]:
    """What a repository must hold of a build, but for the card."""
    lock = orjson.loads((path / "lock.json").read_bytes())
    withheld = ("benchmarks.parquet", "evidence.parquet", "phi.parquet")
    files = {name: (path / name).read_bytes() for name in lock["sha256"] if name not in withheld}
    published = {**lock, "manifest": portable(lock["manifest"])[0]}
    return {**files, "lock.json": orjson.dumps(published, option=orjson.OPT_INDENT_2)}


def held(repo: Repo, revision: str = "main") -> dict[str, bytes]:
    """What a repository holds, but for the card and .gitattributes."""
    files = repo.commits[repo.find(revision)]
    return {name: content for name, content in files.items() if name not in ("README.md", ".gitattributes")}


def test_push_stop_push_tamper_push(hub: Hub, call: Call, small: Path, tmp_path: Path) -> None:
    hub.puts_left = 2  # then the connection is lost
    status, message, _ = call(push, small, "ada/set")
    assert status == "error" and "\n" not in message and "the upload was cut off" in message
    repo = hub.repos["ada/set"]
    assert repo.private and not held(repo) and not repo.tags and len(hub.objects) == 2

    hub.puts_left = None
    hub.asked.clear()
    status, address, said = call(push, small, "ada/set")
    expected = expected_files(small)
    assert (status, address) == ("ok", f"{hub.address}/datasets/ada/set/tree/{small.name}")
    assert held(repo) == expected and repo.tags == {small.name: repo.head}
    large = {content for name, content in expected.items() if name.endswith((".parquet", ".png"))}
    assert hub.count("PUT", "/objects/") == len(large) - 2
    assert f'load_dataset("ada/set", "sft", split="train", revision="{small.name}")' in repo.now["README.md"].decode()

    hub.asked.clear()
    head = repo.head
    status, _, said = call(push, small, "set")
    assert status == "ok" and said == ["push    ada/set: nothing changed"] and repo.head == head
    assert not hub.count("PUT", "") and not hub.count("POST", "/commit/") and not hub.count("POST", "/preupload/")

    # Somebody changes a shard, adds one and removes another in the repository.
    shard = next(name for name in expected if name.startswith("sft/"))
    spoilt = {**repo.now, shard: b"PAR1" + expected[shard][4:-1] + b"!", "sft/train-9.parquet": b"PAR1"}
    del spoilt["drops.parquet"]
    repo.commit(spoilt)
    assert call(push, small, "ada/set")[0] == "ok"
    assert held(repo) == expected and repo.tags == {small.name: head}

    # A push was stopped before it could set the tag.
    repo.tags.clear()
    head = repo.head
    status, _, said = call(push, small, "ada/set")
    assert said == [f"push    ada/set: tagged {small.name}"] and repo.tags == {small.name: head} == {
        small.name: repo.head
    }

    # The tag is on something else.
    repo.tags[small.name] = repo.commit({**repo.now, shard: b"x"})
    assert call(push, small, "ada/set")[0] == "ok"
    assert held(repo) == held(repo, small.name) == expected

    # A shard of the build itself changed: nothing is pushed.
    spoiled = copied(small, tmp_path)
    data = (spoiled / shard).read_bytes()
    (spoiled / shard).write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    head = repo.head
    status, message, _ = call(push, spoiled, "ada/set")
    assert status == "error" and f"{shard}: changed since it was built; nothing was pushed; remove" in message
    (spoiled / shard).unlink()
    assert "cannot read" in call(push, spoiled, "ada/set")[1] and repo.head == head


def test_another_build_replaces_the_first_which_keeps_its_tag(
    hub: Hub, call: Call, small: Path, tmp_path: Path
) -> None:
    place = str(SAMPLES / "slake")
    next_one = build(manifest_of(tmp_path, {"slake": slake(place)}, seed=3), tmp_path, lambda line: None)
    for which in (small, next_one, small):
        status, _, said = call(push, which, "ada/set", public=True)
        assert status == "ok"
        assert (f"push    lock.json: slake for {place}" in said) == (which == next_one)
        assert str(SAMPLES).encode() not in b"".join(hub.repos["ada/set"].now.values())
        assert held(hub.repos["ada/set"]) == expected_files(which)
    repo = hub.repos["ada/set"]
    assert set(repo.tags) == {small.name, next_one.name} and not repo.private
    assert held(repo, next_one.name) == expected_files(next_one)


def test_datasets_reads_it_back(hub: Hub, call: Call, small: Path) -> None:
    assert call(push, small, "ada/set")[0] == "ok"
    status, found, _ = call(load, "ada/set", "sft", small.name)
    assert status == "ok"
    rows, columns, sides = found
    assert rows == orjson.loads((small / "lock.json").read_bytes())["outputs"]["sft"]["train"]
    assert {"messages", "images"} <= set(columns) or {"prompt", "images"} <= set(columns)
    assert sides and all(side > 0 for side in sides)


def test_where_rows_may_point_at_a_person_stays_at_home(small: Path, tmp_path: Path) -> None:
    build = copied(small, tmp_path)
    kept = pl.read_parquet(build / "samples.parquet").filter(pl.col("images").list.len() > 0)
    found = pl.DataFrame(
        {
            "uid": [kept["uid"][0], kept["uid"][1], "gone/train/1", None, None],
            "image": [None, None, None, kept["images"][0][0], "not here"],
            "action": ["report", "quarantine", "report", "report", "report"],
        }
    )
    assert findings_left(build) == 0
    found.write_parquet(build / "phi.parquet")
    assert findings_left(build) == 2, "a text and a picture that are published"
    assert "phi.parquet" in WITHHELD


def test_ctrl_c_stops_a_push_and_the_same_command_goes_on(
    server: tuple[Hub, Call, dict[str, str]], hub: Hub, small: Path
) -> None:
    hub.hold_puts = threading.Event()
    command = [sys.executable, "-W", "error", "-m", "infimed_data.cli", "push", str(small), "ada/set"]
    env = {**os.environ, **server[2], "HF_TOKEN": "hf_ada"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not hub.count("PUT", "/objects/") and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    hub.hold_puts.set()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped; the same command continues" in error, error
    assert not held(hub.repos["ada/set"])
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{hub.address}/datasets/ada/set/tree/{small.name}\n"
    assert held(hub.repos["ada/set"]) == expected_files(small)


def test_what_keeps_a_push_from_happening_is_one_line_with_the_way_on(hub: Hub, call: Call, small: Path) -> None:
    def error(repo: str = "ada/set", token: str | None = "hf_ada", **options: Any) -> str:
        status, message, _ = call(push, small, repo, token=token, **options)
        assert status == "error" and "\n" not in message, message
        return str(message)

    assert "no token; set HF_TOKEN" in error(token=None)
    assert "the token is wrong, expired or revoked; make a new one" in error(token="hf_stale")
    assert "ada may not make it; use a token that may write to bob" in error("bob/set")
    assert "not a name the Hub allows" in error("ada/a b")
    hub.faults["create"] = (402, "Private storage quota exceeded")
    assert "quota: Private storage quota exceeded; make room" in error()
    hub.faults = {"lfs": (403, "Private repository storage limit reached")}
    assert "quota: Private repository storage limit reached; make room or raise" in error()
    hub.faults = {"put": (413, "object exceeds the plan's limit")}
    assert "quota: object exceeds the plan's limit" in error()
    hub.faults = {"commit": (412, "A commit has happened since")}
    assert "somebody pushed to it meanwhile; run the same command again" in error()
    hub.faults = {}
    assert call(push, small, "ada/set")[0] == "ok"  # and half an upload before does no harm
    assert held(hub.repos["ada/set"]) == expected_files(small)

    hub.repos["ada/set"].tamper("drops.parquet", b"x")
    assert "it needs a token that may do this" in error(token="hf_reader")
    hub.tokens["hf_ada"] = ("ada", "read")
    assert "refused (You don't have the rights to write to this repo" in error()
    hub.tokens["hf_ada"] = ("ada", "write")

    assert "exists and is private; make it public in its settings" in error(public=True)
    hub.repos["ada/open"] = Repo()
    assert "everybody can read it; push with --public" in error("ada/open")
    hub.repos["ada/other"] = Repo({"notes.txt": b"mine"}, private=True)
    assert "the name is taken: it holds notes.txt and no build's lock.json" in error("ada/other")
    hub.repos["ada/kin"] = Repo({"lock.json": b'{"name": "kin"}'}, private=True)
    assert "it holds builds of 'kin', not of 'small'; choose another" in error("ada/kin")
    hub.repos["ada/hidden"] = Repo(private=True, owner="bob")
    assert "the name is taken by one that your token may not see" in error("ada/hidden")
    assert "its history holds whole rows; push ids to a repository of their own" in error(ids_only=True)


# Terms


def closed(**more: Any) -> dict[str, str]:
    """Why a source with these fields may not be published."""
    name = more.pop("name", "it")
    source = {"location": "x", "category": "medical_vqa", **more}
    return closed_sources(Manifest.model_validate({"name": "m", "sources": {name: source}, "outputs": {"sft": {}}}))


def test_what_may_not_be_published() -> None:
    assert not closed(adapter="slake", license="CC-BY-4.0")
    assert closed(adapter="slake") == {"it": "no license is known"} == closed(adapter="slake", license="not stated")
    assert closed(adapter="cauldron", license="of each part") == {"it": "no license is known"}
    assert not closed(adapter="slake", redistribute=True)
    assert "redistribute: false" in closed(adapter="slake", license="MIT", redistribute=False)["it"]
    assert "person by person" in closed(adapter="mimic_cxr_vqa", license="MIT")["it"]
    assert "person by person" in closed(adapter="vindr_cxr_vqa", license="CC-BY-4.0")["it"]
    assert "CC-BY-NC-ND-3.0" in closed(adapter="llava", license="CC-BY-NC-ND-3.0")["it"]
    assert "PhysioNet" in closed(adapter="chat", license="PhysioNet Credentialed 1.5.0")["it"]
    assert "nobody says" in closed(adapter="m23k", license="Apache-2.0", name="m23k")["m23k"]
    assert "nobody says" in closed(adapter="cauldron", license="MIT", name="cauldron")["cauldron"]
    assert "Quilt" in closed(adapter="vqa", license="MIT", options={"layout": "quilt_vqa"})["it"]
    assert "QUILT" in closed(adapter="llava", license="MIT", name="quilt_llava")["quilt_llava"].upper()
    location = "hf://datasets/wisdomik/QUILT-LLaVA-Instruct-107K@main"
    assert "not let rows be published" in closed(adapter="llava", license="MIT", location=location)["it"]
    assert not closed(adapter="llava", license="Apache-2.0", name="pubmedvision")
    assert not closed(adapter="llava", license="MIT"), "settings that a source does not give match no data set"


def test_terms_block_a_push_and_ids_rebuild_the_same_bytes(hub: Hub, call: Call, tmp_path: Path) -> None:
    sources = {"secret": slake("slake", license="CC-BY-NC-ND-4.0", split=["train", "validation"]), "medqa": medqa()}
    benchmarks = {"slake_test": {"adapter": "slake", "location": "slake"}}
    blocked = build(manifest_of(tmp_path, sources, benchmarks=benchmarks), tmp_path, lambda line: None)
    status, message, _ = call(push, blocked, "ada/ids")
    assert status == "error" and "\n" not in message and "secret (its license is CC-BY-NC-ND-4.0)" in message
    assert "--ids-only" in message and "redistribute: true" in message and not hub.asked

    for _ in range(2):
        assert call(push, blocked, "ada/ids", ids_only=True)[0] == "ok"
    repo = hub.repos["ada/ids"]
    assert hub.count("POST", "/commit/") == 1 and repo.tags == {blocked.name: repo.head}
    assert not [
        name for name in repo.now if name.startswith("sft/") or name in ("benchmarks.parquet", "images.parquet")
    ]
    assert "No text of secret: its license is CC-BY-NC-ND-4.0." in repo.now["README.md"].decode()

    tables = {name: pl.read_parquet(content) for name, content in repo.now.items() if name.endswith(".parquet")}
    kept = pl.read_parquet(blocked / "samples.parquet")
    assert tables["ids.parquet"]["uid"].to_list() == kept["uid"].to_list()
    assert tables["ids.parquet"]["digest"].to_list() == kept["digest"].to_list()
    assert set(tables["samples.parquet"]["source"]) == {"medqa"}
    everything = " ".join(str(row) for table in tables.values() for row in table.rows())
    secret = [*kept.rows(named=True), *pl.read_parquet(blocked / "drops.parquet").rows(named=True)]
    questions = {row["question"] for row in secret if row["source"] == "secret" and row["question"]}
    assert questions and not [question for question in questions if question in everything]
    assert set(tables["drops.parquet"].filter(pl.col("source") == "secret")["value"]) <= {None}
    status, found, _ = call(load, "ada/ids", "ids", blocked.name)
    assert (status, found[0]) == ("ok", len(kept)), found

    # Somebody else, with a copy of the sources, from the lock alone.
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "lock.json").write_bytes(repo.now["lock.json"])
    again = build(theirs / "lock.json", theirs, lambda line: None, root=SAMPLES)
    assert again.name == blocked.name and expected_files(again) == expected_files(blocked)

    allowed = {name: {**source, "redistribute": True} for name, source in sources.items()}
    permitted = build(manifest_of(tmp_path / "ok", allowed), tmp_path / "ok", lambda line: None)
    assert "its history holds ids; push whole rows to a repository of their own" in call(push, permitted, "ada/ids")[1]
    assert call(push, permitted, "ada/rows")[0] == "ok"
