"""What may point at a person is found, shown masked, reported or quarantined; nothing is reworded, nothing silent."""

from __future__ import annotations

import io
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from conftest import Run
from drawn_pictures import LOOKS, drawn
from PIL import Image, PngImagePlugin
from planted_phi import CLEAN, HEADERS, burned_in, chinese_id, planted_texts, with_header

from infimed_data import stats
from infimed_data.errors import ManifestError
from infimed_data.images.pixels import decode
from infimed_data.manifest import Phi, load_manifest
from infimed_data.phi.findings import masked
from infimed_data.phi.headers import find_in_headers
from infimed_data.phi.pictures import find_in_pixels
from infimed_data.phi.reading import ReadLine, judge_lines, missing_reader, open_reader
from infimed_data.phi.texts import RULES, find_in_text, find_in_texts
from infimed_data.pipeline import build as run_build
from infimed_data.plan import BuildOptions
from infimed_data.schema import PHI, PHI_KINDS, Reject

PIXELS = 10_000_000


@pytest.mark.parametrize(
    ("text", "kind", "confidence", "snippet"),
    [
        ("Patient name: Maria Lopez, 45", "name", "high", "Patient name: xxxxx xxxxx"),
        ("患者姓名：王秀英，女", "name", "high", "姓名：xxx"),
        ("Study of LOPEZ^MARIA", "name", "medium", "xxxxx^xxxxx"),
        ("Mr. James Novak coughs.", "name", "medium", "Mr. xxxxx xxxxx"),
        ("Mrs. Novak coughs.", "name", "low", "Mrs. xxxxx"),
        ("My name is Maria Lopez.", "name", "medium", "My name is xxxxx xxxxx"),
        ("DOB: 3/12/1956", "birth_date", "high", "DOB: #/##/####"),
        ("患者生于1956年3月12日", "birth_date", "high", "生于####x#x##x"),
        ("MRN: A-00471193", "record_number", "high", "MRN: x-########"),
        ("住院号：0047119", "record_number", "high", "住院号：#######"),
        ("SSN 219-09-9999", "national_id", "high", "###-##-####"),
        ("reach her at (617) 555-1234", "phone", "medium", "(###) ###-####"),
        ("手机：13812345678", "phone", "high", "手机：###########"),
        ("wide digits: 电话：１３８１２３４５６７８", "phone", "high", "电话：###########"),
        ("write to m.lopez@stmary.org", "email", "high", "x.xxxxx@xxxxxx.xxx"),
        ("lives at 12 Oak Street", "address", "medium", "## xxx xxxxxx"),
        ("住址：南京市玄武区中山路12号", "address", "high", "住址：xxxxxxxxx##x"),
        ("She was admitted on March 12, 2019.", "date", "medium", "xxxxx ##, ####"),
        ("The guideline of 2019-03-12 says so.", "date", "low", "####-##-##"),
        ("A 92-year-old woman", "age_over_89", "high", "##"),
        ("患者女，95岁", "age_over_89", "high", "##"),
    ],
)
def test_each_kind_is_found_and_shown_masked(text: str, kind: str, confidence: str, snippet: str) -> None:
    found = [(f.kind, f.confidence, f.snippet) for f in find_in_text(text)]
    assert (kind, confidence, snippet) in found


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_an_identifier_is_none(text: str) -> None:
    assert find_in_text(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Patient name: John Doe",
        "Patient name: not provided",
        "姓名：张某某，男",
        "SSN format 666-12-3456 or 000-12-3456 or 912-12-3456",
        "number " + chinese_id(random.Random(1))[:-1] + "?",
        "DOB 31/31/1956",
        "over 90 years old, aged 90 to 99 years, 90 years or older, 95%",
        "MRN: 12",
    ],
)
def test_placeholders_and_impossible_numbers_are_none(text: str) -> None:
    assert [f for f in find_in_text(text) if f.confidence != "low"] == []


