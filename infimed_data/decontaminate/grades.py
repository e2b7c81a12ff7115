"""Grades: what each match of a training row with a benchmark row is evidence of, and what is done about it.

    same_item       the same picture and the same question
    same_image      the same picture
    same_group      the same patient, study, figure or page
    same_question   the same question and options, specific enough to be no template
    near_question   much of the question, weighed by how rare its words are
    same_template   the same question, but one that many rows may ask

A row may have several grades, and matches in several benchmarks: each is a row of the table `leaks`, with the benchmark
row that comes closest and how many others do. The strongest grade whose action is `drop` drops the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from infimed_data.manifest import Decontaminate

__all__ = ["GRADES", "TextMatches", "drop_leaks", "find_leaks", "needed_share"]

GRADES = ("same_item", "same_image", "same_group", "same_question", "near_question", "same_template")
"""Names of the grades, the strongest first."""

LEAST_WEIGHT = 2.0
"""Weight of shared terms below which nothing is near."""
CHANCE = 0.5
"""Weight that does not count for each time that the text which holds a question is twice as long as the question: a
long text has a few rare words of many a short question."""
SHORT, SHORT_SHARE, FALL = 6.0, 0.95, 6.0
"""A question of at most this weight has to be there to this share, since two questions about one thing share the words
for it; the share that is needed falls from there with each `FALL` of weight, to a third for a vignette."""
IMAGE_FACTOR = 2.0
"""A question about a picture has to weigh this many times as much to be the same without the picture, ..."""
MAX_PICTURES = 2
"""... and may be asked of this many pictures: what more share is a template."""
REPEATED = 0.25
"""A question that rows of one source ask again and again has to weigh this part more for each doubling of their number:
a template asked a thousand times is none the less one text, whose words look rare."""


@dataclass(frozen=True)
class TextMatches:
    """What one source and split's questions match."""

    text: NDArray[np.int64]
    """For each of its rows the number of its distinct question, -1 for none."""
    question: NDArray[np.uint64]
    """For each distinct question the digest of its words."""
    options: NDArray[np.uint64]
    """And of its options."""
    matches: pl.DataFrame
    """`matching.MATCHES`."""


def needed_share(weight: pl.Expr, long: float) -> pl.Expr:
    """Share of a question that makes it near, given what all of it weighs; `long` is that of the longest."""
    return long + (max(SHORT_SHARE, long) - long) * (-(weight - SHORT).clip(0) / FALL).exp()


def find_leaks(
    rows: pl.DataFrame,
    benchmarks: pl.DataFrame,
    questions: pl.DataFrame,
    texts: Mapping[int, TextMatches],
    pictures: pl.DataFrame,
    policy: Decontaminate,
    marks: Mapping[str, bool],
) -> pl.DataFrame:
    """One row a leak: number, benchmark, benchmark_row, grade, action, score, evidence, matches, image,
    benchmark_image, pair and mark, sorted by number, grade and benchmark.

    `rows` has number, unit, at (place in the unit), digest, images and keys. `benchmarks` has row, benchmark (a name),
    rank, images, keys and question (the number of its distinct question), and `questions` has question, digest,
    options, pictures and rows. `pictures` pairs training images with benchmark images, with score and transform.
    `marks` says of pairs that somebody looked at whether they are right.
    """
    rows = rows.with_columns(has_image=pl.col("images").list.len() > 0)
    asked = _asked(rows, texts)
    item, image = _by_image(rows, benchmarks, questions, asked, pictures, policy.image_score)
    by_text = [_by_text(unit, asked, matched, benchmarks, questions, policy) for unit, matched in texts.items()]
    # What is the same item has the same question, and needs no other word for it.
    real = item.filter(~pl.col("pair").is_in([pair for pair, right in marks.items() if not right]))
    rest = pl.concat([_leaks(item.clear()), *by_text]).join(real, on=["number", "benchmark"], how="anti")
    found = pl.concat([item, image, _by_group(rows, benchmarks), rest]).join(
        rows.select("number", "has_image"), on="number", how="left", maintain_order="left"
    )
    found = found.with_columns(
        action=pl.when("has_image").then(_actions(policy, image=True)).otherwise(_actions(policy, image=False)),
        mark=pl.col("pair").replace_strict(
            {pair: "right" if right else "wrong" for pair, right in marks.items()}, default=None, return_dtype=pl.String
        ),
    ).filter(pl.col("action") != "off")
    by_mark = pl.when(pl.col("mark") == "right").then(pl.lit("drop")).otherwise(pl.lit("report"))
    found = found.with_columns(action=pl.when(pl.col("mark").is_not_null()).then(by_mark).otherwise("action"))
    order = pl.col("grade").replace_strict({grade: i for i, grade in enumerate(GRADES)}, return_dtype=pl.Int8)
    return found.drop("has_image").sort("number", order, "benchmark", maintain_order=True)


