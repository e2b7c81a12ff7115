"""What rows of many data sets have in common: columns that must be there, images that may be, options inside text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from glob import escape
from typing import Any

import orjson

from infimed_data.adapters.contract import Context
from infimed_data.adapters.reading import find_tables, split_image_tags, text_of
from infimed_data.errors import SourceError
from infimed_data.schema import LABELS, ImageSlot, Reject, why_absent
from infimed_data.storage.places import ARCHIVES
from infimed_data.storage.tables import TableFile, TableRow
from infimed_data.text import clean_cell

__all__ = [
    "any_image",
    "boxed",
    "medical_part",
    "options_in_text",
    "parsed",
    "pictures",
    "plain_question",
    "pmc_group",
    "refuse_medical",
    "require",
    "split_tables",
    "synpic_group",
]

_PMC = re.compile(r"(?<![a-z])pmc[-_]?(\d{4,9})", re.IGNORECASE)
_SYNPIC = re.compile(r"synpic\d+")
_MEDICAL_PART = re.compile(
    r"(?<![a-z])(?:pmc[-_ ]?vqa|vqa[-_ ]?rad|path[-_ ]?vqa|vqa[-_ ]?med(?:ical)?|med[-_ ]?vqa|slake|roco|medical"
    r"|omni[-_ ]?med(?:vqa)?|pubmed[-_ ]?(?:vision|qa)|med[-_ ]?(?:qa|mcqa|trinity)|medxpert(?:qa)?|llava[-_ ]?med"
    r"|quilt[-_ ]?(?:vqa|llava|1m)|kvasir[-_ ]?(?:vqa)?|mimic[-_ ]?cxr|iu[-_ ]?x[-_ ]?ray)(?![a-z])",
    re.IGNORECASE,
)
"""Names under which general collections carry medical sets, as folders, configurations or a row's `source`."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_LETTERED = re.compile(r"\s*\(?([A-J])(?:[.:)]|\)\s*[.:]?)\s*(.*)", re.DOTALL)


def require(data: Mapping[str, Any], layout: str, *names: str) -> None:
    """Raises `Reject("missing_field")` where a row lacks a column that its layout has."""
    if absent := [name for name in names if name not in data]:
        raise Reject("missing_field", ", ".join(absent), f"the fields of layout {layout}")


def split_tables(
    context: Context,
    files: Mapping[str, Sequence[str]],
    what: str,
    *,
    config: str | None = None,
    image_columns: tuple[str, ...] = (),
    told: tuple[str, ...] = (),
    every: bool = False,
    lists: bool = False,
) -> list[TableFile]:
    """The files of the context's split, by the patterns that `files` names for it; of folder `config` where given.

    A `location` that is one file is taken whatever its name where the data set has one split; `every` takes the
    matches of all folders. Raises `SourceError` where there are none, or where several could be meant.
    """
    place = context.place
    if context.split not in files:
        raise SourceError(f"{place.root}: {what} has no split '{context.split}'; expected {', '.join(files)}")
    patterns: list[str] = list(files[context.split])
    if config is not None:
        own = escape(config)
        inside = patterns if place.root.name == config else []  # the location is that folder
        patterns = [f"{front}{own}{mid}{p}" for p in patterns for front in ("", "*/") for mid in ("/", "-")] + inside
    columns = tuple(dict.fromkeys((*image_columns, *told)))
    if place.only and not place.only.endswith(ARCHIVES) and len(files) == 1:
        return [TableFile(place.only, columns, told, lists=lists)]
    if every and (found := place.find(*patterns)):
        return [TableFile(name, columns, told, lists=lists) for name in found]
    try:
        tables = find_tables(context, *patterns, expected=f"{what}'s {', '.join(patterns)}")
    except SourceError as error:
        raise SourceError(f"{error}{_packed_hint(context)}") from error
    return [TableFile(table.name, columns, told, lists=lists) for table in tables]


def _packed_hint(context: Context) -> str:
    """What to do about archives that are not read where they lie."""
    if place_parts := context.place.find("*.zip.part-*", "*.zip.part*"):
        return f"; join {place_parts[0]} and the parts after it with `cat`"
    if packed := context.place.find("*.7z", "*.tar.gz", "*.tgz", "*.pkl"):
        return f"; {packed[0]} is not read: unpack or convert it first"
    return ""


