"""Whether the process that measures a run still lives: a run under way must not be resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROC = Path("/proc")


def mark() -> dict[str, Any]:
    """This process, told apart from any other with its number: `pid`, `boot`, `started`.

    `boot` (random, new at each boot) and `started` (clock ticks after it) are None where there is
    no /proc.
    """
    return {"pid": os.getpid(), "boot": _boot(), "started": _started(os.getpid())}


def is_alive(marked: Mapping[str, Any]) -> bool:
    """Whether the process that `mark` described runs on this machine. False after a reboot."""
    pid = marked.get("pid")
    if not isinstance(pid, int) or pid <= 0 or marked.get("boot") != _boot():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    return _started(pid) == marked.get("started")


def _boot() -> str | None:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; the command in field 2 may hold blanks and brackets."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])
