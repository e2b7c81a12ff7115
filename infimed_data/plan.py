"""A manifest with its sources and benchmarks found: what a build starts from, and what is odd about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from infimed_data.errors import BuildError, ManifestError, SourceError
from infimed_data.generate import TeacherMarks, find_replays, read_reviews, refused_teachers
from infimed_data.manifest import Manifest, Positions, Reads, load_manifest, place_of
from infimed_data.phi.reading import missing_reader
from infimed_data.source_stages import Reading, open_source
from infimed_data.storage.hub import HubLocation
from infimed_data.storage.stages import Fingerprints

__all__ = ["BuildOptions", "Plan", "Warned", "copies_read", "load_plan", "semantic_warnings"]


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class BuildOptions:
    """How and where to build; nothing here changes a byte of the result."""

    out: Path
    work: Path
    processes: int
    root: Path | None = None
    """Overrides the manifest's root; what it holds as OWNER/NAME is read in place of that data set of the Hub."""
    quiet: bool = False

    def check(self) -> None:
        """Raises `BuildError` for a folder that is an address, such as `s3://...`: it would be made in this folder."""
        for name, folder in (("--out", self.out), ("--work", self.work)):
            if _ADDRESS.match(str(folder)):
                raise BuildError(
                    f"{name} {folder}: an address of a store; allowed: a folder. Mount the store as a file system with "
                    "rename and file locks, or copy the finished build there"
                )

    def placed(self, manifest: Manifest) -> BuildOptions:
        """With folders that mean the same wherever a task runs."""
        if manifest.engine.kind == "local":
            return self
        return replace(self, out=self.out.absolute(), work=self.work.absolute())


@dataclass
class Plan:
    """A manifest with its sources and benchmarks found."""

    manifest: Manifest
    path: Path
    positions: Positions
    readings: list[Reading]
    benchmarks: list[Reading]
    marks: dict[str, bool]
    """Matches that somebody looked at: whether each is right."""
    fingerprints: Fingerprints
    expected_inputs: Mapping[str, Any] | None
    """Inputs that a lock file promises."""
    replays: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """File and digest of each teacher that replays finished answers."""
    teacher_marks: TeacherMarks = field(default_factory=dict)
    """What reviewers said of candidates, by pass."""

    def beside(self, *loc: str | int) -> Path:
        """Folder of the manifest that sets a key; manifests may extend one another."""
        return self.positions[loc][0].parent if loc in self.positions else self.path.parent

    def at(self, *loc: str | int) -> str:
        """`file:line` of a key of the manifest."""
        return place_of(self.positions, self.path, *loc)


def load_plan(path: Path, options: BuildOptions) -> Plan:
    """Reads the manifest and finds every source's and benchmark's files. Raises `ManifestError` or `SourceError`."""
    options.check()
    manifest, root, positions = load_manifest(path)
    options = options.placed(manifest)
    root = options.root or root
    if manifest.engine.kind != "local":
        root = root.absolute()
    if not root.is_dir():
        raise ManifestError([f"{place_of(positions, path, 'root')}: root: no folder {root}"])
    lock = orjson.loads(path.read_bytes()) if path.suffix == ".json" else None
    plan = Plan(manifest, path, positions, [], [], {}, Fingerprints(options.work), lock and lock.get("inputs"))
    commits: Mapping[str, str] = (lock or {}).get("commits", {})
    problems: list[str] = []
    faults: list[SourceError] = []
    sections: tuple[tuple[str, Mapping[str, Reads], list[Reading]], ...] = (
        ("sources", manifest.sources, plan.readings),
        ("benchmarks", manifest.benchmarks, plan.benchmarks),
    )
    for section, specs, readings in sections:
        for name, spec in specs.items():
            try:
                readings += open_source(
                    section, name, spec, root, options.work, plan.fingerprints, manifest.limits, plan.at,
                    commit=commits.get(name), copies=options.root,
                )  # fmt: skip
            except ManifestError as error:
                problems += error.problems
            except SourceError as error:
                faults.append(error)
    plan.replays, missing = find_replays(manifest, root, plan.fingerprints, plan.at)
    problems += [*missing, *refused_teachers(manifest, plan.at)]
    if manifest.phi.ocr and manifest.phi.looks:
        problems += missing_reader(plan.at("phi", "ocr"))
    if problems:
        raise ManifestError([*problems, *map(str, faults)])
    if faults:
        raise SourceError("\n".join(map(str, faults)))
    if lock is not None:
        plan.marks = dict(lock.get("review", {}))
        plan.teacher_marks = {name: dict(marks) for name, marks in lock.get("candidate_review", {}).items()}
    else:
        plan.marks, plan.teacher_marks = _marks(plan), read_reviews(manifest, plan.beside, plan.at)
    return plan


