"""What a manifest says about a teacher: records, typed and frozen. The meaning of each field stands under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["Budget", "Price", "Teacher", "VllmEngine"]

_OURS = ("model", "messages", "n", "stream", "temperature", "top_p", "max_tokens", "logprobs", "top_logprobs")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Price(_Record):
    """What a model's tokens cost, in USD per million."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached_prompt: float | None = Field(default=None, ge=0)
    """Prompt tokens that the server had in its cache; null: like the others."""

    def usd(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Cost in USD; `cached_tokens` is the part of `prompt_tokens` that the server had in its cache."""
        cached_price = self.prompt if self.cached_prompt is None else self.cached_prompt
        fresh = prompt_tokens - cached_tokens
        return (fresh * self.prompt + cached_tokens * cached_price + completion_tokens * self.completion) / 1e6


class Budget(_Record):
    """What one run may spend; null is no limit. What was answered before costs nothing and does not count."""

    max_usd: float | None = Field(default=None, ge=0)
    """Needs the model's price. Never passed: a request starts only if its dearest outcome still fits, so the run stops
    with up to one request's worth left over."""
    max_tokens: int | None = Field(default=None, ge=0)
    """Prompt and completion tokens together, kept to like `max_usd`."""
    max_requests: int | None = Field(default=None, ge=0)
    """Requests; several candidates asked for at once are one, and so are its retries."""


class VllmEngine(_Record):
    """Settings of a vLLM engine in this process; passed to `vllm.LLM` as they are."""

    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one copy of the model is spread over."""
    data_parallel_size: int = Field(default=1, ge=1)
    """Copies of the model."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    max_model_len: int | None = Field(default=None, ge=1)
    dtype: str | None = None
    engine_args: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`, such as `enforce_eager: true`."""

    @field_validator("engine_args")
    @classmethod
    def _no_foreign_code(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("trust_remote_code"):
            raise ValueError(
                "trust_remote_code: code of a model's repository is never run; allowed: models of vLLM's own"
            )
        return given


class Teacher(_Record):
    """One model, and how it is reached."""

    backend: Literal["openai", "vllm", "replay"] = "openai"
    model: str = Field(min_length=1)
    """Name that the server knows the model by; for `vllm` its folder or hub name."""
    revision: str | None = None
    """Revision of the model; part of the key that answers are remembered under."""
    base_url: str | None = None
    """Server's address up to `/v1`, such as `http://127.0.0.1:8000/v1`, or `http+unix://%2Ftmp%2Fvllm.sock/v1`."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key; null sends none. The key itself never stands in a manifest."""
    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Requests under way at once, at most; fewer while the server says that it is too many. For `vllm`: candidates of
    one batch."""
    timeout_s: float = Field(default=600.0, gt=0)
    """From the sending of a request to the end of its answer."""
    retries: int = Field(default=5, ge=0)
    """Further tries after a server error, a timeout or a dropped connection. Being told to wait is not counted."""
    patience_s: float = Field(default=900.0, gt=0)
    """Longest time that a server may only tell us to wait; after that the run stops."""
    max_pixels: int | None = Field(default=1280 * 28 * 28, ge=28 * 28)
    """Larger images are scaled down before they are sent; null sends them as they are."""
    multiple_choices: bool | None = None
    """Whether the server honours `n`; null finds out."""
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    """Further parameters of the request, such as `top_k` or `chat_template_kwargs`; part of the key of an answer."""
    price: Price | None = None
    retry_refused: bool = False
    """Ask again what this server refused before, such as a prompt that was too long for it."""
    vllm: VllmEngine = Field(default_factory=VllmEngine)
    """Only for `vllm`."""
    file: str | None = None
    """Only for `replay`: JSON lines of finished answers, relative to the manifest's root as a source's location is;
    replay.py describes the three layouts."""

    @property
    def name(self) -> str:
        """The model with its revision: `Prompt.model` of every prompt for this teacher."""
        return f"{self.model}@{self.revision}" if self.revision else self.model

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "http+unix") or not parts.hostname:
            raise ValueError(f"{url!r}; allowed: http://HOST:PORT/v1, https://HOST/v1, http+unix://%2FPATH/v1")
        if parts.username or parts.password:
            raise ValueError("holds a user name or password; give the variable that holds the key in api_key_env")
        if parts.query or parts.fragment:
            raise ValueError("holds `?` or `#`; give the address up to /v1 (azure: its /openai/v1 address)")
        return url.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _not_ours(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        for key in extra:
            if key in _OURS:
                raise ValueError(f"{key!r} is set elsewhere (model, sampling, candidates); leave it out here")
        return extra

    @model_validator(mode="after")
    def _complete(self) -> Teacher:
        if self.backend == "openai" and self.base_url is None:
            raise ValueError("backend openai needs base_url, such as http://127.0.0.1:8000/v1")
        if self.backend == "replay" and self.file is None:
            raise ValueError("backend replay needs file, JSON lines of finished answers")
        return self
