"""Algebra of dominance, frontier, hull, chance and ranks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.decision import chance, hull, ranks
from observatory.decision.breakeven import break_even, capacity_per_h
from observatory.decision.frontier import (
    Option,
    cheapest,
    composite,
    dominates,
    frontier,
    frontier_mask,
    step,
)
from observatory.errors import InputError

coarse = st.integers(0, 6).map(float)  # few values, so that ties are the rule
points = st.lists(st.tuples(coarse, coarse), min_size=1, max_size=25).map(
    lambda rows: [Option(str(i), 1 + c, q) for i, (c, q) in enumerate(rows)]
)


@settings(deadline=None)
@given(points)
def test_the_frontier_is_exactly_what_nothing_dominates(options: list[Option]) -> None:
    kept = {o.name for o in frontier(options)}
    assert kept == {o.name for o in options if not any(dominates(p, o) for p in options)}
    assert kept


@settings(deadline=None)
@given(points, st.randoms(use_true_random=False))
def test_order_and_doubling_change_nothing(options: list[Option], rng: object) -> None:
    shuffled = list(options)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert frontier(shuffled) == frontier(options)
    twins = [*options, *(Option(f"{o.name}'", o.cost, o.quality) for o in options)]
    assert len(frontier(twins)) == 2 * len(frontier(options))


@settings(deadline=None)
@given(points)
def test_hull_lies_on_the_frontier_and_its_price_only_rises(options: list[Option]) -> None:
    vertices = hull.concave_hull(options)
    assert {v.name for v in vertices} <= {o.name for o in frontier(options)}
    prices = [s.cost_per_quality for s in hull.marginal_costs(options)]
    assert all(a < b + 1e-9 for a, b in itertools.pairwise(prices))
    for o in options:
        mixed = hull.cheapest_mixture(options, o.quality)
        assert mixed is not None
        single = cheapest(options, o.quality)
        assert single is not None
        assert mixed <= single.cost + 1e-9


@settings(deadline=None)
@given(points)
def test_areas_grow_with_options(options: list[Option]) -> None:
    whole = hull.hypervolume(options, 10, 0)
    assert hull.hypervolume(options[:-1], 10, 0) <= whole + 1e-12
    assert whole == pytest.approx(hull.hypervolume(frontier(options), 10, 0))
    corners = [(o.cost, o.quality) for o in hull.concave_hull(options)]
    low = corners[0][0]
    if low < 10:
        assert hull.aiq(corners, low, 10) >= hull.aiq(step(options), low, 10) - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**16), st.booleans())
def test_dropping_the_hopeless_changes_no_probability(n: int, seed: int, spread: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(1, 9, n) + (rng.random((50, n)) if spread else np.zeros((50, n)))
    quality = rng.integers(1, 9, n) + (rng.random((50, n)) if spread else np.zeros((50, n)))
    plain = frontier_mask(cost, quality).mean(axis=0)
    assert chance.probability_on_frontier(cost, quality) == pytest.approx(plain)


def test_probability_without_uncertainty_is_the_frontier() -> None:
    options = [Option("a", 1, 1), Option("b", 1, 1), Option("c", 2, 1), Option("d", 2, 2)]
    made = chance.probability_on_frontier(*chance.normal_draws(options, 100))
    assert made.tolist() == [1, 1, 0, 1]


def test_shared_cost_noise_leaves_the_order_sure() -> None:
    common = np.exp(np.random.default_rng(0).standard_normal((2000, 1)))
    cost = common * np.array([[1.0, 1.1]])
    quality = np.tile([0.5, 0.5], (2000, 1))
    assert chance.probability_on_frontier(cost, quality).tolist() == [1.0, 0.0]


def test_markers() -> None:
    assert [chance.marker(p) for p in (1, 0.95, 0.94, 0.5, 0.49)] == [
        "filled", "filled", "half", "half", "hollow",
    ]  # fmt: skip


def test_robust_iso_capability_asks_the_lower_bound() -> None:
    options = [
        Option("cheap", 1, 0.80, quality_low=0.74),
        Option("dear", 5, 0.85, quality_low=0.82),
        Option("bare", 2, 0.90),
    ]
    plain, robust = cheapest(options, 0.8), cheapest(options, 0.8, robust=True)
    assert plain and robust
    assert (plain.name, robust.name) == ("cheap", "dear")
    assert cheapest(options, 0.95) is None


def test_composite_needs_every_part() -> None:
    sixth, eighth = 1 / 6, 1 / 8
    weights = {"MMLU-Pro": sixth, "HLE": sixth, "GPQA": sixth, "MATH-500": eighth, "AIME": eighth,
               "SciCode": eighth, "LiveCodeBench": eighth}  # fmt: skip
    scores: dict[str, float | None] = {
        "MMLU-Pro": 0.8, "HLE": 0.1, "GPQA": 0.7, "MATH-500": 0.95, "AIME": 0.6, "SciCode": 0.4,
        "LiveCodeBench": 0.55,
    }  # fmt: skip
    assert composite(scores, weights) == pytest.approx(0.5791666667, abs=1e-9)
    assert composite(scores | {"HLE": None}, weights) is None
    with pytest.raises(InputError, match="must add to 1"):
        composite(scores, {"HLE": 0.5})


def test_values_that_are_not_finite_are_refused() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="finite"):
            frontier([Option("m", value, 0.5)])
    with pytest.raises(InputError, match="above zero"):
        hull.hypervolume([Option("m", 0.0, 0.5)], 10, 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(coarse, coarse), min_size=2, max_size=15))
def test_kendall_agrees_with_scipy(rows: list[tuple[float, float]]) -> None:
    from scipy.stats import kendalltau

    a, b = zip(*rows, strict=True)
    made = ranks.rank_agreement(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert made.tau_b is None
    else:
        assert made.tau_b == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
    assert made.flipped == len(ranks.flips([str(i) for i in range(len(a))], a, b))


def test_ranks_reversed() -> None:
    made = ranks.rank_agreement([1, 2, 3], [3, 2, 1])
    assert (made.tau_b, made.flipped_share, made.pairs) == (-1.0, 1.0, 3)
    with pytest.raises(InputError):
        ranks.rank_agreement([1.0], [1.0, 2.0])


def test_break_even() -> None:
    room = capacity_per_h(2.0, 8, 0.5)
    assert room == 7200
    made = break_even(2.0, 1e-4, 6e-4, room, 4e-4, 1e-3)
    assert made.requests_per_h == pytest.approx(4000)
    assert made.utilisation == pytest.approx(4000 / 7200)
    assert (made.low_per_h, made.high_per_h) == pytest.approx((2.0 / 9e-4, 2.0 / 3e-4))
    assert made.own_at_capacity == pytest.approx(2 / 7200 + 1e-4)


@pytest.mark.parametrize(
    ("alternative", "why"),
    [(None, "unknown"), (1e-4, "marginal"), (2e-4, "above what the hardware can serve")],
)
def test_no_break_even_says_why(alternative: float | None, why: str) -> None:
    made = break_even(2.0, 1e-4, alternative, 7200)
    assert made.requests_per_h is None
    assert why in (made.reason or "")
