"""The stages that compare rows with one another: near-duplicate texts, and rows with benchmarks.

Each is cached under the content of what it compares. What they find is evidence (similarities, shares, scores); what is
a leak of it is decided later, so changing such a limit compares nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from infimed_data.decontaminate.grades import GRADES, TextMatches, find_leaks
from infimed_data.decontaminate.matching import match_texts
from infimed_data.decontaminate.questions import QuestionIndex, write_index
from infimed_data.dedup.near import LONG_TEXTS, SHORT_TEXTS, Near, Regime, near_duplicates
from infimed_data.dedup.shingles import DocPart
from infimed_data.engine import Engine
from infimed_data.errors import SourceError
from infimed_data.manifest import Dedup, Manifest
from infimed_data.picture_stages import Compared as ComparedPictures
from infimed_data.picture_stages import Pictures, benchmark_pairs, compare_pictures, same_pictures
from infimed_data.schema import ABSENT_RULES, VERIFIABLE_KINDS
from infimed_data.storage.places import Place
from infimed_data.storage.stages import Stage, clear_folder, code_digest, key_of, read_table, write_table
from infimed_data.words import mixed, sequence_digests, texts_of

__all__ = ["Compared", "Part", "compare"]

Say = Callable[[str], None]

_KINDS = ("long", "short")
"""Kinds of texts that are compared with their like."""


@dataclass(frozen=True)
class Part:
    """One source and split, or benchmark and split, that has been read."""

    source: str
    split: str
    rows: tuple[Path, ...]
    """Ingested parts."""
    texts: tuple[Path, ...]
    """Parts of its text signals."""
    texts_key: str
    part_rows: tuple[int, ...]
    place: Place
    images: Path
    """Measurements of its images by reference."""
    image_content: str
    """Digest of the images' bytes by reference."""
    index: Path
    index_key: str

    @property
    def name(self) -> str:
        """`source/split`."""
        return f"{self.source}/{self.split}"


@dataclass(frozen=True)
class Compared:
    """What comparing rows has found."""

    near: Sequence[Near]
    """Near-duplicates of long and of short texts; empty where they are not looked for."""
    leaks: pl.DataFrame | None
    """What `find_leaks` gave; None without benchmarks."""
    benchmarks: pl.DataFrame | None
    """All benchmark rows, as `Benchmarks.rows` has them."""
    same_picture: pl.DataFrame
    """image and stands_for: pictures that count as one."""
    pictures: pl.DataFrame
    """All pairs of pictures that were looked at (`schema.CONFIRMED`)."""
    summary: Sequence[Mapping[str, Any]]
    """One record a benchmark: its rows, what they lack, and the rows that leak it by grade."""
    counts: Mapping[str, Any]
    """How many pairs were compared and passed over."""

    @property
    def benchmark_uids(self) -> pl.Series | None:
        """The uids of all benchmark rows."""
        return None if self.benchmarks is None else self.benchmarks["uid"]


def compare(
    rows: pl.DataFrame,
    parts: Sequence[Part],
    benchmark_parts: Sequence[Part],
    manifest: Manifest,
    marks: Mapping[str, bool],
    work: Path,
    engine: Engine,
    say: Say,
    where: Callable[..., str],
    *,
    quiet: bool,
) -> Compared:
    """Compares the `rows` of all `parts` (numbered through) with one another and with the benchmarks'.

    `where` gives the line of a key of the manifest. Raises `SourceError` for a benchmark that has nothing to match.
    """
    counts: dict[str, Any] = {}
    near: list[Near] = []
    looked_at = _compare_pictures(parts, benchmark_parts, manifest, work, engine, say, quiet)
    counts["pictures"] = _picture_counts(looked_at)
    same_picture = same_pictures(looked_at.pairs, manifest.dedup.image_score)
    if manifest.dedup.near:
        near = _compare_texts(rows, parts, same_picture, manifest.dedup, work, engine, say)
        for name, found in zip(_KINDS, near, strict=True):
            counts[f"{name}_texts"] = {
                "pairs": len(found.first),
                "compared": found.compared,
                "passed_over": found.passed_over,
            }
    if not benchmark_parts:
        return Compared(near, None, None, same_picture, looked_at.pairs, (), counts)
    benchmarks = _read_benchmarks(benchmark_parts, work, engine, say)
    _check_matchable(benchmarks.rows, where)
    texts = _match_benchmarks(parts, benchmarks, work, engine, say)
    ours, theirs = (frame["images"].explode() for frame in (rows, benchmarks.rows))
    pictures = benchmark_pairs(looked_at.pairs, ours, theirs)
    readable = (pl.col("stage").fill_null("") != "ingest") | pl.col("rule").is_in(ABSENT_RULES)
    readable &= pl.col("stage").fill_null("") != "phi"  # quarantined: nothing of it is shown beside a benchmark's row
    chosen = rows.filter(readable).select("number", "unit", "at", "digest", "images", "keys")
    leaks = find_leaks(chosen, benchmarks.rows, benchmarks.questions, texts, pictures, manifest.decontaminate, marks)
    return Compared(
        near, leaks, benchmarks.rows, same_picture, looked_at.pairs, _summary(benchmarks.rows, leaks), counts
    )


