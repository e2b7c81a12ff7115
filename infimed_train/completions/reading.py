"""The completions of a run: every step in figures, and whole groups spread evenly over the steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from infimed_train.errors import TrainError

__all__ = ["Completion", "Group", "Step", "read_completions"]

OUTCOMES = ("correct", "wrong", "unverifiable")


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the policy."""

    text: str
    verdict: str
    reason: str
    extracted: str | None
    """What the verifier read as the answer."""
    terms: Mapping[str, float | None]
    """Value of each reward function; None where it was not counted."""
    reward: float | None
    """The weighted sum; None where no function counted the completion."""
    advantage: float


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one prompt at one step."""

    step: int
    uid: str
    source: str
    answer_kind: str
    answer: str
    prompt: Sequence[tuple[str, str]]
    """(role, text) of each message."""
    completions: Sequence[Completion]


@dataclass(frozen=True, slots=True)
class Step:
    """All completions of one step, counted."""

    step: int
    completions: int
    reward: float | None
    correct: int
    wrong: int
    unverifiable: int
    words: float
    """Mean length of a completion."""


def read_completions(run: Path, weights: Mapping[str, float], *, most: int) -> tuple[list[Step], list[Group], int]:
    """(every step in figures, groups of at most about `most` completions together, completions in all).

    `weights` is the weight of each reward function. Groups are taken whole, as evenly from all steps as can be, the
    first and the last among them. Raises `TrainError` where the run has no completions or a file cannot be read.
    """
    files = sorted((run / "completions").glob("*.parquet"))
    if not files:
        raise TrainError(
            f"{run}: no completions; GRPO writes them by default (trl.log_completions); give the folder of its run"
        )
    steps: list[Step] = []
    groups: list[list[Group]] = []
    share = max(1, most // len(files))
    for file in files:
        try:
            of_step = _groups(pq.read_table(file).to_pylist(), weights)
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"no column {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
            raise TrainError(f"{file}: not readable as completions of this run: {what}") from None
        if of_step:
            steps.append(_step(of_step))
            groups.append(_whole(of_step, share))
    largest = max((sum(len(group.completions) for group in kept) for kept in groups), default=1)
    wanted = min(len(groups), max(2, most // largest))
    chosen = sorted({round(i * (len(groups) - 1) / max(1, wanted - 1)) for i in range(wanted)})
    return steps, [group for i in chosen for group in groups[i]], sum(step.completions for step in steps)


def _groups(rows: Sequence[Mapping[str, Any]], weights: Mapping[str, float]) -> list[Group]:
    together: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        together[row["step"], row["uid"]].append(row)
    return [
        Group(
            step=step,
            uid=uid,
            source=str(of_one[0].get("source") or ""),
            answer_kind=str(of_one[0].get("answer_kind") or ""),
            answer=str(of_one[0].get("answer") or ""),
            prompt=[(str(message["role"]), _text(message)) for message in of_one[0]["prompt"]],
            completions=[_completion(row, weights) for row in of_one],
        )
        for (step, uid), of_one in together.items()
    ]


def _completion(row: Mapping[str, Any], weights: Mapping[str, float]) -> Completion:
    # TRL keeps a reward that was not counted as NaN.
    terms = {name: None if row[name] is None or row[name] != row[name] else float(row[name]) for name in weights}
    counted = [weights[name] * value for name, value in terms.items() if value is not None]
    if row["verdict"] not in OUTCOMES:
        raise ValueError(f"verdict {row['verdict']!r}")
    return Completion(
        text="".join(_text(message) for message in row["completion"]),
        verdict=row["verdict"],
        reason=str(row["reason"]),
        extracted=row.get("extracted"),
        terms=terms,
        reward=sum(counted) if counted else None,
        advantage=float(row["advantage"]),
    )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or ())


def _step(groups: Sequence[Group]) -> Step:
    said = [completion for group in groups for completion in group.completions]
    rewards = [completion.reward for completion in said if completion.reward is not None]
    count = {outcome: sum(one.verdict == outcome for one in said) for outcome in OUTCOMES}
    return Step(
        step=groups[0].step,
        completions=len(said),
        reward=sum(rewards) / len(rewards) if rewards else None,
        words=sum(len(one.text.split()) for one in said) / len(said),
        **count,
    )


def _whole(groups: Sequence[Group], share: int) -> list[Group]:
    """The first groups, as many as come to `share` completions, one at least."""
    kept: list[Group] = []
    for group in groups:
        if kept and sum(len(one.completions) for one in kept) + len(group.completions) > share:
            break
        kept.append(group)
    return kept
