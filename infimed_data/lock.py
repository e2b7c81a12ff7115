"""`lock.json`: what a build was made of and what came of it; enough to build the same bytes again."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

import infimed_data
from infimed_data.errors import BuildError, SourceError
from infimed_data.manifest import Manifest
from infimed_data.outputs import Decided, strata_table
from infimed_data.phi_stages import phi_code
from infimed_data.plan import Plan
from infimed_data.source_runs import Read
from infimed_data.storage.stages import code_digest, key_of

__all__ = ["build_digest", "check_inputs", "lock_of", "sources_table", "versions"]

_DECIDING = (
    "schema.py", "mix.py", "dedup", "decontaminate", "outputs", "dataset.py", "images", "card.py", "lock.py",
    "pipeline.py", "pair_stages", "picture_stages.py", "confirm_images.py", "manifest", "filters.py", "index.py",
    "words.py", "shuffling.py", "card.md.jinja", "preparing.py", "generate", "rejection", "charts.py",
    "adapters/catalogue",
)  # fmt: skip
_VERSIONED = ("infimed-toolkit", "pyarrow", "polars", "pillow", "numpy", "xxhash")
"""Packages whose version can change the bytes of a build."""


def _inputs(plan: Plan, reads: Sequence[Read]) -> dict[str, Any]:
    """Content of every source and benchmark: digests of its files and of its images' bytes; and of replayed files."""
    replayed = {f"teacher:{name}": {"files": {path.name: digest}} for name, (path, digest) in plan.replays.items()}
    return replayed | {
        read.reading.name: {
            "files": read.reading.inputs,
            "images": read.image_content,
            "image_count": len(read.reading.refs),
        }
        for read in reads
    }


def _commits(plan: Plan) -> dict[str, str]:
    """Commit of each source and benchmark that is on the Hub."""
    readings = (*plan.readings, *plan.benchmarks)
    return dict(sorted((reading.source, reading.commit) for reading in readings if reading.commit is not None))


def check_inputs(plan: Plan, reads: Sequence[Read]) -> None:
    """Raises `SourceError` where sources or benchmarks are not those of the lock that is being repeated."""
    if plan.expected_inputs is None:
        return
    found = _inputs(plan, reads)
    changed = sorted(n for n in {*found, *plan.expected_inputs} if found.get(n) != plan.expected_inputs.get(n))
    if changed:
        raise SourceError(
            f"{plan.path}: sources differ from the lock: {', '.join(changed)}; restore them, or build the manifest"
        )


def versions() -> dict[str, str]:
    """Versions of this package, and of those that can change the bytes of a build."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = infimed_data.__version__
    return found


def build_digest(plan: Plan, reads: Sequence[Read], *, answers: str | None = None) -> str:
    """Digest of everything that determines the bytes of the build; `reads` are the sources', then the benchmarks'.

    `answers` is the digest of what came of asking teachers, where any are asked.
    """
    stages = [
        (read.reading.name, read.reading.ingest.key, read.reading.texts.key, read.image_content) for read in reads
    ]
    names = [*plan.manifest.sources, "", *plan.manifest.benchmarks]
    asked = [
        answers,
        sorted((name, digest) for name, (_, digest) in plan.replays.items()),
        sorted((name, sorted(marks.items())) for name, marks in plan.teacher_marks.items()),
    ]
    looked = [phi_code(plan.manifest.phi)] if plan.manifest.phi.looks else []
    return key_of(
        "build", plan.manifest.determining(), names, _commits(plan), stages, sorted(plan.marks.items()), asked,
        code_digest(*_DECIDING), versions(), *looked,
    )[:12]  # fmt: skip


def sources_table(decided: Decided, reads: Sequence[Read], manifest: Manifest) -> list[dict[str, Any]]:
    """The `sources` table. Raises `BuildError` where rows read are not rows kept and dropped."""
    gone = pl.col("rule").is_not_null()
    kept = pl.col("output").is_not_null()
    counted = decided.rows.group_by("source", "split").agg(
        seen=pl.len(),
        rejected=(gone & (pl.col("stage") == "ingest")).sum(),
        dropped=(gone & (pl.col("stage") != "ingest")).sum(),
        kept=kept.sum(),
        both=(gone & kept).sum(),
    )
    found = {(row["source"], row["split"]): row for row in counted.iter_rows(named=True)}
    table = []
    for read in reads:
        reading = read.reading
        spec = manifest.sources[reading.source]
        row = found.get((reading.source, reading.split)) or dict.fromkeys(
            ("seen", "rejected", "dropped", "kept", "both"), 0
        )
        if row["both"] or read.rows != row["rejected"] + row["dropped"] + row["kept"]:
            raise BuildError(
                f"{reading.name}: counts do not add up: {read.rows:,} read, {row['rejected']:,} rejected, "
                f"{row['dropped']:,} dropped, {row['kept']:,} kept, {row['both']:,} both kept and dropped; "
                "this is a fault of infimed-data, please report it"
            )
        table.append(
            {
                "source": reading.source,
                "split": reading.split,
                "adapter": spec.adapter,
                "category": spec.category,
                "license": spec.license,
                "revision": reading.commit or spec.revision,
                "rows_read": read.rows,
                "rejected": row["rejected"],
                "dropped": row["dropped"],
                "kept": row["kept"],
            }
        )
    return table


def lock_of(
    plan: Plan,
    reads: Sequence[Read],
    decided: Decided,
    *,
    sources: Sequence[Mapping[str, Any]],
    benchmarks: Sequence[Mapping[str, Any]],
    compared: Mapping[str, Any],
    generated: Mapping[str, Any],
    phi: Mapping[str, Any],
    files: Mapping[str, int],
    warnings: Sequence[str],
    digest: str,
    sha256: Mapping[str, str],
) -> dict[str, Any]:
    """What `lock.json` holds. `reads` are those of sources and benchmarks, `compared` counts what was compared, and
    `generated` is what each pass asked and what came of it, `phi` what each source has that may point at a person
    (empty: not looked for); `sha256` has the digest of
    every table."""
    drops: dict[str, dict[str, int]] = {}
    counted = decided.rows.filter(pl.col("rule").is_not_null()).group_by("stage", "rule").len().sort("stage", "rule")
    for stage, rule, count in counted.iter_rows():
        drops.setdefault(stage, {})[rule] = count
    return {
        "format": 1,
        "name": plan.manifest.name,
        "build": digest,
        "manifest": plan.manifest.resolved(),
        "inputs": _inputs(plan, reads),
        "commits": _commits(plan),
        "sources": list(sources),
        "benchmarks": list(benchmarks),
        "compared": dict(compared),
        "review": dict(sorted(plan.marks.items())),
        "generate": dict(generated),
        "phi": dict(phi),
        "candidate_review": {name: dict(sorted(marks.items())) for name, marks in sorted(plan.teacher_marks.items())},
        "drops": drops,
        "outputs": strata_table(decided),
        "files": dict(files),
        "sha256": dict(sha256),
        "stages": {
            read.reading.name: {
                "ingest": read.reading.ingest.key,
                "texts": read.reading.texts.key,
                "images": read.image_content,
            }
            for read in reads
        },
        "versions": versions(),
        "warnings": list(warnings),
    }
