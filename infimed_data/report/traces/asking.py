"""SQL over a build with traces: `traced` is `candidates` without what was only asked to measure difficulty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow.parquet as pq

from infimed_data.errors import QueryError
from infimed_data.stats import Build, shown
from infimed_data.stats.sql import asking

__all__ = ["asking_traces"]


@contextmanager
def asking_traces(build: Build) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the build's tables and `traced`; raises `QueryError` where no pass asked a teacher."""
    for name in ("candidates", "generated"):
        if name not in build.files:
            raise QueryError(f"{shown(str(build.path))}: {_why_missing(build, name)}")
    columns = pq.read_schema(build.files["candidates"]).names
    measured = "WHERE pass IS DISTINCT FROM 'difficulty'" if "pass" in columns else ""
    with asking(build) as connection:
        connection.execute(f"CREATE TEMP VIEW traced AS SELECT * FROM candidates {measured}")
        yield connection


def _why_missing(build: Build, name: str) -> str:
    manifest = build.lock.get("manifest")
    if isinstance(manifest, Mapping) and manifest.get("generate"):
        return f"damaged: {name}.parquet is missing; run its build again"
    return f"no {name}.parquet: no teacher was asked for traces; name passes under `generate` in its manifest"
