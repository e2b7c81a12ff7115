"""A draw gives what was asked, for any order of the rows, and says why where it cannot; a split never cuts a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.manifest import Mixture, Order, Output, Weight
from infimed_data.mix import Draw, StratumReport, draw, eligible, meta_fields, split_by_group

SCHEMA: dict[str, Any] = {
    "row": pl.UInt32,
    "uid": pl.String,
    "source": pl.String,
    "category": pl.String,
    "images": pl.List(pl.String),
    "group": pl.String,
    "words": pl.Int32,
}


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with what they do not say filled in."""
    blank: dict[str, Any] = {"source": "a", "category": "medical_vqa", "images": [], "group": None, "words": 1}
    return pl.DataFrame(
        [{**blank, "row": number, "uid": f"a/{number:04d}", **row} for number, row in enumerate(rows)], schema=SCHEMA
    )


def sized(**sizes: int) -> pl.DataFrame:
    """Rows of several sources."""
    return frame([{"source": source, "words": n * 7 % 13} for source, size in sizes.items() for n in range(size)])


def counts(rows: pl.DataFrame, done: Draw) -> dict[str, int]:
    """Rows drawn from each source."""
    sources = dict(rows.select("row", "source").iter_rows())
    return dict(Counter(sources[row] for row in done.chosen))


def asked(rows: pl.DataFrame, **mixture: Any) -> dict[str, int]:
    """Rows drawn from each source under a mixture; also checks that the draw accounts for every row."""
    done = draw(rows, "sft", Mixture(**mixture), seed=3)
    check_accounts(rows, done)
    return counts(rows, done)


def check_accounts(rows: pl.DataFrame, done: Draw) -> None:
    """Every row is drawn or refused, none is both or twice."""
    chosen = done.chosen.to_list()
    assert len(chosen) == len(set(chosen))
    assert set(done.refused) == set(rows["row"].to_list()) - set(chosen)
    assert sum(report.realised for report in done.strata) == len(chosen)
    assert sum(report.available for report in done.strata) == len(rows)


# Exact numbers


@pytest.mark.parametrize(
    ("sizes", "mixture", "wanted"),
    [
        ({"a": 5, "b": 7}, {}, {"a": 5, "b": 7}),
        ({"a": 50, "b": 70}, {"budgets": {"a": 8}}, {"a": 8, "b": 70}),
        ({"a": 50, "b": 70}, {"budgets": {"a": 0}}, {"b": 70}),
        ({"a": 50, "b": 70}, {"budgets": {"a": 0.1, "b": 0.5}}, {"a": 5, "b": 35}),
        ({"a": 50, "b": 70}, {"total": 40, "budgets": {"a": 0.25, "b": 0.75}}, {"a": 10, "b": 30}),
        ({"a": 50, "b": 70}, {"total": 40, "budgets": {"a": 0.25}}, {"a": 10, "b": 30}),
        ({"a": 50, "b": 70}, {"total": 40, "budgets": {"a": 3}}, {"a": 3, "b": 37}),
        ({"a": 50, "b": 70, "c": 90}, {"total": 40, "budgets": {"a": 10, "b": 0.5}}, {"a": 10, "b": 20, "c": 10}),
        ({"a": 10, "b": 30, "c": 60}, {"total": 50}, {"a": 5, "b": 15, "c": 30}),
        ({"a": 100, "b": 400}, {"total": 30, "temperature": 2.0}, {"a": 10, "b": 20}),
        ({"a": 100, "b": 400}, {"total": 100, "temperature": 1e9}, {"a": 50, "b": 50}),
        (
            {"a": 90, "b": 90, "c": 90},
            {"total": 60, "budgets": {"a": Weight(weight=1), "b": Weight(weight=2), "c": Weight(weight=3)}},
            {"a": 10, "b": 20, "c": 30},
        ),
        (
            {"a": 90, "b": 90, "c": 90},
            {"total": 60, "budgets": {"a": 30, "b": Weight(weight=2), "c": Weight(weight=1)}},
            {"a": 30, "b": 20, "c": 10},
        ),
    ],
)
def test_budgets_give_exactly_what_they_ask(
    sizes: dict[str, int], mixture: dict[str, Any], wanted: dict[str, int]
) -> None:
    assert asked(sized(**sizes), **mixture) == wanted


