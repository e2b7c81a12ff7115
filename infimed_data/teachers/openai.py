"""Any OpenAI-compatible server: bounded requests that adapt to what it says, retries, `n` where it is honoured."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from infimed_data.errors import TeacherError
from infimed_data.schema import Reject
from infimed_data.showing import keep_secret, without_secrets
from infimed_data.teachers.cache import Answer
from infimed_data.teachers.chat import chat_messages, text_bytes
from infimed_data.teachers.contract import Prompt
from infimed_data.teachers.gate import Gate, backoff_s, retry_after_s
from infimed_data.teachers.keys import sampling_of
from infimed_data.teachers.outcomes import Images, Outcomes
from infimed_data.teachers.private import why_public
from infimed_data.teachers.refusals import Meaning, meaning
from infimed_data.teachers.replies import error_line, read_reply
from infimed_data.teachers.settings import Teacher
from infimed_data.teachers.transport import Dropped, Response, open_transport

__all__ = ["Served"]

_PATH = "/chat/completions"
_TOP_LOGPROBS = 5
_FRESH_S = 0.02
"""How old a look into the cache may be when a request is sent."""
_HOPELESS = 20
"""Requests that may all be refused, or fail one after the other, before the run stops."""


class Served:
    """Asks one server. `busy` holds the tasks that must not be cut short: their answer is on its way."""

    name = "openai"
    keeps = False
    copies = 1

    def __init__(
        self, teacher: Teacher, images: Images, busy: set[Any], *, private_only: bool, environ: Mapping[str, str]
    ) -> None:
        assert teacher.base_url is not None
        self.server = teacher.base_url
        self._teacher, self._images, self._busy = teacher, images, busy
        self._key = _key(teacher, environ)
        if private_only and (why := why_public(self.server, environ=environ)) is not None:
            raise TeacherError(f"{self.server}: {why}; a source with send_to_api: false may not be sent there")
        self._transport = open_transport(
            self.server, connections=teacher.max_in_flight, private_only=private_only, environ=environ
        )
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "infimed-data"}
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self.gate = Gate(teacher.max_in_flight)
        self.choices = teacher.multiple_choices
        """Whether the server honours `n`; None while that is not known."""
        self.closing = False
        self.retries = self.waits = 0
        self._tokens_field = "max_tokens"
        self._answered = self._refused = self._failed_in_a_row = 0
        self._told_since: float | None = None
        """Since when the server has only told us to wait."""

    async def request(self, prompt: Prompt, indices: Sequence[int], news: Callable[[], bool]) -> Outcomes:
        """See `Backend.request`. Where the server does not honour `n`, only the first candidate comes back."""
        count = len(indices)
        task = asyncio.current_task()
        try:
            messages = await chat_messages(prompt, self._images, max_pixels=self._teacher.max_pixels)
        except Reject as reject:
            return Outcomes.failed(f"{reject.rule}: {reject.value}", count)
        attempt = 0
        several = count if count > 1 else 0  # stays when the server would not take it, so that this is remembered
        looked = time.monotonic()
        while True:
            field = self._tokens_field
            body = self._body(prompt, messages, count)
            await self.gate.enter()
            if self.closing:
                self.gate.leave()
                return Outcomes.failed("stopped before it was sent", count, stopped=True)
            if time.monotonic() - looked > _FRESH_S:
                looked = time.monotonic()
                if news():
                    self.gate.leave()
                    return Outcomes.nothing()
            self._busy.add(task)
            start = time.monotonic()
            problem, wait_s, reached = "", None, True
            response: Response | None = None
            try:
                response = await self._transport.post(_PATH, body, self._headers, self._teacher.timeout_s)
            except TimeoutError:
                problem = f"no answer within {self._teacher.timeout_s:g} s"
            except Dropped as error:
                problem, reached = str(error), error.reached
            finally:
                self.gate.leave()
            if response is not None:
                latency_s = time.monotonic() - start
                after = _retry_after(response)
                verdict = meaning(response.status, response.body, has_retry_after=after is not None)
                problem = f"HTTP {response.status}: {self._scrubbed(error_line(response.body))}"
                if verdict is Meaning.success:
                    try:
                        return self._answers(prompt, response, count, several, latency_s)
                    except ValueError as error:
                        problem = f"HTTP 200, but {self._scrubbed(str(error))}"
                elif verdict is Meaning.refused:
                    if count > 1 and self.choices is not True:  # perhaps for asking for several: ask for one
                        count = 1
                        continue
                    if field == "max_tokens" and "max_completion_tokens" in problem:
                        self._tokens_field = "max_completion_tokens"
                        continue
                    return self._refusal(prompt, problem, count, latency_s)
                elif verdict is Meaning.stop:
                    raise TeacherError(f"{self.server}: {problem}{self._hint(response)}")
                elif verdict is Meaning.wait:
                    wait_s = after if after is not None else backoff_s(attempt)
                    self.gate.refused(wait_s)
            if self.closing:
                return Outcomes.failed(f"stopped before another try; {problem}", count, stopped=True)
            self._busy.discard(task)
            if wait_s is not None:
                self.waits += 1
                await self._told_to_wait(wait_s, problem)
                continue
            attempt += 1
            if attempt > self._teacher.retries:
                self._failed(problem, reached)
                return Outcomes.failed(f"{problem}; {attempt} tries", count)
            self.retries += 1
            await asyncio.sleep(backoff_s(attempt - 1))

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    def _answers(self, prompt: Prompt, response: Response, count: int, several: int, latency_s: float) -> Outcomes:
        reply = read_reply(response.body, prompt_tokens=text_bytes(prompt) // 4)
        self.gate.taken()
        self._answered += 1
        self._failed_in_a_row = 0
        self._told_since = None
        if several:
            self.choices = len(reply.choices) >= several
        chosen = reply.choices[:count]
        answers = [
            Answer(
                model=prompt.model,
                name=prompt.name,
                text=choice.text,
                finish_reason=choice.finish_reason,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=choice.completion_tokens,
                latency_s=round(latency_s, 3),
                answer_entropy=choice.entropy,
                backend=self.name,
                choices=len(chosen),
                at=int(time.time()),
            )
            for choice in chosen
        ]
        return Outcomes(answers, reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)

    def _refusal(self, prompt: Prompt, problem: str, count: int, latency_s: float) -> Outcomes:
        """The server will not answer this; asked again where `retry_refused` says so, or at another server."""
        self.gate.taken()
        self._refused += 1
        self._told_since = None
        if not self._answered and self._refused >= _HOPELESS:
            raise TeacherError(f"{self.server}: refused all of the first {self._refused} requests; the last: {problem}")
        refusal = Answer(
            model=prompt.model, name=prompt.name, text="", finish_reason="error", prompt_tokens=0, completion_tokens=0,
            latency_s=round(latency_s, 3), backend=self.name, at=int(time.time()), refused=problem, server=self.server,
        )  # fmt: skip
        return Outcomes([refusal] * count, 0, 0, 0)

    def _failed(self, problem: str, reached: bool) -> None:
        self._failed_in_a_row += 1
        if not self._answered and not reached:
            raise TeacherError(f"{self.server}: {problem}; start the server, or mend base_url")
        if self._failed_in_a_row >= max(_HOPELESS, 2 * self._teacher.max_in_flight):
            raise TeacherError(
                f"{self.server}: {self._failed_in_a_row} requests failed one after the other, the last: {problem}"
            )

    async def _told_to_wait(self, wait_s: float, problem: str) -> None:
        self._told_since = time.monotonic() if self._told_since is None else self._told_since
        if time.monotonic() + wait_s - self._told_since > self._teacher.patience_s:
            raise TeacherError(
                f"{self.server}: asks to wait for longer than patience_s ({self._teacher.patience_s:g} s): {problem}; "
                "run the same command later, it goes on"
            )
        await asyncio.sleep(wait_s + backoff_s(0) * min(1.0, 0.1 + wait_s / 4))

    def _body(self, prompt: Prompt, messages: list[dict[str, Any]], count: int) -> bytes:
        sampling = sampling_of(prompt)
        body: dict[str, Any] = {
            **self._teacher.extra_body,
            "model": self._teacher.model,
            "messages": messages,
            "temperature": sampling["temperature"],
            "top_p": sampling["top_p"],
            self._tokens_field: sampling["max_tokens"],
        }
        if count > 1:
            body["n"] = count
        if sampling["logprobs"]:
            body |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)

    def _scrubbed(self, line: str) -> str:
        return without_secrets(line.replace(self._key, "***") if self._key else line)

    def _hint(self, response: Response) -> str:
        if response.status in (401, 403):
            return f"; the key comes from {self._teacher.api_key_env or 'api_key_env, which is not set'}"
        if response.status == 404:
            return f"; model {self._teacher.model!r} at {self.server}{_PATH}"
        if 300 <= response.status < 400:
            return (
                f"; it points to {self._scrubbed(response.headers.get('location', 'nowhere'))}; give that as base_url"
            )
        return ""


def _key(teacher: Teacher, environ: Mapping[str, str] = os.environ) -> str:
    name = teacher.api_key_env
    if name is None:
        return ""
    key = environ.get(name, "").strip()
    if not key:
        raise TeacherError(f"{teacher.base_url}: the environment variable {name} (api_key_env) is not set")
    if not key.isascii() or not key.isprintable():
        raise TeacherError(f"{teacher.base_url}: the key in {name} holds characters that no key has; copy it again")
    keep_secret(key)
    return key


def _retry_after(response: Response) -> float | None:
    milliseconds = response.headers.get("retry-after-ms", "")
    if milliseconds.isdigit():
        return int(milliseconds) / 1000
    return retry_after_s(response.headers.get("retry-after"))