def drop_leaks(rows: pl.DataFrame, leaks: pl.DataFrame, uids: pl.Series) -> pl.DataFrame:
    """`rows` with those dropped that have a leak to drop for, by the strongest; `twin` is the benchmark row's uid.

    `leaks` is what `find_leaks` gave, `uids` the uids of all benchmark rows. Rows with a rule stay as they are.
    """
    strongest = leaks.filter(pl.col("action") == "drop").unique("number", keep="first", maintain_order=True)
    strongest = strongest.select(
        "number", "grade", "evidence", "limit", benchmark=uids.gather(strongest["benchmark_row"])
    )
    found = rows.select("number").join(
        strongest.rename({"limit": "leak_limit"}), on="number", how="left", maintain_order="left"
    )
    lost = found["grade"].is_not_null() & rows["rule"].is_null()
    return rows.with_columns(
        stage=pl.when(lost).then(pl.lit("decontaminate")).otherwise("stage"),
        rule=pl.when(lost).then(found["grade"]).otherwise("rule"),
        value=pl.when(lost).then(found["evidence"]).otherwise("value"),
        limit=pl.when(lost).then(found["leak_limit"]).otherwise("limit"),
        twin=pl.when(lost).then(found["benchmark"]).otherwise("twin"),
    )


def _actions(policy: Decontaminate, *, image: bool) -> pl.Expr:
    actions = {grade: policy.action(grade, image=image) for grade in GRADES}
    return pl.col("grade").replace_strict(actions, return_dtype=pl.String)


_LEAK = {
    "number": pl.UInt32, "benchmark": pl.String, "benchmark_row": pl.Int64, "grade": pl.String, "score": pl.Float64,
    "evidence": pl.String, "limit": pl.String, "matches": pl.Int64, "image": pl.String, "benchmark_image": pl.String,
    "pair": pl.String,
}  # fmt: skip


def _leaks(frame: pl.DataFrame, grade: str | None = None) -> pl.DataFrame:
    """`frame` with the columns of a leak; those it lacks are null."""
    if grade is not None:
        frame = frame.with_columns(grade=pl.lit(grade))
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in _LEAK.items()
    )


def _asked(rows: pl.DataFrame, texts: Mapping[int, TextMatches]) -> pl.DataFrame:
    """Rows that ask something: number, unit, has_image, item (digest of the whole row), picture (null for none), text
    (number of the distinct question in its unit) and digest (of that question)."""
    parts = []
    for unit, matched in texts.items():
        own = rows.filter(pl.col("unit") == unit)
        text = matched.text[own["at"].to_numpy()]
        digest = np.where(text >= 0, np.append(matched.question, np.uint64(0))[text], np.uint64(0))
        parts.append(
            own.select(
                "number",
                "unit",
                "has_image",
                item="digest",
                picture=pl.when("has_image").then(pl.col("images").list.join(",")),
            ).with_columns(text=pl.Series(text, dtype=pl.Int64), digest=pl.Series(digest, dtype=pl.UInt64))
        )
    empty = {
        "number": pl.UInt32, "unit": pl.UInt32, "has_image": pl.Boolean, "item": pl.String, "picture": pl.String,
        "text": pl.Int64, "digest": pl.UInt64,
    }  # fmt: skip
    return pl.concat([pl.DataFrame(schema=empty), *parts]).filter(pl.col("text") >= 0)


