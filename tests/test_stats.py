"""Questions about a finished build: opening it, SQL over it, its numbers, and the story of one row."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimed_data.errors import QueryError
from infimed_data.schema import BENCHMARKS, DROPS, IMAGES, LEAKS, ORIGINS, SAMPLES
from infimed_data.stats import Build, as_csv, as_json, as_table, open_build, query, stats, why

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u202egnp.exe\x9b2J\r\n'; DROP TABLE samples; --"
"""Text that would set a terminal's title, colour it, turn its direction and clear it, and looks like SQL."""
HARMFUL = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00")


def sample(uid: str, **fields: Any) -> dict[str, Any]:
    """A row of `samples`, such as one that is in the train split of `sft`."""
    source, split, key = uid.split("/", 2)
    return {
        "uid": uid,
        "source": source,
        "split": split,
        "row_key": key,
        "file": f"{source}.json",
        "digest": f"digest-of-{key}",
        "category": "medical_vqa",
        "license": "CC0-1.0",
        "lang": "en",
        "question": "Is there a pneumothorax?",
        "options": [],
        "answer": "yes",
        "answer_kind": "yes_no",
        "image_slots": [],
        "turns": [],
        "rationale": "",
        "modality": "X-ray",
        "meta": "{}",
        "images": ["aa11"],
        "question_chars": 24,
        "answer_chars": 3,
        "rationale_chars": 0,
        "words": 5,
        "text_tokens": 12,
        "image_tokens": 256,
        "script": "latin",
        "output": "sft",
        "sft_split": "train",
        "sft_position": 0,
        **fields,
    }


def drop(uid: str, stage: str, rule: str, **fields: Any) -> dict[str, Any]:
    """A row of `drops`."""
    source, split, _ = uid.split("/", 2)
    return {
        "uid": uid,
        "source": source,
        "split": split,
        "stage": stage,
        "rule": rule,
        "file": f"{source}.json",
        "category": "medical_vqa",
        "lang": "en",
        "question": "What is shown?",
        "answer": "a lung",
        "images": [],
        "image_refs": [],
        **fields,
    }


def image(digest: str | None, ref: str, **fields: Any) -> dict[str, Any]:
    """A row of `images`."""
    return {
        "digest": digest,
        "source": "rad",
        "ref": ref,
        "bytes": 40_312,
        "format": "jpeg",
        "mode": "L",
        "width": 512,
        "height": 600,
        "phash": 0x8123456789ABCDEF,
        "mean": 41.0,
        "contrast": 53.25,
        "sharpness": 12.0,
        "flat_share": 0.25,
        "rows_read": 3,
        "rows_kept": 2,
        **fields,
    }


