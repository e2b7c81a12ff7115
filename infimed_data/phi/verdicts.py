"""From findings to rows: which leave, and why. Nothing of a text or a picture is changed."""

from __future__ import annotations

import polars as pl

from infimed_data.manifest import Phi
from infimed_data.phi.findings import CONFIDENCES
from infimed_data.schema import PHI_KINDS

__all__ = ["acted_on", "quarantined"]


def acted_on(findings: pl.DataFrame, phi: Phi) -> pl.DataFrame:
    """`findings` (with kind and confidence) with `action`: `quarantine` for those that take their rows out."""
    sure = CONFIDENCES[CONFIDENCES.index(phi.min_confidence) :]
    takes_out = (
        pl.lit(phi.action == "quarantine") & pl.col("kind").is_in(phi.quarantine) & pl.col("confidence").is_in(sure)
    )
    return findings.with_columns(action=pl.when(takes_out).then(pl.lit("quarantine")).otherwise(pl.lit("report")))


def quarantined(rows: pl.DataFrame, by_row: pl.DataFrame, phi: Phi) -> pl.DataFrame:
    """`rows` with `withheld`, and with `stage`, `rule`, `value` and `limit` set on those that findings take out.

    `by_row` has at (place of a row), field, kind, confidence and snippet of each finding that takes a row out. A row
    that ingest rejected stays its drop, and one that a filter dropped becomes this stage's: both have their texts
    withheld, and what a rule saw of them.
    """
    order = pl.col("kind").replace_strict({kind: at for at, kind in enumerate(PHI_KINDS)}, return_dtype=pl.Int8)
    sure = pl.col("confidence").replace_strict({name: -at for at, name in enumerate(CONFIDENCES)}, return_dtype=pl.Int8)
    each = by_row.sort("at", sure, order, "field", "snippet").group_by("at", maintain_order=True)
    worst = each.agg(
        pl.col("kind").first(), pl.col("field").first(), pl.col("snippet").first(), more=pl.len() - 1
    ).with_columns(pl.col("at").cast(pl.Int64))
    found = pl.DataFrame({"at": pl.int_range(len(rows), eager=True)}).join(
        worst, on="at", how="left", maintain_order="left"
    )
    out = found["kind"].is_not_null()
    ours = out & (rows["stage"].fill_null("") != "ingest")
    more = pl.when(found["more"] > 0).then(pl.format(", and {} more", pl.lit(found["more"]))).otherwise(pl.lit(""))
    said = pl.format("{}: {}{}", pl.lit(found["field"]), pl.lit(found["snippet"]), more)
    limit = pl.format("no {} of {} confidence or more", pl.lit(found["kind"]), pl.lit(phi.min_confidence))
    return rows.with_columns(
        withheld=out,
        stage=pl.when(ours).then(pl.lit("phi")).otherwise("stage"),
        rule=pl.when(ours).then(pl.lit(found["kind"])).otherwise("rule"),
        value=pl.when(ours).then(said).when(out).then(pl.lit("withheld by phi")).otherwise("value"),
        limit=pl.when(ours).then(limit).otherwise("limit"),
        twin=pl.when(ours).then(pl.lit(None, pl.String)).otherwise("twin"),
    )
