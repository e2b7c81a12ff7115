"""The recipes are valid, and build from stand-ins for every data set in its public layout, with counts as asked."""

from __future__ import annotations

from pathlib import Path

import orjson
import polars as pl
import pytest
from conftest import PROJECT, Run
from stand_ins import PUBLISHED, build_scaled, folders, write_sets

from infimed_data.adapters.catalogue import DATA_SETS
from infimed_data.errors import ManifestError
from infimed_data.manifest import Weight, load_manifest
from infimed_data.plan import BuildOptions, load_plan
from infimed_data.stats import changes, open_build

MANIFESTS = PROJECT / "manifests"
RECIPES = sorted(path for path in MANIFESTS.rglob("*.yaml") if path.name != "demo.yaml")
SCALE = 0.002
"""tests/benchmarks/stand_ins.py builds them at 1% and more."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins of every data set, stages and builds, shared by all tests here."""
    folder = tmp_path_factory.mktemp("recipes")
    write_sets(folder / "data", PUBLISHED, SCALE)
    return folder


@pytest.fixture(scope="module")
def sft(folder: Path) -> Path:
    return build_scaled(MANIFESTS / "infimed_sft.yaml", folder, SCALE)


def test_every_kind_of_ablation_is_there() -> None:
    names = {path.stem for path in RECIPES}
    assert {"infimed_sft", "infimed_rl", "benchmarks", "infimed_progressive"} <= names
    assert {"without_medical_vqa", "without_medical_text", "without_general", "without_reflective"} <= names
    assert {"plain_cot", "answer_only_0", "answer_only_50", "answer_only_100", "ratio_equal"} <= names


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_where_its_data_sets_are(recipe: Path, folder: Path) -> None:
    plan = load_plan(recipe, BuildOptions(Path(), folder / "work", 1, folder / "data"))
    assert set(folders(plan.manifest)) <= set(PUBLISHED)
    assert plan.manifest.name == recipe.stem
    named = {reading.name.partition("/")[0] for reading in plan.benchmarks}
    seven = {"vqa_rad_test", "slake_test", "path_vqa_test", "pmc_vqa_test_clean", "omnimedvqa", "medxpertqa_mm"}
    assert seven | {"mmmu_validation", "mmmu_test", "pmc_vqa_test_2", "medqa_test", "pubmedqa_test"} <= named


def test_the_command_validates_a_recipe_that_extends_another(folder: Path, run: Run) -> None:
    recipe = MANIFESTS / "ablations" / "plain_cot.yaml"
    done = run("validate", recipe, "--root", folder / "data", "--work", folder / "work")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{recipe}: valid; 14 sources, outputs: sft")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_published_numbers_and_terms_are_those_of_the_catalogue(recipe: Path) -> None:
    manifest, _, _ = load_manifest(recipe)
    known = {"llava_med": "llava"}
    for name, spec in manifest.sources.items():
        entry = DATA_SETS[known.get(name, name)]
        assert (spec.adapter, spec.category, spec.license) == (entry.adapter, entry.category, entry.license), name
        assert not entry.gated, "a recipe must be open to everybody"
        if spec.expect_rows is not None:
            assert spec.expect_rows == sum(entry.rows[split] or 0 for split in spec.splits), name


def test_counts_add_up_to_what_the_paper_publishes() -> None:
    for name, total in (("infimed_sft", 188_000), ("infimed_rl", 36_000)):
        manifest, _, _ = load_manifest(MANIFESTS / f"{name}.yaml")
        [(_, output)] = manifest.outputs.items()
        mixture = output.mixture
        assert mixture.total == total
        assert set(mixture.budgets) == set(manifest.sources)
        fixed = sum(budget for budget in mixture.budgets.values() if isinstance(budget, int))
        assert fixed < total and [n for n, b in mixture.budgets.items() if isinstance(b, Weight)] == ["pmc_vqa"]
    whole, _, _ = load_manifest(MANIFESTS / "infimed_sft.yaml")
    assert whole.outputs.sft is not None
    for left_out, sources in {
        "without_medical_vqa": ("pubmedvision", "llava_med"),
        "without_medical_text": ("medical_o1", "medical_r1", "m23k", "medreason"),
        "without_general": ("llava_cot", "mulberry", "r1_onevision", "scienceqa"),
    }.items():
        manifest, _, _ = load_manifest(MANIFESTS / "ablations" / f"{left_out}.yaml")
        assert manifest.outputs.sft is not None
        gone = sum(int(str(whole.outputs.sft.mixture.budgets[source])) for source in sources)
        assert manifest.outputs.sft.mixture.total == 188_000 - gone
        assert all(manifest.outputs.sft.mixture.budgets[source] == 0 for source in sources)


