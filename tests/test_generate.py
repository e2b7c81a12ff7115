"""The stage that asks teachers, end to end: real builds against a local server whose every answer is known."""

from __future__ import annotations

import io
import json
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import PROJECT, Run
from fault_server import Script, serving
from killed_generation import killed_generation, plain_candidates
from known_answers import Known, manifest_of, write_choices, write_manifest, write_pictures
from PIL import Image

from infimed_data.engine import LocalEngine
from infimed_data.errors import BudgetError, ManifestError
from infimed_data.forecast import as_text, forecast, make_plan, preview
from infimed_data.forecast.planning import as_plain
from infimed_data.generate.problems import Pictures
from infimed_data.pipeline import build
from infimed_data.plan import BuildOptions, load_plan
from infimed_data.preparing import jobs_of, prepare, read_all

DIRECT = {"strategy": "direct", "attempts": {"start": 3, "more": 2, "accept": 2, "limit": 5}}
FIXED = {"strategy": "direct", "attempts": {"start": 2, "more": 1, "accept": 2, "limit": 2}}


class Bench:
    """A folder with sources, a server, and builds made in this process."""

    def __init__(self, folder: Path, url: str, script: Script) -> None:
        self.folder, self.url, self.script = folder, url, script
        self.lines: list[str] = []

    def manifest(self, think: Mapping[str, Any] | None = None, name: str = "m.yaml", **more: Any) -> Path:
        """A manifest whose one pass has these settings."""
        content = manifest_of(self.folder, self.url, **more)
        content["generate"]["think"] |= think or {}
        return write_manifest(self.folder, content, name)

    def options(self, work: str = "work") -> BuildOptions:
        """How to build, in a work folder."""
        return BuildOptions(self.folder / "builds" / work, self.folder / work, 1, None, True)

    def build(self, think: Mapping[str, Any] | None = None, *, work: str = "work", **more: Any) -> Path:
        """The finished build of that manifest."""
        self.lines.clear()
        return build(self.manifest(think, **more), self.options(work), self.lines.append)

    @property
    def sent(self) -> int:
        """Requests that reached the server."""
        return sum(self.script.asked.values())


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    """Twelve text questions and twelve about pictures, and the server."""
    write_choices(tmp_path / "choices", range(12))
    write_pictures(tmp_path / "pictures", range(100, 112))
    script = Script(answer=Known())
    script.keep_bodies = True
    with serving(script) as url:
        yield Bench(tmp_path, url, script)


def table(folder: Path, name: str) -> pl.DataFrame:
    """A table of a build."""
    return pl.read_parquet(folder / f"{name}.parquet")


def lock_of(folder: Path) -> Any:
    """The lock of a build."""
    return json.loads((folder / "lock.json").read_text())


def fate(text: str, known: Known) -> str:
    """What the server made of the request that brought this text."""
    found = re.search(r"This is request (\w+) number (\d+)", text)
    assert found is not None, text
    return known.fate(found[1], int(found[2]))


def case_of(folder: Path, uid: str) -> int:
    """Number of the case that a row asks about."""
    return int(uid.rpartition("/")[2].removeprefix("c"))


TRIALS = {"right": "correct", "leaky": "correct", "wrong": "wrong", "truncated": "truncated"}


# What is accepted


@pytest.mark.parametrize("think", [DIRECT, {"attempts": {"start": 2, "more": 2, "accept": 2, "limit": 6}}])
def test_acceptance_and_pass_rates_are_the_truth(bench: Bench, think: dict[str, Any]) -> None:
    known = bench.script.answer
    assert isinstance(known, Known)
    folder = bench.build(think)
    candidates = table(folder, "candidates")
    assert len(candidates) > 50 and set(candidates["pass"]) == {"think"}
    truth = [fate(text, known) for text in candidates["text"].to_list()]
    assert {"right", "wrong", "leaky", "truncated"} == set(truth)
    assert candidates["accepted"].to_list() == [each == "right" for each in truth]
    assert candidates["trial"].to_list() == [TRIALS[each] for each in truth]
    facts = lock_of(folder)["generate"]["think"]
    right = truth.count("right")
    assert facts["candidates"] == len(truth) and facts["accepted"] == right
    assert facts["accept_rate"] == round(right / len(truth), 6)
    first = candidates.with_columns(fate=pl.Series(truth)).filter(pl.col("round") == 0)
    rates = {
        uid: own["fate"].is_in(["right", "leaky"]).sum() / len(own)
        for (uid,), own in first.group_by("uid")
    }  # fmt: skip
    assert dict(table(folder, "generated").select("uid", "pass_rate").iter_rows()) == rates
    kept = table(folder, "samples")
    assert dict(kept.select("uid", "pass_rate").iter_rows()) == {uid: rates[uid] for uid in kept["uid"]}
    pictures = [body for body in bench.script.bodies if "image_url" in json.dumps(body)]
    assert len(pictures) > 15, "pictures were asked about without the picture"


