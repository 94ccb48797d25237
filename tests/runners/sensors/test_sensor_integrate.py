"""The integrator against closed forms, and every rule that makes a window invalid."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.sensors.integrate import trapezoid
from runners.sensors.staircase import counter_changes, counter_difference, median_tick, unwrap
from runners.sensors.steps import Seen

S = 10**9


def ramp(step_s: float, until_s: float, slope: float, offset: float = 0.0):
    times = [round(i * step_s * S) for i in range(round(until_s / step_s) + 1)]
    return times, [offset + slope * t / S for t in times]


def test_ramp_is_exact_to_1e_9_with_edges_between_samples():
    times, power = ramp(0.1, 60.0, slope=5.0, offset=40.0)
    start, end = 1_234_567_891, 51_987_654_321
    a, b = start / S, end / S
    exact = 40.0 * (b - a) + 5.0 * (b * b - a * a) / 2
    result = trapezoid(times, power, start, end)
    assert result.energy_j == pytest.approx(exact, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    slope=st.floats(-2, 5),
    offset=st.floats(200, 400),
    start_s=st.floats(0.2, 20),
    length_s=st.floats(0.5, 60),
    step_s=st.sampled_from([0.02, 0.1, 0.37, 1.0]),
)
def test_any_ramp_any_edges(slope, offset, start_s, length_s, step_s):
    times, power = ramp(step_s, 100.0, slope=slope, offset=offset)
    start, end = round(start_s * S), round((start_s + length_s) * S)
    a, b = start / S, end / S
    result = trapezoid(times, power, start, end)
    assert result.energy_j == pytest.approx(
        offset * (b - a) + slope * (b * b - a * a) / 2, rel=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(cut_s=st.floats(2.0, 8.0))
def test_windows_add_up(cut_s):
    times, power = ramp(0.1, 12.0, slope=-3.0, offset=300.0)
    cut = round(cut_s * S)
    whole = trapezoid(times, power, 1 * S, 10 * S).energy_j
    parts = (
        trapezoid(times, power, 1 * S, cut).energy_j + trapezoid(times, power, cut, 10 * S).energy_j
    )
    assert parts == pytest.approx(whole, rel=1e-12)


def test_a_plateau_is_not_a_ramp():
    """Repeated values are samples: a 100 W plateau that ends in a step to 300 W."""
    times = [0, 1 * S, 2 * S, 3 * S, 4 * S, 5 * S]
    power = [100.0, 100.0, 100.0, 100.0, 300.0, 300.0]
    full = trapezoid(times, power, 0, 5 * S).energy_j
    assert full == pytest.approx(300 + 200 + 300)
    # What de-duplicating would make of it: a ramp from 0 s to 4 s.
    wrong = trapezoid([0, 4 * S, 5 * S], [100.0, 300.0, 300.0], 0, 5 * S, max_gap_s=10).energy_j
    assert wrong == pytest.approx(1100)


def test_a_gap_of_3_1_s_invalidates_and_3_0_does_not():
    times = [0, 1 * S, 4 * S, 5 * S]
    power = [100.0] * 4
    assert trapezoid(times, power, 0, 5 * S).energy_j == pytest.approx(500.0)
    times = [0, 1 * S, 4 * S + S // 10, 5 * S]
    assert trapezoid(times, power, 0, 5 * S).reason == "sample_gap"
    counter = counter_difference(times, [0.0, 100.0, 410.0, 500.0], S // 2, 4 * S + S // 2)
    assert counter.energy_j is None and counter.reason == "sample_gap"


def test_a_gap_outside_the_window_does_not_matter():
    times = [0, 4 * S, 5 * S, 6 * S, 7 * S, 12 * S]
    assert trapezoid(times, [100.0] * 6, 4 * S, 7 * S).energy_j == pytest.approx(300.0)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (-1, 2 * S, "edge_not_covered"),
        (1 * S, 6 * S, "edge_not_covered"),
        (2 * S, 2 * S, "empty_window"),
        (3 * S, 2 * S, "empty_window"),
    ],
)
def test_nothing_is_extrapolated(start, end, reason):
    times = [i * S for i in range(6)]
    result = trapezoid(times, [100.0] * 6, start, end)
    assert (result.energy_j, result.reason) == (None, reason)
    result = counter_difference(times, [100.0 * i for i in range(6)], start, end)
    assert (result.energy_j, result.reason) == (None, reason)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_power_samples(bad):
    times = [i * S for i in range(5)]
    assert trapezoid(times, [100.0, bad, 100.0, 100.0, 100.0], 0, 4 * S).reason == "bad_sample"


def test_power_of_nothing_but_zeros_is_no_number():
    times = [k * S // 10 for k in range(31)]
    assert trapezoid(times, [0.0] * 31, 0, 3 * S).reason == "zero_power"
    assert trapezoid(times, [0.0] * 30 + [1.0], 0, 3 * S).energy_j == pytest.approx(0.05)


def test_a_window_with_less_than_half_of_its_samples_is_no_number():
    """A sampler that stood still: the value before the window would be carried through it."""
    times = [-S // 10, 2 * S + S // 10]
    assert trapezoid(times, [60.0, 60.0], 0, 2 * S).energy_j == pytest.approx(120.0)
    assert trapezoid(times, [60.0, 60.0], 0, 2 * S, period_s=0.1).reason == "sparse_samples"
    every_other = [k * S // 5 for k in range(11)]
    assert trapezoid(every_other, [60.0] * 11, 0, 2 * S, period_s=0.1).energy_j is not None


def test_the_bound_of_an_averaged_power_covers_its_lag():
    """60, 300, 60 W at the edges of 4 s, as a reading shows it that averages over a second."""
    times = [k * S // 10 for k in range(-30, 80)]
    truth = [60.0 if not 0 <= t < 4 * S else 300.0 for t in times]
    shown = [sum(truth[max(0, i - 9) : i + 1]) / len(truth[max(0, i - 9) : i + 1])
             for i in range(len(truth))]  # fmt: skip
    found = trapezoid(times, shown, 0, 4 * S, tick_s=1.0)
    assert abs(found.energy_j - 1200.0) > 80.0
    assert abs(found.energy_j - 1200.0) <= found.edge_bound_j


def test_no_samples_at_all():
    assert trapezoid([], [], 0, S).reason == "edge_not_covered"
    assert counter_difference([], [], 0, S, tick_s=0.1).reason == "edge_not_covered"


def staircase(tick_s: float, watts: float, until_s: float, step_s: float, phase_s: float = 0.0):
    times = [round(i * step_s * S) for i in range(round(until_s / step_s) + 1)]
    values = [
        1000 + watts * (math.floor((t / S - phase_s) / tick_s + 1e-9) * tick_s + phase_s)
        for t in times
    ]
    return times, values


@pytest.mark.parametrize("tick_s", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("phase_s", [0.0, 0.013, 0.04])
def test_a_staircase_seen_closely_is_exact(tick_s, phase_s):
    times, values = staircase(tick_s, 300.0, 12.0, 0.001, phase_s)
    result = counter_difference(times, values, round(1.2345 * S), round(3.4567 * S), tick_s=tick_s)
    assert result.energy_j == pytest.approx(300.0 * 2.2222, rel=1e-3)


def test_backwards_counter_is_no_number():
    times, values = staircase(0.1, 300.0, 6.0, 0.01)
    values[300:] = [v - 500 for v in values[300:]]
    result = counter_difference(times, values, 1 * S, 5 * S, tick_s=0.1)
    assert (result.energy_j, result.reason) == (None, "counter_non_monotone")
    assert "J to" in result.sentence


def test_backwards_outside_of_the_window_does_not_touch_it():
    times, values = staircase(0.1, 300.0, 12.0, 0.01)
    values[1000:] = [v - 500 for v in values[1000:]]
    result = counter_difference(times, values, 1 * S, 5 * S, tick_s=0.1)
    assert result.energy_j == pytest.approx(1200.0, rel=2e-3)


def test_fewer_than_two_ticks_is_no_number():
    times, values = staircase(0.1, 300.0, 6.0, 0.001)
    short = counter_difference(times, values, 1 * S, 1 * S + 199 * 10**6, tick_s=0.1)
    assert (short.energy_j, short.reason) == (None, "fewer_than_two_ticks")
    enough = counter_difference(times, values, 1 * S, 1 * S + 201 * 10**6, tick_s=0.1)
    assert enough.energy_j == pytest.approx(300 * 0.201, rel=0.02)


def test_a_counter_that_stands_still_is_no_number_and_no_zero():
    times = [i * S // 10 for i in range(100)]
    stuck = counter_difference(times, [500.0] * 100, 2 * S, 8 * S, tick_s=0.1)
    assert (stuck.energy_j, stuck.reason) == (None, "counter_stuck")
    halfway = [30.0 * min(i, 30) for i in range(100)]
    late = counter_difference(times, halfway, 1 * S, 8 * S, tick_s=0.1)
    assert (late.energy_j, late.reason) == (None, "counter_stuck")


def test_a_counter_made_at_reading_needs_no_tick():
    times = [0, 2 * S, 3 * S]
    result = counter_difference(times, [0.0, 20.0, 40.0], 1 * S, 2 * S + S // 2)
    assert result.energy_j == pytest.approx(10 + 10)


def test_power_that_changes_at_an_edge_is_not_spread_evenly_over_its_tick():
    """60 W before, 300 W in the window, 60 W after; edges 30 and 70 ms after a step of 100 ms."""

    def up_to(t: float) -> float:
        return 60.0 * t + 240.0 * (min(max(t, 1.03), 4.07) - 1.03)

    times = [i * S // 100 for i in range(601)]
    values = [up_to(math.floor(t / S * 10 + 1e-9) / 10) for t in times]
    result = counter_difference(times, values, 103 * S // 100, 407 * S // 100, tick_s=0.1)
    assert result.energy_j == pytest.approx(300.0 * 3.04, rel=2e-3)
    evenly = 0.03 * 0.07 / 0.1 * 240 * 2  # what linear interpolation would lose
    assert evenly > 5 * abs(result.energy_j - 300.0 * 3.04)


def test_the_bound_holds_power_that_no_reading_of_the_counter_shows():
    """300 W until just after the opening mark, 60 W up to the window 0.7 s later, 300 W in it."""
    levels = [(-9.0, 300.0), (-0.7, 60.0), (0.0, 300.0), (2.2, 60.0), (9.0, 60.0)]

    def up_to(t: float) -> float:
        return sum(w * max(0.0, min(t, b) - a) for (a, w), (b, _) in itertools.pairwise(levels))

    def at(t: float) -> float:
        return next(w for a, w in reversed(levels) if a <= t)

    steps = [-0.8, -0.7, 1.0, 2.1, 2.2, 2.3]
    told = [Seen(round((t - 0.004) * S), round((t + 0.004) * S)) for t in steps]
    times = [round((t + 0.01) * S) for t in steps]
    powered = [(round(t * S), at(t)) for t in (k / 10 + 0.03 for k in range(-20, 40))]
    args = (times, [up_to(t) for t in steps], 0, round(2.2 * S))
    found = counter_difference(*args, tick_s=0.1, stepped=told, powered=powered)
    error_j = abs(found.energy_j - 660.0)
    assert error_j > 90.0
    assert error_j <= found.edge_bound_j
    bad = [*powered, (round(0.03 * S), math.nan), (round(0.04 * S), -50.0)]
    assert counter_difference(*args, tick_s=0.1, stepped=told, powered=bad) == found
    blind = counter_difference(*args, tick_s=0.1, stepped=told)
    assert blind.energy_j == found.energy_j


def test_a_step_that_the_pace_foretold_places_its_value():
    """Two readings beside each edge, none between: foretold steps say what they stand for."""
    times = [round(t * S) for t in (0.96, 1.98, 3.99, 4.06)]
    steps = [0.9, 1.9, 3.9, 4.0]
    values = [100.0 * t for t in steps]
    told = [Seen(round((t - 0.002) * S), round((t + 0.002) * S)) for t in steps]
    args = (times, values, round(1.99 * S), round(3.97 * S))
    known = counter_difference(*args, tick_s=0.1, stepped=told)
    assert known.energy_j == pytest.approx(198.0, rel=1e-6)
    blind = counter_difference(*args, tick_s=0.1)
    assert known.edge_bound_j < blind.edge_bound_j / 3


@pytest.mark.parametrize("taken_s", [1.98, 2.1, 2.22])
def test_a_reading_that_took_long_is_unsure_by_that(taken_s):
    """The reading beside the window's end took 0.3 s; its value was made anywhere within them."""
    times = [k * S // 100 for k in range(-30, 195)] + [round(2.1 * S), round(2.31 * S)]
    shown = [math.floor(t / S * 10 + 1e-9) / 10 for t in times]
    shown[-2] = math.floor(taken_s * 10) / 10
    unsure = [0] * (len(times) - 2) + [round(0.15 * S), 0]
    values = [1000.0 + 300.0 * t for t in shown]
    args = (times, values, round(0.02 * S), round(2.02 * S))
    found = counter_difference(*args, tick_s=0.1, unsure_ns=unsure)
    assert abs(found.energy_j - 600.0) <= found.edge_bound_j


def test_a_value_did_not_step_after_it_was_seen():
    """A counter stood still at 2 s; a pace that has not noticed says that it stepped just now."""
    times = [round(t * S) for t in (-0.06, -0.01, 2.03, 5.0, 7.05, 7.15)]
    values = [100.0, 110.0, 300.0, 300.0, 300.0, 300.0]
    told = Seen(round(6.99 * S), round(7.01 * S))
    args = (times, values, 0, round(7.02 * S))
    found = counter_difference(*args, tick_s=0.1, stepped=[None] * 4 + [told] * 2)
    assert (found.energy_j, found.reason) == (None, "counter_stuck")


def test_two_steps_are_a_tick_apart():
    """A value seen long after the one before it, and the next one soon after: where can it be?"""
    changes = counter_changes([0.0, 0.1, 2.05, 2.06, 2.11], [0.0, 1.0, 20.0, 20.0, 21.0], 0.1)
    assert changes[2].t_s + changes[2].uncertainty_s == pytest.approx(2.11 - 0.1, abs=0.004)


@settings(max_examples=40, deadline=None)
@given(
    tick_s=st.sampled_from([0.02, 0.05, 0.1]),
    phase=st.floats(0, 1),
    jitter=st.lists(st.integers(-2_000_000, 2_000_000), min_size=130, max_size=130),
)
def test_the_placed_changes_hold_the_true_ones(tick_s, phase, jitter):
    """10 Hz samples with jitter: each step's stated uncertainty covers where it truly was."""
    times = [i * 100_000_000 + 10_000_000 + j for i, j in enumerate(jitter)]
    offset = phase * tick_s
    ticks = [math.floor((t / S - offset) / tick_s) for t in times]
    values = [100.0 * k * tick_s for k in ticks]
    changes = counter_changes([t / S for t in times], values, tick_s)
    truth = {100.0 * k * tick_s: k * tick_s + offset for k in ticks}
    for change in changes:
        assert abs(change.t_s - truth[change.energy_j]) <= change.uncertainty_s + 1e-9


@pytest.mark.parametrize("tick_s", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("poll_s", [0.0013, 0.0021, 0.0045])
def test_median_tick_of_a_dense_poll(tick_s, poll_s):
    times, values = staircase(tick_s, 300.0, 2.0, poll_s, 0.02)
    assert median_tick([t / S for t in times], values) == pytest.approx(tick_s, rel=0.01)


def test_a_tick_that_was_missed_does_not_lengthen_the_rest():
    times, values = staircase(0.1, 300.0, 2.0, 0.002)
    kept = [i for i, t in enumerate(times) if not 0.75e9 < t < 1.05e9]
    tick = median_tick([times[i] / S for i in kept], [values[i] for i in kept])
    assert tick == pytest.approx(0.1, rel=0.02)


def test_readings_that_come_late_do_not_lengthen_the_tick():
    """Two of three intervals hold a reading that took longer than a tick: they tell nothing."""
    times, values = staircase(0.1, 300.0, 1.2, 0.002)
    late = ((0.25, 0.44), (0.55, 0.74))
    kept = [i for i, t in enumerate(times) if not any(a < t / S < b for a, b in late)]
    tick = median_tick([times[i] / S for i in kept], [values[i] for i in kept])
    assert tick == pytest.approx(0.1, rel=0.02)
    few = [i for i in kept if times[i] < 0.75 * S]
    assert median_tick([times[i] / S for i in few], [values[i] for i in few]) is None


def test_median_tick_is_unknown_where_sampling_set_the_pace():
    times, values = staircase(0.001, 300.0, 2.0, 0.0013)
    assert median_tick([t / S for t in times], values) is None
    assert median_tick([0, 1, 2], [5.0, 5.0, 5.0]) is None


@settings(max_examples=100, deadline=None)
@given(
    total=st.integers(0, 10**7),
    steps=st.lists(st.integers(0, 4 * 10**5), max_size=40),
)
def test_unwrap_follows_a_wrapping_counter(total, steps):
    wrap = 10**6
    raw = total % wrap
    counted = 0
    for step in steps:
        following = (raw + step) % wrap
        counted += unwrap(raw, following, wrap)
        raw = following
    assert counted == sum(steps)


def test_unwrap_leaves_a_small_fall_visible():
    assert unwrap(1000, 900, 10**6) == -100
    assert unwrap(990_000, 5_000, 10**6) == 15_000
    assert unwrap(1000, 900, 0) == -100
