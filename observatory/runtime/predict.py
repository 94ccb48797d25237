"""Asking a fit: the time of any request, and whether the answer lies outside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from observatory.errors import InputError, UnknownNameError
from observatory.runtime.observations import BoolArray, FloatArray

if TYPE_CHECKING:
    from observatory.runtime.curves import PrefillCurve
    from observatory.runtime.fit import Fit

Sizes = FloatArray | float
PREDICTORS = ("interpolated", "helm-lookup")
#: Tokens in the KV caches of a batch that a step may lack and still count as measured *(ours)*: to
#: read them takes about 1 % of the time for the weights of the smallest models, less of others.
CONTEXT_SLACK = 64


@dataclass(frozen=True)
class Prediction:
    """One request. `tpot_s` is the mean time of a decode step, None for o < 2 (METHOD 1).

    `runtime_s` = `prefill_s` + `decode_s` + the fit's overhead, which is 0 for all but APIs;
    `ttft_s` = `prefill_s` + overhead. `reason` says why `extrapolated` is set, else None.
    """

    runtime_s: float
    prefill_s: float
    decode_s: float
    ttft_s: float
    tpot_s: float | None
    extrapolated: bool
    reason: str | None
    overhead_s: float = 0.0


@dataclass(frozen=True)
class Predictions:
    """The same for arrays of requests, each field of one shape; `tpot_s` is NaN for o < 2."""

    runtime_s: FloatArray
    prefill_s: FloatArray
    decode_s: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    extrapolated: BoolArray


def helm_lookup(curve: PrefillCurve, tokens: FloatArray) -> FloatArray:
    """HELM's look-up: the smallest profiled K >= p, then alpha(K)*p/K; the largest K beyond it.

    A saw-tooth, 11-22 % off between grid points: it reproduces published tables, never a default.
    """
    knots, values = np.asarray(curve.tokens), np.asarray(curve.alpha_s)
    at = np.minimum(np.searchsorted(knots, tokens), len(knots) - 1)
    return np.asarray(values[at] * tokens / knots[at])


def prefill_times(fit: Fit, tokens: FloatArray, predictor: str) -> FloatArray:
    """alpha at `tokens`, never below 0 and, beneath the first knot, never below a decode step."""
    lookups: dict[str, Callable[[FloatArray], FloatArray]] = {
        "interpolated": fit.curve,
        "helm-lookup": lambda x: helm_lookup(fit.curve, x),
    }
    if predictor not in lookups:
        raise UnknownNameError("predictor", predictor, list(PREDICTORS))
    return np.maximum(lookups[predictor](tokens), 0.0)


def predict_many(
    fit: Fit,
    prompt_tokens: ArrayLike,
    output_tokens: ArrayLike,
    batch: ArrayLike = 1,
    predictor: str = "interpolated",
    tokens_per_step: float = 1.0,
) -> Predictions:
    """Times of requests given by arrays that broadcast together.

    `tokens_per_step` > 1 describes speculative decoding (`terms.tokens_per_step`).
    Raises InputError for sizes below 1.
    """
    p, o, b = np.broadcast_arrays(
        np.asarray(prompt_tokens, dtype=np.float64),
        np.asarray(output_tokens, dtype=np.float64),
        np.asarray(batch, dtype=np.float64),
    )
    for name, values in (("prompt tokens", p), ("output tokens", o), ("batch", b)):
        if values.size and not np.all(values >= 1):
            raise InputError(f"{name} {float(np.min(values)):g}: must be 1 or more")
    if not tokens_per_step >= 1:
        raise InputError(f"tokens per step {tokens_per_step}: must be 1 or more")
    prefill = prefill_times(fit, p * b, predictor)
    steps = (o - 1) / tokens_per_step
    contexts = steps * p + (o - 1) * o / 2 / tokens_per_step
    decode = fit.step.total_s(steps, contexts, b)
    ttft = prefill + fit.overhead_s
    tpot = np.where(o > 1, decode / np.maximum(o - 1, 1), np.nan)
    return Predictions(ttft + decode, prefill, decode, ttft, tpot, outside(fit, p, o, b))


def context_below(p: Sizes, o: Sizes, b: Sizes, lowest: Sizes) -> BoolArray:
    """Which requests start their steps below the `lowest` measured context, beyond the slack."""
    lacking = (lowest - (np.asarray(p) + 1)) * b
    return np.asarray((np.asarray(o) > 1) & (lacking > CONTEXT_SLACK))


def outside(fit: Fit, p: FloatArray, o: FloatArray, b: FloatArray) -> BoolArray:
    """Which requests lie outside the measured ranges."""
    span = fit.ranges
    total = p * b
    return np.asarray(
        (p < span.prompt[0]) | (p > span.prompt[1])
        | (total < fit.curve.tokens[0]) | (total > fit.curve.tokens[-1])
        | (o > span.output[1])
        | ((o > 1) & (p + o - 1 > span.context[1]))
        | context_below(p, o, b, span.context[0])
        | (b < span.batch[0]) | (b > span.batch[1])
    )  # fmt: skip


def outside_reason(fit: Fit, p: float, o: float, b: float) -> str | None:
    """A sentence naming every range that is left, or None."""
    span, knots = fit.ranges, fit.curve.tokens
    spans = {"prompt": span.prompt, "output": span.output, "batch": span.batch,
             "context": span.context, "knots": (knots[0], knots[-1])}  # fmt: skip
    return range_reason(spans, p, o, b, fit.step.per_context_token_s is not None)


def range_reason(
    spans: Mapping[str, tuple[float, float]], p: float, o: float, b: float, slope: bool
) -> str | None:
    """`outside_reason` of bare ranges: `prompt`, `output`, `batch`, `context`, and `knots`, the
    prompt tokens of a batch that the curve covers; `slope`: whether a context term is known."""
    last = p + o - 1
    found = []
    (prompt_from, prompt_to), (low, high) = spans["prompt"], spans["knots"]
    if not prompt_from <= p <= prompt_to:
        found.append(f"prompt {p:g} (measured {prompt_from:.0f}-{prompt_to:.0f})")
    elif not low <= p * b <= high:
        found.append(f"prompt tokens of the batch {p * b:g} (measured {low:g}-{high:g})")
    if o > spans["output"][1]:
        found.append("output {:g} (measured {:.0f}-{:.0f})".format(o, *spans["output"]))
    elif o > 1 and last > spans["context"][1]:
        found.append(f"context {last:g} (measured up to {spans['context'][1]:.0f})")
    lowest, highest = spans["context"]
    if context_below(p, o, b, lowest):
        unknown = "" if slope else ", and how a step grows with it is not known"
        found.append(f"context from {p + 1:g} (measured {lowest:.0f}-{highest:.0f}{unknown})")
    if not spans["batch"][0] <= b <= spans["batch"][1]:
        found.append("batch {:g} (measured {:.0f}-{:.0f})".format(b, *spans["batch"]))
    return f"outside the measured range: {', '.join(found)}" if found else None


def predict_one(
    fit: Fit,
    prompt_tokens: int,
    output_tokens: int,
    batch: int = 1,
    predictor: str = "interpolated",
    tokens_per_step: float = 1.0,
) -> Prediction:
    """The time of one request; see `predict_many`."""
    many = predict_many(fit, prompt_tokens, output_tokens, batch, predictor, tokens_per_step)
    reason = outside_reason(fit, prompt_tokens, output_tokens, batch)
    return Prediction(
        runtime_s=float(many.runtime_s),
        prefill_s=float(many.prefill_s),
        decode_s=float(many.decode_s),
        ttft_s=float(many.ttft_s),
        tpot_s=float(many.tpot_s) if output_tokens > 1 else None,
        extrapolated=reason is not None,
        reason=reason,
        overhead_s=fit.overhead_s,
    )
