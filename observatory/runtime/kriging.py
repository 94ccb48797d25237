"""The recipe `kriging`: parameters read off the surrogate's posterior instead of a table of points.

For sparse measurements: between them the curve follows the knee and the staircase that the data
show, not a straight line. Its knots are dense, so a stored fit is an ordinary table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from observatory.runtime.belief import Belief, Data, believe, doubted, fit_hypotheses
from observatory.runtime.curves import PrefillCurve
from observatory.runtime.observations import FloatArray, Observation, Point, Rows, rows_at, rows_of
from observatory.runtime.prior import Prior, ignorant_prior
from observatory.runtime.recipes import DecodeStep, Solution, relative
from observatory.runtime.selection import choose_terms
from observatory.runtime.surrogate import Scales, Settings, Surrogate
from observatory.runtime.terms import Evidence

_MOST_KNOTS = 400
_LIKELY = 0.5  # posterior weight from which a tile size shapes the knots
_OF_SPREAD = 0.5  # error of a mean, as a share of the spread of its iterations (ours)


def mean_data(observations: Sequence[Observation], index: dict[Point, int]) -> Data:
    """Repeats of a point averaged; `index` gives each point's row."""
    groups: dict[int, list[float]] = {}
    for observation in observations:
        groups.setdefault(index[observation.point], []).append(observation.runtime_s)
    return Data(
        np.array(list(groups), dtype=np.intp),
        np.array([float(np.mean(times)) for times in groups.values()]),
        np.array([float(len(times)) for times in groups.values()]),
    )


def scatter_of(observations: Sequence[Observation]) -> float:
    """Median spread of the iterations as a share of their mean, 0 where none tells.

    Only measurements with decode steps tell; a lone prefill is too short for its clock.
    """
    told = [o.std_s / o.runtime_s for o in observations if o.std_s is not None and o.point.steps]
    return float(np.median(told)) if told else 0.0


def spread_of(observations: Sequence[Observation], noise_rel: float) -> float:
    """Noise expected of a measurement: the median spread of the iterations where that is larger.

    Launches and neighbours that scatter iterations move their mean by about as much: in public logs
    the error of a mean of 50 is 0.4 to 1.5 times their standard deviation, never its 50th root.
    """
    return max(noise_rel, _OF_SPREAD * scatter_of(observations))


def surrogate_for(
    all_rows: Rows,
    data: Data,
    prior: Prior | None,
    settings: Settings,
    noise_rel: float,
    resolution_s: float,
    context: bool = True,
    spread_rel: float = 0.0,
) -> Surrogate:
    """A surrogate whose scales are guessed from the data; `context` False rules b1 out."""
    rows = all_rows.select(data.index)
    shortest = int(np.argmin(np.where(rows.prefill, rows.prompt + rows.steps * 1e-3, np.inf)))
    floor = float(data.time_s[shortest] / (1 + rows.steps[shortest]))
    step = floor  # a decode step is a prefill of one token
    many = rows.steps > 0
    if many.any():
        alone = np.where(rows.prefill, floor, 0.0)
        longest = int(np.argmax(np.where(many, rows.steps, 0)))
        guess = float((data.time_s[longest] - alone[longest]) / rows.steps[longest])
        step = guess if guess > 0 else floor
    known = prior or ignorant_prior(floor)
    mean, sd = context_slope(known, step, all_rows.first_context + all_rows.steps)
    if not context:
        mean, sd = 0.0, 0.0
    scales = Scales(floor, step, noise_rel, resolution_s, mean, sd, spread_rel)
    return Surrogate(all_rows, known, scales, settings)


def context_slope(prior: Prior, step_s: float, contexts: FloatArray) -> tuple[float, float]:
    """Belief about b1 before slopes are seen: mean and spread, s per token of context.

    Where launches overlap and the prior's decode step, even at the longest context, takes far less
    than a measured step, launches bound it and the KV cache is read in their shadow: next to no
    growth is expected.
    """
    longest = float(contexts.max())
    unknown = 0.3 * step_s / longest
    if prior.decode_s is None:
        return 0.0, unknown
    ends = prior.decode_s(np.array([1.0, longest]))
    ends = ends * min(1.0, step_s / float(ends[0]))  # a step that takes less refutes its speed
    slope = float(ends[1] - ends[0]) / longest
    if prior.overlaps and float(ends[1]) < 0.6 * step_s:
        return 0.0, 0.1 * min(slope, unknown)
    return 0.5 * slope, max(0.7 * slope, unknown)


