"""What a training leaves behind: a folder with its card, curves, whole checkpoints and a whole model."""

from infimed_train.runs.card import evaluation_card, lineage_of, pixels_of_run, training_card
from infimed_train.runs.curves import write_curves
from infimed_train.runs.folder import RunFolder
from infimed_train.runs.resume import resuming
from infimed_train.runs.training import is_main, run_trainer, wait_for_everyone

__all__ = [
    "RunFolder",
    "evaluation_card",
    "is_main",
    "lineage_of",
    "pixels_of_run",
    "resuming",
    "run_trainer",
    "training_card",
    "wait_for_everyone",
    "write_curves",
]
