"""Rejection sampling: candidates are asked for until enough of them are good enough, and the best become targets.

sampling.py     rounds of attempts at one sample; many samples at once in bounded memory
judging.py      what is said of a candidate: verdict, gates, a reviewer's mark
tallies.py      trials and pass rates, and what counts as one
winners.py      policies that choose among accepted candidates
outcome.py      what became of one sample
filling.py      so many samples of each stratum under a cap of candidates
difficulty.py   which samples reinforcement learning gets, and in what order
tables.py       outcomes as rows of the tables `candidates` and `generated`

Nothing here reads a file or a clock, or knows a server: a teacher is an `Ask`. The same problems, settings, seed and
answers give the same outcomes, whatever is in flight."""

from infimed_data.rejection.difficulty import Selection, measuring, select
from infimed_data.rejection.filling import Filled, fill, priority
from infimed_data.rejection.judging import Judged, Mark, judge, read_marks, unused_marks
from infimed_data.rejection.outcome import Outcome, Refused, is_answer_only, settle
from infimed_data.rejection.sampling import in_order, rounds, sampled
from infimed_data.rejection.tables import (
    CANDIDATES,
    GENERATED,
    candidate_rows,
    candidates_table,
    generated_row,
    generated_table,
)
from infimed_data.rejection.tallies import Tally, tally
from infimed_data.rejection.winners import POLICIES, winners

__all__ = [
    "CANDIDATES",
    "GENERATED",
    "POLICIES",
    "Filled",
    "Judged",
    "Mark",
    "Outcome",
    "Refused",
    "Selection",
    "Tally",
    "candidate_rows",
    "candidates_table",
    "fill",
    "generated_row",
    "generated_table",
    "in_order",
    "is_answer_only",
    "judge",
    "measuring",
    "priority",
    "read_marks",
    "rounds",
    "sampled",
    "select",
    "settle",
    "tally",
    "unused_marks",
    "winners",
]
