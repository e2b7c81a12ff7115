"""Shows what decontamination found and what teachers wrote, for a person who has to decide whether to trust it.

summary.py       how many rows match which benchmark, as text for a terminal
choice.py        the pairs that a person should see first, with their rows and what became of these
shared_words.py  what two texts share
wording.py       grades, evidence and fates in words
pictures.py      the pictures of pairs, each once, and how one lies on the other
page.py          all of it in one HTML file (leaks.html.jinja, leaks.css, leaks.js)
traces/          the same for teachers' traces
document.py      what both pages share (page.html.jinja, macros.html.jinja, page.css, review.js)
"""

from infimed_data.report.page import MAX_PAIRS, write_leaks_page
from infimed_data.report.summary import leaks_text

__all__ = ["MAX_PAIRS", "leaks_text", "write_leaks_page"]
