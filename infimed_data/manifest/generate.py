"""What a manifest says about teachers' reasoning: how it is asked for, checked and chosen. Typed and frozen.

`Generate` is one pass over some of the rows; `Difficulty` measures how hard samples are for a model, and which stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from infimed_data.manifest.records import Record
from infimed_data.schema import VERIFIABLE_KINDS, AnswerKind, Category

__all__ = [
    "PATTERNS",
    "Attempts",
    "Difficulty",
    "Drawing",
    "Failed",
    "Fill",
    "Gates",
    "Generate",
    "Pattern",
    "Policy",
    "Reflective",
    "Revision",
    "Search",
    "Stability",
    "StrategyName",
    "Winners",
]

StrategyName = Literal["direct", "reflective", "search", "stability"]
Pattern = Literal["self_check", "eliminate_options", "alternative_hypothesis", "look_back", "backtrack"]
"""Reflection: a conclusion held against the image (or the case, where there is none); options ruled out one by one;
another explanation weighed; evidence looked at again before the answer; a step taken back and corrected."""
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
Revision = Literal["verify", "explore", "correct", "backtrack"]
"""After a wrong conclusion: check each step; take another path; mend the step that is wrong; go back before it."""
Policy = Literal["shortest", "median_length", "lowest_entropy", "most_diverse", "seeded_random"]

Failed = Literal["drop", "answer_only", "keep"]
"""What becomes of a sample for which nothing was accepted: it leaves the build, all outputs of it; it keeps a bare
answer; it stays as its source has it, with the source's rationale where there is one."""

_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class Drawing(Record):
    """How completions are drawn; part of the key that they are remembered under."""

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)
    """Tokens of a completion, reasoning included. For `difficulty`: what the trainer will allow."""


class Attempts(Record):
    """How many candidates a sample gets: `start` at once, then `more` at a time until enough are accepted."""

    start: int = Field(default=2, ge=1)
    """Candidates that every sample gets. The pass rate is that of these alone: how many follow depends on how the first
    ones fared, and would bend it."""
    more: int = Field(default=2, ge=1)
    accept: int = Field(default=1, ge=1)
    """Accepted candidates (right, and through all gates) after which no more are asked for."""
    limit: int = Field(default=8, ge=1)
    """Candidates after which a sample is given up."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.limit < max(self.start, self.accept):
            raise ValueError(
                f"limit {self.limit}; allowed: at least start ({self.start}) and accept ({self.accept}) candidates"
            )
        return self


def _evenly() -> Mapping[Pattern, float]:
    return dict.fromkeys(PATTERNS, 1.0)


class Reflective(Record):
    """Reflection that is asked for in the instruction, one pattern a candidate."""

    patterns: Mapping[Pattern, Annotated[float, Field(gt=0)]] = Field(default_factory=_evenly, min_length=1)
    """Pattern to its share; shares are scaled to add up to 1. `eliminate_options` goes only to samples with options;
    elsewhere the others share its part by their weights."""

    @field_validator("patterns")
    @classmethod
    def _some_for_all(cls, patterns: Mapping[str, float]) -> Mapping[str, float]:
        if set(patterns) == {"eliminate_options"}:
            raise ValueError("only eliminate_options, which suits no sample without options; name another pattern too")
        return patterns


class Search(Record):
    """Attempt, verify, and on a wrong conclusion ask for a revision, without saying what is right."""

    depth: int = Field(default=3, ge=1)
    """Revisions that follow a wrong conclusion at most, in each attempt."""
    patterns: tuple[Revision, ...] = ("verify", "explore", "correct", "backtrack")
    """Ways to revise, drawn anew each time; `backtrack` is never the first."""
    rewriter: str | None = None
    """Teacher that makes one monologue of the wrong turns and their correction; null: the one that was asked."""
    reveal: bool = False
    """Whether a last round tells the teacher the right answer; such candidates are marked `gold_revealed`."""

    @field_validator("patterns")
    @classmethod
    def _a_first_one(cls, patterns: tuple[Revision, ...]) -> tuple[Revision, ...]:
        if not set(patterns) - {"backtrack"}:
            raise ValueError("no pattern for the first revision, which is never backtrack; name another")
        return patterns


class Stability(Record):
    """Several candidates; what follows depends on how many of them are right."""

    samples: int = Field(default=8, ge=1)
    high: int = Field(default=6, ge=1)
    """Right candidates, of `samples`, from which on the right ones are kept if a second model can give the answer from
    their reasoning alone, with every statement of the answer masked."""
    middle: int = Field(default=3, ge=1)
    """Right candidates from which on a rewriter is given the gold answer and one of them; fewer: the sample is dropped.
    Where some candidates cannot be judged, `high` and `middle` are read as shares of those that can."""
    min_verifiable: int = Field(default=4, ge=1)
    """Candidates that a rule must be able to judge; with fewer the sample is dropped, as nothing is known of it."""
    reconstructor: str | None = None
    """Teacher that answers from masked reasoning; null: the one that was asked, which is a weaker test."""
    rewriter: str | None = None
    """Teacher that rewrites with the gold answer, marked `gold_revealed`; null: the middle tier is dropped too."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.middle <= self.high <= self.samples or self.min_verifiable > self.samples:
            raise ValueError(
                f"middle {self.middle}, high {self.high}, min_verifiable {self.min_verifiable}, samples {self.samples};"
                " allowed: middle <= high <= samples, min_verifiable <= samples"
            )
        return self


