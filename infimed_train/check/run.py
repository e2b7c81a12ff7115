"""All checks of one configuration, in the order in which a run would meet what they find."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from infimed_train.check.batches import batch_problems
from infimed_train.check.dry_step import dry_step
from infimed_train.check.lengths import histogram, quantiles
from infimed_train.check.memory import memory_lines
from infimed_train.check.versions import version_problems
from infimed_train.config import Benchmark, Data, EvalConfig, GrpoConfig, Loaded, SftConfig, trl_config
from infimed_train.config.trl_arguments import DEFAULTS
from infimed_train.data import Lengths, Rows, load_rows, measure, weighted
from infimed_train.errors import TrainError
from infimed_train.evaluate.in_process import MISSING
from infimed_train.evaluate.items import load_items
from infimed_train.evaluate.prompts import load_prompts
from infimed_train.grpo import grpo_rows
from infimed_train.model import architecture, limits_vllm_would_miss, load_processor, pixel_limits
from infimed_train.rewards import audit
from infimed_train.runs import pixels_of_run

__all__ = ["check"]

Say = Callable[[str], None]
SHOWN = 10
"""Rows that the audit names."""


class _Findings:
    """Lines, and whether one of them is a failure."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = False

    def good(self, line: str) -> None:
        self.lines.append(f"ok    {line}")

    def note(self, *lines: str) -> None:
        self.lines.extend(f"      {line}" for line in lines)

    def bad(self, line: str) -> None:
        self.lines.append(f"FAIL  {line}")
        self.failed = True

    def attempt(self, do: Callable[[], Any]) -> Any:
        """What `do` returns; None, and a failure, where it raises `TrainError`."""
        try:
            return do()
        except TrainError as error:
            for line in str(error).splitlines():
                self.bad(line)
            return None


def check(loaded: Loaded, say: Say) -> tuple[list[str], bool]:
    """(lines, whether something would fail)."""
    found = _Findings()
    if isinstance(loaded.config, EvalConfig):
        _evaluation(loaded, loaded.config, found)
    else:
        _training(loaded, loaded.config, found, say)
    return found.lines, found.failed


def _training(loaded: Loaded, config: SftConfig | GrpoConfig, found: _Findings, say: Say) -> None:
    _versions(config, found)
    given = {**DEFAULTS[config.task], **config.trl}
    problems = list(batch_problems(given, processes=config.hardware.processes)) if config.task == "grpo" else []
    for problem in problems:
        found.bad(f"{loaded.place('trl')}: trl: {problem}")
    # On this machine bf16 may be missing and the batch is that of one process: both are calculated for the real one.
    here: dict[str, Any] = {"bf16": False, "use_cpu": True}
    if config.task == "grpo" and not problems:
        here |= {"generation_batch_size": None, "steps_per_generation": given["num_generations"], "use_vllm": False}
    if not problems and found.attempt(lambda: trl_config(loaded, config.trl, output=Path(config.output), extra=here)):
        found.good(f"TRL takes its arguments ({len(config.trl)} given)")
        if config.task == "grpo":
            _group_sizes(config, given, found)
    processor = found.attempt(
        lambda: load_processor(
            config.model, revision=config.revision, pixels=config.pixels, where=loaded.place("model")
        )
    )
    shape = found.attempt(lambda: architecture(config.model, config.revision, loaded.place("model")))
    if processor is None:
        return
    found.good(f"processor and chat template of {config.model}")
    _pixels(config, processor, found)
    longest = 0
    for name, data in _data_of(config).items():
        longest = max(longest, _rows(loaded, config, name, data, processor, shape, found))
    if isinstance(config, SftConfig) and config.gate is not None:
        _questions("gate", config.gate, config.gate.prompt or "direct", loaded.place("gate"), found)
    if shape is not None and longest:
        if isinstance(config, GrpoConfig):
            longest += int(given.get("max_completion_length") or 0)
        lines, too_much = memory_lines(config, given, shape, longest=longest)
        found.note(lines[0])
        (found.bad if too_much else found.good)(lines[1])


def _versions(config: SftConfig | GrpoConfig, found: _Findings) -> None:
    problems = list(
        version_problems(
            vllm=bool(config.trl.get("use_vllm")),
            lora=config.lora is not None,
            deepspeed=config.hardware.sharding.startswith("zero"),
        )
    )
    for problem in problems:
        found.bad(problem)
    if not problems:
        found.good("installed versions work together")


def _group_sizes(config: SftConfig | GrpoConfig, given: dict[str, Any], found: _Findings) -> None:
    steps = int(given.get("steps_per_generation") or given.get("gradient_accumulation_steps", 1))
    each = int(given.get("per_device_train_batch_size", 8)) * config.hardware.processes
    completions = int(given.get("generation_batch_size") or each * steps)
    group = int(given["num_generations"])
    found.good(f"a generation: {completions} completions of {completions // group} prompts, {group} each")


def _pixels(config: SftConfig | GrpoConfig, processor: Any, found: _Findings) -> None:
    limits = pixel_limits(processor)
    before = pixels_of_run(config.model)
    said = f"pixel limits: {limits['min_pixels']} to {limits['max_pixels']} a picture"
    if before is not None and before != limits:
        found.bad(
            f"{said}, but {config.model} was trained with {before['min_pixels']} to {before['max_pixels']}; "
            "set `pixels` to these"
        )
    else:
        found.good(said)
    if missed := limits_vllm_would_miss(config, processor):
        found.bad(missed)


