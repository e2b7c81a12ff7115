"""A page as one HTML file that needs no network and no other file.

A strict Content-Security-Policy admits its own style sheets and script by their hashes and pictures as `data:`;
whatever comes from data stands in text or in attributes, never in script or style. Ids that have to come back as they
are stand as JSON in ASCII, which no browser normalises.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from infimed_data.errors import QueryError, StorageError, disk_error
from infimed_data.report.pictures import Picture, style_of
from infimed_data.report.views import as_json
from infimed_data.report.wording import readable
from infimed_data.stats import Build, shown
from infimed_data.storage.stages import atomic_write

__all__ = ["Facet", "rendered", "write_document"]

_FOLDER = Path(__file__).parent
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class Facet(NamedTuple):
    """A filter of a page."""

    name: str
    """Of the attribute that cards carry: `data-NAME`, numbers with spaces between."""
    label: str
    all: str
    """What it says where it admits everything."""
    options: Sequence[tuple[int, str]]
    """(number, words) of each value."""


def write_document(build: Build, path: Path | None, kind: str, page: Callable[[], bytes]) -> Path:
    """The file that `page` was written to: `path`, or `NAME-DIGEST-KIND.html` in the folder `path` or the current one.

    Raises `QueryError` for a place inside the build, `StorageError` where it cannot be written.
    """
    file = path or Path()
    if file.is_dir():
        name = _NOT_IN_NAMES.sub("_", str(build.label).replace(" ", "-")).strip(".-")
        file = file / f"{name}-{kind}.html"
    if file.resolve().is_relative_to(build.path.resolve()):
        raise QueryError(f"{shown(str(file))}: inside the build, which stays as it is; write the page somewhere else")
    if not file.parent.is_dir():
        raise StorageError(f"no folder {shown(str(file.parent))} for the page; make it, or give another --page")
    content = page()
    if file.exists() and not file.is_file():  # a device or a pipe must not be replaced
        try:
            file.write_bytes(content)
        except OSError as error:
            raise disk_error(error, f"writing {shown(str(file))}") from error
        return file
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)
    return file


def rendered(
    name: str, title: str, build: Build, pictures: Mapping[str, Picture | str], values: Mapping[str, Any]
) -> bytes:
    """The page of the template `NAME.html.jinja`, with its own style and script after those that all pages share."""
    style, script = _assets(("page.css", f"{name}.css")), _assets(("review.js", f"{name}.js"))
    picture_style = style_of([picture for picture in pictures.values() if isinstance(picture, Picture)])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}" if isinstance(number, int) else "–"
    text = environment.get_template(f"{name}.html.jinja").render(
        title=title,
        label=readable(build.label),
        build_json=as_json({"label": build.label, "build": str(build.lock.get("build", build.path.name))}),
        policy=_policy([style, picture_style], script),
        style=Markup(style),
        picture_style=Markup(picture_style),
        script=Markup(script),
        **values,
    )
    return text.encode("utf-8")


def _assets(names: Iterable[str]) -> str:
    """Files of this folder; line ends are those that an HTML parser makes of all, so that hashes hold."""
    return "".join((_FOLDER / name).read_text("utf-8") for name in names)


def _policy(styles: Sequence[str], script: str) -> str:
    """The Content-Security-Policy that admits these style sheets and this script, and no other."""
    hashed = " ".join(_hash(style) for style in styles)
    return (
        f"default-src 'none'; img-src data:; style-src {hashed}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
