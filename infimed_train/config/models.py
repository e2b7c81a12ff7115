"""What a run's configuration says: its records, typed and frozen. The meaning of each field stands under it.

Paths are relative to the folder the command is run in. `trl` is handed to TRL's own dataclass (see trl_arguments.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "CONFIGS",
    "Benchmark",
    "Data",
    "Difficulty",
    "EvalConfig",
    "Gate",
    "GrpoConfig",
    "Hardware",
    "Lora",
    "Phase",
    "Pixels",
    "Reward",
    "Server",
    "SftConfig",
    "Tower",
    "TrainConfig",
    "Vllm",
]

Tower = Literal["vision", "projector", "language"]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
Share = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Data(_Record):
    """Rows of one output of a build."""

    path: str
    """Folder of a finished build, or a data set of the Hub, whose `revision` must then be given."""
    output: str = Field(default="sft", pattern=_NAME)
    """Output of the build (the Hub's word: configuration)."""
    split: str = Field(default="train", pattern=_NAME)
    eval_split: str | None = Field(default=None, pattern=_NAME)
    """Split to measure loss or reward on while training."""
    revision: str | None = None
    """Commit, tag or branch of a Hub data set."""
    weights: Mapping[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """How often an epoch takes each row of a source: 2.0 twice, 0.25 a fourth of its rows, 0 none; others once."""
    max_rows: int | None = Field(default=None, gt=0)
    """Takes the first rows only: for a quick look."""


class Pixels(_Record):
    """Limits between which the processor scales every image, in pixels of the whole picture."""

    min_pixels: int | None = Field(default=None, ge=784)
    max_pixels: int | None = Field(default=None, ge=784)

    @model_validator(mode="after")
    def _ordered(self) -> Pixels:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} over max_pixels {self.max_pixels}; allowed: at most it")
        return self


class Lora(_Record):
    """Low-rank adapters in the language model; the vision tower and the projector never get any."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Names of the layers that get an adapter."""


class Hardware(_Record):
    """What the run will be given; `check` calculates with it."""

    processes: int = Field(default=1, ge=1)
    """Processes, one a GPU, over all machines."""
    gpu_memory_gib: float = Field(default=80.0, gt=0)
    """Memory of one GPU."""
    sharding: Literal["none", "zero2", "zero3", "fsdp2"] = "none"
    """How the launcher's configuration divides the model among the processes."""


class Phase(_Record):
    """One part of a training in sequence: what differs from the run's own settings."""

    data: Data
    freeze: tuple[Tower, ...] | None = None
    trl: Mapping[str, Any] = Field(default_factory=dict)


class Reward(_Record):
    """What a completion is paid: 1 if the verifier says correct, 0 if wrong; if no rule can tell it is not counted."""

    format: Literal["off", "weight", "gate"] = "weight"
    """`weight`: the asked form pays `format_weight` on top. `gate`: without it a right answer is paid nothing."""
    format_weight: float = Field(default=0.1, gt=0, le=1)
    form: Literal["answer", "think_answer"] = "answer"
    """`answer`: text, then one filled `<answer>` block at the end. `think_answer`: `<think>` and `<answer>` alone."""
    soft_max_tokens: int | None = Field(default=None, gt=0)
    """Completions of more tokens lose up to `length_weight`, in proportion, until `max_completion_length`."""
    length_weight: float = Field(default=0.1, gt=0, le=1)
    repetition_ngram: int | None = Field(default=None, ge=2)
    """Repeated runs of so many words lose up to `repetition_weight`, by the share of runs that are repeats."""
    repetition_weight: float = Field(default=0.1, gt=0, le=1)
    rel_tol: Share = 0.0
    """Share by which numbers may differ from the gold."""


class Difficulty(_Record):
    """Which rows are trained on, and in what order, by `pass_rate`: the share of right answers measured beforehand."""

    min_pass_rate: Share = 0.0
    max_pass_rate: Share = 1.0
    order: Literal["as_built", "easy_first", "hard_first"] = "as_built"
    unmeasured: Literal["keep", "drop"] = "keep"
    """What happens to rows without a pass rate."""

    @model_validator(mode="after")
    def _ordered(self) -> Difficulty:
        if self.min_pass_rate > self.max_pass_rate:
            raise ValueError(
                f"min_pass_rate {self.min_pass_rate} over max_pass_rate {self.max_pass_rate}; allowed: at most it"
            )
        return self


class TrainConfig(_Record):
    """What SFT and GRPO have in common."""

    model: str
    """Folder of a model with its processor, or a model of the Hub."""
    revision: str | None = None
    """Revision of a model of the Hub."""
    output: str
    """Folder of the run; a run that was stopped goes on from its last whole checkpoint."""
    data: Data
    pixels: Pixels = Pixels()
    max_tokens: int | None = Field(default=None, gt=0)
    """Longest row, image tokens included (for GRPO: longest prompt). Nothing is ever cut."""
    over_length: Literal["refuse", "drop"] = "refuse"
    """What happens to longer rows: the run does not start, or they are left out and counted."""
    freeze: tuple[Tower, ...] = ("vision", "projector")
    """Parts of the model that stay as they are."""
    lora: Lora | None = None
    """Adapters instead of training all weights."""
    hardware: Hardware = Hardware()
    trl: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of TRL's own configuration class."""


class Benchmark(_Record):
    """A build to be asked: `data` as in training, its `sft` output holding every row's images."""

    path: str
    output: str = Field(default="sft", pattern=_NAME)
    split: str = Field(default="train", pattern=_NAME)
    """Split of the build, not of the data set that it was made from."""
    revision: str | None = None
    prompt: str | None = None
    """Prompts of this benchmark, where they differ from the evaluation's."""
    max_rows: int | None = Field(default=None, gt=0)


Dtype = Literal["bfloat16", "float16", "float32"]


class Gate(Benchmark):
    """Questions that the model is asked before and after SFT, in the same words, greedily; none may be trained on."""

    split: str = Field(default="validation", pattern=_NAME)
    prompt: str | None = "reasoning"
    """`direct`, `reasoning`, or a file: the words in which the model will be asked later."""
    max_rows: int | None = Field(default=300, gt=0)
    max_new_tokens: int = Field(default=512, gt=0)
    batch_size: int = Field(default=8, gt=0)
    dtype: Dtype = "bfloat16"
    stop: bool = False
    """End with an error where the model became worse (p < 0.05), so that a script does not go on with it."""


class SftConfig(TrainConfig):
    """Supervised fine-tuning; the loss is taken on completions only."""

    task: Literal["sft"]
    phases: Mapping[str, Phase] = Field(default_factory=dict)
    """Trainings in sequence, each from the model of the one before; their `data` stands in for `data`."""
    gate: Gate | None = None
    """Says what the training did to answers that it was not trained on."""

    @model_validator(mode="after")
    def _unseen(self) -> SftConfig:
        trained = [phase.data for phase in self.phases.values()] or [self.data]
        for data in trained:
            if self.gate and (data.path, data.output, data.split) == (
                self.gate.path,
                self.gate.output,
                self.gate.split,
            ):
                raise ValueError(
                    f"gate asks the rows that are trained on ({data.path} {data.output}/{data.split}); "
                    "allowed: another split or build"
                )
        return self


class GrpoConfig(TrainConfig):
    """Reinforcement learning with the verifier as the reward."""

    task: Literal["grpo"]
    reward: Reward = Reward()
    difficulty: Difficulty | None = None


class Server(_Record):
    """A server with OpenAI's chat completions, such as `vllm serve`."""

    base_url: str
    """Up to and including `/v1`."""
    model: str
    """Name by which the server knows the model."""
    api_key_env: str | None = None
    """Environment variable that holds the key."""
    max_in_flight: int = Field(default=16, ge=1)
    timeout_s: float = Field(default=300.0, gt=0)


class Vllm(_Record):
    """vLLM in this process."""

    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share the model."""
    gpu_memory_utilization: Share = 0.9
    max_model_len: int | None = Field(default=None, gt=0)
    """Longest prompt and answer together, in tokens; the model's own where it is not given."""
    engine_args: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm.LLM`."""


class EvalConfig(_Record):
    """An evaluation: benchmarks asked of one model, and scored by the verifier that pays the reward."""

    task: Literal["eval"]
    output: str
    """Folder of the results; an evaluation that was stopped goes on."""
    model: str | None = None
    """Folder or Hub name of a model to load here; for a server, the run folder whose pixel limits count."""
    revision: str | None = None
    server: Server | None = None
    """Ask this server in place of loading `model`."""
    vllm: Vllm | None = None
    """Load `model` with vLLM in place of transformers; `{}` takes its defaults."""
    benchmarks: Mapping[str, Benchmark] = Field(min_length=1)
    prompt: str = "direct"
    """`direct`, `reasoning`, or a YAML file laid out like infimed_train/prompts/direct.yaml."""
    pixels: Pixels = Pixels()
    allow_other_pixels: bool = False
    """Score even though the model was trained with other pixel limits."""
    max_new_tokens: int = Field(default=1024, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=8, gt=0)
    """Rows generated together where the model is loaded here."""
    dtype: Dtype = "bfloat16"
    rel_tol: Share = 0.0
    seed: int = 0
    resamples: int = Field(default=2000, ge=100)
    """Draws of the bootstrap and of the permutation test."""
    against: str | None = None
    """Results of another evaluation to compare with, row by row."""

    @model_validator(mode="after")
    def _somebody_answers(self) -> EvalConfig:
        if self.model is None and self.server is None:
            raise ValueError("nobody to ask; give `model` (a folder or Hub name) or `server`")
        if self.vllm is not None and self.server is not None:
            raise ValueError("vllm and server; give one of them")
        return self


CONFIGS: dict[str, type[SftConfig | GrpoConfig | EvalConfig]] = {
    "sft": SftConfig,
    "grpo": GrpoConfig,
    "eval": EvalConfig,
}
"""The value of `task` and what it needs."""
