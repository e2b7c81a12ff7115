"""Near-duplicate texts: time, memory, recall and precision, beside other tools on the same corpus in the same run.

    python tests/benchmarks/bench_text.py --peers /path/to/python,/path/to/another/python
    python tests/benchmarks/bench_text.py --corpus FOLDER --only ours,rensa --repeat 3

Corpora of invented words are made anew (`--n`, `--seed`), or read from a folder with corpus.parquet {id, text},
corpus.jsonl and truth.parquet {a, b, jaccard}. Every tool gets raw text on disk and gives the ids to remove; the clock
runs from the start of its process to its end, memory is the peak of all its processes together (PSS). Recall: planted
or true pairs of at least 0.8 of which one document goes. Precision: documents that go which do have such a pair.

`--peers` names Python interpreters that have the other tools (dedup_peers.py); what none of them has is left out with
a line that says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from make_text import make_corpus
from measure import Usage, run_measured

HERE = Path(__file__).resolve().parent
PEERS = ("rensa", "rensa_one_shot", "datasketch", "text_dedup", "data_juicer", "datatrove")
LEAST = 0.8


@dataclass(frozen=True)
class Score:
    """What a tool found."""

    removed: int
    recall: float
    precision: float


def score(corpus: Path, removed: set[int]) -> Score:
    """Recall and precision at 0.8 against the corpus's truth."""
    pairs = pq.read_table(corpus / "truth.parquet").to_pylist()
    true = [pair for pair in pairs if pair["jaccard"] >= LEAST]
    members = {pair[side] for pair in true for side in ("a", "b")}
    caught = sum(pair["a"] in removed or pair["b"] in removed for pair in true)
    right = sum(one in members for one in removed)
    return Score(len(removed), caught / len(true) if true else 1.0, right / len(removed) if removed else 1.0)


def run(command: Sequence[str], out: Path, repeat: int) -> tuple[list[Usage], set[int]] | None:
    """(what each run took, the ids that it would remove); None where the tool is not installed or failed."""
    runs = []
    for _ in range(repeat):
        out.unlink(missing_ok=True)
        usage = run_measured(command)
        if usage.returncode == 3:
            return None
        if usage.returncode:
            print(f"{' '.join(command[:3])}: {usage.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        runs.append(usage)
    return runs, {int(line) for line in out.read_text("utf-8").split()}


def compared(corpus: Path, peers: Sequence[str], only: Sequence[str], repeat: int, temp: Path) -> None:
    """Prints one line a tool."""
    print(
        f"{'tool':<16}{'wall s':>9}{'CPU s':>9}{'peak GB':>9}{'removed':>9}{'recall':>9}{'precision':>11}", flush=True
    )
    out = temp / "removed.txt"
    ours = 0.0
    for tool in ("ours", "ours (1 process)", *PEERS):
        if only and tool.split()[0] not in only:
            continue
        if tool.startswith("ours"):
            processes = "1" if "(" in tool else "2"
            commands = [
                [sys.executable, str(HERE / "dedup_corpus.py"), "--corpus", str(corpus / "corpus.parquet"),
                 "--removed", str(out), "--processes", processes]
            ]  # fmt: skip
        else:
            script = [str(HERE / "dedup_peers.py"), tool, "--corpus", str(corpus), "--removed", str(out)]
            commands = [[python, *script] for python in peers]
        found = next(filter(None, (run(command, out, repeat) for command in commands)), None)
        if found is None:
            print(f"{tool:<16} not installed in any of --peers, or it failed", flush=True)
            continue
        runs, removed = found
        scored = score(corpus, removed)
        wall, cpu = (statistics.median(getattr(one, name) for one in runs) for name in ("wall_s", "cpu_s"))
        memory = max(one.peak_pss_bytes for one in runs) / 1e9
        ours = wall if tool == "ours" else ours
        times = f"  {wall / ours:.1f}x ours" if ours and not tool.startswith("ours") else ""
        print(
            f"{tool:<16}{wall:>9.1f}{cpu:>9.1f}{memory:>9.2f}{scored.removed:>9,}{scored.recall:>9.3f}"
            f"{scored.precision:>11.3f}{times}",
            flush=True,
        )


def main() -> int:
    """Makes or reads the corpora and prints a table for each."""
    parser = argparse.ArgumentParser(description="Near-duplicate texts beside other tools.")
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="folder of a corpus that is there")
    parser.add_argument("--n", default="50000,200000", help="sizes of the corpora to make")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--peers", default="", help="Python interpreters that have the other tools")
    parser.add_argument("--only", default="", help="tools to run")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temp = Path(name)
        corpora = list(options.corpus)
        if not corpora:
            for size in map(int, options.n.split(",")):
                folder = temp / f"corpus-{size}"
                made = make_corpus(folder, size, options.seed, 0.1)
                print(f"\n{size:,} documents, seed {options.seed}: {json.dumps(made)}")
                corpora.append(folder)
        for corpus in corpora:
            if not (corpus / "truth.parquet").is_file():
                parser.error(f"{corpus}: no truth.parquet {{a, b, jaccard}}")
            print(f"\n{corpus.name}")
            compared(
                corpus,
                [python for python in options.peers.split(",") if python],
                [tool for tool in options.only.split(",") if tool],
                options.repeat,
                temp,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
