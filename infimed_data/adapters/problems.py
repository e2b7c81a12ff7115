r"""Problems with a checkable answer, for reinforcement learning: Geometry3K, ViRL39K, MM-Eureka, and R1-V's format.

Option `layout` names the data set. Answers lose `\boxed{}` and `<answer>`; pass rates are kept. Geometry3K: embedded
`images`, `problem`, `answer`, and in one revision `choices` with the letter in `ground_truth`. ViRL39K: names of
images in `images.zip`. MM-Eureka: the question is inside a chat that is written as JSON text, and rows without an
image have a blank one. `infimed-data adapters` lists each set with its license.

    {"question": "<image>Find x.", "answer": "\\boxed{12}", "image": ["images/a-1.png"], "qid": "a-1",
     "PassRate_32BTrained": 0.75, "PassRate_7BBase": 0.25, "category": "...", "source": "..."}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from infimed_data.adapters.contract import Adapter, AdapterOptions, Context
from infimed_data.adapters.fields import boxed, parsed, pictures, plain_question, refuse_medical, require, split_tables
from infimed_data.adapters.reading import choice_answer, content_meta, free_answer_kind, language_of, text_of
from infimed_data.schema import Reject, Sample
from infimed_data.storage.tables import TableFile, TableRow

_FILES: dict[str, dict[str, Sequence[str]]] = {
    "geometry3k": {split: (f"{split}-*.parquet",) for split in ("train", "validation", "test")},
    "virl39k": {"train": ("39Krelease.parquet", "train-*.parquet")},
    "mm_eureka": {"train": ("dataset.jsonl",)},
    "r1v": {"train": ("train-*.parquet",), "test": ("test-*.parquet",)},
}
_COLUMNS = {
    "geometry3k": ("problem", "answer", "images"),
    "virl39k": ("question", "answer", "image"),
    "mm_eureka": (None, "answer", "image_urls"),
    "r1v": ("problem", "solution", "image"),
}
"""Columns of the question (None: inside a chat), the answer and the images."""


class Options(AdapterOptions):
    """Which data set it is."""

    layout: Literal["geometry3k", "virl39k", "mm_eureka", "r1v"] = "geometry3k"
    """The data set whose columns the files have; `r1v`: `image`, `problem`, `solution`, as several sets have."""
    file: str | None = None
    """Name of the file to read, such as `dataset_k12_filtered_for_qwen_instruct.jsonl`."""
    medical: Literal["reject", "keep"] = "reject"
    """What to do with rows of medical sets in a general collection, as their `source` or image path names them."""


def tables(context: Context) -> list[TableFile]:
    """The files that the layout or option `file` names."""
    name, file = context.options.layout, context.options.file
    told = () if name == "mm_eureka" else (_COLUMNS[name][2],)
    return split_tables(context, {"train": (file,)} if file else _FILES[name], name, told=told)


def _asked(data: Mapping[str, Any]) -> str:
    """The user's text in MM-Eureka's chat, whose parts may be texts and images."""
    chat = parsed(next((data[name] for name in ("conversations", "message") if data.get(name)), None), "message")
    if not isinstance(chat, list):
        raise Reject("no_conversation", type(chat).__name__, "a list of messages")
    for message in chat:
        if isinstance(message, Mapping) and message.get("role", message.get("from")) in ("user", "human"):
            content = message.get("content", message.get("value"))
            if not isinstance(content, list):
                return text_of(content, "content")
            parts = [part for part in content if isinstance(part, Mapping)]
            return "\n".join(
                "<image>" if part.get("type") == "image" else text_of(part.get("text"), "text") for part in parts
            )
    raise Reject("no_conversation", "no user", "a user's message")


def sample(row: TableRow, context: Context) -> Sample | None:
    """One problem and its gold answer."""
    data, name = row.data, context.options.layout
    asked_in, answered_in, column = _COLUMNS[name]
    require(data, name, answered_in, *([asked_in] if asked_in else []))
    paths = data.get(column)
    blank = isinstance(paths, list) and paths and all(str(p).endswith("blank.png") for p in paths)
    refuse_medical((data.get("source"), *(paths if isinstance(paths, list) else ())), context.options.medical)
    images = () if blank else pictures(row, context, column)
    asked = data[asked_in] if asked_in else _asked(data)
    if blank:
        asked = text_of(asked, "question").replace("<image>", "")
    question, slots = plain_question(asked, len(images))
    answer = boxed(text_of(data[answered_in], answered_in))
    choices, letter = data.get("choices"), None
    options: tuple[str, ...] = ()
    if isinstance(choices, list) and choices:
        options, letter, answer = choice_answer(choices, label=text_of(data.get("ground_truth"), "label"), text=answer)
    rate = data.get("PassRate_32BTrained")
    key = next((data[n] for n in ("qid", "id") if data.get(n) is not None), None)
    return Sample(
        row_key=text_of(key, "id") or None,
        question=question,
        options=options,
        answer=answer,
        answer_label=letter,
        answer_kind="choice" if letter else free_answer_kind(answer),
        images=images,
        image_slots=slots,
        lang=language_of(question),
        task=text_of(data.get("category"), "category") or None,
        pass_rate=float(rate) if isinstance(rate, int | float) and 0 <= rate <= 1 else None,
        meta=content_meta(data, "source", "PassRate_7BBase"),
    )


ADAPTER = Adapter(
    tables=tables,
    sample=sample,
    options=Options,
    splits=("train", "validation", "test"),
    eval_splits=("test",),
    code=("adapters/fields.py",),
)
