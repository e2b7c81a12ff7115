"""Whether two pictures are one, proved on their pixels."""

from infimed_data.dedup.confirm.coarse import Square, hints_left
from infimed_data.dedup.confirm.comparison import CONFIRMED_SCORE, Comparison, Hint, Picture, compare, verdict
from infimed_data.dedup.confirm.fine import SIDE

__all__ = [
    "CONFIRMED_SCORE",
    "SIDE",
    "Comparison",
    "Hint",
    "Picture",
    "Square",
    "compare",
    "hints_left",
    "verdict",
]
