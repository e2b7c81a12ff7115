"""The stages of one source and split: ingest, text signals, image signals. Each is cached under its content."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xxhash
from pydantic import ValidationError

from infimed_data.adapters import load_adapter
from infimed_data.adapters.contract import Adapter, Context
from infimed_data.errors import HubError, ManifestError, SourceError, did_you_mean
from infimed_data.fetching import find
from infimed_data.manifest import Limits, Reads
from infimed_data.storage.places import ARCHIVES, IMAGE_ENDINGS, Place, is_cell
from infimed_data.storage.stages import Fingerprints, Stage, code_digest, file_digest, key_of, read_table
from infimed_data.storage.tables import TableFile

__all__ = ["Reading", "open_source"]

READERS = (
    "storage/archives.py", "storage/documents.py", "storage/limits.py", "storage/listing.py", "storage/parquet.py",
    "storage/places.py", "storage/separated.py", "storage/table_files.py", "storage/tables.py",
)  # fmt: skip
"""Modules that decide what is read of a file."""


@dataclass
class Reading:
    """One source and split, ready to be read."""

    source: str
    split: str
    spec: Reads
    adapter: Adapter
    context: Context
    files: list[TableFile]
    work: Path
    fingerprints: Fingerprints
    limits: Limits
    commit: str | None = None
    """The commit that is read, of a data set on the Hub."""
    copy: Path | None = None
    """The folder that is read in its place."""

    @property
    def name(self) -> str:
        """`source/split`, the first two parts of its uids."""
        return f"{self.source}/{self.split}"

    @property
    def place(self) -> Place:
        """Where its files are."""
        return self.context.place

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Digest of each table file, and of each file that is read beside them, by its name in the place."""
        names = (*(file.name for file in self.files), *self.adapter.beside(self.context))
        return {name: self._digest(name.partition("!")[0]) for name in names}

    def _digest(self, name: str) -> str:
        path = self.place.path(name)
        try:
            known = self.fingerprints.lookup(path)
            if known is not None:
                return known
            status, now = path.stat(), time.time_ns()
        except OSError as error:
            raise SourceError(f"{path}: cannot read: {error.strerror}") from error
        digest = file_digest(path)
        self.fingerprints.remember(path, status, digest, read_at_ns=now)
        return digest

    @cached_property
    def input_bytes(self) -> int:
        """Size of the table files."""
        return sum(self.place.path(name.partition("!")[0]).stat().st_size for name in self.inputs)

    @cached_property
    def _image_names(self) -> str:
        """Digest of the image names that rows can be matched with; archives count with their content."""
        digest = xxhash.xxh3_128()
        for name in self.place.names:
            if name.endswith(ARCHIVES):
                digest.update(f"{name}={self._digest(name)}\n".encode())
            elif name.lower().endswith(IMAGE_ENDINGS):
                digest.update(f"{name}\n".encode())
        return digest.hexdigest()

    @cached_property
    def ingest(self) -> Stage:
        """The stage of canonical rows."""
        code = code_digest(
            "schema.py", "text.py", "ingest.py", *READERS, "adapters/contract.py", "adapters/reading.py",
            f"adapters/{self.spec.adapter}.py", *self.adapter.code,
        )  # fmt: skip
        key = key_of(
            "ingest", code, self.spec.adapter, self.split, dict(self.spec.options), self.spec.group_key, self.inputs,
            self._image_names, self.limits.max_row_bytes,
        )  # fmt: skip
        return Stage(self.work, "ingest", f"{self.source}-{self.split}", key)

    @cached_property
    def texts(self) -> Stage:
        """The stage of text signals."""
        key = key_of("texts", code_digest("schema.py", "text.py", "words.py", "signals.py"), self.ingest.key)
        return Stage(self.work, "texts", f"{self.source}-{self.split}", key)

    @cached_property
    def refs(self) -> list[str]:
        """Distinct image references of the ingested rows, sorted."""
        refs: list[str] = read_table(self.ingest.folder / "refs.arrow").column("ref").to_pylist()
        return refs

    @cached_property
    def images(self) -> Stage:
        """The stage of image signals. Its key rests on sizes and times of files; later stages rest on its content."""
        states = []
        root = str(self.place.root)
        for ref in self.refs:
            if is_cell(ref) or "!" in ref:
                continue
            try:
                status = os.stat(f"{root}/{ref}")  # noqa: PTH116  (of 100,000 files; nothing is read of them here)
                states.append((ref, status.st_size, status.st_mtime_ns))
            except OSError:
                states.append((ref, 0, 0))
        containers = sorted(
            {ref.partition("!")[0].partition("#")[0] for ref in self.refs if is_cell(ref) or "!" in ref}
        )
        code = code_digest("schema.py", "images", "signals.py", "storage/squares.py", *READERS)
        limits = (self.limits.max_image_bytes, self.limits.max_image_pixels)
        key = key_of("images", code, limits, states, {c: self._digest(c) for c in containers}, self._refs_digest)
        return Stage(self.work, f"images-{code[:8]}", f"{self.source}-{self.split}", key)

    @cached_property
    def _refs_digest(self) -> str:
        return xxhash.xxh3_128_hexdigest("\n".join(self.refs).encode())


def open_source(
    section: str,
    name: str,
    spec: Reads,
    root: Path,
    work: Path,
    fingerprints: Fingerprints,
    limits: Limits,
    where: Callable[..., str],
    *,
    commit: str | None = None,
    copies: Path | None = None,
) -> list[Reading]:
    """One `Reading` a split. Raises `ManifestError` or `SourceError`, with the manifest's line from `where`.

    `section` is where the manifest names it: `sources` or `benchmarks`. `commit` is the one that a lock names, of a
    data set on the Hub, which is fetched unless there is a copy of it in `copies`.
    """
    try:
        adapter = load_adapter(spec.adapter)
    except ManifestError as error:
        raise ManifestError([f"{where(section, name, 'adapter')}: {section}.{name}.adapter: {error}"]) from None
    try:
        options = adapter.options.model_validate(dict(spec.options))
    except ValidationError as error:
        fault = error.errors()[0]
        allowed = list(adapter.options.model_fields)
        wrong = str(fault["loc"][0]) if fault["loc"] else ""
        hint = (
            f"; allowed: {', '.join(allowed) or 'no options'}{did_you_mean(wrong, allowed)}"
            if wrong not in allowed
            else ""
        )
        raise ManifestError(
            [f"{where(section, name, 'options', wrong)}: {section}.{name}.options.{wrong}: {fault['msg']}{hint}"]
        ) from None
    for split in spec.splits:
        if split not in adapter.splits:
            raise ManifestError(
                [
                    f"{where(section, name, 'split')}: {section}.{name}.split: {split!r}; allowed: "
                    f"{', '.join(adapter.splits)}{did_you_mean(split, adapter.splits)}"
                ]
            )
    try:
        found = find(
            spec, adapter, options, root, work, commit=commit, limits=limits.of_reading, copies=copies
        )  # fmt: skip
        readings = []
        for split in spec.splits:
            context = Context(found.place, split, options)
            files = adapter.tables(context)
            readings.append(
                Reading(
                    name, split, spec, adapter, context, files, work, fingerprints, limits, found.commit, found.copy
                )
            )  # fmt: skip
        return readings
    except (SourceError, HubError) as error:
        raise SourceError(f"{where(section, name, 'location')}: {section}.{name}: {error}") from error
