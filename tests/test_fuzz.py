"""A few seconds of what `tests/benchmarks/fuzz.py` does for as long as it is let: bytes that nobody meant."""

from __future__ import annotations

import warnings

import pytest
from fuzz_targets import TARGETS, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = {"adapters": 60, "images": 60, "manifest": 40, "verifier": 80, "html": 4}


@st.composite
def mutated(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """Bytes of a seed, some of them changed, left out or put in; seldom others."""
    data = bytearray(draw(st.sampled_from(known)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_it(name: str) -> None:
    strategy = st.binary(max_size=600)
    if name in ("images", "manifest"):
        strategy = mutated([seed for seed in seeds(name) if len(seed) < 4000]) | st.binary(max_size=60)

    @settings(max_examples=EXAMPLES[name], deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", module="PIL")
            TARGETS[name](data)

    run()