def test_a_wrong_check_digit_is_no_identity_number() -> None:
    number = chinese_id(random.Random(5))
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    assert [f.kind for f in find_in_text(f"身份证{number}，")] == ["national_id"]
    assert [f.kind for f in find_in_text(f"身份证{wrong}，")] == []


def test_an_address_that_is_reserved_for_examples_is_little_sure() -> None:
    assert [f.confidence for f in find_in_text("mail me@example.com")] == ["low"]


def test_every_kind_of_text_has_a_rule_and_every_rule_masks_a_value() -> None:
    assert {rule.kind for rule in RULES.values()} == {*PHI_KINDS} - {"lettering"}
    assert all("value" in rule.pattern.groupindex for rule in RULES.values())


def test_what_is_planted_is_found_where_it_stands_and_no_snippet_says_it() -> None:
    planted = planted_texts(4, seed=3)
    found = dict(find_in_texts(pl.Series([p.text for p in planted])))
    hits = 0
    for at, item in enumerate(planted):
        for f in found.get(at, []):
            assert f.start is not None and f.length is not None
            said = item.text[f.start : f.start + f.length]
            if f.kind == item.kind and (said in item.value or item.value in said):
                hits += 1
                letters = [part for part in said.replace("^", " ").split() if len(part) > 2 and part.isalnum()]
                assert not [part for part in letters if part in f.snippet], f.snippet
    assert hits >= 0.85 * len(planted)


def test_the_hint_of_a_rule_never_hides_a_match() -> None:
    texts = [p.text for p in planted_texts(3, seed=9)] + list(CLEAN)
    column = pl.Series(texts)
    for name, rule in RULES.items():
        fits = column.str.contains(rule.hint).to_list()
        missed = [
            text
            for text, fit in zip(texts, fits, strict=True)
            if not fit and any(rule.judge(match) for match in rule.pattern.finditer(text))
        ]
        assert not missed, (name, missed[0])


def test_hostile_texts_take_no_long_time() -> None:
    size = 60_000
    start = time.process_time()
    for piece in (
        "1",
        "A a ",
        "Aa ",
        "a@",
        "(",
        "1-",
        "1 ",
        "+1 ",
        "Patient name ",
        "MRN ",
        "王",
        "a.b",
        "12/",
        "1.",
        "A^",
    ):
        find_in_text((piece * size)[:size])
    assert time.process_time() - start < 8


def test_masking_keeps_the_form() -> None:
    assert masked("MRN: A12-3", 5, 10) == "MRN: x##-#"
    assert len(masked("x" * 500, 0, 500)) == 80


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_image_files_are_read(name: str) -> None:
    found = find_in_headers(with_header(name, Image.new("L", (64, 48), 90)), max_pixels=PIXELS)
    assert HEADERS[name][0] in {f.kind for f in found}
    assert not any("Lopez" in f.snippet or "LOPEZ" in f.snippet or "00471193" in f.snippet for f in found)
    assert all(f.field for f in found)


def test_clean_damaged_and_foreign_headers() -> None:
    assert [f for look in LOOKS for f in find_in_headers(drawn(look, 1), max_pixels=PIXELS)] == []
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("PatientName", "anonymized")
    info.add(b"zTXt", b"Comment\0\0not deflated")
    Image.new("L", (8, 8)).save(out, "PNG", pnginfo=info)
    assert find_in_headers(out.getvalue(), max_pixels=PIXELS) == []
    bomb = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 900_000 + " MRN: 0047119", zip=True)
    Image.new("L", (8, 8)).save(bomb, "PNG", pnginfo=info)
    assert find_in_headers(bomb.getvalue(), max_pixels=PIXELS) == []  # only its beginning is read
    with pytest.raises(Reject, match="image_unreadable"):
        find_in_headers(b"DICM" * 50, max_pixels=PIXELS)


def _pixels(data: bytes) -> Any:
    return decode(data, max_pixels=PIXELS).pixels


def _slide() -> Image.Image:
    return Image.open(io.BytesIO(drawn("ultrasound", 3)))


