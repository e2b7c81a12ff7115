"""vLLM in this process as the one who answers: many questions at a time, on one GPU or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from infimed_train.config import EvalConfig
from infimed_train.errors import TrainError
from infimed_train.evaluate.journal import Answer
from infimed_train.evaluate.served import Asked
from infimed_train.model import base_of, pixel_limits

__all__ = ["Engine", "InProcess", "load_engine"]

MISSING = "vLLM is not installed; pip install 'infimed-toolkit[vllm]', or leave `vllm` out"


class Engine(NamedTuple):
    """What is used of vLLM."""

    llm: Any
    sampling_params: Callable[..., Any]
    adapter: Any
    """vLLM's `LoRARequest`; None for a whole model."""


def load_engine(config: EvalConfig, processor: Any) -> Engine:
    """The model in this process, with the pixel limits of `processor`; an adapter on its base model."""
    import vllm
    from vllm.lora.request import LoRARequest

    assert config.model is not None
    assert config.vllm is not None
    base = base_of(config.model)
    limits = pixel_limits(processor)
    arguments: dict[str, Any] = {
        "dtype": config.dtype,
        "seed": config.seed,
        "max_model_len": config.vllm.max_model_len,
        "tensor_parallel_size": config.vllm.tensor_parallel_size,
        "gpu_memory_utilization": config.vllm.gpu_memory_utilization,
        "mm_processor_kwargs": {"size": {"shortest_edge": limits["min_pixels"], "longest_edge": limits["max_pixels"]}},
        **config.vllm.engine_args,
    }
    adapter = None
    if base != config.model:
        rank = orjson.loads((Path(config.model) / "adapter_config.json").read_bytes())["r"]
        arguments |= {"enable_lora": True, "max_lora_rank": max(8, rank)}
        adapter = LoRARequest("adapter", 1, str(Path(config.model).resolve()))
    elif config.revision is not None:
        arguments["revision"] = config.revision
    return Engine(vllm.LLM(model=base, **arguments), vllm.SamplingParams, adapter)


class InProcess:
    """Asks batch by batch; a question that vLLM will not take is found, and the others are answered."""

    def __init__(
        self,
        config: EvalConfig,
        processor: Any,
        *,
        where: str,
        load: Callable[[EvalConfig, Any], Engine] | None = None,
    ) -> None:
        if load is None and find_spec("vllm") is None:
            raise TrainError(f"{where}: {MISSING}")
        try:
            self._engine = (load or load_engine)(config, processor)
        except Exception as error:  # vLLM raises by turns what torch, transformers and itself raise
            raise TrainError(f"{where}: vLLM, {config.model}: {_line(error)}") from None
        self._where = where
        sampling: dict[str, Any] = {"temperature": config.temperature, "max_tokens": config.max_new_tokens}
        if config.temperature > 0:
            sampling["seed"] = config.seed
        self._sampling = self._engine.sampling_params(**sampling)

    def close(self) -> None:
        """Lets go of the model."""
        del self._engine

    def ask(self, asked: Sequence[Asked]) -> Iterator[dict[str, Answer]]:
        """Answers by key. Raises `TrainError` where the engine has died."""
        yield self._answers(asked)

    def _answers(self, asked: Sequence[Asked]) -> dict[str, Answer]:
        engine = self._engine
        adapted = {} if engine.adapter is None else {"lora_request": engine.adapter}
        try:
            outputs = engine.llm.chat(
                [_conversation(one) for one in asked], sampling_params=self._sampling, use_tqdm=False, **adapted
            )
        except Exception as error:
            if type(error).__name__ == "EngineDeadError":
                raise TrainError(f"{self._where}: vLLM: {_line(error)}; the answers so far are kept") from None
            if len(asked) == 1:  # such as a question that is longer than the model's context
                return {asked[0].key: Answer("", f"refused: {_line(error)}", 0)}
            middle = len(asked) // 2
            return self._answers(asked[:middle]) | self._answers(asked[middle:])
        return {
            one.key: Answer(said.text, said.finish_reason or "stop", len(said.token_ids))
            for one, output in zip(asked, outputs, strict=True)
            for said in output.outputs
        }


def _conversation(asked: Asked) -> list[dict[str, Any]]:
    import PIL.Image

    *before, last = asked.messages
    pictures = [
        {"type": "image_pil", "image_pil": PIL.Image.open(BytesIO(image)).convert("RGB")} for image in asked.images
    ]
    content: Any = [*pictures, {"type": "text", "text": last["content"]}] if pictures else last["content"]
    return [*before, {"role": last["role"], "content": content}]


def _line(error: BaseException) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line if len(line) <= 300 else line[:297] + "..."
