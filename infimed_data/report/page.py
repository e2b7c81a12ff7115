"""One static HTML page of the pairs, for a person who decides which matches are real.

The page needs no network and no other file. A strict Content-Security-Policy admits its own style sheets and script by
their hashes and pictures as `data:`; whatever comes from data stands in text or in attributes, never in script or
style. Ids that have to come back as they are (pairs, uids) stand as JSON in ASCII, which no browser normalises.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from infimed_data.errors import QueryError, StorageError, disk_error
from infimed_data.report.choice import LeakedPair, choose_pairs
from infimed_data.report.pictures import Picture, find_pictures, style_of
from infimed_data.report.summary import Summary, review_of, summarise
from infimed_data.report.views import (
    action_in_words,
    as_json,
    benchmark_facts,
    name_of,
    names_of,
    pair_view,
    stratum_view,
)
from infimed_data.report.wording import GRADES_IN_WORDS, readable, wording
from infimed_data.stats import Build, shown
from infimed_data.stats.sql import asking, rows
from infimed_data.storage.stages import atomic_write

__all__ = ["MAX_PAIRS", "leaks_page", "write_leaks_page"]

MAX_PAIRS = 400
"""Pairs that a page shows unless it is asked for more or fewer."""
_FOLDER = Path(__file__).parent
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def write_leaks_page(build: Build, path: Path | None = None, *, max_pairs: int = MAX_PAIRS) -> Path:
    """The file that was written: `path`, or `NAME-DIGEST-leaks.html` in the folder `path` or the current one.

    Raises `QueryError` for a build that was compared with no benchmark, `StorageError` where it cannot be written.
    """
    file = path or Path()
    if file.is_dir():
        name = _NOT_IN_NAMES.sub("_", str(build.label).replace(" ", "-")).strip(".-")
        file = file / f"{name}-leaks.html"
    if file.resolve().is_relative_to(build.path.resolve()):
        raise QueryError(f"{shown(str(file))}: inside the build, which stays as it is; write the page somewhere else")
    if not file.parent.is_dir():
        raise StorageError(f"no folder {shown(str(file.parent))} for the page; make it, or give another --page")
    page = leaks_page(build, max_pairs=max_pairs)
    if file.exists() and not file.is_file():  # a device or a pipe must not be replaced
        try:
            file.write_bytes(page)
        except OSError as error:
            raise disk_error(error, f"writing {shown(str(file))}") from error
        return file
    with atomic_write(file) as temporary:
        temporary.write_bytes(page)
    return file


def leaks_page(build: Build, *, max_pairs: int = MAX_PAIRS) -> bytes:
    """The page as UTF-8, the same bytes for the same build and options."""
    summary = summarise(build)
    with asking(build) as connection:
        pairs = choose_pairs(connection, max_pairs)
        digests = [digest for pair in pairs for digest in _digests(pair)]
        pictures = find_pictures(connection, build, digests)
        review = review_of(connection, build)
        shown_pairs = {pair.leak["pair"] for pair in pairs}
        others = [pair for pair in review if pair not in shown_pairs]
        named = {row["pair"]: row for row in rows(connection, _NAMED, [others])}
    earlier = [
        {"mark": as_json({"pair": pair, **named.get(pair, {})}), "verdict": "right" if review[pair] else "wrong"}
        for pair in others
    ]
    return _render(build, summary, pairs, pictures, review, earlier).encode("utf-8")


_NAMED = """
    SELECT pair, min(grade) AS grade, min(uid) AS uid, min(benchmark_uid) AS benchmark_uid FROM leaks
    WHERE pair IN (SELECT unnest($1::VARCHAR[])) GROUP BY pair"""


def _digests(pair: LeakedPair) -> list[str]:
    """The two pictures that are shown of a pair."""
    ours = pair.leak["image"] or next(iter(pair.row.images if pair.row else ()), None)
    theirs = pair.leak["benchmark_image"] or next(iter(pair.benchmark_row.images if pair.benchmark_row else ()), None)
    return [digest for digest in (ours, theirs) if digest]


def _render(
    build: Build,
    summary: Summary,
    pairs: Sequence[LeakedPair],
    pictures: Mapping[str, Picture | str],
    review: Mapping[str, bool],
    earlier: Sequence[Mapping[str, str]],
) -> str:
    facets = {
        "grade": names_of((pair.grades for pair in pairs), tuple(GRADES_IN_WORDS)),
        "benchmark": names_of(pair.benchmarks for pair in pairs),
        "source": names_of(pair.sources for pair in pairs),
        "action": names_of(pair.actions for pair in pairs),
    }
    style, script = (_asset(name) for name in ("leaks.css", "leaks.js"))
    picture_style = style_of([picture for picture in pictures.values() if isinstance(picture, Picture)])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = lambda number: "–" if number is None else f"{number:,}"
    return environment.from_string(_asset("leaks.html.jinja")).render(
        label=readable(build.label),
        build_json=as_json({"label": build.label, "build": str(build.lock.get("build", build.path.name))}),
        policy=_policy([style, picture_style], script),
        style=Markup(style),
        picture_style=Markup(picture_style),
        script=Markup(script),
        summary=summary,
        strata=[stratum_view(row) for row in summary.strata],
        benchmarks=[benchmark_facts(row) for row in summary.benchmarks],
        grades=GRADES_IN_WORDS,
        facets=facets,
        grade_name=lambda grade: wording(grade).title,
        action_name=action_in_words,
        plain_name=name_of,
        pairs=[
            pair_view(number, pair, pictures, facets, review.get(pair.leak["pair"]))
            for number, pair in enumerate(pairs, 1)
        ],
        earlier=earlier,
    )


def _asset(name: str) -> str:
    """A file of this folder; line ends are those that an HTML parser makes of all, so that hashes hold."""
    return (_FOLDER / name).read_text("utf-8")


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
