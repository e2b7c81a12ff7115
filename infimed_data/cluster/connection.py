"""Joining a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from infimed_data.cluster.machines import Shared, marked, why_not_here
from infimed_data.engine.settings import EngineSettings
from infimed_data.errors import BuildError

__all__ = ["Connection"]

_REACH_S = 5.0
_LOOK_S = 2.0
"""How often the cluster is asked how large it is."""


class Connection:
    """The way to a cluster, taken when it is first needed: a build that finds everything done needs none."""

    def __init__(
        self, settings: EngineSettings, share: Callable[[], Shared], *, processes: int, say: Callable[[str], None]
    ) -> None:
        if find_spec("ray") is None:
            raise BuildError("engine ray: Ray is not installed; pip install 'infimed-toolkit[ray]'")
        self.settings, self.say = settings, say
        self._share, self._processes = share, processes
        self._ray: Any = None
        self._shared: Any = None
        self._exits = contextlib.ExitStack()
        self._room = (0.0, 1)

    def open(self) -> Any:
        """The module `ray`, connected. Raises `BuildError` where there is no way to, or where a machine
        cannot take part."""
        if self._ray is None:
            self._ray = self._exits.enter_context(self._connected())
            shared = self._share()
            self._exits.enter_context(marked(shared))
            self._shared = self._ray.put(shared)
            if self._address() is not None:
                self._ask_machines()
        return self._ray

    @property
    def shared(self) -> Any:
        """Reference to what machines must share, for tasks."""
        self.open()
        return self._shared

    def _address(self) -> str | None:
        return self.settings.address or os.environ.get("RAY_ADDRESS") or None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        # No network access but what the manifest names: a cluster that we start sends no usage statistics.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        address = self._address()
        if address is None and "ray" not in sys.modules:  # which reads it once
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray's default, of which it would tell on stderr
        if address is not None:
            _reach(address)
        import ray

        if ray.is_initialized():
            yield ray
            return
        quiet: Mapping[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        try:
            if address is None:
                ray.init(
                    address="local", num_cpus=self._processes, include_dashboard=False,
                    object_store_memory=self.settings.object_store_memory, **quiet,
                )  # fmt: skip
            else:
                ray.init(address=address, **quiet)
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise BuildError(f"engine ray: {address or 'a cluster of this machine'}: {line}") from error
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where Ray tells of lost workers
                yield ray
        finally:
            ray.shutdown()

    def _ask_machines(self) -> None:
        """Raises `BuildError` for a machine that cannot work on the build; one that goes away meanwhile is none."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = self._ray.remote(why_not_here)
        asked = [
            look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(self._shared)
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= self.settings.num_cpus_per_task
        ]  # fmt: skip
        for one in asked:
            try:
                fault = self._ray.get(one)
            except self._ray.exceptions.RayTaskError as error:
                raise BuildError(f"engine ray: a machine of the cluster cannot work: {cause_of(error)}") from error
            except self._ray.exceptions.RayError:
                continue
            if fault is not None:
                raise BuildError(f"engine ray: {fault}")

    def room(self) -> int:
        """Tasks that the cluster can work on at once, at least one."""
        looked, room = self._room
        if time.monotonic() - looked > _LOOK_S:
            cpus = self._ray.cluster_resources().get("CPU", 0.0)
            room = max(1, int(cpus / self.settings.num_cpus_per_task))
            room = min(room, self.settings.max_tasks or room)
            self._room = (time.monotonic(), room)
        return room

    def why_waiting(self) -> str | None:
        """Why no task can start, in one line, where no machine of the cluster would ever do."""
        wanted = {"CPU": self.settings.num_cpus_per_task, **self.settings.resources}
        if self.settings.memory_per_task is not None:
            wanted["memory"] = float(self.settings.memory_per_task)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes):
            return None
        return f"no machine of the cluster has {', '.join(f'{name} {count:g}' for name, count in wanted.items())}"

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends, and whatever of the build still runs elsewhere too."""
        self._exits.close()
        self._ray = self._shared = None


def cause_of(error: Any) -> str:
    """What a task that failed said, in one line."""
    cause = getattr(error, "cause", None) or error
    line = " ".join(f"{type(cause).__name__}: {cause}".split())
    return line if len(line) <= 300 else line[:297] + "..."


def _reach(address: str) -> None:
    """Raises `BuildError` where nothing listens: Ray itself would try for two minutes and end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, ValueError) as error:
        raise BuildError(
            f"engine ray: no cluster answers at {address} ({error}); `ray start --head` starts one and says its address"
        ) from None
