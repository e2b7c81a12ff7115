"""Problems between the fields of a manifest: names of what is not there, strata that cannot be, passes without use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from infimed_data.errors import did_you_mean
from infimed_data.manifest.models import BUDGET_FIELDS, Manifest, Mixture, Weight
from infimed_data.schema import ANSWER_KINDS, CATEGORIES

__all__ = ["cross_checks"]

Where = Callable[..., str]
"""`file:line` of a key."""

RESERVED = "difficulty"
"""Name under which `candidates` has what the measuring of difficulty asked."""


def cross_checks(manifest: Manifest, where: Where) -> list[str]:
    """One line a problem, with the place that `where` gives for a key."""
    problems = [
        f"{where('benchmarks', name)}: benchmarks.{name}: a source has this name too; rename one"
        for name in manifest.benchmarks
        if name in manifest.sources
    ]
    problems += _unknown(manifest.dedup.prefer, manifest.sources, "source", where, "dedup", "prefer")
    for name, output in manifest.outputs.items():
        problems += _unknown(output.sources or (), manifest.sources, "source", where, "outputs", name, "sources")
        problems += _mixture(manifest, name, output.mixture, where)
    return problems + _teachers(manifest, where) + _passes(manifest, where)


def _unknown(names: Iterable[str], allowed: Mapping[str, object], what: str, where: Where, *loc: str) -> list[str]:
    return [
        f"{where(*loc, index)}: {'.'.join(loc)}: no {what} {name!r}; allowed: {', '.join(allowed)}"
        f"{did_you_mean(name, allowed)}"
        for index, name in enumerate(names)
        if name not in allowed
    ]


def _strata(manifest: Manifest, strata: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names that a stratum of these fields can have, where that is known."""
    if strata == ("source",):
        return tuple(manifest.sources)
    if strata == ("category",):
        return CATEGORIES
    return ANSWER_KINDS if strata == ("answer_kind",) else None


def _mixture(manifest: Manifest, name: str, mixture: Mixture, where: Where) -> list[str]:
    problems = []
    allowed = _strata(manifest, mixture.strata)
    for stratum, budget in mixture.budgets.items():
        loc = ("outputs", name, "mixture", "budgets", stratum)
        if allowed is not None and stratum not in allowed:
            problems.append(
                f"{where(*loc)}: {'.'.join(loc)}: no such {mixture.strata[0]}; allowed: {', '.join(allowed)}"
                f"{did_you_mean(stratum, allowed)}"
            )
        if isinstance(budget, Weight) and mixture.total is None:
            problems.append(
                f"{where(*loc)}: {'.'.join(loc)}: a weight shares `total`, which is not set; set mixture.total"
            )
    phased: set[str] = set()
    for number, phase in enumerate(mixture.phases):
        for index, stratum in enumerate(phase):
            at = where("outputs", name, "mixture", "phases", number, index)
            place = f"{at}: outputs.{name}.mixture.phases: {stratum!r}"
            if allowed is not None and stratum not in allowed:
                hint = did_you_mean(stratum, allowed)
                problems.append(f"{place}: no such {mixture.strata[0]}; allowed: {', '.join(allowed)}{hint}")
            elif stratum in phased:
                problems.append(f"{place} stands in two phases; allowed: each stratum once")
            phased.add(stratum)
    shares = sum(b for b in mixture.budgets.values() if isinstance(b, float))
    if mixture.total is not None and shares > 1 + 1e-9:
        place = where("outputs", name, "mixture", "budgets")
        problems.append(f"{place}: outputs.{name}.mixture.budgets: shares add up to {shares:g}; allowed: at most 1.0")
    return problems


def _teachers(manifest: Manifest, where: Where) -> list[str]:
    """Teachers that are named and not there, and money that nobody can count."""
    problems: list[str] = []

    def known(name: str | None, *loc: str) -> None:
        if name is not None and name not in manifest.teachers:
            allowed = ", ".join(manifest.teachers) or "none is named; add a section `teachers`"
            hint = did_you_mean(name, manifest.teachers)
            problems.append(f"{where(*loc)}: {'.'.join(loc)}: no teacher {name!r}; allowed: {allowed}{hint}")

    used: set[str] = set()
    for name, settings in manifest.generate.items():
        known(settings.teacher, "generate", name, "teacher")
        known(settings.judge, "generate", name, "judge")
        known(settings.search.rewriter, "generate", name, "search", "rewriter")
        known(settings.stability.rewriter, "generate", name, "stability", "rewriter")
        known(settings.stability.reconstructor, "generate", name, "stability", "reconstructor")
        used.update(settings.teachers)
    if manifest.difficulty is not None:
        known(manifest.difficulty.teacher, "difficulty", "teacher")
        used.add(manifest.difficulty.teacher)
    for name, teacher in manifest.teachers.items():
        if manifest.budget.max_usd is not None and name in used and teacher.backend != "replay" and not teacher.price:
            problems.append(
                f"{where('teachers', name)}: teachers.{name}: no price, which budget.max_usd "
                f"{manifest.budget.max_usd:g} needs; add price: {{prompt: USD, completion: USD}} per million tokens"
            )
    return problems


def _passes(manifest: Manifest, where: Where) -> list[str]:
    problems: list[str] = []
    if manifest.generate and manifest.outputs.sft is None:
        problems.append(f"{where('generate')}: generate: its traces go to the output `sft`, which is not asked for")
    if manifest.difficulty is not None and manifest.outputs.rl is None:
        problems.append(f"{where('difficulty')}: difficulty: it chooses rows for the output `rl`, which is not there")
    for name, settings in manifest.generate.items():
        loc = ("generate", name)
        if name == RESERVED:
            problems.append(f"{where(*loc)}: generate.{name}: the name is taken by `difficulty`; rename the pass")
        problems += _unknown(settings.sources or (), manifest.sources, "source", where, *loc, "sources")
        if settings.fill is None:
            continue
        for index, field in enumerate(settings.fill.strata):
            if field not in BUDGET_FIELDS and not field.startswith("meta."):
                problems.append(
                    f"{where(*loc, 'fill', 'strata', index)}: generate.{name}.fill.strata: {field!r}; allowed: "
                    f"{', '.join(BUDGET_FIELDS)}, meta.NAME{did_you_mean(field, BUDGET_FIELDS)}"
                )
        allowed = _strata(manifest, settings.fill.strata)
        for stratum in settings.fill.samples if allowed is not None else ():
            if allowed is not None and stratum not in allowed:
                problems.append(
                    f"{where(*loc, 'fill', 'samples', stratum)}: generate.{name}.fill.samples.{stratum}: no such "
                    f"{settings.fill.strata[0]}; allowed: {', '.join(allowed)}{did_you_mean(stratum, allowed)}"
                )
    return problems
