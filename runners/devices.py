"""Which device a run uses, and by what identity the measured process and the sensor find it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from observatory.errors import InputError
from observatory.records import Device
from runners.environment import library_versions
from runners.sensors.cuda_devices import resolve_device


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device as plans name it (`cpu`, `cuda`, `cuda:1`) and, for an accelerator, as NVML does."""

    name: str
    accelerator: Device | None = None

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.name.partition(":")[0]

    @property
    def visible(self) -> str | None:
        """What the measured process's CUDA_VISIBLE_DEVICES holds; None on a CPU."""
        if self.accelerator is None:
            return None
        return self.accelerator.uuid or str(self.accelerator.index)

    @property
    def sensor_devices(self) -> tuple[int | str, ...] | None:
        """The accelerators whose joules belong to the run; None on a CPU."""
        return None if self.visible is None else (self.visible,)


def visible_devices(devices: Sequence[Device], environ: Mapping[str, str]) -> list[Device]:
    """The accelerators that CUDA_VISIBLE_DEVICES shows, in its order: by index, by UUID or the
    beginning of one. As in CUDA, the list ends at the first entry that names nothing."""
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return list(devices)
    by_index = {d.index: d for d in devices}
    uuids = [
        by_index[i].uuid or "" if i in by_index else ""
        for i in range(max(by_index, default=-1) + 1)
    ]
    shown: list[Device] = []
    for entry in (part.strip() for part in text.split(",")):
        if entry.startswith("MIG-"):
            shown.append(Device(len(shown), "cuda", "MIG instance", uuid=entry, mig=True))
            continue
        index = resolve_device(entry, uuids)
        if index is None or index not in by_index:
            break
        shown.append(by_index[index])
    return shown


def choose_device(
    asked: str, devices: Sequence[Device], environ: Mapping[str, str] | None = None
) -> Chosen:
    """The device that `--device` means. `auto`: the first visible CUDA device that the installed
    PyTorch can use, else the CPU. Raises InputError when what was asked for is not there."""
    shown = visible_devices(devices, os.environ if environ is None else environ)
    cpu_build = library_versions(["torch"]).get("torch", "").endswith("+cpu")
    if asked == "auto":
        return Chosen("cuda", shown[0]) if shown and not cpu_build else Chosen("cpu")
    if asked == "cpu":
        return Chosen("cpu")
    kind, _, number = asked.partition(":")
    if kind != "cuda" or not (number.isdigit() or asked == "cuda"):
        raise InputError(f"--device {asked!r}: use auto, cpu, cuda, or cuda:N")
    index = int(number or 0)
    if not shown:
        raise InputError(f"--device {asked}: NVML shows no CUDA device here; use --device cpu")
    if index >= len(shown):
        raise InputError(f"--device {asked}: only {len(shown)} CUDA device(s) are visible")
    if cpu_build:
        raise InputError(
            f"--device {asked}: the installed torch is a CPU build; install a CUDA one"
        )
    return Chosen(asked, replace(shown[index]))
