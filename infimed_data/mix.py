"""Mixture: the seeded, budgeted draw of samples into an output, and its split by groups.

Every row has a priority that depends on the seed, the output's name and its uid alone, so the draw is the same for
any order of rows and any number of processes. Rows are taken by priority while their stratum has budget left and
their images and group are below their caps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import xxhash

from infimed_data.manifest import Mixture, Output, Weight
from infimed_data.manifest.generate import Fill
from infimed_data.schema import VERIFIABLE_KINDS

__all__ = ["Draw", "StratumReport", "draw", "eligible", "meta_fields", "split_by_group"]


@dataclass(frozen=True, slots=True)
class StratumReport:
    """What was asked of one stratum and what came of it."""

    stratum: str
    asked: int | None
    """None: everything that is eligible."""
    available: int
    realised: int
    why: str | None
    """Why the budget was missed."""


@dataclass(frozen=True)
class Draw:
    """The rows of one output."""

    chosen: pl.Series
    """Row numbers in the output's order."""
    refused: dict[int, tuple[str, str, str]]
    """Eligible row to (rule, value, limit) where it was not drawn."""
    strata: list[StratumReport] = field(default_factory=list)
    asked: int | None = None
    shuffled: bool = True
    """Whether the order of `chosen` was drawn, and means nothing."""


def meta_fields(outputs: Sequence[Output], fills: Sequence[Fill] = ()) -> list[str]:
    """Names under `meta.` that the strata or order of any output, or the strata of filling, mention."""
    named = {name for output in outputs for name in output.mixture.strata if name.startswith("meta.")}
    named |= {name for fill in fills for name in fill.strata if name.startswith("meta.")}
    named |= {o.mixture.order.by for o in outputs if o.mixture.order and o.mixture.order.by.startswith("meta.")}
    return sorted(name.removeprefix("meta.") for name in named)


def eligible(output: str, spec: Output) -> dict[str, tuple[pl.Expr, str]]:
    """Field to (condition that a row must meet to be drawn, what is allowed) for an output."""
    found: dict[str, tuple[pl.Expr, str]] = {}
    if spec.sources is not None:
        found["source"] = (pl.col("source").is_in(list(spec.sources)), ",".join(spec.sources))
    if spec.categories is not None:
        found["category"] = (pl.col("category").is_in(list(spec.categories)), ",".join(spec.categories))
    kinds = spec.answer_kinds or (VERIFIABLE_KINDS if output == "rl" else None)
    if kinds is not None:
        found["answer_kind"] = (pl.col("answer_kind").is_in(list(kinds)), ",".join(kinds))
    return found


def draw(rows: pl.DataFrame, output: str, mixture: Mixture, *, seed: int) -> Draw:
    """Draws from `rows` (columns row, uid, images, group, the strata's fields and the order's field)."""
    if rows.is_empty():
        return Draw(pl.Series("row", [], pl.UInt32), {}, _reports(mixture, {}, {}, {}, {}), mixture.total)
    rows = rows.with_columns(
        stratum=pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("unknown") for name in mixture.strata], separator="/"
        ),
        priority=_priorities(rows["uid"], f"{seed}/{output}/"),
    ).sort("priority", "uid")
    strata = rows["stratum"].to_list()
    available = dict(zip(*np.unique(np.asarray(strata, dtype=object), return_counts=True), strict=True))
    available = {str(name): int(count) for name, count in available.items()}
    limits = dict(available)
    while True:
        budgets = _budgets(mixture, available, limits)
        taken, refused = _take(rows, strata, budgets, mixture)
        realised: dict[str, int] = dict.fromkeys(available, 0)
        for index in taken:
            realised[strata[index]] += 1
        # A stratum that caps keep from filling its budget leaves its part to the others: allot again.
        short = {s: n for s, n in realised.items() if n < budgets.get(s, 0) and limits[s] > n}
        if not short or mixture.total is None or not _shares_rest(mixture, available):
            break
        limits.update(short)
    chosen = _ordered(rows[taken], mixture)
    numbers = rows["row"].to_list()
    reasons = {numbers[index]: reason for index, reason in refused.items()}
    capped: dict[str, dict[str, int]] = {}
    for index, (rule, _, _) in refused.items():
        by_rule = capped.setdefault(strata[index], {})
        by_rule[rule] = by_rule.get(rule, 0) + 1
    reports = _reports(mixture, available, realised, _budgets(mixture, available, available), capped)
    ordered = mixture.order is not None or bool(mixture.phases)
    return Draw(chosen["row"], reasons, reports, mixture.total, shuffled=not ordered)


