"""Decontamination: what is found of leaks that are known, what else is, and what it costs.

    python tests/benchmarks/bench_leaks.py --real ../shared/real
    python tests/benchmarks/bench_leaks.py --only speed

Sections: `rad` (VQA-RAD's train rows against its test rows, whose shared pictures are known), `medpix` (VQA-RAD against
MedPix, which has ten of its pictures in another encoding, with group keys off), `slake` (Chinese train rows against the
English test without any image), `text` (planted leaks of MedQA's test questions among MedMCQA's, by kind) and `speed`
(200,000 training questions of invented words against 120,000 benchmark questions). All but `speed` need a folder of
real data, and go through whole builds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from make_rows import read_json, read_lines, write_json, write_lines
from make_text import documents, vocabulary

from infimed_data.decontaminate.matching import match_texts
from infimed_data.decontaminate.questions import QuestionIndex, write_index
from infimed_data.engine import LocalEngine, default_processes, leave_pandas_out
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions
from infimed_data.signals import TextTask, measure_texts
from infimed_data.storage.stages import write_table

Row = dict[str, Any]

SPEED_ROWS, SPEED_BENCHMARK = 200_000, 120_000
_WORD = re.compile(r"\w+")


def built(folder: Path, name: str, sources: Row, benchmarks: Row, **more: Any) -> Path:
    """A finished build of a manifest with an sft output."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(
        json.dumps({"name": name, "sources": sources, "benchmarks": benchmarks, "outputs": {"sft": {}}, **more})
    )
    options = BuildOptions(folder / "out", folder / "work", default_processes(), quiet=True)
    return build(path, options, lambda line: None)


def leaks_of(build_folder: Path) -> pl.DataFrame:
    """The build's leaks, with the last part of each uid as `key`."""
    leaks = pl.read_parquet(build_folder / "leaks.parquet")
    return leaks.with_columns(key=pl.col("uid").str.split("/").list.last())


VQA: Row = {"category": "medical_vqa", "license": "CC0-1.0"}
TEXT: Row = {"category": "medical_text", "license": "MIT"}


def rad(real: Path, temp: Path) -> None:
    """VQA-RAD's train against its test."""
    location = {"adapter": "vqa_rad", "location": str(real / "vqa_rad")}
    folder = built(
        temp, "rad", {"rad": {**location, "split": "train", **VQA}}, {"rad_test": {**location, "split": "test"}}
    )
    leaks = leaks_of(folder)
    train, test = (read_json(real / "vqa_rad" / f"{name}set.json") for name in ("train", "test"))

    def words(text: str) -> str:
        return " ".join(_WORD.findall(text.lower()))

    images = {row["image_name"] for row in test}
    items = {(row["image_name"], words(row["question"])) for row in test}
    shared = {row["image_name"] for row in train if row["image_name"] in images}
    by_image = {str(row["qid"]): row["image_name"] for row in train}
    found = {grade: set(leaks.filter(pl.col("grade") == grade)["key"]) for grade in leaks["grade"].unique()}
    wanted_image = {str(row["qid"]) for row in train if row["image_name"] in images}
    wanted_item = {str(row["qid"]) for row in train if (row["image_name"], words(row["question"])) in items}
    print(f"rad     shared images found           {len({by_image[k] for k in found['same_image']})} of {len(shared)}")
    print(f"rad     rows same_image               {_against(found['same_image'], wanted_image)}")
    print(f"rad     rows same_item                {_against(found['same_item'], wanted_item)}")
    print(f"rad     rows same_question            {len(found.get('same_question', set()))} (wanted: none)")


def _against(found: set[str], wanted: set[str]) -> str:
    return f"{len(found & wanted)} of {len(wanted)}, {len(found - wanted)} others"