def test_what_won_is_what_outputs_train_on(bench: Bench) -> None:
    folder = bench.build(DIRECT | {"winners": {"count": 2}}, outputs={"sft": {"validation": 0.2}, "rl": {}})
    winners = table(folder, "candidates").filter(pl.col("winner").is_not_null())
    assert winners["uid"].is_duplicated().any() and winners["key"].is_unique().all()
    samples, drops = table(folder, "samples"), table(folder, "drops")
    assert (
        sorted(samples["uid"].to_list() + drops["uid"].to_list()) == sorted({*samples["uid"], *drops["uid"]})
        and len(samples) + len(drops) == 24
    )
    read = 0
    for split in ("train", "validation"):
        files = sorted((folder / "sft").glob(f"{split}-*.parquet"))
        rows = pl.concat([pl.read_parquet(file) for file in files])
        own = winners.filter(pl.col("sft_split") == split).sort("sft_position")
        assert own["sft_position"].to_list() == list(range(len(rows)))
        for text, answer, uid in zip(own["text"], rows["completion"], own["uid"], strict=True):
            reasoning = text.partition("</think>")[0]
            assert answer[0]["content"].startswith(reasoning.rstrip()), uid
        read += len(rows)
    output = lock_of(folder)["outputs"]["sft"]
    assert output["rows"] == read == len(winners) and output["samples"] == samples["sft_split"].count()
    first = {row["uid"]: row for row in winners.filter(pl.col("winner") == 0).to_dicts()}
    for row in samples.filter(pl.col("sft_split").is_not_null()).to_dicts():
        assert row["rationale"] in first[row["uid"]]["text"] and row["rationale_chars"] == len(row["rationale"])
        assert (row["sft_split"], row["sft_position"]) == tuple(
            first[row["uid"]][n] for n in ("sft_split", "sft_position")
        )
    assert len(pl.read_parquet(folder / "rl")) == samples["rl_split"].count()


@pytest.mark.parametrize("failed", ["drop", "answer_only", "keep"])
def test_rows_without_a_trace(bench: Bench, failed: str) -> None:
    bench.script.answer = Known({"right": 1, "wrong": 2})
    folder = bench.build(FIXED | {"failed": failed, "answer_only": 0.2}, outputs={"sft": {}, "rl": {}})
    generated = table(folder, "generated")
    without = set(generated.filter(~pl.col("kept"))["uid"])
    bare = set(generated.filter("answer_only")["uid"])
    assert without and bare
    drops = table(folder, "drops").filter(pl.col("stage") == "generate")
    samples = table(folder, "samples")
    assert set(drops["uid"]) == (without if failed == "drop" else set())
    assert set(drops["rule"]) <= {"no_right_answer"} and lock_of(folder)["generate"]["think"]["failed"] == failed
    assert set(samples.filter(pl.col("rationale") == "")["uid"]) == bare | (without - set(drops["uid"]))
    assert len(samples) + len(drops) == 24


def test_a_row_goes_to_the_first_pass_that_takes_it(bench: Bench) -> None:
    content = manifest_of(bench.folder, bench.url)
    content["generate"] = {
        "pictures": {"categories": ["medical_vqa"], "teacher": "big", **FIXED},
        "choices": {"answer_kinds": ["choice", "yes_no"], "teacher": "big", "strategy": "reflective"},
    }
    folder = build(write_manifest(bench.folder, content), bench.options(), bench.lines.append)
    by_pass = {(row["pass"], row["uid"].partition("/")[0]) for row in table(folder, "candidates").to_dicts()}
    assert by_pass == {("pictures", "pictures"), ("choices", "choices")}


