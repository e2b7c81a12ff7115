"""number: one quantity, exact after conversion. Section 6 of the policy.

Decisions where the policy is silent:
- A quantity said twice in different words or units ("2.5 cm (25 mm)", "2 (two)") is one quantity.
- A unit that only the answer has is `unit_missing` too, unless the question asks for that unit ("How many weeks ...?").
- The numbers of a size ("2 x 3 cm") may come in any order; those of a range or ratio may not.
- "None" and "no fractures" give no number.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from infimed_data.verify.choice import without_question
from infimed_data.verify.clean import clean
from infimed_data.verify.hedges import is_refusal
from infimed_data.verify.quantities import Quantity, quantities
from infimed_data.verify.units import CONVERTED, PERCENT, unit_named
from infimed_data.verify.verdict import Gold, Reading, Verdict

__all__ = ["quantity_of", "read"]

MAX_QUANTITIES = 100
"""A text with more quantities gives no single one."""


@lru_cache(maxsize=8192)
def quantity_of(answer: str) -> Quantity | None:
    """The quantity of a gold answer; None where it is not exactly one that can be read."""
    found = _counted(clean(answer))
    if len(found) != 1 or None in found[0].written:
        return None
    return found[0]


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """The quantity in `text`, held against the gold; `rel_tol` is relative to the gold's numbers."""
    right = quantity_of(gold.answer)
    if right is None:
        return Reading(None, Verdict("unverifiable", "gold_unreadable", None))
    found = _counted(without_question(text, gold.question))
    if not found:
        return Reading(None, Verdict("wrong", "refusal" if is_refusal(text) else "no_number", None))
    shown = found[0].text
    agreements = {_agreement(right, quantity, gold.question, rel_tol) for quantity in found}
    if "other" in agreements:
        several = len({quantity[:5] for quantity in found}) > 1
        verdict = Verdict("wrong", "several_numbers" if several else "other_number", None if several else shown)
        return Reading(tuple(quantity[:5] for quantity in found[:4]), verdict)
    if "equal" in agreements:
        return Reading(right, Verdict("correct", "number_match", shown))
    return Reading(right, Verdict("unverifiable", "unit_missing", shown))


def _counted(text: str) -> list[Quantity]:
    """The quantities of `text`: without its ordinals, unless there is nothing else."""
    found: list[Quantity] = []
    for quantity in quantities(text):
        found.append(quantity)
        if len(found) > MAX_QUANTITIES:
            break
    return [quantity for quantity in found if not quantity.ordinal] or found


def _agreement(gold: Quantity, given: Quantity, question: str, rel_tol: float) -> str:
    """`equal`, `unit_missing` or `other`."""
    if gold.shape != given.shape or gold.bound != given.bound or len(gold.written) != len(given.written):
        return "other"
    if gold.unit == PERCENT and not given.unit:
        if _same(tuple(number / 100 for number in gold.written if number is not None), given.written, gold, rel_tol):
            return "equal"
    elif gold.unit == given.unit:
        return "equal" if _same(gold.base, given.base, gold, rel_tol) else "other"
    elif given.unit and gold.unit or given.unit == PERCENT:
        return "other"
    elif given.unit and (asked := unit_named(question)):
        measured, factor = CONVERTED.get(asked, (asked, Fraction(1)))
        wanted = tuple(number * factor for number in gold.written if number is not None)
        return "equal" if measured == given.unit and _same(wanted, given.base, gold, rel_tol) else "other"
    return "unit_missing" if _same(gold.written, given.written, gold, rel_tol) else "other"


def _same(
    wanted: tuple[Fraction | None, ...], given: tuple[Fraction | None, ...], gold: Quantity, rel_tol: float
) -> bool:
    if None in given:
        return False
    pairs = zip(wanted, given, strict=True)
    if gold.shape == "size":
        pairs = zip(sorted(filter(None, wanted)), sorted(filter(None, given)), strict=False)
    if not rel_tol:
        return all(left == right for left, right in pairs)
    return all(
        left is not None and right is not None and abs(left - right) <= abs(left) * Fraction(rel_tol)
        for left, right in pairs
    )
