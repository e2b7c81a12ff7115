"""The numbers of traces as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from infimed_data.report.traces.summary import TraceSummary, summarise
from infimed_data.report.traces.wording import ENDED_IN_WORDS, refusal_in_words
from infimed_data.stats import Build, shown
from infimed_data.stats.tables import aligned, bar, cut
from infimed_data.strategies.candidate import REASONS

__all__ = ["traces_text"]


def traces_text(build: Build, *, width: int = 100) -> str:
    """The numbers as text in lines of at most `width`; raises `QueryError` as `summarise` does."""
    found = summarise(build)
    sections = [_head(build, found)]
    sections += [_breakdown(found, name) for name in found.breakdowns if found.candidates["n"]]
    sections += [_gates(found, width), *_refusals(found), *_reasons(found, width), *_cost(found)]
    sections += [_pass_rates(found, width), *_wins(found), *_rules(found, width), *_shortfalls(found, width)]
    sections.append(_marks(found))
    return "\n".join(cut(line, width) for line in "\n\n".join(sections).splitlines())


def _head(build: Build, found: TraceSummary) -> str:
    samples, each = found.samples, found.candidates
    bare = f"; {samples['answer_only']:,} more keep a bare answer" if samples["answer_only"] else ""
    share = _percent(samples["kept"], samples["asked"])
    return "\n".join(
        [
            shown(build.label),
            f"{samples['asked']:,} samples asked about, {samples['kept']:,} have a trace to train on ({share}){bare}",
            f"{each['n']:,} candidates: {each['correct']:,} right, {each['accepted']:,} accepted "
            f"({_percent(each['accepted'], each['n'])}), {each['winners']:,} won",
        ]
    )


def _breakdown(found: TraceSummary, name: str) -> str:
    body = [
        [
            _named(row["name"]),
            *(f"{row[field]:,}" for field in ("samples", "candidates", "correct", "accepted")),
            _percent(row["accepted"], row["candidates"]),
            f"{row['winners']:,}",
        ]
        for row in found.breakdowns[name]
    ]
    names = [name, "samples", "candidates", "right", "accepted", "accept rate", "won"]
    return f"Accept rate by {name}\n" + aligned(names, body, right=[False] + [True] * 6, caps=[36, *[12] * 6])


def _gates(found: TraceSummary, width: int) -> str:
    if not found.gates:
        return "Gates\nnone found anything"
    body = [
        [
            _named(row["gate"]),
            *(f"{row[field]:,}" for field in ("found", "refused", "alone", "overruled")),
            _named(row["example"]),
        ]
        for row in found.gates
    ]
    names = ["gate", "found in", "right ones refused", "by it alone", "overruled", "such as"]
    return "Gates (one candidate may have several)\n" + aligned(
        names, body, right=[False, *[True] * 4, False], caps=[24, 12, 18, 12, 20, width]
    )


def _refusals(found: TraceSummary) -> list[str]:
    if not found.refusals:
        return []
    refused = sum(row["n"] for row in found.refusals)
    body = [
        [shown(row["reason"]), f"{row['n']:,}", _percent(row["n"], refused), refusal_in_words(row["reason"])]
        for row in found.refusals
    ]
    names = ["first reason", "candidates", "share", "which means"]
    return ["Refused candidates\n" + aligned(names, body, right=[False, True, True, False], caps=[30, 12, 8, 80])]


def _reasons(found: TraceSummary, width: int) -> list[str]:
    if not found.reasons:
        return []
    body = [
        [
            ENDED_IN_WORDS.get(row["ended"]) or _named(row["ended"]),
            _named(row["reason"]),
            f"{row['n']:,}",
            _percent(row["n"], found.candidates["n"]),
            REASONS.get(row["reason"] or "", ""),
        ]
        for row in found.reasons
    ]
    names = ["verdict", "reason", "candidates", "share", "which means"]
    table = aligned(names, body, right=[False, False, True, True, False], caps=[20, 26, 12, 8, width])
    return [f"Verdicts\n{table}"]


def _cost(found: TraceSummary) -> list[str]:
    if not found.cost.models:
        return []
    body = [
        [
            shown(model.model),
            *(f"{count:,}" for count in (model.requests, model.prompt_tokens, model.completion_tokens)),
            "replayed" if model.replayed else "no price" if model.usd is None else f"${model.usd:,.4f}",
        ]
        for model in found.cost.models
    ]
    names = ["model", "requests", "prompt tokens", "completion tokens", "price"]
    table = aligned(names, body, right=[False] + [True] * 4, caps=[44, *[18] * 4])
    return [f"Cost (a request that several candidates share counts once)\n{table}\n{found.cost.in_words}"]


def _pass_rates(found: TraceSummary, width: int) -> str:
    most = max(found.pass_rates.values())
    if not most:
        return "Pass rates of samples (first round)\nno samples"
    total, longest = sum(found.pass_rates.values()), max(5, min(40, width - 40))
    lines = [
        f"{name:>9}  {count:>7,}  {_percent(count, total):>6}  {bar(count / most, longest)}".rstrip()
        for name, count in found.pass_rates.items()
    ]
    return "\n".join(["Pass rates of samples (first round)", *lines])


def _wins(found: TraceSummary) -> list[str]:
    return [
        _counted("Wins", ["policy", "samples", "winners"], [
            [_named(row["policy"]), f"{row['samples']:,}", f"{row['winners'] or 0:,}"] for row in found.policies
        ])
    ] if found.policies else []  # fmt: skip


def _rules(found: TraceSummary, width: int) -> list[str]:
    if not found.rules:
        return []
    body = [[_named(row["rule"]), f"{row['n']:,}", _named(row["example"])] for row in found.rules]
    table = aligned(["rule", "samples", "such as"], body, right=[False, True, False], caps=[24, 12, width])
    return [f"Samples without a trace to train on\n{table}"]


def _shortfalls(found: TraceSummary, width: int) -> list[str]:
    if not found.shortfalls:
        return []
    body = [
        [
            shown(str(row.get("stratum"))),
            *(f"{row[field]:,}" if isinstance(row.get(field), int) else "–" for field in ("wanted", "kept")),
            shown(str(row.get("why") or "filled")),
        ]
        for row in found.shortfalls
    ]
    table = aligned(
        ["stratum", "wanted", "kept", "why"], body, right=[False, True, True, False], caps=[40, 12, 12, width]
    )
    return [f"Fill: what was asked for, and what is missing\n{table}"]


def _counted(title: str, names: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return f"{title}\n" + aligned(
        names, body, right=[False] + [True] * (len(names) - 1), caps=[36, *[12] * len(names[1:])]
    )


def _marks(found: TraceSummary) -> str:
    each = found.candidates
    if not each["good"] + each["bad"]:
        return "No trace is marked so far"
    changed = f"; {each['overruled']:,} changed something" if each["overruled"] else ""
    return f"Marked so far: {each['good']:,} good, {each['bad']:,} bad{changed}"


def _named(name: str | None) -> str:
    return "(none)" if not name else shown(name)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
