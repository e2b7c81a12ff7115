"""Fetches of a data set on the Hub, or at another URL, what its adapter names and nothing else: tables, files beside
them, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from infimed_data.adapters.contract import Adapter, Context
from infimed_data.errors import SourceError, disk_error
from infimed_data.manifest import Reads
from infimed_data.schema import Reject, why_absent
from infimed_data.storage.hub import FetchedPlace, HubLocation, HubPlace, fetch
from infimed_data.storage.limits import ReadLimits
from infimed_data.storage.places import ARCHIVES, IMAGE_ENDINGS, FetchingPlace, Place
from infimed_data.storage.remote import RemotePlace
from infimed_data.storage.stages import atomic_write, code_digest, key_of
from infimed_data.storage.tables import TableRow, plan_shards, read_rows

__all__ = ["Found", "find"]


class Found(NamedTuple):
    """Where a source's files are on this machine."""

    place: Place
    commit: str | None = None
    """The commit that was read, of a data set on the Hub."""
    copy: Path | None = None
    """The folder that was read in place of a data set on the Hub."""


def find(
    spec: Reads,
    adapter: Adapter,
    options: Any,
    root: Path,
    work: Path,
    *,
    commit: str | None,
    limits: ReadLimits,
    copies: Path | None = None,
) -> Found:
    """The place of a source, read within `limits`. A data set on the Hub is fetched, at `commit` where a lock names
    one; a copy of it in `copies/OWNER/NAME` is read in its place. What another URL has is fetched too.

    Raises `SourceError` or `HubError`.
    """
    if "://" not in spec.location:
        location = Path(spec.location)
        found = Found(Place(location if location.is_absolute() else root / location))
    elif not spec.location.startswith("hf://"):
        found = Found(_fetched_url(spec, adapter, options, work, limits))
    else:
        found = _on_the_hub(spec, adapter, options, work, commit, limits, copies)
    found.place.limits = limits
    return found


def _on_the_hub(
    spec: Reads, adapter: Adapter, options: Any, work: Path, commit: str | None, limits: ReadLimits, copies: Path | None
) -> Found:
    asked = HubLocation.parse(spec.location, revision=spec.revision)
    if copies is not None and (copies / asked.repo).is_dir():
        pinned = commit or (asked.revision if asked.pinned else None)
        return Found(Place(copies / asked.repo / asked.path), pinned, copies / asked.repo)
    located = replace(asked, revision=commit) if commit else asked.resolved()
    record = _record("hub", str(located), spec, adapter, work)
    known = _known(record, _cache())
    if known is None:
        known = _remember(record, _fetch(HubPlace(located), str(located), adapter, options, spec.splits, limits), work)
    place = FetchedPlace(Path(known["root"]), known["only"], record, _cache())
    folder = located.path.rpartition("/")[0] if known["only"] else located.path
    below = f"{folder}/" if folder else ""
    for name in known["fetched"]:  # somebody may have emptied the cache
        if not (place.root / name).exists():
            fetch(located, below + name)
    return Found(place, located.revision)


def _fetched_url(spec: Reads, adapter: Adapter, options: Any, work: Path, limits: ReadLimits) -> Place:
    """The place of what a URL has now; its listing is asked for each time."""
    kept = work.absolute() / "remote"
    place = RemotePlace(spec.location, kept)
    record = _record("remote", f"{spec.location} {place.state}", spec, adapter, work)
    known = _known(record, kept)
    if known is None:
        known = _remember(record, _fetch(place, spec.location, adapter, options, spec.splits, limits), work)
    place.fetch(known["fetched"])  # somebody may have removed some
    return FetchedPlace(Path(known["root"]), known["only"], record, kept)


def _record(section: str, located: str, spec: Reads, adapter: Adapter, work: Path) -> Path:
    """File of what was found out and fetched of a location."""
    code = code_digest(
        "fetching.py", "storage", "adapters/contract.py", "adapters/reading.py", f"adapters/{spec.adapter}.py",
        *adapter.code,
    )  # fmt: skip
    key = key_of(located, spec.adapter, dict(spec.options), spec.splits, code)
    return work.absolute() / section / f"{key}.json"


def _remember(record: Path, known: dict[str, Any], work: Path) -> dict[str, Any]:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(record) as temporary:
            temporary.write_bytes(orjson.dumps(known))
    except OSError as error:
        raise disk_error(error, f"preparing --work {work}:") from error
    return known


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).absolute()


def _known(record: Path, cache: Path) -> dict[str, Any] | None:
    """What was found out and fetched before, if that was into the cache that is in use."""
    try:
        known: dict[str, Any] = orjson.loads(record.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return known if Path(known["root"]).is_relative_to(cache) else None


def _fetch(
    place: FetchingPlace,
    location: str,
    adapter: Adapter,
    options: Any,
    splits: tuple[str, ...],
    limits: ReadLimits,
) -> dict[str, Any]:
    """Fetches what rows of the splits need; returns names, and where they are."""
    place.limits = limits
    try:
        for split in splits:
            context = Context(place, split, options)
            files = adapter.tables(context)
            place.fetch(name.partition("!")[0] for name in (*(file.name for file in files), *adapter.beside(context)))
            if any(name.lower().endswith((*IMAGE_ENDINGS, *ARCHIVES)) for name in place.listing):
                context = Context(place, split, options, adapter.evidence(files, context))
                place.fetch(_images(adapter, context, files))
    except SourceError as error:
        raise SourceError(str(error).replace(str(place.root), location)) from error
    # Archives that nothing was read from are not here: their members are no pictures of this source.
    names = [name for name in place.listing if not name.endswith(ARCHIVES) or name in place.fetched]
    return {
        "location": location,
        "root": str(place.root.absolute()),
        "only": place.only,
        "names": names,
        "fetched": sorted(place.fetched),
    }


def _images(adapter: Adapter, context: Context, files: list[Any]) -> Iterator[str]:
    """Files with the pictures that rows name. Looking a name up fetches every archive; with no loose pictures beside
    them, the first row that looks one up has said it all."""
    loose = any(name.lower().endswith(IMAGE_ENDINGS) for name in context.place.names)
    for file in files:
        for shard in plan_shards(context.place, file):
            for row in read_rows(context.place, shard):
                if not isinstance(row, TableRow):
                    continue
                try:
                    sample = adapter.sample(row, context)
                except Reject:
                    sample = None
                for ref in sample.images if sample else ():
                    if why_absent(ref) is None:
                        yield ref.partition("!")[0].partition("#")[0]
                if not loose and "images" in context.__dict__:
                    return
