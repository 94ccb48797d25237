"""What the protocol asks of a sensor, and what it gives back.

A sensor is a source of samples on the system-wide monotonic clock (`time.perf_counter_ns`, which
on Linux is the same clock in every process). It lives in the parent process, beside the measured
one, so that the model's process holds nothing but the model. Joules of a window are a pure function
of samples and of the window's two timestamps (`runners.sensors.integrate`), so a recorded trace is
evaluated by exactly the code that evaluates a live one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from observatory.records import Energy

SENSORS: dict[str, str] = {
    "nvml": "runners.sensors.nvml:NvmlSensor",
    "rapl": "runners.sensors.rapl:RaplSensor",
    "codecarbon": "runners.sensors.codecarbon:CodeCarbonSensor",
    "recorded": "runners.sensors.recorded:RecordedSensor",
}


class SensorError(Exception):
    """A sensor that is missing or failed: a reason code, a sentence, and what to do about it."""

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.remedy = code, sentence, remedy


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of everything the sensor sees. Keys are component names (`gpu:0`, `cpu`, `dram`).

    `energy_j` holds cumulative counters (already unwrapped), `power_w` instant power. A component
    that could not be read is absent, and `errors` says why.
    """

    t_ns: int
    energy_j: Mapping[str, float] = field(default_factory=dict)
    power_w: Mapping[str, float] = field(default_factory=dict)
    temperature_c: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: Mapping[str, float] = field(default_factory=dict)
    utilisation: Mapping[str, float] = field(default_factory=dict)
    throttle: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """What a sensor found when it was opened."""

    name: str
    method: str  #: METHOD's word: `nvml_counter`, `nvml_power_integral`, `rapl`, `codecarbon`, …
    provenance: str  #: `measured` or `estimated`
    boundary: str  #: `device` or `host`
    components: tuple[str, ...]
    used: tuple[str, ...]  #: components whose joules belong to the run; the others are neighbours
    tick_s: float | None = None  #: median time between changes of the counter under load
    systematic_rel: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)  #: scope, driver, limits, MIG, …


class Sensor(Protocol):
    """A source of samples."""

    def open(self, devices: tuple[int, ...] | None = None) -> SensorFacts:
        """Start. `devices` are the accelerator indices that the run uses. Raises SensorError."""

    def read(self) -> Sample:
        """One sample, now. Raises SensorError when the device is lost."""

    def close(self) -> None:
        """Stop and free."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A window as the sensor saw it."""

    energy: Energy
    power_mean_w: float | None = None
    clock_mhz: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    throttle_reasons: str | None = None
    utilisation: float | None = None
    flags: tuple[str, ...] = ()


class Meter(Protocol):
    """A sensor with its one 10 Hz sampler thread (`runners.sensors.meter`)."""

    facts: SensorFacts | None
    reason: str | None  #: why there is no energy, where `facts` is None

    def start(self) -> None:
        """Start sampling."""

    def mark(self) -> None:
        """Take a sample right now: called just before and just after a window."""

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        """Joules and telemetry between two timestamps of `time.perf_counter_ns`."""

    def cpu_share(self) -> float | None:
        """The sampler's own CPU seconds per wall second so far."""

    def stop(self) -> None:
        """Stop sampling and close the sensor."""
