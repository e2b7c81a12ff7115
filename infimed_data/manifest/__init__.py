"""The manifest: what a user asks for, typed and frozen. `load_manifest` reads YAML and names every fault with its line.

A manifest's fields are the records of models.py and, for teachers' reasoning, generate.py and
infimed_data/teachers/settings.py; the meaning of each stands under it.
"""

from infimed_data.manifest.generate import Difficulty, Generate
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
from infimed_data.manifest.paths import portable
from infimed_data.manifest.phi import Phi

__all__ = [
    "BUDGET_FIELDS",
    "Action",
    "Benchmark",
    "ByKind",
    "Decontaminate",
    "Dedup",
    "Difficulty",
    "Filters",
    "Generate",
    "Limits",
    "Manifest",
    "Mixture",
    "Order",
    "Output",
    "Outputs",
    "Phi",
    "Positions",
    "Reads",
    "Source",
    "Weight",
    "load_manifest",
    "place_of",
    "portable",
]
