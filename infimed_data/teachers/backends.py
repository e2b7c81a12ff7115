"""The ways to ask a model. To add one, write its file, add its line to `BACKENDS` and its name to `Teacher.backend`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infimed_data.errors import TeacherError, did_you_mean
from infimed_data.teachers.outcomes import Backend, Images
from infimed_data.teachers.settings import Teacher

__all__ = ["BACKENDS", "open_backend"]

BACKENDS: dict[str, str] = {
    "openai": "Any OpenAI-compatible server, a vLLM server included",
    "vllm": "vLLM in this process, on its GPUs (extra `vllm`)",
    "replay": "Finished answers from a file: a cache's export, an OpenAI batch output, traces by uid",
}
"""Name of each backend, and what it asks."""


def open_backend(
    teacher: Teacher, images: Images, busy: set[Any], *, private_only: bool, environ: Mapping[str, str]
) -> Backend:
    """The backend that the teacher names, ready to ask; raises `TeacherError` where it cannot be."""
    if teacher.backend == "openai":
        from infimed_data.teachers.openai import Served

        return Served(teacher, images, busy, private_only=private_only, environ=environ)
    if teacher.backend == "vllm":
        from infimed_data.teachers.vllm import InProcess

        return InProcess(teacher, images, busy)
    if teacher.backend == "replay":
        from infimed_data.teachers.replay import Replayed

        return Replayed(teacher)
    raise TeacherError(
        f"backend {teacher.backend!r}: unknown; allowed: {', '.join(BACKENDS)}{did_you_mean(teacher.backend, BACKENDS)}"
    )
