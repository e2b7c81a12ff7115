"""Reads a configuration from YAML and `--set`, and names every fault with its file and line.

A file may extend another (`extends: other.yaml`, mappings merge key by key) or one that ships with the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from infimed_data.errors import ManifestError
from infimed_data.plain_yaml import MAX_BYTES, plain_yaml
from infimed_data.showing import shown
from infimed_train.config.models import CONFIGS, EvalConfig, GrpoConfig, SftConfig
from infimed_train.errors import TrainError, did_you_mean

__all__ = ["Loaded", "load_config", "ready_configs"]

Key = tuple[str | int, ...]
READY = Path(__file__).parents[1] / "configs"


@dataclass(frozen=True)
class Loaded:
    """A configuration and where each of its keys was written."""

    config: SftConfig | GrpoConfig | EvalConfig
    path: Path
    positions: Mapping[Key, str]

    def place(self, *loc: str | int) -> str:
        """`file:line` of a key, or of the nearest key above it."""
        return _place(self.positions, self.path, loc)


def ready_configs() -> dict[str, Path]:
    """Configurations that come with the package, by name."""
    return {path.stem: path for path in sorted(READY.glob("*.yaml"))}


def load_config(source: str | Path, settings: Sequence[str] = (), *, task: str | None = None) -> Loaded:
    """The configuration in the file `source` (or the ready one of that name) with `settings` (`key=value`) on top.

    Raises `TrainError`, one line a problem.
    """
    path = Path(source)
    if not path.exists() and str(source) in ready_configs():
        path = ready_configs()[str(source)]
    plain, positions = _read(path, ())
    for setting in settings:
        _apply(setting, plain, positions)
    given = plain.get("task")
    if given not in CONFIGS:
        raise TrainError(
            f"{_place(positions, path, ('task',))}: task: {_shown(given)}; allowed: {', '.join(CONFIGS)}"
            f"{did_you_mean(str(given), CONFIGS)}"
        )
    if task is not None and given != task:
        raise TrainError(
            f"{_place(positions, path, ('task',))}: task: {given!r}, but the command is {task!r}; "
            f"run infimed-train {given} {source}"
        )
    model = CONFIGS[str(given)]
    try:
        config = model.model_validate(_tuples(plain))
    except ValidationError as error:
        problems = [_problem(dict(fault), model, positions, path) for fault in error.errors()]
        raise TrainError("\n".join(dict.fromkeys(map(shown, problems)))) from None
    return Loaded(config, path, positions)


def _place(positions: Mapping[Key, str], path: Path, loc: Key) -> str:
    for length in range(len(loc), 0, -1):
        if loc[:length] in positions:
            return positions[loc[:length]]
    return f"{path}:1"


def _read(path: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], dict[Key, str]]:
    if path.resolve() in [above.resolve() for above in chain]:
        raise TrainError(f"{path}:1: extends: a circle: {' -> '.join(str(p) for p in (*chain, path))}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise TrainError(
            f"{path}: no such configuration; allowed: a YAML file, or one of {', '.join(ready_configs())}"
            f"{did_you_mean(path.name, [*names, *ready_configs()])}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"{path}: cannot read: {error}") from None
    if len(data) > MAX_BYTES:
        raise TrainError(f"{path}:1: more than {MAX_BYTES:,} bytes; allowed: at most that, of a configuration")
    try:
        plain, lines = plain_yaml(text, path, what="configuration")
    except ManifestError as error:
        raise TrainError(str(error)) from None
    positions: dict[Key, str] = {key: f"{file}:{line}" for key, (file, line) in lines.items()}
    parent = plain.pop("extends", None)
    if parent is None:
        return plain, positions
    if not isinstance(parent, str):
        raise TrainError(f"{_place(positions, path, ('extends',))}: extends: give one file, or a ready configuration")
    base_path = ready_configs().get(parent, path.parent / parent)
    base, base_positions = _read(base_path, (*chain, path))
    return _merge(base, plain), {**base_positions, **positions}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _apply(setting: str, plain: dict[str, Any], positions: dict[Key, str]) -> None:
    """Sets one dotted key; its value is read as YAML."""
    dotted, equals, text = setting.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise TrainError(f"--set {setting}: not key=value; allowed: such as --set trl.learning_rate=1e-5")
    try:
        value = plain_yaml(f"value:\n  {text}", Path("--set"))[0]["value"]
    except ManifestError:
        raise TrainError(f"--set {setting}: the value is not valid YAML") from None
    at = plain
    for depth, key in enumerate(keys[:-1]):
        inner = at.setdefault(key, {})
        if not isinstance(inner, dict):
            raise TrainError(f"--set {setting}: {'.'.join(keys[: depth + 1])} is {_shown(inner)}; allowed: a mapping")
        at = inner
    at[keys[-1]] = value
    for known in [known for known in positions if known[: len(keys)] == tuple(keys)]:
        del positions[known]
    positions[tuple(keys)] = f"--set {setting}"


def _tuples(plain: Any, loc: Key = ()) -> Any:
    """Lists as tuples, which strict records take; TRL's and vLLM's arguments stay as they are."""
    if loc[-1:] in (("trl",), ("engine_args",)):
        return plain
    if isinstance(plain, list):
        return tuple(_tuples(item, (*loc, index)) for index, item in enumerate(plain))
    if isinstance(plain, dict):
        return {key: _tuples(value, (*loc, key)) for key, value in plain.items()}
    return plain


_TYPE_WORDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "too_short": "at least one",
}


def _problem(fault: dict[str, Any], model: type[BaseModel], positions: Mapping[Key, str], path: Path) -> str:
    loc = tuple(part for part in fault["loc"] if not str(part).startswith(("constrained-", "function-", "tuple[")))
    where, dotted = _place(positions, path, loc), ".".join(str(part) for part in loc) or "configuration"
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        allowed = _fields_at(model, loc[:-1])
        hint = did_you_mean(str(loc[-1]), allowed)
        if not hint and len(loc) == 1 and "trl" in allowed:
            hint = "; TRL's own arguments stand under `trl:`"
        return f"{where}: {dotted}: unknown key; allowed: {', '.join(allowed)}{hint}"
    if kind == "missing":
        return f"{where}: {dotted}: missing; it has no default"
    if kind in _TYPE_WORDS:
        return f"{where}: {dotted}: {_shown(given)}; allowed: {_TYPE_WORDS[kind]}"
    if kind == "literal_error":
        allowed = [word.strip("' ") for word in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"{where}: {dotted}: {_shown(given)}; allowed: {', '.join(allowed)}{did_you_mean(str(given), allowed)}"
    if kind == "value_error":
        return f"{where}: {dotted}: {fault['ctx']['error']}"
    return f"{where}: {dotted}: {_shown(given)}; allowed: {str(fault['msg']).removeprefix('Input should be ')}"


def _shown(given: object) -> str:
    if given is None:
        return "empty"
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], loc: Key) -> list[str]:
    at: Any = model
    named = False
    for part in loc:
        if named:  # a name of the user's, such as a benchmark's
            named = False
            continue
        field = at.model_fields.get(str(part))
        at = _model_in(field.annotation) if field else None
        if at is None:
            return []
        named = field is not None and get_origin(field.annotation) is Mapping
    return [*at.model_fields, *(["extends"] if not loc else [])]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)
