"""SQL over a build's tables, run by DuckDB: one read-only statement that can reach neither files nor network.

Four fences, each enough against most: only one statement of a reading kind is run; DuckDB's access to the outside is
off (files, network, extensions, Python's variables) and its settings are locked; the transaction is read-only; and the
database is a new one in memory for every question. Locking matters: a plain SELECT can call `enable_logging` and
`enable_profiling`, which would write files.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from infimed_data.errors import QueryError, did_you_mean
from infimed_data.stats.builds import Build
from infimed_data.stats.tables import shown

__all__ = ["asking", "asking_both", "query", "rows"]

MEMORY_LIMIT = "2GB"
MAX_THREADS = 4
MAX_RESULT_BYTES = 1 << 30
"""Size of a result in memory, from which on it is refused; DuckDB's own limit does not cover what it hands out."""
_READS = "SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN"
_COMMENT = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
_EXPLAIN = re.compile(
    rf"{_COMMENT}*EXPLAIN\b(?:{_COMMENT}*ANALYZE\b)?(?:{_COMMENT}*\([^)]*\))?", re.IGNORECASE | re.DOTALL
)

_KEYWORD_COLUMN = re.compile(r'(?<!")\b(limit|group)\b(?!"|\s+(?:by|\d))', re.IGNORECASE)


def query(build: Build, sql: str, *, timeout_s: float | None = None, max_rows: int | None = None) -> pa.Table:
    """The result of one SELECT over the build's tables, at most its first `max_rows` rows.

    Two columns of one name get different names. Raises `QueryError` in one line for SQL that is wrong, that would
    change something or reach outside the build, that takes longer than `timeout_s`, or whose result is too large.
    """
    with asking(build, sql, timeout_s=timeout_s) as connection:
        relation = connection.sql(_reading_statement(connection, sql))
        if relation is None:
            raise QueryError(f"no result; ask with {_READS}")
        reader = relation.to_arrow_reader(8192)
        batches = _first(reader, max_rows)
        return pa.Table.from_batches(batches, schema=reader.schema).rename_columns(_distinct(reader.schema.names))


@contextmanager
def asking(build: Build, sql: str = "", *, timeout_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A closed-off connection that sees the build's tables; what goes wrong in it leaves as a one-line `QueryError`."""
    connection = _connect({"": build})
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = None if timeout_s is None else threading.Timer(timeout_s, stop)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield connection
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeError, MemoryError) as error:
        if late.is_set():
            raise QueryError(f"stopped after {timeout_s:g} s; narrow it with WHERE, or allow more time") from None
        raise QueryError(_explained(build, error, sql)) from None
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
        connection.close()


@contextmanager
def asking_both(a: Build, b: Build) -> Iterator[duckdb.DuckDBPyConnection]:
    """A closed-off connection for our own SQL that sees the tables of two builds, as `a_samples` and `b_samples`."""
    connection = _connect({"a_": a, "b_": b})
    try:
        yield connection
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeError, MemoryError) as error:
        raise QueryError(_explained(a, error, "")) from None
    finally:
        connection.close()


def rows(connection: duckdb.DuckDBPyConnection, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
    """The rows of our own `sql` as dicts; what users write goes through `query`."""
    found = connection.execute(sql, list(params))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _connect(builds: Mapping[str, Build]) -> duckdb.DuckDBPyConnection:
    """A connection to the tables of builds, each build's under their names with its key in front."""
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": MEMORY_LIMIT,
            "threads": str(min(MAX_THREADS, os.cpu_count() or 1)),
            "temp_directory": "",
        },
    )
    try:
        for prefix, build in builds.items():
            for name, file in build.files.items():
                table = ds.dataset(str(file), format="parquet", filesystem=LocalFileSystem())
                connection.register(f"{prefix}{name}", table)
            connection.register(f"{prefix}sources", build.sources)
        # Nothing tells DuckDB how many rows these tables have, and joins in a guessed order can need any memory.
        connection.execute("SET disabled_optimizers = 'join_order'")
        connection.execute("SET lock_configuration = true")
        connection.execute("BEGIN TRANSACTION READ ONLY")
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        connection.close()
        gone = "a file went away: " if isinstance(error, FileNotFoundError) else ""
        named = " and ".join(shown(str(build.path)) for build in builds.values())
        raise QueryError(f"{named}: cannot open its tables: {gone}{_first_line(error)}") from None
    return connection


