"""Outcomes as tables: `candidates` (one row an attempt) and `generated` (one row a sample)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from infimed_data.rejection.judging import Judged
from infimed_data.rejection.outcome import Outcome
from infimed_data.strategies import Step

__all__ = ["CANDIDATES", "GENERATED", "candidate_rows", "candidates_table", "generated_row", "generated_table"]

_STEP = pa.struct(
    [
        ("role", pa.string()),
        ("prompt", pa.string()),
        ("model", pa.string()),
        ("pattern", pa.string()),
        ("gold_revealed", pa.bool_()),
        ("key", pa.string()),
        ("index", pa.int32()),
        ("text", pa.string()),
        ("status", pa.string()),
        ("finish_reason", pa.string()),
        ("error", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("latency_s", pa.float64()),
        ("answer_entropy", pa.float64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("extracted", pa.string()),
        ("masked", pa.list_(pa.string())),
        ("backend", pa.string()),
        ("choices", pa.int32()),
    ]
)
_FINDING = pa.struct(
    [
        ("gate", pa.string()),
        ("reason", pa.string()),
        ("span", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
    ]
)

CANDIDATES = pa.schema(
    [
        ("uid", pa.string()),
        ("key", pa.string()),
        ("strategy", pa.string()),
        ("pattern", pa.string()),
        ("attempt", pa.int32()),
        ("round", pa.int32()),
        ("status", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("extracted", pa.string()),
        ("trial", pa.string()),
        ("accepted", pa.bool_()),
        ("winner", pa.int32()),
        ("refusal", pa.string()),
        ("withheld", pa.string()),
        ("gates", pa.list_(_FINDING)),
        ("mark", pa.string()),
        ("overruled", pa.list_(pa.string())),
        ("gold_revealed", pa.bool_()),
        ("hinted", pa.bool_()),
        ("wrong_turns", pa.list_(pa.string())),
        ("text", pa.string()),
        ("answer_entropy", pa.float64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("latency_s", pa.float64()),
        ("steps", pa.list_(_STEP)),
        ("pass", pa.string()),
        ("sft_split", pa.string()),
        ("sft_position", pa.int64()),
    ]
)
"""One row an attempt of a teacher. `key` is what a review's mark names. `outcome` and `reason` are the verdict on its
text; `trial` is how its first, unaided answer ended (`correct`, `wrong`, `unverifiable`, `truncated`, `failed`; null:
there was none), which pass rates count where `round` is 0. `refusal` is the first reason why it is not accepted,
`overruled` what the mark overruled, `winner` its rank among the winners from 0. `gates` holds what each gate found,
with positions in `text`; `steps` every request, in order, with its `backend` and the candidates that came in the same
request (`choices`). `pass` is the manifest's pass; `difficulty` is what was asked to measure it, of which nothing is
accepted, refused or won. `sft_split` and `sft_position` say which row of the output a winner became."""

GENERATED = pa.schema(
    [
        ("uid", pa.string()),
        ("kept", pa.bool_()),
        ("answer_only", pa.bool_()),
        ("rationales", pa.list_(pa.string())),
        ("policy", pa.string()),
        ("candidates", pa.int32()),
        ("accepted", pa.int32()),
        ("pass_rate", pa.float64()),
        ("correct", pa.int32()),
        ("wrong", pa.int32()),
        ("unverifiable", pa.int32()),
        ("truncated", pa.int32()),
        ("failed", pa.int32()),
        ("rule", pa.string()),
        ("value", pa.string()),
        ("limit", pa.string()),
        ("pass", pa.string()),
    ]
)
"""One row a sample that teachers were asked about, or that keeps a bare answer (`answer_only`): the winners'
reasoning, the trials of the first round and their pass rate, and for a sample without a winner the rule, value and
limit of its drop."""


def candidate_rows(outcome: Outcome, asked_by: str | None = None) -> list[dict[str, Any]]:
    """One row for each candidate, in the order of their attempts; `asked_by` is the name of the pass."""
    ranks = {at: rank for rank, at in enumerate(outcome.winners)}
    return [_row(each, ranks.get(at), asked_by) for at, each in enumerate(outcome.judged)]


def _row(judged: Judged, rank: int | None, asked_by: str | None) -> dict[str, Any]:
    candidate = judged.candidate
    trial = candidate.trial
    completions = [step.completion for step in candidate.steps]
    return {
        "uid": candidate.uid,
        "key": candidate.key,
        "strategy": candidate.strategy,
        "pattern": candidate.pattern,
        "attempt": candidate.attempt,
        "round": judged.round,
        "status": candidate.status,
        "outcome": candidate.outcome,
        "reason": candidate.verdict.reason,
        "extracted": candidate.verdict.extracted,
        "trial": None if trial is None else trial.verdict.outcome if trial.status == "answered" else trial.status,
        "accepted": judged.accepted,
        "winner": rank,
        "refusal": judged.refusal,
        "withheld": candidate.withheld,
        "gates": [finding._asdict() for finding in judged.findings],
        "mark": judged.mark,
        "overruled": list(judged.overruled),
        "gold_revealed": candidate.gold_revealed,
        "hinted": candidate.hinted,
        "wrong_turns": list(candidate.wrong),
        "text": candidate.text,
        "answer_entropy": candidate.made.completion.answer_entropy,
        "prompt_tokens": sum(completion.prompt_tokens for completion in completions),
        "completion_tokens": sum(completion.completion_tokens for completion in completions),
        "latency_s": sum(completion.latency_s for completion in completions),
        "steps": [_step(step) for step in candidate.steps],
        "pass": asked_by,
    }


def _step(step: Step) -> dict[str, Any]:
    completion = step.completion
    return {
        "role": step.role,
        "prompt": step.prompt,
        "model": step.model,
        "pattern": step.pattern,
        "gold_revealed": step.gold_revealed,
        "key": completion.key,
        "index": completion.index,
        "text": completion.text,
        "status": step.status,
        "finish_reason": completion.finish_reason,
        "error": completion.error,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "latency_s": completion.latency_s,
        "answer_entropy": completion.answer_entropy,
        "outcome": step.verdict.outcome,
        "reason": step.verdict.reason,
        "extracted": step.verdict.extracted,
        "masked": list(step.masked),
        "backend": completion.backend,
        "choices": completion.choices,
    }


def generated_row(outcome: Outcome, asked_by: str | None = None) -> dict[str, Any]:
    """What became of one sample."""
    trials, refused = outcome.first_round, outcome.refused
    return {
        "uid": outcome.uid,
        "kept": outcome.kept,
        "answer_only": outcome.answer_only,
        "rationales": list(outcome.rationales),
        "policy": outcome.policy,
        "candidates": len(outcome.judged),
        "accepted": outcome.accepted,
        "pass_rate": trials.pass_rate,
        **trials._asdict(),
        "rule": refused and refused.rule,
        "value": refused and refused.value,
        "limit": refused and refused.limit,
        "pass": asked_by,
    }


def candidates_table(outcomes: Iterable[Outcome], asked_by: str | None = None) -> pa.Table:
    """The rows of `candidates` for some outcomes, such as a shard's."""
    return pa.Table.from_pylist([row for outcome in outcomes for row in candidate_rows(outcome, asked_by)], CANDIDATES)


def generated_table(outcomes: Iterable[Outcome], asked_by: str | None = None) -> pa.Table:
    """The rows of `generated` for some outcomes."""
    return pa.Table.from_pylist([generated_row(outcome, asked_by) for outcome in outcomes], GENERATED)
