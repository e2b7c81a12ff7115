"""A tiny random Qwen2.5-VL, made on the spot: TRL's trainers run it on two CPU cores in seconds, without a hub.

Nothing heavy is imported before a function is called, so a test file may import this one where torch is not installed.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from infimed_train.vision_imports import make_torchvision_importable

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def tiny_qwen(
    folder: Path,
    *,
    hidden: int = 16,
    layers: int = 2,
    vision_hidden: int = 16,
    heads: int = 4,
    mrope_section: tuple[int, ...] = (1, 1),
    patch_px: int = 14,
    min_pixels: int = 4 * 28 * 28,
    max_pixels: int = 16 * 28 * 28,
    initializer_range: float = 0.02,
    texts: Sequence[str] = (),
) -> Path:
    """`folder`, holding what `from_pretrained` loads: a Qwen2.5-VL of 38K random float32 parameters and its processor.

    Same classes, special tokens and chat template as the real model; same weights on every call. A token is one byte,
    so every text survives the round trip through the tokenizer, and each word of `texts` becomes one more; an image
    becomes 4 to 16 tokens. `mrope_section` adds up to half the size of a head. `initializer_range` is that of the real
    model, whose layers are a hundred times as wide: so narrow a model as this one learns far sooner from 0.1.
    """
    make_torchvision_importable()
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2Tokenizer,
        Qwen2VLImageProcessor,
    )
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    merges, words = _words(texts)
    vocabulary = [*sorted(ByteLevel.alphabet()), *SPECIAL_TOKENS, *words]
    token_ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Qwen2Tokenizer(
        vocab=token_ids,
        merges=merges,  # type: ignore[arg-type,unused-ignore]
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
    )
    processor = Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call,unused-ignore]
        image_processor=Qwen2VLImageProcessor(patch_size=patch_px, min_pixels=min_pixels, max_pixels=max_pixels),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=(files("trl") / "chat_templates" / "qwen2_5_vl.jinja").read_text(encoding="utf-8"),
    )
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(mrope_section)},
            "bos_token_id": token_ids["<|endoftext|>"],
            "eos_token_id": token_ids["<|im_end|>"],
            "pad_token_id": token_ids["<|endoftext|>"],
            "tie_word_embeddings": True,
            "initializer_range": initializer_range,
        },
        vision_config={
            "depth": layers,
            "hidden_size": vision_hidden,
            "intermediate_size": 2 * vision_hidden,
            "num_heads": 4,
            "out_hidden_size": hidden,
            "patch_size": patch_px,
            "fullatt_block_indexes": list(range(1, layers)),
            "initializer_range": initializer_range,
        },
        image_token_id=token_ids["<|image_pad|>"],
        video_token_id=token_ids["<|video_pad|>"],
        vision_start_token_id=token_ids["<|vision_start|>"],
        vision_end_token_id=token_ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    config.initializer_range = initializer_range
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2_5_VLForConditionalGeneration(config)  # type: ignore[no-untyped-call,unused-ignore]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _words(texts: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """(merges, tokens they make) such that each word of `texts` is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    if not texts:
        return [], []
    plain: Any = Qwen2Tokenizer(vocab={token: i for i, token in enumerate(sorted(ByteLevel.alphabet()))}, merges=[])
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=8192, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    )
    import json

    merges = [(str(left), str(right)) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    return merges, list(dict.fromkeys(left + right for left, right in merges))
