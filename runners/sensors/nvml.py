"""NVIDIA GPUs: the driver's energy counter, instant power, and the state that explains them.

Energy is the total-energy counter (mJ since the driver was loaded; Volta and newer). Power is the
instant field (NVML_FI_DEV_POWER_INSTANT) where there is one, since `nvmlDeviceGetPowerUsage` is a
1-s average on most newer devices (arXiv 2312.02741). Without a counter the integral of power
counts, and the method says so. With MIG enabled neither belongs to one instance: no number.

All GPUs of the machine are looked at: those that the run does not use are neighbours, shown apart.
A neighbour's joules are the integral of its power, once a second (its counter would cost as much to
read as that of a used device); one that cannot be read has none, and takes nothing from the others.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from observatory.records import Boundary, Provenance
from runners.sensors.base import DeviceId, Parts, Sample, SensorError, SensorFacts
from runners.sensors.cuda_devices import select_devices
from runners.sensors.draft import SampleDraft, put
from runners.sensors.nvml_binding import LOST, call, load
from runners.sensors.nvml_device import NvmlGpu
from runners.sensors.staircase import median_tick

SYSTEMATIC_REL = 0.055  #: METHOD §3.8 and §6: one draw per card (judgement, shown as such)
ASSUMED_TICK_S = 0.1  #: where no tick could be measured: the slowest update in arXiv 2312.02741
#: `nvmlDeviceGetPowerUsage` averages over so long on most newer devices (arXiv 2312.02741).
AVERAGED_S = 1.0
TICK_POLL_S = 0.5
MOST_TICK_POLL_S = 3.0  #: a counter that stepped less than three times is watched so long
_S = 1e-9


class NvmlSensor:
    """The NVIDIA GPUs of this machine. `environment` stands in for `os.environ` in tests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._nvml: Any = None
        self._gpus: list[NvmlGpu] = []
        self._used: list[NvmlGpu] = []
        self._unreadable: dict[int, SensorError] = {}  # by NVML index

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Find the devices, what each can tell, and the counter's tick (half a second).

        Raises SensorError: an NVML code, `nvml_binding_absent`, `mig`, `no_energy_source`,
        `no_visible_device`, `device_absent`, `device_order_ambiguous`, `device_repeated`.
        """
        try:
            count = self._begin()
            known = {gpu.index: gpu for gpu in self._gpus}
            uuids = [known[i].uuid if i in known else "" for i in range(count)]
            names = [known[i].name if i in known else "" for i in range(count)]
            try:
                chosen = select_devices(devices, uuids, names, self._environment)
            except SensorError as error:
                raise self._explained(error) from error
            self._used = [known[i] for i in chosen]
            for gpu in self._used:
                gpu.examine(used=True)
            for gpu in self._neighbours():
                self._examine_neighbour(gpu)
            ticks, how = self._ticks()
            return self._facts(ticks, how)
        except SensorError:
            self.close()
            raise

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """All devices now, or the parts that are wanted.

        Raises SensorError where a used device is lost. Time is taken in the middle of reading the
        used devices' counters.
        """
        draft = SampleDraft()
        before = time.perf_counter_ns()
        for gpu in self._used if Parts.COUNTERS in parts else ():
            _count(gpu, draft)
        t_ns = (before + time.perf_counter_ns()) // 2
        for gpu in self._used if Parts.STATE in parts else ():
            put(draft.power_w, gpu.component, gpu.power_w())
            gpu.state(draft)
        if Parts.NEIGHBOURS in parts:
            for gpu in self._neighbours():
                _power_of_neighbour(gpu, draft)
            for index, error in self._unreadable.items():
                draft.errors[f"gpu:{index}"] = error.reason
        return draft.freeze(t_ns)

    def average_power_w(self) -> dict[str, float]:
        """The driver's 1-s average of each used device that has one: to be compared, not used."""
        found = {gpu.component: gpu.average_w() for gpu in self._used}
        return {component: watts for component, watts in found.items() if watts is not None}

    def device_names(self) -> dict[str, str]:
        """Component -> the name that the driver gives, of every device."""
        return {gpu.component: gpu.name for gpu in self._gpus}

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Compute processes on the used devices beside `own`.

        In a container NVML may give ids of the host: where none of `own` is listed, as many
        unknown ids as there are own processes are taken to be them.
        """
        found = []
        for gpu in self._used:
            listed = gpu.process_ids()
            if listed is None:
                raise SensorError(
                    "processes_hidden", f"{gpu.component}: NVML does not list its processes"
                )
            others = [pid for pid in listed if pid not in own]
            if own and len(others) == len(listed):
                hidden = [pid for pid in others if not Path(f"/proc/{pid}").exists()]
                others = [pid for pid in others if pid not in hidden[: len(own)]]
            found += [f"{gpu.component} pid {pid}" for pid in others]
        return tuple(found)

    def close(self) -> None:
        """Leave NVML."""
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._nvml, self._gpus, self._used, self._unreadable = None, [], [], {}

    def _begin(self) -> int:
        """Start NVML and take in every device that it hands out; how many there are."""
        module = load()
        call(module, "nvmlInit")
        self._nvml = module
        count = int(call(module, "nvmlDeviceGetCount"))
        for index in range(count):
            try:
                self._gpus.append(NvmlGpu(module, index))
            except SensorError as error:  # lost, or another job's: it may be nobody's concern
                self._unreadable[index] = error
        if self._unreadable and not self._gpus:
            raise next(iter(self._unreadable.values()))
        return count

    def _explained(self, error: SensorError) -> SensorError:
        """The error with what NVML said of devices that it does not hand out."""
        if not self._unreadable:
            return error
        said = "; ".join(e.sentence for e in self._unreadable.values())
        return SensorError(error.code, f"{error.sentence} ({said})", error.remedy)

    def _neighbours(self) -> list[NvmlGpu]:
        return [g for g in self._gpus if g not in self._used and g.index not in self._unreadable]

    def _examine_neighbour(self, gpu: NvmlGpu) -> None:
        try:
            gpu.examine(used=False)
        except SensorError as error:
            self._unreadable[gpu.index] = error

    def _ticks(self) -> tuple[dict[str, float], str]:
        """Median time between changes of each used counter, as busy as the device now is; METHOD
        asks for it under load, which `Meter.measure_tick` does later. Of a device without a counter
        it is the time over which its power reading is made."""
        counted = [g for g in self._used if g.has_counter]
        ticks = {g.component: ASSUMED_TICK_S for g in self._gpus}
        ticks |= {g.component: AVERAGED_S for g in self._gpus if g.power_field == "usage"}
        ticks |= {g.component: ASSUMED_TICK_S for g in counted}
        seen: list[Sample] = []
        how = "assumed"
        began = time.perf_counter()
        while counted and (now := time.perf_counter() - began) < MOST_TICK_POLL_S:
            if now >= TICK_POLL_S and all(len(_steps_of(g, seen)) > 2 for g in counted):
                break
            seen.append(self.read(Parts.COUNTERS))
            time.sleep(0.001)
        for gpu in counted:
            steps = _steps_of(gpu, seen)
            series = [s for s in seen if gpu.component in s.energy_j]
            tick = median_tick(
                [s.t_ns * _S for s in series], [s.energy_j[gpu.component] for s in series]
            )
            if tick is not None:
                ticks[gpu.component], how = tick, "at opening"
            elif 0 < len(steps) < 3:  # slower than any that is known: surely not longer than this
                ticks[gpu.component] = MOST_TICK_POLL_S / len(steps)
        return ticks, how

    def _facts(self, ticks: dict[str, float], how: str) -> SensorFacts:
        used = tuple(g.component for g in self._used)
        counters = tuple(g.component for g in self._used if g.has_counter)
        by_counter = all(c in counters for c in used)
        return SensorFacts(
            name="nvml",
            method="nvml_counter" if by_counter else "nvml_power_integral",
            provenance=str(Provenance.MEASURED),
            boundary=str(Boundary.DEVICE),
            components=self._components(),
            used=used,
            tick_s=max(ticks[c] for c in used),
            systematic_rel=SYSTEMATIC_REL,
            details={**self._details(), "tick_measured": how},
            counters=counters,
            component_tick_s=ticks,
            powers=tuple(g.component for g in self._gpus if g.power_field is not None),
        )

    def _components(self) -> tuple[str, ...]:
        indices = {g.index for g in self._gpus} | set(self._unreadable)
        return tuple(f"gpu:{index}" for index in sorted(indices))

    def _details(self) -> dict[str, str]:
        first = self._used[0]
        details = {
            "driver": str(call(self._nvml, "nvmlSystemGetDriverVersion")),
            "devices": ", ".join(f"{g.component}={g.uuid}" for g in self._used),
            "cuda": self._cuda(),
            "power_field": first.power_field or "none",
            "power_fields": ", ".join(first.power_fields),
            "power_scope": "gpu" if first.scopes else "unknown",
            "power_scopes": ", ".join(s.lower() for s in first.scopes),
        }
        for gpu in self._used:
            limit = gpu.power_limit_w()
            if limit is not None:
                details[f"power_limit_w:{gpu.component}"] = f"{limit:g}"
        return {key: value for key, value in details.items() if value}

    def _cuda(self) -> str:
        """Newest CUDA version that the driver serves, such as `12.4`; empty where not said."""
        try:
            version = int(call(self._nvml, "nvmlSystemGetCudaDriverVersion_v2"))
        except SensorError:
            return ""
        return f"{version // 1000}.{version % 1000 // 10}"


def _count(gpu: NvmlGpu, draft: SampleDraft) -> None:
    """Read one counter. A device that is lost ends the reading; another failure leaves a word."""
    if not gpu.has_counter:
        return
    try:
        draft.energy_j[gpu.component] = gpu.energy_j()
    except SensorError as error:
        if error.code in LOST:
            raise
        draft.errors[gpu.component] = error.reason


def _steps_of(gpu: NvmlGpu, seen: Sequence[Sample]) -> list[int]:
    """When the counter of a device was seen to have stepped, in ns."""
    series = [(s.t_ns, s.energy_j[gpu.component]) for s in seen if gpu.component in s.energy_j]
    return [after[0] for before, after in pairwise(series) if after[1] != before[1]]


def _power_of_neighbour(gpu: NvmlGpu, draft: SampleDraft) -> None:
    try:
        put(draft.power_w, gpu.component, gpu.power_w())
    except SensorError as error:
        draft.errors[gpu.component] = error.reason
