"""The project's statistics, in one place: pure functions on numbers.

Sources: Kalibera & Jones, *Rigorous Benchmarking in Reasonable Time* (2013), for the hierarchy of
processes and windows; Hoefler & Belli (2015) for medians and intervals; Wilson (1927) for shares.
All random choices take a seed; the same input gives the same output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate between two bounds; `method` says how the bounds were made."""

    mid: float
    low: float | None
    high: float | None
    method: str
    n: int

    @property
    def half_width_rel(self) -> float | None:
        """Half the width over the middle; None where there are no bounds or the middle is 0."""
        if self.low is None or self.high is None or self.mid == 0:
            return None
        return abs((self.high - self.low) / 2 / self.mid)


def median(values: ArrayLike) -> float:
    """The median. Raises ValueError on no values."""
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError("median of no values")
    return float(np.median(array))


def mad(values: ArrayLike) -> float:
    """Median absolute deviation from the median, unscaled."""
    array = np.asarray(values, dtype=float)
    return median(np.abs(array - median(array)))


def coefficient_of_variation(values: ArrayLike) -> float | None:
    """Sample standard deviation over mean; None for fewer than two values or a zero mean."""
    array = np.asarray(values, dtype=float)
    if array.size < 2 or array.mean() == 0:
        return None
    return float(array.std(ddof=1) / abs(array.mean()))


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval (df = n-1); no bounds for a single value."""
    from scipy.stats import t

    array = np.asarray(values, dtype=float)
    mid = float(array.mean())
    if array.size < 2:
        return Interval(mid, None, None, "single value", int(array.size))
    half = float(t.ppf(0.5 + confidence / 2, array.size - 1) * array.std(ddof=1)) / array.size**0.5
    return Interval(mid, mid - half, mid + half, f"t, df={array.size - 1}", int(array.size))


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Median with a percentile-bootstrap interval; no bounds below three values."""
    array = np.asarray(values, dtype=float)
    mid = median(array)
    if array.size < 3:
        return Interval(mid, None, None, "too few values", int(array.size))
    rng = np.random.default_rng(seed)
    picks = np.median(array[rng.integers(0, array.size, (draws, array.size))], axis=1)
    low, high = np.quantile(picks, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(mid, float(low), float(high), "bootstrap of windows", int(array.size))


def process_interval(
    groups: Sequence[ArrayLike], confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """The interval that METHOD §3.8 asks for, from windows grouped by process.

    One process: the windows' own t interval, labelled within-process. Two to five: Student's t on
    process means (df = processes - 1; a hierarchical bootstrap of 3 × 5 covers only 77 %). From six
    on: hierarchical bootstrap (processes, then windows inside each). The middle is the median of
    all windows; `t` bounds are moved to surround it, keeping their width. Times and joules are
    positive and differ by factors: where every value is positive, `t` is that of the logarithms,
    so that both bounds are positive too.
    """
    arrays = [np.asarray(g, dtype=float) for g in groups if np.asarray(g).size]
    if not arrays:
        raise ValueError("interval of no windows")
    everything = np.concatenate(arrays)
    mid, n = median(everything), int(everything.size)
    if len(arrays) >= 6:
        low, high = _hierarchical(arrays, confidence, draws, seed)
        return Interval(mid, low, high, f"hierarchical bootstrap of {len(arrays)} processes", n)
    one = len(arrays) == 1
    values = arrays[0] if one else np.array([a.mean() for a in arrays])
    said = "within-process t on {}windows" if one else f"t on {len(arrays)} {{}}process means"
    if np.all(everything > 0):
        return _around(mid, t_interval(np.log(values), confidence), said.format("log "), n, True)
    return _around(mid, t_interval(values, confidence), said.format(""), n, False)


def _around(mid: float, inner: Interval, method: str, n: int, logs: bool) -> Interval:
    """`mid` with the width of `inner`, an interval of logarithms where `logs`."""
    if inner.low is None or inner.high is None:
        return Interval(mid, None, None, "single window", n)
    half = (inner.high - inner.low) / 2
    if logs:
        return Interval(mid, mid * float(np.exp(-half)), mid * float(np.exp(half)), method, n)
    return Interval(mid, mid - half, mid + half, method, n)


def _hierarchical(
    arrays: list[Floats], confidence: float, draws: int, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    medians = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(0, len(arrays), len(arrays))
        parts = [rng.choice(arrays[i], arrays[i].size) for i in chosen]
        medians[draw] = np.median(np.concatenate(parts))
    low, high = np.quantile(medians, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def between_process_spread(groups: Sequence[ArrayLike]) -> float | None:
    """(largest - smallest process median) / overall median; None below two processes."""
    medians = [median(g) for g in groups if np.asarray(g).size]
    if len(medians) < 2:
        return None
    return (max(medians) - min(medians)) / median(medians)


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share; raises ValueError unless 0 <= successes <= n, n > 0."""
    from scipy.stats import norm

    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"no share of {successes} in {n}")
    z = float(norm.ppf(0.5 + confidence / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), "Wilson", n)


def paired_ratio(a: ArrayLike, b: ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Median of a/b over pairs measured side by side, with an interval over pairs.

    Below six pairs Student's t on the logarithms of the ratios (df = pairs - 1; a bootstrap of so
    few covers too little), from six on a bootstrap of pairs; a single pair has no bounds. Give one
    pair a process: windows of one process are no repeats of each other. A difference is claimed
    only where the interval excludes 1 (METHOD §3.8). Raises ValueError unless both have the same
    number of values, at least one, all positive.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.size == 0:
        raise ValueError("a paired ratio needs equally many values of both, at least one")
    if np.any(first <= 0) or np.any(second <= 0):
        raise ValueError("a paired ratio needs positive values")
    ratios, n = first / second, int(first.size)
    if n >= 6:
        found = bootstrap_interval(ratios, confidence, seed=seed)
        return Interval(found.mid, found.low, found.high, f"bootstrap of {n} pairs", n)
    mid = median(ratios)
    logs = t_interval(np.log(ratios), confidence)
    if logs.low is None or logs.high is None:
        return Interval(mid, None, None, "single pair", n)
    width = float(np.exp((logs.high - logs.low) / 2))
    return Interval(mid, mid / width, mid * width, f"t on {n} log ratios", n)
