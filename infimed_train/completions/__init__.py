"""What a policy said while it was trained, as one HTML file that a person can read without a network.

reading.py   the Parquet files of a run: every step in figures, whole groups of completions for a closer look
pictures.py  the pictures of the chosen rows, small, each once
page.py      all of it in one file (page.html.jinja, page.css, page.js)
"""

from infimed_train.completions.page import PAGE, write_completions_page

__all__ = ["PAGE", "write_completions_page"]
