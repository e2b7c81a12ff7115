"""What traces cost: tokens of every request once, however many candidates share it, and money where a price is known.
Candidates that came in one request share its prompt.

Prices come from the build's lock: those of the manifest's teachers, or a table `prices` by the model's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet as pq
from pydantic import ValidationError

from infimed_data.stats import Build
from infimed_data.stats.sql import rows
from infimed_data.teachers.settings import Price

__all__ = ["Cost", "ModelUse", "cost_of"]


class ModelUse(NamedTuple):
    """What was asked of one model."""

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    """None where no price is known."""
    replayed: bool
    """Whether its answers came from a file, so that nothing was paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was asked of all models."""

    models: Sequence[ModelUse]
    accepted: int
    """Candidates that were accepted."""

    @property
    def prompt_tokens(self) -> int:
        """Of all requests."""
        return sum(model.prompt_tokens for model in self.models)

    @property
    def completion_tokens(self) -> int:
        """Of all requests."""
        return sum(model.completion_tokens for model in self.models)

    @property
    def usd(self) -> float | None:
        """Price of all requests; None where that of some model is not known."""
        known = [model.usd for model in self.models if model.usd is not None]
        return sum(known) if self.models and len(known) == len(self.models) else None

    @property
    def tokens_each(self) -> float | None:
        """Prompt and completion tokens of all requests for each accepted candidate."""
        return (self.prompt_tokens + self.completion_tokens) / self.accepted if self.accepted else None

    @property
    def usd_each(self) -> float | None:
        """Money for each accepted candidate."""
        return None if self.usd is None or not self.accepted else self.usd / self.accepted

    @property
    def money_in_words(self) -> str:
        """Money for each accepted candidate, or why there is none to tell."""
        if self.models and all(model.replayed for model in self.models):
            return "nothing paid (replayed)"
        return "no prices" if self.usd_each is None else f"${self.usd_each:,.4f}"

    @property
    def in_words(self) -> str:
        """What one accepted trace took."""
        if self.tokens_each is None:
            return "no trace was accepted"
        prompt, completion = (n / self.accepted for n in (self.prompt_tokens, self.completion_tokens))
        return f"{prompt:,.0f} prompt and {completion:,.0f} completion tokens, {self.money_in_words} per accepted trace"


def cost_of(connection: duckdb.DuckDBPyConnection, build: Build) -> Cost:
    """The tokens of each model's requests, and their price."""
    prices, replayed = _prices(build.lock)
    models = []
    steps = pq.read_schema(build.files["candidates"]).field("steps").type.value_type
    shared = "greatest(1, coalesce(steps[number].choices, 1))" if steps.get_field_index("choices") >= 0 else "1"
    for row in rows(connection, _USE.replace("$shared", shared)):
        price = prices.get(row["model"])
        tokens = row["prompt_tokens"], row["completion_tokens"]
        is_replayed = row["model"] in replayed
        usd = 0.0 if is_replayed else None if price is None else price.usd(*tokens)
        models.append(ModelUse(row["model"], row["requests"], *tokens, usd, is_replayed))
    (accepted,) = rows(connection, "SELECT count(*) FILTER (accepted) AS n FROM traced")
    return Cost(models=models, accepted=accepted["n"])


def _prices(lock: Mapping[str, Any]) -> tuple[dict[str, Price], set[str]]:
    """Prices by the names that steps give their models, and those of teachers that were replayed."""
    prices: dict[str, Price] = {}
    replayed: set[str] = set()
    for listed, price in _mapping(lock.get("prices")).items():
        _add(prices, (listed,), price)
    for name, settings in _mapping(_mapping(lock.get("manifest")).get("teachers")).items():
        teacher = _mapping(settings)
        model, revision = teacher.get("model"), teacher.get("revision")
        names = (name, f"{model}@{revision}" if revision else str(model))
        _add(prices, names, teacher.get("price"))
        if teacher.get("backend") == "replay":
            replayed.update(names)
    return prices, replayed


def _add(prices: dict[str, Price], names: Sequence[str], price: object) -> None:
    try:
        found = Price.model_validate(price)
    except ValidationError:
        return
    for name in names:
        prices.setdefault(name, found)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_USE = """
    WITH numbered AS (SELECT key, steps, unnest(range(1, len(steps) + 1)) AS number FROM traced),
      asked AS (
        SELECT coalesce(steps[number].model, '(none)') AS model,
          coalesce(steps[number].key, concat_ws(' ', 'candidate', key, number)) AS request,
          max(coalesce(steps[number].prompt_tokens, 0) / $shared) AS prompt_tokens,
          max(coalesce(steps[number].completion_tokens, 0)) AS completion_tokens
        FROM numbered GROUP BY ALL)
    SELECT model, count(*) AS requests, round(sum(prompt_tokens))::BIGINT AS prompt_tokens,
      sum(completion_tokens)::BIGINT AS completion_tokens
    FROM asked GROUP BY model ORDER BY requests DESC, model"""
