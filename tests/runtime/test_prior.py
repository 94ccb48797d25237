"""The planner's prior: a roofline, drawn to what fits of other models on the device reached."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench_planner import architecture_of, logs, observations_of
from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import lookup
from observatory.runtime import roofline
from observatory.runtime.fit import fit
from observatory.runtime.observations import Observation
from observatory.runtime.prior import (
    SeenScale,
    calibrated_prior,
    roofline_prior,
    seen_scale,
)

MODEL, A100 = Architecture.lookup("SmolLM2-1.7B"), lookup("A100-SXM4-80GB")
PLAIN = roofline_prior(MODEL, A100, "bf16")
PARAMETERS = float(MODEL.active_matmul_parameters)


def law(scale: float, floor_s: float) -> list[Observation]:
    """Prefills of a machine that reaches 1/scale of the roofline, and steps that take a floor."""
    prompts = np.array([1, 16, 64, 256, 512, 1024, 2048, 4096, 8192])
    bound = roofline.prefill_time(MODEL, A100, prompts, dtype="bf16").time_s
    alpha = ((scale * bound) ** 4 + floor_s**4) ** 0.25
    rows = [
        Observation(int(p), 1, 1, float(t), "prefill") for p, t in zip(prompts, alpha, strict=True)
    ]
    return [*rows, Observation(0, 16, 1, 16 * floor_s, "decode", context_tokens=64)]


@pytest.mark.parametrize("scale", [1.2, 2.0, 5.0])
def test_the_scale_of_a_law_is_found_under_its_floor(scale: float) -> None:
    found = seen_scale(fit(law(scale, 0.02)), MODEL, A100, "bf16", 1)
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=0.03)


def test_a_fit_that_launches_bind_throughout_says_nothing() -> None:
    assert seen_scale(fit(law(2.0, 1e3)), MODEL, A100, "bf16", 1) is None


def test_no_fit_leaves_the_prior_as_it_is() -> None:
    assert calibrated_prior(PLAIN, [], 1, PARAMETERS) is PLAIN


def test_fits_that_agree_draw_the_scale_and_narrow_it() -> None:
    for n in (1, 3, 8):
        made = calibrated_prior(PLAIN, [SeenScale(2.4, 1, PARAMETERS)] * n, 1, PARAMETERS)
        assert 1.6 < made.scale <= 2.4
        assert made.scale_sd < PLAIN.scale_sd
        assert made.source.endswith(f"scaled by {n} fit{'s' if n > 1 else ''} of the store")
    assert made.scale == pytest.approx(2.4, rel=0.02)
    assert made.scale_sd > 0.05  # a model not seen may differ from those that were


def test_fits_that_disagree_promise_less() -> None:
    def made(*scales: float) -> float:
        seen = [SeenScale(s, 1, PARAMETERS) for s in scales]
        return calibrated_prior(PLAIN, seen, 1, PARAMETERS).scale_sd

    assert made(1.5, 2.0, 2.7) > made(1.9, 2.0, 2.1)


@pytest.mark.parametrize("other", [SeenScale(2.4, 16, PARAMETERS), SeenScale(2.4, 1, 1e3)])
def test_what_is_less_alike_tells_less(other: SeenScale) -> None:
    like = calibrated_prior(PLAIN, [SeenScale(2.4, 1, PARAMETERS)], 1, PARAMETERS)
    unlike = calibrated_prior(PLAIN, [other], 1, PARAMETERS)
    assert PLAIN.scale < unlike.scale < like.scale
    assert like.scale_sd < unlike.scale_sd < PLAIN.scale_sd


def test_the_shape_that_other_fits_show_is_half_believed_from_one_and_more_from_many() -> None:
    told = SeenScale(2.0, 1, PARAMETERS, (100.0, 200.0, 400.0), (0.0, 0.2, -0.2))
    prompts = np.array([10.0, 100.0, 200.0, 400.0, 9000.0])
    for n, share in ((1, 1 / 2), (9, 9 / 10)):
        made = calibrated_prior(PLAIN, [told] * n, 1, PARAMETERS)
        gain = np.log(made.prefill_s(prompts) / PLAIN.prefill_s(prompts))
        assert gain == pytest.approx(np.array([0, 0, 0.2, -0.2, -0.2]) * share)


def test_a_staircase_of_the_device_is_handed_on() -> None:
    """A law with tiles of 128 tokens: what lies just past an edge is foretold dearer."""
    prompts = np.array([1, 64, 896, 897, 1024, 1025, 1152, 1153, 1280, 2048, 4096])
    tiled = roofline.prefill_time(MODEL, A100, 128 * np.ceil(prompts / 128), dtype="bf16").time_s
    rows = [
        Observation(int(p), 1, 1, float(t), "prefill")
        for p, t in zip(prompts, (1e-4**4 + (2 * tiled) ** 4) ** 0.25, strict=True)
    ]
    steps = Observation(0, 16, 1, 16e-4, "decode", context_tokens=64)
    seen = seen_scale(fit([*rows, steps], interpolation="linear"), MODEL, A100, "bf16", 1)
    assert seen is not None
    made = calibrated_prior(PLAIN, [seen] * 9, 1, PARAMETERS)
    at, past = made.prefill_s(np.array([1024.0, 1025.0]))
    assert past / at > 1.08


def test_left_one_log_out_the_scale_is_foretold(reference: Path) -> None:
    """Six public A100 logs, 6 to 176 billion parameters on 1 to 8 cards, megatron of 2022."""
    seen = []
    for device, _, launch in logs(reference):
        if device == "a100":
            arch = architecture_of(launch)
            told = seen_scale(
                fit(observations_of(launch)), arch, lookup("a100"), "fp16", launch.devices
            )
            assert told is not None
            seen.append((launch, arch, told))
    for launch, arch, own in seen:
        others = [told for _, _, told in seen if told is not own]
        parameters = float(arch.active_matmul_parameters)
        made = calibrated_prior(PLAIN, others, launch.devices, parameters)
        assert made.scale_sd < 0.2
        assert abs(math.log(own.scale / made.scale)) < 2 * made.scale_sd


@given(st.lists(st.floats(0.5, 20), min_size=1, max_size=6), st.floats(0.5, 2.0))
def test_the_order_of_fits_changes_nothing_and_units_scale_through(
    scales: list[float], factor: float
) -> None:
    seen = [SeenScale(s, 1, PARAMETERS) for s in scales]
    first = calibrated_prior(PLAIN, seen, 1, PARAMETERS)
    turned = calibrated_prior(PLAIN, seen[::-1], 1, PARAMETERS)
    assert turned.scale == pytest.approx(first.scale)
    assert min(1.6, *scales) * 0.999 <= first.scale <= max(1.6, *scales) * 1.001
    moved = [SeenScale(s * factor, 1, PARAMETERS) for s in scales]
    ratio = calibrated_prior(PLAIN, moved, 1, PARAMETERS).scale / first.scale
    assert abs(math.log(ratio)) <= abs(math.log(factor)) + 1e-9
