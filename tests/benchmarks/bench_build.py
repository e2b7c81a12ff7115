"""Prints what builds cost, as a Markdown table of figures and targets.

    python tests/benchmarks/bench_build.py                       # all of it, about twenty minutes on two cores
    python tests/benchmarks/bench_build.py --only real,obvious --repeat 1 --json figures.json

Sections: `demo` (cold, unchanged, one source changed), `real` (a folder of real data in one manifest), `scale` (ten
times its rows; synthetic text), `obvious` (the same job on `datasets`), `identity` (equal bytes whatever the number of
processes and the order of files). Figures are medians of `--repeat` runs of a whole process; memory is the peak of all
processes together (PSS), GB are 10^9 bytes. Sections that need real data skip with a line where there is none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import operator
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from make_rows import copy_real, copy_shuffled, copy_vqa_rad, make_synthetic, read_json, read_lines
from measure import Usage, described, run_measured

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
REAL_MANIFEST = HERE / "real.yaml"
SYNTHETIC_ROWS = 200_000
SCALE = 10
COPIES = 20


class BenchError(Exception):
    """A run failed, or two results that must be equal are not."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: float | str
    unit: str = ""
    target: str = ""
    """Such as `< 15`, `<= 11` or `>= 10000`; empty: none was set."""
    runs: tuple[float, ...] = ()
    """The single runs that `value` is the median of."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if not self.target or isinstance(self.value, str):
            return None
        sign, limit = self.target.split()
        bound = float(limit.replace(",", ""))
        compare = {"<": operator.lt, "<=": operator.le, ">=": operator.ge, "=": operator.eq}[sign]
        return bool(compare(self.value, bound))


@dataclass
class Bench:
    """Where the sections work, and what they found."""

    temp: Path
    real: Path | None
    repeat: int
    processes: int | None = None
    figures: list[Figure] = field(default_factory=list)
    real_runs: list[Usage] = field(default_factory=list)
    """Cold builds of the real data, for the sections that compare with them."""

    def add(self, what: str, value: float | str, unit: str = "", target: str = "", runs: Sequence[float] = ()) -> None:
        """Notes a figure and shows it at once."""
        figure = Figure(what, value, unit, target, tuple(runs))
        self.figures.append(figure)
        print(row_of(figure), flush=True)

    def add_runs(self, what: str, usages: Sequence[Usage], *, seconds: str = "", gigabytes: str = "") -> None:
        """Notes the median seconds and the median peak memory of several runs."""
        walls = [usage.wall_s for usage in usages]
        memory = [usage.peak_pss_bytes / 1e9 for usage in usages]
        self.add(f"{what}: time", statistics.median(walls), "s", seconds, walls)
        self.add(f"{what}: peak memory", statistics.median(memory), "GB", gigabytes, memory)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards."""
        path = self.temp / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def build(
        self, manifest: Path, folder: Path, *, root: Path | None = None, processes: int | None = None
    ) -> tuple[Usage, Path]:
        """(usage, build folder) of one build with its outputs and work under `folder`."""
        command = build_command(manifest, folder, root=root, processes=processes or self.processes)
        usage = run_measured(command, env=environment(self.temp), cwd=PROJECT)
        return usage, built(usage, command)

    def cold(self, manifest: Path, name: str, *, root: Path | None = None) -> Usage:
        """The usage of a build without a work folder, thrown away."""
        with self.folder(name) as folder:
            usage, _ = self.build(manifest, folder, root=root)
        note(f"{name}: {described(usage)}")
        return usage


def build_command(manifest: Path, folder: Path, *, root: Path | None = None, processes: int | None = None) -> list[str]:
    """The command line of a build whose outputs and work lie in `folder`."""
    command = [sys.executable, "-m", "infimed_data.cli", "build", str(manifest)]
    command += ["--out", str(folder / "builds"), "--work", str(folder / "work")]
    if root is not None:
        command += ["--root", str(root)]
    if processes is not None:
        command += ["--processes", str(processes)]
    return command


