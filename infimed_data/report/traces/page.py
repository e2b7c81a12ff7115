"""The page of traces: samples with everything their teachers wrote, for a person who decides what is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infimed_data.manifest.generate import PATTERNS
from infimed_data.report.document import Facet, rendered, write_document
from infimed_data.report.output_pictures import find_output_pictures
from infimed_data.report.pictures import Picture
from infimed_data.report.traces.asking import asking_traces
from infimed_data.report.traces.choice import TracedSample, choose_samples
from infimed_data.report.traces.summary import TraceSummary, summarise
from infimed_data.report.traces.views import FACETS, facets_of, mark_of, sample_view
from infimed_data.report.traces.wording import (
    DECISIONS_IN_WORDS,
    ENDED_IN_WORDS,
    GATES_IN_WORDS,
    pattern_in_words,
    refusal_in_words,
)
from infimed_data.report.views import name_of, names_of
from infimed_data.stats import Build
from infimed_data.stats.sql import rows
from infimed_data.strategies.candidate import REASONS

__all__ = ["MAX_SAMPLES", "traces_page", "write_traces_page"]

MAX_SAMPLES = 400
"""Samples that a page shows unless it is asked for more or fewer."""
_FACETS: Mapping[str, tuple[str, str, Callable[[str], str], Sequence[str]]] = {
    "source": ("Source", "all sources", lambda name: name_of(name or "(none)"), ()),
    "kind": ("Kind of answer", "all kinds", lambda name: name_of(name or "(none)"), ()),
    "strategy": ("Strategy", "all strategies", lambda name: name_of(name or "(none)"), ()),
    "pattern": ("Pattern", "all patterns", pattern_in_words, PATTERNS),
    "outcome": (
        "Verdict",
        "all verdicts",
        lambda name: ENDED_IN_WORDS.get(name) or name_of(name),
        tuple(ENDED_IN_WORDS),
    ),
    "gate": ("Gate", "all gates", lambda name: name_of(name or "no gate objects"), ("", *GATES_IN_WORDS)),
    "decision": ("Decision", "kept and refused", lambda name: DECISIONS_IN_WORDS[name], tuple(DECISIONS_IN_WORDS)),
}
"""Label, what it says where it admits all, its values in words, and those that come first."""


def write_traces_page(build: Build, path: Path | None = None, *, max_samples: int = MAX_SAMPLES) -> Path:
    """The file that was written: `path`, or `NAME-DIGEST-traces.html` in the folder `path` or the current one.

    Raises `QueryError` for a build in which no teacher was asked, and as `write_document` does.
    """
    return write_document(build, path, "traces", lambda: traces_page(build, max_samples=max_samples))


def traces_page(build: Build, *, max_samples: int = MAX_SAMPLES) -> bytes:
    """The page as UTF-8, the same bytes for the same build and options."""
    summary = summarise(build)
    with asking_traces(build) as connection:
        samples = choose_samples(connection, max_samples)
        digests = [digest for sample in samples for digest in (sample.row or {}).get("images") or ()]
        pictures = find_output_pictures(connection, build, digests)
        others = rows(connection, _MARKED, [[sample.uid for sample in samples]])
    earlier = [{"mark": mark_of(row), "verdict": row["mark"]} for row in others]
    values = {"summary": summary, "earlier": earlier, **_values(samples, pictures), **_numbers(summary)}
    return rendered("traces", "Traces", build, pictures, values)


_MARKED = """
    SELECT key, uid, strategy, attempt, mark FROM traced
    WHERE mark IN ('good', 'bad') AND uid NOT IN (SELECT unnest($1::VARCHAR[])) ORDER BY key"""


def _values(samples: Sequence[TracedSample], pictures: Mapping[str, Picture | str]) -> dict[str, Any]:
    own = [facets_of(sample, candidate) for sample in samples for candidate in sample.candidates]
    numbers = {name: names_of((facets[name] for facets in own), _FACETS[name][3]) for name in FACETS}
    facets = []
    for name, (label, all_of, words, _) in _FACETS.items():
        facets.append(Facet(name, label, all_of, [(number, words(value)) for value, number in numbers[name].items()]))
    views, first = [], 1
    for number, sample in enumerate(samples, 1):
        views.append(sample_view(number, first, sample, pictures, numbers))
        first += len(sample.candidates)
    return {
        "samples": views,
        "traces": first - 1,
        "facets": facets,
        "verdicts": (("good", "g"), ("bad", "b")),
    }


def _numbers(summary: TraceSummary) -> dict[str, Any]:
    """The summary's tables with their names in words."""
    most = max(summary.pass_rates.values())
    return {
        "breakdowns": {
            title: _named(found, name=pattern_in_words if title == "pattern" else name_of)
            for title, found in summary.breakdowns.items()
        },
        "gates": [
            {**row, "means": GATES_IN_WORDS.get(row["gate"], "")}
            for row in _named(summary.gates, gate=name_of, example=name_of)
        ],
        "refusals": [
            {**row, "means": refusal_in_words(row["reason"])} for row in _named(summary.refusals, reason=name_of)
        ],
        "reasons": [
            {**row, "means": REASONS.get(row["reason"], ""), "ended": ENDED_IN_WORDS.get(row["ended"], "")}
            for row in _named(summary.reasons, reason=name_of)
        ],
        "models": _named([model._asdict() for model in summary.cost.models], model=name_of),
        "pass_rates": [
            (name, count, round(100 * count / most, 1) if most else 0) for name, count in summary.pass_rates.items()
        ],
        "rules": _named(summary.rules, rule=name_of, example=name_of),
        "policies": _named(summary.policies, policy=name_of),
        "shortfalls": _named(
            [{name: row.get(name) for name in ("stratum", "wanted", "kept", "why")} for row in summary.shortfalls],
            stratum=name_of,
            why=name_of,
        ),
    }


def _named(found: Sequence[Mapping[str, Any]], **words: Callable[[str], str]) -> list[dict[str, Any]]:
    """Rows of the summary with the fields `words` made readable; an empty one is `(none)`."""
    return [
        {**row, **{field: of(str(row[field])) if row[field] else "(none)" for field, of in words.items()}}
        for row in found
    ]
