"""number: one quantity, exact after conversion. Section 6.

Decisions where the policy is silent:
- A quantity said twice in different words or units ("2.5 cm (25 mm)", "2 (two)") is one quantity.
- A unit that only the answer has agrees where the question asks for it ("How many weeks ...?"). Where the question asks
  for a count ("How many nodules ...?") it makes another quantity; elsewhere it is `unit_missing`, on the gold's side.
- The numbers of a size ("2 x 3 cm") may come in any order; those of a range or ratio may not.
- Ordinals (3rd, 第3) count only where no other number is given.
- "None" and "no fractures" give no number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from infimed_data.verify.choice import without_question
from infimed_data.verify.clean import clean
from infimed_data.verify.hedges import is_refusal, without_refused
from infimed_data.verify.quantities import Number, Quantity, quantities
from infimed_data.verify.units import CONVERTED, PERCENT, unit_asked
from infimed_data.verify.verdict import Gold, Reading, Verdict

__all__ = ["quantity_of", "read"]

_COUNTS = re.compile(r"\bhow many\b|\bnumber of\b|几|多少[个根枚处条只块片支颗例次]", re.IGNORECASE)
MAX_QUANTITIES = 100
"""A text with more quantities is read no further; the rest cannot make it a single one."""


@lru_cache(maxsize=8192)
def quantity_of(answer: str) -> Quantity | None:
    """The quantity of a gold answer; None where it is not exactly one that can be read."""
    found = _counted(clean(answer))
    return found[0] if len(found) == 1 and None not in found[0].written else None


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """The quantity in `text`, held against the gold; `rel_tol` is relative to the gold's numbers."""
    right = quantity_of(gold.answer)
    if right is None:
        return Reading(None, Verdict("unverifiable", "gold_unreadable", None))
    found = _counted(without_refused(without_question(text, gold.question)))
    if not found:
        return Reading(None, Verdict("wrong", "refusal" if is_refusal(text) else "no_number", None))
    agreements = {_agreement(right, quantity, gold.question, rel_tol) for quantity in found}
    one = agreements <= {"equal", "unit_missing"} or agreements == {"unit_extra"}
    if not one or len(found) > MAX_QUANTITIES:
        distinct = frozenset(quantity[:5] for quantity in found)
        reason = "several_numbers" if len(distinct) > 1 else "other_number"
        return Reading(distinct, Verdict("wrong", reason, found[0].text if len(distinct) == 1 else None))
    if "equal" in agreements:
        return Reading(right, Verdict("correct", "number_match", found[0].text))
    return Reading(right, Verdict("unverifiable", "unit_missing", found[0].text))


def _counted(text: str) -> list[Quantity]:
    """The quantities of `text` without its ordinals, unless there is nothing else."""
    found: list[Quantity] = []
    for quantity in quantities(text):
        found.append(quantity)
        if len(found) > MAX_QUANTITIES:
            break
    return [quantity for quantity in found if not quantity.ordinal] or found


def _agreement(gold: Quantity, given: Quantity, question: str, rel_tol: float) -> str:
    """`equal`, `unit_missing` (in what is given), `unit_extra` or `other`."""
    if (gold.shape, gold.bound, len(gold.written)) != (given.shape, given.bound, len(given.written)):
        return "other"
    if gold.unit == given.unit:
        return "equal" if _same(gold.base, given.base, gold.shape, rel_tol) else "other"
    if PERCENT in (gold.unit, given.unit) and not (gold.unit == PERCENT and not given.unit):
        return "other"
    if gold.unit and given.unit:
        return "other"
    if gold.unit == PERCENT and _same(_times(gold.written, Fraction(1, 100)), given.written, gold.shape, rel_tol):
        return "equal"
    if given.unit and (asked := unit_asked(question)):
        measured, factor = CONVERTED.get(asked, (asked, Fraction(1)))
        meant = measured == given.unit and _same(_times(gold.written, factor), given.base, gold.shape, rel_tol)
        return "equal" if meant else "other"
    if given.unit and _COUNTS.search(question):
        return "other"
    if not _same(gold.written, given.written, gold.shape, rel_tol):
        return "other"
    return "unit_extra" if given.unit else "unit_missing"


def _times(numbers: tuple[Number, ...], factor: Fraction) -> tuple[Number, ...]:
    return tuple(None if number is None else number * factor for number in numbers)


def _same(wanted: tuple[Number, ...], given: tuple[Number, ...], shape: str, rel_tol: float) -> bool:
    left = [number for number in wanted if number is not None]
    right = [number for number in given if number is not None]
    if len(left) != len(right) or len(right) != len(given):
        return False
    if shape == "size":
        left, right = sorted(left), sorted(right)
    if not rel_tol:
        return left == right
    return all(abs(a - b) <= abs(a) * Fraction(rel_tol) for a, b in zip(left, right, strict=True))
