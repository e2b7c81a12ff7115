"""The page of completions: pictures, rewards and verdicts of a run, spread over its steps, nothing in it executable."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from infimed_train.cli import app
from infimed_train.completions import write_completions_page
from infimed_train.config import Data
from infimed_train.data import Rows, load_rows
from infimed_train.errors import TrainError

HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(2)> \u202egpj\x00"


class Seen(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, name: str) -> int:
        return sum(name in (of.get("class") or "").split() for _, of in self.tags)


def said(step: int, uid: str, text: str, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": step, "uid": uid, "source": "vqa", "answer_kind": "yes_no", "answer": "yes",
        "prompt": [{"role": "user", "content": "Is it?"}], "completion": [{"role": "assistant", "content": text}],
        "accuracy": 1.0, "format": 1.0, "verdict": "correct", "reason": "exact", "extracted": "yes", "advantage": 0.5,
    }  # fmt: skip
    return row | values


@pytest.fixture
def rows(demo_build: Path, training: None) -> Rows:
    return load_rows(Data(path=str(demo_build), output="rl"), "grpo")


@pytest.fixture
def run(rows: Rows, demo_build: Path, tmp_path: Path) -> Path:
    """A run of three logged steps of two groups of two: one row with a picture, one without."""
    folder = tmp_path / "run"
    (folder / "completions").mkdir(parents=True)
    card = {
        "task": "grpo", "data": rows.digest,
        "config": {"reward": {"format_weight": 0.2}, "data": {"path": str(demo_build), "output": "rl"}},
    }  # fmt: skip
    (folder / "run.json").write_bytes(orjson.dumps(card))
    images = [row["images"] for _, row in rows.raw()]
    pictured = rows.uids[next(i for i, of_row in enumerate(images) if of_row)]
    plain = rows.uids[next(i for i, of_row in enumerate(images) if not of_row)]
    for step in (5, 10, 15):
        table = [
            said(step, pictured, "Clear. <answer>yes</answer>"),
            said(step, pictured, HOSTILE, accuracy=0.0, format=0.0, verdict="wrong", reason="other", extracted="no"),
            said(step, plain, "Who knows?", accuracy=None, format=None, verdict="unverifiable", extracted=None),
            said(step, plain, "Right.", format=0.0),
        ]
        pl.DataFrame(table).write_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def test_a_page_shows_every_completion_with_its_picture_and_what_it_was_paid(run: Path) -> None:
    done = CliRunner().invoke(app, ["completions", str(run)])

    page = run / "completions.html"
    assert (done.exit_code, done.stdout) == (0, f"{page}\n")
    source = page.read_text("utf-8")
    seen = Seen(source)
    assert [sum(dict(of).get("data-verdict") == verdict for _, of in seen.tags)
            for verdict in ("correct", "wrong", "unverifiable")] == [6, 3, 3]  # fmt: skip
    assert seen.count("picture") == 3
    assert source.count("data:image/jpeg;base64,") == 1  # once, however often it is shown
    assert "1.2" in seen.text  # accuracy 1, format 1 at its weight of 0.2
    assert "A reward is 1 × accuracy + 0.2 × format" in seen.text
    assert "12 of 12 completions" in seen.text
    figures = re.findall(r"<tr><td>(\d+)</td><td>(\d+)</td><td>([^<]*)</td><td>(\d+)", source)
    assert figures == [("5", "4", "0.733", "2"), ("10", "4", "0.733", "2"), ("15", "4", "0.733", "2")]


def test_nothing_that_a_model_wrote_runs_or_hides(run: Path) -> None:
    source = write_completions_page(run).read_text("utf-8")

    seen = Seen(source)
    assert sum(tag == "script" for tag, _ in seen.tags) == 1
    assert not [of for _, of in seen.tags if any(name.startswith("on") for name in of)]
    assert "alert(1)" in seen.text
    assert "⟨U+202E⟩" in seen.text
    assert "⟨U+0000⟩" in seen.text
    (policy,) = [of["content"] for tag, of in seen.tags if tag == "meta" and "http-equiv" in of]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_long_run_is_shown_in_whole_groups_from_first_to_last_step(run: Path) -> None:
    page = write_completions_page(run, run.parent / "page.html", most=4)

    seen = Seen(page.read_text("utf-8"))
    assert [of["data-step"] for _, of in seen.tags if "data-step" in of] == ["5", "15"]
    assert "4 of 12 completions" in seen.text
    assert not (run / "completions.html").exists()


def test_other_data_or_none_costs_the_pictures_only(run: Path) -> None:
    card = orjson.loads((run / "run.json").read_bytes())
    (run / "run.json").write_bytes(orjson.dumps(card | {"data": "another"}))
    seen = Seen(write_completions_page(run).read_text("utf-8"))
    assert "is no longer what this run was trained on" in seen.text
    assert (seen.count("picture"), seen.count("card")) == (0, 6)
    card["config"]["data"]["path"] = "gone"
    (run / "run.json").write_bytes(orjson.dumps(card))
    assert "no pictures: data: no build at gone" in Seen(write_completions_page(run).read_text("utf-8")).text


def test_what_is_no_run_of_grpo_is_one_line(run: Path, tmp_path: Path) -> None:
    cases: list[tuple[Path, str]] = [(tmp_path, "not the folder of a run")]
    sft = tmp_path / "sft"
    sft.mkdir()
    (sft / "run.json").write_text('{"task": "sft"}', "utf-8")
    cases.append((sft, "a run of sft; completions are dumped by GRPO only"))
    torn = tmp_path / "torn"
    shutil.copytree(run, torn)
    (torn / "completions" / "completions_00010.parquet").write_bytes(b"PAR1")
    cases.append((torn, "completions_00010.parquet: not readable as completions of this run"))
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "completions")
    cases.append((bare, "no completions; GRPO writes them by default"))
    for folder, expected in cases:
        with pytest.raises(TrainError, match=expected) as caught:
            write_completions_page(folder)
        assert "\n" not in str(caught.value)
        assert not (folder / "completions.html").exists()
