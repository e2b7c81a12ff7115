"""What a build would do, stage by stage: what stands, what runs, and what may, since it depends on what comes before.

The stages themselves are asked: the pipeline is walked with stages that must not run, as far as everything stands. Only
indexes are made on the way, which cost next to nothing and decide which rows the later stages look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from infimed_data.engine import LocalEngine
from infimed_data.forecast.rates import Cost, Rates
from infimed_data.forecast.stages import KINDS, kind_of
from infimed_data.generate import JobForecast, forecast_each
from infimed_data.lock import build_digest, check_inputs
from infimed_data.manifest import Phi
from infimed_data.phi_stages import Source, phi_stages
from infimed_data.plan import BuildOptions, Plan
from infimed_data.preparing import FILTERED, Sources, jobs_of, prepare, read_all
from infimed_data.rejection import measuring
from infimed_data.source_stages import Reading
from infimed_data.storage.places import ARCHIVES, IMAGE_ENDINGS
from infimed_data.storage.stages import Stage, watching
from infimed_data.storage.tables import count_rows

__all__ = ["Expected", "ExpectedStage", "State", "expect"]

State = Literal["cached", "runs", "maybe"]
"""`maybe`: whether it stands depends on what a stage before it gives."""
_MADE_NOW = ("index",)
_TEXT_ONLY = ("medical_text", "general_text")
_AFTER_QUARANTINE = ("near", "generate")
"""Kinds whose content depends on which rows are quarantined."""


@dataclass(frozen=True)
class ExpectedStage:
    """A stage of the build to come."""

    kind: str
    name: str
    state: State
    size: int
    unit: str
    is_exact: bool
    """Whether `size` is counted, not estimated."""
    input_bytes: int | None
    """What it reads of the source's own files, where that is known."""
    cost: Cost
    """What it takes when it runs."""


@dataclass(frozen=True)
class Expected:
    """A build to come."""

    stages: list[ExpectedStage]
    finished: Path | None
    """The build that stands already; then nothing runs."""
    jobs: list[JobForecast] = field(default_factory=list)
    """What teachers would be asked, where the rows that are left are known."""
    most_candidates: Mapping[str, int] = field(default_factory=dict)
    """Of passes whose rows are not known yet: attempts at most, if every row of their sources were asked about."""

    def of(self, state: State) -> list[ExpectedStage]:
        """The stages in a state."""
        return [stage for stage in self.stages if stage.state == state]


def expect(
    plan: Plan, options: BuildOptions, rates: Rates, say: Callable[[str], None] = lambda _: None, *, priced: bool = True
) -> Expected:
    """What a build would do now. Sources are counted and not read; nothing is sent. Not `priced`: see `forecast_each`.

    Rows are filtered now where that is all that is missing, which `say` is told: the build finds it done.
    """
    sizes = {reading.name: _size(reading) for reading in (*plan.readings, *plan.benchmarks)}
    draft = _Draft(plan, options, rates, sizes)
    read = draft.sources()
    walked = _walk(plan, options, say, searched=draft.searched, priced=priced) if read else _Walked()
    draft.indexes(read=read)
    draft.compared(walked)
    most = {} if walked.reached_teachers or walked.finished else _most_candidates(plan, sizes)
    return Expected(draft.stages, walked.finished, walked.jobs, most)


@dataclass(frozen=True)
class _Size:
    rows: int
    images: int
    is_exact: bool
    input_bytes: int


def _size(reading: Reading) -> _Size:
    """Rows and images of a source and split: counted where it was read before, else estimated from its files."""
    facts = reading.ingest.done()
    if facts is not None:
        return _Size(int(facts["read"]), len(reading.refs), True, reading.input_bytes)
    counts = [count_rows(reading.place, file) for file in reading.files]
    rows = sum(count for count, _ in counts)
    names = reading.place.names
    files = sum(name.lower().endswith(IMAGE_ENDINGS) for name in names)
    packed = any(name.endswith((*ARCHIVES, ".parquet", ".tsv")) for name in names)
    images = files or (rows if packed else 0)
    if getattr(reading.spec, "category", None) in _TEXT_ONLY:
        images = 0
    return _Size(rows, images, all(exact for _, exact in counts) and not images, reading.input_bytes)


