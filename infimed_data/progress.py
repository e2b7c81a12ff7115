"""Progress on stderr: counts, rate and time left for whatever takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from infimed_data.showing import safe

__all__ = ["Progress"]

SHOW_AFTER_S = 1.5


class Progress:
    """Counts steps of one stage. Silent while it is short; on a terminal one live line, else a line every 5 s."""

    def __init__(self, label: str, total: int, unit: str, *, quiet: bool = False) -> None:
        self.label, self.total, self.unit, self.quiet = label, total, unit, quiet
        self._count = 0
        self._start = time.monotonic()
        self._last = self._start
        self._shown = False
        self._note = ""
        self._live = sys.stderr.isatty()

    def add(self, count: int, note: str = "") -> None:
        """Counts `count` more units done; `note` stands at the end of the line."""
        self._count += count
        self._note = note
        now = time.monotonic()
        pause = 0.2 if self._live else 5.0
        if self.quiet or now - self._start < SHOW_AFTER_S or (self._shown and now - self._last < pause):
            return
        self._last, self._shown = now, True
        self._print("\r" if self._live else "", "" if self._live else "\n")

    def _print(self, before: str, after: str) -> None:
        spent = time.monotonic() - self._start
        rate = self._count / spent if spent else 0.0
        left = (self.total - self._count) / rate if rate and self.total else 0.0
        of_total = f"/{self.total:,}" if self.total else ""
        line = f"{self.label}: {self._count:,}{of_total} {self.unit}  {rate:,.0f}/s  {_clock(left)} left"
        line += f"  {self._note}" if self._note else ""
        sys.stderr.write(f"{before}{safe(line):<79}{after}")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and not self.quiet:
            self._print("\r" if self._live else "", "\n")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