def medpix(real: Path, temp: Path) -> None:
    """VQA-RAD against MedPix, by pictures alone."""
    folder = temp / "medpix"
    (folder / "images").mkdir(parents=True)
    names = []
    for line in read_lines(real / "medpix" / "descriptions.jsonl"):
        name = f"{line['image']}.png"
        shutil.copyfile(real / "medpix" / "images" / name, folder / "images" / name)
        names.append(name)
    rows = [
        {"qid": i, "image_name": name, "question": f"Picture {i}?", "answer": "x", "answer_type": "OPEN"}
        for i, name in enumerate(names)
    ]
    write_json(folder / "testset.json", rows)
    location = {"adapter": "vqa_rad", "location": str(real / "vqa_rad")}
    sources = {f"rad_{split}": {**location, "split": split, **VQA} for split in ("train", "test")}
    benchmark = {"adapter": "vqa_rad", "location": str(folder), "split": "test"}
    made = built(temp, "medpix", sources, {"medpix": benchmark}, decontaminate={"same_group": "off"})
    leaks = leaks_of(made).filter(pl.col("grade") == "same_image")
    both = [read_json(real / "vqa_rad" / f"{name}set.json") for name in ("train", "test")]
    of_row = {str(row["qid"]): row["image_name"].partition(".")[0] for rows in both for row in rows}
    pairs = {
        (of_row[key], names[int(uid.rpartition("/")[2])]) for key, uid in leaks.select("key", "benchmark_uid").rows()
    }
    ours = set(of_row.values())
    true = {(name.rpartition("_")[2].partition(".")[0], name) for name in names}
    true = {(number, name) for number, name in true if number in ours}
    print(f"medpix  pairs found by pictures alone {_against(set(map(str, pairs)), set(map(str, true)))}")
    lock = json.loads((made / "lock.json").read_text())
    print(f"medpix  pairs of pictures             {json.dumps(lock['compared'].get('pictures', {}))}")


def slake(real: Path, temp: Path) -> None:
    """SLAKE's Chinese train rows against its English test, without images."""
    location = {"adapter": "slake", "location": str(real / "slake")}
    sources = {
        "zh": {**location, "split": "train", "options": {"languages": ["zh"]}, "allow_empty": True, **VQA},
        "medqa": {"adapter": "medqa", "location": str(real / "medqa"), "split": "test", **TEXT},
    }
    benchmark = {**location, "split": "test", "options": {"languages": ["en"]}}
    leaks = leaks_of(built(temp, "slake", sources, {"en": benchmark}))
    group = leaks.filter(pl.col("grade") == "same_group")
    print(f"slake   images shared by group alone  {group['evidence'].n_unique()} (wanted: 72), {len(group):,} rows")


# Planted leaks of questions


def _words_changed(share: float) -> Callable[[Row, random.Random, list[str]], Row]:
    def change(row: Row, rng: random.Random, vocabulary: list[str]) -> Row:
        words = row["question"].split()
        for at in rng.sample(range(len(words)), max(1, round(share * len(words)))):
            words[at] = rng.choice(vocabulary)
        return {**row, "question": " ".join(words)}

    return change


def _options_shuffled(row: Row, rng: random.Random, _: list[str]) -> Row:
    texts = list(row["options"].values())
    rng.shuffle(texts)
    label = "ABCDE"[texts.index(row["answer"])]
    return {**row, "options": dict(zip("ABCDE", texts, strict=False)), "answer_idx": label}


def _no_options(row: Row, _: random.Random, __: list[str]) -> Row:
    return {
        **row,
        "options": {"A": "Yes, it is so", "B": "No, it is not"},
        "answer": "Yes, it is so",
        "answer_idx": "A",
    }


def _options_in_stem(row: Row, rng: random.Random, words: list[str]) -> Row:
    listed = " ".join(f"({letter}) {text}" for letter, text in row["options"].items())
    return _no_options({**row, "question": f"{row['question']}\nAnswer Choices: {listed}"}, rng, words)


def _half(first: bool) -> Callable[[Row, random.Random, list[str]], Row]:
    def cut(row: Row, rng: random.Random, words: list[str]) -> Row:
        found = row["question"].split()
        middle = len(found) // 2
        return _no_options({**row, "question": " ".join(found[:middle] if first else found[middle:])}, rng, words)

    return cut


def _in_other_text(row: Row, rng: random.Random, words: list[str]) -> Row:
    around = " ".join(rng.choices(words, k=120))
    return _no_options({**row, "question": f"{around}. {row['question']} Explain your choice briefly."}, rng, words)


def _numbers_changed(row: Row, rng: random.Random, _: list[str]) -> Row:
    return {**row, "question": re.sub(r"\d+", lambda m: str(int(m[0][:6]) + rng.randint(1, 9)), row["question"])}


KINDS: dict[str, Callable[[Row, random.Random, list[str]], Row]] = {
    "as it stands": lambda row, _, __: row,
    "upper case, other punctuation": lambda row, _, __: {**row, "question": row["question"].upper().replace(",", " -")},
    "options shuffled": _options_shuffled,
    "stem without its options": _no_options,
    "options written into the stem": _options_in_stem,
    "numbers changed": _numbers_changed,
    "10 % of the words replaced": _words_changed(0.1),
    "20 % of the words replaced": _words_changed(0.2),
    "30 % of the words replaced": _words_changed(0.3),
    "first half": _half(True),
    "second half": _half(False),
    "inside 120 other words": _in_other_text,
}


