"""The one statistics module, against published values and against its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory import statistics as s

values = st.lists(st.floats(0.1, 100), min_size=1, max_size=30)


def test_median_and_mad() -> None:
    assert s.median([3, 1, 2]) == 2
    assert s.mad([1, 1, 2, 2, 4, 6, 9]) == 1  # the textbook example
    with pytest.raises(ValueError, match="no values"):
        s.median([])


def test_t_interval_is_student() -> None:
    # Student (1908), the sleep data: mean difference 1.58, t = 4.0621, df = 9.
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    interval = s.t_interval(sleep)
    assert interval.mid == pytest.approx(1.58)
    assert (interval.low, interval.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert s.t_interval([1.0]).low is None


def test_wilson_is_wilson() -> None:
    # Newcombe (1998), method 3: 81 of 263 gives 0.2553 to 0.3662.
    interval = s.wilson_interval(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert s.wilson_interval(0, 10).low == 0.0
    with pytest.raises(ValueError, match="no share"):
        s.wilson_interval(3, 2)


def test_the_interval_depends_on_the_number_of_processes() -> None:
    rng = np.random.default_rng(1)
    one = [rng.normal(10, 1, 5)]
    assert s.process_interval(one).method == "within-process t on log windows"
    assert s.process_interval(one * 3).method == "t on 3 log process means"
    negative = [[-1.0, 1.0], [-2.0, 2.5]]  # no logarithm: a difference, not a time
    assert s.process_interval(negative).method == "t on 2 process means"
    assert s.process_interval(negative[:1]).method == "within-process t on windows"
    six = [rng.normal(10, 1, 5) for _ in range(6)]
    interval = s.process_interval(six)
    assert interval.method == "hierarchical bootstrap of 6 processes"
    assert interval == s.process_interval(six), "a fixed seed"
    assert s.process_interval([[1.0]]).low is None


def test_t_on_process_means_covers_when_processes_differ() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        means = rng.normal(10, 1, 3)
        interval = s.process_interval([rng.normal(m, 0.1, 5) for m in means])
        assert interval.low is not None and interval.high is not None
        inside += interval.low <= 10 <= interval.high
    # The middle is the median of windows, not the mean: coverage stays near the nominal 95 %.
    assert 0.90 <= inside / 400 <= 0.99


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.05, 0.6])
def test_processes_that_differ_by_factors_are_covered_and_never_reach_0(
    processes: int, spread: float
) -> None:
    """Log-normal processes around 10 s: 19 intervals of 20 hold it, and none starts at 0."""
    rng = np.random.default_rng(processes)
    inside = 0
    for _ in range(1000):
        centres = 10 * np.exp(spread * rng.standard_normal(processes))
        windows = [c * np.exp(0.1 * spread * rng.standard_normal(5)) for c in centres]
        interval = s.process_interval(windows)
        assert interval.low is not None and interval.high is not None and interval.low > 0
        assert interval.low * interval.high == pytest.approx(interval.mid**2)
        inside += interval.low <= 10 <= interval.high
    assert 0.925 <= inside / 1000 <= 0.975


def test_windows_of_one_process_differ_by_factors_too() -> None:
    """Two windows of a prefill, 12.9 and 15.3 ms, do not allow 0 ms."""
    interval = s.process_interval([[0.0129, 0.0153]])
    # ln(15.3 / 12.9) = 0.1706; times t(0.975, df=1) = 12.706 and halved: a factor of 2.957.
    assert interval.low == pytest.approx(0.0141 / 2.957, rel=1e-3)
    assert interval.high == pytest.approx(0.0141 * 2.957, rel=1e-3)


def test_between_process_spread() -> None:
    assert s.between_process_spread([[1.0, 1.0], [1.2, 1.2]]) == pytest.approx(0.2 / 1.1)
    assert s.between_process_spread([[1.0, 2.0]]) is None


def test_paired_ratio_claims_only_what_is_there() -> None:
    rng = np.random.default_rng(3)
    b = rng.uniform(1, 2, 40)
    ten = s.paired_ratio(0.9 * b * rng.normal(1, 0.01, 40), b)
    assert ten.high is not None and ten.high < 1 and ten.mid == pytest.approx(0.9, abs=0.01)
    none = s.paired_ratio(b * rng.normal(1, 0.05, 40), b)
    assert none.low is not None and none.high is not None and none.low < 1 < none.high
    with pytest.raises(ValueError, match="paired"):
        s.paired_ratio([1, 2], [1])


def test_a_paired_ratio_of_few_pairs_covers_what_it_says() -> None:
    """Three pairs with a shared drift: the interval holds the true ratio nineteen times in twenty,
    and the drift that both share is no part of it."""
    rng = np.random.default_rng(11)
    inside, widths = 0, []
    for _ in range(400):
        drift = rng.normal(0, 0.2, 3)
        a = 0.8 * np.exp(drift + rng.normal(0, 0.02, 3))
        b = np.exp(drift + rng.normal(0, 0.02, 3))
        found = s.paired_ratio(a, b)
        assert found.low is not None and found.high is not None
        inside += found.low <= 0.8 <= found.high
        widths.append(found.high / found.low)
    assert 0.90 <= inside / 400 <= 0.99
    assert np.median(widths) < 1.25  # the drift alone would spread it by 2.7


def test_a_single_pair_has_no_bounds_and_what_is_not_positive_is_refused() -> None:
    one = s.paired_ratio([1.0], [2.0])
    assert (one.mid, one.low, one.high) == (0.5, None, None)
    for a, b in (([0.0], [1.0]), ([1.0], [0.0]), ([], [])):
        with pytest.raises(ValueError, match="paired ratio needs"):
            s.paired_ratio(a, b)


@given(values, st.floats(0.5, 2))
def test_intervals_scale_with_their_values(data: list[float], factor: float) -> None:
    a = s.bootstrap_interval(data, draws=100)
    b = s.bootstrap_interval(np.asarray(data) * factor, draws=100)
    assert b.mid == pytest.approx(a.mid * factor)
    if a.low is not None and b.low is not None:
        assert b.low == pytest.approx(a.low * factor)
