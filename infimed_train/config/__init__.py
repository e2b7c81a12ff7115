"""The configuration of a run: `load_config` reads YAML and names every fault with its line."""

from infimed_train.config.loading import Loaded, load_config, ready_configs
from infimed_train.config.models import (
    CONFIGS,
    Benchmark,
    Data,
    Difficulty,
    EvalConfig,
    Gate,
    GrpoConfig,
    Hardware,
    Lora,
    Phase,
    Pixels,
    Reward,
    Server,
    SftConfig,
    Tower,
    TrainConfig,
    Vllm,
)
from infimed_train.config.trl_arguments import trl_config

__all__ = [
    "CONFIGS",
    "Benchmark",
    "Data",
    "Difficulty",
    "EvalConfig",
    "Gate",
    "GrpoConfig",
    "Hardware",
    "Loaded",
    "Lora",
    "Phase",
    "Pixels",
    "Reward",
    "Server",
    "SftConfig",
    "Tower",
    "TrainConfig",
    "Vllm",
    "load_config",
    "ready_configs",
    "trl_config",
]
