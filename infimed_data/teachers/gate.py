"""How many requests are under way at once: as many as the server takes.

A server that says "too many" (429, or 503 with Retry-After) does so for single requests or for all. The one that was
told to wait waits; the others go on. Only when more than 40% of the recent answers say so, the limit falls and
everybody waits as long as the server asked; while fewer than 25% do, it rises again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from email.utils import parsedate_to_datetime

__all__ = ["Gate", "backoff_s", "retry_after_s"]

_TOO_MANY, _FEW = 0.4, 0.25
_WINDOW = 24


class Gate:
    """At most `limit` are inside at once; `limit` follows what the server says, up to `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opens_at = 0.0
        self._taken = self._refused = 0
        self._wait_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Returns when there is room."""
        if not self._waiting and self._has_room():
            self.inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Makes room for the next."""
        self.inside -= 1
        self._let_in()

    def taken(self) -> None:
        """The server has answered a request."""
        self._taken += 1
        self._adapt()

    def refused(self, wait_s: float) -> None:
        """The server has said that it is too many, and to wait."""
        self._refused += 1
        self._wait_s = max(self._wait_s, wait_s)
        self._adapt()

    def _has_room(self) -> bool:
        return self.inside < int(self.limit) and time.monotonic() >= self._opens_at

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)
        if self._waiting and self._timer is None and (wait := self._opens_at - time.monotonic()) > 0:
            self._timer = asyncio.get_running_loop().call_later(wait, self._open)

    def _open(self) -> None:
        self._timer = None
        self._let_in()

    def _adapt(self) -> None:
        seen = self._taken + self._refused
        # One refusal is enough where only one is ever inside; otherwise a decision needs a few answers.
        if seen < min(_WINDOW, max(1, 2 * int(self.limit))) or (seen < self.limit and self._refused < self.limit * 0.4):
            return
        share = self._refused / seen
        if share > _TOO_MANY:
            self.limit = max(1.0, self.limit / 2)
            self._opens_at = time.monotonic() + self._wait_s
        elif share < _FEW:
            self.limit = min(float(self.most), self.limit + max(1.0, self.limit / 8))
        self._taken = self._refused = 0
        self._wait_s = 0.0
        self._let_in()


def retry_after_s(value: str | None, *, now: float | None = None) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), 0 for a date that is past, or None."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now)
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def backoff_s(attempt: int, *, draw: random.Random | None = None) -> float:
    """Seconds before try `attempt` + 1: 0.5, 1, 2 ... up to 30, less up to half of it at random."""
    longest = min(30.0, 0.5 * 2.0 ** min(attempt, 8))
    return longest * (1 - 0.5 * (draw or random).random())
