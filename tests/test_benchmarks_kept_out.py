"""A build keeps benchmark rows out, says which and why, and never takes a broken benchmark for a clean one."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import PROJECT, Run
from PIL import Image, ImageDraw

from infimed_data.errors import InfimedError, ManifestError
from infimed_data.pipeline import build as run_build
from infimed_data.plan import BuildOptions

Row = dict[str, Any]

SAMPLES = PROJECT / "sample_data"


def picture(seed: int, *, kind: str = "PNG", size: tuple[int, int] = (96, 96)) -> bytes:
    """An encoded drawing, another one for each seed."""
    image = Image.new("L", size, 12)
    draw = ImageDraw.Draw(image)
    for at in range(14):
        x, y, r = (seed * 37 + at * 53) % 90, (seed * 71 + at * 29) % 90, 4 + (seed * 13 + at * 17) % 22
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(40 + seed * 31 + at * 47) % 256)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def vqa(folder: Path, name: str, rows: list[Row], images: dict[str, bytes]) -> Row:
    """Writes one split file of VQA-RAD with images; returns its part of a manifest."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows))
    for image, data in images.items():
        (folder / "images" / image).write_bytes(data)
    return {"adapter": "vqa_rad", "location": str(folder), "split": "train" if "train" in name else "test"}


def row(number: int, image: str, question: str, **more: Any) -> Row:
    return {"qid": number, "image_name": image, "question": question, "answer": "yes", "answer_type": "CLOSED", **more}


def case(question: str, **more: Any) -> Row:
    """A row of MedQA."""
    options = {letter: f"Remedy {letter} for {len(question)}" for letter in "ABCD"}
    return {"question": question, "options": options, "answer_idx": "B", "answer": options["B"], **more}


def medqa(folder: Path, split: str, rows: list[Row]) -> Row:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return {"adapter": "medqa", "location": str(folder), "split": split}


TRAINED: Row = {"category": "medical_vqa", "license": "CC0-1.0"}
CASES = [
    "A beekeeper faints after a sting and his lips swell within minutes. Which drug should be injected first?",
    "Which enzyme is missing in a newborn with galactosaemia and cataracts of both eyes?",
    "A potter has a hoarse voice and a mass in the left supraclavicular fossa. What is drained there?",
]


def manifest(folder: Path, sources: Row, benchmarks: Row, **more: Any) -> Path:
    path = folder / "m.yaml"
    content = {"name": "t", "sources": sources, "benchmarks": benchmarks, "outputs": {"sft": {}}, **more}
    path.write_text(json.dumps(content, indent=1))
    return path


class Built:
    """A finished build and what was said while it was made."""

    def __init__(self, path: Path, processes: int = 1) -> None:
        self.said: list[str] = []
        folder = path.parent
        self.path = run_build(path, BuildOptions(folder / "out", folder / "work", processes), self.said.append)
        self.lock = json.loads((self.path / "lock.json").read_text())

    def table(self, name: str) -> list[Row]:
        listed: list[Row] = pl.read_parquet(self.path / f"{name}.parquet").to_dicts()
        return listed

    def drops(self) -> dict[str, str]:
        return {each["uid"]: each["rule"] for each in self.table("drops")}

    def leaks(self) -> set[tuple[str, str, str]]:
        return {(each["uid"], each["grade"], each["benchmark_uid"]) for each in self.table("leaks")}

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.said if line.startswith("warning")]


@pytest.fixture
def world(tmp_path: Path) -> tuple[Row, Row]:
    """A source and a benchmark that share a picture under other names and encodings, and one question."""
    shared, own = picture(1), picture(2)
    source = vqa(
        tmp_path / "train",
        "trainset.json",
        [
            row(1, "a.png", "Is the left hilum enlarged?"),
            row(2, "a.png", "Is there a nodule in the lingula?"),
            row(3, "b.png", "Is there a nodule in the lingula?"),
        ],
        {"a.png": shared, "b.png": own},
    )
    benchmark = vqa(
        tmp_path / "test",
        "testset.json",
        [row(7, "other.bmp", "is the left hilum enlarged"), row(8, "c.png", "Is the stomach full?")],
        {"other.bmp": picture(1, kind="BMP"), "c.png": picture(3)},
    )
    return {"rad": {**source, **TRAINED}}, {"held": benchmark}


