"""The pictures of the rows on a page, made small, each once."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import xxhash

from infimed_train.config import Data
from infimed_train.data import load_rows
from infimed_train.errors import InfimedError

__all__ = ["Picture", "pictures_of"]

SIDE_PX = 288
"""Longest side on the page."""


class Picture(NamedTuple):
    """A small picture."""

    number: int
    """Of its style on the page."""
    width: int
    height: int
    style: str
    """A style rule that holds the pixels."""


def pictures_of(
    data: Data, digest: str, uids: Collection[str]
) -> tuple[Mapping[str, list[Picture | None]], str | None]:
    """(pictures by uid, None for one that does not decode; why there are none, or None).

    `digest` is what the rows were when the run started: pictures of other rows are not shown.
    """
    found: dict[str, list[Picture | None]] = {}
    known: dict[str, Picture | None] = {}
    for split in dict.fromkeys(split for split in (data.split, data.eval_split) if split):
        try:
            rows = load_rows(data.model_copy(update={"max_rows": None}), "grpo", split=split)
        except InfimedError as error:
            return {}, f"no pictures: {error}"
        if split == data.split and rows.digest != digest:
            return {}, f"no pictures: {data.path} is no longer what this run was trained on"
        at = [i for i, uid in enumerate(rows.uids) if uid in uids and uid not in found]
        for i, images in zip(at, _images(rows.table, at), strict=True):
            found[rows.uids[i]] = [_small(image, known) for image in images]
    return found, None


def _images(table: Any, positions: list[int]) -> Iterator[list[Mapping[str, Any]]]:
    if not positions:
        return
    chosen = table.select_columns(["images"]).select(positions).with_format("arrow")
    for part in chosen.iter(64):
        for row in part.to_pylist():
            yield row["images"] or []


def _small(image: Mapping[str, Any], known: dict[str, Picture | None]) -> Picture | None:
    import PIL.Image

    data = image.get("bytes")
    key = str(image["path"]) if data is None else xxhash.xxh3_128_hexdigest(data)
    if key not in known:
        number = len(known)
        try:
            with PIL.Image.open(str(image["path"]) if data is None else BytesIO(data)) as opened:
                small = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
            known[key] = None
            return None
        small.thumbnail((SIDE_PX, SIDE_PX))
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=80)
        encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
        style = (
            f".p{number} {{ width: {small.width}px; height: {small.height}px; "
            f'background-image: url("data:image/jpeg;base64,{encoded}"); }}'
        )
        known[key] = Picture(number, small.width, small.height, style)
    return known[key]
