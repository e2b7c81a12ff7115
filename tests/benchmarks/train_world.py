"""Proof that it learns: a Qwen2.5-VL of 0.3M parameters, made on the spot, on the drawn world of the demo.

    python tests/benchmarks/train_world.py --out world
    python tests/benchmarks/train_world.py --out world --server "vllm serve {model} --port {port} --dtype float32"

Heads with marks in them, and three questions whose answer needs the picture: side, count and shape. SFT goes from
chance to what it reaches on pictures it has not seen, beside the same questions about an even grey. GRPO goes on from
an SFT that was stopped early. With a server's start command, the result of GRPO becomes its own teacher: it learns to
write down what it sees, reasons about new pictures, and is trained on what the verifier accepts. Everything runs
through `infimed-data build` and `infimed-train sft`, `grpo` and `eval`. Results are printed, and written to
`results.html`, `curves.png` and `curves.parquet`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from world_loop import close_the_loop, texts
from world_page import Line, write_curves_of, write_page
from world_rows import HELD_OUT, TRAIN, bare, blind, build, draw
from world_runs import accuracy, say, tiny_model, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--server", help="command that serves the folder {model} at 127.0.0.1:{port} as OpenAI does")
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--held-out", type=int, default=400)
    parser.add_argument("--sft-steps", type=int, default=500)
    parser.add_argument("--early-steps", type=int, default=68)
    parser.add_argument("--grpo-steps", type=int, default=220)
    parser.add_argument("--form-pictures", type=int, default=1000)
    parser.add_argument("--form-steps", type=int, default=130)
    parser.add_argument("--fresh-pictures", type=int, default=800)
    parser.add_argument("--student-steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()

    import torch

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that a server ends with us
    torch.set_num_threads(given.threads)
    started = time.perf_counter()
    out: Path = given.out
    out.mkdir(parents=True)
    draw(out / "drawn", given.pictures, TRAIN, processes=given.threads)
    draw(out / "unseen", given.held_out, HELD_OUT, split="test", processes=given.threads)
    learned, unseen = build(out, "train", bare("drawn")), build(out, "test", bare("unseen", split="test"))
    grey, none = blind(unseen, out / "grey", grey=True), blind(unseen, out / "none", grey=False)
    untrained = tiny_model(out / "untrained", texts=texts())
    lines: list[Line] = []

    def found(line: Line) -> None:
        lines.append(line)
        say(str(line))

    found(Line("untrained", accuracy(out / "eval_untrained", untrained, unseen)))
    runs = {"sft": train("sft", out / "sft", untrained, learned, given.sft_steps)}
    found(Line("SFT", accuracy(out / "eval_sft", runs["sft"].model, unseen), runs["sft"]))
    found(Line("SFT, grey", accuracy(out / "eval_sft_grey", runs["sft"].model, grey)))
    found(Line("SFT, none", accuracy(out / "eval_sft_none", runs["sft"].model, none)))

    runs["early"] = train("sft", out / "early", untrained, learned, given.early_steps, learning_rate=2e-3)
    found(Line("SFT, stopped early", accuracy(out / "eval_early", runs["early"].model, unseen), runs["early"]))
    runs["grpo"] = train("grpo", out / "grpo", runs["early"].model, learned, given.grpo_steps)
    found(Line("GRPO from there", accuracy(out / "eval_grpo", runs["grpo"].model, unseen), runs["grpo"]))
    found(Line("GRPO, grey", accuracy(out / "eval_grpo_grey", runs["grpo"].model, grey)))

    loop = None
    if given.server:
        loop = close_the_loop(
            out, runs["grpo"].model, unseen, grey, server=given.server, processes=given.threads,
            form_pictures=given.form_pictures, form_steps=given.form_steps, fresh_pictures=given.fresh_pictures,
            steps=given.student_steps,
        )  # fmt: skip
        runs |= {"teacher": loop.teacher, "student": loop.student}
        found(Line("GRPO, taught to reason: the teacher", loop.before, loop.teacher))
        found(Line("trained on its own accepted traces", loop.after, loop.student))
        found(Line("the same, grey", loop.grey))
    write_curves_of(runs, out)
    settings = f"{given.pictures:,} pictures to train on, {given.held_out} held out, {given.threads} threads."
    seconds = time.perf_counter() - started
    page = write_page(lines, loop, out, settings=settings, seconds=seconds)
    print("\n".join(map(str, lines)))
    if loop is not None:
        print(f"accepted: {loop.accepted:.1f}% of candidates; {loop.counts}")
    print(f"{seconds / 60:.1f} minutes; {page}")


if __name__ == "__main__":
    main()
