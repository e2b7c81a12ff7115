"""The command `infimed-data`. Heavy imports wait inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infimed_data import __version__
from infimed_data.errors import InfimedError
from infimed_data.showing import safe, trace_of

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Build medical vision-language datasets from manifests, and ask about every row.",
)

Build = Annotated[Path, typer.Argument(help="Folder of a finished build.")]
ManifestFile = Annotated[Path, typer.Argument(help="Manifest (YAML), or the lock.json of a build to repeat.")]
Out = Annotated[Path, typer.Option(help="Folder of the finished builds.")]
Work = Annotated[Path, typer.Option(help="Folder of reusable stage outputs.")]
Processes = Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a processor.")]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the sources; OWNER/NAME in it is read in place of that data set of the Hub."),
]


class Format(StrEnum):
    """How `query` prints."""

    table = "table"
    csv = "csv"
    json = "json"


class Listing(StrEnum):
    """How `plan` prints."""

    table = "table"
    json = "json"


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Prints errors that the user can mend as they are, and ends with 1; Ctrl-C ends with 130."""
    try:
        yield
    except InfimedError as error:
        for line in str(error).split("\n"):
            print(f"error: {safe(line)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None


def _say(line: str) -> None:
    print(safe(line), file=sys.stderr, flush=True)


@app.command()
def build(
    manifest: ManifestFile,
    out: Out = Path("builds"),
    work: Work = Path(".infimed"),
    processes: Processes = None,
    root: Root = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run, be asked and be paid; build and send nothing.")
    ] = False,
    preview: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask teachers about N rows of each pass, and forecast the whole run."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
) -> None:
    """Build a dataset version; the last line on stdout is its folder."""
    with _one_line_errors():
        from infimed_data import forecast
        from infimed_data.engine import default_processes, leave_pandas_out
        from infimed_data.plan import BuildOptions

        leave_pandas_out()
        options = BuildOptions(out, work, processes or default_processes(), root, quiet)
        say = (lambda line: _say(line) if line.startswith("warning") else None) if quiet else _say
        if dry_run or preview is not None:
            if preview is None:
                print(forecast.forecast(manifest, options, say))
            else:
                print(forecast.preview(manifest, options, preview, say))
            return
        print(forecast.build(manifest, options, say))


@app.command()
def plan(
    manifest: ManifestFile,
    out: Out = Path("builds"),
    work: Work = Path(".infimed"),
    processes: Processes = None,
    root: Root = None,
    format: Annotated[Listing, typer.Option(help="How to print.")] = Listing.table,  # noqa: A002
) -> None:
    """What a build would do: rows, what is cached, time, memory, disk, requests and price. Nothing is built or sent."""
    with _one_line_errors():
        from infimed_data import forecast
        from infimed_data.engine import default_processes, leave_pandas_out
        from infimed_data.plan import BuildOptions

        leave_pandas_out()
        options = BuildOptions(out, work, processes or default_processes(), root, quiet=True)
        planned = forecast.make_plan(manifest, options)
        print(forecast.as_text(planned) if format is Listing.table else forecast.as_json(planned))


