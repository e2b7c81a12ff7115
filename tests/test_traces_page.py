"""What teachers wrote, as text and as a page: counted, chosen, explained, safe, and marked by hand."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pyarrow.parquet as pq
import pytest
from chromium import chromium, find_chromium
from conftest import PROJECT, Run
from hypothesis import given
from hypothesis import strategies as st
from parsed_page import HOSTILE, HOSTILE_KEY, Page, check_no_markup, check_policy
from PIL import Image
from traced_build import Asked, ended, judged, won, write_tables, write_traced_build

from infimed_data.errors import QueryError
from infimed_data.gates import GATES
from infimed_data.rejection import POLICIES, candidate_rows, generated_row, read_marks
from infimed_data.report.traces import traces_page, traces_text, write_traces_page
from infimed_data.report.traces.pieces import MAX_CHARS, Note, annotated
from infimed_data.report.traces.wording import (
    GATES_IN_WORDS,
    PATTERNS_IN_WORDS,
    POLICIES_IN_WORDS,
    ROLES_IN_WORDS,
    WITHHELD_IN_WORDS,
)
from infimed_data.stats import open_build
from infimed_data.strategies.candidate import Role, Withheld


@pytest.fixture(scope="module")
def page(asked: Asked) -> Page:
    return Page(traces_page(open_build(asked.folder), max_samples=1000).decode())


def words(text: str) -> str:
    return " ".join(text.split())


# The command


def test_a_build_without_candidates_says_which_key_makes_them(tmp_path: Path, run: Run) -> None:
    source = {"adapter": "medqa", "location": "medqa", "category": "medical_text"}
    manifest = {"name": "quiet", "root": str(PROJECT / "sample_data"), "sources": {"medqa": source}}
    (tmp_path / "quiet.yaml").write_text(json.dumps(manifest | {"outputs": {"sft": {}}}))
    built = run("build", "quiet.yaml", cwd=tmp_path)
    done = run("traces", built.stdout.splitlines()[-1], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"error: .*no candidates\.parquet: no teacher was asked for traces; .*`generate`.*\n", done.stderr
    )


def test_a_damaged_build_is_told_from_one_without_teachers(demo_build: Path, tmp_path: Path) -> None:
    asked = write_traced_build(demo_build, tmp_path / "b", lock={"manifest": {"generate": {"thinking": {}}}})
    (asked.folder / "generated.parquet").unlink()
    with pytest.raises(QueryError, match=r"damaged: generated\.parquet is missing"):
        traces_text(open_build(asked.folder))


def test_the_command_prints_the_numbers_and_names_the_page_last(asked: Asked, tmp_path: Path, run: Run) -> None:
    done = run("traces", asked.folder, "--samples", 12, cwd=tmp_path, COLUMNS="100")
    assert done.returncode == 0, done.stderr
    build = open_build(asked.folder)
    name = f"demo-{build.lock['build']}-traces.html"
    assert done.stdout.splitlines()[-1] == name
    assert done.stdout.splitlines()[:3] == traces_text(build).splitlines()[:3]
    assert (tmp_path / name).read_bytes() == traces_page(build, max_samples=12)
    with pytest.raises(QueryError, match="inside the build"):
        write_traces_page(build, asked.folder / "page.html")


# What is on the page


def test_everything_is_named_in_words() -> None:
    assert GATES_IN_WORDS.keys() == GATES.keys()
    assert POLICIES_IN_WORDS.keys() == POLICIES.keys()
    assert WITHHELD_IN_WORDS.keys() == set(get_args(Withheld))
    assert ROLES_IN_WORDS.keys() == set(get_args(Role))
    assert PATTERNS_IN_WORDS.keys() >= {"self_check", "look_back", "verify", "explore", "correct", "backtrack"}


def test_every_candidate_is_on_the_page_with_its_verdict_and_why(asked: Asked, page: Page) -> None:
    cards = {json.loads(mark)["candidate"]: words(card) for mark, card in zip(page.marks, page.cards, strict=True)}
    everything = judged(asked)
    assert cards.keys() == {each.candidate.key for _, each in everything} and len(cards) == len(everything)
    seen: Counter[str] = Counter()
    for outcome, each in everything:
        card, candidate = cards[each.candidate.key], each.candidate
        status = "trained on" if won(outcome, each) else "accepted, not used" if each.accepted else "refused"
        verdict = {"correct": "right", "unverifiable": "cannot be judged", "truncated": "cut off",
                   "failed": "no answer came"}.get(ended(each), "wrong")  # fmt: skip
        assert f"Attempt {candidate.attempt} {status} {verdict} " in card
        assert all(f"{finding.gate} {words(finding.reason)}" in card for finding in each.findings)
        assert f"{len(candidate.steps)} request" in card
        reasoning = words(candidate.reasoning)
        assert reasoning[:30] in card or each.findings or "Wait" in card or not reasoning
        told = {
            "wrong": "the gold answer is “",
            "unverifiable": "No rule can tell whether",
            "truncated": "The text is cut off at max_tokens",
            "failed": "Nothing came back from the teacher",
            "mark:bad": "a reviewer marked it bad",
            "withheld:low_tier": "too few of the sample's candidates are right",
            "withheld:middle_tier": "a rewritten one takes their place",
            "withheld:not_reconstructed": "from its reasoning alone",
            "gate:answer_leak": "speaks of an answer that was given to it",
            "gate:no_reflection": "shows no sign of the reflection",
        }
        refusal = each.refusal or ("let in" if each.mark == "good" else "won" if won(outcome, each) else "passed over")
        told |= {
            "won": "trained on",
            "passed over": "but not chosen",
            "let in": "Let in by a reviewer's mark, against:",
        }
        assert told[refusal] in card, (refusal, card)
        assert ("Written with the gold answer in view." in card) == candidate.gold_revealed
        seen[refusal] += 1
    assert len(seen) >= 11, seen


def test_reflection_and_findings_are_marked_where_they_are(asked: Asked, page: Page) -> None:
    labels = r"(?:<i [^>]*>[^<]*</i>)*"
    look_back = r'<i class="label reflects">look back</i>'
    assert re.search(rf'<span class="marker reflects">{labels}{look_back}{labels}Looking again</span>', page.html)
    leak = next(finding for _, each in judged(asked) for finding in each.findings if finding.gate == "answer_leak")
    assert re.search(rf'<span class="gate[^"]*"><i class="label gate">answer leak</i>{leak.span}</span>', page.html)
    assert re.search(r'<span class="answer">[^<]+</span><span class="tag">&lt;/answer&gt;</span>', page.html)


def test_requests_of_search_and_stability_are_told(page: Page) -> None:
    text = words(" ".join(page.cards))
    for part in (
        "revision, told that it was wrong",
        "merged into one train of thought",
        "last round, told the gold answer",
        "answer from masked reasoning",
        "rewritten with the gold answer saw the gold answer",
        "Masked: ",
        "503 after 4 tries",
        "Wrong turns on the way",
    ):
        assert part in text, part


def test_pictures_are_those_of_the_outputs(asked: Asked, page: Page) -> None:
    style = page.inside["style"][1]
    shown = [base64.b64decode(data) for data in re.findall(r"base64,([A-Za-z0-9+/=]+)\)", style)]
    with_picture = {
        digest for outcome in asked.outcomes if outcome.judged for digest in asked.rows[outcome.uid]["images"]
    }
    assert 20 < len(shown) <= len(with_picture)
    samples = pl.read_parquet(asked.folder / "samples.parquet")
    outputs = pq.read_table(asked.folder / "rl" / "train-00000-of-00001.parquet", columns=["uid", "images"]).to_pylist()
    bytes_of = {row["uid"]: [image["bytes"] for image in row["images"]] for row in outputs}
    checked = 0
    for uid, images in samples.select("uid", "images").iter_rows():
        if not images or uid not in bytes_of or uid not in {each.uid for each in asked.outcomes if each.judged}:
            continue
        with Image.open(io.BytesIO(bytes_of[uid][0])) as original:
            ours = original.convert("L").resize((16, 16))
        near = min(_distance(ours, copy) for copy in shown)
        assert near < 6, uid
        checked += 1
    assert checked > 10
    assert "This build keeps no copy of this picture." in page.html


def _distance(ours: Image.Image, copy: bytes) -> float:
    with Image.open(io.BytesIO(copy)) as small:
        theirs = small.convert("L").resize((16, 16))
    pairs = zip(ours.tobytes(), theirs.tobytes(), strict=True)
    return sum(abs(one - other) for one, other in pairs) / 256


@pytest.mark.parametrize("max_samples", [16, 40])
def test_a_choice_has_every_kind_and_says_that_it_is_one(asked: Asked, page: Page, max_samples: int) -> None:
    shown = Page(traces_page(open_build(asked.folder), max_samples=max_samples).decode())
    assert len(shown.all("article")) == max_samples
    total = sum(not outcome.answer_only for outcome in asked.outcomes)
    text = words(re.sub("<[^>]+>", "", shown.html))
    assert f"A choice: {max_samples} of {total} samples are on this page" in text
    assert f"All {total} samples" in words(re.sub("<[^>]+>", "", page.html))
    if max_samples == 40:
        options = [[option["data-name"] for option in each.all("option")] for each in (shown, page)]
        assert options[0] == options[1]


def test_the_same_build_gives_the_same_bytes(asked: Asked) -> None:
    build = open_build(asked.folder)
    assert traces_page(build, max_samples=30) == traces_page(build, max_samples=30)


# Safety


@pytest.fixture(scope="module")
def hostile(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build whose every text, name and key is hostile or missing."""
    folder = tmp_path_factory.mktemp("hostile") / "b"
    folder.mkdir()
    for name in ("drops", "images"):
        (folder / f"{name}.parquet").write_bytes((asked.folder / f"{name}.parquet").read_bytes())
    lock = json.loads((asked.folder / "lock.json").read_text("utf-8"))
    (folder / "lock.json").write_text(
        json.dumps({**lock, "name": "demo", "generate": {HOSTILE: {"fill": [{"stratum": HOSTILE}, 3]}}}), "utf-8"
    )
    rng = random.Random(1)
    samples = pl.read_parquet(asked.folder / "samples.parquet").to_dicts()
    schema = pl.read_parquet(asked.folder / "samples.parquet").schema
    for row in samples:
        row |= {"question": HOSTILE, "options": [HOSTILE] * 30, "answer": HOSTILE, "answer_label": None}
        row |= {"source": HOSTILE, "answer_kind": HOSTILE, "images": [HOSTILE, HOSTILE_KEY]}
    pl.DataFrame(samples, schema=schema).write_parquet(folder / "samples.parquet")
    candidates = [row for outcome in asked.outcomes for row in candidate_rows(outcome)]
    for number, row in enumerate(candidates):
        row |= {"key": HOSTILE_KEY + str(number), "extracted": HOSTILE, "reason": HOSTILE, "strategy": HOSTILE}
        row |= {"text": f"<think>Wait, {HOSTILE}</think><answer>{HOSTILE}</answer>", "pattern": f"{HOSTILE}+look_back"}
        row["gates"] = [
            {"gate": HOSTILE, "reason": HOSTILE, "span": HOSTILE, "start": rng.randrange(-9, 99), "end": 90}
        ]
        for step in row["steps"]:
            step |= dict.fromkeys(("role", "prompt", "model", "pattern", "text", "error", "reason"), HOSTILE)
            step |= {"status": HOSTILE, "masked": [HOSTILE]}
        if number % 7 == 0:
            row |= {name: None for name in row if name not in ("uid", "key")}
        if number % 7 == 1:
            row |= {"refusal": HOSTILE, "accepted": False, "winner": None}
    candidates.append({"uid": "gone/train/1", "key": "long", "text": "Wait. " * 200_000, "status": "answered"})
    generated = [{**generated_row(outcome), "rule": HOSTILE, "value": HOSTILE} for outcome in asked.outcomes]
    write_tables(folder, candidates, generated)
    return folder


