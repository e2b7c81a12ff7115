"""How many rows match which benchmark, as text: every number is counted by SQL over the build's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from infimed_data.decontaminate.grades import GRADES
from infimed_data.errors import QueryError
from infimed_data.stats import Build, shown
from infimed_data.stats.sql import asking, rows
from infimed_data.stats.tables import aligned, cut

__all__ = ["GRADE_ORDER", "Summary", "leaks_text", "review_of", "summarise"]

Fields = Mapping[str, Any]

GRADE_ORDER = f"coalesce(nullif(list_position({list(GRADES)!r}, grade), 0), 99)"
"""SQL that puts the strongest grade first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What decontamination found in a build, in numbers."""

    rows: int
    """Training rows that match a benchmark row."""
    fates: Mapping[str, int]
    """These rows by what became of them: `kept`, `leak` (dropped for this), `other` (dropped for another reason)."""
    strata: Sequence[Fields]
    """By grade, source and benchmark: rows dropped, reported and kept, benchmark rows, the lowest score."""
    benchmarks: Sequence[Fields]
    """By benchmark: its rows, those without their image, those that leaks name, its pictures, those that match."""
    pictures: Mapping[str, int]
    """How many pairs of pictures were `examined`, `confirmed`, `refused` and `left_out`; empty where not counted."""
    pairs: int
    """Distinct pairs of rows' contents that match."""
    right: int
    """Pairs that an earlier review marked right."""
    wrong: int


def summarise(build: Build) -> Summary:
    """The numbers; raises `QueryError` for a build that was compared with no benchmark."""
    listed = [row for row in build.lock.get("benchmarks") or () if isinstance(row, Mapping)]
    if "leaks" not in build.files:
        if listed:
            raise QueryError(f"{shown(str(build.path))}: damaged: leaks.parquet is missing; run its build again")
        raise QueryError(
            f"{shown(str(build.path))}: nothing was compared: its manifest names no benchmarks; "
            "name those to keep out under `benchmarks` and build again"
        )
    compared = build.lock.get("compared")
    pictures = compared.get("pictures") if isinstance(compared, Mapping) else None
    with asking(build) as connection:
        counted = rows(connection, _COUNTED)[0]
        review = review_of(connection, build)
        return Summary(
            rows=counted["n"],
            fates={name: counted[name] for name in ("leak", "other", "kept")},
            strata=rows(connection, _STRATA),
            benchmarks=_benchmarks(connection, listed),
            pictures={
                name: count
                for name, count in (pictures.items() if isinstance(pictures, Mapping) else ())
                if name in _PICTURES and isinstance(count, int)
            },
            pairs=counted["pairs"],
            right=sum(review.values()),
            wrong=len(review) - sum(review.values()),
        )


def leaks_text(build: Build, *, width: int = 100) -> str:
    """The numbers as text in lines of at most `width`; raises `QueryError` as `summarise` does."""
    found = summarise(build)
    fates = f"{found.fates['leak']:,} dropped as leaks, {found.fates['other']:,} for another reason"
    head = f"{shown(build.label)}\n{found.rows:,} rows match a benchmark: {fates}, {found.fates['kept']:,} kept"
    sections = [head if found.rows else f"{shown(build.label)}\nno row matches a row of its benchmarks"]
    if found.strata:
        body = [
            [
                *(_named(row[field]) for field in ("grade", "source", "benchmark")),
                *(f"{row[field]:,}" for field in ("dropped", "reported", "kept", "benchmark_rows")),
                "–" if row["lowest"] is None else f"{row['lowest']:.2f}",
            ]
            for row in found.strata
        ]
        names = ["grade", "source", "benchmark", "dropped", "reported", "kept", "benchmark rows", "lowest score"]
        sections.append(
            "Rows by grade, source and benchmark\n"
            + aligned(names, body, right=[False] * 3 + [True] * 5, caps=[20, 24, 24, *[14] * 5])
        )
    body = [
        [
            _named(row["benchmark"]),
            *(_count(row[field]) for field in ("rows", "without_image", "named", "images", "images_matched")),
        ]
        for row in found.benchmarks
    ]
    names = ["benchmark", "rows", "without image", "named in leaks", "pictures", "pictures matched"]
    table = aligned(names, body, right=[False] + [True] * 5, caps=[36, *[16] * 5])
    sections.append(f"Benchmarks (a leak names the benchmark row that comes closest)\n{table}")
    sections.append("\n".join([*_pictures(found.pictures), _marks(found)]))
    return "\n".join(cut(line, width) for line in "\n\n".join(sections).splitlines())


