"""What decontamination found, as text and as a page: counted, chosen, safe, and marked by hand."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chromium import chromium, find_chromium
from conftest import PROJECT, Run
from hypothesis import given
from hypothesis import strategies as st
from parsed_page import HOSTILE, HOSTILE_KEY, Page, check_no_markup, check_policy
from PIL import Image, ImageDraw

from infimed_data.errors import ManifestError, QueryError, StorageError
from infimed_data.plan import BuildOptions, load_plan
from infimed_data.report import leaks_text, write_leaks_page
from infimed_data.report.page import leaks_page
from infimed_data.report.shared_words import mark_shared, pieces
from infimed_data.report.wording import readable
from infimed_data.schema import BENCHMARKS, DROPS, IMAGES, LEAKS, SAMPLES
from infimed_data.stats import open_build

EVIDENCE = pa.schema([("digest", pa.string()), ("jpeg", pa.binary()), ("width", pa.int32()), ("height", pa.int32())])
OURS, COPY, THEIRS, GONE, ODD = ("a1" * 16, "b2" * 16, "c3" * 16, "d4" * 16, "e5" * 16)


def drawn(angle: int = 0) -> bytes:
    """A picture of our own as JPEG."""
    image = Image.new("L", (96, 64), 20)
    pen = ImageDraw.Draw(image)
    pen.ellipse((10, 8, 50, 56), fill=200)
    pen.rectangle((60, 20, 90, 30), fill=120)
    stream = io.BytesIO()
    image.rotate(angle, expand=True).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def kept(uid: str, question: str, **fields: Any) -> dict[str, Any]:
    source, split, _ = uid.split("/", 2)
    return {"uid": uid, "source": source, "split": split, "question": question, "options": [], "turns": [],
            "images": [], "output": "sft", "sft_split": "train", "sft_position": 0, **fields}  # fmt: skip


def dropped(uid: str, question: str, stage: str, rule: str, **fields: Any) -> dict[str, Any]:
    source, split, _ = uid.split("/", 2)
    return {"uid": uid, "source": source, "split": split, "question": question, "options": [], "images": [],
            "stage": stage, "rule": rule, **fields}  # fmt: skip


def leak(uid: str, grade: str, benchmark_uid: str, pair: str, **fields: Any) -> dict[str, Any]:
    return {"uid": uid, "source": uid.split("/")[0], "split": "train", "benchmark": benchmark_uid.split("/")[0],
            "benchmark_uid": benchmark_uid, "grade": grade, "action": "drop", "score": 1.0, "evidence": "",
            "limit": None, "matches": 1, "pair": pair, **fields}  # fmt: skip


def asked(uid: str, question: str, **fields: Any) -> dict[str, Any]:
    return {"uid": uid, "benchmark": uid.split("/")[0], "split": "test", "question": question, "options": [],
            "images": [], **fields}  # fmt: skip


STEM = "A 54-year-old man has crushing retrosternal pain radiating into the jaw for forty minutes"
SAMPLES_KEPT: list[dict[str, Any]] = [
    kept("rad/train/4", "Which modality is shown in this image?", images=[OURS]),
    kept(
        "chat/train/1",
        "",
        turns=[{"role": "user", "content": f"Explain. {STEM}."}, {"role": "assistant", "content": "No"}],
    ),
    kept("chat/train/2", HOSTILE, options=[HOSTILE, "aorta"]),
]
DROPPED: list[dict[str, Any]] = [
    dropped("rad/train/1", "Where is the opacity?", "decontaminate", "same_image", images=[COPY]),
    dropped("rad/train/2", "Where is the opacity?", "dedup", "exact_duplicate", images=[COPY]),
    dropped("rad/train/3", "Is the heart large?", "decontaminate", "same_item", images=[OURS]),
    dropped("rad/train/5", "Is it broken?", "decontaminate", "same_image", images=[GONE]),
    dropped("chat/train/3", "long " * 300_000 + STEM + " end" * 9000, "decontaminate", "near_question"),
]
BENCHMARK_ROWS: list[dict[str, Any]] = [
    asked("vqa/test/1", "Where is the consolidation?", images=[THEIRS], group="study 7"),
    asked("vqa/test/2", "Is the heart large?", images=[OURS]),
    asked("vqa/test/3", "Is it broken?", images=[ODD]),
    asked("exam/test/1", f"{STEM}. What is the next step?", options=["Aspirin", "Surgery"]),
    asked("exam/test/2", HOSTILE, options=["aorta", HOSTILE], group=HOSTILE),
]
FOUND: list[dict[str, Any]] = [
    *(
        leak(uid, "same_image", "vqa/test/1", "i:b2-c3", score=0.62, limit="score 0.5", image=COPY,
             benchmark_image=THEIRS, evidence="rotated 90, inverted")
        for uid in ("rad/train/1", "rad/train/2")
    ),
    leak("rad/train/3", "same_item", "vqa/test/2", "i:a1-a1", limit="score 0.5", image=OURS, benchmark_image=OURS,
         evidence="the same pixels; the same question", mark="right"),
    leak("rad/train/3", "same_image", "vqa/test/2", "i:a1-a1", limit="score 0.5", image=OURS, benchmark_image=OURS,
         evidence="the same pixels", mark="right"),
    leak("rad/train/5", "same_image", "vqa/test/3", "i:d4-e5", score=0.97, limit="score 0.5", image=GONE,
         benchmark_image=ODD, evidence="resized"),
    leak("rad/train/4", "same_template", "vqa/test/2", "t:template", action="report",
         evidence="the same words, weight 0.0, asked of 9 pictures", limit="weight 6.0"),
    leak("chat/train/1", "near_question", "exam/test/1", "t:near", action="report", score=0.31,
         evidence="31% of the benchmark's question, weight 9.0", limit="30% at this weight"),
    leak("chat/train/3", "near_question", "exam/test/1", "t:long", score=0.9, limit="30% at this weight",
         evidence="90% of the benchmark's question, weight 19.0"),
    leak("chat/train/2", "same_group", "exam/test/2", HOSTILE_KEY, evidence=HOSTILE),
]  # fmt: skip
PICTURES: list[dict[str, Any]] = [
    {"digest": OURS, "jpeg": drawn(), "width": 960, "height": 640},
    {"digest": COPY, "jpeg": drawn(90), "width": 640, "height": 960},
    {"digest": THEIRS, "jpeg": drawn(180), "width": 960, "height": 640},
    {"digest": ODD, "jpeg": b"<svg onload='window.owned = 3'/>", "width": 9, "height": 9},
]
LOCK: dict[str, Any] = {
    "format": 1,
    "name": "demo",
    "build": "3f2a90c1d4e7",
    "sources": [],
    "benchmarks": [
        {"benchmark": "vqa", "rows": 451, "without_image": 3, "images": 203},
        {"benchmark": "exam", "rows": 1273, "without_image": 0, "images": 0},
        {"benchmark": "quiet", "rows": 10, "without_image": 0, "images": 0},
    ],
    "compared": {"pictures": {"examined": 1200, "confirmed": 2, "refused": 1197, "left_out": 1}},
    "review": {"i:a1-a1": True, "t:no longer found": False},
}


def write_build(
    folder: Path,
    *,
    leaks: Sequence[Mapping[str, Any]] | None = FOUND,
    evidence: Sequence[Mapping[str, Any]] | None = PICTURES,
    lock: Mapping[str, Any] = LOCK,
) -> Path:
    """A finished build in `folder`; a table that is None is left out."""
    folder.mkdir(parents=True)
    tables: tuple[tuple[str, Sequence[Mapping[str, Any]] | None, pa.Schema], ...] = (
        ("samples", SAMPLES_KEPT, SAMPLES),
        ("drops", DROPPED, DROPS),
        ("images", [], IMAGES),
        ("leaks", leaks, LEAKS),
        ("benchmarks", None if leaks is None else BENCHMARK_ROWS, BENCHMARKS),
        ("evidence", evidence, EVIDENCE),
    )
    for name, rows, schema in tables:
        if rows is not None:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / f"{name}.parquet")
    (folder / "lock.json").write_text(json.dumps(lock), "utf-8")
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return write_build(tmp_path / "builds/demo/3f2a90c1d4e7")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the build, parsed."""
    folder = write_build(tmp_path_factory.mktemp("builds") / "demo")
    return Page(leaks_page(open_build(folder)).decode("utf-8"))