def test_conversations_are_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "talk").mkdir()
    turns = [{"role": role, "content": f"Case 1 {role} {n}"} for n in range(2) for role in ("user", "assistant")]
    rows = [
        {"messages": turns},
        {"messages": [{"role": "user", "content": "Case 2: why?"}, {"role": "assistant", "content": "So."}]},
    ]
    (tmp_path / "talk" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = Script(answer=Known())
    with serving(script) as url:
        content = manifest_of(tmp_path, url)
        content["sources"] = {
            "talk": {"adapter": "chat", "location": "talk", "category": "general_text", "license": "MIT"}
        }
        content["generate"]["think"] |= {"answer_kinds": ["open"], "failed": "keep", **FIXED}
        folder = build(write_manifest(tmp_path, content), BuildOptions(tmp_path / "b", tmp_path / "w", 1), print)
    assert len(table(folder, "generated")) == 1 and len(table(folder, "samples")) == 2


# Difficulty


def test_difficulty_chooses_and_orders_rl_alone(bench: Bench) -> None:
    known = bench.script.answer
    assert isinstance(known, Known)
    difficulty = {"teacher": "big", "samples": 4, "min_verifiable": 2, "keep_min": 1, "keep_max": 3}
    folder = bench.build(DIRECT | {"failed": "keep"}, difficulty=difficulty, outputs={"sft": {}, "rl": {}})
    candidates = table(folder, "candidates").filter(pl.col("pass") == "difficulty")
    assert len(candidates) == 24 * 4 and candidates["accepted"].null_count() == len(candidates)
    truth = {
        uid: sum(fate(text, known) in ("right", "leaky") for text in own["text"])
        for (uid,), own in candidates.group_by("uid")
    }
    measured = {row["uid"]: row for row in table(folder, "difficulty").to_dicts()}
    assert {uid: row["correct"] for uid, row in measured.items()} == truth
    assert {uid: row["kept"] for uid, row in measured.items()} == {uid: 1 <= right <= 3 for uid, right in truth.items()}
    samples = table(folder, "samples")
    rl = samples.filter(pl.col("rl_split").is_not_null()).sort("rl_position")
    assert set(rl["uid"]) == {uid for uid, right in truth.items() if 1 <= right <= 3} and len(samples) == 24
    assert rl["pass_rate"].to_list() == sorted((truth[uid] / 4 for uid in rl["uid"]), reverse=True)
    again = bench.build(
        DIRECT | {"failed": "keep"}, difficulty=difficulty | {"keep_max": 4},
        outputs={"sft": {}, "rl": {"mixture": {"order": {"by": "meta.pass_rate"}}}},
    )  # fmt: skip
    rates = table(again, "samples").filter(pl.col("rl_split").is_not_null()).sort("rl_position")["pass_rate"]
    assert rates.to_list() == sorted(rates) and len(rates) > len(rl)


def test_what_only_rl_could_draw_leaves_for_its_difficulty(bench: Bench) -> None:
    bench.script.answer = Known({"right": 1})
    difficulty = {"teacher": "big", "samples": 2, "min_verifiable": 1, "keep_easy": 0.3}
    more: dict[str, Any] = {"difficulty": difficulty, "outputs": {"rl": {}}, "generate": {}}
    content = manifest_of(bench.folder, bench.url) | more
    folder = build(write_manifest(bench.folder, content), bench.options(), bench.lines.append)
    drops = table(folder, "drops")
    assert set(drops["stage"]) == {"difficulty"} and set(drops["rule"]) == {"too_easy"}
    assert set(drops["value"]) == {"2 of 2 right"} and len(drops) + len(table(folder, "samples")) == 24
    assert "generated.parquet" not in lock_of(folder)["files"] and "difficulty.parquet" in lock_of(folder)["files"]


# Paying once


FAULTS = {"429": 0.1, "500": 0.1, "drop-before": 0.1, "drop-middle": 0.1, "truncated": 0.1, "empty": 0.05,
          "no-choices": 0.05, "html": 0.05, "one-choice": 0.05}  # fmt: skip


def test_faults_lose_nothing_and_double_nothing(bench: Bench) -> None:
    calm = bench.build(work="calm")
    whole = dict(bench.script.answered)
    script = Script(answer=Known(), faults=FAULTS, retry_after_s=0.05)
    with serving(script) as url:
        stormy = Bench(bench.folder, url, script)
        teachers = manifest_of(bench.folder, url)["teachers"]
        teachers["big"]["retries"] = 8
        found = stormy.build(work="stormy", teachers=teachers)
    assert sum(script.faulted.values()) > 20
    assert plain_candidates(found).equals(plain_candidates(calm))
    assert dict(script.answered) == whole, "an answer was lost, or paid for twice"
    for name in ("samples", "drops", "generated"):
        assert table(found, name).equals(table(calm, name))


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    seen = killed_generation(tmp_path, rows=300, kills=3, latency_s=0.05, seed=4711)
    assert seen["killed_at_work"] >= 1


def test_new_rows_and_another_order_cost_only_what_is_new(bench: Bench) -> None:
    first = bench.build(FIXED)
    before, old = bench.sent, table(first, "candidates")
    write_choices(bench.folder / "choices", [*reversed(range(12)), 12])
    second = bench.build(FIXED)
    assert bench.sent - before == 1, "one request of two candidates for the new row"
    new = table(second, "candidates")
    kept = new.filter(pl.col("uid") != "choices/train/c12").drop("sft_split", "sft_position")
    assert kept.equals(old.drop("sft_split", "sft_position")) and len(new) == len(old) + 2


def test_more_attempts_cost_only_the_new_ones(bench: Bench) -> None:
    attempts = {"start": 2, "more": 1, "accept": 2, "limit": 2}
    first = bench.build({"strategy": "reflective", "attempts": attempts})
    before = Counter(bench.script.asked)
    more = bench.build({"strategy": "reflective", "attempts": attempts | {"start": 4, "accept": 4, "limit": 4}})
    asked = bench.script.asked - before
    assert sum(asked.values()) == 2 * 24
    new, old = plain_candidates(more), plain_candidates(first)
    told = ["uid", "attempt", "key", "text", "outcome", "steps"]
    assert new.filter(pl.col("attempt") < 2).select(told).equals(old.select(told)) and len(new) == 2 * len(old)


def test_an_unchanged_build_asks_nothing(bench: Bench) -> None:
    folder, before = bench.build(), bench.sent
    assert bench.build() == folder and bench.sent == before and bench.lines[-1].endswith("nothing changed")
    bench.script.answer = None
    assert bench.build(filters={"min_answer_chars": 1}) == folder and bench.sent == before


def test_how_fast_is_asked_changes_no_byte(bench: Bench) -> None:
    found = {}
    for in_flight in (1, 64):
        teachers = manifest_of(bench.folder, bench.url)["teachers"]
        teachers["big"] |= {"max_in_flight": in_flight, "retries": in_flight}
        folder = bench.build(DIRECT, work=f"w{in_flight}", teachers=teachers)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}
        files.pop("candidates.parquet")
        found[in_flight] = (folder.name, files, plain_candidates(folder))
    one, many = found[1], found[64]
    assert one[:2] == many[:2] and one[2].equals(many[2])