def test_rows_that_a_benchmark_has_are_dropped_with_their_twin(tmp_path: Path, world: tuple[Row, Row]) -> None:
    built = Built(manifest(tmp_path, *world))
    assert built.drops() == {"rad/train/1": "same_item", "rad/train/2": "same_image"}
    assert built.leaks() == {
        ("rad/train/1", "same_item", "held/test/7"),
        ("rad/train/1", "same_image", "held/test/7"),
        ("rad/train/2", "same_image", "held/test/7"),
    }
    first = next(each for each in built.table("drops") if each["uid"] == "rad/train/1")
    assert (first["stage"], first["twin"]) == ("decontaminate", "held/test/7")
    assert first["value"] == "the same pixels; the same question"
    [named] = built.table("benchmarks")
    assert (named["uid"], named["benchmark"], named["question"]) == (
        "held/test/7",
        "held",
        "is the left hilum enlarged",
    )
    assert not {"held/test/7", "held/test/8"} & {each["uid"] for each in built.table("origins")}
    [summary] = built.lock["benchmarks"]
    assert (summary["rows"], summary["leaks"]["same_item"], summary["leaks"]["same_image"]) == (2, 1, 2)
    assert sum(source["dropped"] for source in built.lock["sources"]) == 2
    assert "| held | 2 | 1 | 2 | 0 |" in (built.path / "README.md").read_text()


def test_actions_are_the_manifests(tmp_path: Path, world: tuple[Row, Row]) -> None:
    built = Built(manifest(tmp_path, *world, decontaminate={"same_item": "report", "same_image": "report"}))
    assert built.drops() == {}
    assert {each["action"] for each in built.table("leaks")} == {"report"}
    off = Built(manifest(tmp_path, *world, decontaminate={"same_item": "off", "same_image": "off"}))
    assert off.drops() == {}
    assert off.leaks() == set()
    assert not [line for line in off.said if line.startswith(("ingest", "texts", "images")) and "cached" not in line]
    assert [line for line in off.said if line.startswith("match")] == ["match   rad/train: 3 rows, cached"]


def test_another_source_costs_only_that_source(tmp_path: Path, world: tuple[Row, Row]) -> None:
    Built(manifest(tmp_path, *world))
    more = medqa(tmp_path / "medqa", "train", [case(text) for text in CASES])
    sources = {**world[0], "qa": {**more, "category": "medical_text", "license": "MIT"}}
    built = Built(manifest(tmp_path, sources, world[1]))
    assert [line for line in built.said if line.startswith("match")] == [
        "match   rad/train: 3 rows, cached",
        "match   qa/train: 3 rows",
    ]


