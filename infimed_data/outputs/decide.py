"""Where every row ends: exact duplicates, the draw of each output, and its split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from infimed_data.decontaminate.grades import drop_leaks
from infimed_data.dedup.exact import drop_exact_duplicates
from infimed_data.dedup.near import Near
from infimed_data.dedup.near_rows import drop_near_duplicates
from infimed_data.errors import BuildError
from infimed_data.manifest import Manifest
from infimed_data.mix import Draw, draw, eligible, split_by_group
from infimed_data.outputs.taught import NO_TARGETS, in_order_of_difficulty, placed_copies, taught_rows, with_traces

__all__ = ["Decided", "decide", "deciding_columns", "drop_compared", "gather", "strata_table"]

OutputName = Literal["sft", "rl"]


@dataclass
class Decided:
    """Where every row ends."""

    rows: pl.DataFrame
    """All rows in order of unit, part and row, with their drop or their outputs' splits and positions."""
    draws: dict[OutputName, Draw]
    warnings: list[str] = field(default_factory=list)
    targets: pl.DataFrame = field(default_factory=lambda: NO_TARGETS)
    """What teachers wrote for rows (see `decide`), with sft_split and sft_position of what became a row of `sft`."""


def deciding_columns(manifest: Manifest) -> list[str]:
    """Columns of an index that `decide` and the planning of files look at; the rest is read where rows are written."""
    mixtures = [spec.mixture for _, spec in manifest.outputs.items()]
    strata = [mixture.strata for mixture in mixtures]
    strata += [settings.fill.strata for settings in manifest.generate.values() if settings.fill is not None]
    named = {name for names in strata for name in names if name not in _CONSTANTS}
    named |= {mixture.order.by for mixture in mixtures if mixture.order}
    always = {
        "uid", "digest", "answer_kind", "group", "images", "image_keys", "image_bytes", "max_pixels", "deep",
        "keys", "stage", "rule", "value", "limit", "twin",
    }  # fmt: skip
    if manifest.asks_teachers:
        always |= {"pass_rate"}
    return sorted(always | named)


_SHINGLES = ("word 5-grams", "word pairs")
"""What long and short texts are compared by."""
_CONSTANTS = ("source", "split", "category", "license")
"""Fields that all rows of a unit share."""


def gather(indexes: Sequence[tuple[str, str, pl.DataFrame]], manifest: Manifest) -> pl.DataFrame:
    """The rows of all units, numbered through, from their indexes given as (source, split, index).

    Exact duplicates are marked as dropped, so that only rows that still stand are compared further.
    """
    frames = [
        frame.with_columns(
            pl.lit(unit, pl.UInt32).alias("unit"),
            pl.lit(source).alias("source"),
            pl.lit(split).alias("split"),
            pl.lit(manifest.sources[source].category).alias("category"),
            pl.lit(manifest.sources[source].license, pl.String).alias("license"),
        ).with_row_index("at")
        for unit, (source, split, frame) in enumerate(indexes)
    ]
    rows = pl.concat(frames).with_row_index("number")
    return drop_exact_duplicates(rows, _preference(manifest)) if manifest.dedup.exact else rows


def _preference(manifest: Manifest) -> list[str]:
    """All sources, the most preferred first."""
    return [*manifest.dedup.prefer, *(s for s in manifest.sources if s not in manifest.dedup.prefer)]


def drop_compared(
    rows: pl.DataFrame,
    manifest: Manifest,
    *,
    near: Sequence[Near] = (),
    leaks: pl.DataFrame | None = None,
    benchmark_uids: pl.Series | None = None,
) -> pl.DataFrame:
    """`rows`, which `gather` put together, with near-duplicates and leaks marked as dropped.

    `near` are the near-duplicates of long and of short texts; `leaks` is what `find_leaks` found, and `benchmark_uids`
    are the uids of the benchmark rows that it names.
    """
    if near:
        limits = (manifest.dedup.text, manifest.dedup.short_text)
        rows = drop_near_duplicates(rows, list(zip(near, limits, _SHINGLES, strict=True)), _preference(manifest))
    if leaks is not None and benchmark_uids is not None:
        rows = drop_leaks(rows, leaks, benchmark_uids)
    return rows


