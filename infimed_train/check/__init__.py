"""What can be found out before a GPU is rented: each part says its lines, and whether something would fail.

versions.py     installed versions that cannot work together, and the install line that mends it
batches.py      GRPO's batch law, solved
memory.py       an estimate of one GPU's memory
lengths.py      token histograms against the limits
dry_step.py     forward and backward of two rows on a small random copy of the model
run.py          all of it together
"""

from infimed_train.check.run import check

__all__ = ["check"]
