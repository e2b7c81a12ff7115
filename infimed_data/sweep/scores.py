"""Results of `infimed-train eval` beside the variants whose rows the models were trained on.

An evaluation's folder says in `run.json` which builds its model was trained on, the last training first; the first of
them that is a variant here is the one it counts for.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from infimed_data.charts import Dot, dots
from infimed_data.errors import QueryError, did_you_mean
from infimed_data.stats.tables import aligned, shown
from infimed_data.sweep.variants import Swept, compared

__all__ = ["Results", "Scored", "draw_scores", "match_scores", "read_scores", "scores_text", "with_scores"]

AVERAGE = "average"
_FILES = ("results.json", "results.csv")


@dataclass(frozen=True)
class Results:
    """What one evaluation found."""

    variant: str | None
    """The variant that somebody said it is of."""
    place: Path
    scores: dict[str, Dot]
    """Accuracy of each benchmark, and `average`, between 0 and 1 with the 95% interval where one is known."""
    trained_on: tuple[str, ...]
    """What rows its model was trained on, the last training first."""


@dataclass(frozen=True)
class Scored:
    """One evaluation of one variant's model."""

    variant: str
    place: Path
    scores: dict[str, Dot]


def read_scores(given: Sequence[str]) -> list[Results]:
    """The results at each of `given`: `FOLDER`, `FILE`, or `VARIANT=` before either.

    Raises `QueryError` with a line for each that cannot be read.
    """
    found: list[Results] = []
    problems: list[str] = []
    for text in given:
        try:
            found.append(_read(text))
        except QueryError as error:
            problems.append(str(error))
    if problems:
        raise QueryError("\n".join(problems))
    return found


def _read(text: str) -> Results:
    variant, sign, rest = text.partition("=")
    if not sign or Path(text).exists():
        variant, rest = "", text
    place = Path(rest)
    file = next((place / name for name in _FILES if (place / name).is_file()), place) if place.is_dir() else place
    if not file.is_file():
        raise QueryError(
            f"--scores {rest}: no results there; give the folder that `infimed-train eval` wrote, or its results.json "
            "or results.csv"
        )
    return Results(variant or None, place, _scores_of(file), () if variant else _trained_on(file.parent, rest))


def _trained_on(folder: Path, given: str) -> tuple[str, ...]:
    """What rows the model was trained on, by the evaluation's card."""
    card = folder / "run.json"
    way = f"say whose they are: --scores VARIANT={given}"
    try:
        rows = orjson.loads(card.read_bytes()).get("trained_on")
    except FileNotFoundError:
        raise QueryError(f"--scores {given}: no run.json beside the results; {way}") from None
    except (OSError, orjson.JSONDecodeError, AttributeError) as error:
        raise QueryError(f"{card}: not an evaluation's card ({error}); {way}") from None
    if not rows:
        raise QueryError(
            f"--scores {given}: its run.json does not say what the model was trained on (a model without a run's card, "
            f"or an older evaluation: run `infimed-train eval` again); {way}"
        )
    return tuple(map(str, rows))


def match_scores(results: Sequence[Results], swept: Sequence[Swept]) -> list[Scored]:
    """Each result with the variant that it is of. Raises `QueryError` with a line for each that is of none."""
    found: list[Scored] = []
    problems: list[str] = []
    for one in results:
        try:
            found.append(Scored(_variant_of(one, swept), one.place, one.scores))
        except QueryError as error:
            problems.append(str(error))
    if problems:
        raise QueryError("\n".join(problems))
    return found


def _variant_of(result: Results, swept: Sequence[Swept]) -> str:
    names = [one.name for one in swept]
    if result.variant is not None:
        if result.variant not in names:
            raise QueryError(
                f"--scores {result.variant}={result.place}: no variant is called {result.variant!r}; "
                f"there are {', '.join(names)}{did_you_mean(result.variant, names)}"
            )
        return result.variant
    for rows in result.trained_on:
        for one in swept:
            if one.build is not None and _is_of(rows, one):
                return one.name
    builds = ", ".join(f"{one.name} {one.build.lock['build']}" for one in swept if one.build is not None)
    raise QueryError(
        f"--scores {result.place}: its model was trained on {'; '.join(result.trained_on)}, which is none of these "
        f"variants ({builds}); sweep that variant too, or say whose they are: --scores VARIANT={result.place}"
    )


