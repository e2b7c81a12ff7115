"""The card says what is in a build, what to cite and what is wanting, in pictures too, which its lock vouches for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import orjson
import polars as pl
import pytest
from PIL import Image

from infimed_data.adapters.catalogue import DATA_SETS, data_set_of, data_sets_like
from infimed_data.charts import Dot, bars, dots, histograms
from infimed_data.manifest import portable
from infimed_data.outputs import draw_plots


def test_pictures_of_the_card_are_there_whole_and_drawn_again_alike(demo_build: Path, tmp_path: Path) -> None:
    card = (demo_build / "README.md").read_text("utf-8")
    lock = orjson.loads((demo_build / "lock.json").read_bytes())
    named = re.findall(r"!\[[^\]]+\]\((plots/[\w-]+\.png)\)", card)
    assert sorted(named) == sorted(name for name in lock["sha256"] if name.startswith("plots/"))
    assert {"plots/mixture-sft.png", "plots/mixture-rl.png", "plots/drops.png", "plots/lengths-sft.png"} <= set(named)
    for name in named:
        data = (demo_build / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == lock["sha256"][name]
        with Image.open(demo_build / name) as picture:
            picture.load()
            assert picture.width == 1400
    for output in ("sft", "rl"):
        (tmp_path / output).symlink_to(demo_build / output)
    assert draw_plots(tmp_path, lock) == sorted(named)
    assert all((tmp_path / name).read_bytes() == (demo_build / name).read_bytes() for name in named)


def test_every_source_is_cited_or_said_to_have_no_paper(demo_build: Path) -> None:
    card = (demo_build / "README.md").read_text("utf-8")
    cited = dict(re.findall(r"^- (\w+): (.+)$", card.partition("What to cite")[2].partition("\n## ")[0], re.MULTILINE))
    lock = orjson.loads((demo_build / "lock.json").read_bytes())
    assert list(cited) == list(lock["manifest"]["sources"])
    assert cited["vqa_rad"] == cited["vqa_rad_hub"] == DATA_SETS["vqa_rad"].citation
    assert "arXiv:2102.09542" in cited["slake"] and cited["messages"] == "none known"


def test_limits_are_those_of_the_build(demo_build: Path) -> None:
    limits = (demo_build / "README.md").read_text("utf-8").partition("## Known limits")[2]
    lock = orjson.loads((demo_build / "lock.json").read_bytes())
    assert "Benchmarks kept out: vqa_rad_test, slake_test" in limits and "not checked by a clinician" in limits
    for source in lock["sources"]:
        named = f"{source['source']}/{source['split']}: " in limits
        assert named == (source["rejected"] > 0.1 * source["rows_read"])


def test_lengths_are_counted_in_the_rows_themselves(tmp_path: Path) -> None:
    (tmp_path / "rl").mkdir()
    talk = [[{"role": "system", "content": "abc"}, {"role": "user", "content": "d"}], [{"role": "user", "content": ""}]]
    pl.DataFrame({"prompt": talk}).write_parquet(tmp_path / "rl" / "train-0.parquet")
    outputs = {"rl": {"strata": [{"stratum": "a", "asked": None, "realised": 2}]}}
    assert draw_plots(tmp_path, {"outputs": outputs, "drops": {}}) == ["plots/lengths-rl.png", "plots/mixture-rl.png"]


def test_charts_are_as_tall_as_what_they_show() -> None:
    def size(data: bytes, name: str, folder: list[tuple[int, int]]) -> int:
        assert data.startswith(b"\x89PNG"), name
        folder.append((int.from_bytes(data[16:20]), int.from_bytes(data[20:24])))
        return folder[-1][1]

    found: list[tuple[int, int]] = []
    few = size(bars("t", [("a", (1, None))], ("x", "y")), "bars", found)
    assert size(bars("t", [("long " * 40, (0, 3))] * 9, ("x", "y")), "more bars", found) > few
    size(bars("t", [], ("x",)), "no bars", found)
    size(histograms("t", {"a": [0, 0]}, ["1", "2"], every=1), "nothing", found)
    one = size(dots("t", [("a", [Dot(0.5, 0.4, 0.6)])], ["p"]), "dots", found)
    assert size(dots("t", [("a", [Dot(1.0)] * 9), ("b", [None] * 9)], ["p"] * 9), "panels in lines", found) > one
    assert {width for width, _ in found} == {1400}
    assert bars("t", [("a", (1,))], ("x",)) == bars("t", [("a", (1,))], ("x",))


@pytest.mark.parametrize(
    ("name", "adapter", "location", "options", "title"),
    [
        ("mine", "llava", "hf://datasets/HuanjinYao/Mulberry-SFT@main", {}, "Mulberry-260k"),
        ("quilt_llava", "llava", "x", {}, "Quilt-LLaVA instruct"),
        ("llava_med", "llava", "x", {}, "LLaVA-Med instruct"),
        ("mine", "llava", "x", {"id_field": None}, "Mulberry-260k"),
        ("mine", "slake", "x", {}, "SLAKE"),
        ("mine", "llava", "x", {}, None),
        ("messages", "chat", "x", {}, None),
        (
            "medxpertqa_text",
            "medxpertqa",
            "hf://datasets/TsinghuaC3I/MedXpertQA",
            {"config": "Text"},
            "MedXpertQA Text",
        ),
    ],
)
def test_which_data_set_a_source_is(
    name: str, adapter: str, location: str, options: dict[str, object], title: str | None
) -> None:
    found = data_set_of(name, adapter, location, options)
    assert (found.title if found else None) == title
    assert title is None or title in data_sets_like(name, adapter, location, options) or adapter == "slake"


def test_what_nobody_permits_is_not_said_to_be_permitted() -> None:
    unknown = ("not stated", "of each part", "gated terms", "Open-i terms")
    assert {name for name, entry in DATA_SETS.items() if entry.license in unknown} == {
        name for name, entry in DATA_SETS.items() if entry.redistribute is None
    }


def test_a_published_lock_has_names_for_places() -> None:
    reads = {"location": "/data/clinic/slake"}
    plain = {
        "sources": {
            "a": dict(reads), "b": {"location": "/other/slake"}, "c": {"location": "rad"},
            "d": {"location": "../x/rad"}, "e": {"location": "hf://datasets/a/b"},
            "f": {"location": "/data/path_vqa.zip"}, "g": dict(reads),
        },
        "benchmarks": {"t": {"location": "/data/clinic/slake"}},
        "teachers": {
            "q": {"file": None, "base_url": "http://gpu7.clinic.local/v1"},
            "r": {"file": "/d/t.jsonl", "base_url": None},
        },
        "decontaminate": {"review": "/home/ada/review.jsonl"},
        "generate": {"reflect": {"review": None}},
    }  # fmt: skip
    own, put = portable(plain)
    places = {name: source["location"] for name, source in own["sources"].items()}
    assert places == {
        "a": "a/slake", "b": "b/slake", "c": "rad", "d": "d/rad", "e": "hf://datasets/a/b", "f": "path_vqa.zip",
        "g": "a/slake",
    }  # fmt: skip
    assert own["benchmarks"]["t"]["location"] == "a/slake", "one folder, one name"
    assert own["teachers"]["q"]["base_url"] == "http://127.0.0.1:8000/v1" and own["teachers"]["r"]["file"] == "t.jsonl"
    assert own["decontaminate"]["review"] == "review.jsonl"
    assert plain["sources"]["a"] == reads and put["/other/slake"] == "b/slake"  # type: ignore[index]
