"""Proof that it learns: a Qwen2.5-VL of under a million parameters, made on the spot, on the drawn world of the demo.

    python tests/benchmarks/train_world.py --out world [--sft-steps 5000] [--grpo-steps 450]

Heads with marks in them, and three questions whose answer needs the picture: side (2 answers), count (3), shape (3).
SFT goes from chance to what it reaches on pictures it has not seen, beside the same questions about an even
grey; GRPO goes on from an SFT that was stopped early. Everything runs through `infimed-data build` and
`infimed-train sft`, `grpo` and `eval`. The last lines are the results; curves lie in the runs' folders.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "sample_data"), str(PROJECT / "tests")]

from phantoms import SIDES, Finding, Scene, Shape, draw_scene  # noqa: E402
from tiny_qwen import tiny_qwen  # noqa: E402

SHAPES: tuple[Shape, ...] = ("disc", "ring", "bar")
QUESTIONS = ("Side?", "Count?", "Shape?")
SIZE_PX = 112
CHANCE = (1 / 2 + 1 / 3 + 1 / 3) / 3
PROMPTS = 'system: "."\nen:\n' + "".join(
    f'  {kind}: "{{question}}{"{options}" if "choice" in kind else ""}"\n'
    for kind in ("choice", "multi_choice", "yes_no", "number", "short_text", "open", "none")
)


def draw(folder: Path, split: str, pictures: int, seed: int, questions: Sequence[str]) -> None:
    """Pictures and questions in VQA-RAD's layout."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number in range(pictures):
        shape, side, count = SHAPES[rng.integers(3)], SIDES[rng.integers(2)], int(rng.integers(1, 4))
        name = f"{split}{number}.png"
        draw_scene(Scene("ct", (Finding(shape, side, count=count, size="large"),)), SIZE_PX, rng).convert("L").save(
            folder / "images" / name, compress_level=1
        )
        answers = {"Side?": side, "Count?": str(count), "Shape?": shape}
        for question in questions:
            rows.append(
                {
                    "qid": len(rows), "image_name": name, "image_organ": "HEAD", "answer": answers[question],
                    "answer_type": "OPEN",
                    "question_type": question[:-1].upper(), "question": question, "phrase_type": "freeform",
                }
            )  # fmt: skip
    (folder / f"{split}set.json").write_text(json.dumps(rows), "utf-8")


def build(out: Path, split: str) -> Path:
    """The folder of a build of one split, with outputs `sft` and `rl`."""
    manifest = out / f"{split}.yaml"
    manifest.write_text(
        f"name: {split}\nroot: {out.resolve()}\nsources:\n  world:\n    adapter: vqa_rad\n    location: drawn\n"
        f"    split: {split}\n    category: medical_vqa\n    license: CC0-1.0\ndedup: {{exact: false, near: false}}\n"
        'outputs:\n  sft: {system: ".", answer_tags: false}\n  rl: {system: "."}\n',
        "utf-8",
    )
    command = [sys.executable, "-m", "infimed_data.cli", "build", str(manifest), "--quiet"]
    done = subprocess.run(
        [*command, "--out", str(out / "builds"), "--work", str(out / "work")],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.splitlines()[-1])