@pytest.mark.parametrize(
    ("sizes", "mixture", "wanted"),
    [
        # A count, a share and a weight that cannot be filled; the others make up the total.
        ({"a": 4, "b": 70}, {"total": 40, "budgets": {"a": 10}}, {"a": 4, "b": 36}),
        ({"a": 4, "b": 70}, {"total": 40, "budgets": {"a": 0.5}}, {"a": 4, "b": 36}),
        (
            {"a": 4, "b": 70, "c": 70},
            {"total": 64, "budgets": {"a": Weight(weight=8), "b": Weight(weight=1), "c": Weight(weight=2)}},
            {"a": 4, "b": 20, "c": 40},
        ),
        ({"a": 4, "b": 400}, {"total": 100, "temperature": 1e9}, {"a": 4, "b": 96}),
        # Nobody can make it up: all there is, and no more.
        ({"a": 4, "b": 5}, {"total": 100}, {"a": 4, "b": 5}),
        ({"a": 4, "b": 500}, {"total": 100, "budgets": {"a": 50, "b": 50}}, {"a": 4, "b": 50}),
    ],
)
def test_what_a_short_stratum_leaves_goes_to_the_others(
    sizes: dict[str, int], mixture: dict[str, Any], wanted: dict[str, int]
) -> None:
    assert asked(sized(**sizes), **mixture) == wanted


def test_what_a_cap_keeps_from_a_stratum_goes_to_the_others() -> None:
    rows = frame(
        [{"source": "a", "images": ["same"]} for _ in range(50)]
        + [{"source": "b", "images": [f"{n}"]} for n in range(50)]
    )
    done = draw(rows, "sft", Mixture(total=40, max_per_image=2), seed=3)
    check_accounts(rows, done)
    assert counts(rows, done) == {"a": 2, "b": 38}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1),
    total=st.integers(1, 100),
    temperature=st.floats(1, 20),
)
def test_a_total_is_met_whenever_there_are_rows_enough(sizes: dict[str, int], total: int, temperature: float) -> None:
    drawn = asked(sized(**sizes), total=total, temperature=temperature)
    assert sum(drawn.values()) == min(total, sum(sizes.values()))


# Order


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_draw_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    rows = frame(
        [
            {"source": "abc"[n % 3], "images": [f"i{n % 17}"], "group": f"g{n % 11}" if n % 2 else None, "words": n % 5}
            for n in range(80)
        ]
    )
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
    for mixture in (
        Mixture(total=30, max_per_image=3, max_per_group=4),
        Mixture(total=30, budgets={"a": 0.5}, order=Order(by="words")),
    ):
        first, second = draw(rows, "sft", mixture, seed=1), draw(shuffled, "sft", mixture, seed=1)
        assert first.chosen.to_list() == second.chosen.to_list()
        assert first.refused == second.refused
        assert first.strata == second.strata


def test_row_numbers_do_not_decide_only_uids_do() -> None:
    rows = sized(a=40)
    renumbered = rows.with_columns(row=(39 - pl.col("row")).cast(pl.UInt32))
    first = draw(rows, "sft", Mixture(total=10), seed=1).chosen.to_list()
    assert [39 - row for row in draw(renumbered, "sft", Mixture(total=10), seed=1).chosen] == first


def test_seed_and_output_change_the_draw_and_the_order() -> None:
    rows = sized(a=200)
    draws = {
        (output, seed): tuple(draw(rows, output, Mixture(total=50), seed=seed).chosen)
        for output in ("sft", "rl")
        for seed in (0, 1)
    }
    assert len(set(draws.values())) == 4
    assert len({frozenset(chosen) for chosen in draws.values()}) == 4
    assert list(draws["sft", 0]) != sorted(draws["sft", 0])


