"""What a manifest says about the engine; nothing here changes a byte of a build. Meanings stand under the fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from infimed_data.errors import did_you_mean

__all__ = ["EngineSettings", "Kind"]

Kind = Literal["local", "ray"]


class EngineSettings(BaseModel):
    """Where stages run. `engine: ray` alone is `engine: {kind: ray}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind = "local"
    """`local`: worker processes of this machine. `ray`: workers of a Ray cluster (extra `ray`), all of whose machines
    see the work folder, the builds and the sources under the same paths. All further settings are for `ray`."""
    address: str | None = Field(default=None, min_length=1)
    """`HOST:PORT` of the cluster's head, or `auto` for the cluster that this machine belongs to. Null: the one that
    RAY_ADDRESS names; without it a cluster of this machine alone, which ends with the build."""
    num_cpus_per_task: float = Field(default=1.0, gt=0)
    """Processors that Ray sets aside for a task."""
    memory_per_task: int | None = Field(default=None, ge=1)
    """Bytes that Ray sets aside for a task; null: none, so memory does not limit how many run on a machine."""
    resources: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Further resources that a machine must have for a task, by the names that the cluster gives them."""
    max_tasks: int | None = Field(default=None, ge=1)
    """Tasks at once at most; null: as many as the cluster has room for."""
    object_store_memory: int | None = Field(default=None, ge=75 << 20)
    """Bytes of Ray's object store, of a cluster that the build starts itself. Tasks pass paths and counts: it may be
    small."""
    task_retries: int = Field(default=5, ge=0)
    """How often a task is done again whose worker was lost; then the build stops, and the same command continues."""
    client_workers: int = Field(default=0, ge=0, le=256)
    """Workers that send requests to teachers' servers. They spend one budget and share one request cache; 0: the
    build's own process sends them."""
    model_workers: int | None = Field(default=None, ge=1)
    """Copies of the model of a teacher with `backend: vllm`, each in a worker of its own; null: its
    `data_parallel_size`."""
    num_gpus_per_model: float | None = Field(default=None, ge=0)
    """GPUs that Ray sets aside for such a copy; null: its `tensor_parallel_size`."""
    visible_within_s: float = Field(default=60.0, gt=0)
    """How long a file that a machine has written may take to be seen by this one; network file systems remember what
    was not there."""

    @field_validator("address")
    @classmethod
    def _inside(cls, address: str | None) -> str | None:
        if address is not None and "://" in address:
            raise ValueError(f"{address!r}; allowed: HOST:PORT or auto; run the command on a machine of the cluster")
        if address is not None and address != "auto" and not address.rpartition(":")[2].isdigit():
            raise ValueError(f"{address!r}; allowed: HOST:PORT (of `ray start --head`) or auto")
        return address

    @model_validator(mode="after")
    def _fitting(self) -> EngineSettings:
        fields = type(self).model_fields
        given = [
            name
            for name, field in fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        ]
        if self.kind == "local" and given:
            raise ValueError(f"{given[0]} is a setting of `kind: ray`; local: the command's --processes")
        if self.object_store_memory is not None and self.address is not None:
            raise ValueError("object_store_memory is for a cluster that the build starts; `ray start` sets it else")
        return self

    @staticmethod
    def named(given: Any) -> Any:
        """A kind's name as settings; anything else as it is. Raises `ValueError` for an unknown name."""
        if not isinstance(given, str):
            return given
        kinds = get_args(Kind)
        if given not in kinds:
            raise ValueError(f"{given!r}; allowed: {', '.join(kinds)}{did_you_mean(given, kinds)}")
        return {"kind": given}
