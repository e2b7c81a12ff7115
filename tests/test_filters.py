"""Each rule drops what it names, with the value seen and the limit; of equal rows exactly one stays."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.dedup.exact import drop_exact_duplicates
from infimed_data.filters import LANGUAGE_SCRIPTS, RULES, apply_filters
from infimed_data.manifest import Filters

SCHEMA: dict[str, Any] = {
    "uid": pl.String,
    "lang": pl.String,
    "image_refs": pl.List(pl.String),
    "question_chars": pl.Int32,
    "answer_chars": pl.Int32,
    "rationale_chars": pl.Int32,
    "script": pl.String,
    "script_share": pl.Float32,
    "special_token": pl.String,
    "figure_reference": pl.String,
    "duplicate_option": pl.String,
    "min_side": pl.Int32,
    "max_aspect": pl.Float64,
    "max_flat_share": pl.Float32,
    "min_contrast": pl.Float32,
    "image_error": pl.String,
    "image_error_value": pl.String,
    "image_error_limit": pl.String,
    "stage": pl.String,
    "rule": pl.String,
    "value": pl.String,
    "limit": pl.String,
}
GOOD: dict[str, Any] = {
    "uid": "a/1",
    "lang": "en",
    "image_refs": ["x.png"],
    "question_chars": 30,
    "answer_chars": 3,
    "rationale_chars": 0,
    "script": "Latin",
    "script_share": 1.0,
    "min_side": 224,
    "max_aspect": 1.5,
    "max_flat_share": 0.25,
    "min_contrast": 60.0,
}
NO_IMAGE: dict[str, Any] = {
    "image_refs": [],
    "min_side": None,
    "max_aspect": None,
    "max_flat_share": None,
    "min_contrast": None,
}
Reason = tuple[str | None, str | None, str | None, str | None]


def judged(*rows: dict[str, Any], **filters: Any) -> list[Reason]:
    """(stage, rule, value, limit) of rows that differ from a good one in what is given."""
    table = pl.DataFrame([{**dict.fromkeys(SCHEMA), **GOOD, **row} for row in rows], schema=SCHEMA)
    done = apply_filters(table, Filters(**filters))
    assert done.columns == table.columns
    assert done.drop("stage", "rule", "value", "limit").equals(table.drop("stage", "rule", "value", "limit"))
    return [tuple(row) for row in done.select("stage", "rule", "value", "limit").iter_rows()]


BROKEN = {
    "image_error": "image_unreadable",
    "image_error_value": "OSError: cut",
    "image_error_limit": "a whole file",
    **dict.fromkeys(("min_side", "max_aspect", "max_flat_share", "min_contrast")),
}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str, dict[str, Any]]] = [
    ("image_tiny", {"min_side": 27}, {"min_side": 28}, "27 px", "28 px", {"min_image_side_px": None}),
    ("image_aspect", {"max_aspect": 200.5}, {"max_aspect": 200.0}, "200.5", "200", {"max_image_aspect": None}),
    (
        "image_blank", {"max_flat_share": 1.0, "min_contrast": 0.0}, {"max_flat_share": 0.99, "min_contrast": 1.0},
        "flat share 1.0, contrast 0.0", "flat share 0.995, contrast 1.0",
        {"max_flat_share": None, "min_contrast": None},
    ),
    ("question_empty", {"question_chars": 0}, {"question_chars": 1}, "0", "1 characters", {"min_question_chars": None}),
    (
        "question_long", {"question_chars": 20_001}, {"question_chars": 20_000}, "20001", "20000 characters",
        {"max_question_chars": None},
    ),
    ("answer_empty", {"answer_chars": 0}, {"answer_chars": 1}, "0", "1 characters", {"min_answer_chars": None}),
    (
        "answer_long", {"answer_chars": 20_001}, {"answer_chars": 20_000}, "20001", "20000 characters",
        {"max_answer_chars": None},
    ),
    (
        "rationale_long", {"rationale_chars": 60_001}, {"rationale_chars": 60_000}, "60001", "60000 characters",
        {"max_rationale_chars": None},
    ),
    (
        "duplicate_options", {"duplicate_option": "Lung"}, {"duplicate_option": None}, "Lung", "options that differ",
        {"duplicate_options": False},
    ),
    (
        "special_token", {"special_token": "<image>"}, {"special_token": None}, "<image>",
        "text without special tokens", {"special_tokens": False},
    ),
    (
        "script_mismatch", {"script": "Han", "script_share": 0.9}, {"script": "Han", "script_share": 0.5},
        "Han letters in a row marked en", "Latin", {"script_mismatch": False},
    ),
    (
        "missing_figure", {**NO_IMAGE, "figure_reference": "see the figure"}, {"figure_reference": "see the figure"},
        "see the figure", "an image, or no reference to one", {"missing_figure": False},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good", "value", "limit", "off"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_fires_beyond_its_limit_and_can_be_turned_off(
    rule: str, bad: dict[str, Any], good: dict[str, Any], value: str, limit: str, off: dict[str, Any]
) -> None:
    assert judged(bad, good) == [("filter", rule, value, limit), (None, None, None, None)]
    assert judged(bad, good, **off) == [(None, None, None, None)] * 2


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} | {"image_unreadable", "image_read_failed", "language"} == set(RULES)


def test_a_limit_of_the_manifest_is_the_one_that_counts_and_is_shown() -> None:
    assert judged({}, min_image_side_px=225) == [("filter", "image_tiny", "224 px", "225 px")]
    assert judged({}, max_image_aspect=1.25) == [("filter", "image_aspect", "1.5", "1.25")]
    assert judged({}, min_answer_chars=4) == [("filter", "answer_empty", "3", "4 characters")]
    assert judged({}, max_question_chars=29) == [("filter", "question_long", "30", "29 characters")]


def test_an_image_that_cannot_be_read_drops_its_row_with_what_the_decoder_said() -> None:
    assert judged(BROKEN) == [("filter", "image_unreadable", "OSError: cut", "a whole file")]
    everything_off = {
        "min_image_side_px": None, "max_image_aspect": None, "max_flat_share": None, "min_contrast": None
    }  # fmt: skip
    assert judged(BROKEN, **everything_off)[0][1] == "image_unreadable"
    passing = {**BROKEN, "image_error": "image_read_failed", "image_error_value": "Input/output error: a.png"}
    assert judged(passing) == [("filter", "image_read_failed", "Input/output error: a.png", "a whole file")]


def test_blankness_is_flatness_or_want_of_contrast() -> None:
    assert judged({"max_flat_share": 0.996})[0][1] == "image_blank"
    assert judged({"min_contrast": 0.9})[0][1] == "image_blank"
    assert judged({"max_flat_share": 0.996}, max_flat_share=None)[0][1] is None
    assert judged({"min_contrast": 0.9}, min_contrast=None)[0][1] is None


def test_languages_are_kept_only_where_a_list_is_given() -> None:
    rows = [{"lang": "en"}, {"lang": "zh", "script": "Han"}, {"lang": "fr"}]
    assert [reason[1] for reason in judged(*rows)] == [None, None, None]
    assert judged(*rows, languages=("en", "zh"))[2] == ("filter", "language", "fr", "en,zh")
    assert [reason[1] for reason in judged(*rows, languages=("en", "zh"))] == [None, None, "language"]


@pytest.mark.parametrize(
    ("lang", "script", "share", "fails"),
    [
        ("en", "Latin", 1.0, False),
        ("en", "Cyrillic", 0.8, True),
        ("fr", "Latin", 1.0, False),
        ("zh", "Han", 1.0, False),
        ("zh", "Latin", 0.9, False),  # abbreviations and drug names
        ("zh", "Hangul", 0.9, True),
        ("ru", "Latin", 0.9, True),
        ("ja", "Han", 1.0, False),  # not judged
        ("xx", "Han", 1.0, False),
        ("en", None, 0.0, False),  # numbers only
        (None, "Han", 1.0, False),
    ],
)
def test_a_script_is_held_against_the_language(lang: str | None, script: str | None, share: float, fails: bool) -> None:
    reason = judged({"lang": lang, "script": script, "script_share": share})[0]
    assert (reason[1] == "script_mismatch") is fails
    if fails:
        assert lang is not None
        assert reason[3] == LANGUAGE_SCRIPTS[lang]


def test_a_row_without_images_is_not_judged_by_image_rules() -> None:
    assert judged(NO_IMAGE) == [(None, None, None, None)]


@pytest.mark.parametrize("number", range(len(CASES) - 1))
def test_of_several_rules_the_first_in_order_names_the_drop(number: int) -> None:
    order = list(RULES)
    first, second = CASES[number], CASES[number + 1]
    assert order.index(first[0]) < order.index(second[0])
    both = {**second[1], **first[1]}
    if second[0] == "missing_figure":
        both |= NO_IMAGE
    assert judged(both)[0][1] == first[0]
    if not set(first[1]) & set(second[1]):  # a question cannot be empty and too long at once
        assert judged(both, **first[5])[0][1] == second[0]


def test_everything_wrong_at_once_is_the_first_rule() -> None:
    everything: dict[str, Any] = {}
    for case in reversed(CASES):
        everything |= case[1]
    assert judged({**everything, **BROKEN})[0][1] == "image_unreadable"


def test_what_ingest_rejected_stays_as_it_is() -> None:
    rejected: Reason = ("ingest", "no_answer", "None", "an answer")
    row = {**BROKEN, "question_chars": 0, **dict(zip(("stage", "rule", "value", "limit"), rejected, strict=True))}
    assert judged(row, {"question_chars": 0}) == [rejected, ("filter", "question_empty", "0", "1 characters")]


# Exact duplicates


def rows_of(*rows: tuple[str, str | None], dropped: tuple[str, ...] = ()) -> pl.DataFrame:
    """Rows (uid, digest), some of them dropped before."""
    text = pl.String
    return pl.DataFrame(
        [
            {
                "uid": uid,
                "source": uid.partition("/")[0],
                "digest": digest,
                "stage": "filter" if uid in dropped else None,
                "rule": "image_tiny" if uid in dropped else None,
                "value": "3 px" if uid in dropped else None,
                "limit": "28 px" if uid in dropped else None,
                "twin": None,
            }
            for uid, digest in rows
        ],
        schema=dict.fromkeys(("uid", "source", "digest", "stage", "rule", "value", "limit", "twin"), text),
    )


def twins(rows: pl.DataFrame, *preference: str) -> dict[str, str]:
    """Dropped uid to the uid of the row that stays."""
    done = drop_exact_duplicates(rows, preference)
    assert done["uid"].to_list() == rows["uid"].to_list()
    assert done.columns == rows.columns
    return dict(done.filter(pl.col("rule") == "exact_duplicate").select("uid", "twin").iter_rows())


def test_the_preferred_source_keeps_its_copy_then_the_smallest_uid() -> None:
    rows = rows_of(("a/2", "x"), ("a/1", "x"), ("b/9", "x"), ("b/3", "y"), ("b/2", "y"), ("a/5", "z"))
    assert twins(rows, "a", "b") == {"a/2": "a/1", "b/9": "a/1", "b/3": "b/2"}
    assert twins(rows, "b", "a") == {"a/2": "b/9", "a/1": "b/9", "b/3": "b/2"}


def test_a_duplicate_says_how_many_copies_there_are() -> None:
    done = drop_exact_duplicates(rows_of(("a/1", "x"), ("a/2", "x"), ("a/3", "x"), ("a/4", "y")), ["a"])
    reasons = [tuple(row) for row in done.select("stage", "rule", "value", "limit", "twin").iter_rows()]
    assert reasons == [
        (None,) * 5,
        ("dedup", "exact_duplicate", "3 copies", "1 copy", "a/1"),
        ("dedup", "exact_duplicate", "3 copies", "1 copy", "a/1"),
        (None,) * 5,
    ]


def test_rows_that_were_dropped_before_take_no_part() -> None:
    rows = rows_of(("a/1", "x"), ("a/2", "x"), ("a/3", "x"), dropped=("a/1",))
    assert twins(rows, "a") == {"a/3": "a/2"}
    done = drop_exact_duplicates(rows, ["a"])
    assert done.row(0) == rows.row(0)
    alone = rows_of(("a/1", "x"), ("a/2", "x"), dropped=("a/1",))
    assert drop_exact_duplicates(alone, ["a"]).equals(alone)


@settings(max_examples=60, deadline=None)
@given(
    digests=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz")), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_one_of_each_content_stays_for_any_order_of_rows(digests: list[tuple[str, str]], seed: int) -> None:
    rows = rows_of(*((f"{source}/{number:03d}", digest) for number, (source, digest) in enumerate(digests)))
    found = twins(rows, "c", "a", "b")
    assert twins(rows.sample(fraction=1, shuffle=True, seed=seed), "c", "a", "b") == found
    kept = rows.filter(~pl.col("uid").is_in(list(found)))
    assert sorted(kept["digest"].to_list()) == sorted({digest for _, digest in digests})
    of = dict(rows.select("uid", "digest").iter_rows())
    for loser, keeper in found.items():
        assert of[loser] == of[keeper]
        assert keeper in kept["uid"]
        assert ("cab".index(keeper[0]), keeper) < ("cab".index(loser[0]), loser)