def test_a_budget_stops_cleanly_and_the_same_command_goes_on(bench: Bench) -> None:
    whole = bench.build(work="whole")
    needed = Counter(bench.script.asked)
    bench.script.asked.clear()
    with pytest.raises(BudgetError, match=r"budget spent: max_requests 20; 20 requests answered.*again") as stopped:
        bench.build(budget={"max_requests": 20})
    assert "\n" not in str(stopped.value) and bench.sent == 20
    assert not any((bench.folder / "builds" / "work").rglob("lock.json"))
    with pytest.raises(BudgetError, match=r"max_usd 0\.002, 0\.00"):
        bench.build(budget={"max_usd": 0.002})
    folder = bench.build()
    assert bench.script.asked == needed
    assert folder.name == whole.name and plain_candidates(folder).equals(plain_candidates(whole))


def test_one_budget_for_all_teachers(bench: Bench) -> None:
    content = manifest_of(bench.folder, bench.url, budget={"max_requests": 15})
    content["teachers"]["small"] = content["teachers"]["big"] | {"model": "s"}
    content["generate"] = {
        "a": {"sources": ["choices"], "teacher": "big", **FIXED},
        "b": {"teacher": "small", **FIXED},
    }
    with pytest.raises(BudgetError, match="15 requests answered"):
        build(write_manifest(bench.folder, content), bench.options(), bench.lines.append)
    assert bench.sent == 15
    assert any(line.startswith("generate a: 12 rows") and "12 requests sent" in line for line in bench.lines)


def test_requests_that_failed_are_asked_again_by_the_next_run(bench: Bench) -> None:
    bench.script.faults = {"always-500": 0.2}
    teachers = manifest_of(bench.folder, bench.url)["teachers"]
    teachers["big"]["retries"] = 0
    first = bench.build(FIXED, teachers=teachers)
    facts = lock_of(first)["generate"]["think"]
    assert facts["failed_requests"] > 0 and any("asks them again" in line for line in bench.lines)
    before = sum(bench.script.answered.values())
    bench.script.faults = {}
    second = bench.build(FIXED, teachers=teachers)
    assert second != first and lock_of(second)["generate"]["think"]["failed_requests"] == 0
    assert sum(bench.script.answered.values()) - before == facts["failed_requests"] // 2
    assert not any("asks them again" in line for line in bench.lines)


# What is said beforehand


def numbers_in(line: str) -> list[int]:
    """The whole numbers of a line."""
    return [int(found.replace(",", "")) for found in re.findall(r"(?<![\w.$])\d[\d,]*(?![\d.%])", line)]


def test_a_dry_run_says_what_is_then_sent(bench: Bench) -> None:
    manifest = bench.manifest(FIXED)
    told = forecast(manifest, bench.options(), bench.lines.append).splitlines()
    assert bench.sent == 0 and not (bench.folder / "builds").exists()
    line = next(line for line in told if "to send to 'big'" in line)
    requests, prompt_tokens, image_tokens, completion_tokens = numbers_in(line)[:4]
    assert requests == 24 and 0 < image_tokens < prompt_tokens and completion_tokens == 48 * 128
    assert f"${(prompt_tokens + 2 * completion_tokens) / 1e6:.4f}" in line
    assert any("48 answers, 0 of them remembered (0.0%)" in line for line in told)
    bench.build(FIXED)
    assert bench.sent == requests
    more = {"attempts": {"start": 3, "more": 1, "accept": 3, "limit": 4}}
    told = forecast(bench.manifest(FIXED | more), bench.options(), bench.lines.append).splitlines()
    assert any("72 answers, 48 of them remembered (66.7%)" in line for line in told)
    assert any("24 requests" in line and "mean of" in line for line in told)
    assert any("up to 24 more candidates" in line for line in told)
    told = forecast(bench.manifest(FIXED), bench.options(), bench.lines.append).splitlines()
    assert any("finished before; nothing is sent" in line for line in told) and bench.sent == 24


def test_a_plan_has_requests_and_price_once_the_rows_are_known(bench: Bench) -> None:
    plan = as_plain(make_plan(bench.manifest(FIXED), bench.options()))
    assert plan["asks"] == [] and 40 <= plan["most_candidates"]["think"] <= 56  # two for each of about 24 rows
    forecast(bench.manifest(FIXED), bench.options(), bench.lines.append)  # reads and compares
    planned = make_plan(bench.manifest(FIXED), bench.options())
    (asks,) = as_plain(planned)["asks"]
    (sending,) = asks["sendings"]
    assert asks["requests"] == 24 and asks["usd"] == sending["usd"] > 0 and bench.sent == 0
    assert sending["prompt_tokens"] > 0 and "24 requests" in as_text(planned)
    bench.build(FIXED)
    assert bench.sent == asks["requests"]
    more = {"attempts": {"start": 3, "more": 1, "accept": 3, "limit": 4}}
    (asks,) = as_plain(make_plan(bench.manifest(FIXED | more), bench.options()))["asks"]
    assert asks["requests"] == 24 and asks["remembered"] == 48 and asks["dearest_usd"] > asks["usd"]
    assert as_plain(make_plan(bench.manifest(FIXED), bench.options()))["finished"]