ROWS: list[dict[str, Any]] = [
    sample("rad/train/1", rl_split="validation", rl_position=3, output="sft+rl", sft_position=17),
    sample(
        "rad/train/2",
        question="肺に異常はありますか？",
        lang="ja",
        options=["はい", "いいえ"],
        answer="はい",
        answer_label="A",
        answer_kind="choice",
        modality=None,
        images=["aa11", "gone"],
        sft_position=1,
        meta='{"level": 3}',
    ),
    sample(
        "rad/train/3",
        question=HOSTILE,
        answer=HOSTILE,
        modality=HOSTILE,
        images=[],
        image_tokens=0,
        sft_split="validation",
        turns=[{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": "no"}],
    ),
]
DROPPED: list[dict[str, Any]] = [
    drop("rad/train/4", "filter", "min_image_side_px", value="20", limit="28", images=["bb22"], words=3),
    drop("slake/train/1", "dedup", "exact_duplicate", twin="rad/train/1", image_refs=["imgs/1.jpg"]),
    drop("slake/train/2", "dedup", "exact_duplicate", twin="slake/train/1"),
    drop("slake/train/3", "ingest", "image_unreadable", value=HOSTILE, image_refs=["imgs/bad.jpg"]),
    drop("slake/train/4", "decontaminate", "same_item", twin="bench/test/9"),
    drop("slake/train/5", "mix", "max_per_image", value="4 rows", limit="3 rows"),
    drop("slake/train/6", "dedup", "exact_duplicate", twin="slake/train/7"),
    drop("slake/train/7", "dedup", "exact_duplicate", twin="slake/train/6"),
    drop("slake/train/8", "later_stage", "odd", value="wide", limit="narrow"),
]
LEAKED: list[dict[str, Any]] = [
    drop("rad/train/6", "decontaminate", "same_image", value="rotated 90", limit="score 0.5", twin="rad/test/1"),
    drop("rad/train/7", "dedup", "near_duplicate", value="0.87 of its word 5-grams with x/train/3", limit="0.8",
         twin="rad/train/6"),
    drop("rad/train/8", "decontaminate", "same_group", value=HOSTILE, twin="rad/test/2"),
]  # fmt: skip


def leak(uid: str, grade: str, benchmark_uid: str, action: str, evidence: str, **fields: Any) -> dict[str, Any]:
    """A row of `leaks`."""
    return {
        "uid": uid,
        "benchmark": "rad",
        "benchmark_uid": benchmark_uid,
        "grade": grade,
        "action": action,
        "score": 1.0,
        "evidence": evidence,
        **fields,
    }


LEAKS_FOUND: list[dict[str, Any]] = [
    leak("rad/train/1", "same_template", "rad/test/1", "report", "the same words, weight 0.0"),
    leak("rad/train/6", "same_image", "rad/test/1", "drop", "rotated 90", score=0.71),
    leak("rad/train/6", "same_group", "rad/test/2", "drop", "synpic7", mark="right"),
    leak("rad/train/8", "same_group", "rad/test/2", "drop", HOSTILE),
]
ASKED: list[dict[str, Any]] = [
    {
        "uid": "rad/test/1",
        "benchmark": "rad",
        "split": "test",
        "question": "Is the heart large?",
        "options": ["yes", "no"],
        "images": ["cc33"],
        "group": "synpic7",
    },
    {"uid": "rad/test/2", "benchmark": "rad", "split": "test", "question": HOSTILE, "options": [], "images": []},
]
SHOWN_IMAGES: list[dict[str, Any]] = [
    image("aa11", "images/a.jpg"),
    image("bb22", "images/b.png", width=20, height=30, format="png", mode="RGB", rows_kept=0, phash=None),
    image(
        None,
        "imgs/bad.jpg",
        source="slake",
        error="image_unreadable: " + HOSTILE,
        format=None,
        mode=None,
        width=None,
        height=None,
        phash=None,
    ),
]


def source(name: str, read: int, rejected: int, dropped: int, kept: int) -> dict[str, Any]:
    """A row of `sources`."""
    return {
        "source": name,
        "split": "train",
        "adapter": f"{name}_adapter",
        "category": "medical_vqa",
        "license": "CC0-1.0",
        "revision": "r7",
        "rows_read": read,
        "rejected": rejected,
        "dropped": dropped,
        "kept": kept,
    }


LOCK: dict[str, Any] = {
    "format": 1,
    "name": "demo",
    "build": "3f2a90c1d4e7",
    "manifest": {"name": "demo", "sources": {"rad": {"adapter": "rad_adapter", "location": "data/rad"}}},
    "sources": [source("rad", 4, 0, 1, 3), source("slake", 8, 1, 7, 0)],
    "outputs": {
        "sft": {
            "asked": 4,
            "rows": 3,
            "train": 2,
            "validation": 1,
            "strata": [
                {"stratum": "rad", "asked": 3, "available": 3, "realised": 3, "why": None},
                {"stratum": "slake", "asked": None, "available": 0, "realised": 0, "why": "no row is left"},
            ],
        },
        "rl": {"asked": None, "rows": 1, "train": 0, "validation": 1, "strata": []},
    },
    "stages": {},
    "versions": {},
}


def write_build(
    folder: Path,
    *,
    samples: Sequence[Mapping[str, Any]] = (),
    drops: Sequence[Mapping[str, Any]] = (),
    images: Sequence[Mapping[str, Any]] = (),
    origins: Sequence[Mapping[str, Any]] = (),
    leaks: Sequence[Mapping[str, Any]] | None = None,
    lock: Mapping[str, Any] = LOCK,
) -> Path:
    """A finished build in `folder`, with exactly the tables' schemas."""
    folder.mkdir(parents=True)
    tables = [
        ("samples", samples, SAMPLES),
        ("drops", drops, DROPS),
        ("images", images, IMAGES),
        ("origins", origins, ORIGINS),
    ]
    if leaks is not None:
        tables += [("leaks", leaks, LEAKS), ("benchmarks", ASKED, BENCHMARKS)]
    for name, rows, schema in tables:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / f"{name}.parquet")
    (folder / "lock.json").write_text(json.dumps(lock), "utf-8")
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Build:
    origins = [{"uid": "rad/train/1", "file": "rad.json", "row_number": 7}]
    folder = tmp_path / "builds/demo/3f2a90c1d4e7"
    return open_build(write_build(folder, samples=ROWS, drops=DROPPED, images=SHOWN_IMAGES, origins=origins))


@pytest.fixture
def empty(tmp_path: Path) -> Build:
    lock = {**LOCK, "sources": [], "outputs": {"sft": {"asked": None, "strata": []}}}
    return open_build(write_build(tmp_path / "empty", lock=lock))


@pytest.fixture
def leaked(tmp_path: Path) -> Build:
    """A build that was compared with benchmarks."""
    lock = {**LOCK, "benchmarks": [{"benchmark": "rad", "rows": 451}, {"benchmark": "exam", "rows": 1273}]}
    return open_build(
        write_build(tmp_path / "leaked", samples=ROWS, drops=LEAKED, images=SHOWN_IMAGES, leaks=LEAKS_FOUND, lock=lock)
    )


def refused(build: Build, sql: str) -> str:
    """The one line with which `sql` is refused."""
    with pytest.raises(QueryError) as caught:
        query(build, sql)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def ask(build: Build, sql: str) -> list[dict[str, Any]]:
    return list(query(build, sql).to_pylist())


# Opening


def test_opens_a_build_or_the_only_build_below(build: Build) -> None:
    assert build.tables == ("drops", "images", "origins", "samples", "sources")
    assert build.label == "demo 3f2a90c1d4e7"
    assert open_build(build.path.parent).path == build.path
    assert open_build(build.path.parent.parent).path == build.path


def test_a_folder_that_looks_like_an_address_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_build(tmp_path / "s3:" / "a 'quoted' name")
    monkeypatch.chdir(tmp_path)
    assert query(open_build(Path("s3:/a 'quoted' name")), "FROM samples").num_rows == 0


def test_several_builds_are_named_newest_first(build: Build) -> None:
    newer = write_build(build.path.parent / "ffff")
    write_build(build.path.parent / ".tmp-0000")
    os.utime(newer / "lock.json", (time.time() + 60,) * 2)
    with pytest.raises(QueryError) as caught:
        open_build(build.path.parent)
    assert str(caught.value).endswith(f"holds 2 builds; give one, newest first: {newer}, {build.path}")


def test_refuses_what_is_not_a_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "nothing").mkdir()
    unfinished = write_build(tmp_path / "unfinished")
    (unfinished / "lock.json").unlink()
    for name, said in (("none", "no such folder"), ("file", "not a folder"), ("nothing", "not a build")):
        with pytest.raises(QueryError, match=said):
            open_build(tmp_path / name)
    with pytest.raises(QueryError, match=r"unfinished: it has no lock\.json"):
        open_build(unfinished)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("samples.parquet", b"PAR1 not really PAR1", "samples.parquet: damaged"),
        ("drops.parquet", None, "drops.parquet is missing"),
        ("lock.json", b"{", "not valid JSON"),
        ("lock.json", b"[]", "not a build's lock.json"),
        ("lock.json", b'{"format": 2}', "reads format 1"),
        ("lock.json", b'{"format": 1, "sources": [3]}', "damaged: sources"),
        ("lock.json", b'{"format": 1, "sources": [{"rows_read": "many"}]}', "damaged: sources"),
    ],
)
def test_refuses_a_damaged_build(build: Build, file: str, content: bytes | None, said: str) -> None:
    if content is None:
        (build.path / file).unlink()
    else:
        (build.path / file).write_bytes(content)
    with pytest.raises(QueryError, match=said) as caught:
        open_build(build.path)
    assert "\n" not in str(caught.value)