def _marks(plan: Plan) -> dict[str, bool]:
    """The marks of the manifest's review file. Raises `ManifestError` for one that cannot be read."""
    name = plan.manifest.decontaminate.review
    if name is None:
        return {}
    key = ("decontaminate", "review")
    where = plan.at(*key)
    file = plan.beside(*key) / name
    try:
        lines = file.read_text("utf-8-sig").split("\n")  # a text may hold other characters that end lines
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError([f"{where}: decontaminate.review: cannot read {file}: {error}"]) from None
    marks = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            mark = orjson.loads(line)
            pair, verdict = mark["pair"], mark["verdict"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            pair, verdict = None, None
        if not isinstance(pair, str) or verdict not in ("right", "wrong"):
            raise ManifestError(
                [f'{file}:{number}: not a mark; allowed: {{"pair": "...", "verdict": "right" or "wrong"}}, a line each']
            )
        marks[pair] = verdict == "right"
    return marks


def copies_read(plan: Plan) -> list[str]:
    """A line for each source and benchmark of the Hub that a copy on this machine is read in place of."""
    read = {(reading.source, reading.spec.location, reading.copy) for reading in (*plan.readings, *plan.benchmarks)}
    return [f"copy    {name}: {copy} in place of {location}" for name, location, copy in sorted(read, key=str) if copy]


class Warned(NamedTuple):
    """Something that is allowed but probably not meant."""

    where: str
    """`file:line`; not recorded in the build, whose bytes do not depend on where its manifest lies."""
    text: str

    def __str__(self) -> str:
        return f"warning: {self.where}: {self.text}"


def semantic_warnings(plan: Plan) -> list[Warned]:
    """An eval split trained on, `1` for `1.0`, a source without a license, no benchmark to keep out."""
    manifest = plan.manifest
    found = [
        Warned(
            plan.at("sources", reading.source, "split"),
            f"source '{reading.source}' trains on '{reading.split}', a split that {reading.spec.adapter} results are "
            "published on",
        )
        for reading in plan.readings
        if reading.split in reading.adapter.eval_splits
    ]
    if not manifest.benchmarks:
        found.append(
            Warned(plan.at("benchmarks"), "no benchmarks are named; nothing keeps test rows out of the outputs")
        )
    for name, spec in manifest.sources.items():
        if spec.license is None:
            where = plan.at("sources", name)
            found.append(Warned(where, f"source '{name}' has no license; the card will say 'unknown'"))
    for section, specs in (("sources", manifest.sources), ("benchmarks", manifest.benchmarks)):
        for name, reads in specs.items():
            if reads.location.startswith("hf://") and HubLocation.parse(reads.location, revision=reads.revision).moves:
                where = plan.at(section, name, "location")
                found.append(Warned(where, f"{section}.{name}: no revision is named; `main` may be another tomorrow"))
    for name, output in manifest.outputs.items():
        for stratum, budget in output.mixture.budgets.items():
            if budget == 1 and isinstance(budget, int):
                key = ("outputs", name, "mixture", "budgets", stratum)
                found.append(Warned(plan.at(*key), f"{'.'.join(key)}: 1 means one row; write 1.0 for all of it"))
    return found
