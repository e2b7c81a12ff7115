"""Kills builds that ask a teacher at 20 random moments of 2,000 requests, and runs them again to the end.

    python tests/benchmarks/kill_generate.py --kills 20 --rows 1000 --seed 4711

No request whose answer was kept is sent again, and the final candidates are those of an undisturbed build; both are
asserted. Two requests a row. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from killed_generation import killed_generation

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-generate-") as place:
        seen = killed_generation(
            Path(place), rows=given.rows, kills=given.kills, latency_s=given.latency_ms / 1000, seed=given.seed
        )
    told = ", ".join(f"{name} {value:,}" for name, value in seen.items())
    print(f"{given.kills} kills, seed {given.seed}: {told}; {time.monotonic() - start:.0f} s")
