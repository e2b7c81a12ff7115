"""How much memory a build may take, and what that leaves for one task. It changes how work is cut, never a result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["LEAST_BYTES", "Bytes", "Memory", "bytes_of"]

LEAST_BYTES = 512 * 10**6
"""Below this not even one worker fits beside the build's own process."""
PROCESS_BYTES = 160 * 10**6
"""What a process takes before it has any data: the interpreter and the libraries, shared pages counted in each."""
TASK_BYTES = 192 << 20
"""What a task may hold where there is no limit."""
_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def bytes_of(text: str) -> int:
    """`4 GB`, `800MB` or `1.5 TB` in bytes (powers of ten). Raises `ValueError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if found is None or found[2].upper() not in _UNITS:
        raise ValueError(f"{text!r}; allowed: a number with MB, GB or TB, such as 4 GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _in_bytes(given: Any) -> Any:
    return bytes_of(given) if isinstance(given, str) else given


Bytes = Annotated[int, BeforeValidator(_in_bytes)]
"""A number of bytes in a manifest, or a text such as `4 GB`."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a build may take on this machine, all processes together."""

    limit_bytes: int | None = None
    """None: tasks are cut as if there was enough."""

    def processes(self, wanted: int) -> int:
        """Worker processes that fit, at most `wanted`: a quarter of the limit is for the build's own process."""
        if self.limit_bytes is None:
            return wanted
        return max(1, min(wanted, int(0.75 * self.limit_bytes / (PROCESS_BYTES + (32 << 20)))))

    def task_bytes(self, processes: int) -> int:
        """What the arrays of one task may take while `processes` of them run."""
        if self.limit_bytes is None:
            return TASK_BYTES
        share = (0.75 * self.limit_bytes - processes * PROCESS_BYTES) / processes
        return int(min(TASK_BYTES, max(16 << 20, share)))
