"""Two builds, row by row: what is new, what is gone, what moved, what reads otherwise, and what explains it."""

from __future__ import annotations

from typing import Any, Final

import duckdb
import pyarrow as pa

from infimed_data.stats.builds import Build
from infimed_data.stats.locks import causes
from infimed_data.stats.sql import asking_both, rows
from infimed_data.stats.tables import aligned, cut, shown

__all__ = ["changes", "difference"]

_CONTENT: Final = (
    "question", "options", "answer", "answer_label", "answer_kind", "turns", "images", "rationale", "category",
    "license", "lang",
)  # fmt: skip
"""What a kept row says; of each only a hash is held while builds are compared."""

CHANGES: Final = {
    "added": "kept in b; a has not read it",
    "removed": "kept in a; b has not read it",
    "now kept": "dropped in a by this rule",
    "now dropped": "dropped in b by this rule",
    "other output": "kept in both, for other outputs",
    "other split": "in the output in both, in another split",
    "other content": "kept in both, and these fields differ",
    "other rule": "dropped in both, for another reason",
    "read in b only": "dropped there by this rule",
    "read in a only": "dropped there by this rule",
}
"""Kinds of change, in the order in which they are shown, and what each means."""


def _side(name: str) -> str:
    hashes = ", ".join(f"hash({field}) AS {field}" for field in _CONTENT)
    nothing = ", ".join(f"0::UBIGINT AS {field}" for field in _CONTENT)
    return f"""{name} AS (
      SELECT uid, source, split, output, sft_split, rl_split, sft_position, rl_position,
        NULL::VARCHAR AS reason, {hashes} FROM {name}_samples
      UNION ALL BY NAME
      SELECT uid, source, split, NULL::VARCHAR AS output, NULL::VARCHAR AS sft_split, NULL::VARCHAR AS rl_split,
        NULL::BIGINT AS sft_position, NULL::BIGINT AS rl_position,
        coalesce(stage, '') || '/' || coalesce(rule, '') AS reason, {nothing} FROM {name}_drops)"""


_FIELDS: Final = ", ".join(f"CASE WHEN a.{field} IS DISTINCT FROM b.{field} THEN '{field}' END" for field in _CONTENT)
_PAIRED: Final = f"""{_side("a")}, {_side("b")}, paired AS MATERIALIZED (
  SELECT coalesce(b.uid, a.uid) AS uid, coalesce(b.source, a.source) AS source, coalesce(b.split, a.split) AS split,
    a.uid IS NOT NULL AS in_a, b.uid IS NOT NULL AS in_b, a.output AS output_a, b.output AS output_b,
    a.sft_split AS sft_a, b.sft_split AS sft_b, a.rl_split AS rl_a, b.rl_split AS rl_b,
    a.sft_position IS DISTINCT FROM b.sft_position AS sft_moved,
    a.rl_position IS DISTINCT FROM b.rl_position AS rl_moved,
    a.reason AS reason_a, b.reason AS reason_b, concat_ws(', ', {_FIELDS}) AS fields
  FROM a FULL JOIN b ON a.uid = b.uid)"""
_KEPT_BOTH: Final = "in_a AND in_b AND reason_a IS NULL AND reason_b IS NULL"
_CHANGES: Final = f"""WITH {_PAIRED}, changed AS (
  SELECT uid, source, split, CASE
      WHEN NOT in_a AND reason_b IS NULL THEN 'added'
      WHEN NOT in_b AND reason_a IS NULL THEN 'removed'
      WHEN NOT in_a THEN 'read in b only'
      WHEN NOT in_b THEN 'read in a only'
      WHEN reason_b IS NULL THEN 'now kept'
      ELSE 'now dropped' END AS change,
    coalesce(reason_b, reason_a, coalesce(output_b, output_a)) AS rule
  FROM paired WHERE NOT in_a OR NOT in_b OR (reason_a IS NULL) <> (reason_b IS NULL)
  UNION ALL SELECT uid, source, split, 'other output', output_a || ' → ' || output_b
  FROM paired WHERE {_KEPT_BOTH} AND output_a <> output_b
  UNION ALL SELECT uid, source, split, 'other split', 'sft ' || sft_a || ' → ' || sft_b
  FROM paired WHERE {_KEPT_BOTH} AND sft_a <> sft_b
  UNION ALL SELECT uid, source, split, 'other split', 'rl ' || rl_a || ' → ' || rl_b
  FROM paired WHERE {_KEPT_BOTH} AND rl_a <> rl_b
  UNION ALL SELECT uid, source, split, 'other content', fields
  FROM paired WHERE {_KEPT_BOTH} AND fields <> ''
  UNION ALL SELECT uid, source, split, 'other rule', reason_a || ' → ' || reason_b
  FROM paired WHERE in_a AND in_b AND reason_a <> reason_b)"""


