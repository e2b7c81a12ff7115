"""From indexes to files.

decide.py   where every row ends; taught.py: what teachers change of that
write.py    the tables of a build
letters.py  how often each letter is right, where options are shuffled; plots.py: the pictures of the card
leaks.py    what decontamination found
evidence.py   what people look at to judge it
"""

from infimed_data.outputs.decide import Decided, decide, deciding_columns, drop_compared, gather, strata_table
from infimed_data.outputs.evidence import write_evidence, write_lookalikes, write_phi
from infimed_data.outputs.leaks import write_leaks
from infimed_data.outputs.letters import letter_balances
from infimed_data.outputs.plots import draw_plots
from infimed_data.outputs.write import Unit, placed_targets, write_build

__all__ = [
    "Decided",
    "Unit",
    "decide",
    "deciding_columns",
    "draw_plots",
    "drop_compared",
    "gather",
    "letter_balances",
    "placed_targets",
    "strata_table",
    "write_build",
    "write_evidence",
    "write_leaks",
    "write_lookalikes",
    "write_phi",
]
