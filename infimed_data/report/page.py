"""The page of leaks: their pairs, for a person who decides which matches are real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infimed_data.report.choice import LeakedPair, choose_pairs
from infimed_data.report.document import Facet, rendered, write_document
from infimed_data.report.pictures import Picture, find_pictures
from infimed_data.report.summary import Summary, review_of, summarise
from infimed_data.report.views import (
    action_in_words,
    as_json,
    benchmark_facts,
    name_of,
    names_of,
    pair_view,
    stratum_view,
)
from infimed_data.report.wording import GRADES_IN_WORDS, wording
from infimed_data.stats import Build
from infimed_data.stats.sql import asking, rows

__all__ = ["MAX_PAIRS", "leaks_page", "write_leaks_page"]

MAX_PAIRS = 400
"""Pairs that a page shows unless it is asked for more or fewer."""
_FACETS: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
    ("grade", "Grade", "all grades", lambda grade: wording(grade).title),
    ("benchmark", "Benchmark", "all benchmarks", name_of),
    ("source", "Source", "all sources", name_of),
    ("action", "Action", "all actions", action_in_words),
)


def write_leaks_page(build: Build, path: Path | None = None, *, max_pairs: int = MAX_PAIRS) -> Path:
    """The file that was written: `path`, or `NAME-DIGEST-leaks.html` in the folder `path` or the current one.

    Raises `QueryError` for a build that was compared with no benchmark, and as `write_document` does.
    """
    return write_document(build, path, "leaks", lambda: leaks_page(build, max_pairs=max_pairs))


def leaks_page(build: Build, *, max_pairs: int = MAX_PAIRS) -> bytes:
    """The page as UTF-8, the same bytes for the same build and options."""
    summary = summarise(build)
    with asking(build) as connection:
        pairs = choose_pairs(connection, max_pairs)
        digests = [digest for pair in pairs for digest in _digests(pair)]
        pictures = find_pictures(connection, build, digests)
        review = review_of(connection, build)
        shown_pairs = {pair.leak["pair"] for pair in pairs}
        others = [pair for pair in review if pair not in shown_pairs]
        named = {row["pair"]: row for row in rows(connection, _NAMED, [others])}
    earlier = [
        {"mark": as_json({"pair": pair, **named.get(pair, {})}), "verdict": "right" if review[pair] else "wrong"}
        for pair in others
    ]
    return _render(build, summary, pairs, pictures, review, earlier)


_NAMED = """
    SELECT pair, min(grade) AS grade, min(uid) AS uid, min(benchmark_uid) AS benchmark_uid FROM leaks
    WHERE pair IN (SELECT unnest($1::VARCHAR[])) GROUP BY pair"""


def _digests(pair: LeakedPair) -> list[str]:
    """The two pictures that are shown of a pair."""
    ours = pair.leak["image"] or next(iter(pair.row.images if pair.row else ()), None)
    theirs = pair.leak["benchmark_image"] or next(iter(pair.benchmark_row.images if pair.benchmark_row else ()), None)
    return [digest for digest in (ours, theirs) if digest]


def _render(
    build: Build,
    summary: Summary,
    pairs: Sequence[LeakedPair],
    pictures: Mapping[str, Picture | str],
    review: Mapping[str, bool],
    earlier: Sequence[Mapping[str, str]],
) -> bytes:
    facets = {
        "grade": names_of((pair.grades for pair in pairs), tuple(GRADES_IN_WORDS)),
        "benchmark": names_of(pair.benchmarks for pair in pairs),
        "source": names_of(pair.sources for pair in pairs),
        "action": names_of(pair.actions for pair in pairs),
    }
    values = {
        "summary": summary,
        "strata": [stratum_view(row) for row in summary.strata],
        "benchmarks": [benchmark_facts(row) for row in summary.benchmarks],
        "grades": GRADES_IN_WORDS,
        "facets": [
            Facet(name, label, all_of, [(number, words(value)) for value, number in facets[name].items()])
            for name, label, all_of, words in _FACETS
        ],
        "verdicts": (("right", "r"), ("wrong", "w")),
        "pairs": [
            pair_view(number, pair, pictures, facets, review.get(pair.leak["pair"]))
            for number, pair in enumerate(pairs, 1)
        ],
        "earlier": earlier,
    }
    return rendered("leaks", "Leaks", build, pictures, values)
