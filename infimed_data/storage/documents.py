"""Documents of JSON that hold many rows: an array of them, or an object of them by key."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import IO, Any

import orjson

from infimed_data.errors import SourceError
from infimed_data.schema import Reject

__all__ = ["listed", "spread", "streamed_json", "whole_json"]

_BRACKET = re.compile(r"[{}\[\]]")
_INSIDE_QUOTES = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


def whole_json(text: bytes, where: object, *, max_row_bytes: int) -> Iterator[tuple[str | None, Any]]:
    """(key, or None in an array; element) of a document that is in memory; an element that no row can be, such as one
    nested too deeply, is a `Reject`. Raises `SourceError` naming `where`."""
    text = text.removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise SourceError(f"{where}: empty file")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            document = _lenient_json(text, where)  # NaN and Infinity, which pandas writes
        except (RecursionError, _OddNumberError):
            yield from streamed_json(io.BytesIO(text), where, max_row_bytes=max_row_bytes)
            return
    if isinstance(document, list):
        yield from ((None, element) for element in document)
    elif isinstance(document, dict):
        yield from document.items()
    else:
        raise SourceError(f"{where}: holds a {type(document).__name__}; allowed: an array or an object of rows")


class _OddNumberError(ValueError):
    """A number of more than 4,300 digits."""


def _lenient_json(text: bytes, where: object) -> Any:
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise SourceError(f"{where}: not UTF-8 at byte {error.start} ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise SourceError(f"{where}:{error.lineno}: not valid JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise _OddNumberError(error) from error


def streamed_json(stream: IO[bytes], where: object, *, max_row_bytes: int) -> Iterator[tuple[str | None, Any]]:
    """Elements of a large JSON array or object, holding one element and a read-ahead block in memory.

    An element of more than `max_row_bytes`, one nested too deeply, or one with a number of thousands of digits is a
    `Reject`; it is passed over, never held.
    """
    decoder = json.JSONDecoder()
    feed = codecs.getincrementaldecoder("utf-8-sig")()
    buffer, at, ended, base = "", 0, False, 0

    def more() -> bool:
        nonlocal buffer, at, ended, base
        if ended:
            return False
        block = stream.read(1 << 20)
        ended = not block
        try:
            text = feed.decode(block, final=ended)
        except UnicodeDecodeError as error:
            raise SourceError(f"{where}: not UTF-8 near character {base + len(buffer)} ({error.reason})") from error
        base += at
        buffer, at = buffer[at:] + text, 0
        return True

    def peek() -> str:
        nonlocal at
        while True:
            while at < len(buffer) and buffer[at] in " \t\r\n":
                at += 1
            if at < len(buffer):
                return buffer[at]
            if not more():
                raise SourceError(f"{where}: ends in the middle (truncated?); fetch it again")

    def value() -> Any:
        nonlocal at
        peek()
        wanted = 0
        while True:
            try:
                # A number that nothing closes yet may go on in the next block ("0." of "0.5").
                found, end = decoder.raw_decode(buffer, at)
                if isinstance(found, dict | list | str) or ended or buffer[end : end + 1] in tuple(" \t\r\n,:]}"):
                    at = end
                    return found
            except json.JSONDecodeError as error:
                if ended:
                    raise SourceError(f"{where}: not valid JSON near character {base + at}: {error.msg}") from error
            except RecursionError:
                return passed("nested too deeply")
            except ValueError as error:  # a number of more than 4,300 digits
                return passed(str(error))
            if len(buffer) - at > max_row_bytes:
                return passed("")
            wanted = max(2 * wanted, 1)
            for _ in range(wanted):  # read twice as much each time: a large element is not parsed again for each block
                if not more():
                    break

    def passed(why: str) -> Reject:
        """Goes to the end of the element at hand, by its brackets and quotes alone."""
        nonlocal at
        start, depth, quoted, ends = base + at, 0, False, False
        while not ends:
            if quoted:
                at = _INSIDE_QUOTES.match(buffer, at).end()  # type: ignore[union-attr]
                if at < len(buffer) and buffer[at] == '"':
                    at, quoted, ends = at + 1, False, depth == 0
                    continue
            else:
                stop = buffer.find('"', at)
                stop = len(buffer) if stop < 0 else stop
                opened, closed = (sum(buffer.count(mark, at, stop) for mark in marks) for marks in ("{[", "}]"))
                if closed < depth:
                    depth += opened - closed
                else:  # it may end here
                    for mark in _BRACKET.finditer(buffer, at, stop):
                        depth += 1 if mark.group() in "{[" else -1
                        if depth <= 0:
                            stop, ends = mark.end(), True
                            break
                at = stop
                if ends or at < len(buffer):
                    at, quoted = (at, False) if ends else (at + 1, True)
                    continue
            if not more():
                raise SourceError(f"{where}: ends in the middle (truncated?); fetch it again")
        size = base + at - start
        if why:
            return Reject("invalid_json", f"{size:,} characters: {why}")
        return Reject("row_too_large", f"{size:,} characters", f"{max_row_bytes:,} bytes (limits.max_row_bytes)")

    def end() -> None:
        nonlocal at
        while at < len(buffer) or more():
            if buffer[at : at + 1].strip():
                raise SourceError(f"{where}: not valid JSON near character {base + at}: extra data")
            at += 1

    opening = peek()
    if opening not in "[{":
        raise SourceError(f"{where}: starts with {opening!r}; allowed: an array or an object of rows")
    at += 1
    closing = "]" if opening == "[" else "}"
    if peek() == closing:
        at += 1
        return end()
    while True:
        key = None
        if opening == "{":
            key = str(value())
            if peek() != ":":
                raise SourceError(f"{where}: not valid JSON near character {base + at}: expected ':'")
            at += 1
        yield key, value()
        mark = peek()
        at += 1
        if mark == closing:
            return end()
        if mark != ",":
            raise SourceError(f"{where}: not valid JSON near character {base + at - 1}: expected ',' or '{closing}'")


def listed(elements: Iterator[tuple[str | None, Any]], where: object) -> Iterator[tuple[str | None, Any]]:
    """The elements of an object of lists, each with its list's name for a key."""
    for key, rows in elements:
        if isinstance(rows, Reject):
            raise SourceError(f"{where}: the list {key!r} cannot be read ({rows.rule}: {rows.value})")
        if key is None or not isinstance(rows, list):
            raise SourceError(f"{where}: expected an object of lists of rows")
        yield from ((key, row) for row in rows)


def spread(elements: Iterator[tuple[str | None, Any]], field: str) -> Iterator[tuple[str | None, Any]]:
    """The elements of the list `field` of each element, each with the fields that stand around the list."""
    for key, element in elements:
        inner = element.get(field) if isinstance(element, dict) else None
        if not isinstance(inner, list):
            yield key, element
            continue
        around = {name: value for name, value in element.items() if name != field}
        for row in inner:
            yield key, {**around, **row} if isinstance(row, dict) else row
