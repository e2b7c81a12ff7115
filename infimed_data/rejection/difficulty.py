"""Difficulty: which samples reinforcement learning gets, by how often the model to be trained is right, and in what
order.

A group of answers that are all right, or all wrong, teaches nothing: every advantage in it is zero. So samples
between the two stay, easy ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infimed_data.manifest.generate import Attempts, Difficulty, Gates, Generate
from infimed_data.rejection.outcome import Refused
from infimed_data.rejection.tallies import Tally
from infimed_data.strategies.draws import SPAN, drawn

__all__ = ["Selection", "measuring", "select"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The samples that stay and those that leave."""

    kept: tuple[str, ...]
    """Uids, in the order of the curriculum."""
    dropped: Mapping[str, Refused]
    """Uid to why it leaves: `too_hard`, `too_easy` or `difficulty_unknown`."""


def measuring(settings: Difficulty) -> Generate:
    """A pass that draws exactly `samples` candidates of each row, whatever comes of them, to take their tally."""
    count = settings.samples
    return Generate(
        teacher=settings.teacher,
        strategy="direct",
        drawing=settings.drawing,
        attempts=Attempts(start=count, more=1, accept=count, limit=count),
        gates=Gates(**{name: False for name, value in Gates() if value is True}),
    )


def select(tallies: Mapping[str, Tally], settings: Difficulty, *, seed: int) -> Selection:
    """The samples to train on, by their uids' tallies.

    The bounds are shares of `samples`: with `keep_min` 1 and `keep_max` 7 of 8, a sample with 6 verifiable trials stays
    with 1 to 5 right ones.
    """
    kept: list[str] = []
    dropped: dict[str, Refused] = {}
    for uid, trials in sorted(tallies.items()):
        reason = _refused(uid, trials, settings, seed)
        if reason is None:
            kept.append(uid)
        else:
            dropped[uid] = reason
    sign = {"easy_first": -1.0, "hard_first": 1.0, "shuffled": 0.0}[settings.order]
    kept.sort(key=lambda uid: (sign * (tallies[uid].pass_rate or 0.0), drawn(seed, uid, "curriculum"), uid))
    return Selection(tuple(kept), dropped)


def _refused(uid: str, trials: Tally, settings: Difficulty, seed: int) -> Refused | None:
    if trials.verifiable < settings.min_verifiable:
        return Refused("difficulty_unknown", f"{trials.verifiable} verifiable", f"{settings.min_verifiable}")
    value = f"{trials.correct} of {trials.verifiable} right"
    scaled = trials.correct * settings.samples
    if scaled < settings.keep_min * trials.verifiable:
        return Refused("too_hard", value, f"{settings.keep_min} of {settings.samples}")
    if scaled > settings.most_right * trials.verifiable and drawn(seed, uid, "easy") >= settings.keep_easy * SPAN:
        return Refused("too_easy", value, f"{settings.most_right} of {settings.samples}")
    return None