def changes(a: Build, b: Build) -> pa.Table:
    """uid, source, split, change and rule of every change, sorted; a row may have changed in several ways."""
    order = ", ".join(f"'{change}'" for change in CHANGES)
    with asking_both(a, b) as connection:
        relation = connection.sql(
            f"{_CHANGES} SELECT * FROM changed ORDER BY list_position([{order}], change), source, rule, uid"
        )
        reader: pa.RecordBatchReader = relation.to_arrow_reader(8192)
        return reader.read_all()


def difference(a: Build, b: Build, *, examples: int = 1, width: int = 100) -> str:
    """How `b` differs from `a`, as text in lines of at most `width`: what the locks say, then rows by kind of change,
    source and rule with the uids of some of them."""
    with asking_both(a, b) as connection:
        sections = [_heads(connection, a, b), _explained(a, b), *_tables(connection, examples)]
    return "\n".join(cut(line, width) for line in "\n\n".join(sections).splitlines())


def _heads(connection: duckdb.DuckDBPyConnection, a: Build, b: Build) -> str:
    lines = []
    for name, build in (("a", a), ("b", b)):
        [count] = rows(
            connection,
            f"""SELECT (SELECT count(*) FROM {name}_samples) AS kept, (SELECT count(*) FROM {name}_drops) AS dropped,
                  (SELECT count(*) FROM {name}_samples WHERE sft_split IS NOT NULL) AS sft,
                  (SELECT count(*) FROM {name}_samples WHERE rl_split IS NOT NULL) AS rl""",
        )
        lines.append(
            f"{name}  {shown(build.label)}: {count['kept']:,} rows kept ({count['sft']:,} sft, {count['rl']:,} rl), "
            f"{count['dropped']:,} dropped"
        )
    return "\n".join(lines)


def _explained(a: Build, b: Build) -> str:
    if a.lock.get("build") == b.lock.get("build"):
        return "The builds have one digest: they are the same"
    found = causes(a.lock, b.lock)
    if not found:
        return (
            "Nothing in the locks explains a difference: the code that decides, or what teachers answered, is another"
        )
    body = [[cause.kind, shown(cause.name), cause.a, cause.b] for cause in found]
    return "What differs in the locks\n" + aligned(["", "what", "a", "b"], body, right=[False] * 4)


def _tables(connection: duckdb.DuckDBPyConnection, examples: int) -> list[str]:
    found = rows(
        connection,
        f"""{_CHANGES} SELECT change, source, rule, count(*) AS n, min(uid, $2) AS uids FROM changed
            GROUP BY change, source, rule ORDER BY list_position($1, change), n DESC, source, rule""",
        [list(CHANGES), examples],
    )
    [moved] = rows(
        connection,
        f"""WITH {_PAIRED} SELECT count(*) FILTER (sft_moved AND sft_a = sft_b) AS sft,
              count(*) FILTER (rl_moved AND rl_a = rl_b) AS rl FROM paired WHERE in_a AND in_b""",
    )
    order = ", ".join(f"{count:,} of {name}" for name, count in moved.items() if count)
    tail = [f"Rows that stand elsewhere in the same split: {order}"] if order else []
    if not found:
        return ["Every row ends where it did and reads as it did", *tail]
    totals: dict[str, int] = {}
    for row in found:
        totals[row["change"]] = totals.get(row["change"], 0) + row["n"]
    summary = [[change, f"{n:,}", CHANGES[change]] for change, n in totals.items()]
    detail = [_detail(row) for row in found]
    head = ["change", "source", "rule", "rows", "such as"]
    return [
        "Rows by kind of change\n" + aligned(["change", "rows", "meaning"], summary, right=[False, True, False]),
        "By source and rule\n"
        + aligned(head, detail, right=[False, False, False, True, False], caps=[20, 24, 40, 12, 400]),
        *tail,
    ]


def _detail(row: dict[str, Any]) -> list[str]:
    uids = " ".join(shown(uid) for uid in row["uids"])
    return [row["change"], shown(row["source"] or ""), shown(row["rule"] or ""), f"{row['n']:,}", uids]
