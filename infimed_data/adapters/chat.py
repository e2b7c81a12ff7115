"""Conversations without images: OpenThoughts-114k, Bespoke-Stratos-17k, Infinity-Instruct and other chat sets.

Layout: JSON, JSON lines or Parquet with `messages` (role, content) or ShareGPT's `conversations` (from, value), with
an optional `system` text. Reasoning between `<|begin_of_thought|>` marks or in `<think>` becomes the rationale; what is
left, without its `<|begin_of_solution|>` marks, is the answer. A reply that was cut off inside a mark is rejected.
License and row counts are each set's own: OpenThoughts-114k 113,957 rows and Stratos 16.7k, both Apache-2.0;
Infinity-Instruct CC-BY-SA-4.0.

    {"system": "...", "conversations": [{"from": "user", "value": "What is 6 x 7?"}, {"from": "assistant", "value":
     "<|begin_of_thought|> 6 x 7 = 42 <|end_of_thought|> <|begin_of_solution|> 42 <|end_of_solution|>"}]}

Source: `open-thoughts/OpenThoughts-114k`, `bespokelabs/Bespoke-Stratos-17k`, `BAAI/Infinity-Instruct`.
"""

from __future__ import annotations

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.reading import content_meta, exchange, find_tables, language_of, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


class Options(AdapterOptions):
    """Where a set's rows and their ids are."""

    file: str | None = None
    """Name or pattern of the file or files to read, such as `data/*.parquet`, for a folder that holds several sets."""
    id_field: str | None = "id"
    """Field with a row's own id; null for files whose ids repeat: the key is then made from the row's content."""


def tables(context: Context) -> list[TableFile]:
    """The file that `location` or option `file` names, else `train-*.parquet`, else the only file of rows there."""
    place, options = context.place, context.options
    patterns: tuple[str, ...] = ("*.json", "*.jsonl", "*.parquet")
    if options.file:
        patterns = (options.file,)
    elif place.find("train-*.parquet"):
        patterns = ("train-*.parquet",)
    return find_tables(context, *patterns, expected=f"one of {', '.join(patterns)} (option `file` names others)")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One conversation, as a question and its answer where it is no longer than that."""
    data = row.data
    if data.get("image") or data.get("images"):
        raise Reject("image_count", "a row with images", "none: adapter `llava` reads conversations about images")
    messages = data.get("messages") or data.get("conversations")
    system = text_of(data.get("system"), "system")
    if system and isinstance(messages, list):
        messages = [{"role": "system", "content": system}, *messages]
    said = exchange(messages, images=0)
    everything = said.question + said.answer + "".join(turn.content for turn in said.turns)
    return Sample(
        row_key=text_of(data.get(context.options.id_field), "id") or None if context.options.id_field else None,
        question=said.question,
        answer=said.answer,
        answer_kind="open",
        turns=said.turns,
        rationale=said.rationale,
        lang=language_of(everything),
        meta={
            **({"system": said.system} if said.system and not said.turns else {}),
            **content_meta(data, "source", "domain"),
        },
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options)
