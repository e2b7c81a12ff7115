"""Scores equal a hand count, are as sure as they say, go on where they stopped, and refuse another resolution."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import PIL.Image
import polars as pl
import pytest
from conftest import Run, Write

from infimed_train.check import check
from infimed_train.config import EvalConfig, load_config
from infimed_train.errors import TrainError
from infimed_train.evaluate import compare, evaluate
from infimed_train.evaluate.in_process import Engine, InProcess, load_engine
from infimed_train.evaluate.journal import Answer
from infimed_train.evaluate.prompts import load_prompts
from infimed_train.evaluate.served import Asked
from infimed_train.evaluate.statistics import clusters_of, draws, interval, paired
from infimed_train.model import load_processor

Say = Callable[[str], str]


def quiet(line: str) -> None:
    pass


@contextmanager
def server(answer: Callable[[str, str], str | int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(base_url, requests) of a server that says `answer(question, digest of the image)`, or an HTTP status."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            content = body["messages"][-1]["content"]
            parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
            image = "".join(
                hashlib.sha256(base64.b64decode(part["image_url"]["url"].partition(",")[2])).hexdigest()
                for part in parts
                if part["type"] == "image_url"
            )
            said = answer(parts[-1]["text"], image)
            status = said if isinstance(said, int) else 200
            choice = {"message": {"content": said}, "finish_reason": "stop"}
            reply = {"choices": [choice], "usage": {"completion_tokens": 3}}
            data = json.dumps(reply if status == 200 else {"error": "no"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1", asked
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def served(url: str, build: Path, output: Path, *more: str) -> str:
    return "\n".join(
        [
            "task: eval",
            f"output: {output}",
            f"server: {{base_url: '{url}', model: scripted}}",
            f"benchmarks: {{rad: {{path: {build}}}}}",
            "resamples: 200",
            *more,
        ]
    )


def test_every_count_on_vqa_rad_is_exact(real: Path, run: Run, write: Write, training: None, tmp_path: Path) -> None:
    """451 test rows: 272 closed and 179 open as published, 251 and 200 by yes and no; counted in the file itself."""
    manifest = tmp_path / "rad.yaml"
    manifest.write_text(
        f"name: rad\nroot: {real.resolve()}\nsources:\n  vqa_rad:\n    adapter: vqa_rad\n    location: vqa_rad\n"
        "    split: test\n    category: medical_vqa\ndedup: {exact: false, near: false}\noutputs:\n  sft: {}\n",
        "utf-8",
    )
    built = run("build", manifest, "--out", tmp_path / "builds", "--work", tmp_path / "work", "--quiet")
    build = Path(built.stdout.splitlines()[-1])
    rows = json.loads((real / "vqa_rad" / "testset.json").read_text("utf-8"))
    images = {
        name: hashlib.sha256((real / "vqa_rad" / "images" / name).read_bytes()).hexdigest()
        for name in {row["image_name"] for row in rows}
    }
    script: dict[tuple[str, str], str] = {}
    expected: Counter[tuple[str, str]] = Counter()
    for number, row in enumerate(rows):
        gold = " ".join(str(row["answer"]).split())
        polar = gold.lower() in ("yes", "no")
        said, outcome, failed = (f"<think>Look.</think><answer>{gold}</answer>", "correct", False)
        if number % 4 == 1:
            said, outcome, failed = "", "wrong", True
        elif number % 4 == 2 and polar:
            said, outcome, failed = "No." if gold.lower() == "yes" else "Yes.", "wrong", False
        elif number % 4 == 2:
            said, outcome, failed = "<answer></answer>", "wrong", True
        elif number % 4 == 3 and polar:
            said, outcome, failed = "The hila are large", "unverifiable", False
        script[" ".join(row["question"].split()), images[row["image_name"]]] = said
        for part in (
            "all",
            f"published={row['answer_type'].strip().lower()}",
            f"rebuilt={'closed' if polar else 'open'}",
        ):
            expected[part, "rows"] += 1
            expected[part, outcome] += 1
            expected[part, "parse_failures"] += failed
    assert len(script) == 451

    def answer(text: str, image: str) -> str:
        return script[" ".join(text.partition("\n\n")[0].split()), image]

    with server(answer) as (url, asked):
        loaded = load_config(write(served(url, build, tmp_path / "out")))
        text = evaluate(loaded, quiet)
        assert len(asked) == 451
        assert evaluate(loaded, quiet) == text
        assert len(asked) == 451  # the second time everything is known

    scores = {row["part"]: row for row in json.loads((tmp_path / "out" / "results.json").read_text())["scores"]}
    for (part, count), number in expected.items():
        assert scores[part][count] == number, (part, count)
    assert (scores["published=closed"]["rows"], scores["published=open"]["rows"]) == (272, 179)
    assert (scores["rebuilt=closed"]["rows"], scores["rebuilt=open"]["rows"]) == (251, 200)
    assert scores["all"]["rows"] == 451
    every = scores["all"]
    assert every["accuracy"] == every["correct"] / (every["correct"] + every["wrong"])
    assert every["low"] < every["accuracy"] < every["high"]
    assert f"| {100 * every['accuracy']:.1f}" in text
    predictions = tmp_path / "out" / "predictions.parquet"
    found = duckdb.sql(f"SELECT outcome, count(*) FROM '{predictions}' GROUP BY outcome")
    assert found is not None
    assert dict(found.fetchall()) == {name: expected["all", name] for name in ("correct", "wrong", "unverifiable")}
    csv = pl.read_csv(tmp_path / "out" / "results.csv")
    assert csv.filter(pl.col("part") == "all")["correct"].item() == expected["all", "correct"]
    pictures = len({row["image_name"] for row in rows})
    assert pl.read_parquet(predictions)["cluster"].n_unique() <= pictures


def test_a_stopped_evaluation_goes_on(demo_build: Path, write: Write, training: None, tmp_path: Path) -> None:
    broken = threading.Event()

    def answer(text: str, image: str) -> str | int:
        return 403 if broken.is_set() and "?" in text else "yes"

    with server(answer) as (url, asked):
        text = served(url, demo_build, tmp_path / "out")
        loaded = load_config(write(text), ["benchmarks.rad.max_rows=20"])
        said: list[str] = []
        evaluate(loaded, said.append)
        assert "rad: 2 rows are conversations, no single question; left out" in said
        assert len(asked) == 18
        journal = tmp_path / "out" / "answers.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:12]) + lines[12][:10])  # killed in the middle of a line
        broken.set()
        with pytest.raises(TrainError, match=r"HTTP 403: .*the answers so far are kept") as caught:
            evaluate(loaded, quiet)
        assert "\n" not in str(caught.value)
        broken.clear()
        asked.clear()
        evaluate(loaded, quiet)
        assert len(asked) <= 6
        with pytest.raises(TrainError, match="is not the folder of an evaluation"):
            evaluate(load_config(write(text), [f"output={tmp_path}"]), quiet, fresh=True)


def test_a_refused_request_counts_as_wrong_and_is_said(
    demo_build: Path, write: Write, training: None, tmp_path: Path
) -> None:
    said: list[str] = []
    with server(lambda text, image: 400) as (url, _):
        loaded = load_config(write(served(url, demo_build, tmp_path / "out")), ["benchmarks.rad.max_rows=5"])
        evaluate(loaded, said.append)
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]
    assert any(line.startswith(f"warning: rad: {scores[0]['rows']} requests refused: HTTP 400") for line in said)
    assert scores[0]["wrong"] == scores[0]["rows"] - scores[0]["unverifiable"]


def test_a_model_answers_here_and_two_evaluations_compare(
    demo_build: Path, tiny_model: Path, write: Write, tmp_path: Path
) -> None:
    config = (
        f"task: eval\noutput: {tmp_path / 'a'}\nmodel: {tiny_model}\ndtype: float32\nmax_new_tokens: 4\n"
        f"batch_size: 3\nresamples: 200\nbenchmarks: {{demo: {{path: {demo_build}, max_rows: 7}}}}\n"
    )
    first = load_config(write(config))
    evaluate(first, quiet)
    before = pl.read_parquet(tmp_path / "a" / "predictions.parquet")
    journal = tmp_path / "a" / "answers.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    evaluate(first, quiet)
    assert pl.read_parquet(tmp_path / "a" / "predictions.parquet").equals(before)
    assert before["finish"].is_in(["length", "stop"]).all()
    with server(lambda text, image: "yes") as (url, _):
        other = f"task: eval\noutput: {tmp_path / 'b'}\nserver: {{base_url: '{url}', model: m}}\nresamples: 200\n"
        other += f"benchmarks: {{demo: {{path: {demo_build}, max_rows: 7}}}}\nagainst: {tmp_path / 'a'}\n"
        text = evaluate(load_config(write(other)), quiet)
    assert "Rows that both decided, paired." in text
    assert compare(tmp_path / "a", tmp_path / "b", resamples=200) in text
    with pytest.raises(TrainError, match=r"no predictions.parquet; give the folder"):
        compare(tmp_path / "a", tmp_path / "c", resamples=200)


def eval_with_vllm(model: Path, build: Path, output: Path) -> str:
    return (
        f"task: eval\noutput: {output}\nmodel: {model}\ndtype: float32\nmax_new_tokens: 4\nresamples: 100\n"
        "pixels: {min_pixels: 784, max_pixels: 3136}\n"
        "vllm: {max_model_len: 2048, gpu_memory_utilization: 0.05, engine_args: {enforce_eager: true}}\n"
        f"benchmarks: {{demo: {{path: {build}, max_rows: 9}}}}\n"
    )


class FakeEngine:
    """Answers like `vllm.LLM.chat`, but for questions with a certain word; it then fails the whole call."""

    def __init__(self, bad: str, error: Exception) -> None:
        self._bad, self._error = bad, error
        self.asked: list[list[dict[str, Any]]] = []

    def chat(self, messages: list[Any], *, sampling_params: Any, use_tqdm: bool, **more: Any) -> list[Any]:
        if any(self._bad in str(one[-1]["content"]) for one in messages):
            raise self._error
        self.asked.extend(messages)
        said = SimpleNamespace(text="yes", finish_reason="stop", token_ids=[1, 2])
        return [SimpleNamespace(outputs=[said]) for _ in messages]


def test_vllm_in_process_is_asked_in_batches_and_a_bad_question_is_found(
    demo_build: Path, tiny_model: Path, write: Write, tmp_path: Path
) -> None:
    config = load_config(write(eval_with_vllm(tiny_model, demo_build, tmp_path / "v"))).config
    assert isinstance(config, EvalConfig)
    buffer = BytesIO()
    PIL.Image.new("L", (40, 30), 99).save(buffer, "PNG")
    asked = [
        Asked(str(i), [{"role": "user", "content": f"question {i}"}], [buffer.getvalue()] if i == 2 else [])
        for i in range(6)
    ]
    given: list[dict[str, Any]] = []

    def engine(bad: str, error: Exception) -> tuple[FakeEngine, InProcess]:
        fake = FakeEngine(bad, error)

        def sampling(**values: Any) -> dict[str, Any]:
            given.append(values)
            return values

        return fake, InProcess(config, None, where="x", load=lambda *_: Engine(fake, sampling, None))

    fake, who = engine("question 4", ValueError("the prompt is\ntoo long"))
    (answers,) = who.ask(asked)
    assert answers["4"] == Answer("", "refused: ValueError: the prompt is too long", 0)
    assert {key for key, answer in answers.items() if answer == Answer("yes", "stop", 2)} == set("01235")
    parts = next(one for one in fake.asked if isinstance(one[0]["content"], list))[0]["content"]
    assert (parts[0]["image_pil"].size, parts[1]["text"]) == ((40, 30), "question 2")
    assert given[0] == {"temperature": 0.0, "max_tokens": 4}  # no seed where nothing is drawn
    dead = type("EngineDeadError", (Exception,), {})
    _, who = engine("question 4", dead("it died"))
    with pytest.raises(TrainError, match="x: vLLM: EngineDeadError: it died; the answers so far are kept"):
        list(who.ask(asked))

    def broken(*_: Any) -> Engine:
        raise RuntimeError("no\nmemory")

    with pytest.raises(TrainError, match=r"x: vLLM, .*: RuntimeError: no memory$"):
        InProcess(config, None, where="x", load=broken)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_that_is_not_installed_is_one_line(
    demo_build: Path, tiny_model: Path, write: Write, tmp_path: Path
) -> None:
    path = write(eval_with_vllm(tiny_model, demo_build, tmp_path / "v"))
    with pytest.raises(TrainError, match=r"run.yaml:8: vLLM is not installed; pip install 'infimed-toolkit\[vllm\]'"):
        evaluate(load_config(path), quiet)
    lines, failed = check(load_config(path), quiet)
    assert failed
    assert any("vLLM is not installed" in line for line in lines)


@pytest.mark.skipif(
    find_spec("vllm") is None or "INFIMED_VLLM_MODEL" not in os.environ,
    reason="vLLM is not installed, or INFIMED_VLLM_MODEL names no model folder",
)
def test_vllm_itself_answers_as_transformers_does(demo_build: Path, write: Write, tmp_path: Path) -> None:
    model = Path(os.environ["INFIMED_VLLM_MODEL"])
    loaded = load_config(write(eval_with_vllm(model, demo_build, tmp_path / "v")))
    evaluate(loaded, quiet)
    evaluate(load_config(loaded.path, ["vllm=null", f"output={tmp_path / 't'}"]), quiet)
    columns = ["uid", "response", "finish", "tokens"]
    first, second = (pl.read_parquet(tmp_path / name / "predictions.parquet")[columns] for name in "vt")
    assert first.equals(second)


@pytest.mark.skipif(
    find_spec("vllm") is None or "INFIMED_VLLM_MODEL" not in os.environ,
    reason="vLLM is not installed, or INFIMED_VLLM_MODEL names no model folder",
)
def test_vllm_itself_keeps_to_our_pixel_limits(demo_build: Path, write: Write, tmp_path: Path) -> None:
    model = os.environ["INFIMED_VLLM_MODEL"]
    config = load_config(write(eval_with_vllm(Path(model), demo_build, tmp_path / "v"))).config
    assert isinstance(config, EvalConfig)
    processor = load_processor(model, revision=None, pixels=config.pixels)
    engine = load_engine(config, processor)
    picture = PIL.Image.new("RGB", (300, 300))
    content = [{"type": "image_pil", "image_pil": picture}, {"type": "text", "text": "Why?"}]
    (output,) = engine.llm.chat([[{"role": "user", "content": content}]], use_tqdm=False)
    expected = processor._get_num_multimodal_tokens(image_sizes=[(300, 300)])["num_image_tokens"][0]
    assert list(output.prompt_token_ids).count(processor.image_token_id) == expected


def test_other_pixel_limits_than_in_training_are_refused(
    demo_build: Path, tiny_model: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    model = tmp_path / "run" / "model"
    shutil.copytree(tiny_model, model)
    card = {"pixels": {"min_pixels": 784, "max_pixels": 7840}, "data": "rl/b rl/train", "config": {"model": "first"}}
    (model / "run.json").write_text(json.dumps(card), "utf-8")
    first = tmp_path / "first"
    first.mkdir()
    (first / "run.json").write_text(json.dumps({"data": "sft/a sft/train", "config": {"model": "Qwen"}}), "utf-8")
    monkeypatch.chdir(tmp_path)
    config = (
        f"task: eval\noutput: {tmp_path / 'a'}\nmodel: {model}\ndtype: float32\nmax_new_tokens: 2\nresamples: 100\n"
        f"benchmarks: {{demo: {{path: {demo_build}, max_rows: 2}}}}\n"
    )
    with pytest.raises(TrainError, match=r"max_pixels 12544 \(trained with 7840\); .*allow_other_pixels: true"):
        evaluate(load_config(write(config)), quiet)
    evaluate(load_config(write(config + "allow_other_pixels: true\n")), quiet)
    evaluate(load_config(write(config + "pixels: {min_pixels: 784, max_pixels: 7840}\n")), quiet)
    assert json.loads((tmp_path / "a" / "run.json").read_text("utf-8"))["trained_on"] == [
        "rl/b rl/train", "sft/a sft/train",
    ], "the last training first"  # fmt: skip


def test_prompts_are_files_with_a_text_for_every_kind(tmp_path: Path) -> None:
    from infimed_data.verify import Gold

    gold = Gold(question="Which {options}?", options=("left", "right"), answer_kind="choice")
    direct, reasoning = load_prompts("direct", where="x"), load_prompts("reasoning", where="x")
    assert direct.messages(gold)[0]["content"].startswith(
        "Which {options}?\nA. left\nB. right\n\nAnswer with the option"
    )
    assert "<answer></answer>" in reasoning.messages(gold)[0]["content"]
    assert "请" in direct.messages(gold._replace(lang="zh"))[0]["content"]
    own = tmp_path / "own.yaml"
    own.write_text("en: {choice: '{question}'}\n", "utf-8")
    with pytest.raises(TrainError, match="en: no text for multi_choice"):
        load_prompts(str(own), where="x")
    with pytest.raises(TrainError, match="x: no prompts 'dircet'; allowed: direct, reasoning, or a file; did you mean"):
        load_prompts("dircet", where="x")


def test_intervals_are_wider_when_rows_hang_together() -> None:
    random = np.random.default_rng(0)
    values = np.repeat(random.integers(0, 2, 100), 10).astype(float)
    alone, together = np.arange(1000), np.repeat(np.arange(100), 10)

    narrow = interval(draws(values, alone, resamples=1000, seed=0))
    wide = interval(draws(values, together, resamples=1000, seed=0))

    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])
    expected = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 100)
    assert (wide[1] - wide[0]) / 2 == pytest.approx(expected, rel=0.1)


def test_a_paired_comparison_covers_what_is_known() -> None:
    random = np.random.default_rng(1)
    clusters = np.arange(400)
    first = random.integers(0, 2, 400).astype(float)
    same = paired(first, first, clusters, resamples=500, seed=0)
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    better = np.maximum(first, (random.random(400) < 0.2).astype(float))
    gain = paired(first, better, clusters, resamples=500, seed=0)
    assert gain.low <= gain.difference <= gain.high
    assert gain.p_value < 0.01
    noise = [paired(first, random.permutation(first), clusters, resamples=200, seed=i).p_value for i in range(40)]
    assert np.mean(np.array(noise) < 0.05) <= 0.2
    assert clusters_of([["a"], ["b"], ["a", "b"], []]).tolist() == [0, 0, 0, 1]
