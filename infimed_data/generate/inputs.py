"""What is looked at before anything is asked: replayed files, marks of reviewers, and who may see which rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from infimed_data.errors import ManifestError, did_you_mean
from infimed_data.manifest import Generate, Manifest, Output
from infimed_data.rejection import Mark, read_marks
from infimed_data.storage.stages import Fingerprints, file_digest
from infimed_data.teachers import why_public

__all__ = ["TeacherMarks", "find_replays", "kept_private", "read_reviews", "refused_teachers"]

Where = Callable[..., str]
TeacherMarks = dict[str, dict[str, Mark]]
"""Pass to key of a candidate to what a reviewer said of it."""


def find_replays(
    manifest: Manifest, root: Path, fingerprints: Fingerprints, where: Where
) -> tuple[dict[str, tuple[Path, str]], list[str]]:
    """(file and content digest of each teacher that replays answers, one line a file that is not there)."""
    found: dict[str, tuple[Path, str]] = {}
    problems: list[str] = []
    for name, teacher in manifest.teachers.items():
        if teacher.backend != "replay" or teacher.file is None:
            continue
        path = root / teacher.file
        if not path.is_file():
            others = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            near = did_you_mean(path.name, others)
            place = where("teachers", name, "file")
            problems.append(f"{place}: teachers.{name}.file: no file {path} (relative to root){near}")
            continue
        found[name] = (path, _digest(path, fingerprints))
    return found, problems


def _digest(path: Path, fingerprints: Fingerprints) -> str:
    known = fingerprints.lookup(path)
    if known is not None:
        return known
    status, now = path.stat(), time.time_ns()
    digest = file_digest(path)
    fingerprints.remember(path, status, digest, read_at_ns=now)
    return digest


def read_reviews(manifest: Manifest, beside: Callable[..., Path], where: Where) -> TeacherMarks:
    """The marks of each pass that names a file of them; raises `ManifestError` for one that cannot be read."""
    found: TeacherMarks = {}
    for name, settings in manifest.generate.items():
        if settings.review is None:
            continue
        loc = ("generate", name, "review")
        file = beside(*loc) / settings.review
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ManifestError([f"{where(*loc)}: generate.{name}.review: cannot read {file}: {reason}"]) from None
        found[name] = read_marks(text, str(file))
    return found


def refused_teachers(manifest: Manifest, where: Where) -> list[str]:
    """One line a pass and teacher outside the private network that would be sent rows of sources that forbid it."""
    problems = []
    for loc, names, sources in _given(manifest):
        closed = [source for source in sources if not manifest.sources[source].may_be_sent]
        for name in names if closed else ():
            teacher = manifest.teachers[name]
            if teacher.backend != "openai" or teacher.base_url is None:
                continue
            why = why_public(teacher.base_url)
            if why is not None:
                problems.append(
                    f"{where(*loc)}: {'.'.join(loc)}: rows of {_named(manifest, closed)} may not be sent to "
                    f"teacher '{name}' at {teacher.base_url}: {why}; use a teacher in the private network, or leave "
                    "them out of the pass"
                )
    return problems


def _named(manifest: Manifest, closed: list[str]) -> str:
    given = ["send_to_api: false" if manifest.sources[s].send_to_api is False else "credentialed" for s in closed]
    return "source " + ", ".join(f"'{source}' ({why})" for source, why in zip(closed, given, strict=True))


def kept_private(manifest: Manifest) -> frozenset[str]:
    """Names of the teachers that are given rows which must not leave the private network."""
    return frozenset(
        name
        for _, names, sources in _given(manifest)
        for name in names
        if any(not manifest.sources[source].may_be_sent for source in sources)
    )


def _given(manifest: Manifest) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], list[str]]]:
    """(place in the manifest, teachers, sources whose rows they may be given) of every pass."""
    if manifest.difficulty is not None and manifest.outputs.rl is not None:
        names = (manifest.difficulty.teacher,)
        yield (
            ("difficulty", "teacher"),
            names,
            [s for s in manifest.sources if _takes(manifest, manifest.outputs.rl, s)],
        )
    for name, settings in manifest.generate.items():
        output = manifest.outputs.sft
        sources = [
            source
            for source in manifest.sources
            if output is not None and _takes(manifest, output, source) and _takes(manifest, settings, source)
        ]
        yield ("generate", name, "teacher"), settings.teachers, sources


def _takes(manifest: Manifest, taker: Output | Generate, source: str) -> bool:
    """Whether an output or a pass takes rows of a source, by its name and category."""
    categories = taker.categories
    by_name = taker.sources is None or source in taker.sources
    return by_name and (categories is None or manifest.sources[source].category in categories)
