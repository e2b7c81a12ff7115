"""A result as text for a terminal, as CSV, or as JSON.

Text from data never reaches the terminal as it stands: what is not printable is shown as `\\x1b` or `\\u202e`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from infimed_data.showing import shown

__all__ = ["aligned", "as_csv", "as_json", "as_table", "bar", "cut", "shown", "text_width"]

MAX_CELL = 60
"""Characters of a cell of `as_table`, where no width asks for less."""
MIN_CELL = 12
"""Narrowest that a column is made to fit a width; a row that needs more is written one column a line."""
_JSON_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_NOT_ONE_WIDE = re.compile("[\u0300-\u1fff\u2300-\u24ff\u2600-\U0010ffff]")
"""Where characters may take two columns or none; what is outside takes one."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def as_table(table: pa.Table, *, width: int | None = None) -> str:
    """`table` as aligned columns and a count of its rows; long cells end in `…`, null is `NULL`.

    With a `width` in terminal columns, text columns are narrowed to fit; what still does not fit is written one column
    a line.
    """
    if table.column_names == ["explain_key", "explain_value"]:
        plans = [value or "" for value in _values(table.column(1))]
        return "\n".join(shown(line) for plan in plans for line in plan.splitlines())
    names = [shown(name) for name in table.column_names]
    numeric = [_is_number(field.type) for field in table.schema]
    limit = MAX_CELL if width is None else max(MAX_CELL, width)
    rows = list(zip(*([_cell(value, limit) for value in _values(column)] for column in table.columns), strict=True))
    count = f"({table.num_rows:,} row{'' if table.num_rows == 1 else 's'})"
    if width is None:
        return aligned(names, rows, right=numeric, caps=[MAX_CELL] * len(names)) + f"\n{count}"
    caps = _caps(names, rows, numeric, width)
    if caps is None:
        return _records(names, rows, width) + count
    return aligned(names, rows, right=numeric, caps=caps) + f"\n{count}"


def as_csv(table: pa.Table) -> str:
    """`table` as CSV (RFC 4180, but lines end in a line feed alone).

    Null is nothing, an empty text is `""`; lists and structs are JSON, binary is hex.
    """
    lines = [",".join(_csv_field(name) for name in table.column_names)]
    columns = [_values(column) for column in table.columns]
    lines += [",".join(_csv_field(_plain(value)) for value in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def as_json(table: pa.Table) -> str:
    """`table` as a JSON array, one row a line: NaN and infinity are null, binary is hex, times are ISO 8601."""
    names = table.column_names
    columns = [_values(column) for column in table.columns]
    rows = [_json({name: _plain(v) for name, v in zip(names, row, strict=True)}) for row in zip(*columns, strict=True)]
    return "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"


def cut(text: str, width: int) -> str:
    """`text` in at most `width` terminal columns, its end replaced by `…` where it is longer."""
    if len(text) * 2 <= width or text_width(text) <= width:
        return text
    used = 0
    for index, char in enumerate(text):
        used += _char_width(char)
        if used > width - 1:
            return text[:index] + "…"
    return text


def text_width(text: str) -> int:
    """Terminal columns that `text` takes: two for wide characters such as 肺, none for combining marks."""
    return sum(map(_char_width, text)) if _NOT_ONE_WIDE.search(text) else len(text)


def bar(share: float, width: int) -> str:
    """A bar of block characters, `width` long at a `share` of 1; anything above 0 is visible."""
    eighths = min(width * 8, round(share * width * 8))
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def aligned(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool], caps: Sequence[int] | None = None
) -> str:
    """A head, a rule and `rows` in columns two spaces apart; `right` says which columns are flush right."""
    caps = caps or [1_000_000] * len(names)
    head = [cut(name, cap) for name, cap in zip(names, caps, strict=True)]
    body = [[cut(cell, cap) for cell, cap in zip(row, caps, strict=True)] for row in rows]
    widths = [max(map(text_width, column)) for column in zip(head, *body, strict=True)]
    lines = [head, ["─" * width for width in widths], *body]
    return "\n".join(
        "  ".join(_padded(cell, width, flush) for cell, width, flush in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def _padded(cell: str, width: int, flush_right: bool) -> str:
    space = " " * (width - text_width(cell))
    return space + cell if flush_right else cell + space


def _caps(names: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> list[int] | None:
    """Widths that make the columns fit `width`, the widest text columns narrowed first; None where none do."""
    widths = [max(map(text_width, column)) for column in zip(names, *rows, strict=True)]
    gaps = 2 * (len(widths) - 1)
    for level in range(max(widths, default=0), MIN_CELL - 1, -1):
        caps = [own if number else min(own, level) for own, number in zip(widths, numeric, strict=True)]
        if sum(caps) + gaps <= width:
            return caps
    return None


def _records(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Each row as lines of column and value."""
    names = [cut(name, width // 3) for name in names]
    label = max(map(text_width, names), default=0)
    lines = []
    for index, row in enumerate(rows, start=1):
        lines.append(f"─ row {index} ".ljust(min(width, 40), "─"))
        lines += [
            f"{_padded(name, label, False)}  {cut(cell, max(MIN_CELL, width - label - 2))}".rstrip()
            for name, cell in zip(names, row, strict=True)
        ]
    return "".join(f"{line}\n" for line in lines)


def _char_width(char: str) -> int:
    if char < "\u0300":
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _cell(value: object, limit: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return repr(value)
    plain = _plain(value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return shown(text[:limit]) + ("…" if len(text) > limit else "")


def _csv_field(plain: object) -> str:
    if plain is None:
        return ""
    text = plain if isinstance(plain, str) else _json(plain)
    if not text or any(char in text for char in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _json(plain: object) -> str:
    """JSON in one line. Characters that could steer a terminal are written as \\u escapes, which read back the same."""
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return _JSON_UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; dates that Python cannot hold become texts, floats of 32 bits keep their own digits."""
    if pa.types.is_float32(column.type):
        return [None if value is None else float(f"{value:.7g}") for value in column.to_pylist()]
    try:
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py(maps_as_pydicts="lossy")
    except (OverflowError, ValueError):
        return "(out of range)"


def _plain(value: object) -> Any:
    """`value` as JSON has it."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, pa.MonthDayNano):
        return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
