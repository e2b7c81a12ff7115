"""The numbers of a build, as plain text: every one is counted by SQL over its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb

from infimed_data.decontaminate.grades import GRADES
from infimed_data.stats.attempts import passes
from infimed_data.stats.builds import Build
from infimed_data.stats.sql import asking, rows
from infimed_data.stats.tables import aligned, bar, cut, shown, text_width

__all__ = ["stats"]

STAGES = ("ingest", "filter", "phi", "dedup", "decontaminate", "difficulty", "generate", "mix")
"""Order in which drops are shown; stages not named here come last."""
MOST_VALUES = 12
"""Values of a field that get a line of their own."""
MIN_SIDE_PX = 28
"""Qwen2.5-VL's patch: buckets of image sides are this times a power of two."""


def stats(build: Build, *, width: int = 100) -> str:
    """The build's numbers as text in lines of at most `width`: sources, drops, outputs, what kept rows are made of."""
    with asking(build) as connection:
        sections = [
            _head(connection, build),
            _sources(connection),
            _drops(connection, width),
            *_benchmarks(connection, build),
            *passes(build, width),
            *_outputs(connection, build, width),
            *(_values(connection, title, column, width) for title, column in _FIELDS.items()),
            _tokens(connection, "text_tokens", "Text tokens of kept rows", width),
            _tokens(connection, "image_tokens", "Image tokens of kept rows", width),
            _images(connection, width),
        ]
    lines = "\n\n".join(sections).splitlines()
    return "\n".join(cut(line, width) for line in lines)


_FIELDS = {
    "Answer kinds": "answer_kind",
    "Categories": "category",
    "Modalities": "modality",
    "Languages": "lang",
}


def _head(connection: duckdb.DuckDBPyConnection, build: Build) -> str:
    kept, dropped = _one(connection, "SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM drops)")
    return f"{shown(build.label)}\n{kept:,} rows kept, {dropped:,} dropped, of {kept + dropped:,} read"


def _sources(connection: duckdb.DuckDBPyConnection) -> str:
    found = rows(
        connection,
        """SELECT coalesce(source, '') || '/' || coalesce(split, '') AS name, sum(rows_read)::BIGINT AS read,
             sum(rejected)::BIGINT AS rejected, sum(dropped)::BIGINT AS dropped, sum(kept)::BIGINT AS kept,
             grouping(source) AS is_total
           FROM sources GROUP BY GROUPING SETS ((source, split), ()) ORDER BY is_total, name""",
    )
    if len(found) == 2:
        found.pop()
    counts = ("read", "rejected", "dropped", "kept")
    body = [
        [
            "all" if row["is_total"] else shown(row["name"]),
            *(f"{row[count] or 0:,}" for count in counts),
            _percent(row["kept"], row["read"]),
        ]
        for row in found
    ]
    return "Sources\n" + aligned(["source", *counts, "share kept"], body, right=[False] + [True] * 5)


def _drops(connection: duckdb.DuckDBPyConnection, width: int) -> str:
    found = rows(
        connection,
        """WITH read AS (SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM drops) AS total)
           SELECT stage, rule, count(*) AS n, count(*) / any_value(total) AS share, min(uid) AS example
           FROM drops, read GROUP BY stage, rule
           ORDER BY coalesce(list_position($1, stage), 99), stage, n DESC, rule""",
        [list(STAGES)],
    )
    body = [
        [_named(row["stage"]), _named(row["rule"]), f"{row['n']:,}", f"{row['share']:.1%}", _named(row["example"])]
        for row in found
    ]
    if not body:
        return "Drops\nnone"
    head = ["stage", "rule", "rows", "of read", "such as"]
    return "Drops\n" + aligned(head, body, right=[False, False, True, True, False], caps=[24, 36, 15, 8, width])


def _benchmarks(connection: duckdb.DuckDBPyConnection, build: Build) -> list[str]:
    """Each benchmark's rows, and the rows that leak it by grade; nothing where the build was compared with none."""
    listed = [row for row in build.lock.get("benchmarks") or () if isinstance(row, Mapping)]
    sizes = {str(row.get("benchmark")): row.get("rows") for row in listed}
    leaks: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
    found = (
        rows(
            connection,
            """SELECT coalesce(benchmark, '(none)') AS name, grade, count(*) FILTER (action = 'drop') AS dropped,
                 count(*) FILTER (action IS DISTINCT FROM 'drop') AS reported
               FROM leaks GROUP BY name, grade
               ORDER BY name, coalesce(nullif(list_position($1, grade), 0), 99), grade""",
            [list(GRADES)],
        )
        if "leaks" in build.files
        else []
    )
    for row in found:
        leaks.setdefault(row["name"], []).append(row)
    if not leaks:
        return []
    body = []
    for name, grades in leaks.items():
        head = [shown(name), _count(sizes[name]) if name in sizes else "–"]
        counts = [[_named(row["grade"]), f"{row['dropped']:,}", f"{row['reported']:,}"] for row in grades]
        for place, line in enumerate(counts or [["none", "0", "0"]]):
            body.append([*(["", ""] if place else head), *line])
    names = ["benchmark", "rows", "leaks", "dropped", "reported"]
    right = [False, True, False, True, True]
    return ["Benchmarks\n" + aligned(names, body, right=right, caps=[36, 15, 24, 15, 15])]


