"""All teachers of a run, by the names that passes call them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from infimed_data.cluster import Connection
from infimed_data.generate.inputs import kept_private
from infimed_data.manifest import Manifest
from infimed_data.teachers import Ask, Asker, Completion, Prompt, Purse, RequestCache, Teacher, open_teacher
from infimed_data.teachers.backends import open_backend
from infimed_data.teachers.crew import Crew, crew_size
from infimed_data.teachers.outcomes import Backend

__all__ = ["Spent", "Teachers", "open_teachers", "resolved_teacher"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was asked so far, of all teachers."""

    asked: int = 0
    cached: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def __sub__(self, before: Spent) -> Spent:
        return Spent(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    @property
    def line(self) -> str:
        """`240 requests sent, 4.0% cached, 12,345 + 6,789 tokens, $0.1200`."""
        share = self.cached / self.asked if self.asked else 0.0
        return (
            f"{self.requests:,} requests sent, {share:.1%} cached, {self.prompt_tokens:,} + {self.completion_tokens:,} "
            f"tokens, ${self.usd:.4f}"
        )


class Teachers:
    """The open teachers of a run."""

    def __init__(self, askers: Mapping[str, Asker]) -> None:
        self.askers = askers

    def about(self, uid: str) -> Ask:
        """An `Ask` for prompts about one sample, whose `model` is a teacher's name in the manifest."""

        async def ask(prompt: Prompt, index: int) -> Completion:
            asker = self.askers[prompt.model]
            return await asker(replace(prompt, model=asker.teacher.name, uid=uid), index)

        return ask

    @property
    def spent(self) -> Spent:
        """What this run has asked so far."""
        counts = [asker.counts for asker in self.askers.values()]
        return Spent(*(sum(getattr(each, name) for each in counts) for name in Spent.__slots__))


def resolved_teacher(manifest: Manifest, name: str, replays: Mapping[str, tuple[Path, str]]) -> Teacher:
    """A teacher of the manifest, its file where it lies on this machine."""
    teacher = manifest.teachers[name]
    return teacher.model_copy(update={"file": str(replays[name][0])}) if name in replays else teacher


@asynccontextmanager
async def open_teachers(
    names: Iterable[str],
    manifest: Manifest,
    replays: Mapping[str, tuple[Path, str]],
    cache: RequestCache,
    images: Callable[[str], bytes],
    say: Callable[[str], None],
    *,
    environ: Mapping[str, str] = os.environ,
    connection: Connection | None = None,
) -> AsyncIterator[Teachers]:
    """Opens the named teachers, which spend the manifest's budget together; with a `connection`, in workers of its
    cluster, as its settings ask for."""

    def opener(teacher: Teacher) -> Callable[..., Backend]:
        if connection is None or not crew_size(teacher, connection):
            return open_backend
        return partial(Crew, connection=connection, cache=cache)

    private = kept_private(manifest)
    purse = Purse(manifest.budget)
    async with AsyncExitStack() as stack:
        askers = {
            name: await stack.enter_async_context(
                open_teacher(
                    teacher, cache=cache, images=images, budget=purse, private_only=name in private, environ=environ,
                    say=say, open_=opener(teacher),
                )
            )
            for name in dict.fromkeys(names)
            for teacher in [resolved_teacher(manifest, name, replays)]
        }  # fmt: skip
        yield Teachers(askers)