def review_of(connection: duckdb.DuckDBPyConnection, build: Build) -> dict[str, bool]:
    """The marks of an earlier review: whether each pair is right, sorted by pair."""
    review = build.lock.get("review")
    found = {pair: mark for pair, mark in review.items() if isinstance(mark, bool)} if isinstance(review, dict) else {}
    for row in rows(connection, "SELECT DISTINCT pair, mark FROM leaks WHERE mark IN ('right', 'wrong')"):
        if row["pair"] is not None:
            found.setdefault(row["pair"], row["mark"] == "right")
    return dict(sorted(found.items()))


_COUNTED = """
    WITH matched AS (SELECT DISTINCT uid FROM leaks),
      leaked AS (SELECT DISTINCT uid FROM drops WHERE stage = 'decontaminate'),
      stayed AS (SELECT DISTINCT uid FROM samples)
    SELECT count(*) AS n, count(leaked.uid) AS leak, count(stayed.uid) AS kept,
      count(*) - count(leaked.uid) - count(stayed.uid) AS other, (SELECT count(DISTINCT pair) FROM leaks) AS pairs
    FROM matched LEFT JOIN leaked USING (uid) LEFT JOIN stayed USING (uid)"""

_STRATA = f"""
    WITH stayed AS (SELECT DISTINCT uid, true AS stays FROM samples)
    SELECT grade, source, benchmark, count(DISTINCT uid) FILTER (action = 'drop') AS dropped,
      count(DISTINCT uid) FILTER (action IS DISTINCT FROM 'drop') AS reported,
      count(DISTINCT uid) FILTER (stays) AS kept, count(DISTINCT benchmark_uid) AS benchmark_rows, min(score) AS lowest
    FROM leaks LEFT JOIN stayed USING (uid) GROUP BY grade, source, benchmark
    ORDER BY {GRADE_ORDER}, grade, source, benchmark"""

_PICTURES = ("examined", "confirmed", "refused", "left_out")


def _benchmarks(connection: duckdb.DuckDBPyConnection, listed: Sequence[Fields]) -> list[dict[str, Any]]:
    """A record a benchmark, in the manifest's order; those that only leaks know come last."""
    counted = rows(
        connection,
        """SELECT benchmark, count(DISTINCT benchmark_uid) AS named, count(DISTINCT benchmark_image) AS images_matched
           FROM leaks GROUP BY benchmark ORDER BY benchmark""",
    )
    known = {row["benchmark"]: row for row in counted}
    names = [*(str(row.get("benchmark")) for row in listed), *known]
    facts = {str(row.get("benchmark")): row for row in listed}
    return [
        {
            "benchmark": name,
            **{field: facts.get(name, {}).get(field) for field in ("rows", "without_image", "images")},
            "named": known[name]["named"] if name in known else 0,
            "images_matched": known[name]["images_matched"] if name in known else 0,
        }
        for name in dict.fromkeys(names)
    ]


def _pictures(counts: Mapping[str, int]) -> list[str]:
    if "examined" not in counts:
        return []
    parts = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in _PICTURES[1:] if name in counts]
    return [f"{counts['examined']:,} pairs of pictures were examined" + (f": {', '.join(parts)}" if parts else "")]


def _marks(found: Summary) -> str:
    if not found.right + found.wrong:
        return f"{found.pairs:,} distinct pairs, none marked so far"
    return f"{found.pairs:,} distinct pairs; marked so far: {found.right:,} right, {found.wrong:,} wrong"


def _named(name: str | None) -> str:
    return "(none)" if name is None else shown(name)


def _count(count: object) -> str:
    return f"{count:,}" if isinstance(count, int) else "–"
