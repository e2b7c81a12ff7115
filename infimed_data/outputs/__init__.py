"""From indexes to files.

decide.py   where every row ends
write.py    the tables of a build
"""

from infimed_data.outputs.decide import Decided, decide, deciding_columns, strata_table
from infimed_data.outputs.write import Unit, write_build

__all__ = ["Decided", "Unit", "decide", "deciding_columns", "strata_table", "write_build"]
