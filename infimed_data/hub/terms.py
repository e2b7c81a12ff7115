"""What may not be published, and why: what the manifest says of a source, its license, and what the catalogue knows."""

from __future__ import annotations

import re

from infimed_data.adapters.catalogue import data_sets_like
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
    for title, entry in data_sets_like(name, source.adapter, source.location, source.options).items():
        if entry.redistribute is False:
            return f"{title}: {entry.license} does not let rows be published again"
        if entry.redistribute is None:
            return f"{title}: nobody says whether its rows may be published again (license: {entry.license})"
    if _NOT_STATED.fullmatch(license):
        return "no license is known"
    return None