def test_text_only_rows_and_conversations(tmp_path: Path) -> None:
    source = medqa(tmp_path / "train", "train", [case(CASES[0]), case(CASES[1])])
    chat = tmp_path / "chat"
    chat.mkdir()
    said = [{"role": "user", "content": f"My teacher asked me: {CASES[2]} I do not know."}]
    lines = [
        {"messages": [*said, {"role": "assistant", "content": "The stomach."}, {"role": "user", "content": "Thanks."},
                      {"role": "assistant", "content": "You are welcome."}]},
        {"messages": [{"role": "user", "content": "Name three fruits."}, {"role": "assistant", "content": "Three."}]},
    ]  # fmt: skip
    (chat / "chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    benchmark = medqa(tmp_path / "test", "test", [case(CASES[1]), case(CASES[2])])
    text = {"category": "medical_text", "license": "MIT"}
    sources = {"qa": {**source, **text}, "chat": {"adapter": "chat", "location": str(chat), **text}}
    built = Built(manifest(tmp_path, sources, {"held": benchmark}))
    assert sorted(built.drops().values()) == ["near_question", "same_question"]
    assert {grade for _, grade, _ in built.leaks()} == {"near_question", "same_question"}


# Broken benchmarks


def fails(path: Path) -> str:
    with pytest.raises(InfimedError) as caught:
        Built(path)
    assert "\n" not in str(caught.value)
    assert not list((path.parent / "out").rglob("lock.json"))
    return str(caught.value)


def test_a_benchmark_that_is_missing_or_empty_stops_the_build(tmp_path: Path, world: tuple[Row, Row]) -> None:
    sources, benchmarks = world
    gone = {"held": {**benchmarks["held"], "location": str(tmp_path / "tset")}}
    assert "benchmarks.held: " in fails(manifest(tmp_path, sources, gone))
    assert "did you mean 'test'?" in fails(manifest(tmp_path, sources, gone))
    split = {"held": {**benchmarks["held"], "split": "tset"}}
    assert "benchmarks.held.split: 'tset'; allowed: train, test" in fails(manifest(tmp_path, sources, split))
    (tmp_path / "test" / "testset.json").write_text("[]")
    assert "has no rows for split 'test'" in fails(manifest(tmp_path, sources, benchmarks))


def test_a_benchmark_with_nothing_to_match_stops_the_build(tmp_path: Path, world: tuple[Row, Row]) -> None:
    broken = medqa(tmp_path / "broken", "test", [{"text": "not a question"}, {"text": "neither"}])
    said = fails(manifest(tmp_path, world[0], {**world[1], "broken": broken}))
    assert "benchmark 'broken': none of its 2 rows has a question, an image or a group to match" in said
    assert "m.yaml:" in said


def test_a_benchmark_and_a_source_of_one_name(tmp_path: Path, world: tuple[Row, Row]) -> None:
    said = fails(manifest(tmp_path, world[0], {"rad": world[1]["held"]}))
    assert "benchmarks.rad: a source has this name too" in said


def test_a_wrong_action_says_what_is_allowed(tmp_path: Path, world: tuple[Row, Row]) -> None:
    said = fails(manifest(tmp_path, *world, decontaminate={"same_item": "dorp"}))
    assert "decontaminate.same_item: 'dorp'; allowed: drop, report, off; did you mean 'drop'?" in said
    said = fails(manifest(tmp_path, *world, decontaminate={"same_itm": "drop"}))
    assert "decontaminate.same_itm: unknown key" in said
    assert "did you mean 'same_item'?" in said
    with pytest.raises(ManifestError) as caught:
        Built(manifest(tmp_path, *world, decontaminate={"near_question": {"text": "drop", "images": "report"}}))
    assert any("near_question" in line and "images" in line for line in str(caught.value).splitlines())


def test_a_benchmarks_unreadable_image_is_reported_and_its_text_still_matched(
    tmp_path: Path, world: tuple[Row, Row]
) -> None:
    question = "Does the barium column stop abruptly at the level of the aortic knuckle in this swallow?"
    rows = [row(20, "broken.png", question), row(21, "gone.png", "Is a thymus seen?"), row(22, "c.png", "Is it day?")]
    benchmark = vqa(tmp_path / "bad", "testset.json", rows, {"broken.png": b"\x89PNG no", "c.png": picture(9)})
    train = vqa(tmp_path / "more", "trainset.json", [row(1, "x.png", question)], {"x.png": picture(8)})
    sources = {**world[0], "more": {**train, **TRAINED}}
    built = Built(manifest(tmp_path, sources, {"bad": benchmark}))
    assert built.drops() == {"more/train/1": "same_question"}
    [warning] = [line for line in built.warnings if "benchmark 'bad'" in line]
    assert "2 of 3 rows are matched without their image, which is missing or unreadable" in warning
    assert "benchmark 'bad': 2 of 3 rows" in (built.path / "README.md").read_text()
    assert built.lock["benchmarks"][0]["without_image"] == 2


def test_rows_that_cannot_be_read_are_matched_by_their_question(tmp_path: Path, world: tuple[Row, Row]) -> None:
    held = case(CASES[0])
    broken = {**case(CASES[1]), "answer_idx": "Z"}
    benchmark = medqa(tmp_path / "held", "test", [held, broken])
    train = medqa(tmp_path / "qa", "train", [case(CASES[1])])
    built = Built(
        manifest(
            tmp_path, {"qa": {**train, "category": "medical_text", "license": "MIT"}, **world[0]}, {"held": benchmark}
        )
    )
    assert list(built.drops().values()) == ["same_question"]
    assert any("1 of 2 rows could not be read and are matched by their question alone" in w for w in built.warnings)


def test_groups_leak_without_any_image(tmp_path: Path, world: tuple[Row, Row]) -> None:
    def slake(number: int, lang: str, image: str) -> Row:
        return {
            "qid": number, "img_name": f"{image}/source.jpg", "question": f"Question {number}?", "answer": "Left",
            "q_lang": lang, "answer_type": "CLOSED", "modality": "CT", "location": "Lung", "content_type": "Position",
        }  # fmt: skip

    folder = tmp_path / "slake"
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps([slake(1, "zh", "xmlab5"), slake(2, "zh", "xmlab6")]))
    (folder / "test.json").write_text(json.dumps([slake(3, "en", "xmlab5")]))
    source = {"adapter": "slake", "location": str(folder), "allow_empty": True, **TRAINED}
    built = Built(
        manifest(
            tmp_path,
            {"slake": source, **world[0]},
            {"held": {"adapter": "slake", "location": str(folder), "options": {"languages": ["en"]}}},
        )
    )
    assert built.leaks() == {("slake/train/1", "same_group", "held/test/3")}
    assert built.drops() == {"slake/train/1": "image_missing", "slake/train/2": "image_missing"}


