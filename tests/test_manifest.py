"""A manifest means what its text says; every fault is named with the file and the line it stands in."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infimed_data.errors import ManifestError
from infimed_data.manifest import Manifest, Weight, load_manifest

HEAD = """\
name: small
sources:
  rad:
    adapter: vqa_rad
    location: rad
    category: medical_vqa
  slake:
    adapter: slake
    location: slake
    category: medical_vqa
"""
OUTPUTS = "outputs:\n  sft: {}\n"


def write(folder: Path, text: str, name: str = "m.yaml") -> Path:
    """A manifest file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def line_of(text: str, part: str) -> int:
    """The number of the line that holds `part`."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def problems(path: Path) -> tuple[str, ...]:
    """The problems that the manifest is refused with."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def mixture(folder: Path, text: str) -> Any:
    """The mixture of a manifest whose `sft` output has this one (YAML in one line)."""
    manifest = load_manifest(write(folder, HEAD + f"outputs:\n  sft:\n    mixture: {text}\n"))[0]
    assert manifest.outputs.sft is not None
    return manifest.outputs.sft.mixture


# Faults of one key


@pytest.mark.parametrize(
    ("text", "part", "words"),
    [
        (HEAD + OUTPUTS + "sede: 3\n", "sede", ["sede: unknown key", "did you mean 'seed'?", "extends"]),
        (
            HEAD + OUTPUTS + "filters:\n  # limits\n  min_image_side: 3\n",
            "min_image_side",
            ["filters.min_image_side: unknown key", "did you mean 'min_image_side_px'?"],
        ),
        (
            HEAD.replace("    location: rad\n", "    location: rad\n    lisense: MIT\n") + OUTPUTS,
            "lisense",
            ["sources.rad.lisense: unknown key", "did you mean 'license'?"],
        ),
        (
            HEAD + "outputs:\n  sft:\n    mixture:\n      budget: {rad: 3}\n",
            "budget",
            ["outputs.sft.mixture.budget: unknown key", "did you mean 'budgets'?"],
        ),
        (HEAD + "outputs:\n  stf: {}\n", "stf", ["outputs.stf: unknown key", "did you mean 'sft'?"]),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_likely_one(
    tmp_path: Path, text: str, part: str, words: list[str]
) -> None:
    path = write(tmp_path, text)
    [problem] = [p for p in problems(path) if "unknown key" in p]
    assert problem.startswith(f"{path}:{line_of(text, part)}: ")
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("lines", "part", "words"),
    [
        ("seed: many\n", "seed", "seed: 'many'; allowed: a whole number"),
        ("seed: 1.5\n", "seed", "seed: 1.5; allowed: a whole number"),
        ("seed:\n", "seed", "seed: empty; allowed: a whole number"),
        ("filters:\n  special_tokens: 1\n", "special_tokens", "filters.special_tokens: 1; allowed: true or false"),
        ("filters:\n  languages: en\n", "languages", "filters.languages: 'en'; allowed: a list"),
        ("filters:\n  languages:\n    - en\n    - 7\n", "- 7", "filters.languages.1: 7; allowed: a text"),
        ("dedup: all\n", "dedup", "dedup: 'all'; allowed: a mapping"),
        ("filters:\n  max_flat_share: 1.5\n", "max_flat_share", "filters.max_flat_share: 1.5; allowed: less than or"),
        ("limits:\n  max_image_bytes: 0\n", "max_image_bytes", "limits.max_image_bytes: 0; allowed: greater than or"),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_allowed(tmp_path: Path, lines: str, part: str, words: str) -> None:
    text = HEAD + OUTPUTS + lines
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, part)}: {words}")


def test_a_wrong_word_is_answered_with_the_close_one(tmp_path: Path) -> None:
    text = HEAD.replace("category: medical_vqa", "category: medical_vqs", 1) + OUTPUTS
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:6: sources.rad.category: 'medical_vqs'; allowed: medical_vqa, medical_text")
    assert problem.endswith("did you mean 'medical_vqa'?")


def test_a_missing_key_is_named_where_it_belongs(tmp_path: Path) -> None:
    text = HEAD.replace("    adapter: slake\n", "") + OUTPUTS
    path = write(tmp_path, text)
    assert problems(path) == (f"{path}:7: sources.slake.adapter: missing; it has no default",)


def test_a_key_that_breaks_lines_or_steers_terminals_is_escaped(tmp_path: Path) -> None:
    text = HEAD + OUTPUTS + '"a\\nb\\e[2J": 1\n'
    [problem] = problems(write(tmp_path, text))
    assert r": a\nb\x1b[2J: unknown key; allowed: " in problem and problem.isprintable()
    nested = HEAD + OUTPUTS + 'limits: {"x\\ny": !!binary YQ==}\n'
    [problem] = problems(write(tmp_path, nested))
    assert r"limits.x\ny: " in problem and problem.isprintable()


def test_several_faults_are_all_named(tmp_path: Path) -> None:
    text = HEAD.replace("name: small\n", "") + "outputs:\n  sft: {validation: 2.0}\nsede: 1\n"
    found = "\n".join(problems(write(tmp_path, text)))
    assert "name: missing" in found
    assert "outputs.sft.validation: 2.0" in found
    assert "sede: unknown key" in found


def test_a_key_given_twice_is_refused_with_the_line_of_the_second(tmp_path: Path) -> None:
    text = HEAD + OUTPUTS + "seed: 1\nname: other\n"
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, 'name: other')}: not valid YAML: ")
    assert "duplicate key" in problem