def _folder(reading: Reading) -> str:
    return f"{reading.source}-{reading.split}"


class _Draft:
    """Puts the list of stages together."""

    def __init__(self, plan: Plan, options: BuildOptions, rates: Rates, sizes: Mapping[str, _Size]) -> None:
        self.plan, self.options, self.rates, self.sizes = plan, options, rates, sizes
        self.stages: list[ExpectedStage] = []
        self.searched = True
        """Whether all that is looked for in the way of health information was looked for before."""

    def add(
        self, kind: str, name: str, state: State, size: int, is_exact: bool, input_bytes: int | None = None
    ) -> None:
        cost = self.rates.expected(kind, name, size, self.options.processes)
        self.stages.append(ExpectedStage(kind, name, state, size, KINDS[kind], is_exact, input_bytes, cost))

    def sources(self) -> bool:
        """Adds what reads each source; returns whether all have been read."""
        all_read = True
        for reading in (*self.plan.readings, *self.plan.benchmarks):
            size, name = self.sizes[reading.name], _folder(reading)
            read = reading.ingest.done() is not None
            measured = read and reading.texts.done() is not None
            seen = read and reading.images.done() is not None
            self.add("ingest", name, _state(read), size.rows, size.is_exact, size.input_bytes)
            self.add("texts", name, _state(measured), size.rows, size.is_exact)
            self.add("images", name, _state(seen), size.images, read)
            all_read &= measured and seen
        if self.plan.manifest.phi.looks:
            for reading in self.plan.readings:
                self._searches(reading)
        return all_read

    def _searches(self, reading: Reading) -> None:
        size, name = self.sizes[reading.name], _folder(reading)
        measured = reading.images.done() if reading.ingest.done() is not None else None
        source = Source(
            reading.source, reading.split, (), reading.ingest.key, (), reading.place, Path(),
            measured["content"] if measured else "",
        )  # fmt: skip
        manifest = self.plan.manifest
        for stage in phi_stages(source, manifest.phi, manifest.limits, self.options.work):
            kind = kind_of(stage.kind)
            stands = measured is not None and stage.done() is not None
            self.searched &= stands
            self.add(kind, name, _state(stands), size.rows if kind == "phi-texts" else size.images, size.is_exact)

    def indexes(self, *, read: bool) -> None:
        """Adds the indexes, which the walk has made where it could."""
        for reading in (*self.plan.readings, *self.plan.benchmarks):
            size = self.sizes[reading.name]
            self.add("index", _folder(reading), _state(read), size.rows, size.is_exact)

    def compared(self, walked: _Walked) -> None:
        """Adds what looks at all sources together."""
        plan, sizes = self.plan, self.sizes
        own = [sizes[reading.name] for reading in plan.readings]
        held = [sizes[reading.name] for reading in plan.benchmarks]
        rows, exact = sum(size.rows for size in own), all(size.is_exact for size in (*own, *held))
        later: list[tuple[str, str, int]] = [("pictures", "pairs", sum(size.images for size in (*own, *held)))]
        if plan.manifest.dedup.near:
            later += [("near", "long", rows), ("near", "short", rows)]
        if plan.benchmarks:
            later.append(("questions", "benchmarks", sum(size.rows for size in held)))
            later += [("matches", _folder(reading), sizes[reading.name].rows) for reading in plan.readings]
        for kind, name, size in later:
            self.add(kind, name, self._later(kind, name, walked), size, exact)
        for job in walked.jobs:
            self.add("generate", job.name, _state(job.is_finished or job.requests == 0), job.rows, True)
        if not walked.jobs and plan.manifest.asks_teachers:
            for name, most in _rows_of_passes(plan, sizes).items():
                self.add("generate", name, self._later("generate", name, walked), most, False)
        self.add("write", plan.manifest.name, _state(walked.finished is not None), rows, exact)

    def _later(self, kind: str, name: str, walked: _Walked) -> State:
        if walked.finished is not None:
            return "cached"
        unsettled = not self.searched and self.plan.manifest.phi.action == "quarantine" and kind in _AFTER_QUARANTINE
        if (kind, name) in walked.cached and not unsettled:
            return "cached"
        if (kind, name) == walked.stopped:
            return "runs"
        stages = self.options.work / "stages"
        ever = any(stages.glob(f"{kind}*/{name}/*/done.json"))
        return "maybe" if ever else "runs"


