"""What is fuzzed, one function of bytes a target: it returns where all is well, and raises where it is not.

`fuzz.py` runs a target under a coverage-guided fuzzer, `tests/test_fuzz.py` for seconds under Hypothesis. What a target
allows is what a user is promised: a row or a file that cannot be used ends in a `Reject` or in one error of the tree of
`infimed_data.errors`, and nothing else; pages show no text of data as markup.
"""

from __future__ import annotations

import ast
import io
import itertools
import json
import math
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import infimed_data.adapters
from infimed_data.adapters import load_adapter
from infimed_data.adapters.catalogue import DATA_SETS
from infimed_data.adapters.contract import Context
from infimed_data.errors import ManifestError, SourceError
from infimed_data.images import Canvas, finish, fit, grey_copy, look, thumbnail
from infimed_data.ingest import IngestTask, ingest_shard
from infimed_data.manifest import load_manifest
from infimed_data.schema import Reject
from infimed_data.signals import text_signals
from infimed_data.storage.places import Place
from infimed_data.storage.stages import read_table
from infimed_data.storage.tables import plan_shards
from infimed_data.verify import OUTCOMES, REASONS, Gold, verify
from infimed_data.verify.verdict import LABELS

__all__ = ["TARGETS", "Draws", "Target", "seeds"]

PROJECT = Path(__file__).resolve().parents[2]
MAX_PIXELS = 1 << 20
PIECES = (
    "", " ", "yes", "no", "A", "B", "1", "-1", "0.5", "1e999", "nan", "None", "<image>", "<image>\n", "<think>",
    "</think>", "<answer>", "</answer>", "\\boxed{", "}", "{", "[", "'", '"', "['a', 'b']", '{"A": "x"}', "\x00",
    "\x1b[31m", "\u202e", "\ud800", "\U0001f600", "../../etc/passwd", "a.png", "images/b.jpg", "c.zip!d.png",
    "data:image/png;base64,AAAA", "A. x\nB. y", "(A) x (B) y", "答案是", "左", "No", "human", "gpt", "user",
    "assistant", "system", "en", "zh", "a\tb", "1" * 5000, "|", "a|b", ",", "A,B", "=1+1", "https://e.org/?X-Amz-Signature=1",
    "\r\n", "\u2028", "x" * 300, "(" * 300, "</script><script>", "<img src=x onerror=1>", "'\"><b>", "{{ 7 * 7 }}",
    "![i](u)", "[x](http://e)", "`", "\x1b]8;;u\x07", "-->", "&lt;", "\x85", "\ufeff", "a" + "\u0301" * 50,
)  # fmt: skip
"""Texts that something in a reader, a verifier or a page reacts to."""