@pytest.mark.parametrize("text", ["name: [a\n", "- a\n- b\n", "", "just words\n"])
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write(tmp_path, HEAD + OUTPUTS, "demo.yaml")
    assert problems(tmp_path / "dmeo.yaml") == (
        f"{tmp_path / 'dmeo.yaml'}: no such manifest; did you mean 'demo.yaml'?",
    )
    assert "a folder" in problems(tmp_path)[0]
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "cannot read" in problems(tmp_path / "latin.yaml")[0]
    assert "not a build's lock.json" in problems(write(tmp_path, '{"name": 1}', "lock.json"))[0]


@pytest.mark.parametrize("name", ["../up", "a/b", "", "a b", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, HEAD.replace("name: small", f"name: {name!r}") + OUTPUTS)
    assert problems(path)[0].startswith(f"{path}:1: name: {name!r}")


def test_a_source_name_that_is_no_part_of_a_uid_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD.replace("  rad:", "  rad/x:") + OUTPUTS)
    assert any("'rad/x'; allowed: letters" in problem for problem in problems(path))


# Faults between keys


@pytest.mark.parametrize(
    ("lines", "part", "words"),
    [
        ("dedup:\n  prefer:\n    - rad\n    - slak\n", "- slak", "dedup.prefer: no source 'slak'"),
        (
            "outputs:\n  sft:\n    mixture:\n      budgets:\n        rad: 3\n        slak: 3\n",
            "slak: 3",
            "outputs.sft.mixture.budgets.slak: no such source",
        ),
        ("outputs:\n  sft:\n    sources:\n      - slak\n", "- slak", "outputs.sft.sources: no source 'slak'"),
    ],
)
def test_an_unknown_source_is_named_with_the_likely_one(tmp_path: Path, lines: str, part: str, words: str) -> None:
    text = HEAD + lines + ("" if "outputs" in lines else OUTPUTS)
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, part)}: {words}; allowed: rad, slake")
    assert problem.endswith("did you mean 'slake'?")


