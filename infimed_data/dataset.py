"""The datasets of a build: rows brought into their order, images embedded, Parquet in the columns TRL takes.

Rows arrive in ingest order and leave in another (by uid, shuffled, curriculum), in bounded memory and two passes:
`scatter` reads each ingested part once and writes its rows apart by output file; `write_file` gathers one file's rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimed_data.errors import SourceError
from infimed_data.images import fit
from infimed_data.schema import DROPS, LABELS, SAMPLES, VERIFIABLE_KINDS, Reject
from infimed_data.shuffling import shuffled
from infimed_data.signals import read_image_bytes
from infimed_data.storage.places import Place
from infimed_data.storage.stages import atomic_write, read_table, write_table

__all__ = [
    "FEATURES",
    "FileTask",
    "PackTask",
    "Packed",
    "Prompting",
    "ScatterTask",
    "compose",
    "pack_images",
    "scatter",
    "write_file",
]

ROW_GROUP_ROWS = 1000
ROW_GROUP_BYTES = 64 << 20
"""A row group ends at this many rows, or at this many bytes of images as a reader unpacks them."""

_TEXT = {"dtype": "string", "_type": "Value"}
_MESSAGES = {"feature": {"role": _TEXT, "content": _TEXT}, "_type": "List"}
_IMAGES = {"feature": {"_type": "Image"}, "_type": "List"}
FEATURES: dict[str, dict[str, Any]] = {
    "sft": {"prompt": _MESSAGES, "completion": _MESSAGES, "images": _IMAGES},
    "rl": {
        "prompt": _MESSAGES,
        "images": _IMAGES,
        "answer": _TEXT,
        "answer_label": _TEXT,
        "options": {"feature": _TEXT, "_type": "List"},
        "answer_kind": _TEXT,
        "source": _TEXT,
        "uid": _TEXT,
    },
}
"""Columns of each output, as the `datasets` library describes features."""

_PLAIN_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_MESSAGES_TYPE = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_COLUMN_TYPES = {"prompt": _MESSAGES_TYPE, "completion": _MESSAGES_TYPE, "options": pa.list_(pa.string())}


@dataclass(frozen=True)
class ScatterTask:
    """One ingested part, its batch of the index, its plan (both a row for each of its rows), and where its rows go."""

    rows: Path
    index: Path
    part: int
    plan: Path
    constants: Mapping[str, str | None]
    """Columns that are the same in all rows: source, split, category, license."""
    bounds: Mapping[str, tuple[int, ...]]
    """Target to the first position of each of its files; the plan's column `to_TARGET` has a row's position, or -1."""
    out: Path
    taught: Path | None = None
    """What teachers wrote for rows of the part, where they did: see `outputs.taught.Rationales.of_part`."""


def scatter(task: ScatterTask) -> dict[str, list[int]]:
    """Writes the part's rows apart by target and file; returns, for each target, the files that got a batch."""
    plan = read_table(task.plan)
    with pa.memory_map(str(task.index)) as source:
        index = pa.Table.from_batches([pa.ipc.open_file(source).get_batch(task.part)])
    for table in (index, read_table(task.rows)):
        for name in table.column_names:
            if name not in plan.column_names and not name.startswith("reject_"):
                plan = plan.append_column(name, table.column(name))
    for name, value in task.constants.items():
        plan = plan.append_column(name, pa.repeat(pa.scalar(value, pa.string()), len(plan)))
    several = plan
    if task.taught is not None:
        plan, several = _with_taught(plan, read_table(task.taught))
    samples, sent = plan, dict[str, list[int]]()
    for target, bounds in task.bounds.items():
        plan = several if target.startswith("sft") else samples
        position = plan.column(f"to_{target}").to_numpy()
        chosen = np.flatnonzero(position >= 0)
        if not len(chosen):
            continue
        chosen = chosen[np.argsort(position[chosen])]
        rows = plan.select(_needed(target, plan.column_names)).take(pa.array(chosen))
        if target == "drops" and "withheld" in plan.column_names:
            rows = _without_texts(rows, plan.column("withheld").take(pa.array(chosen)))
        cuts = np.searchsorted(position[chosen], np.asarray([*bounds[1:], np.iinfo(np.int64).max]))
        files, batches, start = [], [], 0
        for file, stop in enumerate(cuts.tolist()):
            if stop > start:
                files.append(file)
                batches.extend(rows.slice(start, stop - start).combine_chunks().to_batches())
            start = stop
        write_table(task.out.with_name(f"{task.out.name}-{target}.arrow"), iter(batches), rows.schema)
        sent[target] = files
    return sent


