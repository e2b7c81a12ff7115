"""Variants are built from shared stages, and one table says what differs and why."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from conftest import PROJECT, Run

from infimed_data.errors import ManifestError
from infimed_data.plan import BuildOptions
from infimed_data.stats import query
from infimed_data.sweep import Swept, as_text, compared, explained, sweep

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
