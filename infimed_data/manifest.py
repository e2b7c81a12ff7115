"""The manifest: what a user asks for, typed and frozen. `load_manifest` reads YAML and names every fault with its line.

A manifest's fields are the classes below; the meaning of each stands under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from infimed_data.errors import ManifestError, did_you_mean
from infimed_data.schema import ANSWER_KINDS, CATEGORIES, AnswerKind, Category

__all__ = [
    "BUDGET_FIELDS",
    "Dedup",
    "Filters",
    "Manifest",
    "Mixture",
    "Order",
    "Output",
    "Source",
    "Weight",
    "load_manifest",
]

BUDGET_FIELDS = (
    "source",
    "category",
    "split",
    "lang",
    "license",
    "answer_kind",
    "modality",
    "organ",
    "question_type",
    "task",
)
"""Fields that a stratum can be made of, besides `meta.NAME`."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Record):
    """One public data set at one revision."""

    adapter: str
    """Name of an adapter; `infimed-data adapters` lists them."""
    location: str
    """Folder, data file, or zip/tar archive, relative to the manifest's root."""
    split: str | tuple[str, ...] = "train"
    """Split or splits to read, by the adapter's names."""
    revision: str | None = None
    """Revision of the data set; recorded, and part of the lock."""
    category: Category
    license: str | None = None
    """SPDX identifier or the license's name."""
    group_key: str | None = None
    """Field of the source's own rows whose value becomes `group`, in place of the adapter's choice."""
    expect_rows: int | None = Field(default=None, gt=0)
    """Published number of rows over all splits; a difference of more than 1% warns."""
    allow_empty: bool = False
    """Go on when every row of this source is rejected."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the adapter; each adapter lists its own."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, as a tuple."""
        return (self.split,) if isinstance(self.split, str) else self.split


class Filters(_Record):
    """Limits of the filters; null turns one off."""

    min_image_side_px: int | None = Field(default=28, ge=1)
    """Shortest side; Qwen2.5-VL's patch is 28 pixels."""
    max_image_aspect: float | None = Field(default=200.0, gt=1)
    """Longer side over shorter side; over 200 the model's processor raises."""
    max_flat_share: float | None = Field(default=0.995, gt=0, le=1)
    """Share of the pixels with one luminance, from which on an image counts as blank."""
    min_contrast: float | None = Field(default=1.0, ge=0)
    """Standard deviation of the luminance (0 to 255), below which an image counts as blank."""
    min_question_chars: int | None = Field(default=1, ge=1)
    max_question_chars: int | None = Field(default=20_000, ge=1)
    """For a conversation: its user and system text together."""
    min_answer_chars: int | None = Field(default=1, ge=1)
    max_answer_chars: int | None = Field(default=20_000, ge=1)
    max_rationale_chars: int | None = Field(default=60_000, ge=1)
    duplicate_options: bool = True
    """Drop rows two of whose options are the same text."""
    special_tokens: bool = True
    """Drop rows whose text holds a literal `<image>`, `<|im_start|>` or the like."""
    missing_figure: bool = True
    """Drop rows without an image whose question points at a figure."""
    languages: tuple[str, ...] | None = None
    """Languages to keep, such as [en, zh]; null keeps all."""
    script_mismatch: bool = True
    """Drop rows whose script is not that of their language, such as Chinese text marked `en`."""


class Dedup(_Record):
    """Duplicate removal."""

    exact: bool = True
    """Drop all but one of the rows with the same question, options, answer and pixels."""
    prefer: tuple[str, ...] = ()
    """Sources whose copy is kept first; the rest follow in the manifest's order. Ties: the smallest uid."""


class Weight(_Record):
    """A budget that shares what the counts and shares leave of `total`."""

    weight: float = Field(gt=0)


Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Order(_Record):
    """Curriculum: rows in the order of a field; ties are shuffled, rows without a value come last."""

    by: str
    """`words`, `text_tokens`, `question_chars`, `answer_chars`, `rationale_chars`, `pass_rate`, or `meta.NAME`."""
    descending: bool = False