def _without_texts(rows: pa.Table, withheld: pa.ChunkedArray) -> pa.Table:
    """Dropped rows without the texts of those that are quarantined: these stay where the source has them."""
    for name in ("question", "options", "answer"):
        at, column = rows.schema.get_field_index(name), rows.column(name)
        rows = rows.set_column(at, rows.schema.field(name), pc.if_else(withheld, pa.scalar(None, column.type), column))
    return rows


_TAUGHT = ("rationale", "rationale_chars", "words", "text_tokens")


def _with_taught(plan: pa.Table, taught: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(the rows with the texts that teachers wrote, the same with a further row for each further text of a sample)."""
    firsts = taught.filter(pc.equal(taught.column("copy"), 0))
    further = taught.filter(pc.greater(taught.column("copy"), 0))
    mask = np.zeros(len(plan), np.bool_)
    mask[firsts.column("row").to_numpy()] = True
    copies = plan.take(further.column("row"))
    for name in _TAUGHT:
        at, kind = plan.schema.get_field_index(name), plan.schema.field(name)
        new = firsts.column(name).combine_chunks().cast(kind.type)
        old = plan.column(name).combine_chunks()
        plan = plan.set_column(at, kind, pc.replace_with_mask(old, pa.array(mask), new))
        copies = copies.set_column(at, kind, further.column(name).cast(kind.type))
    for name in plan.column_names:
        if name.startswith("to_sft-"):
            at = copies.schema.get_field_index(name)
            copies = copies.set_column(at, copies.schema.field(name), further.column(name))
    return plan, pa.concat_tables([plan, copies])


def _needed(target: str, available: list[str]) -> list[str]:
    if target in ("samples", "drops"):
        schema = SAMPLES if target == "samples" else DROPS
        return [n for n in available if n in schema.names or n == f"to_{target}"]
    wanted = {
        "uid", "source", "question", "options", "answer", "answer_label", "answer_kind", "turns", "rationale",
        "image_keys", f"to_{target}",
    }  # fmt: skip
    return [n for n in available if n in wanted]


@dataclass(frozen=True)
class Prompting:
    """How an output words its rows."""

    system: str | None
    instruction: str | None
    reasoning: bool
    answer_tags: bool
    shuffle_seed: int | None = None  # of the order of options; None: as read


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the bytes of an image are that had to be copied: a Parquet cell, or one that was scaled down."""

    pack: Path
    offset: int
    size: int


@dataclass(frozen=True)
class PackTask:
    """Images of one place to copy into a pack, fitted to an output (see `images.fit`)."""

    place: Place
    refs: tuple[str, ...]
    max_pixels: int | None
    window: bool
    max_bytes: int
    limit_pixels: int
    out: Path


def pack_images(task: PackTask) -> list[tuple[str, int, int]]:
    """Writes the images one after the other; returns (reference, offset, size) of each."""
    entries: list[tuple[str, int, int]] = []
    with atomic_write(task.out) as temporary, temporary.open("wb") as pack:
        for ref, data in read_image_bytes(task.place, task.refs, max_bytes=task.max_bytes):
            if isinstance(data, Reject):
                raise SourceError(
                    f"{task.place.root / ref}: {data.rule} while writing; it could be read before: try again"
                )
            try:
                data = fit(data, max_pixels=task.max_pixels, window=task.window, limit_pixels=task.limit_pixels)
            except Reject as reject:
                raise SourceError(
                    f"{task.place.root / ref}: {reject.rule} while it was scaled: {reject.value}"
                ) from None
            entries.append((ref, pack.tell(), len(data)))
            pack.write(data)
    return entries


@dataclass(frozen=True)
class FileTask:
    """One output file: its rows lie in batches of scattered parts."""

    target: str
    """`samples`, `drops`, `sft` or `rl`, for outputs with `-train` or `-validation`."""
    batches: tuple[tuple[tuple[Path, int], ...], ...]
    """Runs of (scattered part, batch): each run's rows are sorted together; runs follow one another in the file."""
    out: Path
    places: Mapping[str, Place]
    packed: Mapping[str, Packed]
    """By image key (`source|reference`)."""
    prompting: Prompting | None
    max_bytes: int


def write_file(task: FileTask) -> int:
    """Writes the file whole or not at all; returns its number of rows. A file that stands is left alone."""
    if task.out.exists():
        return int(pq.read_metadata(task.out).num_rows)
    output = task.target.partition("-")[0]
    schema = {"samples": SAMPLES, "drops": DROPS}.get(output) or _output_schema(output)
    rows = 0
    with atomic_write(task.out) as temporary, _writer(temporary, schema) as writer:
        writer.add_key_value_metadata(_reader_schema(schema))
        for run in task.batches:
            table = _gathered(run, f"to_{task.target}")
            if output in FEATURES:
                for group in _row_groups(table, task, output, schema):
                    writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            elif len(table):
                writer.write_table(table.select(schema.names).cast(schema), row_group_size=16384)
            rows += len(table)
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    columns = dict.fromkeys(_leaves(schema), "zstd")
    for leaf in columns:
        if leaf.endswith("element.bytes"):
            columns[leaf] = "none"  # encoded images do not get smaller
    return pq.ParquetWriter(
        path, schema, compression=columns, store_schema=False, dictionary_pagesize_limit=1 << 30, write_statistics=False
    )


def _reader_schema(schema: pa.Schema) -> dict[str, bytes]:
    """Metadata that makes readers see plain types where dictionary arrays were written, as the features demand."""
    fields = [
        (f.name, pa.list_(_PLAIN_IMAGE) if f.name == "images" and _holds_bytes(f.type) else f.type) for f in schema
    ]
    plain = pa.schema(fields, metadata=schema.metadata)
    return {"ARROW:schema": base64.b64encode(plain.serialize().to_pybytes()), **(schema.metadata or {})}


def _holds_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind.value_type))