def _is_of(rows: str, one: Swept) -> bool:
    """Whether a run card's `data` (`NAME/BUILD lock DIGEST OUTPUT/SPLIT`, or `REPO@BUILD ...`) names the build."""
    assert one.build is not None
    build = re.escape(one.build.lock["build"])
    if re.search(rf"[/@]{build}(?: |$)", rows):
        return True
    lock = re.search(r" lock ([0-9a-f]{32}) ", rows)
    return lock is not None and lock[1] == xxhash.xxh3_128_hexdigest((one.build.path / "lock.json").read_bytes())


def _scores_of(file: Path) -> dict[str, Dot]:
    try:
        if file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as lines:
                rows: list[dict[str, Any]] = list(csv.DictReader(lines))
            mean = None
        else:
            plain = orjson.loads(file.read_bytes())
            rows, mean = plain["scores"], plain.get("average")
        whole = {str(row["benchmark"]): _dot(row["accuracy"], row["low"], row["high"]) for row in rows if _whole(row)}
        scores = {name: dot for name, dot in whole.items() if dot is not None}
        average = None if mean is None else _dot(*mean)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise QueryError(f"{file}: not the results of `infimed-train eval` ({type(error).__name__}: {error})") from None
    if average is None and scores:
        average = Dot(math.fsum(dot.value for dot in scores.values()) / len(scores))
    if average is None:
        raise QueryError(f"{file}: no benchmark has a score in it")
    return {AVERAGE: average, **scores}


def _whole(row: dict[str, Any]) -> bool:
    return bool(row["part"] == "all")


def _dot(value: Any, low: Any, high: Any) -> Dot | None:
    numbers = [None if end in (None, "") else float(end) for end in (value, low, high)]
    for number in numbers:
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"{number} is no share between 0 and 1")
    return None if numbers[0] is None else Dot(numbers[0], numbers[1], numbers[2])


def with_scores(swept: Sequence[Swept], scored: Sequence[Scored]) -> pa.Table:
    """What `compared` says of each variant, with `evaluations` and `score_BENCHMARK` (0 to 1) behind it; of several
    evaluations of a variant their mean. Null where nothing was scored."""
    table = compared(swept)
    own = {one.name: [s.scores for s in scored if s.variant == one.name] for one in swept}
    columns: dict[str, list[Any]] = {"evaluations": [len(own[name]) for name in table["variant"].to_pylist()]}
    for benchmark in _benchmarks(scored):
        found = [[s[benchmark].value for s in own[name] if benchmark in s] for name in table["variant"].to_pylist()]
        columns[f"score_{benchmark}"] = [round(math.fsum(v) / len(v), 4) if v else None for v in found]
    for name, column in columns.items():
        kind = pa.int64() if name == "evaluations" else pa.float64()
        table = table.append_column(name, pa.array(column, kind))
    return table


def scores_text(swept: Sequence[Swept], scored: Sequence[Scored]) -> str:
    """Accuracy in percent, a row an evaluation, and how much it differs from the first."""
    benchmarks = _benchmarks(scored)
    order = [one.name for one in swept]
    ranked = sorted(scored, key=lambda s: order.index(s.variant))
    first = ranked[0]
    lines = [["variant", "evaluation", *benchmarks]]
    for one in ranked:
        cells = []
        for benchmark in benchmarks:
            dot, base = one.scores.get(benchmark), first.scores.get(benchmark)
            change = "" if dot is None or base is None or one is first else f" ({100 * (dot.value - base.value):+.1f})"
            cells.append("-" if dot is None else f"{100 * dot.value:.1f}{change}")
        lines.append([shown(one.variant), shown(str(one.place)), *cells])
    lines += [[shown(name), "not scored", *("-" for _ in benchmarks)] for name in order if name not in _named(scored)]
    return aligned(lines[0], lines[1:], right=[False, False, *(True for _ in benchmarks)])


def draw_scores(swept: Sequence[Swept], scored: Sequence[Scored], path: Path) -> None:
    """Writes the chart: a panel a benchmark, a dot an evaluation, with its 95% interval. Raises `QueryError`."""
    benchmarks = _benchmarks(scored)
    order = [one.name for one in swept]
    ranked = sorted(scored, key=lambda s: order.index(s.variant))
    several = {name for name in order if sum(s.variant == name for s in scored) > 1}
    rows = [
        (f"{s.variant} {s.place.name}" if s.variant in several else s.variant, [s.scores.get(b) for b in benchmarks])
        for s in ranked
    ]
    picture = dots("Accuracy in percent, with 95% intervals; a scale for each", rows, benchmarks)
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise QueryError(f"--chart {path}: cannot write: {error.strerror}") from error


def _named(scored: Sequence[Scored]) -> set[str]:
    return {one.variant for one in scored}


def _benchmarks(scored: Sequence[Scored]) -> list[str]:
    return list(dict.fromkeys(name for one in scored for name in one.scores))
