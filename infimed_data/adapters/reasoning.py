"""Problems with written-out reasoning in columns of their own: Medical-R1, ReasonMed, s1K, OpenThoughts, MMathCoT.

Option `layout` names the data set, and so its columns: some names hold spaces and brackets. ReasonMed's three files
have three formats and are read one at a time (option `file`). MMathCoT's `output` ends in a line of its own with the
answer. `infimed-data adapters` lists each set with its license.

    {"question": "...", "reasoning (reasoning_content)": "...", "response (content)": "..."}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import plain_question, refuse_medical, require, split_tables
from infimed_data.adapters.reading import content_meta, free_answer_kind, language_of, split_thought, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files hold the rows, and which columns hold what."""

    files: tuple[str, ...]
    question: str
    answer: str
    rationale: str | None = None
    """Column of the reasoning: a text, or a list of which the first is taken."""
    more: str | None = None
    """Column of a text that follows the question, where it is not empty."""
    image: str | None = None
    """Column of an image's name."""
    mark: str | None = None
    """What stands between the reasoning and the answer where one column holds both."""
    meta: tuple[str, ...] = ()


_TRAIN = ("train-*.parquet", "train.jsonl", "train.json")

LAYOUTS: dict[str, Layout] = {
    "medical_r1": Layout(
        files=(*_TRAIN, "medical_r1_distill_sft*.json"), question="question",
        rationale="reasoning (reasoning_content)", answer="response (content)",
    ),
    "reasonmed": Layout(files=("ReasonMed.json",), question="instruction", more="input", answer="output"),
    "s1k": Layout(
        files=_TRAIN, question="question", rationale="thinking_trajectories", answer="attempt",
        meta=("solution", "source_type", "cot_type"),
    ),
    "s1k_1.1": Layout(
        files=_TRAIN, question="question", rationale="deepseek_thinking_trajectory", answer="deepseek_attempt",
        meta=("solution", "source_type", "cot_type", "deepseek_grade"),
    ),
    "open_thoughts": Layout(
        files=_TRAIN, question="problem", rationale="deepseek_reasoning", answer="deepseek_solution",
        meta=("domain", "source", "ground_truth_solution"),
    ),
    "mmathcot": Layout(
        files=("train.jsonl",), question="instruction", answer="output", image="image_url", mark="†Answer:"
    ),
}  # fmt: skip
"""Name of each layout, by data set."""


class Options(AdapterOptions):
    """Which data set it is."""

    layout: Literal["medical_r1", "reasonmed", "s1k", "s1k_1.1", "open_thoughts", "mmathcot"] = "medical_r1"
    """The data set whose columns the files have."""
    file: str | None = None
    """Name or pattern of the file or files to read, such as `metadata/*.parquet` or `CoTMed.json`."""
    medical: Literal["reject", "keep"] = "reject"
    """What to do with rows of medical sets in a general collection, as their `source` or image path names them."""


def tables(context: Context) -> list[TableFile]:
    """The files that the layout or option `file` names."""
    name, file = context.options.layout, context.options.file
    return split_tables(context, {"train": (file,) if file else LAYOUTS[name].files}, name)


def sample(row: TableRow, context: Context) -> Sample | None:
    """One problem with its reasoning and answer."""
    data, layout = row.data, LAYOUTS[context.options.layout]
    needed = [name for name in (layout.question, layout.answer, layout.rationale) if name]
    require(data, context.options.layout, *needed)
    refuse_medical((data.get("source"), data.get(layout.image or "")), context.options.medical)
    name = text_of(data.get(layout.image), layout.image) if layout.image else ""
    question, slots = plain_question(data[layout.question], bool(name), layout.question)
    if layout.more and (more := text_of(data.get(layout.more), layout.more)):
        question = f"{question}\n{more}"
    answer = text_of(data[layout.answer], layout.answer)
    thought, answer = split_thought(answer)
    if layout.rationale:
        reasons = data[layout.rationale]
        if isinstance(reasons, list):
            reasons = reasons[0] if reasons else None
        thought = text_of(reasons, layout.rationale) or thought
    if layout.mark and layout.mark in answer:
        thought, _, answer = answer.rpartition(layout.mark)
        if layout.mark in thought:
            raise Reject("misplaced_thought", f"several {layout.mark}", "one answer")
    return Sample(
        question=question,
        answer=answer.strip(),
        answer_kind=free_answer_kind(answer) if layout.mark and thought else "open",
        rationale=thought.strip(),
        images=(context.image(name),) if name else (),
        image_slots=slots,
        lang=language_of(question + answer),
        group=name.rpartition(".")[0] or None,
        meta=content_meta(data, *layout.meta),
    )


ADAPTER = Adapter(tables=tables, sample=sample, options=Options, code=("adapters/fields.py",))
