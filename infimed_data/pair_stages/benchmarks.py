"""The stages of benchmarks: the index of their questions, and what the rows of each part match of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from infimed_data.decontaminate.grades import TextMatches
from infimed_data.decontaminate.matching import match_texts
from infimed_data.decontaminate.questions import QuestionIndex, write_index
from infimed_data.engine import Engine
from infimed_data.pair_stages.parts import Part, Say
from infimed_data.storage.stages import Stage, clear_folder, code_digest, key_of, read_table, write_table
from infimed_data.words import mixed

__all__ = ["Benchmarks", "match_benchmarks", "read_benchmarks"]


@dataclass(frozen=True)
class Benchmarks:
    """All benchmarks, read and ready to be matched against."""

    rows: pl.DataFrame
    """One row a benchmark row: row (number through all), uid, benchmark, rank, images, keys, question (number of its
    distinct question, or -1), stage and rule where ingest rejected it."""
    index: QuestionIndex
    key: str

    @property
    def questions(self) -> pl.DataFrame:
        """One row a distinct question: question (its number), digest, options, pictures, rows."""
        table = pl.DataFrame(self.index.questions.select(["question", "options", "pictures", "rows"]))
        return table.rename({"question": "digest"}).with_row_index("question").with_columns(
            pl.col("question").cast(pl.Int64)
        )  # fmt: skip


def read_benchmarks(parts: Sequence[Part], work: Path, engine: Engine, say: Say) -> Benchmarks:
    """The benchmarks with their question index, made now or before."""
    columns = ["uid", "images", "image_refs", "keys", "group", "stage", "rule"]
    frames = [
        pl.DataFrame(read_table(part.index, columns)).with_columns(
            benchmark=pl.lit(part.source), split=pl.lit(part.split)
        )
        for part in parts
    ]
    rows = pl.concat(frames).with_columns(rank=pl.col("uid").rank("ordinal").cast(pl.Int64) - 1)
    rows = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    code = code_digest("words.py", "pair_stages/benchmarks.py", "decontaminate/terms.py", "decontaminate/questions.py")
    pictures = _picture_digests(rows)
    content = key_of(int(np.bitwise_xor.reduce(mixed(pictures + mixed(rows["rank"].to_numpy().astype(np.uint64))))))
    key = key_of("questions", code, [part.texts_key for part in parts], content)
    stage = Stage(work, "questions", "benchmarks", key)
    with stage.running():
        if not stage.done():
            paths = [path for part in parts for path in part.texts]
            sizes = [count for part in parts for count in part.part_rows]
            counted = np.ones(len(rows), np.bool_)
            count = write_index(paths, sizes, counted, rows["rank"].to_numpy(), pictures, stage.folder, engine)
            say(f"bench   {count:,} distinct questions in {len(rows):,} rows")
            stage.finish({"questions": count})
    index = QuestionIndex(stage.folder)
    of_row = read_table(stage.folder / "of_row.arrow").column("question").to_numpy()
    return Benchmarks(rows.with_columns(question=pl.Series(of_row, dtype=pl.Int64)), index, key)


def _picture_digests(rows: pl.DataFrame) -> NDArray[np.uint64]:
    """A number for the pictures of each row, or for its group where they are not there; 0 for neither."""
    shown = pl.when(pl.col("images").list.len() > 0).then(pl.col("images").list.join(",")).otherwise("group")
    texts = rows.select(shown.alias("shown"))["shown"]
    numbers = [0 if text is None else xxhash.xxh3_64_intdigest(text.encode()) | 1 for text in texts.to_list()]
    return np.array(numbers, np.uint64)


def match_benchmarks(
    parts: Sequence[Part], benchmarks: Benchmarks, work: Path, engine: Engine, say: Say
) -> dict[int, TextMatches]:
    """What the questions of each part match, by its place among `parts`."""
    code = code_digest(
        "words.py",
        "pair_stages/benchmarks.py",
        "decontaminate/terms.py",
        "decontaminate/questions.py",
        "decontaminate/matching.py",
    )
    found = {}
    for unit, part in enumerate(parts):
        stage = Stage(
            work, "matches", part.name.replace("/", "-"), key_of("matches", code, part.texts_key, benchmarks.key)
        )
        with stage.running():
            if stage.done():
                say(f"match   {part.name}: {sum(part.part_rows):,} rows, cached")
            else:
                _match(stage, part, benchmarks.index, engine)
                say(f"match   {part.name}: {sum(part.part_rows):,} rows")
        found[unit] = _read_matches(stage.folder)
    return found


def _match(stage: Stage, part: Part, index: QuestionIndex, engine: Engine) -> None:
    scratch = stage.folder / "scratch"
    clear_folder(scratch)
    scratch.mkdir(parents=True)
    distinct, matches = match_texts(part.texts, part.part_rows, index, scratch, engine)
    tables = {
        "texts": pa.table({"digest": distinct.question, "options": distinct.options}),
        "rows": pa.table({"text": distinct.of_row}),
        "matches": matches,
    }
    for name, table in tables.items():
        write_table(stage.folder / f"{name}.arrow", table, table.schema)
    clear_folder(scratch)
    stage.finish({"texts": len(distinct.row), "matches": len(matches)})


def _read_matches(folder: Path) -> TextMatches:
    texts = read_table(folder / "texts.arrow")
    return TextMatches(
        read_table(folder / "rows.arrow").column("text").to_numpy(),
        texts.column("digest").to_numpy(),
        texts.column("options").to_numpy(),
        pl.DataFrame(read_table(folder / "matches.arrow")),
    )
