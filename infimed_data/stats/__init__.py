"""What answers questions about a finished build: SQL over its tables, its numbers, and the story of one row.

builds.py   finds and opens a build folder
sql.py      read-only SQL that can reach neither files nor network
tables.py   a result as text, CSV or JSON
summary.py  the numbers of a build, as text
story.py    one row: where it was read, what was measured, where it ended and why
attempts.py what teachers were asked, of all rows and of one
difference.py  two builds, row by row; locks.py: what in their locks explains it
"""

from infimed_data.stats.builds import Build, open_build
from infimed_data.stats.difference import changes, difference
from infimed_data.stats.sql import query
from infimed_data.stats.story import why
from infimed_data.stats.summary import stats
from infimed_data.stats.tables import as_csv, as_json, as_table, shown

__all__ = [
    "Build",
    "as_csv",
    "as_json",
    "as_table",
    "changes",
    "difference",
    "open_build",
    "query",
    "shown",
    "stats",
    "why",
]