def test_no_data_becomes_markup(hostile: Path) -> None:
    page = Page(traces_page(open_build(hostile), max_samples=1000).decode())
    check_no_markup(page)
    assert any(
        "</script><script>window.owned = 1</script>" in card and "{{ 7 * 7 }} &lt;" in card for card in page.cards
    )
    assert HOSTILE_KEY + "1" in [json.loads(mark)["candidate"] for mark in page.marks]
    assert "This build has lost the row." in page.html
    assert "1,188,000 characters are left out" in page.html
    text = traces_text(open_build(hostile), width=100)
    assert all(line.isprintable() for line in text.splitlines())


def test_no_data_in_script_and_the_policy_admits_nothing_else(page: Page) -> None:
    check_no_markup(page)
    check_policy(page, "traces")


@given(st.text("ab 肺.\n", max_size=80), st.lists(st.tuples(st.integers(-2, 90), st.integers(-2, 90)), max_size=8))
def test_pieces_are_the_text_and_know_their_notes(text: str, places: list[tuple[int, int]]) -> None:
    notes = [
        Note(start, end, f"k{n}", f"l{n}") for n, (start, end) in enumerate(places) if 0 <= start < end <= len(text)
    ]
    pieces, left_out = annotated(text, notes)
    assert left_out == 0
    squeezed = re.compile(r"\s+")
    assert squeezed.sub("", "".join(piece.text for piece in pieces)) == squeezed.sub("", text)
    assert sorted(note for piece in pieces for note in piece.begins) == sorted(notes)
    for note in notes:
        inside = "".join(piece.text for piece in pieces if note.kind in piece.kinds)
        assert squeezed.sub("", inside) == squeezed.sub("", text[note.start : note.end])