def _ordered(chosen: pl.DataFrame, mixture: Mixture) -> pl.DataFrame:
    """The rows in the order of the output: by phase, within it by the field that is asked for, then by priority."""
    keys: list[tuple[str | pl.Expr, bool]] = [("priority", False), ("uid", False)]
    if mixture.order is not None:
        keys.insert(0, (mixture.order.by, mixture.order.descending))
    if mixture.phases:
        phase = {stratum: number for number, strata in enumerate(mixture.phases) for stratum in strata}
        last = len(mixture.phases)
        number = pl.col("stratum").replace_strict(phase, default=last, return_dtype=pl.UInt32)
        keys.insert(0, (number, False))
    return chosen.sort([key for key, _ in keys], descending=[down for _, down in keys], nulls_last=True)


def _priorities(uids: pl.Series, salt: str) -> pl.Series:
    digest = xxhash.xxh3_64_intdigest
    return pl.Series("priority", [digest((salt + uid).encode()) for uid in uids.to_list()], pl.UInt64)


def _shares_rest(mixture: Mixture, available: Mapping[str, int]) -> bool:
    return any(isinstance(mixture.budgets.get(s, Weight(weight=1.0)), Weight) for s in available)


def _budgets(mixture: Mixture, available: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, int]:
    """Rows that each stratum may give, from counts and shares first, then weights and sizes for the rest of `total`.

    Sizes are those of `available`, whatever caps leave of a stratum; `limits` says how many rows it can give at most.
    """
    total = mixture.total
    fixed: dict[str, int] = {}
    weights: dict[str, float] = {}
    for stratum in sorted(available):
        budget = mixture.budgets.get(stratum)
        if isinstance(budget, Weight):
            weights[stratum] = budget.weight
        elif isinstance(budget, float):
            fixed[stratum] = round(budget * (total if total is not None else available[stratum]))
        elif isinstance(budget, int):
            fixed[stratum] = budget
        elif total is None:
            fixed[stratum] = available[stratum]
    if total is None:
        return fixed
    unnamed = [s for s in sorted(available) if s not in fixed and s not in weights]
    scale = float(sum(weights.values())) or 1.0
    sizes = {s: available[s] ** (1 / mixture.temperature) for s in unnamed}
    size = sum(sizes.values())
    # Beside explicit weights an unnamed stratum weighs what a named one does on average, scaled by its size.
    mean_weight = scale / len(weights) if weights else 1.0
    for stratum in unnamed:
        weights[stratum] = sizes[stratum] / size * mean_weight * len(unnamed) if size else 0.0
    rest = max(0, total - sum(min(count, limits[s]) for s, count in fixed.items()))
    return {**fixed, **_fill(rest, weights, limits)}


def _fill(total: int, weights: Mapping[str, float], available: Mapping[str, int]) -> dict[str, int]:
    """`total` shared by weights, with what a full stratum cannot take given to the others; largest remainders round."""
    given: dict[str, int] = {}
    left, open_strata = total, {s: w for s, w in weights.items() if available[s]}
    while open_strata:
        scale = sum(open_strata.values())
        full = [s for s, w in open_strata.items() if left * w / scale >= available[s]]
        if not full:
            break
        for stratum in full:
            given[stratum] = available[stratum]
            left -= available[stratum]
            del open_strata[stratum]
    scale = sum(open_strata.values()) or 1.0
    exact = {s: max(left, 0) * w / scale for s, w in open_strata.items()}
    floor = {s: int(x) for s, x in exact.items()}
    spare = max(left, 0) - sum(floor.values())
    for stratum in sorted(exact, key=lambda s: (floor[s] - exact[s], s))[:spare]:
        floor[stratum] += 1
    return {**dict.fromkeys(weights, 0), **given, **floor}


def _take(
    rows: pl.DataFrame, strata: list[str], budgets: Mapping[str, int], mixture: Mixture
) -> tuple[list[int], dict[int, tuple[str, str, str]]]:
    """(indices of rows taken, index of each other row to its reason), walking in order of priority."""
    left = dict(budgets)
    image_cap, group_cap = mixture.max_per_image, mixture.max_per_group
    images = rows["images"].to_list() if image_cap else None
    groups = rows["group"].to_list() if group_cap else None
    image_use: dict[str, int] = {}
    group_use: dict[str, int] = {}
    taken: list[int] = []
    refused: dict[int, tuple[str, str, str]] = {}
    for index, stratum in enumerate(strata):
        if images is not None and image_cap:
            full = next((d for d in images[index] if image_use.get(d, 0) >= image_cap), None)
            if full is not None:
                refused[index] = ("max_per_image", f"image {full} is in {image_cap} rows", str(image_cap))
                continue
        group = groups[index] if groups is not None else None
        if group is not None and group_cap and group_use.get(group, 0) >= group_cap:
            refused[index] = ("max_per_group", f"group {group} has {group_cap} rows", str(group_cap))
            continue
        if left[stratum] <= 0:
            refused[index] = ("over_budget", stratum, f"{budgets[stratum]} rows")
            continue
        left[stratum] -= 1
        taken.append(index)
        if images is not None:
            for image in set(images[index]):
                image_use[image] = image_use.get(image, 0) + 1
        if group is not None:
            group_use[group] = group_use.get(group, 0) + 1
    return taken, refused


