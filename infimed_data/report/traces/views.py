"""What the page's template shows of a sample and its traces: every text made readable, cut and marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infimed_data.report.pictures import Picture
from infimed_data.report.traces.choice import TracedSample
from infimed_data.report.traces.pieces import annotated, notes_of
from infimed_data.report.traces.wording import (
    DECISIONS_IN_WORDS,
    ENDED_IN_WORDS,
    GATES_IN_WORDS,
    ROLES_IN_WORDS,
    decision_of,
    ended_of,
    pattern_in_words,
    why,
)
from infimed_data.report.views import as_json, name_of
from infimed_data.report.wording import fate_in_words, readable
from infimed_data.schema import LABELS

__all__ = ["FACETS", "facets_of", "gold_of", "mark_of", "sample_view"]

MAX_QUESTION_CHARS = 2400
MAX_OPTION_CHARS = 300
MAX_PICTURES = 4
MAX_STEP_CHARS = 4000

Fields = Mapping[str, Any]

_BETWEEN_TAGS = re.compile(r"(?<=>)\s{0,20}\n\s{0,20}(?=<)")

FACETS = ("source", "kind", "strategy", "pattern", "outcome", "gate", "decision")
"""Names of the filters."""


def facets_of(sample: TracedSample, candidate: Fields) -> dict[str, tuple[str, ...]]:
    """A candidate's values for each of `FACETS`."""
    row = sample.row or {}
    gates = {finding["gate"] or "" for finding in candidate["gates"] or ()}
    return {
        "source": (row.get("source") or "",),
        "kind": (row.get("answer_kind") or "",),
        "strategy": (candidate["strategy"] or "",),
        "pattern": tuple(sorted(set((candidate["pattern"] or "").split("+")))),
        "outcome": (ended_of(candidate),),
        "gate": tuple(sorted(gates)) or ("",),
        "decision": (decision_of(candidate),),
    }


def mark_of(candidate: Fields) -> str:
    """What a mark records of a candidate, as JSON."""
    named = {"candidate": candidate["key"]}
    return as_json({**named, **{field: candidate[field] for field in ("uid", "strategy", "attempt")}})


def gold_of(row: Fields | None) -> str:
    """The gold answer with its letter, where it has one."""
    if row is None:
        return ""
    label = row["answer_label"] or _label(row)
    return f"{label}. {row['answer']}" if label else row["answer"] or ""