def environment(temp: Path) -> dict[str, str]:
    """This environment, with compiled Python kept in `temp` as an installed package would have it, and no network."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return env | {
        "PYTHONPYCACHEPREFIX": str(temp / "pycache"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), env.get("PYTHONPATH")))),
        "HF_HOME": str(temp / "hf"),
        "HF_HUB_OFFLINE": "1",
    }


def built(usage: Usage, command: Sequence[str]) -> Path:
    """The build folder that a finished run printed; raises `BenchError` with the end of its stderr where it failed."""
    lines = usage.stdout.strip().splitlines()
    if usage.returncode != 0 or not lines:
        raise BenchError(f"exit status {usage.returncode}: {' '.join(command)}\n{usage.stderr[-3000:]}")
    folder = Path(lines[-1])
    folder = folder if folder.is_absolute() else PROJECT / folder
    if not (folder / "lock.json").is_file():
        raise BenchError(f"the last line of stdout is no build folder: {lines[-1]!r}")
    return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def tables_of(files: Mapping[str, str]) -> dict[str, str]:
    """Those of a build's files that may not depend on the order of files and rows: all tables but `origins.parquet`.

    That one says in which line of which file a row stood.
    """
    return {name: digest for name, digest in files.items() if name.endswith(".parquet") and name != "origins.parquet"}


def differences(one: Path, other: Path, *, tables_only: bool) -> list[str]:
    """One line for every file that differs between two builds; for a table, with the columns that do."""
    ours, theirs = digests(one), digests(other)
    if tables_only:
        ours, theirs = tables_of(ours), tables_of(theirs)
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            found.append(f"{name}: only in {one if name in ours else other}")
        elif ours[name] != theirs[name]:
            found.append(f"{name}: {_columns_that_differ(one / name, other / name)}")
    return found


def _columns_that_differ(one: Path, other: Path) -> str:
    if one.suffix != ".parquet":
        return "differs"
    import pyarrow.parquet as pq

    left, right = pq.read_table(one), pq.read_table(other)
    if left.num_rows != right.num_rows:
        return f"{left.num_rows:,} and {right.num_rows:,} rows"
    columns = [name for name in left.column_names if name in right.column_names and left[name] != right[name]]
    return f"columns {', '.join(columns)}" if columns else "equal values in other bytes"


def note(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


# --- sections ---------------------------------------------------------------------------------------------------------


def warm_up(bench: Bench, *, peer: bool) -> None:
    """A small build (and the imports of the peer), so that no figure counts the compiling of Python files."""
    with bench.folder("warm_up") as folder:
        bench.build(make_synthetic(folder / "data", 200, seed=1), folder)
    if peer:
        command = [sys.executable, str(HERE / "obvious_datasets.py"), "--help"]
        run_measured(command, env=environment(bench.temp), cwd=PROJECT)


def demo(bench: Bench) -> None:
    """The demonstration manifest: cold, again, and after a change to one of its sources."""
    from infimed_data.manifest import load_manifest

    manifest = PROJECT / "manifests" / "demo.yaml"
    if not manifest.is_file():
        note(f"demo: skipped, {manifest} is not there")
        return
    parsed, root, _ = load_manifest(manifest)
    cold, unchanged, changed, recomputed, what = [], [], [], "", ""
    for _ in range(bench.repeat):
        with bench.folder("demo") as folder:
            copy = folder / "root"
            for source in parsed.sources.values():
                _copy_into(root / source.location, copy / source.location)
            usage, first = bench.build(manifest, folder, root=copy)
            before = digests(first)
            cold.append(usage)
            usage, again = bench.build(manifest, folder, root=copy)
            if digests(again) != before:
                raise BenchError("demo: the unchanged rebuild differs")
            unchanged.append(usage)
            what = drop_last_row([copy / source.location for source in parsed.sources.values()])
            usage, other = bench.build(manifest, folder, root=copy)
            if other == first:
                raise BenchError(f"demo: {what} was changed, but the build is the same")
            changed.append(usage)
            recomputed = usage.stderr
    bench.add_runs("demo, cold", cold)
    bench.add_runs("demo, unchanged", unchanged)
    bench.add_runs(f"demo, one row less in {what}", changed)
    print(f"\nstderr of that last build, without what it took from its cache:\n\n{indented(uncached(recomputed))}\n")


def _copy_into(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def drop_last_row(locations: Sequence[Path]) -> str:
    """The name of a JSON file of rows, below one of `locations`, that has just lost its last row."""
    for pattern in ("trainset.json", "train.json", "train.jsonl", "*train.jsonl", "*.jsonl"):
        for location in locations:
            for path in [location] if location.is_file() else sorted(location.rglob(pattern)):
                if path.match(pattern) and _shortened(path):
                    return f"{location.name}/{path.name}" if path != location else path.name
    raise BenchError("no JSON file of rows to change in the sources")


def _shortened(path: Path) -> bool:
    try:
        rows = read_json(path)
    except json.JSONDecodeError:
        rows = read_lines(path)
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:-1]), "utf-8")
        return len(rows) > 1
    if not isinstance(rows, list) or len(rows) < 2:
        return False
    path.write_text(json.dumps(rows[:-1], ensure_ascii=False), "utf-8")
    return True


def uncached(stderr: str) -> list[str]:
    """The lines that do not say that something was cached."""
    lines = re.split(r"[\r\n]+", stderr)
    return [line.rstrip() for line in lines if line.strip() and "cached" not in line]


def indented(lines: Sequence[str]) -> str:
    """The lines as a Markdown code block."""
    return "\n".join(f"    {line}" for line in lines)


def real(bench: Bench) -> None:
    """All real data in one manifest."""
    if bench.real is None:
        return
    real_cold(bench)
    bench.add_runs("real data, cold", bench.real_runs, seconds="< 15", gigabytes="< 1.2")
    with bench.folder("real_again") as folder:
        usage, build = bench.build(REAL_MANIFEST, folder, root=bench.real)
        again, same = bench.build(REAL_MANIFEST, folder, root=bench.real)
        bench.add("real data, unchanged: time", again.wall_s, "s")
        if same != build:
            raise BenchError("real: the unchanged rebuild has another name")
        print(f"\nstderr of the cold build ({usage.wall_s:.1f} s):\n\n{indented(uncached(usage.stderr))}\n")
        print(f"Its files:\n\n{indented(_sizes(build))}\n")


def _sizes(folder: Path) -> list[str]:
    return [f"{p.stat().st_size:>13,}  {p.relative_to(folder)}" for p in sorted(folder.rglob("*")) if p.is_file()]


def real_cold(bench: Bench) -> None:
    """Fills `bench.real_runs` once."""
    while len(bench.real_runs) < bench.repeat:
        bench.real_runs.append(bench.cold(REAL_MANIFEST, "real", root=bench.real))


def scale(bench: Bench) -> None:
    """Ten times the real rows, and many rows of synthetic text."""
    if bench.real is not None:
        real_cold(bench)
        with bench.folder("real_times") as data:
            rows = copy_real(bench.real, data, SCALE)
            usages = [bench.cold(REAL_MANIFEST, f"real_x{SCALE}", root=data) for _ in range(bench.repeat)]
        bench.add_runs(f"real data x{SCALE} ({rows:,} rows), cold", usages)
        bench.add(f"real data x{SCALE}: time ratio", _ratio(usages, bench.real_runs, "wall_s"), "x", "<= 11")
        growth = _ratio(usages, bench.real_runs, "peak_pss_bytes") - 1
        bench.add(f"real data x{SCALE}: memory growth", 100 * growth, "%", "< 33.3")
    with bench.folder("synthetic_rows") as data:
        manifest = make_synthetic(data, SYNTHETIC_ROWS, seed=7)
        usages = [bench.cold(manifest, "synthetic") for _ in range(bench.repeat)]
    bench.add_runs(f"synthetic text ({SYNTHETIC_ROWS:,} rows), cold", usages)
    rates = [SYNTHETIC_ROWS / usage.wall_s for usage in usages]
    bench.add("synthetic text: rate", statistics.median(rates), "rows/s", ">= 10,000", rates)


def _ratio(ones: Sequence[Usage], others: Sequence[Usage], name: str) -> float:
    """Ratio of the medians of a field of `Usage`."""
    one, other = (statistics.median(float(getattr(usage, name)) for usage in usages) for usages in (ones, others))
    return one / other


def obvious(bench: Bench) -> None:
    """VQA-RAD, once and twenty times, against the same job written on `datasets`."""
    if bench.real is None:
        return
    for copies in (1, COPIES):
        with bench.folder(f"vqa_rad_x{copies}") as folder:
            rows = copy_vqa_rad(bench.real / "vqa_rad", folder / "data" / "vqa_rad", copies)
            _against_datasets(bench, folder, f"VQA-RAD x{copies} ({rows:,} rows)")


def _against_datasets(bench: Bench, folder: Path, name: str) -> None:
    text = (
        "name: vqa_rad\nroot: data\nsources:\n  vqa_rad: {adapter: vqa_rad, location: vqa_rad, split: [train, test], "
        "category: medical_vqa}\noutputs: {sft: {}}\n"
    )
    (folder / "near.yaml").write_text(text, "utf-8")
    manifest = folder / "vqa_rad.yaml"  # the same job: the peer looks for exact duplicates alone
    manifest.write_text(text + "dedup: {near: false}\n", "utf-8")
    ours: list[Usage] = []
    peers: dict[str, list[Usage]] = {"first": [], "last": []}
    for _ in range(bench.repeat):
        with bench.folder("ours") as place:
            usage, build = bench.build(manifest, place)
            note(f"{name}, ours: {described(usage)}")
            ours.append(usage)
            kept = our_rows(build)
        for embed, usages in peers.items():
            out = folder / f"{embed}.parquet"
            command = [sys.executable, str(HERE / "obvious_datasets.py"), str(folder / "data" / "vqa_rad"), str(out)]
            usage = run_measured([*command, "--embed", embed], env=environment(bench.temp), cwd=PROJECT)
            note(f"{name}, datasets, embed {embed}: {described(usage)}")
            if usage.returncode != 0:
                raise BenchError(f"{' '.join(command)}\n{usage.stderr[-3000:]}")
            usages.append(usage)
            if (theirs := peer_rows(out)) != kept:
                example = next(iter((kept - theirs) or (theirs - kept)))
                raise BenchError(
                    f"{name}: {kept.total():,} rows of ours, {theirs.total():,} of `datasets` (embed {embed}); not in "
                    f"both: {(kept - theirs).total():,} and {(theirs - kept).total():,}, such as {example}"
                )
            out.unlink()
    bench.add(f"{name}: kept by each, equal rows", float(kept.total()), "rows")
    bench.add_runs(f"{name}, ours", ours)
    with bench.folder("near") as place:
        usage, _ = bench.build(folder / "near.yaml", place)
        bench.add_runs(f"{name}, ours, near-duplicates of pictures and texts too", [usage])
    for embed, usages in peers.items():
        shown = f"{name}, datasets, images embedded {embed}"
        bench.add_runs(shown, usages)
        bench.add(f"{shown}: time / ours", _ratio(usages, ours, "wall_s"), "x")
        bench.add(f"{shown}: memory / ours", _ratio(usages, ours, "peak_pss_bytes"), "x")
        anonymous = _ratio(usages, ours, "anonymous_at_peak_bytes")
        bench.add(f"{shown}: memory / ours, without mapped files", anonymous, "x")


Kept = Counter[tuple[str, str, str]]
"""How often each (digest of the image's bytes, question, answer) is there, texts without case and extra spaces."""


def our_rows(build: Path) -> Kept:
    """The rows of a build's `sft`, its images checked against what is embedded."""
    import pyarrow.parquet as pq

    from infimed_data.images import blob_digest

    images = pq.read_table(build / "images.parquet", columns=["digest", "blob"]).to_pylist()
    blobs = {row["digest"]: row["blob"] for row in images}
    columns = ["question", "answer", "images", "sft_split"]
    samples = pq.read_table(build / "samples.parquet", columns=columns).to_pylist()
    written = [row for row in samples if row["sft_split"] is not None]
    kept = Counter((blobs[row["images"][0]], _plain(row["question"]), _plain(row["answer"])) for row in written)
    embedded: Counter[str] = Counter()
    for path in sorted((build / "sft").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(256, columns=["images"]):
            for cell in batch.column("images").to_pylist():
                embedded[blob_digest(cell[0]["bytes"])] += 1
    if embedded != Counter(blobs[row["images"][0]] for row in written):
        raise BenchError("the images embedded in sft/ are not those of samples.parquet")
    return kept


def peer_rows(path: Path) -> Kept:
    """The rows that the peer wrote."""
    import pyarrow.parquet as pq

    from infimed_data.images import blob_digest

    kept: Kept = Counter()
    for batch in pq.ParquetFile(path).iter_batches(256, columns=["image", "question", "answer"]):
        for row in batch.to_pylist():
            kept[blob_digest(row["image"]["bytes"]), _plain(row["question"]), _plain(row["answer"])] += 1
    return kept


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def identity(bench: Bench) -> None:
    """Equal bytes with one process, two processes, and other orders of files and rows."""
    if bench.real is None:
        return
    with bench.folder("identity") as folder:
        copy_shuffled(bench.real, folder / "shuffled", seed=11)
        _, one = bench.build(REAL_MANIFEST, folder / "one", root=bench.real, processes=1)
        _, two = bench.build(REAL_MANIFEST, folder / "two", root=bench.real, processes=2)
        _, shuffled = bench.build(REAL_MANIFEST, folder / "three", root=folder / "shuffled", processes=2)
        files = digests(one)
        for name, other, tables_only in (("1 and 2 processes", two, False), ("shuffled rows, files", shuffled, True)):
            compared = len(tables_of(files) if tables_only else files)
            found = differences(one, other, tables_only=tables_only)
            bench.add(f"identity, {name}: files that differ of {compared}", float(len(found)), "", "= 0")
            for line in found:
                print(f"    {line}")
        print("\n" + indented([f"{digest}  {name}" for name, digest in files.items()]) + "\n")


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "demo": demo,
    "real": real,
    "scale": scale,
    "obvious": obvious,
    "identity": identity,
}


# --- what is printed --------------------------------------------------------------------------------------------------


def shown(value: float | str) -> str:
    """A figure for people."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.2f}"


def row_of(figure: Figure) -> str:
    """The figure as a row of the table."""
    verdict = {True: "pass", False: "**miss**", None: ""}[figure.met]
    runs = ", ".join(shown(run) for run in figure.runs)
    unit = f" {figure.unit}" if figure.unit else ""
    return f"| {figure.what} | {shown(figure.value)}{unit} | {figure.target} | {verdict} | {runs} |"


def table(figures: Sequence[Figure]) -> str:
    """All figures as a Markdown table."""
    head = ["| figure | median | target | | runs |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(row_of, figures)])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"model name\s*: (.+)", info)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Runs the sections; 1 where a run failed, a target was missed, or outputs differ."""
    parser = argparse.ArgumentParser(description="What builds cost, as a Markdown table of figures and targets.")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, joined by commas")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--real", type=Path, default=PROJECT.parent / "shared" / "real", help="folder of real data")
    parser.add_argument("--processes", type=int, help="of our builds; the command's own default otherwise")
    parser.add_argument("--temp", type=Path, help="where to work (needs about 10 GB)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    given = parser.parse_args()
    sys.path.insert(0, str(PROJECT))
    sections = given.only.split(",")
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; allowed: {', '.join(SECTIONS)}")
    found = given.real.resolve() if given.real.is_dir() else None
    if found is None and set(sections) - {"demo"}:
        note(f"real data: skipped, no folder {given.real}")
    about = machine()
    failed = []
    with tempfile.TemporaryDirectory(prefix="infimed-bench-", dir=given.temp) as temp:
        bench = Bench(Path(temp), found, given.repeat, given.processes)
        for name in ("warm_up", *sections):
            try:
                SECTIONS[name](bench) if name in SECTIONS else warm_up(bench, peer="obvious" in sections)
            except BenchError as error:
                failed.append(name)
                print(f"| {name} | **failed** | | | |\n\n{indented(str(error).splitlines())}\n", flush=True)
    print(f"\n{', '.join(f'{name} {value}' for name, value in about.items())}; medians of {given.repeat}\n")
    print(table(bench.figures))
    if given.json:
        figures = [asdict(figure) | {"met": figure.met} for figure in bench.figures]
        report = {"machine": about, "figures": figures, "failed": failed}
        given.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 1 if failed or any(figure.met is False for figure in bench.figures) else 0


if __name__ == "__main__":
    sys.exit(main())
