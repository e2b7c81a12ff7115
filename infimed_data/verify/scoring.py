"""The verifier held against labelled cases: JSON lines that say what the verdict should be.

    {"id": "nu-1", "kind": "number", "lang": "en", "question": "How long is it?", "options": [], "answer": "2.5 cm",
     "answer_label": null, "completion": "<answer>25 mm</answer>", "expected": "correct", "why": "Converted."}

`why` is for readers and may be left out; so may `lang`. Further fields are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from infimed_data.errors import VerifyError, did_you_mean
from infimed_data.verify.verdict import LABELS, OUTCOMES, Gold, Outcome, Verdict, labels_of
from infimed_data.verify.verifier import KINDS, verify

__all__ = ["Case", "Score", "load_cases", "score_cases"]

_WITH_OPTIONS = ("choice", "multi_choice")


class Case(NamedTuple):
    """One labelled case."""

    id: str
    gold: Gold
    completion: str
    expected: Outcome


class Score(NamedTuple):
    """How the verifier did on a file of cases."""

    counts: dict[tuple[str, Outcome, Outcome], int]
    """Cases by kind, expected outcome and the outcome that the verifier gave."""
    disagreements: tuple[tuple[Case, Verdict], ...]
    """Every case whose verdict is not the expected one, in order."""

    @property
    def total(self) -> int:
        """All cases."""
        return sum(self.counts.values())


def score_cases(path: Path, *, rel_tol: float = 0.0) -> Score:
    """What the verifier says of each case in the file at `path`. Raises `VerifyError` as `load_cases` does."""
    counts: dict[tuple[str, Outcome, Outcome], int] = {}
    disagreements = []
    for case in load_cases(path):
        verdict = verify(case.gold, case.completion, rel_tol=rel_tol)
        entry = (case.gold.answer_kind, case.expected, verdict.outcome)
        counts[entry] = counts.get(entry, 0) + 1
        if verdict.outcome != case.expected:
            disagreements.append((case, verdict))
    return Score(counts, tuple(disagreements))


def load_cases(path: Path) -> Iterator[Case]:
    """The cases of the file at `path`, in order; blank lines are skipped.

    Raises `VerifyError`, naming file and line, for a file that cannot be read or holds no case, and for a line that is
    not a case: what was given, and what is allowed.
    """
    number = None
    try:
        with path.open("rb") as file:
            for line, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
                if text.strip():
                    number = line
                    yield _case(f"{path}:{line}", text)
    except OSError as error:
        raise VerifyError(f"{path}: {error.strerror}; expected a file of cases, one JSON object a line") from error
    except UnicodeDecodeError as error:
        raise VerifyError(f"{path}:{line}: not UTF-8 ({error.reason} at byte {error.start} of the line)") from error
    if number is None:
        raise VerifyError(f"{path}: no cases; expected one JSON object a line")


def _case(where: str, text: str) -> Case:
    try:
        row = json.loads(text.strip())
    except (json.JSONDecodeError, RecursionError) as error:
        detail = (
            f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
        )
        raise VerifyError(f"{where}: not JSON ({detail}); expected one object a line") from error
    if not isinstance(row, dict):
        raise VerifyError(
            f"{where}: {_given(row)}; expected an object with id, kind, question, answer, completion, ..."
        )
    kind = _chosen(where, row, "kind", tuple(KINDS))
    expected = cast(Outcome, _chosen(where, row, "expected", OUTCOMES))
    options = _options(where, row, kind)
    label = row.get("answer_label")
    if kind in _WITH_OPTIONS:
        label = _label(where, row, kind, len(options))
    elif label is not None:
        raise VerifyError(f"{where}: answer_label: {_given(label)}; expected null for the kind {kind}")
    gold = Gold(
        question=_text(where, row, "question"),
        options=options,
        answer=_text(where, row, "answer"),
        answer_label=label,
        answer_kind=kind,
        lang=_text(where, row, "lang") if "lang" in row else "en",
    )
    return Case(_text(where, row, "id"), gold, _text(where, row, "completion"), expected)


def _text(where: str, row: dict[str, Any], field: str) -> str:
    if field not in row:
        raise VerifyError(f"{where}: no {field}; expected a text{did_you_mean(field, row)}")
    value = row[field]
    if not isinstance(value, str):
        raise VerifyError(f"{where}: {field}: {_given(value)}; expected a text")
    return value


def _chosen(where: str, row: dict[str, Any], field: str, allowed: tuple[str, ...]) -> str:
    value = _text(where, row, field)
    if value not in allowed:
        raise VerifyError(
            f"{where}: {field}: {_given(value)}; allowed: {', '.join(allowed)}{did_you_mean(value, allowed)}"
        )
    return value


def _options(where: str, row: dict[str, Any], kind: str) -> tuple[str, ...]:
    value = row.get("options", [])
    if not isinstance(value, list) or not all(isinstance(option, str) for option in value):
        raise VerifyError(f"{where}: options: {_given(value)}; expected a list of texts")
    least, most = (2, len(LABELS)) if kind in _WITH_OPTIONS else (0, 0)
    if not least <= len(value) <= most:
        allowed = f"{least} to {most}" if most else "none"
        raise VerifyError(f"{where}: options: {len(value)} given; allowed for the kind {kind}: {allowed}")
    return tuple(value)


def _label(where: str, row: dict[str, Any], kind: str, count: int) -> str:
    label = _text(where, row, "answer_label")
    at = labels_of(label)
    if not at or max(at) >= count or (kind == "choice" and len(at) > 1):
        letters = f"{LABELS[0]} to {LABELS[count - 1]}"
        allowed = f"one letter from {letters}" if kind == "choice" else f"letters from {letters} joined by commas"
        raise VerifyError(f"{where}: answer_label: {_given(label)}; expected {allowed}")
    return label


def _given(value: object) -> str:
    """`value` in a message: short, on one line."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