def without_pictures(build: Path, to: Path) -> Path:
    """The same build, each picture in its rows replaced by an even grey of the same size."""
    from io import BytesIO

    import PIL.Image

    shutil.copytree(build, to)
    buffer = BytesIO()
    PIL.Image.new("L", (SIZE_PX, SIZE_PX), 60).save(buffer, "PNG")
    grey = [{"bytes": buffer.getvalue(), "path": None}]
    for file in (to / "sft").glob("*.parquet"):
        table = pq.read_table(file)
        at = table.column_names.index("images")
        column = pa.array([grey] * len(table), pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
        pq.write_table(table.set_column(at, "images", column), file)
    return to


def train(task: str, out: Path, name: str, model: Path, data: Path, steps: int, **trl: Any) -> tuple[Path, float]:
    """(folder of the model, seconds) of one run."""
    from infimed_train.config import load_config
    from infimed_train.grpo import grpo
    from infimed_train.sft import sft

    given = {
        "max_steps": steps, "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True,
        "save_strategy": "no", "logging_steps": 20, "seed": 1, **trl,
    }  # fmt: skip
    config = {
        "task": task, "model": str(model), "output": str(out / name), "freeze": [],
        "data": {"path": str(data), "output": "rl" if task == "grpo" else "sft"}, "trl": given,
    }  # fmt: skip
    if task == "grpo":
        config["reward"] = {"format": "off"}
    path = out / f"{name}.yaml"
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    started = time.perf_counter()
    loaded = load_config(path)
    model = sft(loaded, say) if task == "sft" else grpo(loaded, say)
    return model, time.perf_counter() - started


def accuracy(out: Path, name: str, model: Path, build: Path) -> dict[str, float]:
    """Accuracy in percent, over all rows and by question."""
    import polars as pl

    from infimed_train.config import load_config
    from infimed_train.evaluate import evaluate

    (out / "prompts.yaml").write_text(PROMPTS, "utf-8")
    path = out / f"eval_{name}.yaml"
    config = {
        "task": "eval", "model": str(model), "output": str(out / f"eval_{name}"), "dtype": "float32", "batch_size": 96,
        "max_new_tokens": 32, "prompt": str(out / "prompts.yaml"), "benchmarks": {"world": {"path": str(build)}},
    }  # fmt: skip
    path.write_text(json.dumps(config), "utf-8")
    evaluate(load_config(path), lambda line: None)
    rows = pl.read_parquet(out / f"eval_{name}" / "predictions.parquet").with_columns(
        (pl.col("outcome") == "correct").alias("right")
    )
    found = {"all": 100 * float(rows["right"].mean())}  # type: ignore[arg-type]
    for (question,), part in rows.group_by("question"):
        found[str(question)] = 100 * float(part["right"].mean())  # type: ignore[arg-type]
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def world(
    out: Path, *, pictures: int, held_out: int, questions: Sequence[str] = QUESTIONS, hidden: int = 48, layers: int = 2
) -> tuple[Path, Path, Path, Path]:
    """(untrained model, build to train on, build of unseen pictures, the same without pictures)."""
    draw(out / "drawn", "train", pictures, 1, questions)
    draw(out / "drawn", "test", held_out, 2, questions)
    learned, unseen = build(out, "train"), build(out, "test")
    model = tiny_qwen(
        out / "untrained", hidden=hidden, layers=layers, vision_hidden=hidden,
        mrope_section=(hidden // 8 - 2 * (hidden // 24), hidden // 24, hidden // 24),
        min_pixels=SIZE_PX**2, max_pixels=SIZE_PX**2,
    )  # fmt: skip
    return model, learned, unseen, without_pictures(unseen, out / "blind")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--sft-steps", type=int, default=5000)
    parser.add_argument("--early-steps", type=int, default=400)
    parser.add_argument("--grpo-steps", type=int, default=450)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--grpo-lr", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    out: Path = arguments.out
    out.mkdir(parents=True)
    model, learned, unseen, blind = world(out, pictures=arguments.pictures, held_out=arguments.held_out)
    batch = {"per_device_train_batch_size": 32, "lr_scheduler_type": "cosine", "learning_rate": arguments.lr}
    lines = [f"chance: {100 * CHANCE:.1f}"]

    def report(name: str, trained: Path, seconds: float | None = None) -> None:
        took = "" if seconds is None else f" ({seconds:.0f} s)"
        seeing, grey = accuracy(out, name, trained, unseen), accuracy(out, f"{name}_blind", trained, blind)
        lines.append(f"{name}{took}: {seeing}, blind {grey}")
        say(lines[-1])

    if arguments.sft_steps:
        report("sft", *train("sft", out, "sft", model, learned, arguments.sft_steps, **batch))
    if arguments.grpo_steps:
        early, seconds = train("sft", out, "early", model, learned, arguments.early_steps, **batch)
        report("early", early, seconds)
        rl = {
            "per_device_train_batch_size": 128, "num_generations": 8, "max_completion_length": 8,
            "learning_rate": arguments.grpo_lr,
            "lr_scheduler_type": "constant", "mask_truncated_completions": False, "log_completions": False,
        }  # fmt: skip
        report("grpo", *train("grpo", out, "grpo", early, learned, arguments.grpo_steps, **rl))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
