"""What came of all passes, as far as decisions need it: no text, a few numbers a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from infimed_data.generate.jobs import Job
from infimed_data.generate.running import Result
from infimed_data.generate.shards import shard_path
from infimed_data.manifest import Manifest
from infimed_data.rejection import Tally, select
from infimed_data.storage.stages import key_of, read_table

__all__ = ["DIFFICULTY_COLUMNS", "Taught", "collect", "unused_marks"]

_TALLY = ["correct", "wrong", "unverifiable", "truncated", "failed"]
DIFFICULTY_COLUMNS = ["uid", "pass_rate", *_TALLY, "kept", "rule", "value", "limit"]


@dataclass(frozen=True)
class Taught:
    """What came of all passes."""

    results: Sequence[Result]
    content: str
    """Digest of all outcomes."""
    rows: pl.DataFrame
    """One row a sample that a pass took: number, pass_rate; rule, value and limit where it leaves the build (`stage`
    says why); rl_rule, rl_value and rl_limit where only `rl` may not draw it."""
    targets: pl.DataFrame
    """What outputs train on: number, unit, at, copy, pass, key, the file and row of its rationale, and its measures."""
    difficulty: pl.DataFrame | None
    """The table `difficulty`."""


def collect(results: Sequence[Result], manifest: Manifest) -> Taught:
    """Reads what decisions need of the passes' outcomes."""
    content = key_of([(result.job.name, result.content) for result in results])
    generated: list[pl.DataFrame] = []
    targets: list[pl.DataFrame] = []
    difficulty: pl.DataFrame | None = None
    for result in results:
        samples = _samples(result)
        if result.job.measures:
            difficulty = _difficulty(samples, manifest)
            continue
        generated.append(_left(result.job, samples))
        targets.append(_targets(result.job))
    rows = pl.concat(generated) if generated else pl.DataFrame(schema=_ROWS)
    if difficulty is not None:
        rows = _with_difficulty(rows, difficulty)
        difficulty = difficulty.select(DIFFICULTY_COLUMNS).sort("uid")
    else:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in ("rl_rule", "rl_value", "rl_limit"))
    return Taught(
        results,
        content,
        rows.sort("number"),
        pl.concat(targets) if targets else pl.DataFrame(schema=_TARGETS),
        difficulty,
    )


def unused_marks(result: Result) -> list[str]:
    """Keys of marks that no candidate of a pass has: of texts that were asked for anew, or of other builds."""
    if not result.job.marks:
        return []
    keys: set[str] = set()
    for number in range(result.shards):
        keys.update(read_table(shard_path(result.job.stage, "candidates", number), ["key"]).column("key").to_pylist())
    return sorted(set(result.job.marks) - keys)


_ROWS = {
    "number": pl.UInt32, "pass_rate": pl.Float64, "rule": pl.String, "value": pl.String, "limit": pl.String,
}  # fmt: skip
_TARGETS = {
    "number": pl.UInt32, "unit": pl.UInt32, "at": pl.UInt32, "copy": pl.Int32, "pass": pl.String, "key": pl.String,
    "file": pl.String, "row": pl.UInt32, "rationale_chars": pl.Int32, "words": pl.Int32, "text_tokens": pl.Int32,
}  # fmt: skip


def _samples(result: Result) -> pl.DataFrame:
    """The rows of `generated` that decisions need, with their numbers."""
    columns = ["uid", "kept", "answer_only", "pass_rate", *_TALLY, "rule", "value", "limit"]
    frames = [
        pl.DataFrame(read_table(shard_path(result.job.stage, "generated", number), columns))
        for number in range(result.shards)
    ]
    own = result.job.rows.select("uid", "number")
    return own.join(pl.concat(frames), on="uid", how="inner") if frames else own.head(0).with_columns(
        pl.lit(None, pl.Boolean).alias("kept"), pl.lit(None, pl.Boolean).alias("answer_only"),
        pl.lit(None, pl.Float64).alias("pass_rate"), *(pl.lit(None, pl.Int32).alias(name) for name in _TALLY),
        *(pl.lit(None, pl.String).alias(name) for name in ("rule", "value", "limit")),
    )  # fmt: skip


def _left(job: Job, samples: pl.DataFrame) -> pl.DataFrame:
    """What of a pass leaves the build: samples without a winner, and those that `fill` did not come to."""
    drops = job.settings.failed == "drop"
    tried = samples.select(
        "number", "pass_rate", *(pl.when(drops).then(pl.col(name)).alias(name) for name in ("rule", "value", "limit"))
    )
    if job.settings.fill is None:
        return tried.cast(_ROWS)  # type: ignore[arg-type]
    wanted = job.settings.fill.samples
    asked = pl.col("stratum").replace_strict(dict(wanted), default=None, return_dtype=pl.Int64)
    untried = job.rows.filter(~pl.col("number").is_in(tried["number"].implode())).select(
        "number",
        pass_rate=pl.lit(None, pl.Float64),
        rule=pl.when(drops).then(pl.lit("not_asked")),
        value=pl.when(drops).then(pl.format("stratum {}", "stratum")),
        limit=pl.when(drops).then(pl.format("{} samples", asked.fill_null(0))),
    )
    return pl.concat([tried.cast(_ROWS), untried.cast(_ROWS)])  # type: ignore[arg-type]


def _targets(job: Job) -> pl.DataFrame:
    frames = []
    for path in sorted(job.stage.folder.glob("targets-*.arrow")):
        columns = ["uid", "copy", "key", "rationale_chars", "words", "text_tokens"]
        frame = pl.DataFrame(read_table(path, columns)).with_row_index("row")
        frames.append(frame.with_columns(pl.lit(str(path)).alias("file"), pl.lit(job.name).alias("pass")))
    if not frames:
        return pl.DataFrame(schema=_TARGETS)
    named = pl.concat(frames).join(job.rows.select("uid", "number", "unit", "at"), on="uid", how="inner")
    return named.select(*_TARGETS).cast(_TARGETS)  # type: ignore[arg-type]


def _difficulty(samples: pl.DataFrame, manifest: Manifest) -> pl.DataFrame:
    assert manifest.difficulty is not None
    tallies = {uid: Tally(*counts) for uid, *counts in samples.select("uid", *_TALLY).iter_rows()}
    dropped = select(tallies, manifest.difficulty, seed=manifest.seed).dropped
    reasons = [dropped.get(uid) for uid in samples["uid"].to_list()]
    texts = {
        name: pl.Series(name, [reason and getattr(reason, name) for reason in reasons], pl.String)
        for name in ("rule", "value", "limit")
    }
    return samples.with_columns(*texts.values(), kept=texts["rule"].is_null())


def _with_difficulty(rows: pl.DataFrame, measured: pl.DataFrame) -> pl.DataFrame:
    """Adds what only `rl` may not draw. The pass rate is that of the model to be trained, where it was measured."""
    own = measured.select(
        "number", own_rate="pass_rate", rl_rule="rule", rl_value="value", rl_limit="limit"
    )  # fmt: skip
    both = rows.join(own, on="number", how="full", coalesce=True)
    return both.with_columns(pass_rate=pl.coalesce("own_rate", "pass_rate")).drop("own_rate")
