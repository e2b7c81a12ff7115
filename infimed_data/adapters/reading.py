"""How rows are read: answers in every spelling, image tags, conversations. Shared by all adapters.

Label and text of an answer must agree; where they do not, the row is rejected with a reason and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infimed_data.adapters.contract import Context
from infimed_data.errors import SourceError
from infimed_data.schema import LABELS, AnswerKind, ImageSlot, Reject, Turn
from infimed_data.storage.tables import TableFile
from infimed_data.text import clean_cell, normalise, strip_option_prefix

__all__ = [
    "Exchange",
    "choice_answer",
    "content_meta",
    "conversation",
    "exchange",
    "find_tables",
    "free_answer_kind",
    "language_of",
    "split_image_tags",
    "split_thought",
    "text_of",
]

_TAG = re.compile(r"[ \t]*\n?<image(?:\s?\d+)?>\n?[ \t]*")
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})(?:\.[0-9]{1,18})?"
_NUMBER = re.compile(
    rf"[-+]?{_DIGITS}(?:(?:\s*[-/x]\s*|\s+to\s+){_DIGITS})?"
    r"\s*(?:%|percent|[\u00b5\u03bcum]?m|cm|[\u00b5\u03bcum]?g|kg|m?l|dl|cc|s|min|h|years?|days?|weeks?)?"
)
"""One quantity as `infimed_data.verify` reads it: commas stand before exactly three digits, in `1,2` they do not."""
_YES_NO = frozenset({"yes", "no", "是", "否", "是的", "不是", "有", "没有", "无"})
_HAN = re.compile(r"[\u4e00-\u9fff]")
SHORT_WORDS = 8
"""An answer of at most this many words (twice as many Chinese characters) is `short_text`, a longer one `open`."""

_THOUGHTS = (("<|begin_of_thought|>", "<|end_of_thought|>"), ("<think>", "</think>"))
_SOLUTION = ("<|begin_of_solution|>", "<|end_of_solution|>")
_CONCLUSION = ("<CONCLUSION>", "</CONCLUSION>")
_STEPS, _FINAL = "### Let's think step by step", re.compile(r"### The final answer is\s*:?")
"""Where Mulberry's steps begin and end."""

_PART_NUMBER = re.compile(r"[-_.]?\d+(?:-of-\d+)?(?=\.\w+$)")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def find_tables(context: Context, *patterns: str, expected: str) -> list[TableFile]:
    """The one file whose name matches a pattern, or the numbered parts of one table; the shallowest folder wins.

    Parts are the Parquet files of one folder, or files alike but for a number at the end (`part-0.jsonl`,
    `train-00001-of-00004.jsonl`).

    Raises `SourceError` where there is none (naming `expected`) or where several could be meant.
    """
    place = context.place
    found = place.find(*patterns)
    where = f"{place.root / place.only if place.only else place.root}"
    if not found:
        raise SourceError(f"{where}: no file for split '{context.split}'; expected {expected}")
    found = [name for name in found if name.count("/") == found[0].count("/")]
    folders = {name.rpartition("/")[0] for name in found}
    parts = {_PART_NUMBER.sub("", name) for name in found}
    if len(found) > 1 and (len(folders) > 1 or (len(parts) > 1 and not all(n.endswith(".parquet") for n in found))):
        listed = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise SourceError(f"{where}: several files for split '{context.split}' ({listed}); point `location` at one")
    return [TableFile(name) for name in found]


def text_of(value: object, field: str) -> str:
    """A cell as text, with the white space around it removed; numbers become their digits. None and NaN are empty.

    Raises `Reject("wrong_type")` for anything else, such as a list where a text belongs.
    """
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:  # pandas writes NaN for a missing text
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Reject("wrong_type", f"{field}: {type(value).__name__}", "a text or a number")
    return str(value)


def free_answer_kind(answer: str) -> AnswerKind:
    """The kind of an answer that has no options: `yes_no`, `number`, `short_text` or `open`."""
    plain = normalise(answer).rstrip(".")
    if not plain:
        return "open"
    if plain in _YES_NO:
        return "yes_no"
    if _NUMBER.fullmatch(plain):
        return "number"
    size = len(_HAN.findall(plain)) / 2 + len(_HAN.sub(" ", plain).split())
    return "short_text" if size <= SHORT_WORDS else "open"