def test_damage_inside_a_table_is_one_line(build: Build) -> None:
    file = build.path / "samples.parquet"
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    file.write_bytes(content)
    refused(build, "SELECT uid, question, answer FROM samples")
    with pytest.raises(QueryError) as caught:
        stats(build)
    assert "\n" not in str(caught.value)
    with pytest.raises(QueryError) as caught:
        why(build, "rad/train/1")
    assert "\n" not in str(caught.value)


# Asking


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) AS n FROM samples", 1),
        ("select 1;", 1),
        ("-- a remark\nSELECT 1 /* another; */", 1),
        ("WITH kept AS (SELECT uid FROM samples) SELECT * FROM kept", 3),
        ("FROM drops", 9),
        ('FROM drops SELECT uid, "limit" WHERE "limit" IS NOT NULL', 3),
        ("TABLE sources", 2),
        ("VALUES (1), (2)", 2),
        ("DESCRIBE drops", len(DROPS.names)),
        ("SUMMARIZE images", len(IMAGES.names)),
        ("SHOW TABLES", 5),
        ("PIVOT drops ON stage IN ('filter', 'dedup') USING count(*) GROUP BY source", 2),
        ("SELECT unnest(images) FROM samples", 3),
        ("SELECT * FROM query('SELECT 1')", 1),
        ("SELECT * FROM samples s JOIN drops d ON d.twin = s.uid", 1),
        ("SELECT uid FROM samples WHERE question LIKE '%異常%'", 1),
        ("SELECT uid FROM samples WHERE false", 0),
    ],
)
def test_runs_one_reading_statement(build: Build, sql: str, rows: int) -> None:
    assert query(build, sql).num_rows == rows


def test_explains_a_select(build: Build) -> None:
    for sql in (
        "EXPLAIN SELECT * FROM samples",
        "explain /* x */ analyze FROM drops",
        "EXPLAIN (FORMAT json) FROM drops",
    ):
        assert len(as_table(query(build, sql)).splitlines()) > 1


def test_further_tables_of_the_build_are_there(build: Build) -> None:
    pq.write_table(pa.table({"uid": ["rad/train/1", "rad/train/1"]}), build.path / "attempts.parquet")
    pq.write_table(pa.table({"x": [1]}), build.path / "odd name.parquet")
    pq.write_table(pa.table({"x": [1]}), build.path / "sources.parquet")
    again = open_build(build.path)
    assert again.tables == ("attempts", "drops", "images", "origins", "samples", "sources")
    assert ask(again, "SELECT source, kept FROM sources ORDER BY kept") == [
        {"source": "slake", "kept": 0},
        {"source": "rad", "kept": 3},
    ]
    assert "attempts    2 rows" in why(again, "rad/train/1")


def test_gives_the_first_rows_and_distinct_names(build: Build) -> None:
    assert ask(build, "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a") == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]
    found = query(build, "SELECT * FROM range(1000000000000)", max_rows=10_000)
    assert found.num_rows == 10_000
    assert query(build, "SELECT uid FROM samples", max_rows=0).num_rows == 0
    assert query(build, "SELECT uid FROM samples", max_rows=0).column_names == ["uid"]