def _leaves(schema: pa.Schema) -> list[str]:
    found = []

    def walk(name: str, kind: pa.DataType) -> None:
        if pa.types.is_list(kind):
            walk(f"{name}.list.element", kind.value_type)
        elif pa.types.is_struct(kind):
            for field in kind:
                walk(f"{name}.{field.name}", field.type)
        else:
            found.append(name)

    for field in schema:
        walk(field.name, field.type)
    return found


def _output_schema(output: str) -> pa.Schema:
    image = pa.struct([("bytes", pa.dictionary(pa.int32(), pa.binary())), ("path", pa.string())])
    fields = [
        (name, pa.list_(image) if name == "images" else _COLUMN_TYPES.get(name, pa.string()))
        for name in FEATURES[output]
    ]
    return pa.schema(fields, metadata={"huggingface": orjson.dumps({"info": {"features": FEATURES[output]}})})


def _gathered(run: Sequence[tuple[Path, int]], position: str) -> pa.Table:
    """The rows of one run in their order."""
    batches = []
    for path, index in run:
        with pa.memory_map(str(path)) as source:
            batches.append(pa.ipc.open_file(source).get_batch(index))
    table = pa.Table.from_batches(batches)
    return table.take(pc.sort_indices(table, sort_keys=[(position, "ascending")])).combine_chunks()


