"""YAML as plain data with the line of every key, and within limits: what stands in a file decides nothing but values.

No tag makes an object, an alias may repeat a part but not a thousand times over, and what JSON cannot hold is refused,
since the lock of a build is JSON and has to say the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLWarning

from infimed_data.errors import ManifestError
from infimed_data.showing import shown

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Positions", "plain_yaml"]

Positions = dict[tuple[str | int, ...], tuple[Path, int]]

MAX_BYTES = 1 << 20
"""Size of a file."""
MAX_VALUES = 20_000
"""Values of a file, those that an alias repeats counted each time."""
MAX_DEPTH = 32
"""Mappings and lists inside one another."""


def plain_yaml(text: str, path: Path, *, what: str = "manifest") -> tuple[dict[str, Any], Positions]:
    """(data, position of every key and item) of a YAML document that is a mapping. `what` names it in messages.

    Raises `ManifestError`, with the line, for what is not YAML, passes a limit, or has no place in such a file.
    """
    yaml = YAML(typ="rt")
    yaml.Composer = _Composer
    try:
        with warnings.catch_warnings(action="error", category=YAMLWarning):
            document = yaml.load(text)
    except _TooDeepError as error:
        raise ManifestError([f"{path}:{error}: nested too deeply; allowed: {MAX_DEPTH} levels"]) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = " ".join(str(error.problem or error.context).split())
        raise ManifestError([f"{path}:{line}: not valid YAML: {said}"]) from None
    except YAMLWarning as error:
        raise ManifestError([f"{path}:1: {' '.join(str(error).split())[:200]}"]) from None
    except (
        YAMLError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        AssertionError,
        NotImplementedError,
    ) as error:
        # The parser raises whatever it trips over, such as a number of 5,000 digits or a date that does not exist.
        said = " ".join(str(error).split())[:200]
        raise ManifestError([f"{path}:1: not valid YAML: {said or type(error).__name__}"]) from None
    if not isinstance(document, CommentedMap):
        raise ManifestError([f"{path}:1: a {_kind(document)}; allowed: a mapping of the keys of a {what}"])
    reading = _Reading(path, what)
    return reading.mapping(document, ()), reading.positions


class _TooDeepError(Exception):
    """Holds the line."""


class _Composer(Composer):
    """Stops at a depth, before the parser goes on: its time grows with the square of it."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See `Composer.compose_node`."""
        self._depth += 1
        if self._depth > MAX_DEPTH + 1:
            raise _TooDeepError(self.parser.peek_event().start_mark.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reading:
    """One document on its way to plain data."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self.positions: Positions = {}
        self._values = 0
        self._above: list[int] = []

    def mapping(self, node: CommentedMap, loc: tuple[str | int, ...]) -> dict[str, Any]:
        """A mapping, with what it merges in (`<<: *other`) where it has no value of its own."""
        plain: dict[str, Any] = {}
        with _Inside(self, node, loc):
            for key, value in node.items():
                line = self._line_of(node, key, loc)
                if isinstance(key, CommentedSeq | CommentedMap | TaggedScalar) or not isinstance(
                    key, str | int | float | None
                ):
                    raise self._refused(line, loc, f"a key that is a {_kind(key)}", "keys that are texts")
                name = str(key)
                if name in plain:
                    raise self._refused(line, (*loc, name), "stands here twice", "each key once")
                if not _encodes(name):
                    raise self._refused(line, loc, "a key with half of a character", "Unicode")
                here = (*loc, name)
                self.positions[here] = (self.path, line)
                plain[name] = self._value(value, here, line)
        return plain

    def _value(self, node: Any, loc: tuple[str | int, ...], line: int) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._refused(line, loc[:1], "aliases repeat too much", f"{MAX_VALUES:,} values in all")
        tag = getattr(getattr(node, "tag", None), "value", None)
        if tag is not None:
            raise self._refused(line, loc, f"the tag {str(tag)[:60]!r}", "values without tags")
        if isinstance(node, CommentedMap):
            return self.mapping(node, loc)
        if isinstance(node, CommentedSeq):
            items = []
            with _Inside(self, node, loc):
                for index, value in enumerate(node):
                    at = self._line_of(node, index, loc)
                    self.positions[(*loc, index)] = (self.path, at)
                    items.append(self._value(value, (*loc, index), at))
            return items
        if node is None:
            return None
        for kind in (bool, int, float, str):
            if isinstance(node, kind):
                return self._scalar(kind(node), loc, line)
        if type(node).__name__ == "ScalarBoolean":  # a number to Python, where it carries an anchor
            return bool(node)
        raise self._refused(line, loc, f"a {_kind(node)}", "a text, a number, true or false, a list, a mapping")

    def _scalar(self, value: Any, loc: tuple[str | int, ...], line: int) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(line, loc, str(value), "a finite number")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise self._refused(line, loc, "a number of more than 64 bits", "numbers of 64 bits")
        if isinstance(value, str) and not _encodes(value):
            raise self._refused(line, loc, "half of a character (a lone surrogate)", "Unicode")
        return value

    def _line_of(self, node: Any, key: Any, loc: tuple[str | int, ...]) -> int:
        """Line of a key or item; of the mapping itself for a key that is merged in from another."""
        try:
            line = node.lc.item(key)[0] if isinstance(node, CommentedSeq) else node.lc.key(key)[0]
        except (KeyError, IndexError, TypeError, AttributeError):
            line = self.positions.get(loc, (self.path, 1))[1] - 1
        return int(line) + 1

    def enter(self, node: Any, loc: tuple[str | int, ...]) -> None:
        """Notes that a mapping or list is being read. Raises for one that holds itself, or lies too deep."""
        line = self.positions.get(loc, (self.path, 1))[1]
        if id(node) in self._above:
            raise self._refused(line, loc, "an alias to what it is part of", "aliases to what stands before")
        if len(self._above) >= MAX_DEPTH:
            raise self._refused(line, loc[:3], "nested too deeply", f"{MAX_DEPTH} levels")
        self._above.append(id(node))

    def leave(self) -> None:
        """Notes that it has been read."""
        self._above.pop()

    def _refused(self, line: int, loc: tuple[str | int, ...], given: str, allowed: str) -> ManifestError:
        dotted = ".".join(map(str, loc)) or self._what
        return ManifestError([shown(f"{self.path}:{line}: {dotted}: {given}; allowed: {allowed}")])


class _Inside:
    """While a mapping or list is being read."""

    def __init__(self, reading: _Reading, node: Any, loc: tuple[str | int, ...]) -> None:
        self._reading = reading
        reading.enter(node, loc)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._reading.leave()


def _encodes(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _kind(node: object) -> str:
    """What a value is, in words of YAML."""
    if node is None:
        return "document without content"
    if isinstance(node, Mapping):
        return "mapping"
    if isinstance(node, CommentedSeq | list | tuple):
        return "list"
    names = {"CommentedSet": "set", "TimeStamp": "date", "date": "date", "datetime": "date", "bytes": "binary value"}
    name = type(node).__name__
    return names.get(name, "text" if isinstance(node, str) else "number" if isinstance(node, int | float) else name)
