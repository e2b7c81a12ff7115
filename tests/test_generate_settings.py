"""What a manifest may say about teachers: the proposed YAML holds, and what cannot be is refused, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from infimed_data.gates import GATES
from infimed_data.manifest.generate import PATTERNS, Attempts, Difficulty, Gates, Generate
from infimed_data.manifest.loading import _tuples
from infimed_data.rejection import POLICIES
from infimed_data.strategies import STRATEGIES

EXAMPLE = """
generate:
  images:                              # passes stand in order; a row goes to the first that takes it
    categories: [medical_vqa]          # `sources` and `answer_kinds` narrow it too
    teacher: qwen72b                   # names of `teachers:`
    strategy: reflective
    reflective:
      patterns: {self_check: 3, eliminate_options: 2, alternative_hypothesis: 2, look_back: 2, backtrack: 1}
    drawing: {temperature: 1.0, top_p: 0.95, max_tokens: 2048}
    attempts: {start: 2, more: 2, accept: 1, limit: 8}
    gates: {image_ignored: true, max_words: 800}
    winners: {policy: median_length}
    answer_only: 0.15
    review: marks.jsonl
    fill: {samples: {vqa_rad: 900, slake: 2000}, max_candidates: 30000}
  cases:
    categories: [medical_text]
    teacher: qwen72b
    strategy: search
    search: {depth: 3, rewriter: qwen72b, reveal: false}
  stable:
    sources: [pmc_vqa]
    teacher: qwen32b
    strategy: stability
    stability: {samples: 8, high: 6, middle: 3, reconstructor: qwen4b, rewriter: qwen72b}
difficulty:
  teacher: small
  samples: 8
  keep_min: 1
  keep_max: 7
  order: easy_first
"""


def loaded() -> dict[str, Any]:
    """The example as plain data, as the manifest's loader makes it."""
    plain: dict[str, Any] = _tuples(YAML(typ="safe").load(EXAMPLE))
    return plain


def test_the_proposed_manifest_holds() -> None:
    plain = loaded()
    passes = {name: Generate.model_validate(each) for name, each in plain["generate"].items()}
    assert passes["images"].reflective.patterns["self_check"] == 3
    assert [each.policy for each in passes.values()] == ["median_length", "shortest", "lowest_entropy"]
    assert [each.most_candidates for each in passes.values()] == [8, 8, 9]
    assert passes["stable"].wants_entropy and not passes["images"].wants_entropy
    assert Difficulty.model_validate(plain["difficulty"]).most_right == 7


def test_what_is_recorded_reads_back_the_same() -> None:
    for each in loaded()["generate"].values():
        how = Generate.model_validate(each)
        assert Generate.model_validate(_tuples(how.model_dump(mode="json"))) == how


def test_names_agree_with_what_they_name() -> None:
    fields = Generate.model_fields
    assert set(fields["strategy"].annotation.__args__) == set(STRATEGIES)  # type: ignore[union-attr]
    assert {name for name in Gates.model_fields if isinstance(getattr(Gates(), name), bool)} == set(GATES)
    for policy in POLICIES:
        Generate(teacher="t", strategy="direct", winners={"policy": policy})  # type: ignore[arg-type]
    assert len(PATTERNS) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "guess"}, "Input should be 'direct', 'reflective', 'search' or 'stability'"),
        ({"tempo": 1}, "Extra inputs are not permitted"),
        ({"attempts": {"start": 4, "limit": 2}}, "limit 2; allowed: at least start (4) and accept (1) candidates"),
        ({"attempts": {"accept": 9}}, "limit 8; allowed: at least start (2) and accept (9) candidates"),
        (
            {"reflective": {"patterns": {"eliminate_options": 1.0}}},
            "only eliminate_options, which suits no sample without",
        ),
        ({"reflective": {"patterns": {"guess": 1.0}}}, "Input should be 'self_check'"),
        ({"reflective": {"patterns": {"self_check": 0}}}, "greater than 0"),
        ({"search": {"patterns": ("backtrack",)}}, "no pattern for the first revision"),
        (
            {"stability": {"high": 2}},
            "middle 3, high 2, min_verifiable 4, samples 8; allowed: middle <= high <= samples",
        ),
        ({"stability": {"samples": 3, "high": 3}}, "allowed: middle <= high <= samples, min_verifiable <= samples"),
        ({"gates": {"leaks": False}}, "Extra inputs are not permitted"),
        ({"answer_only": 1.5}, "less than or equal to 1"),
        ({"fill": {"samples": {"a": 1}, "max_candidates": 7}}, "fill.max_candidates 7; allowed: at least 8"),
        ({"fill": {"samples": {}, "max_candidates": 70}}, "at least 1 item"),
        ({"winners": {"policy": "longest"}}, "Input should be 'shortest'"),
        ({"winners": {"count": 2}}, "winners.count 2; allowed: at most attempts.accept (1)"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Generate.model_validate({"teacher": "t", "strategy": "direct", **changes})
    assert message in str(error.value)


def test_bounds_of_difficulty_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="keep_min 5, keep_max 3"):
        Difficulty(teacher="t", keep_min=5, keep_max=3)
    assert Difficulty(teacher="t", samples=16).most_right == 15


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Attempts().limit = 3