@app.command()
def sweep(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests (YAML); the others are compared with the first.")],
    out: Out = Path("builds"),
    work: Work = Path(".infimed"),
    processes: Processes = None,
    root: Root = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[VARIANT=]FOLDER",
            help="Results of `infimed-train eval` to join with the variants; may be given many times.",
        ),
    ] = None,
    chart: Annotated[Path, typer.Option(help="File of the scores' chart (PNG).")] = Path("sweep-scores.png"),
    format: Annotated[Format, typer.Option(help="How to print the table.")] = Format.table,  # noqa: A002
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
) -> None:
    """Build many variants, computing once what they share; print one table of what differs, with scores a chart."""
    with _one_line_errors():
        from infimed_data import stats
        from infimed_data import sweep as sweeping
        from infimed_data.engine import default_processes, leave_pandas_out
        from infimed_data.plan import BuildOptions

        leave_pandas_out()
        options = BuildOptions(out, work, processes or default_processes(), root, quiet)
        say = (lambda line: _say(line) if line.startswith(("warning", "error")) else None) if quiet else _say
        results = sweeping.read_scores(scores or ())
        swept = sweeping.sweep(manifests, options, say)
        scored = sweeping.match_scores(results, swept)
        if format is Format.table:
            print(sweeping.as_text(swept))
            if scored:
                print(f"\nAccuracy in percent\n{sweeping.scores_text(swept, scored)}")
        else:
            table = sweeping.with_scores(swept, scored) if scored else sweeping.compared(swept)
            print((stats.as_csv if format is Format.csv else stats.as_json)(table).rstrip("\n"))
        if scored:
            sweeping.draw_scores(swept, scored, chart)
            _say(f"chart   {chart}")
        if any(one.build is None for one in swept):
            raise typer.Exit(1)


@app.command()
def validate(manifest: ManifestFile, root: Root = None, work: Work = Path(".infimed")) -> None:
    """Check a manifest, find its files, and see that no teacher gets what it may not; print warnings."""
    with _one_line_errors():
        from infimed_data.plan import BuildOptions, load_plan, semantic_warnings

        plan = load_plan(manifest, BuildOptions(Path(), work, 1, root))
        for warning in semantic_warnings(plan):
            _say(str(warning))
        outputs = ", ".join(name for name, _ in plan.manifest.outputs.items())
        passes = f", passes: {', '.join(plan.manifest.generate)}" if plan.manifest.generate else ""
        print(f"{manifest}: valid; {len(plan.manifest.sources)} sources, outputs: {outputs}{passes}")


@app.command()
def push(
    build: Build,
    repo: Annotated[str, typer.Argument(help="OWNER/NAME of the data set on the Hub; made if it is not there.")],
    ids_only: Annotated[
        bool, typer.Option("--ids-only", help="Ids, digests and the texts that licenses let through, without pictures.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; a new one is private else.")] = False,
) -> None:
    """Publish a build on the Hub, tagged with its digest; the last line on stdout is its address."""
    with _one_line_errors():
        from infimed_data.hub import push as push_build

        print(push_build(build, repo, _say, ids_only=ids_only, public=public))


@app.command()
def query(
    build: Build,
    sql: Annotated[str, typer.Argument(help="One SELECT over samples, drops, images, sources, leaks, lookalikes, ...")],
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,  # noqa: A002
) -> None:
    """Run read-only SQL (DuckDB) over a build's tables. It can reach neither files nor network."""
    with _one_line_errors():
        from infimed_data import stats

        terminal = sys.stdout.isatty()
        table = stats.query(stats.open_build(build), sql)
        if format is Format.table:
            text = stats.as_table(table, width=shutil.get_terminal_size().columns if terminal else None)
        else:
            text = stats.as_csv(table) if format is Format.csv else stats.as_json(table)
        if terminal:  # control characters of the data never reach a terminal as such
            text = "\n".join(stats.shown(line) for line in text.splitlines())
        print(text.rstrip("\n"))


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="Folder of a finished build.")],
    b: Annotated[Path, typer.Argument(help="Folder of another, to compare with it.")],
    examples: Annotated[int, typer.Option(min=1, help="Uids that are shown of each kind of change.")] = 1,
    format: Annotated[  # noqa: A002
        Format, typer.Option(help="Counts with examples (table), or a line for every changed row (csv, json).")
    ] = Format.table,
) -> None:
    """Rows added, removed, dropped for another rule, in another output or split; and what in the locks explains it."""
    with _one_line_errors():
        from infimed_data import stats

        first, second = stats.open_build(a), stats.open_build(b)
        if format is Format.table:
            width = shutil.get_terminal_size((120, 24)).columns
            print(stats.difference(first, second, examples=examples, width=width))
        else:
            changed = stats.changes(first, second)
            print((stats.as_csv if format is Format.csv else stats.as_json)(changed).rstrip("\n"))


