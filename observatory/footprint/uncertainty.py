"""Uncertainty: common random numbers indexed by factor id, intervals, comparison, variance shares.

Draws are tied to the *name* of an input: two results that share a PUE share its draws, so that a
difference between them is judged without the noise they have in common (METHOD §6). Each input is a
stratified standard normal (one draw in each of n equally likely bins, in an order seeded by the
input's id), so marginal quantiles are exact. Same ids, seed and count: the same bytes.

Spreads without a stated p5/p95 are geometric standard deviations by evidence; they are the
project's own judgement, shown as such in every result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from observatory.footprint.energy import EnergyInput
from observatory.footprint.factors import Factor

Floats = NDArray[np.float64]
DRAWS = 10_000
Z95 = 1.6448536269514722  #: standard normal quantile at 0.95
GSD_BY_EVIDENCE = {"primary": 1.05, "secondary": 1.15, "derived": 1.4, "assumed": 2.0, "user": 1.15}
GSD_BY_KIND = {"carbon_intensity": 1.1, "wue": 2.0, "ewif": 2.0}
GSD_PUE_EXCESS = 1.5  #: of PUE - 1
SENSOR_REL = 0.055  #: NVML gain, one draw per card (arXiv 2312.02741)
GSD_BY_PROVENANCE = {"modelled": 1.4, "estimated": 2.0}
LEAST_P5 = 0.05  #: of the device time over its median, where the error is about 1 or more
UNDECIDED = (0.05, 0.95)


@lru_cache(maxsize=8)
def _bins(n: int) -> Floats:
    grid: Floats = ndtri((np.arange(n) + 0.5) / n)
    grid.setflags(write=False)
    return grid


def normals(name: str, n: int = DRAWS, seed: int = 0) -> Floats:
    """`n` stratified standard normals that belong to the input `name`; read-only, shape (n,)."""
    return (_cached if n <= DRAWS else _normals)(name, n, seed)


def _normals(name: str, n: int, seed: int) -> Floats:
    digest = hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))
    out: Floats = _bins(n)[generator.permutation(n)]
    out.setflags(write=False)
    return out


_cached = lru_cache(maxsize=512)(_normals)  # 40 MB at the usual count; larger ones are not kept


def draws_of(factor: Factor, n: int = DRAWS, seed: int = 0) -> Floats | float:
    """Draws of a factor, or its bare value where it is exact. The median is `factor.value`.

    A stated p5/p95 gives a log-normal with its own spread on either side of the value.
    """
    if factor.distribution == "fixed" or factor.value == 0:
        return factor.value
    head = factor.kind.split(".")[0]
    z = normals(factor.id, n, seed)
    if factor.low is not None and factor.high is not None and factor.low > 0:
        down = math.log(factor.value / factor.low) / Z95
        up = math.log(factor.high / factor.value) / Z95
        out = factor.value * np.exp(np.where(z < 0, down, up) * z)
    elif head == "pue":
        out = 1 + (factor.value - 1) * np.exp(math.log(GSD_PUE_EXCESS) * z)
    else:
        gsd = GSD_BY_KIND.get(head, GSD_BY_EVIDENCE.get(factor.evidence, 2.0))
        out = factor.value * np.exp(math.log(gsd) * z)
    bounded: Floats = np.minimum(out, 1.0) if head.endswith("_share") else out
    return bounded


def sensor_draws(energy: EnergyInput, n: int = DRAWS, seed: int = 0) -> Floats:
    """Multiplier for what all results of one sensor share: N(1, sd) for a meter, log-normal for
    a model or a guess. Never below zero."""
    z = normals(energy.sensor_id, n, seed)
    if energy.systematic_rel is None and energy.provenance in GSD_BY_PROVENANCE:
        return np.exp(math.log(GSD_BY_PROVENANCE[energy.provenance]) * z)
    rel = SENSOR_REL if energy.systematic_rel is None else energy.systematic_rel
    return np.maximum(1 + rel * z, 0.0)


def repeat_draws(energy: EnergyInput, n: int = DRAWS, seed: int = 0) -> Floats | float:
    """Multiplier for repeatability: log-normal of median 1, private to one result."""
    rel = energy.repeat_rel_std
    if not rel:
        return 1.0
    return np.exp(math.sqrt(math.log1p(rel * rel)) * normals(energy.repeat_id, n, seed))


def busy_draws(energy: EnergyInput, n: int = DRAWS, seed: int = 0) -> Floats | float:
    """Multiplier for the error of the device time: median 1, `1 - busy_error_rel` and
    `1 + busy_error_rel` at p5 and p95, log-normal on either side.

    The draws are those of repeatability: a fit that misses the time of a request misses its joules
    alike (docs/footprint.md has the correlations).
    """
    if not energy.busy_error_rel:
        return 1.0
    return busy_quantile(energy, normals(energy.repeat_id, n, seed))


def busy_quantile(energy: EnergyInput, z: Floats | float) -> Floats:
    """The multiplier of `busy_draws` at `z` of a standard normal."""
    rel = energy.busy_error_rel or 0.0
    down, up = -math.log(max(1 - rel, LEAST_P5)) / Z95, math.log1p(rel) / Z95
    out: Floats = np.exp(np.where(np.asarray(z) < 0, down, up) * z)
    return out


def quantiles(rows: Floats) -> Floats:
    """p5, p50, p95 of every row of `rows` (k, n) by linear interpolation; shape (3, k).

    Sorts `rows` in place: pass an array that is not needed any more.
    """
    rows.sort(axis=-1)
    at = np.array([0.05, 0.5, 0.95]) * (rows.shape[-1] - 1)
    low = np.floor(at).astype(int)
    part = at - low
    high = np.minimum(low + 1, rows.shape[-1] - 1)
    out: Floats = (rows[..., low] * (1 - part) + rows[..., high] * part).T
    return out


@dataclass(frozen=True, slots=True)
class Comparison:
    """How A stands to B: the ratio A/B at p5, p50, p95, and the share of draws with A < B."""

    ratio_low: float
    ratio_mid: float
    ratio_high: float
    p_less: float

    @property
    def verdict(self) -> str:
        """`A is lower`, `B is lower` or `undecided` (P between 0.05 and 0.95)."""
        if self.p_less >= UNDECIDED[1]:
            return "A is lower"
        return "B is lower" if self.p_less <= UNDECIDED[0] else "undecided"


def compare_draws(a: Floats, b: Floats) -> Comparison:
    """Compare paired draws of shape (n,). Equal draws count half to either side."""
    ratio = np.divide(a, b, out=np.full(a.shape, np.inf), where=b != 0)
    ratio = np.where((a == 0) & (b == 0), 1.0, ratio)
    low, mid, high = (float(q) for q in quantiles(np.array(ratio)[None, :])[:, 0])
    p = float(np.mean(a < b) + 0.5 * np.mean(a == b))
    return Comparison(low, mid, high, p)


def variance_shares(
    output: Floats, inputs: Mapping[str, Floats], top: int = 3
) -> tuple[tuple[str, float], ...]:
    """The `top` inputs by share of the variance of ln(output), largest first.

    Squared correlation of each input's logarithm with that of the output: exact for a product of
    independent log-normals, first order for sums.
    """
    if output.min() <= 0 or output.max() == output.min():
        return ()
    y = np.log(output)
    out = []
    for name, values in inputs.items():
        if values.min() > 0 and values.max() > values.min():
            r = float(np.corrcoef(np.log(values), y)[0, 1])
            out.append((name, r * r))
    return tuple(sorted(out, key=lambda pair: (-pair[1], pair[0]))[:top])