class Draws:
    """Choices that bytes stand for; when they are used up, all further ones are the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        """The next byte, or 0."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        return (self.byte() if count <= 256 else self.byte() << 8 | self.byte()) % count

    def one(self, choices: Sequence[Any]) -> Any:
        """One of `choices`."""
        return choices[self.below(len(choices))]

    def rest(self) -> bytes:
        """All bytes that are left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    def bytes(self) -> bytes:
        """Some of the bytes that are left."""
        size = self.byte()
        start, self._at = self._at, self._at + size
        return self._data[start : start + size]

    def text(self, words: Sequence[str] = ()) -> str:
        """A text: of `words`, of `PIECES`, of any characters, or some of these after another."""
        kind = self.below(8)
        if kind <= 1 and words:
            return str(self.one(words))
        if kind <= 3:
            return str(self.one(PIECES))
        if kind == 4:
            return self.bytes().decode("utf-8", "surrogateescape" if self.below(8) == 7 else "replace")
        if kind == 5:
            data = self.bytes()
            return data[: len(data) // 2 * 2].decode("utf-16-le", "surrogatepass" if self.below(8) == 7 else "replace")
        return "".join(self.one((*PIECES, *words)) for _ in range(self.below(6)))

    def value(self, words: Sequence[str], depth: int = 0) -> Any:
        """Anything that JSON can hold."""
        kind = self.below(12)
        if kind == 0:
            return None
        if kind == 1:
            return self.one((True, False))
        if kind == 2:
            return self.one((0, 1, 2, 3, 4, 5, -1, 10**9, 2**63, 10**30))
        if kind == 3:
            return self.one((0.5, 1.0, -2.25, math.nan, math.inf, 1e300))
        if kind <= 7 or depth > 3:
            return self.text(words)
        if kind <= 9:
            return [self.value(words, depth + 1) for _ in range(self.below(6))]
        return {self.text(words): self.value(words, depth + 1) for _ in range(self.below(6))}


# Adapters: rows in files, read as a build reads them


@cache
def _layouts() -> list[tuple[str, str, dict[str, Any], str, dict[str, Any]]]:
    """(adapter, split, options, name of a file that it reads, an example row) of every layout and format."""
    found = []
    empty = Path(tempfile.mkdtemp(prefix="infimed-fuzz-empty-"))
    for entry in DATA_SETS.values():
        adapter = load_adapter(entry.adapter)
        options = adapter.options.model_validate(dict(entry.options))
        example = _example(entry.example)
        for split in adapter.splits:
            try:
                adapter.tables(Context(Place(empty), split, options))
            except SourceError as error:
                names = re.findall(r"[\w*/\[\]-]+\.(?:jsonl?|csv|tsv|parquet|txt)", str(error).partition("expected")[2])
                for name in dict.fromkeys(names):
                    plain = re.sub(r"\[[^]]*\]", "0", name).replace("*", "0")
                    found.append((entry.adapter, split, dict(entry.options), plain, example))
    shutil.rmtree(empty)
    return sorted(found, key=lambda layout: (layout[0], layout[1], layout[3], str(layout[2])))


def _example(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


@cache
def _words(adapter: str) -> tuple[str, ...]:
    """Texts in an adapter's source: the names of its fields, and what it compares values with."""
    folder = Path(infimed_data.adapters.__file__).parent
    names = [adapter, "reading", "fields"]
    nodes = (node for name in names for node in ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8"))))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return tuple(dict.fromkeys(text for text in texts if len(text) < 60))


@cache
def _world() -> Path:
    """A folder with pictures that rows may name."""
    folder = Path(tempfile.mkdtemp(prefix="infimed-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    source = folder / "source"
    (source / "images").mkdir(parents=True)
    for name in ("a.png", "images/b.jpg"):
        (source / name).write_bytes(b"x")
    with zipfile.ZipFile(source / "c.zip", "w") as archive:
        archive.writestr("d.png", b"x")
        archive.writestr("../out.png", b"x")
    return folder


def _row(draws: Draws, example: Mapping[str, Any], words: Sequence[str]) -> Any:
    """A row like the example with some of its fields changed, left out or added; seldom something else."""
    if draws.below(32) == 31:
        return draws.value(words)
    row = dict(example)
    for _ in range(draws.below(5)):
        field = draws.one([*row, *words]) if draws.below(2) else draws.text(words)
        if draws.below(6) == 5:
            row.pop(field, None)
        else:
            row[field] = _varied(draws, row.get(field), words)
    return row


def _varied(draws: Draws, value: Any, words: Sequence[str]) -> Any:
    kind = draws.below(4)
    if kind == 1 and isinstance(value, str):
        at = draws.below(len(value) + 1)
        return value[:at] + draws.text(words) + value[at:]
    if kind == 2 and isinstance(value, list) and value:
        at = draws.below(len(value))
        return [*value[:at], _varied(draws, value[at], words), *value[at + 1 :]]
    if kind == 3 and isinstance(value, dict) and value:
        field = draws.one(list(value))
        return {**value, field: _varied(draws, value[field], words)}
    return draws.value(words)


def _written(path: Path, rows: Sequence[Any], draws: Draws) -> bool:
    """Writes rows in the format that the file's name says, or bytes as they are drawn; False where rows do not fit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if draws.below(6) == 5:
        path.write_bytes(draws.rest())
        return True
    ending = path.suffix
    try:
        if ending == ".parquet":
            pq.write_table(pa.Table.from_pylist([row for row in rows if isinstance(row, dict)]), path)
        elif ending == ".jsonl":
            path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "surrogatepass"))
        elif ending == ".json":
            form = draws.below(4)
            document: Any = rows if form < 2 else {str(number): row for number, row in enumerate(rows)}
            if form == 3:
                document = {draws.one(("train", "val", "test")): rows}
            path.write_bytes(json.dumps(document, ensure_ascii=draws.below(2) == 0).encode("utf-8", "surrogatepass"))
        else:
            _write_text(path, rows, "\t" if ending == ".tsv" else "|" if ending == ".txt" else ",")
    except (pa.ArrowException, ValueError, TypeError, OverflowError, UnicodeError, OSError):
        return False
    return True


def _write_text(path: Path, rows: Sequence[Any], mark: str) -> None:
    import csv

    dicts = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in dicts for name in row))
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        if mark == "|":
            file.write("".join("|".join(map(str, row.values())) + "\n" for row in dicts))
            return
        writer = csv.writer(file, delimiter=mark)
        writer.writerow(names)
        for row in dicts:
            writer.writerow([row.get(name) for name in names])


def adapters(data: bytes) -> None:
    """Files of rows through every adapter, as a build ingests them."""
    draws = Draws(data)
    layouts = _layouts()
    name, split, options, file, example = layouts[draws.below(len(layouts))]
    words = _words(name)
    rows = [_row(draws, example, words) for _ in range(1 + draws.below(3))]
    world = _world()
    path = world / "source" / file
    if not _written(path, rows, draws):
        path.unlink(missing_ok=True)
        return
    adapter = load_adapter(name)
    out = world / "part.arrow"
    try:
        context = Context(Place(world / "source"), split, adapter.options.model_validate(options))
        files = adapter.tables(context)
        context = replace(context, evidence=adapter.evidence(files, context))
        for shard in [shard for each in files for shard in plan_shards(context.place, each)]:
            counts = ingest_shard(IngestTask(name, context, shard, None, out))
            table = read_table(out)
            assert len(table) == counts["read"], (len(table), counts)
            refused = len(table) - table.column("reject_rule").null_count
            assert refused == counts["rejected"], (refused, counts)
            for refs in table.column("image_refs").to_pylist():
                assert not any(ref.startswith("/") or ".." in ref.split("/") for ref in refs or ()), refs
            for batch in table.select(["question", "options", "answer", "rationale", "turns"]).to_batches():
                text_signals(batch)
    except SourceError as error:
        _one_line(str(error))
    finally:
        path.unlink(missing_ok=True)


def _one_line(message: str) -> None:
    assert "\n" not in message, message
    assert message.strip(), "an error without words"


# Images


def images(data: bytes) -> None:
    """Bytes as a picture, in every way that pictures are read."""
    known = _tried(lambda: finish([look(data, max_pixels=MAX_PIXELS)])[0])
    again = _tried(lambda: finish([look(data, max_pixels=MAX_PIXELS, canvas=Canvas())])[0])
    assert known == again, "a canvas changes what is seen"
    if known is not None:
        assert known.width * known.height <= MAX_PIXELS
        assert all(map(math.isfinite, (known.mean, known.contrast, known.sharpness, known.flat_share)))
        assert re.fullmatch("[0-9a-f]{32}", known.digest)
    _tried(lambda: grey_copy(data, side=64, max_pixels=MAX_PIXELS))
    _tried(lambda: thumbnail(data, side=32, max_pixels=MAX_PIXELS))
    fitted = _tried(lambda: fit(data, max_pixels=28 * 28, window=True, limit_pixels=MAX_PIXELS))
    if known is not None and fitted is not None:
        with Image.open(io.BytesIO(fitted)) as image:
            image.load()


def _tried(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Reject as reject:
        assert reject.rule in ("image_unreadable", "image_too_large"), reject.rule
        return None


# Manifests


def manifest(data: bytes) -> None:
    """Bytes as a manifest: it is loaded, and can be written into a lock and loaded again, or each fault has a line."""
    path = _world() / "m.yaml"
    path.write_bytes(data)
    try:
        loaded, _, _ = load_manifest(path)
    except ManifestError as error:
        assert error.problems
        for problem in error.problems:
            _one_line(problem)
        return
    lock = path.with_suffix(".json")
    lock.write_bytes(orjson.dumps({"manifest": loaded.resolved()}))
    again, _, _ = load_manifest(lock)
    assert again.resolved() == loaded.resolved()
    assert repr(again.resolved()) == repr(loaded.resolved())


# The verifier


def verifier(data: bytes) -> None:
    """Any completion against any gold answer: a verdict with a known reason, the same each time."""
    draws = Draws(data)
    kind = draws.one(("choice", "multi_choice", "yes_no", "number", "short_text", "open", "none", "?"))
    options = tuple(draws.text() for _ in range(draws.below(11)))
    label = draws.one((None, *LABELS, "A,C", "", "Z", "A,A", "a"))
    gold = Gold(draws.text(), options, draws.one((draws.text(), *options)), label, kind)
    completion = "".join(draws.text(options) for _ in range(draws.below(8))) + draws.rest().decode("utf-8", "replace")
    tolerance = draws.one((0.0, 0.01, 1.0))
    verdict = verify(gold, completion, rel_tol=tolerance)
    assert verdict.outcome in OUTCOMES, verdict
    assert verdict.reason in REASONS, verdict
    assert verify(gold, completion, rel_tol=tolerance) == verdict


# Pages


def html(data: bytes) -> None:
    """Pages of leaks and of traces, the card, and what the terminal gets, of builds whose every text is drawn."""
    from fuzz_pages import check_pages

    check_pages(Draws(data), _world())


Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    "adapters": adapters, "images": images, "manifest": manifest, "verifier": verifier, "html": html,
}  # fmt: skip


def seeds(target: str) -> Iterator[bytes]:
    """Inputs to begin with."""
    if target == "images":
        yield from _picture_seeds()
    elif target == "manifest":
        for path in sorted((PROJECT / "manifests").rglob("*.yaml")):
            yield path.read_bytes()
        yield from MANIFEST_SEEDS
    else:
        for number in range(256):
            yield bytes((number, *itertools.islice(itertools.cycle((number * 7 % 256, 3, 1, 0, 65)), 40)))


MANIFEST_SEEDS = (
    b"a: &a [x, x]\nb: &b [*a, *a]\nname: *b\n",
    b"a: &a [*a]\n",
    b"base: &b {adapter: medqa}\nsources:\n  s:\n    <<: *b\n    location: x\n",
    b"name: !!python/object/apply:os.system ['true']\n",
    b"name: x\nname: y\n",
    b"? [a, b]\n: 1\n1: a\n'1': b\n",
    b"d: 2001-01-01\nb: !!binary aGk=\ns: !!set {a, b}\no: !!omap [a: 1]\nn: .nan\ni: 0x1f\nt: 1:20:30\n",
    b"--- a\n--- b\n",
    b"%YAML 1.1\n---\nx: yes\n",
    b"[" * 40,
)


def _picture_seeds() -> Iterator[bytes]:
    grey = Image.effect_noise((24, 18), 60)
    colour = Image.merge("RGB", (grey, grey.rotate(180), grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "words"

    def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
        out = io.BytesIO()
        image.save(out, kind, **more)
        return out.getvalue()

    for mode in ("L", "RGB", "RGBA", "P", "1", "LA"):
        yield saved(colour.convert(mode), "PNG")
    yield saved(colour, "PNG", exif=exif, icc_profile=b"profile" * 20)
    yield saved(Image.frombytes("I;16", (8, 6), bytes(range(96))), "PNG")
    for mode in ("L", "RGB", "CMYK"):
        yield saved(colour.convert(mode), "JPEG", exif=exif)
    yield saved(colour, "JPEG", progressive=True)
    yield saved(colour, "MPO", save_all=True, append_images=[colour])
    for mode in ("RGB", "L", "1", "P"):
        yield saved(colour.convert(mode), "BMP")
    for compression in (None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group4"):
        image = colour.convert("1") if compression == "group4" else colour
        yield saved(image, "TIFF", **({"compression": compression} if compression else {}))
    for value in (0.5, math.nan, math.inf):
        yield saved(Image.frombytes("F", (8, 6), struct.pack("<48f", *[value, 1.0, -3.0] * 16)), "TIFF")
    yield saved(colour.convert("I"), "TIFF")
    yield saved(colour, "GIF", save_all=True, append_images=[colour.rotate(90)], loop=0)
    yield saved(colour, "WEBP", exif=exif)
    yield saved(colour, "WEBP", lossless=True)
    yield saved(colour, "WEBP", save_all=True, append_images=[colour.rotate(90)])
