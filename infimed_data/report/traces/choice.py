"""The samples that a page shows: some of every kind, each with all of its candidates.

First comes one sample for every pattern, gate, verdict, refusal, strategy, source and kind of answer, the rarest first;
then samples in turns from every combination of these. Within a combination the order is that of a digest of the uid:
as good as random, and the same every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from infimed_data.report.choice import ENDED, MAX_OPTION_CHARS, MAX_OPTIONS, MAX_READ_CHARS
from infimed_data.report.traces.summary import ENDED_AS, KNOWN, PATTERNS_OF
from infimed_data.report.turns import in_turns
from infimed_data.stats.sql import rows

__all__ = ["MAX_TRACES", "TracedSample", "choose_samples"]

MAX_TRACES = 4000
"""Candidates on a page; no sample is begun beyond it."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedSample:
    """A sample that a teacher was asked about."""

    uid: str
    row: Fields | None
    """Its question, options, gold answer and images; None where the build has lost it."""
    ended: Fields | None
    """What became of it, for `wording.fate_in_words`."""
    generated: Fields | None
    """Its row of `generated`."""
    candidates: Sequence[Fields]
    """Its rows of `candidates`, in the order of their attempts."""


def choose_samples(connection: duckdb.DuckDBPyConnection, max_samples: int) -> list[TracedSample]:
    """At most `max_samples` samples, those first that show something no other shows."""
    rarest = in_turns(rows(connection, _RAREST), ("stratum",), "uid", max_samples)
    others = in_turns(rows(connection, _RANKED, [max_samples]), ("stratum",), "uid", max_samples)
    chosen = list({row["uid"]: row for row in (*rarest, *others)}.values())[:max_samples]
    sizes = {row["uid"]: row["n"] for row in rows(connection, _SIZES, [[row["uid"] for row in chosen]])}
    uids: list[str] = []
    traces = 0
    for row in chosen:
        traces += sizes[row["uid"]]
        if uids and traces > MAX_TRACES:
            break
        uids.append(row["uid"])
    shown = {row["uid"]: row for row in rows(connection, _SHOWN, [uids, MAX_READ_CHARS, MAX_OPTIONS, MAX_OPTION_CHARS])}
    ended = {row["uid"]: row for row in rows(connection, ENDED, [uids])}
    generated = {row["uid"]: row for row in rows(connection, _GENERATED, [uids])}
    candidates: dict[str, list[Fields]] = {uid: [] for uid in uids}
    for row in rows(connection, _CANDIDATES, [uids]):
        candidates[row["uid"]].append(row)
    return [
        TracedSample(
            uid=uid,
            row=shown.get(uid),
            ended=ended.get(uid),
            generated=generated.get(uid),
            candidates=candidates[uid],
        )
        for uid in uids
    ]


_EACH = f"""
    known AS ({KNOWN}),
    each AS (
      SELECT uid, key, md5(uid) AS place, coalesce(source, '') AS source, coalesce(answer_kind, '') AS answer_kind,
        coalesce(strategy, '') AS strategy, coalesce(pattern, '') AS pattern, {PATTERNS_OF} AS patterns,
        coalesce({ENDED_AS}, '') AS ended, coalesce(refusal, '') AS refusal,
        [finding.gate FOR finding IN coalesce(gates, [])] AS gates, coalesce(mark, '') AS mark,
        CASE WHEN winner IS NOT NULL THEN 'won' WHEN accepted THEN 'accepted' ELSE 'refused' END AS decision
      FROM traced LEFT JOIN known USING (uid))"""

_RAREST = f"""
    WITH {_EACH},
      facets AS (
        SELECT uid, place, unnest(list_concat(
          ['source ' || source, 'kind ' || answer_kind, 'strategy ' || strategy, 'ended ' || ended,
           'refusal ' || refusal, 'mark ' || mark, 'decision ' || decision],
          ['pattern ' || pattern FOR pattern IN patterns], ['gate ' || gate FOR gate IN gates])) AS facet
        FROM each)
    SELECT '' AS stratum, arg_min(uid, place) AS uid FROM facets GROUP BY facet ORDER BY count(*), facet"""
"""A sample for every value by which a page can be filtered, in one stratum."""

_RANKED = f"""
    WITH {_EACH},
      placed AS (
        SELECT DISTINCT uid, place,
          concat_ws(chr(31), source, answer_kind, strategy, pattern, ended, refusal) AS stratum
        FROM each)
    SELECT stratum, uid FROM placed
    QUALIFY row_number() OVER (PARTITION BY stratum ORDER BY place) <= $1 ORDER BY stratum, place"""

_UIDS = "uid IN (SELECT unnest($1::VARCHAR[]))"
_SIZES = f"SELECT uid, count(*) AS n FROM traced WHERE {_UIDS} GROUP BY uid"
_GENERATED = f"SELECT * EXCLUDE (rationales) FROM generated WHERE {_UIDS}"
_CANDIDATES = f"SELECT * FROM traced WHERE {_UIDS} ORDER BY uid, attempt, key"

_SHOWN = f"""
    WITH found AS (
      SELECT uid, source, lang, question, options, answer, answer_label, answer_kind, images FROM samples WHERE {_UIDS}
      UNION ALL
      SELECT uid, source, lang, question, options, answer, NULL, answer_kind, images FROM drops WHERE {_UIDS})
    SELECT uid, source, lang, answer_label, answer_kind, substr(answer, 1, $4) AS answer,
      substr(question, 1, $2) AS question, length(question) AS question_chars,
      [substr(option, 1, $4) FOR option IN options[:$3]] AS options, len(options) AS option_count, images
    FROM found ORDER BY uid"""
