"""Prefill time alpha as a function of prompt tokens: a table of knots and a way between them.

`linear` and `pchip` (Fritsch & Carlson's monotone cubic) pass through the knots. `quadratic` is a
relative least-squares parabola times the interpolated ratio of the knots to it: it passes through
them too, and carries the attention's p² beyond them. `roofline` is the smooth maximum
(f^n + (b*p)^n)^(1/n) of a floor and a slope (METHOD 2.3), alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from observatory.errors import InputError, UnknownNameError
from observatory.runtime.observations import FloatArray

KINDS = ("linear", "pchip", "quadratic", "roofline")
_PROBES = 257  # points at which a curve is checked for monotony


@dataclass(frozen=True)
class PrefillCurve:
    """alpha(x) in s over x = prompt tokens of the batch, by knots and, for some kinds, a shape.

    `shape` is (a0, a1, a2) of a0 + a1 x + a2 x² for `quadratic`, (f, b, n) for `roofline`.
    """

    kind: str
    tokens: tuple[float, ...]
    alpha_s: tuple[float, ...]
    shape: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("interpolation", self.kind, list(KINDS))

    def __call__(self, tokens: ArrayLike) -> FloatArray:
        """alpha in s at `tokens` (any shape); past the knots the end slope or shape goes on."""
        x = np.asarray(tokens, dtype=np.float64)
        if self.kind == "roofline":
            return roofline_shape(x, self.shape)
        knots, values = np.asarray(self.tokens), np.asarray(self.alpha_s)
        if self.kind == "quadratic":
            ratios = values / quadratic_shape(knots, self.shape)
            return np.asarray(quadratic_shape(x, self.shape) * np.interp(x, knots, ratios))
        if len(knots) == 1:
            return np.full(x.shape, values[0])
        inside = self._pchip(x) if self.kind == "pchip" else np.interp(x, knots, values)
        above = values[-1] + (x - knots[-1]) * end_slope(knots, values)
        return np.asarray(np.where(x > knots[-1], above, inside))

    def _pchip(self, x: FloatArray) -> FloatArray:
        from scipy.interpolate import PchipInterpolator

        knots = np.asarray(self.tokens)
        curve = PchipInterpolator(knots, np.asarray(self.alpha_s))
        return np.asarray(curve(np.clip(x, knots[0], knots[-1])))

    def is_monotone(self) -> bool:
        """Whether alpha never falls between the first knot and twice the last."""
        probes = np.linspace(self.tokens[0], 2 * self.tokens[-1], _PROBES)
        values = self(np.union1d(probes, self.tokens))
        return bool(np.all(np.diff(values) >= -1e-9 * np.abs(values[:-1])))


def end_slope(knots: FloatArray, values: FloatArray) -> FloatArray:
    """Slope over the last quarter of the range, so that one noisy knot does not steer the tail.

    `values` (k,), or (k, n) for n curves over the same knots.
    """
    far = int(np.searchsorted(knots, knots[0] + 0.75 * (knots[-1] - knots[0]), side="right")) - 1
    far = min(max(far, 0), len(knots) - 2)
    return np.asarray((values[-1] - values[far]) / (knots[-1] - knots[far]))


def quadratic_shape(x: FloatArray, shape: Sequence[float] | FloatArray) -> FloatArray:
    """a0 + a1 x + a2 x²."""
    return np.asarray(shape[0] + shape[1] * x + shape[2] * x * x)


def roofline_shape(x: FloatArray, shape: Sequence[float] | FloatArray) -> FloatArray:
    """(f^n + (b x)^n)^(1/n), computed so that large n does not underflow."""
    floor, slope, order = shape
    line = slope * x
    top, low = np.maximum(floor, line), np.minimum(floor, line)
    return np.asarray(top * (1 + (low / top) ** order) ** (1 / order))


def fit_quadratic(tokens: FloatArray, alpha_s: FloatArray) -> tuple[float, ...]:
    """Non-negative a0, a1, a2 of relative least squares through the knots."""
    from scipy.optimize import nnls

    scale = tokens.max()
    u = tokens / scale
    design = np.stack([np.ones_like(u), u, u * u], axis=1) / alpha_s[:, None]
    solution, _ = nnls(design, np.ones_like(u))
    return (float(solution[0]), float(solution[1] / scale), float(solution[2] / scale**2))


def _build(kind: str, tokens: FloatArray, alpha_s: FloatArray) -> PrefillCurve:
    shape = fit_quadratic(tokens, alpha_s) if kind == "quadratic" else ()
    return PrefillCurve(kind, tuple(map(float, tokens)), tuple(map(float, alpha_s)), shape)


def _left_out_error(kind: str, tokens: FloatArray, alpha_s: FloatArray) -> float:
    """Mean |relative error| at each interior knot, predicted from the others."""
    errors = []
    for i in range(1, len(tokens) - 1):
        keep = np.arange(len(tokens)) != i
        guess = float(_build(kind, tokens[keep], alpha_s[keep])(tokens[i]))
        errors.append(abs(guess / alpha_s[i] - 1))
    return float(np.mean(errors))


def choose_curve(tokens: FloatArray, alpha_s: FloatArray, kind: str | None = None) -> PrefillCurve:
    """The interpolation that predicts left-out knots best; `linear` wins ties and short tables.

    `tokens` (k,) increasing, `alpha_s` (k,) non-decreasing. Another kind is taken only when it cuts
    the left-out error by a fifth and is monotone: a small gain is noise *(ours)*. Where an alpha is
    0 (the decode steps explain all), relative errors mean nothing and the table stays linear.
    """
    told = bool(alpha_s.min() > 0)
    if kind == "quadratic" and not told:
        raise InputError("interpolation quadratic: some prefill has no time of its own")
    if kind is not None:
        return _build(kind, tokens, alpha_s)
    best = _build("linear", tokens, alpha_s)
    if len(tokens) < 4 or not told:
        return best
    bar = 0.8 * _left_out_error("linear", tokens, alpha_s)
    for name in ("pchip", "quadratic"):
        curve = _build(name, tokens, alpha_s)
        error = _left_out_error(name, tokens, alpha_s)
        if error < bar and curve.is_monotone():
            best, bar = curve, error
    return best


def scaled(curve: PrefillCurve, factor: float) -> PrefillCurve:
    """The curve with every time multiplied, as for a partly profiled model."""
    if curve.kind == "roofline":
        factors: tuple[float, ...] = (factor, factor, 1.0)
    else:
        factors = (factor,) * len(curve.shape)
    shape = tuple(value * by for value, by in zip(curve.shape, factors, strict=True))
    return replace(curve, alpha_s=tuple(a * factor for a in curve.alpha_s), shape=shape)