@app.command("export")
def export_(
    build: Build,
    to: Annotated[str, typer.Option(help="verl, easyr1, llama_factory, swift, vlm_r1 or verifiers.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder; default: NAME-DIGEST-FORMAT in the current folder.")
    ] = None,
) -> None:
    """Write a build's outputs as another trainer reads them, and check every row; the last line is the folder."""
    with _one_line_errors():
        from infimed_data import export, stats

        opened = stats.open_build(build)
        folder = out or Path(f"{opened.label.replace(' ', '-')}-{to}")
        for line in export.export(opened.path, to, folder):
            print(stats.shown(line))
        print(stats.shown(str(folder)))


@app.command("stats")
def stats_(build: Build) -> None:
    """Sources in and out, drops by rule, asked and realised mixture, histograms."""
    with _one_line_errors():
        from infimed_data import stats

        print(stats.stats(stats.open_build(build), width=shutil.get_terminal_size((100, 24)).columns))


@app.command()
def why(build: Build, uid: Annotated[str, typer.Argument(help="A row's uid, such as vqa_rad/train/1.")]) -> None:
    """A row's whole story: where it was read, its signals, where it ended and why, its twin."""
    with _one_line_errors():
        from infimed_data import stats

        print(stats.why(stats.open_build(build), uid))


@app.command()
def leaks(
    build: Build,
    page: Annotated[
        Path | None, typer.Option(help="File of the page; default: NAME-DIGEST-leaks.html in the current folder.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs on the page, the most doubtful first.")] = 400,
) -> None:
    """Rows that a benchmark has too, counted; and an HTML page to review them, whose path is the last line."""
    with _one_line_errors():
        from infimed_data import report, stats

        opened = stats.open_build(build)
        print(report.leaks_text(opened, width=shutil.get_terminal_size((100, 24)).columns), flush=True)
        print(stats.shown(str(report.write_leaks_page(opened, page, max_pairs=pairs))))


@app.command()
def traces(
    build: Build,
    page: Annotated[
        Path | None, typer.Option(help="File of the page; default: NAME-DIGEST-traces.html in the current folder.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples on the page, some of every kind.")] = 400,
) -> None:
    """What teachers wrote and what became of it, counted; and an HTML page to read and mark it: the last line."""
    with _one_line_errors():
        from infimed_data import stats
        from infimed_data.report import traces as report

        opened = stats.open_build(build)
        print(report.traces_text(opened, width=shutil.get_terminal_size((100, 24)).columns), flush=True)
        print(stats.shown(str(report.write_traces_page(opened, page, max_samples=samples))))


@app.command()
def adapters(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README instead.")] = False,
) -> None:
    """The layouts that can be read, and the data sets that have them, with their licenses."""
    from infimed_data.adapters import ADAPTERS
    from infimed_data.adapters.catalogue import listing, markdown_table

    if markdown:
        print(markdown_table())
        return
    for name, what in ADAPTERS.items():
        print(f"{name:<16} {what}")
        for line in listing(name):
            print(f"{'':<18} {line}")


@app.command()
def verify(
    cases: Annotated[Path, typer.Argument(help="Labelled cases, one JSON object a line.")],
    rel_tol: Annotated[
        float, typer.Option(min=0, max=1, help="Share by which numbers may differ from the gold; default: exact.")
    ] = 0.0,
) -> None:
    """Score the answer verifier on labelled cases; ends with 1 if it disagrees with one, or if a line is no case."""
    with _one_line_errors():
        from infimed_data.stats.cases import scored
        from infimed_data.verify.scoring import score_cases

        score = score_cases(cases, rel_tol=rel_tol)
        print(scored(score))
        if score.disagreements:
            raise typer.Exit(1)


def _version(value: bool) -> None:
    if value:
        print(f"infimed-data {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the command. An error that nobody foresaw ends with its traceback, without secrets, and 1."""
    try:
        app()
    except Exception as error:
        print(trace_of(error), file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