def text(real: Path, temp: Path) -> None:
    """Leaks of MedQA's test planted among MedMCQA's questions, and real rewordings by a language model."""
    rng = random.Random(5)
    benchmark = read_lines(next((real / "medqa").glob("*.jsonl")))
    short = [
        {"question": row["question"], "options": {"A": row["opa"], "B": row["opb"], "C": row["opc"], "D": row["opd"]}}
        for row in read_lines(real / "medmcqa" / "dev.json")
        if 5 <= len(row["question"].split()) <= 7
    ]
    words = sorted({word for row in benchmark for word in row["question"].split()})
    five = [{**row, "answer": row["options"]["A"], "answer_idx": "A"} for row in rng.sample(short, 150)]
    write_lines(temp / "held" / "test.jsonl", [*benchmark, *five])
    planted: list[Row] = []
    kinds: list[str] = []
    for kind, change in KINDS.items():
        for row in rng.sample(benchmark, 100):
            planted.append(change(dict(row), rng, words))
            kinds.append(kind)
    for row in five:
        planted.append({**row, "question": row["question"].lower().replace("?", " ?")})
        kinds.append("five to seven words")
    for row in five:
        planted.append(_no_options({**row, "question": f"Please answer this one: {row['question']}"}, rng, words))
        kinds.append("five to seven words after others")
    write_lines(temp / "planted" / "train.jsonl", planted)
    rewritten = read_json(real / "huatuo_o1" / "demo_data.json")
    write_lines(
        temp / "rewritten_held" / "chat.jsonl",
        [{"messages": _said(row["question"])} for row in rewritten],
    )
    write_lines(
        temp / "rewritten" / "chat.jsonl",
        [{"messages": _said(row["Open-ended Verifiable Question"])} for row in rewritten],
    )
    sources = {
        "planted": {"adapter": "medqa", "location": str(temp / "planted"), **TEXT},
        "rewritten": {"adapter": "chat", "location": str(temp / "rewritten"), **TEXT},
        "medmcqa": {"adapter": "medmcqa", "location": str(real / "medmcqa"), "split": "validation", **TEXT},
        "pubmedqa": {"adapter": "pubmedqa", "location": str(real / "pubmedqa"), "split": "labeled", **TEXT},
    }
    benchmarks = {
        "held": {"adapter": "medqa", "location": str(temp / "held"), "split": "test"},
        "original": {"adapter": "chat", "location": str(temp / "rewritten_held"), "split": "train"},
    }
    made = built(temp, "text", sources, benchmarks, dedup={"exact": False, "near": False})
    leaks = leaks_of(made).filter(pl.col("grade").is_in(["same_question", "near_question"]))
    origins = pl.read_parquet(made / "origins.parquet")
    numbers = dict(origins.select("uid", "row_number").rows())
    found = {numbers[uid] for uid in leaks.filter(pl.col("source") == "planted")["uid"]}
    for kind in dict.fromkeys(kinds):
        own = [i for i, name in enumerate(kinds) if name == kind]
        print(f"text    {kind:<38} {sum(i in found for i in own):>4} of {len(own)}")
    reworded = leaks.filter(pl.col("source") == "rewritten")["uid"].n_unique()
    print(f"text    {'reworded by a language model':<38} {reworded:>4} of {len(rewritten)}")
    five_texts = {row["question"] for row in five}
    others = leaks.filter(pl.col("source").is_in(["medmcqa", "pubmedqa"]))
    drops = pl.read_parquet(made / "drops.parquet").select("uid", "question")
    others = others.join(drops, on="uid", how="left").filter(~pl.col("question").is_in(list(five_texts)))
    read = sum(len(read_lines(real / "medmcqa" / "dev.json")) for _ in (0,)) + 1000
    print(f"text    other rows called leaks                {others['uid'].n_unique()} of {read:,} (see them: {made})")


def _said(question: str) -> list[Row]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "See above."}]


# Speed


