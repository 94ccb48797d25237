"""Dominance and the frontier of cost against quality, correct with ties.

`a` dominates `b` where cost_a <= cost_b and quality_a >= quality_b, one of them strictly. Two equal
points dominate each other in nothing, so both stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.errors import InputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to choose. `cost` (less is better) and `quality` (more is better) with their
    bounds where they are known; bounds are p5 and p95, or the ends of a 90 % interval."""

    name: str
    cost: float
    quality: float
    cost_low: float | None = None
    cost_high: float | None = None
    quality_low: float | None = None
    quality_high: float | None = None


def dominates(a: Option, b: Option) -> bool:
    """Whether `a` is at least as good in both and better in one."""
    no_worse = a.cost <= b.cost and a.quality >= b.quality
    return no_worse and (a.cost < b.cost or a.quality > b.quality)


def columns(options: Sequence[Option]) -> tuple[Floats, Floats]:
    """Costs and qualities as arrays. Raises InputError for a value that is not finite."""
    cost = np.array([o.cost for o in options], dtype=float)
    quality = np.array([o.quality for o in options], dtype=float)
    for option, c, q in zip(options, cost, quality, strict=True):
        if not (np.isfinite(c) and np.isfinite(q)):
            raise InputError(f"{option.name}: cost {c} and quality {q} must be finite numbers")
    return cost, quality


def frontier_mask(cost: ArrayLike, quality: ArrayLike) -> Mask:
    """Which points no other point dominates. Shapes (n,) or (draws, n), each draw by itself.

    Sorted by cost and then falling quality, a point stays where its quality exceeds all before it;
    points equal to one that stays, stay. O(n log n) a draw. Every value must be finite.
    """
    c, q = np.asarray(cost, dtype=float), np.asarray(quality, dtype=float)
    if c.ndim == 1:
        return np.asarray(frontier_mask(c[None, :], q[None, :])[0])
    if c.shape[1] == 0:
        return np.zeros(c.shape, dtype=bool)
    order = np.lexsort((-q, c), axis=-1)
    cs, qs = np.take_along_axis(c, order, 1), np.take_along_axis(q, order, 1)
    best_before = np.full_like(qs, -np.inf)
    best_before[:, 1:] = np.maximum.accumulate(qs, axis=1)[:, :-1]
    starts = np.ones(cs.shape, dtype=bool)  # the first of a run of equal points speaks for the run
    starts[:, 1:] = (cs[:, 1:] != cs[:, :-1]) | (qs[:, 1:] != qs[:, :-1])
    first = np.maximum.accumulate(np.where(starts, np.arange(cs.shape[1]), 0), axis=1)
    kept = np.take_along_axis(qs > best_before, first, 1)
    mask = np.empty_like(kept)
    np.put_along_axis(mask, order, kept, 1)
    return mask


def frontier(options: Sequence[Option]) -> list[Option]:
    """The options that no other dominates, cheapest first. Raises InputError for NaN, inf."""
    mask = frontier_mask(*columns(options))
    kept = [o for o, keep in zip(options, mask, strict=True) if keep]
    return sorted(kept, key=lambda o: (o.cost, o.quality, o.name))


def step(options: Sequence[Option]) -> list[tuple[float, float]]:
    """Corners of the frontier as a step: the best quality at each cost, without mixing."""
    corners: list[tuple[float, float]] = []
    for option in frontier(options):
        if corners and (option.cost, option.quality) == corners[-1]:
            continue
        if corners:
            corners.append((option.cost, corners[-1][1]))
        corners.append((option.cost, option.quality))
    return corners


def cheapest(options: Sequence[Option], quality: float, robust: bool = False) -> Option | None:
    """Iso-capability: the cheapest option with at least this quality; None where there is none.

    `robust` asks it of the lower bound of the quality; an option without one does not qualify.
    """
    enough = []
    for option in options:
        known = option.quality_low if robust else option.quality
        if known is not None and known >= quality:
            enough.append(option)
    return min(enough, key=lambda o: (o.cost, -o.quality, o.name), default=None)


def cost_per_correct(option: Option, floor: float) -> float | None:
    """Cost for each correct answer; None below the quality floor, without which the figure would
    praise whatever is cheap and useless. Quality must be a share of items solved."""
    if option.quality <= 0 or option.quality < floor:
        return None
    return option.cost / option.quality


def composite(scores: dict[str, float | None], weights: dict[str, float]) -> float | None:
    """Weighted sum of scores, weights adding to 1; None where a score is missing.

    Raises InputError where the weights do not add to 1.
    """
    total = sum(weights.values())
    if abs(total - 1) > 1e-9:
        raise InputError(f"weights of a composite add to {total:.6g}: they must add to 1")
    found = [scores.get(name) for name in weights]
    if any(score is None for score in found):
        return None
    return sum(w * (scores[name] or 0.0) for name, w in weights.items())
