"""GRPO's batch law: the completions of one generation must be whole groups. Not only refused: solved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any

__all__ = ["batch_problems"]


def batch_problems(arguments: Mapping[str, Any], *, processes: int) -> Iterator[str]:
    """A line with the fault and the nearest values that work, for these arguments of `GRPOConfig`.

    >>> list(batch_problems({"per_device_train_batch_size": 4, "num_generations": 8}, processes=2))
    []
    """
    per_device = int(arguments.get("per_device_train_batch_size", 8))
    group = int(arguments.get("num_generations", 8))
    accumulated = int(arguments.get("gradient_accumulation_steps", 1))
    steps = arguments.get("steps_per_generation")
    generated = arguments.get("generation_batch_size")
    if group < 2:
        yield f"num_generations {group}: a group of one has no advantage; allowed: 2 or more"
        return
    step = per_device * processes
    if steps is not None and generated is not None:
        yield "generation_batch_size and steps_per_generation: give one of them"
        return
    if generated is not None and int(generated) % step:
        near = _near(int(generated), _multiple(step, group))
        yield f"generation_batch_size {generated}: no multiple of {per_device} x {processes} processes; works: {near}"
        return
    name = "steps_per_generation" if steps is not None else "gradient_accumulation_steps"
    completions = int(generated) if generated is not None else step * int(steps or accumulated)
    if completions % group:
        answers = []
        if generated is not None:
            answers.append(f"generation_batch_size {_near(int(generated), _multiple(step, group))}")
        else:
            answers.append(f"{name} {_near(int(steps or accumulated), group // gcd(step, group))}")
        divisors = [n for n in range(2, completions + 1) if completions % n == 0]
        if divisors:
            answers.append(f"num_generations {min(divisors, key=lambda n: (abs(n - group), n))}")
        fits = group // gcd(processes * int(steps or accumulated), group)
        if generated is None:
            answers.append(f"per_device_train_batch_size {_near(per_device, fits)}")
        yield (
            f"a generation has {completions} completions ({per_device} a device x {processes} processes x "
            f"{completions // step} steps), no multiple of num_generations {group}; works: {', or '.join(answers)}"
        )
    if str(arguments.get("eval_strategy", "no")) != "no":
        eval_group = int(arguments.get("num_generations_eval") or group)
        per_eval = int(arguments.get("per_device_eval_batch_size", 8))
        if per_eval * processes % eval_group:
            near = _near(per_eval, eval_group // gcd(processes, eval_group))
            yield (
                f"per_device_eval_batch_size {per_eval} x {processes} processes: no multiple of {eval_group} "
                f"generations; works: per_device_eval_batch_size {near}"
            )


def _multiple(a: int, b: int) -> int:
    return a * b // gcd(a, b)


def _near(value: int, unit: int) -> int:
    """The multiple of `unit` nearest to `value`, at least one."""
    return max(unit, round(value / unit) * unit)
