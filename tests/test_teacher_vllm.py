"""vLLM in this process: with an engine of our own that does what vLLM's does, and with vLLM itself where it is."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import log
from pathlib import Path
from typing import Any

import pytest
from test_teachers import no_images, question

from infimed_data.errors import TeacherError
from infimed_data.teachers import Completion, RequestCache, Teacher, open_teacher
from infimed_data.teachers.vllm import Engine, InProcess, load_engine

pytestmark = pytest.mark.filterwarnings("default")


@dataclass
class Drawn:
    """vLLM's `Logprob`."""

    logprob: float
    rank: int
    decoded_token: str


@dataclass
class Output:
    """vLLM's `CompletionOutput`, as far as it is read."""

    text: str
    token_ids: list[int]
    finish_reason: str
    logprobs: list[dict[int, Drawn]] | None = None


@dataclass
class Request:
    """vLLM's `RequestOutput`, as far as it is read."""

    prompt_token_ids: list[int]
    outputs: list[Output]


@dataclass
class FakeLLM:
    """Answers with what it was asked; a prompt that says `too long` fails its whole batch, as in vLLM."""

    batches: list[int] = field(default_factory=list)
    dead: bool = False

    def chat(
        self,
        messages: list[list[dict[str, Any]]],
        sampling_params: list[dict[str, Any]],
        use_tqdm: bool = True,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[Request]:
        """As in vLLM."""
        time.sleep(0.01)
        self.batches.append(len(messages))
        if self.dead:
            raise type("EngineDeadError", (RuntimeError,), {})("the engine is gone")
        if any("Question 13" in one[0]["content"] for one in messages):
            raise ValueError("The decoder prompt is longer than the maximum model length of 2048.")
        assert not use_tqdm and chat_template_kwargs == {"enable_thinking": False}
        return [
            Request([1] * 7, [self.one(one[0]["content"], params, i) for i in range(params["n"])])
            for one, params in zip(messages, sampling_params, strict=True)
        ]

    @staticmethod
    def one(text: str, params: dict[str, Any], number: int) -> Output:
        """One candidate."""
        assert params["top_k"] == 3 and params["max_tokens"] == 64
        logprobs = [{token: Drawn(log(0.5), 1, "a"), 9: Drawn(log(0.3), 2, "b")} for token in (5, 6)]
        return Output(f"why</think>{text} {number}", [5, 6], "length", logprobs if params["logprobs"] else None)


def asked(teacher: Teacher, llm: FakeLLM, folder: Path, work: list[tuple[int, int]]) -> list[Completion]:
    """Completions of (question, candidate), asked for at once."""

    async def main() -> list[Completion]:
        from infimed_data.teachers import asker
        from infimed_data.teachers.budget import Meter
        from infimed_data.teachers.settings import Budget

        cache = RequestCache(folder)
        busy: set[object] = set()
        backend = InProcess(teacher, no_images, busy, load=lambda _: Engine(llm, dict))
        ask = asker.Asker(teacher, backend, cache, Meter(Budget(), None, model="m"), busy)
        try:
            return list(await asyncio.gather(*(ask(question(number), index) for number, index in work)))
        finally:
            await ask.finish(grace_s=None, say=print)
            await backend.close()
            cache.close()

    return asyncio.run(main())


EXTRA = {"top_k": 3, "chat_template_kwargs": {"enable_thinking": False}}
TEACHER = Teacher(backend="vllm", model="m", max_in_flight=16, extra_body=EXTRA)


def test_whole_batches_are_asked_and_kept(tmp_path: Path) -> None:
    llm = FakeLLM()
    work = [(number, index) for number in range(10) for index in range(4)]
    found = asked(TEACHER, llm, tmp_path, work)
    assert [c.text for c in found[:2]] == ["<think>\nwhy</think>Question 0 0", "<think>\nwhy</think>Question 0 1"]
    assert {(c.finish_reason, c.prompt_tokens, c.completion_tokens, c.backend) for c in found} == {
        ("length", 7, 2, "vllm")
    }
    assert llm.batches == [4, 4, 2], "batches of 16 candidates"
    again = asked(TEACHER, FakeLLM(dead=True), tmp_path, work)
    assert all(c.cached for c in again) and [c.text for c in again] == [c.text for c in found]


def test_one_bad_prompt_fails_alone(tmp_path: Path) -> None:
    found = asked(TEACHER, FakeLLM(), tmp_path, [(number, 0) for number in range(8, 20)])
    failed = [c for c in found if c.error is not None]
    assert len(failed) == 1 and failed[0].finish_reason == "error"
    assert failed[0].error == "ValueError: The decoder prompt is longer than the maximum model length of 2048."


def test_a_dead_engine_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="vLLM, m: EngineDeadError: the engine is gone"):
        asked(TEACHER, FakeLLM(dead=True), tmp_path, [(1, 0), (2, 0)])


def test_a_missing_install_is_named(tmp_path: Path) -> None:
    if find_spec("vllm") is not None:
        pytest.skip("vLLM is installed")

    async def main() -> None:
        async with open_teacher(TEACHER, cache=None, images=no_images):
            pass

    with pytest.raises(TeacherError, match=r"pip install 'infimed-toolkit\[vllm\]'"):
        asyncio.run(main())


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_itself_takes_what_it_is_given() -> None:
    import vllm

    given = set(inspect.signature(FakeLLM.chat).parameters) | {"mm_processor_kwargs", "chat_template"}
    assert given <= set(inspect.signature(vllm.LLM.chat).parameters)
    vllm.SamplingParams(n=2, temperature=1.0, top_p=1.0, max_tokens=3, logprobs=5, top_k=3)


@pytest.mark.skipif(
    find_spec("vllm") is None or "INFIMED_VLLM_MODEL" not in os.environ,
    reason="vLLM is not installed, or INFIMED_VLLM_MODEL names no model folder",
)
def test_vllm_itself_answers() -> None:
    model = os.environ["INFIMED_VLLM_MODEL"]
    given = {"dtype": "float32", "max_model_len": 2048, "engine_args": {"enforce_eager": True}}
    engine = load_engine(Teacher.model_validate({"backend": "vllm", "model": model, "vllm": given}))
    params = engine.sampling_params(n=2, temperature=1.0, top_p=1.0, max_tokens=4, logprobs=5)
    (output,) = engine.llm.chat([[{"role": "user", "content": "Why?"}]], sampling_params=[params], use_tqdm=False)
    assert len(output.outputs) == 2
