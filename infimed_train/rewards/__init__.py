"""The verifier as the reward: what a completion is paid, curves by source and kind, alarms, and the audit before."""

from infimed_train.rewards.alarms import ALARMS, Batch, Watch
from infimed_train.rewards.audit import Audit, audit, decidable, gold_answer
from infimed_train.rewards.judge import Judge, in_form, repeated_share

__all__ = [
    "ALARMS",
    "Audit",
    "Batch",
    "Judge",
    "Watch",
    "audit",
    "decidable",
    "gold_answer",
    "in_form",
    "repeated_share",
]
