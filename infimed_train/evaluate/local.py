"""A model loaded in this process as the one who answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

from infimed_train.config import EvalConfig
from infimed_train.errors import TrainError
from infimed_train.evaluate.journal import Answer
from infimed_train.evaluate.served import Asked
from infimed_train.model import base_of

__all__ = ["Local"]


class Local:
    """Generates with transformers, a batch at a time. A folder with an adapter is loaded on its base model."""

    def __init__(self, config: EvalConfig, processor: Any, *, where: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText

        assert config.model is not None
        self._config, self._processor = config, processor
        self._processor.tokenizer.padding_side = "left"
        name = base_of(config.model)
        revision = config.revision if name == config.model else None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = getattr(torch, config.dtype)
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(name, revision=revision, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrainError(f"{where}: {name}: does not load ({line[:200]})") from None
        if name != config.model:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, config.model)
        self._model = model.to(self._device).eval()
        ends = model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends]) | {processor.tokenizer.eos_token_id}

    def close(self) -> None:
        """Lets go of the model, whose memory a training may need next."""
        import torch

        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def ask(self, asked: Sequence[Asked]) -> Iterator[dict[str, Answer]]:
        """Answers by key, the batch as a whole."""
        import torch

        config = self._config
        sampling: dict[str, Any] = {"do_sample": config.temperature > 0}
        if config.temperature > 0:
            sampling["temperature"] = config.temperature
        inputs = self._processor.apply_chat_template(
            [self._conversation(one) for one in asked],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        ).to(self._device)
        torch.manual_seed(config.seed)
        with torch.inference_mode():
            out = self._model.generate(
                **inputs,
                max_new_tokens=config.max_new_tokens,
                pad_token_id=self._processor.tokenizer.pad_token_id,
                **sampling,
            )
        found = {}
        for one, ids in zip(asked, out[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            end = next((i for i, token in enumerate(ids) if token in self._ends), None)
            kept = ids if end is None else ids[:end]
            text = self._processor.tokenizer.decode(kept, skip_special_tokens=True)
            found[one.key] = Answer(text, "length" if end is None else "stop", len(kept))
        yield found

    def _conversation(self, asked: Asked) -> list[dict[str, Any]]:
        import PIL.Image

        *before, last = asked.messages
        pictures = [{"type": "image", "image": PIL.Image.open(BytesIO(image)).convert("RGB")} for image in asked.images]
        said = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in before]
        return [*said, {"role": last["role"], "content": [*pictures, {"type": "text", "text": last["content"]}]}]
