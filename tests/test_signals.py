"""Measurements of a text say what is in it, and do not depend on which other texts are measured beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from infimed_data.schema import SIGNALS
from infimed_data.signals import ImageTask, TextTask, measure_images, measure_texts, read_image_bytes, text_signals
from infimed_data.storage.places import Place, in_tasks
from infimed_data.storage.stages import read_table, write_table
from infimed_data.words import word_lists

TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
COLUMNS = pa.schema(
    [
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("rationale", pa.string()),
        ("turns", TURNS),
    ]
)


def signals(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Signals of rows of which only the named columns are filled."""
    blank: dict[str, Any] = {"question": "", "options": [], "answer": "", "rationale": "", "turns": []}
    batch = pa.RecordBatch.from_pylist([{**blank, **row} for row in rows], COLUMNS)
    found = text_signals(batch)
    assert found.schema == SIGNALS
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


def asked(*questions: str) -> list[dict[str, Any]]:
    """Signals of plain questions."""
    return signals(*({"question": question} for question in questions))


TEXTS = st.text(
    st.sampled_from("abcXYZ019 .,-?\néß漢肺左の한я") | st.characters(exclude_categories=["Cs"]), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
@example(texts=["肺", "0\U000313500", "a〡b", "〡"])  # beside and without Chinese characters
def test_signals_do_not_depend_on_the_rows_beside(texts: list[str]) -> None:
    together = asked(*texts)
    assert together == [asked(text)[0] for text in texts]


# Counts and scripts


def test_lengths_count_what_a_reader_sees() -> None:
    row = signals({"question": "  Où est-ce? ", "answer": " oui\n", "rationale": "car", "options": ["a", "b"]})[0]
    assert (row["question_chars"], row["answer_chars"], row["rationale_chars"]) == (10, 3, 3)
    assert row["words"] == 6
    empty = signals({})[0]
    assert (empty["question_chars"], empty["answer_chars"], empty["words"], empty["script"]) == (0, 0, 0, None)
    assert (empty["asked"], empty["offered"], empty["answered"], empty["told"]) == ([], [], [], [])
    assert asked("左肺 CT 有结节")[0]["words"] == 6
    long, chinese = asked("word " * 200, "肺" * 200)
    assert 200 <= long["text_tokens"] <= 300
    assert 100 <= chinese["text_tokens"] <= 200


def test_a_conversation_is_measured_by_who_says_it() -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "See the figure below."},
        {"role": "assistant", "content": "Fine"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "In this image it is so."},
    ]
    row, plain, answered = signals(
        {"turns": turns}, {"question": "Why?", "answer": "So"}, {"turns": [turns[3], turns[4]]}
    )
    assert row["question_chars"] == len("Be brief.\nSee the figure below.\nWhy?")
    assert row["answer_chars"] == len("Fine\nIn this image it is so.")
    assert row["figure_reference"] == "See the figure"
    assert (plain["question_chars"], plain["answer_chars"]) == (4, 2)
    assert answered["figure_reference"] is None  # an answer points at nothing that is missing


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("Where is the lesion?", "Latin", 1.0),
        ("Où est la lésion?", "Latin", 1.0),
        ("左肺有结节吗？", "Han", 1.0),
        ("где находится очаг", "Cyrillic", 1.0),
        ("أين تقع الآفة", "Arabic", 1.0),
        ("घाव कहाँ है", "Devanagari", 1.0),
        ("병변은 어디에", "Hangul", 1.0),
        ("どこですか", "Kana", 1.0),
        ("Πού είναι", "Greek", 1.0),
        ("อยู่ที่ไหน", "Thai", 1.0),
        ("איפה הנגע", "Hebrew", 1.0),
        ("CT肺部显示", "Han", 4 / 6),
        ("123 + 4 = ?", None, 0.0),
        ("37 °C → 5 µ", "Latin", 1.0),
        ("", None, 0.0),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str | None, share: float) -> None:
    row = asked("other words", text)[1]
    assert row["script"] == script
    assert row["script_share"] == pytest.approx(share, abs=1e-6)