def decide(
    rows: pl.DataFrame,
    manifest: Manifest,
    *,
    same_picture: pl.DataFrame | None = None,
    taught: pl.DataFrame | None = None,
    targets: pl.DataFrame | None = None,
) -> Decided:
    """Draws and splits of `rows`, whose other drops are marked.

    `same_picture` (image, stands_for) says which pictures count as one for caps and splits. `taught` (number,
    pass_rate, rule, value, limit, rl_rule, rl_value, rl_limit) says what came of asking teachers: which rows leave, and
    which only `rl` may not draw. `targets` are the texts that teachers wrote: number, copy, and the measures of a row
    that has it; a row with several copies is one sample, and several rows of `sft`.
    """
    rows = _with_pictures(rows, same_picture)
    if taught is not None and targets is not None:
        rows = taught_rows(rows, taught, targets)
    alive = rows.filter(pl.col("rule").is_null())
    draws: dict[OutputName, Draw] = {}
    chosen: dict[OutputName, np.ndarray[Any, np.dtype[np.bool_]]] = {}
    refused: dict[int, tuple[str, str, str]] = {}
    for name, spec in manifest.outputs.items():
        conditions = eligible(name, spec)
        fits = alive.filter(*(condition for condition, _ in conditions.values())) if conditions else alive
        if name == "rl" and "rl_rule" in fits.columns:
            fits = fits.filter(pl.col("rl_rule").is_null())
        if name == "sft":
            fits = with_traces(fits)
        mixture = in_order_of_difficulty(name, spec.mixture, manifest)
        order = {mixture.order.by} if mixture.order else set()
        wanted = {"number", "uid", "pictures", "group", *mixture.strata, *order}
        missing = sorted(wanted - set(fits.columns))
        if missing:
            raise BuildError(
                f"outputs.{name}.mixture: no field {missing[0]!r} to order by; allowed: {', '.join(fits.columns)}"
            )
        draws[name] = draw(
            fits.select(*wanted).rename({"number": "row", "pictures": "images"}), name, mixture, seed=manifest.seed
        )
        for number, reason in draws[name].refused.items():
            refused.setdefault(number, (reason[0], f"{name}: {reason[1]}", reason[2]))
        taken = np.zeros(len(rows), np.bool_)
        taken[draws[name].chosen.to_numpy()] = True
        chosen[name] = taken
    rows, placed = _with_positions(rows, draws, chosen, manifest, NO_TARGETS if targets is None else targets)
    rows = _with_undrawn(rows, refused, manifest)
    decided = Decided(rows, draws, targets=placed)
    _check_outputs(decided, manifest)
    return decided


def _with_pictures(rows: pl.DataFrame, same_picture: pl.DataFrame | None) -> pl.DataFrame:
    """Adds `pictures`: the images, each by the one that stands for it."""
    pictures = pl.col("images")
    if same_picture is not None and not same_picture.is_empty():
        stands_for = pl.element().replace(same_picture["image"], same_picture["stands_for"])
        pictures = pictures.list.eval(stands_for)
    return rows.with_columns(pictures=pictures)


