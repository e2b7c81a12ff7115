"""The command `infimed-train`. Heavy imports wait inside the commands, so that `--help` answers at once.

Every command runs under plain `python`, under `accelerate launch` and under `torchrun` (`-m infimed_train.cli ...`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from infimed_data.showing import safe, trace_of
from infimed_train import __version__
from infimed_train.errors import InfimedError

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train and evaluate medical vision-language models on the builds of infimed-data.",
)

Config = Annotated[str, typer.Argument(help="Configuration (YAML), or the name of a ready one.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="key=value over the file, such as trl.learning_rate=1e-5; repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Remove what stands in the output folder and start anew.")]


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
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)


def _end(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)


@app.command()
def sft(config: Config, settings: Set = None, fresh: Fresh = False) -> None:
    """Supervised fine-tuning; the last line on stdout is the model's folder. Run again, it goes on where it stopped."""
    with _one_line_errors():
        from infimed_train.config import load_config

        loaded = load_config(config, settings or [], task="sft")
        from infimed_train.sft import sft as run

        _end(str(run(loaded, _say, fresh=fresh)))


@app.command()
def grpo(config: Config, settings: Set = None, fresh: Fresh = False) -> None:
    """Reinforcement learning with the verifier as the reward; the last line on stdout is the model's folder."""
    with _one_line_errors():
        from infimed_train.config import load_config

        loaded = load_config(config, settings or [], task="grpo")
        from infimed_train.grpo import grpo as run

        _end(str(run(loaded, _say, fresh=fresh)))


@app.command("eval")
def eval_(config: Config, settings: Set = None, fresh: Fresh = False) -> None:
    """Ask benchmarks and score the answers; prints the table. The same command continues a stopped evaluation."""
    with _one_line_errors():
        from infimed_train.config import load_config

        loaded = load_config(config, settings or [], task="eval")
        from infimed_train.evaluate import evaluate as run

        _end(run(loaded, _say, fresh=fresh))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of an evaluation.")],
    second: Annotated[Path, typer.Argument(help="Folder of another, of the same benchmarks.")],
    resamples: Annotated[int, typer.Option(min=100, help="Draws of the bootstrap and of the permutation test.")] = 2000,
) -> None:
    """Compare two evaluations row by row: difference, 95% interval and p-value of each benchmark."""
    with _one_line_errors():
        from infimed_train.evaluate import compare as run

        print(run(first, second, resamples=resamples))


@app.command()
def completions(
    run: Annotated[Path, typer.Argument(help="Folder of a GRPO run.")],
    page: Annotated[Path | None, typer.Option("--page", help="File to write, else RUN/completions.html.")] = None,
    most: Annotated[int, typer.Option(min=1, help="About how many completions to show, spread over the steps.")] = 1000,
) -> None:
    """Write what the policy said, with pictures, rewards and verdicts, into one page; prints its path."""
    with _one_line_errors():
        from infimed_train.completions import write_completions_page

        print(write_completions_page(run, page, most=most))


@app.command()
def check(config: Config, settings: Set = None) -> None:
    """Find out what can be found out before a GPU is rented; ends with 1 if something would fail."""
    with _one_line_errors():
        from infimed_train.config import load_config

        loaded = load_config(config, settings or [])
        from infimed_train.check import check as run

        lines, failed = run(loaded, _say)
        print("\n".join(lines))
        if failed:
            raise typer.Exit(1)


@app.command()
def configs(
    name: Annotated[str | None, typer.Argument(help="A ready configuration.")] = None,
    path: Annotated[bool, typer.Option("--path", help="Print its file's path in place of its text.")] = False,
) -> None:
    """List the ready configurations, or print one, to copy and to change."""
    with _one_line_errors():
        from infimed_train.config.loading import READY, ready_configs
        from infimed_train.errors import TrainError, did_you_mean

        known = ready_configs() | {file.stem: file for file in sorted((READY / "accelerate").glob("*.yaml"))}
        if name is None:
            for known_name, file in known.items():
                print(f"{known_name:<20} {file.read_text('utf-8').splitlines()[0].removeprefix('# ')}")
        elif name not in known:
            raise TrainError(f"{name}: no such configuration; allowed: {', '.join(known)}{did_you_mean(name, known)}")
        else:
            print(known[name] if path else known[name].read_text("utf-8").rstrip("\n"))


def _version(value: bool) -> None:
    if value:
        print(f"infimed-train {__version__}")
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
