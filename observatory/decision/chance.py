"""How sure a frontier is: the chance of each option to be on it, from draws or normal errors.

Draws are shared where inputs are shared (METHOD §6): pass costs drawn in one scenario together, so
that a common factor moves them together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from observatory.decision.frontier import Floats, Mask, Option, frontier_mask
from observatory.errors import InputError

DRAWS = 2000
Z90 = 1.6448536269514722  #: p5 and p95 of a standard normal are -Z90 and Z90
ON, HALF = 0.95, 0.5  #: a marker is filled from ON, hollow below HALF, half-filled between


def probability_on_frontier(cost: Floats, quality: Floats) -> Floats:
    """Share of draws in which each option is on the frontier. Shapes (draws, n) -> (n,).

    Options that another dominates in all its reach (its worst draw beats their best) are left out
    of the sorting first; they could be on no frontier, so the result is the same.
    """
    if cost.shape != quality.shape or cost.ndim != 2:
        raise InputError(f"draws of cost {cost.shape} and quality {quality.shape} must agree")
    live = ~_hopeless(cost, quality)
    result = np.zeros(cost.shape[1])
    if live.any():
        result[live] = frontier_mask(cost[:, live], quality[:, live]).mean(axis=0)
    return result


def _hopeless(cost: Floats, quality: Floats) -> Mask:
    return hopeless(
        cost.min(axis=0), cost.max(axis=0), quality.min(axis=0), quality.max(axis=0)
    )  # fmt: skip


def hopeless(
    best_cost: Floats, worst_cost: Floats, worst_quality: Floats, best_quality: Floats
) -> Mask:
    """Options that another dominates in all its reach: strictly cheaper at its worst than they at
    their best, and no worse in quality. Shapes (n,); draws must lie within these bounds."""
    order = np.argsort(worst_cost, kind="stable")
    reached = np.maximum.accumulate(worst_quality[order])
    cheaper = np.searchsorted(worst_cost[order], best_cost, side="left")  # strictly cheaper ones
    bar = np.where(cheaper > 0, reached[np.maximum(cheaper - 1, 0)], -np.inf)
    return np.asarray(bar >= best_quality)


def normal_draws(
    options: Sequence[Option], draws: int = DRAWS, seed: int = 0
) -> tuple[Floats, Floats]:
    """Independent draws of (cost, quality), shape (draws, n), where no bootstrap is to be had.

    Quality is normal with the standard deviation that its 90 % bounds imply; cost is log-normal
    where both bounds are positive, else normal. Without bounds a value stays fixed.
    """
    rng = np.random.default_rng(seed)
    cost = np.empty((draws, len(options)))
    quality = np.empty_like(cost)
    for i, o in enumerate(options):
        z_cost, z_quality = rng.standard_normal((2, draws))
        cost[:, i] = _cost_draws(o, z_cost)
        quality[:, i] = o.quality + _spread(o.quality_low, o.quality_high) * z_quality
    return cost, quality


def _cost_draws(option: Option, z: Floats) -> Floats:
    low, high = option.cost_low, option.cost_high
    if low is not None and high is not None and low > 0 and option.cost > 0:
        drawn: Floats = option.cost * np.exp(math.log(high / low) / (2 * Z90) * z)
        return drawn
    return option.cost + _spread(low, high) * z


def _spread(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else (high - low) / (2 * Z90)


def probability_dominates(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> float:
    """Chance that a dominates b for independent normals; each is (cost, sd, quality, sd).

    P(cost_a <= cost_b) * P(quality_a >= quality_b), exact (ties have no chance unless both sds are
    0, where equal values count as no worse). With two options, 1 minus it is b's chance to be on
    the frontier.
    """
    return probability_less(a[0], a[1], b[0], b[1]) * probability_less(b[2], b[3], a[2], a[3])


def probability_less(mean_a: float, sd_a: float, mean_b: float, sd_b: float) -> float:
    """P(a <= b) for independent normals."""
    spread = math.hypot(sd_a, sd_b)
    if spread == 0:
        return 1.0 if mean_a <= mean_b else 0.0
    return 0.5 * math.erfc((mean_a - mean_b) / spread / math.sqrt(2))


def marker(probability: float) -> str:
    """`filled`, `half` or `hollow`: how a chart shows the chance to be on the frontier."""
    return "filled" if probability >= ON else "half" if probability >= HALF else "hollow"