def _closest(frame: pl.DataFrame, *by: str) -> pl.DataFrame:
    """The best row of each combination of `by`: the highest score, then the lowest rank; `matches` adds up."""
    return (
        frame.sort(*by, pl.col("score"), "rank", descending=[False] * len(by) + [True, False], maintain_order=True)
        .group_by(*by, maintain_order=True)
        .agg(pl.exclude("matches").first(), pl.col("matches").sum())
    )


def _first(benchmarks: pl.DataFrame, *by: str) -> pl.DataFrame:
    """For each combination of `by` the benchmark row with the lowest rank, and how many rows there are."""
    return (
        benchmarks.sort("rank")
        .group_by(*by, maintain_order=True)
        .agg(benchmark_row=pl.col("row").first(), rank=pl.col("rank").first(), matches=pl.col("row").n_unique())
    )


def _by_image(
    rows: pl.DataFrame,
    benchmarks: pl.DataFrame,
    questions: pl.DataFrame,
    asked: pl.DataFrame,
    pictures: pl.DataFrame,
    least_score: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows with the same item, rows with the same image)."""
    each = rows.select("number", image="images").explode("image", empty_as_null=False, keep_nulls=False).unique()
    hits = each.join(pictures.filter(pl.col("score") >= least_score), on="image").with_columns(
        limit=pl.lit(f"score {least_score:g}")
    )
    shown = benchmarks.select("row", "benchmark", "rank", "question", benchmark_image="images")
    shown = shown.explode("benchmark_image", empty_as_null=False, keep_nulls=False)
    pair = pl.concat_str(
        pl.lit("i:"), pl.col("image").str.head(16), pl.lit("-"), pl.col("benchmark_image").str.head(16)
    )
    same = hits.join(_first(shown, "benchmark", "benchmark_image"), on="benchmark_image")
    same = _closest(same.with_columns(evidence="transform", pair=pair), "number", "benchmark")
    put = shown.join(questions.select("question", "digest"), on="question")
    item = hits.join(asked.select("number", "digest"), on="number").join(
        _first(put, "benchmark", "benchmark_image", "digest"), on=["benchmark_image", "digest"]
    )
    item = item.with_columns(evidence=pl.col("transform") + "; the same question", pair=pair)
    return _leaks(_closest(item, "number", "benchmark"), "same_item"), _leaks(same, "same_image")


def _by_group(rows: pl.DataFrame, benchmarks: pl.DataFrame) -> pl.DataFrame:
    ours = rows.select("number", key="keys").explode("key", empty_as_null=False, keep_nulls=False)
    theirs = benchmarks.select("row", "benchmark", "rank", key="keys")
    theirs = theirs.explode("key", empty_as_null=False, keep_nulls=False)
    found = ours.join(_first(theirs, "benchmark", "key"), on="key")
    found = found.with_columns(score=pl.lit(1.0), evidence="key", pair=pl.lit("g:") + pl.col("key"))
    return _leaks(_closest(found, "number", "benchmark"), "same_group")


_VIEWS = {
    "question": ("its_asked_terms", "terms", "of the benchmark's question"),
    "with_options": ("its_terms", "terms", "of the benchmark's question and options"),
    "reverse": ("asked_terms", "its_terms", "of this question is in the benchmark's"),
}
"""Each way to compare two questions: the size of what is looked for and of where, and what the share is of."""


def _by_text(
    unit: int,
    asked: pl.DataFrame,
    matched: TextMatches,
    benchmarks: pl.DataFrame,
    questions: pl.DataFrame,
    policy: Decontaminate,
) -> pl.DataFrame:
    own = asked.filter(pl.col("unit") == unit)
    shown = own.group_by("text", "has_image").agg(
        own_pictures=pl.col("picture").drop_nulls().n_unique(), own_rows=pl.col("item").n_unique()
    )
    often = 1 + REPEATED * pl.max_horizontal("own_rows", "rows").log(2)
    pairs = (
        shown.join(matched.matches, on="text")
        .join(questions.select("question", "pictures", "rows"), on="question")
        .with_columns(
            factor=pl.when("has_image").then(IMAGE_FACTOR).otherwise(1.0) * often,
            shown=pl.col("pictures") + pl.col("own_pictures"),
        )
        .with_columns(least=policy.specific * pl.col("factor"))
        .with_columns(
            template=pl.col("same")
            & ((pl.col("specific") < pl.col("least")) | (pl.col("has_image") & (pl.col("shown") > MAX_PICTURES)))
        )
    )
    same = pl.col("same") & (pl.col("same_options") | pl.col("template"))
    graded = pl.concat([_same(pairs.filter(same)), _near(pairs.filter(~same), policy.question_share)])
    found = own.select("number", "text", "has_image").join(graded, on=["text", "has_image"])
    found = found.join(_first(benchmarks, "question", "benchmark"), on="question")
    best = _closest(found, "number", "benchmark", "grade")
    return _leaks(_with_pairs(best, matched, questions))


def _same(pairs: pl.DataFrame) -> pl.DataFrame:
    """Pairs of questions with the same words: the same question where it is specific, else the same template."""
    words = pl.when(pl.col("same_options")).then(pl.lit("the same words")).otherwise(pl.lit("other options"))
    pictures = pl.when(pl.col("shown") > 0).then(pl.format(", asked of {} pictures", "shown")).otherwise(pl.lit(""))
    return pairs.select(
        "text",
        "has_image",
        "question",
        grade=pl.when("template").then(pl.lit("same_template")).otherwise(pl.lit("same_question")),
        score=pl.lit(1.0),
        evidence=pl.format("{}, weight {}{}", words, pl.col("specific").round(1), pictures),
        limit=pl.format("weight {}", pl.col("least").round(1)),
    )


def _near(pairs: pl.DataFrame, long_share: float) -> pl.DataFrame:
    """Pairs of questions of which one has much of the other, in the way in which it has most of it."""
    found = []
    for view, (part, whole, words) in _VIEWS.items():
        share, weight = (pl.col(f"{view}_{name}").cast(pl.Float64) for name in ("share", "weight"))
        chance = CHANCE * (pl.col(whole) / pl.max_horizontal(part, pl.lit(1))).log(2).clip(0)
        found.append(
            pairs.filter((share > 0) & (weight / pl.col("factor") - chance >= LEAST_WEIGHT)).select(
                "text",
                "has_image",
                "question",
                share=share,
                weight=weight,
                needed=needed_share(weight / share / pl.col("factor"), long_share),
                words=pl.lit(words),
            )
        )
    near = pl.concat(found).filter(pl.col("share") >= pl.col("needed"))
    near = near.sort(pl.col("needed") - pl.col("share"), maintain_order=True)
    near = near.unique(["text", "has_image", "question"], keep="first", maintain_order=True)
    return near.select(
        "text",
        "has_image",
        "question",
        grade=pl.lit("near_question"),
        score=pl.col("share").round(4),
        evidence=pl.format("{}% {}, weight {}", _percent("share"), "words", pl.col("weight").round(1)),
        limit=pl.format("{}% at this weight", _percent("needed")),
    )


def _percent(share: str) -> pl.Expr:
    return (pl.col(share) * 100).round(0).cast(pl.Int64)


def _with_pairs(found: pl.DataFrame, matched: TextMatches, questions: pl.DataFrame) -> pl.DataFrame:
    """Adds `pair`: a digest of both questions and their options, the same whatever the rows are called."""
    which = found.select("text", "question").unique()
    digests = questions["digest"].to_list(), questions["options"].to_list()
    pairs = []
    for text, question in which.iter_rows():
        ours = int(matched.question[text]), int(matched.options[text])
        parts = f"{ours} {digests[0][question]} {digests[1][question]}"
        pairs.append(f"t:{xxhash.xxh3_64_hexdigest(parts.encode())}")
    return found.join(which.with_columns(pair=pl.Series(pairs, dtype=pl.String)), on=["text", "question"], how="left")