def test_the_sft_recipe_builds_with_the_counts_that_it_asks_for(sft: Path) -> None:
    lock = orjson.loads((sft / "lock.json").read_bytes())
    output = lock["outputs"]["sft"]
    assert (output["asked"], output["samples"]) == (376, 376)
    realised = {row["stratum"]: row["realised"] for row in output["strata"]}
    exact = {"pubmedvision": 80, "llava_med": 35, "medical_o1": 24, "medical_r1": 15, "m23k": 12, "medreason": 12,
             "llava_cot": 24, "mulberry": 16, "r1_onevision": 16, "scienceqa": 7}  # fmt: skip
    assert {name: realised[name] for name in exact} == exact
    small = {"vqa_rad": 4, "slake": 20, "path_vqa": 39}
    assert all(0 <= realised[name] <= most for name, most in small.items())
    assert realised["pmc_vqa"] == 376 - sum(exact.values()) - sum(realised[name] for name in small), "it fills up"
    samples = pl.read_parquet(sft / "samples.parquet")
    traced = samples.filter(pl.col("source").is_in(["vqa_rad", "slake", "path_vqa", "pmc_vqa"]))
    assert 0.6 < (traced["rationale_chars"] > 0).mean() < 1  # type: ignore[operator]
    assert lock["drops"]["ingest"]["evaluation_set"] > 0, "MedReason's rows of MedXpertQA"
    assert sum(lock["drops"]["decontaminate"].values()) > 0, "VQA-RAD's train split shares pictures with its test"


def test_the_phases_are_the_same_rows_in_another_order(sft: Path, folder: Path) -> None:
    build = build_scaled(MANIFESTS / "infimed_progressive.yaml", folder, SCALE)
    assert len(changes(open_build(sft), open_build(build))) == 0
    rows = pl.read_parquet(build / "samples.parquet").filter(pl.col("sft_split") == "train").sort("sft_position")
    phase = {source: number for number, sources in enumerate(_phases()) for source in sources}
    order = [phase[source] for source in rows["source"]]
    assert order == sorted(order) and set(order) == {0, 1, 2, 3}
    first = rows.filter(pl.col("source").is_in(_phases()[0]))["source"].to_list()
    assert first != sorted(first), "mixed within a phase"


def test_what_an_ablation_leaves_in_is_what_the_whole_has(sft: Path, folder: Path) -> None:
    build = build_scaled(MANIFESTS / "ablations" / "without_general.yaml", folder, SCALE)
    found = [row for row in changes(open_build(sft), open_build(build)).to_pylist() if row["change"] != "other split"]
    general = {"llava_cot", "mulberry", "r1_onevision", "scienceqa"}
    assert {row["source"] for row in found} <= general | {"pmc_vqa"}
    gone = [row for row in found if row["source"] in general]
    assert len(gone) == 63 and {row["change"] for row in gone} == {"now dropped"}
    assert len(found) - len(gone) <= 1, "rounding of the scaled counts"


@pytest.mark.parametrize(("name", "share"), [("answer_only_50", 0.5), ("answer_only_100", 1.0)])
def test_the_share_of_bare_answers_is_that_of_the_ablation(folder: Path, name: str, share: float) -> None:
    build = build_scaled(MANIFESTS / "ablations" / f"{name}.yaml", folder, SCALE)
    samples = pl.read_parquet(build / "samples.parquet")
    reflective = samples.filter(pl.col("source").is_in(["vqa_rad", "slake", "path_vqa", "pmc_vqa"]))
    bare = reflective.filter(pl.col("rationale_chars") == 0)
    assert len(samples) == 376, "the total holds"
    assert abs(len(bare) / len(reflective) - share) <= 0.12


def _phases() -> tuple[tuple[str, ...], ...]:
    manifest, _, _ = load_manifest(MANIFESTS / "infimed_progressive.yaml")
    assert manifest.outputs.sft is not None
    return manifest.outputs.sft.mixture.phases


def test_the_rl_recipe_builds_with_verifiable_rows_of_middle_difficulty(folder: Path) -> None:
    build = build_scaled(MANIFESTS / "infimed_rl.yaml", folder, SCALE)
    lock = orjson.loads((build / "lock.json").read_bytes())
    assert (lock["outputs"]["rl"]["asked"], lock["outputs"]["rl"]["samples"]) == (72, 72)
    rows = pl.read_parquet(build / "samples.parquet")
    assert rows["pass_rate"].is_between(0.1, 0.9).all()
    assert set(rows["answer_kind"]) <= {"choice", "multi_choice", "yes_no", "number", "short_text"}
    assert {"too_easy", "too_hard"} & set(lock["drops"]["difficulty"])


def test_a_stratum_of_two_phases_or_of_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: m\nsources: {a: {adapter: chat, location: a, category: general_text}}\n"
        "outputs:\n  sft:\n    mixture:\n      phases:\n        - [a]\n        - [b, a]\n"
    )
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert caught.value.problems == (
        f"{path}:8: outputs.sft.mixture.phases: 'b': no such source; allowed: a",
        f"{path}:8: outputs.sft.mixture.phases: 'a' stands in two phases; allowed: each stratum once",
    )