def section(text: str, title: str) -> list[str]:
    """The lines of a part of the text, each with its runs of white space made one space."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [" ".join(line.split()) for block in blocks if block[0].startswith(title) for line in block]


# The text


def test_text_counts_rows_by_grade_source_and_benchmark(build: Path) -> None:
    text = leaks_text(open_build(build))
    assert text.splitlines()[:2] == [
        "demo 3f2a90c1d4e7",
        "8 rows match a benchmark: 4 dropped as leaks, 1 for another reason, 3 kept",
    ]
    assert section(text, "Rows by grade")[3:] == [
        "same_item rad vqa 1 0 0 1 1.00",
        "same_image rad vqa 4 0 0 3 0.62",
        "same_group chat exam 1 0 1 1 1.00",
        "near_question chat exam 1 1 1 1 0.31",
        "same_template rad vqa 0 1 1 1 1.00",
    ]
    assert section(text, "Benchmarks")[3:] == ["vqa 451 3 3 203 3", "exam 1,273 0 2 0 0", "quiet 10 0 0 0 0"]
    assert text.splitlines()[-2:] == [
        "1,200 pairs of pictures were examined: 2 confirmed, 1,197 refused, 1 left out",
        "7 distinct pairs; marked so far: 1 right, 1 wrong",
    ]


def test_text_is_safe_and_fits_its_width(tmp_path: Path) -> None:
    odd = [
        leak(
            f"{HOSTILE}/train/1".replace("/script", ""),
            HOSTILE,
            "exam/test/1",
            "t:x",
            source=HOSTILE,
            benchmark=HOSTILE,
        )
    ]
    text = leaks_text(open_build(write_build(tmp_path / "b", leaks=odd, lock={"format": 1})), width=80)
    assert all(line.isprintable() and len(line) <= 80 for line in text.splitlines())
    assert "none marked so far" in text


def test_a_build_without_benchmarks_says_what_to_do(tmp_path: Path, run: Run) -> None:
    folder = write_build(tmp_path / "b", leaks=None, lock={**LOCK, "benchmarks": []})
    done = run("leaks", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*nothing was compared.*benchmarks.*\n", done.stderr)
    with pytest.raises(QueryError, match=r"damaged: leaks\.parquet is missing"):
        leaks_text(open_build(write_build(tmp_path / "c", leaks=None)))


def test_the_command_writes_the_page_and_names_it_last(build: Path, tmp_path: Path, run: Run) -> None:
    done = run("leaks", build, "--pairs", 400, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "demo-3f2a90c1d4e7-leaks.html"
    written = (tmp_path / "demo-3f2a90c1d4e7-leaks.html").read_bytes()
    assert done.stdout.splitlines()[:2] == leaks_text(open_build(build)).splitlines()[:2]
    assert written == leaks_page(open_build(build))


def test_the_page_goes_where_it_may(build: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    opened = open_build(build)
    assert write_leaks_page(opened, tmp_path / "pages") == tmp_path / "pages/demo-3f2a90c1d4e7-leaks.html"
    with pytest.raises(QueryError, match="inside the build"):
        write_leaks_page(opened, build / "leaks.parquet")
    with pytest.raises(StorageError, match="no folder"):
        write_leaks_page(opened, tmp_path / "none/page.html")
    with pytest.raises(StorageError, match="disk full while writing /dev/full"):
        write_leaks_page(opened, Path("/dev/full"))
    assert Path("/dev/full").is_char_device()
    lock = {**LOCK, "name": "../..//<b>", "build": "\x1b/.."}
    odd = open_build(write_build(tmp_path / "odd", lock=lock))
    assert write_leaks_page(odd, tmp_path / "pages").parent == tmp_path / "pages"


# What is on the page


def test_pairs_come_most_doubtful_first_and_equal_pixels_last(page: Page) -> None:
    marks = [json.loads(card["data-mark"]) for card in page.all("article")]
    assert [mark["pair"] for mark in marks] == [
        "t:near",
        "i:b2-c3",
        HOSTILE_KEY,
        "t:template",
        "t:long",
        "i:d4-e5",
        "i:a1-a1",
    ]
    assert marks[-1] == {"pair": "i:a1-a1", "grade": "same_item", "uid": "rad/train/3", "benchmark_uid": "vqa/test/2"}
    assert [card["data-earlier"] for card in page.all("article")] == [""] * 6 + ["right"]


def test_fewer_pairs_are_spread_and_said(tmp_path: Path) -> None:
    many = [
        leak(f"{source}/train/{i}", grade, "vqa/test/1", f"{grade} {source} {i:03}", score=0.5 + i / 200,
             limit="score 0.5", evidence="resized", image=f"{i:032}", benchmark_image=ODD)
        for source, count in (("rad", 50), ("chat", 2)) for grade in ("same_image", "same_group") for i in range(count)
    ]  # fmt: skip
    folder = write_build(tmp_path / "b", leaks=many)
    shown = Page(leaks_page(open_build(folder), max_pairs=10).decode())
    pairs = sorted(json.loads(card["data-mark"])["pair"] for card in shown.all("article"))
    assert pairs == sorted(
        [f"same_{kind} rad 00{i}" for kind in ("image", "group") for i in range(3)]
        + [f"same_{kind} chat 00{i}" for kind in ("image", "group") for i in range(2)]
    )
    assert "10 of 104 pairs are on this page" in " ".join(shown.html.split())
    reordered = open_build(write_build(tmp_path / "reordered", leaks=many[::-1]))
    assert leaks_page(reordered, max_pairs=10) == shown.html.encode()


def test_a_pair_shows_both_rows_the_evidence_and_what_became_of_the_row(page: Page) -> None:
    text = page.card("i:b2-c3")
    for part in (
        "Same picture same_image dropped rad ↔ vqa",
        "Training row rad/train/1 copy",
        "Benchmark row vqa/test/1 copy",
        "Where is the opacity ?",
        "Where is the consolidation ?",
        "This row was dropped as a leak (same_image).",
        "Group study 7.",
        "Pictures: rotated 90, inverted.",
        "Score 0.62. Pictures count as the same from score 0.5 on.",
        "2 training rows and 1 benchmark row share this pair: 1 dropped as a leak, 1 dropped as a duplicate",
        "rad/train/2 copy dropped as a duplicate (exact_duplicate)",
        "640 × 960 pixels",
        "as in the training picture: rotated 90, inverted",
    ):
        assert part.replace(" ?", "?") in text
    chat = page.card("t:near")
    assert "only reported" in chat
    assert "This row was kept in sft train." in chat
    assert "A Aspirin" not in chat
    assert "Aspirin Surgery" in chat
    assert "Needed: 30% at this weight." in chat
    assert "below weight 6.0" in page.card("t:template").lower()
    assert "The same pair is also: Same picture." in page.card("i:a1-a1")
    assert "marked" not in chat


def test_filters_name_what_is_on_the_page(page: Page) -> None:
    names = [option["data-name"] for option in page.all("option")]
    assert names == [
        "all grades", "Same picture and question", "Same picture", "Same patient or figure", "Similar question",
        "Template question", "all benchmarks", "exam", "vqa", "all sources", "chat", "rad", "all actions", "dropped",
        "only reported", "all marks", "not marked", "marked", "right", "wrong",
    ]  # fmt: skip


def test_shared_words_are_marked(page: Page) -> None:
    html = page.html[page.html.index('data-mark="{&#34;pair&#34;: &#34;t:near&#34;') :]
    assert html.count(f'<mark class="run">{STEM}</mark>') >= 2
    assert f'Explain. <mark class="run">{STEM}</mark>.' in html


def test_long_texts_are_cut_around_what_is_shared(page: Page) -> None:
    text = page.card("t:long")
    assert "of 1,536,0" in text
    assert len(text) < 6000
    folder_size = len(page.html)
    assert folder_size < 200_000


def test_pictures_are_stored_once_and_missing_ones_are_told(page: Page) -> None:
    style = page.inside["style"][1]
    assert [style.count(base64.b64encode(row["jpeg"]).decode()) for row in PICTURES] == [1, 1, 1, 0]
    assert "svg" not in style
    card = page.card("i:d4-e5")
    assert "This build keeps no copy of this picture." in card
    assert "The build's copy of this picture is no JPEG." in card
    assert "Both rows have this very picture: equal pixels." in page.card("i:a1-a1")
    turned = [box["class"] for box in page.all("div") if "rotated-90 inverted" in box.get("class", "")]
    assert [("turning" in names, "theirs" in names) for names in turned] == [(True, False), (False, True)]


def test_a_build_without_pictures_says_so(tmp_path: Path) -> None:
    shown = Page(leaks_page(open_build(write_build(tmp_path / "b", evidence=None))).decode())
    assert shown.card("i:b2-c3").count("This build keeps no copy of this picture.") == 2
    assert "data:image" not in shown.html


def test_a_page_without_leaks_says_so(tmp_path: Path) -> None:
    folder = open_build(write_build(tmp_path / "b", leaks=[], lock={**LOCK, "review": {}}))
    assert "no row matches a row of its benchmarks" in leaks_text(folder)
    shown = Page(leaks_page(folder).decode())
    assert "No row of the training data matches" in shown.html
    assert not shown.cards
    assert "quiet" in shown.html


def test_rows_of_nulls_and_lost_rows_are_shown(tmp_path: Path) -> None:
    odd = [{"pair": "t:nothing"}, {}, leak("gone/train/1", "new_grade", "gone/test/1", "t:lost", score=float("nan"))]
    folder = open_build(
        write_build(tmp_path / "b", leaks=odd, lock={"format": 1, "benchmarks": [3], "review": [], "compared": 1})
    )
    shown = Page(leaks_page(folder).decode())
    assert "This build has lost the row." in shown.card("t:lost")
    assert "new grade" in shown.card("t:lost")
    assert "t:nothing" in shown.card("t:nothing")
    assert "(none)" in leaks_text(folder)


def test_the_same_build_gives_the_same_bytes(build: Path) -> None:
    assert leaks_page(open_build(build)) == leaks_page(open_build(build))


# Safety


def test_no_data_becomes_markup(page: Page) -> None:
    check_no_markup(page)
    card = page.card("chat/train/2")
    assert '</script><script>window.owned = 1</script></style><img src=x onerror="window.owned = 2">\'"><b>bold' in card
    assert "{{ 7 * 7 }} &lt;" in card
    assert r"\u202egnp.exe \x1b[31m \x00 \x85 \u2028 end" in card


def test_no_data_in_script_and_the_policy_admits_nothing_else(page: Page) -> None:
    check_policy(page, "leaks")


def test_readable_keeps_lines_and_shows_what_could_mislead() -> None:
    assert readable("a\r\nb\tc\n\n\n\n d ") == "a\nb    c\n\n d"
    assert readable("\u202eabc\x00\ud800") == r"\u202eabc\x00\ud800"
    assert readable("می\u200cخواهم") == "می\u200cخواهم"


# Shared words


def shown_marks(ours: str, theirs: str) -> tuple[list[str], list[str]]:
    """What is marked on either side; single words in brackets."""
    sides = mark_shared([ours], [theirs])
    return tuple(  # type: ignore[return-value]
        [text[part.start : part.end] if part.run else f"[{text[part.start : part.end]}]" for part in side[0]]
        for text, side in zip((ours, theirs), sides, strict=True)
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "marked"),
    [
        ("Is there a pleural effusion?", "Does it show pleural effusion", ["pleural effusion"]),
        ("What is the size of it?", "What is the cause of that?", []),
        ("What is the size of the mass?", "Why is the size of the mass large?", ["is the size of the mass"]),
        ("PLEURAL—effusion; or ascites", "ascites, pleural effusion", ["PLEURAL—effusion", "[ascites]"]),
        ("Fever with a cough", "a cough, no fever", ["[Fever]", "[cough]"]),
        ("肺に異常はありますか", "異常はどこにありますか", ["異常は", "ありますか"]),
        ("右肺", "左肺", []),
        ("", "anything", []),
    ],
)
def test_marks_runs_in_any_order_and_words_that_say_something(ours: str, theirs: str, marked: list[str]) -> None:
    assert shown_marks(ours, theirs)[0] == marked


def test_options_are_matched_in_any_order_and_runs_end_with_their_text() -> None:
    ours, theirs = mark_shared(
        ["Choose:", "renal cell carcinoma", "gout"], ["Pick: gout renal", "cell carcinoma of lung"]
    )
    assert [[(part.start, part.end, part.run) for part in side] for side in ours] == [
        [],
        [(0, 5, False), (6, 20, True)],
        [(0, 4, False)],
    ]
    assert [[part.run for part in side] for side in theirs] == [[False, False], [True]]


@given(st.text("ab肺 .x\n", max_size=60), st.text("ab肺 .x\n", max_size=60), st.integers(1, 80))
def test_pieces_are_the_text(ours: str, theirs: str, max_chars: int) -> None:
    for text, side in zip((ours, theirs), mark_shared([ours], [theirs]), strict=True):
        whole, start = pieces(text, side[0], max_chars=len(text))
        assert (start, "".join(piece.text for piece in whole)) == (0, text)
        some, start = pieces(text, side[0], max_chars=max_chars)
        shown = "".join(piece.text for piece in some)
        assert shown == text[start : start + max_chars]
        assert len(shown) == min(max_chars, len(text))


def test_a_cut_text_shows_where_most_is_shared() -> None:
    text = "word " * 2000 + STEM + " other" * 2000
    found, start = pieces(text, mark_shared([text], [STEM])[0][0], max_chars=300)
    assert any(STEM in piece.text and piece.kind == "run" for piece in found)
    assert start < text.index(STEM) < start + 60


# Marks


def marks_of(review: Path) -> dict[str, bool]:
    """What a manifest beside `review` takes from it."""
    manifest = review.with_name("m.yaml")
    manifest.write_text(f"extends: {PROJECT}/manifests/demo.yaml\ndecontaminate: {{review: {review.name}}}\n", "utf-8")
    return load_plan(manifest, BuildOptions(Path(), review.parent / "work", 1, PROJECT / "sample_data")).marks


def test_the_manifest_takes_marks_as_they_are(page: Page, tmp_path: Path) -> None:
    records = [json.loads(card["data-mark"]) for card in page.all("article")]
    lines = [json.dumps({**record, "verdict": "wrong", "build": "3f2a90c1d4e7"}) for record in records]
    review = tmp_path / "review.jsonl"
    review.write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    assert marks_of(review) == {row["pair"]: False for row in FOUND}
    review.write_text(json.dumps({"pair": HOSTILE_KEY, "verdict": "right"}, ensure_ascii=False), "utf-8")
    assert marks_of(review) == {HOSTILE_KEY: True}
    review.write_text('{"pair": "x", "verdict": "right"}\n{"pair": "x"}\n', "utf-8")
    with pytest.raises(ManifestError, match=r"review\.jsonl:2: not a mark"):
        marks_of(review)


@pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")
def test_the_page_in_a_browser(build: Path, tmp_path: Path) -> None:
    file = write_leaks_page(open_build(build), tmp_path / "page.html")
    with chromium(tmp_path) as browser:
        browser.open(file)

        def shown() -> list[str]:
            cards = browser.ask("[...document.querySelectorAll('article:not([hidden])')].map(c => c.dataset.mark)")
            return [json.loads(card)["pair"] for card in cards]

        assert browser.text("#progress") == "1 of 7 marked (and 1 not on this page)"
        assert browser.ask("typeof window.owned") == "undefined"
        browser.press("j")
        browser.press("r")
        assert browser.text("#n1 .effect") == "The next build drops 1 training row for this match."
        browser.press("j")
        assert browser.ask("document.activeElement.id") == "n2"
        assert (
            browser.ask("getComputedStyle(document.querySelector('#n2 .layer.ours')).backgroundImage.slice(0, 16)")
            == 'url("data:image/'
        )
        browser.press("b")
        browser.press("b")
        assert browser.text("#n2 .front") == "benchmark picture"
        assert browser.ask("getComputedStyle(document.querySelector('#n2 .layer.ours')).visibility") == "hidden"
        browser.press("t")
        assert browser.ask("document.querySelector('#n2 .turn').ariaPressed") == "true"
        browser.press("j")
        browser.press("w")
        browser.press("j")
        browser.ask("document.querySelector('#n4 .wrong').click()")
        assert browser.text("#progress") == "4 of 7 marked (and 1 not on this page)"
        browser.press("u")
        assert browser.text("#progress") == "3 of 7 marked (and 1 not on this page)"

        browser.choose("#marked", "none")
        assert len(shown()) == 4
        browser.choose("#marked", "")
        browser.choose("#search", "CRUSHING RETRO")
        assert shown() == ["t:near", "t:long"]
        browser.choose(
            "[data-facet=action]", browser.ask("document.querySelector('[data-facet=action]').options[2].value")
        )
        assert shown() == ["t:near"]
        assert (
            browser.ask("document.querySelector('[data-facet=action]').selectedOptions[0].textContent")
            == "only reported (1)"
        )
        browser.ask("document.querySelector('#clear').click()")
        assert len(shown()) == 7

        browser.open(file)
        assert browser.text("#progress") == "3 of 7 marked (and 1 not on this page)"
        assert browser.text("#n1 .state") == "marked here"
        assert browser.text("#n7 .state") == "marked in this build"
        browser.ask("document.querySelector('#save').click()")
        review = tmp_path / "review.jsonl"
        browser.wait(review.exists)
        browser.wait(lambda: review.read_bytes().endswith(b"\n"))
        lines = review.read_text("ascii").splitlines()
        assert [json.loads(line)["pair"] for line in lines] == sorted(
            [HOSTILE_KEY, "i:a1-a1", "t:near", "t:no longer found"]
        )
        assert json.loads(lines[2]) == {
            "pair": "t:near",
            "verdict": "right",
            "grade": "near_question",
            "uid": "chat/train/1",
            "benchmark_uid": "exam/test/1",
            "build": "3f2a90c1d4e7",
        }
        assert marks_of(review) == {HOSTILE_KEY: False, "i:a1-a1": True, "t:near": True, "t:no longer found": False}
        assert set(browser.requested) == {file.as_uri()}
        assert browser.complaints == []
