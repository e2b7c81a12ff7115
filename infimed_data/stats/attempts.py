"""What teachers were asked, in words: the numbers of each pass, and the attempts at one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from infimed_data.stats.builds import Build
from infimed_data.stats.sql import rows
from infimed_data.stats.tables import aligned, shown

__all__ = ["TOLD", "attempts_at", "passes"]

MAX_ATTEMPTS = 20
TOLD = (
    "samples", "drops", "images", "sources", "origins", "leaks", "benchmarks", "candidates", "generated", "difficulty",
)  # fmt: skip
"""Tables that the story of a row tells of."""
LABEL = 12


def passes(build: Build, width: int) -> list[str]:
    """The passes of a build: what was asked, accepted, refused and paid; nothing where no teacher was asked."""
    asked = build.lock.get("generate")
    if not isinstance(asked, Mapping) or not asked:
        return []
    body, notes = [], []
    for name, facts in asked.items():
        if not isinstance(facts, Mapping):
            continue
        body.append(_pass(str(name), facts))
        refused = facts.get("refusals") or {}
        if refused:
            most = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
            notes.append(f"{shown(str(name))} refused: " + ", ".join(f"{shown(str(r))} {n:,}" for r, n in most))
        if facts.get("replayed"):
            notes.append(f"{shown(str(name))}: {facts['replayed']:,} candidates were replayed from a file")
    head = ["pass", "strategy", "rows", "candidates", "accepted", "share", "with trace", "tokens", "usd"]
    right = [False, False, *[True] * 7]
    return ["Teachers\n" + "\n".join([aligned(head, body, right=right), *notes])]


def _pass(name: str, facts: Mapping[str, Any]) -> list[str]:
    spent = (facts.get("spent") or {}).values()
    tokens = sum(each["prompt_tokens"] + each["completion_tokens"] for each in spent)
    prices = [each["usd"] for each in spent if each["usd"] is not None]
    share = facts.get("accept_rate")
    return [
        shown(name),
        shown(str(facts["strategy"])),
        f"{facts['rows']:,}",
        f"{facts['candidates']:,}",
        f"{facts['accepted']:,}",
        "–" if share is None else f"{share:.1%}",
        f"{facts['with_trace']:,}" if "with_trace" in facts else "–",
        f"{tokens:,}",
        f"{sum(prices):,.2f}" if prices else "–",
    ]


def attempts_at(connection: duckdb.DuckDBPyConnection, build: Build, uid: str) -> list[str]:
    """The attempts at a row: pattern, verdict, why refused or which rank it won; nothing where there was none."""
    lines: list[str] = []
    if "difficulty" in build.files:
        for row in rows(connection, "SELECT * FROM difficulty WHERE uid = $1", [uid]):
            rate = "unknown" if row["pass_rate"] is None else f"{row['pass_rate']:.2f}"
            why = "" if row["kept"] else f"; {row['rule']}: {row['value']}, where the limit is {row['limit']}"
            lines.append(f"{'difficulty':<{LABEL}}pass rate {rate}, {row['correct']:,} right{shown(why)}")
    if "generated" in build.files:
        taught = rows(connection, "SELECT * FROM generated WHERE uid = $1", [uid])
        lines += [f"{'taught':<{LABEL}}by pass {shown(row['pass'])}: {_taught(row)}" for row in taught]
    if "candidates" not in build.files:
        return lines
    found = rows(
        connection,
        """SELECT pass, attempt, strategy, pattern, status, outcome, reason, extracted, accepted, winner, refusal, mark,
             overruled, len(text) AS chars, count(*) OVER () AS n FROM candidates WHERE uid = $1
           ORDER BY pass = 'difficulty' DESC, pass, attempt LIMIT $2""",
        [uid, MAX_ATTEMPTS],
    )
    if not found:
        return lines
    body = [
        [
            shown(row["pass"] or ""),
            str(row["attempt"]),
            shown(row["pattern"] or row["strategy"] or ""),
            shown(f"{row['outcome']}: {row['reason']}" if row["status"] == "answered" else row["status"] or ""),
            shown(row["extracted"] or "–"),
            f"{row['chars']:,}",
            _end(row),
        ]
        for row in found
    ]
    head = ["pass", "try", "pattern", "verdict", "answer", "chars", "end"]
    right = [False, True, False, False, False, True, False]
    table = aligned(head, body, right=right, caps=[16, 4, 24, 28, 20, 7, 40])
    count = found[0]["n"]
    lines.append(f"{'attempts':<{LABEL}}{count:,} candidate{'' if count == 1 else 's'}")
    lines += [" " * LABEL + line for line in table.splitlines()]
    if count > len(found):
        lines.append(" " * LABEL + f"and {count - len(found):,} more")
    return lines


def _taught(row: Mapping[str, Any]) -> str:
    if row["answer_only"]:
        return "keeps a bare answer; no teacher was asked"
    told = f"{row['candidates']:,} candidates, {row['accepted']:,} accepted"
    if row["kept"]:
        return f"{told}; {len(row['rationales']):,} won by {shown(row['policy'] or '')}"
    return f"{told}; none won: {shown(row['rule'] or '')} ({shown(row['value'] or '')})"


def _end(row: Mapping[str, Any]) -> str:
    marked = f", marked {row['mark']}" if row["mark"] else ""
    if row["overruled"]:
        marked += f" over {', '.join(row['overruled'])}"
    if row["winner"] is not None:
        place = "won" if row["winner"] == 0 else f"won, place {row['winner'] + 1}"
        return shown(place + marked)
    if row["accepted"] is None:
        return "measured"
    return shown(("accepted, not chosen" if row["accepted"] else f"refused: {row['refusal']}") + marked)