class Gates(Record):
    """Quality gates that a right candidate must pass; false turns one off."""

    answer_leak: bool = True
    """Speaks of an answer, a key or feedback that was given to it."""
    unseen_source: bool = True
    """Cites a report, a record, a caption, a label or metadata that is not in the prompt."""
    persona: bool = True
    """Speaks of being an AI, of instructions, a prompt or a user."""
    refusal: bool = True
    """Refuses, apologises, or sends the reader to a doctor instead of answering."""
    empty_reflection: bool = True
    """Says that it checks or thinks again, and neither looks at anything nor changes anything."""
    no_reflection: bool = False
    """A reflection pattern was asked for, and no reflection is found."""
    options_ignored: bool = True
    """`eliminate_options` was asked for, and the wrong options are never mentioned."""
    turn_lost: bool = True
    """`search` merged a wrong turn with its correction, and the turn is no longer there."""
    contradiction: bool = True
    """What the reasoning concludes has another side, polarity or option than the final answer."""
    several_answers: bool = True
    """More than one final answer, or an answer tag inside the reasoning."""
    form: bool = True
    """Not one closed block of reasoning and then an answer, or tokens in it that a chat template reads as its own."""
    length: bool = True
    """Reasoning shorter than `min_words` or longer than `max_words`."""
    repetition: bool = True
    """Loops: the same line, sentence or phrase over and over."""
    language: bool = True
    """Changes to another language than the sample's, English or Chinese."""
    image_ignored: bool = False
    """There is an image, and the reasoning never looks at one."""
    min_words: int = Field(default=15, ge=0)
    """Of the reasoning; a Chinese character counts as a word."""
    max_words: int = Field(default=1500, ge=1)


class Winners(Record):
    """Which accepted candidates become training targets."""

    policy: Policy | None = None
    """Null: `lowest_entropy` for `stability`, `shortest` for all others. Lengths are in characters. `lowest_entropy`
    falls back to `median_length` for a sample of which some accepted candidate has no entropy. `most_diverse` starts
    from the median length and adds what is least like those chosen."""
    count: int = Field(default=1, ge=1)
    """Winners a sample, where so many are accepted; each is a row of `sft`, while budgets count samples. A policy
    chooses among `attempts.accept` candidates or a few more: ask for more than `count` where it shall matter."""


class Fill(Record):
    """Accepted samples wanted of each stratum, and what they may cost."""

    strata: tuple[str, ...] = ("source",)
    """Fields whose values, joined by `/`, name a stratum."""
    samples: Mapping[str, _Count] = Field(min_length=1)
    """By stratum: samples that must have a winner. Strata that are not named are not asked about."""
    max_candidates: int = Field(ge=1)
    """Candidates a stratum, however many samples are still missing then; never exceeded."""


