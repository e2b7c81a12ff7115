"""The whole story of one row: where it was read, what was measured, where it ended and why, and its twins."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from infimed_data.decontaminate.grades import GRADES
from infimed_data.errors import QueryError
from infimed_data.stats.attempts import TOLD, attempts_at
from infimed_data.stats.builds import Build
from infimed_data.stats.sql import asking, rows
from infimed_data.stats.tables import aligned, shown

__all__ = ["why"]

MAX_TEXT = 600
"""Characters of a text that are shown."""
MAX_LISTED = 20
"""Images, messages and twins that are listed, and steps of a chain of twins that are followed."""
WIDTH = 110
LABEL = 12

_VERBS = {
    "ingest": "its adapter could not read it honestly",
    "filter": "a filter dropped it",
    "dedup": "it repeats another row",
    "phi": "it may say who somebody is; its texts are in the source alone",
    "decontaminate": "it matches a benchmark row",
    "difficulty": "it teaches the model to be trained nothing",
    "generate": "it has no trace of a teacher that was accepted",
    "mix": "no output drew it",
}
"""What a drop at each stage means."""

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) of its .+", re.DOTALL)
"""A value such as `0.87 of its word 5-grams with x/train/3`."""
_NUMBER = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?: [a-z]+)?")
"""A value or limit such as `20`, `0.5` or `12 px`."""

Fields = Mapping[str, Any]


def why(build: Build, uid: str) -> str:
    """The story of the row `uid` as text; raises `QueryError`, naming the closest uids, where there is no such row."""
    with asking(build) as connection:
        kept = rows(connection, "SELECT * FROM samples WHERE uid = $1", [uid])
        dropped = rows(connection, "SELECT * FROM drops WHERE uid = $1 ORDER BY stage, rule", [uid])
        if not kept and not dropped:
            benchmark = _benchmark_row(connection, build, uid)
            if benchmark is not None:
                sql = "SELECT uid, grade, evidence FROM leaks WHERE benchmark_uid = ..."
                raise QueryError(f"{shown(uid)} is a row of {benchmark[0]}; query: {sql}")
            raise QueryError(f"no row {shown(uid)[:200]!r} in {shown(str(build.path))}{_closest(connection, uid)}")
        parts = [_kept(connection, build, row) for row in kept] + [_dropped(connection, build, row) for row in dropped]
        parts.append(attempts_at(connection, build, uid))
        extra = _elsewhere(connection, build, uid)
    return "\n\n".join(["\n".join(part) for part in parts if part] + ([extra] if extra else []))


def _kept(connection: duckdb.DuckDBPyConnection, build: Build, row: Fields) -> list[str]:
    numbers = [
        _measure(row, "words", "words"),
        _measure(row, "text_tokens", "text tokens"),
        _measure(row, "image_tokens", "image tokens"),
        _measure(row, "question_chars", "characters of question"),
        _measure(row, "answer_chars", "of answer"),
        _measure(row, "rationale_chars", "of rationale"),
    ]
    return [
        f"{shown(row['uid'])}: kept, {_ends(row)}",
        *_read(connection, build, row),
        *_content(row),
        *_line("signals", ", ".join(filter(None, [*numbers, _labelled("script", row["script"])]))),
        *_images(connection, row["images"] or [], [], row["source"]),
        *_leaks(connection, build, row["uid"]),
        *_twins(connection, row["uid"]),
    ]


def _dropped(connection: duckdb.DuckDBPyConnection, build: Build, row: Fields) -> list[str]:
    stage, rule = _or_none(row["stage"]), _or_none(row["rule"])
    because = _VERBS.get(row["stage"] or "", f"the stage {stage} dropped it")
    numbers = [_measure(row, "words", "words"), _measure(row, "text_tokens", "text tokens")]
    return [
        f"{shown(row['uid'])}: dropped at {stage} by {rule}",
        *_line("why", f"{because}: {_against(row)}"),
        *_chain(connection, build, row),
        *_read(connection, build, row),
        *_content(row),
        *_line("signals", ", ".join(filter(None, [*numbers, _labelled("script", row["script"])]))),
        *_images(connection, row["images"] or [], row["image_refs"] or [], row["source"]),
        *_leaks(connection, build, row["uid"]),
        *_twins(connection, row["uid"]),
    ]


def _against(row: Fields) -> str:
    """The drop's rule, value and limit in words."""
    rule, value, limit = _or_none(row["rule"]), row["value"], row["limit"]
    if value is None and limit is None:
        return rule
    if value is None:
        return f"{rule}, limit {_quoted(limit)}"
    if limit is None:
        return f"{rule}, found {_quoted(value)}"
    share = _SHARE.fullmatch(value)
    numbers = share or _NUMBER.fullmatch(value), _NUMBER.fullmatch(limit)
    if row["stage"] == "decontaminate":
        return f"{rule}, {shown(value)}, where the limit is {shown(limit)}"
    if numbers[0] is None or numbers[1] is None:
        return f"{rule}, found {_quoted(value)} against the limit {_quoted(limit)}"
    found, allowed = float(numbers[0][1]), float(numbers[1][1])
    relation = "below" if found < allowed else "above" if found > allowed else "at"
    return f"{rule}, {shown(value) if share else _quoted(value)} is {relation} the limit {_quoted(limit)}"


