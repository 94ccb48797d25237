"""Which physical GPUs a run uses: CUDA ordinals and UUIDs to NVML indices. Pure.

Rules of CUDA_VISIBLE_DEVICES (CUDA C++ Programming Guide, "CUDA Environment Variables"): entries
are indices or UUIDs (a unique prefix is enough); devices after the first invalid entry are not
visible. NVML counts all devices in the order of the PCI bus, while CUDA counts the fastest first
unless CUDA_DEVICE_ORDER=PCI_BUS_ID, so on a machine with different models an ordinal alone is
ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runners.sensors.base import DeviceId, SensorError


def visible_devices(value: str | None, uuids: Sequence[str]) -> list[int]:
    """NVML indices in CUDA's order for a value of CUDA_VISIBLE_DEVICES; None is not set.

    Raises SensorError `mig` for a MIG instance and `device_repeated` for a device named twice.
    """
    if value is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.upper().startswith("MIG-"):
            raise SensorError(
                "mig",
                f"CUDA_VISIBLE_DEVICES names a MIG instance ({entry})",
                "NVML counts the energy of a whole GPU: measure with MIG off",
            )
        index = resolve_device(entry, uuids)
        if index is None:
            break
        if index in chosen:
            raise SensorError(
                "device_repeated", f"CUDA_VISIBLE_DEVICES={value!r} names a device twice"
            )
        chosen.append(index)
    return chosen


def select_devices(
    devices: tuple[DeviceId, ...] | None,
    uuids: Sequence[str],
    names: Sequence[str],
    environment: Mapping[str, str],
) -> list[int]:
    """NVML indices of the devices that a run uses, in the order asked for.

    `uuids` holds an empty word for a device that NVML does not hand out (lost, or another job's):
    CUDA may count it or not, so beside one an ordinal is ambiguous. None means every visible one.
    An integer (or its digits) is a CUDA ordinal, anything else a UUID or a unique prefix of one.
    Raises SensorError `no_visible_device`, `device_absent`, `device_order_ambiguous`, and those of
    `visible_devices`.
    """
    value = environment.get("CUDA_VISIBLE_DEVICES")
    visible = [i for i in visible_devices(value, uuids) if uuids[i]]
    if not visible:
        raise SensorError(
            "no_visible_device", f"no GPU is visible (CUDA_VISIBLE_DEVICES={value!r})"
        )
    by_uuid = value is not None and any("GPU-" in part.upper() for part in value.split(","))
    if devices is None:
        _refuse_ambiguous(visible, names, environment, by_uuid)
        return visible
    chosen: list[int] = []
    for device in devices:
        if isinstance(device, int) or device.isdigit():
            ordinal = int(device)
            if not 0 <= ordinal < len(visible):
                raise _absent(device, visible, uuids)
            _refuse_ambiguous([visible[ordinal]], names, environment, by_uuid)
            chosen.append(visible[ordinal])
            continue
        if device.upper().startswith("MIG-"):
            raise SensorError("mig", f"{device} is a MIG instance", "measure with MIG off")
        index = resolve_device(device, uuids)
        if index is None:
            raise _absent(device, visible, uuids)
        chosen.append(index)
    return list(dict.fromkeys(chosen))


def resolve_device(entry: str, uuids: Sequence[str]) -> int | None:
    """NVML index of an entry of CUDA_VISIBLE_DEVICES: an index, a UUID or a unique prefix of one,
    capital letters or small; None where it names nothing."""
    if entry.lstrip("-").isdigit():
        index = int(entry)
        return index if 0 <= index < len(uuids) else None
    if not entry.upper().startswith("GPU-") or len(entry) <= 4:
        return None
    hits = [i for i, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
    return hits[0] if len(hits) == 1 else None


def _refuse_ambiguous(
    chosen: Sequence[int], names: Sequence[str], environment: Mapping[str, str], by_uuid: bool
) -> None:
    """Charging the wrong GPU is worse than no number."""
    mixed = len(set(names)) > 1 and (len(chosen) < len(names) or "" in names)
    if mixed and not by_uuid and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise SensorError(
            "device_order_ambiguous",
            "this machine has different GPU models or one that cannot be read, and CUDA and NVML "
            "number them differently",
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name devices by UUID (nvidia-smi -L)",
        )


def _absent(device: DeviceId, visible: Sequence[int], uuids: Sequence[str]) -> SensorError:
    known = ", ".join(f"{k}={uuids[i]}" for k, i in enumerate(visible))
    return SensorError("device_absent", f"no visible GPU {device!r}; visible are {known}")
