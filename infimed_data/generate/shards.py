"""Outcomes on disk: a shard is four tables, the last of which says that it is whole.

candidates-00000.arrow   every attempt (`rejection.CANDIDATES`)
spent-00000.arrow        every answer once, with its tokens
targets-00000.arrow      what outputs train on: one row a winner, or a bare answer
generated-00000.arrow    every sample (`rejection.GENERATED`), with the shard's account beside its schema
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from infimed_data.generate.jobs import Job
from infimed_data.rejection import CANDIDATES, GENERATED, Outcome, candidate_rows, generated_row
from infimed_data.signals import text_signals
from infimed_data.storage.stages import Stage, key_of, write_table
from infimed_data.strategies import Problem

__all__ = [
    "SPENT",
    "TARGETS",
    "account_of",
    "account_of_shard",
    "merged",
    "shard_path",
    "spent_rows",
    "together",
    "write_shard",
    "write_targets",
]

SPENT = pa.schema(
    [
        ("key", pa.string()),
        ("teacher", pa.string()),
        ("prompt", pa.string()),
        ("backend", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("choices", pa.int32()),
    ]
)
TARGETS = pa.schema(
    [
        ("uid", pa.string()),
        ("copy", pa.int32()),
        ("key", pa.string()),
        ("rationale", pa.string()),
        ("rationale_chars", pa.int32()),
        ("words", pa.int32()),
        ("text_tokens", pa.int32()),
    ]
)
"""`copy` counts the winners of one sample from 0; `key` is the candidate's, null for a bare answer."""

_SAID = ("key", "status", "accepted", "winner", "refusal")
"""What the digest of a pass covers of a candidate."""
_ACCOUNT = b"account"
Account = dict[str, Any]
"""Counts by name, some of them by a further name; accounts of shards add up."""


def shard_path(stage: Stage, table: str, number: int) -> Path:
    """A table of a shard."""
    return stage.folder / f"{table}-{number:05d}.arrow"


def account_of_shard(stage: Stage, number: int) -> Account | None:
    """The account of a shard that is whole; None for one that is not there."""
    try:
        with pa.memory_map(str(shard_path(stage, "generated", number))) as source:
            found: Account = orjson.loads(pa.ipc.open_file(source).schema.metadata[_ACCOUNT])
            return found
    except FileNotFoundError:
        return None


def merged(accounts: Sequence[Mapping[str, Any]]) -> Account:
    """The sum of accounts, names sorted."""
    found: Account = {}
    for account in accounts:
        for name, value in account.items():
            if isinstance(value, Mapping):
                found[name] = merged([found.get(name, {}), value])
            elif isinstance(value, int):
                found[name] = found.get(name, 0) + value
    return dict(sorted(found.items()))


def together(digests: Iterable[str]) -> str:
    """One digest of many, the same however they are grouped: their sum. A pass has one digest, however it is cut."""
    return f"{sum(int(digest, 16) for digest in digests) % (1 << 128):032x}"


def write_shard(job: Job, number: int, done: Sequence[tuple[Problem, Outcome]]) -> Account:
    """Writes the tables of a shard; returns its account, with the digest of what it holds under `content`."""
    outcomes = [outcome for _, outcome in done]
    rows = [row for outcome in outcomes for row in candidate_rows(outcome, job.name)]
    samples = [generated_row(outcome, job.name) for outcome in outcomes]
    account = account_of(outcomes, rows)
    if job.measures:  # nothing of it is meant to be trained on
        for row in rows:
            row |= {"accepted": None, "winner": None, "refusal": None}
    said: dict[str, list[Any]] = {}
    for row in rows:
        said.setdefault(row["uid"], []).append([row[name] for name in _SAID])
    account["content"] = together(key_of(sample, said.get(sample["uid"], [])) for sample in samples)
    stage = job.stage
    write_table(shard_path(stage, "candidates", number), pa.Table.from_pylist(rows, CANDIDATES), CANDIDATES)
    write_table(shard_path(stage, "spent", number), pa.Table.from_pylist(spent_rows(outcomes), SPENT), SPENT)
    write_targets(job, number, done)
    schema = GENERATED.with_metadata({_ACCOUNT: orjson.dumps(account)})
    write_table(shard_path(stage, "generated", number), pa.Table.from_pylist(samples, schema), schema)
    return account


