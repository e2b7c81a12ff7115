r"""OpenR1-Math-220k: mathematics with several written-out generations each. Apache-2.0, English, not gated.

Layout: Parquet, configurations `default` (folder `data/`, 93.7k rows), `extended` (131k) and `all` (225k); in
February 2025 one configuration `all` with splits `default` and `extended`. `is_reasoning_complete`,
`correctness_math_verify` and `correctness_llama` (or null) are lists in step with `generations`: the first generation
that is complete and found correct is taken, and a row without one is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import require, split_tables
from infimed_data.adapters.reading import content_meta, free_answer_kind, language_of, split_thought, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_FLAGS = ("is_reasoning_complete", "correctness_math_verify", "correctness_llama")


class Options(AdapterOptions):
    """Which configuration, and what counts as the answer."""

    config: Literal["default", "extended", "all"] = "default"
    """Configuration of the Hub."""
    answer: Literal["reply", "gold"] = "reply"
    """`reply`: the text after the reasoning; `gold`: the answer that the source gives, which a rule can check."""


def tables(context: Context) -> list[TableFile]:
    """The configuration's Parquet files, in today's folders or those of February 2025."""
    config = context.options.config
    folder = "data" if config == "default" else config
    files = [f"{front}{folder}/train-*.parquet" for front in ("", "*/")]
    if config != "all":
        files += [f"{front}all/{config}-*.parquet" for front in ("", "*/")]
    return split_tables(context, {"train": files}, "OpenR1-Math")


def _chosen(data: Mapping[str, Any]) -> str:
    """The first generation that is complete and correct."""
    generations = data["generations"]
    if not isinstance(generations, list) or not generations:
        raise Reject("no_correct_generation", "no generations", "a list of texts")
    flags = {}
    for name in _FLAGS:
        value = data.get(name)
        if value is not None and (not isinstance(value, list) or len(value) != len(generations)):
            size = len(value) if isinstance(value, list) else type(value).__name__
            raise Reject("flags_misaligned", f"{name}: {size}", f"a list of {len(generations)}")
        flags[name] = value or [None] * len(generations)
    for at, generation in enumerate(generations):
        complete, by_rule, by_model = (flags[name][at] for name in _FLAGS)
        if complete is True and (by_rule is True or by_model is True):
            return text_of(generation, "generations")
    raise Reject("no_correct_generation", f"{len(generations)} generations", "one complete and correct")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One problem with its first right generation."""
    data = row.data
    require(data, "OpenR1-Math", "problem", "generations", "is_reasoning_complete", "correctness_math_verify")
    thought, reply = split_thought(_chosen(data))
    gold = text_of(data.get("answer"), "answer")
    as_gold = context.options.answer == "gold"
    question = text_of(data["problem"], "problem")
    return Sample(
        row_key=text_of(data.get("uuid"), "uuid") or None,
        question=question,
        answer=gold if as_gold else reply,
        answer_kind=free_answer_kind(gold) if as_gold else "open",
        rationale=f"{thought}\n\n{reply}".strip() if as_gold else thought,
        lang=language_of(question),
        question_type=text_of(data.get("question_type"), "question_type") or None,
        task=text_of(data.get("problem_type"), "problem_type") or None,
        meta={**content_meta(data, "source"), **({} if as_gold or not gold else {"gold_answer": gold})},
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options, code=("adapters/fields.py",))