OUTSIDE = {
    "csv": "SELECT * FROM read_csv('{secret}')",
    "csv auto": "SELECT * FROM read_csv_auto(['{secret}'])",
    "sniff": "SELECT * FROM sniff_csv('{secret}')",
    "text": "SELECT content FROM read_text('{secret}')",
    "blob": "SELECT content FROM read_blob('{secret}')",
    "json": "SELECT * FROM read_json('{secret}')",
    "json objects": "SELECT * FROM read_ndjson_objects('{secret}')",
    "glob": "SELECT * FROM glob('{folder}/*')",
    "parquet": "SELECT * FROM read_parquet('{secret}.parquet')",
    "parquet metadata": "SELECT * FROM parquet_metadata('{secret}.parquet')",
    "parquet schema": "SELECT * FROM parquet_schema('{secret}.parquet')",
    "own parquet": "SELECT * FROM read_parquet('{folder}/builds/demo/3f2a90c1d4e7/samples.parquet')",
    "file as table": "SELECT * FROM '{secret}.parquet'",
    "csv as table": "FROM '{secret}.csv'",
    "file url": "FROM 'file://{secret}.parquet'",
    "duckdb": "SELECT * FROM read_duckdb('{secret}')",
    "in a CTE": "WITH x AS (SELECT * FROM read_text('{secret}')) SELECT count(*) FROM x",
    "in a subquery": "SELECT (SELECT content FROM read_text('{secret}'))",
    "in query()": "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "in query_table()": "SELECT * FROM query_table('{secret}.csv')",
    "serialized": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{secret}'')'))",
    "described": "DESCRIBE SELECT * FROM read_csv('{secret}')",
    "summarized": "SUMMARIZE SELECT * FROM read_csv('{secret}')",
    "explained": "EXPLAIN ANALYZE SELECT * FROM read_text('{secret}')",
    "http": "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "http as table": "FROM 'https://example.org/x.csv'",
    "s3": "FROM 's3://bucket/x.parquet'",
    "hub": "FROM 'hf://datasets/a/b/x.parquet'",
    "sqlite": "SELECT * FROM sqlite_scan('{secret}', 't')",
    "postgres": "SELECT * FROM postgres_scan('host=localhost', 'a', 'b')",
    "excel": "SELECT * FROM read_xlsx('{secret}.xlsx')",
    "secrets": "SELECT * FROM duckdb_secrets()",
    "which secret": "SELECT * FROM which_secret('s3://x', 's3')",
    "extensions": "SELECT * FROM duckdb_extensions()",
    "environment": "SELECT getenv('HOME')",
    "python variable": "SELECT * FROM secret_variable",
    "python global": "SELECT * FROM SECRET_GLOBAL",
    "arrow scan": "SELECT * FROM arrow_scan(1, 2, 3)",
    "pandas scan": "SELECT * FROM pandas_scan()",
    "python map": "SELECT * FROM python_map_function((SELECT 1))",
    "logging": "SELECT * FROM enable_logging(storage := 'file', storage_path := '{folder}/out')",
    "profiling": "SELECT * FROM enable_profiling(save_location := '{folder}/out')",
}
WRITES = [
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t (a INT)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE VIEW samples AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO samples VALUES (1)",
    "UPDATE samples SET uid = ''",
    "DELETE FROM samples",
    "TRUNCATE samples",
    "MERGE INTO drops USING samples ON true WHEN MATCHED THEN DELETE",
    "DROP VIEW samples",
    "ALTER TABLE samples RENAME TO s",
    "COMMENT ON TABLE samples IS 'x'",
    "COPY samples TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet' (FORMAT parquet)",
    "COPY samples FROM '{secret}'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/out.db'",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET GLOBAL memory_limit = '1TB'",
    "SET VARIABLE x = 1",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = '{folder}/out'",
    "PRAGMA table_info('samples')",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "PIVOT drops ON stage USING count(*)",
    "EXPLAIN COPY samples TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE DROP VIEW samples",
    "EXPLAIN (FORMAT json) CREATE TABLE t (a INT)",
    "EXPLAIN ANALYZE INSERT INTO samples VALUES (1)",
    "WITH x AS (INSERT INTO samples VALUES (1) RETURNING *) SELECT * FROM x",
]
SECRET_GLOBAL = pa.table({"x": [1]})