def context_evidence(observations: Sequence[Observation]) -> Evidence:
    """The verdict on the context term by the rule of every recipe (METHOD 2.3)."""
    _, evidence = choose_terms(relative, rows_of(observations), "linear", None, {"batch": False})
    return next(item for item in evidence if item.name == "context")


def knots_for(prompts: Sequence[int], tile: int) -> list[int]:
    """Prompt lengths at which the curve is tabulated: the given ones, and both edges of tiles."""
    low, high = min(prompts), max(prompts)
    found = set(prompts) | {int(p) for p in np.geomspace(low, high, 24)}
    if tile:
        edges = range(tile * (low // tile + 1), high, tile)
        found |= {p for edge in edges for p in (edge, edge + 1) if low <= p <= high}
    return sorted(found)[:_MOST_KNOTS] if len(found) <= _MOST_KNOTS else sorted(set(prompts))


def kriging_solution(
    observations: Sequence[Observation],
    prompts: Sequence[int],
    context: bool,
    prior: Prior | None = None,
    settings: Settings | None = None,
    noise_rel: float = 0.002,
    resolution_s: float = 0.0,
) -> Solution:
    """alpha at dense knots over `prompts`, a decode step, and their covariance."""
    size = settings or Settings()
    noise_rel = spread_of(observations, noise_rel)
    seen = list(dict.fromkeys(o.point for o in observations))
    data = mean_data(observations, {point: i for i, point in enumerate(seen)})
    options = (prior, size, noise_rel, resolution_s, context, scatter_of(observations))
    surrogate = surrogate_for(rows_at(seen), data, *options)
    hypotheses = fit_hypotheses(surrogate, data, {})
    data = doubted(surrogate, data, hypotheses)
    hypotheses = fit_hypotheses(surrogate, data, hypotheses)
    first = believe(surrogate, data, hypotheses)
    tile = next((t for t, weight in first.tile_weights().items() if t and weight > _LIKELY), 0)
    batch = seen[0].batch
    knots = knots_for(prompts, tile)
    contexts = sorted({point.first_context for point in seen if point.steps})
    asked = [Point("prefill", p, 1, batch) for p in knots]
    asked += [Point("decode", 0, 1, batch, c - 1) for c in contexts]
    belief = believe(surrogate_for(rows_at(seen + asked), data, *options), data, hypotheses)
    return _read_off(belief, len(seen), knots, np.array(contexts, dtype=float), context, batch)


def _read_off(
    belief: Belief,
    skip: int,
    knots: Sequence[int],
    contexts: FloatArray,
    context: bool,
    batch: int,
) -> Solution:
    """Parameters as linear functions of the posterior: alphas as they are, a line for the steps."""
    k = len(knots)
    columns = [np.ones_like(contexts)] + ([contexts * batch] if context else [])
    sure = 1 / np.sqrt(np.maximum(belief.variance[skip + k :], 1e-300))  # of each context's step
    line = np.linalg.pinv(np.stack(columns, axis=1) * sure[:, None]) * sure
    take = np.zeros((k + len(line), len(belief.mean)))
    take[np.arange(k), skip + np.arange(k)] = 1.0
    take[k:, skip + k :] = line
    values = take @ belief.mean
    covariance = np.zeros((len(take), len(take)))
    for part in belief.parts:
        off = take @ part.mean - values
        spread = take @ part.covariance @ take.T * belief.inflation**2
        covariance += part.weight * (spread + np.outer(off, off))
    alpha = _non_decreasing(np.maximum(values[:k], 1e-12), np.diag(covariance)[:k])
    curve = PrefillCurve("linear", tuple(float(p * batch) for p in knots), tuple(map(float, alpha)))
    slope = max(float(values[k + 1]), 0.0) if context else None
    names = [f"alpha_{p * batch}_s" for p in knots] + ["c0_s", "per_context_token_s"]
    step = DecodeStep(float(values[k]), per_context_token_s=slope)
    return Solution(curve, step, tuple(names[: len(take)]), covariance)


def _non_decreasing(values: FloatArray, variance: FloatArray) -> FloatArray:
    """Isotonic regression weighted by certainty."""
    from scipy.optimize import isotonic_regression

    weights = 1 / np.maximum(variance, 1e-12 * float(np.max(values)) ** 2)
    return np.asarray(isotonic_regression(values, weights=weights).x)
