"""Finished answers from a file of JSON lines, so that a demo runs without a model. Nothing is sent and nothing paid.

Three layouts, told apart line by line:

    {"key": "3f2a...", "index": 0, "model": "m", "text": "...", "finish_reason": "stop", "prompt_tokens": 9, ...}
        a cache's export (`export_cache`): found by the request's key
    {"custom_id": "vqa_rad/train/1#0", "response": {"status_code": 200, "body": {"choices": [...], "usage": ...}}}
        an OpenAI batch output: `custom_id` is a request's key in hex, or a sample's uid with `#` and the first
        candidate's index, or the uid alone; an error of the line becomes the candidate's error
    {"uid": "vqa_rad/train/1", "text": "<think>...", "index": 0, "reasoning": "...", "finish_reason": "stop"}
        anybody's traces, found by the sample that the prompt is about (`Prompt.uid`); only uid and text must be there.
        With `"pattern": "look_back"` the line answers prompts that ask for this reflection, and any candidate of them
        where it has no index

A line without an index is the next candidate of its sample. The file is read by position, never whole into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from infimed_data.errors import TeacherError
from infimed_data.storage.stages import atomic_write
from infimed_data.teachers.cache import Answer, RequestCache
from infimed_data.teachers.contract import Prompt
from infimed_data.teachers.keys import asked, request_key
from infimed_data.teachers.outcomes import Failure, Outcomes
from infimed_data.teachers.replies import error_line, folded, read_reply
from infimed_data.teachers.settings import Teacher

__all__ = ["Replayed", "export_cache"]

_ANY = -1
"""In place of the index of a line that answers any candidate."""


def export_cache(cache: RequestCache, path: Path, *, model: str | None = None) -> int:
    """Writes every answer (of one model) as JSON lines that `replay` reads; returns their number. Refusals stay out."""
    count = 0
    seen: set[bytes] = set()
    with atomic_write(path) as temporary, temporary.open("wb") as out:
        for key, answer in cache.records():
            if answer.refused is None and key not in seen and model in (None, answer.model):
                seen.add(key)
                out.write(orjson.dumps({"key": key.hex(), **orjson.loads(answer.encoded())}) + b"\n")
                count += 1
    return count


class Replayed:
    """Gives what the file has."""

    name = "replay"
    keeps = False
    copies = 1
    server = ""
    choices: bool | None = True
    closing = False

    def __init__(self, teacher: Teacher) -> None:
        assert teacher.file is not None
        self._teacher = teacher
        self._path = Path(teacher.file)
        self._places: dict[bytes, tuple[int, int]] = {}
        """Request's key, or digest of uid and index, to (offset of its line, its choice in the line)."""
        try:
            self._file: BinaryIO = self._path.open("rb")
        except OSError as error:
            raise TeacherError(f"replay: {self._path}: {error.strerror or error}") from None
        try:
            self._index()
        except BaseException:
            self._file.close()
            raise

    def _index(self) -> None:
        following: dict[str, int] = {}
        offset = 0
        for number, line in enumerate(self._file, 1):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                found = orjson.loads(line)
                key, uid, first = _named(found)
            except (orjson.JSONDecodeError, ValueError) as error:
                what = "not JSON" if isinstance(error, orjson.JSONDecodeError) else str(error)
                raise TeacherError(f"replay: {self._path}:{number}: {what}") from None
            choices = found["response"]["body"]["choices"] if _has_body(found) else [None]
            for choice in range(len(choices)):
                if key is not None:
                    self._places.setdefault(key, (start, choice))
                    break
                assert uid is not None
                if first is None and "pattern" in found:
                    self._places.setdefault(_by_uid(uid, _ANY), (start, choice))
                    continue
                index = following.get(uid, 0) if first is None else first + choice
                following[uid] = max(following.get(uid, 0), index + 1)
                self._places.setdefault(_by_uid(uid, index), (start, choice))

    async def request(self, prompt: Prompt, indices: Sequence[int], news: Callable[[], bool]) -> Outcomes:
        """See `Backend.request`: by the request's key, or by the sample that the prompt is about."""
        digest = asked(prompt, self._teacher)
        return Outcomes([self._find(prompt, digest, index) for index in indices], 0, 0, 0)

    def _find(self, prompt: Prompt, digest: bytes, index: int) -> Answer | Failure:
        place = self._places.get(request_key(digest, index))
        if place is None and prompt.uid:
            asked_for = f"{prompt.uid}+{_pattern(prompt)}"
            for name in (_by_uid(asked_for, index), _by_uid(asked_for, _ANY), _by_uid(prompt.uid, index)):
                place = place or self._places.get(name)
        if place is None:
            what = f"{prompt.uid or 'this prompt'}, candidate {index}"
            return Failure(f"replay: {self._path.name} has no answer for {what}")
        self._file.seek(place[0])
        try:
            return _answer(orjson.loads(self._file.readline()), place[1], prompt)
        except ValueError as error:
            return Failure(f"replay: {self._path.name}: {error}")

    async def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _named(found: Any) -> tuple[bytes | None, str | None, int | None]:
    """(request's key, sample's uid, index) that a line has; raises `ValueError` where it has no name."""
    if not isinstance(found, dict):
        raise ValueError("a line must be a JSON object")
    index = found.get("index")
    if index is not None and (not isinstance(index, int) or index < 0):
        raise ValueError(f"index {index!r}; allowed: a whole number from 0")
    if "key" in found:
        if not _is_key(str(found["key"])):
            raise ValueError(f"key {found['key']!r}; allowed: 32 hex digits")
        return bytes.fromhex(found["key"]), None, index
    if "custom_id" in found:
        name = str(found["custom_id"])
        if _is_key(name):
            return bytes.fromhex(name), None, None
        uid, mark, number = name.rpartition("#")
        return (None, uid, int(number)) if mark and number.isdigit() else (None, name, None)
    if isinstance(found.get("uid"), str) and isinstance(found.get("text"), str):
        pattern = found.get("pattern")
        return None, found["uid"] if pattern is None else f"{found['uid']}+{pattern}", index
    raise ValueError("no `key`, no `custom_id`, and no `uid` with a `text`")


