"""The stage that compares pictures: pairs that may be one picture, confirmed or refused on their pixels.

Cached under the content of all pictures. A pair that was compared before, for another build, is not compared again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import xxhash

from infimed_data.confirm_images import IMAGES_AT, PAIRS, ConfirmTask, confirm_images
from infimed_data.dedup.candidates import CANDIDATES, find_candidates
from infimed_data.dedup.components import components
from infimed_data.engine import Engine
from infimed_data.manifest import Limits
from infimed_data.progress import Progress
from infimed_data.schema import CONFIRMED, MEASURED
from infimed_data.storage.places import Place
from infimed_data.storage.squares import square_rows
from infimed_data.storage.stages import Stage, clear_folder, code_digest, key_of, read_table, write_table

__all__ = ["Compared", "Pictures", "benchmark_pairs", "compare_pictures", "confirm_tasks", "same_pictures"]

PAIRS_A_TASK = 384
_SIGNALS = ["digest", "phash", "patches", "places", "width", "height", "contrast"]
_PAIR = ["digest_a", "digest_b"]


@dataclass(frozen=True)
class Pictures:
    """The pictures of one source or benchmark and split."""

    place: Place
    images: Path
    """Measurements by reference (`schema.MEASURED`)."""
    content: str
    """Digest of the images' bytes by reference."""
    is_benchmark: bool


@dataclass(frozen=True)
class Compared:
    """Pairs of pictures that were looked at."""

    pairs: pl.DataFrame
    """`schema.CONFIRMED`, confirmed and refused, sorted."""
    left_out: int
    """Pairs of pictures that were not looked at, because both have enough likelier partners; of the search among the
    sources and of that against the benchmarks: a pair may be in both."""
    crowds: int
    """Groups of equal hashes or features in which only neighbours were compared, for they were too large."""


def compare_pictures(
    pictures: Sequence[Pictures],
    *,
    within_sources: bool,
    limits: Limits,
    task_bytes: int,
    work: Path,
    engine: Engine,
    say: Callable[[str], None],
    quiet: bool,
) -> Compared:
    """Compares the sources' pictures with the benchmarks', and `within_sources` also with one another. `task_bytes` is
    about what one task may hold in memory."""
    code = code_digest(
        "schema.py", "images", "picture_stages.py", "confirm_images.py", "storage/squares.py",
        "dedup/confirm", *(f"dedup/{name}.py" for name in ("buckets", "candidates", "hamming", "votes")),
    )  # fmt: skip
    content = sorted((one.content, one.is_benchmark) for one in pictures)
    key = key_of("pictures", code, content, within_sources, limits.max_image_bytes, limits.max_image_pixels)
    stage = Stage(work, f"pictures-{code[:8]}", "pairs", key)
    with stage.running():
        facts = stage.done()
        ran = facts is None
        if facts is None:
            candidates, counts = _candidates(pictures, within_sources, task_bytes, stage.folder)
            new = _confirm(stage, candidates, pictures, limits, engine, quiet)
            facts = stage.finish({**counts, "new": new})
    pairs = pl.DataFrame(read_table(stage.folder / "confirmed.arrow"))
    compared = Compared(pairs, facts["left_out"], facts["crowds"])
    confirmed = compared.pairs.filter(pl.col("verdict") == "confirmed").height
    if len(compared.pairs) or ran:
        say(
            f"pairs   {len(compared.pairs):,} pairs of pictures looked at: {confirmed:,} are one picture, "
            f"{len(compared.pairs) - confirmed:,} are not" + ("" if ran else ", cached")
        )
    return compared


def _measured(pictures: Sequence[Pictures]) -> pl.DataFrame:
    """One row a distinct picture: its signals, and whether sources and benchmarks have it."""
    tables = [
        pl.DataFrame(read_table(one.images, _SIGNALS)).select(_SIGNALS).with_columns(benchmark=pl.lit(one.is_benchmark))
        for one in pictures
    ]
    nothing = pl.DataFrame(MEASURED.empty_table()).select(_SIGNALS).with_columns(benchmark=pl.lit(True))
    return (
        pl.concat([nothing, *tables])
        .filter(pl.col("digest").is_not_null())
        .group_by("digest")
        .agg(pl.exclude("benchmark").first(), held=pl.col("benchmark").any(), trained=(~pl.col("benchmark")).any())
        .sort("digest")
    )