class Mixture(_Record):
    """Which rows an output draws. Without `total` and `budgets` it takes every eligible row."""

    total: int | None = Field(default=None, gt=0)
    """Rows of the output, over all strata."""
    strata: tuple[str, ...] = ("source",)
    """Fields whose values, joined by `/`, name a stratum."""
    budgets: Mapping[str, Count | Share | Weight] = Field(default_factory=dict)
    """By stratum: a whole number is a count; a number with a point is a share of `total` (without a total, of the
    stratum's own rows); `{weight: w}` shares what is left of `total`. Strata that are not named share the rest of
    `total` by their sizes, or give all they have where there is no total."""
    temperature: float = Field(default=1.0, ge=1)
    """Strata without a budget draw in proportion to size ** (1 / temperature): 1 keeps proportions, large evens out."""
    max_per_image: int | None = Field(default=None, ge=1)
    max_per_group: int | None = Field(default=None, ge=1)
    order: Order | None = None
    """None: shuffled by the seed."""

    @field_validator("strata")
    @classmethod
    def _known_strata(cls, strata: tuple[str, ...]) -> tuple[str, ...]:
        for name in strata:
            if name not in BUDGET_FIELDS and not name.startswith("meta."):
                raise ValueError(
                    f"{name!r}; allowed: {', '.join(BUDGET_FIELDS)}, meta.NAME{did_you_mean(name, BUDGET_FIELDS)}"
                )
        if not strata:
            raise ValueError("empty; name at least one field")
        return strata


class Output(_Record):
    """One dataset of the build."""

    sources: tuple[str, ...] | None = None
    """Sources to draw from; null: all."""
    categories: tuple[Category, ...] | None = None
    answer_kinds: tuple[AnswerKind, ...] | None = None
    """Kinds to draw from; null: all (`sft`) or all that a rule can verify (`rl`)."""
    mixture: Mixture = Field(default_factory=lambda: Mixture())
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the rows that go to the validation split, whole groups (image, patient, figure) at a time. Rows that one
    output puts aside are never training rows of another that has a validation split too, even beyond its share."""
    system: str | None = None
    """System message of every prompt."""
    instruction: str | None = None
    """Text put after the question, such as how to write the answer."""
    reasoning: bool = True
    """Whether a completion shows the source's rationale in `<think>` before its `<answer>`; only for `sft`."""
    answer_tags: bool = True
    """Whether the answer of a verifiable row stands in `<answer>` tags in a completion; only for `sft`."""
    max_pixels: int | None = Field(default=None, ge=28 * 28)
    """Images with more pixels are scaled down; null passes every image through unchanged."""
    window_deep_images: bool = True
    """Scale 16-bit and float images to 8 bits by their own range; passed through, trainers would clip them to white."""


class Outputs(_Record):
    """The outputs of a build; at least one."""

    sft: Output | None = None
    rl: Output | None = None

    def items(self) -> list[tuple[Literal["sft", "rl"], Output]]:
        """(name, output) of those that are asked for."""
        found: list[tuple[Literal["sft", "rl"], Output]] = []
        if self.sft is not None:
            found.append(("sft", self.sft))
        if self.rl is not None:
            found.append(("rl", self.rl))
        return found


class Limits(_Record):
    """What a hostile or damaged file may cost at most."""

    max_image_bytes: int = Field(default=256 << 20, ge=1)
    """Encoded size."""
    max_image_pixels: int = Field(default=100_000_000, ge=1)
    """Width times height, read from the header before anything is decoded."""


