"""Foretelling a counter's steps, and what that saves."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from runners.sensors.base import Parts, Sample
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import ScriptedClock
from runners.sensors.steps import FRESH_ERROR_REL, Seen, StepPace
from runners.sensors.watch import CounterWatch
from tests.runners.sensors.dear_gpu import Bench
from tests.runners.sensors.synthetic_gpu import Power, SyntheticSensor

MS = 10**6


def seen(step_ms: float, before_ms: float, after_ms: float) -> Seen:
    return Seen(round((step_ms - before_ms) * MS), round((step_ms + after_ms) * MS))


def test_a_reading_is_due_before_the_next_step_and_every_step_makes_the_pace_finer() -> None:
    rng = random.Random(1)
    clock = StepPace(0.101)  # one per cent off
    errors = [clock.error_rel]
    at_ms = 0.0
    for hop in (1, 4, 10, 10, 50, 100, 100):
        at_ms += 100.0 * hop
        clock = clock.with_step(seen(at_ms, 5 * rng.random(), 5 * rng.random()))
        errors.append(clock.error_rel)
        wait_s = clock.wait_s(round(at_ms * MS) + 7 * MS, 0.005)
        assert wait_s is not None and 0.0 <= wait_s < 0.11
        ends_ms = 7 + wait_s * 1e3 + 5
        assert ends_ms < 100.0
        assert 7 + wait_s * 1e3 + 1e3 * clock.unsure_s(round((at_ms + 100) * MS)) + 10 > 100.0
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3
    assert clock.tick_s == pytest.approx(0.1, rel=2 * clock.error_rel)


def test_nothing_is_foretold_before_a_step_or_long_after_one() -> None:
    clock = StepPace(0.1)
    assert clock.wait_s(0, 0.002) is None
    clock = clock.with_step(Seen(0, 4 * MS))
    assert clock.wait_s(100 * MS, 0.002) is not None
    assert clock.wait_s(60_000 * MS, 0.002) is None


def test_a_pace_that_misled_is_as_unsure_as_at_first() -> None:
    clock = StepPace(0.1, error_rel=1e-4)
    clock = clock.with_step(Seen(0, 2 * MS))
    clock = clock.with_step(Seen(1_050 * MS, 1_052 * MS))  # half a tick off
    assert clock.error_rel == FRESH_ERROR_REL and clock.tick_s == 0.1
    clock = clock.with_step(Seen(1_150 * MS, 1_152 * MS))
    assert clock.tick_s == pytest.approx(0.1, rel=0.02)


def test_a_reading_is_placed_beside_the_step_before_it() -> None:
    pace = StepPace(0.1, error_rel=1e-4).with_step(Seen(0, 4 * MS))
    step, due = pace.around(540 * MS, 545 * MS) or (None, None)
    assert due is None and step is not None
    assert step.after_ns <= 500 * MS and step.by_ns >= 504 * MS and step.width_s < 0.007
    step, due = pace.around(501 * MS, 505 * MS) or (None, None)  # one is due just then
    assert due is not None and step is not None
    assert (due.middle_ns - step.middle_ns) * 1e-9 == pytest.approx(0.1, abs=1e-3)
    assert pace.around(540 * MS, 710 * MS) is None  # longer than a tick: it says nothing
    assert StepPace(0.1).around(0, MS) is None


def test_a_step_known_beforehand_is_narrowed_and_no_second_one() -> None:
    pace = StepPace(0.1).with_step(Seen(0, 10 * MS)).with_step(Seen(2 * MS, 14 * MS))
    assert (pace.first, pace.last, pace.ticks) == (Seen(2 * MS, 10 * MS), pace.first, 0)


def test_a_step_that_a_long_reading_hides_tells_nothing() -> None:
    pace = StepPace(0.1).with_step(Seen(0, 4 * MS))
    assert pace.with_step(Seen(90 * MS, 310 * MS)) == pace
    assert pace.with_step(Seen(98 * MS, 104 * MS)) != pace


class Late(SyntheticSensor):
    """A cheap counter of which one reading in thirty takes 50 to 300 ms."""

    rng = random.Random(3)

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        began_ns = self.clock.now_ns()
        sample = super().read(parts)
        if Parts.COUNTERS in parts and self.rng.random() < 1 / 30:
            self.clock._now_ns += round(self.rng.uniform(0.05, 0.3) * 1e9)
        return replace(sample, t_ns=(began_ns + self.clock.now_ns()) // 2)


def test_late_readings_do_not_falsify_the_tick() -> None:
    for _ in range(20):
        clock = ScriptedClock()
        sensor = Late(clock, {"gpu:0": Power([(0.0, 300.0)])}, tick_s=0.1)
        meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
        meter.start()
        meter.measure_tick(5.0)
        assert meter.facts is not None
        assert meter.facts.tick_of("gpu:0") == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("jitter_s", [0.0, 0.001])
def test_an_edge_takes_two_readings_and_its_joules_are_true(jitter_s: float) -> None:
    """Power steps at the edges, the worst that they can do; the pace is known from the tick.

    Polling for the steps would take sixteen readings a window on the average.
    """
    rng = random.Random(5)
    for length_s, within in ((2.0, 0.015), (10.0, 0.005)):
        errors, readings = [], []
        for _ in range(4):
            bench = Bench(phase_s=0.1 * rng.random(), jitter_s=jitter_s)
            for _ in range(8):
                pause_s = rng.choice([rng.uniform(0.02, 0.05), rng.uniform(0.2, 2.0)])
                error, bound, took = bench.window(length_s + 0.3 * rng.random(), pause_s)
                assert abs(error) <= bound <= 2 * 0.1 / length_s
                errors.append(error)
                readings.append(took)
        assert max(map(abs, errors)) < within
        assert abs(sum(errors)) / len(errors) < within / 3  # and they lean to neither side
        assert sum(readings) <= 4 * len(readings)


@pytest.mark.parametrize("factor", [0.5, 1.04, 1.3])
def test_a_pace_that_changes_after_it_was_measured_does_not_mislead(factor: float) -> None:
    bench = Bench()
    for _ in range(3):
        bench.window(10.0, 0.3)
    bench.sensor.phase_s = bench.sensor.now_s()
    bench.sensor.tick_s *= factor
    found = [bench.window(10.0 + 0.037 * k, 0.3) for k in range(8)]
    assert all(abs(error) < 0.02 for error, _, _ in found)


def test_a_tick_is_measured_in_thirty_readings() -> None:
    bench = Bench(phase_s=0.037)
    before = bench.sensor.counted
    assert bench.meter.measure_tick(5.0) == pytest.approx(0.1, rel=2e-3)
    sampled = 5.0 / bench.meter.counter_period_s  # by the thread, meanwhile
    assert bench.sensor.counted - before <= 30 + sampled


def test_an_idle_tick_that_doubles_under_load_is_noticed() -> None:
    clock = ScriptedClock()
    sensor = SyntheticSensor(clock, {"gpu:0": Power([(0.0, 300.0)])}, tick_s=0.1)
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    meter.start()
    sensor.tick_s = 0.05
    assert meter.measure_tick(2.0) == pytest.approx(0.05, rel=5e-3)
    sensor.tick_s = 0.1
    assert meter.measure_tick(2.0) == pytest.approx(0.1, rel=5e-3)


class Flickering(CounterWatch):
    """Another thread finds the pace contradicted whenever the value shown was looked at."""

    @property
    def _shown(self) -> tuple[Seen, float] | None:
        shown, self.__dict__["shown"] = self.__dict__.get("shown"), None
        return shown

    @_shown.setter
    def _shown(self, shown: tuple[Seen, float] | None) -> None:
        self.__dict__["shown"] = shown


def test_a_mark_bears_a_pace_that_the_sampler_ends_meanwhile() -> None:
    clock = ScriptedClock(1010 * MS)
    sensor = SyntheticSensor(clock, {"gpu:0": Power([(0.0, 300.0)])})
    watch = Flickering(sensor.read, lambda: 0.0, clock, sensor.open())
    watch._shown = (Seen(998 * MS, 1002 * MS), 5000.0)
    assert watch._seen_just_now()
