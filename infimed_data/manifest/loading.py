"""Reads a manifest from YAML (or a build's lock), and names every fault with its file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import orjson
from pydantic import BaseModel, ValidationError

from infimed_data.errors import ManifestError, did_you_mean
from infimed_data.manifest.checks import cross_checks
from infimed_data.manifest.models import Manifest
from infimed_data.plain_yaml import MAX_BYTES, MAX_DEPTH, Positions, plain_yaml
from infimed_data.showing import holds_secret, shown

__all__ = ["Positions", "load_manifest", "place_of"]

MAX_LOCK_BYTES = 256 << 20
"""Size of a lock that is read, most of which is the counts of a large build."""
MAX_CHAIN = 16
"""Manifests that extend one another."""


def load_manifest(path: Path) -> tuple[Manifest, Path, Positions]:
    """(manifest, root folder, position of every key). Also takes a build's `lock.json`.

    Raises `ManifestError` with one line a problem: file, line, what was given, what is allowed.
    """
    plain, positions = _read(path, ())
    plain.pop("extends", None)
    try:
        manifest = Manifest.model_validate(_tuples(plain))
    except ValidationError as error:
        problems = [_problem(dict(fault), positions, path) for fault in error.errors()]
        raise ManifestError(dict.fromkeys(map(shown, problems))) from None
    problems = cross_checks(manifest, lambda *loc: place_of(positions, path, *loc))
    problems += [
        f"{place_of(positions, path, *loc)}: {'.'.join(map(str, loc))}: holds a key, a password or a signed address, "
        "which the build's lock would publish; allowed: the name of the variable that holds it (api_key_env, HF_TOKEN)"
        for loc in _secrets(plain, ())
    ]
    if problems:
        raise ManifestError(map(shown, problems))
    root = Path(manifest.root)
    return manifest, root if root.is_absolute() else (path.parent / root), positions


def place_of(positions: Positions, path: Path, *loc: str | int) -> str:
    """`file:line` of a key, or of the nearest key above it."""
    for length in range(len(loc), 0, -1):
        if loc[:length] in positions:
            file, line = positions[loc[:length]]
            return f"{file}:{line}"
    return f"{path}:1"


def _read(path: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], Positions]:
    """Plain data and positions of a manifest, with what it extends merged in below it."""
    if path.resolve() in [above.resolve() for above in chain]:
        raise ManifestError([f"{path}:1: extends: a circle: {' -> '.join(str(p) for p in (*chain, path))}"])
    if len(chain) >= MAX_CHAIN:
        raise ManifestError([f"{chain[-1]}:1: extends: a chain of {len(chain) + 1} manifests; allowed: {MAX_CHAIN}"])
    most = MAX_LOCK_BYTES if path.suffix == ".json" else MAX_BYTES
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ManifestError([f"{path}:1: more than {most:,} bytes; allowed: at most that, of a manifest or a lock"])
        text = data.decode("utf-8")
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ManifestError([f"{path}: no such manifest{did_you_mean(path.name, names)}"]) from None
    except IsADirectoryError:
        raise ManifestError([f"{path}: a folder; give a manifest file (YAML) or a build's lock.json"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError([f"{path}: cannot read: {error}"]) from None
    if path.suffix == ".json":
        return _from_lock(text, path)
    plain, positions = plain_yaml(text, path)
    parent = plain.get("extends")
    if parent is None:
        return plain, positions
    if not isinstance(parent, str):
        raise ManifestError([f"{place_of(positions, path, 'extends')}: extends: give the path of one manifest"])
    base_path = path.parent / parent
    base, base_positions = _read(base_path, (*chain, path))
    if "root" not in plain:
        plain["root"] = _rebased(base_path.parent / str(base.get("root", ".")), path.parent)
    return _merge(base, plain), {**base_positions, **positions}


def _rebased(target: Path, folder: Path) -> str:
    import os

    return str(target) if target.is_absolute() else os.path.relpath(target, folder)


def _from_lock(text: str, path: Path) -> tuple[dict[str, Any], Positions]:
    try:
        plain = dict(orjson.loads(text)["manifest"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ManifestError([f"{path}: not a build's lock.json"]) from None
    if _deeper(plain, MAX_DEPTH):
        raise ManifestError([f"{path}: its manifest is nested too deeply; allowed: {MAX_DEPTH} levels"])
    return plain, {}


def _deeper(plain: Any, levels: int) -> bool:
    """Whether mappings and lists lie inside one another over more than `levels` levels."""
    if not isinstance(plain, dict | list):
        return False
    within = plain.values() if isinstance(plain, dict) else plain
    return levels == 0 or any(_deeper(value, levels - 1) for value in within)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key; null removes a key; anything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        if value is None and key in merged and isinstance(merged[key], Mapping):
            del merged[key]
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _secrets(plain: Any, loc: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where a manifest holds what must not be published."""
    if isinstance(plain, str):
        if holds_secret(plain, address=loc[-1:] in (("location",), ("base_url",))):
            yield loc
        return
    if isinstance(plain, dict | list):
        for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
            yield from _secrets(value, (*loc, key))


def _tuples(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_tuples(item) for item in plain)
    if isinstance(plain, dict):
        return {key: _tuples(value) for key, value in plain.items()}
    return plain


_TYPE_WORDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "dict_type": "a mapping",
}


def _problem(fault: dict[str, Any], positions: Positions, path: Path) -> str:
    """One line for one fault that pydantic found."""
    loc = tuple(part for part in fault["loc"] if not _union_tag(part))
    where = place_of(positions, path, *loc)
    dotted = ".".join(str(part) for part in loc) or "manifest"
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        allowed = _fields_at(loc[:-1])
        return f"{where}: {dotted}: unknown key; allowed: {', '.join(allowed)}{did_you_mean(str(loc[-1]), allowed)}"
    if kind == "missing":
        return f"{where}: {dotted}: missing; it has no default"
    said = _shown(given)
    if kind in _TYPE_WORDS:
        return f"{where}: {dotted}: {said}; allowed: {_TYPE_WORDS[kind]}"
    if kind == "literal_error":
        allowed = [w.strip("' ") for w in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"{where}: {dotted}: {said}; allowed: {', '.join(allowed)}{did_you_mean(str(given), allowed)}"
    if kind == "value_error":
        return f"{where}: {dotted}: {fault['ctx']['error']}"
    message = str(fault["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{where}: {dotted}: {said}; allowed: {message}"


def _union_tag(part: object) -> bool:
    """Whether pydantic put this into a location to name a member of a union, or the key of a mapping."""
    return isinstance(part, str) and (
        part in ("Weight", "ByKind", "str", "int", "float", "constrained-int", "constrained-float", "[key]")
        or part.startswith(("tuple[", "function-", "nullable"))
    )


def _shown(given: object) -> str:
    if given is None:
        return "empty"
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(loc: tuple[str | int, ...]) -> list[str]:
    """Keys allowed in the mapping at `loc`."""
    model: Any = Manifest
    named = False
    for part in loc:
        if named:  # a name of the user's, such as a source's
            named = False
        elif isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = _model_in(field.annotation) if field else None
            named = field is not None and get_origin(field.annotation) is Mapping
    if isinstance(model, type) and issubclass(model, BaseModel):
        extra = ["extends"] if model is Manifest else []
        return [*model.model_fields, *extra]
    return []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
