"""The files and folders that a manifest names, and the same manifest without what it tells of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import PurePath
from typing import Any

__all__ = ["paths_in", "portable"]

ELSEWHERE = "http://127.0.0.1:8000/v1"
"""What stands for the address of a teacher's server."""


def paths_in(plain: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """(mapping, key, name of what it belongs to) of every file and folder in a manifest's plain data."""
    for section in ("sources", "benchmarks"):
        for name, reads in plain[section].items():
            if "://" not in reads["location"]:
                yield reads, "location", name
    for name, teacher in plain["teachers"].items():
        if teacher["file"] is not None:
            yield teacher, "file", name
    for name, settings in (("decontaminate", plain["decontaminate"]), *plain["generate"].items()):
        if settings["review"] is not None:
            yield settings, "review", name


def portable(plain: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A manifest's plain data with names relative to its root for what lies elsewhere on a machine, and without the
    addresses of servers; and what was put for what. A folder keeps its own name, below that of its source where two
    folders have one name. None of it counts for a build's digest."""
    own = deepcopy(dict(plain))
    elsewhere = [
        (holder, key, name, path)
        for holder, key, name in paths_in(own)
        if (path := PurePath(holder[key])).is_absolute() or ".." in path.parts
    ]
    named: dict[str, set[str]] = {}
    for _, _, _, path in elsewhere:
        named.setdefault(path.name, set()).add(str(path))
    taken = {str(PurePath(holder[key])) for holder, key, _ in paths_in(own)}
    put: dict[str, str] = {}
    for holder, key, name, path in elsewhere:
        given = holder[key]
        alone = path.name not in ("", "..") and len(named[path.name]) == 1 and path.name not in taken
        holder[key] = put[given] = put.get(given) or (path.name if alone else f"{name}/{path.name}".rstrip("/."))
    for teacher in own["teachers"].values():
        if teacher["base_url"] is not None:
            put[teacher["base_url"]] = teacher["base_url"] = ELSEWHERE
    return own, put