def test_a_larger_total_keeps_what_a_smaller_one_drew() -> None:
    rows = sized(a=100)
    small = set(draw(rows, "sft", Mixture(total=20), seed=1).chosen)
    assert small < set(draw(rows, "sft", Mixture(total=60), seed=1).chosen)


@pytest.mark.parametrize("descending", [False, True])
def test_a_curriculum_is_in_order_with_unknowns_last(descending: bool) -> None:
    rows = frame([{"words": None if n % 4 == 0 else n % 6} for n in range(60)])
    words = dict(rows.select("row", "words").iter_rows())
    done = draw(rows, "sft", Mixture(order=Order(by="words", descending=descending)), seed=2)
    shown = [words[row] for row in done.chosen]
    known = [w for w in shown if w is not None]
    assert known == sorted(known, reverse=descending)
    assert shown == known + [None] * 15
    ties = [row for row in done.chosen if words[row] == 1]
    assert ties != sorted(ties)  # shuffled


# Caps


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.sampled_from("uvwxyz"), max_size=3), st.sampled_from(["p", "q", None])), max_size=40
    ),
    image_cap=st.none() | st.integers(1, 4),
    group_cap=st.none() | st.integers(1, 4),
    total=st.none() | st.integers(1, 30),
)
def test_caps_are_never_exceeded(
    rows: list[tuple[list[str], str | None]], image_cap: int | None, group_cap: int | None, total: int | None
) -> None:
    table = frame([{"images": images, "group": group, "source": "ab"[n % 2]} for n, (images, group) in enumerate(rows)])
    done = draw(table, "sft", Mixture(total=total, max_per_image=image_cap, max_per_group=group_cap), seed=5)
    check_accounts(table, done)
    chosen = table.filter(pl.col("row").is_in(done.chosen.to_list()))
    images = Counter(image for row in chosen["images"].to_list() for image in set(row))
    groups = Counter(group for group in chosen["group"].to_list() if group is not None)
    if image_cap is not None:
        assert max(images.values(), default=0) <= image_cap
    if group_cap is not None:
        assert max(groups.values(), default=0) <= group_cap
    for rule, _, limit in done.refused.values():
        assert (rule, limit) in {
            ("max_per_image", str(image_cap)), ("max_per_group", str(group_cap)),
        } or (rule == "over_budget" and limit.endswith(" rows"))  # fmt: skip
    if total is None and not image_cap and not group_cap:
        assert not done.refused


def test_a_refusal_says_which_image_group_or_budget() -> None:
    rows = frame(
        [{"images": ["x"]} for _ in range(3)]
        + [{"group": "p", "source": "b"} for _ in range(3)]
        + [{"source": "c"} for _ in range(3)]
    )
    done = draw(rows, "sft", Mixture(budgets={"c": 2}, max_per_image=1, max_per_group=2), seed=0)
    check_accounts(rows, done)
    assert sorted(done.refused.values()) == [
        ("max_per_group", "group p has 2 rows", "2"),
        ("max_per_image", "image x is in 1 rows", "1"),
        ("max_per_image", "image x is in 1 rows", "1"),
        ("over_budget", "c", "2 rows"),
    ]


# Reports


def test_reports_tell_what_was_asked_found_and_drawn() -> None:
    rows = sized(a=50, b=4, c=9)
    done = draw(rows, "sft", Mixture(budgets={"a": 10, "b": 6, "nowhere": 3}), seed=0)
    assert done.strata == [
        StratumReport("a", 10, 50, 10, None),
        StratumReport("b", 6, 4, 4, "only 4 eligible rows"),
        StratumReport("c", None, 9, 9, None),
        StratumReport("nowhere", 3, 0, 0, "only 0 eligible rows"),
    ]
    assert done.asked is None
    assert draw(rows, "sft", Mixture(total=7), seed=0).asked == 7