def _outputs(connection: duckdb.DuckDBPyConnection, build: Build, width: int) -> list[str]:
    outputs = build.lock.get("outputs")
    return [
        _output(connection, str(name), output, width)
        for name, output in (outputs.items() if isinstance(outputs, Mapping) else ())
        if isinstance(output, Mapping)
    ]


def _output(connection: duckdb.DuckDBPyConnection, name: str, output: Mapping[str, Any], width: int) -> str:
    splits = {split: output.get(split) for split in ("train", "validation")}
    if name in ("sft", "rl"):
        found = rows(
            connection,
            f"""SELECT {name}_split AS part, count(*) AS n FROM samples WHERE {name}_split IS NOT NULL
                GROUP BY 1 ORDER BY 1""",
        )
        splits = dict.fromkeys(splits, 0) | {row["part"]: row["n"] for row in found}
    counts = [(split, count) for split, count in splits.items() if isinstance(count, int)]
    parts = ", ".join(f"{count:,} {shown(str(split))}" for split, count in counts)
    realised = sum(count for _, count in counts)
    title = f"Output {shown(name)}\n{_asked(output.get('asked'))}, {realised:,} realised ({parts})"
    written = output.get("rows")
    if isinstance(written, int) and written > realised:
        title += f"; {written:,} rows, as some samples have several traces"
    strata = [stratum for stratum in output.get("strata") or () if isinstance(stratum, Mapping)]
    if not strata:
        return title
    body = [
        [
            shown(str(stratum.get("stratum"))),
            *(_count(stratum.get(field)) for field in ("asked", "available", "realised")),
            shown(str(stratum.get("why") or "")),
        ]
        for stratum in strata
    ]
    head = ["stratum", "asked", "available", "realised", "why"]
    return f"{title}\n" + aligned(head, body, right=[False, True, True, True, False], caps=[40, 12, 12, 12, width])


def _values(connection: duckdb.DuckDBPyConnection, title: str, column: str, width: int) -> str:
    """Rows by the values of a field: all that are kept, and those of each output."""
    found = rows(
        connection,
        f"""SELECT coalesce({column}, '(none)') AS name, count(*) AS n, count(sft_split) AS sft, count(rl_split) AS rl,
              count(*) / sum(count(*)) OVER () AS share
            FROM samples GROUP BY 1 ORDER BY n DESC, name""",
    )
    if not found:
        return f"{title}\nno rows"
    rest = found[MOST_VALUES:]
    if rest:
        other = {field: sum(row[field] for row in rest) for field in ("n", "sft", "rl", "share")}
        found = [*found[:MOST_VALUES], {"name": f"({len(rest)} more)", **other}]
    body = [
        [
            shown(row["name"]),
            *(f"{row[field]:,}" for field in ("n", "sft", "rl")),
            f"{row['share']:.1%}",
            bar(row["share"], _bars(width)),
        ]
        for row in found
    ]
    head = ["", "rows", "sft", "rl", "share", ""]
    right = [False, True, True, True, True, False]
    return f"{title}\n" + aligned(head, body, right=right, caps=[30, 12, 12, 12, 8, width])


def _tokens(connection: duckdb.DuckDBPyConnection, column: str, title: str, width: int) -> str:
    median, high, most, total = _one(
        connection,
        f"""SELECT quantile_disc({column}, 0.5), quantile_disc({column}, 0.95), max({column}), sum({column})::BIGINT
            FROM samples""",
    )
    if median is None:
        return f"{title}\nno rows"
    found = rows(
        connection,
        f"""SELECT CASE WHEN {column} <= 0 THEN -1 ELSE floor(log2({column}))::INTEGER END AS bucket, count(*) AS n
            FROM samples WHERE {column} IS NOT NULL GROUP BY 1""",
    )
    counts = {row["bucket"]: row["n"] for row in found}
    summary = f"median {median:,}, 95% up to {high:,}, most {most:,}, {total:,} in all"
    return f"{title}: {summary}\n" + _histogram(counts, _tokens_label, width)


def _tokens_label(bucket: int) -> str:
    low, high = 2**bucket, 2 ** (bucket + 1) - 1
    return "0" if bucket < 0 else "1" if bucket == 0 else f"{low:,}–{high:,}"


