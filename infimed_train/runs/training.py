"""A trainer run to its end: from the last whole checkpoint, with the card, curves and a whole model left behind."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infimed_train.errors import StorageError, TrainError, storage_error
from infimed_train.model import tower_of
from infimed_train.runs.card import peak_flops
from infimed_train.runs.curves import write_curves
from infimed_train.runs.folder import RunFolder, replace_folder

__all__ = ["is_main", "mfu_of", "run_trainer", "wait_for_everyone", "watch_of"]

Say = Callable[[str], None]


def is_main() -> bool:
    """Whether this process speaks and writes for all of them."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_everyone() -> None:
    """Returns when all processes have come here."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def run_trainer(make: Callable[[], Any], folder: RunFolder, card: dict[str, Any], say: Say) -> Path:
    """Trains with the trainer that `make` returns, and returns the folder of the finished model.

    Raises `TrainError` or `StorageError` in one line for what a user can mend: memory, disk, an image that breaks.
    """
    try:
        trainer = make()  # which already takes a first row, with its images
        checkpoint = folder.checkpoint(say)
        folder.write_card(card)
        watch = watch_of(folder, trainer)
        trainer.add_callback(watch)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        if trainer.state.global_step == 0:
            raise TrainError("no step was made: the rows do not fill one batch; lower the batch or take more rows")
        trainer.accelerator.wait_for_everyone()
        card |= {"throughput": watch.throughput(), "steps": trainer.state.global_step, "alarms": watch.alarms()}
        write_curves_of(trainer, folder)
        _save_whole(trainer, folder, card)
        folder.write_card(card)
    except (TrainError, StorageError):
        raise
    except Exception as error:
        raise _explained(error, folder) or error from None
    return folder.model


def write_curves_of(trainer: Any, folder: RunFolder) -> None:
    """The curves so far, by the main process."""
    if is_main():
        write_curves(trainer.state.log_history, folder.path)


def _save_whole(trainer: Any, folder: RunFolder, card: dict[str, Any]) -> None:
    """Every process saves what it holds; the name appears when all is written."""
    partial = folder.path / "model.partial"
    if is_main():
        shutil.rmtree(partial, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(partial))
    trainer.accelerator.wait_for_everyone()
    if is_main():
        trainer.processing_class.save_pretrained(str(partial))
        folder.write_card(card, folder=partial)
        replace_folder(partial, folder.model)
    trainer.accelerator.wait_for_everyone()


def watch_of(folder: RunFolder, trainer: Any, clock: Callable[[], float] = time.perf_counter) -> Any:
    """A callback that marks whole checkpoints, draws the curves and measures throughput by `clock` (seconds)."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            self._started = clock()
            self._ended: float | None = None
            self._first_step = 0
            self._steps = 0
            self._first_tokens = 0.0
            self._tokens = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self._started, self._first_step = clock(), state.global_step
            self._first_tokens = _tokens_seen(trainer, state)

        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            folder.mark(folder.path / f"checkpoint-{state.global_step}")
            write_curves_of(trainer, folder)

        def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self._ended, self._steps = clock(), state.global_step - self._first_step
            self._tokens = _tokens_seen(trainer, state)

        def alarms(self) -> list[str]:
            names = {name for entry in trainer.state.log_history for name in entry if name.startswith("alarms/")}
            return sorted(name.removeprefix("alarms/") for name in names)

        def throughput(self) -> dict[str, float | None]:
            seconds = max((self._ended or clock()) - self._started, 1e-9)
            arguments = trainer.args
            batch = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
            tokens = max(0.0, self._tokens - self._first_tokens)
            return {
                "seconds": round(seconds, 3),
                "steps_per_s": self._steps / seconds,
                "samples_per_s": self._steps * batch / seconds,
                "tokens_per_s": tokens / seconds,
                "mfu": mfu_of(trainer, tokens / seconds, gpu=_gpu()),
                "peak_memory_gib": _peak_memory_gib(),
            }

    return Watch()


def _tokens_seen(trainer: Any, state: Any) -> float:
    """Tokens so far: TRL's SFT counts those of this process's run, its GRPO keeps the count in the state."""
    return float(getattr(trainer, "_total_train_tokens", 0) or state.num_input_tokens_seen or 0)


def _gpu() -> str | None:
    """Name of the GPU; None on a CPU."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def mfu_of(trainer: Any, tokens_per_s: float, *, gpu: str | None) -> float | None:
    """Share of the GPUs' peak that forward and backward of the language model need; None for GRPO and unknown GPUs.

    A token costs 2 operations a weight forward and 2 back to its inputs, and 2 more for each weight that is trained.
    The vision tower is left out, so the share is a little too low where there are many pictures.
    """
    peak = None if gpu is None else peak_flops(gpu)
    if peak is None or hasattr(trainer, "reward_funcs"):
        return None
    weights = [(p.numel(), p.requires_grad) for n, p in trainer.model.named_parameters() if tower_of(n) == "language"]
    flops = sum(count * (6 if trained else 4) for count, trained in weights)
    return float(flops * tokens_per_s / (peak * trainer.args.world_size))


def _peak_memory_gib() -> float | None:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def _explained(error: Exception, folder: RunFolder) -> Exception | None:
    """The one-line error for something that a user can mend; None for everything else."""
    stored = storage_error(error, f"saving to {folder.path}")
    if stored is not None:
        return stored
    text = str(error)
    name = type(error).__name__
    if name == "OutOfMemoryError":
        return TrainError(
            "out of GPU memory: lower per_device_train_batch_size (raise gradient_accumulation_steps by as much), "
            "pixels.max_pixels or max_tokens; infimed-train check estimates it"
        )
    if name == "UnidentifiedImageError" or "image file is truncated" in text or "broken data stream" in text:
        return TrainError(f"an image of the data does not decode ({text.splitlines()[0][:100]}); build it again")
    return None
