"""The page: figures of every step, then groups of completions, each with its picture, prompt, reward and verdict.

A Content-Security-Policy admits its own styles and script by their hashes; what a model or a data set wrote stands in
text and attributes only, and characters that would not be seen are shown as what they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import jinja2
import orjson
from markupsafe import Markup

from infimed_train.completions.pictures import pictures_of
from infimed_train.completions.reading import read_completions
from infimed_train.config import Data, Reward
from infimed_train.errors import TrainError, storage_error
from infimed_train.rewards import Judge

__all__ = ["PAGE", "write_completions_page"]

PAGE = "completions.html"
MOST_CHARS = 20_000
"""Characters of a text that are shown."""
_FOLDER = Path(__file__).parent
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def write_completions_page(run: Path, page: Path | None = None, *, most: int = 1000) -> Path:
    """The file that the page was written to: `page`, or `completions.html` in the run's folder.

    Shows whole groups of about `most` completions together. Raises `TrainError` where `run` is no run of GRPO,
    `StorageError` where the file cannot be written; a file that stands there is replaced whole or not at all.
    """
    config, digest = _of_card(run)
    functions, weights = Judge(config[0], max_completion_tokens=None).functions()
    names = [function.__name__ for function in functions]
    steps, groups, count = read_completions(run, dict(zip(names, weights, strict=True)), most=most)
    pictures, missing = pictures_of(config[1], digest, {group.uid for group in groups})
    seen = {picture.number: picture.style for of_row in pictures.values() for picture in of_row if picture}
    style, picture_style = (_FOLDER / "page.css").read_text("utf-8"), "\n".join(seen.values())
    script = (_FOLDER / "page.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seen"] = _seen
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3g}".replace("-", "−")
    text = environment.get_template("page.html.jinja").render(
        run=str(run),
        policy=(
            f"default-src 'none'; img-src data:; style-src {_hash(style)} {_hash(picture_style)}; "
            f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        picture_style=Markup(picture_style),
        script=Markup(script),
        weights=[(name, weight) for name, weight in zip(names, weights, strict=True)],
        steps=steps,
        groups=groups,
        count=count,
        shown=sum(len(group.completions) for group in groups),
        pictures=pictures,
        missing=missing,
        shown_steps=sorted({group.step for group in groups}),
        sources=sorted({group.source for group in groups}),
        kinds=sorted({group.answer_kind for group in groups}),
    )
    target = page or run / PAGE
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.write_bytes(text.encode("utf-8"))
        partial.replace(target)
    except OSError as error:
        raise storage_error(error, f"writing {target}") or error from None
    return target


def _of_card(run: Path) -> tuple[tuple[Reward, Data], str]:
    """(the run's reward and data, digest of its rows) by its card."""
    file = run / "run.json"
    if not file.is_file():
        raise TrainError(f"{run}: not the folder of a run (no run.json); give the `output` of a GRPO")
    try:
        card = orjson.loads(file.read_bytes())
        if card["task"] != "grpo":
            raise TrainError(f"{run}: a run of {card['task']}; completions are dumped by GRPO only")
        config = card["config"]
        return (Reward.model_validate(config["reward"]), Data.model_validate(config["data"])), str(card["data"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, TrainError):
            raise
        raise TrainError(f"{file}: not a run's card ({' '.join(str(error).split())[:100]})") from None


def _seen(text: str) -> str:
    """The text with unseen characters named, its end left out where it is very long."""
    more = f" … {len(text) - MOST_CHARS:,} more characters" if len(text) > MOST_CHARS else ""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text[:MOST_CHARS]) + more


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
