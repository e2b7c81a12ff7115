"""Where shard functions run. `LocalEngine` uses processes of this machine; a cluster engine offers the same `map`.

A shard function is a module-level function of one picklable task. It writes its own output and returns a small fact
(a count, a path), so nothing large travels between processes and any engine gives the same bytes.

contract.py     what the pipeline asks of an engine
local.py        processes of this machine
settings.py     what a manifest says about the engine; infimed_data/cluster/ is the one on Ray
"""

from infimed_data.engine.contract import Engine
from infimed_data.engine.local import LocalEngine, default_processes, leave_pandas_out
from infimed_data.engine.settings import EngineSettings

__all__ = ["Engine", "EngineSettings", "LocalEngine", "default_processes", "leave_pandas_out"]