def _answer(found: dict[str, Any], choice: int, prompt: Prompt) -> Answer:
    """A line's answer; raises `ValueError` with the error that the line holds."""
    given: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "finish_reason": "stop"}
    if "custom_id" in found:
        if not _has_body(found):
            response = found.get("response") or {}
            raise ValueError(error_line(orjson.dumps(found.get("error") or response.get("body") or "no response")))
        reply = read_reply(orjson.dumps(found["response"]["body"]), prompt_tokens=0)
        one = reply.choices[choice]
        given |= {"text": one.text, "finish_reason": one.finish_reason, "answer_entropy": one.entropy}
        given |= {"prompt_tokens": reply.prompt_tokens, "completion_tokens": one.completion_tokens}
    else:
        text, reason = str(found.get("text", "")), found.get("finish_reason") or "stop"
        given["text"] = folded(text, str(found.get("reasoning") or ""), cut=reason == "length")
        given["finish_reason"] = reason
        names = ("prompt_tokens", "completion_tokens", "latency_s", "answer_entropy", "choices", "at")
        given |= {name: found[name] for name in names if isinstance(found.get(name), int | float)}
    return Answer(**{"model": prompt.model, "name": prompt.name, "latency_s": 0.0, **given, "backend": "replay"})


def _has_body(found: dict[str, Any]) -> bool:
    response = found.get("response")
    return (
        isinstance(response, dict)
        and response.get("status_code") == 200
        and isinstance(response.get("body"), dict)
        and bool(response["body"].get("choices"))
    )


def _is_key(name: str) -> bool:
    return len(name) == 32 and all(digit in "0123456789abcdef" for digit in name)


def _pattern(prompt: Prompt) -> str:
    """The pattern of reflection that a prompt asks for, as its template's name has it; empty for none."""
    pattern = prompt.name.partition("+")[2].partition("@")[0]
    return pattern.removesuffix(".text")


def _by_uid(uid: str, index: int) -> bytes:
    return hashlib.blake2b(f"{uid}\0{index}".encode(), digest_size=16).digest()
