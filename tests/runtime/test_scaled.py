"""A fit times a constant: accelerator-seconds and dollars are the fit of the scaled times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from observatory.errors import InputError
from observatory.runtime.fit import Fit, fit
from observatory.runtime.observations import Observation, Point, observed

RNG = np.random.default_rng(1)
POINTS = [
    observed(q, (0.02 + 1e-4 * q.prompt_tokens + 0.02 * q.steps + 1e-5 * q.context_sum) * noise)
    for q, noise in (
        (Point("e2e", p, o), float(np.exp(0.005 * RNG.standard_normal())))
        for p in (1, 64, 128, 512, 1024)
        for o in (1, 8, 64)
    )
]


def times(factor: float) -> list[Observation]:
    return [replace(o, runtime_s=o.runtime_s * factor) for o in POINTS]


@pytest.mark.parametrize("recipe", ["relative", "ols", "smooth-roofline", "denoised"])
@pytest.mark.parametrize("factor", [2.0, 8 * 1.8 / 3600])
def test_scaling_the_fit_is_fitting_the_scaled_times(recipe: str, factor: float) -> None:
    made, direct = fit(POINTS, recipe).scaled(factor), fit(times(factor), recipe)
    for p, o in ((1, 1), (100, 10), (1024, 64), (3000, 100)):
        assert made.predict(p, o).runtime_s == pytest.approx(
            direct.predict(p, o).runtime_s, rel=1e-4
        )
    assert made.covariance is not None and direct.covariance is not None
    ours, theirs = np.diag(made.covariance), np.diag(direct.covariance)
    assert ours == pytest.approx(theirs, rel=1e-2, abs=1e-12 * float(theirs.max()))
    assert made.errors.mape == pytest.approx(direct.errors.mape, rel=1e-3)
    assert made.ranges == direct.ranges
    assert made.device_s == fit(POINTS, recipe).device_s  # what measuring took does not change
    assert Fit.from_json(made.to_json()) == made


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_not_positive_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match="positive"):
        fit(POINTS).scaled(factor)


def test_a_parameter_that_no_row_feels_has_no_covariance_and_breaks_nothing() -> None:
    """Prefills far above the floor: smooth-roofline cannot tell the floor, and says so by 0."""
    points = [Point("e2e", p, o) for p in (512, 1024, 4096, 16384) for o in (1, 2)]
    rows = [observed(q, 1e-3 * q.prompt_tokens + 1e-6 * q.steps) for q in points]
    made = fit(rows, "smooth-roofline")
    assert made.covariance is not None and np.isfinite(made.covariance).all()
    assert made.predict(2048, 1).runtime_s == pytest.approx(2.048, rel=0.01)


@pytest.mark.parametrize("recipe", ["relative", "smooth-roofline", "denoised", "ols"])
def test_prefills_that_the_steps_explain_away_break_nothing(recipe: str) -> None:
    """Long decodes beside prompts of next to no time: an alpha of 0 is no traceback."""
    points = [Point("e2e", p, 65) for p in (1, 8, 64, 512)] + [Point("decode", 0, 64, 1, 4)]
    rows = [observed(q, 0.01 * q.steps * (1.05 if q.phase == "decode" else 1.0)) for q in points]
    try:
        made = fit(rows, recipe)
    except InputError as error:
        assert recipe == "smooth-roofline" and "time of its own" in str(error)
        return
    assert np.isfinite(made.predict(100, 10).runtime_s)
