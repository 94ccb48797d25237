"""Recipes: ways to solve the linear model of `observations`, by name.

Each takes rows and the terms that are on, and gives a `Solution`. `relative` is the default:
relative least squares, so that a 20 ms prefill counts as much as a 2 s request, with alpha kept
from falling. `ols` and `published-2023` are kept for comparison and do not keep it so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from observatory.errors import InputError, UnknownNameError
from observatory.runtime.curves import PrefillCurve, choose_curve, roofline_shape
from observatory.runtime.observations import FloatArray, Rows
from observatory.runtime.terms import Experts, Terms

STEP_NAMES = ("c0_s", "per_sequence_s", "experts_s", "per_context_token_s")  #: of a decode step


@dataclass(frozen=True)
class DecodeStep:
    """Seconds of a decode step: c0 + c1*B + ce*touched(B), plus b1*B*context. None: term is off."""

    c0_s: float
    per_sequence_s: float | None = None
    per_context_token_s: float | None = None
    experts_s: float | None = None
    experts: Experts | None = None

    def total_s(self, steps: FloatArray, context_sum: FloatArray, batch: FloatArray) -> FloatArray:
        """Seconds of `steps` steps whose contexts add up to `context_sum`, element by element."""
        each = np.full(np.shape(batch), self.c0_s) + (self.per_sequence_s or 0.0) * batch
        if self.experts is not None and self.experts_s is not None:
            each = each + self.experts_s * self.experts.touched_share(batch)
        return np.asarray(
            steps * each + (self.per_context_token_s or 0.0) * batch * context_sum, dtype=np.float64
        )


@dataclass(frozen=True)
class Solution:
    """What a recipe found. `covariance` (m, m) is of `names` (m,), in s²; None: not defined.

    `leverage` (n,) is how much each row determines its own prediction: 1 where nothing else does,
    so that the fit passes through it whatever it is; None where the recipe knows no such thing.
    """

    curve: PrefillCurve
    step: DecodeStep
    names: tuple[str, ...]
    covariance: FloatArray | None
    leverage: FloatArray | None = None

    def predict(self, rows: Rows) -> FloatArray:
        """Seconds for each row, shape (n,)."""
        prefill = np.where(rows.prefill, self.curve(np.maximum(rows.prompt_total, 1.0)), 0.0)
        return np.asarray(prefill + self.step.total_s(rows.steps, rows.context_sum, rows.batch))


Recipe = Callable[[Rows, Terms, str | None], Solution]


def decode_columns(rows: Rows, terms: Terms) -> tuple[list[str], FloatArray]:
    """Names and columns (n, k) of the decode part of the design."""
    names, columns = ["c0_s"], [rows.steps]
    if terms.batch:
        names.append("per_sequence_s")
        columns.append(rows.steps * rows.batch)
    if terms.experts is not None:
        names.append("experts_s")
        columns.append(rows.steps * terms.experts.touched_share(rows.batch))
    if terms.context:
        names.append("per_context_token_s")
        columns.append(rows.batch * rows.context_sum)
    return names, np.stack(columns, axis=1)


def decode_step(names: list[str], values: FloatArray, terms: Terms) -> DecodeStep:
    """The decode coefficients by name."""
    given = dict(zip(names, map(float, values), strict=True))
    return DecodeStep(experts=terms.experts, **given)


def _alpha_columns(rows: Rows, monotone: bool) -> tuple[FloatArray, FloatArray]:
    """Knots (k,) and columns (n, k): an indicator per knot, or increments from knot to knot."""
    knots = np.unique(rows.prompt_total[rows.prefill])
    index = np.searchsorted(knots, rows.prompt_total)
    at = np.arange(len(knots))[None, :]
    columns = (index[:, None] >= at) if monotone else (index[:, None] == at)
    return knots, np.where(rows.prefill[:, None], columns, False).astype(np.float64)


def _covariance(design: FloatArray, residual: FloatArray, free: FloatArray) -> FloatArray:
    """s² (X'X)^-1 over the parameters that are not pinned at 0 (`free`, bool) and that some row
    feels; zeros elsewhere."""
    used = np.flatnonzero((free > 0) & (np.linalg.norm(design, axis=0) > 0))
    variance = float(residual @ residual) / max(1, len(residual) - len(used))
    part = design[:, used]
    scale = np.linalg.norm(part, axis=0)
    inverse = np.linalg.pinv((part / scale).T @ (part / scale)) / np.outer(scale, scale)
    full = np.zeros((design.shape[1], design.shape[1]))
    full[np.ix_(used, used)] = variance * inverse
    return full


def _leverage(design: FloatArray, free: FloatArray) -> FloatArray:
    """Diagonal of X (X'X)^-1 X' over the parameters that are not pinned at 0 (`free`), (n,)."""
    used = np.flatnonzero((free > 0) & (np.linalg.norm(design, axis=0) > 0))
    part = design[:, used] / np.linalg.norm(design[:, used], axis=0)
    basis, sizes, _ = np.linalg.svd(part, full_matrices=False)
    told = basis[:, sizes > 1e-10 * sizes.max(initial=0.0)]
    return np.asarray(np.minimum(np.sum(told**2, axis=1), 1.0))


def relative(rows: Rows, terms: Terms, kind: str | None = None) -> Solution:
    """Minimise Σ((T-T̂)/T)² with non-negative parameters and non-decreasing alpha."""
    from scipy.optimize import nnls

    knots, alpha = _alpha_columns(rows, monotone=True)
    names, decode = decode_columns(rows, terms)
    design = np.hstack([alpha, decode]) / rows.runtime_s[:, None]
    scale = np.linalg.norm(design, axis=0)
    solution, _ = nnls(design / scale, np.ones(len(rows)), maxiter=50 * design.shape[1])
    values = solution / scale
    k = len(knots)
    curve = choose_curve(knots, np.cumsum(values[:k]), kind)
    covariance = _covariance(design, 1 - design @ values, values > 0)
    sums = np.eye(len(values))
    sums[:k, :k] = np.tril(np.ones((k, k)))
    return Solution(
        curve,
        decode_step(names, values[k:], terms),
        (*_alpha_names(knots), *names),
        sums @ covariance @ sums.T,
        _leverage(design, values),
    )


def ols(rows: Rows, terms: Terms, kind: str | None = None) -> Solution:
    """Ordinary least squares, no constraint: kept for comparison, it favours long requests."""
    knots, alpha = _alpha_columns(rows, monotone=False)
    names, decode = decode_columns(rows, terms)
    design = np.hstack([alpha, decode])
    scale = np.linalg.norm(design, axis=0)
    values = np.linalg.lstsq(design / scale, rows.runtime_s, rcond=None)[0] / scale
    k = len(knots)
    covariance = _covariance(design, rows.runtime_s - design @ values, np.ones(len(values)))
    return Solution(
        choose_curve(knots, values[:k], kind or "linear"),
        decode_step(names, values[k:], terms),
        (*_alpha_names(knots), *names),
        covariance,
        _leverage(design, np.ones(len(values))),
    )


def smooth_roofline(rows: Rows, terms: Terms, kind: str | None = None) -> Solution:
    """alpha(x) = (f^n + (b x)^n)^(1/n) and the decode terms, by relative least squares."""
    from scipy.optimize import least_squares

    if kind not in (None, "roofline"):
        raise InputError(f"interpolation {kind!r}: smooth-roofline has its own shape")
    start = relative(rows, terms, "linear")
    knots, values = np.asarray(start.curve.tokens), np.asarray(start.curve.alpha_s)
    names, decode = decode_columns(rows, terms)
    if values[-1] <= 0:
        raise InputError(
            "smooth-roofline: no prefill has a time of its own beside the decode steps"
        )
    floor = max(values[0], 1e-3 * values[-1])
    coefficients = np.array([getattr(start.step, name) for name in names])
    unit = np.where(coefficients > 0, coefficients, 1e-12 * floor)
    begin = np.log([floor, values[-1] / knots[-1], 3.0])

    def residuals(theta: FloatArray) -> FloatArray:
        shape = np.exp(theta[:3])
        alpha = np.where(rows.prefill, roofline_shape(np.maximum(rows.prompt_total, 1), shape), 0)
        return np.asarray((alpha + decode @ (theta[3:] * unit)) / rows.runtime_s - 1)

    low = np.concatenate([begin[:2] - 12, [0.0], np.zeros(len(names))])
    high = np.concatenate([begin[:2] + 12, [np.log(32.0)], np.full(len(names), np.inf)])
    found = least_squares(
        residuals, np.concatenate([begin, np.ones(len(names))]), bounds=(low, high), x_scale="jac",
        xtol=1e-13, ftol=1e-13, gtol=1e-13, max_nfev=2000,
    )  # fmt: skip
    shape = np.exp(found.x[:3])
    curve = PrefillCurve(
        "roofline", tuple(map(float, knots)), tuple(map(float, roofline_shape(knots, shape))),
        tuple(map(float, shape)),
    )  # fmt: skip
    to_natural = np.concatenate([shape, unit])
    covariance = _covariance(found.jac, found.fun, np.ones(len(found.x)))
    return Solution(
        curve,
        decode_step(names, found.x[3:] * unit, terms),
        ("floor_s", "per_prompt_token_s", "order", *names),
        covariance * np.outer(to_natural, to_natural),
        _leverage(found.jac, np.ones(len(found.x))),
    )


def published_2023(rows: Rows, terms: Terms, kind: str | None = None) -> Solution:
    """The paper's recipe to the last digit: three-decimal rounding at each stage (METHOD 2.1).

    Raises InputError unless every prompt length was met with two output lengths at batch 1.
    """
    if terms != Terms() or np.any(rows.batch != 1) or not np.all(rows.prefill):
        raise InputError("published-2023: takes whole requests at batch 1 and no optional term")
    knots = np.unique(rows.prompt)
    alphas: list[float] = []
    for prompt in knots:
        mask = rows.prompt == prompt
        if len(np.unique(rows.output[mask])) < 2:
            raise InputError(
                f"published-2023: prompt {prompt:.0f} needs two output lengths or more"
            )
        slope, intercept = _line(rows.output[mask], rows.runtime_s[mask])
        alpha = round(round(slope, 3) + round(intercept, 3), 3)
        alphas.append(max(alpha, alphas[0]) if alphas else alpha)
    table = np.asarray(alphas)
    rest = rows.runtime_s - table[np.searchsorted(knots, rows.prompt)]
    beta = round(_line(rows.output, rest)[0], 3)
    curve = choose_curve(knots, table, kind or "linear")
    names = (*_alpha_names(knots), "c0_s")
    return Solution(curve, DecodeStep(beta), names, None)


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope and intercept of an ordinary least-squares line."""
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def _alpha_names(knots: FloatArray) -> tuple[str, ...]:
    return tuple(f"alpha_{knot:.0f}_s" for knot in knots)


def denoised_rows(rows: Rows, quantile: float = 0.0) -> Rows:
    """One row a point: the low quantile (0: the minimum) of its repeats.

    For sources with contention, such as an API, whose noise only ever adds time.
    """
    if not 0 <= quantile < 1:
        raise InputError(f"quantile {quantile}: must be at least 0 and below 1")
    key = np.stack(
        [rows.prompt, rows.output, rows.batch, rows.prefill.astype(np.float64), rows.first_context]
    )
    _, first, group = np.unique(key, axis=1, return_index=True, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    times = [
        float(np.quantile(rows.runtime_s[group == g], quantile, method="lower"))
        for g in range(len(first))
    ]
    picked = rows.select(np.isin(np.arange(len(rows)), first))
    return replace(picked, runtime_s=np.asarray(times)[np.argsort(first)])


RECIPES: dict[str, Recipe] = {
    "relative": relative,
    "ols": ols,
    "smooth-roofline": smooth_roofline,
    "published-2023": published_2023,
    "denoised": relative,  # on `denoised_rows`, and with its overhead named: see `fit`
}


def recipe_named(name: str) -> Recipe:
    """The recipe called `name`; raises UnknownNameError with near matches."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, list(RECIPES), f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]
