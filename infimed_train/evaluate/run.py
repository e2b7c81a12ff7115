"""An evaluation from its configuration to its tables; stopped, it goes on with the questions not yet answered.

answers.jsonl          every answer by request, as it came
predictions.parquet    one row a question, with verdict and reason
results.md  .csv  .json
run.json               config, versions, data, pixel limits
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from infimed_train.config import EvalConfig, Loaded
from infimed_train.errors import TrainError, storage_error
from infimed_train.evaluate.comparison import differences
from infimed_train.evaluate.in_process import InProcess
from infimed_train.evaluate.items import Item, Items, load_items
from infimed_train.evaluate.journal import Answer, Journal
from infimed_train.evaluate.local import Local
from infimed_train.evaluate.prompts import Prompts, load_prompts
from infimed_train.evaluate.scoring import PREDICTIONS, average, predictions, summarise
from infimed_train.evaluate.served import Asked, Served
from infimed_train.evaluate.tables import as_csv, as_markdown, compared
from infimed_train.model import load_processor, pixel_limits
from infimed_train.runs import evaluation_card, lineage_of, pixels_of_run

__all__ = ["evaluate"]

Say = Callable[[str], None]
Answerer = Local | Served | InProcess


def evaluate(loaded: Loaded, say: Say, *, fresh: bool = False) -> str:
    """Asks, scores and writes; returns the tables as text."""
    config = loaded.config
    assert isinstance(config, EvalConfig)
    prompts = {
        name: load_prompts(
            benchmark.prompt or config.prompt,
            where=loaded.place("benchmarks", name, "prompt") if benchmark.prompt else loaded.place("prompt"),
        )
        for name, benchmark in config.benchmarks.items()
    }
    benchmarks = [
        load_items(name, benchmark, where=loaded.place("benchmarks", name, "path"))
        for name, benchmark in config.benchmarks.items()
    ]
    processor = None
    if config.server is None:
        assert config.model is not None
        processor = load_processor(
            config.model, revision=config.revision, pixels=config.pixels, where=loaded.place("model")
        )
    pixels = config.pixels.model_dump() if processor is None else pixel_limits(processor)
    _same_pixels(config, pixels, loaded.place("pixels"))
    folder = Path(config.output)
    if fresh and folder.exists():
        if not (folder / "answers.jsonl").is_file():
            raise TrainError(f"output: {folder} is not the folder of an evaluation; choose another")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, f"writing {folder}") or error from None
    journal = Journal(folder / "answers.jsonl")
    who = _who(config)
    rows: dict[str, list[dict[str, Any]]] = {}
    answerer: Answerer | None = None
    try:
        for items in benchmarks:
            if items.left_out:
                say(f"{items.name}: {items.left_out} rows are conversations, no single question; left out")
            keys = [_key(who, config, pixels, prompts[items.name], item) for item in items.items]
            batches = _batches(keys, config, journal)
            if batches:
                answerer = answerer or _answerer(loaded, config, processor)
                _ask(answerer, items, keys, batches, prompts[items.name], journal, say)
            answers = [journal.answers[key] for key in keys]
            rows[items.name] = predictions(items.items, answers, rel_tol=config.rel_tol)
            _say_refused(items, answers, say)
    finally:
        if answerer is not None:
            answerer.close()
    card = evaluation_card(identity={"who": who}, config=config.model_dump(mode="json"))
    card |= {"task": "eval", "pixels": pixels, "data": {items.name: items.digest for items in benchmarks}}
    card |= {"trained_on": lineage_of(config.model)}
    card |= {"prompts": {name: {"name": p.name, "digest": p.digest} for name, p in prompts.items()}}
    return _report(config, folder, rows, card)


def _answerer(loaded: Loaded, config: EvalConfig, processor: Any) -> Answerer:
    if config.server is not None:
        return Served(config, where=loaded.place("server"))
    if config.vllm is not None:
        return InProcess(config, processor, where=loaded.place("vllm"))
    return Local(config, processor, where=loaded.place("model"))


def _report(config: EvalConfig, folder: Path, rows: dict[str, list[dict[str, Any]]], card: dict[str, Any]) -> str:
    scores = [
        score for of_one in rows.values() for score in summarise(of_one, resamples=config.resamples, seed=config.seed)
    ]
    mean = average(rows.values(), resamples=config.resamples, seed=config.seed)
    model = config.server.model if config.server is not None else str(config.model)
    text = as_markdown(scores, mean, model=model, style=config.prompt)
    table = pa.Table.from_pylist([row for of_one in rows.values() for row in of_one], schema=PREDICTIONS)
    results: dict[str, Any] = {"scores": [score.as_dict() for score in scores], "average": mean}
    try:
        partial = folder / "predictions.parquet.partial"
        pq.write_table(table, partial)
        partial.replace(folder / "predictions.parquet")
        if config.against is not None:
            found_apart = differences(Path(config.against), folder, resamples=config.resamples)
            text += "\n\n" + compared(found_apart, first=config.against, second=str(folder))
            results["against"] = {name: found._asdict() for name, found in found_apart.items()}
        for name, content in (
            ("results.md", text + "\n"),
            ("results.csv", as_csv(scores)),
            ("results.json", orjson.dumps(results, option=orjson.OPT_INDENT_2).decode()),
            ("run.json", orjson.dumps(card, option=orjson.OPT_INDENT_2).decode()),
        ):
            half = folder / f"{name}.partial"
            half.write_text(content, "utf-8")
            half.replace(folder / name)
    except OSError as error:
        raise storage_error(error, f"writing {folder}") or error from None
    return text


def _ask(
    answerer: Answerer,
    items: Items,
    keys: Sequence[str],
    batches: Sequence[Sequence[int]],
    prompts: Prompts,
    journal: Journal,
    say: Say,
) -> None:
    missing = sum(map(len, batches))
    say(f"{items.name}: {len(keys)} questions, {len(keys) - missing} answered before")

    def asked(indices: Sequence[int]) -> Iterator[Asked]:
        chosen = [items.items[i] for i in indices]
        pictures = items.images([item.position for item in chosen])
        for i, item, images in zip(indices, chosen, pictures, strict=True):
            yield Asked(keys[i], prompts.messages(item.gold), images)

    done, told = 0, 0
    for batch in batches:
        for answers in answerer.ask(list(asked(batch))):
            journal.add(answers)
            done += len(answers)
            if done - told >= max(100, missing // 10):
                told = done
                say(f"{items.name}: {done} of {missing}")


def _batches(keys: Sequence[str], config: EvalConfig, journal: Journal) -> list[list[int]]:
    """Positions to ask for, together. Those of transformers are the same whatever is answered: padding counts."""
    padded = config.server is None and config.vllm is None
    size = config.batch_size if padded else 256
    batches = [list(range(start, min(start + size, len(keys)))) for start in range(0, len(keys), size)]
    if padded:
        return [batch for batch in batches if any(keys[i] not in journal.answers for i in batch)]
    missing = [[i for i in batch if keys[i] not in journal.answers] for batch in batches]
    return [batch for batch in missing if batch]


def _key(who: str, config: EvalConfig, pixels: Any, prompts: Prompts, item: Item) -> str:
    """What an answer depends on."""
    request = {
        "who": who,
        "messages": prompts.messages(item.gold),
        "images": item.image_ids,
        "pixels": pixels,
        "sampling": [config.max_new_tokens, config.temperature, config.seed],
        "row": item.uid if config.temperature > 0 else "",
    }
    return xxhash.xxh3_128_hexdigest(orjson.dumps(request, option=orjson.OPT_SORT_KEYS))


def _who(config: EvalConfig) -> str:
    """The model, such that another one under the same name is another."""
    if config.server is not None:
        return f"{config.server.base_url} {config.server.model}"
    folder = Path(str(config.model))
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
    stamp = orjson.dumps([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files])
    how = f"vllm {orjson.dumps(config.vllm.engine_args).decode()}" if config.vllm else str(config.batch_size)
    return f"{config.model} {config.revision} {xxhash.xxh3_64_hexdigest(stamp)} {config.dtype} {how}"


def _same_pixels(config: EvalConfig, pixels: Any, where: str) -> None:
    """Raises `TrainError` where the model was trained with other limits, unless that is wanted."""
    trained = None if config.model is None else pixels_of_run(config.model)
    if trained is None or config.allow_other_pixels or trained == pixels:
        return
    named = ", ".join(f"{name} {value} (trained with {trained.get(name)})" for name, value in pixels.items())
    raise TrainError(
        f"{where}: pixels: {named}; a score at another resolution is not the model's: give the limits of its training, "
        "or allow_other_pixels: true"
    )


def _say_refused(items: Items, answers: Sequence[Answer], say: Say) -> None:
    refused = [answer.finish for answer in answers if answer.finish.startswith("refused")]
    if refused:
        say(f"warning: {items.name}: {len(refused)} requests {refused[0]}; they count as wrong")
