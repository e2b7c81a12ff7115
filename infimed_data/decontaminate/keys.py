"""Group keys: what says that two rows are about one patient, study, figure or page, without a look at them.

Some keys mean the same everywhere, wherever a row has them (its group, its own key, the name of an image):

    synpic54610     an image of MedPix, which VQA-RAD, VQA-Med and others took from there
    pmc1064097      an article of PubMed Central, whose figures PMC-VQA, PubMedVision and others took
    pmid21645374    an abstract of PubMed
    xmlab1          an image of SLAKE, in either language

Others are compared between sources and benchmarks that the manifest gives one `key_space`.
"""

from __future__ import annotations

import polars as pl

__all__ = ["group_keys"]

_EVERYWHERE = r"(?:^|[^a-z])(?:synpic[0-9]{2,}|pmc[-_:]?[0-9]{4,9}|pmid[-_:]?[0-9]{4,9}|xmlab[0-9]+)"


def group_keys(key_space: str | None) -> pl.Expr:
    """The distinct keys of each row, sorted, from its columns `group`, `row_key` and `image_refs`."""
    names = (pl.col("group"), pl.col("row_key"), pl.col("image_refs").list.join(" "))
    named = pl.concat_str(*names, separator=" ", ignore_nulls=True)
    found = named.str.to_lowercase().str.extract_all(_EVERYWHERE)
    keys = found.list.eval(pl.element().str.replace_all("[^a-z0-9]", ""))
    if key_space is not None:
        own = pl.when(pl.col("group").is_not_null()).then(pl.concat_list(pl.lit(f"{key_space}:") + pl.col("group")))
        keys = pl.concat_list(keys, own.otherwise(pl.lit([], pl.List(pl.String))))
    return keys.list.unique().list.sort().alias("keys")
