"""Fits: published numbers to the last digit, algebra, terms by evidence, ranges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.errors import InputError, UnknownNameError
from observatory.importers.helm_logs import parse
from observatory.runtime.fit import Fit, Observation, fit, heldout_errors
from observatory.runtime.observations import Point, observed
from observatory.runtime.terms import Experts, tokens_per_step

MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"
PROMPTS, OUTPUTS = (1, 64, 256, 512, 1024), (1, 4, 16, 64)


def log_observations(path: Path) -> list[Observation]:
    """The points of a log's only launch."""
    (launch,) = parse(path).launches
    return [
        observed(Point("e2e", p.prompt_tokens, p.output_tokens), p.runtime_s, std_s=p.std_s)
        for p in launch.points.values()
    ]


def grid(
    alpha: tuple[float, float, float] = (0.02, 1e-4, 0.0),
    step: float = 0.02,
    per_context: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> list[Observation]:
    """A synthetic grid of requests with alpha = a0 + a1 p + a2 p²."""
    rng = np.random.default_rng(seed)
    made = []
    for p in PROMPTS:
        for o in OUTPUTS:
            point = Point("e2e", p, o)
            time = alpha[0] + alpha[1] * p + alpha[2] * p * p
            time += (o - 1) * step + per_context * point.context_sum
            made.append(observed(point, time * (1 + noise * rng.standard_normal())))
    return made


def logs(reference: Path, device: str) -> list[Path]:
    return sorted((reference / "helm/logs" / device).glob("*.log"))


@pytest.mark.parametrize(("device", "suffix"), [("a100", ""), ("v100", "_v100")])
def test_published_recipe_gives_the_published_tables(
    reference: Path, device: str, suffix: str
) -> None:
    table = json.loads(
        (reference / f"helm/expected/inference_idealized_runtimes{suffix}.json").read_text()
    )
    parts = {
        "openai_davinci": ["openai/davinci"], "ai21_j1_large": ["ai21/j1-large"],
        "ai21_j1_grande": ["ai21/j1-grande"], "gptj_6b": ["gptj_6b"], "bloom": ["bloom"],
        "anthropic": ["anthropic"],
    }  # fmt: skip
    for path in logs(reference, device):
        fitted = fit(log_observations(path), "published-2023")
        names = [n for n in table if any(part in n for part in parts[path.stem])]
        assert names, path.stem
        for name in names:
            published = table[name]
            tokens = [f"{p:.0f}" for p in fitted.curve.tokens]
            made = dict(zip(tokens, fitted.curve.alpha_s, strict=True))
            assert made == published["runtime_for_prompt_tokens"], name
            assert fitted.b0_s == published["runtime_per_output_token"], name


def test_relative_on_the_full_grids(reference: Path) -> None:
    a100 = {p.stem: fit(log_observations(p)) for p in logs(reference, "a100")}
    assert np.mean([f.errors.mape for f in a100.values()]) <= 0.005
    assert max(f.errors.mape for f in a100.values()) <= 0.013
    v100 = [fit(log_observations(p)) for p in logs(reference, "v100")]
    assert max(f.errors.mape for f in v100) <= 0.03
    for fitted in [*a100.values(), *v100]:
        assert fitted.b1_s is None, "no log here has a context term"
        assert np.all(np.diff(fitted.curve.alpha_s) >= 0)


def test_slopes_equal_the_reference_fits(reference: Path) -> None:
    import csv

    with (reference / "helm/expected/fit_reference.csv").open() as file:
        for row in csv.DictReader(file):
            path = reference / "helm/logs" / row["hardware"] / f"{row['model']}.log"
            points = log_observations(path)
            assert fit(points).b0_s == pytest.approx(float(row["beta_free_rel_s"]), rel=2e-4)
            assert fit(points, "ols").b0_s == pytest.approx(float(row["beta_free_ols_s"]), rel=1e-5)
            smooth = fit(points, "smooth-roofline").errors.mape * 100
            assert smooth == pytest.approx(float(row["smooth_full_mape"]), abs=0.03)


def test_leaving_a_prompt_out(reference: Path) -> None:
    errors = []
    for path in logs(reference, "a100"):
        points = log_observations(path)
        prompts = sorted({o.prompt_tokens for o in points})
        for prompt in prompts[1:-1]:
            fitted = fit([o for o in points if o.prompt_tokens != prompt])
            held = [o for o in points if o.prompt_tokens == prompt and o.output_tokens == 1]
            errors += [fitted.predict(prompt, 1).runtime_s / o.runtime_s - 1 for o in held]
    assert np.mean(np.abs(errors)) <= 0.05
    assert abs(np.mean(errors)) <= 0.02


def test_the_synthetic_log_is_recovered() -> None:
    fitted = fit(log_observations(MINI))
    assert fitted.b0_s == pytest.approx(0.0155, rel=1e-3)
    for tokens, alpha in zip(fitted.curve.tokens, fitted.curve.alpha_s, strict=True):
        assert alpha == pytest.approx(0.018 + 5e-5 * tokens, rel=5e-3)


@given(factor=st.floats(1e-3, 1e3), recipe=st.sampled_from(["relative", "ols", "smooth-roofline"]))
@settings(max_examples=15, deadline=None)
def test_scaling_times_scales_parameters(factor: float, recipe: str) -> None:
    points = grid(noise=0.01)
    scaled = [replace(o, runtime_s=o.runtime_s * factor) for o in points]
    one, two = fit(points, recipe), fit(scaled, recipe)
    assert two.b0_s == pytest.approx(one.b0_s * factor, rel=1e-5)
    x = np.array([1.0, 100.0, 700.0])
    assert np.allclose(two.curve(x), one.curve(x) * factor, rtol=1e-4)


@given(order=st.permutations(range(len(PROMPTS) * len(OUTPUTS))))
@settings(max_examples=15, deadline=None)
def test_shuffling_changes_nothing(order: list[int]) -> None:
    points = grid(noise=0.02)
    assert fit([points[i] for i in order]) == fit(points)


@given(constant=st.floats(1e-4, 1.0))
@settings(max_examples=20, deadline=None)
def test_a_constant_moves_alpha_only(constant: float) -> None:
    points = grid()
    moved = fit([replace(o, runtime_s=o.runtime_s + constant) for o in points])
    fitted = fit(points)
    assert moved.b0_s == pytest.approx(fitted.b0_s, rel=1e-6)
    shift = np.array(moved.curve.alpha_s) - np.array(fitted.curve.alpha_s)
    assert np.allclose(shift, constant, rtol=1e-5, atol=1e-9)


@given(
    a0=st.floats(1e-3, 1.0), a1=st.floats(0, 1e-2), a2=st.floats(0, 1e-5), b=st.floats(1e-3, 0.1)
)
@settings(max_examples=25, deadline=None)
def test_alpha_is_monotone_without_noise(a0: float, a1: float, a2: float, b: float) -> None:
    fitted = fit(grid((a0, a1, a2), b))
    values = fitted.curve(np.linspace(1, 1024, 400))
    assert np.all(np.diff(values) >= -1e-9 * values[:-1])


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_context_term_switches_on_where_it_is(noise: float) -> None:
    with_term = fit(grid(per_context=1e-5, noise=noise))
    assert with_term.b1_s == pytest.approx(1e-5, rel=0.1 if noise else 1e-6)
    assert fit(grid(noise=noise)).b1_s is None


def test_context_term_needs_slopes_at_two_prompts_and_rows_to_spare() -> None:
    points = [o for o in grid(per_context=1e-5) if o.prompt_tokens == 1 or o.output_tokens == 1]
    verdict = {e.name: e for e in fit(points).evidence}["context"]
    assert not verdict.accepted
    assert "contexts" in verdict.reason


def test_phases_are_rows_of_one_model() -> None:
    whole = fit(grid((0.03, 4e-4, 3e-7), 0.02, 1e-5))
    parts = [observed(Point("prefill", p, 1), 0.03 + 4e-4 * p + 3e-7 * p * p) for p in PROMPTS]
    for cached in (1, 100, 500, 1000):
        point = Point("decode", 0, 8, context_tokens=cached)
        parts.append(observed(point, 8 * 0.02 + 1e-5 * point.context_sum))
    split = fit(parts)
    for p, o in ((1, 2), (200, 30), (1000, 10)):
        expected = whole.predict(p, o).runtime_s
        assert split.predict(p, o).runtime_s == pytest.approx(expected, rel=1e-3)
    assert Point("decode", 0, 9, context_tokens=64).context_sum == Point("e2e", 64, 10).context_sum


def batch_rows(c0: float, c1: float, ce: float = 0.0) -> list[Observation]:
    share = Experts(8, 2)
    rows = [observed(Point("prefill", p, 1), 0.01 + 1e-4 * p) for p in (8, 64, 256)]
    for b in (1, 2, 4, 8, 16, 32):
        for n in (8, 16):
            touched = float(share.touched_share(np.array([float(b)]))[0])
            time = n * (c0 + c1 * b + ce * touched)
            rows.append(observed(Point("decode", 0, n, b, 16), time))
    return rows


def test_batch_and_expert_terms_are_found() -> None:
    fitted = fit(batch_rows(0.02, 1e-3))
    assert fitted.step.per_sequence_s == pytest.approx(1e-3, rel=1e-6)
    mixed = fit(batch_rows(0.02, 1e-3, 0.03), experts=Experts(8, 2))
    assert mixed.step.experts_s == pytest.approx(0.03, rel=1e-6)
    assert fit(batch_rows(0.02, 1e-3), experts=Experts(8, 2)).step.experts_s is None


def test_denoised_takes_minima_and_names_the_overhead() -> None:
    rng = np.random.default_rng(3)
    points = []
    for clean in grid():
        base = clean.runtime_s + 0.2
        points += [replace(clean, runtime_s=base + x) for x in [0.0, *rng.exponential(0.1, 4)]]
    fitted = fit(points, "denoised")
    assert fitted.overhead_s == pytest.approx(0.2 + 0.0201 - 0.02, rel=1e-3)
    assert fitted.b0_s == pytest.approx(0.02, rel=1e-3)
    told = fitted.predict(256, 16)
    assert told.runtime_s == pytest.approx(0.2 + 0.02 + 0.0256 + 0.3, rel=1e-3)
    assert told.runtime_s == pytest.approx(told.prefill_s + told.decode_s + told.overhead_s)


def test_leaving_the_measured_range_is_flagged_with_a_reason() -> None:
    fitted = fit(grid())
    assert fitted.predict(100, 10).reason is None
    for p, o, b, word in ((2048, 1, 1, "prompt"), (64, 65, 1, "output"), (64, 2, 4, "batch")):
        told = fitted.predict(p, o, b)
        assert told.extrapolated
        assert word in (told.reason or "")
    many = fitted.predict_many([100, 2048], [10, 1])
    assert many.extrapolated.tolist() == [False, True]


def test_a_context_below_the_measured_ones_is_flagged_beyond_a_slack() -> None:
    """Steps were measured from a context of 2048 on: what 128 tokens take is a guess, and one that
    a slope of the context makes no measurement. What fits into the noise of the weights is none."""
    prefills = [observed(Point("prefill", p, 1), 0.01 + 1e-5 * p) for p in (16, 128, 8192)]

    def steps(*contexts: int) -> list[Observation]:
        points = [Point("decode", 0, n, 1, c) for c in contexts for n in (16, 32)]
        return [observed(p, 0.003 * p.steps + 1e-6 * p.context_sum) for p in points]

    one = fit(prefills + steps(2048))
    assert one.predict(2048, 32).reason is None
    below = one.predict(500, 200)
    assert below.extrapolated
    assert str(below.reason).endswith(
        "context from 501 (measured 2049-2080, and how a step grows with it is not known)"
    )
    assert not one.predict(500, 1).extrapolated  # a prefill has no step
    assert one.predict_many([500, 2048], [200, 32]).extrapolated.tolist() == [True, False]
    several = fit(prefills + steps(1024, 2048, 4096))
    assert several.b1_s is not None
    assert str(several.predict(500, 200).reason).endswith("context from 501 (measured 1025-4128)")
    assert not several.predict(1024 - 64, 100).extrapolated
    assert several.predict(1024 - 65, 100).extrapolated
    near = fit(prefills + steps(64))
    assert not near.predict(16, 8).extrapolated  # 48 tokens less in one KV cache


def test_a_batch_has_the_slack_of_one_request_to_share() -> None:
    rows = [observed(Point("prefill", p, 1), 0.01 + 1e-5 * p) for p in (16, 128, 8192)]
    rows += [
        observed(Point("decode", 0, n, b, 64), n * (0.01 + 1e-3 * b))
        for b in (1, 8)
        for n in (16, 32)
    ]
    fitted = fit(rows)
    assert not fitted.predict(16, 8, batch=1).extrapolated
    assert "context from 17" in str(fitted.predict(16, 8, batch=8).reason)


def test_json_round_trip_is_exact() -> None:
    for recipe in ("relative", "smooth-roofline", "published-2023", "denoised"):
        fitted = fit(grid(noise=0.01), recipe)
        text = json.dumps(fitted.to_json(), allow_nan=False)
        assert Fit.from_json(json.loads(text)) == fitted
    with pytest.raises(InputError, match="not a stored fit"):
        Fit.from_json({"recipe": "relative"})


def test_helm_lookup_is_a_saw_tooth_and_not_the_default() -> None:
    fitted = fit(grid(), "published-2023")
    alpha = dict(zip(fitted.curve.tokens, fitted.curve.alpha_s, strict=True))
    told = fitted.predict(257, 1, predictor="helm-lookup").prefill_s
    assert told == pytest.approx(alpha[512.0] * 257 / 512)
    assert fitted.predict(257, 1).prefill_s > told
    beyond = fitted.predict(2048, 1, predictor="helm-lookup").prefill_s
    assert beyond == pytest.approx(alpha[1024.0] * 2)


def test_a_saturated_fit_says_that_its_error_is_unknown() -> None:
    points = [o for o in grid(noise=0.1) if o.output_tokens == 1 or o.prompt_tokens == 1][:6]
    points = [*[o for o in points if o.output_tokens == 1], points[1]]
    fitted = fit(points)
    assert fitted.errors.mape == pytest.approx(0.0, abs=1e-9)
    assert fitted.degrees_of_freedom == 0
    assert fitted.covariance is None
    assert "passes through its points" in (fitted.error_unknown or "")
    whole = fit(grid(noise=0.1))
    assert whole.degrees_of_freedom == len(PROMPTS) * len(OUTPUTS) - len(PROMPTS) - 1
    assert whole.error_unknown is None


def test_covariance_covers_the_truth() -> None:
    inside = 0
    for seed in range(40):
        fitted = fit(grid(noise=0.02, seed=seed), context_term=False)
        assert fitted.covariance is not None
        at = fitted.parameter_names.index("c0_s")
        inside += abs(fitted.b0_s - 0.02) <= 2 * fitted.covariance[at][at] ** 0.5
    assert inside >= 34  # 95 % of 40 is 38; fewer than 34 has p < 0.01


def test_heldout_errors_in_order() -> None:
    fitted = fit(grid())
    held = [Observation(100, 10, 1, fitted.predict(100, 10).runtime_s * f, "e2e") for f in (1, 2)]
    errors = heldout_errors(fitted, held)
    assert errors.all == pytest.approx((0.0, 0.5))
    assert errors.median == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fit([]), "no observations"),
        (lambda: fit([observed(Point("prefill", 8, 1), 1.0)]), "no decode"),
        (lambda: fit([observed(Point("decode", 0, 8, 1, 4), 1.0)]), "no prefill"),
        (lambda: Observation(8, 2, 1, 0.0, "e2e"), "runtime_s"),
        (lambda: Observation(8, 2, 1, float("nan"), "e2e"), "runtime_s"),
        (lambda: Observation(0, 2, 1, 1.0, "e2e"), "prompt"),
        (lambda: Observation(8, 0, 1, 1.0, "e2e"), "output"),
        (lambda: Observation(8, 2, 0, 1.0, "e2e"), "batch"),
        (lambda: Observation(8, 2, 1, 1.0, "prefill"), "exactly 1"),
        (lambda: Observation(8, 2, 1, 1.0, "decode"), "context_tokens"),
        (lambda: Observation(8, 2, 1, 1.0, "warm"), "phase"),
        (lambda: fit(grid()).predict(0, 1), "prompt"),
        (lambda: Experts(8, 9), "experts"),
        (lambda: tokens_per_step(1.5, 2), "acceptance"),
    ],
)
def test_bad_input_is_one_line(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        fit(grid(), "relativ")


def test_speculation_by_leviathan() -> None:
    assert tokens_per_step(0.8, 4) == pytest.approx((1 - 0.8**5) / 0.2)
    assert tokens_per_step(1.0, 4) == 5
    slow, fast = fit(grid()).predict(64, 33), fit(grid()).predict(64, 33, tokens_per_step=2.0)
    assert fast.decode_s == pytest.approx(slow.decode_s / 2)
