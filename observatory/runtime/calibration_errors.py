"""How wrong a calibration is on a model it has not seen, and the interval that follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.runtime import calibration as cal
from observatory.runtime.calibration_rows import Columns, Floats, Sample, columns

COVERAGE = 0.9
ENOUGH_MODELS = 9  # below it the largest spread is taken, and the interval is flagged


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows by a calibration that has not seen their model."""

    group: NDArray[np.str_]
    time_s: Floats
    energy_j: Floats  #: NaN where power was not measured
    measured_s: Floats
    measured_j: Floats

    def error(self, what: str = "time") -> dict[str, float]:
        """Mean absolute relative error per model."""
        ratio = self._ratio(what)
        return self._by_model(np.abs(ratio - 1), np.mean)

    def spread(self, what: str = "time") -> dict[str, float]:
        """90th percentile of |ln(predicted/measured)| per model."""
        ratio = self._ratio(what)
        return self._by_model(np.abs(np.log(ratio)), lambda v: np.quantile(v, COVERAGE))

    def _ratio(self, what: str) -> Floats:
        if what == "time":
            return self.time_s / self.measured_s
        return self.energy_j / self.measured_j

    def _by_model(self, values: Floats, reduce: object) -> dict[str, float]:
        found = {}
        for name in dict.fromkeys(self.group.tolist()):
            kept = values[(self.group == name) & np.isfinite(values)]
            if kept.size:
                found[name] = float(reduce(kept))  # type: ignore[operator]
        return found


def _fit(rows: Columns, recipe: str) -> tuple[dict[str, float], tuple[str, ...]]:
    fitted = cal.recipe(recipe).fit(rows)
    parameters = dict(fitted.parameters)
    if np.isfinite(rows.power_w).any():
        parameters |= cal.fit_power(rows).parameters
    return parameters, fitted.unidentified


def leave_one_out(rows: Columns, recipe: str, limit_w: float | None = None) -> HeldOut:
    """Predict each model from all others. Raises InputError with fewer than two models."""
    names = np.unique(rows.group)
    if len(names) < 2:
        raise InputError("one model alone cannot be held out: calibrate on two or more")
    time, energy = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for name in names:
        out = rows.group == name
        parameters, _ = _fit(rows.take(~out), recipe)
        held = rows.take(out)
        time[out] = cal.recipe(recipe).time(parameters, held)
        if "power_base_w" in parameters:
            energy[out] = cal.energy_j(parameters, held, time[out], limit_w)
    measured = rows.power_w * rows.devices * rows.time_s
    return HeldOut(rows.group, time, energy, rows.time_s, measured)


def calibrate(
    samples: Sequence[Sample], hw: Hardware, recipe: str, source: str,
    assumptions: tuple[str, ...] = (),
) -> cal.Calibration:  # fmt: skip
    """Fit a recipe on measured rows of one device, with its leave-one-model-out errors.

    Raises InputError on no rows, one model alone, or rows of the wrong kind for the recipe.
    """
    rows = columns(samples, hw)
    held = leave_one_out(rows, recipe, hw.tdp_w)
    parameters, unidentified = _fit(rows, recipe)
    return cal.Calibration(
        device=hw.name,
        recipe=recipe,
        parameters=parameters,
        unidentified=unidentified,
        rows=len(rows),
        error=held.error(),
        spread=held.spread(),
        energy_error=held.error("energy"),
        energy_spread=held.spread("energy"),
        source=source,
        assumptions=assumptions,
    )


def half_width(spreads: Sequence[float]) -> tuple[float, bool]:
    """Half-width in ln of a 90 % interval for a new model, and whether it is flagged.

    The ceil(0.9(m+1))-th smallest of m models' spreads (split conformal prediction on models);
    with fewer than nine models that rank does not exist: the largest, flagged.
    """
    m = len(spreads)
    if m == 0:
        return math.inf, True
    rank = math.ceil(COVERAGE * (m + 1))
    return sorted(spreads)[min(rank, m) - 1], m < ENOUGH_MODELS


def covered(rows: Columns, recipe: str, what: str = "time", limit_w: float | None = None) -> Floats:
    """1 where a held-out row lies inside its interval, 0 where not (NaN: not measured).

    Nested: the interval of a held-out model is made from the others alone, each of them held out
    from fits that have seen neither.
    """
    outer = leave_one_out(rows, recipe, limit_w)
    ratio = outer.time_s / outer.measured_s if what == "time" else outer.energy_j / outer.measured_j
    inside = np.full(len(rows), np.nan)
    for name in np.unique(rows.group):
        out = rows.group == name
        others = rows.take(~out)
        if len(np.unique(others.group)) < 2:
            continue
        width, _ = half_width(list(leave_one_out(others, recipe, limit_w).spread(what).values()))
        known = out & np.isfinite(ratio)
        inside[known] = (np.abs(np.log(ratio[known])) <= width).astype(float)
    return inside
