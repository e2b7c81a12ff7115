"""Reinforcement learning with the verifier as the reward (GRPO), for prompts with and without images together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from infimed_data.verify import Gold
from infimed_train.completions import write_completions_page
from infimed_train.config import GrpoConfig, Loaded, trl_config
from infimed_train.data import Rows, by_difficulty, fitting, load_rows, measure
from infimed_train.errors import InfimedError, TrainError
from infimed_train.model import (
    freeze,
    limits_vllm_would_miss,
    load_model,
    load_processor,
    new_adapter,
    pixel_limits,
    tower_of,
)
from infimed_train.rewards import Judge, Watch, decidable
from infimed_train.runs import RunFolder, is_main, resuming, run_trainer, training_card

__all__ = ["grpo", "grpo_rows", "mixed_grpo_trainer", "one_token_an_image", "payable"]

Say = Callable[[str], None]


@cache
def mixed_grpo_trainer() -> Any:
    """TRL's `GRPOTrainer`, mended for pictures: four faults of TRL 1.16, each put right where it leaves TRL's hands.

    Prompts with and without images in one generation batch: TRL hands the processor `images=[..., None, ...]`, and
    every processor refuses None ("only a single or a list of entries is supported"). A prompt without images has none,
    which is `[]`; on the way out of `_generate`, because vLLM's path wants the None.

    Pictures for vLLM in this process: TRL hands it the prompt with a token for each patch, as the loss needs it, and
    the picture too; vLLM takes the first of these tokens for the picture's place and puts all of its tokens there
    once more (huggingface/trl#6294): the policy would answer prompts that it is not trained on. It gets one token an
    image. A server is told where the images are, and gets the prompt as it is.

    Image tokens sampled by vLLM: one of them ends the run ("Image features and image tokens do not match"). TRL
    suppresses them for transformers only.

    A vision tower that is trained: vLLM remembers what a picture looked like to earlier weights. It is made to forget
    whenever it gets new ones.
    """
    from trl.trainer.grpo_trainer import GRPOTrainer

    class MixedGRPOTrainer(GRPOTrainer):  # type: ignore[misc,unused-ignore]
        def __init__(self, *, args: Any, processing_class: Any = None, **more: Any) -> None:
            if args.use_vllm:
                if processing_class is None:
                    raise TrainError("vLLM: the trainer needs processing_class, whose image tokens are never sampled")
                never = {"logit_bias": dict.fromkeys(_media_tokens(processing_class), -100.0)}
                args.generation_kwargs = never | (args.generation_kwargs or {})
            super().__init__(args=args, processing_class=processing_class, **more)

        def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
            *head, images, tool_images = super()._generate(prompts)
            if images is not None:
                images = [of_prompt or [] for of_prompt in images]
            return (*head, images, tool_images)

        def _generate_single_turn(self, prompt_ids: Any, images: Any, *fields: Any, **more: Any) -> Any:
            if self.use_vllm and self.vllm_mode == "colocate" and images is not None:
                processor: Any = self.processing_class
                token = processor.image_token_id
                prompt_ids = [
                    one_token_an_image(ids, token, len(of_prompt or ()))
                    for ids, of_prompt in zip(prompt_ids, images, strict=True)
                ]
            if self.use_vllm and self.state.global_step != self._last_loaded_step and _sees_anew(self.model):
                _forget_pictures(self.vllm_generation)
            parent: Any = super()
            return parent._generate_single_turn(prompt_ids, images, *fields, **more)

    return resuming(MixedGRPOTrainer)


def one_token_an_image(ids: Sequence[int], token: int, images: int) -> list[int]:
    """The prompt with each run of image tokens as one of them. Raises `TrainError` where runs and images differ.

    >>> one_token_an_image([1, 9, 9, 9, 2, 9, 3], 9, 2)
    [1, 9, 2, 9, 3]
    """
    short = [one for i, one in enumerate(ids) if one != token or i == 0 or ids[i - 1] != token]
    if short.count(token) != images:
        raise TrainError(
            f"vLLM in this process: a prompt of {images} images has {short.count(token)} runs of image tokens, and TRL "
            "hands it only prompts of one run an image; set trl.vllm_mode: server, or trl.use_vllm: false"
        )
    return short


def _sees_anew(model: Any) -> bool:
    """Whether training changes what the model makes of a picture."""
    return any(parameter.requires_grad and tower_of(name) != "language" for name, parameter in model.named_parameters())


def _forget_pictures(generation: Any) -> None:
    """Empties vLLM's cache of pictures seen, in this process or through its server."""
    if generation.mode == "colocate":
        generation.llm.llm_engine.reset_encoder_cache()
    elif generation.accelerator.is_main_process:
        client = generation.vllm_client
        response = client.session.post(f"{client.base_url}/reset_encoder_cache")
        if response.status_code != 200:
            raise TrainError(
                f"{client.base_url}/reset_encoder_cache: HTTP {response.status_code}; start the server with "
                "VLLM_SERVER_DEV_MODE=1, or freeze vision and projector"
            )


def _media_tokens(processor: Any) -> list[int]:
    """Ids of the tokens that stand for pictures and videos."""
    found = (getattr(processor, name, None) for name in ("image_token_id", "video_token_id"))
    return [token for token in found if token is not None]


def grpo(loaded: Loaded, say: Say, *, fresh: bool = False) -> Path:
    """Trains and returns the folder of the model."""
    config = loaded.config
    assert isinstance(config, GrpoConfig)
    processor = load_processor(
        config.model, revision=config.revision, pixels=config.pixels, where=loaded.place("model")
    )
    if missed := limits_vllm_would_miss(config, processor):
        raise TrainError(f"{loaded.place('pixels')}: {missed}")
    processor.tokenizer.padding_side = processor.tokenizer.truncation_side = "left"
    rows = load_rows(config.data, "grpo", where=loaded.place("data", "path"))
    dumped = config.model_dump(mode="json", exclude={"output"})
    identity = {"config": dumped, "rows": rows.digest}
    folder = RunFolder(Path(config.output), identity, fresh=fresh, main=is_main())
    if folder.finished:
        say(f"{folder.model}: finished before; --fresh starts anew")
        return folder.model
    ordered = config.difficulty is not None and config.difficulty.order != "as_built"
    judge = Judge(
        config.reward,
        max_completion_tokens=config.trl.get("max_completion_length", 1024),
        watch=Watch(say) if is_main() else None,
    )
    functions, weights = judge.functions()
    extra: dict[str, Any] = {"reward_weights": weights}
    if ordered:
        extra["shuffle_dataset"] = False
    arguments = trl_config(loaded, config.trl, output=folder.path, extra=extra)
    table = grpo_rows(loaded, config, rows, processor, say)
    held_out = None
    if config.data.eval_split is not None:
        held = load_rows(config.data, "grpo", split=config.data.eval_split, where=loaded.place("data", "eval_split"))
        held_out = grpo_rows(loaded, config.model_copy(update={"difficulty": None}), held, processor, say)
    prompts = arguments.generation_batch_size // arguments.num_generations
    if len(table) < prompts:  # TRL would end after no step at all, without an error
        raise TrainError(
            f"{loaded.place('trl')}: {len(table)} rows, but a generation batch takes {prompts} prompts "
            f"({arguments.generation_batch_size} completions, {arguments.num_generations} each); "
            "lower per_device_train_batch_size or gradient_accumulation_steps"
        )
    card = training_card(identity=identity, config=dumped, data=rows.digest, pixels=pixel_limits(processor))
    card |= {"task": "grpo", "rows": len(table), "max_steps": arguments.max_steps}

    def make() -> Any:
        trainer = _trainer(loaded, config, arguments, functions, table, held_out, processor)
        judge.training = lambda: bool(trainer.model.training)
        return trainer

    model_folder = run_trainer(make, folder, card, say)
    if arguments.log_completions and is_main():
        _write_page(folder.path, say)
    return model_folder


def _trainer(
    loaded: Loaded,
    config: GrpoConfig,
    arguments: Any,
    functions: Sequence[Any],
    table: Any,
    held_out: Any,
    processor: Any,
) -> Any:
    model = load_model(config, arguments, where=loaded.place("model"))
    arguments.model_init_kwargs = None
    freeze(model, config.freeze, loaded.place("freeze"))
    _leave_out_undecided_rows_from_the_log()
    try:
        return mixed_grpo_trainer()(
            model=model,
            args=arguments,
            reward_funcs=list(functions),
            train_dataset=table,
            eval_dataset=held_out,
            processing_class=processor,
            peft_config=new_adapter(config, model),
        )
    except (ValueError, ImportError, NotImplementedError, ConnectionError) as error:
        raise TrainError(f"{loaded.place('trl')}: trl: {' '.join(str(error).split())}") from None


def _write_page(run: Path, say: Say) -> None:
    """Writes the page of completions; the model stands whatever comes of it."""
    try:
        say(f"what was said: {write_completions_page(run)}")
    except InfimedError as error:
        say(f"no page of completions: {error}; infimed-train completions {run} tries again")


def grpo_rows(loaded: Loaded, config: GrpoConfig, rows: Rows, processor: Any, say: Say) -> Any:
    """The rows to train on, in their order: within the limits, payable, by difficulty."""
    table = rows.table
    # First, because a column added to a selection makes `datasets` copy the selection, images and all, to its cache.
    if rows.sources is not None and "source" not in table.column_names:
        table = table.add_column("source", list(rows.sources))
    if "uid" not in table.column_names:
        table = table.add_column("uid", list(rows.uids))
    rows = replace(rows, table=table)
    kept = fitting(rows, measure(rows, processor), config, say)
    rows = payable(rows.take(kept.tolist()), say)
    if config.difficulty is not None:
        where = loaded.place("difficulty")
        chosen = by_difficulty(rows.pass_rates, config.difficulty, count=len(rows), where=where)
        if all(rate is None for rate in rows.pass_rates or [None]):
            say(f"{rows.where}: no row has a pass_rate; difficulty changes nothing")
        elif len(chosen) < len(rows):
            say(f"{rows.where}: outside the limits of difficulty: {len(rows) - len(chosen)} rows left out")
        rows = rows.take(chosen.tolist())
    say(f"{rows.where}: {len(rows)} rows to train on")
    return rows.table


def payable(rows: Rows, say: Say) -> Rows:
    """The rows whose right answer the verifier can tell; the others could never be paid, and are left out, counted.

    Raises `TrainError` where none is left: every reward would be None.
    """
    plain = rows.table.remove_columns("images")
    golds = [Gold.from_row(row) for row in plain]
    decided = [i for i, gold in enumerate(golds) if decidable(gold)]
    left_out = len(rows) - len(decided)
    if not decided:
        kinds = sorted({gold.answer_kind for gold in golds})
        raise TrainError(
            f"{rows.where}: the reward is None for all {len(rows)} rows: no rule can tell right from wrong for "
            f"answers of kind {', '.join(kinds)}; use an output of verifiable answers (rl)"
        )
    if left_out:
        say(f"{rows.where}: answers that no rule can check: {left_out} rows left out")
    return rows.take(decided)


def _leave_out_undecided_rows_from_the_log() -> None:
    """TRL warns with a row's whole content wherever all functions say None; we log the share of such rows instead."""

    def keep(record: logging.LogRecord) -> bool:
        return "All reward functions returned None" not in str(record.msg)

    logger = logging.getLogger("trl.trainer.grpo_trainer")
    if not any(getattr(known, "__name__", "") == "keep" for known in logger.filters):
        logger.addFilter(keep)
