"""Two sensors read as one: accelerators and, for the host boundary, CPU packages and DRAM.

The first sensor decides: without it there is nothing. The second adds what it can; when it fails
while running, its components are missing from that sample, with the reason, and the joules of the
accelerator stand.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from observatory.records import Boundary
from runners.sensors.base import DeviceId, Parts, Sample, Sensor, SensorError, SensorFacts


class CombinedSensor:
    """`first` (device) and `second` (the rest of the host)."""

    def __init__(self, first: Sensor, second: Sensor) -> None:
        self._first, self._second = first, second
        self._second_facts: SensorFacts | None = None

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Open both. Raises SensorError of the first; a second that cannot be opened is left out,
        and `details` says why."""
        facts = self._first.open(devices)
        try:
            other = self._second.open(None)
        except SensorError as error:
            details = {**facts.details, "host": error.reason, "host_remedy": error.remedy}
            return replace(facts, details=details)
        self._second_facts = other
        return replace(
            facts,
            name=f"{facts.name}+{other.name}",
            method=f"{facts.method}+{other.method}",
            boundary=str(Boundary.HOST),
            components=facts.components + other.components,
            used=facts.used + other.used,
            counters=facts.counters + other.counters,
            component_tick_s={**other.component_tick_s, **facts.component_tick_s},
            details={**other.details, **facts.details},
        )

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """One sample of both, at the first one's time; the second is read right after it.

        Raises SensorError of the first.
        """
        sample = self._first.read(parts)
        if self._second_facts is None:
            return sample
        try:
            other = self._second.read(parts)
        except SensorError as error:
            missing = dict.fromkeys(self._second_facts.components, error.reason)
            return replace(sample, errors={**sample.errors, **missing})
        return replace(
            sample,
            energy_j={**sample.energy_j, **other.energy_j},
            power_w={**sample.power_w, **other.power_w},
            errors={**sample.errors, **other.errors},
        )

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Those on the accelerators."""
        return self._first.foreign_processes(own)

    def close(self) -> None:
        """Close both."""
        self._first.close()
        if self._second_facts is not None:
            self._second.close()
