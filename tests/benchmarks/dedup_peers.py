"""Near-duplicates of a corpus with other tools, each the way its own documentation shows; runs in their environment.

    PYTHON tests/benchmarks/dedup_peers.py TOOL --corpus FOLDER --removed removed.txt

TOOL is rensa, rensa_one_shot, datasketch, datatrove, text_dedup or data_juicer; FOLDER holds corpus.parquet and
corpus.jsonl with id and text. Shingles are word 5-grams; 128 permutations where the tool lets one choose (112 in
datatrove, its default of 14 buckets of 8). Nothing of the project is imported. Exits with 3 where the tool is not
installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WORD = re.compile(r"\w+")
PERMUTATIONS = 128
PROCESSES = 2


def shingles(text: str, size: int = 5) -> list[str]:
    """The word 5-grams of a text."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]


def _read(folder: Path) -> tuple[list[int], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "corpus.parquet")
    return table["id"].to_pylist(), table["text"].to_pylist()


def _rensa(folder: Path, threshold: float, *, bands: int, one_shot: bool) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    ids, texts = _read(folder)
    matrix = RMinHash.digest_matrix_from_token_sets([shingles(text) for text in texts], PERMUTATIONS, 42)
    lsh = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=bands)
    ask = lsh.query_duplicate_flags_matrix_one_shot if one_shot else lsh.insert_matrix_and_query_duplicate_flags
    flags = ask(matrix)
    return [one for one, flag in zip(ids, flags, strict=True) if flag]


def rensa(folder: Path, threshold: float) -> list[int]:
    """rensa: sketches of all texts, then a query of each; 16 bands at 0.7, without verification."""
    return _rensa(folder, min(threshold, 0.7), bands=16, one_shot=False)


def rensa_one_shot(folder: Path, threshold: float) -> list[int]:
    """rensa's one call, with the 8 bands that its documentation has for a threshold of 0.8."""
    return _rensa(folder, threshold, bands=8, one_shot=True)


def _sketch(texts: list[str]) -> list[object]:
    from datasketch import MinHash

    found = []
    for text in texts:
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in set(shingles(text))])
        found.append(sketch)
    return found


def datasketch(folder: Path, threshold: float) -> list[int]:
    """datasketch: sketches in two processes, then MinHashLSH; a text with an earlier match goes."""
    from datasketch import MinHashLSH

    ids, texts = _read(folder)
    parts = [texts[i : i + 1000] for i in range(0, len(texts), 1000)]
    lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    removed = []
    with multiprocessing.Pool(PROCESSES) as pool:
        sketches = itertools.chain.from_iterable(pool.imap(_sketch, parts))
        for one, sketch in zip(ids, sketches, strict=True):
            if lsh.query(sketch):
                removed.append(one)
            lsh.insert(one, sketch)
    return removed


def datatrove(folder: Path, threshold: float) -> list[int]:
    """datatrove's four stages with two tasks and two workers; its default buckets (about 0.72)."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=5)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        split = work / "in"
        split.mkdir()
        lines = (folder / "corpus.jsonl").read_text("utf-8").splitlines(keepends=True)
        half = (len(lines) + 1) // 2
        (split / "0.jsonl").write_text("".join(lines[:half]), "utf-8")
        (split / "1.jsonl").write_text("".join(lines[half:]), "utf-8")

        def run(pipeline: list[object], tasks: int) -> None:
            LocalPipelineExecutor(
                pipeline=pipeline, tasks=tasks, workers=PROCESSES, logging_dir=str(work / "logs"), skip_completed=False
            ).run()

        signatures, buckets, clusters = (str(work / part) for part in ("signatures", "buckets", "clusters"))
        run([JsonlReader(str(split)), MinhashDedupSignature(signatures, config=config)], 2)
        run([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets)
        run([MinhashDedupCluster(buckets, clusters, config=config)], 1)
        kept = JsonlWriter(str(work / "kept"), compression=None)
        gone = JsonlWriter(str(work / "gone"), compression=None)
        run([JsonlReader(str(split)), MinhashDedupFilter(clusters, exclusion_writer=gone), kept], 2)
        return [
            int(json.loads(line)["id"])
            for file in sorted((work / "gone").rglob("*.jsonl"))
            for line in file.read_text("utf-8").splitlines()
        ]


def text_dedup(folder: Path, threshold: float) -> list[int]:
    """text-dedup's MinHash script with two processes."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        options = {
            "path": "parquet", "data_files": folder / "corpus.parquet", "split": "train", "output": out,
            "cache_dir": Path(name) / "cache", "column": "text", "batch_size": 10_000, "threshold": threshold,
            "num_perm": PERMUTATIONS, "ngram": 5, "min_length": 0, "num_proc": PROCESSES,
        }  # fmt: skip
        command = [sys.executable, "-m", "text_dedup.minhash"]
        command += [part for option, value in options.items() for part in (f"--{option}", str(value))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        from datasets import load_from_disk

        kept = set(load_from_disk(str(out))["id"])
    ids, _ = _read(folder)
    return [one for one in ids if one not in kept]


def data_juicer(folder: Path, threshold: float) -> list[int]:
    """Data-Juicer's document_minhash_deduplicator with two processes."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out.jsonl"
        config = {
            "project_name": "dedup", "dataset_path": str(folder / "corpus.jsonl"), "export_path": str(out),
            "np": PROCESSES, "open_tracer": False, "ds_cache_dir": str(Path(name) / "cache"),
            "process": [{
                "document_minhash_deduplicator": {
                    "tokenization": "space", "window_size": 5, "lowercase": True,
                    "num_permutations": PERMUTATIONS, "jaccard_threshold": threshold,
                }
            }],
        }  # fmt: skip
        recipe = Path(name) / "recipe.yaml"
        recipe.write_text(json.dumps(config), "utf-8")
        command = [str(Path(sys.executable).with_name("dj-process")), "--config", str(recipe)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kept = {json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()}
    ids, _ = _read(folder)
    return [one for one in ids if one not in kept]


TOOLS = {
    "rensa": (rensa, "rensa"),
    "rensa_one_shot": (rensa_one_shot, "rensa"),
    "datasketch": (datasketch, "datasketch"),
    "datatrove": (datatrove, "datatrove"),
    "text_dedup": (text_dedup, "text_dedup"),
    "data_juicer": (data_juicer, "data_juicer"),
}
"""Each tool's function and the module that it needs."""


def main() -> int:
    """Runs one tool and writes the ids that it would remove."""
    parser = argparse.ArgumentParser(description="Near-duplicates of a corpus with another tool.")
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--removed", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.8)
    options = parser.parse_args()
    function, module = TOOLS[options.tool]
    if importlib.util.find_spec(module) is None:
        print(f"{module} is not installed here", file=sys.stderr)
        return 3
    removed = function(options.corpus, options.threshold)
    options.removed.write_text("".join(f"{one}\n" for one in removed), "utf-8")
    print(json.dumps({"removed": len(removed)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