def choice_answer(
    options: Sequence[str] | Mapping[str, str], *, label: str | int | None = None, text: str | None = None
) -> tuple[tuple[str, ...], str, str]:
    """(options, letter, text of the right option), with label and text checked against each other.

    `label` is a letter (any case, brackets and points allowed) or a 0-based index; `text` the answer's text. One of
    the two is enough; given both, they must agree. Option prefixes such as "A:" are taken off when they are in step.

    Raises `Reject`: `too_few_options`, `too_many_options`, `option_prefix` (a prefix that is not the option's
    letter), `unlabelled`, `label_out_of_range`, `answer_not_in_options`, `answer_ambiguous`, `label_text_disagree`.
    """
    texts = _option_texts(options)
    by_label = None if label is None else _index(label, len(texts))
    by_text = None
    if text is not None and normalise(clean_cell(text)):
        wanted = normalise(clean_cell(text))
        hits = [i for i, option in enumerate(texts) if normalise(option) == wanted]
        if by_label is not None:
            if by_label not in hits:
                rule = "label_text_disagree" if hits else "answer_not_in_options"
                raise Reject(rule, f"{LABELS[by_label]} but {text!r}", texts[by_label])
            by_text = by_label
        elif not hits:
            raise Reject("answer_not_in_options", text, " | ".join(texts))
        elif len(hits) > 1:
            raise Reject("answer_ambiguous", text, ",".join(LABELS[i] for i in hits))
        else:
            by_text = hits[0]
    right = by_label if by_label is not None else by_text
    if right is None:
        raise Reject("unlabelled", limit="a label or an answer text")
    return texts, LABELS[right], texts[right]


def _option_texts(options: Sequence[str] | Mapping[str, str]) -> tuple[str, ...]:
    if isinstance(options, Mapping):
        letters = [key for key, value in options.items() if value is not None]
        if letters != list(LABELS[: len(letters)]):
            raise Reject("option_prefix", ",".join(letters), LABELS[: len(letters)])
        raw: list[object] = [options[letter] for letter in letters]
    else:
        raw = list(options)
    if len(raw) < 2:
        raise Reject("too_few_options", len(raw), 2)
    if len(raw) > len(LABELS):
        raise Reject("too_many_options", len(raw), len(LABELS))
    texts = [text_of(option, "option") for option in raw]
    split = [strip_option_prefix(option) for option in texts]
    if all(letter is not None for letter, _ in split):
        given = "".join(letter or "" for letter, _ in split)
        if len(set(given)) == 1:  # no labelling: each text only happens to start so
            return tuple(clean_cell(option) for option in texts)
        if given != LABELS[: len(split)]:
            raise Reject("option_prefix", given, LABELS[: len(split)])
        return tuple(rest for _, rest in split)
    return tuple(clean_cell(option) for option in texts)


def _index(label: str | int, count: int) -> int:
    if isinstance(label, str):
        letter = clean_cell(label).strip("().[]: ").upper()
        if not letter:
            raise Reject("unlabelled", label, "a letter")
        index = LABELS.find(letter) if len(letter) == 1 else -1
    else:
        index = label
    if not 0 <= index < count:
        raise Reject("label_out_of_range", label, f"{LABELS[0]}-{LABELS[count - 1]}")
    return index


def split_image_tags(text: str) -> tuple[str, list[int]]:
    """(text without `<image>` tags, offset in that text of each tag), with the line breaks around a tag tidied.

    >>> split_image_tags("<image>\\nWhich side?")
    ('Which side?', [0])
    """
    pieces, offsets, length, at = [], [], 0, 0
    for found in _TAG.finditer(text):
        piece = text[at : found.start()]
        if not length:
            piece = piece.lstrip()
        pieces.append(piece)
        length += len(piece)
        if length and found.end() < len(text) and piece and not piece[-1].isspace():
            pieces.append(" ")
            length += 1
        offsets.append(length)
        at = found.end()
    rest = text[at:]
    cleaned = ("".join(pieces) + rest).rstrip()
    if not offsets:
        return text.strip(), []
    return cleaned, [min(offset, len(cleaned)) for offset in offsets]