def test_a_preview_tries_a_few_rows_and_forecasts_the_whole(bench: Bench) -> None:
    told = preview(bench.manifest(DIRECT), bench.options(), 5, bench.lines.append).splitlines()
    assert told[0].startswith("generate think: 5 of 24 rows tried; ") and 0 < bench.sent <= 15
    assert any("the whole run: 24 rows, about" in line and "$" in line and "min at 64" in line for line in told)
    assert any("rows with a trace" in line and "95%" in line for line in told)
    assert not (bench.folder / "builds").exists()
    tried = Counter(bench.script.asked)
    bench.build(DIRECT)
    assert all(bench.script.asked[key] >= count for key, count in tried.items())
    twice = [key for key in tried if bench.script.asked[key] > tried[key]]
    assert not twice, "a previewed answer was paid for again"


def test_the_command_has_both(bench: Bench, run: Run) -> None:
    manifest = bench.manifest(FIXED)
    places = ("--out", bench.folder / "b", "--work", bench.folder / "w", "-q")
    done = run("build", manifest, "--dry-run", *places)
    assert done.returncode == 0 and "24 requests" in done.stdout and bench.sent == 0
    done = run("build", manifest, "--preview", 3, *places)
    assert done.returncode == 0 and "3 of 24 rows tried" in done.stdout and bench.sent == 3
    assert not (bench.folder / "b").exists()
    nothing = manifest_of(bench.folder, bench.url) | {"generate": {}}
    done = run("build", write_manifest(bench.folder, nothing, "n.yaml"), "--preview", 3, *places)  # fmt: skip
    assert done.returncode == 1 and "no teacher is asked" in done.stderr


# Reviews, filling


def test_marks_overrule_and_are_named(bench: Bench) -> None:
    known = bench.script.answer
    assert isinstance(known, Known)
    first = table(bench.build(DIRECT), "candidates")
    leaky = next(row for row in first.to_dicts() if row["refusal"] == "gate:answer_leak")
    good = next(row for row in first.to_dicts() if row["winner"] == 0 and row["uid"] != leaky["uid"])
    marks = [(leaky["key"], "good"), (good["key"], "bad"), ("0" * 32, "good")]
    lines = [json.dumps({"candidate": key, "verdict": verdict}) for key, verdict in marks]
    (bench.folder / "review.jsonl").write_text("\n".join(lines))
    before = bench.sent
    folder = bench.build(DIRECT | {"review": "review.jsonl"})
    rows = {row["key"]: row for row in table(folder, "candidates").to_dicts()}
    assert rows[leaky["key"]]["accepted"] and rows[leaky["key"]]["overruled"] == ["gate:answer_leak"]
    assert not rows[good["key"]]["accepted"] and rows[good["key"]]["overruled"] == ["accepted"]
    lock = lock_of(folder)
    assert lock["generate"]["think"]["overruled"] == 2 and lock["generate"]["think"]["marks"] == 3
    assert lock["candidate_review"] == {"think": dict(marks)}
    assert any("1 marks name no candidate" in text for text in lock["warnings"])
    assert bench.sent - before <= 2 * 2, "marks asked again what was known"
    (bench.folder / "review.jsonl").unlink()
    repeated = build(
        folder / "lock.json", BuildOptions(bench.folder / "again", bench.folder / "work", 1, bench.folder), print
    )
    assert repeated.name == folder.name and plain_candidates(repeated).equals(plain_candidates(folder))


def test_strata_are_filled_and_shortfalls_told(bench: Bench) -> None:
    bench.script.answer = Known({"right": 1, "wrong": 1, "leaky": 1})
    fill = {"samples": {"choices": 3, "pictures": 11}, "max_candidates": 20}
    folder = bench.build(FIXED | {"fill": fill})
    facts = lock_of(folder)["generate"]["think"]
    choices, pictures = facts["fill"]
    assert choices["kept"] == 3 and choices["why"] is None and choices["tried"] < 12
    assert pictures["missing"] > 0 and pictures["candidates"] <= 20 and "gate:answer_leak" in pictures["why"]
    assert any("stratum 'pictures'" in text and "missing after" in text for text in lock_of(folder)["warnings"])
    drops = table(folder, "drops")
    assert set(drops["stage"]) == {"generate"} and "not_asked" in set(drops["rule"])
    assert len(drops) + len(table(folder, "samples")) == 24
    assert len(table(folder, "samples")) == choices["kept"] + pictures["kept"]
    before = bench.sent
    assert bench.build(FIXED | {"fill": fill}) == folder and bench.sent == before
    keeps = bench.build(FIXED | {"fill": fill, "failed": "answer_only"})
    assert len(table(keeps, "samples")) == 24 and bench.sent == before


# Who may be asked about what


CLOSED = {"license": "PhysioNet Credentialed Health Data License 1.5.0"}


