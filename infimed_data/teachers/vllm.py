"""vLLM in this process: whole batches through its offline chat interface, `vllm.LLM.chat`.

The model is loaded when the first candidate is asked for that is not remembered, so a finished run needs no GPU.
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from infimed_data.errors import TeacherError
from infimed_data.schema import Reject
from infimed_data.teachers.cache import Answer
from infimed_data.teachers.chat import chat_messages
from infimed_data.teachers.contract import Prompt
from infimed_data.teachers.keys import sampling_of
from infimed_data.teachers.outcomes import Images, ModelDiedError, Outcomes
from infimed_data.teachers.replies import answer_entropy, entropy_of, folded
from infimed_data.teachers.settings import Teacher

__all__ = ["Engine", "InProcess", "load_engine"]

_ALTERNATIVES = 5
_OF_CHAT = ("chat_template_kwargs", "mm_processor_kwargs", "chat_template")
"""Further parameters that are not sampling parameters."""


class Engine(NamedTuple):
    """What is used of vLLM."""

    llm: Any
    sampling_params: Callable[..., Any]


class _Wanted(NamedTuple):
    prompt: Prompt
    candidates: int
    messages: list[dict[str, Any]]
    done: asyncio.Future[Outcomes]
    task: Any


def load_engine(teacher: Teacher) -> Engine:
    """The model in this process; raises `TeacherError` with what vLLM said."""
    import vllm

    given = teacher.vllm
    arguments: dict[str, Any] = {
        "tensor_parallel_size": given.tensor_parallel_size,
        # vLLM starts every engine with seed 0: the candidates of a second run would repeat those of the first.
        "seed": secrets.randbelow(2**31),
        **{name: value for name in ("gpu_memory_utilization", "max_model_len", "dtype")
           if (value := getattr(given, name)) is not None},
        **({"data_parallel_size": given.data_parallel_size} if given.data_parallel_size > 1 else {}),
        **({"revision": teacher.revision} if teacher.revision else {}),
        **given.engine_args,
    }  # fmt: skip
    return Engine(vllm.LLM(model=teacher.model, **arguments), vllm.SamplingParams)


class InProcess:
    """Asks a model in this process. What is asked while a batch runs makes the next batch."""

    name = "vllm"
    keeps = False
    copies = 1
    server = "vllm"
    choices: bool | None = True

    def __init__(
        self, teacher: Teacher, images: Images, busy: set[Any], *, load: Callable[[Teacher], Engine] | None = None
    ) -> None:
        if load is None and find_spec("vllm") is None:
            raise TeacherError("backend vllm: vLLM is not installed; pip install 'infimed-toolkit[vllm]'")
        self._teacher, self._images, self._busy = teacher, images, busy
        self._load = load or load_engine
        self._engine: Engine | None = None
        self._waiting: list[_Wanted] = []
        self._batches: queue.SimpleQueue[list[_Wanted] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._running = False
        self.closing = False

    async def request(self, prompt: Prompt, indices: Sequence[int], news: Callable[[], bool]) -> Outcomes:
        """See `Backend.request`; raises `TeacherError` where the engine cannot be loaded or has died."""
        count = len(indices)
        try:
            messages = await chat_messages(prompt, self._images, max_pixels=self._teacher.max_pixels)
        except Reject as reject:
            return Outcomes.failed(f"{reject.rule}: {reject.value}", count)
        loop = asyncio.get_running_loop()
        wanted = _Wanted(prompt, count, messages, loop.create_future(), asyncio.current_task())
        self._waiting.append(wanted)
        if not self._running:
            self._running = True
            loop.call_soon(self._next_batch)
        return await wanted.done

    def _next_batch(self) -> None:
        """Hands the worker what has gathered; it calls again when it is done."""
        self._waiting = [wanted for wanted in self._waiting if not wanted.done.done()]
        if not self._waiting or self.closing:
            self._running = False
            return
        batch: list[_Wanted] = []
        candidates = 0
        while self._waiting and (not batch or candidates + self._waiting[0].candidates <= self._teacher.max_in_flight):
            batch.append(self._waiting.pop(0))
            candidates += batch[-1].candidates
        self._busy.update(wanted.task for wanted in batch)
        if self._thread is None:
            # A daemon: Ctrl-C must not wait for a batch that takes an hour.
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._work, args=(loop,), name="vllm", daemon=True)
            self._thread.start()
        self._batches.put(batch)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (batch := self._batches.get()) is not None:
            found: Sequence[Outcomes | TeacherError]
            try:
                if self._engine is None:
                    self._engine = self._load(self._teacher)
                found = self._answers(self._engine, batch)
            except Exception as error:
                kind = TeacherError if self._engine is None else ModelDiedError
                found = [kind(f"vLLM, {self._teacher.model}: {_one_line(error)}")] * len(batch)
            try:
                loop.call_soon_threadsafe(self._deliver, batch, found)
            except RuntimeError:  # the loop is gone, and with it whoever waited
                return

    def _deliver(self, batch: list[_Wanted], found: Sequence[Outcomes | TeacherError]) -> None:
        for wanted, outcomes in zip(batch, found, strict=True):
            if wanted.done.done():
                continue
            if isinstance(outcomes, TeacherError):
                wanted.done.set_exception(outcomes)
            else:
                wanted.done.set_result(outcomes)
        self._next_batch()

    def _answers(self, engine: Engine, batch: list[_Wanted]) -> list[Outcomes]:
        extra = dict(self._teacher.extra_body)
        of_chat = {name: extra.pop(name) for name in _OF_CHAT if name in extra}
        params = []
        for wanted in batch:
            sampling = sampling_of(wanted.prompt)
            params.append(
                engine.sampling_params(
                    n=wanted.candidates,
                    temperature=sampling["temperature"],
                    top_p=sampling["top_p"],
                    max_tokens=sampling["max_tokens"],
                    logprobs=_ALTERNATIVES if sampling["logprobs"] else None,
                    **extra,
                )
            )
        start = time.monotonic()
        try:
            outputs = engine.llm.chat(
                [wanted.messages for wanted in batch], sampling_params=params, use_tqdm=False, **of_chat
            )
        except Exception as error:
            if type(error).__name__ == "EngineDeadError":
                raise
            if len(batch) == 1:  # such as a prompt that is longer than the model's context
                return [Outcomes.failed(_one_line(error), batch[0].candidates)]
            middle = len(batch) // 2  # one bad prompt fails the call: find it, answer the others
            return self._answers(engine, batch[:middle]) + self._answers(engine, batch[middle:])
        latency_s = time.monotonic() - start
        return [self._outcomes(wanted, output, latency_s) for wanted, output in zip(batch, outputs, strict=True)]

    def _outcomes(self, wanted: _Wanted, output: Any, latency_s: float) -> Outcomes:
        prompt_tokens = len(output.prompt_token_ids or ())
        answers = [
            Answer(
                model=wanted.prompt.model,
                name=wanted.prompt.name,
                text=folded(one.text, "", cut=one.finish_reason == "length"),
                finish_reason=one.finish_reason or "stop",
                prompt_tokens=prompt_tokens,
                completion_tokens=len(one.token_ids),
                latency_s=round(latency_s, 3),
                answer_entropy=_entropy(one),
                backend=self.name,
                choices=wanted.candidates,
                at=int(time.time()),
            )
            for one in output.outputs
        ]
        return Outcomes(answers, prompt_tokens, sum(answer.completion_tokens for answer in answers), 0)

    async def close(self) -> None:
        """Ends the worker when its batch is done, and lets go of the model."""
        self._batches.put(None)
        self._engine = None


def _entropy(output: Any) -> float | None:
    if not output.logprobs:
        return None
    tokens = []
    for token_id, listed in zip(output.token_ids, output.logprobs, strict=True):
        drawn = listed[token_id]
        tokens.append((drawn.decoded_token or "", entropy_of([one.logprob for one in listed.values()], drawn.logprob)))
    return answer_entropy(tokens)


def _one_line(error: BaseException) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line if len(line) <= 300 else line[:297] + "..."