def _candidates(
    pictures: Sequence[Pictures], within_sources: bool, hold_bytes: int, folder: Path
) -> tuple[pl.DataFrame, dict[str, int]]:
    """(pairs worth a look, in the columns of `CANDIDATES`; how many were left out and why, as `Compared` has them)."""
    measured = _measured(pictures)
    found = []
    if measured["held"].any() and measured["trained"].any():
        table = measured.select(_SIGNALS).to_arrow(compat_level=pl.CompatLevel.oldest())
        found.append(
            find_candidates(table, benchmark=measured["held"].to_numpy(), hold_bytes=hold_bytes, folder=folder)
        )
    if within_sources:
        own = measured.filter("trained").select(_SIGNALS).to_arrow(compat_level=pl.CompatLevel.oldest())
        found.append(find_candidates(own, hold_bytes=hold_bytes, folder=folder))
    empty = pl.DataFrame(CANDIDATES.empty_table())
    pairs = pl.concat([empty, *(pl.DataFrame(one.pairs) for one in found)])
    pairs = pairs.unique(_PAIR, keep="first", maintain_order=True).sort(_PAIR)
    return pairs, {"left_out": sum(one.cut for one in found), "crowds": sum(one.capped_buckets for one in found)}


def _confirm(
    stage: Stage, candidates: pl.DataFrame, pictures: Sequence[Pictures], limits: Limits, engine: Engine, quiet: bool
) -> int:
    """Writes all pairs, with what is known of them or found out now; returns how many were looked at now."""
    known = _known(stage)
    new = candidates.join(known, on=_PAIR, how="anti", maintain_order="left")
    # What is known may change until a run that was cut off goes on: its parts are those of the same pairs only.
    named = "".join([*new["digest_a"], *new["digest_b"]])
    scratch = stage.folder / f"of-{xxhash.xxh3_64_hexdigest(named.encode())}"
    scratch.mkdir(exist_ok=True)
    tasks = confirm_tasks(new, pictures, limits, scratch)
    with Progress("pictures", len(new), "pairs", quiet=quiet) as progress:
        todo = [task for task in tasks if not task.out.exists()]
        progress.add(len(new) - sum(task.stop - task.start for task in todo))
        for _, fact in engine.map(confirm_images, todo, label="comparing pictures", heavy=len(new) > 64):
            progress.add(fact["pairs"])
    results = [known.join(candidates, on=_PAIR, how="semi"), *(pl.DataFrame(read_table(task.out)) for task in tasks)]
    table = pl.concat(results).sort(_PAIR).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(CONFIRMED)
    write_table(stage.folder / "confirmed.arrow", table, CONFIRMED)
    clear_folder(scratch)
    return len(new)


def confirm_tasks(pairs: pl.DataFrame, pictures: Sequence[Pictures], limits: Limits, folder: Path) -> list[ConfirmTask]:
    """Tasks that look at all `pairs` (the columns of `CANDIDATES`); what they read and write is in `folder`."""
    images = _where(pictures, pl.concat([pairs["digest_a"], pairs["digest_b"]]).unique())
    numbered = images.select("digest").with_row_index("at").with_columns(pl.col("at").cast(pl.Int32))
    for side in ("a", "b"):
        own = numbered.rename({"digest": f"digest_{side}", "at": f"at_{side}"})
        pairs = pairs.join(own, on=f"digest_{side}", how="left", maintain_order="left")
    for name, frame, schema in (("pairs", pairs, PAIRS), ("images", images, IMAGES_AT)):
        table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
        write_table(folder / f"{name}.arrow", table, schema)
    places = tuple((one.place, one.images.parent) for one in pictures)
    return [
        ConfirmTask(
            folder / "pairs.arrow", start, min(start + PAIRS_A_TASK, len(pairs)), folder / "images.arrow", places,
            limits.max_image_bytes, limits.max_image_pixels, folder / f"part-{start // PAIRS_A_TASK:06d}.arrow",
        )
        for start in range(0, len(pairs), PAIRS_A_TASK)
    ]  # fmt: skip


