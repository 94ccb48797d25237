"""How much memory there is, and how much a process has used at most.

On a GPU the peak is PyTorch's own (`torch.cuda.max_memory_allocated`): tensors, without the CUDA
context and without what the caching allocator keeps in reserve. On a CPU it is the largest resident
set of the process (`VmHWM` of /proc/self/status), libraries included. Writing 5 to
/proc/self/clear_refs sets VmHWM back to the present size (proc(5)); where that is not permitted the
peak is that of the whole life of the process, and `PeakMemory.method` says so.
"""

from __future__ import annotations

import resource
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_CGROUP = Path("/sys/fs/cgroup")


def _status_bytes(field: str, status: Path = _STATUS) -> int | None:
    """A `Vm…` field of a /proc status file in bytes; None where there is none."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def resident_bytes() -> int | None:
    """Present resident set of this process in bytes; None where the system does not tell."""
    return _status_bytes("VmRSS")


def _cgroup_free(root: Path) -> int | None:
    """Bytes left under the memory limit of a version-2 control group; None without a limit.

    Reclaimable file cache (`inactive_file`) counts as free, as it does in MemAvailable.
    """
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        stat = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(int(limit) - used + int(stat.get("inactive_file", 0)), 0)


def available_bytes(device: torch.device) -> int | None:
    """Memory that a new allocation on `device` can use, in bytes; None where nothing tells.

    On a GPU that is what the driver has free and what PyTorch keeps in reserve.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(kept)
    bounds = [_status_bytes("MemAvailable", Path("/proc/meminfo")), _cgroup_free(_CGROUP)]
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


class PeakMemory:
    """Largest memory since the last reset, of a device (GPU) or of this process (CPU)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.method = self._find_method()

    def _find_method(self) -> str:
        if self._device.type == "cuda":
            return "torch.cuda.max_memory_allocated"
        if _status_bytes("VmHWM") is None:
            return "ru_maxrss since process start"
        return "VmHWM" if self._clear() else "VmHWM since process start"

    @staticmethod
    def _clear() -> bool:
        try:
            _CLEAR_REFS.write_text("5")
        except OSError:
            return False
        return True

    def read(self, reset: bool = False) -> int | None:
        """Peak in bytes since the last reset; with `reset` the next one starts from here."""
        if self._device.type == "cuda":
            peak = int(torch.cuda.max_memory_allocated(self._device))
            if reset:
                torch.cuda.reset_peak_memory_stats(self._device)
            return peak
        if self.method.startswith("ru_maxrss"):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        high = _status_bytes("VmHWM")
        if reset:
            self._clear()
        return high