def _ends(row: Fields) -> str:
    """The outputs, splits and positions of a kept row."""
    places = [
        f"in {output} {shown(row[f'{output}_split'])} at position {row[f'{output}_position']}"
        for output in ("sft", "rl")
        if row[f"{output}_split"] is not None
    ]
    return " and ".join(places) or "in no output"


def _fate(connection: duckdb.DuckDBPyConnection, uid: str) -> tuple[str, Fields | None]:
    """(what became of the row `uid`, its drop if it was dropped)."""
    found = rows(connection, "SELECT * FROM samples WHERE uid = $1", [uid])
    if found:
        return f"was kept, {_ends(found[0])}", None
    found = rows(connection, "SELECT * FROM drops WHERE uid = $1 ORDER BY stage, rule", [uid])
    if found:
        return f"was itself dropped at {_or_none(found[0]['stage'])} by {_against(found[0])}", found[0]
    return "is no row of this build's samples or drops; a benchmark's row is only matched against", None


def _chain(connection: duckdb.DuckDBPyConnection, build: Build, row: Fields) -> list[str]:
    """The drop's twin, and its twin's twin, to the row that was kept or the benchmark's row that is matched."""
    lines: list[str] = []
    seen = {row["uid"]}
    dropped: Fields | None = row
    while dropped is not None and dropped["twin"] is not None:
        twin = dropped["twin"]
        if twin in seen:
            lines += _line("twin", f"{shown(twin)} again: a circle")
            break
        if len(seen) > MAX_LISTED:
            lines += _line("twin", f"{shown(twin)} and on: over {MAX_LISTED} steps")
            break
        seen.add(twin)
        benchmark = _benchmark_row(connection, build, twin) if dropped["stage"] == "decontaminate" else None
        if benchmark is not None:
            return [*lines, *_line("twin", f"{shown(twin)} is a row of {benchmark[0]}"), *benchmark[1]]
        fate, dropped = _fate(connection, twin)
        lines += _line("twin", f"{shown(twin)} {fate}")
    return lines


def _benchmark_row(connection: duckdb.DuckDBPyConnection, build: Build, uid: str) -> tuple[str, list[str]] | None:
    """(the benchmark that the row `uid` is of, what it asks); None where it is a row of no benchmark."""
    if "benchmarks" not in build.files:
        return None
    found = rows(connection, "SELECT * FROM benchmarks WHERE uid = $1 LIMIT 1", [uid])
    if not found:
        return None
    row = found[0]
    asked = [
        *_line("it asks", row["question"]),
        *_line("its options", "; ".join(f"{chr(65 + i)}: {text}" for i, text in enumerate(row["options"] or []))),
        *_line("its images", ", ".join((row["images"] or [])[:MAX_LISTED])),
        *_line("its group", row["group"]),
    ]
    return f"the benchmark {_or_none(row['benchmark'])}, which is only matched against", asked


def _leaks(connection: duckdb.DuckDBPyConnection, build: Build, uid: str) -> list[str]:
    """The benchmark rows that the row matches, with the evidence and what was done about it."""
    if "leaks" not in build.files:
        return []
    found = rows(
        connection,
        """SELECT *, count(*) OVER () AS n FROM leaks WHERE uid = $1
           ORDER BY coalesce(nullif(list_position($3, grade), 0), 99), grade, benchmark, benchmark_uid LIMIT $2""",
        [uid, MAX_LISTED, list(GRADES)],
    )
    if not found:
        return []
    names = ["grade", "benchmark row", "action", "score", "evidence"] + ["mark"] * any(row["mark"] for row in found)
    body = [
        [
            *(_or_none(row[field]) for field in ("grade", "benchmark_uid", "action")),
            "" if row["score"] is None else f"{row['score']:.2f}",
            _or_none(row["evidence"]),
            shown(row["mark"] or ""),
        ][: len(names)]
        for row in found
    ]
    right = [name == "score" for name in names]
    table = aligned(names, body, right=right, caps=[16, 50, 8, 6, 70, 6][: len(names)])
    count = found[0]["n"]
    lines = [f"{'leaks':<{LABEL}}{count:,} match{'' if count == 1 else 'es'} with rows of benchmarks"]
    lines += [" " * LABEL + line for line in table.splitlines()]
    if count > len(found):
        lines.append(" " * LABEL + f"and {count - len(found):,} more")
    return lines


