"""Stages on a Ray cluster: the same shard functions as on one machine, the same bytes.

connection.py   joining a cluster, or starting one on this machine
machines.py     what every machine of it has to share with the one that runs the build
engine.py       `RayEngine`: shard functions as tasks, those of lost workers again
"""

from infimed_data.cluster.connection import Connection
from infimed_data.cluster.engine import RayEngine
from infimed_data.cluster.machines import Shared

__all__ = ["Connection", "RayEngine", "Shared"]
