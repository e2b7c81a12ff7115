"""What every trainer trips over: tags that are not as many as the pictures, pictures that do not open, stray tokens."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash
from PIL import Image

from infimed_data.errors import BuildError
from infimed_data.export.rows import TAG
from infimed_data.text import SPECIAL_TOKENS

__all__ = ["Checked", "check_row"]

_SPECIAL = re.compile(SPECIAL_TOKENS)
MIN_SIDE_PX = 28
MAX_ASPECT = 200


@dataclass
class Checked:
    """What was found in the files that were written."""

    rows: int = 0
    tags: int = 0
    pictures: set[int] = field(default_factory=set)
    """Distinct ones, all decoded."""


def check_row(record: Mapping[str, Any], where: str, folder: Path, checked: Checked) -> None:
    """Counts the tags and pictures of a written row. Raises `BuildError` where it is not as trainers need it."""
    texts, inline = _contents(record)
    tags = sum(text.count(TAG) for text in texts) + len(inline)
    pictures = [*_pictures(record, folder), *inline]
    if tags != len(pictures):
        raise BuildError(f"{where}: {tags} image tags for {len(pictures)} images; allowed: one each")
    for text in texts:
        special = _SPECIAL.search(text.replace(TAG, ""))
        if special:
            raise BuildError(
                f"{where}: the text holds {special.group()!r}, which a chat template reads as its own; "
                "set filters.special_tokens: true and build again"
            )
    if "messages" in record:
        _check_roles([message["role"] for message in record["messages"]], where)
    for data in pictures:
        digest = xxhash.xxh3_64_intdigest(data)
        if digest not in checked.pictures:
            _decode(data, where)
            checked.pictures.add(digest)
    checked.rows += 1
    checked.tags += tags


def _contents(record: Mapping[str, Any]) -> tuple[list[str], list[bytes]]:
    """(texts, pictures inside messages) of a written row."""
    if "problem" in record:
        return [record["problem"]], []
    if "conversations" in record:
        return [turn["value"] for turn in record["conversations"]], []
    texts: list[str] = []
    inline: list[bytes] = []
    for message in record.get("messages") or record["prompt"]:
        if isinstance(message["content"], str):
            texts.append(message["content"])
            continue
        for part in message["content"]:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                inline.append(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
    return texts, inline


def _pictures(record: Mapping[str, Any], folder: Path) -> Iterable[bytes]:
    given = record.get("images", record.get("image")) or []
    for item in [given] if isinstance(given, str) else given:
        if isinstance(item, str):
            yield (folder / item).read_bytes()  # an absolute path stays one
        else:
            yield item["bytes"]


def _check_roles(roles: list[str], where: str) -> None:
    turns = roles[1:] if roles and roles[0] == "system" else roles
    expected = ["user" if number % 2 == 0 else "assistant" for number in range(len(turns))]
    if turns != expected:
        raise BuildError(f"{where}: roles {', '.join(roles)}; allowed: user and assistant in turn, system before them")


def _decode(data: bytes, where: str) -> None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            width, height = image.size
    except Exception as error:
        raise BuildError(f"{where}: an image cannot be decoded: {error}") from None
    if min(width, height) < MIN_SIDE_PX or max(width, height) > MAX_ASPECT * min(width, height):
        raise BuildError(
            f"{where}: an image of {width} x {height} pixels; allowed: sides of {MIN_SIDE_PX} and more, one at most "
            f"{MAX_ASPECT} times the other; set filters.min_image_side_px and max_image_aspect, and build again"
        )