def _read(connection: duckdb.DuckDBPyConnection, build: Build, row: Fields) -> list[str]:
    """Where the row came from; a drop knows less than a sample, so its source fills in."""
    found = rows(
        connection,
        "SELECT * FROM sources WHERE source = $1 AND split IS NOT DISTINCT FROM $2 LIMIT 1",
        [row["source"], row["split"]],
    )
    source: Fields = found[0] if found else {}
    manifest = build.lock.get("manifest")
    asked = (manifest.get("sources") or {}).get(row["source"]) if isinstance(manifest, Mapping) else None
    location = asked.get("location") if isinstance(asked, Mapping) else None
    facts = [
        _labelled("adapter", source.get("adapter")),
        _labelled("revision", source.get("revision")),
        _labelled("location", location),
    ]
    about = [
        _labelled("category", row["category"] or source.get("category")),
        _labelled("license", row.get("license") or source.get("license")),
        _labelled("row key", row.get("row_key")),
        _labelled("group", row.get("group")),
    ]
    return [
        *_line("read from", f"{_or_none(row['source'])}, split {_or_none(row['split'])}"),
        *_line("file", _file(connection, build, row)),
        *_line("source", ", ".join(filter(None, facts))),
        *_line("about", ", ".join(filter(None, about))),
    ]


def _file(connection: duckdb.DuckDBPyConnection, build: Build, row: Fields) -> str | None:
    """File and position of the row; the table `origins` holds positions."""
    if "origins" in build.files:
        found = rows(connection, "SELECT file, row_number FROM origins WHERE uid = $1 LIMIT 1", [row["uid"]])
        if found and found[0]["row_number"] is not None:
            return f"{found[0]['file']}, row {found[0]['row_number']:,} counted from 0"
    return row.get("file")


def _content(row: Fields) -> list[str]:
    kind = row["answer_kind"]
    label = row.get("answer_label")
    answer = f"{label}: {row['answer']}" if label else row["answer"]
    turns = row.get("turns") or []
    fields = ("lang", "modality", "organ", "question_type", "task", "pass_rate")
    lines = [
        *_line("question", row["question"]),
        *_line("options", "; ".join(f"{chr(65 + i)}: {option}" for i, option in enumerate(row.get("options") or []))),
        *_line("answer", answer),
        *_line("answer kind", kind),
        *_line("rationale", row.get("rationale")),
    ]
    for index, turn in enumerate(turns[:MAX_LISTED]):
        lines += _line(f"turn {index}", f"{turn['role']}: {turn['content']}")
    if len(turns) > MAX_LISTED:
        lines += _line("turns", f"{len(turns) - MAX_LISTED:,} more")
    tags = (_labelled(field.replace("_", " "), row.get(field)) for field in fields)
    return [
        *lines,
        *_line("tags", ", ".join(filter(None, tags))),
        *_line("meta", row.get("meta") if row.get("meta") != "{}" else None),
        *_line("digest", row["digest"]),
    ]


def _images(
    connection: duckdb.DuckDBPyConnection, digests: Sequence[str], refs: Sequence[str], source: str | None
) -> list[str]:
    """Each image with its measurements, by digest; by reference where it has none because it could not be read."""
    lines: list[str] = []
    known = set()
    for digest in digests[:MAX_LISTED]:
        found = rows(connection, "SELECT * FROM images WHERE digest = $1 LIMIT 1", [digest])
        known |= {image["ref"] for image in found}
        lines += _line("image", f"{digest}: {_image(found[0])}" if found else f"{digest}: not in the table images")
    for ref in refs[:MAX_LISTED]:
        if ref in known:
            continue
        found = rows(
            connection, "SELECT * FROM images WHERE ref = $1 AND source IS NOT DISTINCT FROM $2 LIMIT 1", [ref, source]
        )
        told = _image(found[0]) if found and found[0]["digest"] not in digests else ""
        lines += _line("image ref", f"{ref}: {told}" if told else ref)
    more = max(len(digests), len(refs)) - MAX_LISTED
    return [*lines, *_line("images", f"{more:,} more")] if more > 0 else lines