def test_key_spaces_compare_a_users_own_groups(tmp_path: Path) -> None:
    rows = [case(CASES[0], patient=12), case(CASES[1], patient=13)]
    train = {
        **medqa(tmp_path / "a", "train", rows),
        "category": "medical_text",
        "license": "MIT",
        "group_key": "patient",
    }
    held = {**medqa(tmp_path / "b", "test", [case(CASES[2], patient=12)]), "group_key": "patient"}
    apart = Built(manifest(tmp_path, {"a": train}, {"held": held}))
    assert apart.drops() == {}
    space = {"key_space": "ward-patients"}
    together = Built(manifest(tmp_path, {"a": {**train, **space}}, {"held": {**held, **space}}))
    [(uid, grade)] = together.drops().items()
    assert grade == "same_group"
    assert next(each["evidence"] for each in together.table("leaks") if each["uid"] == uid) == "ward-patients:12"


def test_identical_rows_in_thousands(tmp_path: Path) -> None:
    held = medqa(tmp_path / "held", "test", [case(CASES[0])] * 2000)
    train = {**medqa(tmp_path / "a", "train", [case(CASES[0])] * 3000 + [case(CASES[1])])}
    text = {"category": "medical_text", "license": "MIT"}
    built = Built(manifest(tmp_path, {"a": {**train, **text}}, {"held": held}))
    counted = pl.DataFrame(built.table("drops")).group_by("rule").len().sort("rule").rows()
    assert counted == [("exact_duplicate", 2999), ("same_question", 1)]
    assert len(built.table("leaks")) == 3000
    assert {each["matches"] for each in built.table("leaks")} == {2000}


# Marks


