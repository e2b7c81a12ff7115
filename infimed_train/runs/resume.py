"""A trainer that really loads the weights of the checkpoint it goes on from."""

from __future__ import annotations

from typing import Any

from infimed_train.errors import TrainError

__all__ = ["resuming"]


def resuming(trainer: Any) -> Any:
    """`trainer` (a class), mended where transformers resumes with the weights it began with.

    transformers 5 saves some models, Qwen2.5-VL among them, under the names that the Hub's files have (`visual...`),
    and `from_pretrained` translates them. `Trainer` loads a checkpoint without that, with `strict=False`: not one
    name fits, and it goes on from the first weights with a warning (QwenLM/Qwen3-VL#1763, modelscope/ms-swift#7947).
    Adapters, FSDP and DeepSpeed load by ways of their own and are left alone.
    """

    class Resuming(trainer):  # type: ignore[misc,unused-ignore]
        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            from transformers import PreTrainedModel

            model = self.model if model is None else model
            if self.is_fsdp_enabled or not isinstance(model, PreTrainedModel):
                super()._load_from_checkpoint(resume_from_checkpoint, model)
                return
            saved = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype)
            try:
                model.load_state_dict(saved.state_dict(), strict=True)
            except RuntimeError as error:
                raise TrainError(
                    f"{resume_from_checkpoint}: a checkpoint of another model ({' '.join(str(error).split())[:200]})"
                ) from None

    Resuming.__name__ = trainer.__name__
    return Resuming
