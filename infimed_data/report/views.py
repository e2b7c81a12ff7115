"""What the page's template shows of a pair: every text made readable, cut and marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infimed_data.report.choice import MAX_OPTIONS, LeakedPair, Row, Text
from infimed_data.report.pictures import Picture, lie_of, same_shape
from infimed_data.report.shared_words import Shared, mark_shared, pieces
from infimed_data.report.wording import STAGES_IN_WORDS, evidence_in_words, fate_in_words, readable, wording

__all__ = ["action_in_words", "as_json", "benchmark_facts", "name_of", "names_of", "pair_view", "stratum_view"]

MAX_QUESTION_CHARS = 2400
MAX_OPTION_CHARS = 300
MAX_NAME_CHARS = 160
"""Characters that are shown of names: uids, groups, keys."""

Fields = Mapping[str, Any]

_ACTIONS = {"drop": "dropped", "report": "only reported"}


def as_json(value: object) -> str:
    """`value` as JSON in ASCII: what a script reads back exactly, whatever a browser makes of odd characters."""
    return json.dumps(value, ensure_ascii=True)


def names_of(groups: Iterable[Sequence[str]], first: Sequence[str] = ()) -> dict[str, int]:
    """A number for each distinct name: those of `first` in their order, then the others in the order of names."""
    names = {name for group in groups for name in group}
    ordered = [*(name for name in first if name in names), *sorted(names.difference(first))]
    return {name: number for number, name in enumerate(ordered)}


def stratum_view(row: Fields) -> dict[str, Any]:
    """A line of the table of counts."""
    names = {field: name_of(row[field] or "(none)") for field in ("source", "benchmark")}
    return {**row, **names, "grade": name_of(row["grade"] or "(none)"), "title": wording(row["grade"] or "").title}


def benchmark_facts(row: Fields) -> dict[str, Any]:
    """A line of the table of benchmarks."""
    return {**row, "benchmark": name_of(row["benchmark"] or "(none)")}


def pair_view(
    number: int,
    pair: LeakedPair,
    pictures: Mapping[str, Picture | str],
    facets: Mapping[str, Mapping[str, int]],
    right: bool | None,
) -> dict[str, Any]:
    """What the template shows of `pair`."""
    leak = pair.leak
    grade, evidence, limit = (leak[field] or "" for field in ("grade", "evidence", "limit"))
    found, needed = evidence_in_words(grade, evidence[:1000], limit[:200])
    texts = _texts(pair.row), _texts(pair.benchmark_row)
    marks = mark_shared(*texts)
    own: dict[str, Sequence[str]] = {
        "grade": pair.grades,
        "benchmark": pair.benchmarks,
        "source": pair.sources,
        "action": pair.actions,
    }
    return {
        "number": number,
        "mark": as_json({field: leak[field] for field in ("pair", "grade", "uid", "benchmark_uid")}),
        "earlier": "" if right is None else "right" if right else "wrong",
        "facets": {name: " ".join(str(facets[name][value]) for value in values) for name, values in own.items()},
        "title": wording(grade).title,
        "grade": name_of(grade),
        "other_grades": [wording(other).title for other in pair.grades if other != grade],
        "actions": [(action if action in _ACTIONS else "", action_in_words(action)) for action in pair.actions],
        "found": found,
        "needed": needed,
        "score": "" if leak["score"] is None else f"{leak['score']:.2f}",
        "scale": _scale(leak["score"], limit),
        "pair": name_of(leak["pair"]),
        "pictures": _pictures(pair, pictures),
        "sides": [
            _side(row, leak[uid], own_texts, own_marks)
            for row, uid, own_texts, own_marks in zip(
                (pair.row, pair.benchmark_row), ("uid", "benchmark_uid"), texts, marks, strict=True
            )
        ],
        "source": name_of(leak["source"] or "(none)"),
        "benchmark": name_of(leak["benchmark"] or "(none)"),
        "fate": fate_in_words(pair.ended),
        "kept": pair.ended is not None and pair.ended["stage"] is None and pair.ended["rule"] is None,
        "reach": _reach(pair),
    }


def action_in_words(action: str) -> str:
    """What was done about a leak."""
    return _ACTIONS.get(action) or readable(action or "(none)")


def name_of(text: str) -> str:
    """A name from data as it is shown: readable, in one line, cut where it is long."""
    plain = readable(text[: MAX_NAME_CHARS + 1]).replace("\n", "\\n")
    return plain if len(text) <= MAX_NAME_CHARS else f"{plain[:MAX_NAME_CHARS]}… ({len(text):,} characters)"


def _scale(score: float | None, limit: str) -> dict[str, float] | None:
    """Score and limit as places on a line from 0 to 100; None where they are not of one kind."""
    share = re.fullmatch(r"(\d+)% at this weight", limit)
    least = re.fullmatch(r"score (\d\.\d+|[01])", limit)
    needed = int(share[1]) / 100 if share else float(least[1]) if least else None
    if score is None or needed is None or not (0 <= score <= 1 and 0 <= needed <= 1):
        return None
    return {"score": round(100 * score, 1), "needed": round(100 * needed, 1)}


def _texts(row: Row | None) -> list[str]:
    if row is None:
        return []
    return [readable(row.question.text), *(readable(option.text) for option in row.options)]


def _side(row: Row | None, uid: str | None, texts: Sequence[str], marks: Sequence[Sequence[Shared]]) -> dict[str, Any]:
    """A row's texts, or what is known where the build has lost it."""
    named = {"uid": name_of(uid or "(none)"), "uid_json": as_json(uid)}
    if row is None:
        return {**named, "lost": True}
    return {
        **named,
        "lost": False,
        "question": _text(row.question, texts[0], marks[0], MAX_QUESTION_CHARS),
        "options": [
            _text(option, text, mark, MAX_OPTION_CHARS)
            for option, text, mark in zip(row.options, texts[1:], marks[1:], strict=True)
        ],
        "more_options": max(0, row.option_count - MAX_OPTIONS),
        "group": name_of(row.group) if row.group else "",
        "images": len(row.images),
    }


