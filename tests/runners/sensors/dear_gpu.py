"""A synthetic GPU whose counter is dear to read, and windows on it as the protocol makes them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from runners.sensors.base import Parts, Sample
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import ScriptedClock
from tests.runners.sensors.synthetic_gpu import Power, SyntheticSensor

READING_S = 0.0043  #: CPU time of one reading of an H100's counter (driver 580)


class Dear(SyntheticSensor):
    """A counter that takes 4.3 ms to read, as on an H100; its value is taken halfway.

    Steps come up to `jitter_s` late. Counters are sampled as a thread would.
    """

    counted = 0
    jitter_s = 0.0
    taking = False

    def counter_j(self, power: Power, t_s: float) -> float:
        tick = math.floor((t_s - self.phase_s) / self.tick_s)
        late_s = self.jitter_s * random.Random(tick).random()
        if t_s < tick * self.tick_s + self.phase_s + late_s:
            tick -= 1
        return 5000.0 + power.energy_j(max(0.0, tick * self.tick_s + self.phase_s))

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        if Parts.COUNTERS not in parts:
            return super().read(parts)
        self.counted += 1
        self.pass_(READING_S / 2)
        sample = super().read(parts)
        self.pass_(READING_S / 2)
        return sample

    def pass_(self, seconds: float) -> None:
        """Time that a reading takes: nothing else is read meanwhile."""
        self.clock._now_ns += round(seconds * 1e9)


class DearMeter(SampledMeter):
    """A meter that knows what a reading costs: on a scripted clock none takes CPU time."""

    counter_s = READING_S  # type: ignore[assignment]


@dataclass
class Bench:
    """A meter on such a counter, that is measured as a run does; `idle` outside of windows."""

    tick_s: float = 0.1
    phase_s: float = 0.0
    jitter_s: float = 0.0
    idle_w: float = 60.0

    def __post_init__(self) -> None:
        self.clock = ScriptedClock()
        self.power = Power([(0.0, 300.0)])
        self.sensor = Dear(self.clock, {"gpu:0": self.power}, self.tick_s, self.phase_s)
        self.sensor.jitter_s = self.jitter_s
        facts = self.sensor.open()
        self.meter = meter = DearMeter(self.sensor, facts, clock=self.clock, thread=False)
        self.clock.every(0.1, lambda: meter.sample(meter.due_parts()))
        meter.start()
        self.clock.sleep(1.0)
        meter.measure_tick(5.0)
        self.draw(self.idle_w)

    def draw(self, watts: float) -> None:
        """From now on the device draws so much."""
        self.power.levels = [*self.power.levels, (self.sensor.now_s(), watts)]

    def window(self, seconds: float, pause_s: float) -> tuple[float, float, int]:
        """(relative error of its joules, its bound, readings of the counter at its edges)."""
        before = self.sensor.counted
        self.meter.mark(opening=True)
        at_edges = self.sensor.counted - before
        self.clock.sleep(0.003)
        start = self.clock.now_ns()
        self.draw(300.0)
        self.clock.sleep(seconds)
        end = self.clock.now_ns()
        self.draw(self.idle_w)
        self.clock.sleep(0.002)
        before = self.sensor.counted
        self.meter.mark()
        at_edges += self.sensor.counted - before
        self.clock.sleep(pause_s)
        energy = self.meter.reading(start, end).energy
        truth = 300.0 * (end - start) * 1e-9
        return (energy.device_j - truth) / truth, energy.edge_bound_rel, at_edges
