"""Fuzzes one target with atheris, guided by coverage, and keeps what it finds.

    python tests/benchmarks/fuzz.py images --minutes 30 --keep fuzz

Needs atheris (`pip install atheris`; Python 3.11 to 3.13) beside this project. `KEEP/TARGET/corpus` grows from run to
run, `KEEP/TARGET/crashes` has the input of each finding: give one again with `--input FILE` to see its traceback. The
run goes on after a finding: one fault counts once, by where it was raised. A hang or a crash of the interpreter ends
the process, and the rest of the time goes to another. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

HANGS_S = 60
"""Seconds for one input, from which on it counts as a hang."""
MEMORY_MB = 3000
FOLLOWED = {"images": ("PIL",), "manifest": ("ruamel",), "html": ("jinja2",)}
"""Packages of others whose branches count as coverage too, by target."""


def place_of(error: BaseException) -> str:
    """Where an error was raised: its kind and the last lines of this project on the way there."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if "infimed_data" in f.filename or "fuzz" in f.filename]
    return f"{type(error).__name__} " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(own[-3:]))


def fuzz(target: str, keep: Path, seconds: int, max_len: int) -> None:
    """Runs in this process until the time is over; atheris ends the process."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(2, str(Path(__file__).resolve().parents[2]))
    with atheris.instrument_imports(include=["infimed_data", *FOLLOWED.get(target, ())]):
        import fuzz_targets
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", module="PIL")
    function = fuzz_targets.TARGETS[target]
    corpus, crashes = keep / target / "corpus", keep / target / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    for seed in fuzz_targets.seeds(target):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    seen = {line for file in crashes.glob("*.txt") for line in file.read_text("utf-8").splitlines()[:1]}

    def one(data: bytes) -> None:
        try:
            function(data)
        except Exception as error:
            place = place_of(error)
            if place in seen:
                return
            seen.add(place)
            name = hashlib.sha1(place.encode()).hexdigest()[:12]
            (crashes / name).write_bytes(data)
            said = "".join(traceback.format_exception(error))
            (crashes / f"{name}.txt").write_text(f"{place}\n\n{said}", "utf-8", "backslashreplace")
            sys.stderr.write(f"FINDING {name} {place}\n")

    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-timeout={HANGS_S}", f"-rss_limit_mb={MEMORY_MB}",
            f"-max_len={max_len}", f"-artifact_prefix={crashes}/", "-print_final_stats=1", "-verbosity=1",
        ],
        one,
    )  # fmt: skip
    atheris.Fuzz()


def reported(target: str, keep: Path, minutes: float, output: str, ended: int) -> str:
    """One line: executions, coverage, findings."""
    executed = sum(map(int, re.findall(r"stat::number_of_executed_units:\s*(\d+)", output)))
    coverage = re.findall(r"cov: (\d+)", output)
    crashes = keep / target / "crashes"
    found = sorted(file.name for file in crashes.iterdir() if file.suffix != ".txt")
    inputs = len(list((keep / target / "corpus").iterdir()))
    return (
        f"{target}: {minutes:.1f} min, {executed:,} executions, coverage {coverage[-1] if coverage else '?'}, "
        f"{inputs:,} inputs in the corpus, {len(found)} findings in {crashes}, exit {ended}"
    )


def main() -> int:
    """Prints the findings, then one line of figures; ends with 1 if there were any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["adapters", "images", "manifest", "verifier", "html"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder of corpora and crashes")
    parser.add_argument("--max-len", type=int, default=4096, help="bytes of an input at most")
    parser.add_argument("--input", type=Path, help="run this one input, and nothing else")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.input is not None:
        sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
        import fuzz_targets

        fuzz_targets.TARGETS[given.target](given.input.read_bytes())
        print("nothing wrong")
        return 0
    if given.inside:
        fuzz(given.target, given.keep, round(60 * given.minutes), given.max_len)
        return 0
    start = time.monotonic()
    outputs, ended, left = "", 0, 60 * given.minutes
    while left > 5:  # a hang or a crash of the interpreter ends the process: the rest of the time goes to another one
        command = [sys.executable, str(Path(__file__).resolve()), given.target, "--inside", "--keep", str(given.keep)]
        command += ["--minutes", str(left / 60), "--max-len", str(given.max_len)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        text = done.stdout.decode("utf-8", "backslashreplace")
        outputs += text
        ended = ended or done.returncode
        for line in text.splitlines():
            if line.startswith(("FINDING", "SUMMARY", "==")) or "ERROR" in line:
                print(line)
        left = 60 * given.minutes - (time.monotonic() - start)
    print(reported(given.target, given.keep, (time.monotonic() - start) / 60, outputs, ended))
    return 1 if ended or any((given.keep / given.target / "crashes").iterdir()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
