"""Asking a teacher: whatever the server does, nothing is lost, nothing doubled, and nothing answered is sent again."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fault_server import FAULTS, Script, answer_to, key_of, serving
from PIL import Image

from infimed_data.errors import BudgetError, TeacherError
from infimed_data.schema import Reject
from infimed_data.teachers import (
    BACKENDS,
    Budget,
    Completion,
    Counts,
    ImagePart,
    Message,
    Price,
    Prompt,
    RequestCache,
    Sampling,
    Teacher,
    TextPart,
    ask_all,
    estimate,
    export_cache,
    open_teacher,
)

HERE = Path(__file__).resolve().parent
KEY = "sk-secret-key"


def question(number: int, **more: Any) -> Prompt:
    """A text prompt."""
    message = Message("user", (TextPart(f"Question {number}"),))
    return Prompt(model="m", messages=(message,), sampling=Sampling(max_tokens=64), name="t@1", **more)


def wire_key(prompt: Prompt) -> str:
    """The server's name for a text prompt."""
    text = "".join(part.text for part in prompt.messages[0].parts if isinstance(part, TextPart))
    return key_of({"messages": [{"role": "user", "content": text}]})


def no_images(digest: str) -> bytes:
    """For prompts without any."""
    raise Reject("image_missing", digest)


Work = Iterable[tuple[Any, Prompt, int]]


def run(teacher: Teacher, folder: Path | None, work: Work, **options: Any) -> tuple[dict[Any, Completion], Counts]:
    """Completions by item, and what happened."""

    async def main() -> tuple[dict[Any, Completion], Counts]:
        cache = RequestCache(folder) if folder else None
        try:
            given = {"images": no_images, "budget": None, **options}
            async with open_teacher(teacher, cache=cache, **given) as ask:
                found = {item: completion async for item, completion in ask_all(ask, work)}
                return found, ask.counts
        finally:
            if cache:
                cache.close()

    return asyncio.run(main())


def teacher_at(url: str, **more: Any) -> Teacher:
    """A teacher behind a server, quick to give up."""
    return Teacher(model="m", base_url=url, **{"timeout_s": 0.5, "retries": 3, **more})


