"""A sample while it is being filled: columns that take a value or leave the cell out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from runners.sensors.base import Sample

T = TypeVar("T")


@dataclass(slots=True)
class SampleDraft:
    """The columns of a `Sample`, open for writing."""

    energy_j: dict[str, float] = field(default_factory=dict)
    power_w: dict[str, float] = field(default_factory=dict)
    temperature_c: dict[str, float] = field(default_factory=dict)
    clock_mhz: dict[str, float] = field(default_factory=dict)
    utilisation: dict[str, float] = field(default_factory=dict)
    throttle: dict[str, tuple[str, ...]] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def freeze(self, t_ns: int) -> Sample:
        """The finished sample."""
        return Sample(
            t_ns,
            self.energy_j,
            self.power_w,
            self.temperature_c,
            self.clock_mhz,
            self.utilisation,
            self.throttle,
            self.memory_bytes,
            self.errors,
        )


def put(column: dict[str, T], component: str, value: T | None) -> None:
    """Set a cell; a missing value leaves none."""
    if value is not None:
        column[component] = value
