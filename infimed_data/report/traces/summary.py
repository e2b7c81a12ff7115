"""What came of asking teachers, in numbers: every one is counted by SQL over the build's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from infimed_data.report.traces.asking import asking_traces
from infimed_data.report.traces.cost import Cost, cost_of
from infimed_data.stats import Build
from infimed_data.stats.sql import rows

__all__ = ["BREAKDOWNS", "ENDED_AS", "KNOWN", "PASS_RATES", "PATTERNS_OF", "TraceSummary", "summarise"]

Fields = Mapping[str, Any]

ENDED_AS = "CASE WHEN status = 'answered' THEN outcome ELSE status END"
"""SQL for how a candidate ended: `correct`, `wrong`, `unverifiable`, `truncated` or `failed`."""
PATTERNS_OF = "list_sort(list_distinct(string_split(coalesce(pattern, ''), '+')))"
"""SQL for the patterns of a candidate; a chain of revisions has several, one that was asked for none has `''`."""
KNOWN = """
    SELECT uid, min(source) AS source, min(answer_kind) AS answer_kind FROM (
      SELECT uid, source, answer_kind FROM samples UNION ALL SELECT uid, source, answer_kind FROM drops)
    WHERE uid IN (SELECT uid FROM traced) GROUP BY uid"""
"""SQL for the source and kind of the samples that teachers were asked about."""

BREAKDOWNS: Mapping[str, str] = {
    "source": "[coalesce(source, '')]",
    "answer kind": "[coalesce(answer_kind, '')]",
    "strategy": "[coalesce(strategy, '')]",
    "pattern": PATTERNS_OF,
}
"""What accept rates are told by, and the SQL for a candidate's values."""
PASS_RATES: tuple[str, ...] = ("0", "up to 1/4", "up to 1/2", "up to 3/4", "below 1", "1", "unknown")
"""Buckets of pass rates; 0 and 1 teach reinforcement learning nothing and stand alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """What came of asking teachers."""

    samples: Fields
    """Samples `asked` about, those of them `kept`, and those that keep a bare answer (`answer_only`)."""
    candidates: Fields
    """Candidates in all (`n`), by how they `ended`, `accepted`, `winners`, marked `good` and `bad`, and `overruled`."""
    breakdowns: Mapping[str, Sequence[Fields]]
    """For each of `BREAKDOWNS` a row a value: `samples`, `candidates`, `correct`, `accepted`, `winners`."""
    gates: Sequence[Fields]
    """A row a gate: candidates it `found` something in, right ones it `refused`, those that it alone did (`alone`),
    those that a mark let through (`overruled`), and an `example` of what it said."""
    refusals: Sequence[Fields]
    """Candidates by the first reason why they were not accepted: `reason`, `n`."""
    reasons: Sequence[Fields]
    """Candidates by `ended` and `reason` of their verdict: `n`."""
    cost: Cost
    pass_rates: Mapping[str, int]
    """Samples by the bucket of their pass rate; all of `PASS_RATES` are there."""
    policies: Sequence[Fields]
    """Samples with winners by the `policy` that chose them: `samples`, `winners`."""
    rules: Sequence[Fields]
    """Samples without a target by `rule`: `n`, `example`."""
    shortfalls: Sequence[Fields]
    """Strata that `fill` asked for, as the lock has them for each pass: `stratum`, `wanted`, `kept`, `why`."""


def summarise(build: Build) -> TraceSummary:
    """The numbers; raises `QueryError` for a build in which no teacher was asked."""
    with asking_traces(build) as connection:
        return TraceSummary(
            samples=rows(connection, _SAMPLES)[0],
            candidates=rows(connection, _CANDIDATES)[0],
            breakdowns={name: rows(connection, _breakdown(values)) for name, values in BREAKDOWNS.items()},
            gates=rows(connection, _GATES),
            refusals=rows(connection, _REFUSALS),
            reasons=rows(connection, _REASONS),
            cost=cost_of(connection, build),
            pass_rates=_pass_rates(connection),
            policies=rows(connection, _POLICIES),
            rules=rows(connection, _RULES),
            shortfalls=_shortfalls(build),
        )


def _pass_rates(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    found = {row["bucket"]: row["n"] for row in rows(connection, _PASSED)}
    return {name: found.get(name, 0) for name in PASS_RATES}


def _shortfalls(build: Build) -> list[Fields]:
    passes = build.lock.get("generate")
    facts = [made for made in passes.values() if isinstance(made, Mapping)] if isinstance(passes, Mapping) else []
    return [row for made in facts for row in made.get("fill") or () if isinstance(row, Mapping)]


def _breakdown(values: str) -> str:
    return f"""
    WITH known AS ({KNOWN}),
      each AS (
        SELECT uid, accepted, winner, {ENDED_AS} AS ended, unnest({values}) AS name
        FROM traced LEFT JOIN known USING (uid))
    SELECT name, count(DISTINCT uid) AS samples, count(*) AS candidates, count(*) FILTER (ended = 'correct') AS correct,
      count(*) FILTER (accepted) AS accepted, count(winner) AS winners
    FROM each GROUP BY name ORDER BY candidates DESC, name"""


_SAMPLES = """
    SELECT count(*) FILTER (NOT answer_only) AS asked, count(*) FILTER (kept AND NOT answer_only) AS kept,
      count(*) FILTER (answer_only) AS answer_only
    FROM generated"""

_CANDIDATES = f"""
    WITH each AS (SELECT *, {ENDED_AS} AS ended FROM traced)
    SELECT count(*) AS n,
      {
    ", ".join(
        f"count(*) FILTER (ended = '{e}') AS {e}" for e in ("correct", "wrong", "unverifiable", "truncated", "failed")
    )
},
      count(*) FILTER (accepted) AS accepted, count(winner) AS winners,
      count(*) FILTER (mark = 'good') AS good, count(*) FILTER (mark = 'bad') AS bad,
      count(*) FILTER (len(overruled) > 0) AS overruled
    FROM each"""

_GATES = f"""
    WITH each AS (
      SELECT unnest(gates) AS finding, len(gates) AS findings, accepted,
        {ENDED_AS} = 'correct' AND withheld IS NULL AND NOT accepted AND mark IS DISTINCT FROM 'bad' AS held
      FROM traced)
    SELECT finding.gate AS gate, count(*) AS found, count(*) FILTER (held) AS refused,
      count(*) FILTER (held AND findings = 1) AS alone, count(*) FILTER (accepted) AS overruled,
      min(finding.reason) AS example
    FROM each GROUP BY gate ORDER BY refused DESC, found DESC, gate"""

_REFUSALS = """
    SELECT coalesce(refusal, '(none)') AS reason, count(*) AS n FROM traced WHERE NOT accepted
    GROUP BY 1 ORDER BY n DESC, 1"""

_REASONS = f"""
    SELECT {ENDED_AS} AS ended, reason, count(*) AS n FROM traced
    GROUP BY 1, 2
    ORDER BY list_position(['correct', 'wrong', 'unverifiable', 'truncated', 'failed'], ended), n DESC, reason"""

_PASSED = """
    SELECT CASE WHEN pass_rate IS NULL THEN 'unknown' WHEN pass_rate <= 0 THEN '0' WHEN pass_rate >= 1 THEN '1'
        WHEN pass_rate <= 0.25 THEN 'up to 1/4' WHEN pass_rate <= 0.5 THEN 'up to 1/2'
        WHEN pass_rate <= 0.75 THEN 'up to 3/4' ELSE 'below 1' END AS bucket, count(*) AS n
    FROM generated WHERE NOT answer_only GROUP BY 1"""

_POLICIES = """
    SELECT coalesce(policy, '(none)') AS policy, count(*) AS samples, sum(len(rationales))::BIGINT AS winners
    FROM generated WHERE kept AND NOT answer_only GROUP BY 1 ORDER BY samples DESC, 1"""

_RULES = """
    SELECT coalesce(rule, '(none)') AS rule, count(*) AS n, min(value) AS example FROM generated WHERE NOT kept
    GROUP BY 1 ORDER BY n DESC, 1"""