@pytest.mark.parametrize(
    ("source", "url", "said"),
    [
        ({"send_to_api": False}, "https://203.0.113.5/v1", "source 'choices' (send_to_api: false) may not be sent"),
        (CLOSED, "https://203.0.113.5/v1", "source 'choices' (credentialed) may not be sent"),
        (CLOSED, "https://api.invalid/v1", "does not resolve"),
        (CLOSED | {"send_to_api": True}, "https://203.0.113.5/v1", None),
        (CLOSED, "http://127.0.0.1:8000/v1", None),
        ({}, "https://203.0.113.5/v1", None),
    ],
)
def test_rows_that_must_not_leave_are_refused_to_teachers_outside(
    tmp_path: Path, source: dict[str, Any], url: str, said: str | None
) -> None:
    write_choices(tmp_path / "choices", range(3))
    content = manifest_of(tmp_path, url)
    content["sources"]["choices"] |= source
    path, options = write_manifest(tmp_path, content), BuildOptions(tmp_path, tmp_path / "w", 1)
    if said is None:
        load_plan(path, options)
        return
    with pytest.raises(ManifestError) as refused:
        load_plan(path, options)
    (line,) = refused.value.problems
    assert said in line and re.search(r"m\.yaml:\d+: generate\.think\.teacher: ", line)


def test_a_pass_that_leaves_the_source_out_is_allowed(tmp_path: Path) -> None:
    write_choices(tmp_path / "choices", range(3))
    write_pictures(tmp_path / "pictures", range(3))
    content = manifest_of(tmp_path, "https://203.0.113.5/v1")
    content["sources"]["choices"]["send_to_api"] = False
    with pytest.raises(ManifestError, match="choices"):
        load_plan(write_manifest(tmp_path, content), BuildOptions(tmp_path, tmp_path / "w", 1))
    content["generate"]["think"]["categories"] = ["medical_vqa"]
    load_plan(write_manifest(tmp_path, content), BuildOptions(tmp_path, tmp_path / "w", 1))


def test_rows_that_must_not_leave_go_to_teachers_near_by(bench: Bench) -> None:
    content = manifest_of(bench.folder, bench.url)
    content["sources"]["pictures"] |= CLOSED
    folder = build(write_manifest(bench.folder, content), bench.options(), bench.lines.append)
    assert "pictures/train/100" in set(table(folder, "candidates")["uid"])