class Manifest(_Record):
    """A whole manifest, after `extends` has been applied."""

    name: str = Field(pattern=_NAME)
    """Name of the dataset; the folder of its builds."""
    seed: int = 0
    """Seeds every draw and shuffle."""
    root: str = "."
    """Folder that locations are relative to, itself relative to the manifest's folder."""
    sources: Mapping[str, Source] = Field(min_length=1)
    filters: Filters = Field(default_factory=lambda: Filters())
    dedup: Dedup = Field(default_factory=lambda: Dedup())
    outputs: Outputs
    limits: Limits = Field(default_factory=lambda: Limits())

    @field_validator("sources")
    @classmethod
    def _names(cls, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        import re

        for name in sources:
            if not re.match(_NAME, name):
                raise ValueError(f"{name!r}; allowed: letters, digits and _ . + - (it is the first part of a uid)")
        return sources

    @field_validator("outputs")
    @classmethod
    def _some_output(cls, outputs: Outputs) -> Outputs:
        if not outputs.items():
            raise ValueError("none; ask for `sft`, `rl` or both")
        return outputs

    def resolved(self) -> dict[str, Any]:
        """The manifest as plain data without its root: what the lock records and the build's digest covers."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain.pop("root")
        return plain


Positions = dict[tuple[str | int, ...], tuple[Path, int]]


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
        raise ManifestError(dict.fromkeys(problems)) from None
    problems = _cross_checks(manifest, positions, path)
    if problems:
        raise ManifestError(problems)
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
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ManifestError([f"{path}: no such manifest{did_you_mean(path.name, names)}"]) from None
    except IsADirectoryError:
        raise ManifestError([f"{path}: a folder; give a manifest file (YAML) or a build's lock.json"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError([f"{path}: cannot read: {error}"]) from None
    if path.suffix == ".json":
        return _from_lock(text, path)
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestError([f"{path}:{line}: not valid YAML: {error.problem or error.context}"]) from None
    except (YAMLError, ValueError) as error:
        raise ManifestError([f"{path}:1: not valid YAML: {error}"]) from None
    if not isinstance(document, CommentedMap):
        raise ManifestError([f"{path}:1: a manifest is a mapping; allowed keys: {', '.join(Manifest.model_fields)}"])
    positions: Positions = {}
    plain = _plain(document, (), path, positions)
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
        lock = orjson.loads(text)
        return dict(lock["manifest"]), {}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ManifestError([f"{path}: not a build's lock.json"]) from None


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


def _plain(node: Any, loc: tuple[str | int, ...], path: Path, positions: Positions) -> Any:
    """A YAML node as plain data, with the line of every key and item noted."""
    if isinstance(node, CommentedMap):
        plain: dict[str, Any] = {}
        for key, value in node.items():
            here = (*loc, str(key))
            positions[here] = (path, node.lc.key(key)[0] + 1)
            plain[str(key)] = _plain(value, here, path, positions)
        return plain
    if isinstance(node, CommentedSeq):
        items = []
        for index, value in enumerate(node):
            positions[(*loc, index)] = (path, node.lc.item(index)[0] + 1)
            items.append(_plain(value, (*loc, index), path, positions))
        return items
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


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
    shown = _shown(given)
    if kind in _TYPE_WORDS:
        return f"{where}: {dotted}: {shown}; allowed: {_TYPE_WORDS[kind]}"
    if kind == "literal_error":
        allowed = [w.strip("' ") for w in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"{where}: {dotted}: {shown}; allowed: {', '.join(allowed)}{did_you_mean(str(given), allowed)}"
    if kind == "value_error":
        return f"{where}: {dotted}: {fault['ctx']['error']}"
    message = str(fault["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{where}: {dotted}: {shown}; allowed: {message}"


def _union_tag(part: object) -> bool:
    """Whether pydantic put this into a location to name a member of a union."""
    return isinstance(part, str) and (
        part in ("Weight", "str", "int", "float", "constrained-int", "constrained-float")
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


def _cross_checks(manifest: Manifest, positions: Positions, path: Path) -> list[str]:
    """Problems between fields: names of sources that are not there, strata that cannot be."""
    problems = []

    def known(names: tuple[str, ...] | None, *loc: str) -> None:
        for index, name in enumerate(names or ()):
            if name not in manifest.sources:
                where = place_of(positions, path, *loc, index)
                problems.append(
                    f"{where}: {'.'.join(loc)}: no source {name!r}; allowed: {', '.join(manifest.sources)}"
                    f"{did_you_mean(name, manifest.sources)}"
                )

    known(manifest.dedup.prefer, "dedup", "prefer")
    for name, output in manifest.outputs.items():
        known(output.sources, "outputs", name, "sources")
        mixture = output.mixture
        allowed: tuple[str, ...] | None = None
        if mixture.strata == ("source",):
            allowed = tuple(manifest.sources)
        elif mixture.strata == ("category",):
            allowed = CATEGORIES
        elif mixture.strata == ("answer_kind",):
            allowed = ANSWER_KINDS
        for stratum, budget in mixture.budgets.items():
            loc = ("outputs", name, "mixture", "budgets", stratum)
            where = place_of(positions, path, *loc)
            if allowed is not None and stratum not in allowed:
                problems.append(
                    f"{where}: {'.'.join(loc)}: no such {mixture.strata[0]}; allowed: {', '.join(allowed)}"
                    f"{did_you_mean(stratum, allowed)}"
                )
            if isinstance(budget, Weight) and mixture.total is None:
                problems.append(
                    f"{where}: {'.'.join(loc)}: a weight shares `total`, which is not set; set mixture.total"
                )
        shares = sum(b for b in mixture.budgets.values() if isinstance(b, float))
        if mixture.total is not None and shares > 1 + 1e-9:
            where = place_of(positions, path, "outputs", name, "mixture", "budgets")
            problems.append(
                f"{where}: outputs.{name}.mixture.budgets: shares add up to {shares:g}; allowed: at most 1.0"
            )
    return problems
