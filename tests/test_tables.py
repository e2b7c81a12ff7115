"""Rows come out of files exactly as they stand there, in any shard size; what is damaged is named, not skipped.

Also: names in a source reach nothing outside the source's folder.
"""

import io
import json
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.errors import SourceError
from infimed_data.schema import Reject
from infimed_data.storage import archives, documents, tables
from infimed_data.storage.limits import ReadLimits
from infimed_data.storage.listing import Listing, tidy_name
from infimed_data.storage.places import ImageFinder, Place, is_cell, split_cell
from infimed_data.storage.tables import TableFile, TableRow, parquet_schema, plan_shards, read_rows, text_cell

ROWS = [{"n": number, "text": "é漢" * number, "nested": {"list": [number, None]}} for number in range(40)]


def read(location: Path, name: str, **options: Any) -> list[TableRow | tuple[int, Reject]]:
    """All rows of one file, over all its shards."""
    place, file = Place(location), TableFile(name, **options)
    return [row for shard in plan_shards(place, file) for row in read_rows(place, shard)]


def shown(rows: list[TableRow | tuple[int, Reject]]) -> list[Any]:
    """Rows as their data; refused ones as (position, rule)."""
    return [row.data if isinstance(row, TableRow) else (row[0], row[1].rule) for row in rows]


def rule(function: Any, *args: Any, **keywords: Any) -> str:
    """The rule that the call is refused with."""
    with pytest.raises(Reject) as caught:
        function(*args, **keywords)
    return caught.value.rule


# JSON


def test_a_json_array_is_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(ROWS), encoding="utf-8")
    rows = read(tmp_path, "a.json")
    assert shown(rows) == ROWS
    assert [row.number for row in rows if isinstance(row, TableRow)] == list(range(40))


def test_an_object_of_rows_gives_each_row_its_key(tmp_path: Path) -> None:
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps({"11": {"n": 1}, "12": {"n": 2}}, indent=indent))
        rows = [row for row in read(tmp_path, "a.json") if isinstance(row, TableRow)]
        assert [(row.key, row.data) for row in rows] == [("11", {"n": 1}), ("12", {"n": 2})]


@pytest.mark.parametrize("count", [1, 2, 40])
def test_json_lines_may_be_named_json(count: int, tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row) for row in ROWS[:count])
    for ending in ("", "\n"):
        (tmp_path / "a.json").write_text(text + ending)
        assert shown(read(tmp_path, "a.json")) == ROWS[:count]


def test_nan_is_read_as_pandas_writes_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"exp": NaN, "n": 1}]')
    (row,) = shown(read(tmp_path, "a.json"))
    assert row["n"] == 1
    assert row["exp"] != row["exp"]


def test_elements_that_are_no_rows_are_rejected_in_place(tmp_path: Path) -> None:
    text = json.dumps([{"n": 0}, 1, None, {"n": 3}])[:-1] + r', {"half": "\ud800"}, {"n": 5}]'
    (tmp_path / "a.json").write_text(text)
    expected = [{"n": 0}, (1, "invalid_json"), (2, "invalid_json"), {"n": 3}, (4, "invalid_json"), {"n": 5}]
    assert shown(read(tmp_path, "a.json")) == expected


@pytest.mark.parametrize("text", ["", "  ", '[{"n": 1}, {"n"', '[{"n": 1}] more', "[1,]", '"text"', "5", "[" * 100_000])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_json_document_is_an_error_that_names_the_file(
    text: str, streamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text(text)
    if streamed:
        monkeypatch.setattr(tables, "WHOLE_JSON_BYTES", -1)
    with pytest.raises(SourceError, match=r"a\.json"):
        read(tmp_path, "a.json")


def test_a_json_document_that_is_not_utf_8_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"text": "caf\xe9"}]')
    for limit in (1 << 20, -1):
        monkeypatch.setattr(tables, "WHOLE_JSON_BYTES", limit)
        with pytest.raises(SourceError, match="not UTF-8"):
            read(tmp_path, "a.json")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Trickle(io.BytesIO):
    """A stream that hands out a few bytes at a time, whatever it is asked for."""

    size = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


