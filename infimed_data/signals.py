"""Signals: measurements of texts and images, computed once per content and stored beside the rows.

Filters only compare signals with limits, so changing a limit recomputes no signal.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infimed_data.errors import SourceError
from infimed_data.images import Canvas, Look, blob_digest, finish, look, square
from infimed_data.schema import MEASURED, SIGNALS, Reject
from infimed_data.storage.places import PAUSES_S, READ_FAILED, Place, is_cell, refusal_of, split_cell
from infimed_data.storage.squares import write_squares
from infimed_data.storage.stages import read_table, write_table
from infimed_data.storage.tables import text_cell
from infimed_data.text import SPECIAL_TOKENS, normalise
from infimed_data.words import word_digests, word_lists

__all__ = [
    "ImageTask",
    "PlacedImage",
    "TextTask",
    "measure_images",
    "measure_texts",
    "read_image_bytes",
    "read_placed",
]

_LOOKS = 64
"""Pictures that are kept until the rest of their measures is computed, all at a time."""
_FIGURE = (
    r"(?i)\b(?:(?:see|refer to|shown in|depicted in|based on|according to|in|on)\s+(?:the\s+|this\s+)?"
    r"(?:following\s+|attached\s+|accompanying\s+|above\s+|given\s+)?(?:figure|photograph|picture|diagram|illustration)s?\b"
    r"|(?:figure|image|photograph|picture|diagram|graph|radiograph|x-ray|scan|ecg|ekg|slide)s?\s+"
    r"(?:is\s+|are\s+)?(?:shown\s+|given\s+|provided\s+)?(?:below|above|attached)\b"
    r"|(?:figure|fig\.)\s*\d+[a-z]?\b|(?:attached|accompanying)\s+(?:figure|image|photograph|picture|diagram)s?\b"
    r"|(?:in|of)\s+(?:this|the following)\s+(?:image|picture|figure|photograph)\b)|如图|下图|上图|图中|图示"
)
_SCRIPTS: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": (
        (0x41, 0x5A),
        (0x61, 0x7A),
        (0xC0, 0xD6),
        (0xD8, 0xF6),
        (0xF8, 0x24F),
        (0x1E00, 0x1EFF),
        (0xFF21, 0xFF5A),
    ),
    "Han": (
        (0x2E80, 0x2FDF),
        (0x3005, 0x3007),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x323AF),
    ),
    "Kana": ((0x3041, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)),
    "Hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xAC00, 0xD7A3)),
    "Cyrillic": ((0x400, 0x52F),),
    "Arabic": ((0x620, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Devanagari": ((0x900, 0x97F),),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Thai": ((0xE01, 0xE5B),),
    "Hebrew": ((0x591, 0x5F4),),
}
"""First and last code points of each script's letters (Unicode blocks, without their signs)."""
_NO_HAN_WORD = r"[^\s" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _SCRIPTS["Han"]) + "]+"
_SPECIAL_HINT = r"<\||<image|</?s>|<video>|<pad>|<unk>|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>"


@dataclass(frozen=True)
class TextTask:
    """One shard of ingested rows to measure."""

    rows: Path
    out: Path


def measure_texts(task: TextTask) -> int:
    """Writes `schema.SIGNALS` in the order of the shard's rows; returns their number."""
    table = read_table(task.rows, ["question", "options", "answer", "rationale", "turns"])
    return write_table(task.out, (text_signals(batch) for batch in table.to_batches(max_chunksize=1024)), SIGNALS)


