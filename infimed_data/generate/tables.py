"""The tables of a build that passes make: `candidates`, `generated`, `difficulty`; and what its lock says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from infimed_data.generate.running import Result
from infimed_data.generate.shards import shard_path
from infimed_data.generate.taught import Taught
from infimed_data.manifest import Manifest
from infimed_data.rejection import CANDIDATES, GENERATED
from infimed_data.schema import DIFFICULTY
from infimed_data.storage.stages import atomic_write, read_table, write_parquet

__all__ = ["generate_facts", "write_generated"]

GROUP_ROWS = 4096


def write_generated(folder: Path, taught: Taught, placed: pl.DataFrame) -> dict[str, int]:
    """Writes the tables into `folder`; returns rows by file. Rows stand by pass, in the order in which its samples were
    asked about. `placed` (pass, key, sft_split, sft_position) says where winners became rows of an output."""
    if not taught.results:
        return {}

    def plain(table: pa.Table) -> pa.Table:
        return table.replace_schema_metadata(None)

    def with_places(table: pa.Table) -> pa.Table:
        return _placed(table, placed)

    written: dict[str, int] = {}
    path = folder / "candidates.parquet"
    written[path.name] = _written(path, CANDIDATES, taught.results, with_places)
    passes = [result for result in taught.results if not result.job.measures]
    if passes:
        path = folder / "generated.parquet"
        written[path.name] = _written(path, GENERATED, passes, plain)
    if taught.difficulty is not None:
        path = folder / "difficulty.parquet"
        written[path.name] = write_parquet(path, taught.difficulty, DIFFICULTY)
    return written


def _shards(results: Sequence[Result], name: str) -> Iterator[pa.Table]:
    for result in results:
        for number in range(result.shards):
            yield read_table(shard_path(result.job.stage, name, number))


def _written(path: Path, schema: pa.Schema, results: Sequence[Result], change: Callable[[pa.Table], pa.Table]) -> int:
    """Writes the rows of all shards in row groups of one size, however the shards were cut; returns their number."""
    rows = 0
    waiting = schema.empty_table()
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in _shards(results, path.stem):
            waiting = pa.concat_tables([waiting, change(table).cast(schema)])
            rows += len(table)
            while len(waiting) >= GROUP_ROWS:
                writer.write_table(waiting.slice(0, GROUP_ROWS).combine_chunks())
                waiting = waiting.slice(GROUP_ROWS)
        if len(waiting):
            writer.write_table(waiting.combine_chunks())
    return rows


def _placed(table: pa.Table, placed: pl.DataFrame) -> pa.Table:
    """The candidates of a shard with the places that winners have in an output."""
    keys = pl.DataFrame(table.select(["pass", "key"]))
    where = keys.join(placed, on=["pass", "key"], how="left", maintain_order="left")
    for name in ("sft_split", "sft_position"):
        at = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(at, field, pa.array(where[name].to_list(), field.type))
    return table


def generate_facts(taught: Taught, manifest: Manifest, replays: Mapping[str, tuple[Path, str]]) -> dict[str, Any]:
    """What the lock says of each pass: how it asked, what came back, what was refused and why, and what it cost.

    Money and tokens are those of the answers that the pass rests on, whenever they were paid; an answer that several
    samples share counts once in a pass.
    """
    return {result.job.name: _facts(result, manifest, replays) for result in taught.results}


def _facts(result: Result, manifest: Manifest, replays: Mapping[str, tuple[Path, str]]) -> dict[str, Any]:
    settings, account = result.job.settings, result.account
    candidates = account["candidates"]
    facts: dict[str, Any] = {
        "strategy": settings.strategy,
        "teachers": {
            name: {
                "backend": manifest.teachers[name].backend,
                "model": manifest.teachers[name].model,
                "revision": manifest.teachers[name].revision,
                "replayed": replays[name][1] if name in replays else None,
            }
            for name in settings.teachers
        },
        "drawing": settings.drawing.model_dump(mode="json"),
        "prompts": account["prompts"],
        "taken": result.job.rows.height,
        "rows": account["rows"],
        "candidates": candidates,
        "replayed": account["replayed"],
        "accepted": account["accepted"],
        "accept_rate": round(account["accepted"] / candidates, 6) if candidates else None,
        "verdicts": account["verdicts"],
        "refusals": account["refusals"],
        "failed_requests": account["transient"],
        "spent": _spent(result, manifest),
    }
    if result.job.measures:
        return facts
    return facts | {
        "with_trace": account["with_winner"],
        "traces": account["winners"],
        "answer_only": account["answer_only"],
        "failed": settings.failed,
        "without_trace": account["rules"],
        "gates": account["gates"],
        "patterns": account["patterns"],
        "gold_revealed": account["gold_revealed"],
        "marks": len(result.job.marks),
        "overruled": account["overruled"],
        "fill": list(result.filled),
    }


def _spent(result: Result, manifest: Manifest) -> dict[str, Any]:
    """Answers, tokens and money by teacher."""
    frames = [pl.DataFrame(table) for table in _shards([result], "spent")]
    if not frames:
        return {}
    answers = pl.concat(frames).unique("key", keep="first", maintain_order=True)
    found: dict[str, Any] = {}
    share = pl.col("prompt_tokens") / pl.col("choices")
    for (name,), own in sorted(answers.group_by("teacher"), key=lambda item: str(item[0][0])):
        asked = own.filter(pl.col("backend") != "replay")
        price = manifest.teachers[str(name)].price
        prompt_tokens = float(asked.select(share.sum()).item())
        completion_tokens = int(asked["completion_tokens"].sum())
        found[str(name)] = {
            "answers": own.height,
            "replayed": own.height - asked.height,
            "prompt_tokens": round(prompt_tokens),
            "completion_tokens": completion_tokens,
            "usd": None if price is None else round(price.usd(round(prompt_tokens), completion_tokens), 6),
        }
    return found