@given(
    document=st.lists(JSON, max_size=6) | st.dictionaries(st.text(max_size=5), JSON, max_size=6),
    size=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_streamed_document_equals_a_whole_one(document: Any, size: int, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    stream = Trickle(text)
    stream.size = size
    assert list(documents.streamed_json(stream, "x", max_row_bytes=1 << 26)) == list(
        documents.whole_json(text, "x", max_row_bytes=1 << 26)
    )


def test_a_large_document_is_read_like_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"n": number, "text": "x" * 50_000} for number in range(100)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    monkeypatch.setattr(tables, "WHOLE_JSON_BYTES", 1 << 20)
    assert shown(read(tmp_path, "a.json")) == rows


# JSON lines


def test_a_bad_line_is_rejected_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        b'{"n": 0}',
        b'{"n": "\xff"}',
        b"",
        b'{"n": 3',
        b"[4]",
        b'{"n": 5}\r',
        b'{"n": "a\\u2028b\xe2\x80\xa8c"}',
        b'{"n"',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    assert shown(read(tmp_path, "a.jsonl")) == [
        {"n": 0},
        (1, "invalid_utf8"),
        (3, "invalid_json"),
        (4, "invalid_json"),
        {"n": 5},
        {"n": "a\u2028b\u2028c"},
        (7, "invalid_json"),
    ]


def test_a_line_nested_too_deeply_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": ' + "[" * 500 + "]" * 500 + '}\n{"n": 1}\n')
    assert shown(read(tmp_path, "a.jsonl")) == [(0, "invalid_json"), {"n": 1}]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100, 333, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_shards_put_together_are_the_file(
    size: int, newline: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    lines[3:3] = ["", "not json"]
    (tmp_path / "a.jsonl").write_bytes((newline.join(lines) + last).encode())
    monkeypatch.setattr(tables, "SHARD_BYTES", size)
    place, file = Place(tmp_path), TableFile("a.jsonl")
    shards = plan_shards(place, file)
    assert shards[0].start == 0
    assert [shard.stop for shard in shards[:-1]] == [shard.start for shard in shards[1:]]
    assert shards[-1].stop == (tmp_path / "a.jsonl").stat().st_size
    rows = [row for shard in shards for row in read_rows(place, shard)]
    assert shown(rows) == [*ROWS[:3], (4, "invalid_json"), *ROWS[3:]]
    assert [row.number for row in rows if isinstance(row, TableRow)] == [0, 1, 2, *range(5, 42)]
    if size <= 64:
        assert len(shards) > 10


# CSV


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufeffq,a\nx,N/A\ny,None\nz,"nan\n""b"""\nw,\nv,007\n', encoding="utf-8")
    answers = [row["a"] for row in shown(read(tmp_path, "a.csv"))]
    assert answers == ["N/A", "None", 'nan\n"b"', "", "007"]


def test_csv_with_an_unnamed_first_column_is_read(tmp_path: Path) -> None:
    """`DataFrame.to_csv` writes its index so."""
    (tmp_path / "a.csv").write_text(",q,a\n0,x,y\n1,z,w\n")
    assert shown(read(tmp_path, "a.csv")) == [{"": "0", "q": "x", "a": "y"}, {"": "1", "q": "z", "a": "w"}]


def test_a_ragged_csv_row_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("q\ta\nx\ty\nshort\none\ttwo\tthree\nz\tw\n")
    assert shown(read(tmp_path, "a.tsv")) == [
        {"q": "x", "a": "y"},
        (1, "ragged_row"),
        (2, "ragged_row"),
        {"q": "z", "a": "w"},
    ]


def test_a_csv_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"q,a\nx,caf\xe9\n")
    with pytest.raises(SourceError, match=r"a\.csv: not UTF-8"):
        read(tmp_path, "a.csv")


# Parquet


def put_parquet(path: Path, rows: list[dict[str, Any]], *, group: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)


@pytest.mark.parametrize("size", [1, 500, 1 << 20])
def test_parquet_rows_know_their_cell(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_parquet(tmp_path / "a.parquet", [{"n": number, "image": {"bytes": b"x", "path": None}} for number in range(12)])
    monkeypatch.setattr(tables, "SHARD_BYTES", size)
    rows = [row for row in read(tmp_path, "a.parquet", image_columns=("image",)) if isinstance(row, TableRow)]
    assert [row.data for row in rows] == [{"n": number} for number in range(12)], "images are not read with the rows"
    assert [row.number for row in rows] == list(range(12))
    ref = rows[11].cell("image")
    assert (ref, is_cell(ref)) == ("a.parquet#2:1:image", True)
    assert split_cell(ref) == ("a.parquet", 2, 1, "image")
    assert len(plan_shards(Place(tmp_path), TableFile("a.parquet"))) == (3 if size == 1 else 1)


def test_a_row_can_be_told_which_of_its_images_are_there(tmp_path: Path) -> None:
    """Paths are read beside the bytes, never the bytes: null, one image, a list of two, an empty list, base64 text."""
    image = {"bytes": b"x" * 1000, "path": "a.png"}
    rows: list[dict[str, Any]] = [
        {"image": None, "images": [image, image], "text": "eA=="},
        {"image": image, "images": [], "text": None},
        {"image": {"bytes": b"y", "path": None}, "images": None, "text": ""},
    ]
    put_parquet(tmp_path / "a.parquet", rows)
    columns = ("image", "images", "text", "not_there")
    found = read(tmp_path, "a.parquet", image_columns=columns, told=columns)
    path, nothing = {"path": "a.png"}, {"path": None}
    assert [row.data for row in found if isinstance(row, TableRow)] == [
        {"image": None, "images": [path, path], "text": "eA=="},
        {"image": path, "images": [], "text": None},
        {"image": nothing, "images": None, "text": ""},
    ]


@pytest.mark.parametrize("keep", [0, 3, 50, -1])
def test_a_truncated_parquet_file_is_an_error(keep: int, tmp_path: Path) -> None:
    put_parquet(tmp_path / "a.parquet", [{"n": number} for number in range(100)])
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:keep])
    for function in (lambda: read(tmp_path, "a.parquet"), lambda: parquet_schema(Place(tmp_path), "a.parquet")):
        with pytest.raises(SourceError, match=r"a\.parquet: not a readable Parquet file"):
            function()