def some(count: int) -> list[tuple[int, Prompt, int]]:
    """Work: one candidate of each question."""
    return [(number, question(number), 0) for number in range(count)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short, so that tests are."""
    monkeypatch.setattr("infimed_data.teachers.openai.backoff_s", lambda attempt, **_: 0.01 * (attempt + 1))


@pytest.mark.parametrize(
    "fault",
    ["429", "429-date", "500", "502", "503", "503-after", "hang", "drop-before", "drop-middle", "truncated", "empty",
     "no-choices", "html", "html-200", "drip", "wrong-type", "no-usage", "chunked", "until-close", "max-completion"],
)  # fmt: skip
def test_every_fault_that_passes_costs_no_row(fault: str, tmp_path: Path) -> None:
    script = Script(faults={fault: 0.5}, retry_after_s=0.05)
    with serving(script) as url:
        found, counts = run(teacher_at(url), tmp_path, some(40))
        assert {number: completion.text for number, completion in found.items()} == {
            number: answer_to(wire_key(question(number))) for number in range(40)
        }
        assert counts.answered == 40 and counts.failed == 0
        assert script.faulted[fault] > 5
        assert set(script.answered.values()) == {1}, "an answer that arrived was asked for again"
        again, counts = run(teacher_at(url), tmp_path, some(40))
    assert counts.cached == 40 and counts.requests == 0
    assert {n: replace(c, cached=False) for n, c in again.items()} == found


def test_all_faults_at_once(tmp_path: Path) -> None:
    fatal = ("429-quota", "unauthorized", "no-model", "redirect", "one-choice", "refuse-n", "filtered", "too-long")
    passing = [fault for fault in FAULTS if fault not in fatal]
    faults = {**{fault: 0.8 / len(passing) for fault in passing}, "always-500": 0.05, "always-filtered": 0.05}
    script = Script(faults=faults, retry_after_s=0.05, latency_s=0.002)
    with serving(script) as url:
        found, counts = run(teacher_at(url, retries=2), tmp_path, some(400))
        failed = {number: c.error for number, c in found.items() if c.error is not None}
        assert len(found) == 400 and counts.answered + counts.failed == 400 and len(failed) == counts.failed
        for number in range(400):
            key = wire_key(question(number))
            assert script.answered[key] == (number not in failed), "lost or doubled"
        assert {str(error).partition(":")[0] for error in failed.values()} == {"HTTP 500", "HTTP 400"}
        assert all(f"; {3} tries" in str(error) for error in failed.values() if "500" in str(error))
        before = sum(script.asked.values())
        refused = sum("filtered" in str(error) for error in failed.values())
        again, counts = run(teacher_at(url, retries=0), tmp_path, some(400))
        assert sum(script.asked.values()) - before == len(failed) - refused, "only what failed is asked again"
    assert {n: c.error is None for n, c in again.items()} == {n: n not in failed for n in range(400)}


def test_too_many_requests_slow_down_one_row_not_all(tmp_path: Path) -> None:
    script = Script(faults={"429": 0.2}, retry_after_s=1.0, latency_s=0.02)
    with serving(script) as url:
        start = time.monotonic()
        _, counts = run(teacher_at(url), tmp_path, some(300))
        took = time.monotonic() - start
    assert counts.answered == 300 and script.faulted["429"] > 30
    assert 1.0 < took < 3.0, "the rows that were told to wait wait a second; the others go on"
    assert script.most_inside <= 64


def test_a_server_that_takes_few_is_not_stormed(tmp_path: Path) -> None:
    """Here the server refuses whatever comes beside 4 others."""

    class Narrow(Script):
        def fault_of(self, key: str) -> str | None:
            return "429" if self.inside > 4 else None

    script = Narrow(retry_after_s=0.05, latency_s=0.01)
    with serving(script) as url:
        _, counts = run(teacher_at(url, timeout_s=5.0), tmp_path, some(400))
    assert counts.answered == 400
    assert sum(script.asked.values()) < 3 * 400, "it kept sending what was refused"


def test_length_and_reasoning_are_kept_as_they_came(tmp_path: Path) -> None:
    with serving(Script(faults={"always-length": 1.0})) as url:
        found, _ = run(teacher_at(url), tmp_path / "a", some(2))
        again, counts = run(teacher_at(url), tmp_path / "a", some(2))
    assert found[0].finish_reason == "length" and found[0].error is None
    assert counts.requests == 0 and again[0].finish_reason == "length"
    with serving(Script(faults={"always-reasoning": 1.0})) as url:
        found, _ = run(teacher_at(url), tmp_path / "b", some(1))
    key = wire_key(question(0))
    assert found[0].text == f"<think>\nThinking of {key}.\n</think>\n\n{answer_to(key)}"
    with serving(Script(faults={"always-logprobs": 1.0})) as url:
        found, _ = run(teacher_at(url), tmp_path / "c", some(1))
    assert found[0].answer_entropy == pytest.approx(0.5)


@pytest.mark.parametrize(("fault", "requests"), [(None, 1), ("always-one-choice", 4), ("always-refuse-n", 5)])
def test_candidates_go_together_where_the_server_honours_n(fault: str | None, requests: int, tmp_path: Path) -> None:
    script = Script(faults={fault: 1.0} if fault else {})
    with serving(script) as url:
        work = [(index, question(1), index) for index in range(4)]
        found, counts = run(teacher_at(url), tmp_path, work)
        assert len(found) == 4 and counts.answered == 4 and len({c.key for c in found.values()}) == 4
        assert sum(script.asked.values()) == requests
        more, counts = run(teacher_at(url), tmp_path, [(index, question(1), index) for index in range(16)])
    assert counts.cached == 4 and counts.answered == 12, "raising n from 4 to 16 pays for 12"
    assert [more[index].key for index in range(4)] == [found[index].key for index in range(4)]


def test_candidates_go_together_in_a_small_window(tmp_path: Path) -> None:
    script = Script(latency_s=0.002)
    with serving(script) as url:

        async def main() -> int:
            async with open_teacher(teacher_at(url), cache=None, images=no_images) as ask:
                work = ((n, question(n // 4), n % 4) for n in range(200))
                found = [item async for item, _ in ask_all(ask, work, window=6)]
                assert sorted(found) == list(range(200))
                return ask.counts.requests

        assert asyncio.run(main()) == 50


def test_what_does_not_honour_n_is_remembered(tmp_path: Path) -> None:
    script = Script(faults={"always-refuse-n": 1.0})
    with serving(script) as url:
        teacher = teacher_at(url, max_in_flight=1)
        work = [((number, index), question(number), index) for number in range(5) for index in range(4)]

        async def main() -> None:
            cache = RequestCache(tmp_path)
            async with open_teacher(teacher, cache=cache, images=no_images) as ask:
                for number in range(5):
                    await asyncio.gather(*(ask(question(number), index) for index in range(4)))
            cache.close()

        asyncio.run(main())
    assert sum(script.asked.values()) == len(work) + 1, "only the first prompt was tried with n"


def test_equal_questions_share_one_request(tmp_path: Path) -> None:
    script = Script(latency_s=0.05)
    with serving(script) as url:
        found, counts = run(
            teacher_at(url), tmp_path, [(i, replace(question(i % 2), name=f"n{i}"), 0) for i in range(20)]
        )
    assert sum(script.asked.values()) == 2
    assert counts.answered == 2 and counts.cached == 18
    assert sum(not completion.cached for completion in found.values()) == 2


def test_another_process_is_heard_at_once(tmp_path: Path) -> None:
    script = Script()
    with serving(script) as url:

        async def main() -> None:
            mine, theirs = RequestCache(tmp_path), RequestCache(tmp_path)
            async with open_teacher(teacher_at(url), cache=theirs, images=no_images) as ask:
                await ask(question(1), 0)
            async with open_teacher(teacher_at(url), cache=mine, images=no_images) as ask:
                assert (await ask(question(1), 0)).cached
            mine.close()
            theirs.close()

        asyncio.run(main())
    assert sum(script.asked.values()) == 1


def test_two_processes_with_the_same_work_share_it(tmp_path: Path) -> None:
    """Both ask everything; the one that starts later finds what the other has by the time it would send."""
    script = Script(latency_s=0.05)
    with serving(script) as url:

        async def one(cache: RequestCache, order: int) -> None:
            async with open_teacher(teacher_at(url, max_in_flight=4), cache=cache, images=no_images) as ask:
                work = some(120)[::order]
                found = [completion async for _, completion in ask_all(ask, work, window=120)]
                assert len(found) == 120 and all(completion.error is None for completion in found)

        async def main() -> None:
            caches = RequestCache(tmp_path), RequestCache(tmp_path)
            await asyncio.gather(one(caches[0], 1), one(caches[1], -1))
            for cache in caches:
                cache.close()

        asyncio.run(main())
    assert sum(script.asked.values()) <= 120 + 8, "more than what both had under way when they met"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("always-unauthorized", "HTTP 401: Incorrect API key provided: ***; the key comes from TEACHER_KEY"),
        ("always-no-model", "HTTP 404: The model `m` does not exist.; model 'm' at"),
        ("always-429-quota", "You exceeded your current quota (insufficient_quota)"),
        ("always-redirect", "it points to https://elsewhere/v1"),
        ("always-filtered", "refused all of the first 20 requests"),
    ],
)
def test_what_no_row_can_survive_stops_the_run_in_one_line(fault: str, said: str, tmp_path: Path) -> None:
    script = Script(faults={fault: 1.0})
    with serving(script) as url, pytest.raises(TeacherError) as caught:
        run(teacher_at(url, api_key_env="TEACHER_KEY"), tmp_path, some(200), environ={"TEACHER_KEY": KEY})
    assert said in str(caught.value) and "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert sum(script.asked.values()) <= 70


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"cannot connect.*start the server, or mend base_url"):
        run(teacher_at("http://127.0.0.1:9/v1", retries=1), tmp_path, some(3))
    with pytest.raises(TeacherError, match="TEACHER_KEY"):
        run(teacher_at("http://127.0.0.1:9/v1", api_key_env="TEACHER_KEY"), tmp_path, some(3), environ={})
    with pytest.raises(TeacherError, match="characters that no key has"):
        run(teacher_at("http://127.0.0.1:9/v1", api_key_env="K"), tmp_path, some(3), environ={"K": "a\r\nHost: b"})


def test_a_server_that_goes_away_stops_the_run(tmp_path: Path) -> None:
    script = Script(faults={"always-drop-before": 1.0})
    with serving(script) as url, pytest.raises(TeacherError, match="requests failed one after the other"):
        run(teacher_at(url, retries=0, max_in_flight=4), tmp_path, some(500))


def test_only_waiting_stops_the_run(tmp_path: Path) -> None:
    script = Script(faults={"always-429": 1.0}, retry_after_s=0.05)
    with serving(script) as url, pytest.raises(TeacherError, match="asks to wait for longer than patience_s"):
        run(teacher_at(url, patience_s=0.3), tmp_path, some(5))


def test_keys_reach_the_server_and_nothing_else(tmp_path: Path) -> None:
    script = Script(faults={"always-500": 0.3})
    script.keep_bodies = True
    with serving(script) as url:
        teacher = teacher_at(url, api_key_env="TEACHER_KEY", retries=1)
        found, _ = run(teacher, tmp_path, some(30), environ={"TEACHER_KEY": KEY})
    assert script.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(found) and KEY not in teacher.model_dump_json()
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_budgets_stop_cleanly_and_a_rerun_goes_on(tmp_path: Path) -> None:
    script = Script(latency_s=0.005)
    price = Price(prompt=1000.0, completion=2000.0, cached_prompt=500.0)
    cost = (60 * 1000 + 40 * 500 + 20 * 2000) / 1e6
    with serving(script) as url:
        for budget, most in (
            (Budget(max_requests=7), 7),
            (Budget(max_usd=10 * cost), 10),
            (Budget(max_tokens=1200), 10),
        ):
            before = sum(script.answered.values())
            with pytest.raises(BudgetError, match="run the same command again") as caught:
                run(teacher_at(url, price=price), tmp_path, some(60), budget=budget)
            sent = sum(script.answered.values()) - before
            assert most - 2 <= sent <= most, str(caught.value)
        assert sum(script.answered.values()) > 20 and set(script.answered.values()) == {1}
        found, counts = run(teacher_at(url, price=price), tmp_path, some(60), budget=Budget(max_usd=100.0))
        assert len(found) == 60 and set(script.answered.values()) == {1}
        assert counts.usd == pytest.approx(counts.requests * cost)
    with pytest.raises(TeacherError, match="no price for m"):
        run(teacher_at(url), tmp_path, some(1), budget=Budget(max_usd=1.0))


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    """An encoded picture."""
    out = io.BytesIO()
    Image.new("L", (width, height), 90).save(out, kind)
    return out.getvalue()


def test_pictures_are_sent_scaled_and_never_stored(tmp_path: Path) -> None:
    import base64

    stored = {"big": picture(400, 200), "tiff": picture(20, 20, "TIFF")}
    script = Script()
    script.keep_bodies = True
    parts = (TextPart("a"), ImagePart("big"), TextPart("b"), TextPart("c"), ImagePart("tiff"))
    prompt = replace(question(0), messages=(Message("user", parts),))
    lost = replace(question(0), messages=(Message("user", (ImagePart("gone"),)),))

    def images(digest: str) -> bytes:
        if digest not in stored:
            raise Reject("image_missing", digest)
        return stored[digest]

    with serving(script) as url:
        teacher = teacher_at(url, max_pixels=20_000)
        found, counts = run(teacher, tmp_path, [("a", prompt, 0), ("b", lost, 0)], images=images)
        other, _ = run(teacher_at(url, max_pixels=10_000), tmp_path, [("a", prompt, 0)], images=images)
    content = script.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url"]
    assert content[2]["text"] == "bc"
    sizes = []
    for part in content[1::2]:
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    assert sizes == [(200, 100), (20, 20)]
    assert found["b"].error == "image_missing: gone" and counts.failed == 1
    assert other["a"].key != found["a"].key, "what the model saw is another picture"
    assert all(b"base64" not in path.read_bytes() for path in tmp_path.rglob("*.seg"))


def test_keys_depend_on_what_is_asked_and_nothing_else() -> None:
    from infimed_data.teachers.keys import asked

    teacher = teacher_at("http://127.0.0.1/v1")
    one = question(1)
    same = [
        (replace(one, name="other", uid="a/b/1"), teacher),
        (one, teacher_at("http://10.0.0.1/v1", timeout_s=9.0, max_pixels=784)),
        (replace(one, sampling=replace(one.sampling, temperature=1)), teacher),
        (replace(one, messages=(Message("user", (TextPart("Quest"), TextPart("ion 1"))),)), teacher),
    ]
    others = [
        (replace(one, model="m2"), teacher),
        (replace(one, sampling=replace(one.sampling, temperature=0.5)), teacher),
        (replace(one, messages=(Message("system", one.messages[0].parts),)), teacher),
        (replace(one, messages=(Message("user", (ImagePart("Question 1"),)),)), teacher),
        (one, teacher_at("http://127.0.0.1/v1", extra_body={"top_k": 3})),
    ]
    assert {asked(*case) for case in same} == {asked(one, teacher)}
    assert len({asked(one, teacher), *(asked(*case) for case in others)}) == len(others) + 1
    assert asked(one, teacher).hex() == "80494721e7c1f69752cdd1d92d98da456a4317bac79a76dd7d66ce75fb4c8137", (
        "answers that teams have paid for would be lost"
    )


def test_replay(tmp_path: Path) -> None:
    with serving(Script()) as url:
        found, _ = run(teacher_at(url), tmp_path / "cache", [(i, question(i // 2), i % 2) for i in range(10)])
    cache = RequestCache(tmp_path / "cache")
    assert export_cache(cache, tmp_path / "export.jsonl") == 10
    cache.close()
    replay = Teacher(backend="replay", model="m", file=str(tmp_path / "export.jsonl"))
    again, counts = run(replay, None, [(i, question(i // 2), i % 2) for i in range(12)], budget=Budget(max_requests=1))
    assert {i: again[i].text for i in range(10)} == {i: found[i].text for i in range(10)}
    assert again[0].backend == "replay" and counts.usd == 0
    assert again[10].error == "replay: export.jsonl has no answer for this prompt, candidate 0"

    choice = {"message": {"content": "B"}, "finish_reason": "stop"}
    lines: list[Any] = [
        {"uid": "a/train/1", "text": "first", "reasoning": "hm"},
        {"uid": "a/train/1", "text": "second", "finish_reason": "length"},
        {"custom_id": "a/train/2#3", "response": {"status_code": 200, "body": {"choices": [choice, choice]}}},
        {"custom_id": "a/train/3", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    replay = Teacher(backend="replay", model="m", file=str(tmp_path / "t.jsonl"))
    asked = [("a/train/1", 0), ("a/train/1", 1), ("a/train/2", 3), ("a/train/2", 4), ("a/train/3", 0), ("a/train/1", 2)]
    got, _ = run(replay, None, [((uid, index), question(0, uid=uid), index) for uid, index in asked])
    texts = [got[pair].text if got[pair].error is None else got[pair].error for pair in asked]
    assert texts == [
        "<think>\nhm\n</think>\n\nfirst", "second", "B", "B", "replay: t.jsonl: too long",
        "replay: t.jsonl has no answer for a/train/1, candidate 2",
    ]  # fmt: skip
    assert got[("a/train/1", 1)].finish_reason == "length"
    (tmp_path / "t.jsonl").write_text('{"uid": "a/train/1", "text": "x"}\n{"uid": 3}\n')
    with pytest.raises(TeacherError, match=r"t\.jsonl:2: no `key`, no `custom_id`, and no `uid` with a `text`"):
        run(replay, None, [])


def test_an_estimate_is_what_is_then_spent(tmp_path: Path) -> None:
    price = Price(prompt=1.0, completion=2.0)
    work = [(question(number), range(4)) for number in range(50)]
    with serving(Script()) as url:
        teacher = teacher_at(url, price=price)
        cache = RequestCache(tmp_path)
        first = estimate(teacher, work, cache=cache, image_size=lambda digest: (1, 1))
        assert (first.candidates, first.cached, first.requests, first.completion_from) == (200, 0, 50, 0)
        assert first.completion_tokens == 200 * 32 and first.usd == pytest.approx(
            (first.prompt_tokens + 2 * 6400) / 1e6
        )
        cache.close()
        run(teacher, tmp_path, [(n, question(n), i) for n in range(10) for i in range(4)])
        cache = RequestCache(tmp_path)
        then = estimate(teacher, work, cache=cache, image_size=lambda digest: (1, 1))
        cache.close()
    assert (then.cached, then.requests, then.completion_from) == (40, 40, 40)
    assert then.completion_tokens == 160 * 20, "lengths come from what was answered"
    shown = replace(question(0), messages=(Message("user", (ImagePart("x"),)),))
    seen = estimate(teacher, [(shown, [0])], cache=None, image_size=lambda digest: (10_000, 10_000))
    assert 1280 < seen.prompt_tokens < 1310, "an image is counted as it is sent"


CLIENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_teachers import question, no_images
from infimed_data.teachers import RequestCache, Teacher, ask_all, open_teacher

async def main(url, folder, log, count):
    cache = RequestCache(Path(folder))
    with open(log, "a") as used:
        async with open_teacher(Teacher(model="m", base_url=url), cache=cache, images=no_images,
                                say=lambda line: print(line, flush=True)) as ask:
            print("started", flush=True)
            async for number, found in ask_all(ask, ((n, question(n), 0) for n in range(count))):
                used.write(f"{{number}}\\t{{found.text}}\\n")
                used.flush()
    cache.close()

asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
"""


def client(folder: Path, url: str, log: Path, count: int) -> subprocess.Popen[str]:
    """A run in a process of its own; `log` holds what it has used."""
    script = folder / "client.py"
    script.write_text(CLIENT.format(tests=str(HERE)))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script), url, str(folder / "cache"), str(log), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def used(log: Path) -> dict[int, str]:
    """Answers that a run has used, torn last line left out."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    rows = [line.rstrip("\n").split("\t") for line in lines if line.endswith("\n")]
    return {int(number): text for number, text in rows}


def killed_runs(folder: Path, *, count: int, kills: int, latency_s: float, seed: int) -> dict[str, int]:
    """Kills runs at random moments and ends with a whole one; what must hold is asserted, what was seen comes back."""
    draw = random.Random(seed)
    script = Script(latency_s=latency_s)
    whole = {number: answer_to(wire_key(question(number))) for number in range(count)}
    unfinished = 0
    with serving(script) as url:
        for trial in range(kills + 1):
            known, asked_before = known_of(folder / "cache", count), dict(script.asked)
            log = folder / f"used-{trial}.log"
            process = client(folder, url, log, count)
            assert process.stdout and process.stdout.readline() == "started\n"
            if trial < kills:
                time.sleep(draw.uniform(0, 2 * count * latency_s / 64 / (kills + 1)))  # so that work is left for all
                process.kill()
            _, errors = process.communicate()
            assert trial < kills or process.returncode == 0, errors
            time.sleep(2 * latency_s)
            now_known = known_of(folder / "cache", count)
            unfinished += trial < kills and len(now_known) < count
            answers = used(log)
            assert known <= now_known and set(answers) <= now_known, "an answer was lost, or used before it was kept"
            assert answers.items() <= whole.items()
            for number in known:
                key = wire_key(question(number))
                assert script.asked[key] == asked_before[key], "a request that was answered was sent again"
        assert used(log) == whole
        sent_twice = sum(script.asked.values()) - count
    assert unfinished > kills / 2 and sent_twice <= 2 * 64 * unfinished, (
        "more than what was under way or not yet on disk"
    )
    return {"killed_at_work": unfinished, "sent_twice_unanswered": sent_twice}


def known_of(folder: Path, count: int) -> set[int]:
    """Questions whose answer is on disk."""
    from infimed_data.teachers.keys import asked, request_key

    cache = RequestCache(folder)
    try:
        teacher = teacher_at("http://127.0.0.1/v1")
        keys = {number: request_key(asked(question(number), teacher), 0) for number in range(count)}
        return {number for number, key in keys.items() if cache.get(key) is not None}
    finally:
        cache.close()


def test_kill_9_loses_nothing_that_was_used(tmp_path: Path) -> None:
    killed_runs(tmp_path, count=600, kills=3, latency_s=0.05, seed=4711)


def test_ctrl_c_keeps_what_is_on_its_way(tmp_path: Path) -> None:
    script = Script(latency_s=1.0)
    with serving(script) as url:
        process = client(tmp_path, url, tmp_path / "used.log", 500)
        assert process.stdout and process.stdout.readline() == "started\n"
        while script.inside < 64:
            time.sleep(0.01)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=10)
        took = time.monotonic() - start
        assert "64 answers are on their way and get 5 s" in out
        assert took < 3 and errors.rstrip().endswith("KeyboardInterrupt"), errors
        assert len(known_of(tmp_path / "cache", 500)) == sum(script.answered.values()) == 64
        script.latency_s = 30.0
        process = client(tmp_path, url, tmp_path / "used.log", 500)
        assert process.stdout and process.stdout.readline() == "started\n"
        while script.inside < 64:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert "on their way" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and key for 127.0.0.1, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", f"{path}.crt"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl command")
    path.write_bytes(Path(f"{path}.crt").read_bytes() + Path(f"{path}.key").read_bytes())
    return path


def test_tls_with_trusted_and_untrusted_certificates(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    script = Script(faults={"500": 0.3, "drop-middle": 0.2})
    with serving(script, ssl=context) as url:
        with pytest.raises(TeacherError, match="certificate"):
            run(teacher_at(url, retries=0), tmp_path, some(2))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        _, counts = run(teacher_at(url, timeout_s=5.0), tmp_path, some(40))
    assert counts.answered == 40 and set(script.answered.values()) == {1}
    assert script.connections < 100, "connections are used again"


def test_a_proxy_of_the_environment_is_used(tmp_path: Path) -> None:
    """A proxy gets the whole address; this one answers by itself."""
    script = Script()
    with serving(script) as url:
        proxy = url.removesuffix("/v1")
        teacher = Teacher(model="m", base_url="http://model.invalid/v1")
        _, counts = run(teacher, tmp_path, some(3), environ={"HTTP_PROXY": proxy})
    assert counts.answered == 3


def test_a_unix_socket(tmp_path: Path) -> None:
    script = Script()

    async def main() -> None:
        from fault_server import _Connection

        path = str(tmp_path / "s")
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(script), path)
        teacher = Teacher(model="m", base_url=f"http+unix://{path.replace('/', '%2F')}/v1")
        async with open_teacher(teacher, cache=None, images=no_images, private_only=True) as ask:
            assert (await ask(question(1), 0)).text == answer_to(wire_key(question(1)))
        server.close()

    asyncio.run(main())


def test_connections_are_kept(tmp_path: Path) -> None:
    script = Script(latency_s=0.002)
    with serving(script) as url:
        run(teacher_at(url, max_in_flight=8), tmp_path, some(200))
    assert script.connections == 8 == script.most_inside


def test_private_only_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"8\.8\.8\.8, outside the private networks; a source with send_to_api"):
        run(teacher_at("http://8.8.8.8/v1"), tmp_path, some(1), private_only=True)


def test_a_full_disk_stops_the_run_and_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from infimed_data.errors import StorageError

    real, written = os.write, [0]

    def full(handle: int, data: Any) -> int:
        written[0] += len(data)
        if written[0] > 3000:
            real(handle, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", "x.seg")
        return real(handle, data)

    script = Script(latency_s=0.005)
    with serving(script) as url:
        with monkeypatch.context() as patch:
            patch.setattr("infimed_data.teachers.cache.store.os.write", full)
            with pytest.raises(StorageError, match="disk full while writing answers to the request cache"):
                run(teacher_at(url, max_in_flight=4), tmp_path, some(200))
        kept = known_of(tmp_path, 200)
        assert 4 < len(kept) < 200
        before = dict(script.asked)
        found, counts = run(teacher_at(url), tmp_path, some(200))
    assert counts.cached == len(kept) and len(found) == 200
    assert all(script.asked[wire_key(question(n))] == before[wire_key(question(n))] for n in kept)


def test_backends_are_those_that_a_manifest_may_name() -> None:
    from typing import get_args

    assert set(BACKENDS) == set(get_args(Teacher.model_fields["backend"].annotation))


@pytest.mark.skipif("INFIMED_VLLM_URL" not in os.environ, reason="INFIMED_VLLM_URL: no vLLM server to test against")
def test_a_real_vllm_server(tmp_path: Path) -> None:
    import urllib.request

    url = os.environ["INFIMED_VLLM_URL"]
    with urllib.request.urlopen(f"{url}/models", timeout=10) as response:
        model = json.load(response)["data"][0]["id"]
    teacher = Teacher(model=model, base_url=url)
    parts = (ImagePart("a"), TextPart("What is shown?"))
    sampling = Sampling(max_tokens=16, logprobs=True)
    prompt = Prompt(model=model, messages=(Message("user", parts),), sampling=sampling, name="t@1")
    work = [(index, prompt, index) for index in range(4)]
    stored = picture(300, 200)
    found, counts = run(teacher, tmp_path, work, images=lambda digest: stored)
    assert counts.answered == 4 and counts.requests == 1, "n was not honoured"
    assert len({completion.text for completion in found.values()}) > 1
    assert all(c.prompt_tokens > 10 and 0 < c.completion_tokens <= 16 for c in found.values())
    assert all(c.answer_entropy is None or c.answer_entropy > 1 for c in found.values())
    again, counts = run(teacher, tmp_path, work, images=lambda digest: stored)
    assert counts.cached == 4 and {i: c.text for i, c in again.items()} == {i: c.text for i, c in found.items()}
    long = replace(prompt, messages=(Message("user", (TextPart("word " * 5000),)),))
    refused, _ = run(teacher, tmp_path, [(0, long, 0)])
    assert refused[0].error is not None and "HTTP 400" in refused[0].error
    with pytest.raises(TeacherError, match="HTTP 404"):
        gone = Teacher(model="gone", base_url=url)
        run(gone, tmp_path, [(0, replace(prompt, model="gone"), 0)], images=lambda digest: stored)
