"""A synthetic GPU: known power over time, a counter that ticks, and a clock that is scripted.

The truth is known in closed form, so that every rule of the energy method can be held against it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from runners.sensors.base import Parts, Sample, SensorError, SensorFacts
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import ScriptedClock

NS = 1e-9


@dataclass
class Power:
    """Piecewise constant power: `levels` are (from_s, watts), in order; the first from 0 s."""

    levels: Sequence[tuple[float, float]]

    def at(self, t_s: float) -> float:
        starts = [s for s, _ in self.levels]
        return self.levels[max(0, bisect_right(starts, t_s) - 1)][1]

    def energy_j(self, t_s: float) -> float:
        """Integral from 0 to t."""
        edges = [s for s, _ in self.levels if s < t_s] + [t_s]
        return sum((b - a) * self.at(a) for a, b in pairwise(edges))


@dataclass
class SyntheticSensor:
    """One or more GPUs on a scripted clock. `tick_s` is the counter's, `phase_s` its offset."""

    clock: ScriptedClock
    power: dict[str, Power]
    tick_s: float = 0.1
    phase_s: float = 0.0
    used: tuple[str, ...] = ("gpu:0",)
    has_counter: bool = True
    power_gain: float = 1.0  #: what the power field shows over the truth
    error: SensorError | None = None
    error_from_s: float = float("inf")
    backwards_at_s: float = float("inf")
    zero_ns: int = field(default=0)
    reads: int = 0

    def __post_init__(self) -> None:
        self.zero_ns = self.clock.now_ns()

    def now_s(self) -> float:
        return (self.clock.now_ns() - self.zero_ns) * NS

    def open(self, devices=None) -> SensorFacts:
        names = tuple(self.power)
        return SensorFacts(
            name="synthetic",
            method="nvml_counter" if self.has_counter else "nvml_power_integral",
            provenance="measured",
            boundary="device",
            components=names,
            used=self.used,
            tick_s=self.tick_s,
            systematic_rel=0.055,
            counters=names if self.has_counter else (),
            component_tick_s=dict.fromkeys(names, self.tick_s),
        )

    def counter_j(self, power: Power, t_s: float) -> float:
        """The truth up to the newest tick."""
        ticks = int((t_s - self.phase_s) / self.tick_s + 1e-9)
        energy = power.energy_j(max(0.0, ticks * self.tick_s + self.phase_s))
        return 5000.0 + energy - (50.0 if t_s >= self.backwards_at_s else 0.0)

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        self.reads += 1
        t_s = self.now_s()
        if self.error is not None and t_s >= self.error_from_s:
            raise self.error
        energy = {n: self.counter_j(p, t_s) for n, p in self.power.items()}
        now = self.clock.now_ns()
        named = self.power if Parts.STATE in parts else self.used
        there = self.has_counter and Parts.COUNTERS in parts
        counted = {n: energy[n] for n in named if there}
        if Parts.STATE not in parts:
            return Sample(now, energy_j=counted)
        return Sample(
            now,
            energy_j=counted,
            power_w={n: p.at(t_s) * self.power_gain for n, p in self.power.items()},
        )

    def foreign_processes(self, own=()) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


def meter_on(sensor: SyntheticSensor) -> SampledMeter:
    """A meter without a thread, sampled at 10 Hz by the scripted clock."""
    meter = SampledMeter(sensor, sensor.open(), clock=sensor.clock, thread=False)
    sensor.clock.every(0.1, meter.sample)
    meter.start()
    return meter


def window(meter: SampledMeter, clock: ScriptedClock, seconds: float, delay_s: float = 0.003):
    """One window as the protocol makes it: mark, the way to the process, run, way back, mark."""
    meter.mark(opening=True)
    clock.sleep(delay_s)
    start = clock.now_ns()
    clock.sleep(seconds)
    end = clock.now_ns()
    clock.sleep(delay_s)
    meter.mark()
    clock.sleep(0.25)
    return meter.reading(start, end), start, end
