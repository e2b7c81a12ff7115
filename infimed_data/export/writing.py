"""Writes an export into a folder that appears whole or not at all, and reads it back before it does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from infimed_data.errors import BuildError, QueryError, did_you_mean, disk_error
from infimed_data.export.checking import Checked, check_row
from infimed_data.export.formats import FORMATS, Format, data_url
from infimed_data.export.rows import rows_of, splits_of

__all__ = ["export"]

GROUP_ROWS = 256
_ENDINGS = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif", b"MM\0*": "tif"}


def export(build: Path, to: str, out: Path) -> list[str]:
    """Writes the build's outputs for a trainer into the new folder `out`; returns lines that say what is there.

    Raises `QueryError` for a format that is not known or a folder that exists, `BuildError` for rows that the trainer
    would trip over.
    """
    if to not in FORMATS:
        raise QueryError(f"--to {to}: unknown; allowed: {', '.join(FORMATS)}{did_you_mean(to, FORMATS)}")
    form = FORMATS[to]
    parts = {(o, split): files for o in form.outputs for split, files in splits_of(build, o).items()}
    if not parts:
        others = ", ".join(n for n, f in FORMATS.items() if any(splits_of(build, o) for o in f.outputs))
        raise QueryError(
            f"{build}: {to} reads the output {' or '.join(form.outputs)}, which this build does not have; it can be "
            f"exported to: {others}"
        )
    if out.exists():
        raise QueryError(f"{out}: exists; give --out a folder that does not, or remove it")
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        images = _Images(partial, out.absolute(), form)
        lines = []
        for (output, split), files in parts.items():
            records = (form.row(row, images.store) for row in rows_of(build, output, split, files))
            name = f"{output}-{split}.{'parquet' if form.schema is not None else 'jsonl'}"
            _write(partial / name, records, form.schema)
            lines.append(f"{name}: {_check(partial / name, images)}")
        if to == "llama_factory":
            _write_dataset_info(partial, [f"{output}-{split}" for output, split in parts])
        partial.rename(out)
    except OSError as error:
        raise disk_error(error, f"exporting to {out}:") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [*lines, f"read it with: {form.how.replace('FOLDER', str(out))}"]


class _Images:
    """Pictures of an export: files named by their content, or data URLs."""

    def __init__(self, folder: Path, final: Path, form: Format) -> None:
        self.folder = folder
        self.final = final
        self._form = form

    def store(self, data: bytes) -> str:
        """The text by which a row names the picture."""
        if self._form.pictures == "inline":
            return data_url(data)
        ending = next((end for start, end in _ENDINGS.items() if data.startswith(start)), "webp")
        name = f"images/{xxhash.xxh3_128_hexdigest(data)}.{ending}"
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return str(self.final / name) if self._form.pictures == "absolute" else name

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """A written row with paths that can be opened before the folder has its name."""
        if self._form.pictures != "absolute":
            return record
        return {**record, "images": [str(Path(name).relative_to(self.final)) for name in record["images"]]}


def _write(path: Path, records: Iterator[dict[str, Any]], schema: pa.Schema | None) -> None:
    if schema is None:
        with path.open("wb") as file:
            for record in records:
                file.write(orjson.dumps(record) + b"\n")
        return
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while rows := list(islice(records, GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(64):
            yield from batch.to_pylist()
        return
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)


def _check(path: Path, images: _Images) -> str:
    """Reads a file back and says what is in it. Raises `BuildError` for what a trainer would trip over."""
    checked = Checked()
    for number, record in enumerate(_read(path), 1):
        check_row(images.shown(record), f"{path.name}:{number}", images.folder, checked)
    if not checked.rows:
        raise BuildError(f"{path.name}: no rows")
    return f"{checked.rows:,} rows, {checked.tags:,} image tags, {len(checked.pictures):,} pictures, all decoded"


def _write_dataset_info(folder: Path, names: list[str]) -> None:
    """dataset_info.json of LLaMA-Factory."""
    tags = {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "system_tag": "system",
    }  # fmt: skip
    info = {
        f"infimed_{name.replace('-', '_')}": {
            "file_name": f"{name}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": tags,
        }
        for name in names
    }
    (folder / "dataset_info.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
