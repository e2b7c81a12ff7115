"""Rule-based verification of answers: `verify(sample, completion)` says correct, wrong or unverifiable, and why.

verdict.py      the verdict, its reasons, and the gold answer it is held against
verifier.py     verify, and the kinds of answers that have a rule
extract.py      the final answer in raw output; clean.py: raw output as plain text
choice.py  multi_choice.py  yes_no.py  number.py  short_text.py  open.py      one kind each
options.py      which options a text names
compare.py      when two texts are equal; opposites.py: words that exclude each other; hedges.py: refusals, alternatives
quantities.py   numbers with their units; units.py: which units there are
scoring.py      the verifier held against labelled cases (imported by those who score, not here)

Nothing here needs more than the standard library, so that a reward function starts at once. What counts as right, wrong
and undecidable is written down in POLICY.md beside this file; the sections named in the modules are those of that page.
"""

from infimed_data.verify.verdict import OUTCOMES, REASONS, Checkable, Gold, Outcome, Verdict
from infimed_data.verify.verifier import KINDS, verify

__all__ = ["KINDS", "OUTCOMES", "REASONS", "Checkable", "Gold", "Outcome", "Verdict", "verify"]
