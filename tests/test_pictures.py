"""A build finds the pictures it shares with a benchmark however they were changed, and shows what it looked at."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import PROJECT, place_of_rows, planted_uid
from PIL import Image, ImageOps

from infimed_data.engine import LocalEngine
from infimed_data.images import SQUARE
from infimed_data.manifest import Limits
from infimed_data.picture_stages import Pictures, compare_pictures
from infimed_data.pipeline import build as run_build
from infimed_data.plan import BuildOptions
from infimed_data.signals import ImageTask, measure_images
from infimed_data.storage.places import Place
from infimed_data.storage.squares import gather_squares
from infimed_data.storage.stages import read_table, write_table

Row = dict[str, Any]

DRAWN = PROJECT / "sample_data" / "vqa_rad" / "images"
HELD, OTHER, THIRD = "synpic20085.jpg", "synpic20307.jpg", "synpic20344.jpg"
SECOND = {"b.jpg": (DRAWN / OTHER).read_bytes()}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def drawn(name: str = HELD) -> Image.Image:
    return Image.open(DRAWN / name).convert("L")


def world(folder: Path, images: dict[str, bytes], *, more: int = 0) -> tuple[Row, Row]:
    """A source with one row a picture (and `more` on the first), and a benchmark with one picture."""

    def part(name: str, split: str, rows: list[Row], pictures: dict[str, bytes]) -> Row:
        (folder / name / "images").mkdir(parents=True, exist_ok=True)
        (folder / name / f"{split}set.json").write_text(json.dumps(rows))
        for image, data in pictures.items():
            (folder / name / "images" / image).write_bytes(data)
        return {"adapter": "vqa_rad", "location": str(folder / name), "split": split}

    def row(number: int, image: str, question: str) -> Row:
        return {"qid": number, "image_name": image, "question": question, "answer": "yes", "answer_type": "CLOSED"}

    rows = [row(at, image, f"Is finding number {at} seen?") for at, image in enumerate(images, 1)]
    rows += [row(100 + at, next(iter(images)), f"Is sign number {at} of the series seen?") for at in range(more)]
    train = {**part("train", "train", rows, images), "category": "medical_vqa", "license": "CC0-1.0"}
    test = part("test", "test", [row(7, "h.jpg", "Where is it?")], {"h.jpg": encoded(drawn(), "JPEG")})
    return {"rad": train}, {"held": test}


class Built:
    """A finished build and what was said while it was made."""

    def __init__(self, folder: Path, parts: tuple[Row, Row], processes: int = 1, **more: Any) -> None:
        path = folder / "m.yaml"
        content = {"name": "t", "sources": parts[0], "benchmarks": parts[1], "outputs": {"sft": {}}, **more}
        path.write_text(json.dumps(content))
        self.said: list[str] = []
        self.path = run_build(path, BuildOptions(folder / "out", folder / "work", processes), self.said.append)
        self.lock = json.loads((self.path / "lock.json").read_text())

    def table(self, name: str) -> list[Row]:
        listed: list[Row] = pl.read_parquet(self.path / f"{name}.parquet").to_dicts()
        return listed

    def drops(self) -> dict[str, str]:
        return {each["uid"]: each["rule"] for each in self.table("drops")}

    def line(self, start: str) -> str:
        return next(line for line in self.said if line.startswith(start))


Change = Callable[[Image.Image], bytes]
CHANGES: dict[str, tuple[Change, str]] = {
    "encoded again": (lambda i: encoded(i, "JPEG", quality=35), ""),
    "smaller": (lambda i: encoded(i.resize((101, 101))), "resized"),
    "cropped": (lambda i: encoded(i.crop((14, 6, 180, 172))), "crop"),
    "mirrored": (lambda i: encoded(ImageOps.mirror(i)), "flipped left-right"),
    "turned": (lambda i: encoded(i.transpose(Image.Transpose.ROTATE_90)), "rotated"),
    "inverted": (lambda i: encoded(ImageOps.invert(i)), "inverted"),
    "in a frame": (lambda i: encoded(ImageOps.expand(i, (30, 10, 4, 22), 255)), ""),
    "coloured": (lambda i: encoded(ImageOps.colorize(i, "black", "white", mid="gray").convert("RGB")), ""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_benchmarks_picture_is_found_however_it_was_changed(tmp_path: Path, name: str) -> None:
    change, said = CHANGES[name]
    built = Built(tmp_path, world(tmp_path, {"a.jpg": change(drawn()), **SECOND}))
    assert built.drops() == {"rad/train/1": "same_image"}
    [leak] = [each for each in built.table("leaks") if each["action"] == "drop"]
    assert (leak["uid"], leak["benchmark_uid"]) == ("rad/train/1", "held/test/7")
    assert leak["image"] != leak["benchmark_image"]
    assert said in leak["evidence"]


def test_a_turn_is_told_from_the_benchmarks_picture(tmp_path: Path) -> None:
    """Pillow turns counter-clockwise: the source's picture is the benchmark's, turned 270 degrees clockwise."""
    left = world(tmp_path, {"a.png": encoded(drawn().transpose(Image.Transpose.ROTATE_90)), **SECOND})
    [leak] = Built(tmp_path, left).table("leaks")
    assert "rotated 270" in leak["evidence"], leak["evidence"]
    (tmp_path / "r").mkdir()
    right = world(tmp_path / "r", {"a.png": encoded(drawn().transpose(Image.Transpose.ROTATE_270)), **SECOND})
    [leak] = Built(tmp_path / "r", right).table("leaks")
    assert "rotated 90" in leak["evidence"], leak["evidence"]


def test_pictures_that_only_look_alike_are_named_and_stay(tmp_path: Path) -> None:
    pictures = {path.name: path.read_bytes() for path in sorted(DRAWN.glob("synpic2*.jpg")) if path.name != HELD}
    built = Built(tmp_path, world(tmp_path, pictures))
    assert built.drops() == {}
    looked_at = built.table("lookalikes")
    assert looked_at
    assert {(each["verdict"], bool(each["reason"])) for each in looked_at} == {("refused", True)}
    assert max(each["score"] for each in looked_at) < 0.7
    counted = built.lock["compared"]["pictures"]
    seen = len(looked_at)
    assert counted == {"examined": seen, "confirmed": 0, "refused": seen, "left_out": 0, "crowds": 0}


def test_another_image_score_looks_at_nothing_again(tmp_path: Path) -> None:
    parts = world(tmp_path, {"a.png": encoded(drawn().resize((101, 101))), **SECOND})
    first = Built(tmp_path, parts)
    assert first.drops() == {"rad/train/1": "same_image"}
    strict = Built(tmp_path, parts, decontaminate={"image_score": 0.9999})
    assert strict.drops() == {}
    for line in strict.said:
        if line.startswith(("ingest", "texts", "images", "pairs")):
            assert line.endswith("cached"), line
    # The pair stays on record whatever the score asked for.
    [pair] = [each for each in strict.table("lookalikes") if each["verdict"] == "confirmed"]
    assert pair["score"] < 0.9999


def test_another_source_compares_only_its_pictures(tmp_path: Path) -> None:
    sources, benchmarks = world(tmp_path, {"a.png": encoded(drawn().resize((101, 101))), **SECOND})
    first = Built(tmp_path, (sources, benchmarks))
    (tmp_path / "more").mkdir()
    more, _ = world(tmp_path / "more", {"c.png": encoded(ImageOps.invert(drawn()))})
    built = Built(tmp_path, ({**sources, "more": more["rad"]}, benchmarks))
    assert built.drops() == {"rad/train/1": "same_image", "more/train/1": "near_duplicate"}
    assert {each["digest_a"] for each in first.table("lookalikes")} <= {
        each["digest_a"] for each in built.table("lookalikes")
    }
    # What the first build compared was not looked at again.
    facts = [json.loads(path.read_text()) for path in (tmp_path / "work").rglob("pictures-*/pairs/*/done.json")]
    assert sum(fact["new"] for fact in facts) == len(built.table("lookalikes"))


def test_small_copies_of_the_pictures_of_leaks(tmp_path: Path) -> None:
    parts = world(tmp_path, {"a.png": encoded(drawn().resize((640, 640))), **SECOND})
    built = Built(tmp_path, parts)
    [leak] = built.table("leaks")
    copies = {each["digest"]: each for each in built.table("evidence")}
    assert set(copies) == {leak["image"], leak["benchmark_image"]}
    ours = Image.open(io.BytesIO(copies[leak["image"]]["jpeg"]))
    assert max(ours.size) < 640
    assert (copies[leak["image"]]["width"], copies[leak["image"]]["height"]) == (640, 640)
    none = Built(tmp_path, parts, decontaminate={"keep_pictures": 0})
    assert none.table("evidence") == []
    assert none.drops() == built.drops()


def test_one_picture_with_very_many_rows(tmp_path: Path) -> None:
    built = Built(tmp_path, world(tmp_path, {"a.png": encoded(drawn().resize((101, 101))), **SECOND}, more=3000))
    assert set(built.drops().values()) == {"same_image"}
    assert len(built.drops()) == 3001
    assert len(built.table("leaks")) == 3001
    assert len(built.table("lookalikes")) <= 3


def pictures_of(folder: Path, name: str, refs: dict[str, bytes], *, benchmark: bool = False) -> Pictures:
    """Measured pictures of a source or a benchmark."""
    place, out = folder / name, folder / f"{name}-measured" / "images.arrow"
    place.mkdir()
    out.parent.mkdir()
    for ref, data in refs.items():
        (place / ref).write_bytes(data)
    task = ImageTask(Place(place), tuple(sorted(refs)), (), 10**9, 10**9, out)
    measure_images(task)
    digests = pc.unique(read_table(out)["digest"].drop_null()).sort()
    gather_squares(out.parent, digests, [task.squares], (), SQUARE)
    return Pictures(Place(place), out, name, benchmark)


def compared(folder: Path, pictures: list[Pictures]) -> pl.DataFrame:
    return compare_pictures(
        pictures, within_sources=True, limits=Limits(), task_bytes=1 << 20, work=folder / "work", engine=LocalEngine(1),
        say=lambda _: None, quiet=True,
    ).pairs  # fmt: skip


BLANK, BROKEN = encoded(Image.new("L", (64, 64))), b"no picture"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, None), ({}, {}), ({"a": BLANK}, None), ({"a": BLANK}, {"b": BLANK}), ({"a": BLANK}, {"b": BROKEN}),
        ({"a": BROKEN}, {"b": BROKEN}), ({"a": BLANK, **SECOND}, {"b": BLANK}),
    ],
)  # fmt: skip
def test_sources_and_benchmarks_without_a_picture_to_compare(
    tmp_path: Path, ours: dict[str, bytes], theirs: dict[str, bytes] | None
) -> None:
    pictures = [pictures_of(tmp_path, "ours", ours)]
    pictures += [] if theirs is None else [pictures_of(tmp_path, "theirs", theirs, benchmark=True)]
    assert compared(tmp_path, pictures).is_empty()
    (tmp_path / "none").mkdir()
    assert compared(tmp_path / "none", []).is_empty()


def test_one_picture_under_100_000_references(tmp_path: Path) -> None:
    own = pictures_of(tmp_path, "ours", {"a.png": encoded(drawn().resize((101, 101))), **SECOND})
    held = pictures_of(tmp_path, "theirs", {"h.png": encoded(drawn())}, benchmark=True)
    table = read_table(own.images)
    refs = pa.array(["a.png", "b.jpg", *(f"copy-{number}.png" for number in range(100_000))])
    many = table.take(pa.array([0, 1] + [0] * 100_000)).set_column(0, table.schema.field("ref"), refs)
    write_table(own.images, many, many.schema)
    [row] = compared(tmp_path, [own, held]).filter(pl.col("verdict") == "confirmed").to_dicts()
    assert row["score"] > 0.8


def test_a_picture_that_goes_away_while_it_is_compared(tmp_path: Path) -> None:
    parts = world(tmp_path, {"a.png": encoded(drawn().resize((101, 101))), **SECOND})
    Built(tmp_path, parts)
    for folder in (tmp_path / "work").glob("pictures-*"):
        shutil.rmtree(folder)
    (tmp_path / "test" / "images" / "h.jpg").write_bytes(encoded(drawn(THIRD), "JPEG"))
    built = Built(tmp_path, parts)
    assert built.drops() == {}  # it is another picture now, and was measured again


def test_near_duplicates_and_caps_go_by_the_picture(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, held = world(tmp_path, {"a.jpg": encoded(drawn(THIRD), "JPEG", quality=90)}, more=3)
    again, _ = world(tmp_path / "again", {"b.png": encoded(drawn(THIRD).resize((120, 120)))}, more=3)
    both = {"rad": first["rad"], "copy": again["rad"]}
    built = Built(tmp_path, (both, held))
    assert built.drops() == {f"copy/train/{number}": "near_duplicate" for number in (1, 100, 101, 102)}
    capped = Built(
        tmp_path,
        (both, held),
        dedup={"exact": True, "near": False},
        outputs={"sft": {"mixture": {"max_per_image": 5}}},
    )
    assert list(capped.drops().values()) == ["max_per_image"] * 3


def test_a_mirrored_picture_is_no_duplicate(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, held = world(tmp_path, {"a.jpg": encoded(drawn(THIRD), "JPEG", quality=90)})
    again, _ = world(tmp_path / "again", {"b.png": encoded(ImageOps.mirror(drawn(THIRD)))})
    built = Built(tmp_path, ({"rad": first["rad"], "mirror": again["rad"]}, held))
    assert built.drops() == {}
    [pair] = [each for each in built.table("lookalikes") if each["verdict"] == "confirmed"]
    assert "flipped left-right" in pair["transform"]


def test_a_validation_split_holds_no_copy_of_a_training_picture(tmp_path: Path) -> None:
    pictures: dict[str, bytes] = {}
    for path in sorted(DRAWN.glob("synpic2*.jpg")):
        if path.name != HELD:
            pictures[path.name] = path.read_bytes()
            pictures[f"copy-{path.name}"] = encoded(Image.open(path).convert("L").resize((130, 130)))
    built = Built(tmp_path, world(tmp_path, pictures), dedup={"exact": True}, outputs={"sft": {"validation": 0.3}})
    split = {each["uid"]: each["sft_split"] for each in built.table("samples")}
    names = list(pictures)
    pairs = [(split[f"rad/train/{at + 1}"], split[f"rad/train/{at + 2}"]) for at in range(0, len(names), 2)]
    assert all(one == other for one, other in pairs), pairs
    assert {one for one, _ in pairs} == {"train", "validation"}


@pytest.mark.parametrize("processes", [2])
def test_processes_change_no_pair(tmp_path: Path, processes: int) -> None:
    pictures = {path.name: encoded(Image.open(path).convert("L").resize((140, 140))) for path in DRAWN.glob("synpic2*")}
    one = Built(tmp_path, world(tmp_path, pictures))
    (tmp_path / "two").mkdir()
    two = Built(tmp_path / "two", world(tmp_path / "two", pictures), processes)
    for name in ("lookalikes", "leaks", "drops", "evidence"):
        assert (one.path / f"{name}.parquet").read_bytes() == (two.path / f"{name}.parquet").read_bytes(), name


# The demo


def test_every_planted_leak_of_the_demo_is_kept_out(demo_build: Path) -> None:
    """Those that need another source than the demo's, or are not sure to be found, are counted apart."""
    drops = {each["uid"]: each for each in pl.read_parquet(demo_build / "drops.parquet").to_dicts()}
    places, seen, outside, unsure = place_of_rows(demo_build), [], 0, 0
    for plant in json.loads((PROJECT / "sample_data" / "planted.json").read_text()):
        if not plant["kind"].startswith("leak_"):
            continue
        uid = planted_uid(plant, places)
        outside += uid is None
        unsure += "not sure" in plant["expect"]
        if uid is not None and "not sure" not in plant["expect"]:
            seen.append((plant["where"], plant["kind"].removeprefix("leak_"), drops.get(uid, {}).get("rule")))
    assert [each for each in seen if each[1] != each[2]] == []
    assert (len(seen), outside, unsure) == (16, 5, 4)


def test_lookalikes_of_the_demo_are_its_planted_copies(demo_build: Path) -> None:
    pairs = pl.read_parquet(demo_build / "lookalikes.parquet")
    assert pairs.filter(pl.col("verdict") == "confirmed")["transform"].str.head(8).sort().to_list() == [
        "crop 0.7", "inverted", "resized", "resized", "resized",
    ]  # fmt: skip
    assert float(pairs.filter(pl.col("verdict") != "confirmed")["score"].max() or 0) < 0.7  # type: ignore[arg-type]
