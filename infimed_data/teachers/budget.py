"""What a run has spent, and whether the next request still fits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from infimed_data.errors import BudgetError, TeacherError
from infimed_data.teachers.settings import Budget, Price

__all__ = ["Hold", "Meter", "Purse"]


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request under way may cost at most."""

    usd: float
    tokens: int


class Purse:
    """A budget, what is spent of it, and what requests under way may still cost. Several teachers may share one."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.requests = self.tokens = 0
        self.usd = 0.0
        self._held: set[int] = set()
        self._held_usd = 0.0
        self._held_tokens = 0
        self._settled: asyncio.Event = asyncio.Event()

    async def hold(self, hold: Hold) -> None:
        """Waits until the request fits beside those under way; raises `BudgetError` where it cannot."""
        while (why := self._why_not(hold)) is not None:
            if not self._held:
                raise BudgetError(
                    f"budget spent: {why}; {self.requests:,} requests answered. Raise it and run the same command "
                    "again: what was answered is kept"
                )
            self._settled.clear()
            await self._settled.wait()
        self._held.add(id(hold))
        self._held_usd += hold.usd
        self._held_tokens += hold.tokens

    def settle(self, hold: Hold, *, tokens: int, usd: float, sent: bool) -> None:
        """Counts what the request took in place of what it held."""
        self._held.discard(id(hold))
        self._held_usd -= hold.usd
        self._held_tokens -= hold.tokens
        if not self._held:
            self._held_usd = 0.0
        self.requests += sent
        self.tokens += tokens
        self.usd += usd
        self._settled.set()

    def _why_not(self, hold: Hold) -> str | None:
        budget = self.budget
        if budget.max_requests is not None and self.requests + len(self._held) >= budget.max_requests:
            return f"max_requests {budget.max_requests:,}"
        tokens = self.tokens
        if budget.max_tokens is not None and tokens + self._held_tokens + hold.tokens > budget.max_tokens:
            return f"max_tokens {budget.max_tokens:,}, {tokens:,} used, and the next request may take {hold.tokens:,}"
        if budget.max_usd is not None and self.usd + self._held_usd + hold.usd > budget.max_usd + 1e-12:
            return f"max_usd {budget.max_usd:g}, {self.usd:.4f} spent, and the next request may cost {hold.usd:.4f}"
        return None


class Meter:
    """Counts what a run spends on one teacher. A request first holds its dearest outcome, and settles what it was."""

    def __init__(self, budget: Budget | Purse, price: Price | None, *, model: str) -> None:
        self.purse = budget if isinstance(budget, Purse) else Purse(budget)
        most = self.purse.budget.max_usd
        if most is not None and price is None:
            raise TeacherError(f"max_usd {most:g}: no price for {model}; give its price, or use max_tokens")
        self.price = price
        self.requests = self.prompt_tokens = self.completion_tokens = 0
        self.usd = 0.0

    async def hold(self, prompt_tokens: int, completion_tokens: int) -> Hold:
        """Waits until the request fits beside those under way; raises `BudgetError` where it cannot."""
        hold = Hold(self._usd(prompt_tokens, completion_tokens, 0), prompt_tokens + completion_tokens)
        await self.purse.hold(hold)
        return hold

    def settle(self, hold: Hold, prompt_tokens: int, completion_tokens: int, cached_tokens: int, *, sent: bool) -> None:
        """Counts what the request took in place of what it held; `sent` is whether it counts as a request."""
        usd = self._usd(prompt_tokens, completion_tokens, cached_tokens)
        self.purse.settle(hold, tokens=prompt_tokens + completion_tokens, usd=usd, sent=sent)
        self.requests += sent
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.usd += usd

    def _usd(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> float:
        return self.price.usd(prompt_tokens, completion_tokens, cached_tokens) if self.price else 0.0
