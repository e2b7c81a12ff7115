"""Hostile input: what is read costs no more than its limits, leads nowhere, runs nothing, and tells no secret."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, Run
from PIL import Image
from test_bad_input import adds_up, built, case, drops, kept, manifest, medqa, picture, question, vqa

from infimed_data.adapters.contract import Context
from infimed_data.adapters.iu_xray import ADAPTER
from infimed_data.card import card_text
from infimed_data.errors import ManifestError, SourceError
from infimed_data.images import Canvas, fit, look, thumbnail
from infimed_data.images.pixels import MAX_SCANS
from infimed_data.manifest import load_manifest
from infimed_data.schema import Reject
from infimed_data.showing import keep_secret, safe, without_secrets
from infimed_data.signals import read_image_bytes
from infimed_data.storage import archives, parquet, tables
from infimed_data.storage.limits import ReadLimits
from infimed_data.storage.parquet import spared_rows
from infimed_data.storage.places import Place
from infimed_data.storage.tables import TableFile, TableRow, plan_shards, read_rows
from infimed_data.verify import Gold, verify

Row = dict[str, Any]


def rows_of(root: Path, file: TableFile | str, **limits: Any) -> list[Any]:
    """Rows of a file, or (number, rule) of what was refused."""
    place = Place(root)
    place.limits = ReadLimits(**limits)
    table = TableFile(file) if isinstance(file, str) else file
    found = [row for shard in plan_shards(place, table) for row in read_rows(place, shard)]
    return [dict(row.data) if isinstance(row, TableRow) else (row[0], row[1].rule) for row in found]


def refused(function: Callable[[], object]) -> str:
    """The rule of what the call is refused with."""
    with pytest.raises(Reject) as caught:
        function()
    return caught.value.rule


# Archives


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.json", b"[" + b" " * (4 << 20) + b"]")
    place = Place(tmp_path)
    with pytest.raises(
        SourceError, match=r"a\.zip: unpacks to 4,194,306 bytes, .* times \(limits\.max_archive_ratio\)"
    ):
        place.members("a.zip")
    place = Place(tmp_path)
    place.limits = ReadLimits(max_archive_ratio=2000)
    assert list(place.members("a.zip")) == ["rows.json"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_too_many_members(tmp_path: Path, kind: str) -> None:
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            for number in range(30):
                packed.writestr(f"{number}.png", b"x")
    else:
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for number in range(30):
                tar.addfile(tarfile.TarInfo(f"{number}.png"))
    place = Place(tmp_path)
    place.limits = ReadLimits(max_archive_members=20)
    with pytest.raises(SourceError, match=rf"a\.{kind}: .*members; allowed: 20 \(limits\.max_archive_members\)"):
        place.members(f"a.{kind}")


def test_a_list_of_members_that_would_fill_the_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.comment = b"x"
        for number in range(60):
            packed.writestr(f"{number}" + "y" * 40_000, b"")
    place = Place(tmp_path)
    place.limits = ReadLimits(max_archive_members=100)
    with pytest.raises(SourceError, match=r"its list of members takes [\d,]+ bytes; allowed: 1,048,576"):
        place.members("a.zip")
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 8 << 20
    (tmp_path / "b.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"z" * (8 << 20) + bytes(1024))
    with pytest.raises(SourceError, match=r"b\.tar: its list of members takes 8,388,608 bytes"):
        Place(tmp_path).members("b.tar")


def test_links_devices_and_sparse_files_are_no_members(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("null.png", tarfile.CHRTYPE),
            ("pipe.png", tarfile.FIFOTYPE), ("sparse.png", tarfile.GNUTYPE_SPARSE), ("../up.png", tarfile.REGTYPE),
            ("/abs.png", tarfile.REGTYPE), ("in.png", tarfile.REGTYPE),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as packed:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
        for name in ("..\\up.png", "C:\\abs.png", "ok/../../up.png", "in.png"):
            packed.writestr(name, b"x")
    place = Place(tmp_path)
    assert list(place.members("a.tar")) == ["in.png"]
    assert list(place.members("b.zip")) == ["in.png"]


def test_a_member_that_holds_more_than_it_says(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.png", bytes(20 << 20))
    data = bytearray(out.getvalue())
    listed = data.rindex(b"PK\x01\x02")
    data[listed + 24 : listed + 28] = struct.pack("<I", 1000)
    (tmp_path / "a.zip").write_bytes(data)
    assert refused(lambda: Place(tmp_path).read("a.zip!a.png", max_bytes=1 << 20)) == "image_unreadable"


# Folders


def test_nothing_but_files_is_found_and_no_name_leads_out(tmp_path: Path) -> None:
    root, outside = tmp_path / "source", tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "rows.json").write_text("[]")
    root.mkdir()
    os.mkfifo(root / "pipe.json")
    (root / "loop.json").symlink_to("loop.json")
    (root / "away").symlink_to(outside)
    (root / "rows.json").write_text("[]")
    place = Place(root)
    assert place.names == ("rows.json",)
    for name in ("away/deep/rows.json", "../outside/deep/rows.json", str(outside / "deep" / "rows.json")):
        with pytest.raises(SourceError, match="out of"):
            place.path(name)
    assert refused(lambda: place.read("loop.json", max_bytes=9)) in ("image_missing", "image_read_failed")


# Rows


def test_one_enormous_line_is_one_drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SHARD_BYTES", 100)
    lines = [json.dumps({"n": n, "text": "x" * (5000 if n == 3 else 10)}) for n in range(6)]
    for end in ("\n", ""):
        (tmp_path / "a.jsonl").write_text("\n".join(lines) + end)
        found = rows_of(tmp_path, "a.jsonl", max_row_bytes=400)
        assert [row["n"] if isinstance(row, dict) else row for row in found] == [0, 1, 2, (3, "row_too_large"), 4, 5]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:3], "y" * 100_000]))
    assert rows_of(tmp_path, "a.jsonl", max_row_bytes=400)[3:] == [(3, "row_too_large")]


@pytest.mark.parametrize("bad", ["z" * 3000, '"' + "q\n" * 2000 + '"', '"' * 3001, ",".join(["w" * 90] * 50)])
def test_one_enormous_row_of_a_table_of_text_is_one_drop(tmp_path: Path, bad: str) -> None:
    (tmp_path / "a.csv").write_text(f"n,text\n0,a\n1,{bad}\n2,b\n")
    found = rows_of(tmp_path, "a.csv", max_row_bytes=1000)
    assert found[0] == {"n": "0", "text": "a"}
    assert (1, "row_too_large") in found
    if bad.count("\n") == 0 and bad.count('"') == 0:
        assert found[2:] == [{"n": "2", "text": "b"}]
    (tmp_path / "b.txt").write_text(f"a|b\n{'z' * 3000}\nc|d\n")
    plain = rows_of(tmp_path, TableFile("b.txt", delimiter="|"), max_row_bytes=1000)
    assert plain == [{"1": "a", "2": "b"}, (1, "row_too_large"), {"1": "c", "2": "d"}]


@pytest.mark.parametrize("whole", [True, False])
def test_elements_that_no_row_can_be_are_drops_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    if not whole:
        monkeypatch.setattr(tables, "WHOLE_JSON_BYTES", 1)
    deep, long = "[" * 5000 + '"]\\"[{"' + "]" * 5000, "9" * 5000
    (tmp_path / "a.json").write_text(f'[{{"n": 0}}, {{"n": {deep}}}, {{"n": -{long}, "x": NaN}}, {{"n": 3}}]')
    assert rows_of(tmp_path, "a.json") == [{"n": 0}, (1, "invalid_json"), (2, "invalid_json"), {"n": 3}]
    (tmp_path / "b.json").write_text(json.dumps([{"n": 0}, {"t": '\\"{' * 600_000}, {"n": 2}]))
    assert rows_of(tmp_path, "b.json", max_row_bytes=1 << 20) == [{"n": 0}, (1, "row_too_large"), {"n": 2}]
    (tmp_path / "c.json").write_text('[{"n": 0}, {"t": "' + "\\\\" * 600_000)
    with pytest.raises(SourceError, match=r"c\.json: ends in the middle"):
        rows_of(tmp_path, "c.json", max_row_bytes=1 << 20)


def test_a_value_that_a_parquet_file_has_once_and_every_row_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeated(values: list[str], indices: list[int]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(values))

    lists = pa.ListArray.from_arrays(pa.array([0, 300, *range(301, 2001)], pa.int32()), repeated(["B" * 9999, "x"],
                                     [0] * 300 + [1] * 1700))  # fmt: skip
    table = pa.table(
        {"n": range(1701), "q": repeated(["A" * (1 << 20), "small"], [1] + [0] * 1600 + [1] * 100), "l": lists}
    )
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", dictionary_pagesize_limit=1 << 30)
    assert (tmp_path / "a.parquet").stat().st_size < 50_000  # and 1.6 GB as rows
    found = list(spared_rows(tmp_path / "a.parquet", 0, ["n", "q", "l"], ReadLimits(max_row_bytes=1 << 20)))
    assert [isinstance(row, Reject) for row in found] == [True] + [True] * 1600 + [False] * 100
    assert found[0].rule == "row_too_large" if isinstance(found[0], Reject) else False
    assert found[-1] == {"n": 1700, "q": "small", "l": ["x"]}
    monkeypatch.setattr(parquet, "_MANY_VALUES", 1 << 20)
    nulls = pa.ListArray.from_arrays(pa.array([0, 2_000_000], pa.int32()), pa.nulls(2_000_000, pa.int8()))
    pq.write_table(pa.table({"l": nulls}), tmp_path / "b.parquet")
    with pytest.raises(
        SourceError, match=r"b\.parquet: row group 0: column l.* has 2,000,000 values in 1 rows; allowed"
    ):
        list(spared_rows(tmp_path / "b.parquet", 0, ["l"], ReadLimits()))


def test_offending_rows_are_drops_of_ingest_and_kill_no_build(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    rows = [case(1), {**case(2), "note": "y" * 5000}, {**case(3), "note": deep}, {**case(4), "note": "\ud800"}, case(5)]
    build = built(tmp_path, {"a": medqa(tmp_path / "s", rows)}, limits={"max_row_bytes": 4000})
    assert sorted((row["stage"], row["rule"]) for row in drops(build).values()) == [
        ("ingest", "invalid_json"), ("ingest", "invalid_json"), ("ingest", "row_too_large"),
    ]  # fmt: skip
    assert len(kept(build)) == 2
    limits = {row["limit"] for row in drops(build).values()}
    assert "4,000 bytes (limits.max_row_bytes)" in limits
    adds_up(build)


# Pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    """An RGB picture whose stream of pixels is `rows`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_picture_that_ends_early_shows_nothing_of_the_one_before() -> None:
    early = png(32, 32, (b"\0" + b"\x40" * 96) * 10)
    jpeg = picture((24, 18), kind="JPEG")
    headless = jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9"  # a header, and no pixels at all
    for data in (early, headless):
        seen = set()
        for before in (None, picture((32, 32), seed=1), picture((32, 32), seed=2)):
            canvas = Canvas()
            if before is not None:
                look(before, max_pixels=1 << 20, canvas=canvas)
            try:
                seen.add(look(data, max_pixels=1 << 20, canvas=canvas).digest)
            except Reject as reject:
                seen.add(reject.rule)
        assert len(seen) == 1, seen


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.frombuffer(b"\x01\x00\xa0\x7f", "<f4")[0]])
def test_pixels_that_are_no_numbers(value: float) -> None:
    out = io.BytesIO()
    pixels = np.array([[value, 1.0, 2.0, 3.0] * 8] * 32, np.float32)
    Image.fromarray(pixels).save(out, "TIFF")
    with np.errstate(all="raise"):
        copy = thumbnail(out.getvalue(), max_pixels=1 << 20)
        assert look(out.getvalue(), max_pixels=1 << 20).width == 32
    assert copy.startswith(b"\xff\xd8")


