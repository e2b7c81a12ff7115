"""What a benchmark has too is found in any dress; what many rows share, or chance brings about, is no evidence."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from infimed_data.decontaminate.grades import GRADES, TextMatches, drop_leaks, find_leaks
from infimed_data.decontaminate.keys import group_keys
from infimed_data.decontaminate.matching import match_texts
from infimed_data.decontaminate.questions import QuestionIndex, write_index
from infimed_data.decontaminate.terms import row_terms, weights
from infimed_data.engine import LocalEngine
from infimed_data.manifest import ByKind, Decontaminate
from infimed_data.signals import text_signals
from infimed_data.storage.stages import read_table, write_table
from infimed_data.words import word_lists

Row = dict[str, Any]

VIGNETTE = (
    "A 47-year-old cheesemaker from a mountain village comes to the clinic because of seven weeks of undulating fever, "
    "drenching night sweats with the smell of wet hay, and pain over the left sacroiliac joint that wakes him before "
    "milking. He drinks raw goat milk every morning. His spleen is felt two fingers below the costal margin, and the "
    "serum agglutination titre is 1:1280. Which of the following drugs should be given together with doxycycline?"
)
OPTIONS = ["Rifampicin", "Oral vancomycin", "Intranasal mupirocin", "Praziquantel"]
FILLER = [
    "A baker reports wheezing that begins each Monday and fades towards the weekend. Which test confirms the cause?",
    "What does the arrow on this radiograph of the wrist point at?",
    "Name the enzyme that is deficient in classic galactosaemia of the newborn.",
    "Which nerve passes behind the medial epicondyle of the humerus?",
    "An infant vomits greenish fluid on the second day of life. What should be done first?",
    "How is the anion gap of a blood sample calculated from sodium, chloride and bicarbonate?",
    "A diver has a headache and a mottled rash an hour after surfacing. What is the treatment?",
    "Which vitamin deficiency do raw egg whites cause?",
]


def put_signals(folder: Path, rows: Sequence[Row], cut: int) -> tuple[list[Path], list[int]]:
    """Text signals of rows in parts of `cut` rows."""
    columns = pa.schema(
        [
            ("question", pa.string()),
            ("options", pa.list_(pa.string())),
            ("answer", pa.string()),
            ("rationale", pa.string()),
            ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ]
    )
    blank = {"options": [], "answer": "", "rationale": "", "turns": []}
    paths, sizes = [], []
    for start in range(0, len(rows), cut):
        own = [{name: {**blank, **row}[name] for name in columns.names} for row in rows[start : start + cut]]
        path = folder / f"part-{start}.arrow"
        table = pa.Table.from_batches([text_signals(pa.RecordBatch.from_pylist(own, columns))])
        write_table(path, table, table.schema)
        paths.append(path)
        sizes.append(len(own))
    return paths, sizes


def asked(*rows: str | Row) -> list[Row]:
    return [{"question": row} if isinstance(row, str) else row for row in rows]


def leaks(
    tmp_path: Path,
    rows: Sequence[str | Row],
    benchmark: Sequence[str | Row],
    *,
    policy: Decontaminate | None = None,
    marks: Mapping[str, bool] | None = None,
    cut: int = 10_000,
    processes: int = 1,
    filler: bool = True,
) -> list[Row]:
    """Leaks of `rows`, whose uids are r0, r1, ..., in `benchmark` (b0, b1, ...; its name is `bench` unless a row says
    otherwise), as dicts with uid and benchmark_uid."""
    ours, theirs = asked(*rows, *(FILLER[:4] if filler else [])), asked(*benchmark, *(FILLER[4:] if filler else []))
    folder = tmp_path / f"{random.random()}"
    for name in ("rows", "bench", "index", "scratch"):
        (folder / name).mkdir(parents=True)
    engine = LocalEngine(processes)
    try:
        parts, sizes = put_signals(folder / "bench", theirs, cut)
        pictures = np.array([hash(str(row.get("images"))) % 2**63 if row.get("images") else 0 for row in theirs])
        counted = np.ones(len(theirs), np.bool_)
        ranks = np.arange(len(theirs))
        write_index(parts, sizes, counted, ranks, pictures.astype(np.uint64), folder / "index", engine)
        index = QuestionIndex(folder / "index")
        distinct, matches = match_texts(*put_signals(folder / "rows", ours, cut), index, folder / "scratch", engine)
    finally:
        engine.close()
    texts = TextMatches(distinct.of_row, distinct.question, distinct.options, pl.DataFrame(matches))
    of_row = read_table(folder / "index" / "of_row.arrow").column("question").to_numpy()
    frame = pl.DataFrame(
        {
            "uid": [f"r{i}" for i in range(len(ours))],
            "digest": [str((row.get("question"), row.get("answer"), row.get("images"))) for row in ours],
            "images": [row.get("images", []) for row in ours],
            "keys": [row.get("keys", []) for row in ours],
        },
        schema_overrides={"images": pl.List(pl.String), "keys": pl.List(pl.String)},
    ).with_row_index("number").with_columns(unit=pl.lit(0, pl.UInt32), at=pl.col("number"))  # fmt: skip
    bench = pl.DataFrame(
        {
            "row": range(len(theirs)),
            "benchmark": [row.get("benchmark", "bench") for row in theirs],
            "rank": ranks,
            "images": [row.get("images", []) for row in theirs],
            "keys": [row.get("keys", []) for row in theirs],
            "question": of_row,
        },
        schema_overrides={"images": pl.List(pl.String), "keys": pl.List(pl.String)},
    )
    table = pl.DataFrame(index.questions.select(["question", "options", "pictures", "rows"]))
    questions = (
        table.rename({"question": "digest"}).with_row_index("question").with_columns(pl.col("question").cast(pl.Int64))
    )
    shown = sorted({image for row in ours for image in row.get("images", [])})
    pairs = pl.DataFrame(
        {
            "image": shown,
            "benchmark_image": shown,
            "score": [1.0] * len(shown),
            "transform": ["the same pixels"] * len(shown),
        },
        schema={"image": pl.String, "benchmark_image": pl.String, "score": pl.Float64, "transform": pl.String},
    )
    found = find_leaks(frame, bench, questions, {0: texts}, pairs, policy or Decontaminate(), marks or {})
    listed: list[Row] = found.with_columns(
        uid=pl.format("r{}", "number"), benchmark_uid=pl.format("b{}", "benchmark_row")
    ).to_dicts()
    return listed


def grades(found: Sequence[Row]) -> dict[str, list[str]]:
    """Grades of each row that has one."""
    listed: dict[str, list[str]] = {}
    for leak in found:
        listed.setdefault(leak["uid"], []).append(leak["grade"])
    return listed


def reworded(text: str, share: float, seed: int) -> str:
    """`text` with a share of its words replaced by others."""
    rng = random.Random(seed)
    words = text.split()
    for at in rng.sample(range(len(words)), round(share * len(words))):
        words[at] = rng.choice(["apparently", "roughly", "gentleman", "notes", "ongoing", "marked", "usual", "brought"])
    return " ".join(words)


# Terms


def terms(*questions: str) -> list[set[int]]:
    lists = word_lists(pa.array(questions))
    nothing = word_lists(pa.array([""] * len(questions)))
    found = row_terms(lists, nothing)
    return [set(found.terms[found.owners == row].tolist()) for row in range(len(questions))]


def test_words_that_any_question_has_are_no_terms() -> None:
    [found] = terms("Which of the following is shown in this image?")
    assert not found
    a, b = terms("What is the modality of the fibula image?", "Is the fibula shown?")
    assert len(a & b) == 2  # the word, and "the fibula"


def test_terms_do_not_depend_on_case_options_or_order_of_rows() -> None:
    a, b, c = terms("Left fibula fracture", "LEFT fibula, fracture!", "fracture left fibula")
    assert a == b != c
    together = row_terms(word_lists(pa.array(["fibula"])), word_lists(pa.array(["fibula"])))
    assert together.in_question.tolist() == [True]
    options: Any = pa.array([[8, 0, 10, 12, 0]], pa.list_(pa.uint32()))
    apart = row_terms(word_lists(pa.array(["fibula"])), options)
    assert sorted(apart.in_question.tolist()) == [False] * 4 + [True]  # no pair across two options


def test_chinese_is_matched_by_pairs_and_fours_of_characters() -> None:
    [found] = terms("左肺有结节影")
    assert len(found) == 5 + 3


def test_weights_fall_from_one_to_nothing() -> None:
    found = weights(np.array([0, 1, 8, 64, 500]), 100)
    assert found.tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert weights(np.array([64, 1600]), 320_000)[0] > 0.4
    assert weights(np.array([64, 1600]), 320_000)[1] == 0


# Questions


def test_a_five_word_question_is_found_whatever_its_dress(tmp_path: Path) -> None:
    question = "What causes Kayser-Fleischer rings?"
    rows = [
        "what causes KAYSER FLEISCHER rings",
        "What causes Kayser–Fleischer rings ?!",
        "What causes café-au-lait spots?",
    ]
    found = leaks(tmp_path, rows, [question])
    assert grades(found) == {"r0": ["same_question"], "r1": ["same_question"]}
    assert {leak["benchmark_uid"] for leak in found} == {"b0"}
    assert all(leak["action"] == "drop" for leak in found)


def test_a_five_word_question_is_found_within_other_words(tmp_path: Path) -> None:
    found = leaks(
        tmp_path,
        ["Please think carefully and answer: What causes Kayser-Fleischer rings? Explain in one sentence."],
        ["What causes Kayser-Fleischer rings?"],
    )
    assert grades(found) == {"r0": ["near_question"]}


def test_a_short_question_that_differs_in_its_point_is_another(tmp_path: Path) -> None:
    rows = [
        "Where are Kayser-Fleischer rings seen best?",
        "What causes Fleischer-Kayser rings of copper in the cornea of a patient with Wilson disease?",
        "Which nerve passes behind the lateral epicondyle?",
        "Is there a fracture of the left femur?",
    ]
    benchmark = ["What causes Kayser-Fleischer rings?", "Is there a fracture of the right femur?"]
    assert grades(leaks(tmp_path, rows, benchmark)) == {}


def test_a_template_is_only_reported(tmp_path: Path) -> None:
    found = leaks(tmp_path, ["What modality is shown?", "Is the lesion on the left side?"], ["what modality is shown"])
    assert [(leak["uid"], leak["grade"], leak["action"]) for leak in found] == [("r0", "same_template", "report")]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3])
def test_a_reworded_vignette_is_found(tmp_path: Path, share: float) -> None:
    rows = [reworded(VIGNETTE, share, seed) for seed in range(8)]
    found = leaks(tmp_path, rows, [{"question": VIGNETTE, "options": OPTIONS}])
    assert set(grades(found)) == {f"r{i}" for i in range(8)}
    wanted = {"same_question"} if share == 0 else {"near_question"}
    assert {leak["grade"] for leak in found} == wanted


def test_stems_with_and_without_options_in_any_order(tmp_path: Path) -> None:
    shuffled = [OPTIONS[2], OPTIONS[0], OPTIONS[3], OPTIONS[1]]
    spelled = VIGNETTE + "\nAnswer Choices: (A) " + " (B) ".join(OPTIONS)
    rows: list[str | Row] = [
        {"question": VIGNETTE, "options": shuffled},
        VIGNETTE,
        spelled,
        {"question": VIGNETTE, "options": ["Zinc", "Copper", "Iron"]},
    ]
    found = leaks(tmp_path, rows, [{"question": VIGNETTE, "options": OPTIONS}])
    assert grades(found) == {
        "r0": ["same_question"], "r1": ["same_question"], "r2": ["near_question"], "r3": ["near_question"],
    }  # fmt: skip
    found = leaks(tmp_path, rows, [spelled])
    assert set(grades(found)) == {"r0", "r1", "r2", "r3"}


def test_a_general_stem_counts_by_its_options(tmp_path: Path) -> None:
    stem = "Which of the following statements is true?"
    options = ["Thyroxine is stored as colloid", "Glucagon lowers glycogenolysis", "Renin is made by podocytes"]
    rows: list[str | Row] = [
        {"question": stem, "options": options[::-1]},
        {"question": stem, "options": ["Bile is made in the gallbladder", "Lipase digests starch"]},
        stem,
    ]
    found = leaks(tmp_path, rows, [{"question": stem, "options": options}])
    assert grades(found) == {"r0": ["same_question"], "r1": ["same_template"], "r2": ["same_template"]}


def test_a_part_of_a_vignette_is_found_in_the_whole(tmp_path: Path) -> None:
    sentences = VIGNETTE.split(". ")
    half = ". ".join(sentences[:2])
    assert set(grades(leaks(tmp_path, [half], [VIGNETTE]))) == {"r0"}
    assert set(grades(leaks(tmp_path, [VIGNETTE], [half]))) == {"r0"}
    assert set(grades(leaks(tmp_path, [" ".join(FILLER[:3]) + " " + VIGNETTE], [VIGNETTE]))) == {"r0"}


def test_what_thousands_share_is_no_evidence(tmp_path: Path) -> None:
    shared = (
        "Look closely at the enclosed photomicrograph and select the single most fitting letter from the list below."
    )
    rng = random.Random(1)
    words = [
        f"{a}{b}" for a in ("tar", "mol", "ven", "pris", "quol") for b in ("ane", "itis", "oma", "ule", "ax", "ere")
    ]
    rows = [f"{shared} {' '.join(rng.sample(words, 4))}" for _ in range(3000)]
    found = leaks(tmp_path, rows, [shared + " Which stain was used on the Golgi?", shared])
    assert not [leak for leak in found if leak["action"] == "drop"]


def test_a_leak_copied_thousands_of_times_is_found_each_time(tmp_path: Path) -> None:
    found = leaks(tmp_path, [VIGNETTE] * 3000, [VIGNETTE])
    assert len(found) == 3000
    assert {leak["grade"] for leak in found} == {"same_question"}


def test_a_question_of_many_pictures_is_a_template(tmp_path: Path) -> None:
    question = "Where are the three circular opacities located in the perihilar region?"
    rows: list[str | Row] = [{"question": question, "images": [f"p{i}"], "answer": f"{i}"} for i in range(3)]
    benchmark: list[str | Row] = [{"question": question, "images": ["q0"]}]
    assert {leak["grade"] for leak in leaks(tmp_path, rows, benchmark)} == {"same_template"}
    long: list[str | Row] = [{"question": VIGNETTE, "images": ["p0"]}]
    found = leaks(tmp_path, long, [{"question": VIGNETTE, "images": ["q0"]}])
    assert [leak["grade"] for leak in found] == ["same_question"]


def test_questions_about_pictures_that_are_near_are_only_reported(tmp_path: Path) -> None:
    rows: list[str | Row] = [{"question": reworded(VIGNETTE, 0.2, 3), "images": ["p0"]}, reworded(VIGNETTE, 0.2, 3)]
    found = leaks(tmp_path, rows, [VIGNETTE])
    assert [(leak["uid"], leak["grade"], leak["action"]) for leak in found] == [
        ("r0", "near_question", "report"),
        ("r1", "near_question", "drop"),
    ]


def test_parts_processes_and_order_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(4)
    rows = [reworded(VIGNETTE, rng.uniform(0, 0.4), seed) for seed in range(60)] + FILLER
    benchmark = [VIGNETTE, *FILLER[::2], reworded(VIGNETTE, 0.3, 99)]
    whole = leaks(tmp_path, rows, benchmark)
    for cut, processes in ((7, 1), (20, 2)):
        assert leaks(tmp_path, rows, benchmark, cut=cut, processes=processes) == whole
    order = list(range(len(rows)))
    rng.shuffle(order)
    other = leaks(tmp_path, [rows[i] for i in order], benchmark)
    names = {f"r{new}": f"r{old}" for new, old in enumerate(order)}
    strip = ("number", "uid")

    def listed(found: Sequence[Row], renamed: Mapping[str, str]) -> list[tuple[Any, ...]]:
        return sorted(
            (renamed.get(leak["uid"], leak["uid"]), *(str(v) for k, v in leak.items() if k not in strip))
            for leak in found
        )

    assert listed(other, names) == listed(whole, {})


def test_each_benchmark_is_named(tmp_path: Path) -> None:
    benchmark: list[str | Row] = [
        {"question": VIGNETTE, "benchmark": "one"},
        {"question": VIGNETTE, "benchmark": "two"},
        {"question": VIGNETTE, "benchmark": "two"},
    ]
    found = leaks(tmp_path, [VIGNETTE], benchmark)
    assert [(leak["benchmark"], leak["benchmark_uid"], leak["matches"]) for leak in found] == [
        ("one", "b0", 1),
        ("two", "b1", 2),
    ]


def test_nothing_asked_is_nothing_matched(tmp_path: Path) -> None:
    assert leaks(tmp_path, ["", "?", VIGNETTE], ["", "!"], filler=False) == []
    assert leaks(tmp_path, [""], [VIGNETTE], filler=False) == []


# Pictures and groups


def test_pictures_and_their_questions(tmp_path: Path) -> None:
    rows: list[str | Row] = [
        {"question": "Is the trachea midline?", "images": ["x"]},
        {"question": "Is the liver enlarged?", "images": ["x"]},
        {"question": "Is the trachea midline?", "images": ["y"]},
        {"question": "Which of the two is older?", "images": ["y", "z"]},
    ]
    benchmark: list[str | Row] = [
        {"question": "is the trachea midline", "images": ["x"]},
        {"question": "Is the heart enlarged?", "images": ["x"]},
        {"question": "Anything else?", "images": ["z", "x"]},
    ]
    found = leaks(tmp_path, rows, benchmark)
    assert grades(found) == {
        "r0": ["same_item", "same_image"],
        "r1": ["same_image"],
        "r2": ["same_template"],
        "r3": ["same_image"],
    }
    assert [leak["benchmark_uid"] for leak in found if leak["uid"] == "r3"] == ["b2"]
    assert [leak["matches"] for leak in found if leak["uid"] == "r1"] == [3]
    image = next(leak for leak in found if leak["grade"] == "same_item")
    assert (image["evidence"], image["score"]) == ("the same pixels; the same question", 1.0)


def test_one_picture_of_a_hundred_thousand_rows_costs_a_row_each(tmp_path: Path) -> None:
    rows: list[str | Row] = [{"question": f"Question {i}?", "images": ["x"], "keys": ["pmc1"]} for i in range(20_000)]
    found = leaks(tmp_path, rows, rows[:5000], filler=False)
    by_grade = pl.DataFrame(found).group_by("grade").len()
    counts: dict[str, int] = dict(by_grade.iter_rows())
    assert counts["same_image"] == counts["same_group"] == 20_000
    assert counts["same_item"] == 5000


def test_keys_that_mean_the_same_everywhere() -> None:
    frame = pl.DataFrame(
        {
            "group": ["synpic54610", None, "xmlab1", "12", None, "PMID21645374"],
            "row_key": [None, "pmc_1234567_F1", "3", None, "x", "21645374"],
            "image_refs": [
                ["images/synpic54610.jpg"],
                ["MPX1007_synpic46720.png", "PMC1064097_F2.jpg"],
                [],
                [],
                None,
                [],
            ],
        },
        schema_overrides={"image_refs": pl.List(pl.String)},
    )
    assert frame.select(group_keys(None))["keys"].to_list() == [
        ["synpic54610"], ["pmc1064097", "pmc1234567", "synpic46720"], ["xmlab1"], [], [], ["pmid21645374"],
    ]  # fmt: skip
    spaced = frame.select(group_keys("study"))["keys"].to_list()
    assert [keys[-1] for keys in spaced if keys] == [
        "synpic54610", "synpic46720", "xmlab1", "study:12", "study:PMID21645374",
    ]  # fmt: skip


def test_groups_are_exact_keys(tmp_path: Path) -> None:
    rows: list[str | Row] = [
        {"question": "a?", "keys": ["pmc1", "pmc2"]}, {"question": "b?", "keys": ["pmc3"]}, {"question": "c?"},
    ]  # fmt: skip
    found = leaks(tmp_path, rows, [{"question": "x?", "keys": ["pmc2"]}, {"question": "y?", "keys": ["pmc2", "pmc9"]}])
    assert [(leak["uid"], leak["grade"], leak["evidence"], leak["matches"]) for leak in found] == [
        ("r0", "same_group", "pmc2", 2)
    ]


# What is done


def test_actions_by_grade_and_kind(tmp_path: Path) -> None:
    rows: list[str | Row] = [{"question": "Is the trachea midline?", "images": ["x"], "keys": ["pmc1"]}, VIGNETTE]
    benchmark: list[str | Row] = [{"question": "Is the trachea midline?", "images": ["x"], "keys": ["pmc1"]}, VIGNETTE]
    policy = Decontaminate(same_item="report", same_image="off", same_template="off", same_question=("report"))
    found = leaks(tmp_path, rows, benchmark, policy=policy)
    assert [(leak["uid"], leak["grade"], leak["action"]) for leak in found] == [
        ("r0", "same_item", "report"),
        ("r0", "same_group", "drop"),
        ("r1", "same_question", "report"),
    ]
    off = Decontaminate.model_validate(dict.fromkeys(GRADES, "off"))
    assert leaks(tmp_path, rows, benchmark, policy=off) == []
    assert policy.action("near_question", image=True) == "report"
    assert Decontaminate(near_question="off").action("near_question", image=False) == "off"
    assert Decontaminate(near_question=ByKind(text="off", image="drop")).action("near_question", image=True) == "drop"


def test_marks_decide(tmp_path: Path) -> None:
    rows: list[str | Row] = [
        {"question": "Is the trachea midline?", "images": ["x"]},
        {"question": "Is the liver enlarged?", "images": ["x"]},
        {"question": reworded(VIGNETTE, 0.2, 3), "images": ["p0"]},
    ]
    benchmark: list[str | Row] = [{"question": "Is the trachea midline?", "images": ["x"]}, VIGNETTE]
    before = leaks(tmp_path, rows, benchmark)
    pairs = {(leak["uid"], leak["grade"]): leak["pair"] for leak in before}
    assert pairs["r0", "same_item"] == pairs["r1", "same_image"], "one pair of pictures is marked once"
    marks = {pairs["r0", "same_item"]: False, pairs["r2", "near_question"]: True, "t:unknown": True}
    after = leaks(tmp_path, rows, benchmark, marks=marks)
    assert [(leak["uid"], leak["grade"], leak["action"], leak["mark"]) for leak in after] == [
        ("r0", "same_item", "report", "wrong"),
        ("r0", "same_image", "report", "wrong"),
        ("r0", "same_template", "report", None),
        ("r1", "same_image", "report", "wrong"),
        ("r2", "near_question", "drop", "right"),
    ]


def test_the_strongest_grade_drops_a_row_that_still_stands(tmp_path: Path) -> None:
    rows: list[str | Row] = [{"question": "Is the trachea midline?", "images": ["x"]}] * 2 + [VIGNETTE]
    found = pl.DataFrame(leaks(tmp_path, rows, [{"question": "Is the trachea midline?", "images": ["x"]}, VIGNETTE]))
    found = found.with_columns(pl.col("number").cast(pl.UInt32))
    frame = pl.DataFrame(
        {"uid": ["r0", "r1", "r2", "r3"], "rule": [None, "answer_empty", None, None]},
        schema_overrides={"rule": pl.String},
    ).with_row_index("number")
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in ("stage", "value", "limit", "twin"))
    done = drop_leaks(frame, found, pl.Series([f"bench/test/{i}" for i in range(10)]))
    assert done.select("stage", "rule", "twin").rows() == [
        ("decontaminate", "same_item", "bench/test/0"),
        (None, "answer_empty", None),
        ("decontaminate", "same_question", "bench/test/1"),
        (None, None, None),
    ]
    assert done["value"][0] == "the same pixels; the same question"
    assert done["limit"].to_list()[0] == "score 0.8"
