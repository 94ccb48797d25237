"""Policies of a router as calls: how often each model is asked for each item.

What a policy costs is linear in its calls, so one matrix of calls answers for every bill: a policy
is decided once, by one cost, and then pays joules, carbon, water and money alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.decision.items import CurvePoint, Items, Routed
from observatory.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Policy:
    """`calls` has shape (items, models): expected calls; `quality` (items,): expected quality."""

    name: str
    kind: str  #: `single`, `oracle`, `random`, `threshold` or `cascade`
    calls: Floats
    quality: Floats

    def routed(self, table: Items) -> Routed:
        """Mean cost and quality under the costs of `table`."""
        shares = self.calls.mean(axis=0)
        used = {m: float(s) for m, s in zip(table.models, shares, strict=True) if s > 0}
        return Routed(self.name, float((self.calls * table.cost).sum(axis=1).mean()),
                      float(self.quality.mean()), used)  # fmt: skip


def single(table: Items, model: str) -> Policy:
    """One model for everything."""
    j = table.column(model)
    return Policy(f"always {model}", "single", _only(table, j), table.correct[:, j])


def oracle(table: Items) -> Policy:
    """For each item the cheapest model that solves it best, or the cheapest where none does."""
    best = table.correct.max(axis=1, keepdims=True)
    eligible = np.where(best > 0, table.correct == best, True)
    chosen = np.where(eligible, table.cost, np.inf).argmin(axis=1)
    calls = np.zeros_like(table.correct)
    rows = np.arange(len(table.items))
    calls[rows, chosen] = 1.0
    return Policy("oracle", "oracle", calls, table.correct[rows, chosen])


def random_mix(table: Items, weak: str, strong: str, strong_share: float) -> Policy:
    """A random share to `strong`, the rest to `weak`. Raises InputError for no share."""
    _share("strong share", strong_share)
    w, s = table.column(weak), table.column(strong)
    calls = (1 - strong_share) * _only(table, w) + strong_share * _only(table, s)
    quality = (1 - strong_share) * table.correct[:, w] + strong_share * table.correct[:, s]
    return Policy(f"random {strong_share:.0%} {strong}", "random", calls, quality)


def threshold(
    table: Items, scores: Sequence[float], weak: str, strong: str, strong_share: float
) -> Policy:
    """The share of items with the highest score to `strong`; items of equal score go together, so
    that the share is the largest that can be had without going over."""
    _share("strong share", strong_share)
    s = np.asarray(scores, dtype=float)
    w, t = table.column(weak), table.column(strong)
    values, counts = np.unique(-s, return_counts=True)
    taken = values[np.cumsum(counts) <= strong_share * len(s) + 1e-9]
    hard = -s <= (taken[-1] if len(taken) else -np.inf)
    calls = np.where(hard[:, None], _only(table, t), _only(table, w))
    quality = np.where(hard, table.correct[:, t], table.correct[:, w])
    return Policy(f"threshold {hard.mean():.0%} {strong}", "threshold", calls, quality)


def cascade(table: Items, order: Sequence[str], judge_error: float = 0.0) -> Policy:
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
    calls, quality = np.zeros_like(table.correct), np.zeros_like(reach)
    for position, model in enumerate(order):
        j = table.column(model)
        right = table.correct[:, j]
        hit = right * (1 - judge_error)  # correct and accepted
        accepted = hit + (1 - right) * judge_error
        if position == len(order) - 1:
            hit, accepted = right, np.ones_like(right)
        calls[:, j] = reach
        quality += reach * hit
        reach = reach * (1 - accepted)
    name = "→".join(order) + (f", judge error {judge_error:.0%}" if judge_error else "")
    return Policy(f"cascade {name}", "cascade", calls, quality)


def least_strong(curve: Sequence[CurvePoint], target: float) -> CurvePoint | None:
    """The operating point with the fewest strong calls that recovers `target` of the gap."""
    enough = [p for p in curve if p.pgr is not None and p.pgr >= target - 1e-12]
    return min(enough, key=lambda p: p.strong_fraction, default=None)


def _only(table: Items, column: int) -> Floats:
    calls = np.zeros_like(table.correct)
    calls[:, column] = 1.0
    return calls


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} {value}: give a share between 0 and 1")
