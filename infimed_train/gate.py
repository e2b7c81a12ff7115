"""The gate of SFT: the same questions before and after, compared row by row. A bad SFT is not mended by what follows.

gate/before  gate/after    two evaluations in the run's folder; result.json beside them
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from infimed_train.config import Benchmark, EvalConfig, Gate, Loaded, SftConfig
from infimed_train.errors import TrainError, storage_error
from infimed_train.evaluate import differences, evaluate

__all__ = ["ask", "judge"]

Say = Callable[[str], None]
RESAMPLES = 2000
SURE = 0.05
"""p-value below which a loss is no accident."""


def ask(loaded: Loaded, gate: Gate, model: str, folder: Path, say: Say) -> None:
    """Evaluates `model` on the gate's questions into `folder`; what is answered there already is not asked again.

    One process asks while the others wait.
    """
    config = loaded.config
    assert isinstance(config, SftConfig)
    of_run = model == config.model
    asked = EvalConfig(
        task="eval",
        output=str(folder),
        model=model,
        revision=config.revision if of_run else None,
        benchmarks={"gate": Benchmark(**gate.model_dump(include=set(Benchmark.model_fields)))},
        pixels=config.pixels,
        allow_other_pixels=True,  # both are asked at the resolution of this training
        max_new_tokens=gate.max_new_tokens,
        batch_size=gate.batch_size,
        dtype=gate.dtype,
        resamples=RESAMPLES,
    )
    where = loaded.place("gate")
    positions: dict[tuple[str | int, ...], str] = {
        ("benchmarks",): where,
        ("prompt",): where,
        ("model",): loaded.place("model"),
    }
    say(f"gate: asking {model}")
    _free_memory()
    evaluate(Loaded(asked, loaded.path, positions), say)


def _free_memory() -> None:
    """Gives back what a finished trainer still holds in its cycles, before another model is loaded."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def judge(gate: Gate, folder: Path, model: Path, say: Say) -> None:
    """Says what became of the answers and writes it into the cards of `model` and its run.

    Every row counts, an answer that no rule can read as one that is not right. Raises `TrainError` where the model
    became worse and `gate.stop` is set.
    """
    (found,) = differences(folder / "before", folder / "after", resamples=RESAMPLES, undecided_is_wrong=True).values()
    worse = found.difference < 0 and found.p_value < SURE
    result = found._asdict() | {"worse": worse}
    _write(folder / "result.json", result)
    for card in (model.parent / "run.json", model / "run.json"):
        _write(card, orjson.loads(card.read_bytes()) | {"gate": result})
    line = (
        f"{found.rows} questions, right before {found.first:.1%}, after {found.second:.1%} "
        f"({100 * found.difference:+.1f} points, 95% {100 * found.low:+.1f} to {100 * found.high:+.1f}, "
        f"p {found.p_value:.4f})"
    )
    if not worse:
        say(f"gate: not found worse: {line}")
        return
    warning = f"WORSE: this SFT made the model worse: {line}; see {folder}"
    if gate.stop:
        raise TrainError(f"{warning}; the model stands in {model}")
    say(f"\n{'!' * 78}\n{warning}\n{'!' * 78}")


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        partial.replace(path)
    except OSError as error:
        raise storage_error(error, f"writing {path}") or error from None
