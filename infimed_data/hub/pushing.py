"""Pushes a build: the repository holds exactly its files afterwards, in one commit, tagged with the build's digest.

What is there already is not sent again, whether it was committed or only uploaded before a push was stopped; a commit
happens whole or not at all, so no reader ever sees half a build.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from infimed_data.errors import HubError
from infimed_data.hub.files import Digests, checked_files, findings_left, ids_files, write_card
from infimed_data.hub.terms import closed_sources
from infimed_data.manifest import load_manifest, portable
from infimed_data.stats import open_build
from infimed_data.storage.hub import hub_errors

__all__ = ["push"]

Say = Callable[[str], None]

_THEIRS = (".gitattributes", "README.md")
"""What the Hub puts into a new repository."""


def push(build: Path, repo: str, say: Say, *, ids_only: bool = False, public: bool = False) -> str:
    """Publishes the build in the folder `build` as the data set `repo`; returns the address of what was pushed.

    Raises `HubError` in one line where terms forbid it, or the Hub does; `QueryError` where there is no build.
    """
    opened = open_build(build)
    lock, folder = opened.lock, opened.path
    manifest, _, _ = load_manifest(folder / "lock.json")
    closed = closed_sources(manifest)
    if closed and not ids_only:
        named = "; ".join(f"{name} ({reason})" for name, reason in closed.items())
        raise HubError(
            f"{folder}: not pushed, as these sources may not be published: {named}; push with --ids-only, leave them "
            "out, or set `redistribute: true` on a source that you may publish and build again"
        )
    published, put = portable(lock["manifest"])
    if put:
        say(f"push    lock.json: {', '.join(f'{theirs} for {ours}' for ours, theirs in put.items())}")
    if told := _told(published):
        say(f"warning: lock.json tells its readers of {', '.join(told)}")
    if left := findings_left(folder):
        say(f"warning: {left:,} findings that may point at a person are in rows that go out; look at the table phi")
    lock = {**lock, "manifest": published}
    files, digests = checked_files(folder, lock)
    with tempfile.TemporaryDirectory(prefix="infimed-push-") as scratch, hub_errors(repo):
        repository = _Repository.open(repo, public=public)
        if ids_only:
            files, digests = ids_files(folder, closed, Path(scratch)), {}
        files["lock.json"] = Path(scratch) / "lock.json"
        files["lock.json"].write_bytes(orjson.dumps(lock, option=orjson.OPT_INDENT_2))
        files["README.md"] = write_card(lock, repository.name, files, closed if ids_only else {}, Path(scratch))
        return repository.hold(files, digests, lock, say, ids_only=ids_only)


class _Repository:
    """A data set's repository on the Hub."""

    def __init__(self, api: Any, name: str, head: str) -> None:
        self._api, self.name, self._head = api, name, head

    @classmethod
    def open(cls, repo: str, *, public: bool) -> _Repository:
        """The repository, made if there is none. Raises `HubError` for one that others may read and should not."""
        from huggingface_hub import HfApi, get_token

        api = HfApi()
        if get_token() is None:
            raise HubError(f"{repo}: no token; set HF_TOKEN to one that may write, or run `hf auth login`")
        user = str(api.whoami()["name"])
        name = repo if "/" in repo else f"{user}/{repo}"
        info = _info(api, name)
        if info is None:
            _create(api, name, user, public=public)
            info = api.dataset_info(name)
        if not public and not info.private:
            raise HubError(f"{name}: everybody can read it; push with --public if that is meant, or to another name")
        if public and info.private:
            raise HubError(
                f"{name}: exists and is private; make it public in its settings if its whole history may be read, "
                "then push with --public"
            )
        return cls(api, name, str(info.sha))

    def hold(
        self, files: Mapping[str, Path], digests: Digests, lock: Mapping[str, Any], say: Say, *, ids_only: bool
    ) -> str:
        """Makes the repository's newest commit hold these files and no tables besides, and tags it."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        digest = str(lock["build"])
        there = self._tree(self._head)
        self._check_ours(there, lock, ids_only=ids_only)
        changed = [name for name, path in files.items() if not _same(there.get(name), path, digests.get(name))]
        stale = [
            name for name in there if (name.endswith(".parquet") or name.startswith("plots/")) and name not in files
        ]
        if changed or stale:
            size = sum(files[name].stat().st_size for name in changed)
            say(
                f"push    {self.name}: {len(changed)} files, {size:,} bytes"
                + (f"; {len(stale)} removed" if stale else "")
            )
            operations = [
                *(CommitOperationAdd(name, files[name]) for name in changed),
                *(CommitOperationDelete(name) for name in stale),
            ]
            with warnings.catch_warnings(action="ignore"):  # the Hub's remarks about the card's YAML
                commit = self._api.create_commit(
                    self.name, operations, commit_message=f"Build {digest}", repo_type="dataset",
                    parent_commit=self._head or None,
                )  # fmt: skip
            self._head = commit.oid
        tagged = self._tag(digest, files, digests, say)
        if not changed and not stale:
            say(f"push    {self.name}: " + (f"tagged {digest}" if tagged else "nothing changed"))
        return f"{self._api.endpoint}/datasets/{self.name}/tree/{digest}"

    def _tag(self, digest: str, files: Mapping[str, Path], digests: Digests, say: Say) -> bool:
        """Sees to it that the tag is on a commit with these files; returns whether it was not."""
        refs = self._api.list_repo_refs(self.name, repo_type="dataset")
        if any(tag.name == digest for tag in refs.tags):
            there = self._tree(digest)
            if all(_same(there.get(name), path, digests.get(name)) for name, path in files.items()):
                return False
            say(f"push    {self.name}: the tag {digest} was on other files; moved")
            self._api.delete_tag(self.name, tag=digest, repo_type="dataset")
        self._api.create_tag(self.name, tag=digest, revision=self._head, repo_type="dataset")
        return True

    def _tree(self, revision: str) -> dict[str, Any]:
        entries = self._api.list_repo_tree(self.name, recursive=True, revision=revision, repo_type="dataset")
        return {entry.path: entry for entry in entries if not hasattr(entry, "tree_id")}

    def _check_ours(self, there: Mapping[str, Any], lock: Mapping[str, Any], *, ids_only: bool) -> None:
        """Raises `HubError` where the repository holds something else, or holds rows where only ids may be."""
        if "lock.json" not in there:
            if others := sorted(set(there) - set(_THEIRS)):
                raise HubError(
                    f"{self.name}: the name is taken: it holds {others[0]} and no build's lock.json; choose another"
                )
            return
        theirs = Path(self._api.hf_hub_download(self.name, "lock.json", revision=self._head, repo_type="dataset"))
        try:
            name = orjson.loads(theirs.read_bytes())["name"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return  # ours, and damaged: the push mends it
        if name != lock["name"]:
            raise HubError(
                f"{self.name}: the name is taken: it holds builds of '{name}', not of '{lock['name']}'; choose another"
            )
        if ids_only != ("ids.parquet" in there):
            holds, wanted = ("whole rows", "ids") if ids_only else ("ids", "whole rows")
            raise HubError(f"{self.name}: its history holds {holds}; push {wanted} to a repository of their own")


def _told(plain: Mapping[str, Any]) -> list[str]:
    """Places of this machine and its network that a published manifest names all the same, as they count."""
    return [
        *(
            f"{section}.{name}: {reads['location']}"
            for section in ("sources", "benchmarks")
            for name, reads in plain[section].items()
            if "://" in reads["location"] and not reads["location"].startswith("hf://")
        ),
        *(f"teachers.{n}: {t['model']}" for n, t in plain["teachers"].items() if Path(t["model"]).is_absolute()),
    ]


def _info(api: Any, name: str) -> Any:
    """What the Hub says of a repository; None where it knows none, or shows none to this token."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.dataset_info(name)
    except RepositoryNotFoundError:
        return None


def _create(api: Any, name: str, user: str, *, public: bool) -> None:
    """Makes the repository. Raises `HubError` where it is there after all, or where `user` may not make it."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(name, repo_type="dataset", private=not public)
    except HfHubHTTPError as error:
        if error.response.status_code == 409:
            raise HubError(f"{name}: the name is taken by one that your token may not see; choose another") from error
        if error.response.status_code in (401, 403, 404):
            owner = name.partition("/")[0]
            raise HubError(f"{name}: {user} may not make it; use a token that may write to {owner}") from error
        raise


def _same(entry: Any, path: Path, digest: str | None) -> bool:
    """Whether a file in the repository has the bytes of `path`, whose SHA-256 may be known already."""
    if entry is None or entry.size != path.stat().st_size:
        return False
    with path.open("rb") as file:
        if entry.lfs is not None:
            return bool(entry.lfs.sha256 == (digest or hashlib.file_digest(file, "sha256").hexdigest()))
        content = file.read()
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
