"""The stages that compare rows with one another: near-duplicate texts, and rows with benchmarks.

Each is cached under the content of what it compares. What they find is evidence (similarities, shares, scores); what is
a leak of it is decided later, so changing such a limit compares nothing again.

parts.py        what is compared: the parts that were read
comparing.py    all comparisons of a build
texts.py        near-duplicate texts
benchmarks.py   the index of benchmarks' questions, and what matches it
"""

from infimed_data.pair_stages.comparing import Compared, compare
from infimed_data.pair_stages.parts import Part

__all__ = ["Compared", "Part", "compare"]
