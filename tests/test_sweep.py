"""Variants are built from shared stages, and one table says what differs and why."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
import pytest
import xxhash
from conftest import PROJECT, Run
from PIL import Image

from infimed_data.errors import ManifestError, QueryError
from infimed_data.plan import BuildOptions
from infimed_data.stats import query
from infimed_data.sweep import (
    Swept,
    as_text,
    compared,
    draw_scores,
    explained,
    match_scores,
    read_scores,
    scores_text,
    sweep,
    with_scores,
)

BASE = f"""name: base
seed: 3
root: {PROJECT / "sample_data"}
sources:
  medqa: {{adapter: medqa, location: medqa, category: medical_text, license: CC-BY-4.0}}
  medical_o1: {{adapter: medical_o1, location: medical_o1, category: medical_text, license: Apache-2.0}}
benchmarks:
  medqa_test: {{adapter: medqa, location: medqa}}
outputs:
  sft: {{}}
"""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sweep")
    texts = {
        "base": BASE,
        "few": "extends: base.yaml\nname: few\noutputs: {sft: {mixture: {total: 10}}}\n",
        "impossible": "extends: base.yaml\nname: impossible\nfilters: {min_question_chars: 9000}\n",
        "leaky": "extends: base.yaml\nname: leaky\nbenchmarks: null\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return [folder / f"{name}.yaml" for name in texts]


@pytest.fixture(scope="module")
def swept(manifests: list[Path]) -> tuple[list[Swept], list[str]]:
    said: list[str] = []
    folder = manifests[0].parent
    options = BuildOptions(folder / "builds", folder / "work", 1, quiet=True)
    return sweep(manifests, options, said.append), said


def test_shared_stages_are_computed_once(swept: tuple[list[Swept], list[str]]) -> None:
    _, said = swept
    for stage in ("ingest", "texts"):
        lines = [line for line in said if line.startswith(f"{stage}  ")]
        lines = [line for line in lines if " medqa/train" in line]
        assert len(lines) == 4 and ["cached" in line for line in lines] == [False, True, True, True]
    assert [line for line in said if line.startswith("[")] == [
        "[1/4] base", "[2/4] few", "[3/4] impossible", "[4/4] leaky",
    ]  # fmt: skip


def test_the_table_has_what_differs_and_no_more(swept: tuple[list[Swept], list[str]]) -> None:
    found = {row["variant"]: row for row in compared(swept[0]).to_pylist()}
    assert list(found) == ["base", "few", "impossible", "leaky"]
    base, few, leaky = found["base"], found["few"], found["leaky"]
    assert few["sft"] == 10 < base["sft"] < leaky["sft"]
    assert few["dropped_mix"] == few["rows_changed"] == base["sft"] - 10
    assert leaky["rows_changed"] == leaky["sft"] - base["sft"] > 0 == base["rows_changed"]
    assert "rl_medical_text" not in base and "sft_medical_vqa" not in base, "the same in all"
    for one in swept[0]:
        if one.build is not None:
            [row] = query(one.build, "SELECT count(*) AS n FROM samples WHERE sft_split IS NOT NULL").to_pylist()
            assert found[one.name]["sft"] == row["n"]


def test_a_variant_that_fails_is_named_and_the_others_are_built(swept: tuple[list[Swept], list[str]]) -> None:
    failed = swept[0][2]
    assert failed.build is None and failed.error is not None and "no row is left" in failed.error
    text = as_text(swept[0])
    assert "impossible: failed: " in text and text.splitlines()[0].split() == ["base", "few", "impossible", "leaky"]


def test_keys_of_the_manifest_explain_each_variant(swept: tuple[list[Swept], list[str]]) -> None:
    found = {(row["variant"], row["what"]): (row["first"], row["here"]) for row in explained(swept[0]).to_pylist()}
    assert found["few", "manifest outputs.sft.mixture.total"] == ("null", "10")
    assert ("leaky", "manifest benchmarks.medqa_test") in found
    assert not any(what == "manifest name" for _, what in found)


def test_nothing_is_built_where_a_manifest_is_wrong(tmp_path: Path, manifests: list[Path]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("extends: nothing.yaml\n")
    options = BuildOptions(tmp_path / "builds", tmp_path / "work", 1, quiet=True)
    with pytest.raises(ManifestError) as caught:
        sweep([manifests[0], manifests[0], wrong], options, lambda _: None)
    assert [problem.partition(": ")[2][:11] for problem in caught.value.problems] == ["given twice", "no such man"]
    assert not (tmp_path / "builds").exists()


def test_the_command_prints_one_table_and_ends_with_1_where_one_failed(manifests: list[Path], run: Run) -> None:
    folder = manifests[0].parent
    places = ("--out", folder / "builds", "--work", folder / "work", "-q")
    done = run("sweep", *manifests[:2], *places, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert [row["variant"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["base", "few"]
    done = run("sweep", *manifests[:3], *places)
    assert done.returncode == 1 and "What the locks say otherwise than the first" in done.stdout
    assert any(line.startswith("error: outputs.sft: no row is left") for line in done.stderr.splitlines())


# Scores


def evaluated(folder: Path, *, trained_on: list[str] | None = None, **accuracy: float) -> Path:
    """A folder as `infimed-train eval` leaves it."""
    folder.mkdir(parents=True)
    scores = [
        {"benchmark": name, "part": part, "rows": 4, "accuracy": value, "low": value - 0.1, "high": value + 0.1}
        for name, value in accuracy.items()
        for part in ("all", "kind=choice")
    ]
    mean = sum(accuracy.values()) / len(accuracy)
    results = {"scores": scores, "average": [mean, mean - 0.05, mean + 0.05]}
    (folder / "results.json").write_bytes(orjson.dumps(results))
    if trained_on is not None:
        (folder / "run.json").write_bytes(orjson.dumps({"trained_on": trained_on}))
    return folder


def build_of(swept: tuple[list[Swept], list[str]], name: str) -> Path:
    """The folder of a variant's build."""
    build = next(one.build for one in swept[0] if one.name == name)
    assert build is not None
    return build.path


