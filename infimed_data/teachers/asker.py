"""Asking a teacher: remembered answers first, one request for equal questions, answers on disk before they are used."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from infimed_data.errors import InfimedError, TeacherError
from infimed_data.teachers.backends import open_backend
from infimed_data.teachers.budget import Meter, Purse
from infimed_data.teachers.cache import Answer, RequestCache
from infimed_data.teachers.contract import Completion, ImagePart, Prompt
from infimed_data.teachers.keys import asked, request_key
from infimed_data.teachers.outcomes import Backend, Failure, Images, Outcomes
from infimed_data.teachers.settings import Budget, Teacher

__all__ = ["Asker", "Counts", "ask_all", "open_teacher"]

GRACE_S = 5.0
"""How long answers on their way are waited for after Ctrl-C."""
_IMAGE_TOKENS = 16384
"""An image's tokens at most, where max_pixels does not say: Qwen2.5-VL's own limit."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened so far in this run."""

    asked: int
    """Candidates that were asked for."""
    cached: int
    """Of these, remembered (refusals too), or asked for by somebody else at the same moment."""
    answered: int
    failed: int
    """Without an answer after all tries, refused by the server among them."""
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float


class _Group:
    """Candidates of one prompt that go out together."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.wanted: list[tuple[int, bytes]] = []


class Asker:
    """An `Ask`. Made by `open_teacher`, for one event loop."""

    def __init__(
        self, teacher: Teacher, backend: Backend, cache: RequestCache | None, meter: Meter, busy: set[object]
    ) -> None:
        self.teacher = teacher
        self._backend, self._cache, self._meter, self._busy = backend, cache, meter, busy
        self._by_uid = teacher.backend == "replay"
        """Whether equal prompts about different samples may have different answers."""
        self._pending: dict[bytes, asyncio.Future[Completion]] = {}
        self._groups: dict[bytes, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: InfimedError | None = None
        self._asked = self._cached = self._answered = self._failed = 0

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        meter = self._meter
        return Counts(
            self._asked, self._cached, self._answered, self._failed, meter.requests, meter.prompt_tokens,
            meter.completion_tokens, meter.usd,
        )  # fmt: skip

    @property
    def window(self) -> int:
        """Candidates that should be asked for at once: enough to keep the teacher busy, and no more."""
        return 4 * self.teacher.max_in_flight * self._backend.copies

    async def __call__(self, prompt: Prompt, index: int) -> Completion:
        """See `Ask`. Candidates of one prompt that are asked for together go out as one request where that is honoured.

        Raises `BudgetError`, `TeacherError` or `StorageError`: the run is over, and what was answered is kept.
        """
        if self._stopped is not None:
            raise self._stopped
        if prompt.model != self.teacher.name:
            raise TeacherError(f"a prompt for {prompt.model!r} was given to the teacher {self.teacher.name!r}")
        self._asked += 1
        digest = asked(prompt, self.teacher)
        if self._by_uid:
            digest += prompt.uid.encode()
        key = request_key(digest, index)
        shared = self._pending.get(key)
        if shared is not None:
            self._cached += 1
            return replace(await asyncio.shield(shared), cached=True)
        if (known := self._known(key)) is not None:
            self._cached += 1
            return known.completion(key, index, cached=True)
        mine: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._pending[key] = mine
        group = self._groups.get(digest)
        if group is None:
            group = self._groups[digest] = _Group(prompt)
            self._start(self._send(digest, group))
        group.wanted.append((index, key))
        return await asyncio.shield(mine)

    def _known(self, key: bytes) -> Answer | None:
        if self._cache is None:
            return None
        found = self._cache.get(key)
        if found is None or found.refused is None:
            return found
        return None if self.teacher.retry_refused or found.server != self._backend.server else found

    def _start(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, digest: bytes, group: _Group) -> None:
        """Asks for the candidates of a group, which is closed now: those who come later make another."""
        self._groups.pop(digest, None)
        wanted = group.wanted
        try:
            if self._cache is not None:
                self._cache.refresh()
                wanted = [(index, key) for index, key in wanted if not self._came_meanwhile(index, key)]
            await self._fill(group.prompt, wanted)
        except InfimedError as error:
            self._stop(error)
            self._abandon(wanted, self._stopped or error)
        except asyncio.CancelledError:
            self._abandon(wanted, self._stopped or TeacherError("stopped before it was answered"))
            raise
        except BaseException as error:
            self._abandon(wanted, error)
            raise
        finally:
            self._busy.discard(asyncio.current_task())

    def _stop(self, error: InfimedError) -> None:
        self._stopped = self._stopped or error
        self._backend.closing = True

    def _came_meanwhile(self, index: int, key: bytes) -> bool:
        """Whether another process has the answer by now."""
        known = self._known(key)
        if known is None:
            return False
        self._cached += 1
        self._pending.pop(key).set_result(known.completion(key, index, cached=True))
        return True

    async def _fill(self, prompt: Prompt, wanted: list[tuple[int, bytes]]) -> None:
        while wanted:
            if self._stopped is not None:
                raise self._stopped
            if len(wanted) > 1 and self._backend.choices is False:
                for one in wanted:
                    group = _Group(prompt)
                    group.wanted.append(one)
                    self._start(self._send(one[1], group))
                return
            outcomes = await self._request(prompt, wanted)
            if not outcomes.found:
                wanted = [(index, key) for index, key in wanted if not self._came_meanwhile(index, key)]
                continue
            served, wanted = wanted[: len(outcomes.found)], wanted[len(outcomes.found) :]
            await self._deliver(served, outcomes)

    async def _request(self, prompt: Prompt, wanted: list[tuple[int, bytes]]) -> Outcomes:
        def news() -> bool:
            if self._cache is None:
                return False
            self._cache.refresh()
            return any(self._known(key) is not None for _, key in wanted)

        indices = [index for index, _ in wanted]
        hold = await self._meter.hold(self._prompt_tokens_at_most(prompt), len(indices) * prompt.sampling.max_tokens)
        outcomes: Outcomes | None = None
        try:
            outcomes = await self._backend.request(prompt, indices, news)
        finally:
            took = (
                (outcomes.prompt_tokens, outcomes.completion_tokens, outcomes.cached_tokens) if outcomes else (0, 0, 0)
            )
            self._meter.settle(hold, *took, sent=outcomes is not None and bool(outcomes.found))
        return outcomes

    async def _deliver(self, served: list[tuple[int, bytes]], outcomes: Outcomes) -> None:
        answers = [
            (key, found) for (_, key), found in zip(served, outcomes.found, strict=True) if isinstance(found, Answer)
        ]
        if answers and self._cache is not None and not self._backend.keeps:
            await self._cache.keep(answers)
        for (index, key), found in zip(served, outcomes.found, strict=True):
            if isinstance(found, Answer):
                completion = found.completion(key, index, cached=False)
            else:
                completion = self._failure(index, key, found)
            self._answered += completion.error is None
            self._failed += completion.error is not None
            waiting = self._pending.pop(key)
            if not waiting.done():
                waiting.set_result(completion)

    def _failure(self, index: int, key: bytes, failure: Failure) -> Completion:
        if failure.stopped and self._stopped is not None:
            raise self._stopped
        return Completion(
            key=key.hex(), index=index, text="", finish_reason="error", prompt_tokens=0, completion_tokens=0,
            latency_s=0.0, cached=False, error=failure.error, backend=self._backend.name,
            transient=self._backend.name != "replay",
        )  # fmt: skip

    def _abandon(self, wanted: list[tuple[int, bytes]], error: BaseException) -> None:
        for _, key in wanted:
            waiting = self._pending.pop(key, None)
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # nobody may be left to hear it

    def _prompt_tokens_at_most(self, prompt: Prompt) -> int:
        """Upper bound of a prompt's tokens: two bytes of text a token, images as large as they are sent."""
        pixels = self.teacher.max_pixels
        image = _IMAGE_TOKENS if pixels is None else min(_IMAGE_TOKENS, pixels * 3 // (28 * 28 * 2) + 2)
        total = 64
        for message in prompt.messages:
            for part in message.parts:
                total += image if isinstance(part, ImagePart) else len(part.text.encode()) // 2 + 8
        return total

    async def finish(self, *, grace_s: float | None, say: Callable[[str], None]) -> None:
        """Ends the run: nothing further is sent, answers on their way are kept. None waits for them all."""
        self._stop(TeacherError("the teacher is closed"))
        for task in list(self._tasks):
            if task not in self._busy:
                task.cancel()
        under_way = [task for task in self._tasks if task in self._busy]
        if self._tasks and grace_s is None:
            await asyncio.wait(list(self._tasks))
        elif self._tasks:
            with _next_ctrl_c() as again:
                if under_way:
                    say(
                        f"stopping: {len(under_way)} answers are on their way and get {grace_s:g} s; "
                        "Ctrl-C again drops them"
                    )
                all_done = asyncio.ensure_future(asyncio.wait(list(self._tasks)))
                first: list[asyncio.Future[Any]] = [all_done, again]
                await asyncio.wait(first, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
                all_done.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextmanager
def _next_ctrl_c() -> Iterator[asyncio.Future[None]]:
    """A future that the next Ctrl-C sets, in place of an exception at any line, which Python loses now and then."""
    loop = asyncio.get_running_loop()
    again: asyncio.Future[None] = loop.create_future()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield again
        return
    before = signal.getsignal(signal.SIGINT)

    def set_it() -> None:
        if not again.done():
            again.set_result(None)

    loop.add_signal_handler(signal.SIGINT, set_it)
    try:
        yield again
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


@asynccontextmanager
async def open_teacher(
    teacher: Teacher,
    *,
    cache: RequestCache | None,
    images: Images,
    budget: Budget | Purse | None = None,
    private_only: bool = False,
    environ: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = lambda line: None,
    grace_s: float = GRACE_S,
    open_: Callable[..., Backend] = open_backend,
) -> AsyncIterator[Asker]:
    """An `Ask` for one teacher. `cache` is left open; None remembers nothing (`replay` never does). Teachers that are
    given one `Purse` spend one budget together.

    With `private_only` a teacher outside the private network is refused. Raises `TeacherError` before anything is sent
    for a missing key, price or package. When left, answers on their way are waited for: all of them, or up to `grace_s`
    after Ctrl-C. `open_` opens another backend than the teacher's own, such as workers of a cluster that share it.
    """
    busy: set[object] = set()
    free = teacher.backend == "replay" or budget is None
    meter = Meter(Budget() if free or budget is None else budget, teacher.price, model=teacher.name)
    backend = open_(teacher, images, busy, private_only=private_only, environ=environ)
    asker = Asker(teacher, backend, None if teacher.backend == "replay" else cache, meter, busy)
    interrupted = False
    try:
        yield asker
    except (asyncio.CancelledError, KeyboardInterrupt):
        interrupted = True
        raise
    finally:
        try:
            await asker.finish(grace_s=grace_s if interrupted else None, say=say)
        finally:
            await backend.close()


async def ask_all(
    ask: Asker, work: Iterable[tuple[Item, Prompt, int]], *, window: int | None = None
) -> AsyncIterator[tuple[Item, Completion]]:
    """(item, completion) as they come, for (item, prompt, index); at most `window` are under way, so that a long list
    costs no memory. Candidates of one prompt that follow each other are asked for together, even beyond the window.
    Raises what stops the run."""
    most = window or ask.window
    upcoming = groupby(work, key=lambda step: step[1])
    running: set[asyncio.Task[None]] = set()
    finished: asyncio.Queue[tuple[Item, Completion | BaseException]] = asyncio.Queue()

    async def one(item: Item, prompt: Prompt, index: int) -> None:
        try:
            finished.put_nowait((item, await ask(prompt, index)))
        except Exception as error:
            finished.put_nowait((item, error))

    try:
        left = 0
        more = True
        while more or left:
            while more and left < most:
                together = next(upcoming, None)
                if together is None:
                    more = False
                    break
                for step in together[1]:
                    task = asyncio.get_running_loop().create_task(one(*step))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    left += 1
            if not left:
                return
            item, found = await finished.get()
            left -= 1
            if isinstance(found, BaseException):
                raise found
            yield item, found
    finally:
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
