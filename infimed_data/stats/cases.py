"""How the verifier did on labelled cases, as text for a terminal."""

from __future__ import annotations

from infimed_data.stats.tables import aligned, shown
from infimed_data.verify import KINDS, OUTCOMES
from infimed_data.verify.scoring import Case, Score
from infimed_data.verify.verdict import Verdict

__all__ = ["scored"]

MAX_CELL = 40
"""Terminal columns of a question, gold or extracted answer."""


def scored(score: Score) -> str:
    """The confusion table by kind, every disagreement, and a line that counts both."""
    rows = []
    for kind in KINDS:
        for expected in OUTCOMES:
            given = [score.counts.get((kind, expected, outcome), 0) for outcome in OUTCOMES]  # type: ignore[arg-type]
            if any(given):
                rows.append((kind, expected, *(f"{count:,}" for count in given)))
    names = ("kind", "expected", *(f"got {outcome}" for outcome in OUTCOMES))
    parts = [aligned(names, rows, right=[False, False, *(True for _ in OUTCOMES)])]
    if score.disagreements:
        names = ("id", "kind", "question", "gold", "extracted", "expected", "got", "reason")
        lines = [_line(case, verdict) for case, verdict in score.disagreements]
        caps = [MAX_CELL] * len(names)
        parts.append("Disagreements\n" + aligned(names, lines, right=[False] * len(names), caps=caps))
    agree = score.total - len(score.disagreements)
    parts.append(f"{score.total:,} case{'' if score.total == 1 else 's'}, {agree:,} agree")
    return "\n\n".join(parts)


def _line(case: Case, verdict: Verdict) -> tuple[str, ...]:
    gold = case.gold.answer if case.gold.answer_label is None else f"{case.gold.answer_label}: {case.gold.answer}"
    cells = (case.id, case.gold.answer_kind, case.gold.question, gold, verdict.extracted or "-")
    return (*(shown(cell[:200]) for cell in cells), case.expected, verdict.outcome, verdict.reason)
