"""Many variants of one dataset, built one after the other from shared stages, and one table of what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from infimed_data.errors import InfimedError, ManifestError
from infimed_data.manifest import load_manifest
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions
from infimed_data.schema import CATEGORIES
from infimed_data.stats import Build, changes, open_build, query
from infimed_data.stats.locks import causes
from infimed_data.stats.tables import aligned, shown

__all__ = ["Swept", "as_text", "compared", "explained", "sweep"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Swept:
    """One variant."""

    name: str
    """The manifest's name; with its file where several have one name."""
    manifest: Path
    build: Build | None
    """None: it could not be built."""
    error: str | None = None


def sweep(manifests: Sequence[Path], options: BuildOptions, say: Say) -> list[Swept]:
    """Builds every manifest with one folder of stages, so that what they share is computed once.

    All are read before any is built: raises `ManifestError` with the problems of all. A variant that fails later is
    named with its error, and the others are built.
    """
    problems: list[str] = []
    names: list[str] = []
    given: dict[Path, Path] = {}
    for path in manifests:
        if path.resolve() in given:
            problems.append(f"{path}: given twice (as {given[path.resolve()]}); allowed: each manifest once")
        given[path.resolve()] = path
        try:
            names.append(load_manifest(path)[0].name)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(dict.fromkeys(problems))
    swept: list[Swept] = []
    for number, (path, name) in enumerate(zip(manifests, names, strict=True), 1):
        label = f"{name} ({path.name})" if names.count(name) > 1 else name
        say(f"[{number}/{len(manifests)}] {label}")
        try:
            swept.append(Swept(label, path, open_build(build(path, options, say))))
        except InfimedError as error:
            for line in str(error).splitlines():
                say(f"error: {line}")
            swept.append(Swept(label, path, None, str(error).splitlines()[0]))
    return swept


_COUNTS = ", ".join(
    [
        f"count(*) FILTER (WHERE {output}_split IS NOT NULL AND category = '{category}')::BIGINT AS {output}_{category}"
        for output in ("sft", "rl")
        for category in CATEGORIES
    ]
)
_MEASURES = f"""SELECT
  count(*) FILTER (WHERE sft_split IS NOT NULL)::BIGINT AS sft,
  count(*) FILTER (WHERE rl_split IS NOT NULL)::BIGINT AS rl,
  {_COUNTS},
  round(avg((rationale_chars > 0)::INT) FILTER (WHERE sft_split IS NOT NULL), 3) AS sft_reasoned,
  round(avg(text_tokens) FILTER (WHERE sft_split IS NOT NULL), 1) AS sft_tokens,
  round(avg(text_tokens) FILTER (WHERE rl_split IS NOT NULL), 1) AS rl_tokens,
  round(avg(pass_rate) FILTER (WHERE rl_split IS NOT NULL), 3) AS rl_pass_rate
FROM samples"""


def measures(built: Build) -> dict[str, Any]:
    """What is counted of one build: rows by output and category, the share with reasoning, mean tokens, drops."""
    [row] = query(built, _MEASURES).to_pylist()
    found: dict[str, Any] = dict(row)
    for stage, rules in built.lock.get("drops", {}).items():
        found[f"dropped_{stage}"] = sum(rules.values())
    generated = [of for name, of in built.lock.get("generate", {}).items() if name != "difficulty"]
    if generated:
        found["candidates"] = sum(of["candidates"] for of in generated)
        found["accepted"] = sum(of["accepted"] for of in generated)
    return found


def compared(swept: Sequence[Swept]) -> pa.Table:
    """A row a variant: its build, the measures that are not the same in all, and the kept rows that it does not share
    with the first (`rows_changed`: other rows, other outputs, other contents)."""
    first = next((one.build for one in swept if one.build is not None), None)
    rows: list[dict[str, Any]] = []
    for one in swept:
        row: dict[str, Any] = {"variant": one.name, "build": None if one.build is None else one.build.lock["build"]}
        if one.build is not None and first is not None:
            row |= measures(one.build)
            kept = {"added", "removed", "now kept", "now dropped", "other output", "other content"}
            found = [] if one.build is first else changes(first, one.build).select(["uid", "change"]).to_pylist()
            row["rows_changed"] = len({change["uid"] for change in found if change["change"] in kept})
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    built = [row for row in rows if row["build"] is not None]
    always = ("variant", "build", "sft", "rl", "rows_changed")
    kept_names = [n for n in names if n in always or len({row.get(n) for row in built}) > 1]
    return pa.table({name: [row.get(name) for row in rows] for name in kept_names})


def explained(swept: Sequence[Swept]) -> pa.Table:
    """variant, what, first and here: what the lock of each variant says otherwise than that of the first."""
    built = [one for one in swept if one.build is not None]
    rows: list[tuple[str, str, str, str]] = []
    for one in built[1:]:
        assert one.build is not None and built[0].build is not None
        rows += [
            (one.name, f"{cause.kind} {cause.name}", cause.a, cause.b)
            for cause in causes(built[0].build.lock, one.build.lock)
            if cause.name != "name"
        ]
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    names = ("variant", "what", "first", "here")
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def as_text(swept: Sequence[Swept]) -> str:
    """One table with a column a variant and a row a measure, then what the locks say otherwise."""
    rows = compared(swept).to_pylist()
    body = [
        [name.replace("_", " "), *(_cell(row[name], one) for row, one in zip(rows, swept, strict=True))]
        for name in (rows[0] if rows else ())
        if name != "variant"
    ]
    head = ["", *(shown(one.name) for one in swept)]
    lines = [aligned(head, body, right=[False, *(True for _ in swept)])]
    lines += [f"{shown(one.name)}: failed: {shown(one.error)}" for one in swept if one.error is not None]
    found = explained(swept)
    if found.num_rows:
        body = [list(map(str, row.values())) for row in found.to_pylist()]
        lines += ["", "What the locks say otherwise than the first"]
        lines.append(aligned(found.column_names, body, right=[False] * 4))
    return "\n".join(lines)


def _cell(value: object, one: Swept) -> str:
    if one.build is None:
        return "failed"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
