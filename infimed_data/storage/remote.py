"""Any other URL that fsspec opens (`s3://`, `gs://`, `https://`, `memory://` ...) as a place whose files are fetched.

fsspec does the fetching, with the credentials that each of its file systems finds by itself (environment variables and
configuration files). Files are kept under `--work` for the state that the listing shows; a stopped run goes on with the
files that are not there yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infimed_data.errors import InfimedError, SourceError, disk_error
from infimed_data.schema import Reject
from infimed_data.storage.listing import tidy_name
from infimed_data.storage.places import FetchingPlace
from infimed_data.storage.stages import atomic_write, key_of

__all__ = ["RemotePlace"]


class RemotePlace(FetchingPlace):
    """A folder or file behind a URL: all names are known from its listing, a file is fetched when its path is asked
    for. Equal listings (names, sizes, and what else the file system tells files apart by) share what was fetched."""

    def __init__(self, url: str, kept: Path) -> None:
        self.url = url
        self.fetched = set()
        with _remote_errors(url):
            import fsspec

            self._system, path = fsspec.core.url_to_fs(url)
            found: dict[str, Any] = self._listing(path)
        self.only = None
        if list(found) == [path]:
            folder, _, self.only = path.rpartition("/")
            found = {self.only: found[path]}
        else:
            folder = path.rstrip("/")
            found = {name.removeprefix(folder).lstrip("/"): about for name, about in found.items()}
        self._below = f"{folder}/" if folder else ""
        self._sizes = {name: about.get("size") for name, about in found.items() if _is_plain(name)}
        if not self._sizes:
            raise SourceError(f"{url}: no files there{_lists_nothing(url)}")
        self.listing = tuple(sorted(self._sizes))
        self.state = key_of(url, sorted((name, _state(self._system, found[name])) for name in self._sizes))
        self.root = kept / self.state

    def _listing(self, path: str) -> dict[str, Any]:
        about = self._system.info(path)
        if about.get("type") == "file":
            return {path: about}
        found: dict[str, Any] = self._system.find(path, detail=True)
        return found

    def path(self, name: str) -> Path:
        """The path of a file here, fetched if it is not there yet. Raises `SourceError`."""
        self.fetched.add(name)
        path = self.root / name
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(error, f"fetching {self.url}:") from error
            with atomic_write(path) as temporary, _remote_errors(f"{self.url}: {name}"):
                self._system.get_file(self._below + name, str(temporary))
                size, got = self._sizes.get(name), temporary.stat().st_size
                if size is not None and size != got:
                    raise OSError(f"{got:,} bytes came of {size:,}")
        return path


def _is_plain(name: str) -> bool:
    """Whether a listed name is that of a file below the folder that is not hidden."""
    try:
        tidy = tidy_name(name)
    except Reject:
        return False
    return tidy == name and not any(part.startswith(".") for part in name.split("/"))


def _state(system: Any, about: dict[str, Any]) -> str:
    """What tells one content of a file from another, as far as its file system says."""
    known = ("size", "ETag", "etag", "md5Hash", "md5", "checksum", "mtime", "LastModified", "last_modified", "updated",
             "created", "VersionId", "generation")  # fmt: skip
    return repr([(key, str(about[key])) for key in known if about.get(key) is not None])


def _lists_nothing(url: str) -> str:
    if url.startswith(("http://", "https://")):
        return "; a web server lists no folders: name one data file, zip or tar"
    return "; give a folder or file that has some"


@contextmanager
def _remote_errors(what: str) -> Iterator[None]:
    """Turns what a file system raises into one `SourceError` that says what to do; `what` was being worked on."""
    try:
        yield
    except InfimedError:
        raise
    except ImportError as error:
        named = re.search(r"[Ii]nstall (\w[\w-]*)", str(error))
        package = named[1] if named else error.name or "it"
        raise SourceError(
            f"{what}: this file system needs a package that is not there: pip install {package} ({_line(error)})"
        ) from error
    except FileNotFoundError as error:
        cause = error.__cause__
        if _unreached(cause) or getattr(cause, "status", 404) != 404:
            raise SourceError(f"{what}: {_cannot(cause)}") from error
        raise SourceError(f"{what}: no such file or folder (any more); look at what is there") from error
    except PermissionError as error:
        raise SourceError(
            f"{what}: refused ({_line(error)}); give the file system credentials that may read it, or use a local copy"
        ) from error
    except Exception as error:  # each file system has errors of its own
        text = _line(error)
        if "rotocol not known" in text:
            raise SourceError(f"{what}: no file system has that name; fsspec knows {_some_protocols()}") from error
        raise SourceError(f"{what}: {_cannot(error)}") from error


def _unreached(cause: BaseException | None) -> bool:
    """Whether a file was not found because its server was not."""
    return isinstance(cause, OSError | TimeoutError) and not isinstance(cause, FileNotFoundError)


def _cannot(error: BaseException | None) -> str:
    return (
        f"cannot read ({type(error).__name__}: {_line(error)}); check address, credentials and network, then run the "
        "same command again: what was fetched stays"
    )


def _some_protocols() -> str:
    from fsspec.registry import known_implementations

    return ", ".join(name for name in ("s3", "gs", "abfs", "https", "sftp", "hdfs") if name in known_implementations)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
