"""The NVML binding: `pynvml` of nvidia-ml-py, imported late, with one reason code per failure.

Every NVML error becomes a `SensorError` whose code is NVML's own name in small letters
(`nvml_gpu_is_lost`, `nvml_not_supported`, …), whose sentence names the call and the device, and
whose remedy says what an operator does about it.
"""

from __future__ import annotations

import importlib
from typing import Any

from runners.sensors.base import SensorError

_REMEDIES = {
    "library_not_found": "install the NVIDIA driver; in a container, start it with --gpus all",
    "driver_not_loaded": "load the driver (sudo modprobe nvidia) and check it with nvidia-smi",
    "lib_rm_version_mismatch": "the driver was updated under a running kernel module: reboot",
    "no_permission": "ask for access to /dev/nvidia* and NVML (group or cgroup of the job)",
    "function_not_found": "update the NVIDIA driver",
    "gpu_is_lost": "look for an Xid in `dmesg`, then reset the GPU or reboot",
    "reset_required": "reset the GPU (nvidia-smi --gpu-reset) or reboot",
    "insufficient_power": "connect the GPU's power cables",
    "not_supported": "this device or driver does not offer the reading",
}
#: After these no reading of the device can be trusted.
LOST = ("nvml_gpu_is_lost", "nvml_reset_required", "nvml_driver_not_loaded", "nvml_uninitialized")


def load() -> Any:
    """The module `pynvml`. Raises SensorError `nvml_binding_absent`."""
    remedy = "pip install nvidia-ml-py (the package named pynvml holds no bindings)"
    try:
        module = importlib.import_module("pynvml")
    except ImportError as error:
        raise SensorError(
            "nvml_binding_absent", f"the module pynvml cannot be imported: {error}", remedy
        ) from error
    if not hasattr(module, "nvmlDeviceGetFieldValues"):
        raise SensorError("nvml_binding_absent", "the module pynvml holds no NVML bindings", remedy)
    return module


def call(module: Any, name: str, *arguments: Any, what: str = "") -> Any:
    """Call one NVML function. Raises SensorError with the code of the NVML error."""
    try:
        return getattr(module, name)(*arguments)
    except module.NVMLError as error:
        raise typed(module, error, name, what) from error


def typed(module: Any, error: Any, name: str, what: str) -> SensorError:
    """The `SensorError` of an `NVMLError`."""
    short = code_of(module, error.value)
    where = f"{name}({what})" if what else name
    return SensorError(f"nvml_{short}", f"{where}: {error}", _REMEDIES.get(short, ""))


def code_of(module: Any, value: int) -> str:
    """`gpu_is_lost` for NVML_ERROR_GPU_IS_LOST; `error_1234` for a number that has no name."""
    names = (n for n in dir(module) if n.startswith("NVML_ERROR_"))
    found = next((n for n in names if getattr(module, n) == value), None)
    return found.removeprefix("NVML_ERROR_").lower() if found else f"error_{value}"
