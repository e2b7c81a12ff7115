"""The trainer's branch of the project's error tree. Every message is one line: given, allowed, where."""

from __future__ import annotations

from infimed_data.errors import InfimedError, StorageError, did_you_mean, disk_error

__all__ = ["InfimedError", "StorageError", "TrainError", "did_you_mean", "disk_error", "storage_error"]


class TrainError(InfimedError, ValueError):
    """A run that cannot be started or finished as asked."""


def storage_error(error: BaseException, doing: str) -> StorageError | None:
    """The one-line error for a failed write, by whatever library it was raised; None where it is something else."""
    import errno

    if isinstance(error, OSError) and error.errno is not None:
        return disk_error(error, doing)
    text = str(error)  # safetensors and torch wrap the system's error in their own words, or leave it out
    if "os error 28" in text:
        return disk_error(OSError(errno.ENOSPC, text), doing)
    if "os error" in text and type(error).__name__ == "SafetensorError":
        return StorageError(f"{text} while {doing}")
    if "inline_container.cc" in text or "PytorchStreamWriter" in text:  # torch.save: a write that came up short
        return disk_error(OSError(errno.ENOSPC, text), doing)
    return None
