"""Routing over an items × models table: oracle, random mix, threshold router, cascade.

The table says, for each item (a question) and model, whether the answer was correct (a share in
[0, 1]) and what the call cost. PGR, APGR and CPT follow RouteLLM (Ong et al. 2024), AIQ RouterBench
(Hu et al. 2024); the oracle charges an item that no model solves the cheapest call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.decision.frontier import Option
from observatory.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Items:
    """A routing table: `correct` and `cost` have shape (items, models)."""

    items: tuple[str, ...]
    models: tuple[str, ...]
    correct: Floats
    cost: Floats

    @classmethod
    def of(
        cls, items: Sequence[str], models: Sequence[str], correct: ArrayLike, cost: ArrayLike
    ) -> Items:
        """Checked table; `cost` may be one value a model. Raises InputError for wrong shapes,
        values that are not finite, shares outside [0, 1] and negative costs."""
        c = np.asarray(correct, dtype=float)
        shape = (len(items), len(models))
        price = np.asarray(cost, dtype=float)
        if c.shape != shape or price.shape not in (shape, shape[1:]) or 0 in shape:
            raise InputError(
                f"routing needs correct and cost for {shape[0]} items × {shape[1]} models"
            )
        price = np.broadcast_to(price, shape)
        if not np.isfinite(c).all() or (c < 0).any() or (c > 1).any():
            raise InputError("`correct` must be 0, 1 or a share between, for every item and model")
        if not np.isfinite(price).all() or (price < 0).any():
            raise InputError("costs must be finite and not negative, for every item and model")
        return cls(tuple(items), tuple(models), c, price)

    def column(self, model: str) -> int:
        """Column of a model. Raises UnknownNameError."""
        if model not in self.models:
            raise UnknownNameError("model", model, list(self.models), ", ".join(self.models))
        return self.models.index(model)

    def options(self) -> list[Option]:
        """Every model alone: mean cost and mean quality."""
        cost, quality = self.cost.mean(axis=0), self.correct.mean(axis=0)
        return [Option(m, float(c), float(q))
                for m, c, q in zip(self.models, cost, quality, strict=True)]  # fmt: skip

    def ends(self) -> tuple[str, str]:
        """The cheapest model and the best one: the usual weak and strong ends of a router."""
        options = self.options()
        weak = min(options, key=lambda o: (o.cost, -o.quality))
        strong = max(options, key=lambda o: (o.quality, -o.cost))
        return weak.name, strong.name


@dataclass(frozen=True, slots=True)
class Routed:
    """What a policy spends and gets for each item; `calls` is the share of items per model.

    A cascade calls more than one model for an item, so its shares add to more than 1.
    """

    policy: str
    cost: float
    quality: float
    calls: dict[str, float]

    @property
    def cost_per_correct(self) -> float | None:
        """Cost for each correct answer; None where nothing is correct."""
        return self.cost / self.quality if self.quality > 0 else None


def alone(table: Items, model: str) -> Routed:
    """One model for everything."""
    j = table.column(model)
    return Routed(f"always {model}", float(table.cost[:, j].mean()),
                  float(table.correct[:, j].mean()), {model: 1.0})  # fmt: skip


def oracle(table: Items) -> Routed:
    """For each item the cheapest model that solves it best, or the cheapest where none does."""
    best = table.correct.max(axis=1, keepdims=True)
    eligible = np.where(best > 0, table.correct == best, True)
    price = np.where(eligible, table.cost, np.inf)
    chosen = price.argmin(axis=1)
    rows = np.arange(len(table.items))
    share = np.bincount(chosen, minlength=len(table.models)) / len(table.items)
    return Routed(
        "oracle", float(table.cost[rows, chosen].mean()), float(table.correct[rows, chosen].mean()),
        dict(zip(table.models, map(float, share), strict=True)),
    )  # fmt: skip


def unsolved(table: Items) -> int:
    """Items that no model solves even in part."""
    return int((table.correct.max(axis=1) <= 0).sum())


def random_mix(table: Items, weak: str, strong: str, strong_share: float) -> Routed:
    """Expected outcome of sending a random share to `strong`, the rest to `weak`."""
    a, b = alone(table, weak), alone(table, strong)
    s = strong_share
    return Routed(
        f"random {s:.0%} {strong}", (1 - s) * a.cost + s * b.cost,
        (1 - s) * a.quality + s * b.quality, {weak: 1 - s, strong: s},
    )  # fmt: skip


def cascade(table: Items, order: Sequence[str], judge_error: float = 0.0) -> Routed:
    """Ask models in order until a judge accepts the answer; the last is always accepted.

    The judge accepts a correct answer with 1-e and a wrong one with e, each call by itself. A
    partly correct answer of share s is accepted with s(1-e) + (1-s)e. Expected values, no sampling.
    Raises InputError for e outside [0, 1] or an empty or repeated order.
    """
    if not 0 <= judge_error <= 1:
        raise InputError(f"judge error {judge_error}: give a share between 0 and 1")
    if not order or len(set(order)) != len(order):
        raise InputError("a cascade needs models in order, each once")
    reach = np.ones(len(table.items))
    cost, quality = np.zeros_like(reach), np.zeros_like(reach)
    calls: dict[str, float] = {}
    for position, model in enumerate(order):
        j = table.column(model)
        right = table.correct[:, j]
        hit = right * (1 - judge_error)  # correct and accepted
        accepted = hit + (1 - right) * judge_error
        if position == len(order) - 1:
            hit, accepted = right, np.ones_like(right)
        calls[model] = float(reach.mean())
        cost += reach * table.cost[:, j]
        quality += reach * hit
        reach = reach * (1 - accepted)
    name = "→".join(order) + (f", judge error {judge_error:.0%}" if judge_error else "")
    return Routed(f"cascade {name}", float(cost.mean()), float(quality.mean()), calls)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A router that sends the `strong_fraction` of items it thinks hardest to `strong`."""

    strong_fraction: float
    cost: float
    quality: float
    pgr: float | None  #: performance gap recovered; None where weak and strong are equally good


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
