"""Winners: which accepted candidates become training targets.

Candidates that were written without the gold in view come first: one that saw it wins only where none did not. Ties
go to the smaller number of the attempt, so the order in which answers arrive does not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from infimed_data.manifest.generate import Policy
from infimed_data.rejection.judging import Judged
from infimed_data.strategies.draws import drawn
from infimed_data.words import grams_of, word_digests

__all__ = ["POLICIES", "winners"]

SHINGLE_WORDS = 3

Accepted = Sequence[tuple[int, Judged]]
"""(position, candidate) of those that may win, in the order of their attempts."""
Ranking = Callable[[Accepted, int], list[int] | None]
"""Positions in the order in which they win, by a seed; None where the policy does not apply."""


def _length(each: Judged) -> int:
    return len(each.candidate.text)


def _shortest(accepted: Accepted, seed: int) -> list[int]:
    return [at for at, _ in sorted(accepted, key=lambda item: (_length(item[1]), item[0]))]


def _median_length(accepted: Accepted, seed: int) -> list[int]:
    """The (lower) median first, then what is nearest to it in length."""
    lengths = sorted(_length(each) for _, each in accepted)
    median = lengths[(len(lengths) - 1) // 2]
    return [at for at, _ in sorted(accepted, key=lambda item: (abs(_length(item[1]) - median), item[0]))]


def _lowest_entropy(accepted: Accepted, seed: int) -> list[int] | None:
    entropies = [(each.candidate.made.completion.answer_entropy, at) for at, each in accepted]
    if any(entropy is None for entropy, _ in entropies):
        return None
    return [at for _, at in sorted((entropy, at) for entropy, at in entropies if entropy is not None)]


def _most_diverse(accepted: Accepted, seed: int) -> list[int]:
    """The median length first, then always what shares least with its nearest among those chosen."""
    texts = pa.array([each.candidate.reasoning or each.candidate.text for _, each in accepted])
    grams, bounds = grams_of(*word_digests(texts), SHINGLE_WORDS)
    shingles = {
        at: frozenset(grams[start:end].tolist())
        for (at, _), start, end in zip(accepted, bounds[:-1], bounds[1:], strict=True)
    }
    chosen = _median_length(accepted, seed)[:1]
    left = sorted(set(shingles) - set(chosen))
    nearest = dict.fromkeys(left, 0.0)
    while left:
        for at in left:
            nearest[at] = max(nearest[at], _jaccard(shingles[at], shingles[chosen[-1]]))
        chosen.append(min(left, key=lambda at: (nearest[at], at)))
        left.remove(chosen[-1])
    return chosen


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def _seeded_random(accepted: Accepted, seed: int) -> list[int]:
    return [
        at
        for _, at in sorted(
            (drawn(seed, each.candidate.uid, "winner", each.candidate.key), at) for at, each in accepted
        )
    ]


POLICIES: dict[Policy, Ranking] = {
    "shortest": _shortest,
    "median_length": _median_length,
    "lowest_entropy": _lowest_entropy,
    "most_diverse": _most_diverse,
    "seeded_random": _seeded_random,
}
"""Name and function. To add a policy, write its function, its line, and its name in `manifest.generate.Policy`."""
FALLBACK: Policy = "median_length"
"""For `lowest_entropy`, where the server gave no log-probabilities for some candidate."""


def winners(
    judged: Sequence[Judged], policy: Policy, count: int, *, seed: int
) -> tuple[tuple[int, ...], Policy | None]:
    """(positions of the winners, best first; the policy that chose them). None were accepted: ((), None)."""
    accepted = [(at, each) for at, each in enumerate(judged) if each.accepted]
    if not accepted:
        return (), None
    unaided = [item for item in accepted if not item[1].candidate.gold_revealed]
    ranked = POLICIES[policy](unaided or accepted, seed)
    if ranked is None:
        policy = FALLBACK
        ranked = POLICIES[policy](unaided or accepted, seed) or []
    return tuple(ranked[:count]), policy
