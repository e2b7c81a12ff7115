"""Filters: named rules that compare signals with the manifest's limits. Each drop names rule, value and limit.

To add a rule, write its function and add its line to `RULES`; rules are asked in that order and the first that
fails a row names its drop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from infimed_data.manifest import Filters
from infimed_data.storage.places import READ_FAILED

__all__ = ["LANGUAGE_SCRIPTS", "RULES", "Verdict", "apply_filters"]

LANGUAGE_SCRIPTS = {
    **dict.fromkeys(("en", "fr", "de", "es", "it", "pt", "vi", "tr"), "Latin"),
    **dict.fromkeys(("ru", "uk"), "Cyrillic"),
    **dict.fromkeys(("ar", "fa"), "Arabic"),
    "zh": "Han",
    "ko": "Hangul",
    "hi": "Devanagari",
    "el": "Greek",
    "th": "Thai",
    "he": "Hebrew",
}
"""Script that most letters of a language's text have. Japanese mixes scripts and is not judged."""


class Verdict(NamedTuple):
    """What a rule says of every row: where it fails, and what is written down there."""

    fails: pl.Expr
    value: pl.Expr
    limit: pl.Expr | str


Rule = Callable[[Filters], Verdict | None]


def _image_read_failed(filters: Filters) -> Verdict:
    return Verdict(pl.col("image_error") == READ_FAILED, pl.col("image_error_value"), pl.col("image_error_limit"))


def _image_unreadable(filters: Filters) -> Verdict:
    return Verdict(pl.col("image_error").is_not_null(), pl.col("image_error_value"), pl.col("image_error_limit"))


def _image_tiny(filters: Filters) -> Verdict | None:
    limit = filters.min_image_side_px
    if limit is None:
        return None
    return Verdict(pl.col("min_side") < limit, pl.col("min_side").cast(pl.String) + " px", f"{limit} px")


def _image_aspect(filters: Filters) -> Verdict | None:
    limit = filters.max_image_aspect
    if limit is None:
        return None
    return Verdict(pl.col("max_aspect") > limit, pl.col("max_aspect").round(1).cast(pl.String), f"{limit:g}")


def _image_blank(filters: Filters) -> Verdict | None:
    share, contrast = filters.max_flat_share, filters.min_contrast
    flat = pl.col("max_flat_share") > share if share is not None else pl.lit(False)
    dull = pl.col("min_contrast") < contrast if contrast is not None else pl.lit(False)
    if share is None and contrast is None:
        return None
    value = pl.format("flat share {}, contrast {}", pl.col("max_flat_share").round(4), pl.col("min_contrast").round(2))
    return Verdict(flat | dull, value, f"flat share {share}, contrast {contrast}")


def _at_least(column: str, limit: int | None) -> Verdict | None:
    return (
        None
        if limit is None
        else Verdict(pl.col(column) < limit, pl.col(column).cast(pl.String), f"{limit} characters")
    )


def _at_most(column: str, limit: int | None) -> Verdict | None:
    return (
        None
        if limit is None
        else Verdict(pl.col(column) > limit, pl.col(column).cast(pl.String), f"{limit} characters")
    )


def _duplicate_options(filters: Filters) -> Verdict | None:
    if not filters.duplicate_options:
        return None
    return Verdict(pl.col("duplicate_option").is_not_null(), pl.col("duplicate_option"), "options that differ")


def _special_token(filters: Filters) -> Verdict | None:
    if not filters.special_tokens:
        return None
    return Verdict(pl.col("special_token").is_not_null(), pl.col("special_token"), "text without special tokens")


def _missing_figure(filters: Filters) -> Verdict | None:
    if not filters.missing_figure:
        return None
    fails = pl.col("figure_reference").is_not_null() & (pl.col("image_refs").list.len() == 0)
    return Verdict(fails, pl.col("figure_reference"), "an image, or no reference to one")


def _language(filters: Filters) -> Verdict | None:
    if filters.languages is None:
        return None
    return Verdict(~pl.col("lang").is_in(list(filters.languages)), pl.col("lang"), ",".join(filters.languages))


def _script_mismatch(filters: Filters) -> Verdict | None:
    if not filters.script_mismatch:
        return None
    wanted = pl.col("lang").replace_strict(LANGUAGE_SCRIPTS, default=None, return_dtype=pl.String)
    # A Chinese question may well be mostly Latin abbreviations; another script than both is what counts there.
    tolerated = (pl.col("lang") == "zh") & (pl.col("script") == "Latin")
    fails = wanted.is_not_null() & (pl.col("script") != wanted) & ~tolerated & (pl.col("script_share") > 0.5)
    return Verdict(fails, pl.format("{} letters in a row marked {}", pl.col("script"), pl.col("lang")), wanted)


RULES: dict[str, Rule] = {
    READ_FAILED: _image_read_failed,
    "image_unreadable": _image_unreadable,
    "image_tiny": _image_tiny,
    "image_aspect": _image_aspect,
    "image_blank": _image_blank,
    "question_empty": lambda filters: _at_least("question_chars", filters.min_question_chars),
    "question_long": lambda filters: _at_most("question_chars", filters.max_question_chars),
    "answer_empty": lambda filters: _at_least("answer_chars", filters.min_answer_chars),
    "answer_long": lambda filters: _at_most("answer_chars", filters.max_answer_chars),
    "rationale_long": lambda filters: _at_most("rationale_chars", filters.max_rationale_chars),
    "duplicate_options": _duplicate_options,
    "special_token": _special_token,
    "language": _language,
    "script_mismatch": _script_mismatch,
    "missing_figure": _missing_figure,
}
"""Name of each rule and its function, in the order in which they are asked."""


def apply_filters(rows: pl.DataFrame, filters: Filters) -> pl.DataFrame:
    """`rows` with `stage`, `rule`, `value` and `limit` set on those that are dropped here; others stay as they are.

    Rows that ingest rejected (their `rule` is set already) are not judged again.
    """
    verdicts = {name: verdict for name, rule in RULES.items() if (verdict := rule(filters)) is not None}
    fresh = pl.col("rule").is_null()

    def first(pick: Callable[[str, Verdict], pl.Expr], kept: pl.Expr) -> pl.Expr:
        chain: pl.Expr | None = None
        for name, verdict in reversed(verdicts.items()):
            fails = fresh & verdict.fails.fill_null(False)
            otherwise = kept if chain is None else chain
            chain = pl.when(fails).then(pick(name, verdict)).otherwise(otherwise)
        return kept if chain is None else chain

    def limit_of(verdict: Verdict) -> pl.Expr:
        return pl.lit(verdict.limit) if isinstance(verdict.limit, str) else verdict.limit

    return rows.with_columns(
        stage=first(lambda _, __: pl.lit("filter"), pl.col("stage")),
        rule=first(lambda name, _: pl.lit(name), pl.col("rule")),
        value=first(lambda _, verdict: verdict.value.cast(pl.String), pl.col("value")),
        limit=first(lambda _, verdict: limit_of(verdict).cast(pl.String), pl.col("limit")),
    )