def _with_positions(
    rows: pl.DataFrame,
    draws: Mapping[OutputName, Draw],
    chosen: Mapping[OutputName, np.ndarray[Any, np.dtype[np.bool_]]],
    manifest: Manifest,
    targets: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Adds output, and each output's split and position within it; to targets those in `sft`."""
    shares = {name: spec.validation for name, spec in manifest.outputs.items()}
    drawn = rows.select("uid", "group", images="pictures", row="number").with_columns(
        pl.Series(name, taken) for name, taken in chosen.items()
    ).filter(pl.any_horizontal(*chosen))  # fmt: skip
    aside = split_by_group(drawn, {str(k): v for k, v in shares.items()}, seed=manifest.seed)
    columns = []
    places: list[pl.DataFrame] = []
    for name in ("sft", "rl"):
        side = np.zeros(len(rows), np.int8)
        position = np.full(len(rows), -1, np.int64)
        if name in draws:
            ordered = draws[name].chosen.to_numpy()
            held = np.isin(ordered, np.fromiter(aside[name], np.int64, len(aside[name])))
            for code, split, members in ((1, "train", ordered[~held]), (2, "validation", ordered[held])):
                side[members] = code
                position[members] = np.arange(len(members))
                if name == "sft" and len(targets):
                    own = placed_copies(targets, members, shuffled=draws[name].shuffled, seed=manifest.seed)
                    places.append(own.with_columns(sft_split=pl.lit(split)))
                    first = own.filter(pl.col("copy") == 0)
                    position[first["number"].to_numpy()] = first["sft_position"].to_numpy()
        columns += [
            pl.Series(f"{name}_split", side).replace_strict(
                {1: "train", 2: "validation"}, default=None, return_dtype=pl.String
            ),
            pl.Series(f"{name}_position", position).replace(-1, None),
        ]
    rows = rows.with_columns(columns).with_columns(
        output=pl.concat_str(
            [pl.when(pl.col(f"{n}_split").is_not_null()).then(pl.lit(n)) for n in ("sft", "rl")],
            separator="+", ignore_nulls=True,
        ).replace("", None)
    )  # fmt: skip
    if not places:
        return rows, targets.select(NO_TARGETS.columns) if "sft_split" in targets.columns else _unplaced(targets)
    return rows, targets.join(pl.concat(places), on=["number", "copy"], how="left", maintain_order="left")


def _unplaced(targets: pl.DataFrame) -> pl.DataFrame:
    return targets.with_columns(sft_split=pl.lit(None, pl.String), sft_position=pl.lit(None, pl.Int64))


def _with_undrawn(rows: pl.DataFrame, refused: Mapping[int, tuple[str, str, str]], manifest: Manifest) -> pl.DataFrame:
    """Marks rows that no output drew as dropped by the stage `mix`."""
    undrawn = pl.col("rule").is_null() & pl.col("output").is_null()
    # A row that only `rl` could have drawn, and that was too hard or too easy for it, leaves for that reason.
    if "rl_rule" in rows.columns:
        eligible_elsewhere = pl.col("number").is_in(pl.Series(list(refused), dtype=pl.UInt32).implode())
        only_rl = undrawn & pl.col("rl_rule").is_not_null() & ~eligible_elsewhere
        rows = rows.with_columns(
            stage=pl.when(only_rl).then(pl.lit("difficulty")).otherwise("stage"),
            rule=pl.when(only_rl).then("rl_rule").otherwise("rule"),
            value=pl.when(only_rl).then("rl_value").otherwise("value"),
            limit=pl.when(only_rl).then("rl_limit").otherwise("limit"),
        )
    numbers = list(refused)
    reasons = pl.DataFrame(
        {
            "number": numbers,
            "mix_rule": [refused[n][0] for n in numbers],
            "mix_value": [refused[n][1] for n in numbers],
            "mix_limit": [refused[n][2] for n in numbers],
        },
        schema={"number": pl.UInt32, "mix_rule": pl.String, "mix_value": pl.String, "mix_limit": pl.String},
    )
    reasons = rows.select("number").join(reasons, on="number", how="left", maintain_order="left")
    allowed = "; ".join(
        f"{name}: " + ", ".join(f"{fieldname} {limit}" for fieldname, (_, limit) in eligible(name, spec).items())
        for name, spec in manifest.outputs.items()
    )
    shown = pl.format("{}, {}, {}", "source", "category", "answer_kind")
    return rows.with_columns(
        stage=pl.when(undrawn).then(pl.lit("mix")).otherwise("stage"),
        rule=pl.when(undrawn).then(reasons["mix_rule"].fill_null("not_eligible")).otherwise("rule"),
        value=pl.when(undrawn).then(pl.lit(reasons["mix_value"]).fill_null(shown)).otherwise("value"),
        limit=pl.when(undrawn).then(pl.lit(reasons["mix_limit"]).fill_null(pl.lit(allowed))).otherwise("limit"),
    )


def _check_outputs(decided: Decided, manifest: Manifest) -> None:
    for name, spec in manifest.outputs.items():
        if not len(decided.draws[name].chosen):
            raise BuildError(
                f"outputs.{name}: no row is left for it; `infimed-data build --dry-run` and the drops by rule say why"
                f"{_why_empty(decided.rows, name)}"
            )
        held = decided.rows.filter(pl.col(f"{name}_split") == "validation").height
        if spec.validation and not held:
            decided.warnings.append(
                f"outputs.{name}.validation: asked {spec.validation:g} of the rows, got none: no group of rows that "
                "share an image or a patient is small enough"
            )
    splits = decided.rows.filter(pl.col("output") == "sft+rl")
    crossed = splits.filter(pl.col("sft_split") != pl.col("rl_split")).height
    if crossed:
        decided.warnings.append(
            f"{crossed} validation rows of one output are training rows of the other; "
            "give both outputs the same `validation` share to keep them apart"
        )


def _why_empty(rows: pl.DataFrame, output: str) -> str:
    rule = pl.coalesce("rl_rule", "rule") if output == "rl" and "rl_rule" in rows.columns else pl.col("rule")
    rules = (
        rows.select(rule=rule)
        .filter(pl.col("rule").is_not_null())
        .group_by("rule")
        .len()
        .sort("len", "rule", descending=[True, False])
        .head(4)
    )
    counted = ", ".join(f"{rule} {count:,}" for rule, count in rules.iter_rows())
    return f" ({counted})" if counted else ""


def strata_table(decided: Decided) -> dict[str, Any]:
    """What each output asked for and got, for the lock and the card."""
    found: dict[str, Any] = {}
    for name, drawn in decided.draws.items():
        split = decided.rows[f"{name}_split"]
        more = decided.targets.filter((pl.col("copy") > 0) & pl.lit(name == "sft"))["sft_split"]
        found[name] = {
            "asked": drawn.asked,
            "samples": len(drawn.chosen),
            "rows": len(drawn.chosen) + more.count(),
            "train": int(split.eq("train").sum()) + int(more.eq("train").sum()),
            "validation": int(split.eq("validation").sum()) + int(more.eq("validation").sum()),
            "strata": [asdict(report) for report in drawn.strata],
        }
    return found