# Manifests


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generate": {"p": {"teacher": "bigg", "strategy": "direct"}}},
         "generate.p.teacher: no teacher 'bigg'; allowed: big; did you mean 'big'?"),
        ({"generate": {"p": {"teacher": "big", "strategy": "search", "search": {"rewriter": "x"}}}},
         "generate.p.search.rewriter: no teacher 'x'; allowed: big"),
        ({"generate": {"p": {"teacher": "big", "strategy": "reflective", "reflective": {"patterns": {"lookback": 1}}}}},
         "generate.p.reflective.patterns.lookback: 'lookback'; allowed: self_check"),
        ({"generate": {"p": {"teacher": "big", "strategy": "direct", "sources": ["choises"]}}},
         "generate.p.sources: no source 'choises'; allowed: choices; did you mean 'choices'?"),
        ({"generate": {"difficulty": {"teacher": "big", "strategy": "direct"}}}, "the name is taken by `difficulty`"),
        ({"generate": {"p": {"teacher": "big", "strategy": "direct", "answer_kinds": ["none"]}}}, "allowed: choice"),
        ({"generate": {"p": {"teacher": "big", "strategy": "direct",
                             "fill": {"samples": {"nowhere": 2}, "max_candidates": 50}}}},
         "generate.p.fill.samples.nowhere: no such source; allowed: choices"),
        ({"outputs": {"rl": {}}}, "generate: its traces go to the output `sft`"),
        ({"difficulty": {"teacher": "big"}}, "difficulty: it chooses rows for the output `rl`"),
        ({"budget": {"max_usd": 1.0}, "teachers": {"big": {"model": "m", "base_url": "http://127.0.0.1:1/v1"}}},
         "teachers.big: no price, which budget.max_usd 1 needs"),
        ({"teachers": {"big": {"backend": "replay", "model": "m", "file": "trace.jsonl"}}},
         "(relative to root); did you mean 'traces.jsonl'?"),
        ({"generate": {"p": {"teacher": "big", "strategy": "direct", "review": "nowhere.jsonl"}}},
         "generate.p.review: cannot read"),
        ({"generate": {"p": {"teacher": "big", "strategy": "direct", "failed": "dropp"}}},
         "generate.p.failed: 'dropp'; allowed: drop, answer_only, keep; did you mean 'drop'?"),
    ],
)  # fmt: skip
def test_faults_of_a_manifest_are_one_line_each(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_choices(tmp_path / "choices", range(3))
    (tmp_path / "traces.jsonl").write_text("")
    path = write_manifest(tmp_path, manifest_of(tmp_path, "http://127.0.0.1:1/v1") | change)
    with pytest.raises(ManifestError) as refused:
        load_plan(path, BuildOptions(tmp_path, tmp_path / "w", 1))
    (line,) = refused.value.problems
    assert said in line and re.search(r"^\S*m\.yaml:\d+: ", line)


def test_a_key_is_asked_for_only_where_something_is_sent(bench: Bench, run: Run) -> None:
    teachers = manifest_of(bench.folder, bench.url)["teachers"]
    teachers["big"]["api_key_env"] = "NO_SUCH_KEY_HERE"
    places = ("--out", bench.folder / "b", "--work", bench.folder / "work")
    done = run("build", bench.manifest(FIXED, teachers=teachers), *places)
    assert done.returncode == 1 and "NO_SUCH_KEY_HERE (api_key_env) is not set" in done.stderr
    assert "Traceback" not in done.stderr and bench.sent == 0
    bench.build(FIXED)
    done = run("build", bench.manifest(FIXED, teachers=teachers), *places)
    assert done.returncode == 0, done.stderr


# The demo


def test_the_demo_replays_every_pattern_offline(demo_build: Path) -> None:
    candidates = table(demo_build, "candidates")
    assert set(candidates["pattern"]) == {
        "self_check", "eliminate_options", "alternative_hypothesis", "look_back", "backtrack",
    }  # fmt: skip
    assert {"wrong", "truncated", "gate:answer_leak", "gate:persona"} <= set(candidates["refusal"])
    steps = candidates.explode("steps").unnest("steps", separator="_")
    assert set(steps["steps_backend"]) == {"replay"}
    facts = lock_of(demo_build)["generate"]["reflect"]
    assert facts["replayed"] == candidates.filter(pl.col("status") != "failed").height > 80
    assert facts["teachers"]["drawn"]["replayed"]
    assert f"{facts['replayed']:,} of them replayed from a file" in (demo_build / "README.md").read_text()


def test_the_demo_tells_of_its_teacher(demo_build: Path, run: Run) -> None:
    said = run("stats", demo_build).stdout
    assert "Teachers\n" in said and "candidates were replayed from a file" in said
    refused = table(demo_build, "generated").filter(~pl.col("kept"))["uid"][0]
    told = run("why", demo_build, refused).stdout
    assert "taught      by pass reflect: 4 candidates, 0 accepted; none won" in told and "refused: " in told
    asked = run("query", demo_build, "SELECT count(*) AS n FROM generated WHERE kept", "--format", "json").stdout
    assert json.loads(asked)[0]["n"] == table(demo_build, "generated")["kept"].sum()
    assert str(PROJECT) not in told


# Replayed traces


def test_traces_are_found_by_pattern_or_by_number(bench: Bench) -> None:
    seen = "Nothing is pulled in or pushed away, and the middle line stays where it belongs."
    answer = f"<think>\n{{}} {seen}\n</think>\n\n<answer>{{}}</answer>"
    lines: list[dict[str, Any]] = [
        {"uid": "pictures/train/100", "pattern": pattern, "text": answer.format(f"Asked for {pattern}.", "yes")}
        for pattern in ("self_check", "alternative_hypothesis", "look_back", "backtrack")
    ]
    lines += [{"uid": "pictures/train/101", "text": answer.format(f"Number {n}.", "no")} for n in range(2)]
    (bench.folder / "traces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    teachers = {"big": {"backend": "replay", "model": "t", "file": "traces.jsonl"}}
    attempts = {"start": 4, "more": 1, "accept": 4, "limit": 4}
    folder = bench.build(
        {"strategy": "reflective", "attempts": attempts, "sources": ["pictures"], "gates": {"min_words": 3}},
        teachers=teachers,
    )
    rows = table(folder, "candidates").filter(pl.col("status") == "answered").to_dicts()
    by_pattern = [row for row in rows if row["uid"] == "pictures/train/100"]
    assert len(by_pattern) == 4 and all(f"Asked for {row['pattern']}." in row["text"] for row in by_pattern)
    by_number = [row for row in rows if row["uid"] == "pictures/train/101"]
    assert [row["attempt"] for row in by_number] == [0, 1]
    assert all(f"Number {row['attempt']}." in row["text"] for row in by_number)
    facts = lock_of(folder)["generate"]["think"]
    assert facts["replayed"] == 6 and facts["failed_requests"] == 0 and bench.sent == 0
    assert any("replayed from traces.jsonl, nothing was sent" in line for line in bench.lines)
    (bench.folder / "traces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:-1]))
    assert bench.build(
        {"strategy": "reflective", "attempts": attempts, "sources": ["pictures"], "gates": {"min_words": 3}},
        teachers=teachers,
    ) != folder, "a changed file of traces went unseen"  # fmt: skip


def test_orders_by_length_see_traces_only_where_they_are_shown(bench: Bench) -> None:
    order = {"mixture": {"order": {"by": "words"}}}
    folder = bench.build(FIXED | {"failed": "keep", "answer_only": 0.3}, outputs={"sft": order, "rl": order})
    bare = bench.build(FIXED, outputs={"sft": order, "rl": order}, generate={"think": {
        "teacher": "big", "strategy": "direct", "answer_only": 1.0}})  # fmt: skip
    samples = table(folder, "samples")
    words = samples.sort("sft_position")["words"].to_list()
    assert words == sorted(words) and len(set(words)) > 3
    short = table(bare, "samples").select("uid", bare_words="words")
    questions = samples.join(short, on="uid").sort("rl_position")["bare_words"].to_list()
    assert questions == sorted(questions) and len(set(questions)) > 1


def test_pictures_in_parquet_files_are_found(tmp_path: Path) -> None:
    content = manifest_of(tmp_path, "http://127.0.0.1:1/v1", root=str(PROJECT / "sample_data"))
    content["sources"] = {
        name: {"adapter": adapter, "location": name, "category": "medical_vqa", "license": "CC0-1.0"}
        for name, adapter in (("vqa_rad_hub", "vqa_rad"), ("slake", "slake"))
    }
    options = BuildOptions(tmp_path / "b", tmp_path / "w", 1, None, True)
    plan = load_plan(write_manifest(tmp_path, content), options)
    engine = LocalEngine(1)
    sources = read_all(plan, options, engine, lambda line: None)
    jobs, setting = jobs_of(plan, sources, prepare(plan, sources, options, engine, lambda line: None), options)
    digests = {digest for images in jobs[0].rows["images"].to_list() for digest in images}
    pictures = Pictures(setting.origins, digests, plan.manifest.limits, tmp_path / "w" / "spill")
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(digests, pool.map(pictures, digests), strict=True))
    for digest, data in found.items():
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == pictures.size(digest)
    pictures.close()
    assert len(found) > 10 and not list((tmp_path / "w" / "spill").glob("*"))


def test_a_judge_is_asked_about_what_no_rule_decides(tmp_path: Path) -> None:
    def answer(body: Mapping[str, Any], key: str, choice: int) -> tuple[str, str]:
        if body["model"] == "j":
            return "It says the same of the shadow.\n<verdict>correct</verdict>", "stop"
        return "<think>\n" + "The density is even from edge to edge here. " * 3 + "\n</think>\n\nIt is even.", "stop"

    write_pictures(tmp_path / "pictures", range(100, 112))
    script = Script(answer=answer)
    with serving(script) as url:
        content = manifest_of(tmp_path, url)
        content["teachers"]["strict"] = content["teachers"]["big"] | {"model": "j"}
        content["generate"]["think"] |= {
            "strategy": "direct", "judge": "strict", "gates": {"repetition": False},
            "attempts": {"start": 1, "more": 1, "accept": 1, "limit": 2},
        }  # fmt: skip
        options = BuildOptions(tmp_path / "b", tmp_path / "w", 1, None, True)
        path = write_manifest(tmp_path, content)
        assert "and 'strict' once for each new answer" in forecast(path, options, lambda line: None)
        folder = build(path, options, lambda line: None)
        content["generate"]["think"]["judge"] = "strickt"
        with pytest.raises(ManifestError, match=r"generate.think.judge: no teacher 'strickt'; allowed: big, strict"):
            build(write_manifest(tmp_path, content, "typo.yaml"), options, lambda line: None)
    candidates = table(folder, "candidates")
    assert set(candidates["reason"]) == {"judge_correct"} and len(candidates) == 12 and candidates["accepted"].all()
    assert set(candidates["trial"]) == {"correct"}
    spent = lock_of(folder)["generate"]["think"]["spent"]
    assert {name: each["answers"] for name, each in spent.items()} == {"big": 12, "strict": 12}


@pytest.mark.skipif("INFIMED_VLLM_URL" not in os.environ, reason="INFIMED_VLLM_URL: no vLLM server to test against")
def test_the_stage_runs_against_a_real_vllm_server(tmp_path: Path) -> None:
    url = os.environ["INFIMED_VLLM_URL"]
    with urllib.request.urlopen(f"{url}/models", timeout=10) as response:
        model = json.load(response)["data"][0]["id"]
    write_choices(tmp_path / "choices", range(12))
    write_pictures(tmp_path / "pictures", range(100, 112))
    content = manifest_of(tmp_path, url)
    content["teachers"]["big"]["model"] = model
    content["generate"]["think"] |= {"drawing": {"max_tokens": 32}, "failed": "answer_only"}
    content["generate"]["think"]["attempts"] = {"start": 2, "more": 2, "accept": 1, "limit": 4}
    lines: list[str] = []
    path, options = write_manifest(tmp_path, content), BuildOptions(tmp_path / "b", tmp_path / "w", 1, None, True)
    folder = build(path, options, lines.append)
    candidates = table(folder, "candidates")
    assert candidates["uid"].n_unique() == 24 and not candidates["status"].is_in(["failed"]).any()
    odd = (pl.col("prompt_tokens") < 1) | (pl.col("completion_tokens") > 32)
    assert candidates.filter(odd).is_empty()
    # Nothing that was answered is asked again: not for the same build, and not where two more candidates are wanted.
    assert build(path, options, lines.append) == folder and "nothing changed" in lines[-1]
    content["generate"]["think"]["attempts"]["limit"] = 6
    lines.clear()
    more = build(write_manifest(tmp_path, content), options, lines.append)
    (told,) = [line for line in lines if line.startswith("generate think") and "requests sent" in line]
    refused = candidates.group_by("uid").agg(pl.col("accepted").any()).filter(~pl.col("accepted")).height
    assert len(table(more, "candidates")) == len(candidates) + 2 * refused, told
    share = len(candidates) / (len(candidates) + 2 * refused)
    assert f"{share:.1%} cached" in told, told
