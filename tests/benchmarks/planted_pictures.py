"""Changed copies planted among training pictures, searched with the originals as the benchmark, and what was found."""

from __future__ import annotations

import io
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from picture_changes import CHANGES, changed
from PIL import Image

from infimed_data.confirm_images import ConfirmTask, confirm_images
from infimed_data.dedup.candidates import Candidates, find_candidates
from infimed_data.engine import LocalEngine
from infimed_data.images import SQUARE, is_deep
from infimed_data.images.pixels import to_eight_bits
from infimed_data.manifest import Limits
from infimed_data.picture_stages import Pictures, confirm_tasks
from infimed_data.schema import MEASURED
from infimed_data.signals import ImageTask, measure_images
from infimed_data.storage.places import Place
from infimed_data.storage.squares import gather_squares
from infimed_data.storage.stages import read_table, write_table

LIMIT = 10**9
KINDS = list(CHANGES)
Stems = frozenset[str]


@dataclass(frozen=True)
class Plan:
    """Which copies to make: of the picture number i, the kinds number j for which `step` divides i + j."""

    files: dict[str, Path]
    """By stem."""
    step: int
    seed: int


@dataclass
class Found:
    """What one search came to."""

    planted: list[tuple[str, str, str]] = field(default_factory=list)
    """(stem of the original, kind of change, digest of the copy)."""
    of_original: dict[str, str] = field(default_factory=dict)
    """Digest by stem."""
    pairs: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `schema.CONFIRMED`: benchmark against training."""
    among_originals: list[dict[str, Any]] = field(default_factory=list)
    """The same of the originals with one another."""
    pictures: int = 0
    search_s: float = 0.0
    confirm_s: float = 0.0
    """CPU seconds of the search and of the confirmation, all processes together."""
    cut: int = 0

    @staticmethod
    def joined(parts: Sequence[Found]) -> Found:
        """Several searches as one."""
        whole = Found()
        for one in parts:
            whole.planted += one.planted
            whole.of_original |= one.of_original
            whole.pairs += one.pairs
            whole.among_originals += one.among_originals
            whole.pictures += one.pictures
            whole.search_s += one.search_s
            whole.confirm_s += one.confirm_s
            whole.cut += one.cut
        return whole

    def stems(self) -> dict[str, Stems]:
        """The originals that each digest shows."""
        found: dict[str, set[str]] = {}
        for stem, digest in self.of_original.items():
            found.setdefault(digest, set()).add(stem)
        for stem, _, digest in self.planted:
            found.setdefault(digest, set()).add(stem)
        return {digest: frozenset(each) for digest, each in found.items()}


@dataclass(frozen=True)
class CopyTask:
    """A copy to make."""

    source: Path
    kind: str
    seed: int
    out: Path


def make_copy(task: CopyTask) -> None:
    """Writes one changed copy."""
    data = task.source.read_bytes()
    image: Any = Image.open(io.BytesIO(data))
    if is_deep(image.mode):  # as an exporter does it, before anything else
        out = io.BytesIO()
        to_eight_bits(image).save(out, "PNG")
        data = out.getvalue()
    task.out.write_bytes(changed(data, task.kind, task.seed))


def plant(plan: Plan, temp: Path, engine: LocalEngine) -> tuple[Found, pa.Table, list[Pictures]]:
    """Plants and measures the copies: (what is planted, all pictures each once, where they are)."""
    copies = temp / "copies"
    copies.mkdir(parents=True)
    tasks: list[CopyTask] = []
    planted = []
    for number, (stem, path) in enumerate(plan.files.items()):
        for at, kind in enumerate(KINDS):
            if (number + at) % plan.step == 0:
                out = copies / f"{len(tasks):06d}"
                tasks.append(CopyTask(path, kind, plan.seed * 100_003 + zlib.crc32(stem.encode()) % 99_991, out))
                planted.append((stem, kind, out.name))
    for _ in engine.map(make_copy, tasks, label="copies", heavy=True):
        pass
    folders = {path.parent for path in plan.files.values()}
    outs = {folder: temp / f"of-{number}" for number, folder in enumerate(sorted(folders))}
    tables = {folder: _measured(folder, engine, out) for folder, out in outs.items()}
    own = _measured(copies, engine, temp / "measured-copies")
    digest_of = {(folder, name): digest for folder, table in tables.items() for name, digest in _digests(table)}
    copy_digest = dict(_digests(own))
    found = Found(
        planted=[(stem, kind, copy_digest[name]) for stem, kind, name in planted],
        of_original={stem: digest_of[path.parent, path.name] for stem, path in plan.files.items()},
    )
    pictures = [Pictures(Place(folder), outs[folder] / "images.arrow", folder.name, True) for folder in tables]
    pictures.append(Pictures(Place(copies), temp / "measured-copies" / "images.arrow", "copies", False))
    return found, _distinct([*tables.values(), own]), pictures


def search(plan: Plan, temp: Path, engine: LocalEngine) -> Found:
    """Plants the copies, measures, searches and confirms, as a build does it."""
    found, everything, pictures = plant(plan, temp, engine)
    held = set(found.of_original.values())
    flags = np.array([digest in held for digest in everything["digest"].to_pylist()])
    start = time.process_time()
    candidates = find_candidates(everything, benchmark=flags)
    found.search_s = time.process_time() - start
    found.pictures, found.cut = len(everything), candidates.cut
    found.pairs, found.confirm_s = _confirmed(candidates, pictures, engine, temp / "pairs")
    originals = find_candidates(everything.filter(pa.array(flags)))
    found.among_originals, _ = _confirmed(originals, pictures, engine, temp / "originals")
    return found


def _measured(folder: Path, engine: LocalEngine, out: Path) -> pa.Table:
    out.mkdir()
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    tasks = [
        ImageTask(Place(folder), tuple(names[first : first + 64]), (), LIMIT, LIMIT, out / f"{first}.arrow")
        for first in range(0, len(names), 64)
    ]
    for _ in engine.map(measure_images, tasks, label="measuring", heavy=True):
        pass
    table = pa.concat_tables([read_table(task.out) for task in tasks])
    table = table.filter(pc.is_valid(table["digest"]))
    write_table(out / "images.arrow", table, MEASURED)
    gather_squares(out, pc.unique(table["digest"]).sort(), [task.squares for task in tasks], (), SQUARE)
    return table


def _digests(table: pa.Table) -> Iterable[tuple[str, str]]:
    return zip(table["ref"].to_pylist(), table["digest"].to_pylist(), strict=True)


def _distinct(tables: Sequence[pa.Table]) -> pa.Table:
    """One row a digest."""
    table = pa.concat_tables(tables)
    first: dict[str, int] = {}
    for row, digest in enumerate(table["digest"].to_pylist()):
        first.setdefault(digest, row)
    return table.take(pa.array(list(first.values())))


def _confirmed(
    candidates: Candidates, pictures: Sequence[Pictures], engine: LocalEngine, out: Path
) -> tuple[list[dict[str, Any]], float]:
    """(rows of `schema.CONFIRMED`, CPU seconds)."""
    out.mkdir()
    limits = Limits(max_image_bytes=LIMIT, max_image_pixels=LIMIT)
    tasks = confirm_tasks(pl.DataFrame(candidates.pairs), pictures, limits, out)
    cpu_s = sum(cpu for _, cpu in engine.map(confirm_cpu, tasks, label="comparing", heavy=True))
    return [row for task in tasks for row in read_table(task.out).to_pylist()], cpu_s


def confirm_cpu(task: ConfirmTask) -> float:
    """Confirms or refuses the pairs; returns the CPU seconds."""
    start = time.process_time()
    confirm_images(task)
    return time.process_time() - start


# The report


def whole_report(title: str, found: Found, known: set[Stems], *, by_kind: bool) -> str:
    """Lines for people."""
    stems = found.stems()
    confirmed = [row for row in found.pairs if row["verdict"] == "confirmed"]
    own = [row for row in found.among_originals if row["verdict"] == "confirmed"]
    one_picture = {
        frozenset((a, b)) for row in own for a in stems[row["digest_a"]] for b in stems[row["digest_b"]]
    } | known
    false: list[dict[str, Any]] = []
    for row in confirmed:
        one, other = stems[row["digest_a"]], stems[row["digest_b"]]
        alike = one & other or any(frozenset((a, b)) in one_picture for a in one for b in other)
        if not alike:
            false.append(row)
    looked = {frozenset((row["digest_a"], row["digest_b"])) for row in found.pairs}
    said = {frozenset((row["digest_a"], row["digest_b"])) for row in confirmed}
    planted, candidates, recalled = Counter[str](), Counter[str](), Counter[str]()
    for stem, kind, digest in found.planted:
        pair = frozenset((digest, found.of_original[stem]))
        planted[kind] += 1
        candidates[kind] += len(pair) == 1 or pair in looked  # one digest: equal pixels are found without a search
        recalled[kind] += len(pair) == 1 or pair in said
    count = max(1, len(found.pairs))
    lines = [
        f"{title}: {len(found.of_original)} originals, {planted.total()} copies; candidates "
        f"{candidates.total() / planted.total():.3f}, confirmed {recalled.total() / planted.total():.3f}, "
        f"false {len(false)} of {len(confirmed)} confirmed",
    ]
    if by_kind:
        lines.append(f"  {'kind':<26} {'planted':>8} {'candidates':>11} {'confirmed':>10}")
        for kind in KINDS:
            if planted[kind]:
                shares = (candidates[kind] / planted[kind], recalled[kind] / planted[kind])
                lines.append(f"  {kind:<26} {planted[kind]:>8} {shares[0]:>11.3f} {shares[1]:>10.3f}")
    lines.append(
        f"  examined {len(found.pairs):,}, confirmed {len(confirmed):,}, "
        f"refused {len(found.pairs) - len(confirmed):,}, cut {found.cut:,}; "
        f"search {found.search_s:.2f} s CPU for {found.pictures:,} pictures, "
        f"confirmation {1e3 * found.confirm_s / count:.1f} ms CPU a pair, reading included"
    )
    lines += [f"  originals that are one picture: {_told(row, stems)}" for row in own]
    lines += [f"  FALSE: {_told(row, stems)}" for row in sorted(false, key=lambda row: -row["score"])[:20]]
    refused = [
        row
        for row in found.pairs
        if row["verdict"] != "confirmed" and not stems[row["digest_a"]] & stems[row["digest_b"]]
    ]
    lines += [f"  highest refused: {_told(row, stems)}" for row in sorted(refused, key=lambda row: -row["score"])[:3]]
    return "\n".join(lines)


def _told(row: dict[str, Any], stems: dict[str, Stems]) -> str:
    one, other = (" = ".join(sorted(stems[row[side]])) for side in ("digest_a", "digest_b"))
    return f"{one} / {other}: {row['score']:.3f}, {row['transform']}"
