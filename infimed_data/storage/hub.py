"""Data sets on the Hub: `hf://datasets/OWNER/NAME@REVISION/PATH` as a place whose files are fetched when opened.

huggingface_hub does the fetching, into its own cache: a broken connection goes on within a file, and a stopped run goes
on with the files that are not there yet. `HF_TOKEN`, `HF_HOME` and `HF_ENDPOINT` mean what they mean there. It is
imported when a location needs it, not before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from infimed_data.errors import HubError, InfimedError, SourceError
from infimed_data.showing import safe
from infimed_data.storage.places import FetchingPlace, Place

__all__ = ["FetchedPlace", "HubLocation", "HubPlace", "hub_errors", "is_remote"]

ALLOWED = "a local folder or file, hf://datasets/OWNER/NAME@REVISION/PATH, or a URL that fsspec opens (s3://, https://)"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_QUOTA = re.compile(r"quota|storage|limit|exceed|payment|too large", re.IGNORECASE)


def is_remote(location: str) -> bool:
    """Whether a location is a URL rather than a path."""
    return "://" in location


@dataclass(frozen=True)
class HubLocation:
    """A data set on the Hub, or a folder or file of it."""

    repo: str
    """`owner/name`."""
    revision: str | None = None
    """Branch, tag or commit; None: `main`."""
    path: str = ""
    """Folder or file inside; empty: all of it."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://datasets/{self.repo}{revision}" + (f"/{self.path}" if self.path else "")

    @classmethod
    def parse(cls, text: str, *, revision: str | None = None) -> HubLocation:
        """The parts of a location; `revision` is for one that names none. Raises `SourceError`."""
        from huggingface_hub import parse_hf_uri
        from huggingface_hub.errors import HfUriError

        try:
            uri = parse_hf_uri(text)
        except HfUriError as error:
            raise SourceError(f"{text}: {_one_line(error)}; allowed: {ALLOWED}") from None
        if uri.type != "dataset":
            raise SourceError(f"{text}: a {uri.type}, not a data set; allowed: {ALLOWED}")
        path = uri.path_in_repo.strip("/")
        if ".." in PurePosixPath(path).parts:
            raise SourceError(f"{text}: climbs out of the data set; allowed: {ALLOWED}")
        if revision is not None and uri.revision not in (None, revision):
            raise SourceError(f"{text}: `revision: {revision}` says otherwise; give one of the two")
        return cls(uri.id, uri.revision or revision, path)

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never moves."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    @property
    def moves(self) -> bool:
        """Whether no revision is named, or the branch that everybody pushes to."""
        return self.revision in (None, "main")

    def resolved(self) -> HubLocation:
        """The same with the commit that its revision is now; asks the Hub unless it is one already."""
        if self.pinned:
            return self
        from httpx import NetworkError, TimeoutException
        from huggingface_hub import HfApi
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            with hub_errors(str(self)):
                info = HfApi().dataset_info(self.repo, revision=self.revision)
        except HubError as error:
            if isinstance(error.__cause__, NetworkError | TimeoutException | OfflineModeIsEnabled):
                raise HubError(f"{error}; with a commit after the @, what was fetched before is enough") from None
            raise
        if not info.sha:
            raise HubError(f"{self}: the Hub names no commit of it; give the commit after the @")
        return replace(self, revision=info.sha)


class HubPlace(FetchingPlace):
    """A data set at a commit: all names are known from its listing, a file is fetched when its path is asked for."""

    def __init__(self, location: HubLocation) -> None:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.file_download import repo_folder_name

        assert location.pinned, location
        self.location = location
        self.fetched = set()
        api, commit = HfApi(), location.revision
        folder, only = location.path, None
        with hub_errors(str(location)):
            if location.path:
                found = api.get_paths_info(location.repo, [location.path], revision=commit, repo_type="dataset")
                if not found:
                    raise HubError(f"{location}: no such file or folder in it; look at its files on the Hub")
                if not hasattr(found[0], "tree_id"):
                    folder, _, only = location.path.rpartition("/")
            tree = list(
                api.list_repo_tree(location.repo, folder or None, recursive=True, revision=commit, repo_type="dataset")
            )
        self._below = f"{folder}/" if folder else ""
        names = [entry.path.removeprefix(self._below) for entry in tree if not hasattr(entry, "tree_id")]
        self.listing = tuple(sorted(name for name in names if all(p and p[0] != "." for p in name.split("/"))))
        cache = Path(constants.HF_HUB_CACHE)
        snapshots = cache / repo_folder_name(repo_id=location.repo, repo_type="dataset") / "snapshots"
        self.root = snapshots / str(commit) / folder
        self.only = only

    def path(self, name: str) -> Path:
        """The path of a file in the cache, fetched if it is not there. Raises `HubError`."""
        self.fetched.add(name)
        return fetch(self.location, self._below + name)