def _reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement in `sql`; raises `QueryError` where it is not one, or not one that only reads."""
    sql.encode()
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        given = f"{len(statements)} statements" if statements else "no statement"
        raise QueryError(f"{given} given; ask with one of {_READS}")
    statement = statements[0]
    kind = statement.type.name
    if kind == "EXPLAIN":
        inner = connection.extract_statements(_EXPLAIN.sub("", statement.query, count=1))
        if len(inner) == 1 and inner[0].type.name == "SELECT":
            return statement
        kind = "EXPLAIN of anything but a SELECT"
    if kind == "MULTI":
        raise QueryError("read-only: this PIVOT would create a type first; name its values: PIVOT t ON c IN ('x', 'y')")
    if kind != "SELECT":
        raise QueryError(f"read-only: {kind.replace('_', ' ')} is refused; ask with one of {_READS}")
    return statement


def _first(reader: Iterable[pa.RecordBatch], max_rows: int | None) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    count = size = 0
    if max_rows == 0:
        return batches
    for batch in reader:
        batches.append(batch if max_rows is None else batch.slice(0, max_rows - count))
        count += batches[-1].num_rows
        size += batches[-1].nbytes
        if size > MAX_RESULT_BYTES:
            raise QueryError(f"the result passes {MAX_RESULT_BYTES >> 20} MiB; narrow it with WHERE or LIMIT")
        if max_rows is not None and count >= max_rows:
            break
    return batches


def _distinct(names: Sequence[str]) -> list[str]:
    """`names` with `_1`, `_2` ... behind those that came before."""
    found: list[str] = []
    taken = set(names)
    for name in names:
        fresh, number = name, 0
        while fresh in found:
            number += 1
            fresh = f"{name}_{number}" if f"{name}_{number}" not in taken else fresh
        found.append(fresh)
    return found


def _explained(build: Build, error: Exception, sql: str) -> str:
    """One line that says what was wrong, what is allowed and what may have been meant."""
    text = str(error)
    tables = f"tables: {', '.join(build.tables)}"
    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
        return f"needs more than {MEMORY_LIMIT} of memory; narrow it with WHERE, or ask for fewer columns"
    if isinstance(error, UnicodeError):
        return "not valid Unicode; write the text again"
    if "disabled by configuration" in text or "disabled through configuration" in text or "exists in the" in text:
        what = re.search(r'(?:file|directory|with name) "([^"]*)"', text)
        return f"out of reach{f': {shown(what.group(1))}' if what else ''}; SQL sees this build's tables only; {tables}"
    if any(mark in text for mark in ("configuration has been locked", "read-only mode", "is not an table")):
        return f"read-only: {_first_line(error)}"
    table = re.search(r"Table with name (.*?) does not exist", text)
    if table:
        return f"no table {shown(table.group(1))}; {tables}{did_you_mean(table.group(1), build.tables)}"
    column = re.search(r'Referenced column "(.*?)" not found|does not have a column named "(.*?)"', text)
    if column:
        return _no_column(build, column.group(1) or column.group(2), sql)
    where = re.search(r"^LINE (\d+): ", text, re.MULTILINE)
    line = f" (line {where.group(1)})" if where and "\n" in sql.strip() else ""
    keyword = _KEYWORD_COLUMN.search(sql) if isinstance(error, duckdb.ParserException) else None
    quotes = f'; a column named like a keyword needs quotes: "{keyword.group(1).lower()}"' if keyword else ""
    return f"{_first_line(error)}{line}{_suggestion(text)}{quotes}"


def _no_column(build: Build, name: str, sql: str) -> str:
    known = {table: _columns(build, table) for table in build.tables}
    named = [table for table in build.tables if re.search(rf"\b{table}\b", sql, re.IGNORECASE)] or list(known)
    lists = "; ".join(f"columns of {table}: {', '.join(known[table])}" for table in named)
    return f"no column {shown(name)}; {lists}{did_you_mean(name, [c for table in named for c in known[table]])}"


def _columns(build: Build, table: str) -> list[str]:
    import pyarrow.parquet as pq

    schema = build.sources.schema if table == "sources" else pq.read_schema(build.files[table])
    return [shown(name) for name in schema.names]


def _suggestion(text: str) -> str:
    found = re.search(r'^Did you mean "([^"]+)"', text, re.MULTILINE)
    return f"; did you mean '{shown(found.group(1))}'?" if found else ""


def _first_line(error: Exception) -> str:
    """The useful part of a message of DuckDB: its first line without the kind of error in front."""
    lines = str(error).strip().splitlines()
    line = re.sub(r"^(?:[A-Z][\w-]*(?: [A-Z-][\w-]*)* Error: )+", "", lines[0]) if lines else type(error).__name__
    return shown(line)[:300].rstrip(". ")