def test_a_long_trace_keeps_its_beginning_and_its_end() -> None:
    text = "first " + "word " * 9000 + "last"
    pieces, left_out = annotated(text, [])
    assert left_out == len(text) - MAX_CHARS
    assert pieces[0].text.startswith("first") and pieces[-1].text.endswith("last")
    assert [piece.kinds for piece in pieces] == [(), ("cut",), ()]


# In a browser


@pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")
def test_marks_filters_and_keys_in_a_browser(asked: Asked, tmp_path: Path) -> None:
    file = write_traces_page(open_build(asked.folder), tmp_path / "page.html", max_samples=1000)
    everything = judged(asked)
    with chromium(tmp_path) as browser:
        browser.open(file)
        total = len(everything)
        assert browser.text("#progress") == f"2 of {total} marked"

        def shown() -> Any:
            cards = "[...document.querySelectorAll('.trace')].filter(c => !c.hidden)"
            return browser.ask(f"{cards}.map(c => JSON.parse(c.dataset.mark).candidate)")

        order = shown()
        browser.press("j")
        assert browser.ask("document.activeElement.id") == "t1"
        browser.press("g")
        browser.press("j")
        browser.press("b")
        assert browser.text("#t2 .effect") == "The next build keeps this trace out."
        browser.press("n")
        assert browser.ask("document.activeElement.closest('article').id") == "s2"
        browser.press("p")
        assert browser.ask("document.activeElement.id") == "t1"
        browser.press("e")
        assert browser.ask("document.querySelector('#t1 .steps').open")
        assert browser.text("#progress") == f"4 of {total} marked"

        leaky = {each.candidate.key for _, each in everything if "answer_leak" in [f.gate for f in each.findings]}
        number = "[...document.querySelector('[data-facet=gate]').options].find(o => o.dataset.name === 'answer_leak')"
        browser.choose("[data-facet=gate]", browser.ask(f"{number}.value"))
        assert set(shown()) == leaky
        assert browser.ask(f"{number}.textContent") == f"answer_leak ({len(leaky)})"
        empty = "[...document.querySelectorAll('article')].filter(a => !a.querySelector('.trace:not([hidden])'))"
        assert browser.ask(f"{empty}.every(a => a.hidden) && {empty}.length") > 50
        browser.ask("document.querySelector('#clear').click()")
        browser.choose("#search", order[7][:12])
        assert shown() == [order[7]]
        browser.ask("document.querySelector('#clear').click()")
        assert len(shown()) == total

        browser.open(file)
        assert browser.text("#progress") == f"4 of {total} marked"
        browser.ask("document.querySelector('#save').click()")
        review = tmp_path / "review.jsonl"
        browser.wait(review.exists)
        browser.wait(lambda: review.read_bytes().endswith(b"\n"))
        marks = {each.candidate.key: each.mark for _, each in everything if each.mark}
        assert read_marks(review.read_text("utf-8"), "review.jsonl") == marks | {order[0]: "good", order[1]: "bad"}
        first = json.loads(review.read_text("ascii").splitlines()[0])
        assert first.keys() == {"candidate", "verdict", "uid", "strategy", "attempt", "build"}
        browser.do("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False)
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        assert set(browser.requested) == {file.as_uri()}
        assert browser.complaints == []


@pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")
def test_a_hostile_page_in_a_browser(hostile: Path, tmp_path: Path) -> None:
    file = write_traces_page(open_build(hostile), tmp_path / "page.html", max_samples=1000)
    with chromium(tmp_path) as browser:
        browser.open(file)
        assert browser.ask("typeof window.owned") == "undefined"
        browser.press("j")
        browser.press("g")
        browser.ask("document.querySelector('#save').click()")
        review = tmp_path / "review.jsonl"
        browser.wait(review.exists)
        browser.wait(lambda: review.read_bytes().endswith(b"\n"))
        keys = read_marks(review.read_text("utf-8"), "review.jsonl").keys()
        assert keys <= {*(HOSTILE_KEY + str(number) for number in range(1000)), "long"} and keys
        assert browser.complaints == []


@pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")
def test_two_thousand_candidates_are_painted_at_once(asked: Asked, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("samples.parquet", "drops.parquet", "images.parquet", "lock.json"):
        (folder / name).write_bytes((asked.folder / name).read_bytes())
    candidates, generated = [], []
    for copy in range(5):
        for outcome in asked.outcomes:
            own = {"uid": f"{outcome.uid}-{copy}"}
            generated.append({**generated_row(outcome), **own})
            candidates += [{**row, **own, "key": f"{row['key']}-{copy}"} for row in candidate_rows(outcome)]
    assert len(candidates) > 2000
    write_tables(folder, candidates, generated)
    file = write_traces_page(open_build(folder), tmp_path / "page.html", max_samples=1000)
    with chromium(tmp_path) as browser:
        browser.open(file)
        assert browser.text("#progress") == f"10 of {len(candidates)} marked"
        painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        browser.wait(lambda: browser.ask(painted))
        assert browser.ask(painted) < 2000
