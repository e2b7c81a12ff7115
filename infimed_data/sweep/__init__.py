"""Many variants of one dataset beside one another.

variants.py   builds them one after the other from shared stages, and says what differs
scores.py     what `infimed-train eval` found of models that were trained on them: a table, and a chart
"""

from infimed_data.sweep.scores import Results, Scored, draw_scores, match_scores, read_scores, scores_text, with_scores
from infimed_data.sweep.variants import Swept, as_text, compared, explained, sweep

__all__ = [
    "Results",
    "Scored",
    "Swept",
    "as_text",
    "compared",
    "draw_scores",
    "explained",
    "match_scores",
    "read_scores",
    "scores_text",
    "sweep",
    "with_scores",
]