def _images(connection: duckdb.DuckDBPyConnection, width: int) -> str:
    read, kept, bad = _one(
        connection,
        """SELECT count(*), count(*) FILTER (WHERE error IS NULL AND rows_kept > 0),
             count(*) FILTER (WHERE error IS NOT NULL) FROM images""",
    )
    none, one, more = _one(
        connection,
        """SELECT count(*) FILTER (WHERE coalesce(len(images), 0) = 0), count(*) FILTER (WHERE len(images) = 1),
             count(*) FILTER (WHERE len(images) > 1) FROM samples""",
    )
    lines = [
        f"Images: {read:,} distinct read, {kept:,} in kept rows, {bad:,} unreadable",
        f"kept rows: {one:,} with one image, {more:,} with several, {none:,} without",
    ]
    for column in ("format", "mode"):
        found = rows(
            connection,
            f"""SELECT coalesce({column}, '(unknown)') AS name, count(*) AS n FROM images WHERE error IS NULL
                GROUP BY 1 ORDER BY n DESC, name LIMIT {MOST_VALUES}""",
        )
        if found:
            lines.append(f"{column}s: " + ", ".join(f"{shown(row['name'])} {row['n']:,}" for row in found))
    sizes = {
        "Shortest side of images, pixels": (
            f"CASE WHEN least(width, height) < {MIN_SIDE_PX} THEN -1"
            f" ELSE floor(log2(least(width, height) / {MIN_SIDE_PX}))::INTEGER END",
            _side_label,
        ),
        "Size of images, megapixels": (
            "greatest(-5, floor(2 * log10(greatest(1, width::BIGINT * height) / 1e6)))::INTEGER",
            _megapixels_label,
        ),
    }
    for title, (bucket, label) in sizes.items():
        found = rows(
            connection,
            f"""SELECT {bucket} AS bucket, count(*) AS n FROM images
                WHERE error IS NULL AND width IS NOT NULL AND height IS NOT NULL GROUP BY 1""",
        )
        if found:
            lines += ["", title, _histogram({row["bucket"]: row["n"] for row in found}, label, width)]
    return "\n".join([*lines, *_unreadable(connection, width)])


def _unreadable(connection: duckdb.DuckDBPyConnection, width: int) -> list[str]:
    found = rows(
        connection,
        f"""SELECT split_part(error, ': ', 1) AS why, count(*) AS n,
              min(concat_ws(' ', source, ref) || substr(error, length(split_part(error, ': ', 1)) + 1)) AS example
            FROM images WHERE error IS NOT NULL GROUP BY 1 ORDER BY n DESC, why LIMIT {MOST_VALUES}""",
    )
    if not found:
        return []
    body = [[f"{row['n']:,}", shown(row["why"]), shown(row["example"])] for row in found]
    caps = [12, max(20, width // 2), width]
    return [
        "",
        "Unreadable images",
        aligned(["images", "why", "such as"], body, right=[True, False, False], caps=caps),
    ]


def _side_label(bucket: int) -> str:
    low, high = MIN_SIDE_PX * 2**bucket, MIN_SIDE_PX * 2 ** (bucket + 1) - 1
    return f"under {MIN_SIDE_PX}" if bucket < 0 else f"{low:,.0f}–{high:,.0f}"


def _megapixels_label(bucket: int) -> str:
    high = f"{10 ** ((bucket + 1) / 2):.2g}"
    return f"under {high}" if bucket <= -5 else f"{10 ** (bucket / 2):.2g}–{high}"


def _histogram(counts: Mapping[int, int], label: Callable[[int], str], width: int) -> str:
    """The lowest bucket, then every one from the next that is not empty to the highest, with count, share and bar."""
    total, most = sum(counts.values()), max(counts.values())
    lines: list[Sequence[str]] = []
    lowest, *others = sorted(counts)
    for bucket in (lowest, *(range(others[0], others[-1] + 1) if others else ())):
        count = counts.get(bucket, 0)
        lines.append((label(bucket), f"{count:,}", f"{count / total:.1%}", bar(count / most, _bars(width))))
    widths = [max(text_width(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{name:>{widths[0]}}  {count:>{widths[1]}}  {share:>{widths[2]}}  {drawn}".rstrip()
        for name, count, share, drawn in lines
    )


def _bars(width: int) -> int:
    """Length of the longest bar in lines of `width`."""
    return max(5, min(40, width - 60))


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = connection.execute(sql).fetchone()
    assert found is not None
    return found


def _asked(asked: object) -> str:
    return f"{asked:,} rows asked" if isinstance(asked, int) else "all rows asked"


def _count(count: object) -> str:
    return f"{count:,}" if isinstance(count, int) else "all" if count is None else shown(str(count))


def _named(name: str | None) -> str:
    return "(none)" if name is None else shown(name)


def _percent(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.1%}" if part is not None and whole else "–"
