"""Builds a recipe at a small scale from invented stand-ins for every data set that it reads.

    python tests/benchmarks/stand_ins.py manifests/infimed_sft.yaml --scale 0.01 --folder FOLDER [--all-rows] [--cold]

Writes the data sets in their public layouts, the recipe with its counts scaled and its teachers replaced by replayed
answers, and builds it; prints what was asked and realised, the time, and the folder of the build as its last line.
Sets far larger than a recipe draws from are written as long as it needs; `--all-rows` writes them whole. `--cold`
builds it once more from nothing but the data sets, and again unchanged, and prints time and memory of both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from measure import described, run_measured
from stand_in_images import IMAGE_WRITERS
from stand_in_texts import TEXT_WRITERS
from xxhash import xxh3_64_intdigest

from infimed_data.engine import LocalEngine
from infimed_data.generate import Job
from infimed_data.manifest import Manifest, load_manifest
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions, load_plan
from infimed_data.preparing import jobs_of, prepare, read_all
from infimed_data.storage.stages import read_table
from infimed_data.strategies.draws import drawn

__all__ = ["answer_teachers", "build_scaled", "scaled", "write_sets"]

PUBLISHED: dict[str, dict[str, int]] = {
    "vqa_rad": {"train": 1793, "test": 451},
    "slake": {"train": 9835, "test": 2094},
    "path_vqa": {"train": 19654, "test": 6719},
    "pmc_vqa": {"train": 176946, "test_clean": 2000, "test_2": 33430},
    "omnimedvqa": {"test": 88996},
    "medxpertqa": {"MM": 2000, "Text": 2450},
    "mmmu": {"validation": 150, "test": 1752},
    "pubmedvision": {"train": 647031},
    "llava_med": {"train": 60000},
    "medical_o1": {"train": 19704},
    "medical_r1": {"train": 22000},
    "m23k": {"train": 23500},
    "medreason": {"train": 32682},
    "alphamed": {"train": 19178},
    "medqa": {"train": 10178, "test": 1273},
    "medmcqa": {"validation": 4183},
    "pubmedqa": {"test": 500},
    "mmlu": {"test": 1089},
    "mmlu_pro": {"test": 818},
    "medbullets_op4": {"test": 308},
    "medbullets_op5": {"test": 308},
    "super_gpqa": {"test": 2755},
    "llava_cot": {"train": 98600},
    "mulberry": {"train": 272775},
    "r1_onevision": {"train": 155000},
    "scienceqa": {"train": 12726},
    "virl39k": {"train": 38870},
    "geometry3k": {"train": 2101},
}
"""Rows by folder and split; of MMLU-Pro's health and SuperGPQA's medicine about."""
ENOUGH = {
    "pubmedvision": 60_000, "llava_cot": 18_000, "mulberry": 14_000, "r1_onevision": 14_000,
    "virl39k": 12_000,
}  # fmt: skip
"""Rows that the recipes need of sets that are far larger."""


def write_sets(root: Path, names: Iterable[str], scale: float, *, all_rows: bool = False) -> None:
    """Writes the data sets, each at `scale` of its published rows; a set that is there stays."""
    for name in names:
        if (root / name).exists():
            continue
        most = 10**9 if all_rows else ENOUGH.get(name, 10**9)
        counts = {split: max(4, round(min(rows, most) * scale)) for split, rows in PUBLISHED[name].items()}
        {**IMAGE_WRITERS, **TEXT_WRITERS}[name](root / name, counts)


def scaled(recipe: Path, root: Path, scale: float) -> Path:
    """The recipe as `root/NAME.yaml`, with counts times `scale` and teachers that replay files of `root/teacher`."""
    manifest, _, _ = load_manifest(recipe)
    plain = manifest.model_dump(mode="json")
    plain["root"] = "."
    plain.pop("engine")
    for section in ("sources", "benchmarks"):
        for spec in plain[section].values():
            spec["expect_rows"] = None
    for name, teacher in plain["teachers"].items():
        file = f"teacher/{name}.jsonl"
        plain["teachers"][name] = {"backend": "replay", "model": teacher["model"], "file": file}
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    for settings in plain["generate"].values():
        if settings["fill"] is not None:
            fill = settings["fill"]
            fill["samples"] = {stratum: max(1, round(n * scale)) for stratum, n in fill["samples"].items()}
            fill["max_candidates"] = max(100, round(fill["max_candidates"] * scale))
    for output in filter(None, plain["outputs"].values()):
        mixture = output["mixture"]
        if mixture["total"] is not None:
            mixture["total"] = round(mixture["total"] * scale)
        for stratum, budget in mixture["budgets"].items():
            if isinstance(budget, int):
                mixture["budgets"][stratum] = round(budget * scale)
    path = root / f"{manifest.name}.yaml"
    path.write_text(json.dumps(plain, indent=1))  # JSON is YAML
    return path


def folders(manifest: Manifest) -> list[str]:
    """Folders that a manifest reads, in order."""
    reads = (*manifest.sources.values(), *manifest.benchmarks.values())
    return list(dict.fromkeys(spec.location for spec in reads))


def _trace(row: Mapping[str, Any], attempt: int, right: bool) -> str:
    """A completion that looks once more, names every option, and ends in the right answer or in another."""
    options, label = row["options"] or [], row["answer_label"]
    said = f"{label}. {row['answer']}" if label else row["answer"]
    if not right and options:
        other = next(i for i in range(len(options)) if i != "ABCDEFGHIJ".index(label))
        said = f"{'ABCDEFGHIJ'[other]}. {options[other]}"
    elif not right:
        said = {"yes": "no", "no": "yes", "是": "否", "否": "是"}.get(row["answer"].lower(), f"{attempt + 1000}")
    if row["lang"] == "zh":
        thought = f"第{attempt}次尝试,我先从上到下看整幅图像。中间比我最初以为的更暗,再看一次之后,我改变了判断。"
        return f"<think>\n{thought}\n</think>\n\n<answer>{said}</answer>"
    weighed = " ".join(f"The picture does not show {text}, so that is ruled out." for text in options)
    thought = (
        f"In attempt {attempt} I look at the whole picture from the top to the bottom first. {weighed} "
        f"Looking at it again, the middle is darker than I first thought, so I change my reading of it."
    )
    return f"<think>\n{thought}\n</think>\n\n<answer>{said}</answer>"


def _asked_about(job: Job, seed: int) -> pl.DataFrame:
    """The rows that a pass will come to. One that fills strata takes rows as they are drawn, until it has enough: of
    four answers three are right, so half as many rows again are plenty."""
    fill = job.settings.fill
    if fill is None:
        return job.rows
    order = [drawn(seed, uid, "fill") for uid in job.rows["uid"]]
    ranked = job.rows.with_columns(order=pl.Series(order, dtype=pl.UInt64)).sort("order", "uid")
    return pl.concat(
        [ranked.filter(pl.col("stratum") == name).head(50 + 3 * n // 2) for name, n in fill.samples.items()]
    )


def answer_teachers(path: Path, options: BuildOptions) -> int:
    """Writes what each teacher of the manifest will be asked into the file that it replays; returns their number.

    A row's difficulty hangs on its uid: of eight rows one is never answered rightly, and one always.
    """
    plan = load_plan(path, options)
    if not plan.manifest.asks_teachers:
        return 0
    engine, count = LocalEngine(options.processes), 0
    try:
        sources = read_all(plan, options, engine, lambda _: None)
        jobs, setting = jobs_of(plan, sources, prepare(plan, sources, options, engine, lambda _: None), options)
    finally:
        engine.close()
    written: dict[str, list[bytes]] = {name: [] for name in plan.manifest.teachers}
    columns = ["options", "answer", "answer_label", "lang"]
    for job in jobs:
        attempts = job.settings.most_candidates
        tables = {
            unit: pl.concat([pl.DataFrame(read_table(part, columns)) for part in setting.origins[unit].rows]).to_dicts()
            for unit in job.rows["unit"].unique().to_list()
        }
        for unit, at, uid in _asked_about(job, plan.manifest.seed).select("unit", "at", "uid").iter_rows():
            rng = xxh3_64_intdigest(uid.encode())
            for attempt in range(attempts):
                right = (rng + attempt) % 8 < rng // 8 % 9 if job.measures else (rng + attempt) % 4 > 0
                text = _trace(tables[unit][at], attempt, right)
                line = {"uid": uid, "index": attempt, "text": text, "finish_reason": "stop"}
                written[job.settings.teacher].append(orjson.dumps(line))
                count += 1
    for name, (file, _) in plan.replays.items():
        file.write_bytes(b"\n".join(written[name]))
    return count


def build_scaled(
    recipe: Path, folder: Path, scale: float, *, processes: int = 2, all_rows: bool = False, work: Path | None = None
) -> Path:
    """The folder of the build of a recipe at `scale`; data sets, stages and builds are below `folder`."""
    root = folder / "data"
    root.mkdir(parents=True, exist_ok=True)
    write_sets(root, folders(load_manifest(recipe)[0]), scale, all_rows=all_rows)
    path = scaled(recipe, root, scale)
    options = BuildOptions(folder / "builds", work or folder / "work", processes, quiet=True)
    answer_teachers(path, options)
    return build(path, options, lambda _: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--scale", type=float, default=0.01)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--all-rows", action="store_true")
    parser.add_argument("--cold", action="store_true")
    given = parser.parse_args()
    root = given.folder / "data"
    root.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    write_sets(root, folders(load_manifest(given.recipe)[0]), given.scale, all_rows=given.all_rows)
    path = scaled(given.recipe, root, given.scale)
    print(f"stand-ins written in {time.perf_counter() - start:.1f} s", flush=True)
    options = BuildOptions(given.folder / "builds", given.folder / "work", 2, quiet=True)
    start = time.perf_counter()
    answers = answer_teachers(path, options)
    print(
        f"sources read, filtered and compared, {answers:,} answers in {time.perf_counter() - start:.1f} s", flush=True
    )
    start = time.perf_counter()
    finished = build(path, options, print)
    print(f"teachers replayed, drawn and written in {time.perf_counter() - start:.1f} s")
    for name, output in orjson.loads((finished / "lock.json").read_bytes())["outputs"].items():
        print(f"{name}: asked {output['asked']}, realised {output['samples']:,}")
        for row in output["strata"]:
            print(f"  {row['stratum']:<14} asked {row['asked']} realised {row['realised']} of {row['available']}")
    if given.cold:
        measure(path, given.folder)
    print(finished)


def measure(path: Path, folder: Path) -> None:
    """Prints what a cold build and an unchanged rebuild take, each in a process of its own."""
    for cold in ("work-cold", "builds-cold"):
        shutil.rmtree(folder / cold, ignore_errors=True)
    places = ["--out", str(folder / "builds-cold"), "--work", str(folder / "work-cold"), "-q"]
    command = [sys.executable, "-m", "infimed_data.cli", "build", str(path), "--processes", "2", *places]
    for what in ("cold", "unchanged"):
        usage = run_measured(command)
        print(f"{what}: {described(usage)}", flush=True)
        if usage.returncode:
            raise SystemExit(usage.stderr)


if __name__ == "__main__":
    main()
