"""Workers of a cluster that ask one teacher: clients of its server, or copies of its model on GPUs.

The build's process stays the one that decides: it holds the budget, knows the request cache, and joins equal questions.
A worker is told to ask; it puts the answer on disk, in a segment of the cache of its own, before it tells of it. What
a lost worker had kept is found there; what it had only sent is sent again, by another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infimed_data.cluster.connection import Connection, cause_of
from infimed_data.cluster.machines import Shared, why_not_here
from infimed_data.errors import InfimedError, TeacherError
from infimed_data.teachers.backends import open_backend
from infimed_data.teachers.cache import Answer, Places, RequestCache
from infimed_data.teachers.contract import Prompt
from infimed_data.teachers.keys import asked, request_key
from infimed_data.teachers.outcomes import Backend, Images, ModelDiedError, Outcomes
from infimed_data.teachers.settings import Teacher

__all__ = ["Crew", "Delivery", "Member", "crew_size"]

_PATIENCE_S = 30.0
"""How long no worker may be there before the user is told."""

Open = Callable[..., Backend]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a worker brings back for one request."""

    outcomes: Outcomes | None
    error: InfimedError | None
    """Why the run must stop."""
    places: Places | None
    """Where the answers were kept."""
    choices: bool | None
    """See `Backend.choices`."""


class Member:
    """One worker, an actor: the teacher's backend, opened where it runs."""

    def __init__(
        self, shared: Shared, teacher: Teacher, images: Images, folder: Path, private_only: bool, open_: Open
    ) -> None:
        self._shared, self._teacher, self._images, self._open = shared, teacher, images, open_
        self._folder, self._private_only = folder, private_only
        self._cache: RequestCache | None = None
        self._backend: Backend | None = None

    async def open(self, environ: Mapping[str, str]) -> InfimedError | None:
        """Opens the backend; the error for what cannot be. `environ` comes by a call, for Ray keeps what a worker is
        made with, and a key must not be kept."""
        if (fault := why_not_here(self._shared)) is not None:
            return TeacherError(f"engine ray: {fault}")
        try:
            self._backend = self._open(
                self._teacher, self._images, set(), private_only=self._private_only, environ=environ
            )
            self._cache = RequestCache(self._folder, read=False)
        except InfimedError as error:
            return error
        return None

    async def request(self, prompt: Prompt, indices: Sequence[int]) -> Delivery:
        """Asks, and keeps the answers."""
        assert self._backend is not None and self._cache is not None
        try:
            outcomes = await self._backend.request(prompt, indices, lambda: False)
            digest = asked(prompt, self._teacher)
            kept = [
                (request_key(digest, index), found)
                for index, found in zip(indices, outcomes.found, strict=False)
                if isinstance(found, Answer)
            ]
            places = await self._cache.keep(kept) if kept else None
        except InfimedError as error:
            return Delivery(None, error, None, self._backend.choices)
        return Delivery(outcomes, None, places, self._backend.choices)

    async def finish(self) -> None:
        """Begins nothing further."""
        if self._backend is not None:
            self._backend.closing = True


@dataclass(eq=False)
class _Hand:
    """A worker as the build's process sees it."""

    actor: Any
    opened: asyncio.Future[InfimedError | None]
    under_way: int = 0
    """Requests that it was told to make."""
    lost: bool = field(default=False)


def crew_size(teacher: Teacher, connection: Connection) -> int:
    """Workers for a teacher; 0 where the build's process asks itself."""
    if teacher.backend == "openai":
        return connection.settings.client_workers
    if teacher.backend == "vllm":
        return connection.settings.model_workers or teacher.vllm.data_parallel_size
    return 0


