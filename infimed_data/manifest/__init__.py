"""The manifest: what a user asks for, typed and frozen. `load_manifest` reads YAML and names every fault with its line.

A manifest's fields are the records of models.py; the meaning of each stands under it.
"""

from infimed_data.manifest.loading import Positions, load_manifest, place_of
from infimed_data.manifest.models import (
    BUDGET_FIELDS,
    Action,
    Benchmark,
    ByKind,
    Decontaminate,
    Dedup,
    Filters,
    Limits,
    Manifest,
    Mixture,
    Order,
    Output,
    Outputs,
    Reads,
    Source,
    Weight,
)

__all__ = [
    "BUDGET_FIELDS",
    "Action",
    "Benchmark",
    "ByKind",
    "Decontaminate",
    "Dedup",
    "Filters",
    "Limits",
    "Manifest",
    "Mixture",
    "Order",
    "Output",
    "Outputs",
    "Positions",
    "Reads",
    "Source",
    "Weight",
    "load_manifest",
    "place_of",
]