@pytest.mark.parametrize(("height", "jpeg"), [(10, None), (14, 75), (26, 90)])
def test_burned_in_text_is_flagged_where_it_stands(height: int, jpeg: int | None) -> None:
    data = burned_in(_slide(), ["LOPEZ, MARIA", "MRN 00471193"], height=height, light=255, corner=1, jpeg=jpeg)
    found = find_in_pixels(_pixels(data), None)
    assert found and {f.kind for f in found} == {"lettering"} and found[0].confidence == "medium"
    assert all(f.field == "pixels" and f.box is not None for f in found)
    left, top, right, bottom = found[0].box or (0, 0, 0, 0)
    assert left > 300 and bottom < 100 and right <= 640 and top >= 0


def test_pictures_without_text_are_not_flagged() -> None:
    looks = [look for look in LOOKS if look != "chart"]  # a chart has text
    flagged = [look for look in looks for seed in range(3) if find_in_pixels(_pixels(drawn(look, seed)), None)]
    assert len(flagged) <= 1
    assert find_in_pixels(np.zeros((4, 900), np.uint8), None) == []
    assert find_in_pixels(np.full((300, 300), 255, np.uint8), None) == []


def test_a_reader_says_what_is_burned_in_or_that_nothing_can_be_read() -> None:
    pixels = _pixels(burned_in(_slide(), ["LOPEZ, MARIA", "ID 00471193"], height=16, light=255, corner=0, jpeg=None))
    box = (0, 0, 640, 60)
    found = find_in_pixels(pixels, lambda _: [ReadLine("LOPEZ, MARIA", box), ReadLine("00471193 12-Mar-2019", box)])
    by_kind = {f.kind: f for f in found}
    assert {"lettering", "name", "record_number", "date"} <= set(by_kind)
    assert by_kind["lettering"].confidence == "high" and by_kind["date"].confidence == "medium"
    assert by_kind["name"].box == box and by_kind["name"].snippet == "xxxxx, xxxxx"
    together = judge_lines(
        [ReadLine("DOB03/12/1956", box), ReadLine("12-Mar-201910:41", box), ReadLine("MRN00471193", box)]
    )
    assert [f.kind for f in together] == ["birth_date", "date", "record_number"]
    unread = find_in_pixels(pixels, lambda _: [])
    assert {(f.kind, f.confidence) for f in unread} == {("lettering", "low")}
    assert judge_lines([ReadLine("CT ABDOMEN 5.0 mm W400 L40", box), ReadLine("kVp 120 mA 300", box)]) == []


def test_a_reader_is_not_asked_about_pictures_without_text() -> None:
    def refuse(pixels: Any) -> list[ReadLine]:
        raise AssertionError("asked")

    assert find_in_pixels(_pixels(drawn("blurred scan", 0)), refuse) == []


def test_the_extra_reads_what_is_burned_in() -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra `ocr` is not installed")
    data = burned_in(_slide(), ["LOPEZ, MARIA", "MRN 00471193"], height=18, light=255, corner=0, jpeg=None)
    found = find_in_pixels(_pixels(data), open_reader())
    assert {"name", "record_number"} <= {f.kind for f in found}
    assert {f.confidence for f in found if f.kind == "lettering"} == {"high"}


# Whole builds


@dataclass(frozen=True)
class World:
    """A folder with a text and a picture source, and what builds of it gave."""

    folder: Path

    def manifest(self, phi: str, name: str = "m") -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(MANIFEST.replace("PHI", phi), "utf-8")
        return path

    def build(self, phi: str, *, processes: int = 1, out: str = "builds") -> tuple[Path, list[str]]:
        said: list[str] = []
        options = BuildOptions(self.folder / out, self.folder / "work", processes, None, True)
        return run_build(self.manifest(phi), options, said.append), said


