"""Traces recorded on an NVIDIA H100 (700 W, driver 580) by tools/nvml_traces.py: METHOD §3 there.

`tick` is the counter alone under load, `step` idle, load and idle again, `steady` eighteen seconds
of load at the power limit, `idle` a device with a context and no work.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.sensors.evaluate import evaluate
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import RecordedSensor, ScriptedClock, Trace, facts_of, read_trace
from runners.sensors.staircase import median_tick

TRACES = Path(__file__).resolve().parents[2] / "data" / "traces"
LIMIT_W = 700.0
NS = 1e-9


def trace(name: str) -> Trace:
    return read_trace(TRACES / f"nvidia_h100_80gb_hbm3_{name}.csv")


def test_the_counter_steps_ten_times_a_second() -> None:
    found = trace("tick")
    times = [s.t_ns * NS for s in found.samples]
    tick_s = median_tick(times, [s.energy_j["gpu:0"] for s in found.samples])
    assert tick_s == pytest.approx(0.1, rel=0.003)
    assert facts_of(found).tick_s == pytest.approx(tick_s, rel=0.003)


@pytest.mark.parametrize("seconds", [2.0, 4.0, 8.0, 16.0])
@pytest.mark.parametrize("start_s", [0.5, 0.55, 0.81, 1.1])
def test_counter_and_integral_agree_within_the_rule(seconds: float, start_s: float) -> None:
    found = trace("steady")
    start, end = int(start_s / NS), int((start_s + seconds) / NS)
    reading = evaluate(found.samples, facts_of(found), start, end)
    joules, integral = reading.energy.device_j, reading.energy.integral_j
    assert joules is not None and integral is not None
    assert integral == pytest.approx(joules, rel=0.03)
    assert reading.flags == ("power_capped",)
    assert reading.power_mean_w == pytest.approx(LIMIT_W, rel=0.015)


def test_windows_that_share_an_edge_add_up() -> None:
    """Energy at an edge is one number, whichever window asks."""
    found = trace("steady")
    facts = facts_of(found)

    def joules(start_s: float, end_s: float) -> float:
        made = evaluate(found.samples, facts, int(start_s / NS), int(end_s / NS)).energy.device_j
        assert made is not None
        return made

    parts = sum(joules(1.0 + 2.5 * i, 3.5 + 2.5 * i) for i in range(6))
    assert parts == pytest.approx(joules(1.0, 16.0), rel=2e-3)


def test_the_average_field_lags_a_second_behind_the_instant_one() -> None:
    """Why instant power is sampled: a window of 2 s read from the average misses a third."""
    found = trace("step")
    begin_s = next(s.t_ns for s in found.samples if s.t_ns * NS > 1.5 and s.power_w["gpu:0"] > 400)
    average = dict(found.average_w["gpu:0"])
    at = {round(t - begin_s * NS, 1): watts for t, watts in average.items()}
    assert at[0.1] < 300 < at[0.4] < 500 < at[0.7] < 650 < at[1.1]
    instant = [s.power_w["gpu:0"] for s in found.samples if 0 <= s.t_ns - begin_s < 5e8]
    assert min(instant) > 650


def test_a_step_of_600_w_inside_a_window_is_counted() -> None:
    """127 W for 0.8 s, then the limit: the counter's window, and a bound wider than the error."""
    found = trace("step")
    facts = facts_of(found)
    whole = evaluate(found.samples, facts, int(1.0 / NS), int(5.0 / NS)).energy
    rise_s = 1.85  # between the samples at 1.8 s (127 W) and 1.9 s (781 W)
    expected = 127.5 * (rise_s - 1.0) + 697.0 * (5.0 - rise_s)
    assert whole.device_j == pytest.approx(expected, rel=0.03)
    assert whole.edge_bound_rel is not None and 0.01 < whole.edge_bound_rel < 0.05


def test_a_context_without_work_draws_130_w() -> None:
    found = trace("idle")
    reading = evaluate(found.samples, facts_of(found), int(0.5 / NS), int(5.5 / NS))
    assert reading.power_mean_w == pytest.approx(134.6, abs=0.5)
    assert reading.energy.integral_j == pytest.approx(reading.energy.device_j, rel=1e-3)
    assert reading.flags == () and reading.clock_mhz == 1980.0


def test_the_meter_plays_it_back() -> None:
    """Through sampler, marks and forgetting: the same joules as from the samples themselves."""
    clock = ScriptedClock()
    found = trace("steady")
    sensor = RecordedSensor(found, clock.now_ns)
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    zero = clock.now_ns()
    clock.every(0.1, meter.sample)
    meter.start()
    clock.sleep(1.0)
    meter.mark(opening=True)
    start = clock.now_ns()
    clock.sleep(10.0)
    end = clock.now_ns()
    meter.mark()
    clock.sleep(0.5)
    played = meter.reading(start, end).energy
    plain = evaluate(found.samples, facts_of(found), start - zero, end - zero).energy
    assert played.device_j == pytest.approx(plain.device_j, rel=0.01)
    assert played.method == "nvml_counter" and played.provenance == "measured"
