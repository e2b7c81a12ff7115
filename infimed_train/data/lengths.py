"""How long each row is, as the real processor and chat template make it: text tokens, and image tokens from sizes.

No image is decoded: its size stands in its header, and the processor says how many tokens a size becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from infimed_train.config import TrainConfig
from infimed_train.data.rows import Rows
from infimed_train.errors import TrainError

__all__ = ["Lengths", "fitting", "measure"]

SHOWN = 3
"""Rows that a message names."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of each row, in the order of the rows."""

    prompt: np.ndarray
    """Tokens of the prompt, those of its images included."""
    completion: np.ndarray
    """0 where rows have no completion."""
    image: np.ndarray
    """Tokens of the images alone."""

    @property
    def total(self) -> np.ndarray:
        """Tokens of the whole row."""
        return np.asarray(self.prompt + self.completion)


def measure(rows: Rows, processor: Any, *, batch: int = 256) -> Lengths:
    """Tokens of every row. Raises `TrainError` for an image without a readable header, naming its row."""
    from trl.data_utils import apply_chat_template, prepare_multimodal_messages

    tokenizer = processor.tokenizer
    tokens_of = _image_tokens(processor)
    counts: list[tuple[int, int, int]] = []
    broken: list[str] = []
    pending: list[tuple[str, str, int, int]] = []

    def flush() -> None:
        prompts = tokenizer([p[0] for p in pending], add_special_tokens=False)["input_ids"] if pending else []
        answers = tokenizer([p[1] for p in pending], add_special_tokens=False)["input_ids"] if pending else []
        for (_, _, images, image_tokens), prompt, answer in zip(pending, prompts, answers, strict=True):
            counts.append((len(prompt) - images + image_tokens, len(answer), image_tokens))
        pending.clear()

    for position, row in rows.raw(batch):
        images = row["images"] or []
        sizes = []
        for image in images:
            try:
                sizes.append(_size(image))
            except (OSError, ValueError, SyntaxError, TypeError) as error:
                broken.append(f"{rows.uids[position]} ({str(error).splitlines()[0][:60]})")
        example = {"prompt": prepare_multimodal_messages(row["prompt"], images=list(range(len(images))))}
        if "completion" in row:
            example["completion"] = prepare_multimodal_messages(row["completion"])
        text = apply_chat_template(example, processor)
        image_tokens = sum(tokens_of(*size) for size in sizes)
        pending.append((text["prompt"], text.get("completion", ""), len(images), image_tokens))
        if len(pending) == batch:
            flush()
    flush()
    if broken:
        raise TrainError(f"{rows.where}: {_some(broken, 'image that does not decode', 'images that do not decode')}")
    table = np.asarray(counts, dtype=np.int64).reshape(-1, 3)
    return Lengths(table[:, 0], table[:, 1], table[:, 2])


def fitting(rows: Rows, lengths: Lengths, config: TrainConfig, say: Callable[[str], None]) -> np.ndarray:
    """Positions of the rows that may be trained on: within `max_tokens`, and with something to learn.

    Raises `TrainError` where rows are too long and `over_length` is `refuse`, or nothing is left.
    """
    keep = np.ones(len(rows), dtype=bool)
    if config.max_tokens is not None:
        keep = lengths.total <= config.max_tokens
        if not keep.all():
            long = [f"{rows.uids[i]} ({lengths.total[i]} tokens)" for i in np.flatnonzero(~keep).tolist()]
            said = f"{rows.where}: {_some(long, 'row is', 'rows are')} over max_tokens {config.max_tokens}"
            if config.over_length == "refuse":
                raise TrainError(f"{said}; raise it, lower pixels.max_pixels, or set over_length: drop")
            say(f"{said}; left out")
    if not keep.any():
        raise TrainError(f"{rows.where}: no row is within max_tokens {config.max_tokens}; raise it")
    return np.flatnonzero(keep)


def _some(named: Sequence[str], one: str, many: str) -> str:
    """Such as `2 rows are: a, b`."""
    shown = ", ".join(named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")
    return f"{len(named)} {one if len(named) == 1 else many} ({shown})"


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """(height, width) from an image's header."""
    import PIL.Image

    data = image.get("bytes")
    with PIL.Image.open(image["path"] if data is None else BytesIO(data)) as opened:
        return opened.height, opened.width


def _image_tokens(processor: Any) -> Callable[[int, int], int]:
    """Tokens that an image of (height, width) becomes; asked once a size."""
    known: dict[tuple[int, int], int] = {}

    def tokens(height: int, width: int) -> int:
        size = (height, width)
        if size not in known:
            try:
                known[size] = int(processor._get_num_multimodal_tokens(image_sizes=[size])["num_image_tokens"][0])
            except ValueError as error:
                raise TrainError(f"an image of {width}x{height} pixels: {error}") from None
        return known[size]

    return tokens