# Marks


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("What is in <image> here", "<image>"),
        ("<image 1> and more", "<image 1>"),
        ("ends <|im_end|>", "<|im_end|>"),
        ("<|vision_start|>", "<|vision_start|>"),
        ("a </s> b", "</s>"),
        ("[INST] do", "[INST]"),
        ("<<SYS>>", "<<SYS>>"),
        ("<start_of_turn>user", "<start_of_turn>"),
        ("<pad>", "<pad>"),
    ],
)
def test_a_special_token_is_found_in_any_text(text: str, mark: str) -> None:
    assert asked(text)[0]["special_token"] == mark
    for column in ("answer", "rationale"):
        assert signals({column: text})[0]["special_token"] == mark
    assert signals({"options": ["fine", text]})[0]["special_token"] == mark
    assert signals({"turns": [{"role": "assistant", "content": text}]})[0]["special_token"] == mark


@pytest.mark.parametrize(
    "text",
    ["p < 0.05 and |x| > 3", "<b>bold</b>", "an <imaging> study", "a <| b |> c", "[inst]", "<sub>2</sub>", "x<s"],
)
def test_plain_text_has_no_special_token(text: str) -> None:
    assert asked(text)[0]["special_token"] is None


@pytest.mark.parametrize(
    "text",
    [
        "See the figure below.",
        "Which finding is shown in the following picture?",
        "The radiograph below shows a mass.",
        "Refer to figure 2 for the values.",
        "Fig. 3a shows the pathway.",
        "Identify the structure in the attached image.",
        "In this image, where is the lung?",
        "An ECG is shown below.",
        "An X-ray is given below",
        "Based on the photograph, what is it?",
        "ACCORDING TO THE DIAGRAM, which",
        "如图所示，病变在哪里？",
        "下图中箭头指的是什么？",
    ],
)
def test_a_question_that_points_at_a_figure_is_seen(text: str) -> None:
    found = asked(text)[0]["figure_reference"]
    assert found is not None
    assert found in text


@pytest.mark.parametrize(
    "text",
    [
        "Help me figure out the cause.",
        "How would you figure the dose?",
        "Age figures prominently in this score.",
        "She is a figure skater with a fall.",
        "Labs give a picture of pneumonia.",
        "The clinical picture is that of heart failure.",
        "Based on the clinical picture, what is the diagnosis?",
        "Can you picture the anatomy?",
        "Blood pressure above 140 and weight below average",
        "He has a distorted body image.",
        "A CT scan was normal; an ECG was done.",
        "Microscopic slides were reviewed.",
        "Which disease has a photograph-like memory?",
        "什么是肺炎的影像学图像特点？",
    ],
)
def test_plain_words_point_at_no_figure(text: str) -> None:
    assert asked(text)[0]["figure_reference"] is None


def test_only_what_is_asked_can_point_at_a_figure() -> None:
    row = signals(
        {"question": "Why?", "answer": "See the figure below", "rationale": "figure 2", "options": ["Fig. 1"]}
    )
    assert row[0]["figure_reference"] is None


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["Lung", "Liver"], None),
        (["Lung", "lung "], "lung "),
        (["a", "b", "A  ", "b"], "A  "),
        (["1", "１"], "１"),
        (["", ""], ""),
        (["Stage I", "Stage II"], None),
        ([], None),
        (None, None),
    ],
)
def test_options_that_are_one_text_are_named(options: list[str] | None, found: str | None) -> None:
    rows = signals({"options": ["x", "x"]}, {"options": options}, {})
    assert [row["duplicate_option"] for row in rows] == ["x", found, None]


