"""From measurements to a posterior over all rows: hypotheses fitted, weighed and mixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from observatory.runtime.observations import FloatArray, IndexArray
from observatory.runtime.surrogate import HOPELESS, Hypothesis, Surrogate

_NEGLIGIBLE = 0.03  # posterior weight below which a hypothesis is left out of mixtures
_FIRST_ROUNDS = 25
_LATER_ROUNDS = 6


@dataclass(frozen=True)
class Posterior:
    """One hypothesis after the data: mean (n,), covariance (n, n) and noise variance (n,) in s²."""

    hypothesis: Hypothesis
    weight: float
    mean: FloatArray
    covariance: FloatArray
    noise: FloatArray


@dataclass(frozen=True)
class Belief:
    """The mixture. `inflation` >= 1 widens what proved too narrow on the data themselves.

    `least_s` is a time that no row can be believed to undercut, when errors are put in relation to
    it: far from data a Gaussian may reach below zero.
    """

    parts: tuple[Posterior, ...]
    inflation: float
    least_s: float = 1e-12

    @property
    def mean(self) -> FloatArray:
        """Expected times (n,) in s."""
        return np.asarray(sum(part.weight * part.mean for part in self.parts))

    @property
    def variance(self) -> FloatArray:
        """Variance (n,) in s² of what a new measurement would give."""
        centre = self.mean
        total = np.zeros_like(centre)
        for part in self.parts:
            spread = np.maximum(np.diag(part.covariance), 0) * self.inflation**2
            total += part.weight * (spread + part.noise + (part.mean - centre) ** 2)
        return total

    def tile_weights(self) -> dict[int, float]:
        """Posterior weight of each tile size; 0 stands for no staircase."""
        found: dict[int, float] = {}
        for part in self.parts:
            found[part.hypothesis.tile] = found.get(part.hypothesis.tile, 0.0) + part.weight
        return found


@dataclass(frozen=True)
class Data:
    """Measured rows: indices (k,), mean times (k,) in s, repeats behind each (k,)."""

    index: IndexArray
    time_s: FloatArray
    repeats: FloatArray


def fit_hypotheses(
    surrogate: Surrogate, data: Data, before: Mapping[tuple[int, int], Hypothesis]
) -> dict[tuple[int, int], Hypothesis]:
    """Each hypothesis at its most probable scales; `before` warm-starts the search."""
    from scipy.optimize import minimize

    found = {}
    start, _ = surrogate.theta_prior()
    for tile in surrogate.settings.tiles:
        for order in surrogate.settings.orders:
            known = before.get((tile, order))
            blank = Hypothesis(tile, order, start if known is None else known.theta, 0.0)

            def loss(theta: FloatArray, blank: Hypothesis = blank) -> float:
                trial = replace(blank, theta=theta)
                return surrogate.loss(trial, data.index, data.time_s, data.repeats)

            rounds = _FIRST_ROUNDS if known is None else _LATER_ROUNDS
            answer = minimize(loss, blank.theta, method="BFGS", options={"maxiter": rounds})
            if answer.fun < HOPELESS:
                found[tile, order] = replace(blank, theta=answer.x, loss=float(answer.fun))
            else:
                found[tile, order] = replace(blank, theta=start, loss=loss(start))
    return found


def believe(
    surrogate: Surrogate, data: Data, hypotheses: Mapping[tuple[int, int], Hypothesis]
) -> Belief:
    """Posterior over all rows, hypotheses weighed by their likelihood."""
    losses = {key: h.loss for key, h in hypotheses.items()}
    least = min(losses.values())
    raw = {key: float(np.exp(least - loss)) for key, loss in losses.items()}
    total = sum(raw.values())
    kept = {key: w for key, w in raw.items() if w / total >= _NEGLIGIBLE}
    total = sum(kept.values())
    parts, misfits = [], []
    for key, weight in kept.items():
        part, misfit = _condition(surrogate, data, hypotheses[key], weight / total)
        parts.append(part)
        misfits.append(misfit * weight / total)
    least_s = surrogate.scales.floor_s / 2
    return Belief(tuple(parts), max(1.0, float(sum(misfits)) ** 0.5), least_s)


def _condition(
    surrogate: Surrogate, data: Data, h: Hypothesis, weight: float
) -> tuple[Posterior, float]:
    """Posterior under one hypothesis, and the mean squared standardised left-out residual."""
    mean, after, standard = _gaussian(surrogate, data, h)
    noise = surrogate.noise(h, np.maximum(mean, 1e-12))
    # The median of a chi-squared variable with one degree of freedom is 0.455.
    misfit = float(np.median(standard**2)) / 0.455 if len(data.index) > 3 else 1.0
    return Posterior(h, weight, mean, after, noise), misfit


def _gaussian(
    surrogate: Surrogate, data: Data, h: Hypothesis
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and covariance of all rows at fixed scales; standardised left-out residuals."""
    everything = np.arange(len(surrogate.rows))
    prior_mean = surrogate.mean(h, everything)
    covariance = surrogate.covariance(h, everything, everything)
    noise_seen = surrogate.noise(h, data.time_s) / data.repeats
    seen = data.index
    inner = covariance[np.ix_(seen, seen)] + np.diag(noise_seen)
    inverse = np.linalg.inv(inner)
    gain = covariance[:, seen] @ inverse
    # Rasmussen & Williams, equations 5.10-5.12: leave-one-out residuals without refitting.
    pulled = inverse @ (data.time_s - prior_mean[seen])
    mean = prior_mean + covariance[:, seen] @ pulled
    return mean, covariance - gain @ covariance[seen, :], pulled / np.sqrt(np.diag(inverse))


def expected_error(belief: Belief, targets: IndexArray) -> float:
    """Expected mean |T̂/T - 1| over the rows `targets` if they were measured now."""
    times = np.maximum(belief.mean[targets], belief.least_s)
    return float(np.mean(np.sqrt(belief.variance[targets]) / times) * np.sqrt(2 / np.pi))


def error_drops(belief: Belief, targets: IndexArray, candidates: IndexArray) -> FloatArray:
    """By how much one measurement of each candidate would lower the expected error, (c,).

    The mixture is taken as one Gaussian of its mean and covariance, so that a point at which the
    hypotheses disagree is worth measuring for what it says of them everywhere.
    """
    centre = belief.mean
    now = np.zeros(len(targets))
    cross = np.zeros((len(targets), len(candidates)))
    pivot = np.zeros(len(candidates))
    for part in belief.parts:
        size = part.weight * belief.inflation**2
        off = part.mean - centre
        variance = np.maximum(np.diag(part.covariance), 0)
        now += size * variance[targets] + part.weight * off[targets] ** 2
        cross += size * part.covariance[np.ix_(targets, candidates)]
        cross += part.weight * np.outer(off[targets], off[candidates])
        pivot += size * variance[candidates] + part.weight * off[candidates] ** 2
        pivot += part.weight * part.noise[candidates]
    after = np.maximum(now[:, None] - cross**2 / pivot, 0)
    change = np.sqrt(now)[:, None] - np.sqrt(after)
    scale = np.maximum(centre[targets], belief.least_s)
    return np.asarray(np.mean(change / scale[:, None], axis=0) * np.sqrt(2 / np.pi))
