"""What in two locks can explain that their builds differ: manifests, inputs, versions, code, marks, teachers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from infimed_data.stats.tables import shown

__all__ = ["Cause", "causes"]

MAX_VALUE = 60
"""Characters of a value that are shown."""
MAX_FILES = 3
"""Files of one source that are named."""


class Cause(NamedTuple):
    """One thing that two locks say differently."""

    kind: str
    """`manifest`, `input`, `version`, `code`, `marks` or `teachers`."""
    name: str
    a: str
    b: str


def causes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Cause]:
    """What differs between two locks and can change a build, in the order in which a build meets it."""
    found = [Cause("manifest", name, _value(old), _value(new)) for name, old, new in _differing(*_manifests(a, b))]
    found += _inputs(a, b)
    found += [
        Cause("version", n, _value(x), _value(y)) for n, x, y in _differing(_of(a, "versions"), _of(b, "versions"))
    ]
    found += _code(a, b)
    for section in ("review", "candidate_review"):
        if _of(a, section) != _of(b, section):
            found.append(Cause("marks", section, f"{_marks(a, section):,} marks", f"{_marks(b, section):,} marks"))
    return [*found, *_teachers(a, b)]


_MISSING = object()


def _manifests(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Both manifests without what a run may spend, which changes no row."""
    first, second = ({k: v for k, v in _of(lock, "manifest").items() if k != "budget"} for lock in (a, b))
    return first, second


def _of(lock: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    found = lock.get(section)
    return found if isinstance(found, Mapping) else {}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) of every key that differs; a section that only one side has is one key."""
    for key in dict.fromkeys((*a, *b)):
        old, new = a.get(key, _MISSING), b.get(key, _MISSING)
        name = f"{above}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{name}.")
        elif old != new:
            yield name, old, new


def _value(value: Any) -> str:
    """A value in one short line, as a manifest writes it."""
    text = shown(_written(value))
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _written(value: Any) -> str:
    if value is _MISSING:
        return "(not there)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        set_ = ((key, item) for key, item in value.items() if item not in (None, {}, []))
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in set_) + "}"
    return f"[{', '.join(map(_written, value))}]" if isinstance(value, list) else str(value)


def _inputs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Cause]:
    """Sources whose files or pictures have other bytes; those that one manifest lacks are named there already."""
    first, second = _of(a, "inputs"), _of(b, "inputs")
    for name in first:
        if name not in second or first[name] == second[name]:
            continue
        old, new = first[name], second[name]
        files = [file for file, _, _ in _files(old, new)]
        for file, was, now in _files(old, new)[:MAX_FILES]:
            yield Cause("input", f"{name} {shown(file)}", _value(was), _value(now))
        if len(files) > MAX_FILES:
            yield Cause("input", f"{name} and {len(files) - MAX_FILES:,} more files", "", "")
        if old.get("images") != new.get("images"):
            counts = [f"{side.get('image_count', 0):,} pictures {str(side.get('images'))[:12]}" for side in (old, new)]
            yield Cause("input", f"{name} pictures", *counts)


def _files(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    old, new = a.get("files") or {}, b.get("files") or {}
    names = sorted({*old, *new})
    return [(n, old.get(n, _MISSING), new.get(n, _MISSING)) for n in names if old.get(n) != new.get(n)]


def _code(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Cause]:
    """Sources that the same manifest reads from the same files, and whose rows were read by other code."""
    first, second = _of(a, "stages"), _of(b, "stages")
    for name in first:
        source = name.partition("/")[0]
        same = _of(a, "inputs").get(name) == _of(b, "inputs").get(name) and all(
            _of(_of(a, "manifest"), section).get(source) == _of(_of(b, "manifest"), section).get(source)
            for section in ("sources", "benchmarks")
        )
        if name not in second or not same:
            continue
        for stage in ("ingest", "texts"):
            was, now = first[name].get(stage), second[name].get(stage)
            if was != now:
                yield Cause("code", f"{stage} of {name}", str(was)[:12], str(now)[:12])
                break  # what follows is made of it


def _marks(lock: Mapping[str, Any], section: str) -> int:
    marks = _of(lock, section)
    return sum(len(item) if isinstance(item, Mapping) else 1 for item in marks.values())


def _teachers(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Cause]:
    """Passes that both builds have, and that came to another number of candidates."""
    first, second = _of(a, "generate"), _of(b, "generate")
    for name in first:
        if name not in second:
            continue
        was, now = (
            {key: side[name].get(key) for key in ("rows", "candidates", "accepted")} for side in (first, second)
        )
        if was != now:
            yield Cause("teachers", name, *(", ".join(f"{n} {key}" for key, n in side.items()) for side in (was, now)))
