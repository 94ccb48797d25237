"""What machine is this: probed once, stored under its content hash.

Only facts that stay the same between two runs on one machine belong here: no free memory, no
temperature, no present clock. Reading them needs no torch: /proc, psutil, package metadata, and
NVML where its driver is.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from observatory.records import Device, Environment

_CPU0 = Path("/sys/devices/system/cpu/cpu0")

#: Libraries whose version can change a number, by backend.
LIBRARIES: dict[str, tuple[str, ...]] = {"transformers": ("torch", "transformers", "numpy")}


def probe(backend: str = "transformers", devices: Sequence[Device] | None = None) -> Environment:
    """This machine, its accelerators, and the libraries that `backend` measures with."""
    return Environment(
        cpu_model=cpu_name(),
        cpu_physical_cores=physical_cores(),
        cpu_logical_cores=logical_cores(),
        memory_bytes=total_memory_bytes(),
        operating_system=operating_system(),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries=library_versions(LIBRARIES.get(backend, ("numpy",))),
        devices=tuple(nvidia_devices() if devices is None else devices),
        virtualised=virtualised(),
        cpu_governor=_line(_CPU0 / "cpufreq/scaling_governor"),
    )


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _cpuinfo(text: str | None, field: str) -> str | None:
    for line in (text or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field and value.strip():
            return value.strip()
    return None


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as /proc/cpuinfo names it, or as the platform does."""
    text = _line(cpuinfo)
    named = _cpuinfo(text, "model name") or _cpuinfo(text, "Model")
    return named or platform.processor() or platform.machine()


def virtualised(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether the processor says that a hypervisor is beneath; None where it has no such word."""
    flags = _cpuinfo(_line(cpuinfo), "flags")
    return None if flags is None else "hypervisor" in flags.split()


def allowed_cpus() -> set[int]:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def cpu_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """CPUs' worth of time that the control group allows; None without a limit."""
    try:
        quota, period = (_line(path) or "max 1").split()
        return None if quota == "max" else int(quota) / int(period)
    except ValueError:
        return None


def logical_cores() -> int:
    """Logical CPUs that this process may use, its control group's quota respected."""
    quota = cpu_quota()
    allowed = len(allowed_cpus())
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def physical_cores() -> int | None:
    """Physical cores among the CPUs that this process may use; None where it is not known."""
    cores = set()
    for cpu in allowed_cpus():
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        core, package = _line(topology / "core_id"), _line(topology / "physical_package_id")
        if core is None or package is None:
            return _psutil_cores()
        cores.add((package, core))
    return min(len(cores), logical_cores())


def _psutil_cores() -> int | None:
    import psutil

    cores = psutil.cpu_count(logical=False)
    return None if cores is None else min(int(cores), logical_cores())


def default_threads() -> int:
    """Threads of a CPU backend: one a physical core."""
    return physical_cores() or logical_cores()


def total_memory_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Main memory in bytes, or the control group's limit where that is less."""
    import psutil

    installed = int(psutil.virtual_memory().total)
    text = _line(limit)
    return min(installed, int(text)) if text and text.isdigit() else installed


def available_memory_bytes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Main memory that a new process could have now, the control group's limit respected."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit, used = _line(group / "memory.max"), _line(group / "memory.current")
    if limit and limit.isdigit() and used and used.isdigit():
        stat = dict(line.split() for line in (_line(group / "memory.stat") or "").splitlines())
        reclaimable = int(stat.get("inactive_file", 0))
        return max(0, min(available, int(limit) - int(used) + reclaimable))
    return available


def operating_system() -> str:
    """Name and version of the distribution, or of the system."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Version of each installed library, from its metadata: nothing is imported."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def nvidia_devices() -> list[Device]:
    """Accelerators that NVML shows, in its order (by PCI bus); none without driver or binding."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
        driver = _text(_ask(pynvml, "nvmlSystemGetDriverVersion"))
        found = [_nvidia_device(pynvml, index, driver) for index in range(count)]
        return [device for device in found if device is not None]
    except pynvml.NVMLError:  # the driver went away under us: what it cannot list is not there
        return []
    finally:
        pynvml.nvmlShutdown()


def _nvidia_device(nvml: Any, index: int, driver: str | None) -> Device | None:
    """One card, or None where it is lost (fallen off the bus)."""
    handle = _ask(nvml, "nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return None
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    capability = _ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    mig = _ask(nvml, "nvmlDeviceGetMigMode", handle)
    ecc = _ask(nvml, "nvmlDeviceGetEccMode", handle)
    persistence = _ask(nvml, "nvmlDeviceGetPersistenceMode", handle)
    return Device(
        index=index,
        kind="cuda",
        name=_text(_ask(nvml, "nvmlDeviceGetName", handle)) or f"NVIDIA device {index}",
        memory_bytes=None if memory is None else int(memory.total),
        uuid=_text(_ask(nvml, "nvmlDeviceGetUUID", handle)),
        driver=driver,
        power_limit_w=_watts(_ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)),
        default_power_limit_w=_watts(
            _ask(nvml, "nvmlDeviceGetPowerManagementDefaultLimit", handle)
        ),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        mig=None if mig is None else bool(mig[0]),
        ecc=None if ecc is None else bool(ecc[0]),
        persistence=None if persistence is None else bool(persistence),
    )


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """One NVML answer, or None where this card or driver does not give it."""
    try:
        return getattr(nvml, function)(*arguments)
    except nvml.NVMLError:
        return None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def free_device_bytes(uuid: str) -> int | None:
    """Free memory of one accelerator now; None where NVML does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