def sample_view(
    number: int,
    first: int,
    sample: TracedSample,
    pictures: Mapping[str, Picture | str],
    numbers: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """What the template shows of `sample`; its traces are numbered from `first`."""
    row, generated = sample.row, sample.generated
    return {
        "number": number,
        "uid": name_of(sample.uid),
        "uid_json": as_json(sample.uid),
        "lost": row is None,
        "kind": readable((row or {}).get("answer_kind") or ""),
        "source": name_of((row or {}).get("source") or "(none)"),
        "question": _question(row),
        "options": _options(row),
        "more_options": max(0, ((row or {}).get("option_count") or 0) - len((row or {}).get("options") or ())),
        "gold": readable(gold_of(row))[:MAX_OPTION_CHARS],
        "pictures": [_picture(digest, pictures) for digest in _images(sample)[:MAX_PICTURES]],
        "more_pictures": max(0, len(_images(sample)) - MAX_PICTURES),
        "fate": fate_in_words(sample.ended),
        "is_kept": generated and bool(generated["kept"]),
        "rule": _rule(generated),
        "pass_rate": _pass_rate(generated),
        "traces": [
            _trace(first + place, sample, candidate, numbers) for place, candidate in enumerate(sample.candidates)
        ],
    }


def _trace(
    number: int, sample: TracedSample, candidate: Fields, numbers: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    text = candidate["text"] or ""
    pieces, left_out = annotated(text, notes_of(candidate, sample.row))
    outcome, decision = ended_of(candidate), decision_of(candidate)
    facets = facets_of(sample, candidate)
    return {
        "number": number,
        "mark": mark_of(candidate),
        "earlier": candidate["mark"] if candidate["mark"] in ("good", "bad") else "",
        "facets": {name: " ".join(str(numbers[name][value]) for value in values) for name, values in facets.items()},
        "attempt": candidate["attempt"],
        "round": candidate["round"],
        "decision": decision,
        "decided": DECISIONS_IN_WORDS[decision],
        "outcome": outcome if outcome in ENDED_IN_WORDS else "",
        "ended": ENDED_IN_WORDS.get(outcome) or readable(outcome),
        "strategy": readable(candidate["strategy"] or ""),
        "patterns": [pattern_in_words(name) for name in (candidate["pattern"] or "").split("+") if name],
        "why": why(candidate, sample.generated, gold_of(sample.row)),
        "reason": readable(candidate["reason"] or ""),
        "extracted": readable((candidate["extracted"] or "")[:MAX_OPTION_CHARS]),
        "findings": [_finding(finding) for finding in candidate["gates"] or ()],
        "pieces": [
            (
                piece.text,
                " ".join(piece.kinds),
                [(note.kind, _label_of(note.kind, note.label)) for note in piece.begins],
            )
            for piece in pieces
        ],
        "left_out": left_out,
        "facts": _facts(candidate),
        "wrong_turns": [readable(turn[:MAX_OPTION_CHARS]) for turn in candidate["wrong_turns"] or ()],
        "steps": [_step(step, text) for step in candidate["steps"] or ()],
        "key": name_of(candidate["key"] or ""),
    }


def _label(row: Fields) -> str | None:
    """The letter of the option that is the answer, where exactly one is."""
    found = [at for at, option in enumerate(row["options"] or ()) if option == row["answer"]]
    return LABELS[found[0]] if len(found) == 1 and found[0] < len(LABELS) else None


def _images(sample: TracedSample) -> Sequence[str]:
    return (sample.row or {}).get("images") or ()


def _question(row: Fields | None) -> dict[str, Any]:
    question = (row or {}).get("question") or ""
    text = readable(question)[:MAX_QUESTION_CHARS]
    whole = (row or {}).get("question_chars") or 0
    return {"text": text, "cut": f"{whole:,} characters in all" if whole > MAX_QUESTION_CHARS else ""}


def _options(row: Fields | None) -> list[tuple[str, bool]]:
    """(text, whether it is the gold answer) of each option."""
    if row is None:
        return []
    labels = (row["answer_label"] or _label(row) or "").split(",")
    return [
        (readable(option[:MAX_OPTION_CHARS]), LABELS[at] in labels if at < len(LABELS) else False)
        for at, option in enumerate(row["options"] or ())
    ]


def _picture(digest: str, pictures: Mapping[str, Picture | str]) -> dict[str, Any]:
    found = pictures.get(digest)
    return {
        "picture": found if isinstance(found, Picture) else None,
        "why": found if isinstance(found, str) else "",
        "name": name_of(digest[:12]),
    }


def _rule(generated: Fields | None) -> str:
    if generated is None or generated["kept"]:
        return ""
    return f"{readable(generated['rule'] or '(none)')}: {readable((generated['value'] or '')[:MAX_OPTION_CHARS])}"


def _pass_rate(generated: Fields | None) -> dict[str, Any] | None:
    """The trials of the first round; None where there is nothing to tell."""
    if generated is None:
        return None
    counts = {name: generated[name] or 0 for name in ("correct", "wrong", "truncated", "unverifiable", "failed")}
    told = counts["correct"] + counts["wrong"] + counts["truncated"]
    rate = generated["pass_rate"]
    return {"right": counts["correct"], "told": told, "rate": "" if rate is None else f"{rate:.0%}"}


def _finding(finding: Fields) -> dict[str, str]:
    gate = finding["gate"] or ""
    return {
        "gate": readable(gate),
        "means": GATES_IN_WORDS.get(gate, ""),
        "reason": readable((finding["reason"] or "")[:MAX_OPTION_CHARS]),
        "span": readable((finding["span"] or "")[:MAX_OPTION_CHARS]).replace("\n", " "),
    }


def _label_of(kind: str, label: str) -> str:
    return pattern_in_words(label) if kind == "reflects" else readable(label).replace("_", " ")


def _facts(candidate: Fields) -> list[str]:
    facts = [f"{candidate['prompt_tokens'] or 0:,} + {candidate['completion_tokens'] or 0:,} tokens"]
    if candidate["latency_s"] is not None:
        facts.append(f"{candidate['latency_s']:.1f} s")
    if candidate["answer_entropy"] is not None:
        facts.append(f"entropy {candidate['answer_entropy']:.3f}")
    requests = len(candidate["steps"] or ())
    return [*facts, f"{requests} requests"] if requests > 1 else facts


def _step(step: Fields, shown: str) -> dict[str, Any]:
    """A request; `shown` is the text that stands above all of them."""
    text, outcome = step["text"] or "", ended_of(step)
    return {
        "role": ROLES_IN_WORDS.get(step["role"] or "") or readable(step["role"] or "(none)"),
        "is_told": bool(step["gold_revealed"]),
        "pattern": pattern_in_words(step["pattern"]) if step["pattern"] else "",
        "model": name_of(step["model"] or ""),
        "prompt": name_of(step["prompt"] or ""),
        "outcome": outcome if outcome in ENDED_IN_WORDS else "",
        "ended": ENDED_IN_WORDS.get(outcome) or readable(outcome),
        "reason": readable(step["reason"] or ""),
        "extracted": readable((step["extracted"] or "")[:MAX_OPTION_CHARS]),
        "error": readable((step["error"] or "")[:MAX_OPTION_CHARS]),
        "facts": _facts({**step, "steps": ()}),
        "masked": [readable(part[:MAX_OPTION_CHARS]) for part in step["masked"] or ()],
        "is_above": bool(text) and text == shown,
        "text": _BETWEEN_TAGS.sub("\n", readable(text[:MAX_STEP_CHARS])),
        "left_out": max(0, len(text) - MAX_STEP_CHARS),
    }