class Generate(Record):
    """One pass: a strategy for the rows it takes. Passes stand in order, and a row goes to the first that takes it."""

    sources: tuple[str, ...] | None = None
    """Sources whose rows it takes; null: all."""
    categories: tuple[Category, ...] | None = None
    answer_kinds: tuple[AnswerKind, ...] = VERIFIABLE_KINDS  # type: ignore[assignment]
    """Kinds it takes; without a `judge`, a candidate for any other is never known to be right."""
    teacher: str
    """Name of a teacher."""
    judge: str | None = None
    """Teacher that is asked whether an answer that no rule can decide means the gold one; null: such candidates are
    not accepted. Strategies that go by verdicts on the way (`search`, `stability`) go by rules alone."""
    strategy: StrategyName
    reflective: Reflective = Field(default_factory=lambda: Reflective())
    search: Search = Field(default_factory=lambda: Search())
    stability: Stability = Field(default_factory=lambda: Stability())
    """The section of the strategy is read; the others lie idle."""
    drawing: Drawing = Field(default_factory=lambda: Drawing())
    attempts: Attempts = Field(default_factory=lambda: Attempts())
    """Not for `stability`, which draws `stability.samples` at once."""
    gates: Gates = Field(default_factory=lambda: Gates())
    winners: Winners = Field(default_factory=lambda: Winners())
    answer_only: _Share = 0.0
    """Share of the samples that keep a bare answer, drawn by uid; no teacher is asked about them."""
    failed: Failed = "drop"
    """What becomes of a sample for which nothing was accepted, or that `fill` did not come to: `drop` takes it out of
    the build, of `rl` too, since a gold answer that no attempt reaches is often wrong; `answer_only` keeps a bare
    answer; `keep` leaves it as its source has it."""
    review: str | None = None
    """File of marks, beside the manifest that names it: a line `{"candidate": KEY, "verdict": "good"}` (or `bad`)
    overrules the gates, and what no rule can verify; never a wrong answer."""
    fill: Fill | None = None
    """Null: every row is asked about."""

    @field_validator("answer_kinds")
    @classmethod
    def _answerable(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if "none" in kinds or not kinds:
            raise ValueError(f"{'none' if kinds else 'empty'}; allowed: {', '.join(VERIFIABLE_KINDS)}, open")
        return kinds

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of the teachers that it asks."""
        also: tuple[str | None, ...] = (self.judge,)
        if self.strategy == "search":
            also += (self.search.rewriter,)
        elif self.strategy == "stability":
            also += (self.stability.reconstructor, self.stability.rewriter)
        return tuple(dict.fromkeys((self.teacher, *(name for name in also if name is not None))))

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.strategy != "stability" and self.winners.count > self.attempts.accept:
            raise ValueError(
                f"winners.count {self.winners.count}; allowed: at most attempts.accept ({self.attempts.accept}), as "
                "sampling stops with so many accepted candidates"
            )
        if self.fill is not None and self.fill.max_candidates < self.most_candidates:
            raise ValueError(
                f"fill.max_candidates {self.fill.max_candidates}; allowed: at least {self.most_candidates}, the "
                "candidates that one sample may take"
            )
        return self

    @property
    def most_candidates(self) -> int:
        """Candidates that one sample can have."""
        if self.strategy == "stability":
            return self.stability.samples + (self.stability.rewriter is not None)
        return self.attempts.limit

    @property
    def policy(self) -> Policy:
        """The policy that chooses winners."""
        return self.winners.policy or ("lowest_entropy" if self.strategy == "stability" else "shortest")

    @property
    def wants_entropy(self) -> bool:
        """Whether completions are asked for with log-probabilities."""
        return self.policy == "lowest_entropy"


class Difficulty(Record):
    """How hard samples are for a model, and which of them reinforcement learning gets."""

    teacher: str
    """The model that will be trained, as the name of a teacher."""
    drawing: Drawing = Field(default_factory=lambda: Drawing())
    samples: int = Field(default=8, ge=1)
    min_verifiable: int = Field(default=4, ge=1)
    """Candidates that a rule must be able to judge; with fewer the difficulty is unknown, and the sample dropped."""
    keep_min: int = Field(default=1, ge=0)
    """Right candidates of `samples`; a sample with a lower share is too hard, with a higher one than `keep_max` too
    easy."""
    keep_max: int | None = Field(default=None, ge=0)
    """Null: all but one."""
    keep_easy: _Share = 0.0
    """Share of the samples that are too easy which stay all the same, drawn by uid."""
    order: Literal["easy_first", "hard_first", "shuffled"] = "easy_first"
    """Curriculum; ties, and `shuffled`, are shuffled by the seed."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.keep_min <= self.most_right <= self.samples or self.min_verifiable > self.samples:
            raise ValueError(
                f"keep_min {self.keep_min}, keep_max {self.most_right}, min_verifiable {self.min_verifiable}, samples "
                f"{self.samples}; allowed: keep_min <= keep_max <= samples, min_verifiable <= samples"
            )
        return self

    @property
    def most_right(self) -> int:
        """Right candidates of `samples` beyond which a sample is too easy."""
        return self.samples - 1 if self.keep_max is None else self.keep_max