def any_image(context: Context, *names: str) -> str:
    """The reference of the first of `names` that is there; an absent one (for the first name) where none is."""
    refs = [context.image(names[0])]
    for name in names[1:]:
        if why_absent(refs[-1]) is None:
            break
        refs.append(context.image(name))
    return refs[-1] if why_absent(refs[-1]) is None else refs[0]


def pictures(row: TableRow, context: Context, column: str) -> tuple[str, ...]:
    """References of the images in `column`: embedded ones, base64 text, or the names of files; none for a null."""
    value = row.data.get(column)
    if value is None or value in ("", []):
        return ()
    found = []
    for at, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
        cell = row.cell(column if at is None else f"{column}[{at}]")
        if isinstance(item, Mapping | bytes) and row.file.endswith(".parquet"):
            found.append(cell)
        elif isinstance(item, str) and (item.startswith("data:") or "." not in item):
            if not row.file.endswith((".parquet", ".tsv", ".csv")):
                raise Reject("wrong_type", f"{column}: base64", "an image's name")
            found.append(cell)
        elif isinstance(item, str):
            found.append(context.image(item))
        else:
            raise Reject("wrong_type", f"{column}: {type(item).__name__}", "an image or an image's name")
    return tuple(found)


def plain_question(text: object, images: int, field: str = "question") -> tuple[str, tuple[ImageSlot, ...]]:
    """(question without image tags, slots). Images without a tag come first; more tags than images are refused."""
    question, offsets = split_image_tags(text_of(text, field))
    if len(offsets) > images:
        raise Reject("image_count", f"{len(offsets)} tags", f"{images} images")
    if not offsets:
        return question, ()
    return question, tuple(ImageSlot(0, offset) for offset in [0] * (images - len(offsets)) + offsets)


def parsed(value: object, field: str) -> Any:
    """A list or object, also where it is written as JSON or as Python: `"['a', 'b']"`, `'{"A": "x"}'`."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Reject("unreadable_field", f"{field}: {value}", "JSON or a Python literal") from error


def boxed(text: str) -> str:
    r"""What is inside the last `\boxed{}` or `<answer></answer>`; the text itself where there is neither."""
    if answers := _ANSWER.findall(text):
        text = answers[-1]
    opened = list(_BOXED.finditer(text))
    if not opened:
        return text.strip()
    depth, start = 1, opened[-1].end()
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[start:at].strip()
    raise Reject("unclosed_box", text[opened[-1].start() :], "a closing brace")


def options_in_text(text: str) -> tuple[str, dict[str, str]]:
    """(question, options by letter) of a question whose options stand below it, one a line: `A. x`, `(B) y`.

    An option may go on over lines. Raises `Reject("no_options_in_text")` where no such list ends the text.
    """
    lines = text.strip().split("\n")
    starts = [at for at, line in enumerate(lines) if (hit := _LETTERED.fullmatch(line)) and hit[1] == "A"]
    for start in reversed(starts):
        options: dict[str, str] = {}
        for line in lines[start:]:
            hit = _LETTERED.fullmatch(line)
            if hit and len(options) < len(LABELS) and hit[1] == LABELS[len(options)]:
                options[hit[1]] = clean_cell(hit[2])
            else:
                options[LABELS[len(options) - 1]] += f"\n{line}"
        if len(options) > 1:
            return "\n".join(lines[:start]).strip(), {key: value.strip() for key, value in options.items()}
    raise Reject("no_options_in_text", text[-80:], "lines `A. ...`, `B. ...`")


def pmc_group(name: str) -> str | None:
    """`PMC1064097` where a name has a PubMed Central id."""
    found = _PMC.search(name)
    return f"PMC{found[1]}" if found else None


def synpic_group(name: str) -> str | None:
    """`synpic54610` where a name has a MedPix image number."""
    found = _SYNPIC.search(name)
    return found[0] if found else None


def medical_part(names: Iterable[object]) -> str | None:
    """The first of `names` (image paths, configurations, sources) that names a medical data set, or None."""
    return next((name for name in names if isinstance(name, str) and _MEDICAL_PART.search(name)), None)


def refuse_medical(names: Iterable[object], wanted: str) -> None:
    """Raises `Reject("medical_part")` for a medical row in a general collection, unless they are to be kept.

    General collections carry VQA-RAD, PMC-VQA and others, test rows included.
    """
    if wanted == "reject" and (found := medical_part(names)):
        raise Reject("medical_part", found, "general rows; option `medical: keep` takes these too")
