"""A Gaussian-process surrogate of request times: what the planner believes after each measurement.

    T = alpha(p) + Σ steps b(c) + b1*S,     alpha(p) = m(p) * (1 + g(p)),
    m(p) = (f^n + (s*prior(p))^n)^(1/n)

g holds a smooth deviation and, under the hypothesis of tiles of t tokens, a staircase: a prompt is
rounded up to whole tiles where compute binds, and all prompts of one tile share a deviation. b(c)
is nearly constant and drifts a little with the context, as measured decode slopes do. Hypotheses
(t, n) are weighed by their marginal likelihood, so a knee or a staircase is found in the data or
not at all. The model is linear and Gaussian once f, s and the sizes of deviation and noise are set,
and those are set by maximum a posteriori (Rasmussen & Williams 2006, chapters 2 and 5). The
constants in `Settings` are *(ours)*: orders of magnitude seen on A100 and V100, not device fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from observatory.runtime.observations import FloatArray, IndexArray, Rows
from observatory.runtime.prior import Prior

HOPELESS = 1e12
_FAR = 8.0  # standard deviations of the hyper-prior


@dataclass(frozen=True)
class Settings:
    """Sizes of effects, as shares of the time they modify; lengths in octaves of tokens."""

    smooth: float = 0.04
    smooth_octaves: float = 0.7
    tile_shared: float = 0.035
    tile_rounding_mean: float = 0.5
    tile_rounding: float = 0.4
    own: float = 0.004  # a prompt's own deviation, shared with no other
    drift: float = 1.3  # of the slope between contexts, in units of the noise
    drift_octaves: float = 2.0
    jitter: float = 0.008  # of launches, as a share of a decode step
    noise_sd: float = 1.0
    slow_share: float = 0.05  # of decode rows that interference slowed
    slow_size: float = 3.0  # by how much on average, in units of the spread that shows it
    fewest_steps: int = 11  # of a measurement that has any: shorter ones are mostly jitter
    tiles: tuple[int, ...] = (0, 32, 64, 128, 256)
    tile_odds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)  # before the data, relative
    orders: tuple[int, ...] = (2, 4, 8)


#: Where one processor launches and computes: the two add up (order 1), kernels pad to blocks of 32
#: at most, and caches and neighbours make times less smooth *(ours)*.
ONE_PROCESSOR = Settings(smooth=0.08, drift=4.0, tiles=(0, 32), tile_odds=(1.0, 1.0), orders=(1, 2))


#: Without a prior the shape is a guess too: it may deviate more from a floor and a line *(ours)*.
SHAPELESS = Settings(smooth=0.08)


@dataclass(frozen=True)
class Scales:
    """What is known of the sizes in seconds before fitting: guesses and their spread."""

    floor_s: float
    step_s: float
    noise_rel: float
    resolution_s: float
    context_mean_s: float
    context_sd_s: float
    spread_rel: float = 0.0  # of the iterations inside a measurement, where they tell


@dataclass(frozen=True)
class Hypothesis:
    """Tiles of `tile` tokens (0: none), norm `order`, and the logarithms found for them."""

    tile: int
    order: int
    theta: FloatArray  # log f, log s, log smooth, log noise
    loss: float


def _offset_octaves(tokens: FloatArray) -> FloatArray:
    """log2, flattened below a few dozen tokens, where prompts hardly differ."""
    return np.asarray(np.log2(tokens + 16.0))


def _matern(x: FloatArray, y: FloatArray, length: float) -> FloatArray:
    """Matérn 3/2 correlation between coordinates x (n,) and y (m,)."""
    d = np.sqrt(3.0) / length * np.abs(x[:, None] - y[None, :])
    return np.asarray((1 + d) * np.exp(-d))


@dataclass
class Surrogate:
    """The belief about a fixed set of rows, n of them; measured ones are named by their index."""

    rows: Rows
    prior: Prior
    scales: Scales
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self._prior_s = np.asarray(self.prior.prefill_s(np.maximum(self.rows.prompt, 1.0)))
        self._prompt = np.maximum(self.rows.prompt, 1.0)
        self._longest = float(self._prompt.max())
        self._octaves = _offset_octaves(self._prompt)
        middle = self.rows.first_context + np.maximum(self.rows.steps - 1, 0) / 2
        self._context_octaves = _offset_octaves(middle)

    def theta_prior(self) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of log f, log s, log smooth, log noise."""
        scales = self.scales
        mean = np.log([scales.floor_s, self.prior.scale, self.settings.smooth, scales.noise_rel])
        return mean, np.array([0.5, self.prior.scale_sd, 0.8, self.settings.noise_sd])

    def _alpha_mean(self, h: Hypothesis, at: IndexArray) -> tuple[FloatArray, FloatArray]:
        """m and the share of it that is compute, each for the rows `at`."""
        floor, scale = np.exp(h.theta[0]), np.exp(h.theta[1])
        bound = scale * self._prior_s[at]
        top = np.maximum(floor, bound)
        f, b = (floor / top) ** h.order, (bound / top) ** h.order
        return np.asarray(top * (f + b) ** (1 / h.order)), np.asarray(b / (f + b))

    def _stairs(self, h: Hypothesis, compute: FloatArray, at: IndexArray) -> FloatArray:
        """What rounding up to whole tiles adds, less its mean, as a share of alpha."""
        p = self._prompt[at]
        lost = h.tile * np.ceil(p / h.tile) - p - (h.tile - 1) / 2
        return np.asarray(compute * lost / np.maximum(p, h.tile))

    def mean(self, h: Hypothesis, at: IndexArray) -> FloatArray:
        """Prior mean of the times of rows `at`."""
        alpha, compute = self._alpha_mean(h, at)
        if h.tile:
            alpha = alpha * (1 + self.settings.tile_rounding_mean * self._stairs(h, compute, at))
        rows, scales = self.rows, self.scales
        decode = rows.steps[at] * scales.step_s + rows.context_sum[at] * scales.context_mean_s
        return np.asarray(np.where(rows.prefill[at], alpha, 0.0) + decode)

    @property
    def slow_rel(self) -> float:
        """How much interference slows a row's steps on average, where it does: a share.

        In proportion to the spread of iterations beyond what launches jitter by themselves.
        """
        beyond = max(self.scales.spread_rel**2 - self.settings.jitter**2, 0.0)
        return self.settings.slow_size * float(np.sqrt(beyond))

    def interference(self, at: IndexArray, other: IndexArray) -> FloatArray:
        """Covariance of what interference adds to measurements of rows `at` and `other`, in s².

        An exponential share of the steps, with mean `slow_rel`, on few rows. Rows of near contexts,
        likely measured near in time, share it, for it lasts. It is no part of the times themselves.
        """
        slow = 2 * self.settings.slow_share * (self.slow_rel * self.scales.step_s) ** 2
        near = _matern(
            self._context_octaves[at], self._context_octaves[other], self.settings.drift_octaves
        )
        return np.asarray(slow * near * np.outer(self.rows.steps[at], self.rows.steps[other]))

    def covariance(self, h: Hypothesis, at: IndexArray, other: IndexArray) -> FloatArray:
        """Prior covariance of the times of rows `at` (n,) and `other` (m,), in s²."""
        size, rows = self.settings, self.rows
        m1, compute1 = self._alpha_mean(h, at)
        m2, compute2 = self._alpha_mean(h, other)
        g = np.exp(2 * h.theta[2]) * _matern(
            self._octaves[at], self._octaves[other], size.smooth_octaves
        )
        p1, p2 = self._prompt[at], self._prompt[other]
        tilt1, tilt2 = compute1 * p1 / self._longest, compute2 * p2 / self._longest
        g = g + self.prior.tilt_sd**2 * np.outer(tilt1, tilt2)
        g = g + size.own**2 * (p1[:, None] == p2[None, :])
        if h.tile:
            stairs1, stairs2 = self._stairs(h, compute1, at), self._stairs(h, compute2, other)
            same = np.ceil(p1 / h.tile)[:, None] == np.ceil(p2 / h.tile)[None, :]
            weight1 = compute1 * np.sqrt(np.minimum(1, 2 * h.tile / p1))
            weight2 = compute2 * np.sqrt(np.minimum(1, 2 * h.tile / p2))
            g = g + size.tile_rounding**2 * np.outer(stairs1, stairs2)
            g = g + size.tile_shared**2 * same * np.outer(weight1, weight2)
        alpha1, alpha2 = m1 * rows.prefill[at], m2 * rows.prefill[other]
        drift = (size.drift * np.exp(h.theta[3])) ** 2 * _matern(
            self._context_octaves[at], self._context_octaves[other], size.drift_octaves
        )
        step = (0.5**2 + drift) * self.scales.step_s**2
        return np.asarray(
            np.outer(alpha1, alpha2) * g
            + np.outer(rows.steps[at], rows.steps[other]) * step
            + np.outer(rows.context_sum[at], rows.context_sum[other]) * self.scales.context_sd_s**2
        )

    def noise(self, h: Hypothesis, times: FloatArray) -> FloatArray:
        """Variance of one measurement that takes `times` seconds (n,)."""
        jitter = self.settings.jitter * self.scales.step_s
        rounding = self.scales.resolution_s**2 / 12
        return np.asarray((np.exp(h.theta[3]) * times) ** 2 + rounding + jitter**2)

    def loss(
        self, h: Hypothesis, at: IndexArray, y: FloatArray, weight: FloatArray, doubt: FloatArray
    ) -> float:
        """Negative log of marginal likelihood and hyper-prior; `weight` (n,) divides the noise,
        `doubt` (n,) in s² adds to it.

        Far outside the hyper-prior, where exponentials overflow, it is a large constant.
        """
        mean, sd = self.theta_prior()
        pull = (h.theta - mean) / sd
        if not np.all(np.abs(pull) < _FAR):
            return HOPELESS
        cov = self.covariance(h, at, at) + np.diag(self.noise(h, y) / weight + doubt)
        try:
            lower = np.linalg.cholesky(cov)
        except np.linalg.LinAlgError:
            return HOPELESS
        z = np.linalg.solve(lower, y - self.mean(h, at))
        odds = self.settings.tile_odds[self.settings.tiles.index(h.tile)]
        fit = 0.5 * z @ z + np.log(np.diag(lower)).sum() + 0.5 * pull @ pull
        return float(fit - np.log(odds))