def test_a_report_says_that_a_cap_left_rows_out() -> None:
    rows = frame([{"images": ["x"]} for _ in range(6)] + [{"source": "b", "images": [f"{n}"]} for n in range(60)])
    by_source = {r.stratum: r for r in draw(rows, "sft", Mixture(total=22, max_per_image=1), seed=0).strata}
    assert (by_source["a"].asked, by_source["a"].available, by_source["a"].realised) == (2, 6, 1)
    assert by_source["a"].why == "max_per_image left out 5"
    assert (by_source["b"].asked, by_source["b"].realised) == (20, 21)
    assert by_source["b"].why == "1 more, passed on from strata that could not fill their budget"
    uncapped = draw(rows, "sft", Mixture(max_per_image=1), seed=0).strata[0]
    assert uncapped == StratumReport("a", None, 6, 1, "max_per_image left out 5")


def test_strata_of_several_fields_and_unknown_values() -> None:
    rows = frame([{"category": "x" if n % 2 else "y", "group": None if n < 4 else "g"} for n in range(8)])
    mixture = Mixture(strata=("category", "source"), budgets={"x/a": 1})
    assert [(r.stratum, r.realised) for r in draw(rows, "sft", mixture, seed=0).strata] == [("x/a", 1), ("y/a", 4)]
    renamed = rows.rename({"group": "task", "category": "group"})
    mixture = Mixture(strata=("task",), budgets={"unknown": 3})
    assert [(r.stratum, r.realised) for r in draw(renamed, "sft", mixture, seed=0).strata] == [("g", 4), ("unknown", 3)]


def test_a_draw_from_nothing() -> None:
    done = draw(frame([]), "sft", Mixture(total=5, budgets={"a": 3}), seed=0)
    assert done.chosen.to_list() == []
    assert done.refused == {}
    assert done.strata == [StratumReport("a", 3, 0, 0, "only 0 eligible rows")]


def test_what_an_output_may_draw() -> None:
    rows = pl.DataFrame(
        {
            "source": ["a", "b", "b", "b"],
            "category": ["medical_vqa", "medical_vqa", "general_text", "medical_vqa"],
            "answer_kind": ["choice", "choice", "open", "open"],
        }
    )

    def kept(output: str, **spec: Any) -> list[bool]:
        conditions = [condition for condition, _ in eligible(output, Output(**spec)).values()]
        return rows.select(pl.all_horizontal(pl.lit(True), *conditions).alias("k"))["k"].to_list()

    assert kept("rl") == [True, True, False, False]
    assert kept("sft", sources=("b",)) == [False, True, True, True]
    assert kept("sft", categories=("medical_vqa",), answer_kinds=("open",)) == [False, False, False, True]
    assert eligible("sft", Output()) == {}
    outputs = [
        Output(mixture=Mixture(strata=("meta.plane", "source"), order=Order(by="meta.age"))),
        Output(mixture=Mixture(order=Order(by="words"))),
    ]
    assert meta_fields(outputs) == ["age", "plane"]


# Validation

Members = list[tuple[list[str], str | None, bool, bool]]
MEMBERS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([f"i{n}" for n in range(12)]), max_size=2),
        st.none() | st.sampled_from([f"g{n}" for n in range(6)]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9])


def members_frame(members: Members) -> pl.DataFrame:
    """Rows and the outputs that drew them."""
    return frame([{"images": images, "group": group} for images, group, _, _ in members]).with_columns(
        pl.Series("sft", [m[2] for m in members], pl.Boolean), pl.Series("rl", [m[3] for m in members], pl.Boolean)
    )


def linked(rows: pl.DataFrame, numbers: set[int]) -> set[str]:
    """Images and groups of rows."""
    chosen = rows.filter(pl.col("row").is_in(sorted(numbers)))
    return {image for row in chosen["images"].to_list() for image in row} | set(chosen["group"].drop_nulls())


def component_rows(rows: pl.DataFrame, numbers: set[int]) -> set[int]:
    """Rows that hang together with `numbers` over images and groups, whatever the number of steps."""
    while True:
        keys = linked(rows, numbers)
        more = {
            row
            for row, images, group in rows.select("row", "images", "group").iter_rows()
            if row in numbers or keys & {*images, group}
        }
        if more == numbers:
            return numbers
        numbers = more


