"""How good a fit is, and where it holds: errors on fitted and on held-out rows, measured ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from observatory.errors import InputError
from observatory.runtime.observations import FloatArray, Observation, Rows, rows_of

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
    """

    mape: float
    p95: float
    max: float
    alpha1: float | None


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