def test_shares_over_one_are_refused(tmp_path: Path) -> None:
    text = HEAD + "outputs:\n  sft:\n    mixture:\n      total: 10\n      budgets: {rad: 0.6, slake: 0.6}\n"
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, 'budgets')}: outputs.sft.mixture.budgets: shares add up to 1.2")
    # Of a stratum's own rows shares may add up to anything, and ten tenths are one.
    assert mixture(tmp_path, "{budgets: {rad: 0.6, slake: 0.6}}").budgets == {"rad": 0.6, "slake": 0.6}
    assert mixture(tmp_path, "{total: 10, budgets: {rad: 0.7, slake: 0.3}}").total == 10


def test_a_weight_needs_a_total(tmp_path: Path) -> None:
    text = HEAD + "outputs:\n  sft:\n    mixture:\n      budgets:\n        rad: {weight: 2}\n"
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, 'weight')}: outputs.sft.mixture.budgets.rad: a weight shares")


@pytest.mark.parametrize("lines", ["outputs: {}\n", "outputs:\n  sft:\n", "outputs: {sft: null, rl: null}\n"])
def test_a_manifest_without_outputs_is_refused(tmp_path: Path, lines: str) -> None:
    text = HEAD + lines
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, 'outputs')}: outputs: none; ask for `sft`, `rl` or both")


def test_unknown_strata_are_refused(tmp_path: Path) -> None:
    text = HEAD + "outputs:\n  sft:\n    mixture:\n      strata: [sources]\n"
    path = write(tmp_path, text)
    [problem] = problems(path)
    assert problem.startswith(f"{path}:{line_of(text, 'strata')}: ")
    assert problem.endswith("did you mean 'source'?")


# Meaning


def test_budgets_tell_counts_from_shares_from_weights(tmp_path: Path) -> None:
    budgets = mixture(tmp_path, "{total: 9, strata: [task], budgets: {a: 1, b: 0.5, c: {weight: 2}, d: 0, e: 0.0}}")
    assert budgets.budgets == {"a": 1, "b": 0.5, "c": Weight(weight=2.0), "d": 0, "e": 0.0}
    assert type(mixture(tmp_path, "{budgets: {rad: 1.0}}").budgets["rad"]) is float
    kinds = {name: type(budget) for name, budget in budgets.budgets.items()}
    assert kinds == {"a": int, "b": float, "c": Weight, "d": int, "e": float}


@pytest.mark.parametrize("budget", ["1.5", "-1", "-0.5", "true", "'3'", "{weight: 0}", "{share: 1}", "[1]"])
def test_a_budget_that_is_none_of_these_is_refused_with_its_line(tmp_path: Path, budget: str) -> None:
    text = HEAD + f"outputs:\n  sft:\n    mixture:\n      total: 9\n      budgets:\n        rad: {budget}\n"
    path = write(tmp_path, text)
    for problem in problems(path):
        assert problem.startswith(f"{path}:{line_of(text, f'rad: {budget}')}: outputs.sft.mixture.budgets.rad")


