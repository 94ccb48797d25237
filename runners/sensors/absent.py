"""A meter where there is no sensor."""

from __future__ import annotations

from collections.abc import Collection

from observatory.records import Energy
from runners.sensors.base import Reading, SensorFacts


class AbsentMeter:
    """A `Meter` without a sensor: every window's energy is missing, with the reason."""

    def __init__(self, reason: str) -> None:
        self.facts: SensorFacts | None = None
        self.reason: str | None = reason

    def start(self) -> None:
        """Nothing to start."""

    def mark(self, opening: bool = False) -> None:
        """Nothing to sample."""

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        """No joules, and why."""
        return Reading(energy=Energy(reason=self.reason))

    def measure_tick(self, seconds: float = 2.0) -> float | None:
        """No counter."""
        return None

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Nothing can be seen."""
        return ()

    def cpu_share(self) -> float | None:
        """No sampler, no cost."""
        return None

    def stop(self) -> None:
        """Nothing to stop."""
