"""GRPO with a real vLLM on a machine without a GPU: do its samples come from the weights and pictures of the loss?

    python tests/benchmarks/grpo_vllm.py colocate --model MODEL --build BUILD
    python tests/benchmarks/grpo_vllm.py server --model MODEL --build BUILD --url http://127.0.0.1:8000

Needs an environment with vLLM's CPU build and TRL. Batches mix prompts with and without images. What counts is how far
the log-probability of each sampled token lies from the one that the trainer computes for it: other weights, or a
picture that one side does not see, would show in the rows with pictures. A small difference that all rows share is the
probability of image tokens, which vLLM may not sample: 0.008 where a random model has 264 tokens.

What is changed here for the CPU, and only here:
- vLLM's CPU linear layers drop their weights once they are packed ("'Parameter' object has no attribute
  'weight_loader'" at the first synchronisation): they keep them.
- vLLM takes bfloat16 for a float32 model, TRL has no setting for it: float32, so that rounding does not hide anything.
- `server`: TRL synchronises weights by NCCL, which needs CUDA: they are not synchronised, and the learning rate is 0.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=("colocate", "server"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True, help="build with an output `rl`")
    parser.add_argument("--out", type=Path, default=Path("grpo_vllm"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    from infimed_train.vision_imports import make_torchvision_importable

    make_torchvision_importable()
    import trl.generation.vllm_generation
    import vllm._custom_ops

    server = arguments.mode == "server"
    of_trl: Any = trl.generation.vllm_generation
    if server:
        client: Any = of_trl.VLLMClient
        client.init_communicator = lambda self, device: None
        client.update_named_params = lambda self, metadata, params: [None for _ in params]
    else:
        vllm._custom_ops._supports_onednn = False
        of_trl.LLM = functools.partial(of_trl.LLM, dtype="float32", enforce_eager=True)

    from infimed_train.config import load_config
    from infimed_train.grpo import grpo, mixed_grpo_trainer

    trainer: Any = mixed_grpo_trainer()
    scored = trainer._generate_and_score_completions

    def watched(self: Any, inputs: Any) -> Any:
        out = scored(self, inputs)
        mask = out["completion_mask"]
        apart = (out["old_per_token_logps"] - out["sampling_per_token_logps"]).abs() * mask
        of_row = (apart.sum(1) / mask.sum(1).clip(1)).tolist()
        kinds = [bool(images) for images in out["num_images"]]
        for name, pictured in (("text", False), ("with a picture", True)):
            values = [value for value, kind in zip(of_row, kinds, strict=True) if kind is pictured]
            step = f"step {self.state.global_step + 1}, rows {name}: {len(values)}"
            print(f"{step}, apart {min(values):.2g} to {max(values):.2g}" if values else step)
        return out

    trainer._generate_and_score_completions = watched
    config = {
        "task": "grpo", "model": str(arguments.model), "output": str(arguments.out / arguments.mode), "freeze": [],
        "data": {"path": str(arguments.build), "output": "rl"},
        "reward": {"repetition_ngram": 2, "soft_max_tokens": 1},
        "trl": {
            "max_steps": arguments.steps, "per_device_train_batch_size": 16, "num_generations": 2,
            "max_completion_length": 32, "mask_truncated_completions": False, "logging_steps": 1,
            "learning_rate": 0.0 if server else 0.01, "lr_scheduler_type": "constant", "save_strategy": "no",
            "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True,
            "use_vllm": True, "vllm_mode": arguments.mode, "vllm_max_model_length": 2048,
            "vllm_gpu_memory_utilization": 0.05,
        } | ({"vllm_server_base_url": arguments.url} if server else {}),
    }  # fmt: skip
    path = arguments.out / f"{arguments.mode}.yaml"
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    grpo(load_config(path), lambda line: print(line, file=sys.stderr), fresh=True)


if __name__ == "__main__":
    main()