def _known(stage: Stage) -> pl.DataFrame:
    """Pairs that earlier runs of this code compared; a picture that could not be read then is looked at again."""
    finished = sorted(
        path for path in stage.folder.parent.glob("*/confirmed.arrow") if (path.parent / "done.json").exists()
    )
    tables = [pl.DataFrame(CONFIRMED.empty_table()), *(pl.DataFrame(read_table(path)) for path in finished)]
    known = pl.concat(tables).filter(pl.col("reason") != "unreadable")
    return known.unique(_PAIR, keep="first", maintain_order=True)


def _where(pictures: Sequence[Pictures], wanted: pl.Series) -> pl.DataFrame:
    """Where each picture is (`IMAGES_AT`), by digest: the first reference of the first place that has it."""
    found = [pl.DataFrame(IMAGES_AT.empty_table())]
    for number, one in enumerate(pictures):
        table = pl.DataFrame(read_table(one.images, ["digest", "ref", "width", "height"]))
        table = table.filter(pl.col("digest").is_in(wanted.implode())).sort("ref").unique("digest", keep="first")
        rows = square_rows(one.images.parent, table["digest"].to_arrow(compat_level=pl.CompatLevel.oldest()))
        table = table.with_columns(place=pl.lit(number, pl.Int32), square=pl.Series(rows).cast(pl.Int64))
        found.append(table.select(IMAGES_AT.names))
    return pl.concat(found).unique("digest", keep="first", maintain_order=True).sort("digest")


_TURNED = r"\b(?:flipped|rotated|transposed)\b"


def same_pictures(pairs: pl.DataFrame, least_score: float) -> pl.DataFrame:
    """image and stands_for: pictures that are one for duplicates, by the smallest digest of each.

    A picture and its mirror image are two: in a mirror, left is right.
    """
    one = pairs.filter((pl.col("score") >= least_score) & ~pl.col("transform").str.contains(_TURNED))
    named = sorted({*one["digest_a"], *one["digest_b"]})
    number = {digest: at for at, digest in enumerate(named)}
    first, second = (np.array([number[digest] for digest in one[name]], np.int64) for name in _PAIR)
    label = components(len(named), first, second)
    return pl.DataFrame(
        {"image": named, "stands_for": [named[at] for at in label.tolist()]},
        schema={"image": pl.String, "stands_for": pl.String},
    )


def benchmark_pairs(compared: pl.DataFrame, ours: pl.Series, theirs: pl.Series) -> pl.DataFrame:
    """image, benchmark_image, score and transform: pairs of a source's and a benchmark's picture that may be one.

    `ours` and `theirs` are the digests of all pictures of sources and of benchmarks. A transform says what is done to
    the benchmark's picture to have the source's.
    """
    ours, theirs = ours.drop_nulls().unique(), theirs.drop_nulls().unique()
    equal = ours.filter(ours.is_in(theirs.implode())).sort()
    same = pl.DataFrame({"image": equal}, schema={"image": pl.String}).with_columns(
        benchmark_image="image", score=pl.lit(1.0), transform=pl.lit("the same pixels")
    )
    forward = compared.select(image="digest_b", benchmark_image="digest_a", score="score", transform="transform")
    backward = compared.select(
        image="digest_a", benchmark_image="digest_b", score="score", transform=_other_way_round("transform")
    )
    pairs = pl.concat([forward, backward]).with_columns(pl.col("score").cast(pl.Float64).round(4))
    pairs = pairs.filter(pl.col("image").is_in(ours.implode()) & pl.col("benchmark_image").is_in(theirs.implode()))
    return pl.concat([same, pairs]).sort("image", "benchmark_image")


def _other_way_round(name: str) -> pl.Expr:
    """The transform that undoes another: a quarter turn is undone by one in the other direction."""
    text = pl.col(name)
    return (
        pl.when(text.str.contains("rotated 90", literal=True))
        .then(text.str.replace("rotated 90", "rotated 270", literal=True))
        .otherwise(text.str.replace("rotated 270", "rotated 90", literal=True))
    )
