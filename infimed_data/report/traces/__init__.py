"""Shows what teachers wrote and what became of it, for a person who has to decide whether to trust it.

asking.py    the table that all numbers are counted from
summary.py   accept rates, gates, verdicts, pass rates, wins, counted by SQL
cost.py      tokens and money
text.py      these numbers for a terminal
choice.py    the samples that a page shows, with all of their candidates
pieces.py    a trace cut where something is to be said of it
wording.py   verdicts, gates, refusals and wins in words
views.py     what the template shows of a sample
page.py      all of it in one HTML file (traces.html.jinja, traces.css, traces.js)
"""

from infimed_data.report.traces.page import MAX_SAMPLES, traces_page, write_traces_page
from infimed_data.report.traces.text import traces_text

__all__ = ["MAX_SAMPLES", "traces_page", "traces_text", "write_traces_page"]
