"""Two builds held against each other: every change is found once, with source and rule, and the locks explain it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from conftest import PROJECT, Run

from infimed_data.stats import changes, difference, open_build
from infimed_data.stats.locks import causes


@pytest.fixture(scope="module")
def variant(demo_build: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The demo without one source and one split, with another share of validation."""
    manifest = tmp_path_factory.mktemp("variant") / "variant.yaml"
    manifest.write_text(
        f"extends: {PROJECT / 'manifests' / 'demo.yaml'}\nname: variant\n"
        "sources: {messages: null, slake: {split: train}}\noutputs: {sft: {validation: 0.2}}\n"
    )
    work = demo_build.parents[2] / "work"
    done = run("build", manifest, "--out", manifest.parent / "builds", "--work", work, "-q")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def ends(build: Path) -> dict[str, dict[str, Any]]:
    """Where every row of a build ended, read without the code that is tested."""
    samples = pl.read_parquet(build / "samples.parquet").to_dicts()
    drops = pl.read_parquet(build / "drops.parquet").to_dicts()
    return {row["uid"]: row for row in (*samples, *drops)}


def expected(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> Counter[str]:
    found = Counter[str]()
    for uid in {*a, *b}:
        old, new = a.get(uid), b.get(uid)
        kept_a, kept_b = bool(old and "output" in old), bool(new and "output" in new)
        if old is None or new is None:
            found[
                {(False, True): "added", (True, False): "removed"}.get((kept_a, kept_b))
                or ("read in b only" if old is None else "read in a only")
            ] += 1
        elif kept_a != kept_b:
            found["now kept" if kept_b else "now dropped"] += 1
        elif kept_a:
            found["other output"] += old["output"] != new["output"]
            for split in ("sft_split", "rl_split"):
                found["other split"] += bool(old[split] and new[split] and old[split] != new[split])
            said = ("question", "options", "answer", "answer_label", "turns", "rationale", "images")
            found["other content"] += any(old[name] != new[name] for name in said)
        else:
            found["other rule"] += (old["stage"], old["rule"]) != (new["stage"], new["rule"])
    return +found


def test_every_change_is_found_and_named(demo_build: Path, variant: Path) -> None:
    a, b = ends(demo_build), ends(variant)
    table = changes(open_build(demo_build), open_build(variant))
    rows = table.to_pylist()
    assert Counter(row["change"] for row in rows) == expected(a, b)
    assert {row["uid"].split("/")[0] for row in rows if row["change"] == "removed"} == {"messages", "slake"}
    for row in rows:
        assert row["uid"] in a or row["uid"] in b
        if row["change"] == "now dropped":
            assert row["rule"] == f"{b[row['uid']]['stage']}/{b[row['uid']]['rule']}"
        if row["change"] == "now kept":
            assert row["rule"] == f"{a[row['uid']]['stage']}/{a[row['uid']]['rule']}"
    back = changes(open_build(variant), open_build(demo_build)).to_pylist()
    turned = Counter(row["change"] for row in back)
    assert turned["added"] == expected(a, b)["removed"] > 0
    assert turned["other split"] == expected(a, b)["other split"] > 0


def test_the_text_says_what_and_why(demo_build: Path, variant: Path, run: Run) -> None:
    done = run("diff", demo_build, variant, "--examples", "2", COLUMNS="160")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "manifest  sources.slake.split" in text and "[train, validation]" in text
    assert "outputs.sft.validation" in text and "sources.messages" in text
    assert "input" not in text.split("Rows by kind")[0], "no input changed"
    line = next(line for line in text.splitlines() if line.startswith("removed") and " slake " in line)
    assert len([word for word in line.split() if word.startswith("slake/validation/")]) == 2
    assert all(len(line) <= 160 for line in text.splitlines())


def test_every_changed_row_is_printed_as_csv_and_json(demo_build: Path, variant: Path, run: Run) -> None:
    count = len(changes(open_build(demo_build), open_build(variant)))
    as_json = json.loads(run("diff", demo_build, variant, "--format", "json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(run("diff", demo_build, variant, "--format", "csv").stdout)))
    assert len(as_json) == len(as_csv) == count
    assert set(as_json[0]) == {"uid", "source", "split", "change", "rule"}


def test_a_build_does_not_differ_from_itself(demo_build: Path) -> None:
    opened = open_build(demo_build)
    assert len(changes(opened, opened)) == 0
    text = difference(opened, opened)
    assert "one digest" in text and "Every row ends where it did" in text


def test_what_is_wrong_is_said_in_one_line(demo_build: Path, tmp_path: Path, run: Run) -> None:
    done = run("diff", demo_build, tmp_path / "gone")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1 and "no such folder" in done.stderr


def test_other_content_names_the_fields(demo_build: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(demo_build, copied)
    samples = pl.read_parquet(copied / "samples.parquet")
    uid = samples["uid"][3]
    changed = samples.with_columns(
        pl.when(pl.col("uid") == uid).then(pl.lit("else")).otherwise(c).alias(c) for c in ("answer", "rationale")
    )
    changed.write_parquet(copied / "samples.parquet")
    lock = orjson.loads((copied / "lock.json").read_bytes())
    (copied / "lock.json").write_bytes(orjson.dumps({**lock, "build": "0" * 12}))
    [row] = changes(open_build(demo_build), open_build(copied)).to_pylist()
    assert (row["uid"], row["change"], row["rule"]) == (uid, "other content", "answer, rationale")
    assert "Nothing in the locks explains" in difference(open_build(demo_build), open_build(copied))


def test_locks_are_explained_by_inputs_versions_code_marks_and_teachers() -> None:
    spec = {"adapter": "x", "options": {}}
    a: dict[str, Any] = {
        "manifest": {"seed": 1, "sources": {"s": spec, "t": spec}, "budget": {"max_usd": 1}},
        "inputs": {
            "s/train": {"files": {"a.json": "1", "b.json": "2"}, "images": "aa", "image_count": 3},
            "t/train": {"files": {"a.json": "1"}, "images": "aa", "image_count": 3},
        },
        "versions": {"pyarrow": "22"},
        "stages": {"s/train": {"ingest": "k1", "texts": "k2"}, "t/train": {"ingest": "k1", "texts": "k2"}},
        "review": {},
        "generate": {"reflect": {"rows": 4, "candidates": 9, "accepted": 4}},
    }
    b = orjson.loads(orjson.dumps(a))
    assert causes(a, b) == []
    b["manifest"]["budget"] = {"max_usd": 5}
    assert causes(a, b) == [], "what a run may spend changes no row"
    b["manifest"]["seed"] = 2
    b["inputs"]["s/train"] = {"files": {"a.json": "1", "c.json": "2"}, "images": "bb", "image_count": 4}
    b["versions"]["pyarrow"] = "23"
    b["stages"]["s/train"]["ingest"] = "other, as its input is"
    b["stages"]["t/train"] = {"ingest": "k3", "texts": "k4"}
    b["review"] = {"x": True}
    b["generate"]["reflect"]["candidates"] = 12
    found = [(cause.kind, cause.name, cause.a, cause.b) for cause in causes(a, b)]
    assert found == [
        ("manifest", "seed", "1", "2"),
        ("input", "s/train b.json", "2", "(not there)"),
        ("input", "s/train c.json", "(not there)", "2"),
        ("input", "s/train pictures", "3 pictures aa", "4 pictures bb"),
        ("version", "pyarrow", "22", "23"),
        ("code", "ingest of t/train", "k1", "k3"),
        ("marks", "review", "0 marks", "1 marks"),
        ("teachers", "reflect", "4 rows, 9 candidates, 4 accepted", "4 rows, 12 candidates, 4 accepted"),
    ]
