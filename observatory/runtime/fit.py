"""A fit: parameters of the idealized runtime with their errors, ranges and evidence.

A fit is derived: the same observations, recipe and options give the same fit, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from observatory.errors import InputError
from observatory.runtime.curves import PrefillCurve
from observatory.runtime.curves import scaled as scaled_curve
from observatory.runtime.fit_names import in_seconds
from observatory.runtime.observations import FloatArray, Observation, Rows, data_hash, rows_of
from observatory.runtime.predict import Prediction, Predictions, predict_many, predict_one
from observatory.runtime.quality import (
    FitErrors,
    HeldOutErrors,
    Ranges,
    fit_errors,
    heldout_errors,
    measured_ranges,
    with_left_out,
)
from observatory.runtime.recipes import DecodeStep, Solution, denoised_rows, recipe_named
from observatory.runtime.selection import choose_terms, missed_batches, of_smallest_batch
from observatory.runtime.terms import Evidence, Experts, Terms

__all__ = ["Fit", "HeldOutErrors", "Observation", "fit", "heldout_errors"]

FIXED_RECIPES = ("published-2023",)  # recipes that have no optional term


def is_saturated(points: Any, parameters: Any) -> Any:
    """Whether a fit has as many parameters as points, numbers or arrays of them: it passes through
    them whatever they are, so that its residuals, all 0, are no evidence of its error."""
    return points <= parameters


@dataclass(frozen=True)
class Fit:
    """Parameters of T(p,o,B), immutable. `covariance` (m, m) in s² belongs to `parameter_names`;
    None where it is not defined: in `published-2023`, and where no degree of freedom is left."""

    recipe: str
    curve: PrefillCurve
    step: DecodeStep
    parameter_names: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...] | None
    errors: FitErrors
    points_used: int
    device_s: float
    ranges: Ranges
    data_hash: str
    evidence: tuple[Evidence, ...]
    overhead_s: float = 0.0

    @property
    def b0_s(self) -> float:
        """Seconds of a decode step at batch 1 and context 0."""
        one = np.ones(1)
        return float(self.step.total_s(one, np.zeros(1), one)[0])

    @property
    def b1_s(self) -> float | None:
        """Seconds for each token of context in a step, None where the term is off."""
        return self.step.per_context_token_s

    @property
    def degrees_of_freedom(self) -> int | None:
        """Points less parameters, at least 0; None for `kriging`, whose knots are no parameters."""
        if self.recipe == "kriging":
            return None
        return max(0, self.points_used - len(self.parameter_names))

    @property
    def error_unknown(self) -> str | None:
        """Why `errors` and `covariance` say nothing, or None where they do.

        A fit with as many parameters as points passes through them whatever they are: its residuals
        are 0 by construction, and only held-out points can judge it.
        """
        if self.degrees_of_freedom is None or not is_saturated(
            self.points_used, len(self.parameter_names)
        ):
            return None
        return (
            f"{self.points_used} points for {len(self.parameter_names)} parameters: the fit passes "
            "through its points whatever they are"
        )

    def predict(
        self,
        prompt_tokens: int,
        output_tokens: int,
        batch: int = 1,
        predictor: str = "interpolated",
        tokens_per_step: float = 1.0,
    ) -> Prediction:
        """The time of one request. Raises InputError for sizes below 1."""
        return predict_one(self, prompt_tokens, output_tokens, batch, predictor, tokens_per_step)

    def predict_many(
        self,
        prompt_tokens: ArrayLike,
        output_tokens: ArrayLike,
        batch: ArrayLike = 1,
        predictor: str = "interpolated",
        tokens_per_step: float = 1.0,
    ) -> Predictions:
        """The times of arrays of requests (shapes broadcast)."""
        return predict_many(self, prompt_tokens, output_tokens, batch, predictor, tokens_per_step)

    def times(self, rows: Rows) -> FloatArray:
        """Seconds of each row (n,), whatever its phase."""
        solution = Solution(self.curve, self.step, (), None)
        return solution.predict(rows) + np.where(rows.prefill, self.overhead_s, 0.0)

    def scaled(self, factor: float) -> Fit:
        """The fit of `factor` times the cost: of accelerator-seconds, or of money.

        Relative errors and ranges stay; `device_s` goes on to say what measuring took. Raises
        InputError for a factor that is not positive.
        """
        if not factor > 0:
            raise InputError(f"a fit scaled by {factor}: the factor must be positive")
        costs = ("c0_s", "per_sequence_s", "per_context_token_s", "experts_s")
        given = {name: getattr(self.step, name) for name in costs}
        step = replace(self.step, **{k: v * factor for k, v in given.items() if v is not None})
        covariance = self.covariance
        if covariance is not None:
            by = [1.0 if name == "order" else factor for name in self.parameter_names]
            covariance = tuple(
                tuple(value * a * b for value, b in zip(row, by, strict=True))
                for row, a in zip(covariance, by, strict=True)
            )
        return replace(
            self, curve=scaled_curve(self.curve, factor), step=step, covariance=covariance,
            overhead_s=self.overhead_s * factor,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """A plain dict of numbers, strings, lists and None."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Fit:
        """The inverse of `to_json`, with names in joules read as well (`fit_names`); raises
        InputError for a dict of another shape."""
        try:
            return _from_plain(in_seconds(data))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not a stored fit: {error}") from error


