"""Benchmarks asked and scored: who answers, what is remembered, how it is counted, and how sure that is.

items.py        rows of a build as questions with their gold answers
prompts.py      the words of a question, from a file
local.py  in_process.py  served.py    who answers: transformers or vLLM here, or a server
journal.py      answers that are already there
scoring.py      the verifier's verdicts, counted
statistics.py   intervals clustered on images, paired comparison
tables.py       Markdown, CSV and JSON
comparison.py   two evaluations, row by row
run.py          all of it together
"""

from infimed_train.evaluate.comparison import compare, differences
from infimed_train.evaluate.run import evaluate

__all__ = ["compare", "differences", "evaluate"]