def text_signals(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Signals of a batch with the columns question, options, answer, rationale and turns."""
    question, answer, rationale = (pc.fill_null(batch.column(n), "") for n in ("question", "answer", "rationale"))
    options = batch.column("options")
    asked, replied = _spoken(batch.column("turns"), len(batch))
    asked_text = pc.binary_join_element_wise(question, asked, "")
    replied_text = pc.binary_join_element_wise(answer, replied, "")
    everything = pc.binary_join_element_wise(
        asked_text, pc.fill_null(pc.binary_join(options, "\n"), ""), replied_text, rationale, "\n"
    )
    chars = pc.utf8_length(everything)
    script, share, han = _scripts(everything)
    # Each Chinese character is a word; elsewhere words are what white space separates.
    words = pc.add(
        pc.count_substring_regex(everything, _NO_HAN_WORD if pc.any(pc.greater(han, 0)).as_py() else r"\S+"), han
    )
    tokens = pc.ceil(pc.add(pc.multiply(pc.subtract(chars, han), 0.27), pc.multiply(han, 0.7)))
    columns = {
        "question_chars": pc.utf8_length(pc.utf8_trim_whitespace(asked_text)),
        "answer_chars": pc.utf8_length(pc.utf8_trim_whitespace(replied_text)),
        "rationale_chars": pc.utf8_length(rationale),
        "words": words,
        "text_tokens": tokens,
        "script": script,
        "script_share": share,
        "special_token": _first_match(everything, _SPECIAL_HINT, SPECIAL_TOKENS),
        "figure_reference": _first_match(asked_text, _FIGURE, _FIGURE),
        "duplicate_option": _duplicate_options(options),
        "asked": word_lists(asked_text),
        "offered": _offered(options),
        "answered": word_lists(answer),
        "told": word_lists(pc.binary_join_element_wise(rationale, replied, "\n")),
    }
    return pa.RecordBatch.from_arrays([pc.cast(columns[field.name], field.type) for field in SIGNALS], schema=SIGNALS)


def _spoken(turns: pa.Array, rows: int) -> tuple[pa.Array, pa.Array]:
    """(what users and the system said, what the assistant said) of each conversation, joined."""
    if turns.null_count == rows or not len(turns.flatten()):
        empty = pa.array([""] * rows, pa.string())
        return empty, empty
    asked, replied = [], []
    for conversation in turns.to_pylist():
        asked.append("\n".join(t["content"] for t in conversation or () if t["role"] != "assistant"))
        replied.append("\n".join(t["content"] for t in conversation or () if t["role"] == "assistant"))
    return pa.array(asked, pa.string()), pa.array(replied, pa.string())


@lru_cache(maxsize=1)
def _script_of() -> NDArray[np.uint8]:
    """Number of the script of each code point: 0 for none, else its place in `_SCRIPTS` counted from 1."""
    table = np.zeros(0x110000, np.uint8)
    for number, ranges in enumerate(_SCRIPTS.values(), 1):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


def _scripts(texts: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """(script with most letters, its share of the letters, number of Han characters) of each text."""
    rows = len(texts)
    names = list(_SCRIPTS)
    counts = np.zeros((rows, len(names)), np.int64)
    lettered = pc.match_substring_regex(texts, "[A-Za-z]").to_numpy(zero_copy_only=False)
    ascii_only = pc.string_is_ascii(texts).to_numpy(zero_copy_only=False)
    counts[:, names.index("Latin")] = ascii_only & lettered
    other = np.flatnonzero(~ascii_only)
    if len(other):
        strings = texts.take(pa.array(other)).to_pylist()
        letters = _script_of()[np.frombuffer("".join(strings).encode("utf-32-le"), np.uint32)].astype(np.int64)
        owner = np.repeat(np.arange(len(other)), [len(text) for text in strings])
        size = len(names) + 1
        found = np.bincount(owner * size + letters, minlength=len(other) * size)
        counts[other] = found.reshape(len(other), size)[:, 1:]
    total, best = counts.sum(axis=1), counts.argmax(axis=1)
    share = np.divide(counts.max(axis=1), total, out=np.zeros(rows), where=total > 0)
    script = pa.array([names[b] if t else None for b, t in zip(best, total, strict=True)], pa.string())
    return script, pa.array(share, pa.float32()), pa.array(counts[:, names.index("Han")])


def _first_match(texts: pa.Array, hint: str, pattern: str) -> pa.Array:
    """The first match of `pattern` in each text, or null; `hint` is a cheap necessary condition."""
    hits = np.flatnonzero(pc.match_substring_regex(texts, hint).to_numpy(zero_copy_only=False))
    found: list[str | None] = [None] * len(texts)
    if len(hits):
        matches = pc.extract_regex(texts.take(pa.array(hits)), f"(?P<found>{pattern})")
        for row, match in zip(hits, matches.to_pylist(), strict=True):
            found[row] = match["found"] if match else None
    return pa.array(found, pa.string())


def _duplicate_options(options: pa.Array) -> pa.Array:
    found: list[str | None] = []
    for texts in options.to_pylist():
        found.append(None)
        if texts:
            seen: set[str] = set()
            for text in texts:
                plain = normalise(text)
                if plain in seen:
                    found[-1] = text
                    break
                seen.add(plain)
    return pa.array(found, pa.string())


def _offered(options: pa.Array) -> pa.ListArray:
    """The words of each row's options, each option followed by a 0."""
    lists = pc.fill_null(options, [])
    offsets = lists.offsets.to_numpy().astype(np.int64)
    words, bounds = word_digests(lists.values.slice(offsets[0], offsets[-1] - offsets[0]))
    ended = np.insert(words, bounds[1:], np.uint32(0))
    starts = bounds + np.arange(len(bounds))  # a 0 more before each option than the one before had
    return pa.ListArray.from_arrays(pa.array(starts[offsets - offsets[0]], pa.int32()), pa.array(ended, pa.uint32()))


@dataclass(frozen=True)
class ImageTask:
    """References to measure, and earlier outputs in which known pictures are looked up by their bytes."""

    place: Place
    refs: tuple[str, ...]
    known: tuple[Path, ...]
    max_bytes: int
    max_pixels: int
    out: Path

    @property
    def squares(self) -> Path:
        """Where the squares of the pictures go that were not known."""
        return self.out.with_suffix(".squares.arrow")


def measure_images(task: ImageTask) -> dict[str, int]:
    """Writes `MEASURED`, one row a reference, and squares; returns how many were read and how many decoded."""
    known = _Known(task.known)
    rows: list[dict[str, Any]] = []
    fresh: dict[str, dict[str, Any]] = {}
    squares: dict[str, NDArray[np.uint8]] = {}
    looks: dict[str, Look] = {}
    canvas = Canvas()
    for ref, data in read_image_bytes(task.place, task.refs, max_bytes=task.max_bytes):
        if isinstance(data, Reject):
            rows.append({"ref": ref, "error": data.rule, "error_value": data.value, "error_limit": data.limit})
            continue
        blob = blob_digest(data)
        found = fresh.get(blob) or known.find(blob)
        if found is not None and (found.get("width") or 0) * (found.get("height") or 0) > task.max_pixels:
            found = None  # measured under a higher limit
        if found is None:
            found = fresh[blob] = {"blob": blob, "bytes": len(data)}
            try:
                looks[blob] = look(data, max_pixels=task.max_pixels, canvas=canvas)
            except Reject as reject:
                found |= {"error": reject.rule, "error_value": reject.value, "error_limit": reject.limit}
            if len(looks) == _LOOKS:
                _finish(looks, fresh, squares)
        rows.append({"blob": blob, "ref": ref} if blob in fresh else {**found, "ref": ref})
    _finish(looks, fresh, squares)
    rows = [{**fresh[row["blob"]], **row} if row.get("blob") in fresh else row for row in rows]
    write_squares(task.squares, squares)
    write_table(task.out, pa.Table.from_pylist(rows, MEASURED), MEASURED)
    return {"read": len(rows), "decoded": len(fresh)}


def _finish(looks: dict[str, Look], fresh: Mapping[str, dict[str, Any]], squares: dict[str, NDArray[np.uint8]]) -> None:
    """Adds the measures and squares of what was looked at, and lets go of it."""
    for blob, measures in zip(looks, finish(list(looks.values())), strict=True):
        fresh[blob].update({name: getattr(measures, name) for name in measures.__dataclass_fields__})
    squares.update((seen.digest, square(seen)) for seen in looks.values())
    looks.clear()


def read_image_bytes(place: Place, refs: Sequence[str], *, max_bytes: int) -> Iterator[tuple[str, bytes | Reject]]:
    """(reference, bytes or why not) of each reference; cells of one Parquet row group are read together."""
    plain = [ref for ref in refs if not is_cell(ref)]
    for ref in plain:
        try:
            yield ref, place.read(ref, max_bytes=max_bytes)
        except Reject as reject:
            yield ref, reject
    cells: dict[tuple[str, int, str], dict[int, list[_Item]]] = {}
    for cell, ref in sorted((split_cell(ref), ref) for ref in refs if is_cell(ref)):
        column, _, item = cell.column.partition("[")  # `images[1]` is an item of `images`
        cells.setdefault((cell.path, cell.row_group, column), {}).setdefault(cell.row, []).append((ref, item))
    for (path, group, column), wanted in cells.items():
        yield from _cells(place, path, group, column, wanted, max_bytes)


_Item = tuple[str, str]
"""A reference to a cell, and what stands behind the bracket in it."""


class PlacedImage(NamedTuple):
    """A picture, and where its bytes are."""

    digest: str
    place: Place
    ref: str


def read_placed(images: Sequence[PlacedImage], *, max_bytes: int) -> Iterator[tuple[PlacedImage, bytes | Reject]]:
    """(picture, bytes or why not) of each picture, wherever it lies.

    Raises `SourceError` for one that could be read before and cannot now: nothing must be concluded from that.
    """
    by_place: dict[tuple[Path, str | None], list[PlacedImage]] = {}
    for image in images:
        by_place.setdefault((image.place.root, image.place.only), []).append(image)
    for own in by_place.values():
        named = {image.ref: image for image in own}
        for ref, data in read_image_bytes(own[0].place, sorted(named), max_bytes=max_bytes):
            if isinstance(data, Reject) and data.rule == READ_FAILED:
                raise SourceError(f"{own[0].place.root}: {data.value}; it could be read before: {data.limit}")
            yield named[ref], data


def _cells(
    place: Place, path: str, group: int, column: str, wanted: Mapping[int, Sequence[_Item]], max_bytes: int
) -> Iterator[tuple[str, bytes | Reject]]:
    """Image bytes of rows of one row group, which is read from its beginning to the last of them.

    A column is binary, base64 text, or a struct with `bytes` and a `path`, or a list of these.
    """
    if not path.endswith(".parquet"):
        for items in wanted.values():
            for ref, _ in items:
                yield ref, _cell_bytes(text_cell(place, path, group, column), "", max_bytes)
        return
    first, last = 0, max(wanted)
    refusal = Reject("image_missing", path)
    for pause_s in (*PAUSES_S, None):
        start = 0
        try:
            parquet = pq.ParquetFile(place.path(path))
            rows = 1 if _repeats(parquet, group, column) else 64
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=[column]):
                for row in range(max(first, start), start + len(batch)):
                    if row in wanted:
                        value = batch.column(0)[row - start].as_py()
                        for ref, item in wanted[row]:
                            yield ref, _cell_bytes(value, item, max_bytes)
                start += len(batch)
                first = max(first, start)
                if first > last:
                    return
            break
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is None:
                refusal = Reject("image_unreadable", f"{path}: {(str(error).splitlines() or [''])[0]}")
                break
            refusal = refusal_of(error, path)
            if refusal.rule != READ_FAILED or pause_s is None:
                break
            time.sleep(pause_s)
    for row, items in wanted.items():
        if row >= first:
            for ref, _ in items:
                yield ref, refusal