class FetchedPlace(Place):
    """A data set of the Hub whose files are in its cache. Which names it has was written down when they were fetched:
    what else lies in the cache changes nothing."""

    def __init__(self, root: Path, only: str | None, record: Path, cache: Path) -> None:
        self.root, self.only, self._record, self._cache = root, only, record, cache

    def __reduce__(self) -> tuple[object, ...]:
        return FetchedPlace, (self.root, self.only, self._record, self._cache), {"limits": self.limits}

    @cached_property
    def _allowed_root(self) -> Path:
        # The cache links from snapshots to a repository's blobs, and from there to blobs that repositories share.
        return self._cache.resolve()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in the data set at that commit, without archives that nothing was read from."""
        return tuple(orjson.loads(self._record.read_bytes())["names"])


def fetch(location: HubLocation, name: str) -> Path:
    """Path in the cache of one file of a data set at a commit; `name` is its full name there. Raises `HubError`."""
    from huggingface_hub import hf_hub_download

    with hub_errors(f"{replace(location, path='')}/{name}"):
        return Path(hf_hub_download(location.repo, name, revision=location.revision, repo_type="dataset"))


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into one `HubError`, which says what to do; `what` was being worked on."""
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except InfimedError:
        raise
    except (HFValidationError, HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError, ValueError, RuntimeError) as e:
        raise HubError(f"{what}: {_advice(e)}") from e


def _advice(error: BaseException) -> str:
    """What went wrong and the way on. Causes count: the outermost error may only say that a file was not found."""
    from httpx import HTTPError
    from huggingface_hub import constants
    from huggingface_hub import errors as hub

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    answered = next((e for e in chain if isinstance(e, hub.HfHubHTTPError)), None)
    if answered is not None:
        return _answered(answered)
    if any(isinstance(e, hub.OfflineModeIsEnabled) for e in chain):
        return "HF_HUB_OFFLINE is set and the cache has not all of it; unset it and run the same command again"
    if any(isinstance(e, hub.LocalTokenNotFoundError) for e in chain):
        return f"no token; {_LOG_IN}"
    if any(isinstance(e, HTTPError) for e in chain):
        return (
            f"cannot reach {constants.ENDPOINT} ({_one_line(chain[-1])}); check the network and HF_ENDPOINT, then run "
            "the same command again: it goes on where it stopped"
        )
    if isinstance(error, hub.HFValidationError):
        return f"not a name the Hub allows ({_one_line(error)}); allowed: OWNER/NAME"
    text = _one_line(error)
    return f"{text}; {_SPACE}" if _QUOTA.search(text) else f"{text}; run the same command again"


_LOG_IN = "set HF_TOKEN, or run `hf auth login`"
_SPACE = "make room or raise the quota of the account, then run the same command again: it goes on where it stopped"


def _answered(error: Any) -> str:
    """What an HTTP error of the Hub means."""
    from huggingface_hub import constants, get_token
    from huggingface_hub import errors as hub

    status = error.response.status_code
    said = _one_line(error.server_message or error.response.headers.get("X-Error-Message") or f"HTTP {status}")
    token = get_token()
    if "invalid credentials" in said.lower() or "invalid user token" in said.lower() or "invalid user token" in str(
        error
    ).lower():  # fmt: skip
        return f"the token is wrong, expired or revoked; make a new one and {_LOG_IN}"
    if isinstance(error, hub.GatedRepoError):
        whose = "the account of your token" if token else "an account"
        return f"gated: ask for access on its page with {whose}, then " + (
            "run the same command again" if token else _LOG_IN
        )
    if isinstance(error, hub.DisabledRepoError):
        return "disabled by the Hub; use a local copy"
    if isinstance(error, hub.RevisionNotFoundError):
        return "no such revision (any more); give a commit, tag or branch that its page lists, or use a local copy"
    if isinstance(error, hub.EntryNotFoundError):
        return "no such file (any more) at that revision; look at its files on the Hub"
    if isinstance(error, hub.RepositoryNotFoundError):
        seen = "your token may not see it" if token else f"it is private: {_LOG_IN}"
        return f"no such data set on {constants.ENDPOINT}, or {seen}"
    if status == 401:
        return f"the token is wrong, expired or revoked ({said}); make a new one and {_LOG_IN}"
    if status in (402, 413, 507) or (status == 403 and _QUOTA.search(said)):
        return f"quota: {said}; {_SPACE}"
    if status == 403:
        return f"refused ({said}); it needs a token that may do this: {_LOG_IN}"
    if status == 409:
        return f"conflict ({said}); somebody may have changed it meanwhile: run the same command again"
    if status == 412:
        return "somebody pushed to it meanwhile; run the same command again"
    if status == 429:
        return f"asked too often ({said}); wait some minutes and run the same command again"
    if status >= 500:
        return f"{constants.ENDPOINT} fails ({said}); run the same command again later: it goes on where it stopped"
    return f"refused: {said}"


def _one_line(error: object) -> str:
    """The message without line breaks, request ids, keys and URLs' queries."""
    text = safe(" ".join(str(error).split())) or type(error).__name__
    return re.sub(r"\s*\(?Request ID: [^);]*\)?;?", "", text)[:300].rstrip(". ")
