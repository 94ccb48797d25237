"""NVIDIA GPUs: the driver's energy counter, instant power, and the state that explains them.

Energy is the total-energy counter (mJ since the driver was loaded; Volta and newer). Power is the
instant field (NVML_FI_DEV_POWER_INSTANT) where there is one, since `nvmlDeviceGetPowerUsage` is a
1-s average on most newer devices (arXiv 2312.02741). Without a counter the integral of power
counts, and the method says so. With MIG enabled neither belongs to one instance: no number.

All GPUs of the machine are read: those that the run does not use are neighbours, shown apart.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping
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
TICK_POLL_S = 0.5
_S = 1e-9


class NvmlSensor:
    """The NVIDIA GPUs of this machine. `environment` stands in for `os.environ` in tests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._nvml: Any = None
        self._gpus: list[NvmlGpu] = []
        self._used: list[NvmlGpu] = []

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Find the devices, what each can tell, and the counter's tick (half a second).

        Raises SensorError: an NVML code, `nvml_binding_absent`, `mig`, `no_energy_source`,
        `no_visible_device`, `device_absent`, `device_order_ambiguous`, `device_repeated`.
        """
        try:
            self._begin()
            chosen = select_devices(
                devices,
                [g.uuid for g in self._gpus],
                [g.name for g in self._gpus],
                self._environment,
            )
            self._used = [self._gpus[i] for i in chosen]
            for gpu in self._gpus:
                gpu.examine(used=gpu in self._used)
            ticks, how = self._ticks()
            return self._facts(ticks, how)
        except SensorError:
            self.close()
            raise

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """All devices now, or the parts that are wanted; counters alone are those of the used ones.

        Raises SensorError where a used device is lost. Time is taken in the middle of reading the
        used devices' counters.
        """
        draft = SampleDraft()
        before = time.perf_counter_ns()
        for gpu in self._used if Parts.COUNTERS in parts else ():
            _count(gpu, draft, used=True)
        t_ns = (before + time.perf_counter_ns()) // 2
        for gpu in self._gpus if Parts.STATE in parts else ():
            if gpu in self._used:
                put(draft.power_w, gpu.component, gpu.power_w())
                gpu.state(draft)
                continue
            if Parts.COUNTERS in parts:
                _count(gpu, draft, used=False)
            _power_of_neighbour(gpu, draft)
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
        self._nvml, self._gpus, self._used = None, [], []

    def _begin(self) -> None:
        module = load()
        call(module, "nvmlInit")
        self._nvml = module
        count = call(module, "nvmlDeviceGetCount")
        self._gpus = [NvmlGpu(module, index) for index in range(count)]

    def _ticks(self) -> tuple[dict[str, float], str]:
        """Median time between changes of each used counter, as busy as the device now is; METHOD
        asks for it under load, which `Meter.measure_tick` does later."""
        counted = [g for g in self._used if g.has_counter]
        seen: list[Sample] = []
        end = time.perf_counter() + (TICK_POLL_S if counted else 0.0)
        while time.perf_counter() < end:
            seen.append(self.read(Parts.COUNTERS))
            time.sleep(0.001)
        ticks = dict.fromkeys((g.component for g in self._gpus), ASSUMED_TICK_S)
        how = "assumed"
        for gpu in counted:
            series = [s for s in seen if gpu.component in s.energy_j]
            tick = median_tick(
                [s.t_ns * _S for s in series], [s.energy_j[gpu.component] for s in series]
            )
            if tick is not None:
                ticks[gpu.component], how = tick, "at opening"
        return ticks, how

    def _facts(self, ticks: dict[str, float], how: str) -> SensorFacts:
        used = tuple(g.component for g in self._used)
        counters = tuple(g.component for g in self._gpus if g.has_counter)
        by_counter = all(c in counters for c in used)
        return SensorFacts(
            name="nvml",
            method="nvml_counter" if by_counter else "nvml_power_integral",
            provenance=str(Provenance.MEASURED),
            boundary=str(Boundary.DEVICE),
            components=tuple(g.component for g in self._gpus),
            used=used,
            tick_s=max(ticks[c] for c in used),
            systematic_rel=SYSTEMATIC_REL,
            details={**self._details(), "tick_measured": how},
            counters=counters,
            component_tick_s=ticks,
        )

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


def _count(gpu: NvmlGpu, draft: SampleDraft, used: bool) -> None:
    """Read one counter. A used device that is lost ends the reading; others leave a word."""
    if not gpu.has_counter:
        return
    try:
        draft.energy_j[gpu.component] = gpu.energy_j()
    except SensorError as error:
        if used and error.code in LOST:
            raise
        draft.errors[gpu.component] = error.reason


def _power_of_neighbour(gpu: NvmlGpu, draft: SampleDraft) -> None:
    try:
        put(draft.power_w, gpu.component, gpu.power_w())
    except SensorError as error:
        draft.errors[gpu.component] = error.reason