def _data_of(config: SftConfig | GrpoConfig) -> dict[str, Data]:
    if isinstance(config, SftConfig) and config.phases:
        return {f"phases.{name}.data": phase.data for name, phase in config.phases.items()}
    return {"data": config.data}


def _rows(
    loaded: Loaded,
    config: SftConfig | GrpoConfig,
    name: str,
    data: Data,
    processor: Any,
    shape: Any,
    found: _Findings,
) -> int:
    """Checks one table of rows; returns the tokens of the longest row that would be trained on."""
    where = loaded.place(*name.split("."), "path")
    rows: Rows | None = found.attempt(lambda: load_rows(data, config.task, where=where))
    if rows is None:
        return 0
    lengths: Lengths | None = found.attempt(lambda: measure(rows, processor))
    if lengths is None:
        return 0
    found.good(f"{rows.where}: {len(rows)} rows, every image has a size ({rows.digest})")
    keep = np.ones(len(rows), dtype=bool) if config.max_tokens is None else lengths.total <= config.max_tokens
    found.note(quantiles("tokens of a row" if lengths.completion.any() else "tokens of a prompt", lengths.total))
    found.note(*histogram(lengths.total, limit=config.max_tokens))
    pictured = lengths.image[lengths.image > 0]
    found.note(quantiles("image tokens of a row with images", pictured))
    if len(pictured):
        found.note(*histogram(pictured, limit=None))
    if lengths.completion.any():
        found.note(quantiles("tokens of a completion", lengths.completion))
    over = int((~keep).sum())
    if over and config.over_length == "refuse":
        found.bad(f"{where}: {over} rows are over max_tokens {config.max_tokens}; raise it or set over_length: drop")
    elif over:
        found.note(f"{over} rows are over max_tokens {config.max_tokens} and will be left out; none is cut")
    if not keep.any():
        found.bad(f"{where}: no row is left")
        return 0
    if data.weights:
        drawn = found.attempt(lambda: weighted(rows.sources, data.weights, seed=0, where=where))
        if drawn is not None:
            found.note(f"an epoch takes {len(drawn)} rows by weights of sources")
    if isinstance(config, GrpoConfig):
        _audit(config, rows, found)
        found.attempt(lambda: grpo_rows(loaded, config, rows, processor, found.note))
    if shape is not None:
        line = found.attempt(lambda: _dry(config, rows, lengths, keep, processor, shape))
        if line:
            found.good(line)
    return int(lengths.total[keep].max())


def _dry(
    config: SftConfig | GrpoConfig, rows: Rows, lengths: Lengths, keep: np.ndarray, processor: Any, shape: Any
) -> str:
    """The shortest row with an image and the shortest without; two of a kind where there is only one kind."""
    order = [i for i in np.argsort(lengths.total, kind="stable").tolist() if keep[i]]
    pictured = [i for i in order if lengths.image[i]][:1]
    plain = [i for i in order if not lengths.image[i]][:1]
    chosen = (pictured + plain + [i for i in order if i not in pictured + plain])[:2]
    return dry_step(rows.table.select(chosen), processor, shape, config.freeze, completions=config.task == "sft")


def _audit(config: GrpoConfig, rows: Rows, found: _Findings) -> None:
    result = audit(zip(rows.uids, (row for _, row in rows.raw()), strict=True), config.reward)
    undecided = ", ".join(f"{kind} {number}" for kind, number in result.undecided.most_common())
    said = f"reward audit: {result.rows} rows, {result.usable} can be paid" + (
        f" (not: {undecided})" if undecided else ""
    )
    if result.usable == 0:
        found.bad(f"{said}: the reward would be None for all rows")
    elif result.broken:
        found.bad(f"{said}; {len(result.broken)} answers are paid wrongly")
        found.note(*(f"{uid} ({kind}): {answer} {why}" for uid, kind, answer, why in result.broken[:SHOWN]))
    else:
        found.good(f"{said}; every gold is paid in full, and empty, constant, listed and copied answers are not")
    for kind, (answer, share) in sorted(result.guesses.items()):
        if share >= 0.6:
            found.note(f"{kind}: always answering {answer!r} is right {share:.0%} of the time")


def _questions(name: str, benchmark: Benchmark, prompt: str, where: str, found: _Findings) -> None:
    items = found.attempt(lambda: load_items(name, benchmark, where=where))
    if items is not None:
        found.good(f"{name}: {len(items.items)} questions ({items.digest}); {items.left_out} conversations left out")
    found.attempt(lambda: load_prompts(prompt, where=where))


def _evaluation(loaded: Loaded, config: EvalConfig, found: _Findings) -> None:
    for name, benchmark in config.benchmarks.items():
        where = loaded.place("benchmarks", name, "path")
        _questions(name, benchmark, benchmark.prompt or config.prompt, where, found)
    if config.server is not None:
        return
    if config.vllm is not None and find_spec("vllm") is None:
        found.bad(f"{loaded.place('vllm')}: {MISSING}")
    model = str(config.model)
    processor = found.attempt(
        lambda: load_processor(model, revision=config.revision, pixels=config.pixels, where=loaded.place("model"))
    )
    if processor is None:
        return
    found.good(f"processor and chat template of {model}")
    limits, before = pixel_limits(processor), pixels_of_run(model)
    if before is not None and before != limits and not config.allow_other_pixels:
        found.bad(f"pixel limits {limits}, but the model was trained with {before}; set `pixels` to these")
