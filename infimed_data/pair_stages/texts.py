"""The stage of near-duplicate texts: of the long ones, then of the short ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from infimed_data.dedup.near import LONG_TEXTS, SHORT_TEXTS, Near, Regime, near_duplicates
from infimed_data.dedup.shingles import DocPart
from infimed_data.engine import Engine
from infimed_data.manifest import Dedup
from infimed_data.pair_stages.parts import Part, Say
from infimed_data.schema import VERIFIABLE_KINDS
from infimed_data.storage.stages import Stage, clear_folder, code_digest, key_of, read_table, write_table
from infimed_data.words import mixed, sequence_digests, texts_of

__all__ = ["KINDS", "compare_texts"]

KINDS = ("long", "short")
"""Kinds of texts that are compared with their like."""


def compare_texts(
    rows: pl.DataFrame,
    parts: Sequence[Part],
    same_picture: pl.DataFrame,
    dedup: Dedup,
    task_bytes: int,
    work: Path,
    engine: Engine,
    say: Say,
) -> list[Near]:
    """Near-duplicates among the rows that still stand: of the long texts, then of the short ones.

    `same_picture` (columns image, stands_for) says which pictures are one. Only rows of the same pictures and, where a
    rule can verify it, the same answer are near-duplicates.
    """
    gates = [_gates(rows.filter(pl.col("unit") == unit), part, same_picture) for unit, part in enumerate(parts)]
    code = code_digest("words.py", "pair_stages/texts.py", "dedup/near.py", "dedup/join.py", "dedup/shingles.py")
    content = [
        [part.texts_key, key_of(int(np.bitwise_xor.reduce(mixed(gate + mixed(np.arange(len(gate), dtype=np.uint64))))))]
        for part, gate in zip(parts, gates, strict=True)
    ]
    found = []
    ran = False
    regimes = (replace(LONG_TEXTS, threshold=dedup.text), replace(SHORT_TEXTS, threshold=dedup.short_text))
    for name, regime in zip(KINDS, regimes, strict=True):
        stage = Stage(work, "near", name, key_of("near", code, str(regime), content))
        with stage.running():
            facts = stage.done()
            if facts is None:
                near = _compare(stage.folder, parts, gates, regime, task_bytes, engine)
                facts = stage.finish({"compared": near.compared, "passed_over": near.passed_over})
                ran = True
        found.append(_read_near(stage.folder, facts))
    counted = ", ".join(f"{len(near.first):,} pairs of {name} texts" for name, near in zip(KINDS, found, strict=True))
    say(f"near    {counted}" + ("" if ran else ", cached"))
    return found


def _gates(rows: pl.DataFrame, part: Part, same_picture: pl.DataFrame) -> NDArray[np.uint64]:
    """A number for each row of a part that only rows share which may be duplicates; 0: it takes no part."""
    each = rows.select("at", image="images").explode("image", empty_as_null=False, keep_nulls=False)
    each = each.join(same_picture, on="image", how="left", maintain_order="left").select(
        "at",
        place=pl.int_range(pl.len()).over("at").cast(pl.UInt64),
        image=pl.coalesce("stands_for", "image").str.head(16).str.to_integer(base=16, dtype=pl.UInt64),
    )
    pictures = np.zeros(len(rows), np.uint64)
    np.add.at(pictures, each["at"].to_numpy(), mixed(each["image"].to_numpy() ^ mixed(each["place"].to_numpy())))
    answers = np.concatenate([_answer_digests(path) for path in part.texts])
    answers[~rows["answer_kind"].is_in(VERIFIABLE_KINDS).fill_null(False).to_numpy()] = 0
    gates = mixed(pictures ^ mixed(answers)) | np.uint64(1)
    gates[rows["rule"].is_not_null().to_numpy()] = 0
    return gates


def _answer_digests(path: Path) -> NDArray[np.uint64]:
    words, bounds, _ = texts_of(read_table(path, ["answered"]).column("answered"))
    return sequence_digests(words, bounds)


def _compare(
    folder: Path,
    parts: Sequence[Part],
    gates: Sequence[NDArray[np.uint64]],
    regime: Regime,
    task_bytes: int,
    engine: Engine,
) -> Near:
    scratch = folder / "scratch"
    clear_folder(scratch)
    scratch.mkdir(parents=True)
    docs, rows = [], []
    for number, (part, gate) in enumerate(zip(parts, gates, strict=True)):
        start = 0
        for place, (path, count) in enumerate(zip(part.texts, part.part_rows, strict=True)):
            own = gate[start : start + count]
            file = scratch / f"gates-{number:04d}-{place:05d}.arrow"
            table = pa.table({"gate": pa.array(own, pa.uint64(), mask=own == 0)})
            write_table(file, table, table.schema)
            docs.append(DocPart(path, file))
            rows.append(count)
            start += count
    near = near_duplicates(docs, rows, regime, engine, scratch, task_bytes=task_bytes)
    pairs = pa.table({"first": near.first, "second": near.second, "jaccard": near.jaccard})
    write_table(folder / "pairs.arrow", pairs, pairs.schema)
    groups = pa.table({"group": near.groups})
    write_table(folder / "groups.arrow", groups, groups.schema)
    clear_folder(scratch)
    return near


def _read_near(folder: Path, facts: dict[str, int]) -> Near:
    pairs, groups = read_table(folder / "pairs.arrow"), read_table(folder / "groups.arrow")
    first, second, jaccard = (pairs.column(name).to_numpy() for name in ("first", "second", "jaccard"))
    return Near(groups.column("group").to_numpy(), first, second, jaccard, facts["compared"], facts["passed_over"])