MANIFEST = """
name: ward
root: data
PHI
sources:
  notes: {adapter: chat, location: notes.jsonl, category: medical_text, license: CC0-1.0}
  films: {adapter: vqa_rad, location: films, category: medical_vqa, license: CC0-1.0}
benchmarks:
  exam: {adapter: vqa_rad, location: films, split: test}
filters: {max_question_chars: 300}
dedup: {near: false}
outputs:
  sft: {}
"""
SECRETS = ("Lopez", "00471193", "(617) 555-1234", "m.lopez@stmary.org", "王秀英")


def _talk(number: int, asked: str, replied: str = "Rest and fluids.") -> dict[str, Any]:
    said = [{"role": "user", "content": asked}, {"role": "assistant", "content": replied}]
    return {"id": f"n{number}", "messages": said}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    ward = tmp_path_factory.mktemp("ward")
    folder = ward / "data"  # apart from the builds, whose cards have pictures
    folder.mkdir()
    rows = [
        _talk(1, "What helps against a cough?"),
        _talk(2, "Patient name: Maria Lopez, MRN: 00471193. What helps?"),
        _talk(3, "What helps my mother?", "Call (617) 555-1234 or write to m.lopez@stmary.org."),
        _talk(4, "患者姓名：王秀英，咳嗽三天。"),
        _talk(5, "A 93-year-old man coughs."),
        _talk(6, "Patient name: Maria Lopez. " + "What helps? " * 60),
        _talk(7, "Mrs. Novak coughs."),
        {"id": "n8", "messages": [{"role": "user", "content": "Patient name: Maria Lopez. Cut off"}]},
        _talk(9, "What helps against a cold?"),
    ]
    (folder / "notes.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    images = folder / "films" / "images"
    images.mkdir(parents=True)
    plain = _slide()
    (images / "plain.png").write_bytes(drawn("ultrasound", 3))
    (images / "header.png").write_bytes(with_header("png tEXt PatientName", plain))  # the same pixels
    (images / "lettered.png").write_bytes(
        burned_in(_slide(), ["LOPEZ, MARIA", "MRN 00471193"], height=14, light=255, corner=0, jpeg=None)
    )
    films = [
        {"qid": number, "image_name": name, "question": question, "answer": "yes", "answer_type": "CLOSED"}
        for number, (name, question) in enumerate(
            [
                ("plain.png", "Is the bladder full?"),
                ("header.png", "Is a cyst seen?"),
                ("lettered.png", "Is it clear?"),
            ],
            1,
        )
    ]
    (folder / "films" / "trainset.json").write_text(json.dumps(films), "utf-8")
    (images / "exam.png").write_bytes(drawn("slide", 1))
    test = {**films[0], "qid": 9, "image_name": "exam.png", "question": "Which stain is this?", "answer": "H and E"}
    (folder / "films" / "testset.json").write_text(json.dumps([test]), "utf-8")
    return World(ward)


@pytest.fixture(scope="module")
def reported(world: World) -> Path:
    return world.build("phi: report")[0]


@pytest.fixture(scope="module")
def quarantined(world: World, reported: Path) -> Path:
    return world.build("phi: quarantine")[0]


def _everything(build: Path) -> str:
    """Every text and every byte of every table of a build."""
    parts = []
    for path in sorted(build.rglob("*.parquet")):
        parts += [str(column.to_list()) for column in pl.read_parquet(path).iter_columns()]
    return "\n".join([*parts, *(p.read_text("utf-8") for p in (build / "README.md", build / "lock.json"))])


def test_a_report_keeps_every_row_and_names_what_it_found(reported: Path) -> None:
    phi = pl.read_parquet(reported / "phi.parquet")
    assert phi.columns == PHI.names and set(phi["action"]) == {"report"}
    texts = {(r["uid"], r["field"], r["kind"]) for r in phi.filter(pl.col("uid").is_not_null()).to_dicts()}
    assert {
        ("notes/train/n2", "question", "name"),
        ("notes/train/n2", "question", "record_number"),
        ("notes/train/n3", "answer", "phone"),
        ("notes/train/n3", "answer", "email"),
        ("notes/train/n5", "question", "age_over_89"),
    } <= texts
    pictures = phi.filter(pl.col("image").is_not_null())
    assert {"png:PatientName", "pixels"} == set(pictures["field"]) and set(pictures["rows"]) == {1}
    drops = pl.read_parquet(reported / "drops.parquet")
    assert "phi" not in set(drops["stage"])
    kept = set(pl.read_parquet(reported / "samples.parquet")["uid"])
    assert {"notes/train/n2", "notes/train/n3"} <= kept


def test_no_snippet_of_the_table_says_who_it_is(reported: Path) -> None:
    said = "\n".join(pl.read_parquet(reported / "phi.parquet")["snippet"].to_list())
    assert said and not [secret for secret in SECRETS if secret in said]


def test_quarantine_takes_rows_out_whole_and_the_ledger_adds_up(quarantined: Path) -> None:
    drops = {row["uid"]: row for row in pl.read_parquet(quarantined / "drops.parquet").to_dicts()}
    gone = {uid for uid, row in drops.items() if row["stage"] == "phi"}
    numbers = ("2", "3", "4", "6")
    assert gone == {*(f"notes/train/n{number}" for number in numbers), "films/train/2"}
    row = drops["notes/train/n2"]
    assert row["rule"] == "name" and row["limit"] == "no name of medium confidence or more"
    assert row["value"] == "question: Patient name: xxxxx xxxxx, and 1 more"
    assert drops["films/train/2"]["value"] == "png:PatientName: PatientName: xxxxx^xxxxx"
    lock = orjson.loads((quarantined / "lock.json").read_bytes())
    for source in lock["sources"]:
        assert source["rows_read"] == source["rejected"] + source["dropped"] + source["kept"]
    kept = set(pl.read_parquet(quarantined / "samples.parquet")["uid"])
    assert {"notes/train/n1", "notes/train/n5", "notes/train/n7", "films/train/1", "films/train/3"} <= kept
    assert kept.isdisjoint(gone) and len(kept) + len(drops) == sum(s["rows_read"] for s in lock["sources"])


def test_a_quarantined_identifier_is_nowhere_in_the_build(quarantined: Path, reported: Path) -> None:
    everything = _everything(quarantined)
    for secret in SECRETS:  # nor in the drop of a row that was rejected when it was read
        assert secret not in everything.replace("LOPEZ", ""), secret
    assert "Lopez" in _everything(reported)  # the search above can fail
    rejected = pl.read_parquet(quarantined / "drops.parquet").filter(pl.col("stage") == "ingest").to_dicts()
    assert [row["question"] for row in rejected] == [None]
    assert b"PatientName" not in b"".join(p.read_bytes() for p in (quarantined / "sft").rglob("*.parquet"))


def test_a_file_is_judged_by_its_own_headers_not_by_another_with_its_pixels(quarantined: Path) -> None:
    kept = pl.read_parquet(quarantined / "samples.parquet").filter(pl.col("source") == "films")
    drops = pl.read_parquet(quarantined / "drops.parquet").filter(pl.col("uid") == "films/train/2")
    assert kept.filter(pl.col("uid") == "films/train/1")["images"].to_list() == drops["images"].to_list()


def test_lock_card_and_sql_count_what_the_table_has(quarantined: Path, run: Run) -> None:
    lock = orjson.loads((quarantined / "lock.json").read_bytes())
    table = pl.read_parquet(quarantined / "phi.parquet")
    assert sum(source["findings"] for source in lock["phi"].values()) == len(table)
    assert lock["phi"]["notes/train"]["quarantined"] == 4 and lock["phi"]["films/train"]["images"] == 3
    assert lock["phi"]["notes/train"]["rows_with"]["age_over_89"] == 1
    assert lock["drops"]["phi"] == {"name": 4, "phone": 1}
    card = (quarantined / "README.md").read_text("utf-8")
    assert "## Protected health information" in card and "| notes/train | 9 | 0 |" in card
    done = run("query", quarantined, "SELECT kind, count(*) AS n FROM phi GROUP BY ALL", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert sum(row["n"] for row in json.loads(done.stdout)) == len(table)
    story = stats.why(stats.open_build(quarantined), "notes/train/n2")
    assert "dropped at phi by name" in story and "Lopez" not in story


def test_other_decisions_search_nothing_again(world: World, quarantined: Path) -> None:
    marks = sorted((world.folder / "work" / "stages").glob("phi-*/*/*/done.json"))
    before = [(path, path.stat().st_mtime_ns) for path in marks]
    assert len(before) == 4  # texts and pictures of two sources, searched once for both builds
    build, said = world.build("phi: {action: quarantine, quarantine: [age_over_89, lettering]}")
    assert [line.endswith("cached") for line in said if line.startswith("phi ")] == [True, True]
    assert [(path, path.stat().st_mtime_ns) for path in marks] == before
    drops = pl.read_parquet(build / "drops.parquet").filter(pl.col("stage") == "phi")
    assert dict(drops.select("uid", "rule").iter_rows()) == {
        "notes/train/n5": "age_over_89",
        "films/train/3": "lettering",
    }


def test_any_number_of_processes_gives_the_same_bytes(world: World, quarantined: Path) -> None:
    again, _ = world.build("phi: quarantine", processes=2, out="again")
    assert again.name == quarantined.name
    for name in ("phi.parquet", "drops.parquet", "samples.parquet"):
        assert (again / name).read_bytes() == (quarantined / name).read_bytes()


def test_a_lock_builds_the_same_again(world: World, quarantined: Path) -> None:
    options = BuildOptions(world.folder / "again", world.folder / "work", 1, world.folder / "data", True)
    assert run_build(quarantined / "lock.json", options, lambda line: None).name == quarantined.name


def test_off_is_the_default_changes_no_digest_and_is_said(world: World, tmp_path: Path) -> None:
    without = load_manifest(world.manifest("", "none"))[0]
    assert without.phi == Phi(action="off") == load_manifest(world.manifest("phi: off", "off"))[0].phi
    assert "phi" not in without.determining()  # as it was before there was such a key
    assert load_manifest(world.manifest("phi: report", "on"))[0].determining()["phi"]["action"] == "report"
    build, said = world.build("phi: off")
    assert not (build / "phi.parquet").exists() and not [line for line in said if line.startswith("phi ")]
    assert "## Protected health information\n\nNot looked for." in (build / "README.md").read_text("utf-8")


def test_pictures_can_be_left_out(world: World) -> None:
    build, _ = world.build("phi: {action: report, pictures: false}")
    assert pl.read_parquet(build / "phi.parquet")["image"].null_count() == len(pl.read_parquet(build / "phi.parquet"))
    assert orjson.loads((build / "lock.json").read_bytes())["phi"]["films/train"]["images"] == 0


@pytest.mark.parametrize(
    ("phi", "line"),
    [
        ("phi: quarentine", "phi.action: 'quarentine'; allowed: off, report, quarantine; did you mean 'quarantine'?"),
        ("phi: {ocr: true}", "phi.action: missing; it has no default"),
        ("phi: {action: report, quarantine: [nam]}", "'nam'; allowed: name, birth_date"),
        ("phi: {action: quarantine, quarantine: []}", "phi.quarantine"),
        ("phi: 1", "phi: 1; allowed: a mapping"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_place(world: World, phi: str, line: str) -> None:
    with pytest.raises(ManifestError) as error:
        load_manifest(world.manifest(phi, "wrong"))
    assert len(error.value.problems) == 1 and line in error.value.problems[0]
    assert error.value.problems[0].startswith(f"{world.folder / 'wrong.yaml'}:4: ")


def test_reading_without_the_extra_is_refused_before_anything_runs(world: World) -> None:
    if not missing_reader(""):
        pytest.skip("the extra `ocr` is installed")
    with pytest.raises(ManifestError, match=r"m\.yaml:4: phi\.ocr: needs the extra `ocr`: pip install"):
        world.build("phi: {action: report, ocr: true}")
