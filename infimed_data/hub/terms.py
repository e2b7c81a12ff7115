"""What may not be published, and why: what the manifest says of a source, its license, and what the catalogue knows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from infimed_data.adapters.catalogue import DATA_SETS, DataSet
from infimed_data.manifest import Manifest, Source
from infimed_data.manifest.models import CREDENTIALED_ADAPTERS

__all__ = ["closed_sources"]

_CLOSED = re.compile(r"credential|physionet|(?:^|[-_ ])nd(?:$|[-_ ])|no.?deriv|no.?redistribut|proprietary|gated", re.I)
"""Licenses that keep rows from being published again, or changed and published."""
_NOT_STATED = re.compile(r"(?:not stated|of each part|unknown|none|n/?a|\?|unspecified)?", re.I)


def closed_sources(manifest: Manifest) -> dict[str, str]:
    """Why rows of a source may not be published, for each of which they may not. Not knowing is no permission."""
    reasons = {name: _reason(name, source) for name, source in manifest.sources.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason(name: str, source: Source) -> str | None:
    if source.redistribute is not None:
        return None if source.redistribute else "its manifest says redistribute: false"
    if source.adapter in CREDENTIALED_ADAPTERS:
        return "access to it is granted person by person"
    license = (source.license or "").strip()  # noqa: A001
    if _CLOSED.search(license):
        return f"its license is {license}"
    for title, entry in _sets_of(name, source).items():
        if not entry.redistribute:
            return f"{title}: {entry.license} does not let rows be published again"
    if _NOT_STATED.fullmatch(license):
        return "no license is known"
    return None


def _sets_of(name: str, source: Source) -> Mapping[str, DataSet]:
    """Data sets of the catalogue that a source may be: by its repository, else by its name, else by its settings."""
    entries = {entry.title: entry for entry in DATA_SETS.values() if entry.adapter == source.adapter}
    if by_place := {title: e for title, e in entries.items() if _repository(source.location, e)}:
        return by_place
    named = {e.title: e for known, e in DATA_SETS.items() if e.title in entries and name.startswith(known)}
    asked = {
        t: e for t, e in entries.items() if e.options and all(source.options.get(k) == v for k, v in e.options.items())
    }
    return named | asked


def _repository(location: str, entry: DataSet) -> bool:
    places = [place.strip() for place in entry.source.split(",")]
    return any(re.match(rf"hf://datasets/{re.escape(place)}(?:[@/]|$)", location, re.I) for place in places)