@pytest.fixture
def surroundings(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files that SQL must not read, in the folder that a relative name would mean."""
    for ending in ("", ".csv"):
        (tmp_path / f"secret{ending}").write_text("password\nhunter2\n")
    pq.write_table(pa.table({"password": ["hunter2"]}), tmp_path / "secret.parquet")
    monkeypatch.chdir(tmp_path)
    return {"secret": str(tmp_path / "secret"), "folder": str(tmp_path)}


def files_below(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("route", OUTSIDE)
def test_sql_reaches_nothing_outside(build: Build, tmp_path: Path, surroundings: dict[str, str], route: str) -> None:
    secret_variable = pa.table({"x": [1]})
    before = files_below(tmp_path)
    message = refused(build, OUTSIDE[route].format(**surroundings))
    assert "hunter2" not in message
    assert files_below(tmp_path) == before
    assert secret_variable.num_rows == 1


def test_sql_sees_no_variable_of_the_program(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    import infimed_data.stats.sql as sql

    monkeypatch.setattr(sql, "program_table", pa.table({"password": ["hunter2"]}), raising=False)
    assert refused(build, "SELECT * FROM program_table").startswith("no table program_table")


@pytest.mark.parametrize("name", ["secret.parquet", "secret.csv", "./secret.parquet", "*.parquet"])
def test_sql_reads_no_relative_file(build: Build, surroundings: dict[str, str], name: str) -> None:
    for sql in (f"SELECT * FROM '{name}'", f'SELECT * FROM "{name}"', f"SELECT * FROM read_csv('{name}')"):
        assert "hunter2" not in refused(build, sql)


@pytest.mark.parametrize("sql", WRITES)
def test_sql_changes_nothing(build: Build, tmp_path: Path, surroundings: dict[str, str], sql: str) -> None:
    before = files_below(tmp_path)
    message = refused(build, sql.format(**surroundings))
    assert "read-only" in message
    assert files_below(tmp_path) == before
    assert query(build, "SELECT * FROM samples").num_rows == 3


def test_refuses_all_but_one_statement(build: Build) -> None:
    assert refused(build, "SELECT 1; SELECT 2").startswith("2 statements given")
    assert refused(build, "SELECT 1; COPY samples TO 'x'").startswith("2 statements given")
    for nothing in ("", "  ", "-- only a remark", ";"):
        assert refused(build, nothing).startswith("no statement given")


def test_says_what_was_meant(build: Build) -> None:
    assert refused(build, "SELECT * FROM sample") == (
        "no table sample; tables: drops, images, origins, samples, sources; did you mean 'samples'?"
    )
    message = refused(build, "SELECT anser FROM samples")
    assert message.startswith("no column anser; columns of samples: uid, source, ")
    assert message.endswith("; did you mean 'answer'?")
    assert refused(build, "SELECT s.anser FROM samples s").endswith("; did you mean 'answer'?")
    assert refused(build, "SELEC 1") == 'syntax error at or near "SELEC"'
    assert refused(build, "SELECT\n1 +") == 'syntax error at or near "+" (line 2)'
    assert "did you mean 'count" in refused(build, "SELECT countt(*) FROM samples")
    for sql, column in (("SELECT limit FROM drops", "limit"), ("SELECT uid, group FROM samples", "group")):
        assert refused(build, sql).endswith(f'; a column named like a keyword needs quotes: "{column}"')
    assert "keyword" not in refused(build, "SELECT uid uid uid FROM drops GROUP BY uid LIMIT 3")
    assert refused(build, "SELECT 'a'::INT") == "Could not convert string 'a' to INT32"
    assert "getenv" in refused(build, "SELECT getenv('HOME')")
    assert refused(build, "FROM '/etc/passwd.csv'").startswith("out of reach: /etc/passwd.csv; ")


def test_errors_do_not_reach_the_terminal_raw(build: Build) -> None:
    for sql in (f'SELECT * FROM "{HOSTILE}"', f"SELECT error('{HOSTILE.replace(chr(39), '')}')", f"SELECT {HOSTILE}"):
        refused(build, sql)
    refused(build, "SELECT question::INT FROM samples ORDER BY uid DESC")
    refused(build, "SELECT '\ud800'")


def test_stops_in_time(build: Build) -> None:
    for sql in (
        "SELECT sleep_ms(60000)",
        "SELECT count(*) FROM range(1000000000000) WHERE hash(range) = 4",
        "SELECT * FROM range(1000000000000) WHERE range < 0",
    ):
        start = time.monotonic()
        with pytest.raises(QueryError, match=r"stopped after 0\.2 s"):
            query(build, sql, timeout_s=0.2)
        assert time.monotonic() - start < 10
    assert query(build, "SELECT 1", timeout_s=60).num_rows == 1


def test_joins_stay_in_the_order_in_which_they_are_written(build: Build) -> None:
    sql = """EXPLAIN SELECT count(*) FROM drops d JOIN samples s ON s.uid = d.twin JOIN origins o ON o.uid = d.uid
             WHERE lower(s.question) <> lower(o.file)"""
    plan = as_table(query(build, sql))
    assert "Hash Join" in plan
    assert "Nested Loop" not in plan  # every pair of a sample and an origin: too many for any memory


def test_refuses_what_needs_too_much_memory(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    import infimed_data.stats.sql as sql

    monkeypatch.setattr(sql, "MAX_RESULT_BYTES", 1 << 20)
    assert refused(build, "SELECT * FROM range(1000000)").startswith("the result passes 1 MiB")
    assert "of memory; narrow it" in refused(
        build, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(100000)"
    )


# Formats


def test_table_is_aligned_and_safe(build: Build) -> None:
    text = as_table(query(build, "SELECT uid, question, words, images, sft_split FROM samples ORDER BY uid"))
    head, rule, *rows, count = text.splitlines()
    assert head.split() == ["uid", "question", "words", "images", "sft_split"]
    assert set(rule) == {"─", " "}
    assert rows[0].split("  ")[0] == "rad/train/1"
    assert "肺に異常はありますか？" in rows[1]
    assert rows[0].index("5") == rule.index("─", head.index("words")) + 4
    assert '["aa11", "gone"]' in rows[1]
    assert r"\x1b]0;owned\x07\x1b[31mred\u202egnp.exe\x9b2J\r\n" in rows[2]
    assert count == "(3 rows)"
    assert not any(harm in text for harm in HARMFUL)


def test_table_cuts_long_cells_and_fits_a_width(build: Build) -> None:
    wide = query(build, "SELECT uid, repeat('ab', 500) AS long, repeat('肺', 500) AS lungs, 12345678 AS n FROM samples")
    assert max(map(len, as_table(wide).splitlines())) < 200
    lines = as_table(wide, width=60).splitlines()
    assert "…" in lines[2]
    assert "12345678" in lines[2]
    assert all(len(line) + line.count("肺") <= 60 for line in lines)
    records = as_table(query(build, "SELECT * FROM samples"), width=80).splitlines()
    assert records[0].startswith("─ row 1 ─")
    assert len(records) == 3 * (1 + len(SAMPLES.names)) + 1
    assert all(len(line) <= 80 for line in records)


def test_table_shows_null_and_nothing(build: Build) -> None:
    assert as_table(query(build, "SELECT NULL AS a, '' AS b, true AS c, 1.5 AS d")).splitlines()[2:] == [
        "NULL     true  1.5",
        "(1 row)",
    ]
    short = "SELECT 0.97::FLOAT AS a, round(1 / 3::FLOAT, 2)::FLOAT AS b, NULL::FLOAT AS c, 'nan'::FLOAT AS d"
    assert as_csv(query(build, short)).splitlines()[1].split(",")[:3] == ["0.97", "0.33", ""]
    assert as_table(query(build, "SELECT uid FROM samples WHERE false")).splitlines() == ["uid", "───", "(0 rows)"]
    assert "(0 rows)" in as_table(query(build, "SELECT uid FROM samples WHERE false"), width=20)


def test_column_names_are_safe_too(build: Build) -> None:
    table = query(build, 'SELECT 1 AS "\x1b[31m"')
    assert not any(harm in as_table(table) + as_table(table, width=20) for harm in HARMFUL)


def test_csv_reads_back(build: Build) -> None:
    text = as_csv(
        query(build, "SELECT uid, question, modality, images, 'a,\"b' AS c, '' AS e FROM samples ORDER BY uid")
    )
    assert text.count("\n") >= 4
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["uid", "question", "modality", "images", "c", "e"]
    assert rows[2] == ["rad/train/2", "肺に異常はありますか？", "", '["aa11", "gone"]', 'a,"b', ""]
    assert rows[3][1] == HOSTILE
    assert ',""\n' in text
    assert as_csv(query(build, "SELECT uid FROM samples WHERE false")) == "uid\n"


def test_json_reads_back_and_is_safe_to_print(build: Build) -> None:
    text = as_json(query(build, "SELECT uid, question, turns, modality FROM samples ORDER BY uid"))
    rows = json.loads(text)
    assert len(text.splitlines()) == len(rows) + 2
    assert rows[1]["question"] == "肺に異常はありますか？"
    assert rows[1]["modality"] is None
    assert rows[2]["question"] == HOSTILE
    assert rows[2]["turns"][0] == {"role": "user", "content": HOSTILE}
    assert not any(harm in text for harm in HARMFUL)
    assert as_json(query(build, "SELECT uid FROM samples WHERE false")) == "[]"


def test_json_of_every_kind_of_value(build: Build) -> None:
    sql = """SELECT 'nan'::DOUBLE AS nan, '-inf'::FLOAT AS inf, 'ab'::BLOB AS blob, DATE '2026-01-02' AS day,
      TIMESTAMP '2026-01-02 03:04:05' AS at, sum(words) AS total,
      170141183460469231731687303715884105727::HUGEINT AS huge,
      1.25::DECIMAL(5, 2) AS part, MAP {1: 'x'} AS map, {'a': [1, NULL]} AS nested, INTERVAL 3 DAY AS span,
      18446744073709551615::UBIGINT AS wide, true AS yes FROM samples"""
    assert json.loads(as_json(query(build, sql))) == [
        {
            "nan": None,
            "inf": None,
            "blob": "6162",
            "day": "2026-01-02",
            "at": "2026-01-02T03:04:05",
            "total": 15,
            "huge": 2**127 - 1,
            "part": 1.25,
            "map": {"1": "x"},
            "nested": {"a": [1, None]},
            "span": "P0M3DT0S",
            "wide": 2**64 - 1,
            "yes": True,
        }
    ]


def test_every_type_of_duckdb_is_written(build: Build) -> None:
    table = query(build, "SELECT * FROM test_all_types()")
    assert len(json.loads(as_json(table))) == 3
    assert len(list(csv.reader(io.StringIO(as_csv(table), newline="")))) == 4
    assert as_table(table, width=80).endswith("(3 rows)")


# Numbers


def section(text: str, title: str) -> list[str]:
    """The lines of a section of `stats`, each with its runs of white space made one space."""
    blocks = {block.splitlines()[0].split(":")[0]: block.splitlines() for block in text.split("\n\n")}
    return [" ".join(line.split()) for line in blocks[title]]


def test_stats_counts_rows(build: Build) -> None:
    text = stats(build)
    assert text.splitlines()[:2] == ["demo 3f2a90c1d4e7", "3 rows kept, 9 dropped, of 12 read"]
    assert section(text, "Sources")[3:] == [
        "rad/train 4 0 1 3 75.0%",
        "slake/train 8 1 7 0 0.0%",
        "all 12 1 8 3 25.0%",
    ]
    drops = section(text, "Drops")[3:]
    assert drops == [
        "ingest image_unreadable 1 8.3% slake/train/3",
        "filter min_image_side_px 1 8.3% rad/train/4",
        "dedup exact_duplicate 4 33.3% slake/train/1",
        "decontaminate same_item 1 8.3% slake/train/4",
        "mix max_per_image 1 8.3% slake/train/5",
        "later_stage odd 1 8.3% slake/train/8",
    ]


def test_stats_shows_what_outputs_asked_and_got(build: Build) -> None:
    text = stats(build)
    sft = section(text, "Output sft")
    assert sft[1] == "4 rows asked, 3 realised (2 train, 1 validation)"
    assert sft[4:] == ["rad 3 3 3", "slake all 0 0 no row is left"]
    assert section(text, "Output rl")[1] == "all rows asked, 1 realised (0 train, 1 validation)"


def test_stats_shows_what_rows_are_made_of(build: Build) -> None:
    text = stats(build)
    kinds = section(text, "Answer kinds")[3:]
    assert [line.rsplit(" ", 1)[0] for line in kinds] == ["yes_no 2 2 1 66.7%", "choice 1 1 0 33.3%"]
    assert len(kinds[0].rsplit(" ", 1)[1]) > len(kinds[1].rsplit(" ", 1)[1])
    assert [line.split()[0] for line in section(text, "Languages")[3:]] == ["en", "ja"]
    assert any(line.startswith("(none) 1 ") for line in section(text, "Modalities"))
    tokens = section(text, "Text tokens of kept rows")
    assert tokens[0].endswith("median 12, 95% up to 12, most 12, 36 in all")
    assert tokens[1].startswith("8–15 3 100.0% █")
    pictures = section(text, "Image tokens of kept rows")
    assert [line.split()[:2] for line in pictures[1:]] == [["0", "1"], ["256–511", "2"]]


def test_stats_shows_images(build: Build) -> None:
    text = stats(build)
    images = section(text, "Images")
    assert images[0] == "Images: 3 distinct read, 1 in kept rows, 1 unreadable"
    assert images[1] == "kept rows: 1 with one image, 1 with several, 1 without"
    assert images[2:] == ["formats: jpeg 1, png 1", "modes: L 1, RGB 1"]
    sides = section(text, "Shortest side of images, pixels")
    assert [line.split()[:-2] for line in sides[1:]] == [["under", "28", "1"], ["448–895", "1"]]
    assert section(text, "Size of images, megapixels")[-1].startswith("0.1–0.32 1 50.0%")
    assert section(text, "Unreadable images")[-1].startswith("1 image_unreadable slake imgs/bad.jpg: ")


def test_stats_counts_leaks_by_benchmark_and_grade(build: Build, leaked: Build) -> None:
    assert section(stats(leaked), "Benchmarks")[3:] == [
        "rad 451 same_image 1 0",
        "same_group 2 0",
        "same_template 0 1",
        "exam 1,273 none 0 0",
    ]
    assert "Benchmarks" not in stats(build)


def test_stats_fits_its_width_and_is_safe(build: Build) -> None:
    for width in (60, 100, 200):
        text = stats(build, width=width)
        assert all(len(line) <= width for line in text.splitlines())
        assert not any(harm in text for harm in HARMFUL)
        assert r"\x1b]0;owned" in text


def test_stats_of_many_values_names_the_rest(tmp_path: Path) -> None:
    rows = [sample(f"rad/train/{i}", modality=f"m{i:02}") for i in range(40)]
    text = stats(open_build(write_build(tmp_path / "b", samples=rows)))
    assert section(text, "Modalities")[-1].startswith("(28 more) 28 28 0 70.0%")


def test_stats_of_nothing(empty: Build) -> None:
    text = stats(empty)
    assert "0 rows kept, 0 dropped, of 0 read" in text
    assert section(text, "Drops") == ["Drops", "none"]
    assert section(text, "Answer kinds") == ["Answer kinds", "no rows"]
    assert section(text, "Text tokens of kept rows") == ["Text tokens of kept rows", "no rows"]
    assert section(text, "Images")[0] == "Images: 0 distinct read, 0 in kept rows, 0 unreadable"


def test_stats_survives_rows_of_nulls(tmp_path: Path) -> None:
    build = open_build(write_build(tmp_path / "b", samples=[{}], drops=[{}], images=[{}], lock={"format": 1}))
    assert "1 rows kept, 1 dropped, of 2 read" in stats(build)
    assert query(build, "SELECT * FROM samples").num_rows == 1


# One row's story


def told(build: Build, uid: str) -> str:
    """The story of a row, in one line."""
    text = why(build, uid)
    assert not any(harm in text for harm in HARMFUL)
    return " ".join(text.split())


def test_why_of_a_kept_row(build: Build) -> None:
    text = told(build, "rad/train/1")
    assert text.startswith("rad/train/1: kept, in sft train at position 17 and in rl validation at position 3 ")
    for part in (
        "read from rad, split train file rad.json, row 7 counted from 0 source adapter rad_adapter, revision r7",
        "location data/rad about category",
        "category medical_vqa, license CC0-1.0, row key 1",
        "question Is there a pneumothorax? answer yes answer kind yes_no tags lang en, modality X-ray",
        "digest digest-of-1",
        "signals 5 words, 12 text tokens, 256 image tokens, 24 characters of question",
        "image aa11: 512 x 600, L, jpeg, 40,312 bytes, phash 8123456789abcdef, mean 41, contrast 53.25, sharpness 12",
        "first found in rad as images/a.jpg, 3 rows read with it, 2 kept",
        "twins 1 row dropped for this one",
        "slake/train/1 dedup exact_duplicate",
    ):
        assert part in text


def test_why_shows_options_label_turns_and_lost_images(build: Build) -> None:
    text = told(build, "rad/train/2")
    assert "options A: はい; B: いいえ answer A: はい answer kind choice" in text
    assert 'meta {"level": 3}' in text
    assert "image gone: not in the table images" in text
    assert r"turn 0 user: \x1b]0;owned" in told(build, "rad/train/3")


@pytest.mark.parametrize(
    ("uid", "said"),
    [
        (
            "rad/train/4",
            "by min_image_side_px why a filter dropped it: min_image_side_px, 20 is below the limit 28",
        ),
        ("slake/train/5", "no output drew it: max_per_image, 4 rows is above the limit 3 rows"),
        ("slake/train/8", "the stage later_stage dropped it: odd, found 'wide' against the limit 'narrow'"),
        ("slake/train/3", r"its adapter could not read it honestly: image_unreadable, found '\x1b]0;owned"),
        ("slake/train/4", "twin bench/test/9 is no row of this build's samples or drops"),
        (
            "slake/train/1",
            "it repeats another row: exact_duplicate twin rad/train/1 was kept, in sft train at position 17",
        ),
        (
            "slake/train/2",
            "twin slake/train/1 was itself dropped at dedup by exact_duplicate twin rad/train/1 was kept, in sft train",
        ),
        ("slake/train/6", "twin slake/train/6 again: a circle"),
        ("rad/train/4", "image bb22: 20 x 30, RGB, png"),
        ("slake/train/3", r"image ref imgs/bad.jpg: unreadable: image_unreadable: \x1b]0;owned"),
        ("slake/train/1", "image ref imgs/1.jpg"),
        ("slake/train/1", "source adapter slake_adapter, revision r7"),
        ("slake/train/1", "slake/train/2 dedup exact_duplicate"),
    ],
)
def test_why_of_a_dropped_row(build: Build, uid: str, said: str) -> None:
    assert said in told(build, uid)


@pytest.mark.parametrize(
    ("uid", "said"),
    [
        (
            "rad/train/6",
            "dropped at decontaminate by same_image why it matches a benchmark row: same_image, rotated 90, where the "
            "limit is score 0.5 twin rad/test/1 is a row of the benchmark rad, which is only matched against it asks "
            "Is the heart large? its options A: yes; B: no its images cc33 its group synpic7 read from",
        ),
        ("rad/train/6", "leaks 2 matches with rows of benchmarks grade benchmark row action score evidence mark"),
        ("rad/train/6", "same_image rad/test/1 drop 0.71 rotated 90 same_group rad/test/2 drop 1.00 synpic7 right"),
        (
            "rad/train/7",
            "it repeats another row: near_duplicate, 0.87 of its word 5-grams with x/train/3 is above the limit 0.8 "
            "twin rad/train/6 was itself dropped at decontaminate by same_image, rotated 90, where the limit is score "
            "0.5 twin rad/test/1 is a row of the benchmark rad, which is only matched against it asks Is the heart",
        ),
        ("rad/train/8", r"it asks \x1b]0;owned"),
        ("rad/train/1", "kept, in sft train at position 17"),
        ("rad/train/1", "same_template rad/test/1 report 1.00 the same words, weight 0.0"),
    ],
)
def test_why_names_the_benchmark_row_and_lists_leaks(leaked: Build, uid: str, said: str) -> None:
    assert said in told(leaked, uid)
    assert "query: SELECT" not in told(leaked, uid)


def test_why_of_a_benchmark_row_says_what_it_is(leaked: Build) -> None:
    with pytest.raises(QueryError, match=r"rad/test/1 is a row of the benchmark rad.*FROM leaks"):
        why(leaked, "rad/test/1")


def test_why_of_many_twins_and_long_text(tmp_path: Path) -> None:
    rows = [sample("rad/train/1", question="lung " * 1000)]
    drops = [drop(f"slake/train/{i:03}", "dedup", "exact_duplicate", twin="rad/train/1") for i in range(50)]
    text = why(open_build(write_build(tmp_path / "b", samples=rows, drops=drops)), "rad/train/1")
    assert "50 rows dropped for this one" in text
    assert "and 30 more" in text
    assert "… (5,000 characters)" in text
    assert len(text) < 5000


def test_why_suggests_uids(build: Build, empty: Build) -> None:
    for given, meant in (
        ("rad/train/11", "rad/train/1"),
        ("slake/trian/8", "slake/train/8"),
        ("train/4", "rad/train/4"),
    ):
        with pytest.raises(QueryError) as caught:
            why(build, given)
        assert f"no row '{given}'" in str(caught.value)
        assert f"'{meant}'" in str(caught.value).partition("did you mean")[2]
    for odd in ("nothing like it at all", "x' OR true --", "\x1b[31m", "a" * 10_000, "", "a\ud800"):
        for which in (build, empty):
            with pytest.raises(QueryError) as caught:
                why(which, odd)
            assert str(caught.value).isprintable()
