"""What went wrong, as a cell status: no memory is `oom`, what cannot be done is `refused`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from runners.backends.base import BackendError

#: How PyTorch words a failed allocation on a CPU, which is a plain RuntimeError.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of a message: libraries write paragraphs, a row holds one sentence."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:limit]


def gigabytes(count: int) -> str:
    """Bytes for a message, in GB of 10^9."""
    return f"{count / 1e9:.1f} GB"


def require_memory(what: str, needed: int, available: int | None, device: object) -> None:
    """Raise BackendError `oom` where `needed` bytes are more than `available` (None: unknown).

    Asking first is kinder than trying: on Linux an overcommitted process is killed, not told.
    """
    if available is not None and needed > available:
        raise BackendError(
            "oom",
            f"{what} need {gigabytes(needed)}, {device} has {gigabytes(available)} free",
        )


@contextmanager
def typed_failures(what: str) -> Iterator[None]:
    """Turn a failed allocation inside the body into BackendError `oom`. Other errors pass."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise BackendError("oom", f"out of memory: {what}: {first_line(error)}") from error
    except RuntimeError as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise BackendError("oom", f"out of memory: {what}: {first_line(error)}") from error
        raise