def test_marks_of_a_reviewer_are_obeyed_and_recorded(tmp_path: Path, world: tuple[Row, Row]) -> None:
    plain = Built(manifest(tmp_path, *world))
    pair = plain.table("leaks")[0]["pair"]
    (tmp_path / "review.jsonl").write_text(
        json.dumps({"pair": pair, "verdict": "wrong", "note": "another study"}) + "\n\n"
    )
    path = manifest(tmp_path, *world, decontaminate={"review": "review.jsonl"})
    built = Built(path)
    assert built.path != plain.path
    assert built.drops() == {}
    assert {(each["grade"], each["action"], each["mark"]) for each in built.table("leaks")} == {
        ("same_item", "report", "wrong"),
        ("same_image", "report", "wrong"),
        ("same_template", "report", None),
    }
    assert built.lock["review"] == {pair: False}
    # The lock is enough: the file may go.
    shutil.copy(built.path / "lock.json", tmp_path / "lock.json")
    (tmp_path / "review.jsonl").unlink()
    again = run_build(
        tmp_path / "lock.json", BuildOptions(tmp_path / "out2", tmp_path / "work2", 1, tmp_path), lambda line: None
    )
    assert again.name == built.path.name
    for file in sorted(p.relative_to(built.path) for p in built.path.rglob("*") if p.is_file()):
        assert (again / file).read_bytes() == (built.path / file).read_bytes(), file


@pytest.mark.parametrize(
    "line",
    ["{", '{"pair": "x"}', '{"pair": "x", "verdict": "maybe"}', '["x", "right"]', '{"pair": 3, "verdict": "right"}'],
)
def test_a_review_file_that_cannot_be_read(tmp_path: Path, world: tuple[Row, Row], line: str) -> None:
    (tmp_path / "review.jsonl").write_text('{"pair": "i:0-1", "verdict": "right"}\n' + line + "\n")
    said = fails(manifest(tmp_path, *world, decontaminate={"review": "review.jsonl"}))
    assert "review.jsonl:2: not a mark; allowed: " in said


def test_a_review_file_that_is_not_there(tmp_path: Path, world: tuple[Row, Row]) -> None:
    said = fails(manifest(tmp_path, *world, decontaminate={"review": "reviews.jsonl"}))
    assert "m.yaml:" in said
    assert "decontaminate.review: cannot read" in said


# The same bytes


def test_processes_and_order_of_rows_change_no_table(tmp_path: Path) -> None:
    def made(name: str, change: Callable[[list[Row]], list[Row]], processes: int) -> dict[str, bytes]:
        folder = tmp_path / name
        rows = [row(i, f"{i % 7}.png", f"Is sign {i % 11} of the row of {i % 5} seen?") for i in range(60)]
        images = {f"{i}.png": picture(i) for i in range(9)}
        train = vqa(folder / "train", "trainset.json", change(rows), images)
        test = [row(100 + i, f"{i}.png", f"Is sign {i} of the row of {i % 5} seen?") for i in range(2, 9)]
        held = vqa(folder / "test", "testset.json", change(test), images)
        built = Built(manifest(folder, {"rad": {**train, **TRAINED}}, {"held": held}), processes)
        names = ("samples", "drops", "leaks", "benchmarks", "images")
        return {table: (built.path / f"{table}.parquet").read_bytes() for table in names}

    plain = made("a", lambda rows: rows, 1)
    assert made("b", lambda rows: rows, 2) == plain
    assert made("c", lambda rows: rows[::-1], 1) == plain


def test_the_demo_keeps_its_benchmarks_out(demo_build: Path) -> None:
    leaks = pl.read_parquet(demo_build / "leaks.parquet")
    counted = dict(leaks.group_by("grade").agg(pl.col("uid").n_unique()).iter_rows())
    assert counted["same_image"] >= 29
    assert counted["same_group"] >= 28
    kept = set(pl.read_parquet(demo_build / "samples.parquet")["uid"])
    assert not kept & set(leaks.filter(pl.col("action") == "drop")["uid"])


def test_the_command_names_what_was_kept_out(run: Run, tmp_path: Path, world: tuple[Row, Row]) -> None:
    done = run("build", manifest(tmp_path, *world), "--out", tmp_path / "out", "--work", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert "2 dropped by decontaminate" in done.stderr
    assert "no benchmarks are named" not in done.stderr
    build = done.stdout.strip()
    told = run("why", build, "rad/train/1").stdout
    assert "held/test/7" in told