def test_scores_find_their_variant_by_what_the_model_was_trained_on(
    swept: tuple[list[Swept], list[str]], tmp_path: Path
) -> None:
    base, few, leaky = (build_of(swept, name) for name in ("base", "few", "leaky"))
    lock = xxhash.xxh3_128_hexdigest((leaky / "lock.json").read_bytes())
    a = evaluated(tmp_path / "a", trained_on=[f"base/{base.name} lock {'0' * 32} sft/train"], rad=0.5, slake=0.7)
    b = evaluated(tmp_path / "b", trained_on=["rl/other rl/train", f"me/set@{few.name} sft/train"], rad=0.6)
    c = evaluated(tmp_path / "c", trained_on=[f"moved/away lock {lock} sft/train"], rad=0.8, slake=0.9)
    d = evaluated(tmp_path / "d", rad=0.4)
    found = match_scores(read_scores([str(c), str(b), str(a / "results.json"), f"few={d}"]), swept[0])
    assert [(one.variant, one.place.name) for one in found] == [
        ("leaky", "c"), ("few", "b"), ("base", "results.json"), ("few", "d"),
    ]  # fmt: skip

    rows = {row["variant"]: row for row in with_scores(swept[0], found).to_pylist()}
    assert {name: row["evaluations"] for name, row in rows.items()} == {
        "base": 1,
        "few": 2,
        "impossible": 0,
        "leaky": 1,
    }
    assert [rows[name]["score_rad"] for name in ("base", "few", "leaky")] == [0.5, 0.5, 0.8], "the mean of two"
    assert [rows[name]["score_slake"] for name in rows] == [0.7, None, None, 0.9]
    assert rows["few"]["sft"] == 10, "data and scores in one row"

    text = scores_text(swept[0], found).splitlines()
    assert text[0].split() == ["variant", "evaluation", "average", "rad", "slake"]
    cells = [line.split("  ") for line in text[2:]]
    assert [line[0] for line in cells] == ["base", "few", "few", "leaky", "impossible"]
    assert "60.0 (+10.0)" in text[3] and "80.0 (+30.0)" in text[5] and "not scored" in text[6]

    draw_scores(swept[0], found, tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        colours = {colour for _, colour in chart.convert("RGB").getcolors(1 << 20) or []}
        assert chart.format == "PNG" and chart.width == 1400 and len(colours) > 3


def test_a_result_that_is_of_no_variant_says_so(swept: tuple[list[Swept], list[str]], tmp_path: Path) -> None:
    def fault(*given: object) -> str:
        with pytest.raises(QueryError) as caught:
            match_scores(read_scores([str(one) for one in given]), swept[0])
        return str(caught.value)

    other = evaluated(tmp_path / "other", trained_on=["demo/aaaaaaaaaaaa lock 0 sft/train"], rad=0.5)
    said = fault(other)
    assert "was trained on demo/aaaaaaaaaaaa lock 0 sft/train, which is none of these variants (base " in said
    assert said.endswith(f"sweep that variant too, or say whose they are: --scores VARIANT={other}")
    assert "does not say what the model was trained on" in fault(evaluated(tmp_path / "x", trained_on=[], rad=0.5))
    assert "no run.json beside the results; say whose" in fault(evaluated(tmp_path / "y", rad=0.5))
    assert "no variant is called 'bse'; there are base, few, impossible, leaky; did you mean 'base'?" in fault(
        f"bse={other}"
    )
    assert fault(tmp_path / "gone", tmp_path / "gone2").count("no results there; give the folder") == 2
    spoiled = evaluated(tmp_path / "spoiled", trained_on=["x"], rad=0.5) / "results.json"
    for content in (b"{}", b"[", b'{"scores": []}', b'{"scores": [{"benchmark": "a", "part": "all", "accuracy": 50}]}'):
        spoiled.write_bytes(content)
        assert "not the results of" in fault(spoiled) or "no benchmark has a score" in fault(spoiled)


def test_the_command_joins_scores_and_draws_a_chart(
    swept: tuple[list[Swept], list[str]], manifests: list[Path], tmp_path: Path, run: Run
) -> None:
    folder = manifests[0].parent
    places = ("--out", folder / "builds", "--work", folder / "work", "-q", "--chart", tmp_path / "c.png")
    results = evaluated(tmp_path / "a", trained_on=[f"base/{build_of(swept, 'base').name} sft/train"], rad=0.25)
    done = run("sweep", *manifests[:2], *places, "--scores", results, "--format", "csv")
    assert done.returncode == 0 and f"chart   {tmp_path / 'c.png'}" in done.stderr, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["score_rad"] for row in rows] == ["0.25", ""] and (tmp_path / "c.png").stat().st_size
    done = run("sweep", *manifests[:2], *places, "--scores", tmp_path / "none")
    assert done.returncode == 1 and done.stderr.startswith("error: --scores") and done.stderr.count("\n") == 1
