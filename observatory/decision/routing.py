"""Routing over an items × models table: oracle, random mix, threshold router, cascade.

PGR, APGR and CPT follow RouteLLM (Ong et al. 2024), AIQ RouterBench (Hu et al. 2024); the oracle
charges an item that no model solves the cheapest call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observatory.decision import policies
from observatory.decision.items import CurvePoint, Floats, Items, Routed
from observatory.errors import InputError

__all__ = ["CurvePoint", "Floats", "Items", "Pair", "Routed", "alone", "apgr", "cascade", "cpt",
           "oracle", "pair", "random_mix", "saving", "threshold_curve", "unsolved"]  # fmt: skip


def alone(table: Items, model: str) -> Routed:
    """One model for everything."""
    return policies.single(table, model).routed(table)


def oracle(table: Items) -> Routed:
    """For each item the cheapest model that solves it best, or the cheapest where none does."""
    return policies.oracle(table).routed(table)


def unsolved(table: Items) -> int:
    """Items that no model solves even in part."""
    return int((table.correct.max(axis=1) <= 0).sum())


def random_mix(table: Items, weak: str, strong: str, strong_share: float) -> Routed:
    """Expected outcome of sending a random share to `strong`, the rest to `weak`."""
    return policies.random_mix(table, weak, strong, strong_share).routed(table)


def cascade(table: Items, order: Sequence[str], judge_error: float = 0.0) -> Routed:
    """Ask models in order until a judge accepts; see `policies.cascade`."""
    return policies.cascade(table, order, judge_error).routed(table)


def threshold_curve(
    table: Items, scores: Sequence[float], weak: str, strong: str
) -> list[CurvePoint]:
    """Every operating point of a router that ranks items by score, hardest (highest) first.

    Items of equal score move together, so that the order of the file decides nothing; PGR(f) =
    (quality - weak) / (strong - weak). Raises InputError unless there is a finite score an item.
    """
    s = np.asarray(scores, dtype=float)
    if s.shape != (len(table.items),) or not np.isfinite(s).all():
        raise InputError(f"a router needs one finite score for each of {len(table.items)} items")
    w, t = table.column(weak), table.column(strong)
    order = np.argsort(-s, kind="stable")
    n = len(order)
    cost = np.concatenate([[0.0], np.cumsum((table.cost[:, t] - table.cost[:, w])[order])])
    gain = np.concatenate([[0.0], np.cumsum((table.correct[:, t] - table.correct[:, w])[order])])
    base_cost, base = table.cost[:, w].mean(), table.correct[:, w].mean()
    gap = float(gain[-1] / n)
    ends = [0, *(k for k in range(1, n) if s[order[k]] != s[order[k - 1]]), n]
    return [
        CurvePoint(k / n, float(base_cost + cost[k] / n), float(base + gain[k] / n),
                   float(gain[k] / n) / gap if gap else None)
        for k in ends
    ]  # fmt: skip


def apgr(curve: Sequence[CurvePoint]) -> float | None:
    """Average PGR over the share of strong calls, by trapezoids; None without a quality gap."""
    total = 0.0
    for a, b in itertools.pairwise(curve):
        if a.pgr is None or b.pgr is None:
            return None
        total += (b.strong_fraction - a.strong_fraction) * (a.pgr + b.pgr) / 2
    return total


def cpt(curve: Sequence[CurvePoint], target: float) -> float | None:
    """Call-performance threshold: the least share of strong calls that recovers `target` of the
    gap, interpolated between operating points; None where it is never recovered."""
    before: CurvePoint | None = None
    for point in curve:
        if point.pgr is None:
            return None
        if point.pgr >= target - 1e-12:
            if before is None or before.pgr is None:
                return point.strong_fraction
            share = (target - before.pgr) / (point.pgr - before.pgr)
            return before.strong_fraction + share * (point.strong_fraction - before.strong_fraction)
        before = point
    return None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same items (correct as 0 or 1): who solves what, and how sure."""

    n: int
    both: int
    strong_only: int
    weak_only: int
    neither: int

    @property
    def difference(self) -> float:
        """Accuracy of strong minus weak."""
        return (self.strong_only - self.weak_only) / self.n

    @property
    def paired_se(self) -> float:
        """Standard error of the difference on the same items (McNemar):
        sqrt(b + c - (b-c)²/n) / n. Smaller than the unpaired one, so pair whenever one can."""
        b, c = self.strong_only, self.weak_only
        return math.sqrt(b + c - (b - c) ** 2 / self.n) / self.n

    @property
    def unpaired_se(self) -> float:
        """Standard error as if the items had been different ones."""
        strong, weak = (
            (self.both + self.strong_only) / self.n,
            (self.both + self.weak_only) / self.n,
        )
        return math.sqrt((strong * (1 - strong) + weak * (1 - weak)) / self.n)


def pair(table: Items, weak: str, strong: str) -> Pair:
    """Contingency of two models. Raises InputError where an answer is only partly correct."""
    w, s = table.correct[:, table.column(weak)], table.correct[:, table.column(strong)]
    if not np.isin(np.concatenate([w, s]), (0.0, 1.0)).all():
        raise InputError("a paired comparison needs answers that are right or wrong, not shares")
    a, b = w == 1, s == 1
    return Pair(len(w), int((a & b).sum()), int((b & ~a).sum()), int((a & ~b).sum()),
                int((~a & ~b).sum()))  # fmt: skip


def saving(routed: Routed, reference: Routed) -> float | None:
    """Share of the reference's cost that the policy saves; None where the reference is free."""
    return 1 - routed.cost / reference.cost if reference.cost > 0 else None