def account_of(outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> Account:
    """Counts of outcomes and of their rows of `candidates`."""
    steps = [step for outcome in outcomes for each in outcome.judged for step in each.candidate.steps]
    patterns: dict[str, dict[str, int]] = {}
    for row in rows:
        counted = patterns.setdefault(row["pattern"] or "none", {"candidates": 0, "accepted": 0})
        counted["candidates"] += 1
        counted["accepted"] += row["accepted"]
    return {
        "rows": len(outcomes),
        "answer_only": sum(outcome.answer_only for outcome in outcomes),
        "with_winner": sum(bool(outcome.winners) for outcome in outcomes),
        "winners": sum(len(outcome.winners) for outcome in outcomes),
        "candidates": len(rows),
        "accepted": sum(row["accepted"] for row in rows),
        "replayed": sum(bool(row["steps"]) and row["steps"][0]["backend"] == "replay" and row["status"] != "failed"
                        for row in rows),
        "overruled": sum(bool(row["overruled"]) for row in rows),
        "gold_revealed": sum(row["gold_revealed"] for row in rows),
        "transient": sum(step.completion.transient for step in steps),
        "verdicts": dict(Counter(row["outcome"] if row["status"] == "answered" else row["status"] for row in rows)),
        "refusals": dict(Counter(row["refusal"] for row in rows if row["refusal"] is not None)),
        "gates": dict(Counter(found["gate"] for row in rows for found in row["gates"])),
        "patterns": patterns,
        "rules": dict(Counter(o.refused.rule for o in outcomes if o.refused is not None)),
        "prompts": dict(Counter(step.prompt for step in steps)),
    }  # fmt: skip


def spent_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Every answer once (`SPENT`)."""
    found: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        for each in outcome.judged:
            for step in each.candidate.steps:
                completion = step.completion
                found.setdefault(
                    completion.key,
                    {
                        "key": completion.key, "teacher": step.model, "prompt": step.prompt,
                        "backend": completion.backend, "prompt_tokens": completion.prompt_tokens,
                        "completion_tokens": completion.completion_tokens, "choices": completion.choices,
                    },
                )  # fmt: skip
    return list(found.values())


def write_targets(job: Job, number: int, done: Sequence[tuple[Problem, Outcome | None]]) -> None:
    """Writes what outputs train on; a sample without an outcome was never asked about."""
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for problem, outcome in () if job.measures else done:
        if outcome is not None and outcome.winners:
            for copy, at in enumerate(outcome.winners):
                candidate = outcome.judged[at].candidate
                rows.append({"uid": problem.uid, "copy": copy, "key": candidate.key, "rationale": candidate.reasoning})
                problems.append(problem)
        elif (outcome is not None and outcome.answer_only) or job.settings.failed == "answer_only":
            rows.append({"uid": problem.uid, "copy": 0, "key": None, "rationale": ""})
            problems.append(problem)
    if rows:
        texts = pa.RecordBatch.from_pydict(
            {
                "question": pa.array([problem.question for problem in problems], pa.string()),
                "options": pa.array([list(problem.options) for problem in problems], pa.list_(pa.string())),
                "answer": pa.array([problem.answer for problem in problems], pa.string()),
                "rationale": pa.array([row["rationale"] for row in rows], pa.string()),
                "turns": pa.nulls(len(rows), pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            }
        )
        measured = text_signals(texts)
        for name in ("rationale_chars", "words", "text_tokens"):
            for row, value in zip(rows, measured.column(name).to_pylist(), strict=True):
                row[name] = value
    write_table(shard_path(job.stage, "targets", number), pa.Table.from_pylist(rows, TARGETS), TARGETS)