def test_a_parquet_file_with_damaged_pages_is_an_error(tmp_path: Path) -> None:
    put_parquet(tmp_path / "a.parquet", [{"text": f"row {number}" * 50} for number in range(100)], group=100)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:200] = b"\xff" * 196
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(SourceError, match="row group 0 cannot be read"):
        read(tmp_path, "a.parquet")


def test_an_unknown_kind_of_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(SourceError, match=r"allowed: \.json, \.jsonl, \.csv, \.tsv, \.parquet"):
        read(tmp_path, "a.xlsx")


# Archives


def put_archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_read_as_a_folder(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    path = put_archive(tmp_path / f"a.{kind}", {"set/rows.jsonl": lines, "set/rows.json": json.dumps(ROWS).encode()})
    monkeypatch.setattr(tables, "SHARD_BYTES", 100)
    place = Place(path)
    assert place.find("*.jsonl") == [f"a.{kind}!set/rows.jsonl"]
    for name in place.find("rows.*"):
        shards = plan_shards(place, TableFile(name))
        assert shown([row for shard in shards for row in read_rows(place, shard)]) == ROWS


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_listed_once_by_a_process_until_it_changes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_LISTED", 5)
    listed: list[str] = []
    inner = archives._listed

    def noted(path: Path, limits: ReadLimits) -> Listing:
        listed.append(path.name)
        return inner(path, limits)

    monkeypatch.setattr(archives, "_listed", noted)
    put_archive(tmp_path / f"a.{kind}", {f"{n}.jpg": bytes([n]) * 3 for n in range(3)})
    for n in range(3):
        assert pickle.loads(pickle.dumps(Place(tmp_path))).read(f"a.{kind}!{n}.jpg", max_bytes=3) == bytes([n]) * 3
    assert listed == [f"a.{kind}"]
    put_archive(tmp_path / f"a.{kind}", {"new.jpg": b"new", "more.jpg": b"more"})
    assert list(Place(tmp_path).members(f"a.{kind}")) == ["more.jpg", "new.jpg"]
    assert len(listed) == 2
    # What was listed last is remembered, as far as there is room.
    put_archive(tmp_path / "b.zip", {f"{n}.jpg": b"x" for n in range(3)})
    put_archive(tmp_path / "c.zip", {f"{n}.jpg": b"x" for n in range(4)})
    for name in (f"a.{kind}", "b.zip", "c.zip", "c.zip"):
        Place(tmp_path).members(name)
    assert listed[2:] == ["b.zip", "c.zip"]
    Place(tmp_path).members("b.zip")
    assert listed[4:] == ["b.zip"]


def test_what_zip_allows_is_read_by_its_place(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, method in (("stored", ZIP_STORED), ("packed", ZIP_DEFLATED), ("bz", ZIP_BZIP2), ("lz", ZIP_LZMA)):
            info = ZipInfo(f"{name} \u00e9.jpg")
            info.extra = b"\xfe\xca\x02\x00hi"
            archive.writestr(info, data, method)
        with archive.open("streamed.jpg", "w", force_zip64=True) as stream:
            stream.write(data)
    plain = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\n" * 20 + plain)  # unpacks itself: the archive begins later
    place = Place(tmp_path)
    for name in ("a.zip", "b.zip"):
        assert len(place.members(name)) == 5
        for member in place.members(name):
            assert place.read(f"{name}!{member}", max_bytes=1 << 20) == data


def test_a_member_whose_name_is_no_text_harms_no_other(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name in ("\xe9.jpg", "plain.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    place = Place(tmp_path)
    assert list(place.members("a.tar")) == ["plain.jpg", "\udce9.jpg"]
    for name in place.members("a.tar"):
        assert place.read(f"a.tar!{name}", max_bytes=3) == b"abc"


def test_a_zip_with_a_password_or_a_wrong_list_is_unreadable(tmp_path: Path) -> None:
    put_archive(tmp_path / "a.zip", {"a.jpg": b"a" * 100, "b.jpg": b"b" * 100})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x01\x02")
    locked, moved = bytearray(content), bytearray(content)
    locked[at + 8] |= 1
    moved[at + 42] += 5
    for name, data in (("locked.zip", locked), ("moved.zip", moved)):
        (tmp_path / name).write_bytes(data)
        assert rule(Place(tmp_path).read, f"{name}!a.jpg", max_bytes=1000) == "image_unreadable"
        assert Place(tmp_path).read(f"{name}!b.jpg", max_bytes=1000) == b"b" * 100


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archive_members_are_read_and_measured(kind: str, tmp_path: Path) -> None:
    put_archive(tmp_path / f"a.{kind}", {"./images/a.jpg": b"aaa", "images/b.jpg": b"bbbb"})
    place = Place(tmp_path)
    found = ImageFinder(place)
    assert place.read(found.find("images/a.jpg"), max_bytes=3) == b"aaa"
    assert place.read(found.find("b.jpg"), max_bytes=4) == b"bbbb"
    assert rule(place.read, found.find("b.jpg"), max_bytes=3) == "image_too_large"
    assert rule(place.read, f"a.{kind}!images/c.jpg", max_bytes=3) == "image_missing"


def test_a_zip_packed_on_windows_is_read(tmp_path: Path) -> None:
    put_archive(tmp_path / "a.zip", {"images\\a.jpg": b"aaa", "rows\\rows.json": b'[{"n": 1}]'})
    place = Place(tmp_path)
    assert place.read(ImageFinder(place).find("images/a.jpg"), max_bytes=3) == b"aaa"
    inside = Place(tmp_path / "a.zip")
    (name,) = inside.find("rows.json")
    (shard,) = plan_shards(inside, TableFile(name))
    assert shown(list(read_rows(inside, shard))) == [{"n": 1}]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_climb_out_are_left_out(kind: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    root = tmp_path / "source"
    root.mkdir()
    names = ["../secret.jpg", "/etc/secret.jpg", "images/../../secret.jpg", "C:/secret.jpg", "..\\secret.jpg", "ok.jpg"]
    put_archive(root / f"a.{kind}", dict.fromkeys(names, b"x"))
    place = Place(root)
    assert list(place.members(f"a.{kind}")) == ["ok.jpg"]
    assert rule(ImageFinder(place).find, "secret.jpg") == "image_missing"


def test_links_in_a_tar_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "source").mkdir()
    with tarfile.open(tmp_path / "source" / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.jpg")
            info.type, info.linkname = kind, "../secret.jpg"
            tar.addfile(info)
    assert Place(tmp_path / "source").members("a.tar") == {}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("keep", [5, 600, 3000])
def test_a_truncated_archive_is_an_error(kind: str, keep: int, tmp_path: Path) -> None:
    path = put_archive(tmp_path / f"a.{kind}", {"a.jpg": os.urandom(2000), "b.jpg": os.urandom(2000)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=rf"a\.{kind}: not a readable archive"):
        ImageFinder(Place(tmp_path))


def test_a_damaged_zip_member_is_unreadable_and_a_damaged_table_an_error(tmp_path: Path) -> None:
    path = put_archive(tmp_path / "a.zip", {"a.jpg": bytes(range(256)) * 40, "rows.json": b'[{"n": 1}]' * 20})
    with ZipFile(path) as archive:
        starts = [info.header_offset + 30 + len(info.filename) for info in archive.infolist()]
    content = bytearray(path.read_bytes())
    for start in starts:
        content[start + 2 : start + 12] = b"\xff" * 10
    path.write_bytes(content)
    assert rule(Place(tmp_path).read, "a.zip!a.jpg", max_bytes=1 << 20) == "image_unreadable"
    place = Place(path)
    with pytest.raises(SourceError, match=r"a\.zip!rows\.json: cannot read"):
        plan_shards(place, TableFile("a.zip!rows.json"))


# Places


@pytest.mark.parametrize(
    "name", ["../x.jpg", "/x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:\\x.jpg", "a\0.jpg", "", ".", "./"]
)
def test_names_that_climb_out_are_refused(name: str, tmp_path: Path) -> None:
    assert rule(tidy_name, name) == "image_outside_root"
    assert rule(ImageFinder(Place(tmp_path)).find, name) == "image_outside_root"


def test_names_are_tidied() -> None:
    assert [tidy_name(name) for name in ("./a/b.jpg", "a//b.jpg", "a\\b.jpg", "a/./b.jpg")] == ["a/b.jpg"] * 4


def test_links_out_of_the_root_lead_nowhere(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "source"
    (outside / "images").mkdir(parents=True)
    (outside / "images" / "a.jpg").write_bytes(b"secret")
    (outside / "rows.json").write_text('[{"n": 1}]')
    root.mkdir()
    (root / "b.jpg").write_bytes(b"mine")
    (root / "images").symlink_to(outside / "images")
    (root / "rows.json").symlink_to(outside / "rows.json")
    (root / "c.jpg").symlink_to(root / "b.jpg")
    place = Place(root)
    assert place.names == ("b.jpg", "c.jpg")
    assert place.find("rows.json") == []
    assert rule(ImageFinder(place).find, "images/a.jpg") == "image_missing"
    with pytest.raises(SourceError, match="a link out of"):
        read(root, "rows.json")


def test_a_hub_snapshot_may_link_to_its_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--o--d"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "abc").write_text('[{"n": 1}]')
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "train.json").symlink_to("../../blobs/abc")
    assert shown(read(snapshot, Place(snapshot).find("train.json")[0])) == [{"n": 1}]


def test_a_place_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "slake").mkdir()
    with pytest.raises(SourceError, match="no such file or folder; did you mean 'slake'"):
        Place(tmp_path / "slakee")
    with pytest.raises(SourceError, match="nor the folder"):
        Place(tmp_path / "x" / "y")


def test_a_place_means_the_same_in_another_process(tmp_path: Path) -> None:
    put_archive(tmp_path / "a.zip", {"rows.json": b"[]"})
    for location in (tmp_path, tmp_path / "a.zip"):
        place = Place(location)
        place.members("a.zip")
        other = pickle.loads(pickle.dumps(place))
        assert (other.tables, other.names, other.only) == (place.tables, place.names, place.only)


def test_tables_are_found_shallowest_first_and_hidden_files_not_at_all(tmp_path: Path) -> None:
    for name in ("b/train.json", "train.json", "a/c/train.json", ".cache/train.json", "b/.train.json", "b/test.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    place = Place(tmp_path)
    assert place.find("train.json") == ["train.json", "b/train.json", "a/c/train.json"]
    assert place.find("b/*.json") == ["b/test.json", "b/train.json"]


# Images by name


def put_files(root: Path, *names: str) -> ImageFinder:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return ImageFinder(Place(root))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imgs/xmlab1/source.jpg", "imgs/xmlab1/source.jpg"),
        ("xmlab1/source.jpg", "imgs/xmlab1/source.jpg"),
        ("XMLAB1/SOURCE.JPG", "imgs/xmlab1/source.jpg"),
        ("p1.jpg", "figures/p1.jpg"),
        ("images/p1.jpg", "figures/p1.jpg"),
        ("set/images/p1.jpg", "figures/p1.jpg"),
        ("deep/TabMWP/images/7.png", "data/TabMWP/images/7.png"),
    ],
)
def test_an_image_is_found_by_path_ending_or_base_name(name: str, expected: str, tmp_path: Path) -> None:
    files = ["imgs/xmlab1/source.jpg", "imgs/xmlab2/source.jpg", "figures/p1.jpg", "data/TabMWP/images/7.png", "x.txt"]
    finder = put_files(tmp_path, *files)
    if name.startswith("deep/"):
        assert rule(finder.find, name) == "image_missing", "data/ may be another set's folder"
    else:
        assert finder.find(name) == expected


def test_another_sets_image_of_the_same_name_is_not_taken(tmp_path: Path) -> None:
    finder = put_files(tmp_path, "clevr/images/1.png", "imgs/xmlab1/source.jpg")
    assert rule(finder.find, "geoqa+/images/1.png") == "image_missing"
    assert rule(finder.find, "xmlab2/source.jpg") == "image_missing"


def test_a_name_that_could_mean_several_images_is_ambiguous(tmp_path: Path) -> None:
    finder = put_files(tmp_path, "a/1.png", "b/1.png", "images/2.png", "figures/2.png")
    assert finder.find("a/1.png") == "a/1.png"
    assert rule(finder.find, "1.png") == "image_ambiguous"
    assert rule(finder.find, "set/2.png") == "image_ambiguous"


def test_files_come_before_archive_members_and_two_archives_are_ambiguous(tmp_path: Path) -> None:
    put_archive(tmp_path / "a.zip", {"images/1.png": b"a", "images/2.png": b"a"})
    finder = put_files(tmp_path, "images/1.png")
    assert finder.find("images/1.png") == "images/1.png"
    assert finder.find("images/2.png") == "a.zip!images/2.png"
    put_archive(tmp_path / "b.tar", {"images/2.png": b"b"})
    assert rule(ImageFinder(Place(tmp_path)).find, "images/2.png") == "image_ambiguous"


# Other shapes of tables


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_cell_of_a_text_table_is_found_again_by_its_place(end: bytes, bom: bytes, tmp_path: Path) -> None:
    """Quoted line breaks, blank lines and letters of several bytes stand before it."""
    lines = [b"id\tquestion\timage", b'1\t"two\nlines"\tAAAA', b"", "2\tÄrzte 医\tBBBB".encode(), b"3\t\tCCCC"]
    (tmp_path / "a.tsv").write_bytes(bom + end.join(lines) + end)
    rows = [row for row in read(tmp_path, "a.tsv") if isinstance(row, TableRow)]
    assert [row.data["image"] for row in rows] == ["AAAA", "BBBB", "CCCC"]
    refs = [row.cell("image") for row in rows]
    assert all(map(is_cell, refs))
    found = [text_cell(Place(tmp_path), "a.tsv", split_cell(ref).row_group, "image") for ref in refs]
    assert found == ["AAAA", "BBBB", "CCCC"]
    assert text_cell(Place(tmp_path), "a.tsv", split_cell(refs[0]).row_group, "picture") is None


def test_plain_text_is_split_at_its_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('1|say "x|y"|yes\n\n2|no\n', encoding="utf-8")
    rows = read(tmp_path, "a.txt", delimiter="|")
    assert [row.data for row in rows if isinstance(row, TableRow)] == [
        {"1": "1", "2": 'say "x', "3": 'y"', "4": "yes"},
        {"1": "2", "2": "no"},
    ]
    with pytest.raises(SourceError, match="unknown table format"):
        read(tmp_path, "a.txt")


@pytest.mark.parametrize("whole", [True, False])
def test_an_object_of_lists_gives_each_row_its_lists_name(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WHOLE_JSON_BYTES", 1 << 20 if whole else 1)
    (tmp_path / "a.json").write_text('{"train": [{"n": 1}, {"n": 2}], "val": [{"n": 3}, 4]}', encoding="utf-8")
    rows = read(tmp_path, "a.json", lists=True)
    assert [(row.key, row.number, row.data["n"]) for row in rows if isinstance(row, TableRow)] == [
        ("train", 0, 1), ("train", 1, 2), ("val", 2, 3),
    ]  # fmt: skip
    assert [row[1].rule for row in rows if not isinstance(row, TableRow)] == ["invalid_json"]
    (tmp_path / "a.json").write_text('{"train": {"n": 1}}', encoding="utf-8")
    with pytest.raises(SourceError, match="expected an object of lists of rows"):
        read(tmp_path, "a.json", lists=True)


def test_each_element_of_an_inner_list_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"id": 1, "qa": [{"q": "a"}, {"q": "b"}]}, {"id": 2}]', encoding="utf-8")
    rows = read(tmp_path, "a.json", each="qa")
    assert [row.data for row in rows if isinstance(row, TableRow)] == [
        {"id": 1, "q": "a"}, {"id": 1, "q": "b"}, {"id": 2},
    ]  # fmt: skip
