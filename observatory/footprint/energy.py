"""Joules of one request by component, and what a boundary takes of them.

`E_IT = E_device + E_host + E_idle`; `E_facility = PUE * E_IT` (The Green Grid; METHOD §5). A part
that was not measured is None with a reason and is named in `missing`, never counted as zero
silently: the sum is then a lower bound and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from observatory.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]
#: what a formula takes and gives: one number, or draws
Value = TypeVar("Value", float, Floats, float | Floats)
J_PER_WH = 3600.0
J_PER_KWH = 3.6e6
BOUNDARIES = ("device", "host", "wall", "facility")
ALIASES = {"host+idle": "wall", "accelerator": "device", "node": "wall"}
PROVENANCES = ("measured", "modelled", "estimated", "imported")


@dataclass(frozen=True, slots=True)
class EnergyInput:
    """Energy of one request of a stated workload, in joules by component.

    `device_j` covers the devices used; `cpu_j` and `dram_j` the host around them (`host_j` where
    only their sum is known); `idle_j` the share of provisioned idle capacity. Energy known only as
    a sum goes to `wall_j` (the node at its plug) or `facility_j` (PUE inside). `busy_s` is the time
    for which each of `device_count` devices is occupied by the batch that the request shares with
    `batch - 1` others; `busy_error_rel` of it, down and up, reaches to its p5 and p95 (None: exact,
    or not known for the reason in `reasons`). `repeat_rel_std` is one standard deviation of
    repeatability, and `systematic_rel` that of the sensor, shared by all results of one `card`.
    """

    device_j: float | None = None
    cpu_j: float | None = None
    dram_j: float | None = None
    host_j: float | None = None
    idle_j: float | None = None
    wall_j: float | None = None
    facility_j: float | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)  #: component -> why it is None
    provenance: str = "measured"
    method: str | None = None
    device: str | None = None  #: device name as the driver gives it
    device_count: int = 1
    device_is_cpu: bool = False  #: no accelerator: the CPU package is the device
    card: str | None = None  #: identity of the sensor (a UUID); the device name where unknown
    busy_s: float | None = None
    busy_error_rel: float | None = None
    batch: int = 1
    idle_power_w: float | None = None  #: of one device, to model idle energy from an active share
    repeat_rel_std: float | None = None
    systematic_rel: float | None = None
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        for name in ("device_j", "cpu_j", "dram_j", "host_j", "idle_j", "wall_j", "facility_j",
                     "busy_s", "busy_error_rel", "idle_power_w", "repeat_rel_std",
                     "systematic_rel"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise InputError(f"{name} = {value!r}: needs a finite number, zero or more")
        if self.host_j is not None and (self.cpu_j is not None or self.dram_j is not None):
            raise InputError("give host_j or its parts cpu_j and dram_j, not both")
        if self.batch < 1 or self.device_count < 1:
            raise InputError("batch and device_count start at 1")
        if self.provenance not in PROVENANCES:
            raise UnknownNameError("provenance", self.provenance, list(PROVENANCES))

    @property
    def sensor_id(self) -> str:
        """Identity under which systematic error is shared."""
        return f"sensor:{self.card or self.device or 'unnamed'}:{self.provenance}"

    @property
    def repeat_id(self) -> str:
        """Identity under which repeatability is drawn: the same result in two zones shares it."""
        joules = (self.device_j, self.cpu_j, self.dram_j, self.host_j, self.wall_j, self.facility_j)
        return f"repeat:{self.label or joules!r}"


@dataclass(frozen=True, slots=True)
class Covered:
    """Energy inside a boundary before PUE. `joules` is None where no part is known."""

    joules: float | None
    covers: tuple[str, ...]
    missing: Mapping[str, str]
    pue_inside: bool = False  #: the joules are facility energy already


def boundary_name(name: str) -> str:
    """Canonical boundary. Raises UnknownNameError."""
    found = ALIASES.get(name, name)
    if found not in BOUNDARIES:
        raise UnknownNameError(
            "boundary", name, [*BOUNDARIES, *ALIASES], f"one of {', '.join(BOUNDARIES)}"
        )
    return found


def covered(energy: EnergyInput, boundary: str, active_share: float | None = None) -> Covered:
    """What of `energy` lies inside `boundary`, PUE left out.

    Idle energy that was not measured is modelled as `P_idle n t/B (1-u)/u` where both an idle power
    and an active share u were stated. A sum that is known only as a whole (`wall_j`, `facility_j`)
    serves its own boundary and wider ones; a narrower one is then unknown.
    """
    if boundary == "facility" and energy.facility_j is not None:
        return Covered(energy.facility_j, ("facility",), {}, pue_inside=True)
    if boundary in ("wall", "facility") and energy.wall_j is not None:
        return Covered(energy.wall_j, ("wall",), {})
    parts = _parts(energy, boundary, active_share)
    known = {name: joules for name, joules in parts.items() if joules is not None}
    missing = {
        name: energy.reasons.get(name.split(" ")[0], _default_reason(energy, name))
        for name, joules in parts.items()
        if joules is None
    }
    if "device" in missing or not known:
        return Covered(None, (), missing)
    return Covered(sum(known.values()), tuple(known), missing)


def _parts(
    energy: EnergyInput, boundary: str, active_share: float | None
) -> dict[str, float | None]:
    device = energy.device_j
    cpu: dict[str, float | None] = {"cpu": energy.cpu_j}
    if energy.device_is_cpu:
        device, cpu = (energy.cpu_j if device is None else device), {}
    parts: dict[str, float | None] = {"device": device}
    if boundary == "device":
        return parts
    if energy.host_j is not None:
        parts["host"] = energy.host_j
    else:
        parts |= {**cpu, "dram": energy.dram_j}
    if boundary == "host":
        return parts
    modelled = _modelled_idle_j(energy, active_share)
    if energy.idle_j is None and modelled is not None:
        parts["idle (modelled)"] = modelled
    else:
        parts["idle"] = energy.idle_j
    return parts


def _modelled_idle_j(energy: EnergyInput, active_share: float | None) -> float | None:
    if active_share is None or energy.idle_power_w is None or energy.busy_s is None:
        return None
    devices_s = energy.device_count * energy.busy_s / energy.batch
    return energy.idle_power_w * devices_s * (1 - active_share) / active_share


def _default_reason(energy: EnergyInput, name: str) -> str:
    if name == "device" and (energy.wall_j is not None or energy.facility_j is not None):
        return "only the sum at a wider boundary is known"
    return "not measured"
