"""Foretelling a counter's steps, and what that saves."""

from __future__ import annotations

import random

import pytest

from runners.sensors.base import Parts, Sample
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import ScriptedClock
from runners.sensors.steps import Seen, StepClock
from tests.runners.sensors.synthetic_gpu import Power, SyntheticSensor

MS = 10**6


def seen(step_ms: float, before_ms: float, after_ms: float) -> Seen:
    return Seen(round((step_ms - before_ms) * MS), round((step_ms + after_ms) * MS))


def test_a_reading_is_due_before_the_next_step_and_every_step_makes_the_pace_finer() -> None:
    rng = random.Random(1)
    clock = StepClock(0.101)  # one per cent off
    errors = [clock.error_rel]
    at_ms = 0.0
    for hop in (1, 4, 10, 10, 50, 100, 100):
        at_ms += 100.0 * hop
        clock.seen(seen(at_ms, 5 * rng.random(), 5 * rng.random()))
        errors.append(clock.error_rel)
        wait_s = clock.wait_s(round(at_ms * MS) + 7 * MS, 0.005)
        assert wait_s is not None and 0.0 <= wait_s < 0.11
        ends_ms = 7 + wait_s * 1e3 + 5
        assert ends_ms < 100.0
        assert 7 + wait_s * 1e3 + 1e3 * clock.unsure_s(round((at_ms + 100) * MS)) + 10 > 100.0
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3
    assert clock.tick_s == pytest.approx(0.1, rel=2 * clock.error_rel)


def test_nothing_is_foretold_before_a_step_or_long_after_one() -> None:
    clock = StepClock(0.1)
    assert clock.wait_s(0, 0.002) is None
    clock.seen(Seen(0, 4 * MS))
    assert clock.wait_s(100 * MS, 0.002) is not None
    assert clock.wait_s(60_000 * MS, 0.002) is None


def test_a_pace_that_misled_is_as_unsure_as_at_first() -> None:
    clock = StepClock(0.1, error_rel=1e-4)
    clock.seen(Seen(0, 2 * MS))
    clock.seen(Seen(1_050 * MS, 1_052 * MS))  # half a tick off
    assert clock.error_rel == 1e-4 and clock.tick_s == 0.1
    clock.seen(Seen(1_150 * MS, 1_152 * MS))
    assert clock.tick_s == pytest.approx(0.1, rel=0.02)


class Dear(SyntheticSensor):
    """A counter that takes 4.3 ms to read, as on an H100."""

    counted = 0

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        if Parts.COUNTERS in parts:
            self.counted += 1
            self.clock.sleep(0.0043)
        return super().read(parts)


def test_three_or_four_readings_an_edge_once_the_pace_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Polling would take eight at each edge on the average, sixteen a window."""
    monkeypatch.setattr(SampledMeter, "counter_s", property(lambda self: 0.0043))
    for phase in range(10):
        clock = ScriptedClock()
        sensor = Dear(clock, {"gpu:0": Power([(0.0, 300.0)])}, 0.1, phase_s=0.01 * phase)
        meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
        meter.start()
        clock.sleep(1.0)
        assert meter.measure_tick(2.0) == pytest.approx(0.1, rel=5e-3)
        assert sensor.counted < 90
        meter.mark()  # the first may still poll
        readings = []
        for k in range(12):
            before = sensor.counted
            meter.mark()
            start = clock.now_ns()
            clock.sleep(2.0 + 0.83 * k)
            end = clock.now_ns()
            meter.mark()
            readings.append(sensor.counted - before)
            clock.sleep(0.25)
            reading = meter.reading(start, end)
            if end - start < 3e9:  # no thread samples here: longer windows break the gap rule
                truth = 300.0 * (end - start) * 1e-9
                error = abs(reading.energy.device_j - truth) / truth
                assert error <= reading.energy.edge_bound_rel and error < 0.01
        assert sum(readings) <= 9 * len(readings)  # of both edges of a window


def test_an_idle_tick_that_doubles_under_load_is_noticed() -> None:
    clock = ScriptedClock()
    sensor = SyntheticSensor(clock, {"gpu:0": Power([(0.0, 300.0)])}, tick_s=0.1)
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    meter.start()
    sensor.tick_s = 0.05
    assert meter.measure_tick(2.0) == pytest.approx(0.05, rel=5e-3)
    sensor.tick_s = 0.1
    assert meter.measure_tick(2.0) == pytest.approx(0.1, rel=5e-3)