def _image(image: Fields) -> str:
    if image["error"] is not None:
        return f"unreadable: {image['error']}"
    size = f"{image['width']} x {image['height']}" if image["width"] is not None else None
    hashed = f"phash {image['phash']:016x}" if image["phash"] is not None else None
    signals = [f"{name.replace('_', ' ')} {image[name]:.4g}" for name in _IMAGE_SIGNALS if image[name] is not None]
    facts = [
        size,
        image["mode"],
        image["format"],
        _measure(image, "bytes", "bytes"),
        hashed,
        *signals,
        f"first found in {image['source']} as {image['ref']}",
        _measure(image, "rows_read", "rows read with it"),
        _measure(image, "rows_kept", "kept"),
    ]
    return ", ".join(filter(None, facts))


_IMAGE_SIGNALS = ("mean", "contrast", "sharpness", "flat_share")


def _twins(connection: duckdb.DuckDBPyConnection, uid: str) -> list[str]:
    """Rows that were dropped because of this one."""
    found = rows(
        connection,
        "SELECT uid, stage, rule, value, count(*) OVER () AS n FROM drops WHERE twin = $1 ORDER BY uid LIMIT $2",
        [uid, MAX_LISTED],
    )
    if not found:
        return []
    count = found[0]["n"]
    body = [[_or_none(row[field]) for field in ("uid", "stage", "rule", "value")] for row in found]
    table = aligned(["uid", "stage", "rule", "value"], body, right=[False] * 4, caps=[60, 20, 30, 40])
    lines = [f"{'twins':<{LABEL}}{count:,} row{'' if count == 1 else 's'} dropped for this one"]
    lines += [" " * LABEL + line for line in table.splitlines()]
    if count > len(found):
        lines.append(" " * LABEL + f"and {count - len(found):,} more")
    return lines


def _elsewhere(connection: duckdb.DuckDBPyConnection, build: Build, uid: str) -> str:
    """How many rows further tables of the build, such as candidates, have about `uid`."""
    lines = []
    for table in build.tables:
        if table in TOLD:
            continue
        columns = [row["column_name"] for row in rows(connection, f"DESCRIBE {table}")]
        if "uid" not in columns:
            continue
        count = rows(connection, f"SELECT count(*) AS n FROM {table} WHERE uid = $1", [uid])[0]["n"]
        if count:
            plural = "" if count == 1 else "s"
            lines += _line(table, f"{count:,} row{plural}; query: SELECT * FROM {table} WHERE uid = ...")
    return "\n".join(lines)


def _closest(connection: duckdb.DuckDBPyConnection, uid: str) -> str:
    """`"; did you mean 'a', 'b'?"`: uids that end in what was given or differ from it by few characters."""
    given = uid[:200]
    found = rows(
        connection,
        """SELECT uid FROM (SELECT uid FROM samples UNION ALL SELECT uid FROM drops)
           WHERE uid IS NOT NULL AND (ends_with(uid, $2) OR (length(uid) < 300 AND levenshtein(uid, $1) <= $3))
           ORDER BY NOT ends_with(uid, $2), levenshtein(uid, $1), uid LIMIT 3""",
        [given, f"/{given}", max(2, len(given) // 4)],
    )
    if not found:
        return "; a uid is source/split/row-key, such as vqa_rad/train/1: SELECT uid FROM samples LIMIT 10"
    return f"; did you mean {', '.join(repr(shown(row['uid'])) for row in found)}?"


def _line(label: str, text: object) -> list[str]:
    """`label` and the text, escaped, cut and wrapped; no line where there is no text."""
    plain = "" if text is None else str(text)
    if not plain.strip():
        return []
    safe = shown(plain[:MAX_TEXT])
    if len(plain) > MAX_TEXT:
        safe += f"… ({len(plain):,} characters)"
    wrapped = textwrap.wrap(safe, WIDTH - LABEL, break_on_hyphens=False) or [""]
    return [f"{label if index == 0 else '':<{LABEL}}{part}" for index, part in enumerate(wrapped)]


def _labelled(label: str, value: object) -> str:
    return "" if value is None or value == "" else f"{label} {value}"


def _measure(row: Fields, field: str, unit: str) -> str:
    value = row[field]
    return "" if value is None else f"{value:,} {unit}"


def _quoted(value: str) -> str:
    """A number with or without its unit as it stands, a text in quotes."""
    return shown(value) if _NUMBER.fullmatch(value) else f"'{shown(value)}'"


def _or_none(value: str | None) -> str:
    return "(none)" if value is None else shown(str(value))