class Crew:
    """A `Backend` whose requests are made by workers of a cluster. Made for one event loop."""

    name: str
    server: str
    choices: bool | None
    keeps: bool = True
    copies: int

    def __init__(
        self,
        teacher: Teacher,
        images: Images,
        busy: set[Any],
        *,
        private_only: bool,
        environ: Mapping[str, str],
        connection: Connection,
        cache: RequestCache,
        open_: Open = open_backend,
    ) -> None:
        self.name, self.server = teacher.backend, teacher.base_url or teacher.backend
        self.choices: bool | None = True if teacher.backend == "vllm" else teacher.multiple_choices
        self.copies = 1
        self.lost = 0
        """Requests that were under way when their worker was lost, and were made again."""
        self._teacher, self._busy, self._cache, self._connection = teacher, busy, cache, connection
        self._environ = _passed_on(teacher, environ)
        self._size = crew_size(teacher, connection)
        self._share = -(-teacher.max_in_flight // self._size)
        if teacher.backend == "vllm":
            self.copies = self._size
            # One copy of the model a worker: Ray places the copies, not vLLM.
            alone = teacher.model_copy(update={"vllm": teacher.vllm.model_copy(update={"data_parallel_size": 1})})
        else:
            alone = teacher.model_copy(update={"max_in_flight": self._share})
        self._ray = connection.open()
        self._made_with = (
            connection.shared,
            alone,
            self._ray.put(images),
            cache.folder.absolute(),
            private_only,
            open_,
        )
        self._hands: list[_Hand] = []
        self._tasks: set[asyncio.Task[None]] = set()
        # A server has room for so many requests; a model makes batches of whatever waits for it.
        self._room = asyncio.Semaphore(self._share * self._size if teacher.backend != "vllm" else 1 << 30)
        self._losses = 0
        self._closing = False
        self._told = False

    @property
    def closing(self) -> bool:
        """See `Backend.closing`."""
        return self._closing

    @closing.setter
    def closing(self, closing: bool) -> None:
        self._closing = closing
        for hand in self._hands if closing else ():
            hand.actor.finish.remote()

    async def request(self, prompt: Prompt, indices: Sequence[int], news: Callable[[], bool]) -> Outcomes:
        """See `Backend.request`. A worker that is lost is replaced, and another asks; raises `TeacherError` where
        workers are lost one after the other without an answer in between."""
        task = asyncio.current_task()
        keys = [request_key(asked(prompt, self._teacher), index) for index in indices]
        while True:
            async with self._room:
                hand = await self._hand()
                if hand is None:
                    return Outcomes.failed("stopped before it was sent", len(indices), stopped=True)
                self._busy.add(task)
                hand.under_way += 1
                error: Exception
                try:
                    delivery: Delivery = await hand.actor.request.remote(prompt, list(indices))
                except self._ray.exceptions.RayTaskError as failed:
                    raise TeacherError(f"{self.server}: a worker failed: {cause_of(failed)}") from failed
                except self._ray.exceptions.RayError as gone:
                    error = gone
                else:
                    if not isinstance(delivery.error, ModelDiedError):
                        return self._taken(delivery, keys)
                    error = delivery.error  # its worker goes with it, and another is loaded
                finally:
                    hand.under_way -= 1
                self.lost += 1
                self._lose(hand, error)
                if news():
                    return Outcomes.nothing()

    def _taken(self, delivery: Delivery, keys: Sequence[bytes]) -> Outcomes:
        self.choices = delivery.choices
        if delivery.error is not None:
            raise delivery.error
        outcomes = delivery.outcomes
        assert outcomes is not None
        kept = [
            (key, found.refused is not None)
            for key, found in zip(keys, outcomes.found, strict=False)
            if isinstance(found, Answer)
        ]
        if delivery.places is not None:
            self._cache.learn(delivery.places, kept)
        self._losses = 0
        return outcomes

    async def _hand(self) -> _Hand | None:
        """The worker with the least to do; None when the run ends. Raises what opening one raised."""
        since = time.monotonic()
        while not self._closing:
            while len(self._hands) < self._size:
                self._hands.append(self._hire())
            ready = [hand for hand in self._hands if hand.opened.done()]
            for hand in ready:
                if (error := hand.opened.result()) is not None:
                    raise error
            if ready:
                return min(ready, key=lambda hand: hand.under_way)
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([hand.opened for hand in self._hands], timeout=1.0, return_when=first)
            if not self._told and time.monotonic() - since > _PATIENCE_S:
                self._told = True
                self._connection.say(
                    f"warning: {self._teacher.name}: no worker has started for {_PATIENCE_S:g} s; does the cluster "
                    f"have room for {', '.join(f'{name} {value:g}' for name, value in self._options().items())}?"
                )
        return None

    def _options(self) -> dict[str, float]:
        settings = self._connection.settings
        if self._teacher.backend != "vllm":
            return {"num_cpus": settings.num_cpus_per_task}
        gpus = settings.num_gpus_per_model
        return {
            "num_cpus": settings.num_cpus_per_task,
            "num_gpus": float(self._teacher.vllm.tensor_parallel_size) if gpus is None else gpus,
        }

    def _hire(self) -> _Hand:
        most = 4 * self._teacher.max_in_flight + 8  # what may wait in a worker, and `finish` beside it
        actor = (
            self._ray.remote(Member)
            .options(**self._options(), max_concurrency=most, scheduling_strategy="SPREAD")
            .remote(*self._made_with)
        )
        opened: asyncio.Future[InfimedError | None] = asyncio.get_running_loop().create_future()
        hand = _Hand(actor, opened)

        async def open_it() -> None:
            try:
                found: InfimedError | None = await actor.open.remote(self._environ)
            except self._ray.exceptions.RayTaskError as failed:
                found = TeacherError(f"engine ray: a machine of the cluster cannot work: {cause_of(failed)}")
            except self._ray.exceptions.RayError as gone:
                if not getattr(gone, "actor_init_failed", False):
                    self._lose(hand, gone)
                    return
                line = str(gone).strip().splitlines()[-1]
                found = TeacherError(f"engine ray: a machine of the cluster cannot work: {line}")
            opened.set_result(found)

        opening = asyncio.ensure_future(open_it())
        self._tasks.add(opening)
        opening.add_done_callback(self._tasks.discard)
        return hand

    def _lose(self, hand: _Hand, error: Exception) -> None:
        """Lets a worker go, and looks at what it had kept."""
        if hand.lost:
            return
        hand.lost = True
        self._hands.remove(hand)
        self._ray.kill(hand.actor)
        self._losses += 1
        self._cache.look_again()
        if self._losses > self._connection.settings.task_retries:
            why = error if isinstance(error, InfimedError) else type(error).__name__
            failure = TeacherError(f"{self._losses} workers of {self._teacher.name} were lost without an answer: {why}")
            hand.opened = asyncio.get_running_loop().create_future()
            hand.opened.set_result(failure)
            self._hands.insert(0, hand)  # whoever looks for a worker finds the reason

    async def close(self) -> None:
        """Ends the workers."""
        for hand in self._hands:
            self._ray.kill(hand.actor)
        self._hands.clear()
        if self.lost:
            paid = ", and may have been paid for twice" if self.name == "openai" else ""
            self._connection.say(
                f"warning: {self._teacher.name}: {self.lost:,} requests were under way when their worker was lost; "
                f"they were made again{paid}"
            )


def _passed_on(teacher: Teacher, environ: Mapping[str, str]) -> dict[str, str]:
    """What of the environment a worker needs: the teacher's key and the proxies."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
    return {name: value for name, value in environ.items() if name == teacher.api_key_env or name.lower() in proxies}