def check_split(rows: pl.DataFrame, shares: Mapping[str, float], seed: int) -> dict[str, set[int]]:
    """The split, with nothing on both sides within an output or across outputs, and no share exceeded.

    Only what another output has put aside already may be more than an output's own share: it must not be trained on.
    """
    split = split_by_group(rows, shares, seed=seed)
    drawn = {name: set(rows.filter(pl.col(name))["row"].to_list()) for name in shares}
    aside: set[str] = set()
    trained: set[str] = set()
    for name, share in shares.items():
        assert split[name] <= drawn[name]
        others: set[int] = set().union(*(split[other] for other in shares if other != name))
        forced = split[name] & component_rows(rows, others)
        assert len(split[name]) <= max(share * len(drawn[name]), len(forced))
        if not share:
            assert not split[name]
        assert not linked(rows, split[name]) & linked(rows, drawn[name] - split[name])
        if share:
            aside |= linked(rows, split[name])
            trained |= linked(rows, drawn[name] - split[name])
    assert not aside & trained
    return split


@settings(max_examples=200, deadline=None)
@given(members=MEMBERS, sft=SHARES, rl=SHARES, seed=st.integers(0, 50))
def test_no_image_and_no_group_is_on_both_sides(members: Members, sft: float, rl: float, seed: int) -> None:
    check_split(members_frame(members), {"sft": sft, "rl": rl}, seed)


@settings(max_examples=50, deadline=None)
@given(members=MEMBERS, share=SHARES, seed=st.integers(0, 50), shuffle=st.integers(0, 50))
def test_equal_outputs_put_the_same_rows_aside(members: Members, share: float, seed: int, shuffle: int) -> None:
    rows = members_frame([(images, group, True, True) for images, group, _, _ in members])
    split = check_split(rows, {"sft": share, "rl": share}, seed)
    assert split["sft"] == split["rl"]
    shuffled = rows.sample(fraction=1, shuffle=True, seed=shuffle)
    assert split_by_group(shuffled, {"sft": share, "rl": share}, seed=seed) == split


def test_equal_shares_put_equal_components_aside_where_an_output_is_part_of_the_other() -> None:
    rows = members_frame([([f"i{n // 2}"], None, True, n % 2 == 0) for n in range(400)])
    split = check_split(rows, {"sft": 0.25, "rl": 0.25}, 4)
    assert (len(split["sft"]), len(split["rl"])) == (100, 50)
    assert linked(rows, split["sft"]) == linked(rows, split["rl"])


def test_a_share_is_met_as_nearly_as_whole_groups_allow() -> None:
    rows = members_frame([([], f"g{n // 4}", True, False) for n in range(400)])
    assert len(check_split(rows, {"sft": 0.1, "rl": 0.0}, 0)["sft"]) == 40
    assert len(check_split(rows, {"sft": 0.105, "rl": 0.0}, 0)["sft"]) == 40
    one_group = members_frame([([], "g", True, False) for _ in range(9)])
    assert check_split(one_group, {"sft": 0.5, "rl": 0.0}, 0)["sft"] == set()
    first, second = (split_by_group(rows, {"sft": 0.1}, seed=seed)["sft"] for seed in (0, 1))
    assert first != second


def test_a_chain_of_shared_images_and_groups_is_one_component() -> None:
    chain: Members = [([f"i{n}", f"i{n + 1}"], None, True, False) for n in range(10)]
    chain += [(["i10"], "g", True, False), ([], "g", True, False)]
    rows = members_frame(chain + [([], None, True, False)] * 48)
    for seed in range(12):
        aside = check_split(rows, {"sft": 0.5, "rl": 0.0}, seed)["sft"]
        assert len(aside & set(range(12))) in (0, 12)
    # An image and a group of one name are not the same thing.
    apart = members_frame([(["same"], None, True, False), ([], "same", True, False)])
    assert len(split_by_group(apart, {"sft": 0.5}, seed=0)["sft"]) == 1