def test_nothing_in_a_manifest_can_be_changed(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path, HEAD + OUTPUTS))[0]
    assert manifest.outputs.sft is not None
    for record, field in [
        (manifest, "seed"),
        (manifest.filters, "languages"),
        (manifest.sources["rad"], "adapter"),
        (manifest.outputs.sft.mixture, "total"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, field, 1)


def test_a_manifest_comes_back_from_a_lock(tmp_path: Path) -> None:
    text = HEAD.replace("location: slake", "location: slake\n    split: [train, dev]\n    options: {a: [1, 2]}") + (
        "seed: 5\nfilters: {languages: [en], max_question_chars: null}\ndedup: {prefer: [slake]}\n"
        "outputs:\n  sft:\n    mixture: {total: 9, budgets: {rad: 0.5, slake: {weight: 2}}, order: {by: words}}\n"
        "  rl: {sources: [rad], mixture: {budgets: {rad: 1}}}\n"
    )
    manifest, root, _ = load_manifest(write(tmp_path, text))
    lock = write(tmp_path / "build", json.dumps({"manifest": manifest.resolved()}), "lock.json")
    again, again_root, _ = load_manifest(lock)
    assert again.resolved() == manifest.resolved()
    assert json.loads(json.dumps(again.resolved())) == manifest.resolved()
    assert "root" not in manifest.resolved()
    assert again.outputs == manifest.outputs
    assert again.filters == manifest.filters
    assert (root, again_root) == (tmp_path, tmp_path / "build")
    for output in (again.outputs.sft, again.outputs.rl):
        assert output is not None
    assert again.outputs.rl is not None
    assert isinstance(again.outputs.rl.mixture.budgets["rad"], int)
    wrong = write(tmp_path, json.dumps({"manifest": {**manifest.resolved(), "sede": 1}}), "wrong.json")
    assert problems(wrong)[0].startswith(f"{wrong}:1: sede: unknown key")


def test_the_lock_does_not_depend_on_how_the_manifest_is_written(tmp_path: Path) -> None:
    spelled_out = HEAD + OUTPUTS + "seed: 0\nfilters: {min_image_side_px: 28}\n"
    short = load_manifest(write(tmp_path, HEAD + OUTPUTS))[0]
    assert load_manifest(write(tmp_path, spelled_out, "n.yaml"))[0].resolved() == short.resolved()
    assert Manifest.model_validate(short.model_dump()) == short


# Extends


def test_a_child_overrides_adds_and_removes(tmp_path: Path) -> None:
    write(
        tmp_path,
        HEAD + "seed: 4\nfilters: {languages: [en, zh], min_answer_chars: 2}\ndedup: {prefer: [rad, slake]}\n"
        "outputs:\n  sft: {validation: 0.5, mixture: {total: 9}}\n  rl: {}\n",
        "base.yaml",
    )
    child = write(
        tmp_path,
        "extends: base.yaml\nname: child\n"
        "sources:\n  slake: null\n  rad: {license: MIT}\n"
        "filters: {languages: [en], min_answer_chars: null}\ndedup: {prefer: [rad]}\n"
        "outputs:\n  sft: {mixture: {budgets: {rad: 3}}}\n  rl: null\n",
        "child.yaml",
    )
    manifest, root, _ = load_manifest(child)
    assert (manifest.name, manifest.seed, list(manifest.sources)) == ("child", 4, ["rad"])
    assert (manifest.sources["rad"].adapter, manifest.sources["rad"].license) == ("vqa_rad", "MIT")
    assert manifest.filters.languages == ("en",)
    assert manifest.filters.min_answer_chars is None
    assert manifest.dedup.prefer == ("rad",)
    assert manifest.outputs.rl is None
    assert manifest.outputs.sft is not None
    assert (manifest.outputs.sft.validation, manifest.outputs.sft.mixture.total) == (0.5, 9)
    assert manifest.outputs.sft.mixture.budgets == {"rad": 3}
    assert root.resolve() == tmp_path


def test_a_root_is_the_parents_folder_unless_the_child_says_another(tmp_path: Path) -> None:
    write(tmp_path, HEAD + OUTPUTS, "plain/base.yaml")
    write(tmp_path, HEAD + OUTPUTS + "root: ../data\n", "rooted/base.yaml")
    write(tmp_path, HEAD + OUTPUTS + f"root: {tmp_path / 'far'}\n", "absolute/base.yaml")
    for parent, root in [("plain", "plain"), ("rooted", "data"), ("absolute", "far")]:
        child = write(tmp_path, f"extends: ../../{parent}/base.yaml\n", "deep/er/child.yaml")
        assert load_manifest(child)[1].resolve() == tmp_path / root
        grandchild = write(tmp_path, "extends: er/child.yaml\n", "deep/grand.yaml")
        assert load_manifest(grandchild)[1].resolve() == tmp_path / root
    child = write(tmp_path, "extends: ../rooted/base.yaml\nroot: mine\n", "deep/child.yaml")
    assert load_manifest(child)[1].resolve() == tmp_path / "deep" / "mine"


def test_where_the_root_lies_is_not_part_of_the_lock(tmp_path: Path) -> None:
    base = load_manifest(write(tmp_path, HEAD + OUTPUTS, "base.yaml"))[0]
    child = load_manifest(write(tmp_path, "extends: ../base.yaml\n", "deep/child.yaml"))[0]
    assert child.resolved() == base.resolved()


def test_a_fault_in_the_parent_names_the_parents_file(tmp_path: Path) -> None:
    text = HEAD + OUTPUTS + "seed: many\nfilters: {min_answer_chars: 1}\n"
    base = write(tmp_path, text, "base.yaml")
    child = write(tmp_path, "extends: base.yaml\nfilters:\n  max_answer_chars: none\n", "child.yaml")
    first, second = sorted(problems(child), key=lambda p: "child.yaml" in p)
    assert first.startswith(f"{base}:{line_of(text, 'seed')}: seed: 'many'")
    assert second.startswith(f"{child}:3: filters.max_answer_chars: 'none'")


def test_a_circle_and_a_missing_parent_are_named(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "extends: c.yaml\n", "b.yaml")
    write(tmp_path, "extends: a.yaml\n", "c.yaml")
    assert "extends: a circle" in problems(tmp_path / "a.yaml")[0]
    assert "extends: a circle" in problems(write(tmp_path, "extends: self.yaml\n", "self.yaml"))[0]
    write(tmp_path, "extends: ../folder/there.yaml\n", "folder/here.yaml")
    write(tmp_path, "extends: ../folder/here.yaml\n", "folder/there.yaml")
    assert "extends: a circle" in problems(tmp_path / "folder" / "here.yaml")[0]
    orphan = write(tmp_path, "extends: bb.yaml\n", "orphan.yaml")
    assert problems(orphan)[0].startswith(f"{tmp_path / 'bb.yaml'}: no such manifest")
    several = write(tmp_path, HEAD + OUTPUTS + "extends: [a.yaml]\n", "several.yaml")
    assert problems(several)[0].endswith("extends: give the path of one manifest")


def test_the_engine_is_checked_and_never_part_of_a_build(tmp_path: Path) -> None:
    plain = load_manifest(write(tmp_path, HEAD + OUTPUTS))[0]
    named = load_manifest(write(tmp_path, HEAD + "engine: local\n" + OUTPUTS))[0]
    assert named.resolved() == plain.resolved()
    (problem,) = problems(write(tmp_path, HEAD + "engine: locl\n" + OUTPUTS))
    assert "engine: 'locl'; allowed: local, ray; did you mean 'local'?" in problem
    settings = "engine: {kind: ray, address: '10.0.0.1:6379', num_cpus_per_task: 2, client_workers: 4}\n"
    cluster = load_manifest(write(tmp_path, HEAD + settings + OUTPUTS))[0]
    assert cluster.engine.address == "10.0.0.1:6379" and cluster.resolved() == plain.resolved()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{kind: ray, adress: auto}", "engine.adress: unknown key; allowed: kind, address, "),
        (
            "{kind: local, max_tasks: 2}",
            "engine: max_tasks is a setting of `kind: ray`; local: the command's --processes",
        ),
        ("{kind: ray, address: 'ray://10.0.0.1:10001'}", "allowed: HOST:PORT or auto; run the command on a machine of"),
        ("{kind: ray, address: head}", "'head'; allowed: HOST:PORT (of `ray start --head`) or auto"),
        ("{kind: ray, address: auto, object_store_memory: 100000000}", "is for a cluster that the build starts"),
        ("{kind: ray, num_cpus_per_task: 0}", "engine.num_cpus_per_task: 0; allowed: greater than 0"),
        ("3", "engine: 3; allowed: a mapping"),
    ],
)
def test_settings_of_the_engine_are_checked(tmp_path: Path, given: str, said: str) -> None:
    (problem,) = problems(write(tmp_path, HEAD + f"engine: {given}\n" + OUTPUTS))
    assert said in problem, problem