def _reports(
    mixture: Mixture,
    available: Mapping[str, int],
    realised: Mapping[str, int],
    budgets: Mapping[str, int],
    capped: Mapping[str, Mapping[str, int]],
) -> list[StratumReport]:
    reports = []
    for stratum in sorted({*available, *mixture.budgets}):
        limited = mixture.total is not None or stratum in mixture.budgets
        asked = _asked(mixture, stratum, budgets) if limited else None
        have, got = available.get(stratum, 0), realised.get(stratum, 0)
        reports.append(StratumReport(stratum, asked, have, got, _why(asked, have, got, capped.get(stratum, {}))))
    return reports


def _asked(mixture: Mixture, stratum: str, budgets: Mapping[str, int]) -> int:
    budget: Any = mixture.budgets.get(stratum)
    if isinstance(budget, int):
        return budget
    return budgets.get(stratum, 0)


def _why(asked: int | None, available: int, realised: int, capped: Mapping[str, int]) -> str | None:
    caps = [f"{rule} left out {count:,}" for rule, count in sorted(capped.items()) if rule != "over_budget"]
    if asked is None:
        return "; ".join(caps) or None
    if realised == asked:
        return None
    if realised > asked:
        return f"{realised - asked:,} more, passed on from strata that could not fill their budget"
    reasons = [f"only {available:,} eligible rows"] if available < asked else []
    return "; ".join(reasons + caps) or "the other strata took the rest of the total"


def split_by_group(rows: pl.DataFrame, shares: Mapping[str, float], *, seed: int) -> dict[str, set[int]]:
    """Row numbers of each output's validation split. No image and no group is on both sides, in any output.

    `rows` has row, uid, images, group, and one boolean column an output (whether it drew the row). Rows that share an
    image or a group form one component. Components come in one seeded order for all outputs, and an output's
    validation takes them in that order while they fit its share, so equal shares put equal components aside.
    """
    validation: dict[str, set[int]] = {name: set() for name in shares}
    if not any(shares.values()):
        return validation
    component = _components(rows["images"].to_list(), rows["group"].to_list())
    uids = rows["uid"].to_list()
    smallest: dict[int, str] = {}
    for index, root in enumerate(component):
        if root not in smallest or uids[index] < smallest[root]:
            smallest[root] = uids[index]
    order = {
        root: (xxhash.xxh3_64_intdigest(f"{seed}/validation/{uid}".encode()), uid) for root, uid in smallest.items()
    }
    numbers = rows["row"].to_list()
    aside: set[int] = set()
    settled: set[int] = set()
    for name in sorted((n for n in shares if shares[n]), key=lambda n: (shares[n], n)):
        members: dict[int, list[int]] = {}
        for index in np.flatnonzero(rows[name].to_numpy()).tolist():
            members.setdefault(component[index], []).append(numbers[index])
        target = shares[name] * sum(len(m) for m in members.values())
        # What a smaller share put aside stays aside here, and what it trained on is never validated on.
        taken = sum(len(m) for root, m in members.items() if root in aside)
        for root in sorted(members, key=order.__getitem__):
            if root not in aside and root not in settled and taken + len(members[root]) <= target:
                aside.add(root)
                taken += len(members[root])
        validation[name] = {number for root, m in members.items() if root in aside for number in m}
        settled.update(root for root in members if root not in aside)
    return validation


def _components(images: list[list[str]], groups: list[str | None]) -> list[int]:
    """Index of a representative row for each row: equal for rows linked by images or groups."""
    parent = list(range(len(images)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[str, int] = {}
    for index, (digests, group) in enumerate(zip(images, groups, strict=True)):
        keys = [f"i{digest}" for digest in digests] + ([f"g{group}"] if group is not None else [])
        for key in keys:
            if key in seen:
                a, b = root(seen[key]), root(index)
                if a != b:
                    parent[max(a, b)] = min(a, b)
            else:
                seen[key] = index
    return [root(index) for index in range(len(images))]
