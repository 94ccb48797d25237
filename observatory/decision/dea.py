"""Data envelopment analysis: CCR self-efficiency and cross-efficiency under a stated rule.

Charnes, Cooper & Rhodes (1978); Doyle & Green (1994) for the secondary goal. Optimal weights of an
efficient unit are not unique, so a cross-efficiency without its rule is not a number: the rule is
part of every result here. Inputs are absolute impacts per request (J, L, g). A ratio such as PUE
does not scale with the request and must not be an input: it hides the energy it multiplies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.errors import InputError

Floats = NDArray[np.float64]
RULES = ("benevolent", "aggressive")
SLACK = 1e-9  #: relative room around theta_k in the second program, above the solver's tolerance


@dataclass(frozen=True, slots=True)
class CrossEfficiency:
    """Scores in [0, 1]. `matrix[k][j]` is how the weights of unit k rate unit j."""

    names: tuple[str, ...]
    rule: str
    self_included: bool
    self_efficiency: tuple[float, ...]
    score: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]  #: input weights, each row adding to 1, of scaled inputs

    @property
    def ranking(self) -> tuple[str, ...]:
        """Names, best first."""
        order = sorted(range(len(self.names)), key=lambda j: (-self.score[j], self.names[j]))
        return tuple(self.names[j] for j in order)


def self_efficiency(inputs: ArrayLike, outputs: ArrayLike) -> Floats:
    """CCR multiplier efficiency of every unit. Shapes (n, i) and (n, o) or (n,) -> (n,)."""
    x, y = _checked(inputs, outputs)
    return np.array([_ccr(x, y, k) for k in range(len(x))])


def cross_efficiency(
    names: Sequence[str],
    inputs: ArrayLike,
    outputs: ArrayLike,
    rule: str = "benevolent",
    self_included: bool = True,
) -> CrossEfficiency:
    """Mean rating of each unit by the weights of all.

    Among the optimal weights of unit k, `benevolent` takes those that rate the others together
    best, `aggressive` worst. `self_included` False leaves out a unit's rating of itself. Raises
    InputError for another rule, an input that is not positive or a negative output.
    """
    if rule not in RULES:
        raise InputError(f"unknown DEA rule {rule!r}: one of {', '.join(RULES)}")
    x, y = _checked(inputs, outputs)
    n = len(x)
    if len(names) != n or (n < 2 and not self_included):
        raise InputError(f"{len(names)} names for {n} units")
    theta = self_efficiency(x, y)
    matrix, weights = np.empty((n, n)), np.empty_like(x)
    for k in range(n):
        u, v = _second_goal(x, y, k, float(theta[k]), rule)
        matrix[k] = (y @ u) / (x @ v)
        weights[k] = v / v.sum()
    total = matrix.sum(axis=0)
    score = total / n if self_included else (total - np.diag(matrix)) / (n - 1)
    return CrossEfficiency(
        tuple(names), rule, self_included, tuple(map(float, theta)), tuple(map(float, score)),
        tuple(tuple(map(float, row)) for row in matrix),
        tuple(tuple(map(float, row)) for row in weights),
    )  # fmt: skip


def _checked(inputs: ArrayLike, outputs: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(inputs, dtype=float), np.asarray(outputs, dtype=float)
    y = y[:, None] if y.ndim == 1 else y
    if x.ndim != 2 or len(x) != len(y) or x.size == 0:
        raise InputError(f"DEA needs a row of inputs and outputs a unit, not {x.shape}, {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or (x <= 0).any() or (y < 0).any():
        raise InputError("DEA needs inputs above zero and outputs of zero or more, all finite")
    if (y.sum(axis=0) == 0).any():
        raise InputError("DEA needs outputs that are not all zero")
    # efficiency does not depend on units; scaling keeps the program well conditioned
    return x / x.mean(axis=0), y / y.mean(axis=0)


def _ccr(x: Floats, y: Floats, k: int) -> float:
    """theta_k = max u*y_k s.t. v*x_k = 1, u*y_j <= v*x_j, u, v >= 0."""
    objective = np.concatenate([-y[k], np.zeros(x.shape[1])])
    equal = np.concatenate([np.zeros(y.shape[1]), x[k]])[None, :]
    return float(-_solve(objective, np.hstack([y, -x]), np.zeros(len(x)), equal, np.ones(1)).fun)


def _second_goal(x: Floats, y: Floats, k: int, theta: float, rule: str) -> tuple[Floats, Floats]:
    """Weights optimal for k that rate the sum of the others best (benevolent) or worst."""
    others = np.arange(len(x)) != k
    s = y.shape[1]
    towards = y[others].sum(axis=0) if others.any() else y[k]
    objective = np.concatenate([towards * (-1.0 if rule == "benevolent" else 1.0),
                                np.zeros(x.shape[1])])  # fmt: skip
    scale = x[others].sum(axis=0) if others.any() else x[k]
    norm = np.concatenate([np.zeros(s), scale])[None, :]
    keep = np.concatenate([-y[k], theta * (1 - SLACK) * x[k]])[None, :]
    above = np.vstack([np.hstack([y, -x]), keep])
    made = _solve(objective, above, np.zeros(len(above)), norm, np.ones(1))
    return np.maximum(made.x[:s], 0.0), np.maximum(made.x[s:], 0.0)


def _solve(
    objective: Floats, above: Floats, bound: Floats, equal: Floats, target: Floats
) -> Solution:
    from scipy.optimize import linprog

    made = linprog(objective, above, bound, equal, target, method="highs")
    if not made.success:
        raise InputError(f"DEA program has no solution: {made.message}")
    return Solution(float(made.fun), np.asarray(made.x, dtype=float))


@dataclass(frozen=True, slots=True)
class Solution:
    """Optimum of a linear program."""

    fun: float
    x: Floats