def test_a_shard_is_measured_row_by_row_over_its_batches(tmp_path: Any) -> None:
    questions = [f"Question {number} about the {'lung' if number % 2 else '肺'}?" for number in range(2500)]
    blank: dict[str, Any] = {"options": [], "answer": "yes", "rationale": "", "turns": []}
    rows = pa.Table.from_pylist([{**blank, "question": question} for question in questions], COLUMNS)
    write_table(tmp_path / "rows.arrow", rows, COLUMNS)
    assert measure_texts(TextTask(tmp_path / "rows.arrow", tmp_path / "texts.arrow")) == 2500
    found = read_table(tmp_path / "texts.arrow")
    assert found["question_chars"].to_pylist() == [len(question) for question in questions]
    assert found["asked"].to_pylist() == word_lists(pa.array(questions)).to_pylist()


def test_a_row_group_is_read_once_for_all_its_cells_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blob(row: int, name: str) -> bytes:
        return f"{name} {row}".encode()

    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [
        {
            **{name: {"bytes": blob(row, name), "path": None} for name in ("image_1", "image_2")},
            "images": [{"bytes": blob(row, f"images[{item}]"), "path": None} for item in range(row % 3)],
        }
        for row in range(500)
    ]
    kinds = {"image_1": cell, "image_2": cell, "images": pa.list_(cell)}
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), tmp_path / "a.parquet", row_group_size=200)
    names = [*("image_1", "image_2"), "images[0]", "images[1]"]
    wanted = [
        (row, name)
        for row in range(500)
        for name in names
        if row % 100 < 70 and (name[-1] != "]" or int(name[-2]) < row % 3)
    ]
    refs = {f"a.parquet#{row // 200}:{row % 200}:{name}": blob(row, name) for row, name in wanted}
    read: Counter[tuple[int, str]] = Counter()
    inner = pq.ParquetFile.iter_batches

    def counted(*given: Any, **options: Any) -> Any:
        for batch in inner(*given, **options):
            read[options["row_groups"][0], options["columns"][0]] += len(batch)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    tasks = in_tasks(sorted(refs), 64)
    assert sorted(ref for task in tasks for ref in task) == sorted(refs)
    found = {ref: data for task in tasks for ref, data in read_image_bytes(Place(tmp_path), task, max_bytes=99)}
    assert found == refs
    last: dict[tuple[int, str], int] = {}
    for row, name in wanted:
        key = row // 200, name.partition("[")[0]
        last[key] = max(last.get(key, 0), row % 200 + 1)
    assert read.keys() == last.keys()
    assert all(last[key] <= rows < last[key] + 64 for key, rows in read.items())


def test_tasks_are_about_as_large_as_asked_and_keep_row_groups_together() -> None:
    plain = [f"{n}.jpg" for n in range(130)]
    cells = [f"a.parquet#{group}:{row}:image" for group, rows in enumerate((30, 30, 30, 3000)) for row in range(rows)]
    tasks = in_tasks([*cells[::-1], *plain], 64)
    assert [len(task) for task in tasks] == [64, 64, 2, 60, 30, 1024, 1024, 952]
    assert tasks[0][0] == "0.jpg" and tasks[3][:2] == ("a.parquet#0:0:image", "a.parquet#0:1:image")
    assert tasks[6][0] == "a.parquet#3:1024:image"
    assert in_tasks([], 64) == []


def test_a_lower_pixel_limit_counts_for_images_measured_before(tmp_path: Path) -> None:
    Image.new("L", (50, 50), 7).save(tmp_path / "a.png")
    place, first, second = Place(tmp_path), tmp_path / "first.arrow", tmp_path / "second.arrow"
    measure_images(ImageTask(place, ("a.png",), (), 1 << 20, 10_000, first))
    facts = measure_images(ImageTask(place, ("a.png",), (first,), 1 << 20, 100, second))
    assert facts == {"read": 1, "decoded": 1}
    assert read_table(second).column("error").to_pylist() == ["image_too_large"]
