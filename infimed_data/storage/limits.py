"""What a hostile or damaged file may cost at most, for readers that know nothing of manifests."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ReadLimits"]


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits of one source; `infimed_data.manifest.Limits` says what they are for."""

    max_row_bytes: int = 64 << 20
    max_archive_members: int = 2_000_000
    max_archive_ratio: float = 200.0
