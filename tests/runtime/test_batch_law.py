"""A step of more sequences takes longer: a fit says so on few points too, or covers one batch."""

from __future__ import annotations

import numpy as np
import pytest

from observatory.runtime.fit import Fit, Observation, fit
from observatory.runtime.observations import Point, observed
from observatory.runtime.terms import Evidence, Experts

#: steps of 32 tokens at a context of 2048 on one H100, s by batch (the published set)
DENSE = {1: 0.305771, 64: 2.545433}
MIXTURE = {1: 0.143043, 16: 0.318485, 64: 0.495240}
MIXTURE_ROOFLINE = {1: 0.025, 16: 0.157, 64: 0.296}


def points(steps: dict[int, float], repeats: int = 1, noise: float = 0.0) -> list[Observation]:
    rng = np.random.default_rng(5)
    rows = [observed(Point("prefill", p, 1), s) for p, s in ((128, 0.0317), (8192, 0.2363))]
    for batch, seconds in steps.items():
        for _ in range(repeats):
            time = seconds * float(np.exp(noise * rng.standard_normal()))
            rows.append(observed(Point("decode", 0, 32, batch, 2048), time))
    return rows


def stretch(fitted: Fit, batch: int) -> float:
    """Seconds of 32 steps."""
    b = np.full(1, float(batch))
    return float(fitted.step.total_s(np.full(1, 32.0), np.zeros(1), b)[0])


def verdict(fitted: Fit, name: str) -> Evidence:
    return {e.name: e for e in fitted.evidence}[name]


def test_two_batches_are_enough_for_a_law_of_the_batch() -> None:
    fitted = fit(points(DENSE))
    for batch, seconds in DENSE.items():
        assert stretch(fitted, batch) == pytest.approx(seconds)
    assert fitted.ranges.batch == (1, 64)
    assert "kept by physics: 2 points with decode steps, 0 to spare" in (
        verdict(fitted, "batch").reason
    )
    assert fitted.error_unknown is not None  # passing through its points is no evidence of it


def test_a_mixture_of_three_batches_is_never_below_its_roofline() -> None:
    fitted = fit(points(MIXTURE), experts=Experts(64, 8))
    for batch, seconds in MIXTURE.items():
        assert stretch(fitted, batch) == pytest.approx(seconds)
        assert stretch(fitted, batch) > MIXTURE_ROOFLINE[batch]
    between = [stretch(fitted, b) for b in range(1, 65)]
    assert np.all(np.diff(between) > 0)


def test_evidence_against_a_law_of_the_batch_switches_it_off() -> None:
    flat = dict.fromkeys((1, 2, 4, 8), 0.3)
    fitted = fit(points(flat, repeats=3, noise=0.05))
    assert fitted.step.per_sequence_s is None
    assert (
        not verdict(fitted, "batch").accepted and "physics" not in verdict(fitted, "batch").reason
    )
    few = fit(points({1: 0.3, 4: 0.301}))  # a term of no size is no term, however few the points
    assert few.step.per_sequence_s is None and "2% needed" in verdict(few, "batch").reason


def test_weak_evidence_for_a_law_of_the_batch_keeps_it() -> None:
    fitted = fit(points({1: 0.30, 2: 0.35, 4: 0.33, 8: 0.38}))
    said = verdict(fitted, "batch")
    assert said.accepted and said.delta_bic is not None and -10 <= said.delta_bic < 0
    assert "kept by physics" in said.reason


def test_repeated_prefills_are_no_evidence_of_a_step() -> None:
    """Ten prefills more leave two points with steps as few as they were."""
    rows = points(DENSE) + [observed(Point("prefill", 128, 1), 0.0317)] * 10
    assert "2 points with decode steps, 0 to spare" in verdict(fit(rows), "batch").reason
    context = verdict(fit([*rows, observed(Point("decode", 0, 32, 1, 4096), 0.4)]), "context")
    assert not context.accepted and "leave no room for evidence" in context.reason


@pytest.mark.parametrize("recipe", ["relative", "ols", "smooth-roofline"])
def test_a_law_that_misses_its_batches_covers_the_smallest_alone(recipe: str) -> None:
    """Steps that jump between batches follow no line: nothing is claimed of the larger ones."""
    jump = {1: 0.1, 2: 0.1, 4: 1.0, 8: 1.0}
    fitted = fit(points(jump, repeats=3, noise=0.01), recipe)
    assert fitted.ranges.batch == (1, 1)
    assert stretch(fitted, 1) == pytest.approx(0.1, rel=0.02)
    assert "misses batch" in verdict(fitted, "batch").reason
    assert "fitted at batch 1 alone" in verdict(fitted, "batch").reason
    asked = fitted.predict(128, 2, batch=4)
    assert asked.extrapolated and "batch 4 (measured 1-1)" in str(asked.reason)
    assert fitted.points_used == 5 and fitted.errors.max < 0.05


def test_prefills_of_a_batch_say_nothing_of_its_steps() -> None:
    rows = [*points({1: 0.3}), observed(Point("prefill", 512, 1, 8), 0.12)]
    assert fit(rows).ranges.batch == (1, 1)
    assert fit(rows).predict(128, 8, batch=8).extrapolated
