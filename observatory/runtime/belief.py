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
    """One hypothesis after the data: mean (n,), covariance (n, n) and noise variance (n,) in s².

    `shown` (n, n) is the covariance of the times with what a measurement would show, `shown_var`
    (n,) the variance of the latter, without its noise: they differ where interference is feared.
    """

    hypothesis: Hypothesis
    weight: float
    mean: FloatArray
    covariance: FloatArray
    noise: FloatArray
    shown: FloatArray
    shown_var: FloatArray


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
    """Measured rows: indices (k,), mean times (k,) in s, repeats behind each (k,).

    `doubt` (k,) is the variance in s² that suspected interference adds to each, None for none.
    """

    index: IndexArray
    time_s: FloatArray
    repeats: FloatArray
    doubt: FloatArray | None = None

    @property
    def doubts(self) -> FloatArray:
        """`doubt`, zeros where there is none."""
        return np.zeros(len(self.time_s)) if self.doubt is None else self.doubt


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
                return surrogate.loss(trial, data.index, data.time_s, data.repeats, data.doubts)

            rounds = _FIRST_ROUNDS if known is None else _LATER_ROUNDS
            answer = minimize(loss, blank.theta, method="BFGS", options={"maxiter": rounds})
            if answer.fun < HOPELESS:
                found[tile, order] = replace(blank, theta=answer.x, loss=float(answer.fun))
            else:
                found[tile, order] = replace(blank, theta=start, loss=loss(start))
    return found


def doubted(
    surrogate: Surrogate, data: Data, hypotheses: Mapping[tuple[int, int], Hypothesis]
) -> Data:
    """The data with what interference may have added to each row with decode steps.

    Interference only slows: with a small chance a row's steps took longer by an exponential share,
    larger where iterations scatter more. Which rows, is told by the marginal likelihood of the most
    likely hypothesis at the noise that the iterations tell, one row flipped at a time until none
    gains. Of two rows that differ the slower is doubted; the chance that every row has without
    evidence is in every measurement's covariance. Prefills are left out: a slow one may be a knee.
    """
    from scipy.linalg import cho_solve

    if not surrogate.slow_rel:
        return data
    settings, scales = surrogate.settings, surrogate.scales
    rows = [int(i) for i in np.flatnonzero(surrogate.rows.steps[data.index] > 0)]
    h = min(hypotheses.values(), key=lambda hypothesis: hypothesis.loss)
    h = replace(h, theta=np.append(h.theta[:3], np.log(scales.noise_rel)))
    # Mean and standard deviation of an exponential, in s.
    slower = surrogate.slow_rel * scales.step_s * surrogate.rows.steps[data.index]
    covariance = surrogate.covariance(h, data.index, data.index)
    covariance += np.diag(surrogate.noise(h, data.time_s) / data.repeats)
    residual = data.time_s - surrogate.mean(h, data.index)

    def evidence(slow: frozenset[int]) -> float:
        some = np.zeros(len(residual))
        some[list(slow)] = 1.0
        lower = np.linalg.cholesky(covariance + np.diag(some * slower**2))
        off = residual - some * slower
        odds = len(slow) * np.log(settings.slow_share / (1 - settings.slow_share))
        return float(
            odds - 0.5 * off @ cho_solve((lower, True), off) - np.log(np.diag(lower)).sum()
        )

    slow: frozenset[int] = frozenset()
    while rows:
        now = evidence(slow)
        best = max((slow ^ {row} for row in rows), key=evidence)
        if evidence(best) <= now:
            break
        slow = best
    doubt = np.zeros(len(residual))
    for row in rows:
        gain = evidence(slow - {row}) - evidence(slow | {row})
        chance = 1 / (1 + float(np.exp(np.clip(gain, -50, 50))))
        doubt[row] = 2 * slower[row] ** 2 * max(chance - settings.slow_share, 0.0)
    return replace(data, doubt=doubt)


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
    mean, after, shown, shown_var, standard = _gaussian(surrogate, data, h)
    noise = surrogate.noise(h, np.maximum(mean, 1e-12))
    # The median of a chi-squared variable with one degree of freedom is 0.455.
    misfit = float(np.median(standard**2)) / 0.455 if len(data.index) > 3 else 1.0
    return Posterior(h, weight, mean, after, noise, shown, shown_var), misfit


def _gaussian(
    surrogate: Surrogate, data: Data, h: Hypothesis
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Mean, covariance, `shown` and `shown_var` of all rows at fixed scales; standardised left-out
    residuals."""
    everything = np.arange(len(surrogate.rows))
    prior_mean = surrogate.mean(h, everything)
    covariance = surrogate.covariance(h, everything, everything)
    noise_seen = surrogate.noise(h, data.time_s) / data.repeats + data.doubts
    seen = data.index
    inverse = np.linalg.inv(covariance[np.ix_(seen, seen)] + np.diag(noise_seen))
    # Rasmussen & Williams, equations 5.10-5.12: leave-one-out residuals without refitting.
    pulled = inverse @ (data.time_s - prior_mean[seen])
    mean = prior_mean + covariance[:, seen] @ pulled
    # Slowed rows are doubted one by one; that any row may be one counts in what is not known.
    disturbed = covariance + surrogate.interference(everything, everything)
    wary = np.linalg.inv(disturbed[np.ix_(seen, seen)] + np.diag(noise_seen))
    gain = covariance[:, seen] @ wary
    shown = covariance - gain @ disturbed[seen, :]
    explained = np.einsum("ij,ji->i", disturbed[:, seen] @ wary, disturbed[seen, :])
    return (
        mean, covariance - gain @ covariance[seen, :], shown, np.diag(disturbed) - explained,
        pulled / np.sqrt(np.diag(inverse)),
    )  # fmt: skip


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
        cross += size * part.shown[np.ix_(targets, candidates)]
        cross += part.weight * np.outer(off[targets], off[candidates])
        pivot += size * np.maximum(part.shown_var, 0)[candidates]
        pivot += part.weight * off[candidates] ** 2
        pivot += part.weight * part.noise[candidates]
    after = np.maximum(now[:, None] - cross**2 / pivot, 0)
    change = np.sqrt(now)[:, None] - np.sqrt(after)
    scale = np.maximum(centre[targets], belief.least_s)
    return np.asarray(np.mean(change / scale[:, None], axis=0) * np.sqrt(2 / np.pi))
