"""The pairs that a person should see first, with their rows and what became of these.

A pair is what was compared, such as two pictures or two questions; many rows may share it. Pairs are taken in turns
from every combination of grade, source and benchmark, and from each the most doubtful first: those not marked yet, and
among them those that came closest to the limit; what was only reported, and is in the outputs, counts as twice as
close. Pictures of equal pixels come last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from infimed_data.decontaminate.grades import GRADES
from infimed_data.report.summary import GRADE_ORDER
from infimed_data.report.turns import in_turns
from infimed_data.stats.sql import rows

__all__ = ["ENDED", "MAX_OPTIONS", "MAX_OPTION_CHARS", "MAX_READ_CHARS", "LeakedPair", "Row", "Text", "choose_pairs"]

MAX_READ_CHARS = 20_000
"""Characters of a question that are looked at."""
MAX_OPTION_CHARS = 1000
MAX_OPTIONS = 12
MAX_LISTED = 6
"""Rows of a pair that are listed on either side."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """A text, its end cut off where it is very long."""

    text: str
    chars: int
    """Length of the whole text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A training or benchmark row."""

    uid: str
    question: Text
    options: tuple[Text, ...]
    option_count: int
    images: tuple[str, ...]
    """Digests."""
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedPair:
    """A pair, the strongest and least certain of its leaks, and how far it reaches."""

    leak: Fields
    """A row of `leaks`."""
    row: Row | None
    """The training row of `leak`; None where the build has lost it."""
    benchmark_row: Row | None
    ended: Fields | None
    """What became of the training row of `leak`, for `wording.fate_in_words`; None where no table has it."""
    grades: tuple[str, ...]
    sources: tuple[str, ...]
    benchmarks: tuple[str, ...]
    actions: tuple[str, ...]
    """What was done: `drop`, `report` or both."""
    row_count: int
    benchmark_row_count: int
    listed: tuple[tuple[str, Fields | None], ...]
    """A few training rows: uid and what became of it, those first that were kept."""
    listed_benchmark: tuple[str, ...]
    fates: Mapping[str, int]
    """All of its training rows: how many were `kept` or dropped by which stage."""


def choose_pairs(connection: duckdb.DuckDBPyConnection, max_pairs: int) -> list[LeakedPair]:
    """At most `max_pairs` distinct pairs, the most doubtful first."""
    ranked = rows(connection, _RANKED, [max_pairs])
    chosen = in_turns(ranked, ("grade", "source", "benchmark"), "pair", max_pairs)
    pairs = [row["pair"] for row in sorted(chosen, key=_doubt)]
    leaks = {row["pair"]: row for row in rows(connection, _LEAKS, [pairs])}
    reaches = {row["pair"]: row for row in rows(connection, _REACH, [pairs, MAX_LISTED])}
    fates: dict[str, dict[str, int]] = {}
    for row in rows(connection, _FATES, [pairs]):
        fates.setdefault(row["pair"], {})[row["fate"]] = row["n"]
    told = {uid for pair in pairs for uid in (leaks[pair]["uid"], *reaches[pair]["uids"]) if uid is not None}
    ended = {row["uid"]: row for row in rows(connection, ENDED, [sorted(told)])}
    shown = _rows(connection, _TRAINING, {leak["uid"] for leak in leaks.values()})
    shown_benchmark = _rows(connection, _BENCHMARK, {leak["benchmark_uid"] for leak in leaks.values()})
    return [
        LeakedPair(
            leak=leaks[pair],
            row=shown.get(leaks[pair]["uid"]),
            benchmark_row=shown_benchmark.get(leaks[pair]["benchmark_uid"]),
            ended=ended.get(leaks[pair]["uid"]),
            grades=tuple(sorted(reaches[pair]["grades"], key=_grade_order)),
            sources=tuple(reaches[pair]["sources"]),
            benchmarks=tuple(reaches[pair]["benchmarks"]),
            actions=tuple(reaches[pair]["actions"]),
            row_count=reaches[pair]["rows"],
            benchmark_row_count=reaches[pair]["benchmark_rows"],
            listed=tuple((uid, ended.get(uid)) for uid in reaches[pair]["uids"] if uid is not None),
            listed_benchmark=tuple(uid for uid in reaches[pair]["benchmark_uids"] or () if uid is not None),
            fates=fates.get(pair, {}),
        )
        for pair in pairs
    ]


def _doubt(row: Fields) -> tuple[Any, ...]:
    return row["identical"], row["marked"], row["distance"], _grade_order(row["grade"]), row["pair"]


def _grade_order(grade: str) -> tuple[int, str]:
    return GRADES.index(grade) if grade in GRADES else len(GRADES), grade


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, uids: set[Any]) -> dict[str, Row]:
    limits = [MAX_READ_CHARS, MAX_OPTIONS, MAX_OPTION_CHARS]
    found = rows(connection, sql, [sorted(uid for uid in uids if uid is not None), *limits])
    return {
        row["uid"]: Row(
            uid=row["uid"],
            question=Text(row["question"] or "", row["question_chars"] or 0),
            options=tuple(map(Text, row["options"] or (), row["option_chars"] or ())),
            option_count=row["option_count"] or 0,
            images=tuple(row["images"] or ()),
            group=row["group"],
        )
        for row in found
    }


_STAYED = "SELECT DISTINCT uid, true AS stays FROM samples"

_NEEDED = "TRY_CAST(regexp_extract(\"limit\", '^score ([0-9.]+)$', 1) AS DOUBLE)"
_NEEDED_SHARE = "TRY_CAST(regexp_extract(\"limit\", '^([0-9]+)% at this weight$', 1) AS DOUBLE) / 100"
_NEEDED_WEIGHT = "TRY_CAST(regexp_extract(\"limit\", '^weight ([0-9.]+)$', 1) AS DOUBLE)"
_WEIGHT = "TRY_CAST(regexp_extract(evidence, 'weight ([0-9.]+)', 1) AS DOUBLE)"

_RANKED = f"""
    WITH measured AS (
      SELECT *, coalesce({_NEEDED}, {_NEEDED_SHARE}) AS needed, {_NEEDED_WEIGHT} AS needed_weight, {_WEIGHT} AS weight,
        coalesce(image = benchmark_image, false) AS equal
      FROM leaks WHERE pair IS NOT NULL),
    placed AS (
      SELECT *, CASE
          WHEN needed < 1 AND score IS NOT NULL AND NOT isnan(score) THEN (score - needed) / (1 - needed)
          WHEN needed >= 1 THEN 0
          WHEN greatest(weight, needed_weight) > 0
            THEN abs(weight - needed_weight) / greatest(weight, needed_weight)
          ELSE 0.5 END AS margin
      FROM measured),
    grouped AS (
      SELECT coalesce(grade, '') AS grade, coalesce(source, '') AS source, coalesce(benchmark, '') AS benchmark, pair,
        bool_and(equal) AS identical, bool_or(mark IS NOT NULL) AS marked,
        min(least(1, greatest(0, margin)) * CASE WHEN stays AND action <> 'drop' THEN 0.5 ELSE 1 END) AS distance
      FROM placed LEFT JOIN ({_STAYED}) USING (uid) GROUP BY ALL)
    SELECT * FROM grouped
    QUALIFY row_number() OVER (
      PARTITION BY grade, source, benchmark ORDER BY identical, marked, distance, pair) <= $1
    ORDER BY {GRADE_ORDER}, grade, source, benchmark, identical, marked, distance, pair"""
"""For each grade, source and benchmark its most doubtful pairs. A distance of 0 is at the limit, 1 farthest from it."""

_CHOSEN = "pair IN (SELECT unnest($1::VARCHAR[]))"

_LEAKS = f"""
    SELECT leaks.* FROM leaks LEFT JOIN ({_STAYED}) USING (uid) WHERE {_CHOSEN}
    QUALIFY row_number() OVER (
      PARTITION BY pair ORDER BY {GRADE_ORDER}, grade, stays NULLS LAST, score, uid, benchmark, benchmark_uid) = 1"""
"""Of each pair the strongest grade; of its rows one that the outputs have, if there is one."""

_REACH = f"""
    SELECT pair, count(DISTINCT uid) AS rows, count(DISTINCT benchmark_uid) AS benchmark_rows,
      [row.uid FOR row IN list_sort(list(DISTINCT {{gone: coalesce(gone, true), uid: uid}}))[:$2]] AS uids,
      list_sort(list(DISTINCT benchmark_uid))[:$2] AS benchmark_uids,
      list_sort(list(DISTINCT coalesce(grade, ''))) AS grades,
      list_sort(list(DISTINCT coalesce(source, ''))) AS sources,
      list_sort(list(DISTINCT coalesce(benchmark, ''))) AS benchmarks,
      list_sort(list(DISTINCT coalesce(action, ''))) AS actions
    FROM leaks LEFT JOIN (SELECT DISTINCT uid, false AS gone FROM samples) USING (uid) WHERE {_CHOSEN} GROUP BY pair"""

_FATES = f"""
    WITH matched AS (SELECT DISTINCT pair, uid FROM leaks WHERE {_CHOSEN}),
      stayed AS ({_STAYED}),
      gone AS (SELECT uid, min(coalesce(stage, '')) AS stage FROM drops GROUP BY uid)
    SELECT pair, CASE WHEN stays THEN 'kept' ELSE coalesce(stage, '') END AS fate, count(*) AS n
    FROM matched LEFT JOIN stayed USING (uid) LEFT JOIN gone USING (uid) GROUP BY ALL ORDER BY ALL"""

ENDED = """
    SELECT uid, sft_split AS sft, rl_split AS rl, NULL::VARCHAR AS stage, NULL::VARCHAR AS rule
    FROM samples WHERE uid IN (SELECT unnest($1::VARCHAR[]))
    UNION ALL
    SELECT uid, NULL, NULL, stage, coalesce(rule, '') FROM drops WHERE uid IN (SELECT unnest($1::VARCHAR[]))
    ORDER BY uid, stage NULLS LAST, rule"""
"""What became of rows, for `wording.fate_in_words`."""

_CUT = """
      substr(question, 1, $2) AS question, length(question) AS question_chars,
      [substr(option, 1, $4) FOR option IN options[:$3]] AS options,
      [length(option) FOR option IN options[:$3]] AS option_chars, len(options) AS option_count, images, "group" """

_TRAINING = f"""
    WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS uid), found AS (
      SELECT uid, concat_ws(chr(10), nullif(question, ''),
          array_to_string([turn.content FOR turn IN turns IF turn.role <> 'assistant'], chr(10))) AS question,
        options, images, "group"
      FROM samples WHERE uid IN (FROM wanted)
      UNION ALL
      SELECT uid, question, options, images, NULL FROM drops WHERE uid IN (FROM wanted))
    SELECT uid, {_CUT} FROM found ORDER BY uid"""

_BENCHMARK = f"""
    SELECT uid, {_CUT} FROM benchmarks WHERE uid IN (SELECT unnest($1::VARCHAR[])) ORDER BY uid"""
