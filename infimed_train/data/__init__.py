"""Rows of a build or the Hub: loaded with what the build knows of them, measured by the real processor, drawn."""

from infimed_train.data.draws import by_difficulty, weighted
from infimed_train.data.lengths import Lengths, fitting, measure
from infimed_train.data.rows import Rows, load_rows

__all__ = ["Lengths", "Rows", "by_difficulty", "fitting", "load_rows", "measure", "weighted"]
