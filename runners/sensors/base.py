"""What the protocol asks of a sensor, and what it gives back.

A sensor is a source of samples on the system-wide monotonic clock (`time.perf_counter_ns`, which
on Linux is the same clock in every process). It lives in the parent process, beside the measured
one, so that the model's process holds nothing but the model. Joules of a window are a pure function
of samples and of the window's two timestamps (`runners.sensors.evaluate`), so a recorded trace is
evaluated by exactly the code that evaluates a live one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Protocol

from observatory.records import Energy
from runners.sensors.steps import Seen

#: An accelerator as the user names it: its CUDA ordinal (0 is the first one that
#: CUDA_VISIBLE_DEVICES shows) or its UUID, in full or as a unique prefix.
DeviceId = int | str

SENSORS: dict[str, str] = {
    "nvml": "runners.sensors.nvml:NvmlSensor",
    "rapl": "runners.sensors.rapl:RaplSensor",
    "codecarbon": "runners.sensors.codecarbon:CodeCarbonSensor",
    "recorded": "runners.sensors.recorded:RecordedSensor",
}


class Parts(Flag):
    """What of a sample is wanted. Reading an energy counter can be much dearer than all the rest:
    4.3 ms of CPU time on an H100 (driver 580), against 0.3 ms."""

    COUNTERS = auto()  #: the energy counters of the used components
    STATE = auto()  #: power, temperature, clocks, … of the used components: whatever is cheap
    NEIGHBOURS = auto()  #: whatever there is of components that the run does not use
    ALL = COUNTERS | STATE | NEIGHBOURS


class SensorError(Exception):
    """A sensor that is missing or failed: a reason code, a sentence, and what to do about it."""

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.remedy = code, sentence, remedy

    @property
    def reason(self) -> str:
        """`code: sentence`, as it is stored beside a missing number."""
        return f"{self.code}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of everything the sensor sees. Keys are component names (`gpu:0`, `cpu:1`,
    `dram:0`); the word before the colon says which part of the machine it is.

    `energy_j` holds cumulative counters (already unwrapped), `power_w` instant power. A component
    that could not be read is absent, and `errors` says why (`code: sentence`). `stepped` says when
    a counter stepped to the value shown, where its pace is known: it is the energy up to then.
    Counters were read at `t_ns`, give or take `unsure_ns`: a reading takes a while.
    """

    t_ns: int
    energy_j: Mapping[str, float] = field(default_factory=dict)
    power_w: Mapping[str, float] = field(default_factory=dict)
    temperature_c: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: Mapping[str, float] = field(default_factory=dict)
    utilisation: Mapping[str, float] = field(default_factory=dict)  #: 0 to 1
    throttle: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    stepped: Mapping[str, Seen] = field(default_factory=dict)
    unsure_ns: int = 0


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """What a sensor found when it was opened."""

    name: str
    method: str  #: METHOD's word: `nvml_counter`, `nvml_power_integral`, `rapl`, `codecarbon`, …
    provenance: str  #: `measured` or `estimated`
    boundary: str  #: `device` or `host`
    components: tuple[str, ...]
    used: tuple[str, ...]  #: components whose joules belong to the run; the others are neighbours
    #: Median time between changes of the slowest used counter. None: the value is made at reading.
    tick_s: float | None = None
    systematic_rel: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)  #: scope, driver, limits, MIG, …
    counters: tuple[str, ...] = ()  #: components whose energy counter is read; others give power
    component_tick_s: Mapping[str, float] = field(default_factory=dict)
    period_s: float = 0.1  #: time between two samples of the background thread
    powers: tuple[str, ...] = ()  #: components that tell their power

    def tick_of(self, component: str) -> float | None:
        """Tick of one component's counter; None where its value is made at reading."""
        return self.component_tick_s.get(component)


class Sensor(Protocol):
    """A source of samples."""

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Start. `devices` are the accelerators that the run uses, None for all that
        CUDA_VISIBLE_DEVICES shows. Raises SensorError."""

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """One sample, now, of the parts that are wanted: the counters alone in a burst near a
        window's edge, mostly the state between edges. Raises SensorError when the device is lost.
        """

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Processes on the used devices beside those of ids `own`, one short text each."""

    def close(self) -> None:
        """Stop and free. Never raises for a device that is gone already."""


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
    memory_bytes: int | None = None  #: largest sum over the used devices
    samples: int = 0


class Meter(Protocol):
    """A sensor with its one 10 Hz sampler thread (`runners.sensors.meter`)."""

    facts: SensorFacts | None
    reason: str | None  #: why there is no energy, where `facts` is None

    def start(self) -> None:
        """Start sampling."""

    def mark(self, opening: bool = False) -> None:
        """Take a sample: called just before a window (`opening`) and just after it. Where the
        counter ticks slowly it also waits for the next tick (a few ticks at most), so that the
        window begins beside a change of the counter, and the one after its end is known."""

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        """Joules and telemetry between two timestamps of `time.perf_counter_ns`."""

    def measure_tick(self, seconds: float = 2.0) -> float | None:
        """Measure the counter's tick now, and keep it: call it once while the device is busy."""

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Processes on the used devices beside those of ids `own`."""

    def cpu_share(self) -> float | None:
        """The sampler's own CPU seconds per wall second so far."""

    def stop(self) -> None:
        """Stop sampling and close the sensor."""