def _write_rows(folder: Path, texts: Sequence[str], part_rows: int = 20_000) -> list[Path]:
    """Ingested parts that hold questions alone."""
    folder.mkdir(parents=True)
    paths = []
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    for start in range(0, len(texts), part_rows):
        own = texts[start : start + part_rows]
        blank = pa.array([""] * len(own))
        table = pa.table(
            {
                "question": list(own), "options": pa.array([[]] * len(own), pa.list_(pa.string())), "answer": blank,
                "rationale": blank, "turns": pa.array([None] * len(own), turns),
            }
        )  # fmt: skip
        paths.append(folder / f"rows-{start}.arrow")
        write_table(paths[-1], table, table.schema)
    return paths


def _lengths(rng: random.Random, texts: Sequence[str]) -> list[str]:
    """Half of the texts whole, half cut to questions of 5 to 40 words."""
    return [text if rng.random() < 0.5 else " ".join(text.split()[: rng.randint(5, 40)]) for text in texts]


def speed(temp: Path, processes: int) -> None:
    """Words, index and matches of 200,000 questions against 120,000, with a hundredth of them planted."""
    rng = random.Random(2)
    words = vocabulary(rng)
    ours = _lengths(rng, documents(SPEED_ROWS, np.random.default_rng(1), words))
    theirs = _lengths(rng, documents(SPEED_BENCHMARK, np.random.default_rng(2), words))
    planted = rng.sample(range(SPEED_ROWS), SPEED_ROWS // 100)
    for at in planted:
        source = rng.choice(theirs).split()
        for word in rng.sample(range(len(source)), len(source) // 10):
            source[word] = rng.choice(words)
        ours[at] = " ".join(source)
    rows, held = _write_rows(temp / "rows", ours), _write_rows(temp / "held", theirs)
    sizes = [len(ours[i : i + 20_000]) for i in range(0, len(ours), 20_000)]
    held_sizes = [len(theirs[i : i + 20_000]) for i in range(0, len(theirs), 20_000)]
    engine = LocalEngine(processes)
    engine.warm()
    start = time.perf_counter()
    tasks = [TextTask(path, path.with_suffix(".signals")) for path in (*rows, *held)]
    for _ in engine.map(measure_texts, tasks, label="words", heavy=processes > 1):
        pass
    signals = time.perf_counter()
    (temp / "index").mkdir()
    (temp / "scratch").mkdir()
    everything = np.ones(len(theirs), np.bool_)
    ranks, none = np.arange(len(theirs)), np.zeros(len(theirs), np.uint64)
    write_index([task.out for task in tasks[len(rows) :]], held_sizes, everything, ranks, none, temp / "index", engine)
    indexed = time.perf_counter()
    distinct, matches = match_texts(
        [task.out for task in tasks[: len(rows)]], sizes, QuestionIndex(temp / "index"), temp / "scratch", engine
    )
    done = time.perf_counter()
    engine.close()
    found = set(np.flatnonzero(np.isin(distinct.of_row, matches.column("text").to_numpy())).tolist())
    each = 1e6 / SPEED_ROWS
    count = sum(len(text.split()) for text in ours) / len(ours)
    print(f"speed   words a training row                   {count:.0f}")
    print(f"speed   all text signals of both               {(signals - start) * each:.1f} us a training row")
    print(f"speed   index of {SPEED_BENCHMARK:,} questions             {(indexed - signals) * each:.1f} us")
    print(f"speed   matching {SPEED_ROWS:,} questions          {(done - indexed) * each:.1f} us")
    print(
        f"speed   index and matching                     {(done - signals) * each:.1f} us a training row (target: 40)"
    )
    print(f"speed   planted rows with a match              {len(found & set(planted)):,} of {len(planted):,}")


def main() -> int:
    """Runs the sections."""
    parser = argparse.ArgumentParser(description="What decontamination finds, and what it costs.")
    parser.add_argument("--real", type=Path, help="folder of real data")
    parser.add_argument("--only", default="rad,medpix,slake,text,speed")
    parser.add_argument("--processes", type=int, default=default_processes())
    parser.add_argument("--keep", type=Path, help="folder to work in, kept; default: a temporary one")
    options = parser.parse_args()
    leave_pandas_out()
    sections: dict[str, Callable[[Path, Path], None]] = {"rad": rad, "medpix": medpix, "slake": slake, "text": text}
    with tempfile.TemporaryDirectory() as name:
        temp = options.keep or Path(name)
        for section in options.only.split(","):
            if section == "speed":
                speed(temp / "speed", options.processes)
            elif options.real is None or not options.real.is_dir():
                print(f"{section}: skipped, it needs --real FOLDER", file=sys.stderr)
            else:
                sections[section](options.real.resolve(), temp / section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
