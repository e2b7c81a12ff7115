"""One error tree. Every message is one line: what was given, what is allowed, where to look."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BudgetError",
    "BuildError",
    "HubError",
    "InfimedError",
    "ManifestError",
    "QueryError",
    "SourceError",
    "StorageError",
    "TeacherError",
    "VerifyError",
    "did_you_mean",
    "disk_error",
]


class InfimedError(Exception):
    """Something the user can mend; the command line prints the message and exits with 1."""


class ManifestError(InfimedError, ValueError):
    """A manifest that cannot be used. `problems` holds one line a problem, each with file and line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class SourceError(InfimedError, ValueError):
    """A source that is missing, damaged, or not laid out as its adapter expects."""


class StorageError(InfimedError, OSError):
    """A disk that is full, a folder that cannot be written, a file that went away."""


class BuildError(InfimedError, RuntimeError):
    """A build that must not be finished, such as one whose counts do not add up."""


class HubError(InfimedError, RuntimeError):
    """The Hub or the way to it: no access, nothing of that name, no room, no network, terms that forbid a push."""


class QueryError(InfimedError, ValueError):
    """SQL that is refused or wrong, or a uid that the build does not hold."""


class VerifyError(InfimedError, ValueError):
    """Labelled cases for the verifier that cannot be read, with file and line."""


class TeacherError(InfimedError, RuntimeError):
    """A teacher that cannot be asked: no key, no such model, nothing that listens. What was answered before is kept."""


class BudgetError(TeacherError):
    """A budget that is spent. Answers in flight were kept; the same command goes on from them."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or an empty string when nothing allowed is close to `given`."""
    close = get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def disk_error(error: OSError, doing: str) -> StorageError:
    """The `StorageError` for an `OSError`: one line with the cause, the place and the way on."""
    import errno

    if isinstance(error, StorageError):
        return error
    doing = f"{doing} {error.filename or ''}".rstrip(": ")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"disk full while {doing}: free space and run the same command again; it continues")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"not writable while {doing}: {error.strerror}; choose another folder or its owner")
    return StorageError(f"{error.strerror or error} while {doing}")
