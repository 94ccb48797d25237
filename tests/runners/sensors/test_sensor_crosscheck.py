"""A counter that fell where nobody looked, and one that merely disagrees with power."""

from __future__ import annotations

import itertools

import pytest

from runners.sensors.base import Parts
from runners.sensors.crosscheck import shortfall_j
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import ScriptedClock
from tests.runners.sensors.synthetic_gpu import Power, SyntheticSensor, window

S = 10**9
STEADY = Power([(0.0, 300.0)])


class Falling(SyntheticSensor):
    """A counter that loses `fall_j` at 6 s."""

    fall_j = 0.0

    def counter_j(self, power: Power, t_s: float) -> float:
        return super().counter_j(power, t_s) - (self.fall_j if t_s >= 6.0 else 0.0)


def sparse(fall_j: float, gain: float = 1.0, seconds: float = 10.0):
    """A window whose counter is read at its edges and every two seconds, as on an H100."""
    clock = ScriptedClock()
    sensor = Falling(clock, {"gpu:0": STEADY}, power_gain=gain)
    sensor.fall_j = fall_j
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    turns = itertools.count()
    clock.every(0.1, lambda: meter.sample(Parts.STATE if next(turns) % 20 else Parts.ALL))
    meter.start()
    clock.sleep(1.0)
    return window(meter, clock, seconds)[0].energy


@pytest.mark.parametrize("fall_j", [100.0, 500.0, 590.0])
def test_a_fall_between_two_readings_is_no_number(fall_j: float) -> None:
    """The counter still rises from one reading to the next, and shows no decrease."""
    energy = sparse(fall_j)
    assert energy.device_j is None
    assert energy.reason.startswith("counter_non_monotone: gpu:0")
    assert energy.integral_j == pytest.approx(3000, rel=1e-3)


def test_a_fall_below_the_tick_and_the_usual_difference_is_not_told_apart() -> None:
    assert sparse(20.0).device_j == pytest.approx(2980, rel=2e-3)


@pytest.mark.parametrize("gain", [1.3, 1.08, 0.7])
def test_a_constant_factor_is_a_disagreement_and_no_fall(gain: float) -> None:
    energy = sparse(0.0, gain)
    assert energy.device_j == pytest.approx(3000, rel=1e-3)
    assert "sensor_disagreement" in energy.flags


def test_a_fall_beside_a_constant_factor_is_found() -> None:
    assert sparse(300.0, 1.3).reason.startswith("counter_non_monotone")


def test_one_stretch_alone_tells_only_what_no_factor_explains() -> None:
    powered = [(k * S // 10, 300.0) for k in range(-5, 30)]
    short = [(0, 0.0), (2 * S, 500.0)]
    assert shortfall_j(short, powered, 0, 2 * S, 0.1) is None
    assert shortfall_j([(0, 0.0), (2 * S, 300.0)], powered, 0, 2 * S, 0.1) == pytest.approx(300)


def test_power_with_a_gap_says_nothing() -> None:
    powered = [(0, 300.0), (4 * S, 300.0)]
    assert shortfall_j([(0, 0.0), (4 * S, 100.0)], powered, 0, 4 * S, 0.1) is None
    assert shortfall_j([(0, 0.0), (4 * S, 100.0)], [], 0, 4 * S, 0.1) is None


def test_power_that_falls_between_two_samples_is_no_fall_of_the_counter() -> None:
    """300 W until just after a sample of power, 60 W from then on; ten readings a second."""
    times = [k * S // 10 for k in range(-5, 30)]
    powered = [(t, 300.0 if t <= S else 60.0) for t in times]
    counted = [(t, 300.0 * min(t, S) / S + 60.0 * max(0, t - S) / S) for t in times]
    assert shortfall_j(counted, powered, 0, 2 * S, 0.01) is None
    lost = [(t, e - (40.0 if t > 15 * S // 10 else 0.0)) for t, e in counted]
    assert shortfall_j(lost, powered, 0, 2 * S, 0.01) == pytest.approx(40.0)


def test_a_reading_that_took_long_is_no_fall_of_the_counter() -> None:
    """A value that was made 150 ms before the middle of its reading."""
    times = [k * S // 10 for k in range(-5, 30)]
    powered = [(t, 300.0) for t in times]
    counted = [(t, 300.0 * t / S) for t in times if t != 9 * S // 10]
    at = next(i for i, (t, _) in enumerate(counted) if t == S)
    counted[at] = (S, 300.0 * 0.85)
    unsure = [150 * 10**6 if i == at else 0 for i in range(len(counted))]
    assert shortfall_j(counted, powered, 0, 2 * S, 0.02, unsure) is None
    assert shortfall_j(counted, powered, 0, 2 * S, 0.02) is not None
