"""HuatuoGPT-o1's data: medical questions with written-out reasoning, and problems with a checkable answer. Apache-2.0.

Layouts: `medical_o1_sft.json` and `medical_o1_sft_Chinese.json` (about 19.7k and 20.2k rows), the same with general
questions mixed in as `medical_o1_sft_mix.json` and `medical_o1_sft_mix_Chinese.json` (24.9k and 25.4k); and
`medical_o1_verifiable_problem.json` (40.6k, English), made from MedQA's and MedMCQA's train splits. Each may also be
`.jsonl`. A `location` that is one file is read whatever its name; files with the fields of both kinds are fine. Rows
have no id of their own; many questions are in both kinds.

    {"Question": "...", "Complex_CoT": "Let me think ...", "Response": "..."}
    {"Open-ended Verifiable Question": "...", "Ground-True Answer": "Vitamin K"}

Source: `FreedomIntelligence/medical-o1-reasoning-SFT`, `FreedomIntelligence/medical-o1-verifiable-problem`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.reading import find_tables, free_answer_kind, language_of, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_FIELDS = {
    "sft": ("Question", "Complex_CoT", "Response"),
    "verifiable": ("Open-ended Verifiable Question", "Ground-True Answer"),
}


class Options(AdapterOptions):
    """Which of the files to read."""

    file: Literal["sft", "verifiable"] = "sft"
    """`sft`: questions with reasoning and a response; `verifiable`: questions with a short gold answer."""
    languages: Annotated[tuple[Literal["en", "zh"], ...], Field(strict=False, min_length=1)] = ("en",)
    """In a folder, read the `sft` files of these languages; each must be there."""
    mix: bool = False
    """In a folder, read the `sft` files that have general questions mixed in."""


def tables(context: Context) -> list[TableFile]:
    """The file that `location` names, or the folder's files by their names."""
    options = context.options
    if context.place.only and not context.place.only.endswith((".zip", ".tar")):
        return [TableFile(context.place.only)]
    if options.file == "verifiable":
        stems = ["medical_o1_verifiable_problem"]
    else:
        endings = {"en": "", "zh": "_Chinese"}
        stems = [f"medical_o1_sft{'_mix' * options.mix}{endings[lang]}" for lang in dict.fromkeys(options.languages)]
    return [
        table
        for stem in stems
        for table in find_tables(context, f"{stem}.json", f"{stem}.jsonl", expected=f"{stem}.json or {stem}.jsonl")
    ]


def sample(row: TableRow, context: Context) -> Sample | None:
    """One question with its reasoning and response, or with its gold answer."""
    names = _FIELDS[context.options.file]
    if absent := [name for name in names if name not in row.data]:
        raise Reject("missing_field", ", ".join(absent), f"the fields of option file: {context.options.file}")
    question, *reasoning, answer = [text_of(row.data[name], name) for name in names]
    return Sample(
        question=question,
        answer=answer,
        answer_kind="open" if reasoning else free_answer_kind(answer),
        rationale="".join(reasoning),
        lang=language_of(question),
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options)