def fit(
    observations: Sequence[Observation],
    recipe: str = "relative",
    *,
    interpolation: str | None = None,
    experts: Experts | None = None,
    context_term: bool | None = None,
    batch_term: bool | None = None,
    quantile: float = 0.0,
    device_s: float | None = None,
) -> Fit:
    """Fit the idealized runtime to measured points.

    `interpolation` fixes the kind of curve (`curves.KINDS`), by default the points choose.
    `experts` offers the mixture-of-experts term. `context_term` and `batch_term` force a term on
    or off, by default evidence decides. `quantile` belongs to `denoised`. `device_s` is what the
    points cost, by default the sum of their times. Raises InputError when no point has a prefill
    or none has a decode step, UnknownNameError for an unknown recipe.
    """
    solve = recipe_named(recipe)
    rows = rows_of(observations)
    if not rows.prefill.any():
        raise InputError("no prefill among the observations: measure a point with a prompt")
    if not np.any(rows.steps > 0):
        raise InputError("no decode step among the observations: measure a point with output > 1")
    used = denoised_rows(rows, quantile) if recipe == "denoised" else rows
    evidence: tuple[Evidence, ...] = ()
    if recipe in FIXED_RECIPES:
        solution = solve(used, Terms(), interpolation)
    else:
        wishes = {"batch": batch_term, "context": context_term}
        solution, evidence = choose_terms(solve, used, interpolation, experts, wishes)
        missed = missed_batches(used, solution)
        if missed is not None:
            used, rows = (part.select(of_smallest_batch(part)) for part in (used, rows))
            solution, evidence = choose_terms(solve, used, interpolation, experts, wishes)
            alone = f"{missed}: fitted at batch {_decode_batch(used):.0f} alone"
            evidence = tuple(replace(e, reason=alone) if e.name == "batch" else e for e in evidence)
    errors = with_left_out(fit_errors(used, solution.predict(used)), used, solution)
    overhead_s = 0.0
    if recipe == "denoised":
        solution, overhead_s = _take_overhead(solution)
    made = assemble(recipe, solution, rows, observations, evidence, device_s)
    return replace(made, errors=errors, overhead_s=overhead_s)


def _decode_batch(rows: Rows) -> float:
    return float(rows.batch[rows.steps > 0].min())


def assemble(
    recipe: str,
    solution: Solution,
    rows: Rows,
    observations: Sequence[Observation],
    evidence: tuple[Evidence, ...],
    device_s: float | None,
) -> Fit:
    """A fit from a recipe's solution, with errors and ranges of the rows it was made from."""
    saturated = recipe != "kriging" and is_saturated(len(rows), len(solution.names))
    covariance = None if saturated else solution.covariance  # no residual is left to learn it from
    return Fit(
        recipe=recipe,
        curve=solution.curve,
        step=solution.step,
        parameter_names=solution.names,
        covariance=None if covariance is None else tuple(map(tuple, covariance.tolist())),
        errors=fit_errors(rows, solution.predict(rows)),
        points_used=len(rows),
        device_s=float(rows.runtime_s.sum()) if device_s is None else device_s,
        ranges=measured_ranges(rows),
        data_hash=data_hash(observations),
        evidence=evidence,
    )


def _take_overhead(solution: Solution) -> tuple[Solution, float]:
    """overhead = alpha at the shortest prompt less one decode step; alpha loses it (METHOD 2.1)."""
    curve = solution.curve
    one = np.ones(1)
    step = float(solution.step.total_s(one, np.zeros(1), one)[0])
    overhead = max(0.0, curve.alpha_s[0] - step)
    table = PrefillCurve("linear", curve.tokens, tuple(a - overhead for a in curve.alpha_s))
    return Solution(table, solution.step, solution.names, solution.covariance), overhead


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _from_plain(data: Mapping[str, Any]) -> Fit:
    values = {key: _tuples(value) for key, value in data.items()}
    step = dict(data["step"])
    experts = step.pop("experts")
    values["step"] = DecodeStep(experts=None if experts is None else Experts(**experts), **step)
    for key, kind in (("curve", PrefillCurve), ("errors", FitErrors), ("ranges", Ranges)):
        values[key] = kind(**{name: _tuples(item) for name, item in data[key].items()})
    values["evidence"] = tuple(Evidence(**item) for item in data["evidence"])
    return Fit(**values)