def _repeats(parquet: pq.ParquetFile, group: int, name: str) -> bool:
    """Whether a column may have one value in many rows, of which each takes as much memory as if it were its own."""
    meta = parquet.metadata.row_group(group)
    chunks = (meta.column(index) for index in range(meta.num_columns))
    return any(chunk.has_dictionary_page for chunk in chunks if chunk.path_in_schema.split(".")[0] == name)


def _cell_bytes(value: Any, item: str, max_bytes: int) -> bytes | Reject:
    if item and isinstance(value, list):
        value = value[int(item.rstrip("]"))]
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, str):
        try:
            value = base64.b64decode("".join(value.rpartition(",")[2].split()), validate=True)
        except ValueError as error:
            return Reject("image_unreadable", f"base64: {error}")
    if not isinstance(value, bytes) or not value:
        return Reject("image_missing", "empty cell")
    if len(value) > max_bytes:
        return Reject("image_too_large", f"{len(value)} bytes", f"{max_bytes} bytes")
    return value


class _Known:
    """Measurements of earlier runs, found by the digest of the encoded bytes. What a limit refused is tried again."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._tables = [_known_in(path) for path in paths]

    def find(self, blob: str) -> dict[str, Any] | None:
        """The measurements of `blob`, if it was measured before."""
        for table, rows in self._tables:
            if (row := rows.get(blob)) is not None:
                found: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
                return found
        return None


@lru_cache(maxsize=256)
def _known_in(path: Path) -> tuple[pa.Table, dict[str, int]]:
    """A table of measurements, and the row of each digest in it."""
    table = read_table(path)
    refused = pc.equal(pc.fill_null(table["error"], ""), "image_too_large")
    blobs = pc.if_else(refused, None, table["blob"]).to_pylist()
    return table, {blob: row for row, blob in enumerate(blobs) if blob}