def _check_matchable(benchmarks: pl.DataFrame, where: Callable[..., str]) -> None:
    """A benchmark without a question, a picture or a key must not pass for one that nothing leaks."""
    something = (pl.col("question") >= 0) | (pl.col("images").list.len() > 0) | (pl.col("keys").list.len() > 0)
    counted = benchmarks.group_by("benchmark", maintain_order=True).agg(rows=pl.len(), matchable=something.sum())
    for name, rows, matchable in counted.iter_rows():
        if not matchable:
            raise SourceError(
                f"{where('benchmarks', name)}: benchmark '{name}': none of its {rows:,} rows has a question, an image "
                "or a group to match; mend it"
            )


def _compare_pictures(
    parts: Sequence[Part],
    benchmark_parts: Sequence[Part],
    manifest: Manifest,
    work: Path,
    engine: Engine,
    say: Say,
    quiet: bool,
) -> ComparedPictures:
    """The pictures that have to be compared: sources' with benchmarks', and with one another where that matters: for
    near-duplicates, for caps by picture and for splits that no picture may cross.
    """
    looked_for = any(not manifest.decontaminate.is_off(grade) for grade in ("same_item", "same_image"))
    held = [*benchmark_parts] if looked_for else []
    pictures = [
        Pictures(part.place, part.images, part.image_content, part in benchmark_parts) for part in (*parts, *held)
    ]
    outputs = [output for _, output in manifest.outputs.items()]
    split = any(output.validation or output.mixture.max_per_image for output in outputs)
    return compare_pictures(
        pictures,
        within_sources=manifest.dedup.near or split,
        limits=manifest.limits,
        work=work,
        engine=engine,
        say=say,
        quiet=quiet,
    )


def _picture_counts(looked_at: ComparedPictures) -> dict[str, int]:
    verdicts = dict(looked_at.pairs.group_by("verdict").len().iter_rows())
    confirmed, refused = verdicts.get("confirmed", 0), verdicts.get("refused", 0)
    counts = {"examined": confirmed + refused, "confirmed": confirmed, "refused": refused}
    return {**counts, "left_out": looked_at.left_out, "crowds": looked_at.crowds}


def _summary(benchmarks: pl.DataFrame, leaks: pl.DataFrame) -> list[dict[str, Any]]:
    """One record a benchmark, in the manifest's order."""
    lacking = pl.col("rule").is_in(ABSENT_RULES) | (pl.col("images").list.len() < pl.col("image_refs").list.len())
    counted = benchmarks.group_by("benchmark", maintain_order=True).agg(
        rows=pl.len(),
        without_image=lacking.sum(),
        text_only=((pl.col("stage") == "ingest") & ~pl.col("rule").is_in(ABSENT_RULES)).sum(),
        questions=pl.col("question").filter(pl.col("question") >= 0).n_unique(),
        images=pl.col("images").explode(empty_as_null=False, keep_nulls=False).n_unique(),
    )
    by_grade = leaks.group_by("benchmark", "grade").agg(rows=pl.len())
    found: dict[str, dict[str, int]] = {}
    for name, grade, count in by_grade.iter_rows():
        found.setdefault(name, {})[grade] = count
    return [
        {**row, "leaks": {grade: found.get(row["benchmark"], {}).get(grade, 0) for grade in GRADES}}
        for row in counted.iter_rows(named=True)
    ]


def _compare_texts(
    rows: pl.DataFrame,
    parts: Sequence[Part],
    same_picture: pl.DataFrame,
    dedup: Dedup,
    work: Path,
    engine: Engine,
    say: Say,
) -> list[Near]:
    """Near-duplicates among the rows that still stand: of the long texts, then of the short ones.

    `same_picture` (columns image, stands_for) says which pictures are one. Only rows of the same pictures and, where a
    rule can verify it, the same answer are near-duplicates.
    """
    gates = [_gates(rows.filter(pl.col("unit") == unit), part, same_picture) for unit, part in enumerate(parts)]
    code = code_digest("words.py", "pair_stages.py", "dedup/near.py", "dedup/join.py", "dedup/shingles.py")
    content = [
        [part.texts_key, key_of(int(np.bitwise_xor.reduce(mixed(gate + mixed(np.arange(len(gate), dtype=np.uint64))))))]
        for part, gate in zip(parts, gates, strict=True)
    ]
    found = []
    ran = False
    regimes = (replace(LONG_TEXTS, threshold=dedup.text), replace(SHORT_TEXTS, threshold=dedup.short_text))
    for name, regime in zip(_KINDS, regimes, strict=True):
        stage = Stage(work, "near", name, key_of("near", code, str(regime), content))
        with stage.running():
            facts = stage.done()
            if facts is None:
                near = _compare(stage.folder, parts, gates, regime, engine)
                facts = stage.finish({"compared": near.compared, "passed_over": near.passed_over})
                ran = True
        found.append(_read_near(stage.folder, facts))
    counted = ", ".join(f"{len(near.first):,} pairs of {name} texts" for name, near in zip(_KINDS, found, strict=True))
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
    folder: Path, parts: Sequence[Part], gates: Sequence[NDArray[np.uint64]], regime: Regime, engine: Engine
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
    near = near_duplicates(docs, rows, regime, engine, scratch)
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


def _read_benchmarks(parts: Sequence[Part], work: Path, engine: Engine, say: Say) -> Benchmarks:
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
    code = code_digest("words.py", "pair_stages.py", "decontaminate/terms.py", "decontaminate/questions.py")
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


def _match_benchmarks(
    parts: Sequence[Part], benchmarks: Benchmarks, work: Path, engine: Engine, say: Say
) -> dict[int, TextMatches]:
    """What the questions of each part match, by its place among `parts`."""
    code = code_digest(
        "words.py",
        "pair_stages.py",
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
