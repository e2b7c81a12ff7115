"""Supervised fine-tuning: rows measured before they are trained on, loss on completions only, phases in sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from infimed_train import gate as gates
from infimed_train.config import Loaded, SftConfig, trl_config
from infimed_train.data import Rows, fitting, load_rows, measure, weighted
from infimed_train.errors import TrainError
from infimed_train.model import freeze, load_model, load_processor, new_adapter, pixel_limits
from infimed_train.runs import RunFolder, is_main, resuming, run_trainer, training_card, wait_for_everyone

__all__ = ["sft", "sft_rows"]

Say = Callable[[str], None]
Before = Callable[[], None] | None


def sft(loaded: Loaded, say: Say, *, fresh: bool = False) -> Path:
    """Trains, phase after phase, and returns the folder of the last model. What is finished is not done again."""
    config = loaded.config
    assert isinstance(config, SftConfig)
    if config.gate is None:
        return _train_all(loaded, config, say, fresh, None)
    gate, folder = config.gate, Path(config.output) / "gate"

    def ask(model: str, name: str) -> None:
        if is_main():
            gates.ask(loaded, gate, model, folder / name, say)
        wait_for_everyone()

    model = _train_all(loaded, config, say, fresh, lambda: ask(config.model, "before"))
    ask(str(model), "after")
    if is_main():
        gates.judge(gate, folder, model, say)
    return model


def _train_all(loaded: Loaded, config: SftConfig, say: Say, fresh: bool, before: Before) -> Path:
    """`before` is called once, when the run's folder is there and nothing has been trained yet."""
    if not config.phases:
        return _train(loaded, config, say, fresh, before)
    model = Path(config.model)
    for name, phase in config.phases.items():
        one = config.model_copy(
            update={
                "model": str(model),
                "revision": config.revision if str(model) == config.model else None,
                "output": str(Path(config.output) / name),
                "data": phase.data,
                "freeze": config.freeze if phase.freeze is None else phase.freeze,
                "trl": {**config.trl, **phase.trl},
                "phases": {},
                "gate": None,
            }
        )
        positions = {key[2:]: place for key, place in loaded.positions.items() if key[:2] == ("phases", name)}
        say(f"phase {name}")
        of_phase = replace(loaded, config=one, positions={**loaded.positions, **positions})
        model = _train(of_phase, one, say, fresh, before)
        before = None
    return model


def _train(loaded: Loaded, config: SftConfig, say: Say, fresh: bool, before: Before) -> Path:
    processor = load_processor(
        config.model, revision=config.revision, pixels=config.pixels, where=loaded.place("model")
    )
    rows = load_rows(config.data, "sft", where=loaded.place("data", "path"))
    dumped = config.model_dump(mode="json", exclude={"output", "phases", "gate"})
    identity = {"config": dumped, "rows": rows.digest}
    folder = RunFolder(Path(config.output), identity, fresh=fresh, main=is_main())
    if folder.finished:
        if before is not None:
            before()
        say(f"{folder.model}: finished before; --fresh starts anew")
        return folder.model
    arguments = trl_config(loaded, config.trl, output=folder.path)
    table = sft_rows(config, rows, processor, say, seed=arguments.seed, where=loaded.place("data"))
    held_out = None
    if config.data.eval_split is not None:
        unweighted = config.data.model_copy(update={"weights": {}})
        held = load_rows(unweighted, "sft", split=config.data.eval_split, where=loaded.place("data", "eval_split"))
        plain = config.model_copy(update={"data": unweighted})
        held_out = sft_rows(plain, held, processor, say, seed=arguments.seed, where=loaded.place("data"))
    card = training_card(identity=identity, config=dumped, data=rows.digest, pixels=pixel_limits(processor))
    card |= {"task": "sft", "rows": len(table), "max_steps": arguments.max_steps}
    if before is not None:
        folder.write_card(card)
        before()
    return run_trainer(lambda: _trainer(loaded, config, arguments, table, held_out, processor), folder, card, say)


def sft_rows(config: SftConfig, rows: Rows, processor: Any, say: Say, *, seed: int, where: str) -> Any:
    """The rows of an epoch as TRL takes them, `length` beside them for batches of like lengths."""
    lengths = measure(rows, processor)
    kept = fitting(rows, lengths, config, say)
    if config.data.weights:
        sources = None if rows.sources is None else [rows.sources[i] for i in kept]
        kept = kept[weighted(sources, config.data.weights, seed=seed, where=where)]
        if not len(kept):
            raise TrainError(f"{where}: weights take no row at all")
    total = lengths.total[kept]
    say(
        f"{rows.where}: {len(kept)} rows, {int(total.sum())} tokens a pass "
        f"(longest {int(total.max())}, {int((lengths.image[kept] > 0).sum())} rows with images)"
    )
    table = rows.table.select_columns(["prompt", "completion", "images"])
    # In this order: a column added to a selection makes `datasets` copy the selection, images and all, to its cache.
    return table.add_column("length", lengths.total.tolist()).select(kept.tolist())


@cache
def sft_trainer() -> Any:
    """TRL's `SFTTrainer`, mended for batches of like lengths on rows with images.

    transformers takes the columns that no model input is named after out of the data, and looks for the column of
    lengths only then ("Can only automatically infer lengths for datasets whose items are dictionaries with an
    'pixel_values' key"). TRL lists the columns to keep; the lengths belong on that list. Its collator passes them over.
    """
    from trl.trainer.sft_trainer import SFTTrainer

    class LengthAwareSFTTrainer(SFTTrainer):  # type: ignore[misc,unused-ignore]
        def _set_signature_columns_if_needed(self) -> None:
            parent: Any = super()
            parent._set_signature_columns_if_needed()
            columns: list[str] = getattr(self, "_signature_columns", None) or []
            if self.args.length_column_name not in columns:
                columns.append(self.args.length_column_name)

    return resuming(LengthAwareSFTTrainer)


def _trainer(loaded: Loaded, config: SftConfig, arguments: Any, table: Any, held_out: Any, processor: Any) -> Any:
    model = load_model(config, arguments, where=loaded.place("model"))
    arguments.model_init_kwargs = None  # the model is loaded, by the same function that TRL would have used
    freeze(model, config.freeze, loaded.place("freeze"))
    try:
        return sft_trainer()(
            model=model,
            args=arguments,
            train_dataset=table,
            eval_dataset=held_out,
            processing_class=processor,
            peft_config=new_adapter(config, model),
        )
    except ValueError as error:
        raise TrainError(f"{loaded.place('trl')}: trl: {' '.join(str(error).split())}") from None
