"""How good a fit is, and where it holds: errors on fitted and on held-out rows, measured ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from observatory.errors import InputError
from observatory.runtime.observations import FloatArray, Observation, Rows, rows_of
from observatory.runtime.recipes import STEP_NAMES, Solution

if TYPE_CHECKING:
    from observatory.runtime.fit import Fit


@dataclass(frozen=True)
class Ranges:
    """What was measured, (lowest, highest): outside of it a prediction is an extrapolation.

    `batch` and `context` cover decode steps, the current token counted; `output` goes as far as
    requests or decode stretches went.
    """

    prompt: tuple[int, int]
    output: tuple[int, int]
    batch: tuple[int, int]
    context: tuple[int, int]


@dataclass(frozen=True)
class FitErrors:
    """Relative errors on the fitted rows: mean, 95th percentile and largest |T̂/T - 1|.

    `alpha1` is the signed error of alpha at the shortest prompt met with o=1, None where none was.

    A row that nothing else tells is met whatever it is, and says nothing of the error. So
    `left_out_prefill` and `left_out_step` are the 95th percentile of |T̂/T - 1| over the other rows
    with a prefill, and with steps, each predicted without itself; 0 where there are none. Of the
    rows that stand alone the own intervals are kept: `alone_prefill` for each knot (0 where it does
    not hang on one row, None where its row has no interval), `alone_step` for the steps: 0 where
    others check them, None where nothing is known. Where no row is checked, or by a recipe that
    does not tell, all four are None.
    """

    mape: float
    p95: float
    max: float
    alpha1: float | None
    left_out_prefill: float | None = None
    left_out_step: float | None = None
    alone_prefill: tuple[float | None, ...] | None = None
    alone_step: float | None = None


@dataclass(frozen=True)
class HeldOutErrors:
    """|T̂/T - 1| on points that no fit saw: median, mean, 90th percentile; `all` in their order."""

    median: float
    mean: float
    p90: float
    all: tuple[float, ...]


def heldout_errors(fitted: Fit, observations: Sequence[Observation]) -> HeldOutErrors:
    """Relative errors of `fitted` on other observations, in the order given."""
    if not observations:
        raise InputError("no held-out points: nothing to judge the fit by")
    each = []
    for observation in observations:
        predicted = float(fitted.times(rows_of([observation]))[0])
        each.append(abs(predicted / observation.runtime_s - 1))
    return HeldOutErrors(
        float(np.median(each)), float(np.mean(each)), float(np.quantile(each, 0.9)), tuple(each)
    )


def fit_errors(rows: Rows, predicted: FloatArray) -> FitErrors:
    """Errors of `predicted` (n,) seconds on the rows it was fitted to."""
    ratio = np.abs(predicted / rows.runtime_s - 1)
    single = rows.prefill & (rows.output == 1)
    alpha1 = None
    if single.any():
        shortest = single & (rows.prompt_total == rows.prompt_total[single].min())
        alpha1 = float(np.mean(predicted[shortest]) / np.mean(rows.runtime_s[shortest]) - 1)
    p95 = float(np.quantile(ratio, 0.95))
    return FitErrors(float(ratio.mean()), p95, float(ratio.max()), alpha1)


ALONE = 1 - 1e-6  #: leverage from which on nothing else tells a row


def with_left_out(errors: FitErrors, rows: Rows, solution: Solution) -> FitErrors:
    """`errors` with those of rows predicted without themselves, e / (1 - leverage) (Allen 1974),
    and the own intervals of rows for which there is no such prediction."""
    if solution.leverage is None:
        return errors
    alone = solution.leverage > ALONE
    if alone.all():
        return errors
    off = np.abs(solution.predict(rows) / rows.runtime_s - 1)
    left = off / np.maximum(1 - solution.leverage, 1 - ALONE)
    prefills = []
    for knot in solution.curve.tokens:
        here = alone & rows.prefill & (rows.prompt_total == knot)
        prefills.append(_widest(rows.interval_rel[here]))
    steps = rows.steps > 0
    step = _widest(rows.interval_rel[alone & ~rows.prefill])
    if alone[steps].all() and len(set(solution.names) & set(STEP_NAMES)) > 1:
        step = None  # a law through its points: between them nothing is known
    return replace(
        errors,
        left_out_prefill=_p95(left[~alone & rows.prefill]),
        left_out_step=_p95(left[~alone & steps]),
        alone_prefill=tuple(prefills),
        alone_step=step,
    )


def _p95(values: FloatArray) -> float:
    return float(np.quantile(values, 0.95)) if len(values) else 0.0


def _widest(intervals: FloatArray) -> float | None:
    """The largest; 0 for none, None where one is not known."""
    if np.isnan(intervals).any():
        return None
    return float(intervals.max(initial=0.0))


def measured_ranges(rows: Rows) -> Ranges:
    """Ranges of rows that hold at least one prefill and one decode step."""
    prompts = rows.prompt[rows.prefill]
    decoding = rows.steps > 0
    first, last = rows.first_context[decoding], (rows.first_context + rows.steps - 1)[decoding]
    outputs = rows.output[rows.prefill]
    longest = outputs.max()
    if np.any(~rows.prefill):
        longest = max(longest, last.max())
    return Ranges(
        (int(prompts.min()), int(prompts.max())),
        (int(outputs.min()), int(longest)),
        (int(rows.batch[decoding].min()), int(rows.batch[decoding].max())),
        (int(first.min()), int(last.max())),
    )