def _row_groups(table: pa.Table, task: FileTask, output: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows as output columns, a row group at a time, each distinct image of it held once."""
    assert task.prompting is not None
    rows, start = table.select([n for n in table.column_names if not n.startswith("to_")]), 0
    while start < len(rows):
        images = _ImageColumn(task)
        columns: dict[str, list[Any]] = {name: [] for name in FEATURES[output] if name != "images"}
        for record in rows.slice(start, ROW_GROUP_ROWS).to_pylist():
            if images.unpacked_bytes >= ROW_GROUP_BYTES:
                break
            images.add(record["image_keys"])
            if (seed := task.prompting.shuffle_seed) is not None:
                record = dict(shuffled(record, seed).record)
            record["prompt"], record["completion"] = compose(record, task.prompting)
            for name, values in columns.items():
                values.append(record[name])
            start += 1
        arrays = [
            images.array() if field.name == "images" else pa.array(columns[field.name], field.type) for field in schema
        ]
        yield pa.Table.from_arrays(arrays, schema=schema)


class _ImageColumn:
    """The `images` column of one row group, growing row by row."""

    def __init__(self, task: FileTask) -> None:
        self._task = task
        self._slots: dict[str, int] = {}
        self._blobs: dict[bytes, int] = {}  # once each: PyArrow pads a dictionary page with stray memory for repeats
        self._sizes: list[int] = []
        self._indices: list[int] = []
        self._paths: list[str | None] = []
        self._offsets = [0]
        self.unpacked_bytes = 0

    def add(self, keys: Sequence[str]) -> None:
        """Adds a row with these images."""
        for key in keys:
            if key not in self._slots:
                blob = self._read(key)
                self._slots[key] = self._blobs.setdefault(blob, len(self._blobs))
                if len(self._blobs) > len(self._sizes):
                    self._sizes.append(len(blob))
            self._indices.append(self._slots[key])
            self._paths.append(_shown_path(key))
            self.unpacked_bytes += self._sizes[self._slots[key]]
        self._offsets.append(len(self._indices))

    def _read(self, key: str) -> bytes:
        packed = self._task.packed.get(key)
        if packed is not None:
            with packed.pack.open("rb") as file:
                file.seek(packed.offset)
                return file.read(packed.size)
        source, _, ref = key.partition("|")
        place = self._task.places[source]
        try:
            return place.read(ref, max_bytes=self._task.max_bytes)
        except Reject as reject:
            raise SourceError(
                f"{place.root / ref}: {reject.rule} while writing; it could be read before: try again"
            ) from None

    def array(self) -> pa.ListArray:
        """The column: list<struct<bytes: dictionary<binary>, path>>."""
        encoded = pa.DictionaryArray.from_arrays(
            pa.array(self._indices, pa.int32()), pa.array(list(self._blobs), pa.binary())
        )
        image = pa.StructArray.from_arrays([encoded, pa.array(self._paths, pa.string())], names=["bytes", "path"])
        return pa.ListArray.from_arrays(pa.array(self._offsets, pa.int32()), image)


def _shown_path(key: str) -> str | None:
    ref = key.partition("|")[2]
    return None if "#" in ref else PurePosixPath(ref.rpartition("!")[2]).name


def compose(record: Mapping[str, Any], prompting: Prompting) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(prompt, completion) messages of a row: plain texts without image tags; the trainer puts images first.

    A question is followed by its options, one a line, and the instruction. A completion is the rationale in `<think>`
    (where there is one and reasoning is asked for) and the answer, in `<answer>` tags where a rule can verify it.
    """
    prompt: list[dict[str, str]] = [{"role": "system", "content": prompting.system}] if prompting.system else []
    if record["turns"]:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in record["turns"]]
        if prompting.system and turns[0]["role"] == "system":
            prompt = []
        return prompt + turns[:-1], turns[-1:]
    options = record["options"] or []
    lines = [record["question"], *(f"{LABELS[i]}. {text}" for i, text in enumerate(options))]
    if prompting.instruction:
        lines += ["", prompting.instruction]
    prompt.append({"role": "user", "content": "\n".join(lines)})
    label, answer = record["answer_label"], record["answer"]
    said = f"{label}. {answer}" if label and record["answer_kind"] == "choice" else answer
    if prompting.answer_tags and record["answer_kind"] in VERIFIABLE_KINDS:
        said = f"<answer>{said}</answer>"
    if prompting.reasoning and record["rationale"]:
        said = f"<think>\n{record['rationale']}\n</think>\n\n{said}"
    return prompt, [{"role": "assistant", "content": said}]