def _text(whole: Text, text: str, shared: Sequence[Shared], max_chars: int) -> dict[str, Any]:
    found, start = pieces(text, shared, max_chars=max_chars)
    shown_chars = sum(len(piece.text) for piece in found)
    cut = ""
    if start or shown_chars < len(text) or len(text) < whole.chars - 100:
        cut = f"characters {start + 1:,} to {start + shown_chars:,} of {whole.chars:,}"
    return {"pieces": found, "start": start, "cut": cut}


def _pictures(pair: LeakedPair, pictures: Mapping[str, Picture | str]) -> dict[str, Any] | None:
    """Both pictures and how one lies on the other; None where neither row has one."""
    leak = pair.leak
    compared = leak["image"] is not None and leak["benchmark_image"] is not None
    sides = []
    for row, digest in ((pair.row, leak["image"]), (pair.benchmark_row, leak["benchmark_image"])):
        images = row.images if row else ()
        sides.append(_picture(digest or next(iter(images), None), images, pictures))
    ours, theirs = (side["picture"] for side in sides)
    if not compared and not ours and not theirs:
        return None
    lie = lie_of(leak["evidence"] or "") if compared else lie_of("")
    cropped = compared and "crop" in (leak["evidence"] or "")
    equal = sides[0]["digest"] is not None and sides[0]["digest"] == sides[1]["digest"]
    fits = bool(ours and theirs) and same_shape(ours, theirs, lie)
    return {
        "compared": compared,
        "equal": equal,
        "ours": sides[0],
        "theirs": sides[1],
        "both": compared and bool(ours and theirs) and not equal,
        "lie": lie,
        "shape": f"s{ours.number}" if fits else "",
        "apart": "one is cropped" if cropped else "" if fits else "their shapes differ",
    }


def _picture(digest: str | None, images: Sequence[str], pictures: Mapping[str, Picture | str]) -> dict[str, Any]:
    found = None if digest is None else pictures.get(digest)
    place = images.index(digest) + 1 if digest in images else 0
    return {
        "digest": digest,
        "name": "" if digest is None else name_of(digest[:12]),
        "picture": found if isinstance(found, Picture) else None,
        "why": "This row has no picture." if digest is None else found if isinstance(found, str) else "",
        "place": f"picture {place} of {len(images)}" if place and len(images) > 1 else "",
    }


def _reach(pair: LeakedPair) -> dict[str, Any]:
    """How many rows share the pair, and a few of them."""
    return {
        "rows": pair.row_count,
        "benchmark_rows": pair.benchmark_row_count,
        "fates": [
            (STAGES_IN_WORDS.get(stage) or f"dropped at {readable(stage)}" if stage else "in no table", count)
            for stage, count in pair.fates.items()
        ],
        "listed": [(name_of(uid), as_json(uid), fate_in_words(row)) for uid, row in pair.listed],
        "listed_benchmark": [(name_of(uid), as_json(uid)) for uid in pair.listed_benchmark],
    }
