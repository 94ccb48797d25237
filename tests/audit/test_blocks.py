"""Exact multiples: found in scaled blocks of any print, never in measurements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.audit.blocks import Multiple, common_factor, exact_multiples, resolution

POINTS = [(p, o) for p in (1, 64, 256, 512, 1024, 1536) for o in (1, 2, 4, 8, 16, 32)]


def law(seed: int, scale: float = 1.0, noise: float = 0.002) -> np.ndarray:
    """Synthetic runtimes of one model, with the noise of good measurements."""
    rng = np.random.default_rng(seed)
    alpha, beta, slope = rng.uniform(0.02, 0.2), rng.uniform(0.02, 0.06), rng.uniform(1e-5, 2e-4)
    times = np.array([alpha + slope * p + beta * (o - 1) for p, o in POINTS])
    return scale * times * (1 + noise * rng.standard_normal(len(POINTS)))


def find(*blocks: np.ndarray, same_points: bool = True) -> list[Multiple]:
    names = [f"block {i}" for i, block in enumerate(blocks) for _ in block]
    keys = [k if same_points else (i, k) for i, b in enumerate(blocks) for k in range(len(b))]
    return exact_multiples(np.concatenate(blocks), names, keys)


@pytest.mark.parametrize("decimals", [3, 4, 6, None])
@pytest.mark.parametrize("factor", [1.3, 0.5, 3.0, 1.0, 1.2345])
def test_a_scaled_block_is_found_whatever_its_print(decimals: int | None, factor: float) -> None:
    real = law(0) * 10 if decimals is None else np.round(law(0) * 10, decimals)
    scaled = factor * real if decimals is None else np.round(factor * real, decimals)
    found = find(law(1) * 10, real, scaled)
    assert len(found) == 1 and len(found[0].rows) == len(POINTS)
    assert found[0].factor in (pytest.approx(factor, rel=1e-4), pytest.approx(1 / factor, rel=1e-4))


def test_the_block_with_the_shorter_factor_is_the_computed_one() -> None:
    real = law(0)
    for blocks, made in (((real, 1.3 * real), 1), ((1.3 * real, real), 0)):
        (found,) = find(*blocks)
        assert found.factor == 1.3, "0.769… is no factor that anyone would choose"
        assert set(found.rows) == set(range(36 * made, 36 * made + 36))
        assert found.of_block == f"block {1 - made}"


def test_full_digits_need_no_shared_points() -> None:
    real = law(0)
    (found,) = find(real, 1.3 * real[5:11], same_points=False)
    assert found.rows == (36, 37, 38, 39, 40, 41) and found.of_rows == (5, 6, 7, 8, 9, 10)
    assert found.factor == 1.3


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.002, 0.01]), st.sampled_from([3, 6, 15]))
def test_measurements_are_never_taken_for_multiples(seed: int, noise: float, digits: int) -> None:
    """Blocks that are proportional but for the least noise that good measurements have."""
    real = np.round(law(seed, noise=0), digits)
    rng = np.random.default_rng(seed + 1)
    other = np.round(1.3 * real * (1 + noise * rng.standard_normal(len(real))), digits)
    short = np.round(real[:6], 2), np.round(1.3 * real[:6], 2)
    assert find(real, other) == []
    assert find(*short) == [], "a handful of two-digit numbers proves nothing"


def test_a_few_points_are_no_block() -> None:
    real, other = law(0), law(3)
    other[:3] = 1.3 * real[:3]
    assert find(real, other) == []
    constant = np.full(36, 0.123456789012)
    assert find(constant, 1.3 * constant) == [], "values that are all alike prove nothing"


def test_missing_and_zero_values_are_not_looked_at() -> None:
    real = law(0)
    scaled = 1.3 * real
    scaled[[0, 5]] = [np.nan, 0.0]
    (found,) = find(real, scaled)
    assert len(found.rows) == 34
    assert find(np.array([np.nan, 0.0, -1.0])) == []


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 7, 10, 50]))
def test_means_of_printed_numbers_are_no_multiples(seed: int, repeats: int) -> None:
    """A mean over repeats of milliseconds has all digits of a double, and yet is coarse."""
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(100, 500, 30) / 1000 / repeats for _ in range(3)]
    assert find(*blocks) == [] and find(*blocks, same_points=False) == []


def test_the_step_that_values_are_printed_in() -> None:
    assert resolution(np.array([0.041, 12.5, 3.0])) == pytest.approx(1e-3)
    assert resolution(np.array([1234567.0, 3.0])) == 1.0
    assert resolution(np.array([0.041, 0.053, 0.047]) / 7) == pytest.approx(1e-3 / 7)
    assert resolution(np.array([0.1234567891234, 1 / 3])) == 0.0


def test_a_factor_must_fit_every_pair() -> None:
    origin = np.array([1.234, 2.345, 3.456, 4.567, 5.678] * 4) + np.arange(20)
    made = np.round(1.3 * origin, 3)
    assert common_factor(origin, made, 1e-3) == 1.3
    made[7] += 0.002
    assert common_factor(origin, made, 1e-3) is None
