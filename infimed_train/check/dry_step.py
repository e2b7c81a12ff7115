"""Forward and backward of two rows on the CPU: the real processor, and a small random copy of the architecture."""

from __future__ import annotations

from typing import Any

from infimed_train.config import Tower
from infimed_train.errors import TrainError
from infimed_train.model import freeze, shrunk_model

__all__ = ["dry_step"]


def dry_step(rows: Any, processor: Any, architecture: Any, towers: tuple[Tower, ...], *, completions: bool) -> str:
    """One line with the loss and what got a gradient. Raises `TrainError` where a step would fail or learn nothing.

    `rows` is a table with one row or two; without completions (GRPO) a short one is put in their place.
    """
    import torch
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    examples = [{"prompt": row["prompt"], "images": row["images"]} for row in rows]
    for example, row in zip(examples, rows, strict=True):
        example["completion"] = row["completion"] if completions else [{"role": "assistant", "content": "A"}]
    try:
        batch = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)(examples)
        learned = int((batch["labels"] != -100).sum())
        model = shrunk_model(architecture)
        freeze(model, towers)
        model.train()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
    except TrainError:
        raise
    except Exception as error:
        raise TrainError(f"dry step: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if not torch.isfinite(loss) or learned == 0:
        raise TrainError(f"dry step: loss {loss.item()} over {learned} tokens; nothing would be learned")
    moved = sum(1 for p in model.parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0))
    trained = sum(1 for p in model.parameters() if p.requires_grad)
    if moved == 0:
        raise TrainError("dry step: no parameter got a gradient")
    return (
        f"dry step: {len(examples)} rows, {tuple(batch['input_ids'].shape)} tokens, loss {loss.item():.3f} over "
        f"{learned} learned tokens; {moved} of {trained} trained tensors got a gradient"
    )