def test_pictures_that_cost_more_than_they_look() -> None:
    out = io.BytesIO()
    Image.new("L", (64, 64)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    many = data[:-2] + scan * (MAX_SCANS + 1) + data[-2:]
    assert refused(lambda: look(many, max_pixels=1 << 20)) == "image_unreadable"
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(16 << 20)))
    words = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(16 << 20)))
    pixels = (b"\0" + b"\x40" * 96) * 32
    start = time.process_time()
    for bomb in (png(32, 32, pixels, profile), png(32, 32, pixels, words), png(32, 32, pixels + bytes(16 << 20))):
        try:
            assert look(bomb, max_pixels=1 << 20).width == 32
        except Reject as reject:
            assert reject.rule == "image_unreadable"
    assert time.process_time() - start < 5
    cut = picture((200, 200), kind="JPEG")[:-600]
    assert refused(lambda: fit(cut, max_pixels=784, window=True, limit_pixels=1 << 20)) == "image_unreadable"
    assert refused(lambda: thumbnail(cut, max_pixels=1 << 20)) == "image_unreadable"


# Manifests


MANIFEST = "name: t\nsources:\n  s: {adapter: medqa, location: s, category: medical_text%s}\noutputs: {sft: {}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(9)), "aliases repeat"),
        ("a: &a\n  b: *a\n", "unknown key|an alias to what it is part of"),
        ("[" * 100_000, "nested too deeply; allowed: 32 levels"),
        ("{a: " * 5000, "nested too deeply"),
        ("name: !!python/object/apply:os.system ['true']\n", "the tag .*; allowed: values without tags"),
        ("name: t\nname: u\n", "m.yaml:2: .*duplicate key"),
        ("? [a, b]\n: 1\n", "a key that is a list"),
        ("1: a\n'1': b\n", "stands here twice|duplicate"),
        ("name: 2001-01-01\n", "name: a date; allowed: a text"),
        ("name: !!binary aGk=\n", "allowed"),
        ("seed: " + "9" * 5000, "not valid YAML|more than 64 bits"),
        ("seed: 99999999999999999999\n", "seed: a number of more than 64 bits"),
        ("seed: .nan\n", "seed: nan; allowed: a finite number"),
        ('name: "\\ud800"\n', "half of a character"),
        ("a: &x 1\nb: &x 2\nc: *x\n", "anchor|unknown key"),
        ("- a\n", "a list; allowed: a mapping"),
        ("", "a document without content"),
        ("x" * (2 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_a_hostile_manifest_ends_in_its_lines(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(ManifestError, match=says) as caught:
        load_manifest(path)
    assert time.process_time() - start < 5
    assert all("\n" not in problem and problem.startswith(f"{path}:") for problem in caught.value.problems)


def test_anchors_and_merges_of_good_faith_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: t\nsources:\n  a: &a {adapter: medqa, location: s, category: medical_text}\n"
        "  b:\n    <<: *a\n    location: other\n  c: *a\noutputs: {sft: {}}\n"
    )
    found = load_manifest(path)[0].sources
    assert [(s.adapter, s.location) for s in found.values()] == [("medqa", "s"), ("medqa", "other"), ("medqa", "s")]


def test_a_lock_that_is_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text('{"manifest": {"a": ' + "[" * 500 + "]" * 500 + "}}")
    with pytest.raises(ManifestError, match="nested too deeply"):
        load_manifest(tmp_path / "lock.json")


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (", revision: hf_abcdefghijklmnopqrstuvwxyz", "sources.s.revision"),
        (", location: 's3://AKIA:secret@bucket/x'", "sources.s.location"),
        (", location: 'https://h.org/x?X-Amz-Signature=abc'", "sources.s.location"),
    ],
)
def test_a_manifest_holds_no_secret(tmp_path: Path, more: str, where: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text((MANIFEST % more).replace("location: s, ", "" if "location" in more else "location: s, "))
    with pytest.raises(ManifestError, match=rf"{where}: holds a key, a password or a signed address") as caught:
        load_manifest(path)
    assert "abc" not in str(caught.value)


def test_no_model_runs_code_of_its_repository(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    teacher = "teachers: {t: {backend: vllm, model: m, vllm: {engine_args: {trust_remote_code: true}}}}\n"
    path.write_text(MANIFEST % "" + teacher)
    with pytest.raises(ManifestError, match="trust_remote_code: code of a model's repository is never run"):
        load_manifest(path)


# Nothing runs


AUDITED = """
import os, sys
allowed = tuple(os.path.realpath(p) for p in sys.argv[2].split(os.pathsep))
met = []
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "pickle.find_class", "os.system", "os.exec",
                 "subprocess.Popen", "os.posix_spawn", "ctypes.dlopen/none"):
        met.append(f"{event} {args[:1]!r}")
    elif event == "open" and isinstance(args[0], str) and not os.path.realpath(args[0]).startswith(allowed):
        met.append(f"open {args[0]}")
    elif event == "import" and args[1] and os.path.realpath(str(args[1])).startswith(os.path.realpath(sys.argv[3])):
        met.append(f"import {args[:2]!r}")
from pathlib import Path
import infimed_data.pipeline, infimed_data.stats, infimed_data.adapters.vqa_rad, infimed_data.adapters.medqa
from infimed_data.plan import BuildOptions
manifest = Path(sys.argv[1])
os.chdir(sys.argv[3])
sys.addaudithook(hook)
options = BuildOptions(manifest.parent / "out", manifest.parent / "work", 1)
build = infimed_data.pipeline.build(manifest, options, lambda _: None)
infimed_data.stats.stats(infimed_data.stats.open_build(build), width=80)
print(build)
print("met", met)
"""


def test_a_build_opens_no_other_file_no_connection_and_runs_nothing_of_the_data(tmp_path: Path) -> None:
    source = vqa(tmp_path / "s", [question(1), question(2, "../secret.png"), question(3, "/etc/passwd")])
    bait = b"raise SystemExit('the data set ran its own code')"
    for name in ("s.py", "dataset.py", "sitecustomize.py", "PIL.py", "polars.py", "trainset.py"):
        (tmp_path / "s" / name).write_bytes(bait)
    (tmp_path / "s" / "dataset_infos.json").write_text("{}")
    (tmp_path / "cells").mkdir()

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch ran",)

    import pickle

    held = pickle.dumps(Evil())
    pandas = json.dumps({"index_columns": [], "columns": [], "metadata": held.hex()}).encode()
    field = pa.field("question", pa.string(), metadata={b"ARROW:extension:name": b"arrow.py_extension_type",
                     b"ARROW:extension:metadata": held})  # fmt: skip
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([field, ("answer", pa.string()), ("image", image)], metadata={b"pandas": pandas})
    table = pa.table(
        [["Is it seen here?"], ["yes"], [{"bytes": picture(seed=4), "path": "/etc/passwd"}]], schema=schema
    )
    pq.write_table(table, tmp_path / "cells" / "train-00000-of-00001.parquet")
    cells = {"adapter": "vqa_rad", "location": str(tmp_path / "cells"), "category": "medical_vqa", "license": "MIT"}
    path = manifest(tmp_path, {"a": source, "b": cells})
    (tmp_path / "run.py").write_text(AUDITED)
    allowed = [tmp_path, PROJECT, sys.prefix, sys.base_prefix, "/dev", "/proc/self", "/proc/meminfo", "/sys", "/usr"]
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", path, os.pathsep.join(map(str, allowed)), tmp_path / "s"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *_, build, met = done.stdout.splitlines()
    assert met == "met []", met
    assert not list(tmp_path.rglob("ran"))
    assert sorted(kept(Path(build))) == ["a/train/1", *[uid for uid in kept(Path(build)) if uid.startswith("b/")]]
    assert {row["rule"] for row in drops(Path(build)).values()} == {"image_outside_root"}


SQL = (
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/*')", "SELECT * FROM glob('/etc/*')", "SELECT * FROM parquet_metadata('/x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT * FROM read_parquet('https://h.org/x.parquet')",
    "SELECT * FROM 's3://bucket/x.parquet'", "COPY samples TO '/tmp/stolen.csv'", "EXPORT DATABASE '/tmp/stolen'",
    "ATTACH '/tmp/x.db'", "INSTALL httpfs", "LOAD httpfs", "LOAD '/tmp/x.so'", "SET enable_external_access = true",
    "RESET lock_configuration", "PRAGMA enable_external_access=true", "CALL enable_logging('FileSystem')",
    "SELECT * FROM enable_logging(storage='file', storage_config={'path': '/tmp/stolen'})",
    "CREATE TABLE t AS SELECT 1",
    "SELECT getenv('HOME')", "SELECT * FROM sqlite_scan('/x', 't')", "SELECT * FROM postgres_query('x', 'y')",
    "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'y')", "SELECT * FROM query('COPY samples TO ''/tmp/stolen''')",
    "EXPLAIN ANALYZE COPY samples TO '/tmp/stolen.csv'", "SELECT 1; COPY samples TO '/tmp/stolen.csv'",
    "SELECT * FROM duckdb_read_file('/etc/passwd')", "DETACH memory", "IMPORT DATABASE '/tmp'", "CHECKPOINT",
    "SELECT * FROM json_execute_serialized_sql('{}')", "SELECT * FROM os", "SELECT write_log('x', log_type := 'y')",
)  # fmt: skip


def test_no_sql_reaches_files_network_extensions_or_variables(demo_build: Path) -> None:
    from infimed_data.errors import QueryError
    from infimed_data.stats import open_build, query

    opened, before = open_build(demo_build), set(Path("/tmp").glob("stolen*"))
    let_through = []
    for sql in SQL:
        try:
            found = query(opened, sql, timeout_s=20)
        except QueryError:
            continue
        if "write_log" not in sql:  # it writes to a log in memory that nobody reads
            let_through.append((sql, found.to_pylist()[:1]))
    assert not let_through
    assert set(Path("/tmp").glob("stolen*")) == before
    settings = query(
        opened, "SELECT current_setting('enable_external_access') AS e, current_setting('lock_configuration') AS l"
    )
    assert settings.to_pylist() == [{"e": False, "l": True}]


# What is shown


def test_messages_neither_steer_a_terminal_nor_tell_secrets(run: Run, tmp_path: Path) -> None:
    name = "bad\x1b]8;;evil\x07\u202e.zip"
    source = vqa(tmp_path / "s", [question(1)])
    (tmp_path / "s" / name).write_bytes(b"PK no archive")
    done = run("build", manifest(tmp_path, {"a": source}), "--out", tmp_path / "o", "--work", tmp_path / "w")
    assert done.returncode == 1
    assert all(line.isprintable() for line in done.stderr.split("\n"))
    assert "bad\\x1b]8;;evil\\x07\\u202e.zip: not a readable archive" in done.stderr


def test_an_unforeseen_error_tells_no_secret(tmp_path: Path) -> None:
    code = (
        "import sys, infimed_data.cli as cli\n"
        "told = 'GET https://u:pw@h.org/x?sig=1 with Bearer hf_0123456789abcdefgh\\x1b[2J'\n"
        "def broken(*a, **k): raise RuntimeError(told)\n"
        "import infimed_data.plan as plan\nplan.load_plan = broken\n"
        "sys.argv = ['infimed-data', 'validate', 'm.yaml']\ncli.main()\n"
    )
    env = {**os.environ, "MY_API_KEY": "RuntimeErrorKey!", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "RuntimeError: GET https://***@h.org/x?*** with Bearer ***" in done.stderr
    assert not any(part in done.stderr for part in ("pw@", "sig=1", "0123456789", "\x1b"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Illegal header value b'Bearer hf_abcdefghijklmnopqrst'", "Illegal header value b'Bearer ***'"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("{'authorization': 'Bearer abcdef', 'x': 1}", "{'authorization': '***', 'x': 1}"),
        ("x-api-key=abc123 rest", "x-api-key=*** rest"),
        (
            "403 for url: https://cdn.h.org/a/b?Expires=1&Signature=z~ (again)",
            "403 for url: https://cdn.h.org/a/b?*** (again)",
        ),
        ("s3://AK:SK@bucket/x", "s3://***@bucket/x"),
        ("key sk-proj-0123456789abcdefgh is wrong", "key *** is wrong"),
        ("the key kept-by-name is wrong", "the key *** is wrong"),
        ("from MY_TOKEN: value-of-it", "from MY_TOKEN: ***"),
        (
            "hf://datasets/o/n@main/x of https://h.org/docs is fine",
            "hf://datasets/o/n@main/x of https://h.org/docs is fine",
        ),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    keep_secret("kept-by-name")
    assert without_secrets(text, {"MY_TOKEN": "value-of-it", "TOKENIZERS_PARALLELISM": "true"}) == shown


def test_text_of_data_becomes_no_markdown() -> None:
    bad = "![x](http://evil) <img src=x> \x1b[31m `code` | [y](z)\n# head"
    source = {"source": bad, "split": bad, "adapter": "medqa", "category": bad, "license": bad, "revision": bad,
              "rows_read": 1, "rejected": 0, "dropped": 0, "kept": 1}  # fmt: skip
    stratum = {"stratum": bad, "asked": 1, "available": 2, "realised": 1, "why": bad}
    output = {"rows": 1, "train": 1, "validation": 0, "asked": 1, "strata": [stratum]}
    lock = {"name": bad, "build": "b", "sources": [source], "benchmarks": [], "versions": {"infimed-toolkit": "0"},
            "outputs": {"sft": output}, "drops": {"ingest": {bad: 1}}, "warnings": [bad], "generate": {}}  # fmt: skip
    card = card_text(lock).partition("\n---\n")[2]
    assert "![x](http" not in card
    assert "<img" not in card
    assert "\x1b" not in card
    assert safe("a\nb\u2028") == "a\\nb\\u2028"


# The verifier


def test_a_long_option_costs_no_more_than_its_length() -> None:
    option = "1" * 5000
    gold = Gold("q", (option, "no", "<image>", "", ""), option, "A", "multi_choice")
    start = time.process_time()
    for completion in ("1" * 90_000, "a" * 90_000, option * 15, "1 " * 40_000):
        verify(gold, completion)
    assert time.process_time() - start < 2


def test_readers_of_cells_take_one_value_at_a_time(tmp_path: Path) -> None:
    data = picture(seed=3)
    image = pa.DictionaryArray.from_arrays(pa.array([0] * 90, pa.int32()), pa.array([data], pa.binary()))
    pq.write_table(pa.table({"image": image}), tmp_path / "a.parquet")
    refs = [f"a.parquet#0:{row}:image" for row in range(90)]
    found = dict(read_image_bytes(Place(tmp_path), refs, max_bytes=1 << 20))
    assert set(found.values()) == {data}
    assert len(found) == 90


def test_tables_in_tar_archives_are_streamed(tmp_path: Path) -> None:
    inner = json.dumps({"train": [{"id": "a", "report": "r", "image_path": ["a.png"]}]}).encode()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("x.bin", b"\xff" * 100_000), ("annotation.json", inner)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    place = Place(tmp_path / "a.tar")
    files = ADAPTER.tables(Context(place, "train", ADAPTER.options()))
    assert [file.name for file in files] == ["a.tar!annotation.json"]
    with place.open_member("a.tar", "annotation.json") as stream:
        assert stream.read(5) == inner[:5]
        assert stream.seek(0, io.SEEK_END) == len(inner)
        assert stream.read(1) == b""