def _state(stands: bool) -> State:
    return "cached" if stands else "runs"


class _NotDone(Exception):  # noqa: N818  (no fault: the walk ends here)
    """A stage that would have to run."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        self.kind, self.name = kind, name


class _Probe:
    """Lets no stage run, but for those that cost next to nothing; notes those that stand."""

    def __init__(self) -> None:
        self.cached: set[tuple[str, str]] = set()

    def entering(self, stage: Stage) -> None:
        kind = kind_of(stage.kind)
        if stage.done() is not None:
            self.cached.add((kind, stage.name))
        elif kind not in _MADE_NOW:
            raise _NotDone(kind, stage.name)

    def finished(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        pass


@dataclass
class _Walked:
    """How far the pipeline could be walked."""

    cached: set[tuple[str, str]] = field(default_factory=set)
    stopped: tuple[str, str] | None = None
    finished: Path | None = None
    jobs: list[JobForecast] = field(default_factory=list)
    reached_teachers: bool = False


def _walk(plan: Plan, options: BuildOptions, say: Callable[[str], None], *, searched: bool, priced: bool) -> _Walked:
    """Walks the pipeline as far as it stands. Not searched: as if no health information were looked for."""
    quiet = replace(options, quiet=True)
    engine = LocalEngine(options.processes)
    walked, probe = _Walked(), _Probe()
    try:
        sources = read_all(plan, quiet, engine, _unsaid)
        check_inputs(plan, sources.all)
        walked.finished = _finished(plan, sources, options)
        if walked.finished is not None:
            return walked
        settled = searched or plan.manifest.phi.action != "quarantine"
        if not searched:
            plan = replace(plan, manifest=plan.manifest.model_copy(update={"phi": Phi(action="off")}))
        with watching(probe):
            prepared = prepare(
                plan, sources, quiet, engine, lambda line: say(line) if line.startswith(FILTERED) else None
            )
        if settled:
            jobs, setting = jobs_of(plan, sources, prepared, quiet)
            walked.jobs, walked.reached_teachers = forecast_each(jobs, setting, priced=priced), True
    except _NotDone as stop:
        walked.stopped = (stop.kind, stop.name)
    finally:
        engine.close()
    walked.cached = probe.cached
    return walked


def _unsaid(line: str) -> None:
    """The build says it."""


def _finished(plan: Plan, sources: Sources, options: BuildOptions) -> Path | None:
    """The build that stands already, if it does."""
    digest = build_digest(plan, sources.all)
    if plan.manifest.asks_teachers:
        answers = Stage(options.work, "answers", plan.manifest.name, digest).done()
        if answers is None:
            return None
        digest = build_digest(plan, sources.all, answers=answers.get("content"))
    final = options.out / plan.manifest.name / digest
    return final if (final / "lock.json").exists() else None


def _rows_of_passes(plan: Plan, sizes: Mapping[str, _Size]) -> dict[str, int]:
    """Rows of the sources that each pass may ask about."""
    rows: dict[str, int] = {}
    for reading in plan.readings:
        rows[reading.source] = rows.get(reading.source, 0) + sizes[reading.name].rows
    manifest = plan.manifest
    found = {"difficulty": sum(rows.values())} if manifest.difficulty is not None else {}
    for name, settings in manifest.generate.items():
        found[name] = sum(count for source, count in rows.items() if source in (settings.sources or rows))
    return found


def _most_candidates(plan: Plan, sizes: Mapping[str, _Size]) -> dict[str, int]:
    """Attempts of each pass at most, if all rows of its sources were asked about."""
    manifest = plan.manifest
    most = {name: settings.most_candidates for name, settings in manifest.generate.items()}
    if manifest.difficulty is not None:
        most["difficulty"] = measuring(manifest.difficulty).most_candidates
    return {name: rows * most[name] for name, rows in _rows_of_passes(plan, sizes).items()}