def conversation(messages: object, *, images: int) -> tuple[tuple[Turn, ...], tuple[ImageSlot, ...]]:
    """(turns, image slots) of a `conversations` or `messages` list, in either spelling of roles and keys.

    Image tags are taken out of the text; where fewer tags stand than there are `images`, the missing ones come
    before the first user message. Raises `Reject`: `no_conversation`, `unknown_role`, `turn_order` (users and
    assistants must alternate and the assistant speak last), `image_count` (more tags than images).
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise Reject("no_conversation", type(messages).__name__, "a list of messages")
    turns: list[Turn] = []
    slots: list[ImageSlot] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise Reject("no_conversation", type(message).__name__, "a message with role and content")
        named = message.get("from", message.get("role"))
        role = _ROLES.get(str(named).lower())
        if role is None:
            raise Reject("unknown_role", named, ", ".join(_ROLES))
        content = text_of(message.get("value", message.get("content")), "content")
        if role == "user":
            content, offsets = split_image_tags(content)
            slots.extend(ImageSlot(len(turns), offset) for offset in offsets)
        turns.append(Turn(role, content))
    spoken = [turn.role for turn in turns if turn.role != "system"]
    if spoken != ["user", "assistant"] * (len(spoken) // 2) or not spoken or "system" in [t.role for t in turns[1:]]:
        raise Reject(
            "turn_order", " ".join(turn.role for turn in turns), "[system] user assistant [user assistant ...]"
        )
    if len(slots) > images:
        raise Reject("image_count", f"{len(slots)} tags", f"{images} images")
    first_user = next(i for i, turn in enumerate(turns) if turn.role == "user")
    missing = [ImageSlot(first_user, 0)] * (images - len(slots))
    return tuple(turns), tuple(missing + slots)


class Exchange(NamedTuple):
    """A conversation in the fields of a `Sample`: one question and one answer, or `turns` where there is more."""

    question: str
    answer: str
    rationale: str
    """The reasoning before the last answer; that of earlier answers is left out, as chat templates do."""
    system: str
    turns: tuple[Turn, ...]
    image_slots: tuple[ImageSlot, ...]


def exchange(messages: object, *, images: int) -> Exchange:
    """`conversation`, with the reasoning taken out of the answers. A system text stays outside a single question.

    Raises `Reject` as `conversation` and `split_thought` do.
    """
    read, slots = conversation(messages, images=images)
    rationale, turns = "", []
    for turn in read:
        if turn.role == "assistant":
            rationale, answer = split_thought(turn.content)
            turns.append(Turn(turn.role, answer))
        else:
            turns.append(turn)
    system = turns[0].content if turns[0].role == "system" else ""
    *_, question, answer_turn = turns
    if len(turns) - (turns[0].role == "system") > 2:
        return Exchange("", "", rationale, system, tuple(turns), slots)
    plain = tuple(ImageSlot(0, slot.offset) for slot in slots)
    return Exchange(question.content, answer_turn.content, rationale, system, (), plain)


def split_thought(text: str) -> tuple[str, str]:
    """(reasoning, answer) of an assistant's text: OpenThoughts' marks, `<think>`, LLaVA-CoT's or Mulberry's stages.

    Raises `Reject`: `unclosed_thought` (a mark without its partner, as in a reply cut short), `misplaced_thought`
    (several thoughts, or text where none belongs).
    """
    thought, answer = "", text.strip()
    if _CONCLUSION[0] in text or _CONCLUSION[1] in text:
        thought, answer, tail = _between(text, *_CONCLUSION)
        if tail:
            raise Reject("misplaced_thought", tail, f"nothing after {_CONCLUSION[1]}")
        return thought, answer
    marked = any(mark in text for pair in _THOUGHTS for mark in pair)
    if not marked and _STEPS in text and (finals := list(_FINAL.finditer(answer))):
        if len(finals) > 1:
            raise Reject("misplaced_thought", f"{len(finals)} final answers", "one")
        return answer[: finals[0].start()].strip(), answer[finals[0].end() :].strip()
    for opening, closing in _THOUGHTS:
        if opening in text or closing in text:
            head, thought, answer = _between(text, opening, closing)
            if head:
                raise Reject("misplaced_thought", head, f"nothing before {opening}")
            break
    if _SOLUTION[0] in answer or _SOLUTION[1] in answer:
        head, answer, tail = _between(answer, *_SOLUTION)
        if head or tail:
            raise Reject("misplaced_thought", head or tail, "nothing around the solution")
    if answer.startswith("<answer>") and answer.endswith("</answer>"):
        answer = answer.removeprefix("<answer>").removesuffix("</answer>").strip()
    return thought, answer


def _between(text: str, opening: str, closing: str) -> tuple[str, str, str]:
    """The text before, between and after one pair of marks."""
    opened, closed = text.count(opening), text.count(closing)
    if opened != closed:
        raise Reject("unclosed_thought", f"{opened} {opening}, {closed} {closing}", "one of each")
    head, _, rest = text.partition(opening)
    inner, met, tail = rest.partition(closing)
    if opened > 1 or not met:
        raise Reject("misplaced_thought", f"{opened} {opening}, {closed} {closing}", "one of each, in order")
    return head.strip(), inner.strip(), tail.strip()


def language_of(text: str) -> str:
    """`zh` where Chinese characters make up a fifth of the letters or more, else `en`."""
    han = len(_HAN.findall(text))
    return "zh" if han and han * 5 >= sum(map(str.isalpha, text)) else "en"


def content_meta(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of the row's fields `names` that have a value, for `Sample.meta`."""
    return {name: row[name] for name in names if row.get(name) not in (None, "", [])}
